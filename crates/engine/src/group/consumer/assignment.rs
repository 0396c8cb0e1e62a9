//! Partitions as the coordinator names them: by the id of their topic.

use std::collections::{BTreeMap, BTreeSet};

use milena_types::{Topic, TopicPartition, Uuid};
use milena_wire::messages::consumer_group_heartbeat_request as request;
use milena_wire::messages::consumer_group_heartbeat_response as response;

/// A partition of the topic with this id. A topic that was made anew under its old name has other partitions.
pub(super) type Place = (Uuid, i32);

/// A set of partitions.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Assignment(BTreeSet<Place>);

impl Assignment {
    /// Reads what a coordinator gives; a partition below 0 is nothing.
    pub(super) fn read(given: &response::Assignment) -> Self {
        let places = given.topic_partitions.iter().flat_map(|topic| {
            let indexes = topic.partitions.iter().filter(|index| **index >= 0);
            indexes.map(|index| (topic.topic_id, *index))
        });
        Self(places.collect())
    }

    pub(super) fn write(&self) -> Vec<request::TopicPartitions> {
        let mut topics: Vec<request::TopicPartitions> = Vec::new();
        for &(topic_id, index) in &self.0 {
            match topics.last_mut() {
                Some(topic) if topic.topic_id == topic_id => topic.partitions.push(index),
                Some(_) | None => {
                    topics.push(request::TopicPartitions { topic_id, partitions: vec![index] });
                }
            }
        }
        topics
    }

    pub(super) fn topic_ids(&self) -> BTreeSet<Uuid> {
        self.0.iter().map(|(topic, _)| *topic).collect()
    }

    /// What is here and not in `other`.
    pub(super) fn without(&self, other: &Self) -> Self {
        Self(self.0.difference(&other.0).copied().collect())
    }

    pub(super) fn extend(&mut self, other: &Self) {
        self.0.extend(&other.0);
    }

    /// What is here of topics whose names are known.
    pub(super) fn named(&self, names: &BTreeMap<Uuid, Topic>) -> Self {
        Self(self.0.iter().filter(|(topic, _)| names.contains_key(topic)).copied().collect())
    }

    /// The same by name; what has none is left out.
    pub(super) fn partitions(&self, names: &BTreeMap<Uuid, Topic>) -> BTreeSet<TopicPartition> {
        let named = |(topic, index): &Place| Some(TopicPartition::new(names.get(topic)?, *index));
        self.0.iter().filter_map(named).collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(byte: u8) -> Uuid {
        Uuid::from_bytes([byte; 16])
    }

    #[test]
    fn what_is_read_is_written_by_topic() {
        let topic = |byte, partitions: &[i32]| response::TopicPartitions {
            topic_id: id(byte),
            partitions: partitions.to_vec(),
        };
        let given =
            response::Assignment { topic_partitions: vec![topic(2, &[1, 0, -1]), topic(1, &[3])] };
        let written = Assignment::read(&given).write();
        let written: Vec<_> =
            written.into_iter().map(|topic| (topic.topic_id, topic.partitions)).collect();
        assert_eq!(written, [(id(1), vec![3]), (id(2), vec![0, 1])]);
    }

    #[test]
    fn what_has_no_name_waits() {
        let all = Assignment(BTreeSet::from([(id(1), 0), (id(2), 0)]));
        let names = BTreeMap::from([(id(2), Topic::from("t"))]);
        assert_eq!(all.named(&names), Assignment(BTreeSet::from([(id(2), 0)])));
        assert_eq!(all.partitions(&names), BTreeSet::from([TopicPartition::new("t", 0)]));
        assert_eq!(all.without(&all.named(&names)).topic_ids(), BTreeSet::from([id(1)]));
    }
}
