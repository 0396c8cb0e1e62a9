//! What a partition remembers of each idempotent producer (KIP-98, KIP-360), as Kafka's `ProducerStateManager`.

use std::collections::{BTreeMap, VecDeque};

use milena_types::{ErrorCode, Offset, ProducerEpoch, ProducerId, Sequence, Timestamp};

use super::batch::{Batch, Sent};

/// The producers of one partition.
#[derive(Clone, Debug, Default)]
pub(crate) struct Producers(BTreeMap<ProducerId, Producer>);

/// What to do with a batch.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    /// It is next in line.
    Append,
    /// It is stored already, from this offset on.
    Duplicate { base_offset: Offset, timestamp: Option<Timestamp> },
}

#[derive(Clone, Debug)]
struct Producer {
    epoch: ProducerEpoch,
    /// The newest batches of this epoch, oldest first.
    batches: VecDeque<Remembered>,
    last_used: Timestamp,
}

#[derive(Clone, Copy, Debug)]
struct Remembered {
    first: Sequence,
    last: Sequence,
    base_offset: Offset,
    timestamp: Option<Timestamp>,
}

/// What is noted of a batch in the log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stored {
    sent: Sent,
    records: i32,
    base_offset: Offset,
    timestamp: Option<Timestamp>,
}

impl Stored {
    /// `None` for a batch of a producer that is not idempotent.
    pub(crate) fn of(batch: &Batch) -> Option<Self> {
        Some(Self {
            sent: batch.sent()?,
            records: batch.records(),
            base_offset: batch.base_offset(),
            timestamp: batch.max_timestamp(),
        })
    }
}

impl Producers {
    /// Judges a client's batch by its epoch and sequence.
    ///
    /// A producer that is not known here, as after retention took all that it wrote, may begin at any sequence.
    pub(crate) fn check(&self, sent: Sent, records: i32) -> Result<Verdict, ErrorCode> {
        // The sequences of a client's batch were checked to be there.
        let Some(first) = sent.base_sequence else { return Ok(Verdict::Append) };
        let Some(known) = self.0.get(&sent.producer_id) else { return Ok(Verdict::Append) };
        if sent.producer_epoch < known.epoch {
            return Err(ErrorCode::INVALID_PRODUCER_EPOCH);
        }
        if sent.producer_epoch > known.epoch {
            let starts_over = first == Sequence::ZERO;
            let verdict = starts_over.then_some(Verdict::Append);
            return verdict.ok_or(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER);
        }
        let last = first.advance(records - 1);
        let stored = known.batches.iter().find(|batch| batch.first == first && batch.last == last);
        if let Some(&Remembered { base_offset, timestamp, .. }) = stored {
            return Ok(Verdict::Duplicate { base_offset, timestamp });
        }
        let expected = known.batches.back().map_or(Sequence::ZERO, |batch| batch.last.advance(1));
        if first == expected {
            Ok(Verdict::Append)
        } else {
            Err(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER)
        }
    }

    /// Notes a batch that was stored, or the marker of a transaction.
    pub(crate) fn note(&mut self, stored: Stored, now: Timestamp) {
        let Stored { sent, records, base_offset, timestamp } = stored;
        let producer = self.0.entry(sent.producer_id).or_insert_with(|| Producer {
            epoch: sent.producer_epoch,
            batches: VecDeque::new(),
            last_used: now,
        });
        producer.last_used = now;
        if producer.epoch != sent.producer_epoch {
            producer.epoch = sent.producer_epoch;
            producer.batches.clear();
        }
        if let Some(first) = sent.base_sequence {
            if producer.batches.len() == REMEMBERED_BATCHES {
                producer.batches.pop_front();
            }
            let last = first.advance(records - 1);
            producer.batches.push_back(Remembered { first, last, base_offset, timestamp });
        }
        if self.0.len() > PRODUCERS_MAX {
            self.forget_oldest();
        }
    }

    /// Reads the state anew from what is left of a truncated log.
    pub(crate) fn rebuild<'a>(batches: impl Iterator<Item = &'a Batch>, now: Timestamp) -> Self {
        let mut producers = Self::default();
        for stored in batches.filter_map(Stored::of) {
            producers.note(stored, now);
        }
        producers
    }

    fn forget_oldest(&mut self) {
        let oldest = self.0.iter().min_by_key(|(_, producer)| producer.last_used);
        if let Some(id) = oldest.map(|(id, _)| *id) {
            self.0.remove(&id);
        }
    }
}

/// Kafka's number; it is why a producer has at most five batches in flight.
const REMEMBERED_BATCHES: usize = 5;

/// Kafka forgets a producer after a day; a partition in memory forgets the longest unused beyond this many.
const PRODUCERS_MAX: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    /// One record a batch, each at the offset of its sequence.
    struct Window(Producers);

    impl Window {
        fn send(&mut self, epoch: i16, sequence: i32) -> Result<Verdict, ErrorCode> {
            let sent = Sent {
                producer_id: ProducerId::from_wire(7).expect("not negative"),
                producer_epoch: ProducerEpoch::from_wire(epoch).expect("not negative"),
                base_sequence: Sequence::from_wire(sequence),
            };
            let verdict = self.0.check(sent, 1)?;
            if verdict == Verdict::Append {
                let base_offset = Offset::new(sequence.into()).expect("not negative");
                let stored = Stored { sent, records: 1, base_offset, timestamp: None };
                self.0.note(stored, Timestamp::from_millis(0));
            }
            Ok(verdict)
        }
    }

    const GAP: Result<Verdict, ErrorCode> = Err(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER);

    #[test]
    fn a_duplicate_among_the_last_five_is_answered_with_its_offset() {
        let mut window = Window(Producers::default());
        for sequence in 0..7 {
            assert_eq!(window.send(0, sequence), Ok(Verdict::Append));
        }
        let duplicate = window.send(0, 2);
        assert!(
            matches!(duplicate, Ok(Verdict::Duplicate { base_offset, .. }) if base_offset.get() == 2)
        );
        assert_eq!(window.send(0, 1), GAP, "the sixth newest is forgotten");
        assert_eq!(window.send(0, 8), GAP);
        assert_eq!(window.send(0, 7), Ok(Verdict::Append));
    }

    #[test]
    fn a_new_epoch_starts_at_zero_and_fences_the_old_one() {
        let mut window = Window(Producers::default());
        assert_eq!(window.send(3, 0), Ok(Verdict::Append));
        assert_eq!(window.send(4, 1), GAP);
        assert_eq!(window.send(4, 0), Ok(Verdict::Append));
        assert_eq!(window.send(3, 1), Err(ErrorCode::INVALID_PRODUCER_EPOCH));
    }

    #[test]
    fn an_unknown_producer_may_begin_anywhere_and_wraps_to_zero() {
        let mut window = Window(Producers::default());
        assert_eq!(window.send(0, i32::MAX), Ok(Verdict::Append));
        assert_eq!(window.send(0, 0), Ok(Verdict::Append));
    }
}
