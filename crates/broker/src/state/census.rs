//! What it would take a look at every topic to find out.

use std::collections::BTreeMap;

use milena_types::Topic;

use crate::topic::TopicState;

/// How many partitions there are, and which names stand in the way of new ones.
#[derive(Debug, Default)]
pub(crate) struct Census {
    partitions: usize,
    /// Names with a dot or an underscore, by how they look with underscores alone.
    colliding: BTreeMap<String, Topic>,
}

impl Census {
    /// That of all topics.
    pub(super) fn of(topics: &BTreeMap<Topic, TopicState>) -> Self {
        let mut census = Self::default();
        for (name, topic) in topics {
            census.add(name, topic.partitions.len());
        }
        census
    }

    /// A topic comes.
    pub(super) fn add(&mut self, name: &Topic, partitions: usize) {
        self.partitions += partitions;
        if let Some(plain) = plain(name.as_str()) {
            self.colliding.insert(plain, name.clone());
        }
    }

    /// A topic goes.
    pub(super) fn remove(&mut self, name: &Topic, partitions: usize) {
        self.partitions = self.partitions.saturating_sub(partitions);
        if let Some(plain) = plain(name.as_str()) {
            self.colliding.remove(&plain);
        }
    }

    /// A topic has so many partitions more.
    pub(super) fn grow(&mut self, partitions: usize) {
        self.partitions += partitions;
    }

    /// How many partitions all topics have.
    pub(super) fn partitions(&self) -> usize {
        self.partitions
    }

    /// The topic that `name` must not be made beside: Kafka's metrics take `.` and `_` for the same.
    pub(super) fn collision(&self, name: &str) -> Option<&Topic> {
        self.colliding.get(&plain(name)?)
    }
}

/// `None` for a name that collides with no other.
fn plain(name: &str) -> Option<String> {
    name.contains(['.', '_']).then(|| name.replace('.', "_"))
}
