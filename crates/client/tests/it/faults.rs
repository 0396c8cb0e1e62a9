//! Order is kept and nothing is doubled, whatever happens on the way.

use std::time::Duration;

use milena::config::Acks;
use milena::{ErrorKind, NodeId, Record};
use milena_broker::{FaultRule, on};
use milena_types::{ApiKey, ErrorCode};

use crate::world::{GRACE, World, numbers, read};

const RECORDS: usize = 300;

/// Sends `RECORDS` records in many small batches while `rule` strikes; all must be acknowledged.
async fn send_under(rule: FaultRule) {
    let world = World::of_three(1).await;
    world.broker.add_fault(rule);
    let producer = world.kafka.producer().batch_size(200).build().await.unwrap();
    let mut deliveries = Vec::new();
    for number in 0..RECORDS {
        let record = Record::to("t").value(number.to_string());
        deliveries.push(producer.send(record).enqueue().await.unwrap());
    }
    for (number, delivery) in (0_i64..).zip(deliveries) {
        let stored = delivery.await.unwrap();
        assert_eq!(stored.offset().map(|offset| offset.get()), Some(number));
    }
    producer.close(GRACE).await.unwrap();
    // A duplicate would be acknowledged too: the log is asked.
    assert_eq!(world.values(0), numbers(0..RECORDS));
    assert!(world.broker.batches("t", 0).len() > 5, "batches must be able to overtake");
    world.broker.clear_faults();
    assert_eq!(read(&mut world.reader().await, RECORDS).await, numbers(0..RECORDS));
}

#[tokio::test(start_paused = true)]
async fn a_refused_batch_is_sent_again_in_its_place() {
    send_under(on(ApiKey::PRODUCE).every(3).error(ErrorCode::NOT_LEADER_OR_FOLLOWER)).await;
}

#[tokio::test(start_paused = true)]
async fn a_batch_whose_answer_was_lost_is_stored_once() {
    send_under(on(ApiKey::PRODUCE).every(3).apply_then_drop()).await;
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_was_lost_is_stored_in_its_place() {
    send_under(on(ApiKey::PRODUCE).every(3).drop_request()).await;
}

#[tokio::test(start_paused = true)]
async fn an_error_after_the_append_stores_once() {
    send_under(on(ApiKey::PRODUCE).every(3).apply_then_error(ErrorCode::REQUEST_TIMED_OUT)).await;
}

/// `request.timeout.ms` is 30 s: the answer comes when nobody waits for it any more.
#[tokio::test(start_paused = true)]
async fn an_answer_beyond_the_request_timeout_stores_once() {
    send_under(on(ApiKey::PRODUCE).nth(2).delay_answer(Duration::from_secs(35))).await;
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_carried_out_after_its_timeout_stores_once() {
    send_under(on(ApiKey::PRODUCE).nth(2).delay_request(Duration::from_secs(35))).await;
}

#[tokio::test(start_paused = true)]
async fn a_damaged_answer_stores_once() {
    send_under(on(ApiKey::PRODUCE).every(4).truncate()).await;
    send_under(on(ApiKey::PRODUCE).every(4).wrong_correlation()).await;
}

/// Does `trouble` to the cluster between two thirds of the records.
async fn send_while(trouble: impl AsyncFn(&World, NodeId)) {
    let world = World::of_three(1).await;
    let producer = world.kafka.producer().batch_size(200).build().await.unwrap();
    let mut deliveries = Vec::new();
    for number in 0..RECORDS {
        if number % 100 == 50 {
            let leader = world.broker.partition("t", 0).and_then(|partition| partition.leader);
            trouble(&world, leader.unwrap()).await;
        }
        let record = Record::to("t").value(number.to_string());
        deliveries.push(producer.send(record).enqueue().await.unwrap());
        if number % 25 == 0 {
            tokio::time::sleep(Duration::from_millis(6)).await;
        }
    }
    for delivery in deliveries {
        delivery.await.unwrap();
    }
    producer.close(GRACE).await.unwrap();
    assert_eq!(world.values(0), numbers(0..RECORDS));
    assert_eq!(read(&mut world.reader().await, RECORDS).await, numbers(0..RECORDS));
}

#[tokio::test(start_paused = true)]
async fn a_moved_leader_keeps_order() {
    send_while(async |world, leader| {
        let next = NodeId::new(leader.get() % 3 + 1);
        assert!(world.broker.move_leader("t", 0, next));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_crashed_and_restarted_leader_keeps_order() {
    send_while(async |world, leader| {
        world.broker.crash_node(leader);
        tokio::time::sleep(Duration::from_millis(500)).await;
        world.broker.restart_node(leader).await.unwrap();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_stands_still_for_a_while_keeps_order() {
    send_while(async |world, leader| {
        world.broker.pause_node(leader);
        tokio::time::sleep(Duration::from_secs(1)).await;
        world.broker.resume_node(leader);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn fetching_goes_on_through_faults_without_gap_or_double() {
    let world = World::of_three(1).await;
    world.fill(0..200).await;
    world.broker.add_fault(on(ApiKey::FETCH).every(2).drop_request());
    world.broker.add_fault(on(ApiKey::FETCH).every(3).error(ErrorCode::NOT_LEADER_OR_FOLLOWER));
    world.broker.add_fault(on(ApiKey::LIST_OFFSETS).first(2).apply_then_drop());
    let consumer = world.kafka.consumer_without_group().max_partition_fetch_bytes(300);
    let consumer = consumer.auto_offset_reset(milena::config::OffsetReset::Earliest);
    let mut consumer = consumer.assign([("t", 0)]).build().await.unwrap();
    let mut values = read(&mut consumer, 100).await;
    let leader = world.broker.partition("t", 0).and_then(|partition| partition.leader).unwrap();
    world.broker.crash_node(leader);
    values.extend(read(&mut consumer, 200 - values.len()).await);
    assert_eq!(values, numbers(0..200));
}

/// A record that was stored at an earlier try counts once; its batch counts at each.
#[tokio::test(start_paused = true)]
async fn a_retried_batch_counts_its_records_once() {
    let world = World::with_partitions(1).await;
    world.broker.add_fault(on(ApiKey::PRODUCE).nth(1).apply_then_drop());
    let producer = world.producer().await;
    producer.send(Record::to("t").value("v")).await.unwrap();
    let refused = producer.send(Record::to("t").partition(0).value(vec![0; 2 << 20])).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::RecordTooLarge);

    let metrics = producer.metrics();
    assert_eq!((metrics.records_sent, metrics.record_errors), (1, 0));
    assert_eq!(metrics.batches_sent, 2);
    assert_eq!(world.values(0), ["v"]);
}

/// F23: the only answer to what is sent without acknowledgement is that the broker hangs up.
#[tokio::test(start_paused = true)]
async fn without_acknowledgements_a_moved_leader_is_found() {
    let world = World::of_three(1).await;
    let producer = world.kafka.producer().acks(Acks::None).build().await.unwrap();
    producer.send(Record::to("t").value("before")).await.unwrap();
    // No metadata is on its way any more that could bring the move.
    tokio::time::sleep(Duration::from_secs(10)).await;
    let old = world.broker.partition("t", 0).unwrap().leader.unwrap();
    assert!(world.broker.move_leader("t", 0, NodeId::new(old.get() % 3 + 1)));
    // When the broker hangs up, all is written, and nothing is waited for.
    world.broker.add_fault(on(ApiKey::PRODUCE).delay_request(Duration::from_millis(10)));
    for number in 0..10 {
        producer.send(Record::to("t").value(number.to_string())).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!(world.values(0).ends_with(&numbers(5..10)), "{:?}", world.values(0));
}
