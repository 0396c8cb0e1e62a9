//! One share consumer of a client, from joining to closing, and what its user does with what he is handed.

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use fastrand::Rng;
use milena_broker::Acknowledgement as Said;
use milena_engine::metadata::Interest;
use milena_engine::share::{
    Acknowledge, CommitId, Delivered, Output, ShareBuffer, ShareConsumer, ShareReader,
};
use milena_records::Limits;
use milena_types::{Offset, Topic};

use crate::clock::Clock;
use crate::history::{CallKind, History, Value};
use crate::host::Wish;
use crate::host::member::{end_call, note_call};
use crate::line::Owner;
use crate::share::{Handed, SharerPlan, Told, Word};
use crate::world::TOPIC;

/// A share consumer under test, and where its user stands.
pub(super) struct Working {
    index: usize,
    life: u32,
    pub(super) machine: ShareConsumer,
    buffer: Arc<ShareBuffer>,
    reader: ShareReader,
    plan: SharerPlan,
    rng: Rng,
    phase: Phase,
    in_hand: Vec<Delivered>,
    has_failed: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    /// Busy with what he was handed, until then.
    Thinking(Duration),
    /// Is about to poll.
    Back,
    /// Waits in a poll.
    Polling,
    /// Waits for a commit, which is this call in the history.
    Committing(CommitId, usize),
    /// Waits for the call in the history, if there is one, that closes.
    Closing(Option<usize>),
    Closed,
}

impl Working {
    pub(super) fn new(
        (index, life): (usize, u32),
        mut machine: ShareConsumer,
        plan: &SharerPlan,
        clock: &Clock,
        rng: Rng,
    ) -> Self {
        let buffer = Arc::clone(machine.buffer());
        let reader = ShareReader::new(Arc::clone(&buffer), true, Limits::default());
        if let Err(error) = machine.subscribe(clock.now(), [Topic::from(TOPIC)].into()) {
            unreachable!("a new share consumer takes topics: {error}");
        }
        Self {
            index,
            life,
            machine,
            buffer,
            reader,
            plan: plan.clone(),
            rng,
            phase: Phase::Thinking(clock.elapsed()),
            in_hand: Vec::new(),
            has_failed: false,
        }
    }

    /// Whether the user may do something else now.
    pub(super) fn is_free(&self) -> bool {
        matches!(self.phase, Phase::Thinking(_) | Phase::Back | Phase::Polling)
    }

    pub(super) fn is_done(&self) -> bool {
        self.phase == Phase::Polling && self.in_hand.is_empty()
    }

    pub(super) fn is_over(&self) -> bool {
        self.phase == Phase::Closed
    }

    /// Whether it told its user an error that ends it, which he has not acted on.
    pub(super) fn has_failed(&self) -> bool {
        self.has_failed && self.is_free()
    }

    pub(super) fn next_move(&self) -> Option<Duration> {
        match self.phase {
            Phase::Thinking(until) => Some(until),
            Phase::Back => Some(Duration::ZERO),
            Phase::Polling if self.is_ready() => Some(Duration::ZERO),
            Phase::Polling | Phase::Committing(..) | Phase::Closing(_) | Phase::Closed => None,
        }
    }

    /// Whether there is something for who polls; asks for it where there is not.
    fn is_ready(&self) -> bool {
        self.buffer.poll_ready(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    pub(super) fn run(&mut self, clock: &Clock, history: &mut History) {
        if matches!(self.phase, Phase::Thinking(until) if until <= clock.elapsed()) {
            self.come_back(clock, history);
        }
        if self.phase == Phase::Back {
            self.accept_in_hand(clock, history);
            self.buffer.enter_poll(clock.now());
            self.phase = Phase::Polling;
        }
        if self.phase == Phase::Polling {
            self.look(clock, history);
        }
        if self.buffer.poll_stirred(&mut Context::from_waker(Waker::noop())).is_ready() {
            self.machine.handle_buffer(clock.now());
        }
    }

    pub(super) fn drain(&mut self, clock: &Clock, history: &mut History, wishes: &mut Vec<Wish>) {
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Request(request) => {
                    wishes.push(Wish::Send(Owner::Consumer(self.life), request));
                }
                Output::Topics(topics) => {
                    wishes.push(Wish::Interest(Interest::Topics { topics, may_create: false }));
                }
                Output::RefreshMetadata => wishes.push(Wish::Refresh),
                Output::LeaderHint(hint) => wishes.push(Wish::Hint(hint)),
                Output::Acknowledged(told) => {
                    let (at, is_taken) = (clock.elapsed(), told.result.is_ok());
                    let Some(shares) = &mut history.share else { continue };
                    for offset in told.offsets.iter().flat_map(each) {
                        let (member, of) =
                            (self.machine.member_id().into(), told.partition.clone());
                        shares.told.push(Told { member, of, offset, at, is_taken });
                    }
                }
                Output::Committed { id, result } => {
                    if let Phase::Committing(waiting, call) = self.phase
                        && waiting == id
                    {
                        end_call(history, clock, call, result.is_ok());
                        self.phase = Phase::Back;
                    }
                }
                Output::Closed { result } => {
                    if let Phase::Closing(Some(call)) = self.phase {
                        end_call(history, clock, call, result.is_ok());
                    }
                    self.phase = Phase::Closed;
                }
            }
        }
    }

    pub(super) fn close(&mut self, clock: &Clock, history: &mut History) {
        self.accept_in_hand(clock, history);
        self.in_hand.clear();
        let call = note_call(history, clock, self.index, CallKind::Close, CLOSE_TIMEOUT);
        self.phase = Phase::Closing(Some(call));
        self.machine.close(clock.now(), CLOSE_TIMEOUT);
    }

    /// Drops it with records in hand.
    pub(super) fn abandon(&mut self, clock: &Clock, history: &mut History) {
        self.in_hand.clear();
        let call = note_call(history, clock, self.index, CallKind::Close, CLOSE_TIMEOUT);
        self.phase = Phase::Closing(Some(call));
        self.machine.abandon(clock.now(), CLOSE_TIMEOUT);
    }

    pub(super) fn dawdle(&mut self, clock: &Clock, lasts: Duration) {
        if self.phase == Phase::Polling {
            self.buffer.leave_poll(clock.now());
        }
        self.phase = Phase::Thinking(clock.elapsed() + lasts);
    }

    pub(super) fn die(self, clock: &Clock, history: &mut History) {
        if let Phase::Committing(_, call) | Phase::Closing(Some(call)) = self.phase {
            end_call(history, clock, call, false);
        }
    }

    /// The user has worked on what he was handed, says so, and asks for more.
    fn come_back(&mut self, clock: &Clock, history: &mut History) {
        for delivered in std::mem::take(&mut self.in_hand) {
            match self.judge() {
                Some(what) => {
                    self.say(clock, history, &delivered, what);
                    if what == Acknowledge::Renew {
                        self.in_hand.push(delivered);
                    }
                }
                // Accepted with the next poll.
                None if !self.plan.explicit => self.in_hand.push(delivered),
                None => {}
            }
        }
        let commits = self.plan.commits;
        if commits > 0 && self.rng.u32(0..commits) == 0 {
            self.accept_in_hand(clock, history);
            let timeout = self.plan.api_timeout;
            let call = note_call(history, clock, self.index, CallKind::Commit, timeout);
            let commit = self.machine.commit(clock.now());
            self.phase = Phase::Committing(commit, call);
            return;
        }
        self.phase = Phase::Back;
    }

    /// What he says of a record; nothing where he forgets it, or leaves it to the next poll.
    fn judge(&mut self) -> Option<Acknowledge> {
        let doubts = self.plan.doubts;
        if doubts == 0 || self.rng.u32(0..doubts) > 0 {
            return self.plan.explicit.then_some(Acknowledge::Accept);
        }
        match self.rng.u32(0..5) {
            0 | 1 => Some(Acknowledge::Release),
            2 => Some(Acknowledge::Reject),
            3 if self.plan.explicit => Some(Acknowledge::Renew),
            _ => None,
        }
    }

    fn say(&self, clock: &Clock, history: &mut History, of: &Delivered, what: Acknowledge) {
        self.note(clock, history, of, what);
        self.buffer.acknowledge(of.acquisition, &of.partition, of.record.offset(), what);
    }

    /// With implicit acknowledgement, what is in hand is done with.
    fn accept_in_hand(&mut self, clock: &Clock, history: &mut History) {
        if self.plan.explicit {
            return;
        }
        for delivered in std::mem::take(&mut self.in_hand) {
            self.note(clock, history, &delivered, Acknowledge::Accept);
        }
        self.buffer.accept_in_hand();
    }

    fn note(&self, clock: &Clock, history: &mut History, of: &Delivered, what: Acknowledge) {
        let said = match what {
            Acknowledge::Gap => Said::Gap,
            Acknowledge::Accept => Said::Accept,
            Acknowledge::Release => Said::Release,
            Acknowledge::Reject => Said::Reject,
            Acknowledge::Renew => Said::Renew,
        };
        let Some(shares) = &mut history.share else { return };
        shares.words.push(Word {
            member: self.machine.member_id().into(),
            of: of.partition.clone(),
            offset: of.record.offset(),
            said,
            at: clock.elapsed(),
        });
    }

    /// Hears what there is to hear, then takes what there is to work on.
    fn look(&mut self, clock: &Clock, history: &mut History) {
        while let Some(error) = self.buffer.take_error() {
            history.surfaced.push((clock.elapsed(), format!("{}: {error}", self.index)));
            if error.is_fatal() {
                self.has_failed = true;
                self.buffer.leave_poll(clock.now());
                self.phase = Phase::Thinking(Duration::MAX);
                return;
            }
        }
        let before = self.in_hand.len();
        while self.in_hand.len() - before < self.plan.max_poll_records {
            match self.reader.poll() {
                Ok(Some(delivered)) => {
                    self.take(clock, history, &delivered);
                    self.in_hand.push(delivered);
                }
                Ok(None) => break,
                Err(error) => {
                    history.surfaced.push((clock.elapsed(), format!("{}: {error}", self.index)));
                }
            }
        }
        // Who has asked for more time comes back for that, too.
        if self.in_hand.is_empty() {
            // Before the machine looks: it fetches for who waits.
            let _ = self.is_ready();
            return;
        }
        self.buffer.leave_poll(clock.now());
        let ms = u64::try_from(self.plan.slow.as_millis()).unwrap_or(0).max(1);
        let pause = if self.rng.u32(0..8) == 0 { self.rng.u64(0..ms) } else { 0 };
        let pause = if before > 0 { pause.max(RENEWED_MS) } else { pause };
        self.phase = Phase::Thinking(clock.elapsed() + Duration::from_millis(pause));
    }

    fn take(&self, clock: &Clock, history: &mut History, delivered: &Delivered) {
        let bytes = delivered.record.value().map(|value| value.to_vec()).unwrap_or_default();
        let value = bytes.first_chunk().map_or(u64::MAX, |bytes| u64::from_be_bytes(*bytes));
        let Some(shares) = &mut history.share else { return };
        shares.handed.push(Handed {
            member: self.machine.member_id().into(),
            from: delivered.partition.clone(),
            offset: delivered.record.offset(),
            value: Value(value),
            delivery_count: i16::try_from(delivered.delivery_count).unwrap_or(i16::MAX),
            at: clock.elapsed(),
            locked_until: clock.since_start(delivered.locked_until),
        });
    }
}

impl fmt::Display for Working {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (state, assignment) = (self.machine.member_state(), self.machine.assignment());
        write!(f, "{:?}, {state:?}, {} in hand, ", self.phase, self.in_hand.len())?;
        write!(f, "is assigned {assignment:?}")
    }
}

fn each(range: &RangeInclusive<Offset>) -> impl Iterator<Item = Offset> + use<> {
    (range.start().get()..=range.end().get()).filter_map(Offset::new)
}

/// What closing may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long at least a user works on who has asked for more time.
const RENEWED_MS: u64 = 200;
