//! The wall clock, carried by the monotonic one.

use std::time::Instant;

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

    pub(crate) fn wall(&self, now: Instant) -> Timestamp {
        let passed = now.saturating_duration_since(self.started).as_millis();
        let passed = i64::try_from(passed).unwrap_or(i64::MAX);
        Timestamp::from_millis(self.wall_at_start.millis().saturating_add(passed))
    }
}
