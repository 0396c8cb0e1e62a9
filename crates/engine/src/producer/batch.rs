//! A batch that the driver has taken out of the accumulator.

use std::sync::Arc;
use std::time::Instant;

use milena_records::{BatchBuilder, BatchParts, ProducerStamp, SealedBatch};
use milena_types::{NodeId, Offset, Sequence, Timestamp};

use super::delivery::{BatchResult, Outcome, Stored};
use super::memory::Reserved;
use super::queue::OpenBatch;
use crate::idempotence::Identity;
use crate::request::RequestId;
use crate::{Error, Fate};

/// Names a batch; batches are numbered in the order in which they were taken, and the parts of a split one share it.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) struct BatchId(pub(super) u64);

/// A batch from the moment it is full until its fate is known and nothing of it is on its way.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) id: BatchId,
    pub(super) content: Content,
    /// The first of the result's records that is in here; not 0 in the later parts of a split batch.
    pub(super) first: u32,
    pub(super) records: u32,
    result: Arc<BatchResult>,
    /// Whether all of the result's records are in here.
    is_whole: bool,
    /// Shared by the parts of a split batch.
    reserved: Arc<Reserved>,
    is_transactional: bool,
    pub(super) opened: Instant,
    /// Who it counts under, and from where; set when it is first sent.
    pub(super) stamp: Option<(Identity, Sequence)>,
    /// Its place among the batches that got a sequence; the parts of a split one share it.
    pub(super) ordinal: u64,
    pub(super) attempts: u32,
    /// Whether it is proven not to be stored under its stamp, because a sequence before it is missing: it must get
    /// another one.
    pub(super) is_void: bool,
    /// Whether a broker may have stored it at an earlier try.
    pub(super) maybe_written: bool,
    /// Whether a request that had it named its topic, and not the topic's id.
    pub(super) was_named: bool,
    /// Whether it may be stored in its topic as it was before it was made anew, or in the new one: no answer tells that it is in
    /// neither.
    pub(super) is_in_either: bool,
    /// Whether it is a part of a batch that may have been stored whole: the broker would not know the part again by its
    /// sequence, and say that it is out of order.
    pub(super) is_doubtful_part: bool,
    pub(super) travel: Travel,
    /// Whether its records have their result.
    pub(super) is_settled: bool,
    /// Why the last try failed.
    pub(super) last_error: Option<Error>,
    /// Answers in a row that say that it is out of order.
    pub(super) out_of_order: u32,
}

/// What there is of a batch to send.
#[derive(Debug)]
pub(super) enum Content {
    /// With whoever compresses it, or splits it, as this job.
    Away(u64),
    /// Ready to be sent, as often as it takes.
    Sealed(SealedBatch),
}

/// Where a batch is between the queue and its end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Travel {
    /// It was never sent.
    Waiting,
    /// A request has it.
    InFlight(RequestId, NodeId),
    /// It was sent, and is to be sent again from this moment on.
    Retry(Instant),
}

impl Batch {
    /// Takes an open batch over, and gives out what is to be sealed.
    pub(super) fn new(
        id: BatchId,
        job: u64,
        open: OpenBatch,
        is_transactional: bool,
    ) -> (Self, BatchBuilder) {
        let OpenBatch { builder, result, watchers, opened, reserved } = open;
        result.watch(watchers);
        let batch = Self {
            id,
            content: Content::Away(job),
            first: 0,
            records: builder.record_count().unsigned_abs(),
            result,
            is_whole: true,
            reserved: Arc::new(reserved),
            is_transactional,
            opened,
            stamp: None,
            ordinal: 0,
            attempts: 0,
            is_void: false,
            maybe_written: false,
            was_named: false,
            is_in_either: false,
            is_doubtful_part: false,
            travel: Travel::Waiting,
            is_settled: false,
            last_error: None,
            out_of_order: 0,
        };
        (batch, builder)
    }

    /// The size of what is to be sent; `None` while it is away.
    pub(super) fn bytes(&self) -> Option<usize> {
        match &self.content {
            Content::Sealed(sealed) => Some(sealed.size()),
            Content::Away(_) => None,
        }
    }

    /// The bytes to send, under the batch's own stamp; counted as sent.
    pub(super) fn parts(&self) -> Option<BatchParts> {
        let stamp = self.stamp.map(|(identity, base)| ProducerStamp {
            producer_id: identity.producer_id,
            producer_epoch: identity.epoch,
            base_sequence: Some(base),
            transactional: self.is_transactional,
        });
        match &self.content {
            Content::Sealed(sealed) => {
                let is_retry = self.attempts > 1;
                self.result.counters.sent(self.records, sealed.size(), is_retry);
                Some(sealed.stamp(stamp))
            }
            Content::Away(_) => None,
        }
    }

    pub(super) fn is_in_flight(&self) -> bool {
        matches!(self.travel, Travel::InFlight(..))
    }

    /// What became of it if nothing more is done.
    pub(super) fn fate(&self) -> Fate {
        if self.maybe_written || self.is_in_flight() { Fate::Unknown } else { Fate::NotStored }
    }

    /// Its records are stored.
    pub(super) fn succeed(
        &mut self,
        base_offset: Option<Offset>,
        log_append_time: Option<Timestamp>,
    ) {
        self.settle(Ok(Stored { first: self.first, base_offset, log_append_time }));
    }

    /// Its records will not be stored, or nobody can tell.
    pub(super) fn fail(&mut self, error: Error) {
        let error = self.of_transaction(error);
        self.settle(Err(error));
    }

    /// Its record `index`, counted from its own first, was the cause why the batch failed; the others were not.
    pub(super) fn fail_each(&mut self, of: impl Fn(u32) -> Error) {
        if !std::mem::replace(&mut self.is_settled, true) {
            self.result.counters.settled(self.records, false);
            for index in 0..self.records {
                let error = self.of_transaction(of(index));
                self.result.settle(self.first + index, 1, false, Err(error));
            }
        }
    }

    /// A record that is lost, for whatever reason, takes its transaction with it (trap 9).
    fn of_transaction(&self, error: Error) -> Error {
        if self.is_transactional && !error.is_fatal() { error.abortable() } else { error }
    }

    fn settle(&mut self, outcome: Outcome) {
        if !std::mem::replace(&mut self.is_settled, true) {
            self.result.counters.settled(self.records, outcome.is_ok());
            self.result.settle(self.first, self.records, self.is_whole, outcome);
        }
    }

    /// Puts the batches `sealed`, which hold the same records in order, in its place, with its sequences.
    pub(super) fn split(mut self, sealed: Vec<SealedBatch>) -> Vec<Self> {
        self.result.counters.split();
        let mut first = self.first;
        let parts = sealed.into_iter().map(|sealed| {
            let records = sealed.record_count().unsigned_abs();
            let skipped = first - self.first;
            let part = Self {
                id: self.id,
                first,
                records,
                content: Content::Sealed(sealed),
                result: Arc::clone(&self.result),
                is_whole: false,
                reserved: Arc::clone(&self.reserved),
                is_transactional: self.is_transactional,
                opened: self.opened,
                stamp: self
                    .stamp
                    .map(|(identity, base)| (identity, crate::idempotence::advance(base, skipped))),
                ordinal: self.ordinal,
                attempts: self.attempts,
                is_void: self.is_void,
                maybe_written: self.maybe_written,
                was_named: self.was_named,
                is_in_either: self.is_in_either,
                is_doubtful_part: self.maybe_written,
                travel: self.travel,
                is_settled: self.is_settled,
                last_error: self.last_error.clone(),
                out_of_order: 0,
            };
            first += records;
            part
        });
        let parts = parts.collect();
        // Its parts settle its records.
        self.is_settled = true;
        parts
    }
}

impl Drop for Batch {
    /// No record is ever left without a result, whatever way its batch goes.
    fn drop(&mut self) {
        if !self.is_settled {
            let error = Error::closed().with_fate(self.fate());
            self.fail(error);
        }
    }
}
