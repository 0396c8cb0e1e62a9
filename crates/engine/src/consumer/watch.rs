//! Partitions that should go on and do not.

use std::time::{Duration, Instant};

use milena_types::Offset;

use super::machine::Consumer;
use crate::fetch::{Ends, IsolationLevel};
use crate::subscription::{Assigned, Event, Revision, Stage, StageKind};

/// Where a partition stood at the last look, and for how many looks.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Still {
    place: Option<(Revision, StageKind, i64)>,
    looks: u32,
}

impl Consumer {
    /// Looks from time to time at what stands still: whoever only waits for records would never learn that a partition
    /// gives none though it has some.
    pub(super) fn drive_watch(&mut self, now: Instant) {
        if self.watch_at.is_some_and(|at| now < at) {
            return;
        }
        self.watch_at = Some(now + self.look_again());
        let mut stalled = Vec::new();
        let waited = self.look_again() * LOOKS;
        let isolation = self.settings.isolation_level;
        for (tp, assigned) in self.subscription.iter_mut() {
            let place = (assigned.revision(), assigned.stage().kind(), offset_of(assigned));
            let ends = self.buffer.ends(tp).unwrap_or_default();
            let partition = self.cluster.partition(tp.topic.as_str(), tp.partition);
            let leader = partition.and_then(|partition| partition.leader);
            let node = assigned.preferred.map(|(node, _)| node).or(leader);
            let is_full = node.is_some_and(|node| self.buffer.is_hungry(node));
            let handed_out = self.buffer.position(tp);
            let is_unread = handed_out.is_some() && handed_out != assigned.stage().position();
            if !is_behind(assigned, ends, isolation) || is_full || is_unread {
                assigned.still = Still::default();
                continue;
            }
            let looks =
                if assigned.still.place == Some(place) { assigned.still.looks + 1 } else { 0 };
            assigned.still = Still { place: Some(place), looks };
            if looks == LOOKS {
                let end = end_of(ends, isolation);
                let (partition, position) = (tp.clone(), assigned.stage().position());
                stalled.push(Event::Stalled { partition, position, end, waited });
            }
        }
        for event in stalled {
            self.buffer.tell(event);
        }
    }

    /// When to look again, if there is something to look at.
    pub(super) fn watch_timeout(&self) -> Option<Instant> {
        self.watch_at.filter(|_| self.subscription.iter().next().is_some())
    }

    fn look_again(&self) -> Duration {
        // Two lost requests in a row are no stall yet.
        (self.settings.request_timeout * 2 / LOOKS).max(LOOK_MIN)
    }
}

fn offset_of(assigned: &Assigned) -> i64 {
    assigned.stage().position().map_or(-1, |position| position.offset.get())
}

/// Whether there is something to read, or to find out before that, and nothing but the cluster is in the way.
fn is_behind(assigned: &Assigned, ends: Ends, isolation: IsolationLevel) -> bool {
    if assigned.paused || !assigned.settled {
        return false;
    }
    match assigned.stage() {
        // The user knows.
        Stage::Halted => false,
        Stage::Committed | Stage::Reset(_) | Stage::Validating(_) => true,
        Stage::Fetching(position) => {
            end_of(ends, isolation).is_none_or(|end| position.offset < end)
        }
    }
}

fn end_of(ends: Ends, isolation: IsolationLevel) -> Option<Offset> {
    match isolation {
        IsolationLevel::ReadUncommitted => ends.high_watermark,
        IsolationLevel::ReadCommitted => ends.last_stable_offset,
    }
}

/// In how many looks in a row a partition stands still before that is told.
const LOOKS: u32 = 4;

/// However short requests may take, a look costs something.
const LOOK_MIN: Duration = Duration::from_secs(1);
