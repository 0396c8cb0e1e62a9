//! How many requests may be on their way to a broker.

use std::time::{Duration, Instant};

/// The requests that are worth having on their way to one broker at a time.
///
/// A broker handles the requests of a connection one by one: behind the one that it works on and the next, they are
/// stored no sooner for being sent, and each record waits for all that is before it. So the window grows while it is
/// used up and answers come about as soon as they ever do, up to `max.in.flight.requests.per.connection`, and shrinks while they take
/// much longer. A long path is filled, since its answers take no longer for it.
#[derive(Debug, Default)]
pub(super) struct Window {
    /// As many as are allowed until an answer took too long.
    requests: Option<usize>,
    /// When something had to wait for room last.
    used_up: Option<Instant>,
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
    /// How many requests there may be, of the `max` that are allowed.
    pub(super) fn requests(&self, max: usize) -> usize {
        self.requests.map_or(max, |requests| requests.max(FLOOR).min(max))
    }

    /// Something waits for room.
    pub(super) fn ran_out(&mut self, now: Instant) {
        self.used_up = Some(now);
        self.is_used_up = true;
    }

    /// Whether something had to wait for room since the last answer.
    pub(super) fn is_used_up(&self) -> bool {
        self.is_used_up
    }

    /// Whether it was used up of late: a broker that takes whatever there is never uses it up.
    pub(super) fn is_wanted(&self, now: Instant) -> bool {
        self.used_up.is_some_and(|at| now < at + WANTED)
    }

    /// What a request brought was stored, and its answer came after `took`. Returns whether something waited for it.
    pub(super) fn answered(&mut self, max: usize, now: Instant, took: Duration) -> bool {
        let least = self.least.note(now, took);
        let requests = self.requests(max);
        let is_used_up = self.passed();
        if took > 2 * least + SLACK {
            self.requests = Some(requests.saturating_sub(1).max(FLOOR));
        } else if is_used_up {
            self.requests = Some(requests + 1).filter(|&requests| requests < max);
        }
        is_used_up
    }

    /// A request is done with, and its answer says nothing of the broker. Returns whether something waited for it.
    pub(super) fn passed(&mut self) -> bool {
        std::mem::take(&mut self.is_used_up)
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

/// One that the broker works on, and one that is next.
const FLOOR: usize = 2;

/// What an answer may take beyond twice the shortest time: a broker's own pauses.
const SLACK: Duration = Duration::from_millis(2);

/// How long a short time is remembered, once or twice: the path may change.
const PERIOD: Duration = Duration::from_secs(10);

/// How long a broker counts as one that more is wanted for.
const WANTED: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[expect(clippy::disallowed_methods, reason = "the clock's zero; nothing reads it again")]
    fn start() -> Instant {
        Instant::now()
    }

    fn used_up(window: &mut Window, now: Instant, took: Duration) -> usize {
        window.ran_out(now);
        assert!(window.answered(5, now, took));
        window.requests(5)
    }

    #[test]
    fn it_grows_while_it_is_used_up_and_answers_are_swift() {
        let (mut window, now) = (Window::default(), start());
        assert_eq!(used_up(&mut window, now, 30 * MS), 5);
        assert_eq!(used_up(&mut window, now, 62 * MS), 5);
        assert_eq!(used_up(&mut window, now, 63 * MS), 4);
        (0..9).for_each(|_| assert!(!window.answered(5, now, 63 * MS)));
        window.answered(5, now, 30 * MS);
        assert_eq!(window.requests(5), 2, "nothing waited");
        let sizes: Vec<_> = (0..5).map(|_| used_up(&mut window, now, 30 * MS)).collect();
        assert_eq!(sizes, [3, 4, 5, 5, 5]);
    }

    #[test]
    fn it_never_shrinks_below_two_and_never_exceeds_what_is_allowed() {
        let (mut window, now) = (Window::default(), start());
        window.answered(5, now, MS);
        (0..9).for_each(|_| assert!(!window.answered(5, now, 100 * MS)));
        assert_eq!((window.requests(5), window.requests(1)), (2, 1));
    }

    #[test]
    fn a_path_that_became_longer_is_used_as_far_in_the_end() {
        let (mut window, mut now) = (Window::default(), start());
        window.answered(5, now, MS);
        for _ in 0..3 {
            now += PERIOD;
            window.answered(5, now, 30 * MS);
        }
        let shrunk = window.requests(5);
        assert!(shrunk < 5);
        assert_eq!(used_up(&mut window, now, 30 * MS), shrunk + 1);
    }

    #[test]
    fn more_is_wanted_for_who_had_no_room_of_late() {
        let (mut window, now) = (Window::default(), start());
        assert!(!window.is_wanted(now));
        window.ran_out(now);
        assert!(window.is_wanted(now + WANTED - MS) && !window.is_wanted(now + WANTED));
    }
}
