//! A consumer of every partition and its user, who polls, and goes back now and then.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fastrand::Rng;
use milena_broker::Cluster as Brokers;
use milena_engine::consumer::{
    Consumer, Event, FetchBuffer, IsolationLevel, OffsetReset, Output, Polled, Position, Reader,
    Settings,
};
use milena_engine::metadata::{Cluster, Interest};
use milena_engine::request::Answer;
use milena_records::Limits;
use milena_types::{Offset, TopicPartition};

use super::Wish;
use crate::clock::Clock;
use crate::history::{History, Read, Start, Value};
use crate::line::Owner;
use crate::scenario::{ConsumerPlan, Scenario};
use crate::world::TOPIC;

/// A consumer under test, and what its user has in mind.
pub(crate) struct ConsumerHost {
    index: usize,
    machine: Consumer,
    buffer: Arc<FetchBuffer>,
    reader: Reader,
    polled: Polled,
    rng: Rng,
    partitions: Vec<TopicPartition>,
    /// Which reading of each partition this is.
    assignment: u64,
    rewinds: Vec<Duration>,
    next_poll: Duration,
    is_assigned: bool,
}

impl ConsumerHost {
    pub(crate) fn new(
        index: usize,
        plan: &ConsumerPlan,
        scenario: &Scenario,
        clock: &Clock,
        mut rng: Rng,
    ) -> Self {
        let mut settings = Settings::default();
        settings.auto_offset_reset = OffsetReset::Earliest;
        settings.auto_commit_interval = None;
        settings.max_poll_records = plan.max_poll_records;
        settings.max_partition_fetch_bytes = plan.partition_bytes;
        settings.request_timeout = Duration::from_secs(5);
        settings.buffer_bytes = scenario.fetched_bytes.unwrap_or(settings.buffer_bytes);
        if let Some(group) = &scenario.group {
            settings.fetch_max_wait = group.fetch_max_wait;
        }
        if scenario.read_committed {
            settings.isolation_level = IsolationLevel::ReadCommitted;
        }
        let machine = Consumer::new(settings, clock.now(), clock.wall(), rng.fork());
        let buffer = Arc::clone(machine.buffer());
        let limits = Limits::default();
        let reader = Reader::new(Arc::clone(&buffer), plan.max_poll_records, true, limits);
        Self {
            index,
            machine,
            buffer,
            reader,
            polled: Polled::new(),
            rewinds: (0..plan.rewinds).map(|_| Duration::from_millis(rng.u64(1..20_000))).collect(),
            rng,
            partitions: (0..scenario.partitions).map(|n| TopicPartition::new(TOPIC, n)).collect(),
            assignment: 0,
            next_poll: Duration::ZERO,
            is_assigned: false,
        }
    }

    pub(crate) fn handle_metadata(&mut self, now: Instant, cluster: Arc<Cluster>) {
        self.machine.handle_cluster(now, cluster);
    }

    pub(crate) fn handle_answer(&mut self, now: Instant, answer: Answer) {
        self.machine.handle_answer(now, answer);
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if self.machine.poll_timeout().is_some_and(|at| at <= now) {
            self.machine.handle_timeout(now);
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.machine.poll_timeout()
    }

    /// When its user does the next thing, counted from the world's start.
    pub(crate) fn next_move(&self) -> Option<Duration> {
        let poll = self.may_get_more().then_some(self.next_poll);
        self.rewinds.iter().copied().chain(poll).min()
    }

    /// Whether every record that the brokers hold was handed out since the last return to the start.
    pub(crate) fn has_read_all(&self, brokers: &Brokers) -> bool {
        self.rewinds.is_empty()
            && self.partitions.iter().all(|tp| {
                let end = brokers.partition(tp).map(|partition| partition.log_end_offset);
                let position = self.buffer.position(tp).map(|position| position.offset);
                end.is_some_and(|end| end == Offset::ZERO || position >= Some(end))
            })
    }

    /// Its user will begin anew from the start at this time.
    pub(crate) fn rewind_at(&mut self, at: Duration) {
        self.rewinds.push(at);
    }

    /// The user acts, the machine works, what is read is noted down.
    pub(crate) fn run(&mut self, clock: &Clock, history: &mut History, wishes: &mut Vec<Wish>) {
        let now = clock.now();
        history.note_fetched(self.buffer.bytes_held());
        if !self.is_assigned {
            self.is_assigned = true;
            self.begin(clock, history);
            if let Err(error) = self.machine.assign(now, self.partitions.iter().cloned().collect())
            {
                unreachable!("a new consumer takes partitions: {error}");
            }
        }
        let due = self.rewinds.iter().filter(|at| **at <= clock.elapsed()).count();
        if due > 0 {
            self.rewinds.retain(|at| *at > clock.elapsed());
            self.begin(clock, history);
            let start = Position::new(Offset::ZERO, None);
            for tp in &self.partitions {
                if let Err(error) = self.machine.seek(now, tp, start) {
                    unreachable!("{tp} is assigned: {error}");
                }
            }
        }
        if self.may_get_more() && self.next_poll <= clock.elapsed() {
            self.poll(clock, history);
            self.machine.handle_buffer(now);
        }
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Request(request) => {
                    wishes.push(Wish::Send(Owner::Consumer(0), request));
                }
                Output::Topics { topics, may_create } => {
                    wishes.push(Wish::Interest(Interest::Topics { topics, may_create }));
                }
                Output::AllTopics => wishes.push(Wish::Interest(Interest::AllTopics)),
                Output::RefreshMetadata => wishes.push(Wish::Refresh),
                Output::LeaderHint(hint) => wishes.push(Wish::Hint(hint)),
                Output::Committed { .. } | Output::Answered { .. } | Output::Closed { .. } => {}
            }
        }
    }

    /// A fetch waits, or the last poll stopped in the midst of one.
    fn may_get_more(&self) -> bool {
        self.buffer.is_ready() || !self.polled.is_empty()
    }

    /// The next reading of every partition, from the start.
    fn begin(&mut self, clock: &Clock, history: &mut History) {
        self.assignment += 1;
        let life = history.life();
        history.starts.extend(self.partitions.iter().map(|tp| Start {
            consumer: self.index,
            assignment: self.assignment,
            life,
            of: tp.clone(),
            at: Offset::ZERO,
            asked: None,
            known: clock.elapsed(),
        }));
    }

    fn poll(&mut self, clock: &Clock, history: &mut History) {
        self.buffer.enter_poll(clock.now());
        while let Some(event) = self.buffer.take_event() {
            if let Event::Error(error) = &event {
                history.surfaced.push((clock.elapsed(), error.to_string()));
            }
        }
        // What cannot be read is told, and fetched again.
        if let Err(error) = self.reader.poll(&mut self.polled) {
            history.surfaced.push((clock.elapsed(), error.to_string()));
        }
        for chunk in self.polled.chunks() {
            for record in chunk.iter() {
                let bytes = record.value().unwrap_or_default();
                let value =
                    bytes.first_chunk().map_or(u64::MAX, |bytes| u64::from_be_bytes(*bytes));
                history.reads.push(Read {
                    consumer: self.index,
                    assignment: self.assignment,
                    life: history.life(),
                    from: chunk.partition().clone(),
                    offset: record.offset(),
                    value: Value(value),
                    at: clock.elapsed(),
                    done: None,
                });
            }
        }
        self.buffer.leave_poll(clock.now());
        // Some users are slow.
        let pause = if self.rng.u32(0..8) == 0 { self.rng.u64(0..500) } else { 0 };
        self.next_poll = clock.elapsed() + Duration::from_millis(pause);
    }
}

impl fmt::Display for ConsumerHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ready, rewinds) = (self.buffer.is_ready(), self.rewinds.len());
        write!(f, "consumer: ready {ready}, {rewinds} rewinds to come, at ")?;
        write!(f, "{:?}", self.buffer.positions())
    }
}
