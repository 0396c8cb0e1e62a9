//! The shipped producer against every broker: what is too large, topics that change under it, and lingering.

use std::sync::Arc;
use std::time::Duration;

use milena::{ErrorKind, Kafka, Record};
use milena_types::ErrorCode;
use milena_wire::Response;
use milena_wire::messages::CreatePartitionsRequest;
use milena_wire::messages::create_partitions_request::CreatePartitionsTopic;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::clients::JSON;
use crate::Result;
use crate::raw::{Connection, message};
use crate::target::{Target, Version};
use crate::user::{Row, connect, create, end_offsets, read, read_committed};

/// A topic is deleted some time after the answer, and made anew some time after that.
pub(super) const LIMIT: Duration = Duration::from_secs(120);

/// A cluster of its own is started besides, which takes minutes on a machine that is busy with others.
pub(super) const CLUSTER_LIMIT: Duration = Duration::from_secs(600);

/// Metadata tells topic ids from here on (KIP-516).
pub(super) const TOPIC_IDS_SINCE: Version = Version::of(2, 8, 0);

const CLOSE: Duration = Duration::from_secs(30);

/// A topic that takes batches of at most 10,000 bytes.
async fn create_small(kafka: &Kafka, topic: &str) -> Result {
    let create = kafka.admin().create_topic(topic).partitions(1).replication_factor(1);
    create.config("max.message.bytes", "10000").await?;
    Ok(())
}

/// 1000 bytes that do not compress to nothing in a batch's header.
fn value(number: usize) -> String {
    format!("{number:0>1000}")
}

fn assert_in_order(rows: &[Row], count: usize) {
    let values = rows.iter().map(|row| row.value.clone().unwrap_or_default());
    let expected = (0..count).map(|number| value(number).into_bytes());
    assert!(values.eq(expected), "in order, each once");
}

/// The producer's batches are ten times what the topic takes.
pub(super) async fn batches_that_are_too_large_are_split_in_order(on: Arc<Target>) -> Result {
    const RECORDS: usize = 300;
    let kafka = connect(&on).await?;
    let topic = on.unique("split");
    create_small(&kafka, &topic).await?;
    let builder = kafka.producer().set("batch.size", "100000")?.set("linger.ms", "100")?;
    let producer = builder.build().await?;
    let mut deliveries = Vec::new();
    for number in 0..RECORDS {
        let record = Record::to(topic.as_str()).partition(0).value(value(number));
        deliveries.push(producer.send(record).enqueue().await?);
    }
    for (number, delivery) in deliveries.into_iter().enumerate() {
        let stored = delivery.await.map_err(|e| format!("record {number}: {e}"))?;
        assert_eq!(stored.offset().map(|offset| offset.get()), Some(i64::try_from(number)?));
    }
    producer.close(CLOSE).await?;
    assert_in_order(&read(&kafka, &topic, 1, RECORDS).await?, RECORDS);
    Ok(())
}

pub(super) async fn a_split_batch_belongs_to_its_transaction(on: Arc<Target>) -> Result {
    const RECORDS: usize = 100;
    let kafka = connect(&on).await?;
    let topic = on.unique("split-txn");
    create_small(&kafka, &topic).await?;
    let builder = kafka.producer().transactional_id(topic.as_str()).set("batch.size", "100000")?;
    let mut producer = builder.set("linger.ms", "100")?.build_transactional().await?;
    let transaction = producer.begin().await?;
    for number in 0..RECORDS {
        let record = Record::to(topic.as_str()).partition(0).value(value(number));
        transaction.send(record).enqueue().await?;
    }
    transaction.commit().await?;
    producer.close(CLOSE).await?;
    assert_in_order(&read_committed(&kafka, &topic, 1, RECORDS).await?, RECORDS);
    Ok(())
}

/// Alone it is still too large for the topic, and takes none of its neighbours with it.
pub(super) async fn a_record_that_is_too_large_fails_alone(on: Arc<Target>) -> Result {
    let kafka = connect(&on).await?;
    let topic = on.unique("large");
    create_small(&kafka, &topic).await?;
    let builder = kafka.producer().set("batch.size", "100000")?.set("linger.ms", "100")?;
    let producer = builder.build().await?;
    let mut deliveries = Vec::new();
    for value in ["before".to_owned(), "x".repeat(20_000), "behind".to_owned()] {
        let record = Record::to(topic.as_str()).partition(0).value(value);
        deliveries.push(producer.send(record).enqueue().await?);
    }
    let mut outcomes = Vec::new();
    for delivery in deliveries {
        outcomes.push(delivery.await.map(drop).map_err(|error| error.kind()));
    }
    assert_eq!(outcomes, [Ok(()), Err(ErrorKind::RecordTooLarge), Ok(())]);
    producer.close(CLOSE).await?;
    let rows = read(&kafka, &topic, 1, 2).await?;
    assert_eq!(rows[1].value.as_deref(), Some(&b"behind"[..]));
    Ok(())
}

/// The ids differ, and what the old one's leader knew of sequences is gone.
pub(super) async fn a_topic_that_is_made_anew_takes_records(on: Arc<Target>) -> Result {
    let kafka = connect(&on).await?;
    let topic = on.unique("anew");
    create(&kafka, &on, &topic, 1).await?;
    let producer = kafka.producer().build().await?;
    for number in 0..10 {
        let record = Record::to(topic.as_str()).partition(0).value(format!("old {number}"));
        producer.send(record).await?;
    }
    let old = on.topic_ids(&topic).await?;
    for (_, deleted) in kafka.admin().delete_topics([topic.as_str()]).await? {
        deleted?;
    }
    // Until each broker has the new one, the old one's leader may acknowledge records that go with it.
    let mut ids = on.topic_ids(&topic).await?;
    while ids.len() != 1 || ids.contains(&None) || !ids.is_disjoint(&old) {
        // It exists where it is not deleted yet, and where the producer's metadata request has the broker make it
        // (auto.create.topics.enable).
        if let Err(error) = create(&kafka, &on, &topic, 1).await {
            assert!(error.to_string().contains("TOPIC_ALREADY_EXISTS"), "{error}");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        ids = on.topic_ids(&topic).await?;
    }
    let mut stored = Vec::new();
    for number in 0..10 {
        let value = format!("new {number}");
        let record = Record::to(topic.as_str()).partition(0).value(value.clone());
        let sent = tokio::time::timeout(Duration::from_secs(60), producer.send(record)).await;
        sent.map_err(|_| format!("record {number} of the new topic is still on its way"))??;
        stored.push(value);
    }
    producer.close(CLOSE).await?;
    let rows = read(&kafka, &topic, 1, stored.len()).await?;
    let values = rows.into_iter().map(|row| String::from_utf8(row.value.unwrap_or_default()));
    assert_eq!(values.collect::<std::result::Result<Vec<_>, _>>()?, stored);
    Ok(())
}

pub(super) async fn a_partition_that_is_added_takes_records(on: Arc<Target>) -> Result {
    let builder = Kafka::builder().bootstrap_servers(on.bootstrap_servers());
    let kafka = builder.set("metadata.max.age.ms", "500")?.connect().await?;
    let topic = on.unique("added");
    create(&kafka, &on, &topic, 1).await?;
    let producer = kafka.producer().build().await?;
    producer.send(Record::to(topic.as_str()).partition(0).value("first")).await?;
    let more = message!(CreatePartitionsTopic {
        name: topic.as_str().into(),
        count: 3,
        assignments: None,
    });
    let ask = message!(CreatePartitionsRequest { topics: vec![more], timeout_ms: 10_000 });
    let mut controller = Connection::open(&on.controller_address().await?).await?;
    let Response::CreatePartitions(told) = controller.call(ask, 1).await? else {
        return Err("another answer than CreatePartitions'".into());
    };
    assert_eq!(told.results[0].error_code, ErrorCode::NONE, "{told:?}");
    producer.send(Record::to(topic.as_str()).partition(2).value("last")).await?;
    // Keys spread over all three once the producer knows of them.
    let started = Instant::now();
    while producer.partitions_for(topic.as_str()).await? != 3 {
        assert!(started.elapsed() < Duration::from_secs(30), "it never hears of them");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    producer.close(CLOSE).await?;
    let rows = read(&kafka, &topic, 3, 2).await?;
    assert_eq!((rows[0].partition, rows[1].partition), (0, 2));
    Ok(())
}

/// The cluster makes no topic by itself, so that the records wait for one that somebody makes meanwhile.
pub(super) async fn a_topic_that_is_made_meanwhile_gets_its_records(on: Arc<Target>) -> Result {
    let on = Target::without_auto_creation(on.choice()).await?;
    let kafka = connect(&on).await?;
    let producer = kafka.producer().build().await?;
    let mut senders = JoinSet::new();
    for (key, value, partition) in JSON {
        let producer = producer.clone();
        senders.spawn(async move {
            let stored = producer.send(Record::to("later").key(key).value(value)).await?;
            assert_eq!(stored.partition(), partition, "{key}");
            Result::Ok(())
        });
    }
    // Long enough to be told several times that there is no such topic.
    let early = tokio::time::timeout(Duration::from_secs(1), senders.join_next()).await;
    assert!(early.is_err(), "nothing ends before there is a topic: {early:?}");
    create(&kafka, &on, "later", 3).await?;
    while let Some(sent) = senders.join_next().await {
        sent??;
    }
    producer.close(CLOSE).await?;
    let rows = read(&kafka, "later", 3, JSON.len()).await?;
    assert_eq!(usize::try_from(end_offsets(&kafka, "later", 3).await?)?, rows.len(), "each once");
    Ok(())
}

pub(super) async fn a_flush_does_not_wait_for_the_linger(on: Arc<Target>) -> Result {
    let kafka = connect(&on).await?;
    let topic = on.unique("linger");
    create(&kafka, &on, &topic, 1).await?;
    let producer = kafka.producer().set("linger.ms", "20000")?.build().await?;
    // The first brings metadata and identity.
    let first = producer.send(Record::to(topic.as_str()).value("first")).enqueue().await?;
    producer.flush().await?;
    first.await?;
    let started = Instant::now();
    let second = producer.send(Record::to(topic.as_str()).value("second")).enqueue().await?;
    producer.flush().await?;
    second.await?;
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    producer.close(CLOSE).await?;
    Ok(())
}
