//! Which partition a record goes to that names none.

use std::sync::atomic::{AtomicI32, AtomicU64, Ordering::Relaxed};

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
    /// Batches that wait in the partition; `None` while it has no leader.
    fn depth(&self, partition: i32) -> Option<u32>;
    /// The most batches that wait in any of them.
    fn depth_max(&self) -> u32;
}

impl Sticky {
    pub(super) fn new(seed: u64) -> Self {
        Self { current: AtomicI32::new(NONE), seed: AtomicU64::new(seed) }
    }

    /// The partition of the moment; draws one where there is none.
    pub(super) fn current(&self, load: &impl Load, is_adaptive: bool) -> i32 {
        let current = self.current.load(Relaxed);
        if current != NONE { current } else { self.switch(NONE, load, is_adaptive) }
    }

    /// Whether `partition` is still the one.
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
        let depth_max = if is_adaptive { load.depth_max() } else { 0 };
        let mut best: Option<(u32, i32)> = None;
        for _ in 0..DRAWS_MAX {
            let partition = self.below(load.partitions().unsigned_abs().max(1)).cast_signed();
            let Some(depth) = load.depth(partition) else { continue };
            if depth_max == 0 || depth <= self.below(depth_max + 1).cast_signed().unsigned_abs() {
                return partition;
            }
            if best.is_none_or(|(least, _)| depth < least) {
                best = Some((depth, partition));
            }
        }
        // Partitions without a leader are a last resort: their records wait, and so would ours.
        let first = || (0..load.partitions()).find(|&partition| load.depth(partition).is_some());
        match best {
            Some((_, partition)) => partition,
            None => first().unwrap_or(0),
        }
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

/// With half of the partitions without leader, all draws fail once in 2^16 times; then the first one that will do is
/// looked for.
const DRAWS_MAX: u32 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    struct Depths(Vec<Option<u32>>);

    impl Load for Depths {
        fn partitions(&self) -> i32 {
            self.0.len() as i32
        }

        fn depth(&self, partition: i32) -> Option<u32> {
            self.0[partition as usize]
        }

        fn depth_max(&self) -> u32 {
            self.0.iter().flatten().copied().max().unwrap_or(0)
        }
    }

    fn draws(depths: &[Option<u32>], is_adaptive: bool) -> Vec<f64> {
        let (sticky, load) = (Sticky::new(42), Depths(depths.to_vec()));
        let mut counts = vec![0.0; depths.len()];
        for _ in 0..30_000 {
            counts[sticky.draw(&load, is_adaptive) as usize] += 1.0 / 30_000.0;
        }
        counts
    }

    fn assert_shares(drawn: &[f64], expected: &[f64]) {
        for (drawn, expected) in drawn.iter().zip(expected) {
            assert!((drawn - expected).abs() < 0.015, "{drawn} instead of {expected}");
        }
    }

    #[test]
    fn draws_are_even_where_queues_are() {
        assert_shares(&draws(&[Some(0); 4], true), &[0.25; 4]);
        assert_shares(&draws(&[Some(3); 4], true), &[0.25; 4]);
        assert_shares(&draws(&[Some(9), Some(0)], false), &[0.5, 0.5]);
    }

    /// KIP-794's example: queues of 0, 3 and 1 batches are drawn 4 : 1 : 3.
    #[test]
    fn long_queues_are_drawn_less_often() {
        let drawn = draws(&[Some(0), Some(3), Some(1)], true);
        assert_shares(&drawn, &[4.0 / 8.0, 1.0 / 8.0, 3.0 / 8.0]);
    }

    #[test]
    fn a_partition_without_leader_is_a_last_resort() {
        assert_shares(&draws(&[None, Some(1), None], true), &[0.0, 1.0, 0.0]);
        assert_shares(&draws(&[None, None], true), &[1.0, 0.0]);
    }

    #[test]
    fn a_partition_sticks_until_it_is_switched() {
        let (sticky, load) = (Sticky::new(1), Depths(vec![Some(0); 100]));
        let first = sticky.current(&load, true);
        assert_eq!(sticky.current(&load, true), first);
        let second = sticky.switch(first, &load, true);
        assert_ne!(first, second);
        assert_eq!(sticky.switch(first, &load, true), second, "another thread was faster");
        assert!(sticky.is_current(second));
    }
}
