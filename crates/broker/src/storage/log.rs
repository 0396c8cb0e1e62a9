//! The batches of one partition, in the order of their offsets.

use std::collections::VecDeque;

use milena_types::{LeaderEpoch, Offset, Timestamp};

use super::batch::Batch;
use super::compact::Compacted;
use super::epochs::{EpochEnd, Epochs};
use super::segments::SegmentConfig;

/// A partition's log. Batches hold slices of the frames they came in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log {
    pub(super) batches: VecDeque<Batch>,
    start: Offset,
    end: Offset,
    pub(super) bytes: u64,
    epochs: Epochs,
    pub(super) compacted: Compacted,
}

impl Log {
    /// Appends the batch at the end and returns the offset of its first record.
    pub(crate) fn append(&mut self, mut batch: Batch, leader_epoch: LeaderEpoch) -> Offset {
        let base = self.end;
        batch.place(base, leader_epoch);
        self.epochs.note(leader_epoch, base);
        self.end = batch.last_offset().next();
        self.bytes += batch.bytes() as u64;
        self.batches.push_back(batch);
        base
    }

    /// Puts a batch back that was in a log before, where it was.
    pub(crate) fn restore(&mut self, batch: Batch) {
        if let Some(epoch) = batch.leader_epoch() {
            self.epochs.note(epoch, batch.base_offset());
        }
        self.end = batch.last_offset().next();
        self.bytes += batch.bytes() as u64;
        self.batches.push_back(batch);
    }

    /// Puts back what the batches that are left do not tell: a log may begin, and end, where none of them does.
    pub(crate) fn restore_bounds(&mut self, start: Offset, end: Offset, epochs: Epochs) {
        self.end = end.max(self.end);
        self.delete_before(start);
        self.epochs = epochs;
    }

    pub(crate) fn epochs(&self) -> &Epochs {
        &self.epochs
    }

    /// The first offset that can be read.
    pub(crate) fn start(&self) -> Offset {
        self.start
    }

    /// The offset that the next record gets.
    pub(crate) fn end(&self) -> Offset {
        self.end
    }

    /// A leader takes over.
    pub(crate) fn begin_epoch(&mut self, epoch: LeaderEpoch) {
        self.epochs.note(epoch, self.end());
    }

    pub(crate) fn batches(&self) -> impl DoubleEndedIterator<Item = &Batch> {
        self.batches.iter()
    }

    /// The batches from the one that holds `from` up to those that begin before `until`, as many as fit into
    /// `bytes_max`; the first one also where it does not fit, if `first_whole`.
    pub(crate) fn read(
        &self,
        from: Offset,
        until: Offset,
        bytes_max: usize,
        first_whole: bool,
    ) -> impl Iterator<Item = &Batch> {
        let mut room = bytes_max;
        let mut is_first = true;
        self.batches.range(self.index_of(from)..).take_while(move |batch| {
            let fits = batch.bytes() <= room || (is_first && first_whole);
            room = room.saturating_sub(batch.bytes());
            is_first = false;
            fits && batch.base_offset() < until
        })
    }

    /// How many bytes a read could return, counted no further than `enough`.
    pub(crate) fn bytes_between(&self, from: Offset, until: Offset, enough: usize) -> usize {
        let mut sum = 0;
        for batch in self.batches.range(self.index_of(from)..) {
            if batch.base_offset() >= until || sum >= enough {
                break;
            }
            sum += batch.bytes();
        }
        sum
    }

    /// The epoch of the leader that wrote at `offset`.
    pub(crate) fn epoch_at(&self, offset: Offset) -> Option<LeaderEpoch> {
        self.epochs.at(offset)
    }

    /// How far `asked` reaches in this log, whose leader now writes with `current`.
    pub(crate) fn end_of_epoch(
        &self,
        asked: LeaderEpoch,
        current: LeaderEpoch,
    ) -> Option<EpochEnd> {
        self.epochs.end_of(asked, current, self.end)
    }

    /// The batches below `until` with a record at or after `timestamp`, be that record deleted. A marker counts as a record.
    pub(crate) fn batches_at_time(
        &self,
        timestamp: Timestamp,
        until: Offset,
    ) -> impl Iterator<Item = &Batch> {
        self.batches
            .iter()
            .take_while(move |batch| batch.base_offset() < until)
            .filter(move |batch| batch.max_timestamp() >= Some(timestamp))
    }

    /// The first batch that holds the largest timestamp of all below `until`.
    pub(crate) fn batch_of_max_timestamp(&self, until: Offset) -> Option<&Batch> {
        let readable = self.batches.iter().take_while(|batch| batch.base_offset() < until);
        readable.fold(None, |best: Option<&Batch>, batch| match best {
            Some(best) if best.max_timestamp() >= batch.max_timestamp() => Some(best),
            _ => Some(batch),
        })
    }

    /// Cuts off every batch that reaches to `end` or beyond.
    pub(crate) fn truncate(&mut self, end: Offset) {
        while let Some(batch) = self.batches.back().filter(|batch| batch.last_offset() >= end) {
            self.bytes = self.bytes.saturating_sub(batch.bytes() as u64);
            self.end = batch.base_offset();
            self.batches.pop_back();
        }
        // What is cut off may be a gap that compaction left.
        let left = self.batches.back().map_or(self.start, |last| last.last_offset().next());
        self.end = self.end.min(end.max(left));
        self.compacted.truncate(self.end);
        self.start = self.start.min(self.end);
        self.epochs.truncate(self.end);
    }

    /// Makes everything below `start` unreadable and drops the batches that lie wholly below.
    pub(crate) fn delete_before(&mut self, start: Offset) {
        self.start = start.clamp(self.start, self.end);
        while let Some(batch) =
            self.batches.front().filter(|batch| batch.last_offset() < self.start)
        {
            self.bytes = self.bytes.saturating_sub(batch.bytes() as u64);
            self.batches.pop_front();
        }
        self.epochs.trim(self.start);
    }

    /// Where the log would start if it kept at most `bytes_max`, never past `until`.
    ///
    /// Kafka deletes whole segments; here it is batches, as what is kept is kept in memory.
    pub(crate) fn starts_within(&self, bytes_max: u64, until: Offset) -> Offset {
        let mut surplus = self.bytes.saturating_sub(bytes_max);
        let mut start = self.start;
        for batch in &self.batches {
            if batch.last_offset() >= until || surplus < batch.bytes() as u64 {
                break;
            }
            surplus -= batch.bytes() as u64;
            start = batch.last_offset().next();
        }
        start
    }

    /// Where the log would start without its first segments of which all records are older than `oldest`, never past `until`.
    ///
    /// A segment without times has the age of its file in Kafka; here it has none, and only its size deletes it.
    pub(crate) fn starts_after(
        &self,
        oldest: Timestamp,
        segments: SegmentConfig,
        until: Offset,
    ) -> Offset {
        let is_old = |at: Timestamp| at < oldest;
        let old = self.segments(segments).take_while(|segment| {
            segment.last_offset < until && segment.max_timestamp.is_some_and(is_old)
        });
        old.last().map_or(self.start, |segment| segment.last_offset.next())
    }

    fn index_of(&self, offset: Offset) -> usize {
        self.batches.partition_point(|batch| batch.last_offset() < offset)
    }
}
