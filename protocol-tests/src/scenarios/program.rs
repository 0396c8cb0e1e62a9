//! The program as a user runs it, beside Kafka's own.

use std::sync::Arc;
use std::time::Duration;

use super::clients::JSON;
use crate::Result;
use crate::program::milena;
use crate::target::{Target, Version};
use crate::user::{connect, create};

/// The first of them builds the program, which takes minutes on a machine that is busy with others.
pub(super) const LIMIT: Duration = Duration::from_secs(1200);

/// Before 2.4, brokers have no default for replicas (KIP-464), which the demo leaves to them.
pub(super) const DEMO_SINCE: Version = Version::of(2, 4, 0);

/// Each as `partition key value`, in order of the partitions.
fn places() -> Vec<String> {
    let mut places = JSON.map(|(key, value, partition)| format!("{partition} {key} {value}"));
    places.sort_unstable();
    places.into()
}

fn sorted(lines: &str) -> Vec<String> {
    let mut lines: Vec<_> = lines.lines().map(str::to_owned).collect();
    lines.sort_unstable();
    lines
}

fn keyed_lines() -> String {
    JSON.iter().map(|(key, value, _)| format!("{key}:{value}\n")).collect()
}

/// Java's consumer says where each record lies.
pub(super) async fn what_the_program_produces_java_reads(on: Arc<Target>) -> Result {
    let topic = on.unique("program-writes");
    create(&connect(&on).await?, &on, &topic, 3).await?;
    milena(&on, &["produce", &topic, "-K", ":"], &keyed_lines()).await?;
    let count = JSON.len().to_string();
    let args = ["--topic", &topic, "--from-beginning", "--max-messages", &count];
    let args = [&args[..], &["--timeout-ms", "60000", "--property", "print.key=true"]].concat();
    let args = [&args[..], &["--property", "print.partition=true"]].concat();
    let args = [&args[..], &["--property", "key.separator= "]].concat();
    let read = on.tool("kafka-console-consumer", &args, "").await?;
    // Newer ones also say which options they would rather have.
    let records = read.lines().filter_map(|line| line.strip_prefix("Partition:"));
    let mut records: Vec<_> = records.collect();
    records.sort_unstable();
    assert_eq!(records, places(), "{read}");
    Ok(())
}

pub(super) async fn what_java_produces_the_program_prints(on: Arc<Target>) -> Result {
    let topic = on.unique("program-reads");
    create(&connect(&on).await?, &on, &topic, 3).await?;
    let args = ["--topic", &topic, "--property", "parse.key=true"];
    let args = [&args[..], &["--property", "key.separator=:"]].concat();
    on.tool("kafka-console-producer", &args, &keyed_lines()).await?;
    let all = milena(&on, &["consume", &topic, "-e", "-f", "%p %k %v\\n"], "").await?;
    assert_eq!(sorted(&all), places());
    let group = on.unique("program-group");
    let args = ["consume", &topic, "-g", &group, "--from", "beginning", "-f", "%p %k %v\\n", "-e"];
    assert_eq!(sorted(&milena(&on, &args, "").await?), places());
    assert_eq!(milena(&on, &args, "").await?, "", "the group has read everything");
    Ok(())
}

/// Its second run finds topic and group as the first has left them.
pub(super) async fn the_demo_runs_twice_and_shows_where_its_records_are(on: Arc<Target>) -> Result {
    let first = demo(&on).await?;
    let second = demo(&on).await?;
    for ((partition, offset, key), (again, later, same)) in first.iter().zip(&second) {
        let in_partition = first.iter().filter(|row| row.0 == *partition).count();
        assert_eq!((again, same), (partition, key));
        assert_eq!(*later, offset + i64::try_from(in_partition)?, "{key} in its second run");
    }
    Ok(())
}

/// Runs the demo once, and gives partition, offset and key of its records as it shows them.
async fn demo(on: &Target) -> Result<Vec<(i32, i64, String)>> {
    let shown = milena(on, &["demo"], "").await?;
    let mut rows = Vec::new();
    for line in shown.lines().filter(|line| line.contains(" => ")) {
        let mut words = line.splitn(3, ' ');
        let mut word = || words.next().ok_or_else(|| line.to_owned());
        let (partition, offset) = (word()?.parse()?, word()?.parse()?);
        let (key, value) = word()?.split_once(" => ").map_or((line, ""), |pair| pair);
        assert!(value.starts_with('{') && value.ends_with('}'), "{line}");
        rows.push((partition, offset, key.to_owned()));
    }
    let mut placed: Vec<_> = rows.iter().map(|row| (row.2.as_str(), row.0)).collect();
    placed.sort_unstable();
    let mut expected = JSON.map(|(key, _, partition)| (key, partition));
    expected.sort_unstable();
    assert_eq!(placed, expected, "{shown}");
    // GROUP TOPIC PARTITION CURRENT-OFFSET LOG-END-OFFSET LAG CONSUMER-ID HOST CLIENT-ID
    let group = shown.lines().filter(|line| line.starts_with("demo-group"));
    let group: Vec<Vec<_>> = group.map(|line| line.split_whitespace().collect()).collect();
    let partitions: Vec<_> = group.iter().map(|columns| columns[2]).collect();
    assert_eq!(partitions, ["0", "1", "2"], "{shown}");
    for columns in group {
        assert_eq!((columns[3], columns[5]), (columns[4], "0"), "{shown}");
    }
    Ok(rows)
}
