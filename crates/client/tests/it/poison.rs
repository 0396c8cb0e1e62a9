//! Values read back, and records that cannot be.

use std::fmt::Debug;
use std::time::Duration;

use bytes::Bytes;
use milena::format::{DeserializeContext, Deserializer, Json, Plain, Serializer};
use milena::{
    BoxError, Consumer, ConsumerBuilder, DeadLetter, ErrorKind, Message, Record, SkipPoison, Uuid,
};
use milena_broker::{Broker, on};
use milena_types::{ApiKey, ErrorCode};

use crate::world::{GRACE, LONG, World, drop_after, text};

/// Topic `t` with these values, and topic `dlq`, of one partition each.
async fn world_of(values: &[&'static [u8]]) -> World {
    let world = World::start(Broker::builder().topic("t", 1).topic("dlq", 1)).await;
    let producer = world.producer().await;
    for value in values {
        producer.send(Record::to("t").key("k").header("h", "1").value(*value)).await.unwrap();
    }
    world
}

fn member(world: &World) -> ConsumerBuilder {
    let member = world.member().enable_auto_commit(true);
    member.auto_commit_interval(Duration::from_secs(1))
}

const MIXED: &[&[u8]] = &[&[0, 0, 0, 1], b"poison", &[0, 0, 0, 3]];

async fn read<T: Debug + PartialEq>(message: &Message, expected: T)
where
    Plain: Deserializer<T>,
{
    assert_eq!(message.value_as::<T>(&Plain).unwrap(), Some(expected));
}

async fn next(consumer: &mut Consumer) -> Message {
    tokio::time::timeout(LONG, consumer.try_next()).await.unwrap().unwrap().unwrap()
}

#[tokio::test(start_paused = true)]
async fn every_type_is_read_as_it_was_written() {
    let world = World::with_partitions(1).await;
    let producer = world.producer().await;
    async fn store<T: ?Sized>(producer: &milena::Producer, value: &T)
    where
        Plain: Serializer<T>,
    {
        let record = Record::to("t").value_as(&Plain, value).unwrap();
        producer.send(record).await.unwrap();
    }
    let id = Uuid::from_bytes(0x0f8f_ad5b_d9cb_469f_a165_7086_7728_950e_u128.to_be_bytes());
    store(&producer, "Größe").await;
    store(&producer, &[0_u8, 255][..]).await;
    store(&producer, &i16::MIN).await;
    store(&producer, &i32::MIN).await;
    store(&producer, &i64::MAX).await;
    store(&producer, &1.5_f32).await;
    store(&producer, &f64::MAX).await;
    store(&producer, &true).await;
    store(&producer, &id).await;
    store(&producer, &()).await;
    let mut consumer = world.reader().await;
    read(&next(&mut consumer).await, "Größe".to_owned()).await;
    let bytes = next(&mut consumer).await;
    read(&bytes, vec![0_u8, 255]).await;
    read(&bytes, Bytes::from_static(&[0, 255])).await;
    for error in
        [bytes.value_as::<String>(&Plain).unwrap_err(), bytes.value_as::<i32>(&Plain).unwrap_err()]
    {
        assert_eq!(error.kind(), ErrorKind::Serialization);
        assert!(
            error.to_string().contains("t-0") && error.to_string().contains("offset 1"),
            "{error}"
        );
    }
    read(&next(&mut consumer).await, i16::MIN).await;
    read(&next(&mut consumer).await, i32::MIN).await;
    read(&next(&mut consumer).await, i64::MAX).await;
    read(&next(&mut consumer).await, 1.5_f32).await;
    read(&next(&mut consumer).await, f64::MAX).await;
    read(&next(&mut consumer).await, true).await;
    read(&next(&mut consumer).await, id).await;
    assert_eq!(next(&mut consumer).await.value_as::<()>(&Plain).unwrap(), None);
}

/// Reads a number whose unit stands in a header.
struct Scaled;

impl Deserializer<i64> for Scaled {
    fn deserialize(&self, bytes: &[u8], context: &DeserializeContext<'_>) -> Result<i64, BoxError> {
        let scale = context.headers().last("scale").and_then(|header| header.value);
        let scale: i64 = std::str::from_utf8(scale.ok_or("no scale")?)?.parse()?;
        Ok(scale * std::str::from_utf8(bytes)?.parse::<i64>()?)
    }
}

#[tokio::test(start_paused = true)]
async fn a_format_of_ones_own_sees_the_headers() {
    let world = World::with_partitions(1).await;
    let producer = world.producer().await;
    producer.send(Record::to("t").key("[1,2]").value("7").header("scale", "6")).await.unwrap();
    let consumer = world.reader().await.typed::<Vec<u8>, i64>();
    let mut consumer = consumer.key_format(Json).value_format(Scaled);
    let record = consumer.try_next().await.unwrap().unwrap();
    assert_eq!((record.key(), record.value()), (Some(&vec![1, 2]), Some(&42)));
}

/// Committed over, or lost with the error, it would never be missed.
#[tokio::test(start_paused = true)]
async fn a_poison_record_stays_until_it_is_skipped() {
    let world = world_of(MIXED).await;
    let mut consumer = member(&world).build().await.unwrap().typed::<String, i32>();
    assert_eq!(consumer.try_next().await.unwrap().unwrap().value(), Some(&1));
    for _ in 0..2 {
        let error = consumer.try_next().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Serialization);
        assert_eq!(error.topic_partition(), Some(("t", 0).into()));
        assert_eq!(consumer.poison().unwrap().offset().get(), 1);
    }
    tokio::time::sleep(Duration::from_secs(10)).await;
    consumer.close(GRACE).await.unwrap();
    assert_eq!(world.committed(0), Some(1));

    let mut consumer = member(&world).build().await.unwrap().typed::<String, i32>();
    consumer.try_next().await.unwrap_err();
    consumer.skip_poison().await.unwrap();
    assert_eq!(consumer.try_next().await.unwrap().unwrap().value(), Some(&3));
    assert!(consumer.poison().is_none());
    consumer.close(GRACE).await.unwrap();
    assert_eq!(world.committed(0), Some(3));
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_says_where_it_is_from_and_why() {
    let world = world_of(MIXED).await;
    let letters = DeadLetter::to("dlq", &world.producer().await);
    let consumer = member(&world).build().await.unwrap().typed::<String, i32>();
    let mut consumer = consumer.on_poison(letters.clone());
    assert_eq!(consumer.try_next().await.unwrap().unwrap().value(), Some(&1));
    let third = consumer.try_next().await.unwrap().unwrap();
    assert_eq!(third.value(), Some(&3));
    let own = std::io::Error::other("no such customer");
    letters.send(third.message(), &own).await.unwrap();
    let stored = world.broker.records("dlq", 0);
    let source = world.broker.records("t", 0);
    assert_eq!(stored.len(), 2);
    let letter = &stored[0];
    assert_eq!((&letter.key, &letter.value), (&source[1].key, &source[1].value));
    assert_eq!(letter.timestamp, source[1].timestamp);
    let headers = |record: &milena_broker::StoredRecord| -> Vec<(String, String)> {
        let headers = record.headers.iter();
        headers.map(|(key, value)| (text(Some(&**key)), text(value.as_deref()))).collect()
    };
    let expected = [
        ("h", "1"),
        ("__milena.errors.topic", "t"),
        ("__milena.errors.partition", "0"),
        ("__milena.errors.offset", "1"),
        ("__milena.errors.kind", "Serialization"),
    ];
    let own = expected.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let found = headers(letter);
    assert_eq!(found[..5], own);
    assert!(found[5].1.ends_with("6 bytes where 4 are expected"), "{}", found[5].1);
    assert_eq!(headers(&stored[1])[4].1, "no such customer");
    consumer.close(GRACE).await.unwrap();
    assert_eq!(world.committed(0), Some(3));
}

/// A letter that is not stored while the offset is committed is a record lost.
#[tokio::test(start_paused = true)]
async fn without_a_dead_letter_nothing_is_committed() {
    let world = world_of(MIXED).await;
    let refused = on(ApiKey::PRODUCE).error(ErrorCode::TOPIC_AUTHORIZATION_FAILED);
    let fault = world.broker.add_fault(refused);
    let consumer = member(&world).build().await.unwrap().typed::<String, i32>();
    let mut consumer = consumer.on_poison(DeadLetter::to("dlq", &world.producer().await));
    assert_eq!(consumer.try_next().await.unwrap().unwrap().value(), Some(&1));
    assert_eq!(consumer.try_next().await.unwrap_err().kind(), ErrorKind::Authorization);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(world.committed(0), Some(1));
    world.broker.remove_fault(fault);
    assert_eq!(consumer.try_next().await.unwrap().unwrap().value(), Some(&3));
    assert_eq!(world.broker.records("dlq", 0).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_while_a_letter_is_written_loses_nothing() {
    let world = world_of(MIXED).await;
    let consumer = member(&world).build().await.unwrap().typed::<String, i32>();
    let mut consumer = consumer.on_poison(DeadLetter::to("dlq", &world.producer().await));
    assert_eq!(consumer.try_next().await.unwrap().unwrap().value(), Some(&1));
    for _ in 0..20 {
        assert!(drop_after(1, consumer.try_next()).await.is_none());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let third = consumer.try_next().await.unwrap().unwrap();
    assert_eq!(third.value(), Some(&3));
    assert!(!world.broker.records("dlq", 0).is_empty());
}

#[tokio::test(start_paused = true)]
async fn poison_can_be_passed_over() {
    let world = world_of(MIXED).await;
    let consumer = member(&world).build().await.unwrap().typed::<String, i32>();
    let mut consumer = consumer.on_poison(SkipPoison);
    for expected in [1, 3] {
        assert_eq!(consumer.try_next().await.unwrap().unwrap().value(), Some(&expected));
    }
}
