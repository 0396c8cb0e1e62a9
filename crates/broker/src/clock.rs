//! The wall clock, carried by the monotonic one.

use std::time::{Duration, Instant};

use milena_types::Timestamp;

/// Reads the wall clock off the `now` of each call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    started: Instant,
    wall_at_start: Timestamp,
}

impl Clock {
    pub(crate) fn new(started: Instant, wall_at_start: Timestamp) -> Self {
        Self { started, wall_at_start }
    }

    /// When it was, or will be, this time; as early as can be said where it was long ago.
    pub(crate) fn instant(&self, wall: Timestamp) -> Instant {
        let passed = wall.millis().saturating_sub(self.wall_at_start.millis());
        let span = Duration::from_millis(passed.unsigned_abs());
        let at = if passed < 0 {
            self.started.checked_sub(span)
        } else {
            self.started.checked_add(span)
        };
        at.unwrap_or(self.started)
    }

    pub(crate) fn wall(&self, now: Instant) -> Timestamp {
        let millis = |span: Duration| i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        // Before the start there is only what a store told of.
        let passed = millis(now.saturating_duration_since(self.started))
            .saturating_sub(millis(self.started.saturating_duration_since(now)));
        Timestamp::from_millis(self.wall_at_start.millis().saturating_add(passed))
    }
}
