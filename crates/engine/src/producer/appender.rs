//! Many records of one topic in a row.

use std::fmt;
use std::sync::{Arc, MutexGuard};
use std::time::Instant;

use milena_records::batch::HEADER_BYTES;
use milena_records::{BatchBuilder, Header};

use super::accumulator::{Accumulator, Refused};
use super::assign::Assigned;
use super::delivery::{BatchResult, Delivery};
use super::memory::Grant;
use super::queue::{OpenBatch, PartitionQueue, QueueState};
use super::record::{NewRecord, Own};
use super::topic::TopicQueues;
use super::watch::{Watch, Watchers};
use crate::{Error, Operation};

/// Appends records of one topic; made by [`Accumulator::appender`].
///
/// It holds the lock of the partition that took the last record for as long as the next ones go there too, for a few
/// hundred records at most. So it must not be kept while anything is waited for: [`end`](Self::end) it first.
#[must_use = "`end` tells whether the driver must be woken"]
pub struct Appender<'q> {
    accumulator: &'q Accumulator,
    topic: &'q TopicQueues,
    held: Option<Held<'q>>,
    wake: bool,
}

/// A partition whose lock is held.
struct Held<'q> {
    queue: &'q Arc<PartitionQueue>,
    state: MutexGuard<'q, QueueState>,
    /// How many more records it may be held for.
    records_left: u32,
    /// Whether a batch was opened or filled, so that the driver is to be told.
    has_news: bool,
}

/// The place that a record was given.
#[derive(Clone, Copy)]
pub struct Placed<'a> {
    pub(super) batch: &'a Arc<BatchResult>,
    pub(super) record: u32,
    pub(super) own: Own,
}

impl Placed<'_> {
    /// Resolves when the record's fate is known.
    #[inline]
    pub fn to_delivery(self) -> Delivery {
        Delivery::new(Arc::clone(self.batch), self.record, self.own)
    }
}

impl fmt::Debug for Placed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Placed").field("record", &self.record).finish_non_exhaustive()
    }
}

impl<'q> Appender<'q> {
    #[inline]
    pub(super) fn new(accumulator: &'q Accumulator, topic: &'q TopicQueues) -> Self {
        Self { accumulator, topic, held: None, wake: false }
    }

    /// As [`Accumulator::try_append_watched`]; a grant that is not used up stays.
    ///
    /// # Errors
    /// As there. The lock is free again then.
    #[inline]
    pub fn append<'a, H>(
        &mut self,
        record: &NewRecord<'a, H>,
        watch: &mut Watch,
        grant: &mut Option<Grant>,
        clock: impl Fn() -> Instant,
    ) -> Result<Placed<'_>, Refused>
    where
        H: IntoIterator<Item = Header<'a>, IntoIter: Clone> + Clone,
    {
        let appended = self.place(record, watch, grant, clock);
        if appended.is_err() {
            self.release();
        }
        let (record_index, own) = (appended?, Own::of(record));
        match self.held.as_ref().and_then(|held| held.state.open_result()) {
            Some(batch) => Ok(Placed { batch, record: record_index, own }),
            // It was appended to the open batch of the partition that is held.
            None => Err(Refused::UnknownPartition),
        }
    }

    /// Lets go of the lock; says whether the driver must be woken.
    #[inline]
    pub fn end(mut self) -> bool {
        self.release();
        self.wake
    }

    /// Appends the record, and returns its place in the open batch of the partition that is held then.
    fn place<'a, H>(
        &mut self,
        record: &NewRecord<'a, H>,
        watch: &mut Watch,
        grant: &mut Option<Grant>,
        clock: impl Fn() -> Instant,
    ) -> Result<u32, Refused>
    where
        H: IntoIterator<Item = Header<'a>, IntoIter: Clone> + Clone,
    {
        let accumulator = self.accumulator;
        let bytes = record.bytes_bound();
        if accumulator.assigner.is_foreign() {
            // A user's partitioner may do anything, even send.
            self.release();
        }
        loop {
            let assigned = accumulator.assigner.assign(self.topic, record);
            let Assigned { partition, is_sticky } =
                assigned.map_err(|refused| accumulator.unless_closed(refused))?;
            let topic = self.topic;
            let held = self.hold(partition)?;
            if is_sticky && !topic.sticky.is_current(partition) {
                continue;
            }
            // Before the open batch, too: with a small `max.request.size` it may have more room than a request.
            let batch_of_one = bytes + HEADER_BYTES;
            let too_large = || {
                let (max, key) = (accumulator.record_bytes_max, accumulator.limit_key());
                Error::record_too_large(batch_of_one, max, key).during(Operation::Send)
            };
            if batch_of_one > accumulator.record_bytes_max {
                let error = too_large().with_partition(&held.queue.partition);
                return Err(Refused::Failed(error));
            }
            if let Some(index) = held.state.add(record, bytes, accumulator.batch_bytes, watch) {
                if is_sticky {
                    held.state.sticky_bytes += bytes;
                    // Lingering batches leave before they are full; the partition is left all the same.
                    if held.state.sticky_bytes >= 2 * accumulator.batch_bytes {
                        held.leave(accumulator, topic, partition);
                    }
                }
                return Ok(index);
            }

            held.has_news |= held.queue.close_open(&mut held.state);
            // KIP-794: a partition is left when it has had its share, and no batch is left behind half full.
            if is_sticky
                && held.state.sticky_bytes > 0
                && held.state.sticky_bytes + batch_of_one >= accumulator.batch_bytes
            {
                held.leave(accumulator, topic, partition);
                continue;
            }
            let bytes_needed = batch_of_one.max(accumulator.batch_bytes);
            let reserved = match grant {
                Some(Grant(reserved)) if reserved.bytes() >= bytes_needed => {
                    grant.take().map(|grant| grant.0)
                }
                _ => accumulator.memory.try_reserve(bytes_needed),
            };
            let Some(reserved) = reserved else {
                accumulator.assigner.give_back(topic);
                return Err(Refused::NoRoom { bytes: bytes_needed });
            };
            let batch = OpenBatch {
                builder: BatchBuilder::new(accumulator.pool.take(bytes_needed)),
                result: Arc::new(BatchResult::new(
                    held.queue.partition.clone(),
                    Arc::clone(&accumulator.counters),
                )),
                watchers: Watchers::default(),
                opened: clock(),
                reserved,
            };
            let Some(index) = held.state.open(batch, record, watch) else {
                return Err(Refused::Failed(too_large()));
            };
            if is_sticky {
                held.state.sticky_bytes += bytes;
            }
            topic.deepen(held.queue);
            held.has_news = true;
            return Ok(index);
        }
    }

    /// Holds the lock of `partition`, and of no other.
    #[inline]
    fn hold(&mut self, partition: i32) -> Result<&mut Held<'q>, Refused> {
        let is_held = self.held.as_mut().is_some_and(|held| held.goes_on(partition));
        if !is_held {
            self.release();
            let queue = self.topic.queue_in_use(partition);
            let free = queue.map(|queue| (queue, queue.lock()));
            let Some((queue, state)) = free.filter(|(_, state)| !state.is_closed) else {
                return Err(self.accumulator.unless_closed(Refused::UnknownPartition));
            };
            let records_left = RECORDS_HELD_MAX;
            self.held = Some(Held { queue, state, records_left, has_news: false });
        }
        self.held.as_mut().ok_or(Refused::UnknownPartition)
    }

    #[inline]
    fn release(&mut self) {
        if let Some(Held { queue, state, has_news, .. }) = self.held.take() {
            drop(state);
            // Who appends more than is sent is to wait for the driver, which he does where he wakes it.
            self.wake |=
                has_news && (self.accumulator.notice(queue) || self.accumulator.is_pressed());
        }
    }
}

impl Held<'_> {
    #[inline]
    fn goes_on(&mut self, partition: i32) -> bool {
        self.records_left = self.records_left.saturating_sub(1);
        self.records_left > 0 && self.queue.partition.partition == partition
    }

    /// The topic's records without key go elsewhere from here on.
    fn leave(&mut self, accumulator: &Accumulator, topic: &TopicQueues, partition: i32) {
        self.state.sticky_bytes = 0;
        accumulator.assigner.switch(topic, partition);
    }
}

impl fmt::Debug for Appender<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Appender").field("topic", &self.topic.name).finish_non_exhaustive()
    }
}

/// Others wait for the lock meanwhile: 5 to 10 microseconds for records of 100 bytes.
const RECORDS_HELD_MAX: u32 = 256;
