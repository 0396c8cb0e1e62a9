//! The one clock of a world.

use std::time::{Duration, Instant};

use milena_types::Timestamp;

/// Virtual time: it moves only when a world says so.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
    elapsed: Duration,
    /// By how much the clients' wall clocks are wrong (F72).
    skew_ms: i64,
}

impl Clock {
    /// A clock that shows zero.
    pub(crate) fn new() -> Self {
        // `Instant` can only be had from the machine's clock; nothing depends on which one it is.
        #[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
        let start = Instant::now();
        Self { start, elapsed: Duration::ZERO, skew_ms: 0 }
    }

    /// Time since the world began.
    pub(crate) fn elapsed(&self) -> Duration {
        self.elapsed
    }

    /// The same, as the machines take it.
    pub(crate) fn now(&self) -> Instant {
        self.start + self.elapsed
    }

    /// The clients' wall clocks jump, to this far from the brokers'.
    pub(crate) fn skew(&mut self, ms: i64) {
        self.skew_ms = ms;
    }

    /// The wall clock: brokers let records go that are older than their retention.
    pub(crate) fn wall(&self) -> Timestamp {
        let elapsed = i64::try_from(self.elapsed.as_millis()).unwrap_or(i64::MAX);
        Timestamp::from_millis(WALL_START_MS.saturating_add(elapsed).saturating_add(self.skew_ms))
    }

    /// When `instant` is, counted from the world's start.
    pub(crate) fn since_start(&self, instant: Instant) -> Duration {
        instant.saturating_duration_since(self.start)
    }

    /// Moves to `elapsed`, never back.
    pub(crate) fn advance_to(&mut self, elapsed: Duration) {
        self.elapsed = self.elapsed.max(elapsed);
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

/// How long the machine has worked: for the program that runs worlds, never for what happens in one.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Begins to count.
    pub fn start() -> Self {
        #[expect(clippy::disallowed_methods, reason = "the machine's own time is what is measured")]
        let start = Instant::now();
        Self(start)
    }

    /// The time since.
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// Where the embedded broker's clock starts too.
const WALL_START_MS: i64 = 1_767_225_600_000;
