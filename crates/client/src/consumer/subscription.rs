//! What a consumer reads, changed while it lives.

use std::collections::BTreeSet;

use milena_engine::consumer::Consumer as Machine;
use milena_engine::{Error, Operation};
use milena_types::{Topic, TopicPartition};

use super::Consumer;

impl Consumer {
    /// Reads the partitions of these topics that the group gives to this member: these topics and no others from now on.
    /// Partitions that the group takes away for it go through the listener, as in any rebalance.
    ///
    /// Where the future is dropped half-way, call it again: the group may have heard of it, while this consumer has not.
    ///
    /// # Errors
    /// `Misuse` without a group, or with partitions assigned by hand ([`unsubscribe`](Self::unsubscribe) first);
    /// `Closed`.
    pub async fn subscribe<T: Into<Topic>>(
        &mut self,
        topics: impl IntoIterator<Item = T>,
    ) -> Result<(), Error> {
        let topics: BTreeSet<Topic> = topics.into_iter().map(Into::into).collect();
        if topics.is_empty() {
            return self.unsubscribe().await;
        }
        self.change(move |machine, now| machine.subscribe(now, topics)).await?;
        self.reads(true);
        Ok(())
    }

    /// Reads these partitions and no others from now on, whatever other consumers do. One that stays keeps its
    /// position.
    ///
    /// Where the future is dropped half-way, call it again.
    ///
    /// # Errors
    /// `Misuse` with a subscription ([`unsubscribe`](Self::unsubscribe) first); `Closed`.
    pub async fn assign<P: Into<TopicPartition>>(
        &mut self,
        partitions: impl IntoIterator<Item = P>,
    ) -> Result<(), Error> {
        let partitions: BTreeSet<TopicPartition> = partitions.into_iter().map(Into::into).collect();
        if partitions.is_empty() {
            return self.unsubscribe().await;
        }
        self.change(move |machine, now| machine.assign(now, partitions)).await?;
        self.reads(false);
        Ok(())
    }

    /// Reads nothing any more: tells the listener that the partitions are revoked, commits where it commits by itself,
    /// and leaves the group. [`subscribe`](Self::subscribe) or [`assign`](Self::assign) to go on.
    ///
    /// Waits until the streams of [`next_partition`](Self::next_partition), which end with this, are dropped, for half of
    /// `max.poll.interval.ms` at most. Where the future is dropped half-way, call it again: it goes on where it was, and
    /// until then the partitions stay without a reader.
    ///
    /// # Errors
    /// `Closed`.
    pub async fn unsubscribe(&mut self) -> Result<(), Error> {
        self.hand_back().await;
        self.change(Machine::unsubscribe).await?;
        self.unanswered = None;
        self.failed = Some(Self::reads_nothing());
        Ok(())
    }

    /// What every poll says of a consumer without topics and partitions.
    pub(super) fn reads_nothing() -> Error {
        let rule = "the consumer reads nothing: subscribe to topics, or assign partitions";
        Error::misuse(rule).during(Operation::Poll).fatal()
    }

    fn reads(&mut self, subscribes: bool) {
        self.subscribes = subscribes;
        // What is fatal for another reason stays so.
        self.failed.take_if(|failed| failed.kind() == milena_engine::ErrorKind::Misuse);
    }

    async fn change(
        &self,
        change: impl FnOnce(&mut Machine, std::time::Instant) -> Result<(), Error> + Send + 'static,
    ) -> Result<(), Error> {
        self.handle.call(Operation::Subscribe, change).await?
    }
}
