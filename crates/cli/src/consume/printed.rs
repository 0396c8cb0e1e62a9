//! What was printed so far, which is what a group may go on behind.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use milena::{ConsumerHandle, MessageRef, Offset, RebalanceListener, TopicPartition};

/// Offsets behind the last printed record of each partition that is still ours.
///
/// As the listener of rebalances it commits those of a partition that goes, and forgets them: another member may read
/// on from there, and a late commit would send the group back.
#[derive(Clone, Debug, Default)]
pub(super) struct Printed(Arc<Mutex<Offsets>>);

pub(super) type Offsets = BTreeMap<TopicPartition, Offset>;

impl Printed {
    /// Takes these to be printed: they have left the program.
    pub(super) fn add(&self, offsets: Offsets) {
        self.lock().extend(offsets);
    }

    /// All of them.
    pub(super) fn offsets(&self) -> Offsets {
        self.lock().clone()
    }

    fn take(&self, partitions: &[TopicPartition]) -> Offsets {
        let mut offsets = self.lock();
        partitions.iter().filter_map(|partition| offsets.remove_entry(partition)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Offsets> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Moves the offset of the record's partition behind it.
pub(super) fn note(offsets: &mut Offsets, message: MessageRef<'_>) {
    offsets.insert(message.topic_partition().clone(), message.offset().next());
}

impl RebalanceListener for Printed {
    async fn revoked(&self, handle: &ConsumerHandle, partitions: &[TopicPartition]) {
        let offsets = self.take(partitions);
        if !offsets.is_empty()
            && let Err(error) = handle.commit_offsets(offsets).await
        {
            eprintln!("% the last records may be printed again by another member: {error}");
        }
    }

    async fn lost(&self, _: &ConsumerHandle, partitions: &[TopicPartition]) {
        self.take(partitions);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_that_went_is_forgotten() {
        let (kept, gone) = (TopicPartition::new("t", 0), TopicPartition::new("t", 1));
        let at = |offset| Offset::new(offset).unwrap();
        let printed = Printed::default();
        printed.add(BTreeMap::from([(kept.clone(), at(3)), (gone.clone(), at(7))]));
        let never = TopicPartition::new("t", 2);
        let taken = printed.take(&[gone.clone(), never]);
        assert_eq!(taken, BTreeMap::from([(gone, at(7))]));
        assert_eq!(printed.offsets(), BTreeMap::from([(kept, at(3))]));
    }
}
