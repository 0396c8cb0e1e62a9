//! Neighbouring records in flight, tracked as one while they share their fate (Kafka's `InFlightBatch`).

use std::ops::RangeInclusive;

use milena_types::Offset;

use super::record::{InFlight, RecordState};

/// Records that were acquired together. Offsets without a record, in compacted batches, count as records.
#[derive(Clone, Debug)]
pub(crate) struct InFlightBatch {
    first: Offset,
    /// In the order of their offsets, without gaps; never empty.
    runs: Vec<Run>,
    /// Whether the records were once told apart. Kafka then hands them out one by one for good.
    is_split: bool,
}

/// Neighbours that are alike.
#[derive(Clone, Debug)]
struct Run {
    last: Offset,
    record: InFlight,
}

impl InFlightBatch {
    /// Records that are all alike.
    pub(crate) fn new(first: Offset, last: Offset, record: InFlight) -> Self {
        Self { first, runs: vec![Run { last, record }], is_split: false }
    }

    pub(crate) fn first(&self) -> Offset {
        self.first
    }

    pub(crate) fn last(&self) -> Offset {
        self.runs.last().map_or(self.first, |run| run.last)
    }

    /// How many records, gaps among them.
    pub(crate) fn len(&self) -> i64 {
        span(self.first, self.last())
    }

    pub(crate) fn is_within(&self, first: Offset, last: Offset) -> bool {
        self.first >= first && self.last() <= last
    }

    /// The state of all its records, as long as they were never told apart.
    pub(crate) fn whole(&self) -> Option<&InFlight> {
        if self.is_split { None } else { self.runs.first().map(|run| &run.record) }
    }

    /// Likewise, to be changed.
    pub(crate) fn whole_mut(&mut self) -> Option<&mut InFlight> {
        if self.is_split { None } else { self.runs.first_mut().map(|run| &mut run.record) }
    }

    /// From now on its records are told apart.
    pub(crate) fn split(&mut self) {
        self.is_split = true;
    }

    /// The record at an offset.
    pub(crate) fn at(&self, offset: Offset) -> Option<&InFlight> {
        let run = self.runs.iter().find(|run| run.last >= offset)?;
        (offset >= self.first).then_some(&run.record)
    }

    /// Runs of records that are alike: their first and last offset.
    pub(crate) fn runs(&self) -> impl DoubleEndedIterator<Item = (Offset, Offset, &InFlight)> {
        let starts = std::iter::once(self.first).chain(self.runs.iter().map(|run| run.last.next()));
        let starts: Vec<_> = starts.take(self.runs.len()).collect();
        starts.into_iter().zip(&self.runs).map(|(first, run)| (first, run.last, &run.record))
    }

    /// Likewise, cut to a range.
    pub(crate) fn runs_within(
        &self,
        range: RangeInclusive<Offset>,
    ) -> impl Iterator<Item = (Offset, Offset, &InFlight)> {
        let (from, to) = range.into_inner();
        let cut =
            move |(first, last, record)| (Offset::max(first, from), Offset::min(last, to), record);
        self.runs().map(cut).filter(|(first, last, _)| first <= last)
    }

    /// Changes the records of a range, which lies in the batch; neighbours that are alike after it are one run again.
    pub(crate) fn change(&mut self, first: Offset, last: Offset, change: impl Fn(&mut InFlight)) {
        let mut runs: Vec<Run> = Vec::with_capacity(self.runs.len() + 2);
        let mut start = self.first;
        for run in self.runs.drain(..) {
            let (from, to) = (start.max(first), run.last.min(last));
            start = run.last.next();
            if from > to {
                push(&mut runs, run);
                continue;
            }
            let run_first = runs.last().map_or(self.first, |run| run.last.next());
            if run_first < from {
                let before = Offset::new(from.get() - 1).unwrap_or_default();
                push(&mut runs, Run { last: before, record: run.record.clone() });
            }
            let mut record = run.record.clone();
            change(&mut record);
            push(&mut runs, Run { last: to, record });
            if to < run.last {
                push(&mut runs, run);
            }
        }
        self.runs = runs;
    }

    /// How many records from `from` on are done with.
    pub(crate) fn terminal_from(&self, from: Offset) -> i64 {
        let runs = self.runs_within(from..=self.last());
        let terminal = runs.filter(|(_, _, record)| record.state().is_terminal());
        terminal.map(|(first, last, _)| span(first, last)).sum()
    }

    /// The last offset of those at its beginning that are done with, and whether all are.
    pub(crate) fn terminal_until(&self) -> (Option<Offset>, bool) {
        let mut until = None;
        for (_, last, record) in self.runs() {
            if !record.state().is_terminal() {
                return (until, false);
            }
            until = Some(last);
        }
        (until, true)
    }

    /// The first of its records that may be acquired.
    pub(crate) fn first_available(&self) -> Option<Offset> {
        let mut available = self.runs().filter(|(_, _, record)| record.is_available());
        available.next().map(|(first, ..)| first)
    }

    /// Gives up the records of a range that are in this state; true if there were any.
    pub(crate) fn archive(&mut self, first: Offset, last: Offset, from: RecordState) -> bool {
        let (first, last) = (first.max(self.first), last.min(self.last()));
        let has_any = self.runs_within(first..=last).any(|(_, _, record)| record.state() == from);
        if !has_any {
            return false;
        }
        if !self.is_within(first, last) {
            self.split();
        }
        self.change(first, last, |record| {
            if record.state() == from {
                record.settle(RecordState::Archived);
            }
        });
        true
    }
}

/// How many offsets lie from `first` to `last`, both counted.
pub(super) fn span(first: Offset, last: Offset) -> i64 {
    last.get().saturating_sub(first.get()).saturating_add(1).max(0)
}

fn push(runs: &mut Vec<Run>, run: Run) {
    match runs.last_mut() {
        Some(before) if before.record == run.record => before.last = run.last,
        _ => runs.push(run),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(offset: i64) -> Offset {
        Offset::new(offset).expect("not negative")
    }

    fn states(batch: &InFlightBatch) -> Vec<(i64, i64, RecordState)> {
        batch.runs().map(|(first, last, r)| (first.get(), last.get(), r.state())).collect()
    }

    #[test]
    fn a_change_cuts_runs_and_joins_equal_ones() {
        use RecordState::{Archived, Available};
        let mut batch = InFlightBatch::new(at(10), at(19), InFlight::available(1));
        let archive = |record: &mut InFlight| *record = InFlight::settled(Archived, 1);
        batch.change(at(12), at(13), archive);
        assert_eq!(states(&batch), [(10, 11, Available), (12, 13, Archived), (14, 19, Available)]);
        batch.change(at(14), at(19), archive);
        assert_eq!(states(&batch), [(10, 11, Available), (12, 19, Archived)]);
        batch.change(at(10), at(10), archive);
        assert_eq!(states(&batch), [(10, 10, Archived), (11, 11, Available), (12, 19, Archived)]);
        batch.change(at(11), at(11), archive);
        assert_eq!(states(&batch), [(10, 19, Archived)]);
    }

    #[test]
    fn what_is_done_with_is_counted_from_an_offset_on() {
        let mut batch = InFlightBatch::new(at(0), at(9), InFlight::available(1));
        assert!(batch.archive(at(0), at(3), RecordState::Available));
        assert!(!batch.archive(at(0), at(3), RecordState::Available));
        assert_eq!(batch.terminal_from(at(2)), 2);
        assert_eq!(batch.terminal_until(), (Some(at(3)), false));
        assert_eq!(batch.first_available(), Some(at(4)));
        assert!(batch.whole().is_none());
        assert_eq!(batch.at(at(3)).map(InFlight::state), Some(RecordState::Archived));
        assert_eq!(batch.at(at(10)), None);
    }
}
