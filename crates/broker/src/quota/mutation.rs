//! How many changes of topics somebody may still make (KIP-599).

use std::time::{Duration, Instant};

use milena_types::ErrorCode;

use super::limits::Quotas;
use crate::state::Refused;

/// The changes that one request makes, of which each partition made or deleted counts.
#[derive(Debug)]
pub(crate) struct Mutations<'a> {
    now: Instant,
    client_id: &'a str,
    /// Whether nothing is changed any more once too much was: older versions are only asked for silence.
    is_strict: bool,
    silence: Duration,
}

impl<'a> Mutations<'a> {
    pub(crate) fn new(now: Instant, client_id: &'a str, is_strict: bool) -> Self {
        Self { now, client_id, is_strict, silence: Duration::ZERO }
    }

    /// Counts changes that are about to be made.
    ///
    /// # Errors
    /// `THROTTLING_QUOTA_EXCEEDED` where they may not be.
    pub(crate) fn charge(&mut self, quotas: &mut Quotas, partitions: usize) -> Result<(), Refused> {
        let Some((limit, bucket)) = quotas.bucket(self.now, self.client_id) else { return Ok(()) };
        if self.is_strict && bucket.is_overdrawn() {
            self.silence = bucket.silence(limit);
            return Err(Refused::without_reason(ErrorCode::THROTTLING_QUOTA_EXCEEDED));
        }
        bucket.take(partitions);
        if !self.is_strict && bucket.is_overdrawn() {
            self.silence = bucket.silence(limit);
        }
        Ok(())
    }

    /// For how long the client is to be silent.
    pub(crate) fn silence(&self) -> Duration {
        self.silence
    }
}

/// What somebody has left: it fills by the quota a second, and holds eleven seconds of it. More than there is may be taken
/// at once, and is then owed.
#[derive(Clone, Debug)]
pub(super) struct Bucket {
    left: f64,
    at: Instant,
}

impl Bucket {
    pub(super) fn full(now: Instant, limit: f64) -> Self {
        Self { left: limit * SECONDS, at: now }
    }

    pub(super) fn fill(&mut self, now: Instant, limit: f64) {
        let elapsed = now.duration_since(self.at).as_secs_f64();
        self.left = (self.left + limit * elapsed).min(limit * SECONDS);
        self.at = now;
    }

    /// Whether it holds as much as one that nobody has taken from.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        !self.is_overdrawn() && now.duration_since(self.at).as_secs_f64() >= SECONDS
    }

    fn is_overdrawn(&self) -> bool {
        self.left < 0.0
    }

    fn take(&mut self, count: usize) {
        // Nobody makes as many partitions as no number tells apart.
        self.left -= count as f64;
    }

    /// How long it takes until nothing is owed.
    fn silence(&self, limit: f64) -> Duration {
        let milliseconds = (-self.left / limit * 1000.0).round().clamp(0.0, SILENCE_MS_MAX);
        Duration::try_from_secs_f64(milliseconds / 1000.0).unwrap_or_default()
    }
}

/// `controller.quota.window.num` windows of a second.
const SECONDS: f64 = 11.0;

/// What an answer can say.
const SILENCE_MS_MAX: f64 = i32::MAX as f64;

#[cfg(test)]
mod tests {
    use super::super::{QuotaEntity, QuotaValues};
    use super::*;

    /// The example in Kafka's `TokenBucket`, with eleven windows.
    #[test]
    #[expect(clippy::disallowed_methods, reason = "any instant does as the start")]
    fn what_is_owed_is_waited_for_and_nothing_more() {
        let mut quotas = Quotas::default();
        let of = |name: &str| QuotaEntity::new([("client-id".to_owned(), Some(name.to_owned()))]);
        let values = QuotaValues::from([("controller_mutation_rate".to_owned(), 5.0)]);
        quotas.set(of("a"), values);
        let now = Instant::now();
        let mut charge = |seconds, client_id, is_strict, count| {
            let now = now + Duration::from_secs(seconds);
            let mut mutations = Mutations::new(now, client_id, is_strict);
            let is_refused = mutations.charge(&mut quotas, count).is_err();
            (is_refused, mutations.silence().as_secs_f64())
        };
        assert_eq!(charge(0, "a", true, 115), (false, 0.0), "55 are there, and no more is asked");
        assert_eq!(charge(0, "a", true, 1), (true, 12.0));
        assert_eq!(charge(11, "a", true, 1), (true, 1.0));
        assert_eq!(charge(12, "a", true, 1), (false, 0.0));
        assert_eq!(charge(12, "a", false, 4), (false, 1.0), "who was not told to stop is not");
        assert_eq!(charge(12, "a", true, 0), (true, 1.0), "they share what there is");
        assert_eq!(charge(12, "b", true, 1_000_000), (false, 0.0), "nobody limits others");
    }
}
