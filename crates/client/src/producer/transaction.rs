//! One transaction.

use std::fmt;
use std::time::Duration;

use milena_engine::Error;
use milena_engine::consumer::CommittedOffset;
use milena_engine::transaction::GroupMetadata;
use milena_types::{Offset, TopicPartition};

#[cfg(feature = "unstable-two-phase-commit")]
use super::prepared::{PreparedState, PreparedTransaction};
use super::{Producer, Record, RecordMetadata, Send, Sending};
use crate::Batch;
use crate::driver::consumer::Offsets;
use crate::driver::transaction::{Ask, Open};

/// An open transaction of a [`TransactionalProducer`](crate::TransactionalProducer).
///
/// What is sent through it becomes readable with its [`commit`](Self::commit), and never if it is aborted. Dropping it
/// aborts it in the background, before the next one begins.
#[must_use = "a transaction that is dropped is aborted"]
pub struct Transaction<'a> {
    producer: &'a Producer,
    open: Open,
}

impl<'a> Transaction<'a> {
    pub(super) fn new(producer: &'a Producer, open: Open) -> Self {
        Self { producer, open }
    }

    /// Sends `record` as a part of the transaction: await it for the acknowledgement, or
    /// [`enqueue`](SendInTransaction::enqueue) it and leave the waiting to the commit.
    ///
    /// Dropping the future before the record is admitted sends nothing.
    ///
    /// # Errors
    /// As [`Producer::send`]. An error of a record that was admitted [`is_abortable`](Error::is_abortable), and no commit
    /// succeeds after it.
    pub fn send<'r>(&'r self, record: Record<'r>) -> SendInTransaction<'r> {
        SendInTransaction(self.producer.send(record))
    }

    /// Admits many records to the send buffer in their order, at about half the cost of one by one; see
    /// [`Producer::enqueue_all`]. The commit waits for the rest.
    ///
    /// Dropping the future leaves what was admitted in the transaction, and the rest unsent.
    ///
    /// # Errors
    /// Of the first record that was not admitted, as [`Producer::send`]; those after it were tried all the same.
    pub async fn enqueue_all<'r>(
        &self,
        records: impl IntoIterator<Item = Record<'r>>,
    ) -> Result<(), Error> {
        let deliveries = self.producer.enqueue_all(records).await;
        deliveries.refusal().map_or(Ok(()), |refusal| Err(refusal.clone()))
    }

    /// Puts the offsets behind `batch` into the transaction, in the name of the consumer that read it: they are
    /// committed for its group if the transaction is, and the group's members read from there on.
    ///
    /// The consumer must not commit by itself (`enable.auto.commit=false`).
    ///
    /// Dropping the future does not take the offsets back.
    ///
    /// # Errors
    /// `Rebalanced` if the partitions belong to another member by now: that one will read the same records, so that the
    /// transaction can only be aborted. `Misuse` of a consumer without a group; `Authorization`;
    /// `UnsupportedVersion` of brokers before 2.5; `Timeout` after `max.block.ms`. Each
    /// [`is_abortable`](Error::is_abortable), unless the producer is of no more use.
    pub async fn send_offsets(&self, batch: &Batch) -> Result<(), Error> {
        if batch.is_empty() {
            return Ok(());
        }
        match batch.group_metadata().await {
            Ok(group) => self.put_offsets(batch.ends().clone(), group).await,
            Err(error) => {
                // Whoever does not look at the error must not commit the records without the offsets.
                let error = error.abortable();
                let cause = error.clone();
                let fail = |_, done| Ask::Fail { error: cause, done };
                self.producer.0.control.transact(self.limit(), fail).await?;
                Err(error)
            }
        }
    }

    /// Puts these offsets into the transaction, of each partition the next one to read, in the name of `group`; see
    /// [`ConsumerHandle::group_metadata`](crate::ConsumerHandle::group_metadata).
    ///
    /// # Errors
    /// As [`send_offsets`](Self::send_offsets).
    pub async fn send_offsets_for<P: Into<TopicPartition>>(
        &self,
        offsets: impl IntoIterator<Item = (P, Offset)>,
        group: GroupMetadata,
    ) -> Result<(), Error> {
        let offsets = offsets.into_iter();
        let offsets = offsets.map(|(tp, offset)| (tp.into(), CommittedOffset::new(offset)));
        self.put_offsets(offsets.collect(), group).await
    }

    /// Sends what is in the buffer without lingering, and waits until every record sent so far is acknowledged or
    /// failed. A commit does so by itself.
    ///
    /// # Errors
    /// `Closed`.
    pub async fn flush(&self) -> Result<(), Error> {
        self.producer.flush().await
    }

    /// Waits for every record to be stored, and commits.
    ///
    /// Returns `Ok` only when the coordinator has said so. Dropping the future does not stop a commit that has begun;
    /// [`wait_for_end`](crate::TransactionalProducer::wait_for_end) tells what came of it.
    ///
    /// # Errors
    /// One that [`is_abortable`](Error::is_abortable): nothing is committed, and the transaction is aborted in the
    /// background. `Timeout` after `max.block.ms` with the [`fate`](Error::fate) unknown: the coordinator was asked and
    /// did not answer; the producer goes on asking, and the next transaction waits for that. One that
    /// [`is_fatal`](Error::is_fatal): its fate tells whether the transaction may be committed.
    pub async fn commit(mut self) -> Result<(), Error> {
        let commit = |deadline, done| Ask::Commit { deadline, done };
        let committed = self.producer.0.control.transact(self.limit(), commit).await;
        if !committed.as_ref().is_err_and(Error::is_abortable) {
            self.open.ended();
        }
        committed
    }

    /// Waits for every record to be stored, so that the transaction can be committed whatever happens to this process:
    /// the first half of a commit in two phases (KIP-939). Nothing can be sent in it any more.
    ///
    /// Takes `transaction.two.phase.commit.enable=true` and a cluster that has unstable API versions and two-phase commit
    /// switched on. Unstable: it may change in any release.
    ///
    /// Dropping the future aborts the transaction.
    ///
    /// # Errors
    /// That of a lost record, and the transaction is aborted; `Misuse` where two-phase commit is off, and while offsets of a
    /// [`send_offsets`](Self::send_offsets) that was dropped are on their way; `Closed`.
    #[cfg(feature = "unstable-two-phase-commit")]
    pub async fn prepare(self) -> Result<PreparedTransaction<'a>, Error> {
        self.flush().await?;
        let prepare = |_, done| Ask::Prepare { done };
        let (producer_id, epoch) = self.producer.0.control.transact(self.limit(), prepare).await?;
        Ok(PreparedTransaction::new(self, PreparedState::new(producer_id, epoch)))
    }

    /// Aborts: records that no broker has are dropped, and fail with `TransactionAborted`; the others are never read by
    /// those who read committed records.
    ///
    /// Dropping the future does not stop the abort.
    ///
    /// # Errors
    /// `Timeout` after `max.block.ms`, and the abort goes on; the producer's own error where it cannot go on.
    pub async fn abort(mut self) -> Result<(), Error> {
        let abort = |deadline, done| Ask::Abort { deadline, done };
        let aborted = self.producer.0.control.transact(self.limit(), abort).await;
        self.open.ended();
        aborted
    }

    async fn put_offsets(&self, offsets: Offsets, group: GroupMetadata) -> Result<(), Error> {
        let put = |deadline, done| Ask::SendOffsets { offsets, group, deadline, done };
        self.producer.0.control.transact(self.limit(), put).await
    }

    fn limit(&self) -> Duration {
        self.producer.config().max_block()
    }
}

impl fmt::Debug for Transaction<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transaction")
            .field("transactional_id", &self.producer.config().transactional_id())
            .finish_non_exhaustive()
    }
}

/// A record about to be sent in a transaction; see [`Transaction::send`].
#[must_use = "nothing is sent before it is awaited or enqueued"]
#[derive(Debug)]
pub struct SendInTransaction<'a>(Send<'a>);

impl<'a> SendInTransaction<'a> {
    /// Has `callback` called once with the acknowledgement, or with why there is none; see [`Send::on_ack`]. An
    /// acknowledged record is not committed yet.
    pub fn on_ack<F>(self, callback: F) -> Self
    where
        F: FnOnce(Result<RecordMetadata, Error>) + std::marker::Send + 'static,
    {
        Self(Send(self.0.on_ack(callback).0))
    }

    /// Waits only until the record is admitted to the send buffer. The commit waits for the rest, and fails if the record
    /// is lost.
    ///
    /// Dropping the future before it is ready sends nothing.
    ///
    /// # Errors
    /// As [`Producer::send`] before the record is admitted.
    pub async fn enqueue(self) -> Result<(), Error> {
        self.0.enqueue().await.map(drop)
    }
}

impl<'a> IntoFuture for SendInTransaction<'a> {
    type Output = <Send<'a> as IntoFuture>::Output;
    type IntoFuture = Sending<'a>;

    fn into_future(self) -> Sending<'a> {
        self.0.into_future()
    }
}
