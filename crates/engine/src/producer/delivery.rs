//! What became of a record, for those who wait for it.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};

use milena_types::{Offset, Timestamp, Topic, TopicPartition};

use super::counters::Counters;
use super::record::{Own, Sizes};
use super::watch::Watchers;
use crate::Error;

/// Resolves to where a record was stored, or to why it was not.
///
/// It costs no allocation: a share of its batch's result and the record's place in the batch. Dropping it is free and
/// never takes the record back.
#[must_use = "a record is known to be stored only once its delivery resolves"]
pub struct Delivery {
    batch: Option<Arc<BatchResult>>,
    record: u32,
    /// Which of the batch's wakers is ours.
    seat: Option<Seat>,
    own: Own,
}

/// Where a record was stored, and when.
#[derive(Clone)]
pub struct RecordMetadata {
    batch: Arc<BatchResult>,
    offset: Option<Offset>,
    timestamp: Timestamp,
    sizes: Sizes,
}

impl Delivery {
    #[inline]
    pub(super) fn new(batch: Arc<BatchResult>, record: u32, own: Own) -> Self {
        Self { batch: Some(batch), record, seat: None, own }
    }

    /// The batch that holds the record, its place there and its time; `None` after the delivery resolved.
    pub(super) fn into_parts(self) -> Option<(Arc<BatchResult>, u32, Timestamp)> {
        Some((self.batch?, self.record, self.own.timestamp))
    }

    /// What became of the record, if that is known; `None` while it is on its way, and after the delivery resolved.
    pub fn result(&self) -> Option<Result<RecordMetadata, Error>> {
        let batch = self.batch.as_ref()?;
        let outcome = batch.outcome(self.record)?;
        Some(Arc::clone(batch).metadata(self.record, self.own, outcome))
    }

    /// The partition that the record was given; `None` after the delivery resolved.
    pub fn topic_partition(&self) -> Option<&TopicPartition> {
        self.batch.as_ref().map(|batch| &batch.partition)
    }
}

impl Future for Delivery {
    type Output = Result<RecordMetadata, Error>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let Some(batch) = this.batch.take() else {
            return Poll::Ready(Err(Error::misuse("a delivery must not be polled once resolved")));
        };
        match batch.poll(this.record, &mut this.seat, cx) {
            Poll::Ready(outcome) => Poll::Ready(batch.metadata(this.record, this.own, outcome)),
            Poll::Pending => {
                this.batch = Some(batch);
                Poll::Pending
            }
        }
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("partition", &self.topic_partition())
            .field("record", &self.record)
            .field("result", &self.result())
            .finish()
    }
}

impl RecordMetadata {
    /// The topic that holds the record.
    pub fn topic(&self) -> &Topic {
        &self.batch.partition.topic
    }

    /// The partition that holds the record.
    pub fn partition(&self) -> i32 {
        self.batch.partition.partition
    }

    /// The topic and the partition.
    pub fn topic_partition(&self) -> &TopicPartition {
        &self.batch.partition
    }

    /// The record's place in its partition; `None` with acks=0, and where a broker knew the record from an earlier
    /// try but not its offset any more.
    pub fn offset(&self) -> Option<Offset> {
        self.offset
    }

    /// The time that consumers see: the record's own, or the broker's where the topic says `LogAppendTime`.
    pub fn timestamp(&self) -> Timestamp {
        self.timestamp
    }

    /// How many bytes the key took; `None` where there is none, and where the record was sent by the batch form or awaited
    /// by [`Deliveries`](super::Deliveries), which keep no sizes.
    pub fn serialized_key_size(&self) -> Option<usize> {
        self.sizes.key()
    }

    /// How many bytes the value took, as it was before compression; `None` of a tombstone, and where no
    /// [key size](Self::serialized_key_size) is kept either.
    pub fn serialized_value_size(&self) -> Option<usize> {
        self.sizes.value()
    }
}

impl fmt::Display for RecordMetadata {
    /// As `orders-3@17`; without `@17` where the offset is not known.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.batch.partition)?;
        self.offset.map_or(Ok(()), |offset| write!(f, "@{offset}"))
    }
}

impl fmt::Debug for RecordMetadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordMetadata")
            .field("partition", &self.batch.partition)
            .field("offset", &self.offset)
            .field("timestamp", &self.timestamp)
            .finish()
    }
}

/// A range of records that a broker stored.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Stored {
    /// The range's first record.
    pub(super) first: u32,
    /// That record's offset.
    pub(super) base_offset: Option<Offset>,
    /// Set where the topic's timestamps are the broker's.
    pub(super) log_append_time: Option<Timestamp>,
}

impl Stored {
    fn offset(&self, record: u32) -> Option<Offset> {
        let base = self.base_offset?;
        Some(base.saturating_add(i64::from(record.saturating_sub(self.first))))
    }
}

/// What became of a range of records.
pub(super) type Outcome = Result<Stored, Error>;

/// What became of one batch, shared by the deliveries of its records.
///
/// A batch settles as one, as a rule. One that was split, or refused for the sake of some of its records, settles in
/// ranges; each record once.
#[derive(Debug)]
pub(super) struct BatchResult {
    partition: TopicPartition,
    /// The producer's, for whoever settles or sends the batch.
    pub(super) counters: Arc<Counters>,
    /// The usual case, read without a lock.
    whole: OnceLock<Outcome>,
    parts: Mutex<Parts>,
}

#[derive(Debug, Default)]
struct Parts {
    /// By first record: how many, and what became of them.
    settled: BTreeMap<u32, (u32, Outcome)>,
    /// Who is told without waiting.
    watchers: Watchers,
    /// Who waits for what is not settled.
    waiting: Vec<Waiting>,
    /// How often `waiting` was emptied: a seat taken before that is void.
    round: u32,
}

/// One task that waits, for one or more records in a row.
#[derive(Debug)]
struct Waiting {
    waker: Waker,
    shares: u32,
}

/// A place in `waiting`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seat {
    round: u32,
    /// A number of tasks: 32 bits keep a delivery small.
    index: u32,
}

impl BatchResult {
    pub(super) fn new(partition: TopicPartition, counters: Arc<Counters>) -> Self {
        Self { partition, counters, whole: OnceLock::new(), parts: Mutex::default() }
    }

    /// Has `watchers` told what becomes of its records.
    pub(super) fn watch(&self, watchers: Watchers) {
        if !watchers.is_empty() {
            self.parts().watchers = watchers;
        }
    }

    /// Settles the `records` records from `first` on, tells those who watch them, and wakes everyone who waits for the
    /// batch. What is settled stays as it is.
    pub(super) fn settle(
        self: &Arc<Self>,
        first: u32,
        records: u32,
        is_whole: bool,
        outcome: Outcome,
    ) {
        let told = outcome.clone();
        let (watching, waiting) = {
            let mut parts = self.parts();
            if is_whole && parts.settled.is_empty() {
                // A second settlement of the whole would be a defect; the first one stands.
                let _ = self.whole.set(outcome);
            } else {
                parts.settled.entry(first).or_insert((records, outcome));
            }
            parts.round += 1;
            (parts.watchers.take(first, records), std::mem::take(&mut parts.waiting))
        };
        if let (1.., Err(error)) = (watching.detached, &told) {
            self.counters.detached_failed(watching.detached, error);
        }
        for (record, own, callback) in watching.callbacks {
            callback(Arc::clone(self).metadata(record, own, told.clone()));
        }
        waiting.into_iter().for_each(|waiting| waiting.waker.wake());
    }

    /// What `outcome` means to `record`.
    #[inline]
    pub(super) fn metadata(
        self: Arc<Self>,
        record: u32,
        own: Own,
        outcome: Outcome,
    ) -> Result<RecordMetadata, Error> {
        let stored = outcome?;
        Ok(RecordMetadata {
            offset: stored.offset(record),
            timestamp: stored.log_append_time.unwrap_or(own.timestamp),
            sizes: own.sizes,
            batch: self,
        })
    }

    /// Whether every record has its result, and all the same.
    pub(super) fn is_settled_as_one(&self) -> bool {
        self.whole.get().is_some()
    }

    pub(super) fn outcome(&self, record: u32) -> Option<Outcome> {
        self.whole.get().cloned().or_else(|| self.parts().outcome(record))
    }

    #[inline]
    pub(super) fn poll(
        &self,
        record: u32,
        seat: &mut Option<Seat>,
        cx: &Context<'_>,
    ) -> Poll<Outcome> {
        match self.whole.get() {
            Some(outcome) => Poll::Ready(outcome.clone()),
            None => self.wait(record, seat, cx),
        }
    }

    #[inline(never)]
    fn wait(&self, record: u32, seat: &mut Option<Seat>, cx: &Context<'_>) -> Poll<Outcome> {
        let mut parts = self.parts();
        // It may have been settled before we had the lock.
        if let Some(outcome) = self.whole.get().cloned().or_else(|| parts.outcome(record)) {
            return Poll::Ready(outcome);
        }
        parts.sit(seat, cx.waker());
        Poll::Pending
    }

    fn parts(&self) -> MutexGuard<'_, Parts> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Parts {
    fn outcome(&self, record: u32) -> Option<Outcome> {
        let (&first, (records, outcome)) = self.settled.range(..=record).next_back()?;
        (record - first < *records).then(|| outcome.clone())
    }

    /// Remembers whom to wake. A task that awaits many deliveries in turn takes one seat, not one a record.
    fn sit(&mut self, seat: &mut Option<Seat>, waker: &Waker) {
        let own = seat.filter(|seat| seat.round == self.round);
        let index = own.and_then(|own| usize::try_from(own.index).ok());
        if let Some(own) = index.and_then(|index| self.waiting.get_mut(index)) {
            if own.waker.will_wake(waker) {
                return;
            }
            if own.shares == 1 {
                own.waker.clone_from(waker);
                return;
            }
            own.shares -= 1;
        }
        match self.waiting.last_mut() {
            Some(last) if last.waker.will_wake(waker) => last.shares += 1,
            _ => self.waiting.push(Waiting { waker: waker.clone(), shares: 1 }),
        }
        // Without a seat, which no number of tasks brings about, it would only be woken twice.
        let index = u32::try_from(self.waiting.len() - 1).ok();
        *seat = index.map(|index| Seat { round: self.round, index });
    }
}

#[cfg(test)]
mod tests;
