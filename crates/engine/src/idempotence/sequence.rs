//! The sequences of one partition.

use milena_types::{ProducerEpoch, Sequence};

use super::Identity;

/// What stands in the way of new batches for a partition.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Repair {
    /// Nothing.
    #[default]
    None,
    /// A batch was given up that may have been stored. The batches after it, tried again, will tell: one that is
    /// acknowledged proves it stored, one that is out of order proves it lost.
    Unresolved,
    /// A sequence is missing for good, or the broker lost count: what is left must begin anew, at 0 under a new
    /// identity, once nothing is in flight.
    Gap,
}

impl Repair {
    /// Every change that may happen; staying is always allowed.
    #[cfg(test)]
    const TRANSITIONS: [(Self, Self); 5] = [
        (Self::None, Self::Unresolved),
        (Self::None, Self::Gap),
        (Self::Unresolved, Self::None),
        (Self::Unresolved, Self::Gap),
        (Self::Gap, Self::None),
    ];
}

/// Counts the records of one partition under one identity.
///
/// A batch gets its sequence when it is first sent and keeps it, whatever happens, until the broker took it, refused
/// it for good, or proved that it lost count.
#[derive(Debug, Default)]
pub(crate) struct Sequences {
    identity: Option<Identity>,
    /// Where a new producer begins; none once it has begun.
    first: Option<Sequence>,
    next: Option<Sequence>,
    /// Batches that got a sequence.
    batches: u64,
    /// The sequence after the last acknowledged batch.
    acked_to: Option<Sequence>,
    repair: Repair,
}

impl Sequences {
    /// Begins at `first` where no broker can know the producer, which takes any sequence then, but in transactions of
    /// version 2.
    pub(crate) fn starting_at(first: Sequence) -> Self {
        Self { first: Some(first), ..Self::default() }
    }

    /// Under which identity this partition counts; `None` before the first batch.
    pub(crate) fn identity(&self) -> Option<Identity> {
        self.identity
    }

    pub(crate) fn repair(&self) -> Repair {
        self.repair
    }

    /// Whether the broker has acknowledged anything under this identity. Until then one batch travels at a time: a
    /// broker that knows nothing of us takes any sequence as the first, so a second batch could overtake a first one
    /// that is refused for a moment.
    pub(crate) fn is_known_to_broker(&self) -> bool {
        self.acked_to.is_some()
    }

    /// Begins anew under `identity`, at 0 but for the first of all; what repairs were due are done.
    pub(crate) fn begin(&mut self, identity: Identity) {
        let first = self.first.take().filter(|_| identity.epoch == ProducerEpoch::ZERO);
        self.identity = Some(identity);
        self.next = Some(first.unwrap_or(Sequence::ZERO));
        self.acked_to = None;
        self.repair = Repair::None;
    }

    /// How many batches got a sequence, under any identity.
    pub(crate) fn batches(&self) -> u64 {
        self.batches
    }

    /// Whether the broker will still know batch number `ordinal` again after one more. It remembers five; that the
    /// ones in between are acknowledged does not help the one that is not, whose answer may be lost again.
    pub(crate) fn is_remembered_after_next(&self, ordinal: u64) -> bool {
        self.batches - ordinal + 1 < BATCHES_REMEMBERED
    }

    /// Gives the next `records` records their sequences and returns the first one.
    pub(crate) fn assign(&mut self, records: u32) -> Sequence {
        self.batches += 1;
        let base = self.next.unwrap_or(Sequence::ZERO);
        self.next = Some(advance(base, records));
        base
    }

    /// A batch that counted under `identity` was acknowledged.
    pub(crate) fn acknowledge(&mut self, identity: Identity, base: Sequence, records: u32) {
        if self.identity == Some(identity) {
            self.acked_to = Some(advance(base, records));
        }
    }

    /// A batch was given up that may have been stored.
    pub(crate) fn leave_unresolved(&mut self) {
        if self.repair == Repair::None {
            self.repair = Repair::Unresolved;
        }
    }

    /// A sequence is missing for good.
    pub(crate) fn leave_gap(&mut self) {
        self.repair = Repair::Gap;
    }

    /// The last batch that was given a sequence was refused at its first try and is not stored: its sequence is free.
    ///
    /// Returns false, and leaves a gap, where a later batch counts on it.
    pub(crate) fn take_back(&mut self, base: Sequence, records: u32) -> bool {
        let is_last = self.next == Some(advance(base, records));
        if is_last && self.repair == Repair::None {
            self.next = Some(base);
        } else {
            self.leave_gap();
        }
        is_last
    }

    /// Nothing of this partition is unacknowledged any more: an unresolved sequence is resolved, one way or the other.
    pub(crate) fn drained(&mut self) {
        if self.repair == Repair::Unresolved {
            self.repair = if self.acked_to == self.next { Repair::None } else { Repair::Gap };
        }
    }
}

/// Kafka's `ProducerStateEntry.NUM_BATCHES_TO_RETAIN`.
const BATCHES_REMEMBERED: u64 = 5;

/// The sequence `records` after `base`. A batch holds fewer than 2^31 records.
pub(crate) fn advance(base: Sequence, records: u32) -> Sequence {
    base.advance(i32::try_from(records).unwrap_or(i32::MAX))
}

#[cfg(test)]
mod tests {
    use milena_types::ProducerId;

    use super::*;

    fn identity(epoch: i16) -> Identity {
        let producer_id = ProducerId::from_wire(1).unwrap();
        Identity { producer_id, epoch: ProducerEpoch::from_wire(epoch).unwrap() }
    }

    fn sequences() -> Sequences {
        let mut sequences = Sequences::default();
        sequences.begin(identity(0));
        sequences
    }

    fn in_state(repair: Repair) -> Sequences {
        Sequences { repair, ..sequences() }
    }

    #[test]
    fn sequences_count_records_and_wrap() {
        let mut sequences = sequences();
        assert_eq!(sequences.assign(3), Sequence::ZERO);
        assert_eq!(sequences.assign(1), Sequence::from_wire(3).unwrap());
        sequences.next = Sequence::from_wire(i32::MAX);
        assert_eq!(sequences.assign(2), Sequence::from_wire(i32::MAX).unwrap());
        assert_eq!(sequences.assign(1), Sequence::from_wire(1).unwrap());
    }

    #[test]
    fn only_the_first_identity_of_all_begins_elsewhere() {
        let last = Sequence::from_wire(i32::MAX).unwrap();
        let mut sequences = Sequences::starting_at(last);
        sequences.begin(identity(0));
        assert_eq!((sequences.assign(1), sequences.assign(1)), (last, Sequence::ZERO));
        sequences.begin(identity(0));
        assert_eq!(sequences.assign(1), Sequence::ZERO);
        // A broker that knows an epoch before wants 0.
        let mut sequences = Sequences::starting_at(last);
        sequences.begin(identity(1));
        assert_eq!(sequences.assign(1), Sequence::ZERO);
    }

    #[test]
    fn only_listed_transitions_happen() {
        let events: [fn(&mut Sequences); 6] = [
            Sequences::leave_unresolved,
            Sequences::leave_gap,
            Sequences::drained,
            |s| s.begin(identity(1)),
            |s| {
                s.assign(1);
                s.drained();
            },
            |s| {
                let base = s.assign(2);
                s.take_back(base, 2);
            },
        ];
        let mut seen = Vec::new();
        for from in [Repair::None, Repair::Unresolved, Repair::Gap] {
            for event in events {
                for is_acked in [false, true] {
                    let mut sequences = in_state(from);
                    if is_acked {
                        let base = sequences.assign(1);
                        sequences.acknowledge(identity(0), base, 1);
                    }
                    event(&mut sequences);
                    let step = (from, sequences.repair());
                    assert!(from == step.1 || Repair::TRANSITIONS.contains(&step), "{step:?}");
                    seen.push(step);
                }
            }
        }
        for step in Repair::TRANSITIONS {
            assert!(seen.contains(&step), "{step:?} never happens");
        }
    }

    /// Trap 8: whether the given up batch was stored shows in what was acknowledged after it.
    #[test]
    fn an_unresolved_sequence_is_resolved_by_a_later_acknowledgement() {
        let mut sequences = sequences();
        sequences.assign(2);
        let later = sequences.assign(3);
        sequences.leave_unresolved();
        sequences.acknowledge(identity(0), later, 3);
        sequences.drained();
        assert_eq!(sequences.repair(), Repair::None);
        assert_eq!(sequences.assign(1), Sequence::from_wire(5).unwrap());
    }

    #[test]
    fn an_unresolved_sequence_that_nothing_proves_is_a_gap() {
        let mut sequences = sequences();
        sequences.assign(2);
        sequences.leave_unresolved();
        sequences.drained();
        assert_eq!(sequences.repair(), Repair::Gap);
        sequences.begin(identity(1));
        assert_eq!((sequences.assign(1), sequences.repair()), (Sequence::ZERO, Repair::None));
    }

    #[test]
    fn only_the_last_sequence_can_be_taken_back() {
        let mut sequences = sequences();
        let first = sequences.assign(2);
        assert!(sequences.take_back(first, 2));
        assert_eq!(sequences.repair(), Repair::None);
        let first = sequences.assign(2);
        sequences.assign(1);
        assert!(!sequences.take_back(first, 2));
        assert_eq!(sequences.repair(), Repair::Gap);
    }

    #[test]
    fn the_oldest_of_five_batches_is_forgotten_with_the_sixth() {
        let mut sequences = sequences();
        sequences.assign(1);
        let oldest = sequences.batches();
        for _ in 0..4 {
            assert!(sequences.is_remembered_after_next(oldest));
            sequences.assign(1);
        }
        assert!(!sequences.is_remembered_after_next(oldest));
    }

    /// An answer to a batch of an older epoch must not pass for progress under the new one.
    #[test]
    fn an_acknowledgement_of_an_old_identity_counts_for_nothing() {
        let mut sequences = sequences();
        let base = sequences.assign(1);
        sequences.begin(identity(1));
        sequences.acknowledge(identity(0), base, 1);
        assert!(!sequences.is_known_to_broker());
    }
}
