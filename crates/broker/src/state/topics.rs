//! Creating and deleting topics.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use milena_types::{ErrorCode, NodeId, Topic, TopicPartition};
use milena_wire::ByteString;

use super::State;
use super::groups::is_internal;
use crate::fetch::TopicKey;
use crate::store::Entry;
use crate::topic::{Partition, TopicConfig, TopicState, is_legal_topic_name, why_illegal};

/// A topic to be created.
#[derive(Clone, Debug, Default)]
pub(crate) struct NewTopic {
    pub(crate) name: String,
    /// `None` takes the cluster's default.
    pub(crate) partitions: Option<i32>,
    /// `None` takes the cluster's default.
    pub(crate) replication_factor: Option<i16>,
    /// The nodes of each partition's replicas by its index, where the creator decides.
    pub(crate) assignments: BTreeMap<i32, Vec<NodeId>>,
    pub(crate) config: BTreeMap<String, String>,
}

/// Why an administrator's wish is not granted.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Refused {
    pub(crate) code: ErrorCode,
    pub(crate) message: String,
}

impl Refused {
    /// Messages repeat what was asked for: a long one is cut off, so that the answer that carries it can be written.
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        let mut message = message.into();
        message.truncate(cut(&message, MESSAGE_BYTES_MAX).len());
        Self { code, message }
    }

    /// Where Kafka leaves it at the code.
    pub(crate) fn without_reason(code: ErrorCode) -> Self {
        Self { code, message: String::new() }
    }

    /// The message as answers carry it.
    pub(crate) fn into_told(self) -> (ErrorCode, Option<ByteString>) {
        (self.code, Some(self.message.into()).filter(|message: &ByteString| !message.is_empty()))
    }
}

/// The beginning of a text, at most so many bytes.
pub(crate) fn cut(text: &str, bytes_max: usize) -> &str {
    let mut end = bytes_max.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

/// Enough for every message about a legal name; a text in an answer may have 32,767.
const MESSAGE_BYTES_MAX: usize = 1024;

impl State {
    /// What the topic would be, if all about it is legal; nothing is changed.
    pub(crate) fn plan_topic(&mut self, new: &NewTopic) -> Result<TopicState, Refused> {
        let name = &new.name;
        if !is_legal_topic_name(name) {
            return Err(Refused::new(ErrorCode::INVALID_TOPIC_EXCEPTION, why_illegal(name)));
        }
        if self.topics.contains_key(name.as_str()) {
            let message = format!("Topic '{name}' already exists.");
            return Err(Refused::new(ErrorCode::TOPIC_ALREADY_EXISTS, message));
        }
        if let Some(other) = self.census.collision(name) {
            let message = format!("Topic '{name}' collides with existing topic: {other}");
            return Err(Refused::new(ErrorCode::INVALID_TOPIC_EXCEPTION, message));
        }
        let (config, defaults) = (new.config.clone(), self.topic_defaults());
        let config = TopicConfig::new(config, &defaults, self.settings.release())
            .map_err(|message| Refused::new(ErrorCode::INVALID_CONFIG, message))?;
        let replicas = if new.assignments.is_empty() {
            let count = new.partitions.unwrap_or(self.settings.partitions_default);
            let factor = new.replication_factor.unwrap_or(self.settings.replication_factor_default);
            self.assign(0, count, factor)?
        } else {
            self.check_assignments(&new.assignments, None)?
        };
        let partitions = replicas.into_iter().map(Partition::new).collect();
        let is_internal = is_internal(&Topic::from(name.as_str()));
        Ok(TopicState { id: self.draw_uuid(), config, partitions, is_internal })
    }

    /// Creates a topic.
    pub(crate) fn create_topic(&mut self, now: Instant, new: &NewTopic) -> Result<(), Refused> {
        let topic = self.plan_topic(new)?;
        self.add_topic(now, &new.name, topic);
        Ok(())
    }

    /// Makes a topic that was planned.
    pub(crate) fn add_topic(&mut self, now: Instant, name: &str, topic: TopicState) {
        let name = Topic::from(name);
        self.topic_ids.insert(topic.id, name.clone());
        self.census.add(&name, topic.partitions.len());
        self.topics.insert(name.clone(), topic);
        self.topics_version.note_creation();
        self.note_topic(&name);
        self.settle_topic(now, &name);
    }

    /// Deletes a topic, and what groups committed for it.
    pub(crate) fn delete_topic(&mut self, now: Instant, name: &Topic) -> bool {
        let is_deleted = self.remove_topic(now, name);
        self.resume_transactions_of(now, name);
        if is_deleted && self.settings.release().has_first_coordinator() {
            self.forget_idle_groups();
        }
        is_deleted
    }

    /// Forgets a topic with all its records and what groups committed for it.
    pub(super) fn remove_topic(&mut self, now: Instant, name: &Topic) -> bool {
        let Some(topic) = self.topics.remove(name) else { return false };
        self.topic_ids.remove(&topic.id);
        self.census.remove(name, topic.partitions.len());
        self.note(Entry::TopicGone(name.clone()));
        self.journal.forget_topic(name);
        self.topics_version.note_change();
        for group in self.groups.values_mut() {
            group.offsets.forget_commits(|partition| partition.topic == *name);
        }
        self.forget_shares_of(topic.id);
        for (index, _) in topic.indexed() {
            self.wake(now, &TopicPartition::new(name, index));
        }
        true
    }

    /// How many partitions would be added to a topic to make them `count`, by so many assignments.
    pub(crate) fn count_partitions(
        &self,
        name: &str,
        count: i32,
        assignments: Option<usize>,
    ) -> Result<usize, Refused> {
        let Some(topic) = self.topics.get(name) else {
            return Err(Refused::without_reason(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION));
        };
        let have = topic.partitions.len();
        let wished = usize::try_from(count).unwrap_or_default();
        if wished <= have {
            let message = if wished == have {
                format!("Topic already has {have} partition(s).")
            } else {
                format!(
                    "The topic {name} currently has {have} partition(s); {count} would not be an increase."
                )
            };
            return Err(Refused::new(ErrorCode::INVALID_PARTITIONS, message));
        }
        let wanted = wished - have;
        match assignments.filter(|assigned| *assigned != wanted) {
            None => Ok(wanted),
            Some(assigned) => {
                let message = format!(
                    "Attempted to add {wanted} additional partition(s), but only {assigned} assignment(s) were \
                     specified."
                );
                Err(Refused::new(ErrorCode::INVALID_REPLICA_ASSIGNMENT, message))
            }
        }
    }

    /// Which partitions would be added to a topic to make them `count`.
    pub(crate) fn plan_partitions(
        &self,
        name: &str,
        count: i32,
        assignments: Option<Vec<Vec<NodeId>>>,
    ) -> Result<Vec<Partition>, Refused> {
        self.count_partitions(name, count, assignments.as_ref().map(Vec::len))?;
        let Some(topic) = self.topics.get(name) else {
            return Err(Refused::without_reason(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION));
        };
        let have = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
        let factor = topic.replication_factor();
        let replicas = match assignments {
            None => self.assign(have, count - have, i16::try_from(factor).unwrap_or(i16::MAX))?,
            Some(assignments) => {
                self.check_assignments(&(0..).zip(assignments).collect(), Some(factor))?
            }
        };
        Ok(replicas.into_iter().map(Partition::new).collect())
    }

    /// Gives a topic the partitions that were planned for it.
    pub(crate) fn add_partitions(&mut self, now: Instant, name: &str, added: Vec<Partition>) {
        if let Some(topic) = self.topics.get_mut(name) {
            self.census.grow(added.len());
            topic.partitions.extend(added);
        }
        let name = Topic::from(name);
        self.note_topic(&name);
        self.topics_version.note_change();
        self.settle_topic(now, &name);
    }

    /// The name of a topic that a request named by name or by id.
    pub(crate) fn resolve(&self, key: &TopicKey) -> Result<Topic, ErrorCode> {
        match key {
            TopicKey::Name(name) => match self.topics.contains_key(name) {
                true => Ok(name.clone()),
                false => Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
            },
            TopicKey::Id(id) => self.topic_ids.get(id).cloned().ok_or(ErrorCode::UNKNOWN_TOPIC_ID),
        }
    }

    /// A partition, if there is one.
    pub(crate) fn partition(&self, topic: &str, index: i32) -> Option<&Partition> {
        self.topics.get(topic).and_then(|topic| topic.partition(index))
    }

    pub(crate) fn partition_mut(&mut self, topic: &str, index: i32) -> Option<&mut Partition> {
        self.topics.get_mut(topic).and_then(|topic| topic.partition_mut(index))
    }

    /// Spreads replicas over the nodes round and round, each topic beginning at another one.
    fn assign(&self, from: i32, count: i32, factor: i16) -> Result<Vec<Vec<NodeId>>, Refused> {
        let nodes: Vec<_> = self.nodes.registered().map(|node| node.id).collect();
        let count = usize::try_from(count).ok().filter(|count| *count > 0).ok_or_else(|| {
            Refused::new(
                ErrorCode::INVALID_PARTITIONS,
                "Number of partitions was set to an invalid non-positive value.",
            )
        })?;
        let factor =
            usize::try_from(factor).ok().filter(|factor| *factor > 0).ok_or_else(|| {
                let message =
                    "Replication factor must be larger than 0, or -1 to use the default value.";
                Refused::new(ErrorCode::INVALID_REPLICATION_FACTOR, message)
            })?;
        if factor > nodes.len() {
            let cordoned = match self.settings.release().cordons_directories() {
                true => " or some brokers have all their log directories cordoned",
                false => "",
            };
            let message = format!(
                "Unable to replicate the partition {factor} time(s): The target replication factor of {factor} \
                 cannot be reached because only {} broker(s) are registered{cordoned}.",
                nodes.len()
            );
            return Err(Refused::new(ErrorCode::INVALID_REPLICATION_FACTOR, message));
        }
        if count > self.settings.partitions_max.saturating_sub(self.census.partitions()) {
            let message = "the embedded cluster's limit of partitions is reached";
            return Err(Refused::new(ErrorCode::POLICY_VIOLATION, message));
        }
        let first = self.topics.len() + usize::try_from(from).unwrap_or(0);
        let replicas = |partition: usize| {
            nodes
                .iter()
                .cycle()
                .skip((first + partition) % nodes.len())
                .take(factor)
                .copied()
                .collect()
        };
        Ok((0..count).map(replicas).collect())
    }

    /// Whether each partition's replicas are distinct nodes that exist, as many as `factor` says or as the first has.
    fn check_assignments(
        &self,
        wished: &BTreeMap<i32, Vec<NodeId>>,
        mut factor: Option<usize>,
    ) -> Result<Vec<Vec<NodeId>>, Refused> {
        let refuse = |why: &str| Err(Refused::new(ErrorCode::INVALID_REPLICA_ASSIGNMENT, why));
        for (expected, (index, nodes)) in (0..).zip(wished) {
            if *index != expected {
                return refuse("partitions should be a consecutive 0-based integer sequence");
            }
            self.check_replicas(nodes)?;
            let factor = *factor.get_or_insert(nodes.len());
            if nodes.len() != factor {
                return refuse(&format!(
                    "The manual partition assignment includes a partition with {} replica(s), but this is not \
                     consistent with previous partitions, which have {factor} replica(s).",
                    nodes.len()
                ));
            }
        }
        if wished.len() > self.settings.partitions_max.saturating_sub(self.census.partitions()) {
            return refuse("the embedded cluster's limit of partitions is reached");
        }
        Ok(wished.values().cloned().collect())
    }

    /// Whether these are distinct nodes that exist, at least one.
    pub(super) fn check_replicas(&self, nodes: &[NodeId]) -> Result<(), Refused> {
        let refuse = |why: &str| {
            let why = format!("The manual partition assignment {why}");
            Err(Refused::new(ErrorCode::INVALID_REPLICA_ASSIGNMENT, why))
        };
        if nodes.is_empty() {
            return refuse("includes an empty replica list.");
        }
        let mut seen = BTreeSet::new();
        for node in nodes {
            if !self.nodes.is_known(*node) {
                return refuse(&format!(
                    "includes broker {node}, but no such broker is registered."
                ));
            }
            if !seen.insert(node) {
                return refuse(&format!("includes the broker {node} more than once."));
            }
        }
        Ok(())
    }
}
