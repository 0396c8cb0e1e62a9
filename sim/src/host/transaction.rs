//! A user of transactions: begins one, fills it, commits or aborts it, and begins the next.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use fastrand::Rng;
use milena_engine::consumer::CommittedOffset;
use milena_engine::producer::Producer;
use milena_engine::transaction::{GroupMetadata, TransactionCall};
use milena_engine::{Error, Fate};
use milena_types::{Offset, TopicPartition};

use crate::clock::Clock;
use crate::history::{Call, CallKind, Ended, History, Transaction};
use crate::scenario::TransactionPlan;
use crate::world::TOPIC;

/// What the user of a transactional producer has in mind.
pub(super) struct TransactionUser {
    index: usize,
    plan: TransactionPlan,
    max_block: Duration,
    /// Whether its records and calls have time for every network.
    is_patient: bool,
    /// From when on everything is to be committed.
    healed: Duration,
    rng: Rng,
    phase: Phase,
    /// The place of the open transaction, or the last, in the history.
    current: usize,
    /// Records handed over to it.
    records: usize,
    /// A record of it was refused: it must not be committed.
    is_spoilt: bool,
    has_offsets: bool,
    /// Nothing is begun before.
    not_before: Duration,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Idle,
    Beginning(Waiting),
    Open,
    AddingOffsets(Waiting),
    Committing(Waiting),
    Aborting(Waiting),
    /// The producer is of no more use.
    Over,
}

/// A call, and its place in the history.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    call: TransactionCall,
    place: usize,
}

impl TransactionUser {
    pub(super) fn new(
        index: usize,
        plan: TransactionPlan,
        (max_block, delivery_timeout): (Duration, Duration),
        healed: Duration,
        rng: Rng,
    ) -> Self {
        Self {
            index,
            plan,
            max_block,
            is_patient: max_block.min(delivery_timeout) >= PATIENCE,
            healed,
            rng,
            phase: Phase::Idle,
            current: 0,
            records: 0,
            is_spoilt: false,
            has_offsets: false,
            not_before: Duration::ZERO,
        }
    }

    /// The transaction that a record belongs to which is handed over now.
    pub(super) fn current(&self) -> Option<usize> {
        matches!(self.phase, Phase::Open).then_some(self.current)
    }

    pub(super) fn is_idle(&self) -> bool {
        matches!(self.phase, Phase::Idle | Phase::Over)
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over)
    }

    /// When it may go on by itself; `None` while it waits for a call.
    pub(super) fn may_move(&self, next_record: Option<Duration>) -> Option<Duration> {
        match self.phase {
            Phase::Idle => next_record.map(|at| at.max(self.not_before)),
            Phase::Open => next_record,
            Phase::Beginning(_)
            | Phase::AddingOffsets(_)
            | Phase::Committing(_)
            | Phase::Aborting(_)
            | Phase::Over => None,
        }
    }

    /// A record was handed over, or refused.
    pub(super) fn sent(&mut self, is_taken: bool) {
        self.records += 1;
        self.is_spoilt |= !is_taken;
    }

    /// Whether the next record may be handed over now; begins and ends what is due.
    pub(super) fn is_ready(
        &mut self,
        machine: &mut Producer,
        clock: &Clock,
        history: &mut History,
    ) -> bool {
        match self.phase {
            Phase::Open if self.records < self.plan.records => true,
            Phase::Open => {
                self.end(machine, clock, history);
                false
            }
            Phase::Idle if self.not_before <= clock.elapsed() => {
                let call = machine.begin_transaction(self.deadline(clock));
                self.phase = self.wait(clock, history, CallKind::Begin, call, Phase::Beginning);
                false
            }
            Phase::Idle
            | Phase::Beginning(_)
            | Phase::AddingOffsets(_)
            | Phase::Committing(_)
            | Phase::Aborting(_)
            | Phase::Over => false,
        }
    }

    /// No record is to come: what is open is ended.
    pub(super) fn finish(&mut self, machine: &mut Producer, clock: &Clock, history: &mut History) {
        if matches!(self.phase, Phase::Open) {
            self.end(machine, clock, history);
        }
    }

    /// A call has its result.
    pub(super) fn done(
        &mut self,
        machine: &mut Producer,
        clock: &Clock,
        history: &mut History,
        call: TransactionCall,
        result: &Result<(), Error>,
    ) {
        let (Phase::Beginning(waiting)
        | Phase::AddingOffsets(waiting)
        | Phase::Committing(waiting)
        | Phase::Aborting(waiting)) = self.phase
        else {
            return;
        };
        if waiting.call != call {
            return;
        }
        if let Some(call) = history.calls.get_mut(waiting.place) {
            call.returned = Some((clock.elapsed(), result.is_ok()));
        }
        if let Err(error) = result {
            let phase = self.phase;
            history
                .surfaced
                .push((clock.elapsed(), format!("{} in {phase:?}: {error}", self.index)));
        }
        match (self.phase, result) {
            (Phase::Beginning(_), Ok(())) => self.begun(clock, history),
            (Phase::AddingOffsets(_), Ok(())) => self.commit(machine, clock, history),
            (Phase::AddingOffsets(_), Err(error)) if !error.is_fatal() => {
                self.abort(machine, clock, history);
            }
            (Phase::Committing(_), Ok(())) => {
                self.ended(clock, history, Ended::Committed);
                self.phase = Phase::Idle;
            }
            (Phase::Committing(_), Err(error)) if error.is_abortable() => {
                self.abort(machine, clock, history);
            }
            (Phase::Committing(_), Err(error)) if error.fate() == Fate::Unknown => {
                self.ended(clock, history, Ended::Unknown);
                self.rest(clock, error.is_fatal());
            }
            (Phase::Committing(_), Err(error)) if !error.is_fatal() => {
                self.abort(machine, clock, history);
            }
            (Phase::Beginning(_), Err(error)) => self.rest(clock, error.is_fatal()),
            (Phase::AddingOffsets(_) | Phase::Committing(_) | Phase::Aborting(_), result) => {
                self.ended(clock, history, Ended::Aborted);
                self.rest(clock, result.as_ref().is_err_and(Error::is_fatal));
            }
            (Phase::Idle | Phase::Open | Phase::Over, _) => {}
        }
    }

    /// The client's process ends: what was not asked to be committed never will be.
    pub(super) fn die(&mut self, clock: &Clock, history: &mut History) {
        if let Phase::Beginning(waiting)
        | Phase::AddingOffsets(waiting)
        | Phase::Committing(waiting)
        | Phase::Aborting(waiting) = self.phase
            && let Some(call) = history.calls.get_mut(waiting.place)
        {
            call.returned = Some((clock.elapsed(), false));
        }
        match self.phase {
            Phase::Committing(_) => self.ended(clock, history, Ended::Unknown),
            Phase::Open | Phase::AddingOffsets(_) | Phase::Aborting(_) => {
                self.ended(clock, history, Ended::Aborted);
            }
            Phase::Idle | Phase::Beginning(_) | Phase::Over => {}
        }
        self.phase = Phase::Over;
    }

    fn begun(&mut self, clock: &Clock, history: &mut History) {
        let is_calm = clock.elapsed() > self.healed;
        let is_aborted = !is_calm && self.plan.aborts > 0 && self.rng.u32(0..self.plan.aborts) == 0;
        self.current = history.transactions.len();
        self.records = 0;
        self.is_spoilt = false;
        self.has_offsets = self.plan.offsets;
        self.phase = Phase::Open;
        history.transactions.push(Transaction {
            producer: self.index,
            group: self.plan.group(),
            begun: clock.elapsed(),
            is_to_commit: !is_aborted,
            patience: if self.is_patient { self.plan.timeout } else { Duration::ZERO },
            commit_called: None,
            ended: None,
            offset: None,
            took: Vec::new(),
            copies: Vec::new(),
        });
    }

    fn end(&mut self, machine: &mut Producer, clock: &Clock, history: &mut History) {
        let transaction = history.transactions.get(self.current);
        let is_to_commit = transaction.is_some_and(|transaction| transaction.is_to_commit);
        if self.is_spoilt || !is_to_commit {
            self.abort(machine, clock, history);
        } else if self.has_offsets {
            // A number used once, so that its transaction is known by it.
            let number = i64::try_from(self.current).unwrap_or(0) + 1;
            if let Some(transaction) = history.transactions.get_mut(self.current) {
                transaction.offset = Some(number);
            }
            let offset = CommittedOffset::new(Offset::new(number).unwrap_or(Offset::ZERO));
            let offsets = BTreeMap::from([(TopicPartition::new(TOPIC, 0), offset)]);
            let group = GroupMetadata::without_member(self.plan.group());
            let deadline = self.deadline(clock);
            let call = machine.send_offsets_to_transaction(offsets, group, deadline);
            self.phase = self.wait(clock, history, CallKind::Offsets, call, Phase::AddingOffsets);
        } else {
            self.commit(machine, clock, history);
        }
    }

    fn commit(&mut self, machine: &mut Producer, clock: &Clock, history: &mut History) {
        if let Some(transaction) = history.transactions.get_mut(self.current) {
            transaction.commit_called = Some(clock.elapsed());
        }
        let call = machine.commit_transaction(clock.now(), self.deadline(clock));
        self.phase = self.wait(clock, history, CallKind::EndTransaction, call, Phase::Committing);
    }

    fn abort(&mut self, machine: &mut Producer, clock: &Clock, history: &mut History) {
        let call = machine.abort_transaction(self.deadline(clock));
        self.phase = self.wait(clock, history, CallKind::EndTransaction, call, Phase::Aborting);
    }

    fn ended(&self, clock: &Clock, history: &mut History, ended: Ended) {
        if let Some(transaction) = history.transactions.get_mut(self.current) {
            transaction.ended = Some((clock.elapsed(), ended));
        }
    }

    /// After an error: users try again after a while, or not at all.
    fn rest(&mut self, clock: &Clock, is_over: bool) {
        self.phase = if is_over { Phase::Over } else { Phase::Idle };
        self.not_before = clock.elapsed() + PAUSE;
    }

    fn wait(
        &self,
        clock: &Clock,
        history: &mut History,
        what: CallKind,
        call: Result<TransactionCall, Error>,
        phase: fn(Waiting) -> Phase,
    ) -> Phase {
        let Ok(call) = call else { unreachable!("the producer has a transactional id") };
        history.calls.push(Call {
            what,
            client: self.index,
            invoked: clock.elapsed(),
            deadline: clock.elapsed() + self.max_block + TICK,
            returned: None,
        });
        phase(Waiting { call, place: history.calls.len() - 1 })
    }

    fn deadline(&self, clock: &Clock) -> Instant {
        clock.now() + self.max_block
    }
}

/// Records and calls that give up before this may do so for a slow network alone.
const PATIENCE: Duration = Duration::from_secs(30);

const PAUSE: Duration = Duration::from_millis(100);

/// Deadlines are met to the resolution of a timer.
const TICK: Duration = Duration::from_millis(1);
