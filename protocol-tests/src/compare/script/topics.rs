//! CreateTopics, Metadata, DeleteTopics.

use milena_types::{ApiKey, ErrorCode, Uuid};
use milena_wire::Response;
use milena_wire::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use milena_wire::messages::delete_topics_request::DeleteTopicState;
use milena_wire::messages::metadata_request::MetadataRequestTopic;
use milena_wire::messages::{CreateTopicsRequest, DeleteTopicsRequest, MetadataRequest};

use super::cluster::describe_configs;
use crate::Result;
use crate::compare::recorder::Recorder;
use crate::raw::message;

const MADE: &str = "script-topic";

/// An id that no topic has.
const NOWHERE: Uuid = Uuid::from_bytes([7; 16]);

pub(super) async fn run(on: &mut Recorder) -> Result {
    create(on).await?;
    let id = on.await_topic(MADE).await?;
    metadata(on, id).await?;
    describe_configs(on, MADE).await
}

fn topic(name: &str, partitions: i32, replication: i16) -> CreatableTopic {
    message!(CreatableTopic {
        name: name.into(),
        num_partitions: partitions,
        replication_factor: replication,
    })
}

fn making(topics: Vec<CreatableTopic>) -> CreateTopicsRequest {
    message!(CreateTopicsRequest { topics: topics, timeout_ms: 10_000 })
}

async fn create(on: &mut Recorder) -> Result {
    let key = ApiKey::CREATE_TOPICS;
    on.ask_each("a topic a version", key, 0..=99, |version| {
        making(vec![topic(&format!("script-v{version}"), 2, 1)])
    })
    .await?;
    let newest = on.newest(key);
    on.ask("three partitions", newest, making(vec![topic(MADE, 3, 1)])).await?;
    let defaults = making(vec![topic("script-defaults", -1, -1)]);
    on.ask("the broker's defaults", newest, defaults).await?;

    on.ask_each("one that exists", key, 0..=99, |_| making(vec![topic(MADE, 3, 1)])).await?;
    let only_checked = |topics| {
        let mut ask = making(topics);
        ask.validate_only = true;
        ask
    };
    let wrong = [
        ("an illegal name", topic("not a topic!", 1, 1)),
        ("an empty name", topic("", 1, 1)),
        ("a dot", topic(".", 1, 1)),
        ("two dots", topic("..", 1, 1)),
        ("a name of 250 letters", topic(&"x".repeat(250), 1, 1)),
        ("no partitions", topic("script-wrong", 0, 1)),
        ("minus two partitions", topic("script-wrong", -2, 1)),
        ("no replicas", topic("script-wrong", 1, 0)),
        ("more replicas than brokers", topic("script-wrong", 1, 9)),
        ("a name that collides", topic("script.topic", 1, 1)),
        ("an underscore that collides", topic("script_topic", 1, 1)),
    ];
    for (what, topic) in wrong {
        on.ask(what, newest, making(vec![topic.clone()])).await?;
        on.ask(&format!("{what}, only checked"), newest, only_checked(vec![topic])).await?;
    }
    let fine = only_checked(vec![topic("script-checked", 1, 1)]);
    on.ask("only checked", newest, fine).await?;
    let twice = making(vec![topic("script-twice", 1, 1), topic("script-twice", 1, 1)]);
    on.ask("one name twice", newest, twice).await?;
    on.ask("none", newest, making(vec![])).await?;
    // Older ones make them, or take a long time to say that they do not.
    let too_many = [(10_001, 1), (100, 101), (10_000, 1), (1, 5_001)];
    let too_many = too_many.into_iter().filter(|_| on.has(ApiKey::STREAMS_GROUP_HEARTBEAT));
    for (partitions, topics) in too_many.collect::<Vec<_>>() {
        let topics = (0..topics).map(|i| topic(&format!("script-many-{i}"), partitions, 1));
        let what = format!("{partitions} partitions in each of {} topics", topics.len());
        on.ask(&what, newest, making(topics.collect())).await?;
    }

    let config = |name: &str, value: Option<&str>| {
        let mut topic = topic("script-config", 1, 1);
        topic.configs = vec![message!(CreatableTopicConfig {
            name: name.into(),
            value: value.map(Into::into),
        })];
        topic
    };
    on.ask("an unknown setting", newest, making(vec![config("no.such.setting", Some("1"))]))
        .await?;
    on.ask("a wrong value", newest, making(vec![config("retention.ms", Some("long"))])).await?;
    on.ask("a setting without value", newest, making(vec![config("retention.ms", None)])).await?;
    on.ask("a setting", newest, making(vec![config("retention.ms", Some("3600000"))])).await?;

    let assigned = |name: &str, partitions: &[(i32, &[i32])]| {
        let mut topic = topic(name, -1, -1);
        topic.assignments = partitions
            .iter()
            .map(|(index, brokers)| {
                message!(CreatableReplicaAssignment {
                    partition_index: *index,
                    broker_ids: brokers.to_vec(),
                })
            })
            .collect();
        topic
    };
    let good = assigned("script-assigned", &[(0, &[1]), (1, &[1])]);
    on.ask("an assignment", newest, making(vec![good])).await?;
    // A controller with ZooKeeper makes such a topic, and waits for a leader that there will not be.
    if on.has(ApiKey::DESCRIBE_QUORUM) {
        let unknown = assigned("script-wrong", &[(0, &[99])]);
        on.ask("an assignment to an unknown broker", newest, making(vec![unknown])).await?;
    }
    // The oldest ones make this too.
    if newest > 3 {
        let gap = assigned("script-wrong", &[(0, &[1]), (2, &[1])]);
        on.ask("an assignment with a gap", newest, making(vec![gap])).await?;
    }
    let mut both = assigned("script-wrong", &[(0, &[1])]);
    both.num_partitions = 1;
    on.ask("an assignment and a count", newest, making(vec![both])).await?;
    Ok(())
}

fn named(name: &str) -> MetadataRequestTopic {
    message!(MetadataRequestTopic { name: Some(name.into()) })
}

fn about(topics: Option<Vec<MetadataRequestTopic>>, create: bool) -> MetadataRequest {
    message!(MetadataRequest { topics: topics, allow_auto_topic_creation: create })
}

async fn metadata(on: &mut Recorder, id: Uuid) -> Result {
    let key = ApiKey::METADATA;
    // Below version 4 the broker may make a topic that is asked for.
    on.ask_each("a topic", key, 0..=99, |version| about(Some(vec![named(MADE)]), version < 4))
        .await?;
    on.ask_each("an unknown topic", key, 4..=99, |_| about(Some(vec![named("not-there")]), false))
        .await?;
    on.ask_each("an impossible name", key, 4..=99, |_| {
        about(Some(vec![named("not a topic!")]), true)
    })
    .await?;
    on.ask_each("no topic", key, 1..=99, |version| about(Some(vec![]), version < 4)).await?;
    on.ask_each("by id", key, 12..=99, |_| {
        let topic = message!(MetadataRequestTopic { topic_id: id, name: None });
        about(Some(vec![topic]), false)
    })
    .await?;
    on.ask_each("by an unknown id", key, 12..=99, |_| {
        let topic = message!(MetadataRequestTopic { topic_id: NOWHERE, name: None });
        about(Some(vec![topic]), false)
    })
    .await?;
    on.ask_each("with operations", key, 8..=99, |version| {
        let mut ask = about(Some(vec![named(MADE)]), false);
        ask.include_cluster_authorized_operations = version <= 10;
        ask.include_topic_authorized_operations = true;
        ask
    })
    .await?;
    let newest = on.newest(key);
    let made = about(Some(vec![named("script-made-by-asking")]), true);
    on.ask("a topic that is made by asking", newest, made).await?;
    on.await_topic("script-made-by-asking").await?;
    let made = about(Some(vec![named("script-made-by-asking")]), false);
    on.ask("the topic that was made by asking", newest, made).await?;
    Ok(())
}

pub(super) async fn delete(on: &mut Recorder) -> Result {
    let key = ApiKey::DELETE_TOPICS;
    let deleting = |version: i16, name: &str| {
        let mut ask = message!(DeleteTopicsRequest { timeout_ms: 10_000 });
        if version < 6 {
            ask.topic_names = vec![name.into()];
        } else {
            ask.topics = vec![message!(DeleteTopicState { name: Some(name.into()) })];
        }
        ask
    };
    on.ask_each("an unknown topic", key, 0..=99, |version| deleting(version, "not-there")).await?;
    on.ask_each("a topic a version", key, 0..=5, |version| {
        deleting(version, &format!("script-v{version}"))
    })
    .await?;
    let newest = on.newest(key);
    let by = |topics| message!(DeleteTopicsRequest { topics: topics, timeout_ms: 10_000 });
    let id = on.await_topic(MADE).await?;
    let topic = |name: Option<&str>, id| {
        message!(DeleteTopicState { name: name.map(Into::into), topic_id: id })
    };
    on.ask("by an unknown id", newest, by(vec![topic(None, NOWHERE)])).await?;
    on.ask("by name and id", newest, by(vec![topic(Some(MADE), id)])).await?;
    on.ask("by neither", newest, by(vec![topic(None, Uuid::ZERO)])).await?;
    if newest < 6 {
        let mut twice = deleting(newest, MADE);
        twice.topic_names.extend_from_within(..);
        on.ask("one name twice", newest, twice).await?;
        return Ok(());
    }
    let twice = vec![topic(Some("script-v7"), Uuid::ZERO), topic(Some("script-v7"), Uuid::ZERO)];
    let told = on.ask("one name twice", newest, by(twice)).await?;
    on.ask("one id twice", newest, by(vec![topic(None, id), topic(None, id)])).await?;
    let apart = vec![topic(None, id), topic(Some(MADE), Uuid::ZERO)];
    on.ask("by name and by id", newest, by(apart)).await?;
    let twice = vec![topic(Some(MADE), Uuid::ZERO), topic(None, id), topic(None, id)];
    on.ask("by name and by id twice", newest, by(twice)).await?;
    if is_done(told) {
        return Ok(());
    }
    let other = on.await_topic("script-v7").await?;
    let both = vec![topic(Some("script-v7"), other), topic(Some("script-v7"), Uuid::ZERO)];
    on.ask("by name and id, and by name", newest, by(both)).await?;
    on.ask("by id", newest, by(vec![topic(None, id)])).await?;
    Ok(())
}

/// Whether all was deleted: with ZooKeeper one name may be told twice.
fn is_done(told: Option<Response>) -> bool {
    let Some(Response::DeleteTopics(told)) = told else { return false };
    told.responses.iter().all(|topic| topic.error_code == ErrorCode::NONE)
}
