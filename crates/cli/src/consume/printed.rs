//! What was printed so far, which is what a group may go on behind.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use milena::{ConsumerHandle, MessageRef, Offset, RebalanceListener, TopicPartition};

/// Offsets behind the last printed record of each partition that is still ours.
///
/// As the listener of rebalances it commits those of a partition that goes, and forgets them: another member may read
/// on from there, and a late commit would send the group back.
///
/// It says on standard error which partitions come and go.
#[derive(Clone, Debug, Default)]
pub(super) struct Printed {
    offsets: Arc<Mutex<Offsets>>,
    group: Arc<str>,
}

pub(super) type Offsets = BTreeMap<TopicPartition, Offset>;

impl Printed {
    /// Of a member of `group`, where it is one.
    pub(super) fn of(group: Option<&str>) -> Self {
        Self { offsets: Arc::default(), group: group.unwrap_or_default().into() }
    }

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

    /// As kcat does: `% group billing: revoked orders[0] orders[2]`.
    fn tell(&self, what: &str, partitions: &[TopicPartition]) {
        let mut line = format!("% group {}: {what}", self.group);
        for partition in partitions {
            line.push_str(&format!(" {}[{}]", partition.topic.as_str(), partition.partition));
        }
        if partitions.is_empty() {
            line.push_str(" nothing");
        }
        // Who closed it does not want to know.
        let _ = writeln!(std::io::stderr(), "{line}");
    }

    fn lock(&self) -> MutexGuard<'_, Offsets> {
        self.offsets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Moves the offset of the record's partition behind it.
pub(super) fn note(offsets: &mut Offsets, message: MessageRef<'_>) {
    offsets.insert(message.topic_partition().clone(), message.offset().next());
}

impl RebalanceListener for Printed {
    async fn assigned(&self, _: &ConsumerHandle, partitions: &[TopicPartition]) {
        self.tell("assigned", partitions);
    }

    async fn revoked(&self, handle: &ConsumerHandle, partitions: &[TopicPartition]) {
        self.tell("revoked", partitions);
        let offsets = self.take(partitions);
        if !offsets.is_empty()
            && let Err(error) = handle.commit_offsets(offsets).await
        {
            eprintln!("% the last records may be printed again by another member: {error}");
        }
    }

    async fn lost(&self, _: &ConsumerHandle, partitions: &[TopicPartition]) {
        self.tell("lost", partitions);
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
