//! What a share group has got of one partition: the window of records in flight, kept by the partition's leader.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use milena_types::Offset;

use super::batch::{InFlightBatch, span};
use super::record::{InFlight, RecordState};

/// A share partition. How records are acquired and acknowledged is in the modules `acquire` and `acknowledge`.
#[derive(Clone, Debug)]
pub(crate) struct SharePartition {
    /// Everything below is done with: Kafka's SPSO.
    pub(super) start: Offset,
    /// The last offset in flight, or with none in flight the next one: Kafka's SPEO.
    pub(super) end: Offset,
    /// By their first offsets.
    pub(super) batches: BTreeMap<Offset, InFlightBatch>,
    /// No lock ends before this.
    pub(super) next_unlock: Option<Instant>,
}

/// What a share group allows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Limits {
    /// `share.partition.max.record.locks`: records in flight; whole batches may reach beyond it.
    pub(crate) records_max: i64,
    /// `share.delivery.count.limit`.
    pub(crate) deliveries_max: i16,
    /// `share.record.lock.duration.ms`.
    pub(crate) lock: Duration,
    /// `share.renew.acknowledge.enable`.
    pub(crate) may_renew: bool,
}

/// What a share coordinator keeps of records in flight.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct StoredRecords {
    pub(crate) first: Offset,
    pub(crate) last: Offset,
    pub(crate) state: RecordState,
    pub(crate) delivery_count: i16,
}

impl SharePartition {
    /// The window over a log that begins at `start`, with the records that were in flight before.
    ///
    /// What lies between those was acquired but never written down, and is delivered as if for the first time.
    pub(crate) fn load(start: Offset, stored: &[StoredRecords]) -> Self {
        let mut loaded = Self { start, end: start, batches: BTreeMap::new(), next_unlock: None };
        let mut next = start;
        for records in stored {
            if records.first > next {
                let before = Offset::new(records.first.get() - 1).unwrap_or(next);
                let gap = InFlightBatch::new(next, before, InFlight::available(0));
                loaded.batches.insert(next, gap);
            }
            let record = InFlight::settled(records.state, records.delivery_count);
            let batch = InFlightBatch::new(records.first, records.last, record);
            loaded.batches.insert(records.first, batch);
            loaded.end = records.last;
            next = records.last.next();
        }
        loaded.advance();
        loaded
    }

    /// What is left of the window once its leader forgets it: deliveries that were not acknowledged do not count.
    pub(crate) fn unload(&self) -> Vec<StoredRecords> {
        let mut stored: Vec<StoredRecords> = Vec::new();
        for (first, last, record) in self.batches.values().flat_map(InFlightBatch::runs) {
            let is_acquired = record.state() == RecordState::Acquired;
            let state = if is_acquired { RecordState::Available } else { record.state() };
            let delivery_count = record.delivery_count() - i16::from(is_acquired);
            let first = first.max(self.start);
            if first > last || (state == RecordState::Available && delivery_count == 0) {
                continue;
            }
            match stored.last_mut() {
                Some(before)
                    if before.last.next() == first
                        && before.state == state
                        && before.delivery_count == delivery_count =>
                {
                    before.last = last;
                }
                _ => stored.push(StoredRecords { first, last, state, delivery_count }),
            }
        }
        stored
    }

    /// Everything below is done with.
    pub(crate) fn start(&self) -> Offset {
        self.start
    }

    /// From where the log is to be read for the next delivery.
    pub(crate) fn next_fetch_offset(&self) -> Offset {
        let Some(last) = self.batches.values().next_back().map(InFlightBatch::last) else {
            return self.end;
        };
        if self.start > last {
            return self.end;
        }
        let available = self.batches.values().find_map(InFlightBatch::first_available);
        available.unwrap_or(self.end.next())
    }

    /// Whether the next delivery may hold anything: a record that was in flight, or one more.
    pub(crate) fn may_acquire(&self, limits: &Limits) -> bool {
        self.next_fetch_offset() != self.end.next() || self.in_flight() < limits.records_max
    }

    /// How many offsets the window spans.
    pub(crate) fn in_flight(&self) -> i64 {
        if self.batches.is_empty() { 0 } else { span(self.start, self.end) }
    }

    /// The records in flight, by runs of those that are alike.
    pub(crate) fn records(&self) -> impl Iterator<Item = (Offset, Offset, &InFlight)> {
        self.batches.values().flat_map(InFlightBatch::runs)
    }

    /// How many records of the window are done with.
    pub(crate) fn done(&self) -> i64 {
        self.batches.values().map(|batch| batch.terminal_from(self.start)).sum()
    }

    /// When [`SharePartition::handle_timeout`] is due; it may find nothing to do.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.next_unlock
    }

    /// The log begins later: what was available below is gone.
    pub(crate) fn handle_log_start(&mut self, log_start: Offset) {
        if log_start <= self.start {
            return;
        }
        if self.batches.is_empty() {
            self.start = log_start;
            self.end = log_start;
            return;
        }
        let before = Offset::new(log_start.get() - 1).unwrap_or(self.start);
        let below = self.batches.range_mut(..log_start);
        for (_, batch) in below {
            batch.archive(self.start, before, RecordState::Available);
        }
        self.start = log_start;
        self.end = self.end.max(self.start);
    }

    /// Moves the start past everything at the beginning that is done with.
    pub(super) fn advance(&mut self) -> bool {
        if !self.is_start_done() {
            return false;
        }
        let mut done_until = None;
        for batch in self.batches.values() {
            let (until, is_whole) = batch.terminal_until();
            done_until = until.or(done_until);
            if !is_whole {
                break;
            }
        }
        let Some(done_until) = done_until else { return false };
        let last = self.batches.values().next_back().map(InFlightBatch::last);
        if last == Some(done_until) {
            self.start = done_until.next();
            self.end = done_until.next();
            self.batches.clear();
            self.next_unlock = None;
            return true;
        }
        // What follows is the next batch, or the rest of the one that is partly done.
        let later = self.batches.split_off(&done_until.next());
        let partly = self.batches.pop_last().filter(|(_, batch)| batch.last() > done_until);
        let next = match &partly {
            Some(_) => Some(done_until.next()),
            None => later.keys().next().copied(),
        };
        self.start = self.start.max(next.unwrap_or(self.start));
        self.batches = later;
        self.batches.extend(partly);
        true
    }

    fn is_start_done(&self) -> bool {
        let Some((_, batch)) = self.batches.range(..=self.start).next_back() else { return false };
        let record = batch.whole().or_else(|| batch.at(self.start));
        record.is_some_and(|record| record.state().is_terminal())
    }
}

#[cfg(test)]
mod tests;
