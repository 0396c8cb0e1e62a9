//! When the coordinator has to hear of a member, and when silence has lasted too long.

use std::time::{Duration, Instant};

use crate::request::RequestId;

/// The clocks of one membership.
#[derive(Debug)]
pub(crate) struct Heartbeat {
    interval: Duration,
    session: Duration,
    next_at: Option<Instant>,
    /// The session ends here unless an answer comes; counted from when the last answered one was sent, so that we
    /// give up before the coordinator gives us up.
    session_ends: Option<Instant>,
    in_flight: Option<(RequestId, Instant)>,
}

impl Heartbeat {
    pub(crate) fn new(interval: Duration, session: Duration) -> Self {
        Self { interval, session, next_at: None, session_ends: None, in_flight: None }
    }

    /// The coordinator heard of us by another request, sent at `sent`.
    pub(crate) fn start(&mut self, sent: Instant) {
        self.next_at = Some(sent + self.interval);
        self.session_ends = Some(sent + self.session);
        self.in_flight = None;
    }

    pub(crate) fn stop(&mut self) {
        (self.next_at, self.session_ends, self.in_flight) = (None, None, None);
    }

    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.in_flight.is_none() && self.next_at.is_some_and(|at| at <= now)
    }

    /// When the coordinator gives us up, as far as we know.
    pub(crate) fn session_ends(&self) -> Option<Instant> {
        self.session_ends
    }

    pub(crate) fn is_expired(&self, now: Instant) -> bool {
        self.session_ends.is_some_and(|at| at <= now)
    }

    pub(crate) fn sent(&mut self, now: Instant, request: RequestId) {
        self.in_flight = Some((request, now));
        self.next_at = Some(now + self.interval);
    }

    /// Whether `request` is the one under way; it no longer is after this. Gives when it was sent.
    pub(crate) fn landed(&mut self, request: RequestId) -> Option<Instant> {
        let (_, sent) = self.in_flight.take_if(|(id, _)| *id == request)?;
        Some(sent)
    }

    pub(crate) fn succeeded(&mut self, sent: Instant) {
        self.session_ends = Some(sent + self.session);
    }

    pub(crate) fn failed(&mut self, now: Instant, wait: Duration) {
        self.next_at = Some(now + wait.min(self.interval));
    }

    /// The next moment to look at these clocks, where `reachable` says that the coordinator is known.
    pub(crate) fn timeout(&self, reachable: bool) -> Option<Instant> {
        let beat = self.next_at.filter(|_| reachable && self.in_flight.is_none());
        [beat, self.session_ends].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::RequestIds;

    const SECOND: Duration = Duration::from_secs(1);

    #[expect(clippy::disallowed_methods, reason = "any instant will do as the start of time")]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn one_heartbeat_is_under_way_at_a_time() {
        let (now, mut ids) = (start(), RequestIds::default());
        let mut heartbeat = Heartbeat::new(3 * SECOND, 45 * SECOND);
        heartbeat.start(now);
        assert!(!heartbeat.is_due(now + 2 * SECOND));
        assert!(heartbeat.is_due(now + 3 * SECOND));
        let request = ids.deal();
        heartbeat.sent(now + 3 * SECOND, request);
        assert!(!heartbeat.is_due(now + 9 * SECOND));
        assert_eq!(heartbeat.landed(ids.deal()), None);
        assert_eq!(heartbeat.landed(request), Some(now + 3 * SECOND));
        assert!(heartbeat.is_due(now + 9 * SECOND));
    }

    /// The coordinator counts from when it got the heartbeat; we must be sure to be out by then.
    #[test]
    fn the_session_counts_from_the_sending() {
        let (now, mut ids) = (start(), RequestIds::default());
        let mut heartbeat = Heartbeat::new(3 * SECOND, 10 * SECOND);
        heartbeat.start(now);
        heartbeat.sent(now + 3 * SECOND, ids.deal());
        heartbeat.succeeded(now + 3 * SECOND);
        assert!(!heartbeat.is_expired(now + 12 * SECOND));
        assert!(heartbeat.is_expired(now + 13 * SECOND));
        assert_eq!(heartbeat.timeout(false), Some(now + 13 * SECOND));
    }

    /// A wait longer than the interval would cost beats that the coordinator counts on.
    #[test]
    fn a_heartbeat_that_failed_is_sent_again_after_its_wait_but_within_the_interval() {
        let (now, mut ids) = (start(), RequestIds::default());
        for (wait, expected) in [(SECOND, SECOND), (30 * SECOND, 3 * SECOND)] {
            let mut heartbeat = Heartbeat::new(3 * SECOND, 45 * SECOND);
            heartbeat.start(now);
            let request = ids.deal();
            heartbeat.sent(now + 3 * SECOND, request);
            heartbeat.landed(request);
            heartbeat.failed(now + 4 * SECOND, wait);
            assert_eq!(heartbeat.timeout(true), Some(now + 4 * SECOND + expected));
            assert!(heartbeat.is_due(now + 4 * SECOND + expected));
            // Nothing was heard: the session goes on from the last that was.
            assert_eq!(heartbeat.session_ends(), Some(now + 45 * SECOND));
        }
    }

    /// Woken for a beat that cannot be sent, the driver spins.
    #[test]
    fn a_beat_wakes_only_while_it_can_be_sent() {
        let (now, mut ids) = (start(), RequestIds::default());
        let mut heartbeat = Heartbeat::new(3 * SECOND, 45 * SECOND);
        assert_eq!(heartbeat.timeout(true), None, "not yet a member");
        heartbeat.start(now);
        assert_eq!(heartbeat.timeout(true), Some(now + 3 * SECOND));
        assert_eq!(heartbeat.timeout(false), Some(now + 45 * SECOND), "no coordinator");
        let request = ids.deal();
        heartbeat.sent(now + 3 * SECOND, request);
        assert_eq!(heartbeat.timeout(true), Some(now + 45 * SECOND), "one is under way");
        heartbeat.landed(request);
        assert_eq!(heartbeat.timeout(true), Some(now + 6 * SECOND), "counted from its sending");
        heartbeat.stop();
        assert_eq!(heartbeat.timeout(true), None);
        assert!(!heartbeat.is_due(now + 90 * SECOND) && !heartbeat.is_expired(now + 90 * SECOND));
    }
}
