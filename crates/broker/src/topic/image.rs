//! What group coordinators see of the topics.

use std::collections::BTreeMap;

use milena_types::{Topic, Uuid};

use super::state::TopicState;

/// The topics at one moment: names, ids and how many partitions each has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TopicImage<'a> {
    topics: &'a BTreeMap<Topic, TopicState>,
    names: &'a BTreeMap<Uuid, Topic>,
    version: ImageVersion,
}

/// Counts what happened to the topics, so that nobody looks at all of them to find that nothing did.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct ImageVersion {
    changes: u64,
    creations: u64,
}

impl ImageVersion {
    /// A topic was deleted, or has more partitions.
    pub(crate) fn note_change(&mut self) {
        self.changes += 1;
    }

    /// A topic was created.
    pub(crate) fn note_creation(&mut self) {
        self.changes += 1;
        self.creations += 1;
    }

    /// How many changes there were.
    pub(crate) fn changes(self) -> i64 {
        i64::try_from(self.changes).unwrap_or(i64::MAX)
    }

    /// Whether a topic was created between `other` and this one.
    pub(crate) fn has_new_topics_since(self, other: Self) -> bool {
        self.creations != other.creations
    }
}

impl<'a> TopicImage<'a> {
    pub(crate) fn new(
        topics: &'a BTreeMap<Topic, TopicState>,
        names: &'a BTreeMap<Uuid, Topic>,
        version: ImageVersion,
    ) -> Self {
        Self { topics, names, version }
    }

    pub(crate) fn version(&self) -> ImageVersion {
        self.version
    }

    /// The id of a topic.
    pub(crate) fn id(&self, name: &str) -> Option<Uuid> {
        self.topics.get(name).map(|topic| topic.id)
    }

    /// The name of a topic.
    pub(crate) fn name(&self, id: Uuid) -> Option<&'a Topic> {
        self.names.get(&id)
    }

    /// The names of all topics, the cluster's own among them.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'a Topic> {
        self.topics.keys()
    }

    /// How many partitions a topic has; none if it is not there.
    pub(crate) fn partitions(&self, id: Uuid) -> i32 {
        let topic = self.names.get(&id).and_then(|name| self.topics.get(name));
        topic.map_or(0, |topic| i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX))
    }
}
