//! From a key's hash to a partition.

use std::num::NonZeroU32;

use crate::crc;
use crate::partition::murmur2;

/// The partition that Java's default partitioner, and librdkafka's `murmur2`, choose for `key`.
///
/// An empty key is a key: records without any are for the sticky partitioner.
#[must_use]
pub fn murmur2_partition(key: &[u8], partitions: NonZeroU32) -> i32 {
    // Java clears the sign bit; it does not take the absolute value.
    let hash = murmur2(key) as u32 & 0x7fff_ffff;
    (hash % partitions) as i32
}

/// The partition that librdkafka's `consistent` chooses for `key`, its default for records with a key.
#[must_use]
pub fn crc32_partition(key: &[u8], partitions: NonZeroU32) -> i32 {
    (crc::crc32(key) % partitions) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    const THREE: NonZeroU32 = NonZeroU32::new(3).unwrap();

    /// Placed by Java's producer.
    #[test]
    fn keys_go_where_java_puts_them() {
        let known = [
            ("user_001", 2),
            ("user_002", 2),
            ("user_003", 1),
            ("project_100", 0),
            ("task_200", 1),
        ];
        for (key, partition) in known {
            assert_eq!(murmur2_partition(key.as_bytes(), THREE), partition, "{key}");
        }
    }

    /// CRC-32 as in librdkafka's own test 0048, with its 17 partitions.
    #[test]
    fn keys_go_where_librdkafka_puts_them() {
        const SEVENTEEN: NonZeroU32 = NonZeroU32::new(17).unwrap();
        let known = [("", 0), ("hejsan", 0xd077_037e_u32), ("unaligned", 0xe964_aec2)];
        for (key, hash) in known {
            let placed = crc32_partition(key.as_bytes(), SEVENTEEN);
            assert_eq!(placed, (hash % 17) as i32, "{key}");
        }
    }

    /// Counted on a topic that Java's producer filled.
    #[test]
    fn nine_thousand_keys_spread_as_java_spreads_them() {
        let mut counts = [0; 3];
        for i in 1..=9000 {
            counts[murmur2_partition(format!("k{i}").as_bytes(), THREE) as usize] += 1;
        }
        assert_eq!(counts, [3032, 3000, 2968]);
    }
}
