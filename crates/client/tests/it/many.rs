//! Many records in one call, and many calls in one task.

use std::time::Duration;

use milena::config::Acks;
use milena::{ErrorKind, Fate, Record};
use milena_types::NodeId;
use tokio::time::Instant;

use crate::world::{GRACE, World, numbers};

/// More than the buffer holds, over several chunks and batches: nothing may be lost, doubled or swapped.
#[tokio::test(start_paused = true)]
async fn records_of_one_call_are_stored_in_order() {
    let world = World::with_partitions(1).await;
    let producer = world.kafka.producer().batch_size(1000).buffer_memory(4000);
    let producer = producer.build().await.unwrap();
    let records = (0..2000).map(|number| Record::to("t").value(number.to_string()));
    let outcomes = producer.enqueue_all(records).await.await;
    assert_eq!(world.values(0), numbers(0..2000));
    let offsets: Vec<_> = outcomes.iter().map(|o| o.unwrap().offset().unwrap().get()).collect();
    assert_eq!(offsets, (0..2000).collect::<Vec<_>>());
    assert_eq!((outcomes.len(), outcomes.failures()), (2000, 0));
    producer.close(GRACE).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn keys_and_topics_may_differ_within_a_call() {
    let world =
        World::start(milena_broker::Broker::builder().topic("t", 4).topic("other", 1)).await;
    let producer = world.producer().await;
    let other = producer.topic("other");
    let texts: Vec<_> = (0..500).map(|number| format!("{number:03}")).collect();
    let records = texts.iter().enumerate().map(|(number, text)| match number % 3 {
        0 => Record::to(&other).value(text),
        _ => Record::to("t").key(&text[..1]).value(text),
    });
    producer.enqueue_all(records).await.await.into_result().unwrap();
    let mut stored = 0;
    for partition in 0..4 {
        let values = world.values(partition);
        // A key's records are in its order, and each key is in one partition: each run of a key is sorted.
        for key in '0'..='4' {
            let own: Vec<_> = values.iter().filter(|value| value.starts_with(key)).collect();
            assert!(own.is_sorted(), "{own:?}");
            assert!(own.is_empty() || own.len() >= 66, "key {key} is in two partitions");
        }
        stored += values.len();
    }
    assert_eq!(stored + world.broker.records("other", 0).len(), 500);
}

#[tokio::test(start_paused = true)]
async fn a_record_that_is_too_large_fails_alone() {
    let world = World::with_partitions(1).await;
    let producer = world.kafka.producer().max_request_size(2000).build().await.unwrap();
    let large = "x".repeat(3000);
    let values = ["a", &large, "b"];
    let deliveries = producer.enqueue_all(values.map(|v| Record::to("t").value(v))).await;
    let outcomes = deliveries.await;
    let kinds: Vec<_> = outcomes.iter().map(|o| o.err().map(|e| e.kind())).collect();
    assert_eq!(kinds, [None, Some(ErrorKind::RecordTooLarge), None]);
    assert_eq!(world.values(0), ["a", "b"]);
    assert_eq!(outcomes.into_result().unwrap_err().kind(), ErrorKind::RecordTooLarge);
}

/// Each record that finds no room would otherwise wait on its own, for `max.block.ms` each.
#[tokio::test(start_paused = true)]
async fn a_call_waits_for_max_block_ms_in_all() {
    let world = World::with_partitions(1).await;
    let max_block = Duration::from_secs(2);
    let producer = world.kafka.producer().batch_size(1000).buffer_memory(4000).max_block(max_block);
    let producer = producer.build().await.unwrap();
    producer.send(Record::to("t").value("0")).await.unwrap();
    world.broker.pause_node(NodeId::new(1));
    let value = "x".repeat(900);
    let before = Instant::now();
    let records = (0..50).map(|_| Record::to("t").value(&value));
    let deliveries = producer.enqueue_all(records).await;
    assert_eq!(before.elapsed(), max_block);
    assert_eq!(deliveries.len(), 50);
    world.broker.resume_node(NodeId::new(1));
    let outcomes = deliveries.await;
    let errors: Vec<_> = outcomes.iter().filter_map(Result::err).collect();
    assert!(
        errors.iter().all(|e| (e.kind(), e.fate()) == (ErrorKind::BufferFull, Fate::NotStored))
    );
    assert_eq!(world.values(0).len(), 51 - errors.len(), "what failed is not stored");
    assert!((40..50).contains(&errors.len()), "{}", errors.len());
}

/// Of the iterator a dropped call has taken a part: that part is sent, once, and no more.
#[tokio::test(start_paused = true)]
async fn a_dropped_call_leaves_a_prefix() {
    let world = World::with_partitions(1).await;
    let producer = world.kafka.producer().batch_size(1000).buffer_memory(4000);
    let producer = producer.build().await.unwrap();
    producer.send(Record::to("t").value("warm")).await.unwrap();
    world.broker.pause_node(NodeId::new(1));
    let records = (0..2000).map(|number| Record::to("t").value(number.to_string()));
    let cut = tokio::time::timeout(Duration::from_secs(1), producer.enqueue_all(records)).await;
    assert!(cut.is_err());
    world.broker.resume_node(NodeId::new(1));
    producer.close(GRACE).await.unwrap();
    let values = world.values(0);
    assert!((50..2000).contains(&values.len()), "{}", values.len());
    assert_eq!(values[1..], numbers(0..values.len() - 1));
}

/// tokio keeps the driver for the thread that woke it; without a pause now and then nothing is sent before the buffer
/// is full, which costs its memory and its latency.
#[tokio::test(start_paused = true)]
async fn a_task_that_never_waits_does_not_keep_records_from_being_sent() {
    let world = World::with_partitions(1).await;
    let producer = world.kafka.producer().batch_size(1000).build().await.unwrap();
    producer.send(Record::to("t").value("warm")).await.unwrap();
    for number in 0..10_000 {
        let record = Record::to("t").value(number.to_string());
        let _delivery = producer.send(record).enqueue().await.unwrap();
        let used = producer.metrics().buffer_bytes_used;
        assert!(used < 100_000, "{used} bytes wait after {number} records");
    }
    producer.close(GRACE).await.unwrap();
    assert_eq!(world.values(0).len(), 10_001);
}

/// A batch each, and more of them than are worth waiting behind a full window.
async fn send_large(producer: &milena::Producer, count: usize) -> Duration {
    let (begin, value) = (Instant::now(), "x".repeat(10_000));
    for _ in 0..count {
        let _delivery = producer.send(Record::to("t").value(&value)).enqueue().await.unwrap();
    }
    begin.elapsed()
}

/// What waits behind a full window only costs memory and time.
#[tokio::test(start_paused = true)]
async fn who_sends_more_than_is_stored_rests_until_more_is_wanted() {
    let world = World::with_partitions(1).await;
    let producer = world.kafka.producer().batch_size(16_384).build().await.unwrap();
    producer.send(Record::to("t").value("warm")).await.unwrap();
    world.broker.pause_node(NodeId::new(1));
    let resume = async {
        tokio::time::sleep(Duration::from_millis(5)).await;
        let used = producer.metrics().buffer_bytes_used;
        world.broker.resume_node(NodeId::new(1));
        used
    };
    let (rested, used) = tokio::join!(send_large(&producer, 200), resume);
    assert!((5..15).contains(&rested.as_millis()), "it took {rested:?}");
    assert!(used < 50 * 16_384, "{used} bytes wait for a broker that takes nothing");
    producer.close(GRACE).await.unwrap();
    assert_eq!(world.values(0).len(), 201);
}

/// The buffer is there for a broker that stands still: nobody rests for long.
#[tokio::test(start_paused = true)]
async fn a_rest_in_vain_is_the_last_until_what_waits_is_sent() {
    let world = World::with_partitions(1).await;
    let producer = world.kafka.producer().batch_size(16_384).build().await.unwrap();
    producer.send(Record::to("t").value("warm")).await.unwrap();
    world.broker.pause_node(NodeId::new(1));
    let rested = send_large(&producer, 500).await;
    assert!((100..102).contains(&rested.as_millis()), "it took {rested:?}");
    world.broker.resume_node(NodeId::new(1));
    producer.flush().await.unwrap();
    assert_eq!(world.values(0).len(), 501);
    world.broker.pause_node(NodeId::new(1));
    let rested = send_large(&producer, 500).await;
    assert!(rested.as_millis() >= 100, "it took {rested:?}");
    world.broker.resume_node(NodeId::new(1));
    producer.close(GRACE).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_rest_as_short_as_max_block_ms_is_the_last_in_vain_too() {
    let world = World::with_partitions(1).await;
    let producer = world.kafka.producer().batch_size(16_384).max_block(Duration::from_millis(50));
    let producer = producer.build().await.unwrap();
    producer.send(Record::to("t").value("warm")).await.unwrap();
    world.broker.pause_node(NodeId::new(1));
    let rested = send_large(&producer, 500).await;
    assert!((50..52).contains(&rested.as_millis()), "it took {rested:?}");
    world.broker.resume_node(NodeId::new(1));
    producer.close(GRACE).await.unwrap();
    assert_eq!(world.values(0).len(), 501);
}

/// What waits for one broker holds up nothing that goes to the others.
#[tokio::test(start_paused = true)]
async fn a_broker_that_stands_still_leaves_the_others_their_pace() {
    let world = World::of_three(3).await;
    let producer = world.kafka.producer().batch_size(16_384).acks(Acks::Leader);
    let producer = producer.enable_idempotence(false).build().await.unwrap();
    let value = "x".repeat(10_000);
    let send = async |partition, count| {
        let begin = Instant::now();
        for _ in 0..count {
            let record = Record::to("t").partition(partition).value(&value);
            let _delivery = producer.send(record).enqueue().await.unwrap();
        }
        begin.elapsed()
    };
    let still = world.broker.partition("t", 0).unwrap().leader.unwrap();
    world.broker.pause_node(still);
    assert!(send(0, 100).await.as_millis() >= 100, "nothing waits");
    let took = send(1, 2_000).await;
    assert!(took.as_millis() <= 17, "2,000 batches to a broker that answers took {took:?}");
    // By now the rest in vain is forgotten: it is the other broker's room that counts.
    tokio::time::sleep(Duration::from_millis(400)).await;
    let took = send(1, 2_000).await;
    assert!(took.as_millis() <= 17, "2,000 more took {took:?}");
    world.broker.resume_node(still);
    producer.close(GRACE).await.unwrap();
    assert_eq!((world.values(0).len(), world.values(1).len()), (100, 4_000));
}
