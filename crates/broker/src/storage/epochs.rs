//! Where each leader's records begin (KIP-101), by which a diverged reader finds the common past.

use bytes::BytesMut;
use milena_types::{LeaderEpoch, Offset};

use crate::store::{Malformed, Source, Spelled};

/// The first offset of each leader epoch that wrote to a log, oldest first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Epochs(Vec<(LeaderEpoch, Offset)>);

/// How far an epoch reaches: it or the newest before it, and the offset after its last record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct EpochEnd {
    pub(crate) epoch: LeaderEpoch,
    pub(crate) end: Offset,
}

impl Epochs {
    /// Notes that `epoch` writes from `offset` on, if it writes at all. Epochs that began there and wrote nothing are
    /// forgotten, as Kafka does.
    pub(crate) fn note(&mut self, epoch: LeaderEpoch, offset: Offset) {
        if self.0.last().is_none_or(|(last, _)| *last < epoch) {
            self.0.retain(|(_, start)| *start < offset);
            self.0.push((epoch, offset));
        }
    }

    /// Forgets what begins at or after the new end of the log.
    pub(crate) fn truncate(&mut self, end: Offset) {
        self.0.retain(|(_, start)| *start < end);
    }

    /// Forgets the epochs that end at or before the new start of the log.
    pub(crate) fn trim(&mut self, start: Offset) {
        let passed = self.0.iter().take_while(|(_, first)| *first <= start).count();
        self.0.drain(..passed.saturating_sub(1));
        if let Some((_, first)) = self.0.first_mut() {
            *first = start.max(*first);
        }
    }

    /// The newest epoch that is not newer than `asked`, and where it ends in a log that ends at `log_end`.
    ///
    /// As `LeaderEpochFileCache.endOffsetFor`: the current epoch ends at the log's end, an epoch older than all
    /// that is known ends where the oldest known begins, and one newer than all is not known here.
    pub(crate) fn end_of(
        &self,
        asked: LeaderEpoch,
        current: LeaderEpoch,
        log_end: Offset,
    ) -> Option<EpochEnd> {
        if asked == current {
            return Some(EpochEnd { epoch: asked, end: log_end });
        }
        let newer = self.0.partition_point(|(epoch, _)| *epoch <= asked);
        // `asked` is newer than every epoch that wrote: nothing is known of it.
        let (_, end) = self.0.get(newer)?;
        let epoch =
            newer.checked_sub(1).and_then(|at| self.0.get(at)).map_or(asked, |entry| entry.0);
        Some(EpochEnd { epoch, end: *end })
    }

    /// The epoch that wrote at `offset`.
    pub(crate) fn at(&self, offset: Offset) -> Option<LeaderEpoch> {
        let after = self.0.partition_point(|(_, start)| *start <= offset);
        after.checked_sub(1).and_then(|at| self.0.get(at)).map(|(epoch, _)| *epoch)
    }
}

impl Spelled for Epochs {
    fn put(&self, to: &mut BytesMut) {
        self.0.put(to);
    }

    fn take(from: &mut Source) -> Result<Self, Malformed> {
        Ok(Self(Spelled::take(from)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epoch(raw: i32) -> LeaderEpoch {
        LeaderEpoch::from_wire(raw).expect("not negative")
    }

    fn at(raw: i64) -> Offset {
        Offset::new(raw).expect("not negative")
    }

    fn epochs() -> Epochs {
        let mut epochs = Epochs::default();
        epochs.note(epoch(1), at(0));
        epochs.note(epoch(1), at(5));
        epochs.note(epoch(4), at(10));
        epochs
    }

    #[test]
    fn an_epoch_ends_where_the_next_begins() {
        let epochs = epochs();
        let end = |asked| epochs.end_of(epoch(asked), epoch(6), at(20));
        assert_eq!(end(1), Some(EpochEnd { epoch: epoch(1), end: at(10) }));
        assert_eq!(end(3), Some(EpochEnd { epoch: epoch(1), end: at(10) }));
        assert_eq!(end(6), Some(EpochEnd { epoch: epoch(6), end: at(20) }));
        assert_eq!(end(0), Some(EpochEnd { epoch: epoch(0), end: at(0) }));
        assert_eq!(end(5), None, "it never wrote, and none newer did");
    }

    #[test]
    fn the_current_epoch_ends_at_the_end_of_the_log_though_it_never_wrote() {
        assert_eq!(Epochs::default().end_of(epoch(2), epoch(2), at(7)).map(|e| e.end), Some(at(7)));
    }

    #[test]
    fn an_epoch_that_wrote_nothing_gives_way() {
        let mut epochs = Epochs::default();
        epochs.note(epoch(0), at(0));
        epochs.note(epoch(1), at(3));
        epochs.note(epoch(2), at(3));
        let end = |asked| epochs.end_of(epoch(asked), epoch(2), at(3));
        assert_eq!(end(1), Some(EpochEnd { epoch: epoch(0), end: at(3) }));
    }

    #[test]
    fn truncation_forgets_epochs_that_wrote_only_what_is_gone() {
        let mut epochs = epochs();
        epochs.truncate(at(10));
        assert_eq!(epochs.at(at(12)), Some(epoch(1)));
        epochs.note(epoch(5), at(10));
        epochs.trim(at(11));
        assert_eq!(epochs.at(at(12)), Some(epoch(5)));
        assert_eq!(epochs.at(at(10)), None);
    }
}
