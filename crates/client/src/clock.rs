//! The time on the wall, read once and carried on by tokio's clock.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use milena_types::Timestamp;
use tokio::time::Instant;

/// Tells the time of records at the price of one clock read for both that and the moment.
///
/// Tests that pause tokio's clock get times that do not depend on how fast they run. Drivers correct it now and then,
/// because the wall clock may be set.
#[derive(Debug)]
pub(crate) struct Clock {
    origin: Instant,
    /// Milliseconds since the Unix epoch at `origin`.
    wall_ms: AtomicI64,
}

impl Clock {
    /// A clock that agrees with the system's.
    pub(crate) fn new() -> Self {
        let clock = Self { origin: Instant::now(), wall_ms: AtomicI64::new(0) };
        clock.correct();
        clock
    }

    /// The time on the wall at `now`.
    pub(crate) fn wall(&self, now: Instant) -> Timestamp {
        let since = millis(now.saturating_duration_since(self.origin));
        Timestamp::from_millis(self.wall_ms.load(Ordering::Relaxed).saturating_add(since))
    }

    /// Agrees with the system's clock again.
    #[expect(
        clippy::disallowed_methods,
        reason = "the seam by which the time on the wall comes in"
    )]
    pub(crate) fn correct(&self) {
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let origin_ms = millis(wall).saturating_sub(millis(self.origin.elapsed()));
        self.wall_ms.store(origin_ms, Ordering::Relaxed);
    }
}

/// The moment after `wait`; one far away where there is none so late.
pub(crate) fn after(wait: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(wait).unwrap_or_else(|| now + FAR)
}

/// No call waits for a century.
const FAR: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_wall_moves_with_tokios_clock() {
        let clock = Clock::new();
        let (now, later) = (Instant::now(), Instant::now() + Duration::from_secs(3600));
        assert_eq!(clock.wall(later).millis() - clock.wall(now).millis(), 3_600_000);
    }
}
