//! Kafka's own programs as judges: what they say of the embedded broker they say of a real one.

use std::sync::Arc;
use std::time::Duration;

use crate::Result;
use crate::target::Target;

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
