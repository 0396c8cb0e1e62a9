//! A rest for tasks that send faster than the brokers store.

use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use milena_engine::producer::Accumulator;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

/// Keeps the send buffer from filling with what is sent no sooner for being in it.
///
/// It only delays, and never refuses: where a rest was in vain, as what waits is for a broker that stands still, senders
/// go on until the buffer is full, or a broker that something waits for has answered: others are sent to as ever.
#[derive(Debug)]
pub(crate) struct Pace {
    accumulator: Arc<Accumulator>,
    /// Has the driver look.
    wake: Arc<Notify>,
    relief: Notify,
    /// Since when rests are in vain.
    vain_since: Mutex<Option<Instant>>,
}

impl Pace {
    pub(super) fn new(accumulator: Arc<Accumulator>, wake: Arc<Notify>) -> Self {
        Self { accumulator, wake, relief: Notify::new(), vain_since: Mutex::default() }
    }

    /// Whether a sender should rest.
    pub(crate) fn is_due(&self) -> bool {
        self.accumulator.is_pressed() && self.vain_since().is_none()
    }

    /// Waits until more is wanted, for a short time at most, and not longer than `limit`. Dropping it loses nothing.
    pub(crate) async fn rest(&self, limit: Duration) {
        let mut relief = pin!(self.relief.notified());
        relief.as_mut().enable();
        // It may have come before; what the driver has not seen yet may be for a broker that has room.
        self.wake.notify_one();
        let limit = limit.min(REST_MAX);
        if !limit.is_zero()
            && self.accumulator.is_pressed()
            && timeout(limit, relief).await.is_err()
        {
            *self.vain_since() = Some(Instant::now());
            // What came before was no help.
            let _ = self.accumulator.take_progress();
        }
    }

    /// The driver has sent what can be sent.
    pub(super) fn look(&self) {
        // An answer since then, however early, says that it may be worth waiting for the next one.
        self.vain_since()
            .take_if(|since| since.elapsed() >= VAIN_TIME && self.accumulator.take_progress());
        if self.accumulator.is_relieved() {
            *self.vain_since() = None;
            self.relief.notify_waiters();
        }
    }

    fn vain_since(&self) -> MutexGuard<'_, Option<Instant>> {
        // What is put there is whole or not there at all.
        self.vain_since.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Longer than a broker takes between two answers, be it far away or busy, unless it stands still.
const REST_MAX: Duration = Duration::from_millis(100);

/// How long nobody rests after a rest in vain, whoever answers: rests in vain cost a quarter of the time at most.
const VAIN_TIME: Duration = Duration::from_millis(300);
