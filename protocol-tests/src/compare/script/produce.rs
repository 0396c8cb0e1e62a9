//! InitProducerId and Produce.

use bytes::Bytes;
use milena_types::{ApiKey, ErrorCode, Uuid};
use milena_wire::messages::create_topics_request::CreatableTopic;
use milena_wire::messages::produce_request::{PartitionProduceData, TopicProduceData};
use milena_wire::messages::{CreateTopicsRequest, InitProducerIdRequest, ProduceRequest};
use milena_wire::{Records, Response};

use crate::Result;
use crate::compare::recorder::Recorder;
use crate::raw::{Batch, message};

pub(super) const TOPIC: &str = "script-produce";

pub(super) async fn run(on: &mut Recorder) -> Result {
    let topic =
        message!(CreatableTopic { name: TOPIC.into(), num_partitions: 5, replication_factor: 1 });
    let make = message!(CreateTopicsRequest { topics: vec![topic], timeout_ms: 10_000 });
    on.quietly(5, make).await?;
    let id = on.await_topic(TOPIC).await?;
    plain(on, id).await?;
    wrong(on, id).await?;
    idempotent(on, id).await
}

/// Both name and id: the codec writes what the version has.
pub(super) fn to(topic: &str, id: Uuid, partition: i32, records: Option<Bytes>) -> ProduceRequest {
    let records = records.map(Records::from);
    let partition = message!(PartitionProduceData { index: partition, records: records });
    let topic = message!(TopicProduceData {
        name: topic.into(),
        topic_id: id,
        partition_data: vec![partition],
    });
    message!(ProduceRequest { acks: -1, timeout_ms: 10_000, topic_data: vec![topic] })
}

async fn plain(on: &mut Recorder, id: Uuid) -> Result {
    let key = ApiKey::PRODUCE;
    for acks in [-1, 1] {
        on.ask_each(&format!("two records, acks {acks}"), key, 3..=99, |version| {
            let value = format!("v{version} acks {acks}");
            let mut ask = to(TOPIC, id, 0, Some(Batch::of(&[&value, "two"]).bytes()));
            ask.acks = acks;
            ask
        })
        .await?;
    }
    Ok(())
}

async fn wrong(on: &mut Recorder, id: Uuid) -> Result {
    let key = ApiKey::PRODUCE;
    let good = || Some(Batch::of(&["x"]).bytes());
    on.ask_each("an unknown topic", key, 3..=12, |_| to("not-there", id, 0, good())).await?;
    on.ask_each("an unknown id", key, 13..=99, |_| to("", Uuid::from_bytes([7; 16]), 0, good()))
        .await?;
    on.ask_each("an unknown partition", key, 3..=99, |_| to(TOPIC, id, 99, good())).await?;
    on.ask_each("acks 2", key, 3..=99, |_| {
        let mut ask = to(TOPIC, id, 1, good());
        ask.acks = 2;
        ask
    })
    .await?;
    let newest = on.newest(key);
    on.ask("no records at all", newest, to(TOPIC, id, 1, Some(Bytes::new()))).await?;

    let changed = |at: usize, to: u8| {
        let mut bytes = Batch::of(&["wrong"]).bytes().to_vec();
        bytes[at] = to;
        Some(Bytes::from(bytes))
    };
    on.ask("a wrong checksum", newest, to(TOPIC, id, 1, changed(20, 0x55))).await?;
    on.ask("a changed value", newest, to(TOPIC, id, 1, changed(68, b'W'))).await?;
    on.ask("magic 9", newest, to(TOPIC, id, 1, changed(16, 9))).await?;
    on.ask("a length that is too long", newest, to(TOPIC, id, 1, changed(11, 0xff))).await?;
    let control = Batch { attributes: 0x20, ..Batch::of(&["x"]) };
    on.ask("a control batch", newest, to(TOPIC, id, 1, Some(control.bytes()))).await?;
    let codec = Batch { attributes: 0x07, ..Batch::of(&["x"]) };
    on.ask("an unknown codec", newest, to(TOPIC, id, 1, Some(codec.bytes()))).await?;
    let old = Batch { timestamp: -5, ..Batch::of(&["x"]) };
    on.ask("a time before 1970", newest, to(TOPIC, id, 4, Some(old.bytes()))).await?;
    let garbage = Batch { attributes: 0x03, ..Batch::of(&["x"]) };
    on.ask("lz4 that is none", newest, to(TOPIC, id, 4, Some(garbage.bytes()))).await?;
    let empty = Batch { values: vec![], ..Batch::of(&[]) };
    on.ask("a batch without records", newest, to(TOPIC, id, 1, Some(empty.bytes()))).await?;
    let transactional = Batch { attributes: 0x10, ..Batch::of(&["x"]) };
    on.ask(
        "transactional without a producer",
        newest,
        to(TOPIC, id, 1, Some(transactional.bytes())),
    )
    .await?;
    let large = Batch::of(&[&"x".repeat(1_100_000)]).bytes();
    on.ask("a batch above max.message.bytes", newest, to(TOPIC, id, 1, Some(large))).await?;
    let two = [Batch::of(&["one"]).bytes(), Batch::of(&["two"]).bytes()].concat();
    on.ask("two batches", newest, to(TOPIC, id, 1, Some(Bytes::from(two)))).await?;
    Ok(())
}

async fn idempotent(on: &mut Recorder, topic: Uuid) -> Result {
    let none =
        message!(InitProducerIdRequest { transactional_id: None, transaction_timeout_ms: 60_000 });
    let key = ApiKey::INIT_PRODUCER_ID;
    // A broker that has no block of ids yet fetches one, and says meanwhile that it is loading.
    while let Response::InitProducerId(told) = on.quietly(4, none.clone()).await?
        && told.error_code == ErrorCode::COORDINATOR_LOAD_IN_PROGRESS
    {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    on.ask_each("no transactional id", key, 0..=5, |_| none.clone()).await?;
    on.ask_each("an empty transactional id", key, 0..=5, |_| {
        let mut ask = none.clone();
        ask.transactional_id = Some("".into());
        ask
    })
    .await?;
    let newest = on.newest(ApiKey::INIT_PRODUCER_ID).min(5);
    let Response::InitProducerId(told) = on.quietly(newest, none.clone()).await? else {
        return Err("another answer than InitProducerId's".into());
    };
    let id = told.producer_id;
    let mut bump = none;
    bump.producer_id = id;
    bump.producer_epoch = told.producer_epoch;
    on.ask("its id and epoch, without a transactional id", newest, bump).await?;

    let newest = on.newest(ApiKey::PRODUCE);
    let batch = |epoch, sequence, values: &[&str]| {
        let bytes = Batch::of(values).of_producer(id, epoch, sequence).bytes();
        to(TOPIC, topic, 2, Some(bytes))
    };
    on.ask("the first batch of a producer", newest, batch(0, 0, &["0", "1", "2"])).await?;
    on.ask("the same again", newest, batch(0, 0, &["0", "1", "2"])).await?;
    for sequence in 3..9 {
        on.ask(&format!("sequence {sequence}"), newest, batch(0, sequence, &["x"])).await?;
    }
    on.ask("five batches ago", newest, batch(0, 4, &["x"])).await?;
    on.ask("six batches ago", newest, batch(0, 3, &["x"])).await?;
    on.ask("the first again", newest, batch(0, 0, &["0", "1", "2"])).await?;
    on.ask("part of a known batch", newest, batch(0, 1, &["1"])).await?;
    on.ask("a gap", newest, batch(0, 20, &["x"])).await?;
    on.ask("a new epoch that does not begin at 0", newest, batch(1, 5, &["x"])).await?;
    on.ask("a new epoch", newest, batch(1, 0, &["x"])).await?;
    on.ask("the old epoch", newest, batch(0, 9, &["x"])).await?;
    let unknown = Batch::of(&["x"]).of_producer(id + 1000, 0, 5).bytes();
    on.ask("an unknown producer in mid sequence", newest, to(TOPIC, topic, 3, Some(unknown)))
        .await?;
    let first = Batch::of(&["x"]).of_producer(id + 1000, 0, 0).bytes();
    on.ask("an unknown producer from 0", newest, to(TOPIC, topic, 3, Some(first))).await?;
    let last = Batch::of(&["x", "y"]).of_producer(id + 2000, 0, i32::MAX).bytes();
    on.ask("sequences around the end", newest, to(TOPIC, topic, 3, Some(last))).await?;
    let two = [
        Batch::of(&["x"]).of_producer(id, 1, 1).bytes(),
        Batch::of(&["x"]).of_producer(id, 1, 2).bytes(),
    ];
    on.ask("two batches of a producer", newest, to(TOPIC, topic, 2, Some(two.concat().into())))
        .await?;
    Ok(())
}
