//! The shipped client as the scenarios use it.

use std::time::Duration;

use milena::{Kafka, Record};
use milena_types::TopicPartition;
use tokio::time::timeout;

use crate::Result;
use crate::target::Target;

/// No scenario waits longer for the next record.
const PATIENCE: Duration = Duration::from_secs(30);

/// A record as it came back.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Row {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

/// Connects with what the tests need beyond the defaults: nothing.
pub(crate) async fn connect(on: &Target) -> Result<Kafka> {
    Ok(milena::connect(on.bootstrap_servers()).await?)
}

/// Makes a topic with as many replicas as there are brokers, three at most.
pub(crate) async fn create(kafka: &Kafka, on: &Target, topic: &str, partitions: i32) -> Result {
    let replicas = i16::try_from(on.choice().brokers.min(3))?;
    kafka.admin().create_topic(topic).partitions(partitions).replication_factor(replicas).await?;
    Ok(())
}

/// Reads `count` records of a topic from its start, in the order of partition and offset.
pub(crate) async fn read(
    kafka: &Kafka,
    topic: &str,
    partitions: i32,
    count: usize,
) -> Result<Vec<Row>> {
    read_in(kafka, "read_uncommitted", topic, partitions, count).await
}

/// The same of committed records only.
pub(crate) async fn read_committed(
    kafka: &Kafka,
    topic: &str,
    partitions: i32,
    count: usize,
) -> Result<Vec<Row>> {
    read_in(kafka, "read_committed", topic, partitions, count).await
}

async fn read_in(
    kafka: &Kafka,
    isolation: &str,
    topic: &str,
    partitions: i32,
    count: usize,
) -> Result<Vec<Row>> {
    let all = (0..partitions).map(|partition| TopicPartition::new(topic, partition));
    let builder =
        kafka.consumer_without_group().assign(all).set("auto.offset.reset", "earliest")?;
    let builder = builder.set("isolation.level", isolation)?;
    let mut consumer = builder.build().await?;
    let mut rows = Vec::with_capacity(count);
    while rows.len() < count {
        let message = timeout(PATIENCE, consumer.try_next()).await.map_err(|_| {
            format!("{} of {count} records of {topic} came, then nothing", rows.len())
        })??;
        rows.push(row(&message.ok_or("the consumer was closed")?));
    }
    consumer.close(PATIENCE).await?;
    rows.sort_by_key(|row| (row.partition, row.offset));
    Ok(rows)
}

/// The sum of the partitions' ends.
pub(crate) async fn end_offsets(kafka: &Kafka, topic: &str, partitions: i32) -> Result<i64> {
    let all: Vec<_> = (0..partitions).map(|p| TopicPartition::new(topic, p)).collect();
    let consumer = kafka.consumer_without_group().assign(all.clone()).build().await?;
    let ends = consumer.handle().end_offsets(all).await?;
    consumer.close(PATIENCE).await?;
    Ok(ends.values().map(|offset| offset.get()).sum())
}

fn row(message: &milena::Message) -> Row {
    let headers = message.headers().iter();
    Row {
        partition: message.partition(),
        offset: message.offset().get(),
        key: message.key().map(<[u8]>::to_vec),
        value: message.value().map(<[u8]>::to_vec),
        headers: headers.map(|h| (h.key.to_owned(), h.value.map(<[u8]>::to_vec))).collect(),
    }
}

/// Rows of every shape that matters: keys and values present, empty and absent, bytes that are no text, headers twice
/// and without value. All of partition 0, from offset 0 on.
pub(crate) fn shapes() -> Vec<Row> {
    let bytes = |text: &str| Some(text.as_bytes().to_vec());
    let headers = vec![
        (b"h".to_vec(), bytes("1")),
        (b"h".to_vec(), bytes("2")),
        (b"none".to_vec(), None),
        (b"".to_vec(), bytes("")),
    ];
    let shapes = [
        (bytes("key"), bytes("value"), vec![]),
        (None, bytes("no key"), vec![]),
        (bytes(""), bytes("an empty key"), vec![]),
        (bytes("empty value"), bytes(""), vec![]),
        (bytes("no value"), None, vec![]),
        (None, bytes("headers"), headers),
        (Some(vec![0xff, 0, 0x80]), Some(vec![0, 159, 146, 150]), vec![]),
        (None, bytes(&"long ".repeat(5_000)), vec![]),
    ];
    let row = |(offset, (key, value, headers))| Row { partition: 0, offset, key, value, headers };
    (0..).zip(shapes).map(row).collect()
}

impl Row {
    /// The record that is to come back as this row.
    pub(crate) fn record<'a>(&'a self, topic: &'a str) -> Record<'a> {
        let mut record = Record::to(topic).partition(self.partition);
        if let Some(key) = &self.key {
            record = record.key(key.as_slice());
        }
        record = match &self.value {
            Some(value) => record.value(value.as_slice()),
            None => record.tombstone(),
        };
        for (key, value) in &self.headers {
            record = match value {
                Some(value) => record.header(key.as_slice(), value.as_slice()),
                None => record.null_header(key.as_slice()),
            };
        }
        record
    }
}
