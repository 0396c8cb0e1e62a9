//! Which partition a record goes to that names none.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering::Relaxed};

use milena_records::partition::{crc32_partition, murmur2_partition};

use super::accumulator::Refused;
use super::partitioner::{PartitionContext, Partitioning};
use super::record::NewRecord;
use super::settings::Settings;
use super::topic::TopicQueues;
use crate::{Error, Operation};

/// Places records. The default costs no virtual call, no lock and no allocation.
#[derive(Clone, Debug)]
pub(super) struct Assigner {
    partitioning: Partitioning,
    is_adaptive: bool,
    ignores_keys: bool,
}

/// Where a record goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Assigned {
    pub(super) partition: i32,
    /// Whether it goes there because the topic's partition of the moment is that one.
    pub(super) is_sticky: bool,
}

impl Assigned {
    const fn fixed(partition: i32) -> Self {
        Self { partition, is_sticky: false }
    }
}

impl Assigner {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            partitioning: settings.partitioning.clone(),
            is_adaptive: settings.is_adaptive,
            ignores_keys: settings.ignores_keys,
        }
    }

    /// Where `record` goes.
    ///
    /// # Errors
    /// While the topic's partitions are unknown, for a record that names a partition below zero, and for a user's
    /// partitioner that chose one that there is not.
    #[inline]
    pub(super) fn assign<H>(
        &self,
        topic: &TopicQueues,
        record: &NewRecord<'_, H>,
    ) -> Result<Assigned, Refused> {
        if let Some(partition) = record.partition {
            return named(topic, partition);
        }
        let count = NonZeroU32::new(topic.count().unsigned_abs());
        let count = count.ok_or(Refused::UnknownPartition)?;
        if matches!(self.partitioning, Partitioning::Default) {
            return Ok(self.default(topic, record.key, count));
        }
        self.chosen(topic, record, count)
    }

    /// Whether code of the user's decides.
    #[inline]
    pub(super) fn is_foreign(&self) -> bool {
        matches!(self.partitioning, Partitioning::Custom(_))
    }

    #[inline]
    fn default(&self, topic: &TopicQueues, key: Option<&[u8]>, count: NonZeroU32) -> Assigned {
        match key {
            Some(key) if !self.ignores_keys => Assigned::fixed(murmur2_partition(key, count)),
            Some(_) | None => self.stick(topic),
        }
    }

    #[inline]
    fn stick(&self, topic: &TopicQueues) -> Assigned {
        let partition = topic.sticky.current(topic, self.is_adaptive);
        Assigned { partition, is_sticky: true }
    }

    #[inline(never)]
    fn chosen<H>(
        &self,
        topic: &TopicQueues,
        record: &NewRecord<'_, H>,
        count: NonZeroU32,
    ) -> Result<Assigned, Refused> {
        let key = record.key.unwrap_or_default();
        let own = match &self.partitioning {
            Partitioning::Default => None,
            Partitioning::RoundRobin => return Ok(Assigned::fixed(topic.turns.take(topic))),
            Partitioning::ConsistentRandom if key.is_empty() => return Ok(self.stick(topic)),
            Partitioning::Consistent | Partitioning::ConsistentRandom => {
                return Ok(Assigned::fixed(crc32_partition(key, count)));
            }
            Partitioning::Custom(own) => {
                let NewRecord { key, value, .. } = *record;
                let count = count.get().cast_signed();
                own.partition(&PartitionContext { topic, count, key, value })
            }
        };
        match own {
            None => Ok(self.default(topic, record.key, count)),
            Some(partition) if u32::try_from(partition).is_ok_and(|p| p < count.get()) => {
                Ok(Assigned::fixed(partition))
            }
            Some(partition) => {
                let detail = format!(
                    "the partitioner chose partition {partition} of {}, which has {count}",
                    topic.name
                );
                Err(Refused::Failed(Error::misuse(detail).during(Operation::Send)))
            }
        }
    }

    /// The record was not taken in after all, and will ask again.
    pub(super) fn give_back(&self, topic: &TopicQueues) {
        if self.partitioning == Partitioning::RoundRobin {
            topic.turns.give_back();
        }
    }

    /// Leaves the sticky partition `old` for another.
    pub(super) fn switch(&self, topic: &TopicQueues, old: i32) {
        topic.sticky.switch(old, topic, self.is_adaptive);
    }
}

/// A record's own partition. It may come to be later, and is waited for.
#[inline]
fn named(topic: &TopicQueues, partition: i32) -> Result<Assigned, Refused> {
    if partition >= 0 {
        return Ok(Assigned::fixed(partition));
    }
    let detail = format!("a record for {} names partition {partition}", topic.name);
    Err(Refused::Failed(Error::misuse(detail).during(Operation::Send)))
}

/// Whose turn it is in a topic where records go round.
#[derive(Debug, Default)]
pub(super) struct Turns(AtomicU32);

impl Turns {
    /// The next partition that has a leader; the next one of all where none has.
    fn take(&self, load: &impl Load) -> i32 {
        let count = load.partitions().unsigned_abs().max(1);
        let next = || {
            // Java's counter is an int whose sign it clears.
            let turn = self.0.fetch_add(1, Relaxed) & 0x7fff_ffff;
            (turn % count).cast_signed()
        };
        let first = next();
        let mut partition = first;
        for _ in 1..count {
            if load.is_available(partition) {
                return partition;
            }
            partition = next();
        }
        if load.is_available(partition) {
            return partition;
        }
        self.0.fetch_sub(count - 1, Relaxed);
        first
    }

    fn give_back(&self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// The partition that a topic's records without key go to at the moment (KIP-480, KIP-794).
///
/// One partition takes about `batch.size` bytes before the next one is drawn, so that batches fill; over time each
/// gets the same number of bytes. Adaptive drawing (KIP-794) prefers partitions with short queues, as those of slow
/// brokers are long: with the longest queue at `m` batches, one of `n` batches is drawn with weight `m + 1 - n`.
#[derive(Debug)]
pub(super) struct Sticky {
    current: AtomicI32,
    /// State of a splitmix64 generator: any thread may draw without a lock.
    seed: AtomicU64,
}

/// What a draw needs to know of a topic's partitions.
pub(super) trait Load {
    /// How many partitions there are; more than 0.
    fn partitions(&self) -> i32;
    /// Whether the partition has a leader.
    fn is_available(&self, partition: i32) -> bool;
    /// Batches that wait in the partition; `None` for one that others are preferred to.
    fn depth(&self, partition: i32) -> Option<u32>;
    /// The most batches that wait in any of those that are not.
    fn depth_max(&self) -> u32;
    /// One of them was found to have this many.
    fn deepened(&self, depth: u32);
}

impl Sticky {
    pub(super) fn new(seed: u64) -> Self {
        Self { current: AtomicI32::new(NONE), seed: AtomicU64::new(seed) }
    }

    /// The partition of the moment; draws one where there is none, or none any more in a topic that was made anew.
    #[inline]
    pub(super) fn current(&self, load: &impl Load, is_adaptive: bool) -> i32 {
        let current = self.current.load(Relaxed);
        let is_there = (0..load.partitions()).contains(&current);
        if is_there { current } else { self.switch(current, load, is_adaptive) }
    }

    /// Whether `partition` is still the one.
    #[inline]
    pub(super) fn is_current(&self, partition: i32) -> bool {
        self.current.load(Relaxed) == partition
    }

    /// Draws the partition after `old`, unless another thread has done so, and returns the new one.
    pub(super) fn switch(&self, old: i32, load: &impl Load, is_adaptive: bool) -> i32 {
        let new = self.draw(load, is_adaptive);
        match self.current.compare_exchange(old, new, Relaxed, Relaxed) {
            Ok(_) => new,
            Err(current) => current,
        }
    }

    /// Draws by rejection: the weights need no table, which with 10,000 partitions would cost more than the batch.
    fn draw(&self, load: &impl Load, is_adaptive: bool) -> i32 {
        let mut depth_max = if is_adaptive { load.depth_max() } else { 0 };
        let (mut best, mut candidates): (Option<(u32, i32)>, u32) = (None, 0);
        for _ in 0..DRAWS_MAX {
            let partition = self.below(load.partitions().unsigned_abs().max(1)).cast_signed();
            let Some(depth) = load.depth(partition) else { continue };
            candidates += 1;
            if is_adaptive && depth > depth_max {
                load.deepened(depth);
                depth_max = depth;
            }
            if depth_max == 0 || depth <= self.below(depth_max + 1) {
                return partition;
            }
            if best.is_none_or(|(least, _)| depth < least) {
                best = Some((depth, partition));
            }
        }
        match best {
            // All queues are long, and the shortest of a few is a good choice.
            Some((_, partition)) if candidates >= CANDIDATES_MIN => partition,
            Some(_) | None => self.search(load, depth_max),
        }
    }

    /// Draws by the same weights in one pass over all partitions, where few are to be drawn.
    fn search(&self, load: &impl Load, depth_max: u32) -> i32 {
        let (mut drawn, mut total) = (0, 0u32);
        for partition in 0..load.partitions() {
            let Some(depth) = load.depth(partition) else { continue };
            let weight = if depth_max == 0 { 1 } else { depth_max.saturating_sub(depth) + 1 };
            total = total.saturating_add(weight);
            if self.below(total) < weight {
                drawn = partition;
            }
        }
        drawn
    }

    /// A number from 0 to `bound - 1`.
    fn below(&self, bound: u32) -> u32 {
        let mut z = self.seed.fetch_add(GOLDEN, Relaxed).wrapping_add(GOLDEN);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        // The high half of the product is below the bound, as evenly as 32 bits allow.
        u32::try_from(((z >> 32) * u64::from(bound)) >> 32).unwrap_or(0)
    }
}

const NONE: i32 = -1;

/// Splitmix64's step.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// With a third of the leaders in the producer's rack, all draws miss them once in 650 times; then one is searched for.
const DRAWS_MAX: u32 = 16;
/// Where so many were turned down for the length of their queues, partitions to draw are not rare.
const CANDIDATES_MIN: u32 = 4;

#[cfg(test)]
mod tests;
