//! How long to wait before trying again.

use std::time::Duration;

use fastrand::Rng;

/// Waits that double with each failure in a row, spread by 20 % (KIP-144, KIP-580, KIP-601).
///
/// The first wait is `initial`, none is longer than `max`; a success starts over. Java draws the same way:
/// `min(max, initial × 2^failures × [0.8, 1.2))`.
#[derive(Clone, Debug)]
pub struct Backoff {
    initial: Duration,
    max: Duration,
    failures: u32,
}

impl Backoff {
    /// Waits from `initial` to `max`; where `initial` is the longer one, every wait is `max`.
    pub const fn new(initial: Duration, max: Duration) -> Self {
        Self { initial, max, failures: 0 }
    }

    /// The wait that follows one more failure.
    #[must_use = "the wait is what the caller asked for"]
    pub fn next_wait(&mut self, rng: &mut Rng) -> Duration {
        let doublings = self.failures.min(DOUBLINGS_MAX);
        self.failures = self.failures.saturating_add(1);
        let spread = 1.0 - JITTER + 2.0 * JITTER * rng.f64();
        let wait = self.initial.saturating_mul(1 << doublings).min(self.max.saturating_mul(2));
        wait.mul_f64(spread).min(self.max)
    }

    /// Forgets the failures, after a success.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// Failures in a row.
    pub const fn failures(&self) -> u32 {
        self.failures
    }
}

/// Java's share of chance in every wait, to each side.
const JITTER: f64 = 0.2;

/// 2^20 times any useful first wait is beyond any useful last one.
const DOUBLINGS_MAX: u32 = 20;

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn waits_double_to_the_cap_within_the_jitter() {
        let mut rng = Rng::with_seed(1);
        for _ in 0..200 {
            let mut backoff = Backoff::new(50 * MS, 1000 * MS);
            for nominal_ms in [50, 100, 200, 400, 800] {
                let wait = backoff.next_wait(&mut rng);
                let nominal = nominal_ms * MS;
                assert!(wait >= nominal.mul_f64(0.8) && wait <= nominal.mul_f64(1.2), "{wait:?}");
                assert!(wait <= 1000 * MS);
            }
            for _ in 0..100 {
                assert!(backoff.next_wait(&mut rng) >= 800 * MS);
            }
            assert!(backoff.next_wait(&mut rng) <= 1000 * MS);
        }
    }

    #[test]
    fn a_success_starts_over() {
        let mut rng = Rng::with_seed(2);
        let mut backoff = Backoff::new(100 * MS, 1000 * MS);
        for _ in 0..10 {
            let _ = backoff.next_wait(&mut rng);
        }
        backoff.reset();
        assert_eq!(backoff.failures(), 0);
        assert!(backoff.next_wait(&mut rng) <= 120 * MS);
    }

    #[test]
    fn the_same_seed_draws_the_same_waits() {
        let draw = |seed| {
            let (mut rng, mut backoff) = (Rng::with_seed(seed), Backoff::new(MS, 1000 * MS));
            (0..20).map(|_| backoff.next_wait(&mut rng)).collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }

    #[test]
    fn a_first_wait_beyond_the_cap_is_cut_to_it() {
        let mut backoff = Backoff::new(5000 * MS, 1000 * MS);
        assert_eq!(backoff.next_wait(&mut Rng::with_seed(3)), 1000 * MS);
    }
}
