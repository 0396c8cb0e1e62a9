//! Where a consumer reads on.

use std::error::Error as _;
use std::time::Duration;

use milena::config::{IsolationLevel, OffsetReset};
use milena::{ErrorKind, Offset, Record};
use tokio::time::Instant;

use crate::world::{LONG, World, numbers, read};

fn offset(raw: i64) -> Offset {
    Offset::new(raw).unwrap()
}

#[tokio::test(start_paused = true)]
async fn seek_goes_back_and_forth() {
    let world = World::with_partitions(1).await;
    world.fill(0..20).await;
    let mut consumer = world.reader().await;
    assert_eq!(read(&mut consumer, 20).await, numbers(0..20));
    consumer.seek(("t", 0), offset(5)).await.unwrap();
    assert_eq!(read(&mut consumer, 15).await, numbers(5..20));
    let handle = consumer.handle();
    handle.seek_to_beginning([("t", 0)]).await.unwrap();
    assert_eq!(consumer.try_next().await.unwrap().unwrap().offset(), offset(0));
    handle.seek_to_end([("t", 0)]).await.unwrap();
    assert!(consumer.poll(Duration::from_secs(5)).await.unwrap().is_empty());
    world.fill(20..22).await;
    assert_eq!(read(&mut consumer, 2).await, numbers(20..22));
    let stranger = consumer.seek(("t", 7), offset(0)).await.unwrap_err();
    assert_eq!(stranger.kind(), ErrorKind::Misuse);
}

/// What was fetched before the seek is in the buffer, and must not be handed out.
#[tokio::test(start_paused = true)]
async fn nothing_fetched_before_a_seek_is_handed_out_after_it() {
    let world = World::with_partitions(1).await;
    world.fill(0..20).await;
    let consumer = world.kafka.consumer_without_group().max_poll_records(2);
    let consumer = consumer.auto_offset_reset(OffsetReset::Earliest).assign([("t", 0)]);
    let mut consumer = consumer.build().await.unwrap();
    assert_eq!(consumer.poll(LONG).await.unwrap().len(), 2);
    consumer.seek(("t", 0), offset(15)).await.unwrap();
    assert_eq!(read(&mut consumer, 5).await, numbers(15..20));
}

#[tokio::test(start_paused = true)]
async fn a_paused_partition_is_silent_until_resumed_and_loses_nothing() {
    let world = World::with_partitions(1).await;
    world.fill(0..20).await;
    let consumer = world.kafka.consumer_without_group().max_poll_records(5);
    let consumer = consumer.auto_offset_reset(OffsetReset::Earliest).assign([("t", 0)]);
    let mut consumer = consumer.build().await.unwrap();
    let handle = consumer.handle();
    let mut values = read(&mut consumer, 5).await;
    handle.pause([("t", 0)]).await.unwrap();
    assert_eq!(handle.paused().await.unwrap().len(), 1);
    assert!(consumer.poll(Duration::from_secs(30)).await.unwrap().is_empty());
    handle.resume([("t", 0)]).await.unwrap();
    values.extend(read(&mut consumer, 15).await);
    assert_eq!(values, numbers(0..20));
}

#[tokio::test(start_paused = true)]
async fn offsets_are_told_by_the_brokers() {
    let world = World::with_partitions(2).await;
    world.fill(0..20).await;
    let handle = world.reader().await.handle();
    let consumer = world.reader().await;
    assert!(handle.beginning_offsets([("t", 0)]).await.is_err(), "its consumer was dropped");
    let handle = consumer.handle();
    let beginnings = handle.beginning_offsets([("t", 0), ("t", 1)]).await.unwrap();
    let ends = handle.end_offsets([("t", 0), ("t", 1)]).await.unwrap();
    let raw = |offsets: &std::collections::BTreeMap<_, Offset>| {
        offsets.values().map(|offset| offset.get()).collect::<Vec<_>>()
    };
    assert_eq!((raw(&beginnings), raw(&ends)), (vec![0, 0], vec![20, 0]));
}

#[tokio::test(start_paused = true)]
async fn an_offset_that_is_gone_resets_as_configured() {
    let world = World::with_partitions(1).await;
    world.fill(0..10).await;
    let mut resets = world.reader().await;
    assert_eq!(read(&mut resets, 10).await.len(), 10);
    resets.seek(("t", 0), offset(99)).await.unwrap();
    assert_eq!(read(&mut resets, 10).await, numbers(0..10));

    let stops = world.kafka.consumer_without_group().auto_offset_reset(OffsetReset::None);
    let mut stops = stops.assign([("t", 0)]).build().await.unwrap();
    assert_eq!(stops.try_next().await.unwrap_err().kind(), ErrorKind::NoOffset);
    stops.seek(("t", 0), offset(99)).await.unwrap();
    assert_eq!(stops.try_next().await.unwrap_err().kind(), ErrorKind::OffsetOutOfRange);
    stops.seek(("t", 0), offset(8)).await.unwrap();
    assert_eq!(read(&mut stops, 2).await, numbers(8..10));
}

#[tokio::test(start_paused = true)]
async fn latest_reads_only_what_comes_after() {
    let world = World::with_partitions(1).await;
    world.fill(0..10).await;
    let consumer = world.kafka.consumer_without_group().assign([("t", 0)]);
    let mut consumer = consumer.build().await.unwrap();
    assert!(consumer.poll(Duration::from_secs(5)).await.unwrap().is_empty());
    world.fill(10..13).await;
    assert_eq!(read(&mut consumer, 3).await, numbers(10..13));
}

/// The end of what can be read, as Java's `currentLag`: a reader of committed records is not late for open ones.
#[tokio::test(start_paused = true)]
async fn open_transactions_are_not_part_of_the_lag() {
    let world = World::with_partitions(1).await;
    world.fill(0..3).await;
    let mut producer =
        world.kafka.producer().transactional_id("open").build_transactional().await.unwrap();
    let transaction = producer.begin().await.unwrap();
    let record = Record::to("t").partition(0).value("open");
    transaction.send(record).enqueue().await.unwrap();
    transaction.flush().await.unwrap();
    for (isolation, count, lag) in
        [(IsolationLevel::ReadCommitted, 3, 0), (IsolationLevel::ReadUncommitted, 4, 1)]
    {
        let consumer = world.kafka.consumer_without_group().isolation_level(isolation);
        let consumer = consumer.auto_offset_reset(OffsetReset::Earliest).max_poll_records(3);
        let mut consumer = consumer.assign([("t", 0)]).build().await.unwrap();
        assert_eq!(read(&mut consumer, 3).await.len(), 3, "of {count}");
        let lags: Vec<_> = consumer.handle().lag().into_values().collect();
        assert_eq!(lags, [Some(lag)], "{isolation:?}");
    }
    transaction.abort().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_question_about_a_topic_that_is_not_there_says_so_in_the_end() {
    let world = World::with_partitions(1).await;
    let consumer = world.kafka.consumer("g").allow_auto_create_topics(false).build().await.unwrap();
    let begun = Instant::now();
    let error = consumer.handle().end_offsets([("nowhere", 0)]).await.unwrap_err();
    assert!(begun.elapsed() < LONG);
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    let cause = error.source().unwrap().to_string();
    assert!(cause.contains("nowhere") && cause.contains("UNKNOWN_TOPIC"), "{cause}");
}
