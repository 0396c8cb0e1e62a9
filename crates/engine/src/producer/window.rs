//! How much may be on its way to a broker.

use std::time::{Duration, Instant};

use super::settings::Settings;

/// The bytes that are worth having on their way to one broker at a time.
///
/// A broker handles the requests of a connection one by one: what is behind the first ones is stored no sooner for being
/// sent, and each record waits for all that is before it. So the window grows while it is used up and answers come about
/// as soon as they ever do, and shrinks while they take much longer. It settles at about what the path and the broker
/// hold at a time, however long the path is. Requests in flight are bounded beside it, by
/// `max.in.flight.requests.per.connection`.
#[derive(Debug, Default)]
pub(super) struct Window {
    bytes: usize,
    /// Something had to wait for room since the last answer.
    is_used_up: bool,
    least: Least,
}

/// The shortest time that an answer took of late.
#[derive(Debug, Default)]
struct Least {
    /// In this period, and in the one before.
    now: Option<Duration>,
    before: Option<Duration>,
    began: Option<Instant>,
}

impl Window {
    /// Whether `more` bytes may follow the `in_flight` ones; something may always be on its way.
    pub(super) fn has_room(&self, floor: usize, in_flight: usize, more: usize) -> bool {
        in_flight == 0 || in_flight + more <= self.bytes(floor)
    }

    /// Something waits for room.
    pub(super) fn ran_out(&mut self) {
        self.is_used_up = true;
    }

    /// The answer to a request of `bytes` came after `took`.
    pub(super) fn answered(&mut self, floor: usize, now: Instant, bytes: usize, took: Duration) {
        let least = self.least.note(now, took);
        let bytes_now = self.bytes(floor);
        self.bytes = if took > least + least / 2 + SLACK {
            bytes_now - bytes_now / 8
        } else if std::mem::take(&mut self.is_used_up) {
            bytes_now + bytes
        } else {
            bytes_now
        };
    }

    pub(super) fn bytes(&self, floor: usize) -> usize {
        self.bytes.max(floor)
    }
}

impl Least {
    /// Takes note of `took`; returns the shortest.
    fn note(&mut self, now: Instant, took: Duration) -> Duration {
        if self.began.is_none_or(|began| began + PERIOD <= now) {
            self.before = self.now.take();
            self.began = Some(now);
        }
        let least = self.now.map_or(took, |now| now.min(took));
        self.now = Some(least);
        self.before.map_or(least, |before| before.min(least))
    }
}

impl Settings {
    /// What may always be on its way to a broker: what it works on, and what is next.
    pub(super) fn window_floor(&self) -> usize {
        FLOOR_BYTES.max(self.batch_bytes.saturating_mul(2) + self.batch_bytes / 4)
    }
}

/// Below, a request costs more than its bytes.
const FLOOR_BYTES: usize = 512 * 1024;

/// What an answer may take beyond half as long again as the shortest: a broker's own pauses.
const SLACK: Duration = Duration::from_millis(2);

/// How long a short time is remembered, once or twice: the path may change.
const PERIOD: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    const FLOOR: usize = 1000;
    const MS: Duration = Duration::from_millis(1);

    #[expect(clippy::disallowed_methods, reason = "the clock's zero; nothing reads it again")]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn something_may_always_be_on_its_way() {
        let window = Window::default();
        assert!(window.has_room(FLOOR, 0, 2 * FLOOR));
        assert!(window.has_room(FLOOR, 400, 600));
        assert!(!window.has_room(FLOOR, 400, 601));
    }

    #[test]
    fn it_grows_while_it_is_used_up_and_answers_are_swift() {
        let (mut window, now) = (Window::default(), start());
        window.answered(FLOOR, now, 500, 30 * MS);
        assert_eq!(window.bytes(FLOOR), FLOOR, "nothing waited");
        window.ran_out();
        window.answered(FLOOR, now, 500, 47 * MS);
        assert_eq!(window.bytes(FLOOR), 1500);
        window.ran_out();
        window.answered(FLOOR, now, 500, 48 * MS);
        assert_eq!(window.bytes(FLOOR), 1500 - 1500 / 8);
    }

    #[test]
    fn it_never_shrinks_below_what_a_request_is_worth() {
        let (mut window, now) = (Window::default(), start());
        window.answered(FLOOR, now, 500, MS);
        (0..100).for_each(|_| window.answered(FLOOR, now, 500, 100 * MS));
        assert_eq!(window.bytes(FLOOR), FLOOR);
    }

    #[test]
    fn a_path_that_became_longer_is_used_as_far_in_the_end() {
        let (mut window, mut now) = (Window::default(), start());
        window.answered(FLOOR, now, 500, MS);
        for _ in 0..3 {
            now += PERIOD;
            window.answered(FLOOR, now, 500, 30 * MS);
        }
        window.ran_out();
        window.answered(FLOOR, now, 500, 30 * MS);
        assert_eq!(window.bytes(FLOOR), 1500);
    }
}
