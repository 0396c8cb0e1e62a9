//! Admission: what happens to records for which there is no room, or no topic, yet.

use std::time::Duration;

use milena::{ErrorKind, Fate, NodeId, Record};
use milena_broker::{Acl, AclOperation, AclResource, Broker, on};
use milena_types::{ApiKey, ErrorCode};
use tokio::time::Instant;

use crate::world::{GRACE, World, numbers};

const MAX_BLOCK: Duration = Duration::from_secs(2);

#[tokio::test(start_paused = true)]
async fn a_full_buffer_makes_senders_wait_for_max_block_ms() {
    let world = World::with_partitions(1).await;
    let producer = world.kafka.producer().batch_size(1000).buffer_memory(4000).max_block(MAX_BLOCK);
    let producer = producer.build().await.unwrap();
    producer.send(Record::to("t").value("0")).await.unwrap();
    world.broker.pause_node(NodeId::new(1));
    let value = "x".repeat(900);
    let mut admitted = 1;
    let (error, waited) = loop {
        let before = Instant::now();
        match producer.send(Record::to("t").value(&value)).enqueue().await {
            Ok(_delivery) => admitted += 1,
            Err(error) => break (error, before.elapsed()),
        }
        assert!(admitted < 100, "no bound");
    };
    assert_eq!((error.kind(), error.fate()), (ErrorKind::BufferFull, Fate::NotStored));
    assert!(error.to_string().contains("max.block.ms"), "{error}");
    assert!(waited >= MAX_BLOCK && waited < MAX_BLOCK * 2, "{waited:?}");

    // Who waits while the broker comes back is admitted, and what was refused is not stored.
    let waiting = producer.send(Record::to("t").value("last"));
    let (sent, ()) = tokio::join!(waiting.into_future(), async {
        tokio::time::sleep(MAX_BLOCK / 2).await;
        world.broker.resume_node(NodeId::new(1));
    });
    sent.unwrap();
    assert_eq!(world.values(0).len(), admitted + 1);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_topic_times_out_and_names_the_cause() {
    let cluster = Broker::builder().topic("t", 1).configure(|s| s.auto_create_topics = false);
    let world = World::start(cluster).await;
    let producer = world.kafka.producer().max_block(MAX_BLOCK).build().await.unwrap();
    let before = Instant::now();
    let error = producer.send(Record::to("missing").value("v")).await.unwrap_err();
    assert!(before.elapsed() < MAX_BLOCK * 2, "{:?}", before.elapsed());
    let mut whole = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(deeper) = cause {
        whole.push_str(&format!(": {deeper}"));
        cause = deeper.source();
    }
    assert!(whole.contains("missing"), "{whole}");
    assert!(whole.contains("UNKNOWN_TOPIC_OR_PARTITION"), "{whole}");
    assert_eq!(error.fate(), Fate::NotStored);
    assert_eq!(world.broker.journal().batches().count(), 0);
    // The producer is none the worse.
    producer.send(Record::to("t").value("v")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_topic_that_appears_meanwhile_gets_its_record() {
    let cluster = Broker::builder().configure(|s| s.auto_create_topics = false);
    let world = World::start(cluster).await;
    let producer = world.producer().await;
    let (sent, ()) = tokio::join!(producer.send(Record::to("t").value("0")).into_future(), async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        world.broker.create_topic(&milena_broker::TopicSettings::new("t", 1)).unwrap();
    });
    sent.unwrap();
    assert_eq!(world.values(0), ["0"]);
}

/// Brokers hear of a topic that was just made one after the other, its leader perhaps last.
#[tokio::test(start_paused = true)]
async fn a_new_topic_that_its_leader_does_not_know_yet_gets_its_records() {
    let world = World::start(Broker::builder().nodes(3)).await;
    let unknown = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
    world.broker.add_fault(on(ApiKey::METADATA).topic("t").first(2).error(unknown));
    world.broker.add_fault(on(ApiKey::PRODUCE).first(3).error(unknown));
    let producer = world.kafka.producer().batch_size(100).build().await.unwrap();
    let mut deliveries = Vec::new();
    for number in 0..20 {
        let record = Record::to("t").partition(0).value(number.to_string());
        deliveries.push(producer.send(record).enqueue().await.unwrap());
    }
    for delivery in deliveries {
        delivery.await.unwrap();
    }
    assert_eq!(world.values(0), numbers(0..20));
    let refused = world.broker.requests(ApiKey::PRODUCE).len() - world.broker.batches("t", 0).len();
    assert!(refused >= 3, "{refused}");
}

#[tokio::test(start_paused = true)]
async fn try_enqueue_gives_back_the_record_it_has_no_room_for() {
    let world = World::with_partitions(1).await;
    let producer = world.kafka.producer().batch_size(1000).buffer_memory(3000);
    let producer = producer.build().await.unwrap();

    // The partitions of a topic that was never sent to are not known.
    let refused = producer.try_enqueue(Record::to("t").key("k").value("first")).unwrap_err();
    let record = refused.into_record();
    producer.send(record).await.unwrap();

    world.broker.pause_node(NodeId::new(1));
    let value = "x".repeat(900);
    let refused = loop {
        match producer.try_enqueue(Record::to("t").value(&value)) {
            Ok(_delivery) => {}
            Err(refused) => break refused,
        }
    };
    assert_eq!(refused.error().kind(), ErrorKind::BufferFull);
    let (record, _error) = refused.into_parts();
    world.broker.resume_node(NodeId::new(1));
    producer.send(record).await.unwrap();
    let stored = world.broker.records("t", 0);
    assert_eq!(stored[0].key.as_deref(), Some(&b"k"[..]));
    assert_eq!(stored.last().unwrap().value.as_deref(), Some(value.as_bytes()));
}

#[tokio::test(start_paused = true)]
async fn a_record_that_no_request_can_hold_is_refused_at_once() {
    let world = World::with_partitions(1).await;
    let producer = world.kafka.producer().max_request_size(5000).build().await.unwrap();
    producer.send(Record::to("t").value("0")).await.unwrap();
    let error = producer.send(Record::to("t").value(vec![0; 6000])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RecordTooLarge);
    assert!(error.to_string().contains("max.request.size"), "{error}");
    assert_eq!(world.values(0), ["0"]);
}

/// The machine would wait for `linger.ms`, an hour here.
#[tokio::test(start_paused = true)]
async fn flush_completes_everything_without_lingering() {
    let world = World::of_three(3).await;
    world.broker.add_fault(on(ApiKey::PRODUCE).nth(1).error(ErrorCode::NOT_LEADER_OR_FOLLOWER));
    let producer = world.kafka.producer().linger(Duration::from_secs(3600));
    let producer = producer.delivery_timeout(Duration::from_secs(7200)).build().await.unwrap();
    let mut deliveries = Vec::new();
    for number in 0..90 {
        let record = Record::to("t").partition(number % 3).value(number.to_string());
        deliveries.push(producer.send(record).enqueue().await.unwrap());
    }
    let before = Instant::now();
    producer.flush().await.unwrap();
    assert!(before.elapsed() < Duration::from_secs(60), "{:?}", before.elapsed());
    let stored: usize = (0..3).map(|partition| world.values(partition).len()).sum();
    assert_eq!(stored, 90);
    for delivery in deliveries {
        let mut delivery = std::pin::pin!(delivery);
        let now = std::future::poll_fn(|cx| std::task::Poll::Ready(delivery.as_mut().poll(cx)));
        assert!(matches!(now.await, std::task::Poll::Ready(Ok(_))), "flushed, not resolved");
    }
    producer.close(GRACE).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn detached_records_are_sent() {
    let world = World::with_partitions(1).await;
    let producer = world.producer().await;
    producer.send(Record::to("t").value("0")).await.unwrap();
    for number in 1..50 {
        producer.send(Record::to("t").value(number.to_string())).detach();
    }
    producer.close(GRACE).await.unwrap();
    assert_eq!(world.values(0), numbers(0..50));
}

/// The record that finds no room may have filled a batch; with nobody to say so it would linger, here for an hour.
#[tokio::test(start_paused = true)]
async fn a_refused_try_has_full_batches_sent() {
    let world = World::with_partitions(2).await;
    let producer = world.kafka.producer().batch_size(1000).buffer_memory(2000);
    let producer = producer.linger(Duration::from_secs(3600));
    let producer = producer.delivery_timeout(Duration::from_secs(7200)).build().await.unwrap();
    let value = "x".repeat(600);
    for partition in 0..2 {
        let record = Record::to("t").partition(partition).value(&value);
        drop(producer.send(record).enqueue().await.unwrap());
    }
    // The driver has looked at both batches, and sleeps until they have lingered.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let record = Record::to("t").partition(0).value(&value);
    let refused = producer.try_enqueue(record).unwrap_err();
    assert!(refused.is_full() && !refused.is_unknown_topic());
    // Well before something else wakes it.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(world.values(0).len(), 1);
    producer.close(GRACE).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn owned_records_are_sent_from_tasks_of_their_own() {
    let world = World::with_partitions(1).await;
    let producer = world.producer().await;
    let mut sending = tokio::task::JoinSet::new();
    for number in 0..10 {
        sending.spawn(producer.send_owned(Record::to("t").value(number.to_string())));
    }
    assert!(sending.join_all().await.into_iter().all(|stored| stored.is_ok()));
    assert_eq!(world.values(0).len(), 10);
}

/// F43: what the metadata says is as old as its last answer.
#[tokio::test(start_paused = true)]
async fn a_right_that_was_given_is_noticed_by_the_next_send() {
    let world = World::start(Broker::builder().topic("t", 1).topic("u", 1).authorizer()).await;
    let rule = Acl::deny(AclOperation::Describe, AclResource::topic("t"));
    world.broker.add_acl(rule.clone()).unwrap();
    let producer = world.producer().await;
    let other = world.producer().await;
    let error = producer.send(Record::to("t").value("0")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Authorization);
    world.broker.remove_acl(&rule);
    // Another topic's answer says nothing new of this one.
    let (sent, another) = tokio::join!(
        producer.send(Record::to("t").value("1")).into_future(),
        producer.send(Record::to("u").value("1")).into_future(),
    );
    sent.and(another).unwrap();
    other.send(Record::to("t").value("2")).await.unwrap();
    assert_eq!(world.values(0), ["1", "2"]);
}
