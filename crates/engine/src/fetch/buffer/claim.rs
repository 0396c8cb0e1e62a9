//! Partitions that are read by a task each.
//!
//! A claim is good for one stay. What its reader does not take in waits in the buffer without holding up the others, as
//! the fetcher asks for little more of a partition whose bytes are not taken.

use std::collections::BTreeMap;
use std::task::{Context, Poll, Waker};

use milena_types::{NodeId, TopicPartition};

use super::{CompletedFetch, FetchBuffer, Lane, Lanes, State, Stay};
use crate::subscription::{Event, Position};

/// One task reads the partition.
#[derive(Debug, Default)]
pub(super) struct Claim {
    waker: Option<Waker>,
}

/// What there is for the reader of a claimed partition.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "a reader that ignores one would hang")]
pub enum Claimed {
    /// A fetch to read.
    Ready,
    /// Something that happened to the partition; it comes before the records.
    Event(Event),
    /// The partition is about to be revoked, gone, or not in this stay any more: nothing will come.
    Over,
}

/// For tasks that read one partition each.
impl FetchBuffer {
    /// Gives a partition to a reader of its own, one that has none and that `may` allows; `None` where there is none.
    ///
    /// From the first call on records are handed out to such readers alone.
    pub fn claim(&self, may: impl Fn(&TopicPartition) -> bool) -> Option<(TopicPartition, Stay)> {
        let mut state = self.lock();
        state.claiming = true;
        let free = |(tp, lane): &(&TopicPartition, &mut Lane)| {
            lane.claim.is_none() && !lane.held && may(tp)
        };
        match state.lanes.iter_mut().find(free) {
            Some((tp, lane)) => {
                lane.claim = Some(Claim::default());
                Some((tp.clone(), lane.stay))
            }
            None => {
                state.unclaimed = false;
                None
            }
        }
    }

    /// What there is for the reader of `partition`; wakes its task when there is something.
    pub fn poll_claimed(
        &self,
        cx: &mut Context<'_>,
        partition: &TopicPartition,
        stay: Stay,
    ) -> Poll<Claimed> {
        let mut state = self.lock();
        let state = &mut *state;
        let ready = state
            .fetches
            .iter()
            .any(|fetch| fetch.partition == *partition && state.lanes.may_hand_out(fetch));
        let Some(lane) = state.lane_of(partition, stay).filter(|lane| !lane.held) else {
            return Poll::Ready(Claimed::Over);
        };
        let Some(claim) = &mut lane.claim else { return Poll::Ready(Claimed::Over) };
        if let Some(event) = lane.event.take() {
            return Poll::Ready(Claimed::Event(event));
        }
        if ready {
            return Poll::Ready(Claimed::Ready);
        }
        match &mut claim.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            None => claim.waker = Some(cx.waker().clone()),
        }
        self.feed(state);
        Poll::Pending
    }

    /// The reader of `partition` asks for more: what he was given before is done with, as far as commits go.
    pub fn return_claimed(&self, partition: &TopicPartition, stay: Stay) {
        let mut state = self.lock();
        if let Some(lane) = state.lane_of(partition, stay) {
            lane.returned = lane.position;
        }
    }

    /// The reader of `partition` is gone. The next one begins behind what this one was done with.
    pub fn unclaim(&self, partition: &TopicPartition, stay: Stay) {
        let mut state = self.lock();
        let state = &mut *state;
        let Some(lane) = state.lane_of(partition, stay) else { return };
        if lane.claim.take().is_none() || lane.held {
            return;
        }
        let mut again = None;
        if lane.position != lane.returned && lane.returned.is_some() {
            lane.position = lane.returned;
            lane.broken = true;
            again = Some((partition.clone(), lane.revision));
        }
        state.rejected.extend(again);
        state.unclaimed = true;
        state.stir();
        state.wake_user();
    }

    /// Keeps an event that is about a partition for the one who reads it; gives back what is for all, and everything
    /// until the first [`claim`](Self::claim).
    pub fn pass_on(&self, event: Event) -> Option<Event> {
        self.lock().tell_claimed(event)
    }

    /// Ends every claim, as if the partitions were about to be revoked.
    pub fn end_claims(&self) {
        let mut state = self.lock();
        for lane in state.lanes.values_mut().filter(|lane| lane.claim.is_some()) {
            lane.held = true;
            lane.wake();
        }
    }

    /// The next fetch of a claimed partition.
    pub(crate) fn take_claimed(
        &self,
        partition: &TopicPartition,
        stay: Stay,
    ) -> Option<(CompletedFetch, Position)> {
        let mut state = self.lock();
        let state = &mut *state;
        let position = state.lane_of(partition, stay)?.position?;
        let index = state
            .fetches
            .iter()
            .position(|fetch| fetch.partition == *partition && state.lanes.may_hand_out(fetch))?;
        Some((state.fetches.remove(index)?, position))
    }

    /// The partitions that streams read, or will read, and how many bytes of each `broker` has sent that nobody has taken.
    pub(crate) fn claimed_bytes(&self, broker: NodeId) -> BTreeMap<TopicPartition, usize> {
        let state = self.lock();
        let is_claimed = |lane: &Lane| state.claiming || lane.claim.is_some();
        let claimed = state.lanes.iter().filter(|(_, lane)| is_claimed(lane));
        let mut bytes: BTreeMap<_, _> = claimed.map(|(tp, _)| (tp.clone(), 0)).collect();
        if !bytes.is_empty() {
            for fetch in state.fetches.iter().filter(|fetch| fetch.broker == broker) {
                if let Some(held) = bytes.get_mut(&fetch.partition) {
                    *held += fetch.records.len();
                }
            }
        }
        bytes
    }
}

impl State {
    fn lane_of(&mut self, partition: &TopicPartition, stay: Stay) -> Option<&mut Lane> {
        self.lanes.get_mut(partition).filter(|lane| lane.stay == stay)
    }

    /// Tells the one who reads the partition; gives the event back where it is about none.
    pub(super) fn tell_claimed(&mut self, event: Event) -> Option<Event> {
        let partition = match &event {
            Event::Error(error) => error.topic_partition(),
            Event::Truncated { partition, .. } | Event::Recreated { partition, .. } => {
                Some(partition.clone())
            }
            // Who reads a partition that gives nothing can do nothing about it, and must not miss its error for it.
            Event::Stalled { .. } | Event::Rebalance(_) | Event::PollIntervalExceeded { .. } => {
                None
            }
        };
        match partition.and_then(|tp| self.lanes.get_mut(&tp)).filter(|_| self.claiming) {
            Some(lane) => {
                lane.event = Some(event);
                lane.wake();
                None
            }
            None => Some(event),
        }
    }
}

impl Lane {
    /// Whether the task that reads this partition alone waits for records.
    pub(super) fn is_waited_for(&self) -> bool {
        self.claim.as_ref().is_some_and(|claim| claim.waker.is_some())
    }

    /// Wakes the task that reads this partition alone, if one does.
    pub(super) fn wake(&mut self) {
        if let Some(claim) = &mut self.claim {
            claim.wake();
        }
    }
}

impl Claim {
    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}
