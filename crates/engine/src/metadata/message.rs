//! Metadata as it is on the wire.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use milena_types::{ErrorCode, LeaderEpoch, NodeId, Topic, Uuid};
use milena_wire::messages::metadata_request::{MetadataRequest, MetadataRequestTopic};
use milena_wire::messages::metadata_response::{
    MetadataResponse, MetadataResponsePartition, MetadataResponseTopic,
};

use super::merge::Fetched;
use super::snapshot::{Broker, PartitionMetadata, TopicMetadata};
use crate::request::{Lane, Outbound, RequestId, Target};

/// Asks any broker for these topics, or for all.
pub(super) fn request(
    id: RequestId,
    timeout: Duration,
    topics: Option<&BTreeSet<Topic>>,
    may_create: bool,
) -> Outbound {
    let named = |topic: &Topic| MetadataRequestTopic {
        name: Some(topic.as_str().into()),
        ..MetadataRequestTopic::default()
    };
    let request = MetadataRequest {
        topics: topics.map(|topics| topics.iter().map(named).collect()),
        allow_auto_topic_creation: may_create,
        ..MetadataRequest::default()
    };
    let mut request = Outbound::new(id, Target::Any, Lane::Control, timeout, request.into());
    // The first version that can ask without creating; brokers from 2.1 have 7.
    request.version_min = 4;
    request
}

/// Reads an answer; what makes no sense in it is left out.
///
/// # Errors
/// The code of the whole answer.
pub(super) fn read(response: MetadataResponse) -> Result<Fetched, ErrorCode> {
    if response.error_code.is_error() {
        return Err(response.error_code);
    }
    let mut brokers = BTreeMap::new();
    for broker in response.brokers {
        let id = NodeId::from_wire(broker.node_id);
        if let (Some(id), Ok(port)) = (id, u16::try_from(broker.port)) {
            let rack = broker.rack.map(|rack| Arc::from(&*rack));
            brokers.insert(id, Broker { rack, ..Broker::new(id, &*broker.host, port) });
        }
    }
    let mut topics = BTreeMap::new();
    for topic in response.topics {
        if let Some(topic) = read_topic(topic) {
            topics.insert(topic.name.clone(), topic);
        }
    }
    Ok(Fetched {
        cluster_id: response.cluster_id.map(|id| Arc::from(&*id)),
        controller: NodeId::from_wire(response.controller_id),
        brokers,
        topics,
    })
}

fn read_topic(topic: MetadataResponseTopic) -> Option<TopicMetadata> {
    let name = Topic::from(&*topic.name?);
    let id = Some(topic.topic_id).filter(|id: &Uuid| !id.is_zero());
    let partitions = topic.partitions.into_iter().filter(|p| p.partition_index >= 0);
    let partitions = partitions.map(read_partition).collect();
    Some(TopicMetadata {
        is_internal: topic.is_internal,
        error: Some(topic.error_code).filter(|code| code.is_error()),
        ..TopicMetadata::new(name, id, partitions)
    })
}

fn read_partition(partition: MetadataResponsePartition) -> PartitionMetadata {
    let nodes = |ids: Vec<i32>| ids.into_iter().filter_map(NodeId::from_wire).collect();
    PartitionMetadata {
        index: partition.partition_index,
        leader: NodeId::from_wire(partition.leader_id),
        leader_epoch: LeaderEpoch::from_wire(partition.leader_epoch),
        replicas: nodes(partition.replica_nodes),
        isr: nodes(partition.isr_nodes),
        offline: nodes(partition.offline_replicas),
        error: Some(partition.error_code).filter(|code| code.is_error()),
    }
}
