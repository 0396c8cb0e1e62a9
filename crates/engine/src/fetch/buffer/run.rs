//! Records that the user's task takes one by one, without the lock for each.
//!
//! The reader begins a run over one batch under the lock. From then on taking a record is one compare-and-swap of the
//! cursor, which fails once anybody else has taken the lock: whoever looks at positions, or decides one anew, ends the
//! run and learns how far it came. So a seek or a revocation takes effect between two records, as everywhere.

use std::sync::atomic::{AtomicI64, Ordering};

use milena_types::{LeaderEpoch, Offset, TopicPartition};

use super::{CompletedFetch, FetchBuffer, State, Stay};
use crate::subscription::Position;

/// The batch that is read one by one.
#[derive(Debug)]
pub(super) struct Run {
    partition: TopicPartition,
    leader_epoch: Option<LeaderEpoch>,
}

/// The offset of the last record that was taken in the run.
#[derive(Debug)]
pub(super) struct Cursor(AtomicI64);

/// Where the reader knows the cursor to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken(i64);

impl Default for Cursor {
    fn default() -> Self {
        Self(AtomicI64::new(NO_RUN))
    }
}

impl Cursor {
    fn open(&self) -> Taken {
        self.0.store(NOTHING_TAKEN, Ordering::Release);
        Taken(NOTHING_TAKEN)
    }

    /// Ends the run; the last offset that was taken, if any was.
    pub(super) fn close(&self) -> Option<Offset> {
        Offset::new(self.0.swap(NO_RUN, Ordering::AcqRel))
    }
}

/// For the user's task.
impl FetchBuffer {
    /// Begins a run over the batch that comes next in `fetch`, whose records are of `leader_epoch`. `None` where the
    /// partition was revoked or paused, or its position decided anew, since the fetch was taken.
    pub(crate) fn begin_run(
        &self,
        fetch: &CompletedFetch,
        leader_epoch: Option<LeaderEpoch>,
    ) -> Option<(Stay, Taken)> {
        let mut state = self.lock();
        let lane = state.lanes.get(&fetch.partition)?;
        if lane.revision != fetch.revision || lane.held || lane.paused {
            return None;
        }
        let stay = lane.stay;
        state.run = Some(Run { partition: fetch.partition.clone(), leader_epoch });
        Some((stay, self.cursor.open()))
    }

    /// Takes the record at `offset`: false where the run has ended, and the record must not be handed out by it.
    #[inline]
    pub(crate) fn take_in_run(&self, taken: &mut Taken, offset: Offset) -> bool {
        let cursor = &self.cursor.0;
        let (old, new) = (taken.0, offset.get());
        let is_taken =
            cursor.compare_exchange(old, new, Ordering::AcqRel, Ordering::Relaxed).is_ok();
        if is_taken {
            taken.0 = new;
        }
        is_taken
    }
}

impl State {
    /// Writes down how far a run came. The last record that was taken is in the user's hand, all before it are
    /// done with.
    pub(super) fn settle(&mut self, run: Run, last: Option<Offset>) {
        let Some(last) = last else { return };
        let Run { partition, leader_epoch } = run;
        self.moved = true;
        if let Some(lane) = self.lanes.get_mut(&partition) {
            // Before the first record of the batch it is where the run began, with the epoch of another batch.
            let before = lane.position.filter(|one| one.offset == last);
            lane.returned = Some(before.unwrap_or(Position::new(last, leader_epoch)));
            lane.position = Some(Position::new(last.next(), leader_epoch));
            if !self.in_hand.contains(&partition) {
                self.in_hand.push(partition);
            }
        }
    }
}

const NO_RUN: i64 = -2;
const NOTHING_TAKEN: i64 = -1;
