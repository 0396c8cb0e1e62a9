//! What each API does: one file per key.

mod add_offsets_to_txn;
mod add_partitions_to_txn;
mod add_raft_voter;
mod alter_client_quotas;
mod alter_configs;
mod alter_partition_reassignments;
mod alter_replica_log_dirs;
mod alter_share_group_offsets;
mod alter_user_scram_credentials;
pub(crate) mod api_versions;
mod consumer_group_describe;
mod consumer_group_heartbeat;
mod create_acls;
mod create_delegation_token;
mod create_partitions;
mod create_topics;
mod delete_acls;
mod delete_groups;
mod delete_records;
mod delete_share_group_offsets;
mod delete_topics;
mod describe_acls;
mod describe_client_quotas;
mod describe_cluster;
mod describe_configs;
mod describe_delegation_token;
mod describe_groups;
mod describe_log_dirs;
mod describe_producers;
mod describe_quorum;
mod describe_share_group_offsets;
mod describe_topic_partitions;
mod describe_transactions;
mod describe_user_scram_credentials;
mod elect_leaders;
mod end_txn;
mod expire_delegation_token;
pub(crate) mod fetch;
mod find_coordinator;
mod get_telemetry_subscriptions;
mod heartbeat;
mod incremental_alter_configs;
mod init_producer_id;
pub(crate) mod join_group;
mod leave_group;
mod list_config_resources;
mod list_groups;
mod list_offsets;
mod list_partition_reassignments;
mod list_transactions;
mod metadata;
mod offset_commit;
mod offset_delete;
mod offset_fetch;
mod offset_for_leader_epoch;
pub(crate) mod produce;
mod push_telemetry;
mod remove_raft_voter;
mod renew_delegation_token;
mod share_acknowledge;
pub(crate) mod share_fetch;
mod share_group_describe;
mod share_group_heartbeat;
mod streams_group_describe;
mod streams_group_heartbeat;
mod streams_group_topology_description_update;
pub(crate) mod sync_group;
mod txn_offset_commit;
mod unregister_broker;
mod unregister_controller;
mod update_features;
mod write_txn_markers;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use milena_types::{ApiKey, ErrorCode, NodeId};
use milena_wire::{Request, Response};

use crate::connection::ConnectionId;
use crate::release::Release;
use crate::state::State;
use crate::ticket::Ticket;

/// One request as a node takes it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call<'a> {
    pub(crate) now: Instant,
    pub(crate) node: NodeId,
    pub(crate) connection: ConnectionId,
    pub(crate) ticket: Ticket,
    pub(crate) version: i16,
    pub(crate) client_id: &'a str,
    pub(crate) principal: &'a str,
    pub(crate) host: &'a str,
    /// The name and version of its library, as it told ApiVersions.
    pub(crate) software: (&'a str, &'a str),
}

/// What becomes of a request.
#[derive(Debug)]
pub(crate) enum Outcome {
    Answer(Response),
    /// The answer comes later, through [`State::answered`].
    Wait,
    /// There is none, by request; the client is not heard for as long.
    Silent(Duration),
    Close,
}

/// The versions of an API that are answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Versions {
    pub(crate) min: i16,
    pub(crate) max: i16,
}

impl Versions {
    const fn new(min: i16, max: i16) -> Self {
        Self { min, max }
    }

    pub(crate) fn contains(self, version: i16) -> bool {
        (self.min..=self.max).contains(&version)
    }
}

macro_rules! apis {
    (
        $($name:ident $key:ident $module:ident;)*
        // Those whose answers cannot say that a client was throttled.
        + $($other:ident $other_key:ident $other_module:ident;)*
    ) => {
        /// Every API that is answered.
        pub(crate) const APIS: &[(ApiKey, Versions)] =
            &[
                $((ApiKey::$key, $module::VERSIONS),)*
                $((ApiKey::$other_key, $other_module::VERSIONS),)*
            ];

        /// Carries out a request.
        pub(crate) fn handle(state: &mut State, call: &Call<'_>, request: &Request) -> Outcome {
            if let Some(refusal) = crate::rights::refuse(state, call, request) {
                return if is_silent(request) { Outcome::Close } else { Outcome::Answer(refusal) };
            }
            match request {
                $(Request::$name(request) => $module::handle(state, call, request),)*
                $(Request::$other(request) => $other_module::handle(state, call, request),)*
                _ => Outcome::Close,
            }
        }

        /// The answer that says `code` wherever the API has a place for an error.
        pub(crate) fn error(request: &Request, code: ErrorCode) -> Option<Response> {
            match request {
                $(Request::$name(request) => Some($module::error(request, code)),)*
                $(Request::$other(request) => Some($other_module::error(request, code)),)*
                _ => None,
            }
        }

        /// How long the answer asks the client for silence.
        pub(crate) fn silence(response: &Response) -> Duration {
            let milliseconds = match response {
                $(Response::$name(response) => response.throttle_time_ms,)*
                _ => 0,
            };
            Duration::from_millis(u64::try_from(milliseconds).unwrap_or(0))
        }

        /// Says in the answer how long the client was throttled.
        pub(crate) fn throttle(response: &mut Response, milliseconds: i32) {
            match response {
                $(Response::$name(response) => response.throttle_time_ms = milliseconds,)*
                _ => {}
            }
        }
    };
}

apis! {
    Produce PRODUCE produce;
    Fetch FETCH fetch;
    ListOffsets LIST_OFFSETS list_offsets;
    Metadata METADATA metadata;
    OffsetCommit OFFSET_COMMIT offset_commit;
    OffsetFetch OFFSET_FETCH offset_fetch;
    FindCoordinator FIND_COORDINATOR find_coordinator;
    JoinGroup JOIN_GROUP join_group;
    Heartbeat HEARTBEAT heartbeat;
    LeaveGroup LEAVE_GROUP leave_group;
    SyncGroup SYNC_GROUP sync_group;
    DescribeGroups DESCRIBE_GROUPS describe_groups;
    ListGroups LIST_GROUPS list_groups;
    ApiVersions API_VERSIONS api_versions;
    CreateTopics CREATE_TOPICS create_topics;
    DeleteTopics DELETE_TOPICS delete_topics;
    DeleteRecords DELETE_RECORDS delete_records;
    InitProducerId INIT_PRODUCER_ID init_producer_id;
    OffsetForLeaderEpoch OFFSET_FOR_LEADER_EPOCH offset_for_leader_epoch;
    AddPartitionsToTxn ADD_PARTITIONS_TO_TXN add_partitions_to_txn;
    AddOffsetsToTxn ADD_OFFSETS_TO_TXN add_offsets_to_txn;
    EndTxn END_TXN end_txn;
    TxnOffsetCommit TXN_OFFSET_COMMIT txn_offset_commit;
    DescribeAcls DESCRIBE_ACLS describe_acls;
    CreateAcls CREATE_ACLS create_acls;
    DeleteAcls DELETE_ACLS delete_acls;
    DescribeConfigs DESCRIBE_CONFIGS describe_configs;
    AlterConfigs ALTER_CONFIGS alter_configs;
    CreatePartitions CREATE_PARTITIONS create_partitions;
    CreateDelegationToken CREATE_DELEGATION_TOKEN create_delegation_token;
    RenewDelegationToken RENEW_DELEGATION_TOKEN renew_delegation_token;
    ExpireDelegationToken EXPIRE_DELEGATION_TOKEN expire_delegation_token;
    DescribeDelegationToken DESCRIBE_DELEGATION_TOKEN describe_delegation_token;
    DeleteGroups DELETE_GROUPS delete_groups;
    IncrementalAlterConfigs INCREMENTAL_ALTER_CONFIGS incremental_alter_configs;
    AlterReplicaLogDirs ALTER_REPLICA_LOG_DIRS alter_replica_log_dirs;
    DescribeLogDirs DESCRIBE_LOG_DIRS describe_log_dirs;
    ElectLeaders ELECT_LEADERS elect_leaders;
    AlterPartitionReassignments ALTER_PARTITION_REASSIGNMENTS alter_partition_reassignments;
    ListPartitionReassignments LIST_PARTITION_REASSIGNMENTS list_partition_reassignments;
    OffsetDelete OFFSET_DELETE offset_delete;
    DescribeClientQuotas DESCRIBE_CLIENT_QUOTAS describe_client_quotas;
    AlterClientQuotas ALTER_CLIENT_QUOTAS alter_client_quotas;
    DescribeUserScramCredentials DESCRIBE_USER_SCRAM_CREDENTIALS describe_user_scram_credentials;
    AlterUserScramCredentials ALTER_USER_SCRAM_CREDENTIALS alter_user_scram_credentials;
    DescribeCluster DESCRIBE_CLUSTER describe_cluster;
    DescribeProducers DESCRIBE_PRODUCERS describe_producers;
    DescribeTransactions DESCRIBE_TRANSACTIONS describe_transactions;
    ListTransactions LIST_TRANSACTIONS list_transactions;
    UpdateFeatures UPDATE_FEATURES update_features;
    UnregisterBroker UNREGISTER_BROKER unregister_broker;
    UnregisterController UNREGISTER_CONTROLLER unregister_controller;
    AddRaftVoter ADD_RAFT_VOTER add_raft_voter;
    RemoveRaftVoter REMOVE_RAFT_VOTER remove_raft_voter;
    GetTelemetrySubscriptions GET_TELEMETRY_SUBSCRIPTIONS get_telemetry_subscriptions;
    PushTelemetry PUSH_TELEMETRY push_telemetry;
    ListConfigResources LIST_CONFIG_RESOURCES list_config_resources;
    DescribeTopicPartitions DESCRIBE_TOPIC_PARTITIONS describe_topic_partitions;
    ConsumerGroupHeartbeat CONSUMER_GROUP_HEARTBEAT consumer_group_heartbeat;
    ConsumerGroupDescribe CONSUMER_GROUP_DESCRIBE consumer_group_describe;
    ShareGroupHeartbeat SHARE_GROUP_HEARTBEAT share_group_heartbeat;
    ShareGroupDescribe SHARE_GROUP_DESCRIBE share_group_describe;
    ShareFetch SHARE_FETCH share_fetch;
    ShareAcknowledge SHARE_ACKNOWLEDGE share_acknowledge;
    DescribeShareGroupOffsets DESCRIBE_SHARE_GROUP_OFFSETS describe_share_group_offsets;
    AlterShareGroupOffsets ALTER_SHARE_GROUP_OFFSETS alter_share_group_offsets;
    DeleteShareGroupOffsets DELETE_SHARE_GROUP_OFFSETS delete_share_group_offsets;
    StreamsGroupHeartbeat STREAMS_GROUP_HEARTBEAT streams_group_heartbeat;
    StreamsGroupDescribe STREAMS_GROUP_DESCRIBE streams_group_describe;
    StreamsGroupTopologyDescriptionUpdate STREAMS_GROUP_TOPOLOGY_DESCRIPTION_UPDATE
        streams_group_topology_description_update;
    + WriteTxnMarkers WRITE_TXN_MARKERS write_txn_markers;
    DescribeQuorum DESCRIBE_QUORUM describe_quorum;
}

/// The versions of each API that are answered where the cluster plays this release.
pub(crate) fn answered(by: Release) -> BTreeMap<ApiKey, Versions> {
    let listed = by.apis();
    let both = APIS.iter().filter_map(|(api, answered)| {
        let listed = listed.get(api)?;
        let (min, max) = (answered.min.max(*listed.start()), answered.max.min(*listed.end()));
        (min <= max).then_some((*api, Versions { min, max }))
    });
    both.collect()
}

/// Whether the request has no answer whatever becomes of it.
pub(crate) fn is_silent(request: &Request) -> bool {
    matches!(request, Request::Produce(produce) if produce.acks == 0)
}

/// PRODUCER_FENCED for those that know the code, which came with KIP-588; what it was before for older versions.
fn as_known(code: ErrorCode, knows_fenced: bool) -> ErrorCode {
    match code {
        ErrorCode::PRODUCER_FENCED if !knows_fenced => ErrorCode::INVALID_PRODUCER_EPOCH,
        code => code,
    }
}

/// How much of a group a member may describe, or a leader assign, in one request. Kafka writes a group into one record
/// (`message.max.bytes`) and fails with UNKNOWN_SERVER_ERROR where that is too large.
const GROUP_METADATA_BYTES_MAX: usize = 1_048_588;

/// As answers carry it.
fn milliseconds(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}

/// What is answered where nobody asked which operations are allowed.
const UNASKED: i32 = i32::MIN;

/// Every operation that topics have, as a bit field.
const AUTHORIZED_TOPIC: i32 = 0b1101_1111_1000;

/// Every operation that groups have.
const AUTHORIZED_GROUP: i32 = 0b1101_0100_1000;

/// Every operation that the cluster has.
pub(crate) const AUTHORIZED_CLUSTER: i32 = 0b1_1111_1010_0000;
