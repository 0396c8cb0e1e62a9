//! A member of a share group and its user, who works on records, says what became of them, dawdles and leaves by a plan.
//!
//! One client may have several consumers, one after the other: each from when its user joins to when he closes it.

mod working;

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fastrand::Rng;
use milena_engine::metadata::Cluster;
use milena_engine::request::Answer;
use milena_engine::share::{AcknowledgementMode, AcquireMode, Settings, ShareConsumer};

use super::Wish;
use crate::clock::Clock;
use crate::group::Act;
use crate::history::History;
use crate::share::{SHARE_GROUP, SharePlan, SharerPlan};
use working::Working;

/// A client with a member of the world's share group, and what its user has in mind.
pub(crate) struct SharerHost {
    index: usize,
    plan: SharerPlan,
    settings: Settings,
    rng: Rng,
    /// What is still to be done, by time.
    script: VecDeque<(Duration, Act)>,
    cluster: Arc<Cluster>,
    /// Which consumer of this client it is: answers to another one's requests are not its.
    life: u32,
    working: Option<Working>,
}

impl SharerHost {
    pub(crate) fn new(index: usize, plan: &SharerPlan, group: &SharePlan, rng: Rng) -> Self {
        let mut settings = Settings::new(SHARE_GROUP);
        settings.max_poll_interval = group.max_poll_interval;
        settings.max_poll_records = plan.max_poll_records;
        settings.request_timeout = Duration::from_secs(5);
        settings.default_api_timeout = plan.api_timeout;
        if plan.explicit {
            settings.acknowledgement_mode = AcknowledgementMode::Explicit;
        }
        if plan.record_limit {
            settings.acquire_mode = AcquireMode::RecordLimit;
        }
        Self {
            index,
            plan: plan.clone(),
            settings,
            rng,
            script: plan.acts.iter().copied().collect(),
            cluster: Arc::default(),
            life: 0,
            working: None,
        }
    }

    pub(crate) fn handle_metadata(&mut self, now: Instant, cluster: Arc<Cluster>) {
        self.cluster = Arc::clone(&cluster);
        if let Some(working) = &mut self.working {
            working.machine.handle_cluster(now, cluster);
        }
    }

    pub(crate) fn handle_answer(&mut self, now: Instant, life: u32, answer: Answer) {
        if let Some(working) = self.working.as_mut().filter(|_| life == self.life) {
            working.machine.handle_answer(now, answer);
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        let due =
            |working: &&mut Working| working.machine.poll_timeout().is_some_and(|at| at <= now);
        if let Some(working) = self.working.as_mut().filter(due) {
            working.machine.handle_timeout(now);
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.working.as_ref()?.machine.poll_timeout()
    }

    /// When its user does the next thing, counted from the world's start.
    pub(crate) fn next_move(&self) -> Option<Duration> {
        let act = self.script.front().filter(|_| self.is_free()).map(|(at, _)| *at);
        let working = self.working.as_ref().and_then(Working::next_move);
        [act, working].into_iter().flatten().min()
    }

    /// The user acts, the machine works, what is handed out and said is noted down.
    pub(crate) fn run(&mut self, clock: &Clock, history: &mut History, wishes: &mut Vec<Wish>) {
        while let Some((_, act)) = self.script.front().filter(|(at, _)| *at <= clock.elapsed())
            && self.is_free()
        {
            let act = *act;
            self.script.pop_front();
            self.act(clock, history, act);
        }
        let Some(working) = &mut self.working else { return };
        // What the machine does at once may be what its user waited for.
        for _ in 0..TURNS_MAX {
            working.run(clock, history);
            working.drain(clock, history, wishes);
            if working.next_move().is_none_or(|at| at > clock.elapsed()) {
                break;
            }
        }
        if working.has_failed() {
            // A fatal error ends a consumer; its user makes another one after a while.
            working.close(clock, history);
            working.drain(clock, history, wishes);
            self.script.push_front((clock.elapsed() + AGAIN, Act::Join));
        }
        if working.is_over() {
            self.working = None;
        }
    }

    fn act(&mut self, clock: &Clock, history: &mut History, act: Act) {
        match (act, &mut self.working) {
            (Act::Join, None) => {
                self.life += 1;
                let mut machine = ShareConsumer::new(self.settings.clone(), self.rng.fork());
                machine.handle_cluster(clock.now(), Arc::clone(&self.cluster));
                let client = (self.index, self.life);
                let rng = self.rng.fork();
                self.working = Some(Working::new(client, machine, &self.plan, clock, rng));
            }
            (Act::Close, Some(working)) => working.close(clock, history),
            (Act::Abandon, Some(working)) => working.abandon(clock, history),
            (Act::Dawdle(lasts), Some(working)) => working.dawdle(clock, lasts),
            (Act::Join | Act::Unsubscribe | Act::Pause(_) | Act::Rebalance, Some(_))
            | (_, None) => {}
        }
    }

    /// The client's process ends without a word; the one that takes its place joins at `returns`.
    pub(crate) fn die(&mut self, clock: &Clock, history: &mut History, returns: Duration) {
        if let Some(working) = self.working.take() {
            working.die(clock, history);
            self.script.push_front((returns, Act::Join));
        }
        self.script.iter_mut().for_each(|(at, _)| *at = returns.max(*at));
        self.cluster = Arc::default();
    }

    /// Whether its user has nothing more to do, and nothing of his is under way.
    pub(crate) fn is_done(&self) -> bool {
        self.script.is_empty() && self.working.as_ref().is_none_or(Working::is_done)
    }

    fn is_free(&self) -> bool {
        self.working.as_ref().is_none_or(Working::is_free)
    }
}

impl fmt::Display for SharerHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sharer {}: {} acts to come, ", self.index, self.script.len())?;
        match &self.working {
            Some(working) => working.fmt(f),
            None => write!(f, "no consumer"),
        }
    }
}

/// More turns than this at one moment are a spin, which the clock then shows.
const TURNS_MAX: usize = 100;

/// How long a user waits before he begins anew with another consumer.
const AGAIN: Duration = Duration::from_secs(1);
