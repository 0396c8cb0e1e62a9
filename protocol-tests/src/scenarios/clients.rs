//! The shipped client against every broker.

use std::sync::Arc;
use std::time::Duration;

use milena::Record;

use crate::Result;
use crate::target::Target;
use crate::user::{connect, create, read, shapes};

/// Java's names.
pub(super) const CODECS: [&str; 5] = ["none", "gzip", "snappy", "lz4", "zstd"];

/// The records of the tutorials: values hold colons.
pub(super) const JSON: [(&str, &str, i32); 5] = [
    ("user_001", r#"{"action":"login","timestamp":"2024-01-01T10:00:00Z"}"#, 2),
    ("user_002", r#"{"action":"view_page","page":"/products"}"#, 2),
    ("user_003", r#"{"action":"purchase","amount":99.99}"#, 1),
    ("project_100", r#"{"status":"created","name":"New Project"}"#, 0),
    ("task_200", r#"{"status":"completed","progress":100}"#, 1),
];

pub(super) async fn every_codec_gives_back_what_went_in(on: Arc<Target>) -> Result {
    let kafka = connect(&on).await?;
    for codec in CODECS {
        let topic = on.unique("client-codec");
        create(&kafka, &on, &topic, 1).await?;
        let producer = kafka.producer().set("compression.type", codec)?.build().await?;
        let sent = shapes();
        let mut deliveries = Vec::new();
        for row in &sent {
            deliveries.push(producer.send(row.record(&topic)).enqueue().await?);
        }
        for delivery in deliveries {
            delivery.await?;
        }
        producer.close(Duration::from_secs(30)).await?;
        assert_eq!(read(&kafka, &topic, 1, sent.len()).await?, sent, "{codec}");
    }
    Ok(())
}

pub(super) async fn keys_go_where_java_puts_them(on: Arc<Target>) -> Result {
    let kafka = connect(&on).await?;
    let topic = on.unique("json-messages");
    create(&kafka, &on, &topic, 3).await?;
    let producer = kafka.producer().build().await?;
    for (key, value, partition) in JSON {
        let stored = producer.send(Record::to(topic.as_str()).key(key).value(value)).await?;
        assert_eq!(stored.partition(), partition, "{key}");
    }
    producer.close(Duration::from_secs(30)).await?;
    for row in read(&kafka, &topic, 3, JSON.len()).await? {
        let (_, value, partition) = JSON
            .into_iter()
            .find(|(key, ..)| Some(key.as_bytes()) == row.key.as_deref())
            .ok_or("another key")?;
        assert_eq!((row.partition, row.value.as_deref()), (partition, Some(value.as_bytes())));
    }
    Ok(())
}

pub(super) async fn acks_0_1_and_all_store_each_record_once(on: Arc<Target>) -> Result {
    let kafka = connect(&on).await?;
    for acks in ["0", "1", "all"] {
        let topic = on.unique("client-acks");
        create(&kafka, &on, &topic, 1).await?;
        // A new leader refuses for a moment, and with acks=0 nobody hears of it: wait until it stores.
        let sure = kafka.producer().build().await?;
        sure.send(Record::to(topic.as_str()).value("first").partition(0)).await?;
        sure.close(Duration::from_secs(30)).await?;
        let builder = kafka.producer().set("acks", acks)?;
        let builder =
            builder.set("enable.idempotence", if acks == "all" { "true" } else { "false" })?;
        let producer = builder.build().await?;
        for number in 0..50 {
            let record = Record::to(topic.as_str()).value(number.to_string()).partition(0);
            let stored = producer.send(record).enqueue().await?.await?;
            let expected = (acks != "0").then_some(number + 1);
            assert_eq!(stored.offset().map(|offset| offset.get()), expected, "acks {acks}");
        }
        producer.close(Duration::from_secs(30)).await?;
        let rows = read(&kafka, &topic, 1, 51).await?;
        for (number, row) in rows.iter().skip(1).enumerate() {
            assert_eq!(row.value.as_deref(), Some(number.to_string().as_bytes()), "acks {acks}");
        }
    }
    Ok(())
}

pub(super) async fn many_records_keep_their_order_in_each_partition(on: Arc<Target>) -> Result {
    const RECORDS: usize = 20_000;
    let kafka = connect(&on).await?;
    let topic = on.unique("client-order");
    create(&kafka, &on, &topic, 3).await?;
    let producer = kafka.producer().set("compression.type", "lz4")?.build().await?;
    for number in 0..RECORDS {
        let partition = i32::try_from(number % 3)?;
        let record = Record::to(topic.as_str()).value(number.to_string()).partition(partition);
        drop(producer.send(record).enqueue().await?);
    }
    producer.flush().await?;
    let rows = read(&kafka, &topic, 3, RECORDS).await?;
    let mut expected: Vec<_> = (0..RECORDS).collect();
    expected.sort_by_key(|number| (number % 3, *number));
    for (row, number) in rows.iter().zip(expected) {
        assert_eq!(row.value.as_deref(), Some(number.to_string().as_bytes()));
    }
    producer.close(Duration::from_secs(30)).await?;
    Ok(())
}
