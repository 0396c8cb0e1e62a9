//! A member of a group and its user, who joins, reads, commits, dawdles and leaves by a plan.
//!
//! One client may have several consumers, one after the other: each from when its user joins to when he closes it.

mod reading;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fastrand::Rng;
use milena_broker::Cluster as Brokers;
use milena_engine::consumer::{
    AssignmentStrategy, Consumer, GroupProtocol, GroupSettings, IsolationLevel, OffsetReset,
    Settings,
};
use milena_engine::metadata::Cluster;
use milena_engine::request::Answer;
use milena_types::{Offset, Topic, TopicPartition};

use super::Wish;
use super::copier::Copier;
use crate::clock::Clock;
use crate::group::{Act, Commits, GROUP, GroupPlan, MemberPlan, Strategy};
use crate::history::History;
use crate::scenario::Scenario;
use crate::world::TOPIC;
use reading::Reading;
pub(super) use reading::{end_call, note_call};

/// A client with a member of the world's group, and what its user has in mind.
pub(crate) struct MemberHost {
    index: usize,
    plan: MemberPlan,
    /// Whether another member has its `group.instance.id`.
    has_namesake: bool,
    commits: Commits,
    settings: Settings,
    rng: Rng,
    /// What is still to be done, by time.
    script: VecDeque<(Duration, Act)>,
    cluster: Arc<Cluster>,
    /// Which consumer of this client it is: answers to another one's requests are not its.
    life: u32,
    reading: Option<Reading>,
    /// What puts what it reads into transactions.
    copier: Option<Copier>,
    /// Which stay of a partition was the last one.
    assignment: u64,
}

impl MemberHost {
    pub(crate) fn new(
        index: usize,
        plan: &MemberPlan,
        group: &GroupPlan,
        scenario: &Scenario,
        mut rng: Rng,
    ) -> Self {
        let mut member = GroupSettings::new(GROUP);
        member.instance_id = plan.instance.as_deref().map(Into::into);
        member.session_timeout = group.session;
        member.heartbeat_interval = group.heartbeat;
        member.max_poll_interval = group.max_poll_interval;
        match group.strategy {
            Strategy::Range => member.assignment_strategies = vec![AssignmentStrategy::Range],
            Strategy::RoundRobin => {
                member.assignment_strategies = vec![AssignmentStrategy::RoundRobin];
            }
            Strategy::Sticky => member.assignment_strategies = vec![AssignmentStrategy::Sticky],
            Strategy::Cooperative => {
                member.assignment_strategies = vec![AssignmentStrategy::CooperativeSticky];
            }
            Strategy::Consumer => member.protocol = GroupProtocol::Consumer,
        }
        let mut settings = Settings::default();
        settings.group = Some(member);
        settings.auto_offset_reset = OffsetReset::Earliest;
        settings.auto_commit_interval = match group.commits {
            Commits::Auto(interval) => Some(interval),
            Commits::Sync | Commits::Async | Commits::Marked | Commits::Copies(_) => None,
        };
        settings.max_poll_records = plan.max_poll_records;
        settings.max_partition_fetch_bytes = plan.partition_bytes;
        settings.request_timeout = Duration::from_secs(5);
        settings.default_api_timeout = plan.api_timeout;
        settings.metadata_max_age = group.metadata_max_age;
        settings.fetch_max_wait = group.fetch_max_wait;
        settings.buffer_bytes = scenario.fetched_bytes.unwrap_or(settings.buffer_bytes);
        if scenario.read_committed {
            settings.isolation_level = IsolationLevel::ReadCommitted;
        }
        let copier = group.copies().map(|plan| Copier::new(index, plan, scenario, rng.fork()));
        let named = |other: &MemberPlan| plan.instance.is_some() && other.instance == plan.instance;
        let has_namesake = group.members.iter().filter(|other| named(other)).count() > 1;
        Self {
            index,
            plan: plan.clone(),
            has_namesake,
            commits: group.commits,
            settings,
            rng,
            script: plan.acts.iter().copied().collect(),
            cluster: Arc::default(),
            life: 0,
            reading: None,
            copier,
            assignment: 0,
        }
    }

    pub(crate) fn handle_metadata(&mut self, now: Instant, cluster: Arc<Cluster>) {
        self.cluster = Arc::clone(&cluster);
        if let Some(reading) = &mut self.reading {
            reading.machine.handle_cluster(now, Arc::clone(&cluster));
        }
        if let Some(copier) = &mut self.copier {
            copier.handle_metadata(now, cluster);
        }
    }

    /// The cluster follows another protocol for transactions from now on.
    pub(crate) fn handle_transaction_version(&mut self, level: Option<i16>) {
        if let Some(copier) = &mut self.copier {
            copier.handle_transaction_version(level);
        }
    }

    pub(crate) fn handle_copier_answer(&mut self, now: Instant, life: u32, answer: Answer) {
        if let Some(copier) = &mut self.copier {
            copier.handle_answer(now, life, answer);
        }
    }

    pub(crate) fn handle_answer(&mut self, now: Instant, life: u32, answer: Answer) {
        if let Some(reading) = &mut self.reading
            && life == self.life
        {
            reading.machine.handle_answer(now, answer);
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if let Some(reading) = &mut self.reading
            && reading.machine.poll_timeout().is_some_and(|at| at <= now)
        {
            reading.machine.handle_timeout(now);
        }
        if let Some(copier) = &mut self.copier {
            copier.handle_timeout(now);
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let reading = self.reading.as_ref().and_then(|reading| reading.machine.poll_timeout());
        let copier = self.copier.as_ref().and_then(Copier::poll_timeout);
        [reading, copier].into_iter().flatten().min()
    }

    /// When its user does the next thing, counted from the world's start.
    pub(crate) fn next_move(&self) -> Option<Duration> {
        let is_free = self.reading.as_ref().is_none_or(Reading::is_free);
        let act = self.script.front().filter(|_| is_free).map(|(at, _)| *at);
        let reading = self.reading.as_ref().and_then(Reading::next_move);
        let copier = self.copier.as_ref().and_then(Copier::next_move);
        [act, reading, copier].into_iter().flatten().min()
    }

    /// The user acts, the machine works, what is read is noted down.
    pub(crate) fn run(&mut self, clock: &Clock, history: &mut History, wishes: &mut Vec<Wish>) {
        while let Some((_, act)) = self.script.front().filter(|(at, _)| *at <= clock.elapsed())
            && self.reading.as_ref().is_none_or(Reading::is_free)
        {
            let act = *act;
            self.script.pop_front();
            self.act(clock, history, act);
        }
        let Some(reading) = &mut self.reading else {
            if let Some(copier) = &mut self.copier {
                copier.run(clock, history, wishes);
            }
            return;
        };
        // What a machine answers at once may be what its user waited for.
        for _ in 0..TURNS_MAX {
            reading.run(clock, history, &mut self.assignment);
            reading.drain(clock, history, wishes);
            if let Some(copier) = &mut self.copier {
                if let Some(handed) = reading.take_handed() {
                    copier.copy(clock, history, handed);
                }
                copier.run(clock, history, wishes);
                if let Some(is_committed) = copier.take_result() {
                    reading.copied(clock, is_committed);
                }
            }
            if !reading.is_due(clock) {
                break;
            }
        }
        if reading.has_failed() && reading.is_free() {
            // A fatal error ends a consumer; its user makes another one after a while.
            // Fenced by another of his name, he stays away; by a broker that errs, he does not.
            let is_fenced = self.has_namesake && reading.is_fenced();
            reading.close(clock, history, true);
            reading.drain(clock, history, wishes);
            if !is_fenced {
                self.script.push_front((clock.elapsed() + AGAIN, Act::Join));
            }
        }
        if self.reading.as_ref().is_some_and(Reading::is_over) {
            self.reading = None;
        }
    }

    fn act(&mut self, clock: &Clock, history: &mut History, act: Act) {
        let now = clock.now();
        match (act, &mut self.reading) {
            (Act::Join, None) => {
                self.life += 1;
                let mut machine =
                    Consumer::new(self.settings.clone(), now, clock.wall(), self.rng.fork());
                machine.handle_cluster(now, Arc::clone(&self.cluster));
                let slow = self.plan.slow;
                let commits = self.commits;
                let rng = self.rng.fork();
                let mut reading =
                    Reading::new((self.index, self.life), machine, commits, slow, rng);
                reading.subscribe(clock, [Topic::from(TOPIC)].into());
                self.reading = Some(reading);
            }
            (Act::Join, Some(reading)) => reading.subscribe(clock, [Topic::from(TOPIC)].into()),
            (_, None) => {}
            (Act::Unsubscribe, Some(reading)) => reading.unsubscribe(clock, history),
            (Act::Close, Some(reading)) => reading.close(clock, history, true),
            (Act::Abandon, Some(reading)) => reading.close(clock, history, false),
            (Act::Dawdle(lasts), Some(reading)) => reading.dawdle(clock, lasts),
            (Act::Pause(lasts), Some(reading)) => reading.pause(clock, lasts),
            (Act::Rebalance, Some(reading)) => reading.rebalance(clock),
        }
    }

    /// The client's process ends without a word; the one that takes its place joins at `returns`.
    pub(crate) fn die(&mut self, clock: &Clock, history: &mut History, returns: Duration) {
        if let Some(reading) = self.reading.take() {
            reading.die(clock, history);
            self.script.push_front((returns, Act::Join));
        }
        if let Some(copier) = &mut self.copier {
            copier.die(clock, history);
        }
        self.script.iter_mut().for_each(|(at, _)| *at = returns.max(*at));
        self.cluster = Arc::default();
    }

    /// Whether its user has nothing more to do, and nothing of his is under way.
    pub(crate) fn is_done(&self) -> bool {
        self.script.is_empty()
            && self.reading.as_ref().is_none_or(Reading::is_done)
            && self.copier.as_ref().is_none_or(Copier::is_idle)
    }

    /// Whether the group has to count with it.
    pub(crate) fn is_member(&self) -> bool {
        self.reading.as_ref().is_some_and(Reading::is_member)
    }

    /// The partitions that its user was told of.
    pub(crate) fn held(&self) -> Vec<TopicPartition> {
        self.reading.as_ref().map(Reading::held).unwrap_or_default()
    }

    /// Whether everything of its partitions is handed out, and was committed as far; `furthest` is where the group was.
    pub(crate) fn has_read_all(
        &self,
        brokers: &Brokers,
        committed: &BTreeMap<TopicPartition, Offset>,
    ) -> bool {
        self.reading.as_ref().is_none_or(|reading| reading.has_read_all(brokers, committed))
    }
}

impl fmt::Display for MemberHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "member {}: {} acts to come, ", self.index, self.script.len())?;
        if let Some(copier) = &self.copier {
            write!(f, "{copier}, ")?;
        }
        match &self.reading {
            Some(reading) => reading.fmt(f),
            None => write!(f, "no consumer"),
        }
    }
}

/// More turns than this at one moment are a spin, which the clock then shows.
const TURNS_MAX: usize = 100;

/// How long a user waits before he begins anew with another consumer.
const AGAIN: Duration = Duration::from_secs(1);
