//! Clients that go beyond their quotas: ShareFetch, CreateTopics, CreatePartitions, DeleteTopics.

use std::time::Duration;

use milena_types::ApiKey;
use milena_wire::messages as m;
use milena_wire::messages::create_topics_request::CreatableTopic;
use milena_wire::{Request, Response};

use super::produce::to;
use super::quotas::wishing;
use super::share_reader::{ACCEPT, Reader, configuring};
use crate::Result;
use crate::compare::recorder::Recorder;
use crate::raw::{Batch, message};

/// What this script calls itself.
const CLIENT: (&str, Option<&str>) = ("client-id", Some("protocol-tests"));

const SHARED: &str = "script-limited";
const CHANGED: &str = "script-mutated";
/// Three quarters of a minute beyond the quota, however slow the machine is.
const AT_ONCE: i32 = 60;

pub(super) async fn run(on: &mut Recorder) -> Result {
    // A session to share is limited too.
    if on.newest(ApiKey::SHARE_GROUP_HEARTBEAT) < 1 {
        return Ok(());
    }
    share_fetch(on).await?;
    mutations(on).await
}

/// Sets or removes a quota of this client, and waits until it counts.
async fn limit(on: &mut Recorder, quota: &str, value: Option<f64>) -> Result {
    let newest = on.newest(ApiKey::ALTER_CLIENT_QUOTAS);
    on.quietly(newest, wishing(&[(&[CLIENT], quota, value)])).await?;
    // The first tells that the broker has learned of it, the second that it is done with what it learned.
    on.await_metadata("script-placed").await?;
    on.await_metadata("script-placed").await
}

async fn create(on: &mut Recorder, name: &str) -> Result {
    let topic =
        message!(CreatableTopic { name: name.into(), num_partitions: 1, replication_factor: 1 });
    let make = message!(m::CreateTopicsRequest { topics: vec![topic], timeout_ms: 10_000 });
    on.quietly(5, make).await?;
    Ok(())
}

/// Each batch has six seconds' worth of a quota of which ten are free.
async fn share_fetch(on: &mut Recorder) -> Result {
    create(on, SHARED).await?;
    let topic = on.await_topic(SHARED).await?;
    let from_start = configuring(SHARED, "share.auto.offset.reset", Some("earliest"));
    on.quietly(1, from_start).await?;
    on.await_metadata("script-placed").await?;
    let mut reader = Reader::new(SHARED, "limited-a", topic);
    reader.await_partitions(on, &[SHARED]).await?;
    limit(on, "consumer_byte_rate", Some(100_000.0)).await?;
    let large = "x".repeat(600_000);
    let mut ask = reader.fetch(&[0]);
    for (what, said) in [
        ("within the quota", None),
        ("beyond the quota", None),
        ("beyond the quota, with an acknowledgement", Some((0, 0, &[ACCEPT][..]))),
    ] {
        on.quietly(9, to(SHARED, topic, 0, Some(Batch::of(&[&large]).bytes()))).await?;
        if let Some(said) = said {
            ask = reader.fetch_with(&[said]);
        }
        (ask.max_wait_ms, ask.min_bytes) = (10_000, 1);
        reader.ask_fetch(on, what, ask).await?;
        ask = reader.fetch(&[]);
    }
    reader.ask_acknowledge(on, "what nobody was told of", &[(1, 2, &[ACCEPT])]).await?;
    limit(on, "consumer_byte_rate", None).await?;
    ask = reader.fetch(&[]);
    ask.share_session_epoch = -1;
    on.ask("the end of a limited session", on.newest(ApiKey::SHARE_FETCH), ask).await?;
    on.quietly(1, reader.beat(-1, None)).await?;
    Ok(())
}

fn creating(names: &[&str], partitions: i32) -> m::CreateTopicsRequest {
    let topic = |name: &&str| {
        message!(CreatableTopic {
            name: (*name).into(),
            num_partitions: partitions,
            replication_factor: 1,
        })
    };
    message!(m::CreateTopicsRequest {
        topics: names.iter().map(topic).collect(),
        timeout_ms: 10_000,
    })
}

fn raising(name: &str, count: i32) -> m::CreatePartitionsRequest {
    let topic = message!(m::create_partitions_request::CreatePartitionsTopic {
        name: name.into(),
        count: count,
        assignments: None,
    });
    message!(m::CreatePartitionsRequest { topics: vec![topic], timeout_ms: 10_000 })
}

fn deleting(name: &str) -> m::DeleteTopicsRequest {
    let topic = message!(m::delete_topics_request::DeleteTopicState { name: Some(name.into()) });
    message!(m::DeleteTopicsRequest { topics: vec![topic], timeout_ms: 10_000 })
}

/// Of one partition a second, of which eleven are free; the others are paid for no sooner than the last is asked.
async fn mutations(on: &mut Recorder) -> Result {
    limit(on, "controller_mutation_rate", Some(1.0)).await?;
    let newest = on.newest(ApiKey::CREATE_TOPICS);
    on.ask("more than the quota at once", newest, creating(&[CHANGED], AT_ONCE)).await?;
    let id = on.await_topic(CHANGED).await?;
    let mut validated = creating(&["script-mutated-b"], 1);
    validated.validate_only = true;
    let by_id = message!(m::delete_topics_request::DeleteTopicState { topic_id: id });
    let by_id = message!(m::DeleteTopicsRequest { topics: vec![by_id], timeout_ms: 10_000 });
    let old = |name: &str| {
        message!(m::DeleteTopicsRequest { topic_names: vec![name.into()], timeout_ms: 10_000 })
    };
    let mut nowhere = raising(CHANGED, AT_ONCE + 1);
    let assignment =
        message!(m::create_partitions_request::CreatePartitionsAssignment { broker_ids: vec![99] });
    nowhere.topics[0].assignments = Some(vec![assignment]);
    let asked: [(&str, i16, Request); 14] = [
        ("nothing left", 7, creating(&["script-mutated-b"], 1).into()),
        ("nothing left", 6, creating(&["script-mutated-b", "script-mutated-c"], 1).into()),
        ("nothing left to validate", 7, validated.into()),
        ("nothing left, and there already", 7, creating(&[CHANGED], 1).into()),
        ("nothing left", 3, raising(CHANGED, AT_ONCE + 2).into()),
        ("nothing left, to an unknown broker", 3, nowhere.into()),
        ("nothing left, and too few", 3, raising(CHANGED, 2).into()),
        ("nothing left", 6, deleting(CHANGED).into()),
        ("nothing left, by id", 6, by_id.into()),
        ("nothing left", 5, old(CHANGED).into()),
        ("nothing left and asked for silence", 5, creating(&["script-mutated-d"], 1).into()),
        ("nothing left and asked for silence", 2, raising("script-mutated-d", 2).into()),
        ("nothing left and asked for silence", 4, old("script-mutated-d").into()),
        ("nothing left and nothing done", 4, old("script-nowhere").into()),
    ];
    for (what, version, request) in asked {
        // Whoever is asked for silence is not heard: each asks by a connection of its own.
        let mut connection = on.beside().await?;
        let key = request.api_key();
        connection.send(&request, version).await?;
        on.take(what, version, key, &mut connection).await?;
        if version == 5 && key == ApiKey::CREATE_TOPICS {
            on.await_topic("script-mutated-d").await?;
        }
    }
    let topic = message!(m::metadata_request::MetadataRequestTopic {
        name: Some("script-mutated-auto".into()),
    });
    let mut auto = message!(m::MetadataRequest { topics: Some(vec![topic]) });
    auto.allow_auto_topic_creation = true;
    let newest = on.newest(ApiKey::METADATA);
    on.ask("made by itself, with nothing left", newest, auto.clone()).await?;
    // Long enough for a topic to be made.
    tokio::time::sleep(Duration::from_secs(1)).await;
    limit(on, "controller_mutation_rate", None).await?;
    let Response::DeleteTopics(told) = on.quietly(6, deleting(CHANGED)).await? else {
        return Err("another answer than DeleteTopics'".into());
    };
    assert_eq!(told.throttle_time_ms, 0, "{told:?}");
    auto.allow_auto_topic_creation = false;
    on.ask("not made by itself", newest, auto).await?;
    Ok(())
}
