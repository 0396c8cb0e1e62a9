//! What became of many records, for those who wait for all of them.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use milena_types::Timestamp;

use super::appender::Placed;
use super::delivery::{BatchResult, Delivery, RecordMetadata, Seat};
use super::record::{Own, Sizes};
use crate::Error;

/// Resolves when the fate of every record of a call is known.
///
/// It holds a share of the result of each batch that took some of the records: memory goes with the batches, not with
/// the records. Dropping it is free and never takes a record back.
#[must_use = "records are known to be stored only once their deliveries resolve"]
#[derive(Default)]
pub struct Deliveries {
    runs: Vec<Run>,
    /// The run that is not settled yet, the record in it, and where its waker is.
    next: (usize, u32),
    seat: Option<Seat>,
}

/// Records in a row.
enum Run {
    /// In one batch, with one time.
    Placed { batch: Arc<BatchResult>, first: u32, records: u32, timestamp: Timestamp },
    /// Not admitted.
    Failed { records: u32, error: Error },
}

impl Deliveries {
    /// Of no record.
    pub const fn new() -> Self {
        Self { runs: Vec::new(), next: (0, 0), seat: None }
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        len(&self.runs)
    }

    /// Why the first record was not admitted that was not.
    pub fn refusal(&self) -> Option<&Error> {
        self.runs.iter().find_map(|run| match run {
            Run::Failed { error, .. } => Some(error),
            Run::Placed { .. } => None,
        })
    }

    /// Whether there is no record.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Adds a record that was appended.
    #[inline]
    pub fn place(&mut self, placed: Placed<'_>) {
        match self.runs.last_mut() {
            Some(Run::Placed { batch, first, records, timestamp })
                if Arc::ptr_eq(batch, placed.batch)
                    && *first + *records == placed.record
                    && *timestamp == placed.own.timestamp =>
            {
                *records += 1;
            }
            _ => self.begin(Arc::clone(placed.batch), placed.record, placed.own.timestamp),
        }
    }

    /// Adds a record that was appended on its own.
    pub fn push(&mut self, delivery: Delivery) {
        match delivery.into_parts() {
            Some((batch, first, timestamp)) => self.begin(batch, first, timestamp),
            None => self.fail(Error::misuse("a delivery must not be added once resolved")),
        }
    }

    /// Adds a record that was not admitted.
    pub fn fail(&mut self, error: Error) {
        self.runs.push(Run::Failed { records: 1, error });
    }

    fn begin(&mut self, batch: Arc<BatchResult>, first: u32, timestamp: Timestamp) {
        self.runs.push(Run::Placed { batch, first, records: 1, timestamp });
    }
}

impl Future for Deliveries {
    type Output = Outcomes;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcomes> {
        let this = self.get_mut();
        while let Some(run) = this.runs.get(this.next.0) {
            if let Run::Placed { batch, first, records, .. } = run {
                while this.next.1 < *records && !batch.is_settled_as_one() {
                    // Its result is asked for again when it is read.
                    let _ = ready!(batch.poll(first + this.next.1, &mut this.seat, cx));
                    this.next.1 += 1;
                }
            }
            this.next = (this.next.0 + 1, 0);
            this.seat = None;
        }
        Poll::Ready(Outcomes { runs: std::mem::take(&mut this.runs) })
    }
}

impl fmt::Debug for Deliveries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deliveries").field("records", &self.len()).finish_non_exhaustive()
    }
}

/// What became of each record of a call, in the order in which they were given.
#[must_use = "failures show here and nowhere else"]
pub struct Outcomes {
    runs: Vec<Run>,
}

impl Outcomes {
    /// How many records there are.
    pub fn len(&self) -> usize {
        len(&self.runs)
    }

    /// Whether there is no record.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Where each record was stored, or why it was not.
    pub fn iter(&self) -> impl Iterator<Item = Result<RecordMetadata, Error>> + '_ {
        self.runs.iter().flat_map(|run| (0..run.records()).map(|index| run.outcome(index)))
    }

    /// How many records were not stored, or may not have been.
    pub fn failures(&self) -> usize {
        self.runs.iter().map(Run::failures).sum()
    }

    /// Whether all is well.
    ///
    /// # Errors
    /// That of the first record that was not stored.
    pub fn into_result(self) -> Result<(), Error> {
        let failed = self.runs.iter().find(|run| run.failures() > 0);
        failed.map_or(Ok(()), |run| {
            let mut outcomes = (0..run.records()).map(|index| run.outcome(index));
            outcomes.find_map(Result::err).map_or(Ok(()), Err)
        })
    }
}

impl fmt::Debug for Outcomes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outcomes")
            .field("records", &self.len())
            .field("failures", &self.failures())
            .finish()
    }
}

impl Run {
    fn records(&self) -> u32 {
        match self {
            Self::Placed { records, .. } | Self::Failed { records, .. } => *records,
        }
    }

    fn outcome(&self, index: u32) -> Result<RecordMetadata, Error> {
        match self {
            Self::Placed { batch, first, timestamp, .. } => {
                let record = first + index;
                // Never: outcomes are made when all is settled.
                let outcome = batch.outcome(record).unwrap_or_else(|| Err(Error::closed()));
                // With them, records of different sizes could not share a run.
                let own = Own { timestamp: *timestamp, sizes: Sizes::UNKNOWN };
                Arc::clone(batch).metadata(record, own, outcome)
            }
            Self::Failed { error, .. } => Err(error.clone()),
        }
    }

    fn failures(&self) -> usize {
        let records = self.records();
        let failures = match self {
            Self::Placed { batch, first, .. } if batch.is_settled_as_one() => {
                if matches!(batch.outcome(*first), Some(Ok(_))) { 0 } else { records }
            }
            Self::Placed { .. } => {
                let failed = (0..records).filter(|&index| self.outcome(index).is_err());
                u32::try_from(failed.count()).unwrap_or(records)
            }
            Self::Failed { .. } => records,
        };
        usize::try_from(failures).unwrap_or(usize::MAX)
    }
}

fn len(runs: &[Run]) -> usize {
    runs.iter().map(|run| usize::try_from(run.records()).unwrap_or(usize::MAX)).sum()
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use milena_types::{Offset, TopicPartition};

    use super::super::delivery::Stored;
    use super::*;
    use crate::ErrorKind;

    fn batch() -> Arc<BatchResult> {
        Arc::new(BatchResult::new(TopicPartition::new("orders", 3), Arc::default()))
    }

    fn place(deliveries: &mut Deliveries, batch: &Arc<BatchResult>, record: u32, ms: i64) {
        deliveries.place(Placed { batch, record, own: own(ms) });
    }

    fn own(ms: i64) -> Own {
        Own { timestamp: Timestamp::from_millis(ms), sizes: Sizes::UNKNOWN }
    }

    fn poll(deliveries: &mut Deliveries) -> Poll<Outcomes> {
        Pin::new(deliveries).poll(&mut Context::from_waker(Waker::noop()))
    }

    fn stored(first: u32, offset: i64) -> Result<Stored, Error> {
        Ok(Stored { first, base_offset: Offset::new(offset), log_append_time: None })
    }

    #[test]
    fn records_of_one_batch_cost_one_entry() {
        let (one, two) = (batch(), batch());
        let mut deliveries = Deliveries::new();
        (0..1000).for_each(|record| place(&mut deliveries, &one, record, 7));
        (0..1000).for_each(|record| place(&mut deliveries, &two, record, 7));
        assert_eq!((deliveries.len(), deliveries.runs.len()), (2000, 2));
    }

    #[test]
    fn every_record_has_its_own_offset_and_time() {
        let (one, two) = (batch(), batch());
        let mut deliveries = Deliveries::new();
        place(&mut deliveries, &one, 4, 70);
        place(&mut deliveries, &one, 5, 71);
        place(&mut deliveries, &two, 0, 71);
        // Another sender had a record in between.
        place(&mut deliveries, &two, 2, 71);
        assert!(poll(&mut deliveries).is_pending());
        one.settle(0, 6, true, stored(0, 100));
        assert!(poll(&mut deliveries).is_pending());
        two.settle(0, 3, true, stored(0, 500));
        let Poll::Ready(outcomes) = poll(&mut deliveries) else { panic!("not resolved") };
        let known: Vec<_> = outcomes
            .iter()
            .map(|outcome| outcome.unwrap())
            .map(|stored| (stored.offset().unwrap().get(), stored.timestamp().millis()))
            .collect();
        assert_eq!(known, [(104, 70), (105, 71), (500, 71), (502, 71)]);
        assert_eq!((outcomes.len(), outcomes.failures()), (4, 0));
        assert!(outcomes.into_result().is_ok());
    }

    /// A batch that is split settles in parts: neither early nor as a whole.
    #[test]
    fn a_split_batch_settles_record_by_record() {
        let one = batch();
        let mut deliveries = Deliveries::new();
        (0..4).for_each(|record| place(&mut deliveries, &one, record, 7));
        deliveries.fail(Error::new(ErrorKind::BufferFull));
        one.settle(2, 2, false, Err(Error::new(ErrorKind::Timeout)));
        assert!(poll(&mut deliveries).is_pending());
        one.settle(0, 2, false, stored(0, 100));
        let Poll::Ready(outcomes) = poll(&mut deliveries) else { panic!("not resolved") };
        let kinds: Vec<_> = outcomes.iter().map(|o| o.err().map(|e| e.kind())).collect();
        let (late, full) = (Some(ErrorKind::Timeout), Some(ErrorKind::BufferFull));
        assert_eq!(kinds, [None, None, late, late, full]);
        assert_eq!(outcomes.failures(), 3);
        assert_eq!(outcomes.into_result().unwrap_err().kind(), ErrorKind::Timeout);
    }

    #[test]
    fn the_first_refusal_is_told_at_once() {
        let mut deliveries = Deliveries::new();
        assert!(deliveries.is_empty() && deliveries.refusal().is_none());
        place(&mut deliveries, &batch(), 0, 7);
        assert!(!deliveries.is_empty() && deliveries.refusal().is_none());
        deliveries.fail(Error::new(ErrorKind::BufferFull));
        deliveries.fail(Error::new(ErrorKind::Timeout));
        assert_eq!(deliveries.refusal().unwrap().kind(), ErrorKind::BufferFull);
        assert_eq!(deliveries.len(), 3);
    }

    /// Records that were sent one by one are awaited as those that were sent together.
    #[test]
    fn a_delivery_of_its_own_can_be_added() {
        let one = batch();
        let mut deliveries = Deliveries::new();
        deliveries.push(Delivery::new(Arc::clone(&one), 3, own(7)));
        let mut resolved = Delivery::new(Arc::clone(&one), 4, own(7));
        one.settle(0, 5, true, stored(0, 100));
        let _ = Pin::new(&mut resolved).poll(&mut Context::from_waker(Waker::noop()));
        deliveries.push(resolved);
        let Poll::Ready(outcomes) = poll(&mut deliveries) else { panic!("not resolved") };
        let known: Vec<_> = outcomes.iter().map(|o| o.map(|m| m.offset())).collect();
        assert_eq!(*known[0].as_ref().unwrap(), Offset::new(103));
        assert_eq!(known[1].as_ref().unwrap_err().kind(), ErrorKind::Misuse);
        assert!(!outcomes.is_empty());
        assert_eq!((outcomes.len(), outcomes.failures()), (2, 1));
    }

    #[test]
    fn a_batch_that_failed_as_one_fails_each_of_its_records() {
        let one = batch();
        let mut deliveries = Deliveries::new();
        (0..4).for_each(|record| place(&mut deliveries, &one, record, 7));
        one.settle(0, 4, true, Err(Error::new(ErrorKind::Timeout)));
        let Poll::Ready(outcomes) = poll(&mut deliveries) else { panic!("not resolved") };
        assert_eq!(outcomes.failures(), 4);
        assert!(outcomes.iter().all(|outcome| outcome.is_err()));
    }

    /// What is well comes before and after it.
    #[test]
    fn the_result_of_all_is_that_of_the_first_that_failed() {
        let [one, two, three] = [batch(), batch(), batch()];
        let mut deliveries = Deliveries::new();
        for (batch, outcome) in [
            (&one, stored(0, 100)),
            (&two, Err(Error::new(ErrorKind::Timeout))),
            (&three, Err(Error::new(ErrorKind::BufferFull))),
            (&one, stored(0, 100)),
        ] {
            place(&mut deliveries, batch, 0, 7);
            batch.settle(0, 1, true, outcome);
        }
        let Poll::Ready(outcomes) = poll(&mut deliveries) else { panic!("not resolved") };
        assert_eq!((outcomes.len(), outcomes.failures()), (4, 2));
        assert_eq!(outcomes.into_result().unwrap_err().kind(), ErrorKind::Timeout);
    }

    #[test]
    fn nothing_sent_is_done_at_once() {
        let Poll::Ready(outcomes) = poll(&mut Deliveries::new()) else { panic!("not resolved") };
        assert!(outcomes.is_empty() && outcomes.into_result().is_ok());
    }
}
