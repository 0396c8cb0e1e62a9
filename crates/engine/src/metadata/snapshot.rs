//! What is known of the cluster at one moment.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use milena_types::{ErrorCode, LeaderEpoch, NodeId, Topic, Uuid};

use super::hint::LeaderHint;

/// What is known of the cluster at one moment; never changes, the next one replaces it.
#[derive(Clone, Debug, Default)]
pub struct Cluster {
    pub(super) cluster_id: Option<Arc<str>>,
    pub(super) controller: Option<NodeId>,
    pub(super) brokers: BTreeMap<NodeId, Broker>,
    /// In order of name.
    pub(super) topics: Vec<Arc<TopicMetadata>>,
    /// Places in `topics`; looked up per record, so hashed. Never iterated.
    pub(super) by_name: HashMap<Topic, usize>,
    pub(super) by_id: HashMap<Uuid, usize>,
    pub(super) version: u64,
    pub(super) has_all_topics: bool,
}

impl Cluster {
    /// What these brokers and topics make; of a topic given twice the last one counts.
    pub fn new(
        brokers: impl IntoIterator<Item = Broker>,
        topics: impl IntoIterator<Item = TopicMetadata>,
    ) -> Self {
        let brokers = brokers.into_iter().map(|broker| (broker.id, broker)).collect();
        let topics =
            topics.into_iter().map(|topic| (topic.name.clone(), Arc::new(topic))).collect();
        Self { brokers, has_all_topics: true, ..Self::default() }.with_topics(topics)
    }

    /// The cluster's id, where it has one (KIP-78).
    pub fn cluster_id(&self) -> Option<&str> {
        self.cluster_id.as_deref()
    }

    /// The broker that takes admin requests.
    pub fn controller(&self) -> Option<NodeId> {
        self.controller
    }

    /// Counts the snapshots of one client; 0 before the first answer of a broker.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Whether every topic of the cluster is here that the principal may see, rather than those that were asked for.
    pub fn has_all_topics(&self) -> bool {
        self.has_all_topics
    }

    /// The broker `id`.
    pub fn broker(&self, id: NodeId) -> Option<&Broker> {
        self.brokers.get(&id)
    }

    /// All brokers, in order of id.
    pub fn brokers(&self) -> impl ExactSizeIterator<Item = &Broker> {
        self.brokers.values()
    }

    /// The topic called `name`; one that was asked for and does not exist is here too, with its error.
    pub fn topic(&self, name: &str) -> Option<&Arc<TopicMetadata>> {
        self.topics.get(*self.by_name.get(name)?)
    }

    /// The topic with this id.
    pub fn topic_by_id(&self, id: Uuid) -> Option<&Arc<TopicMetadata>> {
        self.topics.get(*self.by_id.get(&id)?)
    }

    /// All topics, in order of name.
    pub fn topics(&self) -> impl ExactSizeIterator<Item = &Arc<TopicMetadata>> {
        self.topics.iter()
    }

    /// How many partitions `topic` has, where that is known.
    pub fn partition_count(&self, topic: &str) -> Option<i32> {
        self.topic(topic).map(|topic| topic.partition_count())
    }

    /// A partition of `topic`.
    pub fn partition(&self, topic: &str, partition: i32) -> Option<&PartitionMetadata> {
        self.topic(topic)?.partition(partition)
    }

    /// The broker that leads a partition, where there is one and its address is known.
    pub fn leader(&self, topic: &str, partition: i32) -> Option<&Broker> {
        self.broker(self.partition(topic, partition)?.leader?)
    }

    /// Whether `hint` tells of a later leader than this, and of one that can be reached.
    pub(crate) fn is_news(&self, hint: &LeaderHint) -> bool {
        let partition = self.partition(hint.partition.topic.as_str(), hint.partition.partition);
        // Without an epoch nobody can tell which is newer.
        let epoch = partition.and_then(|known| known.leader_epoch);
        let is_newer = epoch.is_some_and(|known| known < hint.leader_epoch);
        let is_placed = hint.endpoint.as_ref().is_some_and(|broker| broker.id == hint.leader);
        is_newer && (is_placed || self.broker(hint.leader).is_some())
    }

    /// The same brokers with these topics.
    pub(super) fn with_topics(self, topics: BTreeMap<Topic, Arc<TopicMetadata>>) -> Self {
        let topics: Vec<_> = topics.into_values().collect();
        let places = || topics.iter().enumerate();
        let by_name = places().map(|(place, topic)| (topic.name.clone(), place)).collect();
        let by_id = places().filter_map(|(place, topic)| Some((topic.id?, place))).collect();
        Self { topics, by_name, by_id, ..self }
    }
}

/// A broker and where it listens.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Broker {
    /// Its id.
    pub id: NodeId,
    /// The host name or address that it advertises.
    pub host: Arc<str>,
    /// The port that it advertises.
    pub port: u16,
    /// Its rack, where it names one.
    pub rack: Option<Arc<str>>,
}

impl Broker {
    /// The broker `id` at `host:port`, in no rack.
    pub fn new(id: NodeId, host: impl Into<Arc<str>>, port: u16) -> Self {
        Self { id, host: host.into(), port, rack: None }
    }
}

impl fmt::Display for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}:{}", self.id, self.host, self.port)
    }
}

/// A topic, or the reason why there is none of this name.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct TopicMetadata {
    /// Its name.
    pub name: Topic,
    /// Its id, where brokers have ids for topics (2.8 and newer).
    pub id: Option<Uuid>,
    /// Whether it belongs to Kafka itself.
    pub is_internal: bool,
    /// What the broker said last; partitions known from before stay beside it.
    pub error: Option<ErrorCode>,
    /// In order of index.
    pub partitions: Vec<PartitionMetadata>,
    /// The ids of topics that had this name before, the last one first.
    pub(crate) former: Vec<Uuid>,
}

impl TopicMetadata {
    /// The topic `name` with `partitions`.
    pub fn new(
        name: impl Into<Topic>,
        id: Option<Uuid>,
        mut partitions: Vec<PartitionMetadata>,
    ) -> Self {
        partitions.sort_by_key(|partition| partition.index);
        partitions.dedup_by_key(|partition| partition.index);
        let (name, former) = (name.into(), Vec::new());
        Self { name, id, is_internal: false, error: None, partitions, former }
    }

    /// How many partitions it has; 0 where that is not known.
    pub fn partition_count(&self) -> i32 {
        i32::try_from(self.partitions.len()).unwrap_or(i32::MAX)
    }

    /// The partition `index`.
    pub fn partition(&self, index: i32) -> Option<&PartitionMetadata> {
        // Indexes count from 0 without a gap, unless a broker errs.
        let place = usize::try_from(index).ok()?;
        if let Some(partition) = self.partitions.get(place).filter(|p| p.index == index) {
            return Some(partition);
        }
        let place = self.partitions.binary_search_by_key(&index, |p| p.index).ok()?;
        self.partitions.get(place)
    }

    /// Whether this tells how many partitions there are and who leads some.
    pub fn is_usable(&self) -> bool {
        !self.partitions.is_empty()
    }
}

/// A partition and where it is kept.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct PartitionMetadata {
    /// Its index.
    pub index: i32,
    /// The broker to ask; `None` while there is no leader.
    pub leader: Option<NodeId>,
    /// Counts the leaders, where brokers say so.
    pub leader_epoch: Option<LeaderEpoch>,
    /// All replicas; the preferred leader first.
    pub replicas: Vec<NodeId>,
    /// The replicas that keep up.
    pub isr: Vec<NodeId>,
    /// The replicas that are down.
    pub offline: Vec<NodeId>,
    /// What the broker said last.
    pub error: Option<ErrorCode>,
}

impl PartitionMetadata {
    /// The partition `index`, led by `leader`.
    pub fn new(index: i32, leader: Option<NodeId>, leader_epoch: Option<LeaderEpoch>) -> Self {
        Self { index, leader, leader_epoch, ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster() -> Cluster {
        let partitions = (0..3)
            .map(|index| PartitionMetadata::new(index, NodeId::from_wire(index), None))
            .collect();
        let id = Uuid::from_bytes([7; 16]);
        Cluster::new(
            [Broker::new(NodeId::new(1), "one", 9092)],
            [
                TopicMetadata::new("orders", Some(id), partitions),
                TopicMetadata::new("a", None, vec![]),
            ],
        )
    }

    #[test]
    fn a_topic_is_found_by_name_and_by_id() {
        let cluster = cluster();
        let by_name = cluster.topic("orders").expect("it was given");
        assert!(Arc::ptr_eq(
            by_name,
            cluster.topic_by_id(Uuid::from_bytes([7; 16])).expect("same")
        ));
        assert_eq!(cluster.partition_count("orders"), Some(3));
        assert_eq!(cluster.partition_count("a"), Some(0));
        assert_eq!(cluster.partition_count("b"), None);
        let names: Vec<_> = cluster.topics().map(|topic| topic.name.as_str()).collect();
        assert_eq!(names, ["a", "orders"]);
    }

    #[test]
    fn a_leader_without_address_is_none() {
        let cluster = cluster();
        assert_eq!(cluster.leader("orders", 1).map(|broker| broker.port), Some(9092));
        assert_eq!(cluster.leader("orders", 2), None);
        assert_eq!(cluster.leader("orders", 3), None);
        assert_eq!(cluster.leader("orders", -1), None);
    }

    #[test]
    fn a_gap_between_indexes_finds_the_right_partition() {
        let partition = |index| PartitionMetadata::new(index, None, None);
        let topic =
            TopicMetadata::new("t", None, vec![partition(5), partition(i32::MAX), partition(0)]);
        assert_eq!(topic.partition(5).map(|p| p.index), Some(5));
        assert_eq!(topic.partition(i32::MAX).map(|p| p.index), Some(i32::MAX));
        assert_eq!(topic.partition(1), None);
    }
}
