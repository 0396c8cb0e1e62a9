//! What is sent is what is stored and what is read.

use milena::config::CompressionType;
use milena::{Record, Timestamp};
use milena_records::Batch;

use crate::world::{GRACE, LONG, World, text};

#[tokio::test(start_paused = true)]
async fn every_codec_stores_what_was_sent() {
    for codec in [
        CompressionType::None,
        CompressionType::Gzip,
        CompressionType::Snappy,
        CompressionType::Lz4,
        CompressionType::Zstd,
    ] {
        let world = World::with_partitions(1).await;
        let producer = world.kafka.producer().compression(codec).build().await.unwrap();
        let sent: Vec<_> = (0..50).map(|n| format!("{n}-{}", "abc".repeat(n))).collect();
        for value in &sent {
            let _delivery = producer.send(Record::to("t").value(value)).enqueue().await.unwrap();
        }
        producer.close(GRACE).await.unwrap();

        assert_eq!(world.values(0), sent, "{codec:?}");
        for stored in world.broker.batches("t", 0) {
            let batch = Batch::parse(stored.bytes).unwrap();
            assert_eq!(batch.compression().unwrap(), codec);
        }
        let mut consumer = world.reader().await;
        assert_eq!(crate::world::read(&mut consumer, sent.len()).await, sent, "{codec:?}");
    }
}

/// Order, duplicates, null and non-UTF-8 are easily lost in a map or a string.
#[tokio::test(start_paused = true)]
async fn headers_keep_order_duplicates_nulls_and_bytes() {
    let world = World::with_partitions(1).await;
    let record = Record::to("t").key("k").value("v").header("a", "1").header("b", b"\xff\x00");
    let record = record.header("a", "2").null_header("n").header(b"\xfe", "");
    let stored = world.producer().await.send(record).await.unwrap();
    assert_eq!(stored.offset().unwrap().get(), 0);

    let expected: Vec<(&[u8], Option<&[u8]>)> = vec![
        (b"a", Some(b"1")),
        (b"b", Some(b"\xff\x00")),
        (b"a", Some(b"2")),
        (b"n", None),
        (b"\xfe", Some(b"")),
    ];
    let records = world.broker.records("t", 0);
    let headers: Vec<_> =
        records[0].headers.iter().map(|(key, value)| (&key[..], value.as_deref())).collect();
    assert_eq!(headers, expected);

    let message = world.reader().await.try_next().await.unwrap().unwrap();
    let headers: Vec<_> = message.headers().iter().map(|h| (h.key, h.value)).collect();
    assert_eq!(headers, expected);
}

#[tokio::test(start_paused = true)]
async fn a_tombstone_is_not_an_empty_value() {
    let world = World::with_partitions(1).await;
    let producer = world.producer().await;
    producer.send(Record::to("t").key("k").tombstone()).await.unwrap();
    producer.send(Record::to("t").key("").value("")).await.unwrap();

    let stored = world.broker.records("t", 0);
    assert_eq!((stored[0].key.as_deref(), stored[0].value.as_deref()), (Some(&b"k"[..]), None));
    assert_eq!(
        (stored[1].key.as_deref(), stored[1].value.as_deref()),
        (Some(&b""[..]), Some(&b""[..]))
    );
    let mut consumer = world.reader().await;
    let tombstone = consumer.try_next().await.unwrap().unwrap();
    let empty = consumer.try_next().await.unwrap().unwrap();
    assert_eq!(
        (tombstone.value(), empty.value(), empty.key()),
        (None, Some(&b""[..]), Some(&b""[..]))
    );
}

#[tokio::test(start_paused = true)]
async fn a_record_goes_to_the_partition_it_names_with_its_time() {
    let world = World::of_three(4).await;
    let producer = world.producer().await;
    let time = Timestamp::from_millis(1_234_567_890_123);
    for partition in 0..4 {
        let record = Record::to("t").partition(partition).key("same").value(partition.to_string());
        let stored = producer.send(record.timestamp(time)).await.unwrap();
        assert_eq!(stored.partition(), partition);
    }
    for partition in 0..4 {
        assert_eq!(world.values(partition), [partition.to_string()]);
        assert_eq!(world.broker.records("t", partition)[0].timestamp, Some(time));
    }
    let beyond = producer.send(Record::to("t").partition(4).value("no such"));
    assert!(beyond.await.is_err());
    assert_eq!(world.broker.journal().batches().count(), 4);
}

/// As Java places them (its own client was asked): another hash would scatter the keys of a topic that both write.
#[tokio::test(start_paused = true)]
async fn keys_go_where_java_puts_them() {
    let world = World::with_partitions(3).await;
    let producer = world.producer().await;
    for (key, partition) in
        [("user_001", 2), ("user_002", 2), ("user_003", 1), ("project_100", 0), ("task_200", 1)]
    {
        let stored = producer.send(Record::to("t").key(key).value("v")).await.unwrap();
        assert_eq!(stored.partition(), partition, "{key}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_iterated_borrowed_and_owned_alike() {
    let world = World::with_partitions(1).await;
    world.fill(0..20).await;
    let mut consumer = world.reader().await;
    let batch = consumer.poll(LONG).await.unwrap();
    let borrowed: Vec<_> = batch.iter().map(|m| (m.offset().get(), text(m.value()))).collect();
    let owned: Vec<_> =
        batch.into_messages().map(|m| (m.offset().get(), text(m.value()))).collect();
    assert_eq!(borrowed, owned);
    assert_eq!(borrowed.len(), 20);
}

/// Logs are full of `{:?}`: contents do not belong there, and less so the whole batch they lie in.
#[tokio::test(start_paused = true)]
async fn a_message_is_described_without_its_contents() {
    let world = World::with_partitions(1).await;
    world.fill(0..100).await;
    let mut consumer = world.reader().await;
    let batch = consumer.poll(LONG).await.unwrap();
    let borrowed = format!("{:?}", batch.iter().next().unwrap());
    let owned = format!("{:?}", batch.into_messages().next().unwrap());
    let described = "{ partition: t-0, offset: 0, key_bytes: None, value_bytes: Some(1) }";
    assert_eq!(borrowed, format!("MessageRef {described}"));
    assert_eq!(owned, format!("Message {described}"));
}
