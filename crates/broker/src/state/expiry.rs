//! Commits that are too old, and groups of which nothing is left.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::{State, Timer};
use crate::store::Entry;

impl State {
    /// There is a group: sees to it that it is looked at in time.
    pub(crate) fn arm_expiry(&mut self, now: Instant) {
        if !self.timers.has(&Timer::Commits) && !self.groups.is_empty() {
            let interval = self.settings.offsets_retention_check_interval;
            let due = now.checked_add(interval.max(INTERVAL_MIN));
            self.timers.set(Timer::Commits, due);
        }
    }

    /// Forgets commits that are too old, and groups that have neither members nor commits. Groups whose coordinator stands
    /// still wait for it.
    pub(super) fn expire_commits(&mut self, now: Instant) {
        let (wall, retention) = (self.wall(now), self.settings.offsets_retention);
        let ids: Vec<_> =
            self.groups.keys().filter(|id| self.coordinator_runs(id)).cloned().collect();
        for id in ids {
            let Some(group) = self.groups.get_mut(&id) else { continue };
            let expired = group.expired_commits(now, wall, retention);
            let gone: BTreeSet<_> = expired.iter().collect();
            group.offsets.forget_commits(|partition| gone.contains(partition));
            let is_idle = group.is_idle();
            if !expired.is_empty() {
                self.note(Entry::CommitsGone(id.clone(), expired));
            }
            if is_idle {
                self.delete_group(&id);
            }
        }
        self.arm_expiry(now);
    }
}

/// An interval of zero would be due again before anything else happens.
const INTERVAL_MIN: Duration = Duration::from_millis(1);
