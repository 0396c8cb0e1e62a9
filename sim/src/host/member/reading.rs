//! One consumer of a client, from joining to closing, and what its user does with what he is handed.

mod commits;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use milena_broker::Cluster as Brokers;
use milena_engine::Error;
use milena_engine::consumer::{
    Change, CommitId, CommittedOffset, Consumer, Event, FetchBuffer, GroupMembershipOperation,
    Output, Polled, Reader, RebalanceId, Stay,
};
use milena_engine::metadata::Interest;
use milena_records::Limits;
use milena_types::{ErrorCode, Offset, Topic, TopicPartition};
use milena_wire::Request;

use crate::clock::Clock;
use crate::group::Commits;
use crate::history::{self, CallKind, History, Read, Start, Value};
use crate::host::Wish;
use crate::host::copier::Handed;
use crate::line::Owner;
pub(in crate::host) use commits::{end_call, note_call};

/// A consumer under test, and where its user stands.
pub(super) struct Reading {
    index: usize,
    life: u32,
    pub(super) machine: Consumer,
    buffer: Arc<FetchBuffer>,
    reader: Reader,
    polled: Polled,
    style: Commits,
    slow: Duration,
    rng: Rng,
    phase: Phase,
    held: BTreeMap<TopicPartition, Held>,
    /// When the group's offset was first asked for, of stays that have not begun yet.
    asked: BTreeMap<TopicPartition, Duration>,
    /// What the last poll handed out, by its place in the history.
    in_hand: Vec<usize>,
    /// Commits under way, and the calls that wait for them.
    commits: BTreeMap<CommitId, Option<usize>>,
    /// Something was handed out, or a commit failed, since the last commit was asked for.
    is_dirty: bool,
    /// When a commit that failed is made again.
    again_at: Option<Duration>,
    /// What is done with at a time, and may be committed from then on.
    marks: Vec<Mark>,
    /// What the commit under way stores.
    marked: Vec<Mark>,
    /// How far each partition was committed by marks, in which stay.
    floors: BTreeMap<TopicPartition, (Stay, Offset)>,
    paused: Vec<(TopicPartition, u64, Duration)>,
    is_subscribed: bool,
    /// The error that ended it.
    failed: Option<Error>,
    /// What was handed out and is to be copied, and where that ends.
    taken: Vec<Value>,
    ends: BTreeMap<TopicPartition, CommittedOffset>,
    /// A copy failed: only another consumer begins where the group is.
    has_lost_its_place: bool,
}

/// A partition that the user was told is his.
struct Held {
    assignment: u64,
    /// Whether it is noted where he began.
    is_started: bool,
    /// Behind the last record that was handed out.
    end: Option<Offset>,
}

struct Mark {
    at: Duration,
    /// Its commit has failed once: it goes with the next one, whatever is due then.
    is_owed: bool,
    of: TopicPartition,
    end: CommittedOffset,
    stay: Stay,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    /// Busy with what he was handed, until then.
    Thinking(Duration),
    /// Waits in a poll.
    Polling,
    /// In his callback: until then, and until this commit is over.
    Hearing(RebalanceId, Duration, Option<CommitId>),
    /// Waits for a commit.
    Committing(CommitId),
    /// Waits for the transaction that what he was handed goes into.
    Copying,
    /// Has unsubscribed.
    Away,
    /// Waits for the call in the history, if there is one, that closes.
    Closing(usize),
    Closed,
}

impl Reading {
    pub(super) fn new(
        (index, life): (usize, u32),
        machine: Consumer,
        style: Commits,
        slow: Duration,
        rng: Rng,
    ) -> Self {
        let buffer = Arc::clone(machine.buffer());
        let records_max = machine.settings().max_poll_records;
        let reader = Reader::new(Arc::clone(&buffer), records_max, true, Limits::default());
        Self {
            index,
            life,
            machine,
            buffer,
            reader,
            polled: Polled::new(),
            style,
            slow,
            rng,
            phase: Phase::Away,
            held: BTreeMap::new(),
            asked: BTreeMap::new(),
            in_hand: Vec::new(),
            commits: BTreeMap::new(),
            is_dirty: false,
            again_at: None,
            marks: Vec::new(),
            marked: Vec::new(),
            floors: BTreeMap::new(),
            paused: Vec::new(),
            is_subscribed: false,
            failed: None,
            taken: Vec::new(),
            ends: BTreeMap::new(),
            has_lost_its_place: false,
        }
    }

    /// Whether there is something to do at once.
    pub(super) fn is_due(&self, clock: &Clock) -> bool {
        self.next_move().is_some_and(|at| at <= clock.elapsed())
    }

    /// Whether the user may do something else now.
    pub(super) fn is_free(&self) -> bool {
        matches!(self.phase, Phase::Thinking(_) | Phase::Polling | Phase::Away)
    }

    pub(super) fn is_over(&self) -> bool {
        self.phase == Phase::Closed
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failed.is_some() || self.has_lost_its_place
    }

    /// Whether another member has its name (F55).
    pub(super) fn is_fenced(&self) -> bool {
        let code = self.failed.as_ref().and_then(Error::code);
        // The one who was there first is told the one; who comes to a group of the consumer protocol, the other.
        code.is_some_and(|code| {
            [ErrorCode::FENCED_INSTANCE_ID, ErrorCode::UNRELEASED_INSTANCE_ID].contains(&code)
        })
    }

    pub(super) fn is_member(&self) -> bool {
        self.is_subscribed
    }

    pub(super) fn is_done(&self) -> bool {
        let is_quiet = matches!(self.phase, Phase::Polling | Phase::Away);
        is_quiet && self.commits.is_empty() && self.marks.is_empty() && !self.is_dirty
    }

    pub(super) fn held(&self) -> Vec<TopicPartition> {
        self.held.keys().cloned().collect()
    }

    pub(super) fn has_read_all(
        &self,
        brokers: &Brokers,
        committed: &BTreeMap<TopicPartition, Offset>,
    ) -> bool {
        self.held.iter().all(|(tp, held)| {
            let end = brokers.partition(tp).map(|partition| partition.log_end_offset);
            let position = self.buffer.position(tp).map(|position| position.offset);
            let is_committed = committed.get(tp).copied() >= held.end;
            (end == Some(Offset::ZERO) || position >= end) && is_committed
        })
    }

    pub(super) fn next_move(&self) -> Option<Duration> {
        let phase = match self.phase {
            Phase::Thinking(until) | Phase::Hearing(_, until, None) => Some(until),
            Phase::Polling if self.buffer.is_ready() => Some(Duration::ZERO),
            Phase::Polling
            | Phase::Hearing(_, _, Some(_))
            | Phase::Committing(_)
            | Phase::Copying
            | Phase::Away
            | Phase::Closing(_)
            | Phase::Closed => None,
        };
        let marks = self.marks.iter().filter(|_| self.commits.is_empty()).map(|mark| mark.at);
        let paused = self.paused.iter().map(|(_, _, until)| *until);
        let again = self.again_at.filter(|_| self.phase == Phase::Polling);
        marks.chain(paused).chain(phase).chain(again).min()
    }

    pub(super) fn run(&mut self, clock: &Clock, history: &mut History, assignment: &mut u64) {
        history.note_fetched(self.buffer.bytes_held());
        self.resume_what_is_due(clock);
        self.commit_marks(clock, history);
        loop {
            match self.phase {
                Phase::Thinking(until) if until <= clock.elapsed() => self.poll(clock, history),
                Phase::Hearing(id, until, None) if until <= clock.elapsed() => {
                    self.machine.acknowledge(clock.now(), id);
                    self.phase = Phase::Polling;
                }
                Phase::Polling if self.again_at.is_some_and(|at| at <= clock.elapsed()) => {
                    self.buffer.leave_poll(clock.now());
                    self.commit(clock, history);
                    if self.phase == Phase::Polling {
                        self.poll(clock, history);
                    }
                }
                Phase::Polling => {
                    self.look(clock, history, assignment);
                    if self.phase == Phase::Polling {
                        break;
                    }
                }
                Phase::Thinking(_)
                | Phase::Hearing(..)
                | Phase::Committing(_)
                | Phase::Copying
                | Phase::Away
                | Phase::Closing(_)
                | Phase::Closed => break,
            }
        }
        self.note_starts(clock, history);
    }

    pub(super) fn drain(&mut self, clock: &Clock, history: &mut History, wishes: &mut Vec<Wish>) {
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Request(request) => {
                    self.note_asked(clock, &request.body);
                    wishes.push(Wish::Send(Owner::Consumer(self.life), request));
                }
                Output::Topics { topics, may_create } => {
                    wishes.push(Wish::Interest(Interest::Topics { topics, may_create }));
                }
                Output::AllTopics => wishes.push(Wish::Interest(Interest::AllTopics)),
                Output::RefreshMetadata => wishes.push(Wish::Refresh),
                Output::LeaderHint(hint) => wishes.push(Wish::Hint(hint)),
                Output::Committed { id, result } => self.committed(clock, history, id, &result),
                Output::Answered { .. } => {}
                Output::Closed { result } => self.closed(clock, history, result.is_ok()),
            }
        }
    }

    pub(super) fn subscribe(&mut self, clock: &Clock, topics: BTreeSet<Topic>) {
        if let Err(error) = self.machine.subscribe(clock.now(), topics) {
            unreachable!("an open consumer of a group takes topics: {error}");
        }
        self.is_subscribed = true;
        if self.phase == Phase::Away {
            self.phase = Phase::Thinking(clock.elapsed());
        }
    }

    pub(super) fn unsubscribe(&mut self, clock: &Clock, history: &mut History) {
        self.come_back(clock, history);
        self.let_go();
        if let Err(error) = self.machine.unsubscribe(clock.now()) {
            unreachable!("it is open: {error}");
        }
        self.buffer.leave_poll(clock.now());
        self.phase = Phase::Away;
    }

    /// Closes; what is in the user's hand is done with if `is_done`.
    pub(super) fn close(&mut self, clock: &Clock, history: &mut History, is_done: bool) {
        if is_done {
            self.come_back(clock, history);
        }
        self.let_go();
        let timeout = CLOSE_TIMEOUT;
        let call = note_call(history, clock, self.index, CallKind::Close, timeout);
        self.phase = Phase::Closing(call);
        let operation = GroupMembershipOperation::Default;
        self.machine.close(clock.now(), timeout, operation);
    }

    pub(super) fn dawdle(&mut self, clock: &Clock, lasts: Duration) {
        if self.phase == Phase::Polling {
            self.buffer.leave_poll(clock.now());
        }
        if self.phase != Phase::Away {
            self.phase = Phase::Thinking(clock.elapsed() + lasts);
        }
    }

    pub(super) fn pause(&mut self, clock: &Clock, lasts: Duration) {
        let Some((tp, held)) = self.held.iter().nth(self.rng.usize(0..self.held.len().max(1)))
        else {
            return;
        };
        // A rebalance that he has not heard of yet may have taken it.
        if self.machine.pause(clock.now(), &[tp.clone()].into()).is_ok() {
            self.paused.push((tp.clone(), held.assignment, clock.elapsed() + lasts));
        }
    }

    pub(super) fn rebalance(&mut self, clock: &Clock) {
        self.machine.enforce_rebalance(clock.now(), "the user wants it");
    }

    pub(super) fn die(self, clock: &Clock, history: &mut History) {
        let closing = if let Phase::Closing(call) = self.phase { Some(call) } else { None };
        for place in self.commits.into_values().flatten().chain(closing) {
            end_call(history, clock, place, false);
        }
    }

    /// The user polls: what he was handed is done with.
    fn poll(&mut self, clock: &Clock, history: &mut History) {
        self.come_back(clock, history);
        self.phase = Phase::Polling;
    }

    fn come_back(&mut self, clock: &Clock, history: &mut History) {
        self.buffer.enter_poll(clock.now());
        for place in self.in_hand.drain(..) {
            if let Some(read) = history.reads.get_mut(place) {
                read.done = Some(clock.elapsed());
            }
        }
    }

    fn let_go(&mut self) {
        self.is_subscribed = false;
        self.is_dirty = false;
        self.again_at = None;
        self.held.clear();
        self.marks.clear();
        self.marked.clear();
        self.paused.clear();
    }

    /// Hears what there is to hear, then takes what there is to read.
    fn look(&mut self, clock: &Clock, history: &mut History, assignment: &mut u64) {
        while let Some(event) = self.buffer.take_event() {
            #[expect(clippy::wildcard_enum_match_arm, reason = "all else is only told")]
            match event {
                Event::Rebalance(rebalance) => {
                    self.hear(clock, history, assignment, rebalance.change, rebalance.partitions);
                    let wait = if self.rng.u32(0..6) == 0 { self.rng.u64(0..300) } else { 0 };
                    let until = clock.elapsed() + Duration::from_millis(wait);
                    let is_due = rebalance.change == Change::Revoked
                        && self.style == Commits::Sync
                        && self.is_dirty;
                    let commit = is_due.then(|| self.commit_handed_out(clock, history));
                    self.phase = Phase::Hearing(rebalance.id, until, commit);
                    return;
                }
                Event::Error(error) => {
                    history.surfaced.push((clock.elapsed(), format!("{}: {error}", self.index)));
                    if error.is_fatal() {
                        self.failed = Some(error);
                        self.buffer.leave_poll(clock.now());
                        self.phase = Phase::Thinking(Duration::MAX);
                        return;
                    }
                }
                other => {
                    history.surfaced.push((clock.elapsed(), format!("{}: {other:?}", self.index)));
                }
            }
        }
        self.note_starts(clock, history);
        if self.read(clock, history) == 0 {
            return;
        }
        self.buffer.leave_poll(clock.now());
        if matches!(self.style, Commits::Copies(_)) {
            self.phase = Phase::Copying;
            return;
        }
        let ms = u64::try_from(self.slow.as_millis()).unwrap_or(0).max(1);
        let pause = if self.rng.u32(0..8) == 0 { self.rng.u64(0..ms) } else { 0 };
        self.phase = Phase::Thinking(clock.elapsed() + Duration::from_millis(pause));
        self.is_dirty = true;
        self.commit(clock, history);
    }

    fn hear(
        &mut self,
        clock: &Clock,
        history: &mut History,
        assignment: &mut u64,
        change: Change,
        partitions: Vec<TopicPartition>,
    ) {
        let heard: Vec<_> = partitions.iter().map(|tp| tp.partition).collect();
        history.surfaced.push((clock.elapsed(), format!("{}: {change:?} {heard:?}", self.index)));
        match change {
            Change::Assigned => {
                *assignment += 1;
                for of in partitions {
                    let assignment = *assignment;
                    let held = Held { assignment, is_started: false, end: None };
                    self.held.insert(of.clone(), held);
                    let from = clock.elapsed();
                    let consumer = self.index;
                    history.stays.push(history::Stay { consumer, assignment, of, from });
                }
            }
            Change::Revoked | Change::Lost => {
                self.held.retain(|tp, _| !partitions.contains(tp));
            }
        }
    }

    fn read(&mut self, clock: &Clock, history: &mut History) -> usize {
        if let Err(error) = self.reader.poll(&mut self.polled) {
            history.surfaced.push((clock.elapsed(), format!("{}: {error}", self.index)));
        }
        self.machine.handle_buffer(clock.now());
        let before = history.reads.len();
        for chunk in self.polled.chunks() {
            let held = self.held.get_mut(chunk.partition());
            // What was never assigned, or no longer is, has no assignment that the checker knows.
            let assignment = held.as_ref().map_or(0, |held| held.assignment);
            for record in chunk.iter() {
                let bytes = record.value().unwrap_or_default();
                let value =
                    bytes.first_chunk().map_or(u64::MAX, |bytes| u64::from_be_bytes(*bytes));
                self.in_hand.push(history.reads.len());
                history.reads.push(Read {
                    consumer: self.index,
                    assignment,
                    life: history.life(),
                    from: chunk.partition().clone(),
                    offset: record.offset(),
                    value: Value(value),
                    at: clock.elapsed(),
                    done: None,
                });
            }
            if let Some(held) = held {
                held.end = history.reads.last().map(|read| read.offset.next());
            }
            let position = chunk.end();
            let mut end = CommittedOffset::new(position.offset);
            end.leader_epoch = position.leader_epoch;
            if matches!(self.style, Commits::Copies(_)) {
                self.ends.insert(chunk.partition().clone(), end);
            } else if self.style == Commits::Marked {
                let at = clock.elapsed() + Duration::from_millis(self.rng.u64(0..2_000));
                self.marks.push(Mark {
                    at,
                    is_owed: false,
                    of: chunk.partition().clone(),
                    end,
                    stay: chunk.stay(),
                });
            }
        }
        if matches!(self.style, Commits::Copies(_)) {
            let read = history.reads.get(before..).unwrap_or_default();
            self.taken.extend(read.iter().map(|read| read.value));
        }
        history.reads.len() - before
    }

    /// What is to be copied, if the member may still commit it.
    pub(super) fn take_handed(&mut self) -> Option<Handed> {
        if self.phase != Phase::Copying || self.ends.is_empty() {
            return None;
        }
        let (values, ends) = (std::mem::take(&mut self.taken), std::mem::take(&mut self.ends));
        match self.machine.group_metadata(&ends.keys().cloned().collect()) {
            Ok(group) => Some(Handed { values, ends, group }),
            Err(_) => {
                self.lose_place();
                None
            }
        }
    }

    /// What was handed out is in a transaction that was committed, or not.
    pub(super) fn copied(&mut self, clock: &Clock, is_committed: bool) {
        if is_committed {
            self.phase = Phase::Thinking(clock.elapsed());
        } else {
            self.lose_place();
        }
    }

    fn lose_place(&mut self) {
        self.has_lost_its_place = true;
        self.phase = Phase::Thinking(Duration::MAX);
    }

    fn note_asked(&mut self, clock: &Clock, request: &Request) {
        let Request::OffsetFetch(request) = request else { return };
        let topics = request.groups.iter().flat_map(|group| group.topics.iter().flatten());
        for topic in topics {
            for index in &topic.partition_indexes {
                let tp = TopicPartition::new(&*topic.name, *index);
                self.asked.entry(tp).or_insert(clock.elapsed());
            }
        }
    }

    /// Notes where stays begin, as soon as that is known.
    fn note_starts(&mut self, clock: &Clock, history: &mut History) {
        let life = history.life();
        for (tp, held) in self.held.iter_mut().filter(|(_, held)| !held.is_started) {
            let Some(position) = self.buffer.position(tp) else { continue };
            held.is_started = true;
            history.starts.push(Start {
                consumer: self.index,
                assignment: held.assignment,
                life,
                of: tp.clone(),
                at: position.offset,
                asked: self.asked.remove(tp),
                known: clock.elapsed(),
            });
        }
    }

    fn closed(&mut self, clock: &Clock, history: &mut History, is_ok: bool) {
        if let Phase::Closing(call) = self.phase {
            end_call(history, clock, call, is_ok);
        }
        for place in std::mem::take(&mut self.commits).into_values().flatten() {
            end_call(history, clock, place, false);
        }
        self.phase = Phase::Closed;
    }

    fn resume_what_is_due(&mut self, clock: &Clock) {
        let (due, paused) = std::mem::take(&mut self.paused)
            .into_iter()
            .partition(|(_, _, until)| *until <= clock.elapsed());
        self.paused = paused;
        let due: Vec<_> = due;
        for (tp, assignment, _) in due {
            // One that was taken away is none of his business any more, even if it has come back (R12).
            if self.held.get(&tp).is_some_and(|held| held.assignment == assignment) {
                let _ = self.machine.resume(clock.now(), &[tp].into());
            }
        }
    }
}

impl fmt::Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.machine.member_state();
        write!(f, "{:?}, {state:?}, dirty {}, ", self.phase, self.is_dirty)?;
        write!(f, "{} commits open, {} marks, ", self.commits.len(), self.marks.len())?;
        write!(f, "holds {:?}, at {:?}", self.held(), self.buffer.positions())
    }
}

/// What closing may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// After a commit that failed.
const AGAIN: Duration = Duration::from_millis(500);
