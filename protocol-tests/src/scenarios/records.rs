//! Produce and Fetch by hand: what takes time or more than one connection.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use milena_types::{ApiKey, ErrorCode};
use milena_wire::messages::create_topics_request::CreatableTopic;
use milena_wire::messages::fetch_request::{FetchPartition, FetchTopic};
use milena_wire::messages::produce_request::{PartitionProduceData, TopicProduceData};
use milena_wire::messages::{CreateTopicsRequest, FetchRequest, FetchResponse, ProduceRequest};
use milena_wire::{Records, Request, Response};
use tokio::time::{Instant, sleep};

use crate::Result;
use crate::raw::{Batch, Connection, message};
use crate::target::Target;

/// Versions that all brokers from 2.1 on speak, by topic name.
const CREATE_TOPICS: i16 = 3;
const PRODUCE: i16 = 7;
const FETCH: i16 = 10;

pub(super) async fn what_is_produced_is_fetched_byte_for_byte(on: Arc<Target>) -> Result {
    let (topic, mut leader) = topic(&on).await?;
    let batches = [Batch::of(&["a", "b"]).bytes(), Batch::of(&["", "c"]).bytes()];
    for (nth, batch) in (0..).zip(&batches) {
        let base = produced(leader.call(produce(&topic, 1, batch), PRODUCE).await?)?;
        assert_eq!(base, nth * 2);
    }
    let Response::Fetch(told) = leader.call(fetch(&topic, 0, 0), FETCH).await? else {
        return Err("another answer than Fetch's".into());
    };
    let records = records(&told);
    // The broker writes the offset and its leader epoch, which the checksum leaves out.
    let (first, second) = records.split_at(batches[0].len());
    for (got, sent) in [(first, &batches[0]), (second, &batches[1])] {
        assert_eq!(got[8..12], sent[8..12], "length");
        assert_eq!(got[16..], sent[16..], "from magic on");
    }
    assert_eq!(second[..8], 2i64.to_be_bytes(), "base offset of the second batch");
    Ok(())
}

pub(super) async fn acks_0_has_no_answer(on: Arc<Target>) -> Result {
    let (topic, mut leader) = topic(&on).await?;
    let batch = Batch::of(&["unanswered"]).bytes();
    let request = Request::from(produce(&topic, 0, &batch));
    leader.send(&request, PRODUCE).await?;
    // The next answer on the connection is the next request's.
    let base = produced(leader.call(produce(&topic, 1, &batch), PRODUCE).await?)?;
    assert_eq!(base, 1);
    Ok(())
}

pub(super) async fn requests_in_flight_are_answered_in_order(on: Arc<Target>) -> Result {
    let (topic, mut leader) = topic(&on).await?;
    let batch = Batch::of(&["x"]).bytes();
    for _ in 0..5 {
        leader.send(&Request::from(produce(&topic, -1, &batch)), PRODUCE).await?;
    }
    for base in 0..5 {
        let frame = leader.receive_bytes().await?;
        let (_, response) = milena_wire::decode_response(ApiKey::PRODUCE, PRODUCE, frame)?;
        assert_eq!(produced(response)?, base);
    }
    Ok(())
}

pub(super) async fn a_waiting_fetch_is_answered_when_a_record_comes(on: Arc<Target>) -> Result {
    let (topic, mut leader) = topic(&on).await?;
    let mut other = Connection::open(&on.leader_address(&topic).await?).await?;
    let started = Instant::now();
    leader.send(&Request::from(fetch(&topic, 0, 20_000)), FETCH).await?;
    let batch = Batch::of(&["woken"]).bytes();
    produced(other.call(produce(&topic, 1, &batch), PRODUCE).await?)?;
    let Response::Fetch(told) = leader.receive(ApiKey::FETCH, FETCH).await? else {
        return Err("another answer than Fetch's".into());
    };
    assert_eq!(records(&told).len(), batch.len());
    assert!(started.elapsed() < Duration::from_secs(10), "it waited to the end");
    Ok(())
}

pub(super) async fn a_waiting_fetch_ends_without_a_record(on: Arc<Target>) -> Result {
    let (topic, mut leader) = topic(&on).await?;
    let started = Instant::now();
    let Response::Fetch(told) = leader.call(fetch(&topic, 0, 300), FETCH).await? else {
        return Err("another answer than Fetch's".into());
    };
    assert!(records(&told).is_empty());
    assert!(started.elapsed() >= Duration::from_millis(290), "{:?}", started.elapsed());
    Ok(())
}

pub(super) async fn nonsense_closes_the_connection(on: Arc<Target>) -> Result {
    for nonsense in [&b""[..], b"\0", b"GET / HTTP/1.1\r\n\r\n", &[0xff; 40]] {
        let mut connection = Connection::open(on.address()).await?;
        connection.send_bytes(nonsense).await?;
        assert!(connection.is_closed_by_broker().await, "{nonsense:?}");
    }
    Ok(())
}

/// A topic of one partition and a connection to its leader.
async fn topic(on: &Arc<Target>) -> Result<(String, Connection)> {
    let name = on.unique("raw-records");
    let topic = message!(CreatableTopic {
        name: name.as_str().into(),
        num_partitions: 1,
        replication_factor: 1,
    });
    let mut any = Connection::open(&on.controller_address().await?).await?;
    let make = message!(CreateTopicsRequest { topics: vec![topic], timeout_ms: 10_000 });
    let Response::CreateTopics(told) = any.call(make, CREATE_TOPICS).await? else {
        return Err("another answer than CreateTopics'".into());
    };
    // A broker that has just started may take longer over it than it was given: it goes on, and the topic comes later.
    let is_made =
        [ErrorCode::NONE, ErrorCode::REQUEST_TIMED_OUT].contains(&told.topics[0].error_code);
    assert!(is_made, "{told:?}");
    let leader = await_leader(on, &name).await?;
    Ok((name, leader))
}

/// A connection to the leader of a topic's first partition, once it serves it.
pub(super) async fn await_leader(on: &Target, topic: &str) -> Result<Connection> {
    loop {
        // A leader that has just been named may not know it yet.
        let address = on.leader_address(topic).await?;
        let mut leader = Connection::open(&address).await?;
        let Response::Fetch(told) = leader.call(fetch(topic, 0, 0), FETCH).await? else {
            return Err("another answer than Fetch's".into());
        };
        if told.responses[0].partitions[0].error_code == ErrorCode::NONE {
            return Ok(leader);
        }
        sleep(Duration::from_millis(20)).await;
    }
}

fn produce(topic: &str, acks: i16, batch: &Bytes) -> ProduceRequest {
    let partition =
        message!(PartitionProduceData { index: 0, records: Some(Records::from(batch.clone())) });
    let topic = message!(TopicProduceData { name: topic.into(), partition_data: vec![partition] });
    message!(ProduceRequest { acks: acks, timeout_ms: 10_000, topic_data: vec![topic] })
}

fn produced(response: Response) -> Result<i64> {
    let Response::Produce(told) = response else {
        return Err("another answer than Produce's".into());
    };
    let partition = &told.responses[0].partition_responses[0];
    assert_eq!(partition.error_code, ErrorCode::NONE, "{partition:?}");
    Ok(partition.base_offset)
}

fn fetch(topic: &str, offset: i64, wait_ms: i32) -> FetchRequest {
    let partition = message!(FetchPartition {
        partition: 0,
        fetch_offset: offset,
        partition_max_bytes: 1 << 20,
    });
    let topic = message!(FetchTopic { topic: topic.into(), partitions: vec![partition] });
    message!(FetchRequest {
        max_wait_ms: wait_ms,
        min_bytes: 1,
        max_bytes: 10 << 20,
        topics: vec![topic],
    })
}

fn records(told: &FetchResponse) -> Bytes {
    let partition = &told.responses[0].partitions[0];
    assert_eq!(partition.error_code, ErrorCode::NONE, "{partition:?}");
    partition.records.as_ref().map(|records| records.head.clone()).unwrap_or_default()
}
