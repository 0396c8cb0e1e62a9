//! What is in the topics when the storm is over.

use std::sync::Arc;
use std::time::Duration;

use milena::Kafka;

use super::PARTITIONS;
use super::stages::Stages;
use crate::Result;
use crate::ledger::{Entry, Ledger};
use crate::target::Target;
use crate::user::end_offsets;

/// Reads both topics whole, on connections that nothing harms, and has Kafka's own consumer read the copy. Says what there is.
///
/// # Errors
/// A record that is lost, there twice, out of order, or not where it was acknowledged or read.
pub(super) async fn judge(on: &Target, kafka: &Kafka, stages: &Stages) -> Result<String> {
    let (records, doubts) = (stages.records, [Arc::clone(&stages.doubt)]);
    let source = Ledger::new("the source", records);
    source.take_in(kafka, &stages.source, PARTITIONS, "read_uncommitted", PATIENCE).await?;
    let target = Ledger::new("the target", records);
    target.take_in(kafka, &stages.target, PARTITIONS, "read_committed", PATIENCE).await?;
    let java = Ledger::new("Java", records);
    java.note(&read_by_java(on, &stages.target, records).await?)?;

    for ledger in [&stages.acknowledged, &source, &target, &java] {
        ledger.settle(&[])?;
    }
    stages.read.settle(&doubts)?;
    for ledger in [&stages.acknowledged, &source, &stages.read, &target, &java] {
        if !ledger.is_complete() {
            return Err(ledger.report().into());
        }
    }
    source.agree(&stages.acknowledged)?;
    stages.read.agree(&target)?;
    java.agree(&target)?;
    let ends = usize::try_from(end_offsets(kafka, &stages.source, PARTITIONS).await?)?;
    if ends != records {
        return Err(format!("{ends} records in the source, where {records} were sent").into());
    }
    let besides = usize::try_from(end_offsets(kafka, &stages.target, PARTITIONS).await?)? - records;
    Ok(format!(
        "{records} records, each once, in order and where it was acknowledged and read; besides in the target: {besides} \
         markers and aborted records; in doubt for readers: {}",
        stages.doubt.count()
    ))
}

/// What `kafka-console-consumer` reads of committed records, in the order of each partition.
async fn read_by_java(on: &Target, topic: &str, records: usize) -> Result<Vec<Entry>> {
    let count = records.to_string();
    let args = ["--topic", topic, "--from-beginning", "--isolation-level", "read_committed"];
    let args = [&args[..], &["--max-messages", &count, "--timeout-ms", "60000"]].concat();
    let shows =
        ["print.partition=true", "print.offset=true", "print.key=true", "print.value=false"];
    let shows = shows.iter().flat_map(|show| ["--property", show]);
    let args: Vec<_> = args.into_iter().chain(shows).collect();
    let read = on.tool("kafka-console-consumer", &args, "").await?;
    let entry = |line: &str| {
        let mut parts = line.split('\t');
        let mut number = |name| -> Result<usize> {
            let part = parts.next().and_then(|part| part.strip_prefix(name)).ok_or(line)?;
            Ok(part.parse()?)
        };
        let (partition, offset) = (number("Partition:")?, number("Offset:")?);
        Ok(Entry::new(i32::try_from(partition)?, i64::try_from(offset)?, number("")?))
    };
    // What it has to say about its options comes there too.
    read.lines().filter(|line| line.starts_with("Partition:")).map(entry).collect()
}

/// Without another record.
const PATIENCE: Duration = Duration::from_secs(60);
