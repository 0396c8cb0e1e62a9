//! Commits that nobody asked for.

use std::time::{Duration, Instant};

use super::offset::CommitId;

/// When to commit by itself.
#[derive(Debug)]
pub(crate) struct AutoCommit {
    interval: Duration,
    next_at: Instant,
    under_way: Option<CommitId>,
}

impl AutoCommit {
    pub(crate) fn new(now: Instant, interval: Duration) -> Self {
        Self { interval, next_at: now + interval, under_way: None }
    }

    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.under_way.is_none() && self.next_at <= now
    }

    /// Nothing to commit, or the commit `id` is on its way.
    pub(crate) fn started(&mut self, now: Instant, id: Option<CommitId>) {
        self.under_way = id;
        self.next_at = now + self.interval;
    }

    /// Takes in the end of a commit; true if it was one of these. One that failed is tried again after `wait`.
    pub(crate) fn ended(
        &mut self,
        now: Instant,
        id: CommitId,
        succeeded: bool,
        wait: Duration,
    ) -> bool {
        if self.under_way.take_if(|under_way| *under_way == id).is_none() {
            return false;
        }
        if !succeeded {
            self.next_at = self.next_at.min(now + wait);
        }
        true
    }

    pub(crate) fn timeout(&self) -> Option<Instant> {
        self.under_way.is_none().then_some(self.next_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(5);
    const WAIT: Duration = Duration::from_millis(100);

    #[expect(clippy::disallowed_methods, reason = "any instant will do as the start of time")]
    fn started() -> (Instant, AutoCommit) {
        let now = Instant::now();
        (now, AutoCommit::new(now, INTERVAL))
    }

    /// Due a moment before, it would ask to be woken again and again.
    #[test]
    fn a_commit_is_due_when_it_asks_to_be_woken_and_not_while_one_is_under_way() {
        let (start, mut auto) = started();
        assert_eq!(auto.timeout(), Some(start + INTERVAL));
        assert!(!auto.is_due(start + INTERVAL - WAIT) && auto.is_due(start + INTERVAL));
        let now = start + INTERVAL;
        auto.started(now, Some(CommitId(1)));
        assert_eq!((auto.timeout(), auto.is_due(now + 2 * INTERVAL)), (None, false));
        auto.started(now, None);
        assert_eq!(auto.timeout(), Some(now + INTERVAL), "there was nothing to commit");
    }

    /// The offsets of a whole interval would be read again, were the member to die in the next one.
    #[test]
    fn a_commit_that_failed_is_tried_again_after_its_wait() {
        for (succeeded, wait, expected) in
            [(true, WAIT, INTERVAL), (false, WAIT, WAIT), (false, 2 * INTERVAL, INTERVAL)]
        {
            let (start, mut auto) = started();
            auto.started(start, Some(CommitId(7)));
            assert!(!auto.ended(start, CommitId(6), false, WAIT), "the user's own");
            assert_eq!(auto.timeout(), None);
            assert!(auto.ended(start, CommitId(7), succeeded, wait));
            assert_eq!(auto.timeout(), Some(start + expected));
        }
    }
}
