//! What the driver does with the buffer.

use std::collections::BTreeMap;
use std::task::{Context, Poll};
use std::time::Instant;

use milena_types::{NodeId, TopicPartition};

use super::super::budget::{Held, Room};
use super::{CompletedFetch, Ends, FetchBuffer, Lane, Stay, Which};
use crate::commit::CommittedOffset;
use crate::error::Error;
use crate::subscription::{Event, Position, RebalanceId, Revision};

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

    /// As [`place`](Self::place), to a position that is not behind what was handed out: of what lies before it the user is done
    /// with no more than he was.
    pub(crate) fn go_back(&self, tp: &TopicPartition, revision: Revision, position: Position) {
        let mut state = self.lock();
        let state = &mut *state;
        if let Some(lane) = state.lanes.get_mut(tp) {
            lane.revision = revision;
            lane.position = Some(position);
            lane.returned = lane.returned.filter(|old| old.offset < position.offset);
            lane.returned = lane.returned.or(Some(position));
            lane.broken = false;
        }
        state.sweep();
    }

    /// Takes note that the user is done with what lies before `offsets`: he commits them. Whatever is in his hand behind them
    /// is not, and what they lie behind already stays so.
    pub(crate) fn return_to(&self, offsets: &BTreeMap<TopicPartition, CommittedOffset>) {
        let mut state = self.lock();
        for (tp, end) in offsets {
            let Some(lane) = state.lanes.get_mut(tp) else { continue };
            let Some(position) = lane.position.filter(|one| end.offset <= one.offset) else {
                continue;
            };
            if lane.returned.is_none_or(|old| old.offset < end.offset) {
                let is_all = end.offset == position.offset;
                let end = Position::new(end.offset, end.leader_epoch);
                lane.returned = Some(if is_all { position } else { end });
            }
        }
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
                | Event::Recreated { .. }
                | Event::Stalled { .. }
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

    /// Where the bytes of `broker` are counted.
    pub(crate) fn held(&self, broker: NodeId) -> Held {
        self.lock().held.entry(broker).or_default().clone()
    }

    /// Whether there is room for another answer of `broker`; where there is not, the driver is stirred once there is.
    pub(crate) fn has_room(&self, broker: NodeId, room: Room) -> bool {
        let mut state = self.lock();
        if self.is_room(&state, broker, room) {
            return true;
        }
        state.hungry.insert(broker, room);
        false
    }

    /// Stirs the driver as soon as anything of `broker` is taken.
    pub(crate) fn hunger(&self, broker: NodeId) {
        self.lock().hungry.insert(broker, Room { held_max: usize::MAX, brokers: 1 });
    }

    /// Whether the driver waits for room before it asks `broker` again.
    pub(crate) fn is_hungry(&self, broker: NodeId) -> bool {
        self.lock().hungry.contains_key(&broker)
    }

    /// Drops what waits of paused partitions of `broker`, and of claimed ones with more than `claimed_max` bytes, which
    /// would otherwise keep the others from being fetched for as long as nobody takes it. Gives the partitions, whose
    /// fetching starts at their position again; those that cannot go back, as `may_go_back` says, keep theirs.
    pub(crate) fn evict(
        &self,
        broker: NodeId,
        claimed_max: usize,
        may_go_back: impl Fn(&TopicPartition) -> bool,
    ) -> Vec<TopicPartition> {
        let mut state = self.lock();
        let state = &mut *state;
        let mut evicted = Vec::new();
        for (tp, lane) in &state.lanes {
            let is_claimed = state.claiming || lane.claim.is_some();
            if !lane.paused && !is_claimed || !may_go_back(tp) {
                continue;
            }
            let waits = |fetch: &&CompletedFetch| fetch.partition == *tp && fetch.broker == broker;
            let waiting: usize =
                state.fetches.iter().filter(waits).map(|one| one.records.len()).sum();
            if waiting > if lane.paused { 0 } else { claimed_max } {
                evicted.push(tp.clone());
            }
        }
        state.fetches.retain(|fetch| !evicted.contains(&fetch.partition));
        evicted
    }

    /// Partitions whose bytes the user's task could not read.
    pub(crate) fn take_rejected(&self) -> Vec<(TopicPartition, Revision)> {
        std::mem::take(&mut self.lock().rejected)
    }

    /// Takes note at `now` of what the user has taken without a word to anybody: he polls.
    pub(crate) fn look(&self, now: Instant) {
        let mut state = self.lock();
        if std::mem::take(&mut state.moved) {
            state.last_poll = Some(now);
        }
    }

    /// Since when the user does not poll, or does and hears of one thing; `None` while he waits for records.
    pub(crate) fn idle_since(&self) -> Option<Instant> {
        let state = self.lock();
        let last_poll = if state.polling { None } else { state.last_poll };
        state.hearing_since.or(last_poll)
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
