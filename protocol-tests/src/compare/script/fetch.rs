//! Fetch, over what `produce` wrote.

use milena_types::{ApiKey, Uuid};
use milena_wire::Response;
use milena_wire::messages::FetchRequest;
use milena_wire::messages::fetch_request::{FetchPartition, FetchTopic, ForgottenTopic};

use super::produce::TOPIC;
use crate::Result;
use crate::compare::recorder::Recorder;
use crate::raw::message;

pub(super) async fn run(on: &mut Recorder) -> Result {
    let id = on.await_topic(TOPIC).await?;
    whole(on, id).await?;
    wrong(on, id).await?;
    limits(on, id).await?;
    session(on, id).await
}

fn partition(index: i32, offset: i64) -> FetchPartition {
    message!(FetchPartition {
        partition: index,
        fetch_offset: offset,
        partition_max_bytes: 1 << 20,
    })
}

fn of(topic: &str, id: Uuid, partitions: Vec<FetchPartition>) -> FetchRequest {
    let topic = message!(FetchTopic { topic: topic.into(), topic_id: id, partitions: partitions });
    message!(FetchRequest { max_wait_ms: 0, max_bytes: 10 << 20, topics: vec![topic] })
}

/// The versions of consumers; later ones are for replicas.
const CONSUMER_MAX: i16 = 17;

async fn whole(on: &mut Recorder, id: Uuid) -> Result {
    let key = ApiKey::FETCH;
    on.ask_each("from the start", key, 4..=CONSUMER_MAX, |_| {
        of(TOPIC, id, vec![partition(0, 0), partition(1, 0), partition(2, 0), partition(3, 0)])
    })
    .await?;
    let newest = on.newest(key).min(CONSUMER_MAX);
    on.ask("from the middle", newest, of(TOPIC, id, vec![partition(0, 3)])).await?;
    let mut committed = of(TOPIC, id, vec![partition(0, 0), partition(2, 0)]);
    committed.isolation_level = 1;
    on.ask("read_committed", newest, committed).await?;
    Ok(())
}

async fn wrong(on: &mut Recorder, id: Uuid) -> Result {
    let key = ApiKey::FETCH;
    on.ask_each("an offset past the end", key, 4..=CONSUMER_MAX, |_| {
        of(TOPIC, id, vec![partition(0, 9999)])
    })
    .await?;
    on.ask_each("an offset before the start", key, 4..=CONSUMER_MAX, |_| {
        of(TOPIC, id, vec![partition(0, -1)])
    })
    .await?;
    on.ask_each("an unknown partition", key, 4..=CONSUMER_MAX, |_| {
        of(TOPIC, id, vec![partition(99, 0)])
    })
    .await?;
    on.ask_each("an unknown topic", key, 4..=12, |_| {
        of("not-there", Uuid::ZERO, vec![partition(0, 0)])
    })
    .await?;
    on.ask_each("an unknown id", key, 13..=CONSUMER_MAX, |_| {
        of("", Uuid::from_bytes([7; 16]), vec![partition(0, 0)])
    })
    .await?;
    for epoch in [0, 5] {
        on.ask_each(&format!("leader epoch {epoch}"), key, 9..=CONSUMER_MAX, |_| {
            let mut from = partition(0, 0);
            from.current_leader_epoch = epoch;
            of(TOPIC, id, vec![from])
        })
        .await?;
    }
    let newest = on.newest(key).min(CONSUMER_MAX);
    for epoch in [0, 5] {
        let mut from = partition(0, 1);
        from.last_fetched_epoch = epoch;
        let what = format!("last fetched epoch {epoch}");
        on.ask(&what, newest, of(TOPIC, id, vec![from])).await?;
    }
    on.ask("the end", newest, of(TOPIC, id, vec![partition(3, 3)])).await?;
    Ok(())
}

async fn limits(on: &mut Recorder, id: Uuid) -> Result {
    let newest = on.newest(ApiKey::FETCH).min(CONSUMER_MAX);
    let mut small = of(TOPIC, id, vec![partition(0, 0), partition(2, 0)]);
    small.max_bytes = 1;
    on.ask("one byte in all", newest, small).await?;
    let mut tight = partition(0, 0);
    tight.partition_max_bytes = 1;
    let ask = of(TOPIC, id, vec![tight.clone(), partition(2, 0)]);
    on.ask("one byte of the first partition", newest, ask).await?;
    let ask = of(TOPIC, id, vec![partition(2, 0), tight]);
    on.ask("one byte of the second partition", newest, ask).await?;
    let mut some = partition(0, 0);
    some.partition_max_bytes = 200;
    on.ask("200 bytes", newest, of(TOPIC, id, vec![some])).await?;
    let mut waiting = of(TOPIC, id, vec![partition(3, 3)]);
    waiting.max_wait_ms = 50;
    waiting.min_bytes = 1;
    on.ask("nothing, after a wait", newest, waiting).await?;
    Ok(())
}

async fn session(on: &mut Recorder, id: Uuid) -> Result {
    let newest = on.newest(ApiKey::FETCH).min(CONSUMER_MAX);
    let in_session = |session: i32, epoch: i32, partitions: Vec<FetchPartition>| {
        let mut ask = of(TOPIC, id, partitions);
        ask.topics.retain(|topic| !topic.partitions.is_empty());
        ask.session_id = session;
        ask.session_epoch = epoch;
        ask
    };
    let both = vec![partition(0, 0), partition(2, 0)];
    let made = on.ask("a new session", newest, in_session(0, 0, both)).await?;
    let Some(Response::Fetch(made)) = made else {
        return Err("no session".into());
    };
    let session = made.session_id;
    on.ask("nothing new, same positions", newest, in_session(session, 1, vec![])).await?;
    let moved = vec![partition(0, 2)];
    on.ask("one position moved", newest, in_session(session, 2, moved)).await?;
    let end = vec![partition(0, 44), partition(2, 10)];
    on.ask("both beyond the end", newest, in_session(session, 3, end)).await?;
    let mut forgetting = in_session(session, 4, vec![]);
    forgetting.forgotten_topics_data =
        vec![message!(ForgottenTopic { topic: TOPIC.into(), topic_id: id, partitions: vec![0] })];
    on.ask("one partition forgotten", newest, forgetting).await?;
    on.ask("an epoch too far", newest, in_session(session, 9, vec![])).await?;
    on.ask("an epoch again", newest, in_session(session, 4, vec![])).await?;
    on.ask("an unknown session", newest, in_session(session ^ 0x55, 1, vec![])).await?;
    on.ask("the end of a session", newest, in_session(session, -1, vec![])).await?;
    on.ask("the session that ended", newest, in_session(session, 5, vec![])).await?;
    on.ask("no session, no partition", newest, in_session(0, -1, vec![])).await?;
    Ok(())
}
