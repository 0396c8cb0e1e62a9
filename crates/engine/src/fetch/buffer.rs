//! Where fetched bytes wait for the user's task.
//!
//! The one structure that the driver and the user's task share. Its lock is held for a few map operations per
//! completed fetch, never while a record is decoded. What a partition's revision is not equal to is never handed
//! out: a seek or a rebalance takes effect between two lock acquisitions, however far the user's task has read.

mod claim;
mod driver;
mod run;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use bytes::Bytes;
use milena_records::BufferPool;
use milena_types::{NodeId, Offset, ProducerId, TopicPartition};

use self::claim::Claim;
pub use self::claim::Claimed;
pub(crate) use self::run::Taken;
use self::run::{Cursor, Run};
use super::budget::{Held, Room};
use super::reader::Progress;
use crate::subscription::{Event, Position, Revision};

/// Fetched records, positions and events on their way to the user.
#[derive(Debug)]
pub struct FetchBuffer {
    state: Mutex<State>,
    /// How far a run came.
    cursor: Cursor,
    /// Where batches are decompressed to.
    decompressed: BufferPool,
}

impl Default for FetchBuffer {
    fn default() -> Self {
        let (state, cursor) = (Mutex::default(), Cursor::default());
        Self { state, cursor, decompressed: BufferPool::new(BUFFERS_MAX, BUFFER_BYTES_MAX) }
    }
}

#[derive(Debug, Default)]
struct State {
    lanes: BTreeMap<TopicPartition, Lane>,
    /// In order of arrival.
    fetches: VecDeque<CompletedFetch>,
    events: VecDeque<Event>,
    /// The bytes that came from each broker and that somebody holds.
    held: BTreeMap<NodeId, Held>,
    /// The batch that the user's task reads without the lock.
    run: Option<Run>,
    /// A run went on since the driver last looked: the user polls.
    moved: bool,
    /// Partitions from which something was handed out since the user's last poll.
    in_hand: Vec<TopicPartition>,
    /// Partitions whose bytes could not be read.
    rejected: Vec<(TopicPartition, Revision)>,
    user: Option<Waker>,
    driver: Option<Waker>,
    /// The driver has something to look at.
    stirred: bool,
    /// The driver wants to hear when there is room for another answer of these brokers.
    hungry: BTreeMap<NodeId, Room>,
    /// The user's task has woken the driver and gone on.
    woken: bool,
    polling: bool,
    last_poll: Option<Instant>,
    /// Since when the user is being told something, if he is.
    hearing_since: Option<Instant>,
    /// The user takes partitions one by one: none of their records is handed out in any other way.
    claiming: bool,
    /// Partitions came, or were given back, since he last looked.
    unclaimed: bool,
    closed: bool,
}

/// One assigned partition, as the user's task sees it.
#[derive(Debug)]
struct Lane {
    revision: Revision,
    stay: Stay,
    /// Behind what was handed out.
    position: Option<Position>,
    /// Behind what was handed out and come back for more: what may be committed unasked.
    returned: Option<Position>,
    paused: bool,
    /// About to be revoked: nothing more is handed out.
    held: bool,
    /// Bytes of it could not be read: what lies behind them must not be handed out in their place.
    broken: bool,
    ends: Ends,
    /// What happened to it that the one who reads it alone has not heard of: the newest is enough.
    event: Option<Event>,
    /// Read by a task of its own, and by no other.
    claim: Option<Claim>,
}

/// One stay of a partition with a consumer, from the assignment that brought it to the one that takes it away.
///
/// What was read in one stay is not for the next to commit: in between another member may have gone further, or this
/// one begun anew.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Stay(Revision);

/// What the leader said last about a partition's log.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Ends {
    /// The first offset that the log still has.
    pub log_start_offset: Option<Offset>,
    /// Behind the last record that every in-sync replica has.
    pub high_watermark: Option<Offset>,
    /// Before the first open transaction.
    pub last_stable_offset: Option<Offset>,
}

/// A transaction whose records from `first_offset` on are aborted, up to its marker.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct AbortedTransaction {
    pub(crate) producer_id: ProducerId,
    pub(crate) first_offset: Offset,
}

/// What one answer held of one partition.
#[derive(Debug)]
pub(crate) struct CompletedFetch {
    pub(crate) partition: TopicPartition,
    pub(crate) revision: Revision,
    pub(crate) broker: NodeId,
    /// Whole batches; a slice of the frame, which counts for as long as it is held.
    pub(crate) records: Bytes,
    /// `None` with `read_uncommitted`.
    pub(crate) aborted: Option<Vec<AbortedTransaction>>,
    /// How far the user's task has read it.
    pub(crate) progress: Option<Box<Progress>>,
}

/// Which of a partition's positions is meant.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Which {
    /// Behind everything that was handed out.
    HandedOut,
    /// Behind what was handed out before the last poll: nothing in the user's hand counts.
    Returned,
}

/// For the user's task.
impl FetchBuffer {
    /// Says that the user asks for records: what he was given before is done with, as far as commits go, and the
    /// clock of `max.poll.interval.ms` stands still until [`leave_poll`](Self::leave_poll).
    pub fn enter_poll(&self, now: Instant) {
        let mut state = self.lock();
        let state = &mut *state;
        for tp in state.in_hand.drain(..) {
            // What a stream has taken over since is in its reader's hand.
            if let Some(lane) = state.lanes.get_mut(&tp).filter(|lane| lane.claim.is_none()) {
                lane.returned = lane.position;
            }
        }
        state.polling = true;
        state.last_poll = Some(now);
        // He may have let go of what he was given, and of its memory with it.
        self.feed(state);
    }

    /// Says that the user got what he asked for, or gave up waiting: the clock of `max.poll.interval.ms` runs.
    pub fn leave_poll(&self, now: Instant) {
        // What this poll began goes on.
        let mut state = self.lock_beside_run();
        state.polling = false;
        state.last_poll = Some(now);
    }

    /// Says that the user's callbacks hear of something until [`end_hearing`](Self::end_hearing): the clock of
    /// `max.poll.interval.ms` runs, however often he asks for records meanwhile, as he gets none.
    pub fn begin_hearing(&self, now: Instant) {
        let mut state = self.lock();
        if state.hearing_since.is_none() {
            state.hearing_since = Some(now);
            state.stir();
        }
    }

    /// Says that the user's callbacks have heard all.
    pub fn end_hearing(&self) {
        self.lock().hearing_since = None;
    }

    /// Whether there is an event or a fetch to take; wakes the task when there is. One task at a time may wait.
    pub fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if state.is_ready() {
            return Poll::Ready(());
        }
        match &mut state.user {
            Some(waker) => waker.clone_from(cx.waker()),
            None => state.user = Some(cx.waker().clone()),
        }
        self.feed(&mut state);
        Poll::Pending
    }

    /// Whether there is an event or a fetch to take.
    pub fn is_ready(&self) -> bool {
        self.lock().is_ready()
    }

    /// Whether the consumer is closed: nothing will come any more.
    pub fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// The next event; take events before records.
    pub fn take_event(&self) -> Option<Event> {
        self.lock().events.pop_front()
    }

    /// Behind the last record of `partition` that was handed out; `None` while it is not known.
    pub fn position(&self, partition: &TopicPartition) -> Option<Position> {
        self.lock().lanes.get(partition)?.position
    }

    /// Every assigned partition with the position behind what was handed out, where it is known.
    pub fn positions(&self) -> BTreeMap<TopicPartition, Option<Position>> {
        let state = self.lock();
        state.lanes.iter().map(|(tp, lane)| (tp.clone(), lane.position)).collect()
    }

    /// The same with the stay that each partition is in, of those whose position is known: both of one moment, as the
    /// position of one stay is not for the next to commit.
    pub fn positions_held(&self) -> Vec<(TopicPartition, Position, Stay)> {
        let state = self.lock();
        let held = state.lanes.iter();
        held.filter_map(|(tp, lane)| Some((tp.clone(), lane.position?, lane.stay))).collect()
    }

    /// The stay that `partition` is in; `None` where it is not assigned.
    pub fn stay(&self, partition: &TopicPartition) -> Option<Stay> {
        Some(self.lock().lanes.get(partition)?.stay)
    }

    /// What the leader of `partition` said last about its log.
    pub fn ends(&self, partition: &TopicPartition) -> Option<Ends> {
        Some(self.lock().lanes.get(partition)?.ends)
    }

    /// The bytes of answers that anybody holds a part of, as they came.
    pub fn bytes_held(&self) -> usize {
        self.lock_beside_run().held.values().map(Held::bytes).sum()
    }

    /// The next fetch that may be read now, with the position to start at.
    pub(crate) fn take(&self) -> Option<(CompletedFetch, Position)> {
        let mut state = self.lock();
        let state = &mut *state;
        if state.claiming {
            return None;
        }
        let Some(index) = state.fetches.iter().position(|fetch| state.lanes.may_hand_out(fetch))
        else {
            // He has let go of what he was given before he asked.
            self.feed(state);
            return None;
        };
        let fetch = state.fetches.remove(index)?;
        let position = state.lanes.get(&fetch.partition)?.position?;
        Some((fetch, position))
    }

    /// Whether a fetch that the user's task holds may still be read, and from where.
    pub(crate) fn resume(&self, fetch: &CompletedFetch) -> Resume {
        let state = self.lock();
        match state.lanes.get(&fetch.partition) {
            Some(lane) if lane.revision == fetch.revision && !lane.held => match lane.position {
                Some(position) if !lane.paused => Resume::Now(position),
                Some(_) | None => Resume::Later,
            },
            Some(_) | None => Resume::Never,
        }
    }

    /// Puts a fetch of a paused partition first in line.
    pub(crate) fn put_back(&self, fetch: CompletedFetch) {
        let mut state = self.lock();
        state.fetches.push_front(fetch);
        // Here the driver can drop it for the sake of partitions that are not paused; in the reader it could not.
        if !std::mem::take(&mut state.hungry).is_empty() {
            state.stir();
        }
    }

    /// Moves the position behind what is about to be handed out. `None` where the partition was revoked, or its
    /// position decided anew, since the fetch was taken: then nothing may be handed out.
    pub(crate) fn hand_out(&self, fetch: &CompletedFetch, position: Position) -> Option<Stay> {
        let mut state = self.lock();
        let state = &mut *state;
        let lane = state.lanes.get_mut(&fetch.partition)?;
        if lane.revision != fetch.revision || lane.held {
            return None;
        }
        let stay = lane.stay;
        debug_assert!(lane.position.is_none_or(|old| old.offset <= position.offset));
        lane.position = Some(position);
        // Who reads a partition alone says by himself when he is done.
        if lane.claim.is_none() && !state.in_hand.contains(&fetch.partition) {
            state.in_hand.push(fetch.partition.clone());
        }
        Some(stay)
    }

    /// The fetch is read to its end, or void.
    pub(crate) fn release(&self, fetch: CompletedFetch) {
        drop(fetch);
        self.feed(&mut self.lock());
    }

    /// The fetch holds bytes that cannot be read: the driver is to fetch them again.
    pub(crate) fn reject(&self, fetch: CompletedFetch) {
        let mut state = self.lock();
        let state = &mut *state;
        if let Some(lane) = state.lanes.get_mut(&fetch.partition)
            && lane.revision == fetch.revision
        {
            lane.broken = true;
        }
        state.rejected.push((fetch.partition, fetch.revision));
        state.stir();
    }

    /// Whether the user's task has woken the driver since this was last asked. A runtime may have a woken task run next
    /// on the thread that woke it, and on no other: then the user's task has to give way.
    pub fn take_woken(&self) -> bool {
        std::mem::take(&mut self.lock().woken)
    }

    /// Where readers decompress to; what is made of it counts for as long as it is held.
    pub(crate) fn decompressed(&self) -> &BufferPool {
        &self.decompressed
    }

    /// Everything but the records of a run comes by here, and ends the run: until then positions are not what they are.
    fn lock(&self) -> MutexGuard<'_, State> {
        let mut state = self.lock_beside_run();
        if let Some(run) = state.run.take() {
            state.settle(run, self.cursor.close());
        }
        state
    }

    fn lock_beside_run(&self) -> MutexGuard<'_, State> {
        // Every critical section leaves the state whole, so a panic elsewhere in a holder's task spoils nothing.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether another answer of `broker` may come.
    fn is_room(&self, state: &State, broker: NodeId, room: Room) -> bool {
        let Some(held) = state.held.get(&broker) else { return true };
        let decompressed = self.decompressed.frozen_bytes() / room.brokers.max(1);
        // Whatever the user keeps, he gets more when he waits for it: what he keeps for good must not stop him for good.
        held.bytes() + decompressed <= room.held_max || state.is_waited_for()
    }

    /// Stirs the driver if there is room that it waits for.
    fn feed(&self, state: &mut State) {
        if state.hungry.is_empty() {
            return;
        }
        let waits = std::mem::take(&mut state.hungry);
        if waits.iter().any(|(broker, room)| self.is_room(state, *broker, *room)) {
            state.stir();
        } else {
            state.hungry = waits;
        }
    }
}

/// What may be done with a fetch that the user's task still holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Resume {
    /// From here.
    Now(Position),
    /// The partition is paused.
    Later,
    /// Revoked, or its position was decided anew.
    Never,
}

impl State {
    fn is_ready(&self) -> bool {
        self.closed
            || !self.events.is_empty()
            || self.claiming && self.unclaimed
            || !self.claiming && self.fetches.iter().any(|fetch| self.lanes.may_hand_out(fetch))
    }

    fn wake_user(&mut self) {
        if self.is_ready()
            && let Some(waker) = self.user.take()
        {
            waker.wake();
        }
    }

    fn stir(&mut self) {
        self.stirred = true;
        self.woken = true;
        if let Some(waker) = self.driver.take() {
            waker.wake();
        }
    }

    /// Whether a task waits for records, and there are none for it.
    fn is_waited_for(&self) -> bool {
        // Who waits for a partition to read waits for no bytes.
        self.user.is_some() && !self.claiming || self.lanes.values().any(Lane::is_waited_for)
    }

    /// Drops what can never be handed out.
    fn sweep(&mut self) {
        let lanes = &self.lanes;
        self.fetches.retain(|fetch| {
            lanes.get(&fetch.partition).is_some_and(|lane| lane.revision == fetch.revision)
        });
    }
}

trait Lanes {
    fn may_hand_out(&self, fetch: &CompletedFetch) -> bool;
}

impl Lanes for BTreeMap<TopicPartition, Lane> {
    fn may_hand_out(&self, fetch: &CompletedFetch) -> bool {
        self.get(&fetch.partition).is_some_and(|lane| {
            lane.revision == fetch.revision
                && !lane.paused
                && !lane.held
                && !lane.broken
                && lane.position.is_some()
        })
    }
}

/// Decompressed batches whose memory is kept to be used again.
const BUFFERS_MAX: usize = 4;

/// Buffers above this size are not kept: whatever lies in one counts as all of it, against what a poll may open.
const BUFFER_BYTES_MAX: usize = 4 << 20;
