//! Transactions of the shipped client against every broker: all of one is read, or nothing.

use std::sync::Arc;
use std::time::Duration;

use milena::{ErrorKind, Fate, Record, TransactionalProducer};
use milena_wire::Response;
use milena_wire::messages::DescribeTransactionsRequest;

use crate::Result;
use crate::raw::{Connection, message};
use crate::target::{Target, Version};
use crate::user::{connect, create, end_offsets, read, read_committed};

/// A coordinator looks for transactions that take too long every ten seconds.
pub(super) const LIMIT: Duration = Duration::from_secs(120);

/// Offsets go into a transaction in the name of a member from here on (KIP-447).
pub(super) const MEMBERS_SINCE: Version = Version::of(2, 5, 0);

/// From here on brokers look every ten seconds for transactions that took too long; 2.1 does once a minute.
pub(super) const TIMED_OUT_SOON_SINCE: Version = Version::of(2, 8, 0);

const CLOSE: Duration = Duration::from_secs(30);

/// What the rows hold, in order.
pub(super) async fn committed(
    on: &Target,
    topic: &str,
    partitions: i32,
    count: usize,
) -> Result<Vec<String>> {
    let kafka = connect(on).await?;
    let rows = read_committed(&kafka, topic, partitions, count).await?;
    Ok(rows.into_iter().map(|row| text(row.value)).collect())
}

fn text(value: Option<Vec<u8>>) -> String {
    String::from_utf8_lossy(&value.unwrap_or_default()).into_owned()
}

pub(super) async fn begin(on: &Target, transactional_id: &str) -> Result<TransactionalProducer> {
    let kafka = connect(on).await?;
    Ok(kafka.producer().transactional_id(transactional_id).build_transactional().await?)
}

/// Sends one record to each of the topic's partitions in a transaction.
async fn send(
    producer: &mut TransactionalProducer,
    topic: &str,
    partitions: i32,
    value: &str,
    commits: bool,
) -> Result {
    let transaction = producer.begin().await?;
    for partition in 0..partitions {
        let value = format!("{value} {partition}");
        let record = Record::to(topic).partition(partition).value(value);
        if commits {
            transaction.send(record).enqueue().await?;
        } else {
            // What is not sent by then is not sent at all.
            transaction.send(record).await?;
        }
    }
    if commits {
        transaction.commit().await?
    } else {
        transaction.abort().await?
    }
    Ok(())
}

pub(super) async fn all_or_nothing_of_a_transaction_is_read(on: Arc<Target>) -> Result {
    let kafka = connect(&on).await?;
    let topic = on.unique("txn-all-or-nothing");
    create(&kafka, &on, &topic, 3).await?;
    let mut producer = begin(&on, &topic).await?;
    for number in 0..10 {
        send(&mut producer, &topic, 3, &format!("{number}"), number % 3 != 1).await?;
    }
    // One that is dropped is aborted, and a closure that fails is too.
    let open = producer.begin().await?;
    open.send(Record::to(topic.as_str()).partition(0).value("dropped")).await?;
    drop(open);
    let failed = producer.transaction(async |transaction| {
        transaction.send(Record::to(topic.as_str()).partition(1).value("failed")).await?;
        Err::<(), Box<dyn std::error::Error + Send + Sync>>("on purpose".into())
    });
    assert!(failed.await.is_err());
    send(&mut producer, &topic, 3, "end", true).await?;
    producer.close(CLOSE).await?;

    let kept = ["0", "2", "3", "5", "6", "8", "9", "end"];
    let mut expected = Vec::new();
    for partition in 0..3 {
        expected.extend(kept.iter().map(|number| format!("{number} {partition}")));
    }
    assert_eq!(committed(&on, &topic, 3, expected.len()).await?, expected);
    let all = 3 * 11 + 2;
    assert_eq!(read(&kafka, &topic, 3, all).await?.len(), all, "the others are there, unread");
    Ok(())
}

/// A reader of committed records waits at the first record of an open transaction, whoever wrote what lies behind it.
pub(super) async fn an_open_transaction_holds_back_those_who_read_committed(
    on: Arc<Target>,
) -> Result {
    let kafka = connect(&on).await?;
    let topic = on.unique("txn-open");
    create(&kafka, &on, &topic, 1).await?;
    let (mut slow, mut quick) =
        (begin(&on, &format!("{topic}-slow")).await?, begin(&on, &format!("{topic}-quick")).await?);
    send(&mut quick, &topic, 1, "before", true).await?;
    let open = slow.begin().await?;
    open.send(Record::to(topic.as_str()).partition(0).value("slow 0")).await?;
    send(&mut quick, &topic, 1, "behind", true).await?;
    assert_eq!(committed(&on, &topic, 1, 1).await?, ["before 0"]);
    let more = tokio::time::timeout(Duration::from_secs(1), committed(&on, &topic, 1, 2));
    assert!(more.await.is_err(), "what is not decided was read");
    open.commit().await?;
    assert_eq!(committed(&on, &topic, 1, 3).await?, ["before 0", "slow 0", "behind 0"]);
    slow.close(CLOSE).await?;
    quick.close(CLOSE).await?;
    Ok(())
}

pub(super) async fn a_second_producer_fences_the_first(on: Arc<Target>) -> Result {
    let kafka = connect(&on).await?;
    let topic = on.unique("txn-fence");
    create(&kafka, &on, &topic, 1).await?;
    let mut first = begin(&on, &topic).await?;
    send(&mut first, &topic, 1, "first", true).await?;
    let open = first.begin().await?;
    open.send(Record::to(topic.as_str()).partition(0).value("left open")).await?;

    let mut second = begin(&on, &topic).await?;
    let refused = open.commit().await.expect_err("the second has taken over");
    assert!(refused.is_fatal() && refused.kind() == ErrorKind::Fenced, "{refused}");
    assert_ne!(refused.fate(), Fate::Stored);
    let refused = first.begin().await.expect_err("it is over for the first");
    assert!(refused.is_fatal(), "{refused}");
    send(&mut second, &topic, 1, "second", true).await?;
    assert_eq!(committed(&on, &topic, 1, 2).await?, ["first 0", "second 0"]);
    _ = first.close(CLOSE).await;
    second.close(CLOSE).await?;
    Ok(())
}

/// The coordinator aborts it; who finds out at the commit has not committed, and goes on.
pub(super) async fn a_transaction_that_takes_too_long_is_aborted(on: Arc<Target>) -> Result {
    let kafka = connect(&on).await?;
    let topic = on.unique("txn-slow");
    create(&kafka, &on, &topic, 1).await?;
    let builder = kafka.producer().transactional_id(topic.as_str());
    let builder = builder.set("transaction.timeout.ms", "1000")?;
    let mut producer = builder.build_transactional().await?;
    let open = producer.begin().await?;
    open.send(Record::to(topic.as_str()).partition(0).value("too slow")).await?;
    // A reader behind it goes on once it is aborted.
    let mut other = begin(&on, &format!("{topic}-other")).await?;
    send(&mut other, &topic, 1, "behind", true).await?;
    assert_eq!(committed(&on, &topic, 1, 1).await?, ["behind 0"]);
    let refused = open.commit().await.expect_err("the coordinator has aborted it");
    assert_ne!(refused.fate(), Fate::Stored, "{refused}");
    if !refused.is_fatal() {
        send(&mut producer, &topic, 1, "next", true).await?;
        assert_eq!(committed(&on, &topic, 1, 2).await?, ["behind 0", "next 0"]);
    }
    _ = producer.close(CLOSE).await;
    other.close(CLOSE).await?;
    Ok(())
}

/// The epoch that the coordinator has for a transactional id.
async fn epoch(on: &Target, transactional_id: &str) -> Result<i16> {
    let mut coordinator =
        Connection::open(&on.transaction_coordinator_address(transactional_id).await?).await?;
    let ask =
        message!(DescribeTransactionsRequest { transactional_ids: vec![transactional_id.into()] });
    let Response::DescribeTransactions(told) = coordinator.call(ask, 0).await? else {
        return Err("another answer than DescribeTransactions'".into());
    };
    Ok(told.transaction_states[0].producer_epoch)
}

/// The protocol changes under a producer (trap 17), which hears of it with its next connection.
pub(super) async fn a_producer_follows_the_upgrade_of_the_protocol(on: Arc<Target>) -> Result {
    let kafka = connect(&on).await?;
    let topic = on.unique("txn-upgrade");
    create(&kafka, &on, &topic, 1).await?;
    let mut producer = begin(&on, &topic).await?;
    send(&mut producer, &topic, 1, "old", true).await?;
    let before = epoch(&on, &topic).await?;
    send(&mut producer, &topic, 1, "older", true).await?;
    assert_eq!(epoch(&on, &topic).await?, before, "the first protocol keeps the epoch");

    match on.embedded() {
        Some(embedded) => embedded.with(|cluster, _| cluster.set_transaction_version(2)),
        None => {
            let args = ["upgrade", "--feature", "transaction.version=2"];
            on.tool("kafka-features", &args, "").await.map(drop)?;
        }
    }
    on.kill_broker(1).await?;
    on.start_broker(1).await?;
    // Begun before the producer has a new connection, and by the protocol that it knows.
    send(&mut producer, &topic, 1, "last", true).await?;
    send(&mut producer, &topic, 1, "new", true).await?;
    let after = epoch(&on, &topic).await?;
    assert!(after > before, "the upgrade raises it");
    send(&mut producer, &topic, 1, "newer", true).await?;
    assert_eq!(epoch(&on, &topic).await?, after + 1, "each end raises it");
    let read = committed(&on, &topic, 1, 5).await?;
    assert_eq!(read, ["old 0", "older 0", "last 0", "new 0", "newer 0"]);
    producer.close(CLOSE).await?;
    Ok(())
}

/// Consumed, transformed and produced exactly once, though every third attempt fails halfway.
pub(super) async fn a_copy_with_failures_is_exact(on: Arc<Target>) -> Result {
    const RECORDS: usize = 600;
    let kafka = connect(&on).await?;
    let (from, to) = (on.unique("txn-from"), on.unique("txn-to"));
    create(&kafka, &on, &from, 3).await?;
    create(&kafka, &on, &to, 3).await?;
    let source = kafka.producer().build().await?;
    for number in 0..RECORDS {
        let record = Record::to(from.as_str()).partition(i32::try_from(number % 3)?);
        drop(source.send(record.value(number.to_string())).enqueue().await?);
    }
    source.flush().await?;
    source.close(CLOSE).await?;

    let group = on.unique("txn-copier");
    let consumer = kafka.consumer(group.as_str()).enable_auto_commit(false);
    let consumer = consumer.subscribe([from.as_str()]).set("auto.offset.reset", "earliest")?;
    let mut consumer = consumer.set("max.poll.records", "50")?.build().await?;
    let mut producer = begin(&on, &group).await?;
    let (mut copied, mut attempts) = (0, 0);
    while copied < RECORDS {
        attempts += 1;
        let attempt = attempts;
        let done =
            producer.transform(&mut consumer, Duration::from_secs(5), async |copy, batch| {
                for (nth, message) in batch.into_iter().enumerate() {
                    if attempt % 3 == 0 && nth == batch.len() / 2 {
                        return Err(Box::<dyn std::error::Error + Send + Sync>::from("on purpose"));
                    }
                    let record = Record::to(to.as_str()).partition(message.partition());
                    copy.send(record.value(message.value().unwrap_or_default())).enqueue().await?;
                }
                Ok(())
            });
        match done.await {
            Ok(count) => copied += count,
            Err(error) => assert_eq!(error.to_string(), "on purpose"),
        }
    }
    consumer.close(CLOSE).await?;
    producer.close(CLOSE).await?;
    let rows = committed(&on, &to, 3, RECORDS).await?;
    let mut expected: Vec<_> = (0..RECORDS).collect();
    expected.sort_by_key(|number| (number % 3, *number));
    let expected: Vec<_> = expected.iter().map(ToString::to_string).collect();
    assert_eq!(rows, expected);
    assert!(attempts > 3 && end_offsets(&kafka, &to, 3).await? > i64::try_from(RECORDS)?);
    Ok(())
}
