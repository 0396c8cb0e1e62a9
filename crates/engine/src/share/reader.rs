//! The user's half: acquired bytes become records in his task, when he asks for them.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Instant;

use milena_records::batch::Records;
use milena_records::{BufferPool, Decompressor, Limits, RecordSet, SharedRecord};
use milena_types::{ApiKey, ErrorCode, TopicPartition};

use super::acknowledge::Acknowledge;
use super::buffer::{Acquired, AcquiredRange, ShareBuffer};
use super::ledger::AcquisitionId;
use crate::error::{Error, Operation};

/// Takes what was acquired from a [`ShareBuffer`] and decodes it; the user's task owns it.
#[derive(Debug)]
pub struct ShareReader {
    buffer: Arc<ShareBuffer>,
    check_crcs: bool,
    decompressor: Decompressor,
    open: Option<Open>,
}

/// A record in the user's hand.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Delivered {
    /// Where it is from.
    pub partition: TopicPartition,
    /// The record.
    pub record: SharedRecord,
    /// How often it has been delivered, this time included.
    pub delivery_count: u16,
    /// By what it is acknowledged, with its partition and offset.
    pub acquisition: AcquisitionId,
    /// When its lock runs out, by this client's clock.
    pub locked_until: Instant,
}

/// What is being read.
#[derive(Debug)]
struct Open {
    id: AcquisitionId,
    partition: TopicPartition,
    set: RecordSet,
    ranges: VecDeque<AcquiredRange>,
    /// The batch that was read last, up to its last offset.
    batch: Option<(Records, i64)>,
}

/// What the next step of reading came to.
enum Step {
    Record(SharedRecord, u16),
    /// Nothing to hand out, but there may be more.
    Passed,
    End,
}

impl ShareReader {
    /// Reads from `buffer`.
    pub fn new(buffer: Arc<ShareBuffer>, check_crcs: bool, limits: Limits) -> Self {
        let pool = BufferPool::new(BUFFERS_MAX, BUFFER_BYTES_MAX);
        Self { buffer, check_crcs, decompressor: Decompressor::new(limits, pool), open: None }
    }

    /// The next record, which is in the user's hand from here on; `None` if there is none now.
    ///
    /// Offsets without a record are acknowledged as gaps on the way. Records whose lock ran out while they waited are
    /// left out: they go to someone else.
    ///
    /// # Errors
    /// Bytes that are no records, with partition and cause; the next call goes on behind that batch. Where its checksum is
    /// right its records are rejected, so that they come to nobody again; else they are released, and may come whole.
    pub fn poll(&mut self) -> Result<Option<Delivered>, Error> {
        loop {
            let Some(open) = &mut self.open else {
                let Some(acquired) = self.buffer.take() else { return Ok(None) };
                self.open = Some(Open::new(acquired));
                continue;
            };
            match open.step(&self.buffer, &mut self.decompressor, self.check_crcs)? {
                Step::Passed => {}
                Step::End => self.open = None,
                Step::Record(record, delivery_count) => {
                    let acquisition = open.id;
                    let offset = record.offset().get();
                    match self.buffer.hand_out(acquisition, &open.partition, offset) {
                        None => self.open = None,
                        Some(locked_until) => {
                            let partition = open.partition.clone();
                            return Ok(Some(Delivered {
                                partition,
                                record,
                                delivery_count,
                                acquisition,
                                locked_until,
                            }));
                        }
                    }
                }
            }
        }
    }
}

impl Open {
    fn new(acquired: Acquired) -> Self {
        let Acquired { id, partition, records, ranges } = acquired;
        Self { id, partition, set: RecordSet::new(records), ranges, batch: None }
    }

    fn step(
        &mut self,
        buffer: &ShareBuffer,
        decompressor: &mut Decompressor,
        check_crcs: bool,
    ) -> Result<Step, Error> {
        let Some((records, last)) = &mut self.batch else {
            return self.next_batch(buffer, decompressor, check_crcs);
        };
        let last = *last;
        match records.next() {
            None => {
                self.batch = None;
                Ok(Step::Passed)
            }
            Some(Ok(record)) => {
                let offset = record.offset().get();
                match self.pass(buffer, offset) {
                    Some(delivery_count) => Ok(Step::Record(record, delivery_count)),
                    None => Ok(Step::Passed),
                }
            }
            Some(Err(error)) => {
                self.batch = None;
                Err(self.reject(buffer, last, error))
            }
        }
    }

    fn next_batch(
        &mut self,
        buffer: &ShareBuffer,
        decompressor: &mut Decompressor,
        check_crcs: bool,
    ) -> Result<Step, Error> {
        let Some(first) = self.ranges.front().map(|range| *range.offsets.start()) else {
            return Ok(Step::End);
        };
        let Some(batch) = self.set.next() else {
            // What lies before a batch that the answer cut off is in none; what lies behind its beginning may be in it.
            let cut_off = match self.set.trailing_bytes() {
                0 => i64::MAX,
                _ => self.set.next_offset().unwrap_or(first),
            };
            if first < cut_off {
                self.settle(buffer, first..=cut_off - 1, Acknowledge::Gap);
            }
            self.settle(buffer, cut_off..=i64::MAX, Acknowledge::Release);
            return Ok(Step::End);
        };
        let batch = batch.map_err(|error| self.damaged(buffer, i64::MAX, error))?;
        // Before anything of the header is believed: with one bit changed, records are a marker, or end elsewhere.
        if check_crcs && let Err(error) = batch.verify() {
            // The bytes say where the next one begins; the last one takes the rest with it.
            let last = self.set.next_offset().map_or(i64::MAX, |next| next.saturating_sub(1));
            if last < first {
                // It is of others, or done with.
                return Ok(Step::Passed);
            }
            return Err(self.damaged(buffer, last, error));
        }
        let last = batch.last_offset().get();
        if last < first {
            return Ok(Step::Passed);
        }
        // Control records are not handed out: their offsets are gaps.
        if batch.is_control() {
            return Ok(Step::Passed);
        }
        match batch.decode_unverified(decompressor) {
            Ok(decoded) => {
                self.batch = Some((decoded.into_records(), last));
                Ok(Step::Passed)
            }
            Err(error) => Err(self.reject(buffer, last, error)),
        }
    }

    /// Goes on to `offset`: what was acquired before it holds no record. Gives how often it has been delivered, if it is
    /// acquired itself.
    fn pass(&mut self, buffer: &ShareBuffer, offset: i64) -> Option<u16> {
        let first = *self.ranges.front()?.offsets.start();
        if first < offset {
            self.settle(buffer, first..=offset - 1, Acknowledge::Gap);
        }
        let range = self.ranges.front_mut()?;
        let delivery_count = range.delivery_count;
        if *range.offsets.start() != offset {
            return None;
        }
        if *range.offsets.end() == offset {
            self.ranges.pop_front();
        } else {
            range.offsets = offset + 1..=*range.offsets.end();
        }
        Some(delivery_count)
    }

    /// Releases what is acquired up to `last`: what was damaged on its way is whole the next time, and for what is damaged
    /// in the log the group's limit of deliveries is the end.
    fn damaged(&mut self, buffer: &ShareBuffer, last: i64, error: milena_records::Error) -> Error {
        self.give_up(buffer, last, Acknowledge::Release, error)
    }

    /// Rejects what is acquired up to `last`, or releases it where another member may be able to read it.
    fn reject(&mut self, buffer: &ShareBuffer, last: i64, error: milena_records::Error) -> Error {
        let is_ours = matches!(
            error,
            milena_records::Error::CodecDisabled(_)
                | milena_records::Error::UnknownCompression { .. }
                | milena_records::Error::UnknownMagic { .. }
                | milena_records::Error::DecompressedTooLarge { .. }
        );
        let what = if is_ours { Acknowledge::Release } else { Acknowledge::Reject };
        self.give_up(buffer, last, what, error)
    }

    fn give_up(
        &mut self,
        buffer: &ShareBuffer,
        last: i64,
        what: Acknowledge,
        error: milena_records::Error,
    ) -> Error {
        let done = if what == Acknowledge::Release { "released" } else { "rejected" };
        if let Some(range) = self.ranges.front()
            && *range.offsets.start() <= last
        {
            self.settle(buffer, *range.offsets.start()..=last, what);
        }
        Error::from_code(ApiKey::SHARE_FETCH, ErrorCode::CORRUPT_MESSAGE)
            .during(Operation::Fetch)
            .with_partition(&self.partition)
            .with_detail(format!("{error}; the records of this batch are {done}"))
            .because(error)
    }

    /// Says `what` of everything acquired in `span`, and goes on behind it.
    fn settle(&mut self, buffer: &ShareBuffer, span: RangeInclusive<i64>, what: Acknowledge) {
        let last = *span.end();
        buffer.settle(self.id, span, what);
        while let Some(range) = self.ranges.front_mut() {
            if *range.offsets.start() > last {
                break;
            }
            if *range.offsets.end() > last {
                range.offsets = last + 1..=*range.offsets.end();
                break;
            }
            self.ranges.pop_front();
        }
    }
}

/// Decompressed batches that may be in the user's hand at once without a fresh allocation each.
const BUFFERS_MAX: usize = 16;

/// Buffers above this size are not kept.
const BUFFER_BYTES_MAX: usize = 1 << 20;
