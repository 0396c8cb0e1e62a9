//! Idempotence: what keeps a batch that was sent twice from being stored twice.

use std::time::Duration;

use milena_types::ErrorCode;

use super::broker::Fault;
use super::world::{MS, World, settings};
use crate::producer::Settings;
use crate::{ErrorKind, Fate};

/// A partition's batches as (epoch, base sequence, records).
fn batches(world: &World, partition: usize) -> Vec<(i16, i32, usize)> {
    let batches = world.brokers.partitions[partition].batches.iter();
    batches
        .map(|batch| {
            let (_, epoch, base) = batch.producer.expect("idempotent");
            (epoch, base, batch.values.len())
        })
        .collect()
}

/// Waits until five batches may travel at once: the first acknowledgement has come.
fn warm(world: &mut World) {
    world.send_batch(0, 1);
    world.run(10 * MS);
    assert_eq!(batches(world, 0), [(0, 0, 1)]);
}

#[test]
fn a_producer_asks_for_its_id_until_it_gets_one() {
    let mut world = World::new(1, 1, settings());
    world.init_faults =
        vec![ErrorCode::COORDINATOR_LOAD_IN_PROGRESS, ErrorCode::COORDINATOR_NOT_AVAILABLE];
    world.accumulator.topic("t");
    world.run(50 * MS);
    world.send(0, 1);
    world.run(50 * MS);
    assert_eq!(world.produced, 0);
    world.run(Duration::from_secs(2));
    assert_eq!(world.offsets(), [Some(0)]);
    world.check(true);
}

#[test]
fn a_refused_id_fails_everything_now_and_later() {
    let mut world = World::new(1, 1, settings());
    world.init_faults = vec![ErrorCode::PRODUCER_FENCED];
    world.accumulator.topic("t");
    world.settle_outputs();
    world.run(50 * MS);
    assert!(world.try_send(0, 50).is_err());
    world.check(true);
}

/// KAFKA-13668: the right is given after a while, and the records of then are stored by the same producer.
#[test]
fn a_producer_that_may_not_have_an_id_fails_what_waits_and_asks_again() {
    let mut world = World::new(1, 1, settings());
    world.init_faults = vec![ErrorCode::CLUSTER_AUTHORIZATION_FAILED; 2];
    world.accumulator.topic("t");
    world.run(50 * MS);
    world.send_batch(0, 2);
    world.send(0, 1);
    world.run(Duration::from_secs(5));
    for error in (0..3).map(|index| world.result(index).expect_err("no right")) {
        assert_eq!((error.kind(), error.fate()), (ErrorKind::Authorization, Fate::NotStored));
        assert!(!error.is_fatal());
    }
    assert_eq!(world.accumulator.bytes_used(), 0);
    world.send(0, 1);
    world.run(Duration::from_secs(1));
    assert_eq!(world.result(3).unwrap(), Some(0));
    world.check(false);
}

/// Kafka's own test of the trap: the second batch must not pass the first one, which nobody knows yet.
#[test]
fn one_batch_travels_until_the_broker_knows_us() {
    let mut world = World::ready(1, 1, settings());
    for _ in 0..4 {
        world.send_batch(0, 2);
    }
    assert_eq!(world.produced, 1);
    world.run(3 * MS);
    assert_eq!(world.produced, 4);
    world.run(50 * MS);
    assert_eq!(batches(&world, 0), [(0, 0, 2), (0, 2, 2), (0, 4, 2), (0, 6, 2)]);
}

#[test]
fn five_batches_of_a_partition_travel_at_once_and_no_more() {
    let mut world = World::ready(1, 1, settings());
    warm(&mut world);
    for _ in 0..8 {
        world.send_batch(0, 1);
    }
    assert_eq!(world.in_flight_seen, 5);
    world.run(50 * MS);
    assert_eq!(world.offsets(), (0..9).map(Some).collect::<Vec<_>>());
}

/// The answer is lost, not the batch: the broker knows it by its sequence (traps 2 and 7, R5).
#[test]
fn a_retried_batch_keeps_its_sequence() {
    let mut world = World::ready(1, 1, settings()).fault(2, Fault::LoseAnswer);
    warm(&mut world);
    for _ in 0..5 {
        world.send_batch(0, 2);
    }
    world.run(Duration::from_secs(2));
    assert_eq!(
        batches(&world, 0),
        [(0, 0, 1), (0, 1, 2), (0, 3, 2), (0, 5, 2), (0, 7, 2), (0, 9, 2)]
    );
    world.check(true);
}

/// DUPLICATE_SEQUENCE_NUMBER tells of a batch that is stored, and no more of its offset (trap 2).
#[test]
fn a_duplicate_is_a_success() {
    let code = ErrorCode::DUPLICATE_SEQUENCE_NUMBER;
    let mut world = World::ready(1, 1, settings()).fault(1, Fault::StoreAndRefuse(code));
    world.send(0, 2);
    world.run(100 * MS);
    assert!(world.result(0).is_ok() && world.result(1).is_ok());
    assert_eq!(world.produced, 1);
}

/// Scenario 5: the first of five is refused for a moment, the others are out of order until it is stored.
#[test]
fn a_first_batch_that_fails_keeps_its_place() {
    let fault = Fault::Refuse(ErrorCode::NOT_ENOUGH_REPLICAS);
    let mut world = World::ready(1, 1, settings()).fault(2, fault);
    warm(&mut world);
    for _ in 0..5 {
        world.send_batch(0, 2);
    }
    world.run(Duration::from_secs(2));
    let out_of_order =
        world.brokers.seen.iter().filter(|s| s.2 == ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER);
    assert_eq!(out_of_order.count(), 4);
    assert_eq!(world.offsets(), (0..11).map(Some).collect::<Vec<_>>());
    assert!(batches(&world, 0).iter().all(|batch| batch.0 == 0), "no epoch was needed");
    world.check(true);
}

/// Found by seed 154: the first of five is stored without an answer, the others are acknowledged, and its retry is
/// lost again. A sixth batch sent meanwhile pushed it out of the broker's memory, so that its next retry was out of
/// order, and stored again under a new epoch.
#[test]
fn a_batch_in_doubt_is_not_pushed_out_of_the_brokers_memory() {
    let mut world = World::ready(1, 1, settings())
        .fault(2, Fault::StoreAndRefuse(ErrorCode::REQUEST_TIMED_OUT))
        .fault(7, Fault::LoseAnswer)
        .fault(8, Fault::ReadLate(20));
    warm(&mut world);
    for _ in 0..5 {
        world.send_batch(0, 2);
    }
    world.run(10 * MS);
    world.send_batch(0, 2);
    world.run(Duration::from_secs(5));
    assert_eq!(world.brokers.values(0), (0..13).collect::<Vec<_>>());
    world.check(true);
}

/// R5: a batch that may be stored must not be given up and its sequence be passed to the next one.
#[test]
fn a_maybe_stored_batch_is_never_given_a_new_sequence() {
    for code in [
        ErrorCode::REQUEST_TIMED_OUT,
        ErrorCode::NOT_ENOUGH_REPLICAS_AFTER_APPEND,
        ErrorCode::NOT_LEADER_OR_FOLLOWER,
        ErrorCode::KAFKA_STORAGE_ERROR,
    ] {
        let mut world = World::ready(1, 1, settings()).fault(2, Fault::StoreAndRefuse(code));
        warm(&mut world);
        world.send_batch(0, 2);
        world.send_batch(0, 3);
        world.run(Duration::from_secs(2));
        assert_eq!(batches(&world, 0), [(0, 0, 1), (0, 1, 2), (0, 3, 3)], "{code}");
        world.check(true);
    }
}

/// Scenario 6: sent and expired, so its sequence is unresolved. It is stored, as later batches prove: no new epoch.
#[test]
fn an_expired_batch_that_was_stored_costs_no_epoch() {
    let settings = Settings { delivery_timeout: 50 * MS, ..settings() };
    let mut world = World::ready(1, 1, settings).fault(2, Fault::LoseAnswer);
    warm(&mut world);
    world.send_batch(0, 2);
    world.send_batch(0, 2);
    // The second batch is a little younger, and is tried again when the first one is given up.
    world.latency = 20 * MS;
    world.run(Duration::from_secs(2));
    world.check(true);
    world.send(0, 1);
    world.run(Duration::from_secs(1));
    world.check(true);
    assert!(world.result(world.sent.len() - 1).is_ok());
}

/// Trap 8: nothing proves it stored, so the sequence is void: drain, new epoch, from 0.
#[test]
fn an_expired_batch_in_doubt_ends_its_epoch() {
    let settings = Settings { delivery_timeout: 50 * MS, ..settings() };
    let mut world = World::ready(1, 2, settings).fault(2, Fault::LoseRequest);
    warm(&mut world);
    world.send_batch(0, 2);
    world.run(10 * MS);
    world.chance = 0.0;
    world.run(Duration::from_secs(1));
    let error = world.result(1).expect_err("it had no time left");
    assert_eq!((error.kind(), error.fate()), (ErrorKind::Timeout, Fate::Unknown));
    assert!(error.to_string().contains("delivery.timeout.ms"), "{error}");
    world.send(0, 2);
    world.run(100 * MS);
    assert_eq!(batches(&world, 0), [(0, 0, 1), (1, 0, 2)]);
    // A partition that had no trouble counts under the new epoch too, from its next batch on.
    world.send(1, 1);
    world.run(100 * MS);
    assert_eq!(batches(&world, 1), [(1, 0, 1)]);
    world.check(true);
}

/// Scenario 6, the other half.
#[test]
fn a_batch_that_expires_unsent_costs_no_epoch() {
    let settings = Settings { delivery_timeout: 50 * MS, ..settings() };
    let mut world = World::ready(1, 1, settings);
    warm(&mut world);
    for request in 2..20 {
        world.faults.insert(request, Fault::Unreachable);
    }
    world.send(0, 2);
    world.run(Duration::from_secs(1));
    let error = world.result(1).expect_err("it had no time left");
    assert_eq!((error.kind(), error.fate()), (ErrorKind::Timeout, Fate::NotStored));
    world.faults.clear();
    world.send(0, 2);
    world.run(Duration::from_secs(1));
    assert_eq!(batches(&world, 0), [(0, 0, 1), (0, 1, 2)]);
    world.check(true);
}

/// Trap 5: a gap that the broker reports for the next batch in line is answered by a new epoch, not by giving up.
#[test]
fn lost_sequences_begin_anew_under_the_next_epoch() {
    for code in [ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER, ErrorCode::UNKNOWN_PRODUCER_ID] {
        let mut world = World::ready(1, 1, settings()).fault(2, Fault::Refuse(code));
        warm(&mut world);
        for _ in 0..3 {
            world.send_batch(0, 2);
        }
        world.run(Duration::from_secs(1));
        assert_eq!(batches(&world, 0), [(0, 0, 1), (1, 0, 2), (1, 2, 2), (1, 4, 2)], "{code}");
        world.check(true);
    }
}

/// Out of order may be a deposed leader's answer, which lacks what its successor has (R4).
#[test]
fn one_out_of_order_answer_does_not_rename_a_batch_that_may_be_stored() {
    let mut world = World::ready(1, 1, settings())
        .fault(2, Fault::LoseAnswer)
        .fault(3, Fault::Refuse(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER));
    warm(&mut world);
    world.send_batch(0, 2);
    world.run(Duration::from_secs(2));
    assert_eq!(batches(&world, 0), [(0, 0, 1), (0, 1, 2)]);
    world.check(true);
}

/// A refused batch leaves a hole that the ones behind it cannot pass.
#[test]
fn batches_behind_a_refused_one_are_stored_under_the_next_epoch() {
    let mut world =
        World::ready(1, 1, settings()).fault(2, Fault::Refuse(ErrorCode::INVALID_TIMESTAMP));
    warm(&mut world);
    for _ in 0..3 {
        world.send_batch(0, 2);
    }
    world.run(Duration::from_secs(2));
    let error = world.result(1).expect_err("refused");
    assert_eq!((error.code(), error.fate()), (Some(ErrorCode::INVALID_TIMESTAMP), Fate::NotStored));
    assert_eq!(batches(&world, 0), [(0, 0, 1), (1, 0, 2), (1, 2, 2)]);
    world.check(true);
}

/// Without later batches the sequence is simply free: a new epoch would hold up every other partition.
#[test]
fn a_refused_last_batch_gives_its_sequence_back() {
    let mut world = World::ready(1, 1, settings())
        .fault(2, Fault::Refuse(ErrorCode::TOPIC_AUTHORIZATION_FAILED));
    warm(&mut world);
    world.send(0, 2);
    world.run(100 * MS);
    world.send(0, 2);
    world.run(100 * MS);
    assert_eq!(batches(&world, 0), [(0, 0, 1), (0, 1, 2)]);
    world.check(true);
}

#[test]
fn after_the_last_epoch_comes_a_new_producer_id() {
    let mut world = World::new(1, 1, settings());
    world.first_epoch = i16::MAX;
    world.accumulator.topic("t");
    world.run(20 * MS);
    world.send_batch(0, 1);
    world.run(10 * MS);
    world.faults.insert(2, Fault::Refuse(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER));
    world.send_batch(0, 2);
    world.send_batch(0, 1);
    world.run(Duration::from_secs(1));
    let producers: Vec<_> =
        world.brokers.partitions[0].batches.iter().map(|batch| batch.producer).collect();
    assert_eq!(producers, [Some((1000, i16::MAX, 0)), Some((1001, 0, 0)), Some((1001, 0, 2))]);
    world.check(true);
}

/// R1: a topic that is gone from the metadata for a while is the same topic when it comes back.
#[test]
fn a_topic_that_vanishes_and_returns_keeps_its_sequences() {
    let mut world = World::ready(1, 1, settings());
    warm(&mut world);
    world.topic_is_missing = true;
    world.move_leader(0, 1);
    world.send_batch(0, 2);
    world.run(300 * MS);
    world.topic_is_missing = false;
    world.run(Duration::from_secs(2));
    assert_eq!(batches(&world, 0), [(0, 0, 1), (0, 1, 2)]);
    world.check(true);
}

/// Trap 16: a new topic of the same name knows none of our sequences.
#[test]
fn a_recreated_topic_begins_at_zero() {
    let mut world = World::ready(1, 1, settings());
    warm(&mut world);
    world.brokers.recreate();
    world.send(0, 2);
    world.run(Duration::from_secs(2));
    assert_eq!(batches(&world, 0), [(1, 0, 2)]);
    assert_eq!(world.result(1).expect("stored"), Some(0));
}

/// Without sequences there is nothing to repair: what waits for its retry must not wait for that.
#[test]
fn without_idempotence_a_recreated_topic_takes_the_retry() {
    let mut world = World::ready(1, 1, Settings { is_idempotent: false, ..settings() })
        .fault(1, Fault::LoseRequest);
    world.send(0, 2);
    world.brokers.recreate();
    world.run(Duration::from_secs(2));
    assert_eq!(world.result(0).expect("stored"), Some(0));
}

/// A broker that forgot us takes any sequence as the first; order must not depend on its memory.
#[test]
fn a_forgetful_broker_keeps_the_order() {
    let mut world = World::ready(1, 1, settings());
    warm(&mut world);
    world.brokers.partitions[0].forget_producers();
    for _ in 0..3 {
        world.send_batch(0, 2);
    }
    world.run(Duration::from_secs(1));
    world.check(true);
}

/// R2: the epoch is counted up here, no InitProducerId goes out in the middle of things.
#[test]
fn a_broken_sequence_asks_for_no_new_id() {
    let mut world =
        World::ready(1, 1, settings()).fault(2, Fault::Refuse(ErrorCode::UNKNOWN_PRODUCER_ID));
    warm(&mut world);
    world.send_batch(0, 2);
    world.run(Duration::from_secs(1));
    assert_eq!(world.brokers.next_producer_id, 1001);
    world.check(true);
}
