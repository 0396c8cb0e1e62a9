//! CreatePartitions, IncrementalAlterConfigs, AlterConfigs, OffsetForLeaderEpoch, DeleteRecords, OffsetDelete, DeleteGroups.

use milena_types::{ApiKey, Uuid};
use milena_wire::messages::create_partitions_request::{
    CreatePartitionsAssignment, CreatePartitionsTopic,
};
use milena_wire::messages::create_topics_request::CreatableTopic;
use milena_wire::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use milena_wire::messages::describe_configs_request::DescribeConfigsResource;
use milena_wire::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use milena_wire::messages::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use milena_wire::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use milena_wire::messages::{
    AlterConfigsRequest, CreatePartitionsRequest, CreateTopicsRequest, DeleteGroupsRequest,
    DeleteRecordsRequest, DeleteTopicsRequest, DescribeConfigsRequest,
    IncrementalAlterConfigsRequest, LeaveGroupRequest, OffsetDeleteRequest,
    OffsetForLeaderEpochRequest,
};
use milena_wire::{ByteString, Response};

use super::cluster::describe_configs;
use super::groups::{joining, syncing};
use super::offsets::committing;
use super::produce::to;
use crate::Result;
use crate::compare::recorder::Recorder;
use crate::raw::{Batch, message};

const TOPIC: &str = "script-administered";
const GROUP: &str = "script-administered";

pub(super) async fn run(on: &mut Recorder) -> Result {
    let topic =
        message!(CreatableTopic { name: TOPIC.into(), num_partitions: 1, replication_factor: 1 });
    let make = message!(CreateTopicsRequest { topics: vec![topic], timeout_ms: 10_000 });
    on.quietly(5, make).await?;
    let id = on.await_topic(TOPIC).await?;
    for values in [&["a", "b"][..], &["c"]] {
        on.quietly(9, to(TOPIC, id, 0, Some(Batch::of(values).bytes()))).await?;
    }
    create_partitions(on).await?;
    alter_configs(on).await?;
    replace_configs(on).await?;
    leader_epochs(on).await?;
    delete_records(on).await?;
    delete_offsets(on, id).await?;
    delete_groups(on).await?;
    delete_topic_of_groups(on, id).await
}

async fn create_partitions(on: &mut Recorder) -> Result {
    let key = ApiKey::CREATE_PARTITIONS;
    let raising = |name: &str, count: i32, assigned: Option<&[&[i32]]>| {
        let assignment = |brokers: &&[i32]| {
            message!(CreatePartitionsAssignment { broker_ids: brokers.to_vec() })
        };
        let topic = message!(CreatePartitionsTopic {
            name: name.into(),
            count: count,
            assignments: assigned.map(|assigned| assigned.iter().map(assignment).collect()),
        });
        message!(CreatePartitionsRequest { topics: vec![topic], timeout_ms: 10_000 })
    };
    on.ask_each("one more a version", key, 0..=99, |version| {
        raising(TOPIC, 2 + i32::from(version), None)
    })
    .await?;
    on.await_metadata(TOPIC).await?;
    on.await_topic(TOPIC).await?;
    let newest = on.newest(key);
    let count = 2 + i32::from(newest);
    for (what, ask) in [
        ("as many as there are", raising(TOPIC, count, None)),
        ("fewer than there are", raising(TOPIC, 1, None)),
        ("none", raising(TOPIC, 0, None)),
        ("minus one", raising(TOPIC, -1, None)),
        ("an unknown topic", raising("not-there", 2, None)),
        ("an impossible topic", raising("not a topic!", 2, None)),
        ("an assignment too few", raising(TOPIC, count + 2, Some(&[&[1]]))),
        ("an assignment too many", raising(TOPIC, count + 1, Some(&[&[1], &[1]]))),
        ("an assignment to an unknown broker", raising(TOPIC, count + 1, Some(&[&[99]]))),
        ("an assignment to nobody", raising(TOPIC, count + 1, Some(&[&[]]))),
        ("an assignment to one broker twice", raising(TOPIC, count + 1, Some(&[&[1, 1]]))),
        ("an assignment", raising(TOPIC, count + 1, Some(&[&[1]]))),
    ] {
        on.ask(what, newest, ask).await?;
    }
    if on.has(ApiKey::STREAMS_GROUP_HEARTBEAT) {
        // Older ones take a long time over it.
        on.ask("10,001 more", newest, raising(TOPIC, count + 10_001, None)).await?;
    }
    let mut checked = raising(TOPIC, count + 2, None);
    checked.validate_only = true;
    on.ask("only checked", newest, checked).await?;
    let mut twice = raising(TOPIC, count + 2, None);
    twice.topics.extend_from_within(..);
    on.ask("one topic twice", newest, twice).await?;
    on.ask("nothing", newest, message!(CreatePartitionsRequest {})).await?;
    Ok(())
}

const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;
const NO_OPERATION: i8 = 9;

async fn alter_configs(on: &mut Recorder) -> Result {
    let key = ApiKey::INCREMENTAL_ALTER_CONFIGS;
    let altering = |kind: i8, resource: &str, name: &str, operation: i8, value: Option<&str>| {
        let config = message!(AlterableConfig {
            name: name.into(),
            config_operation: operation,
            value: value.map(Into::into),
        });
        let resource = message!(AlterConfigsResource {
            resource_type: kind,
            resource_name: resource.into(),
            configs: vec![config],
        });
        message!(IncrementalAlterConfigsRequest { resources: vec![resource] })
    };
    on.ask_each("a setting", key, 0..=99, |_| {
        altering(2, TOPIC, "retention.ms", SET, Some("3600000"))
    })
    .await?;
    let newest = on.newest(key);
    for (what, name, operation, value) in [
        ("more of a list", "cleanup.policy", APPEND, Some("compact")),
        ("less of a list", "cleanup.policy", SUBTRACT, Some("delete")),
        ("a default again", "cleanup.policy", DELETE, None),
        ("a default that is one", "cleanup.policy", DELETE, None),
        ("an unknown setting", "no.such.setting", SET, Some("1")),
        ("an unknown setting away", "no.such.setting", DELETE, None),
        ("an unknown setting that is no list", "no.such.setting", APPEND, Some("1")),
        ("a wrong value", "retention.ms", SET, Some("long")),
        ("no value", "retention.ms", SET, None),
        ("more of what is no list", "retention.ms", APPEND, Some("1")),
        ("an unknown operation", "retention.ms", NO_OPERATION, Some("1")),
    ] {
        on.ask(what, newest, altering(2, TOPIC, name, operation, value)).await?;
    }
    let mut checked = altering(2, TOPIC, "retention.ms", SET, Some("5"));
    checked.validate_only = true;
    on.ask("only checked", newest, checked).await?;
    for (what, kind, name) in
        [("of an unknown topic", 2, "not-there"), ("of nothing known", 99, "x")]
    {
        on.ask(what, newest, altering(kind, name, "retention.ms", SET, Some("1"))).await?;
    }
    on.ask("nothing", newest, message!(IncrementalAlterConfigsRequest {})).await?;
    on.await_metadata(TOPIC).await?;
    describe_configs(on, TOPIC).await?;
    // Of older ones nobody has asked yet how they read lists.
    if !on.has(ApiKey::STREAMS_GROUP_HEARTBEAT) {
        return Ok(());
    }
    for (name, operation, value) in [
        ("cleanup.policy", SET, Some("compact,delete")),
        ("cleanup.policy", APPEND, Some("compact")),
        ("cleanup.policy", SUBTRACT, Some("compact")),
        ("cleanup.policy", APPEND, Some("compact,delete,")),
        ("cleanup.policy", SET, Some(" compact , delete ")),
        ("cleanup.policy", SET, Some("delete,delete")),
        ("cleanup.policy", DELETE, None),
        ("min.cleanable.dirty.ratio", SET, Some("1")),
        ("min.cleanable.dirty.ratio", SET, Some("0.00001")),
        ("min.cleanable.dirty.ratio", DELETE, None),
        ("preallocate", SET, Some("FALSE")),
        ("preallocate", DELETE, None),
        ("retention.ms", SET, Some(" 03600000")),
    ] {
        let what = format!("{name}, {operation}, {value:?}");
        on.ask(&what, newest, altering(2, TOPIC, name, operation, value)).await?;
        on.await_metadata(TOPIC).await?;
        let resource = message!(DescribeConfigsResource {
            resource_type: 2,
            resource_name: TOPIC.into(),
            configuration_keys: Some(vec![name.into()]),
        });
        let ask =
            message!(DescribeConfigsRequest { resources: vec![resource], include_synonyms: true });
        let newest = on.newest(ApiKey::DESCRIBE_CONFIGS);
        on.ask(&format!("after {what}"), newest, ask).await?;
    }
    Ok(())
}

/// By the older API: all is set at once.
async fn replace_configs(on: &mut Recorder) -> Result {
    use milena_wire::messages::alter_configs_request::{AlterConfigsResource, AlterableConfig};
    let key = ApiKey::ALTER_CONFIGS;
    let resource = |kind: i8, resource: &str, set: &[(&str, Option<&str>)]| {
        let config = |(name, value): &(&str, Option<&str>)| {
            message!(AlterableConfig { name: (*name).into(), value: value.map(Into::into) })
        };
        message!(AlterConfigsResource {
            resource_type: kind,
            resource_name: resource.into(),
            configs: set.iter().map(config).collect(),
        })
    };
    let replacing = |kind: i8, name: &str, set: &[(&str, Option<&str>)]| {
        message!(AlterConfigsRequest { resources: vec![resource(kind, name, set)] })
    };
    let hour = ("retention.ms", Some("3600000"));
    on.ask_each("two settings", key, 0..=99, |_| {
        replacing(2, TOPIC, &[hour, ("cleanup.policy", Some("compact"))])
    })
    .await?;
    on.await_metadata(TOPIC).await?;
    describe_configs(on, TOPIC).await?;
    let newest = on.newest(key);
    on.ask("one setting instead", newest, replacing(2, TOPIC, &[hour])).await?;
    let mut checked = replacing(2, TOPIC, &[("retention.ms", Some("5"))]);
    checked.validate_only = true;
    on.ask("only checked", newest, checked).await?;
    for (what, kind, name, set) in [
        ("an unknown setting", 2, TOPIC, &[("no.such.setting", Some("1"))][..]),
        ("a wrong value", 2, TOPIC, &[("retention.ms", Some("long"))]),
        ("an unknown topic", 2, "not-there", &[hour]),
        ("an impossible topic", 2, "not a topic!", &[hour]),
        ("a topic without a name", 2, "", &[hour]),
        ("nothing known", 99, "x", &[hour]),
        ("a logger", 8, "1", &[("kafka", Some("INFO"))]),
        ("another broker", 4, "77", &[("log.retention.ms", Some("1"))]),
    ] {
        on.ask(what, newest, replacing(kind, name, set)).await?;
    }
    on.ask("nothing", newest, message!(AlterConfigsRequest {})).await?;
    if on.has(ApiKey::LIST_PARTITION_REASSIGNMENTS) {
        // The oldest brokers fall over it, or take the last of several. A resource that is named twice is never answered.
        on.ask("no value", newest, replacing(2, TOPIC, &[("retention.ms", None)])).await?;
        on.ask("a setting twice", newest, replacing(2, TOPIC, &[hour, hour])).await?;
    }
    on.await_metadata(TOPIC).await?;
    describe_configs(on, TOPIC).await?;
    on.ask("none at all", newest, replacing(2, TOPIC, &[])).await?;
    on.await_metadata(TOPIC).await?;
    describe_configs(on, TOPIC).await
}

async fn leader_epochs(on: &mut Recorder) -> Result {
    let key = ApiKey::OFFSET_FOR_LEADER_EPOCH;
    let asking = |topic: &str, partition: i32, current: i32, epoch: i32| {
        let partition = message!(OffsetForLeaderPartition {
            partition: partition,
            current_leader_epoch: current,
            leader_epoch: epoch,
        });
        let topic =
            message!(OffsetForLeaderTopic { topic: topic.into(), partitions: vec![partition] });
        message!(OffsetForLeaderEpochRequest { replica_id: -1, topics: vec![topic] })
    };
    for (what, partition, current, epoch) in [
        ("the present epoch", 0, 0, 0),
        ("whoever leads", 0, -1, 0),
        ("a later epoch", 0, -1, 1),
        ("no epoch", 0, -1, -1),
        ("an unknown leader epoch", 0, 5, 0),
        ("an empty partition", 1, -1, 0),
        ("an unknown partition", 99, -1, 0),
    ] {
        on.ask_each(what, key, 2..=99, |_| asking(TOPIC, partition, current, epoch)).await?;
    }
    on.ask_each("an unknown topic", key, 2..=99, |_| asking("not-there", 0, -1, 0)).await
}

async fn delete_records(on: &mut Recorder) -> Result {
    let key = ApiKey::DELETE_RECORDS;
    let deleting = |topic: &str, partition: i32, offset: i64| {
        let partition =
            message!(DeleteRecordsPartition { partition_index: partition, offset: offset });
        let topic =
            message!(DeleteRecordsTopic { name: topic.into(), partitions: vec![partition] });
        message!(DeleteRecordsRequest { topics: vec![topic], timeout_ms: 10_000 })
    };
    for (what, partition, offset) in [
        ("nothing", 0, 0),
        ("half a batch", 0, 1),
        ("what is gone", 0, 0),
        ("beyond the end", 0, 4),
        ("a nonsense", 0, -2),
        ("an unknown partition", 99, 0),
    ] {
        on.ask_each(what, key, 0..=99, |_| deleting(TOPIC, partition, offset)).await?;
    }
    on.ask_each("an unknown topic", key, 0..=99, |_| deleting("not-there", 0, 0)).await?;
    on.ask_each("all", key, 0..=99, |_| deleting(TOPIC, 0, -1)).await
}

async fn delete_offsets(on: &mut Recorder, id: Uuid) -> Result {
    on.quietly(9, committing(GROUP, TOPIC, id, &[(0, 1), (1, 1)])).await?;
    let deleting = |group: &str, topic: &str, partition: i32| {
        let partition = message!(OffsetDeleteRequestPartition { partition_index: partition });
        let topic =
            message!(OffsetDeleteRequestTopic { name: topic.into(), partitions: vec![partition] });
        message!(OffsetDeleteRequest { group_id: group.into(), topics: vec![topic] })
    };
    let newest = on.newest(ApiKey::OFFSET_DELETE);
    for (what, ask) in [
        ("what was committed", deleting(GROUP, TOPIC, 0)),
        ("what was not", deleting(GROUP, TOPIC, 0)),
        ("an unknown partition", deleting(GROUP, TOPIC, 99)),
        ("an unknown topic", deleting(GROUP, "not-there", 0)),
        ("an unknown group", deleting("script-never", TOPIC, 0)),
        ("an empty group", deleting("", TOPIC, 0)),
    ] {
        on.ask(what, newest, ask).await?;
    }
    let mut none = deleting(GROUP, TOPIC, 0);
    none.topics.clear();
    on.ask("nothing", newest, none).await?;
    Ok(())
}

async fn delete_groups(on: &mut Recorder) -> Result {
    let key = ApiKey::DELETE_GROUPS;
    let deleting = |groups: &[&str]| {
        let groups = groups.iter().map(|group| ByteString::from(*group)).collect();
        message!(DeleteGroupsRequest { groups_names: groups })
    };
    on.ask_each("an unknown group", key, 0..=99, |_| deleting(&["script-never"])).await?;
    on.ask_each("an empty group", key, 0..=99, |_| deleting(&[""])).await?;
    on.ask_each("none", key, 0..=99, |_| deleting(&[])).await?;

    let member = joining("script-has-members", "");
    let Response::JoinGroup(joined) = on.quietly(3, member).await? else {
        return Err("another answer than JoinGroup's".into());
    };
    let sync = syncing("script-has-members", &joined.member_id, joined.generation_id);
    let mut sync = sync;
    (sync.protocol_type, sync.protocol_name) = (None, None);
    on.quietly(3, sync).await?;
    let newest = on.newest(key);
    on.ask("one with a member", newest, deleting(&["script-has-members"])).await?;
    on.ask("one that only committed", newest, deleting(&[GROUP])).await?;
    on.ask("one that was deleted", newest, deleting(&[GROUP])).await?;
    Ok(())
}

/// With a topic go commits, and before 4.0 groups that have none and no members.
async fn delete_topic_of_groups(on: &mut Recorder, id: Uuid) -> Result {
    const PASSING: &str = "script-passing";
    const GROUPS: [&str; 3] = ["script-passed", "script-went", "script-stayed"];
    let [passed, went, stayed] = GROUPS;
    let topic =
        message!(CreatableTopic { name: PASSING.into(), num_partitions: 1, replication_factor: 1 });
    let make = message!(CreateTopicsRequest { topics: vec![topic], timeout_ms: 10_000 });
    on.quietly(5, make).await?;
    let passing = on.await_topic(PASSING).await?;
    let newest = on.newest(ApiKey::OFFSET_COMMIT);
    on.quietly(newest, committing(passed, PASSING, passing, &[(0, 1)])).await?;
    on.quietly(newest, committing(stayed, PASSING, passing, &[(0, 1)])).await?;
    on.quietly(newest, committing(stayed, TOPIC, id, &[(0, 1)])).await?;
    let Response::JoinGroup(joined) = on.quietly(3, joining(went, "")).await? else {
        return Err("another answer than JoinGroup's".into());
    };
    on.quietly(
        2,
        message!(LeaveGroupRequest { group_id: went.into(), member_id: joined.member_id }),
    )
    .await?;
    let topic_names = vec![PASSING.into()];
    on.quietly(1, message!(DeleteTopicsRequest { topic_names: topic_names, timeout_ms: 10_000 }))
        .await?;
    // The first tells that the broker has learned of it, the second that it is done with what it learned.
    on.await_metadata(TOPIC).await?;
    on.await_metadata(TOPIC).await?;
    let groups_names = GROUPS.map(ByteString::from).into();
    let ask = message!(DeleteGroupsRequest { groups_names: groups_names });
    on.ask("those that read a deleted topic", on.newest(ApiKey::DELETE_GROUPS), ask).await?;
    Ok(())
}
