//! EndTxn: how a transaction is committed or aborted, and which retries are known as such.

use std::time::Instant;

use milena_types::{ErrorCode, ProducerEpoch};

use super::metadata::Transaction;
use super::state::TransactionState;
use crate::state::{Identity, ProducerIds};

/// How a transaction ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum End {
    Commit,
    Abort,
}

/// Which of the two protocols a producer follows: `transaction.version` 0 and 1 are the same to it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum TransactionVersion {
    /// The epoch changes only when a producer begins.
    V1,
    /// Each end raises the epoch (KIP-890).
    V2,
}

/// What EndTxn comes to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Ending {
    /// The end is prepared; markers are to be written.
    Prepared,
    /// It had ended like this before: a retry.
    Repeated(Identity),
}

impl End {
    pub(super) const fn prepared(self) -> TransactionState {
        match self {
            Self::Commit => TransactionState::PrepareCommit,
            Self::Abort => TransactionState::PrepareAbort,
        }
    }

    pub(super) const fn completed(self) -> TransactionState {
        match self {
            Self::Commit => TransactionState::CompleteCommit,
            Self::Abort => TransactionState::CompleteAbort,
        }
    }
}

impl Transaction {
    /// Takes a producer's EndTxn.
    pub(crate) fn end(
        &mut self,
        now: Instant,
        producer: Identity,
        end: End,
        version: TransactionVersion,
        ids: &mut ProducerIds,
    ) -> Result<Ending, ErrorCode> {
        match version {
            TransactionVersion::V1 => self.end_v1(now, producer, end),
            TransactionVersion::V2 => self.end_v2(now, producer, end, ids),
        }
    }

    fn end_v1(&mut self, now: Instant, producer: Identity, end: End) -> Result<Ending, ErrorCode> {
        if producer.id != self.producer.id {
            return Err(ErrorCode::INVALID_PRODUCER_ID_MAPPING);
        }
        if producer.epoch != self.producer.epoch {
            return Err(ErrorCode::PRODUCER_FENCED);
        }
        if self.state == end.completed() {
            return Ok(Ending::Repeated(self.producer));
        }
        if self.state == end.prepared() {
            return Err(ErrorCode::CONCURRENT_TRANSACTIONS);
        }
        if self.state != TransactionState::Ongoing {
            return Err(ErrorCode::INVALID_TXN_STATE);
        }
        self.prepare(now, end, TransactionVersion::V1, None);
        Ok(Ending::Prepared)
    }

    /// With version 2 the same epoch means the next end, and only the epoch before it the retry of the last one:
    ///
    /// | state | abort, retry | abort | commit, retry | commit |
    /// |---|---|---|---|---|
    /// | Empty | PRODUCER_FENCED | prepared | PRODUCER_FENCED | INVALID_TXN_STATE |
    /// | CompleteAbort | repeated | prepared | INVALID_TXN_STATE | INVALID_TXN_STATE |
    /// | CompleteCommit | INVALID_TXN_STATE | prepared | repeated | INVALID_TXN_STATE |
    fn end_v2(
        &mut self,
        now: Instant,
        producer: Identity,
        end: End,
        ids: &mut ProducerIds,
    ) -> Result<Ending, ErrorCode> {
        // The retry whose first attempt used up the epochs, so that another id has taken over.
        let is_overflow = Some(producer.id) == self.previous_id
            && producer.id != self.producer.id
            && producer.epoch.get() == i16::MAX - 1
            && self.producer.epoch == ProducerEpoch::ZERO;
        if producer.id != self.producer.id && !is_overflow {
            return Err(ErrorCode::INVALID_PRODUCER_ID_MAPPING);
        }
        let is_current = producer.epoch == self.producer.epoch;
        let is_retry = is_overflow || producer.epoch.bump() == Some(self.producer.epoch);
        let is_valid = match self.state {
            TransactionState::Ongoing
            | TransactionState::Empty
            | TransactionState::Dead
            | TransactionState::PrepareEpochFence => is_current,
            TransactionState::PrepareCommit | TransactionState::PrepareAbort => is_retry,
            TransactionState::CompleteCommit | TransactionState::CompleteAbort => {
                is_retry || is_current
            }
        };
        if !is_valid {
            return Err(ErrorCode::PRODUCER_FENCED);
        }
        if is_retry && self.state == end.completed() {
            return Ok(Ending::Repeated(self.producer));
        }
        if self.state == end.prepared() {
            return Err(ErrorCode::CONCURRENT_TRANSACTIONS);
        }
        // What is open may end; where nothing is, a producer that is not sure of it may abort.
        let may_end = match self.state {
            TransactionState::Ongoing => true,
            TransactionState::Empty
            | TransactionState::CompleteCommit
            | TransactionState::CompleteAbort => !is_retry && end == End::Abort,
            TransactionState::PrepareCommit
            | TransactionState::PrepareAbort
            | TransactionState::Dead
            | TransactionState::PrepareEpochFence => false,
        };
        if !may_end {
            return Err(ErrorCode::INVALID_TXN_STATE);
        }
        let next_id = self.is_exhausted().then(|| ids.deal().id);
        self.prepare(now, end, TransactionVersion::V2, next_id);
        Ok(Ending::Prepared)
    }
}
