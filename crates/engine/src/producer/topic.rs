//! The partitions of one topic that a producer sends to.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};

use milena_types::{Topic, TopicPartition};

use super::assign::{Load, Sticky, Turns};
use super::backlog::Backlog;
use super::queue::PartitionQueue;
use super::standing::{SharedStanding, Standing};
use crate::Error;

/// A topic that records are sent to; look it up once and keep it. A clone is the same topic.
#[derive(Clone, Debug)]
pub struct TopicHandle(pub(super) Arc<TopicQueues>);

impl TopicHandle {
    /// The topic's name.
    pub fn name(&self) -> &Topic {
        &self.0.name
    }

    /// How many partitions it has; 0 until the metadata says.
    pub fn partition_count(&self) -> i32 {
        self.0.count()
    }
}

/// The queues of a topic's partitions.
///
/// The table only grows, and is read without a lock: segment `k` holds 2^k partitions.
#[derive(Debug)]
pub(super) struct TopicQueues {
    pub(super) name: Topic,
    /// Of all topics together.
    backlog: Arc<Backlog>,
    pub(super) sticky: Sticky,
    pub(super) turns: Turns,
    segments: [OnceLock<Segment>; 31],
    count: AtomicI32,
    /// The best standing of its partitions: those that have it are drawn.
    best: SharedStanding,
    /// The longest queue seen lately among those.
    depth_max: AtomicU32,
    waits: Mutex<Waits>,
}

type Segment = Box<[OnceLock<Arc<PartitionQueue>>]>;

#[derive(Debug, Default)]
struct Waits {
    /// Counts what the metadata had to say.
    updates: u64,
    error: Option<Error>,
    next_id: u64,
    wakers: BTreeMap<u64, Option<Waker>>,
}

impl TopicQueues {
    pub(super) fn new(name: Topic, seed: u64, backlog: Arc<Backlog>) -> Self {
        Self {
            name,
            backlog,
            sticky: Sticky::new(seed),
            turns: Turns::default(),
            segments: std::array::from_fn(|_| OnceLock::new()),
            count: AtomicI32::new(0),
            best: SharedStanding::default(),
            depth_max: AtomicU32::new(0),
            waits: Mutex::default(),
        }
    }

    #[inline]
    pub(super) fn count(&self) -> i32 {
        self.count.load(Ordering::Acquire)
    }

    /// The queue of `partition`, where the topic has had that many.
    #[inline]
    pub(super) fn queue(&self, partition: i32) -> Option<&Arc<PartitionQueue>> {
        let (segment, place) = place(partition)?;
        self.segments.get(segment)?.get()?.get(place)?.get()
    }

    /// The queue of `partition`, if the topic has that many now.
    #[inline]
    pub(super) fn queue_in_use(&self, partition: i32) -> Option<&Arc<PartitionQueue>> {
        if partition < self.count() { self.queue(partition) } else { None }
    }

    /// Every queue that the topic has had, in order of partition.
    pub(super) fn queues(&self) -> impl Iterator<Item = &Arc<PartitionQueue>> {
        let segments = self.segments.iter().map_while(OnceLock::get);
        segments.flat_map(|segment| segment.iter().map_while(OnceLock::get))
    }

    /// The topic has `count` partitions: makes queues for new ones, which get the slots from `next_slot` on. Only the
    /// driver calls this.
    pub(super) fn grow(&self, count: i32, mut next_slot: usize) -> Vec<Arc<PartitionQueue>> {
        let mut new = Vec::new();
        for partition in 0..count {
            let Some((segment, place)) = place(partition) else { break };
            let Some(segment) = self.segments.get(segment) else { break };
            // In order of partition: the first one of a segment tells how many the segment holds.
            let places = segment.get_or_init(|| (0..=partition).map(|_| OnceLock::new()).collect());
            let Some(cell) = places.get(place) else { break };
            cell.get_or_init(|| {
                let partition = TopicPartition::new(self.name.clone(), partition);
                let queue =
                    Arc::new(PartitionQueue::new(next_slot, partition, Arc::clone(&self.backlog)));
                next_slot += 1;
                new.push(Arc::clone(&queue));
                queue
            });
        }
        self.count.store(count, Ordering::Release);
        new
    }

    /// Notes which partitions are the best to draw, and the longest queue among them. Only the driver calls this, when
    /// it has changed a standing.
    pub(super) fn rank(&self) {
        let in_use = || self.queues().take(usize::try_from(self.count()).unwrap_or(0));
        let best = in_use().map(|queue| queue.standing()).min().unwrap_or(Standing::Leaderless);
        let depths = in_use().filter(|queue| queue.standing() == best).map(|queue| queue.depth());
        let depth_max = depths.max().unwrap_or(0);
        self.best.set(best);
        self.depth_max.store(depth_max, Ordering::Relaxed);
    }

    /// A batch was opened in `queue`.
    pub(super) fn deepen(&self, queue: &PartitionQueue) {
        let depth = queue.deepen();
        if queue.standing() == self.best.get() {
            self.deepened(depth);
        }
    }

    /// A batch of `queue` was sent for the first time, or given up before it was: lets the longest queue be found anew
    /// if it was that one.
    pub(super) fn shorten(&self, queue: &PartitionQueue) {
        let depth = queue.depth();
        if queue.standing() == self.best.get() && depth >= self.depth_max.load(Ordering::Relaxed) {
            self.depth_max.store(depth.saturating_sub(1), Ordering::Relaxed);
        }
        queue.shorten();
    }

    /// The metadata had something to say of this topic: wakes those who wait for it.
    pub(super) fn updated(&self, error: Option<Error>) {
        let wakers: Vec<_> = {
            let mut waits = self.waits();
            waits.updates += 1;
            waits.error = error;
            waits.wakers.values_mut().filter_map(Option::take).collect()
        };
        wakers.into_iter().for_each(Waker::wake);
    }

    pub(super) fn wait(self: &Arc<Self>, partition: Option<i32>) -> TopicReady {
        let mut waits = self.waits();
        let id = waits.next_id;
        waits.next_id += 1;
        waits.wakers.insert(id, None);
        let updates = waits.updates;
        TopicReady { topic: Arc::clone(self), id, updates, partition: partition.unwrap_or(0) }
    }

    pub(super) fn is_waited_for(&self) -> bool {
        !self.waits().wakers.is_empty()
    }

    fn waits(&self) -> MutexGuard<'_, Waits> {
        self.waits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Load for TopicQueues {
    fn partitions(&self) -> i32 {
        self.count()
    }

    fn is_available(&self, partition: i32) -> bool {
        self.queue(partition).is_some_and(|queue| queue.has_leader())
    }

    fn depth(&self, partition: i32) -> Option<u32> {
        let best = self.best.get();
        self.queue(partition).filter(|queue| queue.standing() == best).map(|queue| queue.depth())
    }

    fn depth_max(&self) -> u32 {
        self.depth_max.load(Ordering::Relaxed)
    }

    fn deepened(&self, depth: u32) {
        if depth > self.depth_max.load(Ordering::Relaxed) {
            self.depth_max.fetch_max(depth, Ordering::Relaxed);
        }
    }
}

/// The segment of `partition` and the place in it.
#[inline]
fn place(partition: i32) -> Option<(usize, usize)> {
    let number = u32::try_from(partition).ok()?.checked_add(1)?;
    let segment = number.ilog2();
    Some((usize::try_from(segment).ok()?, usize::try_from(number - (1 << segment)).ok()?))
}

/// Waits until a topic's partitions are known, or the reason why they will not be.
///
/// The caller bounds the wait by `max.block.ms`. Dropping it forgets the wait.
#[must_use = "it waits only while polled"]
pub struct TopicReady {
    topic: Arc<TopicQueues>,
    id: u64,
    /// An error from before the wait began has been reported to someone else.
    updates: u64,
    partition: i32,
}

impl Future for TopicReady {
    type Output = Result<(), Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut waits = self.topic.waits();
        if (0..self.topic.count()).contains(&self.partition) {
            return Poll::Ready(Ok(()));
        }
        match &waits.error {
            Some(error) if waits.updates > self.updates => Poll::Ready(Err(error.clone())),
            _ => {
                waits.wakers.insert(self.id, Some(cx.waker().clone()));
                Poll::Pending
            }
        }
    }
}

impl Drop for TopicReady {
    fn drop(&mut self) {
        self.topic.waits().wakers.remove(&self.id);
    }
}

impl fmt::Debug for TopicReady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TopicReady")
            .field("topic", &self.topic.name)
            .field("partition", &self.partition)
            .finish()
    }
}
