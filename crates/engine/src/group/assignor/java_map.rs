//! The order in which Java's `HashMap` and `HashSet` give out what they hold.
//!
//! Java's sticky assignor walks through such maps: who comes first keeps one more partition. A leader of another make
//! that walked in another order would move partitions whenever the lead changes.
//!
//! Tables start with 16 buckets and double when more than three quarters full. Within a bucket, order is that of
//! insertion (buckets with eight colliding keys and more aside, which become trees).

use milena_types::TopicPartition;

/// `String.hashCode()`.
pub(super) fn text_hash(text: &str) -> u32 {
    text.encode_utf16().fold(0_u32, |hash, unit| hash.wrapping_mul(31).wrapping_add(unit.into()))
}

/// `TopicPartition.hashCode()`.
pub(super) fn partition_hash(partition: &TopicPartition) -> u32 {
    let number = 31_u32.wrapping_add_signed(partition.partition);
    number.wrapping_mul(31).wrapping_add(text_hash(partition.topic.as_str()))
}

/// The places of `keys` in the order in which a map gives them out that they were put into in the order given.
pub(super) fn order<'a>(keys: impl ExactSizeIterator<Item = &'a str>) -> Vec<usize> {
    let buckets = buckets(keys.len());
    let mut places: Vec<(u32, usize)> =
        keys.enumerate().map(|(place, key)| (bucket(text_hash(key), buckets), place)).collect();
    places.sort_unstable();
    places.into_iter().map(|(_, place)| place).collect()
}

/// A set that gives out one of its entries.
#[derive(Debug, Default)]
pub(super) struct JavaSet {
    /// With their hashes, in order of insertion.
    entries: Vec<(u32, usize)>,
    /// A table never shrinks.
    most: usize,
}

impl JavaSet {
    pub(super) fn insert(&mut self, hash: u32, entry: usize) {
        if !self.entries.iter().any(|(_, known)| *known == entry) {
            self.entries.push((hash, entry));
            self.most = self.most.max(self.entries.len());
        }
    }

    pub(super) fn remove(&mut self, entry: usize) {
        self.entries.retain(|(_, known)| *known != entry);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What Java's iterator gives first.
    pub(super) fn first(&self) -> Option<usize> {
        let buckets = buckets(self.most);
        let first = self.entries.iter().min_by_key(|(hash, _)| bucket(*hash, buckets));
        first.map(|(_, entry)| *entry)
    }
}

fn buckets(entries: usize) -> u32 {
    let mut buckets = 16_u32;
    while entries > (buckets / 4 * 3) as usize && buckets < 1 << 30 {
        buckets *= 2;
    }
    buckets
}

fn bucket(hash: u32, buckets: u32) -> u32 {
    (hash ^ (hash >> 16)) & (buckets - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_java() {
        assert_eq!(text_hash(""), 0);
        assert_eq!(text_hash("orders"), 3_286_196_965);
        assert_eq!(text_hash("\u{1f600}"), 1_772_899);
        assert_eq!(partition_hash(&TopicPartition::new("orders", 7)), 3_286_198_143);
    }

    #[test]
    fn a_table_doubles_when_it_is_three_quarters_full() {
        assert_eq!([0, 12, 13, 24, 25].map(buckets), [16, 16, 32, 32, 64]);
    }

    #[test]
    fn a_set_gives_the_first_of_its_lowest_bucket() {
        let mut set = JavaSet::default();
        assert!(set.is_empty());
        assert_eq!(set.first(), None);
        // 18 and 2 share a bucket of 16; the one that came first is first.
        for (hash, entry) in [(5, 50), (18, 180), (2, 20), (5, 50)] {
            set.insert(hash, entry);
        }
        assert_eq!((set.entries.len(), set.most), (3, 3), "an entry is there once");
        assert_eq!(set.first(), Some(180));
        set.remove(180);
        assert_eq!(set.first(), Some(20));
        set.remove(20);
        set.remove(50);
        assert!(set.is_empty());
        // The table grows with the thirteenth, and stays: in 32 buckets 18 is behind 2.
        for entry in 0..13 {
            set.insert(31, entry);
        }
        for entry in 0..13 {
            set.remove(entry);
        }
        set.insert(18, 180);
        set.insert(2, 20);
        assert_eq!(set.first(), Some(20));
    }
}
