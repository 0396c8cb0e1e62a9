//! DescribeQuorum (key 55), versions 0-2.
//!
//! The controllers and how far each has got in the log of the cluster's metadata (KIP-595, KIP-836).
//!
//! Notes: there is no such log. What is told is that every node is a controller and a voter, that the first one which is
//! counted in leads, and that all have seen every change of a topic.

use milena_types::{ErrorCode, NodeId, Uuid};
use milena_wire::Response;
use milena_wire::messages::describe_quorum_request::DescribeQuorumRequest;
use milena_wire::messages::describe_quorum_response::{
    DescribeQuorumResponse, Listener, Node, PartitionData, ReplicaState, TopicData,
};

use super::{Call, Outcome, Versions};
use crate::state::State;

pub(super) const VERSIONS: Versions = Versions::new(0, 2);

pub(super) fn handle(
    state: &mut State,
    call: &Call<'_>,
    request: &DescribeQuorumRequest,
) -> Outcome {
    let is_asked = match request.topics.as_slice() {
        [topic] => {
            *topic.topic_name == *METADATA
                && matches!(topic.partitions.as_slice(), [one] if one.partition_index == 0)
        }
        _ => false,
    };
    if !is_asked {
        return Outcome::Answer(unknown(request));
    }
    let end = state.topics_version.changes();
    let now = state.wall(call.now).millis();
    let voter = |node: &crate::node::Node| ReplicaState {
        replica_id: node.id.get(),
        // Kafka's names of directories never are all zeros; here there is none to name.
        replica_directory_id: Uuid::ZERO,
        log_end_offset: end,
        last_fetch_timestamp: now,
        last_caught_up_timestamp: now,
    };
    let partition = PartitionData {
        leader_id: state.nodes.controller().map_or(-1, NodeId::get),
        leader_epoch: 1,
        high_watermark: end,
        current_voters: state.nodes.iter().map(voter).collect(),
        ..Default::default()
    };
    let topic = TopicData { topic_name: METADATA.into(), partitions: vec![partition] };
    let listener = |node: &crate::node::Node| Listener {
        name: "CONTROLLER".into(),
        host: node.host.clone().into(),
        port: node.port,
    };
    let nodes = state
        .nodes
        .iter()
        .map(|node| Node { node_id: node.id.get(), listeners: vec![listener(node)] });
    // Older answers have no place for them.
    let nodes = if call.version >= 2 { nodes.collect() } else { Vec::new() };
    let response = DescribeQuorumResponse { topics: vec![topic], nodes, ..Default::default() };
    Outcome::Answer(response.into())
}

pub(super) fn error(_: &DescribeQuorumRequest, code: ErrorCode) -> Response {
    DescribeQuorumResponse { error_code: code, ..Default::default() }.into()
}

fn unknown(request: &DescribeQuorumRequest) -> Response {
    let topics = request.topics.iter().map(|topic| TopicData {
        topic_name: topic.topic_name.clone(),
        partitions: topic
            .partitions
            .iter()
            .map(|partition| PartitionData {
                partition_index: partition.partition_index,
                error_code: ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
                error_message: Some("This server does not host this topic-partition.".into()),
                ..Default::default()
            })
            .collect(),
    });
    DescribeQuorumResponse { topics: topics.collect(), ..Default::default() }.into()
}

/// The one topic that is asked for.
const METADATA: &str = "__cluster_metadata";
