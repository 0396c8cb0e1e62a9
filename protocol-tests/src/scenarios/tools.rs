//! Kafka's own programs as judges: what they say of the embedded broker they say of a real one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use milena::Record;
use serde_json::Value;

use super::consumer_groups;
use crate::Result;
use crate::target::Target;
use crate::user::{connect, create};

/// Several JVMs, one after the other.
pub(super) const LIMIT: Duration = Duration::from_secs(240);

pub(super) async fn topics_are_made_listed_described_and_deleted(on: Arc<Target>) -> Result {
    let topic = on.unique("tools-topics");
    on.tool("kafka-topics", &creation(&topic, "3"), "").await?;
    let listed = on.tool("kafka-topics", &["--list"], "").await?;
    assert!(listed.lines().any(|line| line == topic), "{listed}");

    let described = on.tool("kafka-topics", &["--describe", "--topic", &topic], "").await?;
    let lines: Vec<_> = described.lines().collect();
    assert_eq!(lines.len(), 4, "{described}");
    assert!(lines[0].starts_with(&format!("Topic: {topic}\t")), "{described}");
    assert!(lines[0].contains("PartitionCount: 3\tReplicationFactor: "), "{described}");
    for (partition, line) in lines[1..].iter().enumerate() {
        let start = format!("\tTopic: {topic}\tPartition: {partition}\tLeader: ");
        assert!(line.starts_with(&start), "{described}");
        let leader = line[start.len()..].split('\t').next().unwrap_or_default();
        assert!(leader.parse::<u32>().is_ok_and(|id| id >= 1), "{described}");
    }

    on.tool("kafka-topics", &["--delete", "--topic", &topic], "").await?;
    // Brokers hear of it one by one.
    while on.tool("kafka-topics", &["--list"], "").await?.lines().any(|line| line == topic) {}
    Ok(())
}

/// Before 2.4, brokers have no default for replicas (KIP-464).
fn creation<'a>(topic: &'a str, partitions: &'a str) -> [&'a str; 7] {
    ["--create", "--topic", topic, "--partitions", partitions, "--replication-factor", "1"]
}

pub(super) async fn a_topic_that_exists_is_not_made_again(on: Arc<Target>) -> Result {
    let topic = on.unique("tools-twice");
    let create = creation(&topic, "1");
    on.tool("kafka-topics", &create, "").await?;
    let told = on.try_tool("kafka-topics", &create, "").await?;
    let all = format!("{}{}", told.stdout, told.stderr);
    assert!(!told.success, "{all}");
    assert!(all.contains(&format!("Topic '{topic}' already exists.")), "{all}");
    Ok(())
}

pub(super) async fn what_the_console_producer_writes_the_console_consumer_reads(
    on: Arc<Target>,
) -> Result {
    let topic = on.unique("tools-console");
    on.tool("kafka-topics", &creation(&topic, "1"), "").await?;
    let mut written = Vec::new();
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let lines: Vec<String> = (0..20).map(|i| format!("{codec} line {i}")).collect();
        let args = ["--topic", &topic, "--compression-codec", codec];
        on.tool("kafka-console-producer", &args, &(lines.join("\n") + "\n")).await?;
        written.extend(lines);
    }
    let args = ["--topic", &topic, "--from-beginning", "--max-messages", "100"];
    let args = [&args[..], &["--timeout-ms", "20000"]].concat();
    let read = on.tool("kafka-console-consumer", &args, "").await?;
    assert_eq!(read.lines().collect::<Vec<_>>(), written);
    Ok(())
}

pub(super) async fn a_group_is_listed_and_described_with_its_lag(on: Arc<Target>) -> Result {
    let (topic, group) = (on.unique("tools-lag"), on.unique("tools-group"));
    on.tool("kafka-topics", &creation(&topic, "1"), "").await?;
    let lines: String = (0..7).map(|i| format!("line {i}\n")).collect();
    on.tool("kafka-console-producer", &["--topic", &topic], &lines).await?;
    let args = ["--topic", &topic, "--group", &group, "--from-beginning"];
    let args = [&args[..], &["--max-messages", "4", "--timeout-ms", "20000"]].concat();
    let read = on.tool("kafka-console-consumer", &args, "").await?;
    assert_eq!(read.lines().count(), 4, "{read}");

    let listed = on.tool("kafka-consumer-groups", &["--list"], "").await?;
    assert!(listed.lines().any(|line| line == group), "{listed}");
    let told = on.tool("kafka-consumer-groups", &["--describe", "--group", &group], "").await?;
    let row = told.lines().find(|line| line.starts_with(&group)).ok_or_else(|| told.clone())?;
    let columns: Vec<_> = row.split_whitespace().collect();
    // GROUP TOPIC PARTITION CURRENT-OFFSET LOG-END-OFFSET LAG CONSUMER-ID HOST CLIENT-ID
    assert_eq!(columns, [&group, &topic, "0", "4", "7", "3", "-", "-", "-"], "{told}");
    Ok(())
}

/// Kafka's system tests ask of these two what was acknowledged and what was read: the same records at the same places, in
/// groups of both protocols.
pub(super) async fn what_the_verifiable_producer_is_acknowledged_the_verifiable_consumer_reads(
    on: Arc<Target>,
) -> Result {
    const RECORDS: usize = 500;
    let kafka = connect(&on).await?;
    let topic = on.unique("tools-verifiable");
    create(&kafka, &on, &topic, 3).await?;
    // It does not try again.
    on.await_topic(&topic).await?;
    let count = RECORDS.to_string();
    let args = ["--topic", &topic, "--max-messages", &count, "--repeating-keys", "7"];
    let written = Events::of(&on.tool("kafka-verifiable-producer", &args, "").await?)?;
    assert_eq!(written.named("producer_send_error").count(), 0, "{written:?}");
    assert_eq!(written.named("producer_send_success").count(), RECORDS, "{written:?}");
    let acknowledged = written.places("producer_send_success");
    let values: BTreeSet<_> = acknowledged.values().cloned().collect();
    assert_eq!(values, (0..RECORDS).map(|number| number.to_string()).collect());
    let told = written.named("tool_data").next().ok_or("no summary")?;
    assert_eq!((&told["sent"], &told["acked"]), (&RECORDS.into(), &RECORDS.into()), "{told}");

    let consumer: &[&str] = &["--group-protocol", "consumer"];
    let protocols = [Some(&[][..]), consumer_groups::is_spoken(&on).then_some(consumer)];
    for protocol in protocols.into_iter().flatten() {
        let group = on.unique("tools-verified");
        let args = ["--topic", &topic, "--group-id", &group, "--max-messages", &count, "--verbose"];
        let args = [&args[..], protocol].concat();
        let read = Events::of(&on.tool("kafka-verifiable-consumer", &args, "").await?)?;
        assert_eq!(read.named("record_data").count(), RECORDS, "{read:?}");
        assert_eq!(read.places("record_data"), acknowledged);
        let mut committed = BTreeMap::new();
        for commit in read.named("offsets_committed") {
            assert_eq!(commit["success"], true, "{commit}");
            let offsets = commit["offsets"].as_array().into_iter().flatten();
            committed
                .extend(offsets.map(|one| (one["partition"].as_i64(), one["offset"].as_i64())));
        }
        let sum: Option<i64> = committed.values().copied().sum();
        assert_eq!(sum, Some(i64::try_from(RECORDS)?), "{committed:?}");
        assert_eq!(read.named("shutdown_complete").count(), 1, "{read:?}");
    }
    Ok(())
}

/// What a program says in JSON, a line each.
#[derive(Debug)]
struct Events(Vec<Value>);

impl Events {
    fn of(told: &str) -> Result<Self> {
        let lines = told.lines().map(serde_json::from_str);
        Ok(Self(lines.collect::<std::result::Result<_, _>>()?))
    }

    fn named(&self, name: &str) -> impl Iterator<Item = &Value> {
        self.0.iter().filter(move |event| event["name"] == name)
    }

    /// What is said to be at which partition and offset.
    fn places(&self, name: &str) -> BTreeMap<(Option<i64>, Option<i64>), String> {
        let place = |event: &Value| (event["partition"].as_i64(), event["offset"].as_i64());
        let value = |event: &Value| event["value"].as_str().unwrap_or_default().to_owned();
        self.named(name).map(|event| (place(event), value(event))).collect()
    }
}

/// It counts records and bytes, and would tell of a time that ran out.
pub(super) async fn the_performance_consumer_counts_every_record(on: Arc<Target>) -> Result {
    const RECORDS: usize = 5_000;
    let kafka = connect(&on).await?;
    let topic = on.unique("tools-performance");
    create(&kafka, &on, &topic, 3).await?;
    let producer = kafka.producer().build().await?;
    for _ in 0..RECORDS {
        drop(producer.send(Record::to(topic.as_str()).value(vec![b'x'; 1_024])).enqueue().await?);
    }
    producer.close(Duration::from_secs(30)).await?;
    let count = RECORDS.to_string();
    let args = ["--topic", &topic, "--messages", &count, "--timeout", "60000"];
    let told = on.tool("kafka-consumer-perf-test", &args, "").await?;
    assert!(!told.contains("before consuming the expected number"), "{told}");
    // start.time, end.time, data.consumed.in.MB, MB.sec, data.consumed.in.nMsg, nMsg.sec, ...
    let row = told.lines().last().ok_or("nothing told")?;
    let columns: Vec<_> = row.split(", ").collect();
    assert_eq!((columns.get(2), columns.get(4)), (Some(&"4.8828"), Some(&&*count)), "{told}");
    Ok(())
}
