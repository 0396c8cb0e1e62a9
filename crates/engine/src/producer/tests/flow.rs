//! Batching, flushing, closing and the send buffer, where nothing fails.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use milena_records::CompressionType;
use milena_types::ErrorCode;

use super::hand::{self, Hand, record};
use super::world::{MS, World, settings};
use crate::producer::{Accumulator, Acks, Refused, Settings};
use crate::transaction::TransactionVersion::Two;
use crate::{ErrorKind, Fate};

pub(super) fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn records_of_a_partition_are_stored_in_the_order_of_their_appends() {
    let mut world = World::ready(1, 3, settings());
    for round in 0..50 {
        world.send(round % 3, 4);
        world.run(MS);
    }
    world.run(Duration::from_secs(1));
    world.check(true);
    assert_eq!(world.brokers.seen.iter().filter(|seen| seen.2.is_error()).count(), 0);
}

/// Scenario 15.
#[test]
fn a_batch_lingers_for_company_and_no_longer() {
    let mut world = World::ready(1, 1, Settings { linger: 20 * MS, ..settings() });
    let begin = world.now;
    world.send(0, 2);
    world.run(10 * MS);
    world.send(0, 2);
    world.run(50 * MS);
    assert_eq!(world.produced, 1);
    assert_eq!(world.requests[0].0 - begin, 20 * MS);
    assert_eq!(world.brokers.partitions[0].batches[0].values, [0, 1, 2, 3]);
}

#[test]
fn a_full_batch_does_not_linger() {
    let mut world = World::ready(1, 1, Settings { linger: Duration::from_secs(5), ..settings() });
    world.send(0, 6);
    world.run(10 * MS);
    assert_eq!(world.brokers.values(0).len(), 5);
    let used = world.requests[0].2[0].1;
    assert!((330..=400).contains(&used), "a batch of {used} bytes is not full");
}

#[test]
fn what_comes_while_the_window_is_full_travels_together() {
    let mut world = World::ready(1, 1, Settings { in_flight_max: 1, ..settings() });
    for _ in 0..5 {
        world.send(0, 1);
        world.settle_outputs();
    }
    world.run(20 * MS);
    let sizes: Vec<_> =
        world.brokers.partitions[0].batches.iter().map(|b| b.values.len()).collect();
    assert_eq!(sizes, [1, 4]);
}

#[test]
fn batches_for_one_broker_share_a_request() {
    let mut world = World::ready(1, 6, settings());
    for partition in 0..6 {
        world.send(partition, 2);
    }
    world.run(20 * MS);
    assert_eq!(world.produced, 3, "one request a broker");
    assert!(world.requests.iter().all(|request| request.2.len() == 2));
}

#[test]
fn a_request_holds_no_more_than_it_may() {
    let mut world = World::ready(1, 30, Settings { request_bytes_max: 1000, ..settings() });
    for partition in 0..30 {
        world.send(partition, 5);
    }
    world.run(100 * MS);
    for (_, _, batches) in &world.requests {
        let bytes: usize = batches.iter().map(|batch| batch.1).sum();
        assert!(bytes <= 1000 && batches.len() <= 2);
    }
    assert_eq!(world.offsets().len(), 150);
    world.check(true);
}

#[test]
fn a_flush_overrides_linger_and_waits_for_what_came_before() {
    let mut world = World::ready(1, 2, Settings { linger: Duration::from_secs(5), ..settings() });
    world.send(0, 2);
    world.send(1, 2);
    let flush = world.flush();
    world.send(0, 1);
    assert!(world.flushed.is_empty());
    world.run(10 * MS);
    assert_eq!(world.flushed.iter().map(|f| f.0).collect::<Vec<_>>(), [flush]);
    assert!(world.sent[..4].iter().all(|record| record.delivery.result().is_some()));
    assert!(world.sent[4].delivery.result().is_none(), "it came after the flush");
    world.flush();
    world.run(10 * MS);
    assert_eq!(world.flushed.len(), 2);
}

#[test]
fn a_close_sends_what_there_is_and_takes_nothing_more() {
    let mut world = World::ready(1, 1, Settings { linger: Duration::from_secs(5), ..settings() });
    world.send(0, 3);
    world.close(Duration::from_secs(1));
    let Err(Refused::Failed(error)) = world.try_send(0, 50) else { panic!("taken in") };
    assert_eq!(error.kind(), ErrorKind::Closed);
    assert!(!world.is_closed);
    world.run(10 * MS);
    assert!(world.is_closed && !world.machine().has_given_up());
    assert_eq!(world.offsets(), [Some(0), Some(1), Some(2)]);
    world.is_closed = false;
    world.close(Duration::from_secs(1));
    assert!(world.is_closed, "a second close has nothing to wait for");
    world.check(true);
}

/// Scenario 46: every delivery resolves, and says what became of the record.
/// The cluster's last word comes while the producer is being closed: there is nothing left to wait for.
#[test]
fn a_producer_that_fails_while_it_closes_is_closed() {
    let refusal = super::broker::Fault::Refuse(ErrorCode::CLUSTER_AUTHORIZATION_FAILED);
    let mut world = World::ready(1, 1, settings()).fault(1, refusal);
    world.send(0, 2);
    world.close(Duration::from_secs(60));
    world.run(Duration::from_secs(1));
    assert!(world.is_closed);
    assert!(world.result(0).is_err());
}

#[test]
fn a_close_that_runs_out_of_time_fails_what_is_left() {
    let mut world = World::ready(1, 1, settings());
    world.latency = Duration::from_secs(10);
    world.send_batch(0, 1);
    world.send(0, 1);
    world.close(100 * MS);
    world.run(99 * MS);
    assert!(!world.is_closed);
    world.run(2 * MS);
    assert!(world.is_closed);
    assert!(world.machine().has_given_up());
    let fates: Vec<_> = (0..2).map(|i| world.result(i).expect_err("no time").fate()).collect();
    assert_eq!(fates, [Fate::Unknown, Fate::NotStored]);
    assert_eq!(world.accumulator.bytes_used(), 0);
}

/// Whether anything was lost by the haste.
#[test]
fn a_close_has_given_up_what_was_not_settled_in_time() {
    let close = |mut hand: Hand, span: Duration| {
        hand.producer.close(hand.now, hand.now + span);
        if !span.is_zero() {
            hand.pump();
        }
        hand.wait(span);
        hand.producer.has_given_up()
    };
    let plain = || Hand::new(Settings { transactional_id: None, ..hand::settings() });
    assert!(!close(plain(), Duration::ZERO), "there was nothing to do");
    let mut hand = plain();
    let _delivery = hand.send(0);
    assert!(close(hand, Duration::ZERO));
    assert!(!close(Hand::open(Two, hand::settings()), MS), "a transaction of nothing");
    let mut hand = Hand::open(Two, hand::settings());
    let _delivery = hand.send(0);
    let request = hand.next();
    hand.stored(&request, 0, ErrorCode::NONE);
    assert!(close(hand, MS), "nobody has said that the transaction is aborted");
}

#[test]
fn a_dropped_producer_leaves_no_delivery_behind() {
    let mut world = World::ready(1, 1, Settings { linger: Duration::from_secs(5), ..settings() });
    world.send(0, 8);
    world.settle_outputs();
    world.send(0, 2);
    world.producer = None;
    for record in &world.sent {
        assert!(record.delivery.result().expect("settled").is_err());
    }
    assert!(world.try_send(0, 50).is_err());
    assert_eq!(world.accumulator.bytes_used(), 0);
}

#[test]
fn without_acknowledgements_a_batch_is_done_when_it_is_written() {
    let mut world =
        World::ready(1, 1, Settings { acks: Acks::None, is_idempotent: false, ..settings() });
    world.send(0, 2);
    world.run(MS);
    assert_eq!(world.offsets(), [None, None]);
    world.run(10 * MS);
    assert_eq!(world.brokers.values(0), [0, 1]);
}

#[test]
fn seals_may_come_back_late_and_in_any_order() {
    let mut world = World::ready(1, 1, settings());
    world.seals_held = Some(Vec::new());
    for _ in 0..3 {
        world.send(0, 5);
        world.flush();
    }
    world.run(10 * MS);
    assert_eq!(world.produced, 0);
    let mut held = world.seals_held.take().expect("held");
    assert_eq!(held.len(), 3);
    held.reverse();
    for sealed in held {
        world.machine().handle_sealed(sealed);
        world.run(10 * MS);
    }
    assert_eq!(world.offsets(), (0..15).map(Some).collect::<Vec<_>>());
    world.check(true);
}

/// The parts of a split and a batch of the same partition that was taken meanwhile are sealed side by side.
#[test]
fn a_split_is_not_mistaken_for_a_batch_behind_it() {
    let mut world = World::ready(1, 1, settings());
    world.seals_held = Some(Vec::new());
    world.brokers.partitions[0].batch_bytes_max = 150;
    for records in [4, 1] {
        world.send(0, records);
        world.flush();
        world.run(10 * MS);
        if records == 4 {
            for sealed in world.seals_held.replace(Vec::new()).expect("held") {
                world.machine().handle_sealed(sealed);
            }
            world.run(10 * MS);
            assert_eq!(world.produced, 1, "it was too large");
        }
    }
    let held = world.seals_held.take().expect("held");
    assert_eq!(held.len(), 2);
    for sealed in held {
        world.machine().handle_sealed(sealed);
        world.run(10 * MS);
    }
    world.run(Duration::from_secs(1));
    assert_eq!(world.offsets(), (0..5).map(Some).collect::<Vec<_>>());
    world.check(true);
}

/// F48: the buffer is bounded, whoever waits is served, and batches leave early to make room.
#[test]
fn a_full_buffer_refuses_and_makes_room() {
    let mut world = World::ready(
        1,
        4,
        Settings { buffer_bytes: 1000, linger: Duration::from_secs(60), ..settings() },
    );
    world.send(0, 1);
    world.send(1, 1);
    let Err(Refused::NoRoom { bytes }) = world.try_send(2, 50) else { panic!("taken in") };
    assert!(world.accumulator.bytes_used() <= 1000);
    let mut room = std::pin::pin!(world.accumulator.room(bytes));
    assert!(poll(room.as_mut()).is_pending());
    world.run(10 * MS);
    assert!(world.sent[0].delivery.result().is_some(), "its batch left to make room");
    let Poll::Ready(grant) = poll(room.as_mut()) else { panic!("no room") };
    let record = record(Some(2), &[7; 50]);
    let topic = world.accumulator.topic("t");
    let now = world.now;
    assert!(world.accumulator.try_append(&topic, &record, Some(grant), || now).is_ok());
}

#[test]
fn a_record_that_can_never_be_sent_is_refused_at_once() {
    let mut world = World::ready(1, 1, Settings { request_bytes_max: 1000, ..settings() });
    let Err(Refused::Failed(error)) = world.try_send(0, 950) else { panic!("taken in") };
    assert_eq!(error.kind(), ErrorKind::RecordTooLarge);
    assert!(error.to_string().contains("max.request.size"), "{error}");
    world.try_send(0, 850).expect("a record larger than a batch has one of its own");
    world.run(10 * MS);
    assert_eq!(world.offsets(), [Some(0)]);
    world.check(true);
}

/// Scenario 14: the topic is made while records wait for it.
#[test]
fn an_unknown_topic_is_waited_for() {
    let mut world = World::new(1, 1, settings());
    world.topic_is_missing = true;
    let Err(Refused::UnknownPartition) = world.try_send(0, 50) else { panic!("taken in") };
    let topic = world.accumulator.topic("t");
    let mut ready = std::pin::pin!(world.accumulator.topic_ready(&topic, None));
    world.run(100 * MS);
    assert!(poll(ready.as_mut()).is_pending());
    world.topic_is_missing = false;
    world.run(100 * MS);
    assert!(matches!(poll(ready.as_mut()), Poll::Ready(Ok(()))));
    world.send(0, 1);
    world.run(100 * MS);
    assert_eq!(world.offsets(), [Some(0)]);
}

#[test]
fn partitions_that_are_added_are_used() {
    let mut world = World::ready(1, 1, settings());
    let Err(Refused::UnknownPartition) = world.try_send(1, 50) else { panic!("taken in") };
    let mut more = super::broker::Brokers::new(3, 3);
    world.brokers.partitions.append(&mut more.partitions.split_off(1));
    let topic = world.accumulator.topic("t");
    let mut ready = std::pin::pin!(world.accumulator.topic_ready(&topic, Some(2)));
    world.run(100 * MS);
    assert!(matches!(poll(ready.as_mut()), Poll::Ready(Ok(()))));
    world.send(2, 1);
    world.run(100 * MS);
    assert_eq!(world.offsets(), [Some(0)]);
}

fn send_keyless(accumulator: &Accumulator, now: std::time::Instant) -> Option<i32> {
    let record = record(None, &[7; 50]);
    let topic = accumulator.topic("t");
    let appended = accumulator.try_append(&topic, &record, None, || now).ok()?;
    appended.delivery.topic_partition().map(|partition| partition.partition)
}

/// Trap 13: a switch before the batch is full would send fractional batches.
#[test]
fn records_without_key_fill_one_batch_after_the_other() {
    let mut world = World::ready(3, 5, Settings { linger: Duration::from_secs(60), ..settings() });
    let accumulator = Arc::clone(&world.accumulator);
    let now = world.now;
    let partitions: Vec<_> =
        (0..500).map(|_| send_keyless(&accumulator, now).expect("appended")).collect();
    let runs: Vec<usize> = partitions.chunk_by(|a, b| a == b).map(<[i32]>::len).collect();
    assert!(runs[..runs.len() - 1].iter().all(|run| run % 5 == 0), "{runs:?}");
    let mut shares = [0; 5];
    partitions.iter().for_each(|&partition| shares[partition as usize] += 1);
    assert!(shares.iter().all(|&share| share > 25), "{shares:?}");
    world.flush();
    world.run(100 * MS);
    let batches = world.brokers.partitions.iter().flat_map(|log| &log.batches);
    let fractional = batches.filter(|batch| batch.values.len() < 5).count();
    assert!(fractional <= 1, "{fractional} batches were not full");
}

/// What is still being filled does not count.
#[test]
fn as_many_batches_as_are_on_their_way_are_enough_behind_them() {
    let settings = Settings { batch_bytes: 256 * 1024, ..settings() };
    let mut world = World::ready(1, 1, settings);
    // The first batch of a partition goes alone.
    world.send_batch(0, 1);
    world.run(10 * MS);
    (0..5).for_each(|_| world.send_batch(0, 1));
    assert_eq!(world.produced, 6);
    (0..5).for_each(|_| world.try_send(0, 200_000).expect("room"));
    world.settle_outputs();
    assert!(!world.accumulator.is_pressed());
    world.try_send(0, 200_000).expect("room");
    assert!(world.accumulator.is_pressed() && !world.accumulator.is_relieved());
    world.run(Duration::from_secs(1));
    assert!(world.accumulator.is_relieved());
    assert_eq!(world.produced, 12);
}

/// The broker had more than it could take a moment ago, and has room now: but what it lacks is being compressed.
#[test]
fn no_more_is_wanted_while_as_much_is_compressed_as_can_be() {
    let compression = CompressionType::Lz4.into();
    let settings =
        Settings { batch_bytes: 256 * 1024, in_flight_max: 1, compression, ..settings() };
    let mut world = World::ready(1, 1, settings);
    (0..3).for_each(|_| world.send_batch(0, 1));
    world.run(Duration::from_secs(1));
    world.seals_held = Some(Vec::new());
    (0..4).for_each(|_| world.try_send(0, 200_000).expect("room"));
    world.settle_outputs();
    assert!(world.accumulator.is_pressed() && !world.accumulator.is_relieved());
}
