//! Records that nobody waits for: those not admitted yet, and what failed.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use milena_engine::Error;
use milena_engine::producer::Accumulator;
use tokio::sync::Notify;
use tokio::time::Instant;

/// The detached records of one producer that wait for room or for their topic, and the log of those that failed.
///
/// Failures are logged with one line a second at most; they are counted all the same.
#[derive(Debug)]
pub(crate) struct Detached {
    accumulator: Arc<Accumulator>,
    /// The driver, which sees to what is left.
    driver: Arc<Notify>,
    state: Mutex<State>,
    /// A record waits no more.
    left: Notify,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    /// Bounded by [`WAITING_MAX`].
    waiting: BTreeSet<u64>,
    /// When the next line may come.
    quiet_until: Option<Instant>,
}

/// The place of a detached record that waits for its admission.
#[derive(Debug)]
pub(crate) struct Seat {
    detached: Arc<Detached>,
    number: u64,
}

/// Where the numbers of those begin that are not waited for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark(u64);

impl Detached {
    pub(crate) fn new(accumulator: Arc<Accumulator>, driver: Arc<Notify>) -> Self {
        Self { accumulator, driver, state: Mutex::default(), left: Notify::new() }
    }

    /// A place for one more record to wait, if there is one.
    pub(crate) fn sit(self: &Arc<Self>) -> Option<Seat> {
        let mut state = self.state();
        if state.waiting.len() >= WAITING_MAX {
            return None;
        }
        let number = state.next;
        state.next += 1;
        state.waiting.insert(number);
        Some(Seat { detached: Arc::clone(self), number })
    }

    /// Whether no record waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.state().waiting.is_empty()
    }

    /// Stands for the records that wait at the moment; `None` if there are none.
    pub(crate) fn mark(&self) -> Option<Mark> {
        let state = self.state();
        (!state.waiting.is_empty()).then_some(Mark(state.next))
    }

    /// Waits until those that `mark` stands for are admitted or given up. Bounded by `max.block.ms`, as each of them is.
    pub(crate) async fn settled(&self, mark: Mark) {
        loop {
            let left = self.left.notified();
            if self.state().waiting.first().is_none_or(|&oldest| oldest >= mark.0) {
                return;
            }
            left.await;
        }
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
        let mut state = self.state();
        if let Some(until) = state.quiet_until {
            if Instant::now() < until {
                return Some(until);
            }
            state.quiet_until = None;
        }
        let (records, error) = self.accumulator.take_detached_failures()?;
        let until = Instant::now() + QUIET;
        state.quiet_until = Some(until);
        drop(state);
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

impl Drop for Seat {
    fn drop(&mut self) {
        let is_last = {
            let mut state = self.detached.state();
            state.waiting.remove(&self.number);
            state.waiting.is_empty()
        };
        self.detached.left.notify_waiters();
        if is_last {
            // It may wait for this to close.
            self.detached.driver.notify_one();
        }
    }
}

/// Detached records that may wait, each in a task of its own.
const WAITING_MAX: usize = 1024;
/// Between two lines: often enough to be noticed, seldom enough not to fill a disk.
const QUIET: Duration = Duration::from_secs(1);
