//! Where a partition went, told by the broker that lost it (KIP-951).

use milena_types::{LeaderEpoch, NodeId, TopicPartition};

use super::snapshot::Broker;

/// The new leader of a partition, from the `current_leader` of a Produce or Fetch answer.
///
/// It counts only if its epoch is newer than the one known and the broker is known or named here; what does not
/// count is dropped without a word, and a metadata refresh brings the truth.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct LeaderHint {
    /// The partition that moved.
    pub partition: TopicPartition,
    /// The broker that leads it.
    pub leader: NodeId,
    /// Its term.
    pub leader_epoch: LeaderEpoch,
    /// Where that broker listens, from the `node_endpoints` of the same answer.
    pub endpoint: Option<Broker>,
}

impl LeaderHint {
    /// `leader` leads `partition` in `leader_epoch`, and listens at `endpoint`.
    pub fn new(
        partition: TopicPartition,
        leader: NodeId,
        leader_epoch: LeaderEpoch,
        endpoint: Option<Broker>,
    ) -> Self {
        Self { partition, leader, leader_epoch, endpoint }
    }
}
