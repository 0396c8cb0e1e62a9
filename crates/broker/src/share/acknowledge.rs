//! What members and time make of records that are acquired: acknowledgement, release, the end of a lock.

use std::time::Instant;

use milena_types::{ErrorCode, Offset};

use super::batch::InFlightBatch;
use super::partition::{Limits, SharePartition};
use super::record::{InFlight, RecordState};

/// What a member of a share group says of a record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "a new word comes with a new version of the protocol")]
pub enum Acknowledgement {
    /// There is none at this offset.
    Gap,
    /// It is processed.
    Accept,
    /// Another delivery may go better.
    Release,
    /// No delivery will go better.
    Reject,
    /// It needs more time (KIP-1222).
    Renew,
}

/// What a member says of neighbouring records: one word for all, or one for each.
#[derive(Clone, Debug)]
pub(crate) struct AcknowledgementBatch {
    pub(crate) first: Offset,
    pub(crate) last: Offset,
    /// Never empty.
    pub(crate) said: Vec<Acknowledgement>,
}

/// Why an acknowledgement is refused, in Kafka's words.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct AcknowledgeError {
    pub(crate) code: ErrorCode,
    pub(crate) message: &'static str,
}

/// A batch as it was before a request that may still fail.
type Undo = Vec<InFlightBatch>;

impl Acknowledgement {
    /// Reads the number that requests carry.
    pub(crate) fn from_wire(raw: i8) -> Option<Self> {
        Some(match raw {
            0 => Self::Gap,
            1 => Self::Accept,
            2 => Self::Release,
            3 => Self::Reject,
            4 => Self::Renew,
            _ => return None,
        })
    }

    fn apply(self, record: &mut InFlight, limits: &Limits, until: Instant) {
        match self {
            Self::Gap | Self::Reject => record.settle(RecordState::Archived),
            Self::Accept => record.settle(RecordState::Acknowledged),
            Self::Release => record.release(limits.deliveries_max),
            Self::Renew => record.renew(until),
        }
    }
}

impl AcknowledgementBatch {
    /// What is said, by runs of offsets of which the same is said.
    pub(crate) fn runs(&self) -> Vec<(Offset, Offset, Acknowledgement)> {
        let mut runs = Vec::new();
        // Nothing in here refuses.
        _ = each(self, self.first, self.last, |first, last, one| {
            runs.push((first, last, one));
            Ok(())
        });
        runs
    }

    /// What is said of the record at `offset`, which lies in the batch.
    fn at(&self, offset: Offset) -> Acknowledgement {
        let index = usize::try_from(offset.get() - self.first.get()).unwrap_or(usize::MAX);
        let said = self.said.get(index).or_else(|| self.said.first());
        said.copied().unwrap_or(Acknowledgement::Gap)
    }
}

impl SharePartition {
    /// Takes a member's acknowledgements, all or none of them.
    pub(crate) fn acknowledge(
        &mut self,
        now: Instant,
        member: &str,
        limits: &Limits,
        batches: &[AcknowledgementBatch],
    ) -> Result<(), AcknowledgeError> {
        let mut undo = Undo::new();
        for batch in batches {
            if batch.last < self.start {
                // Done with already, as what retention deleted meanwhile.
                continue;
            }
            if let Err(refused) = self.acknowledge_batch(now, member, limits, batch, &mut undo) {
                for mut before in undo.into_iter().rev() {
                    // Records that were told apart for a request stay so though it failed.
                    let tried = self.batches.get(&before.first());
                    if tried.is_some_and(|batch| batch.whole().is_none()) {
                        before.split();
                    }
                    self.batches.insert(before.first(), before);
                }
                return Err(refused);
            }
        }
        Ok(())
    }

    /// Moves the start past what is done with; false if there is nothing.
    pub(crate) fn settle(&mut self) -> bool {
        self.advance()
    }

    /// Takes back all that a member holds, as when its session ends; true if there was anything.
    pub(crate) fn release(&mut self, member: &str, limits: &Limits) -> bool {
        self.release_where(limits, |record| record.is_held_by(member))
    }

    /// Takes back what was held for too long; true if there was anything.
    pub(crate) fn handle_timeout(&mut self, now: Instant, limits: &Limits) -> bool {
        let is_late = |record: &InFlight| record.locked_until().is_some_and(|until| until <= now);
        let is_changed = self.release_where(limits, is_late);
        let runs = self.batches.values().flat_map(InFlightBatch::runs);
        self.next_unlock = runs.filter_map(|(_, _, record)| record.locked_until()).min();
        is_changed
    }

    fn acknowledge_batch(
        &mut self,
        now: Instant,
        member: &str,
        limits: &Limits,
        said: &AcknowledgementBatch,
        undo: &mut Undo,
    ) -> Result<(), AcknowledgeError> {
        let until = now.checked_add(limits.lock).unwrap_or(now);
        for key in self.acknowledged_keys(said)? {
            let start = self.start;
            let Some(batch) = self.batches.get_mut(&key) else { continue };
            if batch.last() < start {
                continue;
            }
            undo.push(batch.clone());
            let (first, last) =
                (batch.first().max(said.first).max(start), batch.last().min(said.last));
            if let Some(record) = batch.whole() {
                check_whole(record, member)?;
                let is_part = !batch.is_within(said.first, said.last) || batch.first() < start;
                if is_part || said.said.len() > 1 {
                    batch.split();
                }
            }
            if batch.whole().is_some() {
                let one = said.at(said.first);
                check_renewal(one, limits)?;
                batch
                    .change(batch.first(), batch.last(), |record| one.apply(record, limits, until));
            } else {
                check_each(batch, first, last, member)?;
                each(said, first, last, |first, last, one| {
                    check_renewal(one, limits)?;
                    batch.change(first, last, |record| one.apply(record, limits, until));
                    Ok(())
                })?;
            }
        }
        Ok(())
    }

    /// The batches in flight that an acknowledgement speaks of.
    fn acknowledged_keys(
        &self,
        said: &AcknowledgementBatch,
    ) -> Result<Vec<Offset>, AcknowledgeError> {
        let floor = |offset: Offset| self.batches.range(..=offset).next_back();
        let spans_start = said.first < self.start && said.last >= self.start;
        let from = floor(said.first)
            .or_else(|| floor(self.start).filter(|_| spans_start))
            .ok_or(NOT_IN_FLIGHT)?;
        let range = *from.0..=said.last.max(*from.0);
        let past = self.batches.range(range.clone()).next_back().map(|(_, batch)| batch.last());
        let past = past.ok_or(NOT_IN_FLIGHT)?;
        if past < said.first {
            return Err(FIRST_PAST);
        }
        if past < said.last {
            return Err(LAST_PAST);
        }
        Ok(self.batches.range(range).map(|(key, _)| *key).collect())
    }

    fn release_where(&mut self, limits: &Limits, is_meant: impl Fn(&InFlight) -> bool) -> bool {
        let start = self.start;
        let mut is_changed = false;
        for batch in self.batches.values_mut() {
            let meant: Vec<_> = batch
                .runs()
                .filter(|(_, _, record)| {
                    record.state() == RecordState::Acquired && is_meant(record)
                })
                .map(|(first, last, _)| (first, last))
                .collect();
            if meant.is_empty() {
                continue;
            }
            is_changed = true;
            if batch.whole().is_some() && batch.first() < start && batch.last() >= start {
                batch.split();
            }
            for (first, last) in meant {
                // The log no longer has what lies below the start.
                if first < start {
                    let before = Offset::new(start.get() - 1).unwrap_or(first).min(last);
                    batch.change(first, before, |record| record.settle(RecordState::Archived));
                }
                if last >= start {
                    let release = |record: &mut InFlight| record.release(limits.deliveries_max);
                    batch.change(first.max(start), last, release);
                }
            }
        }
        is_changed
    }
}

fn check_whole(record: &InFlight, member: &str) -> Result<(), AcknowledgeError> {
    if !record.is_held() {
        return Err(BATCH_NOT_ACQUIRED);
    }
    if record.is_held_by(member) { Ok(()) } else { Err(NOT_OWNER_OF_BATCH) }
}

fn check_each(
    batch: &InFlightBatch,
    first: Offset,
    last: Offset,
    member: &str,
) -> Result<(), AcknowledgeError> {
    for (_, _, record) in batch.runs_within(first..=last) {
        if record.state() != RecordState::Acquired {
            return Err(OFFSET_NOT_ACQUIRED);
        }
        if !record.is_held_by(member) {
            return Err(NOT_OWNER_OF_OFFSET);
        }
    }
    Ok(())
}

fn check_renewal(said: Acknowledgement, limits: &Limits) -> Result<(), AcknowledgeError> {
    if said == Acknowledgement::Renew && !limits.may_renew { Err(NO_RENEWAL) } else { Ok(()) }
}

/// Calls `take` with runs of offsets of which the same is said.
fn each(
    said: &AcknowledgementBatch,
    first: Offset,
    last: Offset,
    mut take: impl FnMut(Offset, Offset, Acknowledgement) -> Result<(), AcknowledgeError>,
) -> Result<(), AcknowledgeError> {
    if said.said.len() == 1 {
        return take(first, last, said.at(first));
    }
    let mut from = first;
    while from <= last {
        let one = said.at(from);
        let mut to = from;
        while to < last && said.at(to.next()) == one {
            to = to.next();
        }
        take(from, to, one)?;
        from = to.next();
    }
    Ok(())
}

const fn invalid_state(message: &'static str) -> AcknowledgeError {
    AcknowledgeError { code: ErrorCode::INVALID_RECORD_STATE, message }
}

const NOT_IN_FLIGHT: AcknowledgeError =
    invalid_state("Batch record not found. The request batch offsets are not found in the cache.");
const FIRST_PAST: AcknowledgeError = AcknowledgeError {
    code: ErrorCode::INVALID_REQUEST,
    message: "Batch record not found. The first offset in request is past acquired records.",
};
const LAST_PAST: AcknowledgeError = AcknowledgeError {
    code: ErrorCode::INVALID_REQUEST,
    message: "Batch record not found. The last offset in request is past acquired records.",
};
const BATCH_NOT_ACQUIRED: AcknowledgeError =
    invalid_state("The batch cannot be acknowledged. The batch is not in the acquired state.");
const NOT_OWNER_OF_BATCH: AcknowledgeError =
    invalid_state("Member is not the owner of batch record");
const OFFSET_NOT_ACQUIRED: AcknowledgeError =
    invalid_state("The offset cannot be acknowledged. The offset is not acquired.");
const NOT_OWNER_OF_OFFSET: AcknowledgeError = invalid_state("Member is not the owner of offset");
const NO_RENEWAL: AcknowledgeError =
    invalid_state("Renewing acquisition locks is not enabled for the group.");
