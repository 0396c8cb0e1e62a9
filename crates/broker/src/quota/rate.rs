//! How many bytes or connections a second went by of late.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// What was counted by seconds, the last eleven of them: `quota.window.num` and `quota.window.size.seconds` by default.
#[derive(Clone, Debug, Default)]
pub(super) struct Rate {
    /// When each sample began, and its bytes.
    samples: VecDeque<(Instant, f64)>,
}

impl Rate {
    pub(super) fn record(&mut self, now: Instant, bytes: usize) {
        self.purge(now);
        // Nobody can tell a byte in so many.
        let bytes = bytes as f64;
        match self.samples.back_mut() {
            Some((began, sum)) if now.duration_since(*began) < WINDOW => *sum += bytes,
            Some(_) | None => self.samples.push_back((now, bytes)),
        }
    }

    /// How long nothing may come that the rate falls to `limit` a second, by Kafka's reckoning.
    pub(super) fn silence(&mut self, now: Instant, limit: f64) -> Duration {
        self.purge(now);
        let Some((oldest, _)) = self.samples.front() else { return Duration::ZERO };
        let elapsed = now.duration_since(*oldest);
        // Windows that did not come yet count as empty ones.
        let whole = u32::try_from(elapsed.as_millis() / WINDOW.as_millis()).unwrap_or(u32::MAX);
        let window = elapsed + WINDOW * (SAMPLES - 1).saturating_sub(whole);
        let sum: f64 = self.samples.iter().map(|(_, bytes)| bytes).sum();
        let rate = sum / window.as_secs_f64();
        let seconds = (rate - limit) / limit * window.as_secs_f64();
        let milliseconds = (seconds * 1000.0).round().clamp(0.0, SILENCE_MS_MAX);
        Duration::try_from_secs_f64(milliseconds / 1000.0).unwrap_or_default()
    }

    /// Whether nothing is left that counts.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.samples.back().is_none_or(|(began, _)| now.duration_since(*began) >= KEPT)
    }

    fn purge(&mut self, now: Instant) {
        while self.samples.front().is_some_and(|(began, _)| now.duration_since(*began) >= KEPT) {
            self.samples.pop_front();
        }
    }
}

pub(super) const WINDOW: Duration = Duration::from_secs(1);
const SAMPLES: u32 = 11;
const KEPT: Duration = Duration::from_secs(11);

/// What an answer can say.
const SILENCE_MS_MAX: f64 = i32::MAX as f64;
