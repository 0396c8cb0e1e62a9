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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
    use std::task::Wake;
    use std::time::Duration;

    use bytes::Bytes;
    use milena_types::Offset;

    use super::super::Which;
    use super::*;
    use crate::fetch::budget::Room;
    use crate::subscription::Revision;
    use crate::{Error, ErrorKind};

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    fn tp(index: i32) -> TopicPartition {
        TopicPartition::new("t", index)
    }

    fn at(raw: i64) -> Position {
        Position::new(Offset::new(raw).unwrap(), None)
    }

    /// Two partitions, whose wakers are counted.
    struct Fixture {
        buffer: FetchBuffer,
        wakes: Arc<Wakes>,
    }

    impl Fixture {
        fn new() -> Self {
            let buffer = FetchBuffer::default();
            for index in [0, 1] {
                buffer.assign(tp(index), Revision::START);
                buffer.place(&tp(index), Revision::START, Some(at(0)));
            }
            Self { buffer, wakes: Arc::default() }
        }

        fn claim(&self) -> Option<(TopicPartition, Stay)> {
            self.buffer.claim(|_| true)
        }

        fn fetched(&self, index: i32, broker: i32, bytes: usize) {
            let (partition, broker) = (tp(index), NodeId::new(broker));
            let (revision, records) = (Revision::START, Bytes::from(vec![0; bytes]));
            let (aborted, progress) = (None, None);
            let fetch = CompletedFetch { partition, revision, broker, records, aborted, progress };
            self.buffer.push(vec![fetch]);
        }

        fn poll(&self, (partition, stay): &(TopicPartition, Stay)) -> Poll<Claimed> {
            let waker = Waker::from(Arc::clone(&self.wakes));
            self.buffer.poll_claimed(&mut Context::from_waker(&waker), partition, *stay)
        }

        /// Waits for a partition to claim.
        fn poll_ready(&self) -> Poll<()> {
            let waker = Waker::from(Arc::clone(&self.wakes));
            self.buffer.poll_ready(&mut Context::from_waker(&waker))
        }

        /// How many tasks were woken since the last call.
        fn woken(&self) -> usize {
            self.wakes.0.swap(0, Relaxed)
        }

        fn returned(&self, index: i32) -> Position {
            self.buffer.offsets(Which::Returned)[&tp(index)]
        }
    }

    #[test]
    fn a_partition_has_one_reader_at_a_time() {
        let fixture = Fixture::new();
        let (first, second) = (fixture.claim().unwrap(), fixture.claim().unwrap());
        assert_eq!((&first.0, &second.0), (&tp(0), &tp(1)));
        assert!(fixture.claim().is_none());
        assert!(fixture.poll_ready().is_pending() && !fixture.buffer.is_ready());
        fixture.fetched(1, 1, 10);
        assert_eq!(fixture.woken(), 0, "its reader is not the one who waits");
        assert!(fixture.buffer.take().is_none());

        fixture.buffer.unclaim(&first.0, first.1);
        assert_eq!(fixture.woken(), 1);
        assert!(fixture.poll_ready().is_ready() && fixture.buffer.is_ready());
        assert!(fixture.buffer.claim(|tp| tp.partition != 0).is_none(), "it may not be had");
        assert_eq!(fixture.claim(), Some(first.clone()));

        assert!(fixture.claim().is_none());
        fixture.buffer.hold(&[tp(0)]);
        fixture.buffer.unclaim(&first.0, first.1);
        assert!(fixture.poll_ready().is_pending(), "it is about to be revoked");
        assert!(fixture.claim().is_none());
    }

    #[test]
    fn a_reader_gets_what_is_fetched_of_its_own_partition_and_stay() {
        let fixture = Fixture::new();
        let claim = fixture.claim().unwrap();
        let other = (tp(0), Stay(Revision::START.next()));
        assert!(fixture.poll(&claim).is_pending());
        fixture.fetched(1, 1, 10);
        assert_eq!(fixture.woken(), 0);
        assert!(fixture.poll(&claim).is_pending());
        fixture.fetched(0, 1, 10);
        assert_eq!(fixture.woken(), 1);
        assert!(matches!(fixture.poll(&claim), Poll::Ready(Claimed::Ready)));
        assert!(matches!(fixture.poll(&other), Poll::Ready(Claimed::Over)));
        assert!(fixture.buffer.take_claimed(&other.0, other.1).is_none());
        let (fetch, position) = fixture.buffer.take_claimed(&claim.0, claim.1).unwrap();
        assert_eq!((fetch.partition, position), (tp(0), at(0)));
        assert!(fixture.buffer.take_claimed(&claim.0, claim.1).is_none());

        fixture.buffer.pause(&tp(0), true);
        fixture.fetched(0, 1, 10);
        assert!(fixture.poll(&claim).is_pending());
        fixture.buffer.pause(&tp(0), false);
        assert_eq!(fixture.woken(), 1);
        assert!(fixture.poll(&claim).is_ready());
    }

    #[test]
    fn a_reader_is_told_when_nothing_will_come() {
        let ends: [fn(&FetchBuffer); 4] = [
            |buffer| buffer.hold(&[tp(0)]),
            |buffer| buffer.remove(&[tp(0)]),
            FetchBuffer::end_claims,
            FetchBuffer::close,
        ];
        for (index, end) in ends.into_iter().enumerate() {
            let fixture = Fixture::new();
            let claim = fixture.claim().unwrap();
            assert!(fixture.poll(&claim).is_pending());
            end(&fixture.buffer);
            assert_eq!(fixture.woken(), 1, "{index}");
            assert!(matches!(fixture.poll(&claim), Poll::Ready(Claimed::Over)), "{index}");
            assert_eq!(fixture.claim().is_some(), index < 3, "{index}: of the other partition");
        }
    }

    /// What is in the hand of a reader that is gone was not done with, and comes again.
    #[test]
    fn the_next_reader_begins_behind_what_the_last_one_was_done_with() {
        let fixture = Fixture::new();
        let claim = fixture.claim().unwrap();
        fixture.fetched(0, 1, 10);
        let (fetch, _) = fixture.buffer.take_claimed(&claim.0, claim.1).unwrap();
        assert_eq!(fixture.buffer.hand_out(&fetch, at(3)), Some(claim.1));
        assert_eq!(fixture.returned(0), at(0));
        fixture.buffer.return_claimed(&claim.0, claim.1);
        assert_eq!(fixture.returned(0), at(3));

        fixture.buffer.unclaim(&claim.0, claim.1);
        assert!(fixture.buffer.take_rejected().is_empty(), "he was done with all of it");
        let claim = fixture.claim().unwrap();
        fixture.buffer.hand_out(&fetch, at(5)).unwrap();
        let expected = [(tp(0), Some(at(5))), (tp(1), Some(at(0)))];
        assert_eq!(fixture.buffer.positions(), expected.into());
        fixture.buffer.unclaim(&claim.0, claim.1);
        let held = [(tp(0), at(3), claim.1), (tp(1), at(0), Stay(Revision::START))];
        assert_eq!(fixture.buffer.positions_held(), held);
        assert_eq!(fixture.buffer.take_rejected(), [(tp(0), Revision::START)]);
        assert!(fixture.buffer.take_woken() && !fixture.buffer.take_woken());

        let claim = fixture.claim().unwrap();
        fixture.fetched(0, 1, 10);
        assert!(fixture.poll(&claim).is_pending(), "it is behind what is to come again");
    }

    #[test]
    fn an_event_about_a_partition_is_its_reader_s() {
        let error = |index, kind| Event::Error(Error::new(kind).with_partition(&tp(index)));
        let fixture = Fixture::new();
        assert!(fixture.buffer.pass_on(error(0, ErrorKind::Broker)).is_some(), "nobody claims");
        // The newest of each kind and partition is enough.
        for index in [0, 1, 0] {
            fixture.buffer.tell(error(index, ErrorKind::Broker));
        }
        fixture.buffer.tell(error(0, ErrorKind::Authorization));
        let events = std::iter::from_fn(|| fixture.buffer.take_event());
        let places = events.map(|event| {
            let Event::Error(error) = &event else { panic!("{event:?}") };
            (error.topic_partition().unwrap().partition, error.kind())
        });
        let (broker, authorization) = (ErrorKind::Broker, ErrorKind::Authorization);
        assert_eq!(places.collect::<Vec<_>>(), [(1, broker), (0, broker), (0, authorization)]);

        let claim = fixture.claim().unwrap();
        assert!(fixture.poll(&claim).is_pending());
        let (position, end, waited) = (None, None, Duration::from_secs(1));
        let stalled = Event::Stalled { partition: tp(0), position, end, waited };
        assert!(fixture.buffer.pass_on(stalled).is_some());
        assert_eq!(fixture.woken(), 0);
        fixture.fetched(0, 1, 10);
        fixture.buffer.tell(error(0, ErrorKind::Broker));
        assert_eq!(fixture.woken(), 1);
        assert!(fixture.buffer.take_event().is_none());
        assert!(matches!(fixture.poll(&claim), Poll::Ready(Claimed::Event(Event::Error(_)))));
        assert!(matches!(fixture.poll(&claim), Poll::Ready(Claimed::Ready)));
    }

    /// The fetcher asks for little more of a partition whose reader is slow.
    #[test]
    fn the_bytes_that_wait_for_readers_are_counted_by_broker() {
        let fixture = Fixture::new();
        let bytes = || fixture.buffer.claimed_bytes(NodeId::new(1));
        fixture.fetched(0, 1, 10);
        fixture.fetched(0, 1, 5);
        fixture.fetched(0, 2, 70);
        assert!(bytes().is_empty(), "who takes all partitions takes what comes");
        fixture.claim().unwrap();
        assert_eq!(bytes(), [(tp(0), 15), (tp(1), 0)].into());
    }

    /// What the user keeps must not stop him for good; who waits for a partition to read waits for no bytes.
    #[test]
    fn there_is_room_for_whoever_waits_for_records() {
        let (fixture, broker) = (Fixture::new(), NodeId::new(1));
        let _lease = fixture.buffer.held(broker).lease(10);
        let has_room = |held_max| fixture.buffer.has_room(broker, Room { held_max, brokers: 1 });
        assert!(has_room(10) && !has_room(9));
        assert!(fixture.poll_ready().is_pending());
        assert!(has_room(9));
        let claims = [fixture.claim().unwrap(), fixture.claim().unwrap()];
        assert!(fixture.claim().is_none() && fixture.poll_ready().is_pending());
        assert!(!has_room(9));
        assert!(fixture.poll(&claims[0]).is_pending());
        assert!(has_room(9));
        assert!(!fixture.buffer.is_hungry(NodeId::new(2)));
        fixture.buffer.hunger(NodeId::new(2));
        assert!(fixture.buffer.is_hungry(NodeId::new(2)));
    }
}
