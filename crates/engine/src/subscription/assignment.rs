//! What a consumer wants to read, and what it was given.

use std::collections::{BTreeMap, BTreeSet};

use milena_types::{Topic, TopicPartition};

use super::filter::TopicFilter;
use super::position::{Assigned, Revision, Stage};
use crate::backoff::Backoff;

/// How partitions come to a consumer.
#[derive(Clone, Debug, Default)]
pub(crate) enum Source {
    /// Not yet.
    #[default]
    None,
    /// The user names them; the group does not share them out.
    Manual,
    /// The group shares out the partitions of these topics.
    Topics(BTreeSet<Topic>),
    /// The same with the topics that the filter takes; `None` before all topics were seen.
    Filter(TopicFilter, Option<BTreeSet<Topic>>),
    /// The coordinator knows which topics they are.
    Coordinator,
}

impl Source {
    /// Whether partitions come by the group.
    pub(crate) fn is_shared(&self) -> bool {
        match self {
            Self::Topics(_) | Self::Filter(..) | Self::Coordinator => true,
            Self::None | Self::Manual => false,
        }
    }
}

/// The subscription and the assigned partitions with their positions.
#[derive(Debug)]
pub(crate) struct Subscription {
    pub(crate) source: Source,
    assigned: BTreeMap<TopicPartition, Assigned>,
    last_revision: Revision,
    backoff: Backoff,
}

impl Subscription {
    /// Of nothing; the partitions to come wait after errors as `backoff` says.
    pub(crate) fn new(backoff: Backoff) -> Self {
        let assigned = BTreeMap::new();
        Self { source: Source::None, assigned, last_revision: Revision::START, backoff }
    }

    /// A revision that nothing else carries.
    pub(crate) fn revise(&mut self) -> Revision {
        self.last_revision = self.last_revision.next();
        self.last_revision
    }

    pub(crate) fn get(&self, tp: &TopicPartition) -> Option<&Assigned> {
        self.assigned.get(tp)
    }

    pub(crate) fn get_mut(&mut self, tp: &TopicPartition) -> Option<&mut Assigned> {
        self.assigned.get_mut(tp)
    }

    /// The partition, provided that nothing was decided about it since `revision`.
    pub(crate) fn current(
        &mut self,
        tp: &TopicPartition,
        revision: Revision,
    ) -> Option<&mut Assigned> {
        self.assigned.get_mut(tp).filter(|assigned| assigned.revision() == revision)
    }

    pub(crate) fn is_assigned(&self, tp: &TopicPartition) -> bool {
        self.assigned.contains_key(tp)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&TopicPartition, &Assigned)> {
        self.assigned.iter()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (&TopicPartition, &mut Assigned)> {
        self.assigned.iter_mut()
    }

    pub(crate) fn partitions(&self) -> Vec<TopicPartition> {
        self.assigned.keys().cloned().collect()
    }

    /// Takes a partition in at `stage`; one that is there already keeps its position and whether it is paused.
    pub(crate) fn add(&mut self, tp: TopicPartition, stage: Stage, settled: bool) -> Revision {
        if let Some(assigned) = self.assigned.get(&tp) {
            return assigned.revision();
        }
        let revision = self.revise();
        self.assigned.insert(tp, Assigned::new(stage, revision, settled, self.backoff.clone()));
        revision
    }

    /// Lets a partition go, with all that is known of it: should it come back, it comes back unpaused and without
    /// a position.
    pub(crate) fn remove(&mut self, tp: &TopicPartition) -> bool {
        self.assigned.remove(tp).is_some()
    }

    /// The topics whose metadata is needed.
    pub(crate) fn topics(&self) -> BTreeSet<Topic> {
        let mut topics: BTreeSet<Topic> = self.assigned.keys().map(|tp| tp.topic.clone()).collect();
        if let Source::Topics(subscribed) | Source::Filter(_, Some(subscribed)) = &self.source {
            topics.extend(subscribed.iter().cloned());
        }
        topics
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use milena_types::Offset;

    use super::*;
    use crate::subscription::position::Position;

    fn tp() -> TopicPartition {
        TopicPartition::new("orders", 0)
    }

    fn subscription_of_nothing() -> Subscription {
        Subscription::new(Backoff::new(Duration::from_millis(100), Duration::from_secs(1)))
    }

    /// R12: a pause that outlives the assignment halts the partition with nobody to resume it.
    #[test]
    fn a_partition_that_left_and_came_back_is_not_paused() {
        let mut subscription = subscription_of_nothing();
        let first = subscription.add(tp(), Stage::Committed, true);
        subscription.get_mut(&tp()).unwrap().paused = true;
        subscription.remove(&tp());
        let second = subscription.add(tp(), Stage::Committed, true);
        assert!(!subscription.get(&tp()).unwrap().paused);
        assert_ne!(first, second);
        assert!(subscription.current(&tp(), first).is_none(), "replies to the first stay are void");
    }

    #[test]
    fn a_partition_that_stays_keeps_position_and_pause() {
        let mut subscription = subscription_of_nothing();
        let position = Position::new(Offset::new(7).unwrap(), None);
        subscription.add(tp(), Stage::Fetching(position), true);
        subscription.get_mut(&tp()).unwrap().paused = true;
        subscription.add(tp(), Stage::Committed, true);
        let kept = subscription.get(&tp()).unwrap();
        assert_eq!(kept.stage().position(), Some(position));
        assert!(kept.paused);
    }
}
