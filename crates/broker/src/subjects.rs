//! What a request is about: the topics and groups that it names, for fault rules.

use milena_types::{NodeId, Topic};
use milena_wire::messages::streams_group_heartbeat_request::Subtopology;
use milena_wire::messages::streams_group_topology_description_update_request::TopologyDescriptionNode;
use milena_wire::{ByteString, Request};

use crate::api::{fetch, share_fetch};
use crate::state::{State, TOPIC};

/// A request with all that it is about, where it leaves to the node what it said before: a Fetch or ShareFetch
/// that goes on with a session.
pub(crate) fn in_full(state: &State, node: NodeId, request: &Request) -> Option<Request> {
    if let Request::Fetch(request) = request {
        return fetch::in_full(state, node, request).map(Request::from);
    }
    let Request::ShareFetch(request) = request else { return None };
    share_fetch::in_full(state, node, request).map(Request::from)
}

/// The topics that a request names, for fault rules.
#[expect(clippy::wildcard_enum_match_arm, reason = "most requests name none")]
pub(crate) fn topics(state: &State, request: &Request) -> Vec<Topic> {
    let by_id = |id| state.topic_ids.get(id).cloned();
    let by_name = |name: &ByteString| Topic::from(&**name);
    let either =
        |name: &ByteString, id| if name.is_empty() { by_id(id) } else { Some(by_name(name)) };
    match request {
        Request::Produce(r) => {
            r.topic_data.iter().filter_map(|t| either(&t.name, &t.topic_id)).collect()
        }
        Request::Fetch(r) => {
            r.topics.iter().filter_map(|t| either(&t.topic, &t.topic_id)).collect()
        }
        Request::ListOffsets(r) => r.topics.iter().map(|t| by_name(&t.name)).collect(),
        Request::OffsetForLeaderEpoch(r) => r.topics.iter().map(|t| by_name(&t.topic)).collect(),
        Request::OffsetCommit(r) => {
            r.topics.iter().filter_map(|t| either(&t.name, &t.topic_id)).collect()
        }
        Request::Metadata(r) => {
            let asked = r.topics.iter().flatten();
            asked
                .filter_map(|t| t.name.as_ref().map(by_name).or_else(|| by_id(&t.topic_id)))
                .collect()
        }
        Request::CreateTopics(r) => r.topics.iter().map(|t| by_name(&t.name)).collect(),
        Request::DeleteTopics(r) => {
            let described = r.topics.iter();
            let described = described
                .filter_map(|t| t.name.as_ref().map(by_name).or_else(|| by_id(&t.topic_id)));
            r.topic_names.iter().map(by_name).chain(described).collect()
        }
        Request::CreatePartitions(r) => r.topics.iter().map(|t| by_name(&t.name)).collect(),
        Request::DeleteRecords(r) => r.topics.iter().map(|t| by_name(&t.name)).collect(),
        Request::TxnOffsetCommit(r) => {
            r.topics.iter().filter_map(|t| either(&t.name, &t.topic_id)).collect()
        }
        Request::WriteTxnMarkers(r) => {
            r.markers.iter().flat_map(|marker| &marker.topics).map(|t| by_name(&t.name)).collect()
        }
        Request::ShareFetch(r) => r.topics.iter().filter_map(|t| by_id(&t.topic_id)).collect(),
        Request::ShareAcknowledge(r) => {
            r.topics.iter().filter_map(|t| by_id(&t.topic_id)).collect()
        }
        Request::DescribeLogDirs(r) => {
            r.topics.iter().flatten().map(|t| by_name(&t.topic)).collect()
        }
        Request::AlterReplicaLogDirs(r) => {
            r.dirs.iter().flat_map(|dir| &dir.topics).map(|t| by_name(&t.name)).collect()
        }
        Request::ElectLeaders(r) => {
            r.topic_partitions.iter().flatten().map(|t| by_name(&t.topic)).collect()
        }
        Request::AlterPartitionReassignments(r) => {
            r.topics.iter().map(|t| by_name(&t.name)).collect()
        }
        Request::ListPartitionReassignments(r) => {
            r.topics.iter().flatten().map(|t| by_name(&t.name)).collect()
        }
        Request::DescribeTopicPartitions(r) => r.topics.iter().map(|t| by_name(&t.name)).collect(),
        Request::DescribeProducers(r) => r.topics.iter().map(|t| by_name(&t.name)).collect(),
        Request::AddPartitionsToTxn(r) => {
            let batched = r.transactions.iter().flat_map(|transaction| &transaction.topics);
            batched.chain(&r.v3_and_below_topics).map(|t| by_name(&t.name)).collect()
        }
        Request::OffsetFetch(r) => {
            let single = r.topics.iter().flatten().map(|t| by_name(&t.name));
            let batched = r.groups.iter().flat_map(|group| group.topics.iter().flatten());
            single.chain(batched.filter_map(|t| either(&t.name, &t.topic_id))).collect()
        }
        Request::OffsetDelete(r) => r.topics.iter().map(|t| by_name(&t.name)).collect(),
        Request::ConsumerGroupHeartbeat(r) => {
            let subscribed = r.subscribed_topic_names.iter().flatten().map(by_name);
            let owned = r.topic_partitions.iter().flatten();
            subscribed.chain(owned.filter_map(|t| by_id(&t.topic_id))).collect()
        }
        Request::ShareGroupHeartbeat(r) => {
            r.subscribed_topic_names.iter().flatten().map(by_name).collect()
        }
        Request::StreamsGroupHeartbeat(r) => {
            let parts = r.topology.iter().flat_map(|topology| &topology.subtopologies);
            let of_part = |part: &Subtopology| {
                let named = part.source_topics.iter().chain(&part.repartition_sink_topics);
                let made =
                    part.state_changelog_topics.iter().chain(&part.repartition_source_topics);
                named.chain(made.map(|topic| &topic.name)).map(by_name).collect::<Vec<_>>()
            };
            parts.flat_map(of_part).collect()
        }
        Request::StreamsGroupTopologyDescriptionUpdate(r) => {
            let described = &r.topology_description;
            let stores = described.global_stores.iter();
            let stores = stores.flat_map(|store| [&store.source, &store.processor]);
            let nodes = described.subtopologies.iter().flat_map(|part| &part.nodes).chain(stores);
            let of_node = |node: &TopologyDescriptionNode| {
                let named = node.source_topics.iter().chain(&node.sink_topic);
                named.map(by_name).collect::<Vec<_>>()
            };
            nodes.flat_map(of_node).collect()
        }
        Request::DescribeShareGroupOffsets(r) => {
            let topics = r.groups.iter().flat_map(|group| group.topics.iter().flatten());
            topics.map(|t| by_name(&t.topic_name)).collect()
        }
        Request::AlterShareGroupOffsets(r) => {
            r.topics.iter().map(|t| by_name(&t.topic_name)).collect()
        }
        Request::DeleteShareGroupOffsets(r) => {
            r.topics.iter().map(|t| by_name(&t.topic_name)).collect()
        }
        Request::DescribeConfigs(r) => {
            let topics = r.resources.iter().filter(|one| one.resource_type == TOPIC);
            topics.map(|one| by_name(&one.resource_name)).collect()
        }
        Request::AlterConfigs(r) => {
            let topics = r.resources.iter().filter(|one| one.resource_type == TOPIC);
            topics.map(|one| by_name(&one.resource_name)).collect()
        }
        Request::IncrementalAlterConfigs(r) => {
            let topics = r.resources.iter().filter(|one| one.resource_type == TOPIC);
            topics.map(|one| by_name(&one.resource_name)).collect()
        }
        Request::DescribeQuorum(r) => r.topics.iter().map(|t| by_name(&t.topic_name)).collect(),
        _ => Vec::new(),
    }
}

/// The groups that a request names, for fault rules.
#[expect(clippy::wildcard_enum_match_arm, reason = "most requests name none")]
pub(crate) fn groups(request: &Request) -> Vec<String> {
    let one = |id: &ByteString| vec![id.to_string()];
    let many = |ids: &[ByteString]| ids.iter().map(ByteString::to_string).collect();
    match request {
        Request::JoinGroup(r) => one(&r.group_id),
        Request::SyncGroup(r) => one(&r.group_id),
        Request::Heartbeat(r) => one(&r.group_id),
        Request::LeaveGroup(r) => one(&r.group_id),
        Request::OffsetCommit(r) => one(&r.group_id),
        Request::OffsetDelete(r) => one(&r.group_id),
        Request::AddOffsetsToTxn(r) => one(&r.group_id),
        Request::TxnOffsetCommit(r) => one(&r.group_id),
        Request::OffsetFetch(r) if r.groups.is_empty() => one(&r.group_id),
        Request::OffsetFetch(r) => {
            r.groups.iter().map(|group| group.group_id.to_string()).collect()
        }
        Request::FindCoordinator(r) if r.coordinator_keys.is_empty() => one(&r.key),
        Request::FindCoordinator(r) => many(&r.coordinator_keys),
        Request::DescribeGroups(r) => many(&r.groups),
        Request::DeleteGroups(r) => many(&r.groups_names),
        Request::ConsumerGroupHeartbeat(r) => one(&r.group_id),
        Request::ConsumerGroupDescribe(r) => many(&r.group_ids),
        Request::ShareGroupHeartbeat(r) => one(&r.group_id),
        Request::ShareGroupDescribe(r) => many(&r.group_ids),
        Request::StreamsGroupHeartbeat(r) => one(&r.group_id),
        Request::StreamsGroupDescribe(r) => many(&r.group_ids),
        Request::StreamsGroupTopologyDescriptionUpdate(r) => one(&r.group_id),
        Request::ShareFetch(r) => r.group_id.iter().map(ToString::to_string).collect(),
        Request::ShareAcknowledge(r) => r.group_id.iter().map(ToString::to_string).collect(),
        Request::DescribeShareGroupOffsets(r) => {
            r.groups.iter().map(|group| group.group_id.to_string()).collect()
        }
        Request::AlterShareGroupOffsets(r) => one(&r.group_id),
        Request::DeleteShareGroupOffsets(r) => one(&r.group_id),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use milena_types::{ApiKey, Uuid};
    use milena_wire::messages as m;

    use super::*;
    use crate::api::APIS;
    use crate::settings::Settings;

    const NAME: ByteString = ByteString::from_static("t");
    const ID: Uuid = Uuid::from_bytes([1; 16]);

    /// A message with the given fields; the others are left at their defaults.
    macro_rules! message {
        ($module:ident :: $name:ident { $($field:ident: $value:expr),+ }) => {{
            let mut message = m::$module::$name::default();
            $(message.$field = $value;)+
            message
        }};
    }

    /// A request of each API that can name a topic.
    #[rustfmt::skip]
    fn requests() -> Vec<Request> {
        let resources = |kind| message!(describe_configs_request::DescribeConfigsResource { resource_type: kind, resource_name: NAME });
        vec![
            message!(produce_request::ProduceRequest { topic_data: vec![message!(produce_request::TopicProduceData { topic_id: ID })] }).into(),
            message!(fetch_request::FetchRequest { topics: vec![message!(fetch_request::FetchTopic { topic_id: ID })] }).into(),
            message!(list_offsets_request::ListOffsetsRequest { topics: vec![message!(list_offsets_request::ListOffsetsTopic { name: NAME })] }).into(),
            message!(metadata_request::MetadataRequest { topics: Some(vec![message!(metadata_request::MetadataRequestTopic { name: None, topic_id: ID })]) }).into(),
            message!(offset_commit_request::OffsetCommitRequest { topics: vec![message!(offset_commit_request::OffsetCommitRequestTopic { name: NAME })] }).into(),
            message!(offset_fetch_request::OffsetFetchRequest { topics: Some(vec![message!(offset_fetch_request::OffsetFetchRequestTopic { name: NAME })]) }).into(),
            message!(offset_fetch_request::OffsetFetchRequest { groups: vec![message!(offset_fetch_request::OffsetFetchRequestGroup {
                topics: Some(vec![message!(offset_fetch_request::OffsetFetchRequestTopics { topic_id: ID })])
            })] }).into(),
            message!(create_topics_request::CreateTopicsRequest { topics: vec![message!(create_topics_request::CreatableTopic { name: NAME })] }).into(),
            message!(delete_topics_request::DeleteTopicsRequest { topic_names: vec![NAME] }).into(),
            message!(delete_records_request::DeleteRecordsRequest { topics: vec![message!(delete_records_request::DeleteRecordsTopic { name: NAME })] }).into(),
            message!(offset_for_leader_epoch_request::OffsetForLeaderEpochRequest { topics: vec![message!(offset_for_leader_epoch_request::OffsetForLeaderTopic { topic: NAME })] }).into(),
            message!(add_partitions_to_txn_request::AddPartitionsToTxnRequest { v3_and_below_topics: vec![message!(add_partitions_to_txn_request::AddPartitionsToTxnTopic { name: NAME })] }).into(),
            message!(txn_offset_commit_request::TxnOffsetCommitRequest { topics: vec![message!(txn_offset_commit_request::TxnOffsetCommitRequestTopic { name: NAME })] }).into(),
            message!(write_txn_markers_request::WriteTxnMarkersRequest { markers: vec![message!(write_txn_markers_request::WritableTxnMarker {
                topics: vec![message!(write_txn_markers_request::WritableTxnMarkerTopic { name: NAME })]
            })] }).into(),
            message!(describe_configs_request::DescribeConfigsRequest { resources: vec![resources(TOPIC)] }).into(),
            message!(alter_configs_request::AlterConfigsRequest { resources: vec![message!(alter_configs_request::AlterConfigsResource { resource_type: TOPIC, resource_name: NAME })] }).into(),
            message!(incremental_alter_configs_request::IncrementalAlterConfigsRequest { resources: vec![message!(incremental_alter_configs_request::AlterConfigsResource { resource_type: TOPIC, resource_name: NAME })] }).into(),
            message!(create_partitions_request::CreatePartitionsRequest { topics: vec![message!(create_partitions_request::CreatePartitionsTopic { name: NAME })] }).into(),
            message!(alter_replica_log_dirs_request::AlterReplicaLogDirsRequest { dirs: vec![message!(alter_replica_log_dirs_request::AlterReplicaLogDir {
                topics: vec![message!(alter_replica_log_dirs_request::AlterReplicaLogDirTopic { name: NAME })]
            })] }).into(),
            message!(describe_log_dirs_request::DescribeLogDirsRequest { topics: Some(vec![message!(describe_log_dirs_request::DescribableLogDirTopic { topic: NAME })]) }).into(),
            message!(elect_leaders_request::ElectLeadersRequest { topic_partitions: Some(vec![message!(elect_leaders_request::TopicPartitions { topic: NAME })]) }).into(),
            message!(alter_partition_reassignments_request::AlterPartitionReassignmentsRequest { topics: vec![message!(alter_partition_reassignments_request::ReassignableTopic { name: NAME })] }).into(),
            message!(list_partition_reassignments_request::ListPartitionReassignmentsRequest { topics: Some(vec![message!(list_partition_reassignments_request::ListPartitionReassignmentsTopics { name: NAME })]) }).into(),
            message!(offset_delete_request::OffsetDeleteRequest { topics: vec![message!(offset_delete_request::OffsetDeleteRequestTopic { name: NAME })] }).into(),
            message!(describe_quorum_request::DescribeQuorumRequest { topics: vec![message!(describe_quorum_request::TopicData { topic_name: NAME })] }).into(),
            message!(describe_producers_request::DescribeProducersRequest { topics: vec![message!(describe_producers_request::TopicRequest { name: NAME })] }).into(),
            message!(describe_topic_partitions_request::DescribeTopicPartitionsRequest { topics: vec![message!(describe_topic_partitions_request::TopicRequest { name: NAME })] }).into(),
            message!(consumer_group_heartbeat_request::ConsumerGroupHeartbeatRequest { subscribed_topic_names: Some(vec![NAME]) }).into(),
            message!(consumer_group_heartbeat_request::ConsumerGroupHeartbeatRequest { topic_partitions: Some(vec![message!(consumer_group_heartbeat_request::TopicPartitions { topic_id: ID })]) }).into(),
            message!(share_group_heartbeat_request::ShareGroupHeartbeatRequest { subscribed_topic_names: Some(vec![NAME]) }).into(),
            message!(share_fetch_request::ShareFetchRequest { topics: vec![message!(share_fetch_request::FetchTopic { topic_id: ID })] }).into(),
            message!(share_acknowledge_request::ShareAcknowledgeRequest { topics: vec![message!(share_acknowledge_request::AcknowledgeTopic { topic_id: ID })] }).into(),
            message!(describe_share_group_offsets_request::DescribeShareGroupOffsetsRequest { groups: vec![message!(describe_share_group_offsets_request::DescribeShareGroupOffsetsRequestGroup {
                topics: Some(vec![message!(describe_share_group_offsets_request::DescribeShareGroupOffsetsRequestTopic { topic_name: NAME })])
            })] }).into(),
            message!(alter_share_group_offsets_request::AlterShareGroupOffsetsRequest { topics: vec![message!(alter_share_group_offsets_request::AlterShareGroupOffsetsRequestTopic { topic_name: NAME })] }).into(),
            message!(delete_share_group_offsets_request::DeleteShareGroupOffsetsRequest { topics: vec![message!(delete_share_group_offsets_request::DeleteShareGroupOffsetsRequestTopic { topic_name: NAME })] }).into(),
            message!(streams_group_heartbeat_request::StreamsGroupHeartbeatRequest { topology: Some(message!(streams_group_heartbeat_request::Topology {
                subtopologies: vec![message!(streams_group_heartbeat_request::Subtopology { source_topics: vec![NAME] })]
            })) }).into(),
            message!(streams_group_topology_description_update_request::StreamsGroupTopologyDescriptionUpdateRequest {
                topology_description: message!(streams_group_topology_description_update_request::TopologyDescription {
                    subtopologies: vec![message!(streams_group_topology_description_update_request::TopologyDescriptionSubtopology {
                        nodes: vec![message!(streams_group_topology_description_update_request::TopologyDescriptionNode { sink_topic: Some(NAME) })]
                    })]
                })
            }).into(),
        ]
    }

    /// Those that have no place for a topic; what an ACL is about is a pattern.
    const NAMELESS: &[ApiKey] = &[
        ApiKey::FIND_COORDINATOR,
        ApiKey::JOIN_GROUP,
        ApiKey::HEARTBEAT,
        ApiKey::LEAVE_GROUP,
        ApiKey::SYNC_GROUP,
        ApiKey::DESCRIBE_GROUPS,
        ApiKey::LIST_GROUPS,
        ApiKey::API_VERSIONS,
        ApiKey::INIT_PRODUCER_ID,
        ApiKey::ADD_OFFSETS_TO_TXN,
        ApiKey::END_TXN,
        ApiKey::DESCRIBE_ACLS,
        ApiKey::CREATE_ACLS,
        ApiKey::DELETE_ACLS,
        ApiKey::CREATE_DELEGATION_TOKEN,
        ApiKey::RENEW_DELEGATION_TOKEN,
        ApiKey::EXPIRE_DELEGATION_TOKEN,
        ApiKey::DESCRIBE_DELEGATION_TOKEN,
        ApiKey::DELETE_GROUPS,
        ApiKey::DESCRIBE_CLIENT_QUOTAS,
        ApiKey::ALTER_CLIENT_QUOTAS,
        ApiKey::DESCRIBE_USER_SCRAM_CREDENTIALS,
        ApiKey::ALTER_USER_SCRAM_CREDENTIALS,
        ApiKey::DESCRIBE_CLUSTER,
        ApiKey::DESCRIBE_TRANSACTIONS,
        ApiKey::LIST_TRANSACTIONS,
        ApiKey::UPDATE_FEATURES,
        ApiKey::UNREGISTER_BROKER,
        ApiKey::UNREGISTER_CONTROLLER,
        ApiKey::ADD_RAFT_VOTER,
        ApiKey::REMOVE_RAFT_VOTER,
        ApiKey::GET_TELEMETRY_SUBSCRIPTIONS,
        ApiKey::PUSH_TELEMETRY,
        ApiKey::LIST_CONFIG_RESOURCES,
        ApiKey::CONSUMER_GROUP_DESCRIBE,
        ApiKey::SHARE_GROUP_DESCRIBE,
        ApiKey::STREAMS_GROUP_DESCRIBE,
    ];

    /// A rule about a topic that passes over some API never strikes, and the test that waits for it passes.
    #[test]
    #[expect(clippy::disallowed_methods, reason = "any instant does as the start")]
    fn whatever_names_a_topic_is_about_it() {
        let mut state = State::new(Settings::with_nodes(1), Instant::now());
        state.topic_ids.insert(ID, Topic::from("t"));
        let requests = requests();
        for request in &requests {
            assert_eq!(topics(&state, request), ["t"], "{request:?}");
        }
        for (api, _) in APIS {
            let is_named = requests.iter().any(|request| request.api_key() == *api);
            assert_ne!(is_named, NAMELESS.contains(api), "{api:?}");
        }
    }
}
