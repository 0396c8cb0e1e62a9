//! What the coordinator knows of one transactional id.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use milena_types::{ErrorCode, ProducerEpoch, ProducerId, TopicPartition};

use super::end::{End, TransactionVersion};
use super::state::TransactionState;
use crate::state::{Identity, ProducerIds};

/// A transactional id: its producer, and the transaction that is open, if one is.
#[derive(Clone, Debug)]
pub(crate) struct Transaction {
    pub(super) state: TransactionState,
    /// Who may write; older epochs are shut out.
    pub(super) producer: Identity,
    /// The epoch before a bump that the producer itself asked for, by which its retry is known.
    pub(super) last_epoch: Option<ProducerEpoch>,
    /// The id before the latest change, by which a retry is known whose bump used up the epochs.
    pub(super) previous_id: Option<ProducerId>,
    /// The id that takes over once the markers are written, where the epochs are used up.
    pub(super) next_id: Option<ProducerId>,
    /// `transaction.timeout.ms` of the producer.
    pub(super) timeout: Duration,
    /// Those that have no marker yet.
    pub(super) partitions: BTreeSet<TopicPartition>,
    /// When the first partition was added; of an open transaction only.
    pub(super) started: Option<Instant>,
    /// When it last changed.
    pub(super) updated: Instant,
    /// From when on markers are written; while they cannot be, `None`.
    pub(super) markers_due: Option<Instant>,
}

/// What InitProducerId comes to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Init {
    /// The producer has a new epoch.
    Done(Identity),
    /// A transaction is open: it is to be fenced and aborted, and the producer to ask again.
    MustFence,
}

impl Transaction {
    /// A transactional id that is asked for the first time.
    pub(crate) fn new(now: Instant, producer: Identity, timeout: Duration) -> Self {
        Self {
            state: TransactionState::Empty,
            producer,
            last_epoch: None,
            previous_id: None,
            next_id: None,
            timeout,
            partitions: BTreeSet::new(),
            started: None,
            updated: now,
            markers_due: None,
        }
    }

    pub(crate) fn state(&self) -> TransactionState {
        self.state
    }

    pub(crate) fn producer(&self) -> Identity {
        self.producer
    }

    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    pub(crate) fn partitions(&self) -> &BTreeSet<TopicPartition> {
        &self.partitions
    }

    /// When the first partition was added, if a transaction is open or was the last time it was.
    pub(crate) fn started(&self) -> Option<Instant> {
        self.started
    }

    /// The next epoch, which shuts out all older ones (KIP-360).
    ///
    /// `expected` is what the producer believes to have; one that was overtaken is refused.
    pub(crate) fn init(
        &mut self,
        now: Instant,
        expected: Option<Identity>,
        timeout: Duration,
        ids: &mut ProducerIds,
    ) -> Result<Init, ErrorCode> {
        if expected.is_some_and(|expected| !self.was(expected)) {
            return Err(ErrorCode::PRODUCER_FENCED);
        }
        match self.state {
            TransactionState::Ongoing => return Ok(Init::MustFence),
            TransactionState::Empty
            | TransactionState::CompleteCommit
            | TransactionState::CompleteAbort => {}
            TransactionState::PrepareCommit
            | TransactionState::PrepareAbort
            | TransactionState::PrepareEpochFence
            | TransactionState::Dead => return Err(ErrorCode::CONCURRENT_TRANSACTIONS),
        }
        let epoch = self.producer.epoch;
        let is_current = expected.is_none_or(|expected| expected.epoch == epoch);
        let (producer, last_epoch) = match (expected, epoch.bump()) {
            (Some(expected), _) if !is_current && Some(expected.epoch) == self.last_epoch => {
                // The retry of a bump whose answer was lost.
                (self.producer, self.last_epoch)
            }
            (Some(_), _) if !is_current => return Err(ErrorCode::PRODUCER_FENCED),
            (_, Some(next)) if !is_exhausted(epoch) => {
                (Identity { epoch: next, ..self.producer }, expected.map(|_| epoch))
            }
            _ => (ids.deal(), expected.map(|_| epoch)),
        };
        self.become_state(now, TransactionState::Empty);
        self.producer = producer;
        self.last_epoch = last_epoch;
        self.timeout = timeout;
        self.partitions.clear();
        self.started = None;
        Ok(Init::Done(producer))
    }

    /// Lets partitions take part. Says whether anything was new.
    pub(crate) fn add(
        &mut self,
        now: Instant,
        producer: Identity,
        partitions: &BTreeSet<TopicPartition>,
    ) -> Result<bool, ErrorCode> {
        self.check(producer)?;
        if self.state == TransactionState::Ongoing && partitions.is_subset(&self.partitions) {
            return Ok(false);
        }
        let is_first = self.state != TransactionState::Ongoing;
        self.become_state(now, TransactionState::Ongoing);
        if is_first {
            self.started = Some(now);
        }
        self.partitions.extend(partitions.iter().cloned());
        Ok(true)
    }

    /// Whether this producer may add to the transaction now.
    pub(crate) fn check(&self, producer: Identity) -> Result<(), ErrorCode> {
        if producer.id != self.producer.id {
            return Err(ErrorCode::INVALID_PRODUCER_ID_MAPPING);
        }
        if producer.epoch != self.producer.epoch {
            return Err(ErrorCode::PRODUCER_FENCED);
        }
        if self.is_prepared() { Err(ErrorCode::CONCURRENT_TRANSACTIONS) } else { Ok(()) }
    }

    /// Shuts out the producer of the open transaction and begins the abort of what it wrote.
    ///
    /// With version 2 it is as if the producer had aborted: it may repeat that, and go on from there.
    pub(crate) fn fence(&mut self, now: Instant, version: TransactionVersion) {
        if self.state != TransactionState::Ongoing {
            return;
        }
        self.become_state(now, TransactionState::PrepareEpochFence);
        if version == TransactionVersion::V1 {
            self.raise_epoch();
            self.last_epoch = None;
        }
        self.prepare(now, End::Abort, version, None);
    }

    /// Begins the end.
    pub(super) fn prepare(
        &mut self,
        now: Instant,
        end: End,
        version: TransactionVersion,
        next_id: Option<ProducerId>,
    ) {
        if !matches!(self.state, TransactionState::Ongoing | TransactionState::PrepareEpochFence) {
            // An abort in which nothing took part, whose start is not known.
            self.started = Some(now);
        }
        self.become_state(now, end.prepared());
        if version == TransactionVersion::V2 {
            self.last_epoch = Some(self.producer.epoch);
            self.raise_epoch();
        }
        self.next_id = next_id;
        self.markers_due = Some(now);
    }

    /// How the transaction ends that is prepared.
    pub(crate) fn ending(&self) -> End {
        let commits = self.state == TransactionState::PrepareCommit;
        if commits { End::Commit } else { End::Abort }
    }

    /// Who the producer is once the end is complete.
    pub(crate) fn next_producer(&self) -> Identity {
        match self.next_id {
            Some(id) => Identity { id, epoch: ProducerEpoch::ZERO },
            None => self.producer,
        }
    }

    /// Whether partitions may be added and nothing is decided.
    pub(crate) fn is_ongoing(&self) -> bool {
        self.state == TransactionState::Ongoing
    }

    /// Whether markers are being written.
    pub(crate) fn is_prepared(&self) -> bool {
        matches!(self.state, TransactionState::PrepareCommit | TransactionState::PrepareAbort)
    }

    /// Puts the markers off: until then, or until somebody says that they can be written.
    pub(crate) fn delay_markers(&mut self, until: Option<Instant>) {
        self.markers_due = until;
    }

    /// From when on markers are written, where that is known.
    pub(crate) fn markers_due(&self) -> Option<Instant> {
        self.markers_due
    }

    /// The partition has its marker, or is there no more.
    pub(crate) fn remove(&mut self, partition: &TopicPartition) {
        self.partitions.remove(partition);
    }

    /// Every partition has its marker.
    pub(crate) fn complete(&mut self, now: Instant) {
        self.become_state(now, self.ending().completed());
        self.producer = self.next_producer();
        self.next_id = None;
        self.partitions.clear();
        self.markers_due = None;
    }

    /// It is to be forgotten.
    pub(crate) fn die(&mut self, now: Instant) {
        self.become_state(now, TransactionState::Dead);
    }

    /// When something is to be done about it: markers, an abort, or nothing for so long that it is forgotten.
    pub(crate) fn deadline(&self, expiration: Duration) -> Option<Instant> {
        match self.state {
            TransactionState::Ongoing => self.started?.checked_add(self.timeout),
            TransactionState::PrepareCommit | TransactionState::PrepareAbort => self.markers_due,
            TransactionState::Empty
            | TransactionState::CompleteCommit
            | TransactionState::CompleteAbort => self.updated.checked_add(expiration),
            TransactionState::Dead | TransactionState::PrepareEpochFence => None,
        }
    }

    /// Whether no more epochs are dealt for the id: the last one is kept for fencing.
    pub(super) fn is_exhausted(&self) -> bool {
        is_exhausted(self.producer.epoch)
    }

    pub(super) fn become_state(&mut self, now: Instant, next: TransactionState) {
        debug_assert!(self.state.may_become(next), "{:?} to {next:?}", self.state);
        self.state = next;
        self.updated = now;
        self.previous_id = Some(self.producer.id);
    }

    /// Whether a producer that believes to be `expected` is this one, its epoch aside.
    fn was(&self, expected: Identity) -> bool {
        expected.id == self.producer.id
            || (Some(expected.id) == self.previous_id && is_exhausted(expected.epoch))
    }

    fn raise_epoch(&mut self) {
        // The last epoch is never dealt to a producer, so that there is always one left to fence with.
        if let Some(next) = self.producer.epoch.bump() {
            self.producer.epoch = next;
        }
    }
}

/// The last epoch but one: the last is kept for fencing.
fn is_exhausted(epoch: ProducerEpoch) -> bool {
    epoch.get() >= i16::MAX - 1
}
