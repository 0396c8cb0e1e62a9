//! What can be asked of a consumer from any task.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use milena_engine::consumer::{
    CommittedOffset, Consumer as Machine, FetchBuffer, FoundOffset, GroupMembershipOperation,
    IsolationLevel, MemberState, OffsetReset, OffsetSpec, Polled, Position, Query, Reply,
};
use milena_engine::transaction::GroupMetadata;
use milena_engine::{Error, Operation};
use milena_types::{Offset, Timestamp, Topic, TopicPartition};
use tokio::sync::{mpsc, oneshot};

use super::mark::{Mark, Marks};
use super::{ConsumerMetrics, Counters, Interceptors};
use crate::driver::ask;
use crate::driver::consumer::{Command, Offsets, Read, ReadAtLast, Signals};

/// Steers a consumer from any task; a clone steers the same one.
///
/// Every call that returns a future is carried out once the future was polled to its first wait; dropping the future
/// after that drops the reply only.
#[derive(Clone, Debug)]
pub struct ConsumerHandle {
    pub(super) commands: mpsc::Sender<Command>,
    pub(super) signals: Arc<Signals>,
    pub(super) buffer: Arc<FetchBuffer>,
    pub(super) marks: Arc<Marks>,
    pub(super) isolation: IsolationLevel,
    pub(super) counters: Arc<Counters>,
    pub(super) interceptors: Option<Arc<Interceptors>>,
}

impl ConsumerHandle {
    /// Commits the positions behind everything that was handed out, and waits until they are stored.
    ///
    /// Errors that pass are retried for `default.api.timeout.ms`.
    ///
    /// # Errors
    /// `Rebalanced` if the partitions belong to another member by now, or were given up or lost since the call, or if the
    /// consumer is out of its group; `Fenced`; `Misuse` without a group; `Closed`.
    pub async fn commit(&self) -> Result<(), Error> {
        self.commit_some(None).await
    }

    /// Commits these offsets: of each partition the next one to read, as an [`Offset`], or as a [`CommittedOffset`] with
    /// the leader epoch of the record before it and a text.
    ///
    /// They are committed as what this consumer has read: offsets of records that a task has had in hand for long are
    /// better committed by [`Batch::commit`](crate::Batch::commit) or [`mark`](Self::mark), which know whether the
    /// partition was another member's in between.
    ///
    /// # Errors
    /// As [`commit`](Self::commit). `Rebalanced` also for a partition that is not assigned while topics are subscribed.
    ///
    /// # Examples
    /// ```no_run
    /// # async fn example(handle: milena::ConsumerHandle) -> milena::Result<()> {
    /// # let offset = milena::Offset::ZERO;
    /// use milena::CommittedOffset;
    ///
    /// handle.commit_offsets([(("orders", 0), offset.next())]).await?;
    /// let noted = CommittedOffset::new(offset.next()).with_metadata("run 7");
    /// handle.commit_offsets([(("orders", 0), noted)]).await?;
    /// # Ok(()) }
    /// ```
    pub async fn commit_offsets<P: Into<TopicPartition>, O: Into<CommittedOffset>>(
        &self,
        offsets: impl IntoIterator<Item = (P, O)>,
    ) -> Result<(), Error> {
        let offsets = offsets.into_iter();
        let offsets: Offsets =
            offsets.map(|(partition, offset)| (partition.into(), offset.into())).collect();
        if offsets.is_empty() { Ok(()) } else { self.commit_some(Some(offsets)).await }
    }

    async fn commit_some(&self, offsets: Option<Offsets>) -> Result<(), Error> {
        let (done, reply) = oneshot::channel();
        let command = Command::Commit { offsets, behind: self.signals.signalled(), done };
        ask(&self.commands, command, reply, Operation::Commit).await?
    }

    pub(super) async fn commit_read(&self, read: ReadAtLast) -> Result<(), Error> {
        let (done, reply) = oneshot::channel();
        let command = Command::CommitRead { read, behind: self.signals.signalled(), done };
        ask(&self.commands, command, reply, Operation::Commit).await?
    }

    /// Remembers that everything of the record's partition up to it is done with, for
    /// [`commit_marked`](Self::commit_marked). Marks may come in any order: the furthest one counts,
    /// and none takes the group's offset back (that is for [`commit_offsets`](Self::commit_offsets)).
    ///
    /// # Examples
    /// ```no_run
    /// # async fn example(mut consumer: milena::Consumer) -> milena::Result<()> {
    /// # use std::time::Duration;
    /// let handle = consumer.handle();
    /// for message in &consumer.poll(Duration::from_secs(1)).await? {
    ///     handle.mark(message);
    /// }
    /// handle.commit_marked().await?;
    /// # Ok(()) }
    /// ```
    pub fn mark(&self, record: impl Into<Mark>) {
        self.marks.put(record.into());
    }

    /// Commits what was marked since the last time. What was marked of partitions that were taken away since is
    /// dropped: whoever has them reads it again.
    ///
    /// # Errors
    /// As [`commit`](Self::commit); what was marked stays so.
    pub async fn commit_marked(&self) -> Result<(), Error> {
        let (marks, buffer) = (Arc::clone(&self.marks), Arc::clone(&self.buffer));
        let (told, ends) = oneshot::channel();
        let read = move || {
            let read = marks.read(&buffer);
            let _ = told.send(read.ends.clone());
            read
        };
        self.commit_read(Box::new(read)).await?;
        if let Ok(ends) = ends.await {
            self.marks.committed(&ends);
        }
        Ok(())
    }

    /// Commits the positions behind everything that was handed out before this call, once, and does not wait. An older
    /// commit never replaces a newer one; a failure is logged, and told to interceptors.
    pub fn commit_async(&self) {
        self.signals.commit(|| {
            let mut read = Read::default();
            for (tp, position, stay) in self.buffer.positions_held() {
                let end = CommittedOffset::new(position.offset);
                read.put(tp, end.with_leader_epoch(position.leader_epoch), stay);
            }
            read
        });
    }

    /// Hands out nothing of these partitions until they are resumed.
    ///
    /// # Errors
    /// `Misuse` if one is not assigned; then none is paused. `Closed`.
    pub async fn pause<P: Into<TopicPartition>>(
        &self,
        partitions: impl IntoIterator<Item = P>,
    ) -> Result<(), Error> {
        let partitions = collect(partitions);
        self.call(Operation::Poll, move |machine, now| machine.pause(now, &partitions)).await?
    }

    /// Undoes [`pause`](Self::pause).
    ///
    /// # Errors
    /// `Misuse` if one is not assigned; then none is resumed. `Closed`.
    pub async fn resume<P: Into<TopicPartition>>(
        &self,
        partitions: impl IntoIterator<Item = P>,
    ) -> Result<(), Error> {
        let partitions = collect(partitions);
        self.call(Operation::Poll, move |machine, now| machine.resume(now, &partitions)).await?
    }

    /// Reads on from `offset`; nothing fetched before is handed out any more. With a leader epoch, as of a
    /// [`CommittedOffset`], it is checked first that the log still has the record before it (KIP-320).
    ///
    /// # Errors
    /// `Misuse` if the partition is not assigned; `Closed`.
    pub async fn seek(
        &self,
        partition: impl Into<TopicPartition>,
        offset: impl Into<CommittedOffset>,
    ) -> Result<(), Error> {
        let (partition, offset) = (partition.into(), offset.into());
        let position = Position::new(offset.offset, offset.leader_epoch);
        let seek = move |machine: &mut Machine, now| machine.seek(now, &partition, position);
        self.call(Operation::Seek, seek).await?
    }

    /// Reads on from the first record that is still there.
    ///
    /// # Errors
    /// As [`seek`](Self::seek).
    pub async fn seek_to_beginning<P: Into<TopicPartition>>(
        &self,
        partitions: impl IntoIterator<Item = P>,
    ) -> Result<(), Error> {
        let partitions = collect(partitions);
        self.seek_by(partitions, OffsetReset::Earliest).await
    }

    /// Reads on behind the last record.
    ///
    /// # Errors
    /// As [`seek`](Self::seek).
    pub async fn seek_to_end<P: Into<TopicPartition>>(
        &self,
        partitions: impl IntoIterator<Item = P>,
    ) -> Result<(), Error> {
        let partitions = collect(partitions);
        self.seek_by(partitions, OffsetReset::Latest).await
    }

    /// The topics that are subscribed to, by name or as a pattern matched them so far. None for assigned partitions, and
    /// where the coordinator matches the pattern.
    ///
    /// # Errors
    /// `Closed`.
    pub async fn subscription(&self) -> Result<BTreeSet<Topic>, Error> {
        self.call(Operation::Subscribe, |machine, _| machine.topics()).await
    }

    /// The assigned partitions.
    ///
    /// # Errors
    /// `Closed`.
    pub async fn assignment(&self) -> Result<BTreeSet<TopicPartition>, Error> {
        self.call(Operation::Subscribe, |machine, _| machine.assignment()).await
    }

    /// The paused partitions.
    ///
    /// # Errors
    /// `Closed`.
    pub async fn paused(&self) -> Result<BTreeSet<TopicPartition>, Error> {
        self.call(Operation::Poll, |machine, _| machine.paused()).await
    }

    /// The next offset to hand out of each assigned partition; `None` where it is not known yet.
    pub fn positions(&self) -> BTreeMap<TopicPartition, Option<Offset>> {
        let positions = self.buffer.positions().into_iter();
        positions.map(|(tp, position)| (tp, position.map(|position| position.offset))).collect()
    }

    /// How many offsets lie between each position and the end of what can be read, as the last fetch told; `None`
    /// where one of the two is not known yet. With `read_committed` the end lies before the first open transaction.
    /// Asks no broker.
    pub fn lag(&self) -> BTreeMap<TopicPartition, Option<u64>> {
        let positions = self.buffer.positions().into_iter();
        positions
            .map(|(tp, position)| {
                let lag = position.and_then(|position| self.lag_at(&tp, position));
                (tp, lag)
            })
            .collect()
    }

    /// The same for one partition.
    pub(super) fn lag_of(&self, partition: &TopicPartition) -> Option<u64> {
        self.lag_at(partition, self.buffer.position(partition)?)
    }

    fn lag_at(&self, partition: &TopicPartition, position: Position) -> Option<u64> {
        let ends = self.buffer.ends(partition)?;
        let end = match self.isolation {
            IsolationLevel::ReadUncommitted => ends.high_watermark,
            IsolationLevel::ReadCommitted => ends.last_stable_offset,
        };
        Some(u64::try_from(end?.get().saturating_sub(position.offset.get())).unwrap_or(0))
    }

    /// What was read and committed so far, and how far behind it is. Asks no broker.
    pub fn metrics(&self) -> ConsumerMetrics {
        self.counters.read(self.lag().into_values())
    }

    /// Where the consumer stands in its group; `None` without one.
    ///
    /// # Errors
    /// `Closed`.
    pub async fn member_state(&self) -> Result<Option<MemberState>, Error> {
        self.call(Operation::JoinGroup, |machine, _| machine.member_state()).await
    }

    /// In whose name a transaction takes offsets of this consumer (KIP-447); see
    /// [`Transaction::send_offsets_for`](crate::Transaction::send_offsets_for). It holds until the next rebalance.
    ///
    /// # Errors
    /// `Rebalanced` while the consumer is not a member; `Misuse` without a group; `Closed`.
    pub async fn group_metadata(&self) -> Result<GroupMetadata, Error> {
        let metadata = |machine: &mut Machine, _| machine.group_metadata(&BTreeSet::new());
        self.call(Operation::Commit, metadata).await?
    }

    /// The group's committed offsets; a partition without one is left out.
    ///
    /// # Errors
    /// `Misuse` without a group; `Authorization`; `Timeout`; `Closed`.
    pub async fn committed<P: Into<TopicPartition>>(
        &self,
        partitions: impl IntoIterator<Item = P>,
    ) -> Result<BTreeMap<TopicPartition, CommittedOffset>, Error> {
        match self.query(Query::Committed(collect(partitions))).await? {
            Reply::Committed(offsets) => Ok(offsets),
            _ => Err(mismatched()),
        }
    }

    /// The first offset of each partition.
    ///
    /// # Errors
    /// `Authorization`; `Timeout`, of which a topic that does not exist is the `source()`; `Closed`.
    pub async fn beginning_offsets<P: Into<TopicPartition>>(
        &self,
        partitions: impl IntoIterator<Item = P>,
    ) -> Result<BTreeMap<TopicPartition, Offset>, Error> {
        self.offsets(partitions, OffsetSpec::Earliest).await
    }

    /// The end of each partition: behind its last record, or with `read_committed` before its first open transaction.
    ///
    /// # Errors
    /// As [`beginning_offsets`](Self::beginning_offsets).
    pub async fn end_offsets<P: Into<TopicPartition>>(
        &self,
        partitions: impl IntoIterator<Item = P>,
    ) -> Result<BTreeMap<TopicPartition, Offset>, Error> {
        self.offsets(partitions, OffsetSpec::Latest).await
    }

    /// Of each partition the first record at or after its timestamp; one without such a record is left out (KIP-79).
    ///
    /// # Errors
    /// As [`beginning_offsets`](Self::beginning_offsets).
    ///
    /// # Examples
    /// ```no_run
    /// # async fn example(handle: milena::ConsumerHandle, noon: milena::Timestamp) -> milena::Result<()> {
    /// for (partition, found) in handle.offsets_for_times([(("orders", 0), noon)]).await? {
    ///     handle.seek(partition, found.offset).await?;
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn offsets_for_times<P: Into<TopicPartition>>(
        &self,
        times: impl IntoIterator<Item = (P, Timestamp)>,
    ) -> Result<BTreeMap<TopicPartition, FoundOffset>, Error> {
        let times = times.into_iter();
        self.find(times.map(|(partition, time)| (partition, OffsetSpec::At(time)))).await
    }

    /// Has the members of a classic group share its partitions out anew (KIP-568), as after a change that only you know
    /// of. The coordinator logs `reason`. Nothing happens where the group rebalances already, or without a subscription;
    /// in the consumer protocol the coordinator decides by itself.
    ///
    /// # Errors
    /// `Closed`.
    pub async fn enforce_rebalance(&self, reason: impl Into<String>) -> Result<(), Error> {
        let reason = reason.into();
        self.call(Operation::JoinGroup, move |machine, now| machine.enforce_rebalance(now, &reason))
            .await
    }

    /// Closes the consumer: commits where it commits by itself, leaves the group, and ends its task. A `poll` that
    /// waits ends with `Closed`. Records that a `poll` handed out are in hand until the next one: they are not
    /// committed here. The listener does not hear of it, as it lives within the consumer's own calls.
    ///
    /// Takes `timeout` at most. Dropping the future does not stop the closing.
    ///
    /// # Errors
    /// The last commit's, where it failed. `Closed` if it was closed before.
    pub async fn close(&self, timeout: Duration) -> Result<(), Error> {
        self.close_with(timeout, GroupMembershipOperation::Default).await
    }

    /// As [`close`](Self::close), and leaves the group or stays in it as `operation` says (KIP-1092).
    ///
    /// # Errors
    /// Those of [`close`](Self::close).
    pub async fn close_with(
        &self,
        timeout: Duration,
        operation: GroupMembershipOperation,
    ) -> Result<(), Error> {
        let (done, reply) = oneshot::channel();
        ask(&self.commands, Command::Close { timeout, operation, done }, reply, Operation::Close)
            .await?
    }

    /// Notes what is about to be handed out.
    pub(super) fn hand_out(&self, polled: &Polled) {
        self.counters.handed_out(polled.len());
        if let Some(chain) = &self.interceptors {
            chain.on_batch(polled);
        }
    }

    async fn offsets<P: Into<TopicPartition>>(
        &self,
        partitions: impl IntoIterator<Item = P>,
        spec: OffsetSpec,
    ) -> Result<BTreeMap<TopicPartition, Offset>, Error> {
        let asked = partitions.into_iter().map(|partition| (partition, spec));
        let found = self.find(asked).await?;
        Ok(found.into_iter().map(|(tp, found)| (tp, found.offset)).collect())
    }

    async fn find<P: Into<TopicPartition>>(
        &self,
        asked: impl Iterator<Item = (P, OffsetSpec)>,
    ) -> Result<BTreeMap<TopicPartition, FoundOffset>, Error> {
        let asked = asked.map(|(partition, spec)| (partition.into(), spec)).collect();
        match self.query(Query::Offsets(asked)).await? {
            Reply::Offsets(found) => Ok(found),
            _ => Err(mismatched()),
        }
    }

    async fn query(&self, query: Query) -> Result<Reply, Error> {
        let operation = match query {
            Query::Committed(_) => Operation::FetchOffsets,
            _ => Operation::ListOffsets,
        };
        let (done, reply) = oneshot::channel();
        ask(&self.commands, Command::Query { query, done }, reply, operation).await?
    }

    async fn seek_by(
        &self,
        partitions: BTreeSet<TopicPartition>,
        reset: OffsetReset,
    ) -> Result<(), Error> {
        let seek = move |machine: &mut Machine, now| machine.seek_by(now, &partitions, reset);
        self.call(Operation::Seek, seek).await?
    }

    /// Does something with the machine, in its task.
    pub(super) async fn call<T: Send + 'static>(
        &self,
        operation: Operation,
        call: impl FnOnce(&mut Machine, std::time::Instant) -> T + Send + 'static,
    ) -> Result<T, Error> {
        let (done, reply) = oneshot::channel();
        let call = move |machine: &mut Machine, now| drop(done.send(call(machine, now)));
        ask(&self.commands, Command::Call(Box::new(call)), reply, operation).await
    }
}

fn collect<P: Into<TopicPartition>>(
    partitions: impl IntoIterator<Item = P>,
) -> BTreeSet<TopicPartition> {
    partitions.into_iter().map(Into::into).collect()
}

fn mismatched() -> Error {
    Error::misuse("a query was answered with another one's reply")
}
