//! Epochs and sequences as the log shows them, where batches fail, expire or are forgotten.

use std::ops::Range;
use std::time::Duration;

use milena::{ErrorKind, Fate, NodeId, Producer, Record, Result};
use milena_broker::{Broker, on};
use milena_types::{ApiKey, ErrorCode, Offset};

use crate::wires::Wires;
use crate::world::{GRACE, LONG, World, client_of, numbers, values};

/// Epoch and first sequence of each batch in the log; each holds one record.
fn stamps(broker: &Broker) -> Vec<(i16, i32)> {
    let batches = broker.batches("t", 0);
    let stamps = batches.iter().map(|batch| {
        assert_eq!(batch.records, 1);
        let ((_, epoch), sequence) = batch.producer.zip(batch.base_sequence).unwrap();
        (epoch.get(), sequence.get())
    });
    stamps.collect()
}

fn under(epoch: i16, sequences: Range<i32>) -> impl Iterator<Item = (i16, i32)> {
    sequences.map(move |sequence| (epoch, sequence))
}

fn record(number: usize) -> Record<'static> {
    Record::to("t").partition(0).value(number.to_string())
}

/// Of the five that are in flight at once.
const FIVE: Range<usize> = 3..8;

/// By then every batch is on its way.
const LINGERED: Duration = Duration::from_millis(50);

/// Stores three records, and sends five more, each in a batch of its own, after `trouble`; what became of those.
async fn five_at_once(trouble: impl FnOnce(&Broker)) -> (World, Vec<Result<i64>>) {
    let world = World::with_partitions(1).await;
    let producer = world.kafka.producer().batch_size(1).build().await.unwrap();
    for number in 0..FIVE.start {
        producer.send(record(number)).await.unwrap();
    }
    trouble(&world.broker);
    world.broker.pause_node(NodeId::new(1));
    let mut deliveries = Vec::new();
    for number in FIVE {
        deliveries.push(producer.send(record(number)).enqueue().await.unwrap());
    }
    tokio::time::sleep(LINGERED).await;
    world.broker.resume_node(NodeId::new(1));
    let mut outcomes = Vec::new();
    for delivery in deliveries {
        outcomes.push(delivery.await.map(|stored| stored.offset().unwrap().get()));
    }
    producer.close(GRACE).await.unwrap();
    let requests = world.broker.requests(ApiKey::PRODUCE);
    let first_tries = &requests[FIVE];
    assert!(first_tries.iter().all(|request| request.at == first_tries[0].at), "{requests:?}");
    (world, outcomes)
}

fn all_stored(outcomes: Vec<Result<i64>>) -> Vec<i64> {
    outcomes.into_iter().map(Result::unwrap).collect()
}

#[tokio::test(start_paused = true)]
async fn batches_out_of_order_behind_a_failed_one_are_stored_behind_it() {
    let (world, outcomes) = five_at_once(|broker| {
        broker.add_fault(on(ApiKey::PRODUCE).nth(1).error(ErrorCode::NOT_ENOUGH_REPLICAS));
    })
    .await;
    assert_eq!(all_stored(outcomes), [3, 4, 5, 6, 7]);
    assert_eq!(world.values(0), numbers(0..8));
    assert_eq!(stamps(&world.broker), under(0, 0..8).collect::<Vec<_>>());
    // The first was refused by the rule, four by the log.
    assert_eq!(world.broker.requests(ApiKey::PRODUCE).len(), 8 + 5);
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_fails_after_it_was_stored_keeps_its_place_before_later_ones() {
    let code = ErrorCode::NOT_ENOUGH_REPLICAS_AFTER_APPEND;
    let (world, outcomes) = five_at_once(|broker| {
        broker.add_fault(on(ApiKey::PRODUCE).nth(1).apply_then_error(code));
    })
    .await;
    assert_eq!(all_stored(outcomes), [3, 4, 5, 6, 7]);
    assert_eq!(world.values(0), numbers(0..8));
    assert_eq!(stamps(&world.broker), under(0, 0..8).collect::<Vec<_>>());
    assert_eq!(world.broker.requests(ApiKey::PRODUCE).len(), 8 + 1, "four were acknowledged");
}

#[tokio::test(start_paused = true)]
async fn batches_behind_one_that_is_refused_for_good_take_the_next_epoch() {
    let (world, mut outcomes) = five_at_once(|broker| {
        broker.add_fault(on(ApiKey::PRODUCE).nth(1).error(ErrorCode::INVALID_TIMESTAMP));
    })
    .await;
    let refused = outcomes.remove(0).unwrap_err();
    assert_eq!(refused.code(), Some(ErrorCode::INVALID_TIMESTAMP));
    assert_eq!(refused.fate(), Fate::NotStored);
    assert_eq!(all_stored(outcomes), [3, 4, 5, 6]);
    assert_eq!(world.values(0), [numbers(0..3), numbers(4..8)].concat());
    let expected = under(0, 0..3).chain(under(1, 0..4));
    assert_eq!(stamps(&world.broker), expected.collect::<Vec<_>>());
}

/// A leader that does not say where its log starts may be one that is about to move.
#[tokio::test(start_paused = true)]
async fn a_leader_that_knows_neither_producer_nor_log_is_asked_again() {
    let (world, outcomes) = five_at_once(|broker| {
        broker.add_fault(on(ApiKey::PRODUCE).first(7).error(ErrorCode::UNKNOWN_PRODUCER_ID));
    })
    .await;
    assert_eq!(all_stored(outcomes), [3, 4, 5, 6, 7]);
    assert_eq!(world.values(0), numbers(0..8));
    assert_eq!(stamps(&world.broker), under(0, 0..8).collect::<Vec<_>>());
}

/// Brokers remember a producer by what is in the log.
#[tokio::test(start_paused = true)]
async fn a_producer_that_was_forgotten_with_its_deleted_records_goes_on() {
    let (world, outcomes) = five_at_once(|broker| {
        let (tp, end) = (("t", 0).into(), Offset::new(3).unwrap());
        broker.with(|cluster, now| {
            cluster.delete_records(now, &tp, end);
            cluster.truncate_log(now, &tp, end);
        });
    })
    .await;
    assert_eq!(all_stored(outcomes), [3, 4, 5, 6, 7]);
    assert_eq!(world.values(0), numbers(FIVE));
    assert_eq!(stamps(&world.broker), under(0, 3..8).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_producer_whose_last_records_were_lost_begins_the_next_epoch() {
    let (world, outcomes) = five_at_once(|broker| {
        let (tp, end) = (("t", 0).into(), Offset::new(1).unwrap());
        broker.with(|cluster, now| cluster.truncate_log(now, &tp, end));
    })
    .await;
    assert_eq!(all_stored(outcomes), [1, 2, 3, 4, 5]);
    assert_eq!(world.values(0), [numbers(0..1), numbers(FIVE)].concat());
    let expected = under(0, 0..1).chain(under(1, 0..5));
    assert_eq!(stamps(&world.broker), expected.collect::<Vec<_>>());
}

const PATIENCE: Duration = Duration::from_secs(3);

/// A producer whose batches expire with their first request, and that has stored one record.
async fn impatient(kafka: &milena::Kafka) -> Producer {
    let producer = kafka.producer().set("request.timeout.ms", "3000").unwrap();
    let producer = producer.linger(Duration::ZERO).delivery_timeout(PATIENCE);
    let producer = producer.build().await.unwrap();
    producer.send(record(0)).await.unwrap();
    producer
}

async fn expire(producer: &Producer, fate: Fate) {
    let error = producer.send(record(1)).await.unwrap_err();
    assert_eq!((error.kind(), error.fate()), (ErrorKind::Timeout, fate), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_expires_in_flight_ends_its_epoch() {
    let first = || on(ApiKey::PRODUCE).nth(1);
    for (rule, stored) in
        [(first().hang(), [0, 2].as_slice()), (first().apply_then_hang(), &[0, 1, 2])]
    {
        let world = World::with_partitions(1).await;
        let producer = impatient(&world.kafka).await;
        world.broker.add_fault(rule);
        expire(&producer, Fate::Unknown).await;
        producer.send(record(2)).await.unwrap();
        producer.close(GRACE).await.unwrap();
        assert_eq!(world.values(0), stored.iter().map(ToString::to_string).collect::<Vec<_>>());
        let stamps = stamps(&world.broker);
        assert_eq!((stamps[0], stamps[stamps.len() - 1]), ((0, 0), (1, 0)), "{stamps:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_arrives_after_its_retry_is_a_duplicate() {
    let (broker, wires) = (one_node().await, Wires::new());
    let kafka = client_of(&broker).in_process(wires.dialer(&broker)).connect().await.unwrap();
    let producer = kafka.producer().set("request.timeout.ms", "3000").unwrap();
    let producer = producer.build().await.unwrap();
    producer.send(record(0)).await.unwrap();
    wires.hold();
    for number in 1..3 {
        producer.send(record(number)).await.unwrap();
    }
    wires.let_go();
    tokio::time::sleep(LONG).await;
    assert_eq!(broker.requests(ApiKey::PRODUCE).len(), 4, "all arrived, one of them late");
    assert_eq!(values(&broker, 0), numbers(0..3));
    assert_eq!(stamps(&broker), [(0, 0), (0, 1), (0, 2)]);
}

/// Its epoch is over: stored behind the next one's records it would stand in the wrong place.
#[tokio::test(start_paused = true)]
async fn a_request_that_arrives_after_its_batch_expired_is_not_stored() {
    let (broker, wires) = (one_node().await, Wires::new());
    let kafka = client_of(&broker).in_process(wires.dialer(&broker)).connect().await.unwrap();
    let producer = impatient(&kafka).await;
    wires.hold();
    expire(&producer, Fate::Unknown).await;
    producer.send(record(2)).await.unwrap();
    wires.let_go();
    tokio::time::sleep(LONG).await;
    assert_eq!(broker.requests(ApiKey::PRODUCE).len(), 3, "all arrived");
    assert_eq!(stamps(&broker), [(0, 0), (1, 0)]);
    assert_eq!(values(&broker, 0), ["0", "2"]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_expires_unsent_leaves_no_gap() {
    let world = World::with_partitions(1).await;
    let producer = impatient(&world.kafka).await;
    world.broker.crash_node(NodeId::new(1));
    expire(&producer, Fate::NotStored).await;
    world.broker.restart_node(NodeId::new(1)).await.unwrap();
    producer.send(record(2)).await.unwrap();
    producer.close(GRACE).await.unwrap();
    assert_eq!(world.values(0), ["0", "2"]);
    assert_eq!(stamps(&world.broker), [(0, 0), (0, 1)]);
}

/// The batch is given up when a part of it is written: its rest must not be what took its place in the buffer, which
/// has no room for both.
#[tokio::test(start_paused = true)]
async fn a_batch_that_expires_while_it_is_written_keeps_its_bytes() {
    let (broker, wires) = (one_node().await, Wires::new());
    let kafka = client_of(&broker).in_process(wires.dialer(&broker)).connect().await.unwrap();
    let producer = kafka.producer().set("request.timeout.ms", "3000").unwrap();
    // Its second request, and with it the connection, outlives the batch.
    let producer = producer.set("retry.backoff.ms", "1000").unwrap().delivery_timeout(PATIENCE);
    let producer = producer.batch_size(BATCH_BYTES).buffer_memory(2 * u64::from(BATCH_BYTES));
    let producer = producer.linger(Duration::ZERO).build().await.unwrap();
    producer.send(record(0)).await.unwrap();
    broker.add_fault(on(ApiKey::PRODUCE).nth(1).error(ErrorCode::NOT_ENOUGH_REPLICAS));
    let value = |letter: &str| letter.repeat(BATCH_BYTES as usize - 1_000);
    let given_up = producer.send(Record::to("t").value(value("a"))).enqueue().await.unwrap();
    tokio::time::sleep(PATIENCE / 6).await;
    wires.hold();
    let error = given_up.await.unwrap_err();
    assert_eq!((error.kind(), error.fate()), (ErrorKind::Timeout, Fate::Unknown), "{error}");

    let send_others = async {
        for letter in ["b", "c", "d"] {
            producer.send(Record::to("t").value(value(letter))).await.unwrap();
        }
    };
    tokio::join!(send_others, async {
        tokio::time::sleep(PATIENCE / 100).await;
        wires.let_go();
    });
    assert!(values(&broker, 0)[1..] == ["a", "b", "c", "d"].map(value));
    assert_eq!(broker.requests(ApiKey::PRODUCE).len(), 6, "one of the six was refused");
    assert_eq!(stamps(&broker), [(0, 0), (0, 1), (0, 2), (0, 3), (0, 4)]);
}

const BATCH_BYTES: u32 = 32 << 10;

async fn one_node() -> Broker {
    Broker::builder().topic("t", 1).start_in_memory().await.unwrap()
}
