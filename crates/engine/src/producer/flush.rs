//! Who waits for what was appended so far.

use std::collections::BTreeMap;

use super::batch::BatchId;
use crate::Error;

/// Names a flush; comes back when it is done.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct FlushId(u64);

/// Batches whose records have no result yet, and the flushes that wait for them.
#[derive(Debug, Default)]
pub(super) struct Unsettled {
    /// By batch, how many parts of it; more than one where it was split.
    parts: BTreeMap<BatchId, usize>,
    next_batch: u64,
    /// Each with the first batch that it does not wait for.
    flushes: Vec<(FlushId, BatchId)>,
    next_flush: u64,
    /// Why records failed, the first of them since anyone asked.
    failure: Option<Error>,
}

impl Unsettled {
    /// Numbers a batch that was taken.
    pub(super) fn add(&mut self) -> BatchId {
        let id = BatchId(self.next_batch);
        self.next_batch += 1;
        self.parts.insert(id, 1);
        id
    }

    /// A batch was split in `parts`.
    pub(super) fn split(&mut self, id: BatchId, parts: usize) {
        if let Some(known) = self.parts.get_mut(&id) {
            *known += parts.saturating_sub(1);
        }
    }

    /// The records of a batch, or of a part of it, have their result.
    pub(super) fn settled(&mut self, id: BatchId) {
        if let Some(parts) = self.parts.get_mut(&id) {
            *parts -= 1;
            if *parts == 0 {
                self.parts.remove(&id);
            }
        }
    }

    /// They have it, and it is bad.
    pub(super) fn failed(&mut self, id: BatchId, error: &Error) {
        self.settled(id);
        self.failure.get_or_insert_with(|| error.clone());
    }

    /// Why records failed since the last time.
    pub(super) fn take_failure(&mut self) -> Option<Error> {
        self.failure.take()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Waits for every batch numbered so far.
    pub(super) fn flush(&mut self) -> FlushId {
        let id = FlushId(self.next_flush);
        self.next_flush += 1;
        self.flushes.push((id, BatchId(self.next_batch)));
        id
    }

    /// A flush that is done.
    pub(super) fn flushed(&mut self) -> Option<FlushId> {
        let first = self.parts.first_key_value().map(|(&id, _)| id);
        let done = |&(_, end): &(FlushId, BatchId)| first.is_none_or(|first| first >= end);
        let index = self.flushes.iter().position(done)?;
        Some(self.flushes.remove(index).0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn a_flush_waits_for_what_came_before_it_and_nothing_else() {
        let mut unsettled = Unsettled::default();
        let (a, b) = (unsettled.add(), unsettled.add());
        let first = unsettled.flush();
        let c = unsettled.add();
        let second = unsettled.flush();
        unsettled.settled(b);
        assert_eq!(unsettled.flushed(), None);
        unsettled.settled(a);
        assert_eq!(unsettled.flushed(), Some(first));
        assert_eq!(unsettled.flushed(), None);
        unsettled.settled(c);
        assert_eq!(unsettled.flushed(), Some(second));
        assert!(unsettled.is_empty());
    }

    #[test]
    fn a_split_batch_counts_until_its_last_part() {
        let mut unsettled = Unsettled::default();
        let id = unsettled.add();
        unsettled.split(id, 3);
        let flush = unsettled.flush();
        unsettled.settled(id);
        unsettled.settled(id);
        assert_eq!(unsettled.flushed(), None);
        unsettled.settled(id);
        assert_eq!(unsettled.flushed(), Some(flush));
    }

    /// A transaction is told why it failed by the first of its records that did.
    #[test]
    fn the_first_failure_is_kept_until_it_is_taken() {
        let mut unsettled = Unsettled::default();
        let ids = [(); 3].map(|()| unsettled.add());
        assert!(unsettled.take_failure().is_none());
        for (id, kind) in ids.into_iter().zip([ErrorKind::Timeout, ErrorKind::BufferFull]) {
            unsettled.failed(id, &Error::new(kind));
        }
        assert_eq!(unsettled.take_failure().unwrap().kind(), ErrorKind::Timeout);
        assert!(unsettled.take_failure().is_none() && !unsettled.is_empty());
        unsettled.failed(ids[2], &Error::closed());
        assert_eq!(unsettled.take_failure().unwrap().kind(), ErrorKind::Closed);
        assert!(unsettled.is_empty());
    }

    #[test]
    fn a_flush_of_nothing_is_done_at_once() {
        let mut unsettled = Unsettled::default();
        let flush = unsettled.flush();
        assert_eq!(unsettled.flushed(), Some(flush));
    }
}
