//! What a partition remembers of each idempotent producer (KIP-98, KIP-360), as Kafka's `ProducerStateManager`.

use std::collections::{BTreeMap, VecDeque};

use bytes::BytesMut;
use milena_types::{
    ErrorCode, LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, Timestamp,
};

use super::batch::{Batch, Sent};
use crate::store::{Malformed, Source, Spelled};
use crate::transaction::TransactionVersion;

/// The producers of one partition.
#[derive(Clone, Debug, Default)]
pub(crate) struct Producers {
    known: BTreeMap<ProducerId, Producer>,
    /// The lowest sequence that each tried to begin a transaction with and that is not stored yet. A later batch that
    /// was sent behind it must not get in before it (KAFKA-14844).
    first: BTreeMap<ProducerId, (ProducerEpoch, Sequence)>,
}

/// What to do with a batch.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    /// It is next in line.
    Append,
    /// It is stored already, from this offset on.
    Duplicate { base_offset: Offset, timestamp: Option<Timestamp> },
}

/// What is known of one producer.
#[derive(Clone, Debug)]
pub(crate) struct Producer {
    epoch: ProducerEpoch,
    /// The newest batches of this epoch, oldest first.
    batches: VecDeque<Remembered>,
    /// That of its newest batch or marker.
    last_timestamp: Option<Timestamp>,
    /// The term of the coordinator that ended its last transaction.
    coordinator_epoch: Option<LeaderEpoch>,
    last_used: Timestamp,
}

#[derive(Clone, Copy, Debug)]
struct Remembered {
    first: Sequence,
    last: Sequence,
    base_offset: Offset,
    timestamp: Option<Timestamp>,
}

/// Who says that a transaction has ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct MarkerTerm {
    /// Counts the coordinators of the transactional id, where that is known.
    pub(crate) coordinator_epoch: Option<LeaderEpoch>,
    /// The protocol of the producer.
    pub(crate) version: TransactionVersion,
}

/// What is noted of a batch in the log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stored {
    sent: Sent,
    /// How many sequences it takes.
    offsets: i32,
    base_offset: Offset,
    timestamp: Option<Timestamp>,
}

impl Stored {
    /// `None` for a batch of a producer that is not idempotent.
    pub(crate) fn of(batch: &Batch) -> Option<Self> {
        Some(Self {
            sent: batch.sent()?,
            offsets: batch.offsets(),
            base_offset: batch.base_offset(),
            timestamp: batch.max_timestamp(),
        })
    }
}

impl Producers {
    /// Judges a client's batch by its epoch and sequence.
    ///
    /// A producer that is not known here, as after retention took all that it wrote, may begin at any sequence, unless
    /// it is said what it is to be refused with if it comes `late`, with another than the first.
    pub(crate) fn check(
        &self,
        sent: Sent,
        records: i32,
        late: Option<ErrorCode>,
    ) -> Result<Verdict, ErrorCode> {
        // The sequences of a client's batch were checked to be there.
        let Some(first) = sent.base_sequence else { return Ok(Verdict::Append) };
        if let Some(duplicate) = self.duplicate(sent, records) {
            return Ok(duplicate);
        }
        let expected = self.first.get(&sent.producer_id);
        if expected.is_some_and(|(_, lowest)| first.get() > lowest.get()) {
            return Err(OUT_OF_ORDER);
        }
        let Some(known) = self.known.get(&sent.producer_id) else {
            let refused = late.filter(|_| first != Sequence::ZERO);
            return refused.map_or(Ok(Verdict::Append), Err);
        };
        if sent.producer_epoch < known.epoch {
            return Err(ErrorCode::INVALID_PRODUCER_EPOCH);
        }
        if sent.producer_epoch > known.epoch {
            let starts_over = first == Sequence::ZERO;
            let verdict = starts_over.then_some(Verdict::Append);
            return verdict.ok_or(OUT_OF_ORDER);
        }
        let expected = known.batches.back().map(|batch| batch.last.advance(1));
        match expected {
            _ if first == expected.unwrap_or(Sequence::ZERO) => Ok(Verdict::Append),
            // Only a marker of it is here, or nothing of this epoch.
            None => Err(late.unwrap_or(OUT_OF_ORDER)),
            Some(_) => Err(OUT_OF_ORDER),
        }
    }

    /// Whether the batch is one of those that are remembered.
    fn duplicate(&self, sent: Sent, records: i32) -> Option<Verdict> {
        let known = self.known.get(&sent.producer_id)?;
        let first = sent.base_sequence.filter(|_| known.epoch == sent.producer_epoch)?;
        let last = first.advance(records - 1);
        let stored = known.batches.iter().find(|batch| batch.first == first && batch.last == last);
        let &Remembered { base_offset, timestamp, .. } = stored?;
        Some(Verdict::Duplicate { base_offset, timestamp })
    }

    /// Notes with which sequence a producer is about to begin a transaction, if it is let.
    pub(crate) fn expect_first(&mut self, sent: Sent) {
        let Some(sequence) = sent.base_sequence else { return };
        let said = (sent.producer_epoch, sequence);
        let lowest = self.first.entry(sent.producer_id).or_insert(said);
        let is_lower = said.0 == lowest.0 && said.1.get() < lowest.1.get();
        if is_lower || said.0 > lowest.0 {
            *lowest = said;
        }
        if self.first.len() > PRODUCERS_MAX {
            self.first.pop_first();
        }
    }

    /// Judges a marker: one of an epoch that was overtaken comes too late, and with version 2 so does one of the very
    /// epoch of the open transaction, since its own marker has the next.
    pub(crate) fn check_marker(
        &self,
        sent: Sent,
        term: MarkerTerm,
        is_open: bool,
    ) -> Result<(), ErrorCode> {
        let Some(known) = self.known.get(&sent.producer_id) else { return Ok(()) };
        let is_same = sent.producer_epoch == known.epoch;
        let is_stale = is_same && is_open && term.version == TransactionVersion::V2;
        if sent.producer_epoch < known.epoch || is_stale {
            return Err(ErrorCode::INVALID_PRODUCER_EPOCH);
        }
        let is_zombie = term.coordinator_epoch < known.coordinator_epoch;
        if is_zombie { Err(ErrorCode::TRANSACTION_COORDINATOR_FENCED) } else { Ok(()) }
    }

    /// The newest epoch of a producer, where it is known.
    pub(crate) fn epoch(&self, id: ProducerId) -> Option<ProducerEpoch> {
        self.known.get(&id).map(|producer| producer.epoch)
    }

    /// Notes a batch that was stored, or the marker of a transaction.
    pub(crate) fn note(&mut self, stored: Stored, now: Timestamp) {
        let Stored { sent, offsets, base_offset, timestamp } = stored;
        self.first.remove(&sent.producer_id);
        let producer = self.known.entry(sent.producer_id).or_insert_with(|| Producer {
            epoch: sent.producer_epoch,
            batches: VecDeque::new(),
            last_timestamp: None,
            coordinator_epoch: None,
            last_used: now,
        });
        producer.last_used = now;
        producer.last_timestamp = timestamp.or(producer.last_timestamp);
        if producer.epoch != sent.producer_epoch {
            producer.epoch = sent.producer_epoch;
            producer.batches.clear();
        }
        if let Some(first) = sent.base_sequence {
            if producer.batches.len() == REMEMBERED_BATCHES {
                producer.batches.pop_front();
            }
            let last = first.advance(offsets - 1);
            producer.batches.push_back(Remembered { first, last, base_offset, timestamp });
        }
        if self.known.len() > PRODUCERS_MAX {
            self.forget_oldest();
        }
    }

    /// Notes which term of the coordinator a marker is of.
    pub(crate) fn note_coordinator(&mut self, id: ProducerId, term: MarkerTerm) {
        if let Some(producer) = self.known.get_mut(&id) {
            producer.coordinator_epoch = term.coordinator_epoch;
        }
    }

    /// The producers by id.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (ProducerId, &Producer)> {
        self.known.iter().map(|(id, producer)| (*id, producer))
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
        let oldest = self.known.iter().min_by_key(|(_, producer)| producer.last_used);
        if let Some(id) = oldest.map(|(id, _)| *id) {
            self.known.remove(&id);
        }
    }
}

impl Producer {
    pub(crate) fn epoch(&self) -> ProducerEpoch {
        self.epoch
    }

    /// The sequence of its newest record in this epoch.
    pub(crate) fn last_sequence(&self) -> Option<Sequence> {
        self.batches.back().map(|batch| batch.last)
    }

    pub(crate) fn last_timestamp(&self) -> Option<Timestamp> {
        self.last_timestamp
    }

    pub(crate) fn coordinator_epoch(&self) -> Option<i32> {
        self.coordinator_epoch.map(LeaderEpoch::get)
    }
}

/// Without `first`: what was about to begin begins anew.
impl Spelled for Producers {
    fn put(&self, to: &mut BytesMut) {
        let known = self.known.iter().map(|(id, producer)| (*id, producer.clone()));
        known.collect::<Vec<_>>().put(to);
    }

    fn take(from: &mut Source) -> Result<Self, Malformed> {
        let known: Vec<(ProducerId, Producer)> = Spelled::take(from)?;
        Ok(Self { known: known.into_iter().collect(), first: BTreeMap::new() })
    }
}

impl Spelled for Producer {
    fn put(&self, to: &mut BytesMut) {
        self.epoch.put(to);
        let batches = self.batches.iter().copied();
        batches.collect::<Vec<_>>().put(to);
        (self.last_timestamp, self.coordinator_epoch).put(to);
    }

    fn take(from: &mut Source) -> Result<Self, Malformed> {
        let (epoch, batches) = (Spelled::take(from)?, Vec::take(from)?.into());
        let (last_timestamp, coordinator_epoch): (Option<Timestamp>, _) = Spelled::take(from)?;
        let last_used = last_timestamp.unwrap_or(Timestamp::from_millis(0));
        Ok(Self { epoch, batches, last_timestamp, coordinator_epoch, last_used })
    }
}

impl Spelled for Remembered {
    fn put(&self, to: &mut BytesMut) {
        ((self.first, self.last), (self.base_offset, self.timestamp)).put(to);
    }

    fn take(from: &mut Source) -> Result<Self, Malformed> {
        let ((first, last), (base_offset, timestamp)) = Spelled::take(from)?;
        Ok(Self { first, last, base_offset, timestamp })
    }
}

pub(crate) const OUT_OF_ORDER: ErrorCode = ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER;

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
            let verdict = self.0.check(sent, 1, None)?;
            if verdict == Verdict::Append {
                let base_offset = Offset::new(sequence.into()).expect("not negative");
                let stored = Stored { sent, offsets: 1, base_offset, timestamp: None };
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
