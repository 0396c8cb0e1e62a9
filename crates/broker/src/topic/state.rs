//! One topic: what the cluster keeps under its name.

use milena_types::Uuid;

use super::config::TopicConfig;
use super::partition::Partition;

/// A topic: its id, its configuration and its partitions by index.
#[derive(Clone, Debug)]
pub(crate) struct TopicState {
    pub(crate) id: Uuid,
    pub(crate) config: TopicConfig,
    pub(crate) partitions: Vec<Partition>,
    /// Whether it belongs to the cluster itself, as `__consumer_offsets`.
    pub(crate) is_internal: bool,
}

impl TopicState {
    /// The partition with this index, if there is one.
    pub(crate) fn partition(&self, index: i32) -> Option<&Partition> {
        usize::try_from(index).ok().and_then(|index| self.partitions.get(index))
    }

    pub(crate) fn partition_mut(&mut self, index: i32) -> Option<&mut Partition> {
        usize::try_from(index).ok().and_then(|index| self.partitions.get_mut(index))
    }

    /// How many copies each partition has.
    pub(crate) fn replication_factor(&self) -> usize {
        self.partitions.first().map_or(0, |partition| partition.replicas().count())
    }

    /// The partitions with their indexes.
    pub(crate) fn indexed(&self) -> impl Iterator<Item = (i32, &Partition)> {
        (0..).zip(&self.partitions)
    }
}
