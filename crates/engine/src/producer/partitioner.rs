//! Who chooses the partition of a record that names none.

use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;

use milena_types::Topic;

use super::topic::TopicQueues;

/// How records that name no partition are placed (`partitioner.class`).
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum Partitioning {
    /// As Java's producer does: murmur2 of the key; records without one stick to a partition for a batch (KIP-794).
    #[default]
    Default,
    /// Each record to the next partition that has a leader, whatever its key, as Java's `RoundRobinPartitioner` does.
    RoundRobin,
    /// CRC-32 of the key, as librdkafka's `consistent` does; records with an empty key or none go to partition 0.
    Consistent,
    /// CRC-32 of the key, as librdkafka's default `consistent_random` does; records with an empty key or none stick to
    /// a partition for a batch.
    ConsistentRandom,
    /// The user's own.
    Custom(Arc<dyn Partitioner>),
}

impl fmt::Debug for Partitioning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Default => "Default",
            Self::RoundRobin => "RoundRobin",
            Self::Consistent => "Consistent",
            Self::ConsistentRandom => "ConsistentRandom",
            Self::Custom(_) => "Custom",
        })
    }
}

// A partitioner that panicked left its caller without a partition and nothing else: what holds one stays usable.
impl UnwindSafe for Partitioning {}
impl RefUnwindSafe for Partitioning {}

/// A user's own is equal to itself and its clones.
impl PartialEq for Partitioning {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Custom(own), Self::Custom(others)) => Arc::ptr_eq(own, others),
            _ => std::mem::discriminant(self) == std::mem::discriminant(other),
        }
    }
}

impl<P: Partitioner + 'static> From<P> for Partitioning {
    fn from(partitioner: P) -> Self {
        Self::Custom(Arc::new(partitioner))
    }
}

/// Places records by a rule of the user's own. A function of `&PartitionContext` is one.
///
/// Every task that sends calls it, for each record that names no partition, and again for one that had to wait for room
/// or met another task's on its way. It should be quick, wait for nothing and not panic.
///
/// # Examples
/// As sarama's default, FNV-1a of the key:
/// ```
/// use milena_engine::producer::{PartitionContext, Partitioner};
///
/// struct Fnv1a;
///
/// impl Partitioner for Fnv1a {
///     fn partition(&self, record: &PartitionContext<'_>) -> Option<i32> {
///         let hash = |hash: u32, &byte: &u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
///         let hash = record.key()?.iter().fold(0x811c_9dc5, hash);
///         Some((hash.cast_signed() % record.partition_count()).abs())
///     }
/// }
/// ```
pub trait Partitioner: Send + Sync {
    /// The record's partition, from 0 to [`partition_count`](PartitionContext::partition_count)` - 1`; another number
    /// fails the record. `None` leaves it to [`Partitioning::Default`].
    fn partition(&self, record: &PartitionContext<'_>) -> Option<i32>;
}

impl<F: Fn(&PartitionContext<'_>) -> Option<i32> + Send + Sync> Partitioner for F {
    fn partition(&self, record: &PartitionContext<'_>) -> Option<i32> {
        self(record)
    }
}

/// A record to be placed, and the partitions that there are.
#[derive(Clone, Copy)]
pub struct PartitionContext<'a> {
    pub(super) topic: &'a TopicQueues,
    pub(super) count: i32,
    pub(super) key: Option<&'a [u8]>,
    pub(super) value: Option<&'a [u8]>,
}

impl<'a> PartitionContext<'a> {
    /// The topic that the record goes to.
    pub fn topic(&self) -> &'a Topic {
        &self.topic.name
    }

    /// The record's key; `None` is no key, an empty one is a key.
    pub fn key(&self) -> Option<&'a [u8]> {
        self.key
    }

    /// The record's value; `None` is a tombstone.
    pub fn value(&self) -> Option<&'a [u8]> {
        self.value
    }

    /// How many partitions the topic has; more than 0.
    pub fn partition_count(&self) -> i32 {
        self.count
    }

    /// Whether `partition` has a leader that is known: records for others wait until there is one.
    pub fn is_available(&self, partition: i32) -> bool {
        self.topic.queue_in_use(partition).is_some_and(|queue| queue.has_leader())
    }
}

impl fmt::Debug for PartitionContext<'_> {
    /// Contents do not belong in logs: sizes do.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PartitionContext")
            .field("topic", self.topic())
            .field("partition_count", &self.count)
            .field("key_bytes", &self.key.map(<[u8]>::len))
            .field("value_bytes", &self.value.map(<[u8]>::len))
            .finish()
    }
}
