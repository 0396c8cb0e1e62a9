//! Records that nobody waits for: those not admitted yet, and what failed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use milena_engine::producer::{Accumulator, Watch};
use milena_engine::{Error, Operation};
use milena_types::Topic;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::Record;

/// The detached records of one producer that wait for room or for their topic, and the log of those that failed.
///
/// Those of one topic are admitted in their order, by one task. Failures are logged with one line a second at most;
/// they are counted all the same.
#[derive(Debug)]
pub(crate) struct Detached {
    accumulator: Arc<Accumulator>,
    /// The driver, which sees to what is left.
    driver: Arc<Notify>,
    /// How many topics have records that wait: lets the usual path pass by the lock.
    topics: AtomicUsize,
    is_closing: AtomicBool,
    state: Mutex<State>,
    /// A record waits no more.
    left: Notify,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    /// Bounded by [`WAITING_MAX`].
    waiting: BTreeSet<u64>,
    /// A topic is here for as long as a task admits its records.
    queues: BTreeMap<Topic, VecDeque<Waiting>>,
    /// When the next line may come.
    quiet_until: Option<Instant>,
}

/// A detached record that waits for its admission.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(super) number: u64,
    pub(super) record: Record<'static>,
    pub(super) watch: Watch,
    pub(super) deadline: Instant,
}

/// Where the numbers of those begin that are not waited for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark(u64);

impl Detached {
    pub(crate) fn new(accumulator: Arc<Accumulator>, driver: Arc<Notify>) -> Self {
        Self {
            accumulator,
            driver,
            topics: AtomicUsize::new(0),
            is_closing: AtomicBool::new(false),
            state: Mutex::default(),
            left: Notify::new(),
        }
    }

    /// Whether records of `topic` wait.
    pub(super) fn is_waiting(&self, topic: &str) -> bool {
        self.topics.load(Ordering::Acquire) > 0 && self.state().queues.contains_key(topic)
    }

    /// Whether one more may wait.
    pub(super) fn has_room(&self) -> bool {
        self.state().waiting.len() < WAITING_MAX
    }

    /// Puts a record behind those of its topic that wait; whether a task is to be started to admit them.
    pub(super) fn queue(
        &self,
        topic: &Topic,
        record: Record<'static>,
        watch: Watch,
        deadline: Instant,
    ) -> bool {
        let mut state = self.state();
        let number = state.next;
        state.next += 1;
        state.waiting.insert(number);
        let waiting = Waiting { number, record, watch, deadline };
        if let Some(queue) = state.queues.get_mut(topic) {
            queue.push_back(waiting);
            return false;
        }
        state.queues.insert(topic.clone(), VecDeque::from([waiting]));
        self.topics.fetch_add(1, Ordering::Release);
        true
    }

    /// The next record of `topic` to admit; after `None` the task is to end.
    pub(super) fn next(&self, topic: &Topic) -> Option<Waiting> {
        let mut state = self.state();
        let next = state.queues.get_mut(topic)?.pop_front();
        if next.is_none() {
            state.queues.remove(topic);
            self.topics.fetch_sub(1, Ordering::Release);
        }
        next
    }

    /// A record was admitted or given up.
    pub(super) fn done(&self, number: u64) {
        self.state().waiting.remove(&number);
        self.left.notify_waiters();
        // It may wait for this to close.
        self.driver.notify_one();
    }

    /// Stands for the records that wait at the moment; `None` if there are none.
    pub(crate) fn mark(&self) -> Option<Mark> {
        let state = self.state();
        (!state.waiting.is_empty()).then_some(Mark(state.next))
    }

    /// Whether those that `mark` stands for are admitted or given up.
    pub(crate) fn is_settled(&self, mark: Option<Mark>) -> bool {
        let Some(mark) = mark else { return true };
        self.state().waiting.first().is_none_or(|&oldest| oldest >= mark.0)
    }

    /// Waits until those that `mark` stands for are admitted or given up. Bounded by `max.block.ms`, as each of them is.
    pub(crate) async fn settled(&self, mark: Mark) {
        loop {
            let left = self.left.notified();
            if self.is_settled(Some(mark)) {
                return;
            }
            left.await;
        }
    }

    /// Nothing more is to be sent but what waits, for which the mark stands.
    pub(crate) fn close(&self) -> Option<Mark> {
        self.is_closing.store(true, Ordering::Release);
        self.mark()
    }

    /// Why nothing more may be sent, if that is so.
    pub(crate) fn refusal(&self) -> Option<Error> {
        let is_closing = self.is_closing.load(Ordering::Acquire);
        is_closing.then(|| Error::closed().during(Operation::Send))
    }

    /// A record was not even admitted.
    pub(crate) fn failed(&self, error: &Error) {
        self.accumulator.detached_failed(error);
        if self.report().is_some() {
            self.driver.notify_one();
        }
    }

    /// Logs what was not logged; returns when to come back for the rest.
    pub(crate) fn report(&self) -> Option<Instant> {
        let quiet_until = self.state().quiet_until;
        if let Some(until) = quiet_until {
            if Instant::now() < until {
                return Some(until);
            }
            self.state().quiet_until = None;
        }
        let (records, error) = self.accumulator.take_detached_failures()?;
        let until = Instant::now() + QUIET;
        self.state().quiet_until = Some(until);
        tracing::warn!(records, %error, fate = %error.fate(), "detached records failed");
        Some(until)
    }

    /// Logs what is left, because nobody will come back.
    pub(crate) fn conclude(&self) {
        self.state().quiet_until = None;
        self.report();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Detached records that may wait for room or for their topic.
const WAITING_MAX: usize = 1024;
/// Between two lines: often enough to be noticed, seldom enough not to fill a disk.
const QUIET: Duration = Duration::from_secs(1);
