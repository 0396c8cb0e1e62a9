//! Kafka's own transactional programs on one side, the shipped client on the other.

use std::sync::Arc;
use std::time::Duration;

use milena::Record;
use tokio::time::{sleep, timeout};

use super::transactions::{begin, committed};
use crate::Result;
use crate::target::{Target, Version};
use crate::user::{connect, create, end_offsets, read_committed};

/// JVMs are slow to start.
pub(super) const LIMIT: Duration = Duration::from_secs(120);

const CLOSE: Duration = Duration::from_secs(30);

/// The first version whose performance tool takes its settings as these scenarios give them.
pub(super) const SINCE: Version = Version::of(4, 2, 0);

/// Kafka's transactional copier, which aborts at random: what it read and wrote is exact.
pub(super) async fn javas_copy_with_failures_is_exact(on: Arc<Target>) -> Result {
    const RECORDS: usize = 1000;
    let kafka = connect(&on).await?;
    let (from, to) = (on.unique("copier-from"), on.unique("copier-to"));
    create(&kafka, &on, &from, 1).await?;
    create(&kafka, &on, &to, 1).await?;
    let source = kafka.producer().build().await?;
    for number in 0..RECORDS {
        let record = Record::to(from.as_str()).value(number.to_string()).partition(0);
        drop(source.send(record).enqueue().await?);
    }
    source.flush().await?;
    source.close(CLOSE).await?;
    let (id, group) = (on.unique("copier"), on.unique("copiers"));
    let args = ["--input-topic", &from, "--input-partition", "0", "--output-topic", &to];
    let args = [&args[..], &["--transactional-id", &id, "--transaction-size", "50"]].concat();
    let args = [&args[..], &["--consumer-group", &group, "--enable-random-aborts"]].concat();
    on.tool("kafka-transactional-message-copier", &args, "").await?;
    let rows = committed(&on, &to, 1, RECORDS).await?;
    let expected: Vec<_> = (0..RECORDS).map(|number| number.to_string()).collect();
    assert_eq!(rows, expected);
    let told = on.tool("kafka-consumer-groups", &["--describe", "--group", &group], "").await?;
    let row = told.lines().find(|line| line.starts_with(&group)).ok_or_else(|| told.clone())?;
    let columns: Vec<_> = row.split_whitespace().collect();
    // GROUP TOPIC PARTITION CURRENT-OFFSET LOG-END-OFFSET LAG
    assert_eq!(columns[1..6], [&from, "0", "1000", "1000", "0"], "{told}");
    Ok(())
}

/// Kafka's performance tool with transactions of a tenth of a second.
pub(super) async fn what_java_commits_we_read(on: Arc<Target>) -> Result {
    const RECORDS: usize = 3000;
    let kafka = connect(&on).await?;
    let topic = on.unique("java-commits");
    create(&kafka, &on, &topic, 3).await?;
    let count = RECORDS.to_string();
    let args = ["--topic", &topic, "--num-records", &count, "--record-size", "100"];
    let args = [&args[..], &["--throughput", "5000", "--transactional-id", &topic]].concat();
    let args = [&args[..], &["--transaction-duration-ms", "100"]].concat();
    on.tool("kafka-producer-perf-test", &args, "").await?;
    assert_eq!(read_committed(&kafka, &topic, 3, RECORDS).await?.len(), RECORDS);
    let ends = usize::try_from(end_offsets(&kafka, &topic, 3).await?)?;
    assert!(ends > RECORDS + 3, "{ends} offsets: several transactions, with their markers");
    let told =
        on.tool("kafka-transactions", &["describe", "--transactional-id", &topic], "").await?;
    assert!(told.contains("CompleteCommit"), "{told}");
    Ok(())
}

/// A transaction of ours as an administrator sees it, and ends it.
pub(super) async fn our_transaction_is_described_and_aborted_by_java(on: Arc<Target>) -> Result {
    let kafka = connect(&on).await?;
    let topic = on.unique("java-aborts");
    create(&kafka, &on, &topic, 1).await?;
    let mut producer = begin(&on, &topic).await?;
    let open = producer.begin().await?;
    open.send(Record::to(topic.as_str()).partition(0).value("open")).await?;

    let listed = on.tool("kafka-transactions", &["list"], "").await?;
    let row = listed.lines().find(|line| line.contains(&topic)).ok_or_else(|| listed.clone())?;
    assert!(row.contains("Ongoing"), "{listed}");
    let told =
        on.tool("kafka-transactions", &["describe", "--transactional-id", &topic], "").await?;
    assert!(told.contains("Ongoing") && told.contains(&format!("{topic}-0")), "{told}");
    let place = ["--topic", &topic, "--partition", "0"];
    let describe = [&["describe-producers"], &place[..]].concat();
    let told = on.tool("kafka-transactions", &describe, "").await?;
    // ProducerId ProducerEpoch LatestCoordinatorEpoch LastSequence LastTimestamp CurrentTransactionStartOffset
    let row = told.lines().nth(1).ok_or_else(|| told.clone())?;
    let columns: Vec<_> = row.split_whitespace().collect();
    assert_eq!((columns[2], columns[3], columns[5]), ("-1", "0", "0"), "{told}");

    let abort = [&["abort"], &place[..], &["--start-offset", "0"]].concat();
    on.tool("kafka-transactions", &abort, "").await?;
    let behind = async {
        let mut other = begin(&on, &format!("{topic}-other")).await?;
        let next = other.begin().await?;
        next.send(Record::to(topic.as_str()).partition(0).value("behind")).await?;
        next.commit().await?;
        other.close(CLOSE).await?;
        while committed(&on, &topic, 1, 1).await? != ["behind"] {
            sleep(Duration::from_millis(100)).await;
        }
        Result::Ok(())
    };
    timeout(Duration::from_secs(30), behind).await.map_err(|_| "it is still open")??;
    drop(open);
    _ = producer.close(CLOSE).await;
    Ok(())
}
