//! What a test asks a cluster.

use std::collections::BTreeMap;

use bytes::Bytes;
use milena_records::Decompressor;
use milena_types::{
    ApiKey, LeaderEpoch, NodeId, Offset, ProducerEpoch, ProducerId, Sequence, Timestamp,
    TopicPartition, Uuid,
};

use super::Cluster;
use crate::acl::Acl;
use crate::journal::{Journal, SeenRequest};
use crate::node::NodeStatus;
use crate::storage::Batch;
use crate::transaction::TransactionState;

/// A record as it lies in a log.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct StoredRecord {
    /// Its place.
    pub offset: Offset,
    /// Its time.
    pub timestamp: Option<Timestamp>,
    /// Its key.
    pub key: Option<Bytes>,
    /// Its value; `None` for a tombstone.
    pub value: Option<Bytes>,
    /// Its headers, in order.
    pub headers: Vec<(Bytes, Option<Bytes>)>,
    /// The producer of its batch, where that is idempotent.
    pub producer: Option<(ProducerId, ProducerEpoch)>,
    /// Whether its batch belongs to a transaction.
    pub is_transactional: bool,
}

/// A batch as it lies in a log.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct StoredBatch {
    /// The offset of its first record.
    pub base_offset: Offset,
    /// The offset of its last record.
    pub last_offset: Offset,
    /// How many records it has.
    pub records: i32,
    /// The epoch of the leader that took it.
    pub leader_epoch: Option<LeaderEpoch>,
    /// The producer, where that is idempotent.
    pub producer: Option<(ProducerId, ProducerEpoch)>,
    /// The sequence of its first record.
    pub base_sequence: Option<Sequence>,
    /// Whether it belongs to a transaction.
    pub is_transactional: bool,
    /// Whether it is a marker.
    pub is_control: bool,
    /// Its bytes, header and all.
    pub bytes: Bytes,
}

/// A partition as it is now.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct PartitionView {
    /// Who leads, if anyone does.
    pub leader: Option<NodeId>,
    /// The leader's epoch.
    pub leader_epoch: LeaderEpoch,
    /// The nodes that hold a copy.
    pub replicas: Vec<NodeId>,
    /// Those whose copy is complete.
    pub isr: Vec<NodeId>,
    /// The first offset that can be read.
    pub log_start_offset: Offset,
    /// The offset below which everything is replicated.
    pub high_watermark: Offset,
    /// The offset below which every transaction is decided.
    pub last_stable_offset: Offset,
    /// The offset that the next record gets.
    pub log_end_offset: Offset,
}

/// A transactional id as it is now.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct TransactionView {
    /// What it is at.
    pub state: TransactionState,
    /// The producer that may write.
    pub producer: (ProducerId, ProducerEpoch),
    /// The partitions that take part and have no marker yet.
    pub partitions: Vec<TopicPartition>,
}

impl Cluster {
    /// The rules about who may do what.
    pub fn acls(&self) -> Vec<Acl> {
        self.state.acls.iter().cloned().collect()
    }

    /// What was accepted since the start.
    pub fn journal(&self) -> &Journal {
        &self.state.journal
    }

    /// The requests of one API that the journal still has, oldest first.
    pub fn requests(&self, api: ApiKey) -> Vec<SeenRequest> {
        self.journal().requests().filter(|request| request.api == api).cloned().collect()
    }

    /// Every record of a partition, markers left out, aborted or not; empty if there is no such partition.
    pub fn records(&self, partition: &TopicPartition) -> Vec<StoredRecord> {
        let Some(found) = self.state.partition(partition.topic.as_str(), partition.partition)
        else {
            return Vec::new();
        };
        let start = found.log().start();
        let batches = found.log().batches().filter(|batch| !batch.is_control());
        batches.flat_map(read_records).filter(|record| record.offset >= start).collect()
    }

    /// Every batch of a partition; empty if there is no such partition.
    pub fn batches(&self, partition: &TopicPartition) -> Vec<StoredBatch> {
        let found = self.state.partition(partition.topic.as_str(), partition.partition);
        let batches = found.into_iter().flat_map(|partition| partition.log().batches());
        batches
            .map(|batch| StoredBatch {
                base_offset: batch.base_offset(),
                last_offset: batch.last_offset(),
                records: batch.records(),
                leader_epoch: batch.leader_epoch(),
                producer: batch.sent().map(|sent| (sent.producer_id, sent.producer_epoch)),
                base_sequence: batch.sent().and_then(|sent| sent.base_sequence),
                is_transactional: batch.is_transactional(),
                is_control: batch.is_control(),
                bytes: batch.to_bytes(),
            })
            .collect()
    }

    /// A partition's leader, replicas and watermarks.
    pub fn partition(&self, partition: &TopicPartition) -> Option<PartitionView> {
        let found = self.state.partition(partition.topic.as_str(), partition.partition)?;
        Some(PartitionView {
            leader: found.leader(),
            leader_epoch: found.leader_epoch(),
            replicas: found.replicas().collect(),
            isr: found.isr().to_vec(),
            log_start_offset: found.log().start(),
            high_watermark: found.high_watermark(),
            last_stable_offset: found.last_stable_offset(),
            log_end_offset: found.log().end(),
        })
    }

    /// The names of all topics with the number of their partitions, the cluster's own among them.
    pub fn topics(&self) -> BTreeMap<String, usize> {
        let topics = self.state.topics.iter();
        topics.map(|(name, topic)| (name.to_string(), topic.partitions.len())).collect()
    }

    /// A topic's id.
    pub fn topic_id(&self, topic: &str) -> Option<Uuid> {
        self.state.topics.get(topic).map(|topic| topic.id)
    }

    /// A transactional id as it is now.
    pub fn transaction(&self, transactional_id: &str) -> Option<TransactionView> {
        let transaction = self.state.transactions.get(transactional_id)?;
        let producer = transaction.producer();
        Some(TransactionView {
            state: transaction.state(),
            producer: (producer.id, producer.epoch),
            partitions: transaction.partitions().iter().cloned().collect(),
        })
    }

    /// The ids of the nodes.
    pub fn nodes(&self) -> Vec<NodeId> {
        self.state.nodes.iter().map(|node| node.id).collect()
    }

    /// How a node is.
    pub fn node_status(&self, node: NodeId) -> Option<NodeStatus> {
        self.state.nodes.get(node).map(|node| node.status)
    }

    /// The host and port that clients are told for a node.
    pub fn node_address(&self, node: NodeId) -> Option<(&str, u16)> {
        self.state.nodes.get(node).map(|node| (node.host.as_str(), node.port))
    }

    /// How many connections are open, of all nodes.
    pub fn connection_count(&self) -> usize {
        self.connections.len()
    }

    /// The longest frame that is taken.
    pub fn frame_bytes_max(&self) -> usize {
        self.state.settings.frame_bytes_max
    }
}

fn read_records(batch: &Batch) -> Vec<StoredRecord> {
    let parsed = milena_records::Batch::parse(batch.to_bytes());
    let decoded = parsed.and_then(|batch| batch.decode(&mut Decompressor::default()));
    let Ok(decoded) = decoded else { return Vec::new() };
    let copy = |bytes: Option<&[u8]>| bytes.map(Bytes::copy_from_slice);
    let records = decoded.iter().map_while(Result::ok).map(|record| StoredRecord {
        offset: record.offset(),
        timestamp: record.timestamp(),
        key: copy(record.key()),
        value: copy(record.value()),
        headers: record
            .headers()
            .iter()
            .map(|h| (Bytes::copy_from_slice(h.key), copy(h.value)))
            .collect(),
        producer: batch.sent().map(|sent| (sent.producer_id, sent.producer_epoch)),
        is_transactional: batch.is_transactional(),
    });
    records.collect()
}
