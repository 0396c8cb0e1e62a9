//! What can be asked of a share consumer from any task.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use milena_engine::share::{MemberState, ShareBuffer, ShareConsumer as Machine};
use milena_engine::{Error, Operation};
use milena_types::{Topic, TopicPartition};
use tokio::sync::{mpsc, oneshot};

use super::{Counters, ShareConsumerMetrics};
use crate::driver::ask;
use crate::driver::share::{Command, Signals};

/// Steers a share consumer from any task; a clone steers the same one.
///
/// Every call that returns a future is carried out once the future was polled to its first wait; dropping the future
/// after that drops the reply only.
#[derive(Clone)]
pub struct ShareConsumerHandle {
    pub(super) commands: mpsc::Sender<Command>,
    pub(super) signals: Arc<Signals>,
    pub(super) counters: Arc<Counters>,
    pub(super) buffer: Arc<ShareBuffer>,
    pub(super) group_id: Arc<str>,
}

impl ShareConsumerHandle {
    /// Sends what was acknowledged so far, and waits until the brokers have answered. With implicit acknowledgement, what
    /// was handed out so far is accepted first.
    ///
    /// Errors that pass are retried for as long as the locks last.
    ///
    /// # Errors
    /// The first acknowledgement's that failed, with this commit or since the one before;
    /// [`on_acknowledged`](crate::ShareConsumerBuilder::on_acknowledged) hears of each. `INVALID_RECORD_STATE` where a lock ran out before; `Connection` where the broker was lost, with which its
    /// locks went; `Timeout` after `default.api.timeout.ms`; `Closed`.
    pub async fn commit(&self) -> Result<(), Error> {
        self.buffer.accept_in_hand();
        let (done, reply) = oneshot::channel();
        ask(&self.commands, Command::Commit { done }, reply, Operation::Acknowledge).await?
    }

    /// As [`commit`](Self::commit), but does not wait.
    pub fn commit_async(&self) {
        self.buffer.accept_in_hand();
        self.signals.hurry();
    }

    /// Reads these topics, from now on these and no others.
    ///
    /// # Errors
    /// `Misuse` without a topic; `Closed`.
    pub async fn subscribe<T: Into<Topic>>(
        &self,
        topics: impl IntoIterator<Item = T>,
    ) -> Result<(), Error> {
        let topics = topics.into_iter().map(Into::into).collect();
        let subscribe = move |machine: &mut Machine, now| machine.subscribe(now, topics);
        self.call(Operation::Subscribe, subscribe).await?
    }

    /// The partitions whose records the group shares with this member.
    ///
    /// # Errors
    /// `Closed`.
    pub async fn assignment(&self) -> Result<BTreeSet<TopicPartition>, Error> {
        self.call(Operation::Subscribe, |machine, _| machine.assignment()).await
    }

    /// Where the member stands in its group.
    ///
    /// # Errors
    /// `Closed`.
    pub async fn member_state(&self) -> Result<MemberState, Error> {
        self.call(Operation::JoinGroup, |machine, _| machine.member_state()).await
    }

    /// The member's id, as Kafka's tools show it.
    ///
    /// # Errors
    /// `Closed`.
    pub async fn member_id(&self) -> Result<String, Error> {
        self.call(Operation::JoinGroup, |machine, _| machine.member_id().to_owned()).await
    }

    /// How long brokers lock a record for the member that it is handed out to; `None` before the first records.
    ///
    /// # Errors
    /// `Closed`.
    pub async fn lock_timeout(&self) -> Result<Option<Duration>, Error> {
        self.call(Operation::Fetch, |machine, _| machine.lock_timeout()).await
    }

    /// What was handed out and acknowledged so far. Asks no broker.
    pub fn metrics(&self) -> ShareConsumerMetrics {
        self.counters.read()
    }

    /// Closes the consumer: sends what was acknowledged, has the brokers release everything else, leaves the group, and
    /// ends its task. A `poll` that waits ends with `Closed`.
    ///
    /// Takes `timeout` at most. Dropping the future does not stop the closing.
    ///
    /// # Errors
    /// The first acknowledgement's that failed meanwhile. `Closed` if it was closed before.
    pub async fn close(&self, timeout: Duration) -> Result<(), Error> {
        let (done, reply) = oneshot::channel();
        ask(&self.commands, Command::Close { timeout, done }, reply, Operation::Close).await?
    }

    /// Does something with the machine, in its task.
    async fn call<T: Send + 'static>(
        &self,
        operation: Operation,
        call: impl FnOnce(&mut Machine, std::time::Instant) -> T + Send + 'static,
    ) -> Result<T, Error> {
        let (done, reply) = oneshot::channel();
        let call = move |machine: &mut Machine, now| drop(done.send(call(machine, now)));
        ask(&self.commands, Command::Call(Box::new(call)), reply, operation).await
    }
}

impl fmt::Debug for ShareConsumerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShareConsumerHandle")
            .field("group_id", &self.group_id)
            .finish_non_exhaustive()
    }
}
