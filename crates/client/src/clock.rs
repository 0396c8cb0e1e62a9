//! The time on the wall, read once and carried on by tokio's clock.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use milena_types::Timestamp;
use tokio::time::Instant;

/// Tells the time of records at the price of one clock read for both that and the moment.
///
/// Tests that pause tokio's clock get times that do not depend on how fast they run. It corrects itself once a second,
/// because the wall clock may be set, and goes on while a machine sleeps when the other does not.
#[derive(Debug)]
pub(crate) struct Clock {
    origin: Instant,
    /// The same moment, by the two clocks of the system whose drift is the correction.
    system_origin: (std::time::Instant, SystemTime),
    /// Milliseconds since the Unix epoch at `origin`, as corrected last.
    wall_ms: AtomicI64,
    /// When it was last looked whether that is right: milliseconds since `origin`.
    looked_ms: AtomicI64,
}

impl Clock {
    /// A clock that agrees with the system's.
    #[expect(
        clippy::disallowed_methods,
        reason = "the seam by which the time on the wall comes in"
    )]
    pub(crate) fn new() -> Self {
        let system_origin = (std::time::Instant::now(), SystemTime::now());
        let wall_ms = AtomicI64::new(since_epoch(system_origin.1));
        let looked_ms = AtomicI64::new(0);
        Self { origin: Instant::now(), system_origin, wall_ms, looked_ms }
    }

    /// The time on the wall at `now`.
    pub(crate) fn wall(&self, now: Instant) -> Timestamp {
        let since = millis(now.saturating_duration_since(self.origin));
        if since.saturating_sub(self.looked_ms.load(Ordering::Relaxed)) >= LOOK_EVERY_MS {
            // Where several do so at once, they come to the same.
            self.looked_ms.store(since, Ordering::Relaxed);
            self.correct();
        }
        Timestamp::from_millis(self.wall_ms.load(Ordering::Relaxed).saturating_add(since))
    }

    /// Agrees with the system's clock again: takes over by how much that parted from the steady one, which leaves a
    /// paused clock of tokio's alone.
    #[expect(
        clippy::disallowed_methods,
        reason = "the seam by which the time on the wall comes in"
    )]
    fn correct(&self) {
        self.correct_by(self.system_origin.0.elapsed(), SystemTime::now());
    }

    /// The steady clock is `steady` from its origin, and the other one at `wall`.
    fn correct_by(&self, steady: Duration, wall: SystemTime) {
        let origin_ms = since_epoch(wall).saturating_sub(millis(steady));
        let drift_ms = origin_ms.abs_diff(self.wall_ms.load(Ordering::Relaxed));
        // The two clocks are read one after the other: what is less may have passed in between.
        if drift_ms >= DRIFT_MIN_MS {
            self.wall_ms.store(origin_ms, Ordering::Relaxed);
        }
    }
}

fn since_epoch(wall: SystemTime) -> i64 {
    millis(wall.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
}

/// The moment after `wait`; one far away where there is none so late.
pub(crate) fn after(wait: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(wait).unwrap_or_else(|| now + FAR)
}

/// A record is no more than this late to have the right time after the wall clock was set.
const LOOK_EVERY_MS: i64 = 1000;
/// Less is nothing to a record's time.
const DRIFT_MIN_MS: u64 = 20;

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
        clock.correct();
        let moved = clock.wall(later).millis() - clock.wall(now).millis();
        assert_eq!(moved, 3_600_000, "a correction is none of a paused clock's business");
    }

    /// A machine that slept for an hour, by the wall, which the steady clock knows nothing of.
    #[tokio::test(start_paused = true)]
    async fn a_correction_takes_over_what_the_wall_clock_was_set_by() {
        let clock = Clock::new();
        let now = Instant::now();
        let before = clock.wall(now).millis();
        let (steady, hour) = (Duration::from_secs(10), Duration::from_secs(3600));
        clock.correct_by(steady, clock.system_origin.1 + steady + hour);
        assert_eq!(clock.wall(now).millis() - before, 3_600_000);
    }
}
