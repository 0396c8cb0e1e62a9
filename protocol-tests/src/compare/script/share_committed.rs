//! ShareFetch of a group that reads what transactions have committed.

use milena_types::ApiKey;
use milena_wire::messages::CreateTopicsRequest;
use milena_wire::messages::create_topics_request::CreatableTopic;

use super::produce::to;
use super::share_reader::{ACCEPT, Reader, configuring};
use super::transactional_producer::Producer;
use crate::Result;
use crate::compare::recorder::Recorder;
use crate::raw::{Batch, message};

const TOPIC: &str = "script-share-committed";
const GROUP: &str = "script-share-committed";

pub(super) async fn run(on: &mut Recorder) -> Result {
    let topic =
        message!(CreatableTopic { name: TOPIC.into(), num_partitions: 1, replication_factor: 1 });
    let make = message!(CreateTopicsRequest { topics: vec![topic], timeout_ms: 10_000 });
    on.quietly(5, make).await?;
    let topic = on.await_topic(TOPIC).await?;
    let alter = on.newest(ApiKey::INCREMENTAL_ALTER_CONFIGS);
    on.quietly(alter, configuring(GROUP, "share.auto.offset.reset", Some("earliest"))).await?;
    on.quietly(alter, configuring(GROUP, "share.isolation.level", Some("read_committed"))).await?;
    on.await_metadata(TOPIC).await?;
    let mut reader = Reader::new(GROUP, "share-a", topic);
    reader.await_partitions(on, &[TOPIC]).await?;

    on.quietly(9, to(TOPIC, topic, 0, Some(Batch::of(&["plain"]).bytes()))).await?;
    for (id, commits) in [("script-share-aborts", false), ("script-share-commits", true)] {
        let mut producer = Producer::begin(on, id).await?;
        on.quietly(13, producer.produce(topic, 0, id)).await?;
        producer.ended(on, 5, commits).await?;
    }
    on.quietly(9, to(TOPIC, topic, 0, Some(Batch::of(&["plain too"]).bytes()))).await?;
    let mut ask = reader.fetch(&[0]);
    (ask.max_wait_ms, ask.min_bytes) = (10_000, 1);
    reader.ask_fetch(on, "committed ones", ask).await?;
    reader.ask_acknowledge(on, "with markers", &[(0, 0, &[ACCEPT]), (2, 5, &[0])]).await?;
    reader.ask_acknowledge(on, "an aborted one", &[(1, 1, &[ACCEPT])]).await?;
    Ok(())
}
