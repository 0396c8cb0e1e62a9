//! Brokers that move, refuse, cut and keep silent.

use std::sync::Arc;
use std::time::Duration;

use milena_types::{ErrorCode, NodeId};

use super::broker::Fault;
use super::world::{Less, MS, World, settings};
use crate::producer::Settings;
use crate::{ErrorKind, Fate};

/// R4: with a hint the new leader gets the batches at once, without it after metadata said so.
#[test]
fn a_moved_leader_gets_each_batch_once() {
    for gives_hints in [false, true] {
        let mut world = World::ready(1, 1, settings());
        world.brokers.gives_hints = gives_hints;
        world.send_batch(0, 1);
        world.run(10 * MS);
        world.move_leader(0, 2);
        let begin = world.now;
        for _ in 0..4 {
            world.send_batch(0, 2);
        }
        world.run(Duration::from_secs(1));
        world.check(true);
        assert!(world.offsets().iter().all(Option::is_some));
        let (at, ..) = world.requests.iter().find(|r| r.1 == NodeId::new(2)).expect("it moved");
        let waited = *at - begin;
        assert!(waited <= if gives_hints { 3 * MS } else { 15 * MS }, "{waited:?}");
    }
}

/// R4: the old leader stored the batch and was deposed before it answered.
#[test]
fn a_leader_that_moves_after_the_append_makes_no_duplicate() {
    let code = ErrorCode::NOT_LEADER_OR_FOLLOWER;
    let mut world = World::ready(1, 1, settings()).fault(1, Fault::StoreAndRefuse(code));
    world.send_batch(0, 2);
    world.run(2 * MS);
    world.move_leader(0, 1);
    world.run(Duration::from_secs(1));
    assert_eq!(world.offsets(), [Some(0), Some(1)]);
    world.check(true);
}

/// The new leader could store a later batch while the old one still has an earlier one to answer for.
#[test]
fn a_moved_leader_gets_nothing_while_the_old_one_owes_an_answer() {
    let mut world = World::ready(1, 1, settings());
    world.send_batch(0, 1);
    world.run(10 * MS);
    world.latency = 50 * MS;
    world.send_batch(0, 1);
    world.latency = MS;
    world.move_leader(0, 2);
    let (now, cluster) = (world.now, Arc::new(world.cluster()));
    world.machine().handle_metadata(now, cluster);
    world.send_batch(0, 1);
    world.run(40 * MS);
    assert_eq!(world.produced, 2, "the third batch waits");
    world.run(Duration::from_secs(1));
    assert_eq!(world.offsets(), [Some(0), Some(1), Some(2)]);
    let moved = world.requests.iter().filter(|request| request.1 == NodeId::new(2));
    assert_eq!(moved.count(), 2, "the refused batch, and then the one behind it");
    world.check(true);
}

/// R18: partitions of one request have each their own answer.
#[test]
fn a_moved_sibling_neither_takes_nor_gives_an_acknowledgement() {
    let mut world = World::ready(1, 4, settings());
    // Partitions 0 and 3 are led by broker 0.
    world.move_leader(3, 1);
    world.send(0, 1);
    world.send(3, 1);
    world.settle_outputs();
    assert_eq!(world.produced, 1, "one request for both");
    world.run(4 * MS);
    assert!(world.sent[0].delivery.result().is_some());
    assert!(world.sent[1].delivery.result().is_none());
    world.run(Duration::from_secs(1));
    assert_eq!(world.offsets(), [Some(0), Some(0)]);
    world.check(true);
}

/// R17: what the metadata does not show may only be late.
#[test]
fn stale_metadata_fails_no_record_before_its_time() {
    for knows_less in [None, Some(Less::NoPartitions), Some(Less::FewerPartitions)] {
        let mut world = World::ready(1, 2, settings());
        (world.topic_is_missing, world.knows_less) = (knows_less.is_none(), knows_less);
        for request in 1..=6 {
            world.faults.insert(request, Fault::Refuse(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION));
        }
        world.send(1, 3);
        world.run(Duration::from_secs(1));
        assert!(world.sent[0].delivery.result().is_none(), "{knows_less:?}");
        (world.topic_is_missing, world.knows_less) = (false, None);
        world.run(Duration::from_secs(5));
        assert_eq!(world.offsets(), [Some(0), Some(1), Some(2)], "{knows_less:?}");
        world.check(true);
    }
}

#[test]
fn a_partition_without_leader_waits_and_says_so_in_the_end() {
    let mut world = World::new(1, 1, Settings { delivery_timeout: 200 * MS, ..settings() });
    world.brokers.partitions[0].leader = NodeId::new(9);
    world.accumulator.topic("t");
    world.run(20 * MS);
    for request in 1..100 {
        world.faults.insert(request, Fault::Unreachable);
    }
    world.send(0, 1);
    world.run(Duration::from_secs(1));
    let error = world.result(0).expect_err("it cannot be sent");
    assert_eq!((error.kind(), error.fate()), (ErrorKind::Timeout, Fate::NotStored));
    assert!(std::error::Error::source(&error).is_some(), "the last failure is the cause");
    assert!(world.refreshes > 1);
    world.check(true);
}

/// R6: the batch is given up while it travels; its bytes are not touched, its answer is taken, its memory is held.
#[test]
fn a_batch_given_up_in_flight_keeps_its_bytes_and_its_memory() {
    let mut world = World::ready(1, 1, Settings { delivery_timeout: 30 * MS, ..settings() });
    world.latency = 50 * MS;
    world.send(0, 3);
    world.run(40 * MS);
    let error = world.result(0).expect_err("its time is over");
    assert_eq!((error.kind(), error.fate()), (ErrorKind::Timeout, Fate::Unknown));
    assert!(world.accumulator.bytes_used() > 0, "the connection still has it");
    // The next records must not find its buffer.
    for _ in 0..3 {
        world.send_batch(0, 3);
    }
    world.run(70 * MS);
    assert_eq!(world.brokers.values(0)[..3], [0, 1, 2]);
    world.latency = MS;
    world.run(Duration::from_secs(1));
    world.check(true);
    let unanswered = ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER;
    assert!(world.brokers.seen.iter().all(|seen| seen.2 != unanswered));
}

/// Trap 10.
#[test]
fn a_batch_too_large_is_split_in_order_and_keeps_its_sequences() {
    let mut world = World::ready(1, 1, settings());
    world.send_batch(0, 1);
    world.run(10 * MS);
    world.brokers.partitions[0].batch_bytes_max = 150;
    for _ in 0..3 {
        world.send_batch(0, 5);
    }
    world.run(Duration::from_secs(1));
    assert_eq!(world.offsets(), (0..16).map(Some).collect::<Vec<_>>());
    let mut producers =
        world.brokers.partitions[0].batches.iter().filter_map(|batch| batch.producer);
    assert!(producers.clone().all(|(_, epoch, _)| epoch == 0));
    assert_eq!(producers.next_back().map(|(.., base)| base), Some(15));
    world.check(true);
}

#[test]
fn a_single_record_that_is_too_large_fails_alone() {
    let mut world = World::ready(1, 1, settings());
    world.brokers.partitions[0].batch_bytes_max = 200;
    world.try_send(0, 20).expect("room");
    world.try_send(0, 180).expect("room");
    world.try_send(0, 20).expect("room");
    world.run(Duration::from_secs(1));
    let error = world.result(1).expect_err("too large");
    assert_eq!((error.kind(), error.fate()), (ErrorKind::RecordTooLarge, Fate::NotStored));
    assert_eq!((world.result(0).ok(), world.result(2).ok()), (Some(Some(0)), Some(Some(1))));
    world.check(true);
}

/// KIP-467.
#[test]
fn a_refused_record_is_told_from_its_neighbours() {
    let mut world = World::ready(1, 1, settings()).fault(1, Fault::RefuseRecord(1));
    world.send(0, 3);
    world.run(100 * MS);
    let errors: Vec<_> = (0..3).map(|index| world.result(index).expect_err("refused")).collect();
    assert!(errors[1].to_string().contains("bad record"), "{}", errors[1]);
    for index in [0, 2] {
        assert!(errors[index].to_string().contains("another record"), "{}", errors[index]);
    }
    world.check(true);
}

#[test]
fn a_throttled_broker_is_left_alone_and_the_others_are_not() {
    let mut world = World::ready(1, 2, settings()).fault(1, Fault::Throttle(500));
    world.send_batch(0, 1);
    world.run(5 * MS);
    world.send(0, 1);
    world.send(1, 1);
    world.run(400 * MS);
    assert!(world.sent[1].delivery.result().is_none());
    assert!(world.sent[2].delivery.result().is_some());
    world.run(200 * MS);
    assert_eq!(world.offsets(), [Some(0), Some(1), Some(0)]);
    assert_eq!(world.accumulator.metrics().throttle_max, 500 * MS);
}

/// Brokers refuse a request with two batches of one partition (INVALID_RECORD), and one answer would be for both.
/// Broker 0 is muted all the while, so that the place in its line from before the move is still there after it.
#[test]
fn a_leader_that_comes_back_gets_one_batch_of_a_partition_at_a_time() {
    let mut world = World::ready(1, 1, settings()).fault(1, Fault::Throttle(500));
    world.send_batch(0, 1);
    world.run(5 * MS);
    for leader in [2, 0] {
        world.send_batch(0, 1);
        world.move_leader(0, leader);
        let (now, cluster) = (world.now, Arc::new(world.cluster()));
        world.machine().handle_metadata(now, cluster);
        world.run(20 * MS);
    }
    assert_eq!(world.produced, 3, "broker 2 has stored one batch and refused the other");
    world.send_batch(0, 1);
    world.send_batch(0, 1);
    world.run(Duration::from_secs(1));
    assert_eq!(world.offsets(), [Some(0), Some(1), Some(2), Some(3), Some(4)]);
    let back = world.requests[3..].iter().map(|request| request.1);
    assert!(back.eq([NodeId::new(0); 3]), "{:?}", world.requests);
    world.check(true);
}

/// Trap 46: an answer without our partition says nothing of it.
#[test]
fn an_answer_that_leaves_a_partition_out_leaves_it_in_doubt() {
    let mut world = World::ready(1, 1, settings()).fault(1, Fault::Garble);
    world.send(0, 2);
    world.run(Duration::from_secs(1));
    assert_eq!(world.produced, 2);
    assert_eq!(world.offsets(), [Some(0), Some(1)]);
    world.check(true);
}

#[test]
fn an_unknown_error_code_fails_the_batch_and_leaves_the_producer_alive() {
    let mut world =
        World::ready(1, 1, settings()).fault(1, Fault::Refuse(ErrorCode::from_wire(999)));
    world.send(0, 1);
    world.run(100 * MS);
    assert_eq!(world.result(0).expect_err("unknown").fate(), Fate::Unknown);
    world.send(0, 1);
    world.run(Duration::from_secs(1));
    assert!(world.result(1).is_ok());
}

#[test]
fn retries_are_counted_where_they_are_bounded() {
    let mut world = World::ready(1, 1, Settings { retries: 2, ..settings() });
    for request in 1..10 {
        world.faults.insert(request, Fault::Refuse(ErrorCode::NOT_ENOUGH_REPLICAS));
    }
    world.send(0, 1);
    world.run(Duration::from_secs(5));
    let error = world.result(0).expect_err("three tries failed");
    assert_eq!((error.attempt(), error.fate()), (Some(3), Fate::NotStored));
    assert_eq!(error.code(), Some(ErrorCode::NOT_ENOUGH_REPLICAS));
    assert_eq!(world.produced, 3);
    let metrics = world.accumulator.metrics();
    assert_eq!((metrics.batches_sent, metrics.record_retries), (3, 2));
    world.check(true);
}

/// A batch that is split is sent in other batches: its one retry is left to them.
#[test]
fn a_split_is_no_retry() {
    let settings = Settings { retries: 1, ..settings() };
    let fault = Fault::Refuse(ErrorCode::NOT_ENOUGH_REPLICAS);
    let mut world = World::ready(1, 1, settings).fault(2, fault);
    world.brokers.partitions[0].batch_bytes_max = 250;
    world.send_batch(0, 5);
    world.run(Duration::from_secs(5));
    assert_eq!(world.offsets().len(), 5);
    assert!(world.produced > 2);
    world.check(true);
}

#[test]
fn waits_between_tries_grow() {
    let mut world = World::ready(1, 1, settings());
    for request in 1..=5 {
        world.faults.insert(request, Fault::Refuse(ErrorCode::NOT_ENOUGH_REPLICAS));
    }
    world.send(0, 1);
    world.run(Duration::from_secs(10));
    let waits: Vec<_> = world.requests.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
    for (wait, nominal_ms) in waits.iter().zip([100, 200, 400, 800, 1000]) {
        let nominal = Duration::from_millis(nominal_ms);
        assert!(*wait >= nominal.mul_f64(0.75) && *wait <= nominal.mul_f64(1.25), "{waits:?}");
    }
}

/// The connection does not believe it for longer either: what was damaged on its way must not silence a client for weeks.
#[test]
fn no_throttling_silences_for_longer_than_five_minutes() {
    let mut world = World::ready(1, 1, settings()).fault(1, Fault::Throttle(i32::MAX));
    world.send_batch(0, 1);
    world.run(Duration::from_secs(301));
    world.send(0, 1);
    world.run(Duration::from_secs(1));
    assert_eq!(world.offsets(), [Some(0), Some(1)]);
}
