//! Uniform sticky partitioning (KIP-794): where records without a key go.

use std::time::{Duration, Instant};

use fastrand::Rng;

/// The sticky partition of one topic, for records without a key.
///
/// One partition takes records until it got a batch's worth of bytes; the next is drawn at random, partitions with
/// shorter queues more often. It reads no clock and owns no randomness, and knows nothing of keys: records that are
/// placed by hash or by hand do not pass here.
#[derive(Clone, Debug)]
pub struct StickyPartitioner {
    batch_bytes: usize,
    partition: Option<i32>,
    /// What the partition took since it was drawn.
    produced_bytes: usize,
    load: Option<Load>,
}

/// Partitions with the running sum of their weights.
#[derive(Clone, Debug)]
struct Load {
    sums: Vec<(u64, i32)>,
    total: u64,
}

impl StickyPartitioner {
    /// A partitioner that moves on after `batch_bytes` (`batch.size`; 0 counts as 1).
    pub fn new(batch_bytes: usize) -> Self {
        let batch_bytes = batch_bytes.max(1);
        Self { batch_bytes, partition: None, produced_bytes: 0, load: None }
    }

    /// The partition that takes records, drawn if there is none yet.
    ///
    /// `available` are the partitions with a known leader; where that is empty, the draw is among all
    /// `0..partition_count`. A topic without partitions gives 0.
    pub fn partition(&mut self, available: &[i32], partition_count: u32, rng: &mut Rng) -> i32 {
        if let Some(partition) = self.partition {
            return partition;
        }
        let partition = self.draw(available, partition_count, rng);
        self.partition = Some(partition);
        self.produced_bytes = 0;
        partition
    }

    /// Counts `bytes` appended to `partition`, and lets go of it once it got its share.
    ///
    /// `batch_closed` says that no open batch is left in the partition's queue. Moving on earlier would leave a
    /// fraction of a batch behind, so that up to twice the batch size it is waited for. Bytes of a partition that is not the
    /// sticky one any more count for nothing.
    pub fn appended(&mut self, partition: i32, bytes: usize, batch_closed: bool) {
        if self.partition != Some(partition) {
            return;
        }
        self.produced_bytes = self.produced_bytes.saturating_add(bytes);
        let full = self.produced_bytes >= self.batch_bytes && batch_closed;
        if full || self.produced_bytes >= self.batch_bytes.saturating_mul(2) {
            self.partition = None;
        }
    }

    /// Lets go of the partition, as when it lost its leader or the topic changed.
    pub fn forget(&mut self) {
        self.partition = None;
    }

    /// Tells how many batches wait for each partition: those with fewer are drawn more often from here on
    /// (`partitioner.adaptive.partitioning.enable`).
    ///
    /// `queues` leaves out partitions that should not be drawn: without a leader, or with one that is late (see
    /// [`NodeLatency`]). Of `partition_count` partitions with equal queues, all present, each is as likely.
    pub fn update_load(&mut self, queues: &[(i32, usize)], partition_count: u32) {
        self.load = Load::new(queues, partition_count);
    }

    /// Draws evenly from here on.
    pub fn clear_load(&mut self) {
        self.load = None;
    }

    fn draw(&self, available: &[i32], partition_count: u32, rng: &mut Rng) -> i32 {
        if let Some(load) = &self.load {
            return load.draw(rng);
        }
        if available.is_empty() {
            return rng.u32(0..partition_count.clamp(1, i32::MAX as u32)) as i32;
        }
        available.get(rng.usize(0..available.len())).copied().unwrap_or_default()
    }
}

impl Load {
    /// `None` where there is nothing to choose by.
    fn new(queues: &[(i32, usize)], partition_count: u32) -> Option<Self> {
        let longest = queues.iter().map(|&(_, waiting)| waiting).max()?;
        let shortest = queues.iter().map(|&(_, waiting)| waiting).min()?;
        let all_present = queues.len() as u64 == u64::from(partition_count);
        if partition_count < 2 || (longest == shortest && all_present) {
            return None;
        }
        let mut total = 0u64;
        let mut sums = Vec::with_capacity(queues.len());
        for &(partition, waiting) in queues {
            // The longest queue has weight 1, an empty one the most.
            total = total.saturating_add((longest - waiting) as u64).saturating_add(1);
            sums.push((total, partition));
        }
        Some(Self { sums, total })
    }

    fn draw(&self, rng: &mut Rng) -> i32 {
        let drawn = rng.u64(0..self.total.max(1));
        let index = self.sums.partition_point(|&(sum, _)| sum <= drawn);
        self.sums.get(index).map_or(0, |&(_, partition)| partition)
    }
}

/// Tells a broker that has batches waiting but takes none (`partitioner.availability.timeout.ms`).
#[derive(Clone, Copy, Debug)]
pub struct NodeLatency {
    ready: Instant,
    drained: Instant,
}

impl NodeLatency {
    /// A broker that takes requests, as of `now`.
    pub fn new(now: Instant) -> Self {
        Self { ready: now, drained: now }
    }

    /// Batches are ready for the broker; `can_send` says whether its connection takes them.
    pub fn handle_ready(&mut self, now: Instant, can_send: bool) {
        if can_send {
            self.drained = now;
        }
        self.ready = now;
    }

    /// Whether batches have been ready for longer than `timeout` without being taken; zero switches this off.
    pub fn is_late(&self, timeout: Duration) -> bool {
        !timeout.is_zero() && self.ready.saturating_duration_since(self.drained) > timeout
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_is_left_at_its_batch_or_at_twice_its_size() {
        let mut rng = Rng::with_seed(1);
        let mut sticky = StickyPartitioner::new(100);
        let first = sticky.partition(&[0, 1, 2], 3, &mut rng);
        sticky.appended(first, 99, true);
        assert_eq!(sticky.partition, Some(first));
        sticky.appended(first, 60, false);
        assert_eq!(sticky.partition, Some(first), "the open batch is filled first");
        sticky.appended(first, 41, false);
        assert_eq!(sticky.partition, None);
        let second = sticky.partition(&[0, 1, 2], 3, &mut rng);
        sticky.appended(second ^ 1, 1000, true);
        assert_eq!(sticky.partition, Some(second), "bytes of another partition do not count");
        sticky.appended(second, 100, true);
        assert_eq!(sticky.partition, None);
    }

    #[test]
    fn partitions_without_a_leader_are_drawn_only_where_none_has_one() {
        let mut rng = Rng::with_seed(2);
        assert_eq!(spread(None, &[1], 3, &mut rng), [0, 3000, 0]);
        assert!(spread(None, &[], 3, &mut rng).iter().all(|&count| count > 900));
    }

    /// The weights of the example in Java's `BuiltInPartitionerTest`: queues 0, 3, 1 weigh 4, 1, 3.
    #[test]
    fn a_shorter_queue_is_drawn_more_often() {
        let mut rng = Rng::with_seed(3);
        let counts = spread(Some(&[(0, 0), (1, 3), (2, 1)]), &[0, 1, 2], 3, &mut rng);
        for (count, weight) in counts.into_iter().zip([4u32, 1, 3]) {
            assert!(count.abs_diff(weight * 3000 / 8) < 100, "{counts:?}");
        }
        let late = spread(Some(&[(0, 5), (2, 5)]), &[0, 1, 2], 3, &mut rng);
        assert_eq!(late[1], 0);
        let even = spread(Some(&[(0, 5), (1, 5), (2, 5)]), &[0, 1, 2], 3, &mut rng);
        assert!(even.iter().all(|&count| count > 900));
    }

    #[test]
    fn a_broker_that_takes_nothing_is_late_after_the_timeout() {
        let (limit, ms) = (Duration::from_millis(100), Duration::from_millis);
        #[expect(clippy::disallowed_methods, reason = "an origin for times that are computed")]
        let start = Instant::now();
        let mut node = NodeLatency::new(start);
        node.handle_ready(start + ms(50), true);
        node.handle_ready(start + ms(150), false);
        assert!(!node.is_late(limit));
        node.handle_ready(start + ms(151), false);
        assert!(node.is_late(limit) && !node.is_late(Duration::ZERO));
        node.handle_ready(start + ms(160), true);
        assert!(!node.is_late(limit));
    }

    fn spread(
        load: Option<&[(i32, usize)]>,
        available: &[i32],
        partition_count: u32,
        rng: &mut Rng,
    ) -> [u32; 3] {
        let mut sticky = StickyPartitioner::new(1);
        if let Some(queues) = load {
            sticky.update_load(queues, partition_count);
        }
        let mut counts = [0; 3];
        for _ in 0..3000 {
            let partition = sticky.partition(available, partition_count, rng);
            counts[partition as usize] += 1;
            sticky.appended(partition, 1, true);
        }
        counts
    }
}
