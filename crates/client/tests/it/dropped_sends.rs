//! What a send, a flush or a close leaves behind that is dropped while detached records and callbacks are about; the
//! rest is in `cancellation`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use milena::{ErrorKind, ProducerInterceptor, Record};

use crate::cancellation::at_each_poll;
use crate::world::{GRACE, World, drop_after, eventually, numbers};

/// Every producer is fresh: its detached records wait for the topic.
#[tokio::test(start_paused = true)]
async fn a_dropped_flush_leaves_detached_records_on_their_way() {
    let world = World::with_partitions(1).await;
    let mut sent = 0;
    at_each_poll(async |step| {
        let producer = world.producer().await;
        for _ in 0..10 {
            producer.send(Record::to("t").value(sent.to_string())).detach();
            sent += 1;
        }
        let done = drop_after(step, producer.flush()).await.is_some();
        assert!(!done || world.values(0).len() == sent, "flushed, not stored");
        producer.close(GRACE).await.unwrap();
        assert_eq!(producer.metrics().detached_errors, 0);
        done
    })
    .await;
    assert_eq!(world.values(0), numbers(0..sent));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_close_admits_what_was_detached_and_nothing_else() {
    let world = World::with_partitions(1).await;
    let mut sent = 0;
    at_each_poll(async |step| {
        let producer = world.producer().await;
        for _ in 0..10 {
            producer.send(Record::to("t").value(sent.to_string())).detach();
            sent += 1;
        }
        let done = drop_after(step, producer.close(GRACE)).await.is_some();
        if step > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
            let late = producer.send(Record::to("t").value("late")).await.unwrap_err();
            assert_eq!(late.kind(), ErrorKind::Closed);
        }
        drop(producer);
        eventually("all are stored", || world.values(0).len() == sent).await;
        done
    })
    .await;
    assert_eq!(world.values(0), numbers(0..sent));
}

/// The callback knows what the one who dropped the future does not.
#[tokio::test(start_paused = true)]
async fn a_dropped_send_with_a_callback_is_told_of_once_if_it_was_admitted() {
    let world = World::with_partitions(1).await;
    let stored = Arc::new(AtomicUsize::new(0));
    at_each_poll(async |step| {
        let producer = world.producer().await;
        let count = Arc::clone(&stored);
        let sent = producer.send(Record::to("t").value(step.to_string()));
        let sent = sent.on_ack(move |result| {
            result.unwrap();
            count.fetch_add(1, SeqCst);
        });
        let done = drop_after(step, sent.into_future()).await.is_some();
        producer.close(GRACE).await.unwrap();
        assert_eq!(world.values(0).len(), stored.load(SeqCst), "at step {step}");
        done
    })
    .await;
    assert!(stored.load(SeqCst) > 1, "some were dropped on their way");
}

#[tokio::test(start_paused = true)]
async fn an_owned_send_and_a_question_for_partitions_can_be_dropped() {
    let world = World::with_partitions(1).await;
    let mut acknowledged = 0;
    at_each_poll(async |step| {
        let producer = world.producer().await;
        let asked = drop_after(step, producer.partitions_for("t")).await;
        assert!(asked.is_none_or(|count| count.unwrap() == 1));
        let record = Record::to("t").value(format!("at {step}"));
        let done = drop_after(step, producer.send_owned(record)).await.is_some();
        acknowledged += usize::from(done);
        producer.close(GRACE).await.unwrap();
        done
    })
    .await;
    let mut stored = world.values(0);
    let count = stored.len();
    stored.dedup();
    assert!(stored.len() == count && count >= acknowledged, "stored twice: {stored:?}");
}

struct Blind;

impl ProducerInterceptor for Blind {}

/// With interceptors records go one by one. Each producer is fresh, with room for a few records only.
#[tokio::test(start_paused = true)]
async fn many_records_whose_call_is_dropped_are_a_prefix_stored_once() {
    for is_seen in [false, true] {
        let world = World::with_partitions(1).await;
        let mut before = 0;
        at_each_poll(async |step| {
            let mut producer = world.kafka.producer().batch_size(1000).buffer_memory(4000);
            if is_seen {
                producer = producer.interceptor(Blind);
            }
            let producer = producer.build().await.unwrap();
            let records = (0..500).map(|number| Record::to("t").value(number.to_string()));
            let done = drop_after(step, producer.enqueue_all(records)).await.is_some();
            producer.close(GRACE).await.unwrap();
            let stored = world.values(0).split_off(before);
            before += stored.len();
            assert_eq!(stored, numbers(0..stored.len()), "at step {step}");
            assert!(!done || stored.len() == 500);
            done
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn deliveries_that_nobody_waits_for_are_stored_all_the_same() {
    let world = World::with_partitions(1).await;
    let (producer, mut sent) = (world.producer().await, 0);
    at_each_poll(async |step| {
        let records = (sent..sent + 10).map(|number| Record::to("t").value(number.to_string()));
        let deliveries = producer.enqueue_all(records).await;
        sent += 10;
        drop_after(step, deliveries).await.is_some()
    })
    .await;
    producer.close(GRACE).await.unwrap();
    assert_eq!(world.values(0), numbers(0..sent));
}
