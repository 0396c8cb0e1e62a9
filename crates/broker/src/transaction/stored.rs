//! A transactional id as it is written down: with times of the wall clock.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use milena_types::{ProducerEpoch, ProducerId, Timestamp, TopicPartition};

use super::metadata::Transaction;
use super::state::TransactionState;
use crate::state::Identity;
use crate::store::{Malformed, Source, Spelled};

/// All of a transactional id.
#[derive(Clone, Debug)]
pub(crate) struct StoredTransaction {
    state: TransactionState,
    producer: (ProducerId, ProducerEpoch),
    last_epoch: Option<ProducerEpoch>,
    previous_id: Option<ProducerId>,
    next_id: Option<ProducerId>,
    timeout_ms: i64,
    partitions: Vec<TopicPartition>,
    started: Option<Timestamp>,
    updated: Timestamp,
}

impl Transaction {
    /// What is written down of it.
    pub(crate) fn stored(&self, wall: impl Fn(Instant) -> Timestamp) -> StoredTransaction {
        StoredTransaction {
            state: self.state,
            producer: (self.producer.id, self.producer.epoch),
            last_epoch: self.last_epoch,
            previous_id: self.previous_id,
            next_id: self.next_id,
            timeout_ms: i64::try_from(self.timeout.as_millis()).unwrap_or(i64::MAX),
            partitions: self.partitions.iter().cloned().collect(),
            started: self.started.map(&wall),
            updated: wall(self.updated),
        }
    }
}

impl StoredTransaction {
    /// The transactional id again. Markers that were not written are not due by themselves: its coordinator goes on.
    pub(crate) fn into_transaction(self, instant: impl Fn(Timestamp) -> Instant) -> Transaction {
        let (id, epoch) = self.producer;
        Transaction {
            state: self.state,
            producer: Identity { id, epoch },
            last_epoch: self.last_epoch,
            previous_id: self.previous_id,
            next_id: self.next_id,
            timeout: Duration::from_millis(self.timeout_ms.unsigned_abs()),
            partitions: BTreeSet::from_iter(self.partitions),
            started: self.started.map(&instant),
            updated: instant(self.updated),
            markers_due: None,
        }
    }
}

impl Spelled for StoredTransaction {
    fn put(&self, to: &mut BytesMut) {
        let state = TransactionState::ALL.iter().position(|state| *state == self.state);
        u8::try_from(state.unwrap_or_default()).unwrap_or_default().put(to);
        self.producer.put(to);
        self.last_epoch.put(to);
        (self.previous_id, self.next_id).put(to);
        self.timeout_ms.put(to);
        self.partitions.put(to);
        (self.started, self.updated).put(to);
    }

    fn take(from: &mut Source) -> Result<Self, Malformed> {
        let state = TransactionState::ALL.get(usize::from(u8::take(from)?));
        Ok(Self {
            state: state.copied().ok_or(Malformed)?,
            producer: Spelled::take(from)?,
            last_epoch: Spelled::take(from)?,
            previous_id: Spelled::take(from)?,
            next_id: Spelled::take(from)?,
            timeout_ms: Spelled::take(from)?,
            partitions: Spelled::take(from)?,
            started: Spelled::take(from)?,
            updated: Spelled::take(from)?,
        })
    }
}
