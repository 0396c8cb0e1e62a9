//! Share groups: heartbeats, descriptions, offsets, configuration.

use milena_types::{ApiKey, Uuid};
use milena_wire::ByteString;
use milena_wire::Response;
use milena_wire::messages::alter_share_group_offsets_request::{
    AlterShareGroupOffsetsRequestPartition, AlterShareGroupOffsetsRequestTopic,
};
use milena_wire::messages::create_topics_request::CreatableTopic;
use milena_wire::messages::delete_share_group_offsets_request::DeleteShareGroupOffsetsRequestTopic;
use milena_wire::messages::describe_configs_request::DescribeConfigsResource;
use milena_wire::messages::describe_share_group_offsets_request::{
    DescribeShareGroupOffsetsRequestGroup, DescribeShareGroupOffsetsRequestTopic,
};
use milena_wire::messages::offset_fetch_request::OffsetFetchRequestGroup;
use milena_wire::messages::{
    AlterShareGroupOffsetsRequest, ConsumerGroupHeartbeatRequest, CreateTopicsRequest,
    DeleteGroupsRequest, DeleteShareGroupOffsetsRequest, DescribeConfigsRequest,
    DescribeGroupsRequest, DescribeShareGroupOffsetsRequest, ListGroupsRequest, OffsetFetchRequest,
    ShareGroupDescribeRequest,
};

use super::groups::{joining, syncing};
use super::offsets::committing;
use super::rebalances::await_state;
use super::share_reader::{Reader, configuring};
use super::{share, share_committed};
use crate::Result;
use crate::compare::recorder::Recorder;
use crate::raw::message;

pub(super) const TOPIC: &str = "script-share";
pub(super) const GROUP: &str = "script-share";

pub(super) async fn run(on: &mut Recorder) -> Result {
    if on.newest(ApiKey::SHARE_GROUP_HEARTBEAT) < 1 {
        return Ok(());
    }
    let topic =
        message!(CreatableTopic { name: TOPIC.into(), num_partitions: 2, replication_factor: 1 });
    let make = message!(CreateTopicsRequest { topics: vec![topic], timeout_ms: 10_000 });
    on.quietly(5, make).await?;
    let topic = on.await_topic(TOPIC).await?;
    configuration(on).await?;
    let mut reader = Reader::new(GROUP, "share-a", topic);
    wrong_beats(on, &reader).await?;
    let beat = on.newest(ApiKey::SHARE_GROUP_HEARTBEAT);
    on.ask("a new member", beat, reader.beat(0, Some(&[TOPIC]))).await?;
    reader.await_partitions(on, &[TOPIC]).await?;
    beats(on, &reader).await?;
    describe(on, "with a member").await?;
    offsets(on, "not read yet").await?;
    share::run(on, &reader).await?;
    share_committed::run(on).await?;
    reader.stay(on).await?;
    offsets(on, "read").await?;
    strangers(on, topic).await?;
    let (alter, delete) = (
        on.newest(ApiKey::ALTER_SHARE_GROUP_OFFSETS),
        on.newest(ApiKey::DELETE_SHARE_GROUP_OFFSETS),
    );
    on.ask("a group with a member", alter, altering(GROUP, TOPIC, 0, 0)).await?;
    on.ask("a group with a member", delete, deleting(GROUP, &[TOPIC])).await?;
    let remove = on.newest(ApiKey::DELETE_GROUPS);
    let removing = message!(DeleteGroupsRequest { groups_names: vec![GROUP.into()] });
    on.ask("a share group with a member", remove, removing.clone()).await?;
    on.ask("leaves", beat, reader.beat(-1, None)).await?;
    on.ask("has left", beat, reader.beat(-1, None)).await?;
    on.ask("has left", beat, reader.beat(reader.member_epoch, None)).await?;
    describe(on, "without members").await?;
    altered(on, alter, delete).await?;
    on.ask("an empty share group", remove, removing).await?;
    describe(on, "deleted").await?;
    offsets(on, "deleted").await
}

async fn configuration(on: &mut Recorder) -> Result {
    let alter = on.newest(ApiKey::INCREMENTAL_ALTER_CONFIGS);
    for (what, name, value) in [
        ("from the start", "share.auto.offset.reset", Some("earliest")),
        ("a name that is none", "share.nonsense", Some("1")),
        ("no value", "share.auto.offset.reset", None),
        ("too few deliveries", "share.delivery.count.limit", Some("1")),
        ("too many deliveries", "share.delivery.count.limit", Some("11")),
        ("too short a lock", "share.record.lock.duration.ms", Some("14999")),
    ] {
        on.ask(&format!("of a group: {what}"), alter, configuring(GROUP, name, value)).await?;
    }
    let unnamed = configuring("", "share.auto.offset.reset", Some("earliest"));
    on.ask("of a group without a name", alter, unnamed).await?;
    on.await_metadata(TOPIC).await?;
    let resource = |name: &str| {
        let keys = ["share.auto.offset.reset", "share.delivery.count.limit"];
        message!(DescribeConfigsResource {
            resource_type: 32,
            resource_name: name.into(),
            configuration_keys: Some(keys.iter().map(|key| (*key).into()).collect()),
        })
    };
    let ask = message!(DescribeConfigsRequest {
        resources: vec![resource(GROUP), resource("script-share-none"), resource("")],
        include_synonyms: true,
    });
    on.ask("of groups", on.newest(ApiKey::DESCRIBE_CONFIGS), ask).await?;
    Ok(())
}

async fn wrong_beats(on: &mut Recorder, reader: &Reader) -> Result {
    let beat = on.newest(ApiKey::SHARE_GROUP_HEARTBEAT);
    for member in ["", "a member id that is longer than a UUID"] {
        let mut ask = reader.beat(0, Some(&[TOPIC]));
        ask.member_id = member.into();
        on.ask("an illegal member", beat, ask).await?;
    }
    let mut ask = reader.beat(0, Some(&[TOPIC]));
    ask.group_id = "".into();
    on.ask("an empty group", beat, ask).await?;
    let mut ask = reader.beat(0, Some(&[TOPIC]));
    ask.rack_id = Some("".into());
    on.ask("an empty rack", beat, ask).await?;
    on.ask("no topics", beat, reader.beat(0, None)).await?;
    on.ask("not one topic", beat, reader.beat(0, Some(&[]))).await?;
    on.ask("an illegal epoch", beat, reader.beat(-2, None)).await?;
    on.ask("a group that never was", beat, reader.beat(1, None)).await?;
    on.ask("a group that never was, leaving", beat, reader.beat(-1, None)).await?;
    Ok(())
}

async fn beats(on: &mut Recorder, reader: &Reader) -> Result {
    let beat = on.newest(ApiKey::SHARE_GROUP_HEARTBEAT);
    on.ask("in time", beat, reader.beat(reader.member_epoch, None)).await?;
    let again = reader.beat(reader.member_epoch, Some(&[TOPIC]));
    on.ask("in full", beat, again).await?;
    on.ask("joins again", beat, reader.beat(0, Some(&[TOPIC]))).await?;
    on.ask("the epoch before", beat, reader.beat(reader.member_epoch - 1, None)).await?;
    on.ask("an epoch to come", beat, reader.beat(reader.member_epoch + 5, None)).await?;
    let stranger = Reader { member: "share-z", ..reader.clone() };
    on.ask("a stranger", beat, stranger.beat(1, None)).await?;
    on.ask("a stranger leaves", beat, stranger.beat(-1, None)).await?;
    Ok(())
}

async fn describe(on: &mut Recorder, what: &str) -> Result {
    for operations in [false, true] {
        let ask = message!(ShareGroupDescribeRequest {
            group_ids: vec![GROUP.into(), "script-share-none".into()],
            include_authorized_operations: operations,
        });
        on.ask(what, on.newest(ApiKey::SHARE_GROUP_DESCRIBE), ask).await?;
    }
    on.ask_each(&format!("a share group {what}"), ApiKey::DESCRIBE_GROUPS, 5..=99, |_| {
        message!(DescribeGroupsRequest { groups: vec![GROUP.into()] })
    })
    .await?;
    let ask = message!(ListGroupsRequest { types_filter: vec!["Share".into()] });
    on.ask(&format!("share groups: {what}"), on.newest(ApiKey::LIST_GROUPS), ask).await?;
    Ok(())
}

async fn offsets(on: &mut Recorder, what: &str) -> Result {
    let topic = |name: &str, partitions: &[i32]| {
        message!(DescribeShareGroupOffsetsRequestTopic {
            topic_name: name.into(),
            partitions: partitions.to_vec(),
        })
    };
    let of = |group: &str, topics: Option<Vec<DescribeShareGroupOffsetsRequestTopic>>| {
        message!(DescribeShareGroupOffsetsRequestGroup { group_id: group.into(), topics: topics })
    };
    let asked = || {
        vec![
            of(GROUP, None),
            of(GROUP, Some(vec![topic(TOPIC, &[0]), topic("not-there", &[0])])),
            of(GROUP, Some(vec![])),
            of("script-share-none", None),
            of("script-share-none", Some(vec![topic(TOPIC, &[0])])),
        ]
    };
    // Its first question about lag takes a real coordinator two seconds, and half a minute if it is about two groups.
    let version = on.newest(ApiKey::DESCRIBE_SHARE_GROUP_OFFSETS);
    on.quietly(
        version,
        message!(DescribeShareGroupOffsetsRequest { groups: vec![of(GROUP, None)] }),
    )
    .await?;
    on.ask_each(what, ApiKey::DESCRIBE_SHARE_GROUP_OFFSETS, 0..=99, |_| {
        message!(DescribeShareGroupOffsetsRequest { groups: asked() })
    })
    .await
}

fn altering(group: &str, topic: &str, partition: i32, to: i64) -> AlterShareGroupOffsetsRequest {
    let partition = message!(AlterShareGroupOffsetsRequestPartition {
        partition_index: partition,
        start_offset: to,
    });
    let topic = message!(AlterShareGroupOffsetsRequestTopic {
        topic_name: topic.into(),
        partitions: vec![partition],
    });
    message!(AlterShareGroupOffsetsRequest { group_id: group.into(), topics: vec![topic] })
}

fn deleting(group: &str, topics: &[&str]) -> DeleteShareGroupOffsetsRequest {
    let topic =
        |name: &&str| message!(DeleteShareGroupOffsetsRequestTopic { topic_name: (*name).into() });
    message!(DeleteShareGroupOffsetsRequest {
        group_id: group.into(),
        topics: topics.iter().map(topic).collect(),
    })
}

/// Offsets of an empty group, set and forgotten.
async fn altered(on: &mut Recorder, alter: i16, delete: i16) -> Result {
    on.ask("to the fifth record", alter, altering(GROUP, TOPIC, 0, 5)).await?;
    on.ask("an unknown partition", alter, altering(GROUP, TOPIC, 9, 5)).await?;
    on.ask("an unknown topic", alter, altering(GROUP, "not-there", 0, 5)).await?;
    on.ask("no group", alter, altering("", TOPIC, 0, 5)).await?;
    on.ask("no topics", alter, message!(AlterShareGroupOffsetsRequest { group_id: GROUP.into() }))
        .await?;
    offsets(on, "altered").await?;
    on.ask("a group that never was", delete, deleting("script-share-none", &[TOPIC])).await?;
    on.ask("no group", delete, deleting("", &[TOPIC])).await?;
    on.ask("one topic, and one that is not there", delete, deleting(GROUP, &[TOPIC, "not-there"]))
        .await?;
    on.ask("again", delete, deleting(GROUP, &[TOPIC])).await?;
    Ok(())
}

/// Share groups and others under each other's names.
async fn strangers(on: &mut Recorder, topic: Uuid) -> Result {
    let join = on.newest(ApiKey::JOIN_GROUP);
    on.ask("of a share group", join, joining(GROUP, "")).await?;
    let nobody = ByteString::from_static("nobody");
    let sync = on.newest(ApiKey::SYNC_GROUP);
    on.ask("of a share group", sync, syncing(GROUP, &nobody, 1)).await?;
    on.ask_each("to a share group", ApiKey::OFFSET_COMMIT, 8..=99, |_| {
        committing(GROUP, TOPIC, topic, &[(0, 1)])
    })
    .await?;
    on.ask_each("of a share group", ApiKey::OFFSET_FETCH, 8..=9, |_| {
        let group = message!(OffsetFetchRequestGroup { group_id: GROUP.into() });
        message!(OffsetFetchRequest { groups: vec![group] })
    })
    .await?;
    let beat = on.newest(ApiKey::CONSUMER_GROUP_HEARTBEAT);
    on.ask("of a share group", beat, {
        message!(ConsumerGroupHeartbeatRequest {
            group_id: GROUP.into(),
            member_id: "member".into(),
            rebalance_timeout_ms: 30_000,
            subscribed_topic_names: Some(vec![TOPIC.into()]),
            topic_partitions: Some(vec![]),
        })
    })
    .await?;
    let joined = on.quietly(3, joining("script-share-classic", "")).await?;
    let Response::JoinGroup(_) = joined else { return Err("no answer to JoinGroup".into()) };
    await_state(on, "script-share-classic", "CompletingRebalance").await?;
    let reader = Reader { group: "script-share-classic", ..Reader::new(GROUP, "share-a", topic) };
    let beat = on.newest(ApiKey::SHARE_GROUP_HEARTBEAT);
    on.ask("of a classic group", beat, reader.beat(0, Some(&[TOPIC]))).await?;
    on.ask("of a classic group", beat, reader.beat(1, None)).await?;
    on.ask("of a classic group, leaving", beat, reader.beat(-1, None)).await?;
    let ask = message!(ShareGroupDescribeRequest {
        group_ids: vec![ByteString::from_static("script-share-classic")],
    });
    on.ask("a classic group", on.newest(ApiKey::SHARE_GROUP_DESCRIBE), ask).await?;
    Ok(())
}
