//! The producer of a member that copies: what it read, and how far, goes into one transaction (F66).

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fastrand::Rng;
use milena_engine::consumer::CommittedOffset;
use milena_engine::metadata::Cluster;
use milena_engine::producer::{
    Accumulator, Delivery, NewRecord, Output, Producer, Refused, Settings,
};
use milena_engine::request::Answer;
use milena_engine::transaction::{GroupMetadata, TransactionCall, TransactionVersion};
use milena_engine::{Error, Fate};
use milena_records::{Compressor, Decompressor};
use milena_types::{Sequence, TopicPartition};

use super::Wish;
use super::member::{end_call, note_call};
use super::producer::settle;
use crate::clock::Clock;
use crate::group::{CopyPlan, GROUP, is_copied};
use crate::history::{CallKind, Ended, History, Outcome, Send, Transaction, Value};
use crate::line::Owner;
use crate::scenario::Scenario;
use crate::world::TOPIC;

/// What a poll handed out, and in whose name its offsets are committed.
pub(super) struct Handed {
    pub(super) values: Vec<Value>,
    pub(super) ends: BTreeMap<TopicPartition, CommittedOffset>,
    pub(super) group: GroupMetadata,
}

/// A transactional producer, and what it is in the midst of.
pub(super) struct Copier {
    index: usize,
    plan: CopyPlan,
    first: Sequence,
    partitions: i32,
    rng: Rng,
    /// Which producer of this client it is: answers to another one's requests are not its.
    life: u32,
    machine: Producer,
    accumulator: Arc<Accumulator>,
    compressor: Compressor,
    decompressor: Decompressor,
    version: TransactionVersion,
    cluster: Arc<Cluster>,
    deliveries: Vec<(usize, Delivery)>,
    /// How many copies it ever made, by which they are told apart.
    copies: u64,
    handed: Option<Handed>,
    /// What is still to be sent of it.
    drafts: Vec<(Value, Value)>,
    step: Step,
    /// The place of the transaction in the history.
    current: usize,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Idle,
    Beginning(Waiting),
    /// Until then the topic has to be known.
    Sending(Duration),
    AddingOffsets(Waiting),
    Committing(Waiting),
    Aborting(Waiting),
    /// Whether what was handed out is done with.
    Over(bool),
}

/// A call, and its place in the history.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    call: TransactionCall,
    place: usize,
}

impl Copier {
    pub(super) fn new(index: usize, plan: CopyPlan, scenario: &Scenario, mut rng: Rng) -> Self {
        let first = Sequence::from_wire(scenario.first_sequence).unwrap_or(Sequence::ZERO);
        let (machine, accumulator) = producer(index, plan, first, &mut rng);
        let mut copier = Self {
            index,
            plan,
            first,
            partitions: scenario.partitions,
            rng,
            life: 0,
            machine,
            accumulator,
            compressor: Compressor::default(),
            decompressor: Decompressor::default(),
            version: TransactionVersion::from_level(Some(scenario.transaction_version)),
            cluster: Arc::default(),
            deliveries: Vec::new(),
            copies: 0,
            handed: None,
            drafts: Vec::new(),
            step: Step::Idle,
            current: 0,
        };
        copier.machine.handle_transaction_version(copier.version);
        copier
    }

    pub(super) fn handle_transaction_version(&mut self, level: Option<i16>) {
        self.version = TransactionVersion::from_level(level);
        self.machine.handle_transaction_version(self.version);
    }

    pub(super) fn handle_metadata(&mut self, now: Instant, cluster: Arc<Cluster>) {
        self.cluster = Arc::clone(&cluster);
        self.machine.handle_metadata(now, cluster);
    }

    pub(super) fn handle_answer(&mut self, now: Instant, life: u32, answer: Answer) {
        if life == self.life {
            self.machine.handle_answer(now, answer);
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if self.poll_timeout().is_some_and(|at| at <= now) {
            self.machine.handle_timeout(now);
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.machine.poll_timeout()
    }

    /// When it gives up by itself, counted from the world's start.
    pub(super) fn next_move(&self) -> Option<Duration> {
        if let Step::Sending(until) = self.step { Some(until) } else { None }
    }

    pub(super) fn is_idle(&self) -> bool {
        matches!(self.step, Step::Idle)
    }

    /// Begins a transaction for what was handed out.
    pub(super) fn copy(&mut self, clock: &Clock, history: &mut History, handed: Handed) {
        for value in handed.values.iter().filter(|value| is_copied(**value)) {
            let copy = Value(COPY | (self.index as u64) << 32 | self.copies);
            self.copies += 1;
            self.drafts.push((*value, copy));
        }
        self.handed = Some(handed);
        let call = self.machine.begin_transaction(self.deadline(clock));
        self.step = self.wait(clock, history, CallKind::Begin, call, Step::Beginning);
    }

    /// Whether all of it is done with, once that is known.
    pub(super) fn take_result(&mut self) -> Option<bool> {
        let Step::Over(is_ok) = self.step else { return None };
        self.step = Step::Idle;
        Some(is_ok)
    }

    pub(super) fn run(&mut self, clock: &Clock, history: &mut History, wishes: &mut Vec<Wish>) {
        self.send(clock, history);
        let now = clock.now();
        while let Some(output) = self.machine.poll_output(now) {
            match output {
                Output::Request(request) => {
                    wishes.push(Wish::Send(Owner::Copier(self.life), request));
                }
                Output::Seal(job) => {
                    let sealed = job.run(&mut self.compressor, &mut self.decompressor);
                    self.machine.handle_sealed(sealed);
                }
                Output::UseTopic(topic) => wishes.push(Wish::Use(topic)),
                Output::RefreshMetadata => wishes.push(Wish::Refresh),
                Output::LeaderHint(hint) => wishes.push(Wish::Hint(hint)),
                Output::Flushed(_) | Output::Closed => {}
                Output::TransactionDone(call, result) => {
                    self.settle(clock, history);
                    self.done(clock, history, call, &result);
                    self.send(clock, history);
                }
            }
        }
        self.settle(clock, history);
        let bytes = self.accumulator.bytes_used() as u64;
        history.buffered_bytes_max = history.buffered_bytes_max.max(bytes);
    }

    /// The client's process ends without a word.
    pub(super) fn die(&mut self, clock: &Clock, history: &mut History) {
        if let Step::Beginning(waiting)
        | Step::AddingOffsets(waiting)
        | Step::Committing(waiting)
        | Step::Aborting(waiting) = self.step
        {
            end_call(history, clock, waiting.place, false);
        }
        match self.step {
            Step::Committing(_) => self.ended(clock, history, Ended::Unknown),
            Step::Sending(_) | Step::AddingOffsets(_) | Step::Aborting(_) => {
                self.ended(clock, history, Ended::Aborted);
            }
            Step::Idle | Step::Beginning(_) | Step::Over(_) => {}
        }
        self.cluster = Arc::default();
        self.begin_anew(clock, history);
        self.step = Step::Idle;
    }

    /// Sends what is left, once it is known where to; then the offsets.
    fn send(&mut self, clock: &Clock, history: &mut History) {
        let Step::Sending(until) = self.step else { return };
        let topic = self.accumulator.topic(TOPIC);
        while let Some((_, copy)) = self.drafts.last().copied() {
            let bytes = copy.0.to_be_bytes();
            let partition = self.rng.i32(0..self.partitions);
            let record = NewRecord {
                partition: Some(partition),
                timestamp: clock.wall(),
                key: None,
                value: Some(&bytes[..]),
                headers: std::iter::empty(),
            };
            let now = clock.now();
            match self.accumulator.try_append(&topic, &record, None, || now) {
                Ok(appended) => {
                    self.deliveries.push((history.sends.len(), appended.delivery));
                    history.sends.push(Send {
                        producer: self.index,
                        value: copy,
                        to: TopicPartition::new(TOPIC, partition),
                        transaction: Some(self.current),
                        invoked: clock.elapsed(),
                        deadline: clock.elapsed() + self.plan.delivery_timeout + TICK,
                        is_taken: true,
                        is_watched: false,
                        returned: Vec::new(),
                    });
                    self.drafts.pop();
                }
                Err(Refused::NoRoom { .. } | Refused::UnknownPartition)
                    if clock.elapsed() < until =>
                {
                    return;
                }
                Err(_) => return self.abort(clock, history),
            }
        }
        let Some(handed) = self.handed.take() else { return };
        let deadline = self.deadline(clock);
        let call = self.machine.send_offsets_to_transaction(handed.ends, handed.group, deadline);
        self.step = self.wait(clock, history, CallKind::Offsets, call, Step::AddingOffsets);
    }

    fn done(
        &mut self,
        clock: &Clock,
        history: &mut History,
        call: TransactionCall,
        result: &Result<(), Error>,
    ) {
        let (Step::Beginning(waiting)
        | Step::AddingOffsets(waiting)
        | Step::Committing(waiting)
        | Step::Aborting(waiting)) = self.step
        else {
            return;
        };
        if waiting.call != call {
            return;
        }
        end_call(history, clock, waiting.place, result.is_ok());
        if let Err(error) = result {
            let text = format!("{} copies in {:?}: {error}", self.index, self.step);
            history.surfaced.push((clock.elapsed(), text));
        }
        match (self.step, result) {
            (Step::Beginning(_), Ok(())) => {
                self.begun(clock, history);
                self.step = Step::Sending(clock.elapsed() + MAX_BLOCK);
            }
            (Step::AddingOffsets(_), Ok(())) => self.commit(clock, history),
            (Step::Committing(_), Ok(())) => {
                self.ended(clock, history, Ended::Committed);
                self.step = Step::Over(true);
            }
            (Step::Aborting(_), Ok(())) => {
                self.ended(clock, history, Ended::Aborted);
                self.over();
            }
            (Step::AddingOffsets(_) | Step::Committing(_), Err(error)) if error.is_abortable() => {
                self.abort(clock, history);
            }
            (Step::Committing(_), Err(error)) if error.fate() == Fate::Unknown => {
                self.ended(clock, history, Ended::Unknown);
                self.begin_anew(clock, history);
            }
            (Step::AddingOffsets(_), Err(error)) if !error.is_fatal() => {
                self.abort(clock, history);
            }
            (step, _) => {
                if !matches!(step, Step::Beginning(_)) {
                    self.ended(clock, history, Ended::Aborted);
                }
                self.begin_anew(clock, history);
            }
        }
    }

    fn begun(&mut self, clock: &Clock, history: &mut History) {
        self.current = history.transactions.len();
        let took = self.handed.as_ref().map(|handed| handed.values.clone()).unwrap_or_default();
        history.transactions.push(Transaction {
            producer: self.index,
            group: GROUP.to_owned(),
            begun: clock.elapsed(),
            // A rebalance may come between at any time.
            is_to_commit: false,
            patience: Duration::ZERO,
            commit_called: None,
            ended: None,
            offset: None,
            took,
            copies: self.drafts.clone(),
        });
    }

    fn commit(&mut self, clock: &Clock, history: &mut History) {
        if let Some(transaction) = history.transactions.get_mut(self.current) {
            transaction.commit_called = Some(clock.elapsed());
        }
        let call = self.machine.commit_transaction(clock.now(), self.deadline(clock));
        self.step = self.wait(clock, history, CallKind::EndTransaction, call, Step::Committing);
    }

    fn abort(&mut self, clock: &Clock, history: &mut History) {
        let call = self.machine.abort_transaction(self.deadline(clock));
        self.step = self.wait(clock, history, CallKind::EndTransaction, call, Step::Aborting);
    }

    fn ended(&self, clock: &Clock, history: &mut History, ended: Ended) {
        if let Some(transaction) = history.transactions.get_mut(self.current) {
            transaction.ended = Some((clock.elapsed(), ended));
        }
    }

    fn over(&mut self) {
        self.drafts.clear();
        self.handed = None;
        self.step = Step::Over(false);
    }

    /// Another producer takes the place of one that is of no more use, and fences it.
    fn begin_anew(&mut self, clock: &Clock, history: &mut History) {
        self.settle(clock, history);
        for (place, _) in self.deliveries.drain(..) {
            if let Some(send) = history.sends.get_mut(place) {
                send.returned.push((clock.elapsed(), Outcome::Unknown));
            }
        }
        self.life += 1;
        (self.machine, self.accumulator) =
            producer(self.index, self.plan, self.first, &mut self.rng);
        self.machine.handle_transaction_version(self.version);
        self.machine.handle_metadata(clock.now(), Arc::clone(&self.cluster));
        self.over();
    }

    fn settle(&mut self, clock: &Clock, history: &mut History) {
        settle(&mut self.deliveries, clock, history);
    }

    fn wait(
        &self,
        clock: &Clock,
        history: &mut History,
        what: CallKind,
        call: Result<TransactionCall, Error>,
        step: fn(Waiting) -> Step,
    ) -> Step {
        let Ok(call) = call else { unreachable!("the producer has a transactional id") };
        let place = note_call(history, clock, self.index, what, MAX_BLOCK);
        step(Waiting { call, place })
    }

    fn deadline(&self, clock: &Clock) -> Instant {
        clock.now() + MAX_BLOCK
    }
}

impl fmt::Display for Copier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (open, copies) = (self.deliveries.len(), self.copies);
        write!(f, "{copies} copies, {open} open, {:?}", self.step)
    }
}

fn producer(
    index: usize,
    plan: CopyPlan,
    first: Sequence,
    rng: &mut Rng,
) -> (Producer, Arc<Accumulator>) {
    let mut settings = Settings::default();
    settings.linger = Duration::ZERO;
    settings.first_sequence = first;
    settings.batch_bytes = 200;
    settings.buffer_bytes = 40_000;
    settings.request_timeout = Duration::from_secs(2);
    settings.delivery_timeout = plan.delivery_timeout;
    settings.transactional_id = Some(format!("copier {index}"));
    settings.transaction_timeout = plan.timeout;
    let accumulator = Arc::new(Accumulator::new(&settings, rng.u64(..)));
    (Producer::new(settings, Arc::clone(&accumulator), rng.fork()), accumulator)
}

/// Marks the values of copies.
const COPY: u64 = 1 << 63;

/// `max.block.ms`
const MAX_BLOCK: Duration = Duration::from_secs(10);

/// Deadlines are met to the resolution of a timer.
const TICK: Duration = Duration::from_millis(1);
