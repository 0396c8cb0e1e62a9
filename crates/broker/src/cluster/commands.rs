//! What a test does to a cluster from outside.

use std::time::Instant;

use milena_types::{
    ApiKey, ErrorCode, LeaderEpoch, NodeId, Offset, ProducerEpoch, ProducerId, Topic,
    TopicPartition,
};

use super::Cluster;
use crate::acl::Acl;
use crate::fault::{FaultId, FaultRule};
use crate::node::NodeStatus;
use crate::release::TRANSACTION_VERSION;
use crate::settings::TopicSettings;
use crate::state::{Identity, NewTopic, Refused};
use crate::storage::MarkerTerm;
use crate::topic::Partition;
use crate::transaction::{End, TransactionVersion};

/// What a command could not do.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct CommandError {
    /// The code that an administrator's request would be answered with.
    pub code: ErrorCode,
    /// Why; empty where the code says it all.
    pub message: String,
}

impl std::fmt::Display for CommandError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.message.as_str() {
            "" => write!(f, "{}", self.code),
            message => write!(f, "{message} ({})", self.code),
        }
    }
}

impl std::error::Error for CommandError {}

impl From<Refused> for CommandError {
    fn from(Refused { code, message }: Refused) -> Self {
        Self { code, message }
    }
}

impl Cluster {
    /// Adds a fault rule; it acts from the next request on.
    pub fn add_fault(&mut self, rule: FaultRule) -> FaultId {
        self.faults.add(rule)
    }

    /// Removes a rule; false if it is gone already. What it holds back stays held back.
    pub fn remove_fault(&mut self, id: FaultId) -> bool {
        self.faults.remove(id)
    }

    /// Removes every rule.
    pub fn clear_faults(&mut self) {
        self.faults.clear();
    }

    /// Creates a topic.
    ///
    /// # Errors
    /// As CreateTopics.
    pub fn create_topic(
        &mut self,
        now: Instant,
        topic: &TopicSettings,
    ) -> Result<(), CommandError> {
        let new = NewTopic {
            name: topic.name.clone(),
            partitions: Some(topic.partitions),
            replication_factor: topic.replication_factor,
            config: topic.config.clone(),
            ..NewTopic::default()
        };
        self.state.create_topic(now, &new)?;
        self.deliver(now);
        Ok(())
    }

    /// Deletes a topic; false if there is none of this name.
    pub fn delete_topic(&mut self, now: Instant, topic: &str) -> bool {
        let deleted = self.state.delete_topic(now, &Topic::from(topic));
        self.deliver(now);
        deleted
    }

    /// Deletes a topic and creates it anew, empty, with another id; false if there is none of this name.
    pub fn recreate_topic(&mut self, now: Instant, topic: &str) -> bool {
        let Some(old) = self.state.topics.get(topic) else { return false };
        let new = NewTopic {
            name: topic.to_owned(),
            partitions: i32::try_from(old.partitions.len()).ok(),
            replication_factor: i16::try_from(old.replication_factor()).ok(),
            config: old.config.known(),
            ..NewTopic::default()
        };
        self.state.delete_topic(now, &Topic::from(topic));
        let created = self.state.create_topic(now, &new).is_ok();
        self.deliver(now);
        created
    }

    /// Raises the number of a topic's partitions to `count`.
    ///
    /// # Errors
    /// As CreatePartitions.
    pub fn add_partitions(
        &mut self,
        now: Instant,
        topic: &str,
        count: i32,
    ) -> Result<(), CommandError> {
        let added = self.state.plan_partitions(topic, count, None)?;
        self.state.add_partitions(now, topic, added);
        self.deliver(now);
        Ok(())
    }

    /// Kills a node: its connections close and new ones are refused. What it led gets another leader once the
    /// fail-over time of the settings is over.
    pub fn crash_node(&mut self, now: Instant, node: NodeId) {
        self.drop_connections(node);
        self.state.stop_node(now, node, NodeStatus::Crashed);
        self.deliver(now);
    }

    /// Starts a node again after a crash. It copies what it missed at once and is in sync again.
    pub fn restart_node(&mut self, now: Instant, node: NodeId) {
        self.drop_connections(node);
        self.state.start_node(now, node);
        self.resumed(now, node);
    }

    /// Lets a node stand still as after SIGSTOP: connections stay open, nothing is answered. After the fail-over time
    /// others lead in its place.
    pub fn pause_node(&mut self, now: Instant, node: NodeId) {
        self.state.stop_node(now, node, NodeStatus::Paused);
        self.deliver(now);
    }

    /// Lets a paused node go on; it reads what clients have sent meanwhile.
    pub fn resume_node(&mut self, now: Instant, node: NodeId) {
        self.state.resume_node(now, node);
        self.resumed(now, node);
    }

    /// Makes an in-sync replica the leader; false if `node` is none, or is not running.
    pub fn move_leader(&mut self, now: Instant, partition: &TopicPartition, node: NodeId) -> bool {
        self.lead(now, partition, |partition, nodes| partition.move_leader(node, nodes))
    }

    /// Makes any running replica the leader: records that it lacks are lost.
    pub fn elect_unclean(
        &mut self,
        now: Instant,
        partition: &TopicPartition,
        node: NodeId,
    ) -> bool {
        self.lead(now, partition, |partition, nodes| partition.elect_unclean(node, nodes))
    }

    /// Cuts every replica of a partition off at `end`, acknowledged or not, and lets the leader begin a new epoch, as
    /// an unclean election does. Batches go as a whole; returns the new end.
    pub fn truncate_log(
        &mut self,
        now: Instant,
        partition: &TopicPartition,
        end: Offset,
    ) -> Option<Offset> {
        let cut = |partition: &mut Partition, nodes: &_| {
            partition.cut(end);
            let leader = partition.leader();
            leader.is_some_and(|leader| partition.move_leader(leader, nodes))
        };
        self.lead(now, partition, cut);
        let partition = self.state.partition(partition.topic.as_str(), partition.partition)?;
        Some(partition.log().end())
    }

    /// Moves the start of a partition up to `start`, as retention does; returns the new start.
    pub fn delete_records(
        &mut self,
        now: Instant,
        partition: &TopicPartition,
        start: Offset,
    ) -> Option<Offset> {
        let found = self.state.partition_mut(partition.topic.as_str(), partition.partition)?;
        found.delete_before(start);
        let start = found.log().start();
        self.state.wake(now, partition);
        self.deliver(now);
        Some(start)
    }

    /// Adds a rule about who may do what, as CreateAcls does; one that is there already is no error. Every client is
    /// `User:ANONYMOUS`.
    ///
    /// # Errors
    /// SECURITY_DISABLED where the settings have no authorizer to judge by it, INVALID_REQUEST where the name is empty,
    /// the principal has no type (as `User:`), or a text has more than 32,767 bytes, POLICY_VIOLATION beyond 10,000
    /// rules.
    pub fn add_acl(&mut self, acl: Acl) -> Result<(), CommandError> {
        if self.state.settings.authorizer.is_none() {
            return Err(Refused::without_reason(ErrorCode::SECURITY_DISABLED).into());
        }
        Ok(self.state.add_acl(acl)?)
    }

    /// Removes a rule; false if there is none.
    pub fn remove_acl(&mut self, acl: &Acl) -> bool {
        self.state.remove_acl(acl)
    }

    /// Sets the finalized level of the feature `transaction.version`, as `kafka-features.sh upgrade` does. Clients hear of
    /// it with their next connections. A level that the release does not know is not set.
    pub fn set_transaction_version(&mut self, level: i16) {
        if self.state.settings.check_level(TRANSACTION_VERSION, level).is_ok() {
            self.state.set_features([(TRANSACTION_VERSION.to_owned(), level)]);
        }
    }

    /// Withdraws the latest version of an API, and with its only version the API, as if every node had been taken back to
    /// an older release. Clients hear of it with their next connections: a request of that version closes the one it
    /// came by.
    pub fn withdraw_version(&mut self, api: ApiKey) {
        match self.state.apis.get_mut(&api) {
            Some(answered) if answered.min < answered.max => answered.max -= 1,
            _ => drop(self.state.apis.remove(&api)),
        }
    }

    /// Ends a producer's transaction in one partition by a marker, past the transaction coordinator.
    ///
    /// # Errors
    /// Where there is no such partition, or the marker cannot be stored.
    pub fn end_transaction(
        &mut self,
        now: Instant,
        partition: &TopicPartition,
        producer: (ProducerId, ProducerEpoch),
        commit: bool,
    ) -> Result<Offset, CommandError> {
        let producer = Identity { id: producer.0, epoch: producer.1 };
        let end = if commit { End::Commit } else { End::Abort };
        let coordinator_epoch = Some(LeaderEpoch::ZERO);
        let term = MarkerTerm { coordinator_epoch, version: TransactionVersion::V1 };
        let offset = self.state.append_marker(now, partition, producer, end, term)?;
        self.deliver(now);
        Ok(offset)
    }

    fn resumed(&mut self, now: Instant, node: NodeId) {
        self.deliver(now);
        self.serve_node(now, node);
        self.deliver(now);
    }

    fn lead(
        &mut self,
        now: Instant,
        tp: &TopicPartition,
        change: impl FnOnce(&mut Partition, &crate::state::Nodes) -> bool,
    ) -> bool {
        let state = &mut self.state;
        let topic = state.topics.get_mut(&tp.topic);
        let Some(partition) = topic.and_then(|topic| topic.partition_mut(tp.partition)) else {
            return false;
        };
        let changed = change(partition, &state.nodes);
        state.handle_new_leaders(now, std::slice::from_ref(tp));
        state.wake(now, tp);
        self.deliver(now);
        changed
    }
}
