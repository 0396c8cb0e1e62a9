//! Requests of a client that lacks the right to a topic, to a group, to a transactional id, or to the cluster.

use std::ops::RangeInclusive;

use milena_types::{ApiKey, CorrelationId, Uuid};
use milena_wire::messages as m;
use milena_wire::messages::create_topics_request::CreatableTopic;
use milena_wire::{Request, encode_request};

use super::acls::{
    ALL, ALLOW, CLUSTER, DECIDED, DENY, GROUP, PREFIXED, TOPIC, TRANSACTIONAL_ID, about, creating,
    deleting, rule, settle,
};
use super::cluster_rights;
use super::groups::{joining, syncing};
use super::offsets::committing;
use super::produce::to;
use crate::Result;
use crate::compare::recorder::Recorder;
use crate::raw::{Batch, message};

/// There, and denied.
const HIDDEN: &str = "script-hidden";

/// There, and allowed.
pub(super) const OPEN: &str = "script-open";

/// One that has no members, and one with a commit.
const GROUP_ID: &str = "script-hidden-group";
const OPEN_GROUP: &str = "script-open-group";

const ID: &str = "script-hidden-id";

/// An id that no topic has.
const NOWHERE: Uuid = Uuid::from_bytes([7; 16]);

pub(super) async fn make_topics(on: &mut Recorder) -> Result {
    let topics = [DECIDED, HIDDEN, OPEN].map(|name| {
        message!(CreatableTopic { name: name.into(), num_partitions: 1, replication_factor: 1 })
    });
    let make = message!(m::CreateTopicsRequest { topics: topics.to_vec(), timeout_ms: 10_000 });
    on.quietly(5, make).await?;
    for topic in [DECIDED, HIDDEN, OPEN] {
        on.await_topic(topic).await?;
    }
    Ok(())
}

pub(super) async fn run(on: &mut Recorder) -> Result {
    let (hidden, open) = (on.await_topic(HIDDEN).await?, on.await_topic(OPEN).await?);
    on.await_coordinators().await?;
    for group in [GROUP_ID, OPEN_GROUP] {
        let ask = committing(group, OPEN, open, &[(0, 1)]);
        on.quietly(9, ask).await?;
        let ask = committing(group, HIDDEN, hidden, &[(0, 1)]);
        on.quietly(9, ask).await?;
    }
    // Whoever may make and delete all topics needs no right to one.
    let of_all = [(ALL, ALLOW), (CREATE, DENY), (DELETE, DENY)];
    let of_all = of_all.map(|(operation, says)| rule(CLUSTER, CLUSTER_NAME, operation, says));
    on.quietly(on.newest(ApiKey::CREATE_ACLS), creating(of_all.to_vec())).await?;
    // The internal topics, which each side has in its own way.
    let mut internal = rule(TOPIC, "__", ALL, DENY);
    internal.resource_pattern_type = PREFIXED;
    on.quietly(on.newest(ApiKey::CREATE_ACLS), creating(vec![internal])).await?;
    denied(on, TOPIC, HIDDEN, ALL).await?;
    without_topic(on, "denied", hidden, open).await?;
    allowed_again(on, TOPIC, HIDDEN).await?;
    // What is allowed to somebody is denied to everyone else.
    let mut to_alice = rule(TOPIC, HIDDEN, ALL, ALLOW);
    to_alice.principal = "User:alice".into();
    let describe = rule(TOPIC, HIDDEN, DESCRIBE, ALLOW);
    on.quietly(on.newest(ApiKey::CREATE_ACLS), creating(vec![to_alice, describe])).await?;
    settle(on).await?;
    without_topic(on, "only described", hidden, open).await?;
    allowed_again(on, TOPIC, HIDDEN).await?;

    denied(on, GROUP, GROUP_ID, ALL).await?;
    without_group(on, hidden).await?;
    allowed_again(on, GROUP, GROUP_ID).await?;

    denied(on, TRANSACTIONAL_ID, ID, ALL).await?;
    without_id(on).await?;
    allowed_again(on, TRANSACTIONAL_ID, ID).await?;
    cluster_rights::run(on).await
}

pub(super) async fn denied(on: &mut Recorder, kind: i8, name: &str, operation: i8) -> Result {
    let newest = on.newest(ApiKey::CREATE_ACLS);
    on.quietly(newest, creating(vec![rule(kind, name, operation, DENY)])).await?;
    settle(on).await
}

async fn allowed_again(on: &mut Recorder, kind: i8, name: &str) -> Result {
    let newest = on.newest(ApiKey::DELETE_ACLS);
    on.quietly(newest, deleting(vec![about(kind, Some(name))])).await?;
    settle(on).await
}

/// Asks each in these versions of its API, as far as they have all of its fields.
pub(super) async fn ask_all(
    on: &mut Recorder,
    what: &str,
    asks: Vec<(RangeInclusive<i16>, Request)>,
) -> Result {
    for (versions, ask) in asks {
        let versions = on.versions(ask.api_key()).filter(|version| versions.contains(version));
        let is_whole =
            |version: &i16| encode_request(&ask, *version, CorrelationId::FIRST, None).is_ok();
        for version in versions.filter(is_whole).collect::<Vec<_>>() {
            on.ask(what, version, ask.clone()).await?;
        }
    }
    Ok(())
}

async fn without_topic(on: &mut Recorder, what: &str, hidden: Uuid, open: Uuid) -> Result {
    let names = || vec![OPEN.into(), HIDDEN.into()];
    let records = || Some(Batch::of(&["x"]).bytes());
    let mut both = to(OPEN, open, 0, records());
    both.topic_data.extend(to(HIDDEN, hidden, 0, records()).topic_data);
    let named = |name: &str| {
        message!(m::metadata_request::MetadataRequestTopic { name: Some(name.into()) })
    };
    let mut by_name = message!(m::MetadataRequest {
        topics: Some(vec![named(OPEN), named(HIDDEN)]),
        allow_auto_topic_creation: false,
    });
    let mut all = message!(m::MetadataRequest { topics: None });
    let by_id =
        message!(m::metadata_request::MetadataRequestTopic { name: None, topic_id: hidden });
    let by_id = message!(m::MetadataRequest {
        topics: Some(vec![by_id]),
        allow_auto_topic_creation: false,
    });
    ask_all(
        on,
        what,
        vec![
            (9..=99, both.into()),
            (3..=7, by_name.clone().into()),
            (4..=7, all.clone().into()),
            (12..=99, by_id.into()),
        ],
    )
    .await?;
    by_name.include_topic_authorized_operations = true;
    all.include_topic_authorized_operations = true;
    let partition = |offset| {
        message!(m::fetch_request::FetchPartition {
            fetch_offset: offset,
            partition_max_bytes: 1 << 20,
        })
    };
    let fetched = |name: &str, id| {
        message!(m::fetch_request::FetchTopic {
            topic: name.into(),
            topic_id: id,
            partitions: vec![partition(0)],
        })
    };
    let fetch = message!(m::FetchRequest {
        max_wait_ms: 0,
        max_bytes: 10 << 20,
        topics: vec![fetched(HIDDEN, hidden)],
    });
    let listed = message!(m::list_offsets_request::ListOffsetsPartition { timestamp: -1 });
    let listed = message!(m::list_offsets_request::ListOffsetsTopic {
        name: HIDDEN.into(),
        partitions: vec![listed],
    });
    let list = message!(m::ListOffsetsRequest { replica_id: -1, topics: vec![listed] });
    let mut commit = committing(OPEN_GROUP, HIDDEN, hidden, &[(0, 2)]);
    commit.topics.extend(committing(OPEN_GROUP, OPEN, open, &[(0, 2)]).topics);
    let wanted = |name: &str, id| {
        message!(m::offset_fetch_request::OffsetFetchRequestTopics {
            name: name.into(),
            topic_id: id,
            partition_indexes: vec![0],
        })
    };
    let of_group = |topics| {
        let group = message!(m::offset_fetch_request::OffsetFetchRequestGroup {
            group_id: OPEN_GROUP.into(),
            topics: topics,
        });
        message!(m::OffsetFetchRequest { groups: vec![group] })
    };
    let old = message!(m::offset_fetch_request::OffsetFetchRequestTopic {
        name: HIDDEN.into(),
        partition_indexes: vec![0],
    });
    let old =
        message!(m::OffsetFetchRequest { group_id: OPEN_GROUP.into(), topics: Some(vec![old]) });
    let epoch = message!(m::offset_for_leader_epoch_request::OffsetForLeaderTopic {
        topic: HIDDEN.into(),
        partitions: vec![Default::default()],
    });
    let epoch = message!(m::OffsetForLeaderEpochRequest { replica_id: -1, topics: vec![epoch] });
    let described = names().into_iter().map(|name: milena_wire::ByteString| {
        message!(m::describe_topic_partitions_request::TopicRequest { name: name })
    });
    let described = message!(m::DescribeTopicPartitionsRequest { topics: described.collect() });
    let every = m::DescribeTopicPartitionsRequest::default();
    let producers = message!(m::describe_producers_request::TopicRequest {
        name: HIDDEN.into(),
        partition_indexes: vec![0],
    });
    ask_all(
        on,
        what,
        vec![
            (8..=99, by_name.into()),
            (8..=99, all.into()),
            (4..=17, fetch.into()),
            (1..=99, list.into()),
            (2..=99, commit.into()),
            (1..=7, old.into()),
            (8..=99, of_group(Some(vec![wanted(OPEN, open), wanted(HIDDEN, hidden)])).into()),
            (8..=99, of_group(None).into()),
            (2..=99, epoch.into()),
            (0..=99, described.into()),
            (0..=99, every.into()),
            (0..=99, message!(m::DescribeProducersRequest { topics: vec![producers] }).into()),
        ],
    )
    .await?;
    changes(on, what, hidden).await
}

/// What changes a topic.
async fn changes(on: &mut Recorder, what: &str, hidden: Uuid) -> Result {
    let created =
        message!(CreatableTopic { name: HIDDEN.into(), num_partitions: 1, replication_factor: 1 });
    let raised = message!(m::create_partitions_request::CreatePartitionsTopic {
        name: HIDDEN.into(),
        count: 5,
    });
    let cleared = message!(m::delete_records_request::DeleteRecordsTopic {
        name: HIDDEN.into(),
        partitions: vec![Default::default()],
    });
    let named = |name: Option<&str>, id| {
        message!(m::delete_topics_request::DeleteTopicState {
            name: name.map(Into::into),
            topic_id: id,
        })
    };
    let resource = message!(m::describe_configs_request::DescribeConfigsResource {
        resource_type: TOPIC,
        resource_name: HIDDEN.into(),
        configuration_keys: Some(vec!["retention.ms".into()]),
    });
    let config = message!(m::incremental_alter_configs_request::AlterableConfig {
        name: "retention.ms".into(),
        value: Some("1".into()),
    });
    let altered = message!(m::incremental_alter_configs_request::AlterConfigsResource {
        resource_type: TOPIC,
        resource_name: HIDDEN.into(),
        configs: vec![config],
    });
    let deleted = message!(m::offset_delete_request::OffsetDeleteRequestTopic {
        name: HIDDEN.into(),
        partitions: vec![Default::default()],
    });
    let forgotten =
        message!(m::OffsetDeleteRequest { group_id: OPEN_GROUP.into(), topics: vec![deleted] });
    let joined = message!(m::ConsumerGroupHeartbeatRequest {
        group_id: "script-hidden-848".into(),
        member_id: "m".into(),
        rebalance_timeout_ms: 30_000,
        topic_partitions: Some(vec![]),
        subscribed_topic_names: Some(vec![HIDDEN.into()]),
    });
    let shared = message!(m::ShareGroupHeartbeatRequest {
        group_id: "script-hidden-shared".into(),
        member_id: "AAAAAAAAAAAAAAAAAAAAAQ".into(),
        subscribed_topic_names: Some(vec![HIDDEN.into()]),
    });
    let states = |state| vec![state];
    ask_all(
        on,
        what,
        vec![
            (
                2..=99,
                message!(m::CreateTopicsRequest { topics: vec![created], timeout_ms: 10_000 })
                    .into(),
            ),
            (
                0..=99,
                message!(m::CreatePartitionsRequest { topics: vec![raised], timeout_ms: 10_000 })
                    .into(),
            ),
            (
                0..=99,
                message!(m::DeleteRecordsRequest { topics: vec![cleared], timeout_ms: 10_000 })
                    .into(),
            ),
            (
                1..=5,
                message!(m::DeleteTopicsRequest {
                    topic_names: vec![HIDDEN.into()],
                    timeout_ms: 10_000
                })
                .into(),
            ),
            (6..=99, {
                let topics = states(named(Some(HIDDEN), Uuid::ZERO));
                message!(m::DeleteTopicsRequest { topics: topics, timeout_ms: 10_000 }).into()
            }),
            (6..=99, {
                message!(m::DeleteTopicsRequest {
                    topics: states(named(None, hidden)),
                    timeout_ms: 10_000
                })
                .into()
            }),
            (6..=99, {
                message!(m::DeleteTopicsRequest {
                    topics: states(named(None, NOWHERE)),
                    timeout_ms: 10_000
                })
                .into()
            }),
            (1..=99, message!(m::DescribeConfigsRequest { resources: vec![resource] }).into()),
            (
                0..=99,
                message!(m::IncrementalAlterConfigsRequest { resources: vec![altered] }).into(),
            ),
            (0..=99, forgotten.into()),
            (0..=99, joined.into()),
            (1..=99, shared.into()),
        ],
    )
    .await
}

async fn without_group(on: &mut Recorder, hidden: Uuid) -> Result {
    let member = "m".into();
    let leave = message!(m::leave_group_request::MemberIdentity { member_id: "m".into() });
    let group = message!(m::offset_fetch_request::OffsetFetchRequestGroup {
        group_id: GROUP_ID.into(),
        topics: None,
    });
    let beat = message!(m::ConsumerGroupHeartbeatRequest {
        group_id: GROUP_ID.into(),
        member_id: "m".into(),
        rebalance_timeout_ms: 30_000,
        topic_partitions: Some(vec![]),
        subscribed_topic_names: Some(vec![OPEN.into()]),
    });
    let shared = message!(m::ShareGroupHeartbeatRequest {
        group_id: GROUP_ID.into(),
        member_id: "AAAAAAAAAAAAAAAAAAAAAQ".into(),
        subscribed_topic_names: Some(vec![OPEN.into()]),
    });
    let both = || vec![OPEN_GROUP.into(), GROUP_ID.into()];
    let resource = message!(m::describe_configs_request::DescribeConfigsResource {
        resource_type: 32,
        resource_name: GROUP_ID.into(),
    });
    let altered = message!(m::incremental_alter_configs_request::AlterConfigsResource {
        resource_type: 32,
        resource_name: GROUP_ID.into(),
    });
    let txn = message!(m::TxnOffsetCommitRequest {
        transactional_id: "script-open-id".into(),
        group_id: GROUP_ID.into(),
        producer_id: 1,
    });
    let adds = message!(m::AddOffsetsToTxnRequest {
        transactional_id: "script-open-id".into(),
        group_id: GROUP_ID.into(),
        producer_id: 1,
    });
    let offsets =
        message!(m::describe_share_group_offsets_request::DescribeShareGroupOffsetsRequestGroup {
            group_id: GROUP_ID.into(),
            topics: None,
        });
    let session = Some("AAAAAAAAAAAAAAAAAAAAAQ".into());
    ask_all(
        on,
        "denied",
        vec![
            (2..=99, joining(GROUP_ID, "").into()),
            (0..=99, syncing(GROUP_ID, &member, 1).into()),
            (0..=99, {
                let group_id = GROUP_ID.into();
                message!(m::HeartbeatRequest { group_id: group_id, member_id: "m".into() }).into()
            }),
            (3..=99, {
                message!(m::LeaveGroupRequest { group_id: GROUP_ID.into(), members: vec![leave] })
                    .into()
            }),
            (2..=99, committing(GROUP_ID, HIDDEN, hidden, &[(0, 1)]).into()),
            (
                2..=7,
                message!(m::OffsetFetchRequest { group_id: GROUP_ID.into(), topics: None }).into(),
            ),
            (8..=99, message!(m::OffsetFetchRequest { groups: vec![group] }).into()),
            (0..=3, message!(m::FindCoordinatorRequest { key: GROUP_ID.into() }).into()),
            (4..=99, message!(m::FindCoordinatorRequest { coordinator_keys: both() }).into()),
            (0..=99, message!(m::DescribeGroupsRequest { groups: vec![GROUP_ID.into()] }).into()),
            (3..=99, {
                let groups = vec![OPEN_GROUP.into()];
                let is_told = true;
                message!(m::DescribeGroupsRequest {
                    groups: groups,
                    include_authorized_operations: is_told,
                })
                .into()
            }),
            (
                0..=99,
                message!(m::DeleteGroupsRequest { groups_names: vec![GROUP_ID.into()] }).into(),
            ),
            (0..=99, message!(m::OffsetDeleteRequest { group_id: GROUP_ID.into() }).into()),
            (0..=99, beat.into()),
            (0..=99, message!(m::ConsumerGroupDescribeRequest { group_ids: both() }).into()),
            (1..=99, shared.into()),
            (1..=99, message!(m::ShareGroupDescribeRequest { group_ids: both() }).into()),
            (1..=99, {
                let group_id = Some(GROUP_ID.into());
                message!(m::ShareFetchRequest { group_id: group_id, member_id: session.clone() })
                    .into()
            }),
            (1..=99, {
                let group_id = Some(GROUP_ID.into());
                message!(m::ShareAcknowledgeRequest { group_id: group_id, member_id: session })
                    .into()
            }),
            (
                0..=99,
                message!(m::DescribeShareGroupOffsetsRequest { groups: vec![offsets] }).into(),
            ),
            (
                0..=99,
                message!(m::AlterShareGroupOffsetsRequest { group_id: GROUP_ID.into() }).into(),
            ),
            (
                0..=99,
                message!(m::DeleteShareGroupOffsetsRequest { group_id: GROUP_ID.into() }).into(),
            ),
            (1..=99, message!(m::DescribeConfigsRequest { resources: vec![resource] }).into()),
            (
                0..=99,
                message!(m::IncrementalAlterConfigsRequest { resources: vec![altered] }).into(),
            ),
            (0..=99, txn.into()),
            (0..=99, adds.into()),
        ],
    )
    .await
}

async fn without_id(on: &mut Recorder) -> Result {
    let topic = message!(m::add_partitions_to_txn_request::AddPartitionsToTxnTopic {
        name: OPEN.into(),
        partitions: vec![0],
    });
    let adds = message!(m::AddPartitionsToTxnRequest {
        v3_and_below_transactional_id: ID.into(),
        v3_and_below_topics: vec![topic],
    });
    let init = message!(m::InitProducerIdRequest {
        transactional_id: Some(ID.into()),
        transaction_timeout_ms: 10_000,
        producer_id: -1,
        producer_epoch: -1,
    });
    let commits = message!(m::TxnOffsetCommitRequest {
        transactional_id: ID.into(),
        group_id: OPEN_GROUP.into(),
    });
    let offsets = message!(m::AddOffsetsToTxnRequest {
        transactional_id: ID.into(),
        group_id: OPEN_GROUP.into(),
    });
    let find = message!(m::FindCoordinatorRequest { key: ID.into(), key_type: 1 });
    let ids = vec![ID.into()];
    ask_all(
        on,
        "denied",
        vec![
            (0..=99, init.into()),
            (1..=3, find.into()),
            (0..=3, adds.into()),
            (0..=99, offsets.into()),
            (0..=99, commits.into()),
            (0..=99, message!(m::EndTxnRequest { transactional_id: ID.into() }).into()),
            (0..=99, message!(m::DescribeTransactionsRequest { transactional_ids: ids }).into()),
        ],
    )
    .await
}

pub(super) const CREATE: i8 = 5;
const DELETE: i8 = 6;
pub(super) const DESCRIBE: i8 = 8;
pub(super) const CLUSTER_NAME: &str = "kafka-cluster";
