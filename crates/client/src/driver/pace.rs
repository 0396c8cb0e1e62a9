//! A rest for tasks that send faster than the brokers store.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use milena_engine::producer::Accumulator;
use tokio::sync::Notify;
use tokio::time::timeout;

/// Keeps the send buffer from filling with what is sent no sooner for being in it.
///
/// It only delays, and never refuses: where no broker answers for a while, senders go on after one rest, until the
/// buffer is full.
#[derive(Debug)]
pub(crate) struct Pace {
    accumulator: Arc<Accumulator>,
    relief: Notify,
    /// A rest was in vain, and no broker has answered since.
    is_vain: AtomicBool,
}

impl Pace {
    pub(super) fn new(accumulator: Arc<Accumulator>) -> Self {
        Self { accumulator, relief: Notify::new(), is_vain: AtomicBool::new(false) }
    }

    /// Whether a sender should rest.
    pub(crate) fn is_due(&self) -> bool {
        self.accumulator.is_pressed() && !self.is_vain.load(Relaxed)
    }

    /// Waits until more is wanted, for a short time at most. Dropping it loses nothing.
    pub(crate) async fn rest(&self) {
        let mut relief = pin!(self.relief.notified());
        relief.as_mut().enable();
        // It may have come before.
        if self.accumulator.is_pressed() && timeout(REST_MAX, relief).await.is_err() {
            self.is_vain.store(true, Relaxed);
        }
    }

    /// A broker answered: it is worth waiting for the next one.
    pub(super) fn answered(&self) {
        self.is_vain.store(false, Relaxed);
    }

    /// The driver has sent what can be sent.
    pub(super) fn look(&self) {
        if self.accumulator.is_relieved() {
            self.relief.notify_waiters();
        }
    }
}

/// Longer than a broker usually takes between two answers under load, and short to who waits in vain.
const REST_MAX: Duration = Duration::from_millis(50);
