//! Where fetched bytes wait for the user's task.
//!
//! The one structure that the driver and the user's task share. Its lock is held for a few map operations per
//! completed fetch, never while a record is decoded. What a partition's revision is not equal to is never handed
//! out: a seek or a rebalance takes effect between two lock acquisitions, however far the user's task has read.

mod claim;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use bytes::Bytes;
use milena_types::{NodeId, Offset, ProducerId, TopicPartition};

use self::claim::Claim;
pub use self::claim::Claimed;
use super::reader::Progress;
use crate::error::Error;
use crate::subscription::{Event, Position, RebalanceId, Revision};

/// Fetched records, positions and events on their way to the user.
#[derive(Debug, Default)]
pub struct FetchBuffer {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    lanes: BTreeMap<TopicPartition, Lane>,
    /// In order of arrival.
    fetches: VecDeque<CompletedFetch>,
    events: VecDeque<Event>,
    /// Bytes taken in and not yet read to their end, by broker.
    bytes: BTreeMap<NodeId, usize>,
    /// Partitions from which something was handed out since the user's last poll.
    in_hand: Vec<TopicPartition>,
    /// Partitions whose bytes could not be read.
    rejected: Vec<(TopicPartition, Revision)>,
    user: Option<Waker>,
    driver: Option<Waker>,
    /// The driver has something to look at.
    stirred: bool,
    /// The driver wants to hear when bytes are released.
    hungry: bool,
    polling: bool,
    last_poll: Option<Instant>,
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
    /// Whole batches; a slice of the frame.
    pub(crate) records: Bytes,
    /// `None` with `read_uncommitted`.
    pub(crate) aborted: Option<Vec<AbortedTransaction>>,
    /// What it counts in the budget.
    pub(crate) weight: usize,
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
            if let Some(lane) = state.lanes.get_mut(&tp) {
                lane.returned = lane.position;
            }
        }
        state.polling = true;
        state.last_poll = Some(now);
    }

    /// Says that the user got what he asked for, or gave up waiting: the clock of `max.poll.interval.ms` runs.
    pub fn leave_poll(&self, now: Instant) {
        let mut state = self.lock();
        state.polling = false;
        state.last_poll = Some(now);
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

    /// The stay that `partition` is in; `None` where it is not assigned.
    pub fn stay(&self, partition: &TopicPartition) -> Option<Stay> {
        Some(self.lock().lanes.get(partition)?.stay)
    }

    /// What the leader of `partition` said last about its log.
    pub fn ends(&self, partition: &TopicPartition) -> Option<Ends> {
        Some(self.lock().lanes.get(partition)?.ends)
    }

    /// The next fetch that may be read now, with the position to start at.
    pub(crate) fn take(&self) -> Option<(CompletedFetch, Position)> {
        let mut state = self.lock();
        let state = &mut *state;
        if state.claiming {
            return None;
        }
        let index = state.fetches.iter().position(|fetch| state.lanes.may_hand_out(fetch))?;
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
        if std::mem::take(&mut state.hungry) {
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

    /// The fetch is read to its end, or void: its bytes no longer count.
    pub(crate) fn release(&self, fetch: &CompletedFetch) {
        let mut state = self.lock();
        state.uncount(fetch.broker, fetch.weight);
    }

    /// The fetch holds bytes that cannot be read: the driver is to fetch them again.
    pub(crate) fn reject(&self, fetch: &CompletedFetch) {
        let mut state = self.lock();
        let state = &mut *state;
        if let Some(lane) = state.lanes.get_mut(&fetch.partition)
            && lane.revision == fetch.revision
        {
            lane.broken = true;
        }
        state.rejected.push((fetch.partition.clone(), fetch.revision));
        state.uncount(fetch.broker, fetch.weight);
        state.stir();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every critical section leaves the state whole, so a panic elsewhere in a holder's task spoils nothing.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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

/// For the driver.
impl FetchBuffer {
    /// Whether the consumer has to look at the buffer, by
    /// [`Consumer::handle_buffer`](crate::consumer::Consumer::handle_buffer); wakes the driver's task when it has to.
    pub fn poll_stirred(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if std::mem::take(&mut state.stirred) {
            return Poll::Ready(());
        }
        match &mut state.driver {
            Some(waker) => waker.clone_from(cx.waker()),
            None => state.driver = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    pub(crate) fn assign(&self, tp: TopicPartition, revision: Revision) {
        let lane = Lane {
            revision,
            stay: Stay(revision),
            position: None,
            returned: None,
            paused: false,
            held: false,
            broken: false,
            ends: Ends::default(),
            event: None,
            claim: None,
        };
        let mut state = self.lock();
        state.lanes.insert(tp, lane);
        state.unclaimed = true;
        state.wake_user();
    }

    /// Decides a partition's position anew, or that it has none for now. What waits of older revisions is dropped.
    pub(crate) fn place(
        &self,
        tp: &TopicPartition,
        revision: Revision,
        position: Option<Position>,
    ) {
        let mut state = self.lock();
        let state = &mut *state;
        if let Some(lane) = state.lanes.get_mut(tp) {
            lane.revision = revision;
            lane.position = position;
            lane.returned = position;
            lane.broken = false;
        }
        state.sweep();
    }

    /// Starts over at the position of a partition whose bytes could not be read.
    pub(crate) fn restart(&self, tp: &TopicPartition, revision: Revision) {
        let mut state = self.lock();
        if let Some(lane) = state.lanes.get_mut(tp) {
            lane.revision = revision;
            lane.broken = false;
        }
        state.sweep();
    }

    /// Takes back an event that the user has not seen; false if he has.
    pub(crate) fn retract(&self, rebalance: RebalanceId) -> bool {
        let mut state = self.lock();
        let before = state.events.len();
        state
            .events
            .retain(|event| !matches!(event, Event::Rebalance(waiting) if waiting.id == rebalance));
        state.events.len() < before
    }

    /// Hands out nothing more of these partitions.
    pub(crate) fn hold(&self, partitions: &[TopicPartition]) {
        let mut state = self.lock();
        for tp in partitions {
            if let Some(lane) = state.lanes.get_mut(tp) {
                lane.held = true;
                lane.wake();
            }
        }
    }

    pub(crate) fn remove(&self, partitions: &[TopicPartition]) {
        let mut state = self.lock();
        let state = &mut *state;
        for tp in partitions {
            if let Some(mut lane) = state.lanes.remove(tp) {
                lane.wake();
            }
        }
        state.in_hand.retain(|tp| state.lanes.contains_key(tp));
        state.sweep();
    }

    pub(crate) fn pause(&self, tp: &TopicPartition, paused: bool) {
        let mut state = self.lock();
        if let Some(lane) = state.lanes.get_mut(tp) {
            lane.paused = paused;
            lane.wake();
        }
        state.wake_user();
    }

    pub(crate) fn push(&self, fetches: Vec<CompletedFetch>) {
        let mut state = self.lock();
        let state = &mut *state;
        for fetch in fetches {
            *state.bytes.entry(fetch.broker).or_default() += fetch.weight;
            if let Some(lane) = state.lanes.get_mut(&fetch.partition) {
                lane.wake();
            }
            state.fetches.push_back(fetch);
        }
        state.wake_user();
    }

    pub(crate) fn learn(&self, tp: &TopicPartition, ends: Ends) {
        if let Some(lane) = self.lock().lanes.get_mut(tp) {
            lane.ends = ends;
        }
    }

    /// Says something to the user: to the task that reads the partition alone, where it is about one and there is one.
    pub(crate) fn tell(&self, event: Event) {
        let mut state = self.lock();
        let Some(event) = state.tell_claimed(event) else { return };
        // A user who does not poll must not make errors pile up: the newest of each partition is enough.
        if let Event::Error(new) = &event {
            let place = |error: &Error| (error.topic().cloned(), error.topic_partition());
            let same = |event: &Event| match event {
                Event::Error(old) => place(old) == place(new) && old.kind() == new.kind(),
                Event::Rebalance(_)
                | Event::Truncated { .. }
                | Event::PollIntervalExceeded { .. } => false,
            };
            state.events.retain(|event| !same(event));
        }
        state.events.push_back(event);
        state.wake_user();
    }

    pub(crate) fn offsets(&self, which: Which) -> BTreeMap<TopicPartition, Position> {
        let state = self.lock();
        let lanes = state.lanes.iter().filter_map(|(tp, lane)| {
            let position = match which {
                Which::HandedOut => lane.position,
                Which::Returned => lane.returned,
            };
            Some((tp.clone(), position?))
        });
        lanes.collect()
    }

    /// Bytes taken in from `broker` and not yet read.
    pub(crate) fn bytes(&self, broker: NodeId) -> usize {
        self.lock().bytes.get(&broker).copied().unwrap_or(0)
    }

    /// Asks for a stir once bytes are released.
    pub(crate) fn hunger(&self) {
        self.lock().hungry = true;
    }

    /// Drops what waits of paused partitions of `broker`, and of claimed ones with more than `claimed_max` bytes, which
    /// would otherwise keep the others from being fetched for as long as nobody takes it. Gives the partitions, whose
    /// fetching starts at their position again.
    pub(crate) fn evict(&self, broker: NodeId, claimed_max: usize) -> Vec<TopicPartition> {
        let mut state = self.lock();
        let state = &mut *state;
        let mut evicted = Vec::new();
        for (tp, lane) in &state.lanes {
            if !lane.paused && lane.claim.is_none() {
                continue;
            }
            let waits = |fetch: &&CompletedFetch| fetch.partition == *tp && fetch.broker == broker;
            let waiting: usize = state.fetches.iter().filter(waits).map(|one| one.weight).sum();
            if waiting > if lane.paused { 0 } else { claimed_max } {
                evicted.push(tp.clone());
            }
        }
        let (bytes, fetches) = (&mut state.bytes, &mut state.fetches);
        fetches.retain(|fetch| {
            let goes = evicted.contains(&fetch.partition);
            if goes {
                subtract(bytes, fetch.broker, fetch.weight);
            }
            !goes
        });
        evicted
    }

    /// Partitions whose bytes the user's task could not read.
    pub(crate) fn take_rejected(&self) -> Vec<(TopicPartition, Revision)> {
        std::mem::take(&mut self.lock().rejected)
    }

    /// Since when the user does not poll; `None` while he does.
    pub(crate) fn idle_since(&self) -> Option<Instant> {
        let state = self.lock();
        if state.polling { None } else { state.last_poll }
    }

    /// The clock of `max.poll.interval.ms` starts here, as if the user had just polled.
    pub(crate) fn start_clock(&self, now: Instant) {
        let mut state = self.lock();
        if state.last_poll.is_none() {
            state.last_poll = Some(now);
        }
    }

    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        for lane in state.lanes.values_mut() {
            lane.wake();
        }
        state.lanes.clear();
        state.sweep();
        state.wake_user();
    }
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
        if let Some(waker) = self.driver.take() {
            waker.wake();
        }
    }

    /// Drops what can never be handed out.
    fn sweep(&mut self) {
        let (lanes, bytes) = (&self.lanes, &mut self.bytes);
        self.fetches.retain(|fetch| {
            let lives =
                lanes.get(&fetch.partition).is_some_and(|lane| lane.revision == fetch.revision);
            if !lives {
                subtract(bytes, fetch.broker, fetch.weight);
            }
            lives
        });
    }

    fn uncount(&mut self, broker: NodeId, weight: usize) {
        subtract(&mut self.bytes, broker, weight);
        if std::mem::take(&mut self.hungry) {
            self.stir();
        }
    }
}

fn subtract(bytes: &mut BTreeMap<NodeId, usize>, broker: NodeId, weight: usize) {
    if let Some(held) = bytes.get_mut(&broker) {
        *held = held.saturating_sub(weight);
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
