//! DescribeLogDirs, AlterReplicaLogDirs, ElectLeaders, the two of reassignments, DescribeTopicPartitions,
//! ListConfigResources, DescribeQuorum.

use milena_types::ApiKey;
use milena_wire::Response;
use milena_wire::messages::alter_partition_reassignments_request::{
    ReassignablePartition, ReassignableTopic,
};
use milena_wire::messages::alter_replica_log_dirs_request::{
    AlterReplicaLogDir, AlterReplicaLogDirTopic,
};
use milena_wire::messages::create_topics_request::CreatableTopic;
use milena_wire::messages::describe_log_dirs_request::DescribableLogDirTopic;
use milena_wire::messages::describe_quorum_request::{PartitionData, TopicData};
use milena_wire::messages::describe_topic_partitions_request::{Cursor, TopicRequest};
use milena_wire::messages::elect_leaders_request::TopicPartitions;
use milena_wire::messages::list_partition_reassignments_request::ListPartitionReassignmentsTopics;
use milena_wire::messages::{
    AlterPartitionReassignmentsRequest, AlterReplicaLogDirsRequest, CreateTopicsRequest,
    DescribeLogDirsRequest, DescribeQuorumRequest, DescribeTopicPartitionsRequest,
    ElectLeadersRequest, ListConfigResourcesRequest, ListPartitionReassignmentsRequest,
};

use super::produce::to;
use crate::Result;
use crate::compare::recorder::Recorder;
use crate::raw::{Batch, message};

const TOPIC: &str = "script-placed";

pub(super) async fn run(on: &mut Recorder) -> Result {
    let topic =
        message!(CreatableTopic { name: TOPIC.into(), num_partitions: 3, replication_factor: 1 });
    let make = message!(CreateTopicsRequest { topics: vec![topic], timeout_ms: 10_000 });
    on.quietly(5, make).await?;
    let id = on.await_topic(TOPIC).await?;
    on.quietly(9, to(TOPIC, id, 0, Some(Batch::of(&["a", "b"]).bytes()))).await?;
    log_dirs(on).await?;
    elect_leaders(on).await?;
    reassign(on).await?;
    describe(on).await?;
    list_resources(on).await?;
    describe_quorum(on).await
}

/// The directory has another name on each side, and only some are spoken of.
async fn log_dirs(on: &mut Recorder) -> Result {
    let asking = |topic: &str, partitions: &[i32]| {
        let topic = message!(DescribableLogDirTopic {
            topic: topic.into(),
            partitions: partitions.to_vec()
        });
        message!(DescribeLogDirsRequest { topics: Some(vec![topic]) })
    };
    let key = ApiKey::DESCRIBE_LOG_DIRS;
    for (what, topic, partitions) in [
        ("a partition", TOPIC, &[0][..]),
        ("one that is empty and one that is not there", TOPIC, &[1, 99]),
        ("an unknown topic", "not-there", &[0]),
    ] {
        on.ask_each(what, key, 0..=99, |_| asking(topic, partitions)).await?;
    }
    let none = message!(DescribeLogDirsRequest { topics: Some(vec![]) });
    on.ask("nothing", on.newest(key), none).await?;

    let Response::DescribeLogDirs(told) = on.quietly(on.newest(key), asking(TOPIC, &[0])).await?
    else {
        return Err("another answer than DescribeLogDirs'".into());
    };
    let dir = told.results.first().ok_or("no directory")?.log_dir.clone();
    let moving = |path: &str, topic: &str, partition: i32| {
        let topic =
            message!(AlterReplicaLogDirTopic { name: topic.into(), partitions: vec![partition] });
        let dir = message!(AlterReplicaLogDir { path: path.into(), topics: vec![topic] });
        message!(AlterReplicaLogDirsRequest { dirs: vec![dir] })
    };
    for (what, path, topic, partition) in [
        ("to where it is", &*dir, TOPIC, 0),
        ("to where nothing is", "/not/there", TOPIC, 0),
        ("an unknown partition", &*dir, TOPIC, 99),
        ("an unknown topic", &*dir, "not-there", 0),
    ] {
        on.ask_each(what, ApiKey::ALTER_REPLICA_LOG_DIRS, 0..=99, |_| {
            moving(path, topic, partition)
        })
        .await?;
    }
    Ok(())
}

async fn elect_leaders(on: &mut Recorder) -> Result {
    let key = ApiKey::ELECT_LEADERS;
    let electing = |election: i8, topic: &str, partition: i32| {
        let topic = message!(TopicPartitions { topic: topic.into(), partitions: vec![partition] });
        message!(ElectLeadersRequest {
            election_type: election,
            topic_partitions: Some(vec![topic]),
        })
    };
    for (what, topic, partition) in [
        ("whoever leads already", TOPIC, 0),
        ("an unknown partition", TOPIC, 99),
        ("an unknown topic", "not-there", 0),
    ] {
        on.ask_each(what, key, 0..=99, |_| electing(0, topic, partition)).await?;
    }
    on.ask_each("whoever runs", key, 1..=99, |_| electing(1, TOPIC, 0)).await?;
    on.ask_each("in no known way", key, 1..=99, |_| electing(7, TOPIC, 0)).await
}

async fn reassign(on: &mut Recorder) -> Result {
    let key = ApiKey::ALTER_PARTITION_REASSIGNMENTS;
    let moving = |topic: &str, partition: i32, nodes: Option<&[i32]>| {
        let partition = message!(ReassignablePartition {
            partition_index: partition,
            replicas: nodes.map(<[i32]>::to_vec),
        });
        let topic = message!(ReassignableTopic { name: topic.into(), partitions: vec![partition] });
        message!(AlterPartitionReassignmentsRequest { topics: vec![topic] })
    };
    for (what, topic, partition, nodes) in [
        ("to where it is", TOPIC, 0, Some(&[1][..])),
        ("to an unknown node", TOPIC, 0, Some(&[99])),
        ("to one node twice", TOPIC, 0, Some(&[1, 1])),
        ("to nobody", TOPIC, 0, Some(&[])),
        ("called off", TOPIC, 0, None),
        ("an unknown partition", TOPIC, 99, Some(&[1])),
        ("an unknown topic", "not-there", 0, Some(&[1])),
        ("an unknown topic, called off", "not-there", 0, None),
    ] {
        on.ask_each(what, key, 0..=99, |_| moving(topic, partition, nodes)).await?;
    }
    let listing = |topic: &str| {
        let topic = message!(ListPartitionReassignmentsTopics {
            name: topic.into(),
            partition_indexes: vec![0],
        });
        message!(ListPartitionReassignmentsRequest { topics: Some(vec![topic]) })
    };
    let key = ApiKey::LIST_PARTITION_REASSIGNMENTS;
    on.ask_each("all", key, 0..=99, |_| message!(ListPartitionReassignmentsRequest {})).await?;
    on.ask_each("of a topic", key, 0..=99, |_| listing(TOPIC)).await?;
    on.ask_each("of an unknown topic", key, 0..=99, |_| listing("not-there")).await
}

async fn describe(on: &mut Recorder) -> Result {
    let key = ApiKey::DESCRIBE_TOPIC_PARTITIONS;
    let asking = |topics: &[&str], limit: i32, cursor: Option<(&str, i32)>| {
        let topics = topics.iter().map(|name| message!(TopicRequest { name: (*name).into() }));
        let cursor = cursor.map(|(topic, partition)| {
            message!(Cursor { topic_name: topic.into(), partition_index: partition })
        });
        message!(DescribeTopicPartitionsRequest {
            topics: topics.collect(),
            response_partition_limit: limit,
            cursor: cursor,
        })
    };
    let known = &[TOPIC][..];
    for (what, topics, limit, cursor) in [
        ("a topic", known, 2000, None),
        ("two partitions", known, 2, None),
        ("the rest", known, 2, Some((TOPIC, 2))),
        ("behind the end", known, 2, Some((TOPIC, 9))),
        ("none at all", known, 0, None),
        ("unknown ones besides", &["a-topic-that-is-not", TOPIC, "not there!"], 2000, None),
        ("as many as there are, of two", &[TOPIC, "zzz-not-there"], 3, None),
        ("behind a topic", &["a-topic-that-is-not", TOPIC], 2000, Some((TOPIC, 1))),
        ("from where nobody asks", known, 2000, Some(("elsewhere", 0))),
        ("from a nonsense", known, 2000, Some((TOPIC, -1))),
    ] {
        on.ask_each(what, key, 0..=99, |_| asking(topics, limit, cursor)).await?;
    }
    Ok(())
}

async fn list_resources(on: &mut Recorder) -> Result {
    let key = ApiKey::LIST_CONFIG_RESOURCES;
    on.ask_each("metrics", key, 0..=0, |_| message!(ListConfigResourcesRequest {})).await?;
    for (what, kinds) in [("brokers", &[4][..]), ("their loggers", &[8]), ("metrics", &[16])] {
        on.ask_each(what, key, 1..=99, |_| {
            message!(ListConfigResourcesRequest { resource_types: kinds.to_vec() })
        })
        .await?;
    }
    on.ask_each("a nonsense", key, 1..=99, |_| {
        message!(ListConfigResourcesRequest { resource_types: vec![99] })
    })
    .await
}

async fn describe_quorum(on: &mut Recorder) -> Result {
    let asking = |topic: &str, partition: i32| {
        let partition = message!(PartitionData { partition_index: partition });
        let topic = message!(TopicData { topic_name: topic.into(), partitions: vec![partition] });
        message!(DescribeQuorumRequest { topics: vec![topic] })
    };
    let key = ApiKey::DESCRIBE_QUORUM;
    for (what, topic, partition) in [
        ("of the cluster", "__cluster_metadata", 0),
        ("of another partition", "__cluster_metadata", 1),
        ("of a topic", TOPIC, 0),
    ] {
        on.ask_each(what, key, 0..=99, |_| asking(topic, partition)).await?;
    }
    Ok(())
}
