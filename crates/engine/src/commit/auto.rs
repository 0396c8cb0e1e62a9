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
