//! Requests of a client that lacks one right to the cluster or another.

use milena_types::ApiKey;
use milena_wire::messages as m;
use milena_wire::messages::create_topics_request::CreatableTopic;

use super::acls::{
    ALL, ALLOW, CLUSTER, DECIDED, DENY, TOPIC, about, creating, deleting, describing, rule, settle,
};
use super::rights::{CLUSTER_NAME, CREATE, DESCRIBE, OPEN, ask_all, denied};
use crate::Result;
use crate::compare::recorder::Recorder;
use crate::raw::message;

const ALTER: i8 = 7;
const CLUSTER_ACTION: i8 = 9;
const DESCRIBE_CONFIGS: i8 = 10;
const ALTER_CONFIGS: i8 = 11;
const IDEMPOTENT_WRITE: i8 = 12;

/// One right to the cluster after the other is taken, the one to take rights last.
pub(super) async fn run(on: &mut Recorder) -> Result {
    let newest = on.newest(ApiKey::CREATE_ACLS);
    let operations =
        message!(m::DescribeClusterRequest { include_cluster_authorized_operations: true });
    let old = message!(m::MetadataRequest {
        topics: Some(vec![]),
        include_cluster_authorized_operations: true,
    });
    let broker = message!(m::describe_configs_request::DescribeConfigsResource {
        resource_type: 4,
        resource_name: "1".into(),
        configuration_keys: Some(vec!["node.id".into()]),
    });
    let quorum = message!(m::describe_quorum_request::TopicData {
        topic_name: "__cluster_metadata".into(),
        partitions: vec![Default::default()],
    });
    denied(on, CLUSTER, CLUSTER_NAME, DESCRIBE).await?;
    ask_all(
        on,
        "not to be described",
        vec![
            (0..=99, operations.clone().into()),
            (8..=10, old.into()),
            (1..=99, describing(&about(TOPIC, None)).into()),
            (0..=99, m::ListPartitionReassignmentsRequest::default().into()),
            (1..=99, m::DescribeLogDirsRequest::default().into()),
            (0..=99, message!(m::DescribeQuorumRequest { topics: vec![quorum] }).into()),
            (0..=99, m::DescribeUserScramCredentialsRequest::default().into()),
        ],
    )
    .await?;
    denied(on, CLUSTER, CLUSTER_NAME, DESCRIBE_CONFIGS).await?;
    ask_all(
        on,
        "settings not to be described",
        vec![
            (0..=99, m::DescribeClientQuotasRequest::default().into()),
            (0..=99, m::ListConfigResourcesRequest::default().into()),
            (1..=99, message!(m::DescribeConfigsRequest { resources: vec![broker] }).into()),
        ],
    )
    .await?;
    denied(on, CLUSTER, CLUSTER_NAME, ALTER_CONFIGS).await?;
    let entity = message!(m::alter_client_quotas_request::EntryData { entity: vec![] });
    ask_all(
        on,
        "settings not to be altered",
        vec![(0..=99, message!(m::AlterClientQuotasRequest { entries: vec![entity] }).into())],
    )
    .await?;
    let wish = rule(TOPIC, "script-uncreated", CREATE, DENY);
    on.quietly(newest, creating(vec![wish])).await?;
    settle(on).await?;
    let made = message!(CreatableTopic {
        name: "script-uncreated".into(),
        num_partitions: 1,
        replication_factor: 1,
    });
    let auto = message!(m::metadata_request::MetadataRequestTopic {
        name: Some("script-uncreated".into()),
    });
    let mut auto = message!(m::MetadataRequest { topics: Some(vec![auto]) });
    auto.allow_auto_topic_creation = true;
    ask_all(
        on,
        "not to be created",
        vec![
            (
                2..=99,
                message!(m::CreateTopicsRequest { topics: vec![made], timeout_ms: 10_000 }).into(),
            ),
            (4..=99, auto.into()),
        ],
    )
    .await?;
    denied(on, CLUSTER, CLUSTER_NAME, IDEMPOTENT_WRITE).await?;
    let init = message!(m::InitProducerIdRequest { producer_id: -1, producer_epoch: -1 });
    ask_all(on, "without a right of its own", vec![(0..=99, init.clone().into())]).await?;
    // A rule about all topics is one about this too, which shows what counts already.
    on.quietly(newest, creating(vec![rule(TOPIC, DECIDED, ALL, ALLOW)])).await?;
    denied(on, TOPIC, "*", 4).await?;
    ask_all(on, "nothing to write to", vec![(0..=99, init.into())]).await?;
    denied(on, CLUSTER, CLUSTER_NAME, CLUSTER_ACTION).await?;
    ask_all(on, "most denied", vec![(0..=99, operations.into())]).await?;
    denied(on, CLUSTER, CLUSTER_NAME, ALTER).await?;
    let moved = message!(m::alter_partition_reassignments_request::ReassignableTopic {
        name: OPEN.into(),
        partitions: vec![Default::default()],
    });
    let elected = message!(m::elect_leaders_request::TopicPartitions {
        topic: OPEN.into(),
        partitions: vec![0],
    });
    let dir = message!(m::alter_replica_log_dirs_request::AlterReplicaLogDirTopic {
        name: OPEN.into(),
        partitions: vec![0],
    });
    let dir = message!(m::alter_replica_log_dirs_request::AlterReplicaLogDir {
        path: "/elsewhere".into(),
        topics: vec![dir],
    });
    let gone = ["script-b", "script-a", "script-b"].map(|name| {
        message!(m::alter_user_scram_credentials_request::ScramCredentialDeletion {
            name: name.into(),
        })
    });
    let gone = gone.to_vec();
    ask_all(
        on,
        "not to be altered",
        vec![
            (1..=99, creating(vec![rule(TOPIC, OPEN, ALL, ALLOW)]).into()),
            (1..=99, deleting(vec![about(CLUSTER, None)]).into()),
            (
                0..=99,
                message!(m::ElectLeadersRequest { topic_partitions: Some(vec![elected]) }).into(),
            ),
            (
                0..=99,
                message!(m::AlterPartitionReassignmentsRequest { topics: vec![moved] }).into(),
            ),
            (1..=99, message!(m::AlterReplicaLogDirsRequest { dirs: vec![dir] }).into()),
            (0..=99, message!(m::AlterUserScramCredentialsRequest { deletions: gone }).into()),
            (0..=99, m::UpdateFeaturesRequest::default().into()),
            (0..=99, message!(m::UnregisterBrokerRequest { broker_id: 9 }).into()),
        ],
    )
    .await
}
