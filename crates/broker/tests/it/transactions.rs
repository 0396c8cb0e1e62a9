//! What producers with a transactional id may do, and what becomes of what they wrote.

use std::time::Duration;

use milena_broker::{StoredBatch, TransactionState, on};
use milena_types::{ApiKey, ErrorCode, ProducerEpoch, ProducerId};
use milena_wire::Response;
use milena_wire::messages::describe_producers_request::TopicRequest;
use milena_wire::messages::{DescribeProducersRequest, ListTransactionsRequest};

use crate::producer::{ID, Producer, V1, V2, coordinator};
use crate::world::{World, fetch, fetched, node, offset, offsets, tp};

fn state(world: &World) -> Option<TransactionState> {
    world.cluster.transaction(ID).map(|transaction| transaction.state)
}

/// The offsets of what a consumer of committed records sees, its own skipping of aborted ones done.
fn committed(world: &mut World) -> Vec<i64> {
    let connection = world.connect_leader();
    let mut request = fetch(0, 0, 0);
    request.isolation_level = 1;
    let data = fetched(world.ask(connection, 11, request));
    let aborted = data.aborted_transactions.clone().unwrap_or_default();
    let shown = offsets(&data);
    let batches = world.cluster.batches(&tp());
    let is_aborted = |batch: &StoredBatch| {
        aborted.iter().any(|one| {
            let is_its = |batch: &&StoredBatch| {
                batch.producer.is_some_and(|(id, _)| id.get() == one.producer_id)
                    && batch.base_offset.get() >= one.first_offset
            };
            let marker = batches.iter().filter(is_its).find(|batch| batch.is_control);
            is_its(&batch) && marker.is_none_or(|marker| batch.base_offset < marker.base_offset)
        })
    };
    let records = batches.iter().filter(|batch| !batch.is_control && !is_aborted(batch));
    let kept = records.map(|batch| batch.base_offset.get());
    kept.filter(|offset| shown.contains(offset)).collect()
}

/// Epochs of the markers, and whether they commit by the journal's account.
fn markers(world: &World) -> Vec<i16> {
    let batches = world.cluster.batches(&tp());
    let markers = batches.iter().filter(|batch| batch.is_control);
    markers.filter_map(|batch| batch.producer.map(|(_, epoch)| epoch.get())).collect()
}

#[test]
fn what_is_committed_is_seen_and_what_is_aborted_is_not() {
    for versions in [V1, V2] {
        let mut world = World::new();
        let mut producer = Producer::begin(&mut world, versions);
        producer.write(&mut world, "committed");
        assert_eq!(state(&world), Some(TransactionState::Ongoing));
        assert_eq!(committed(&mut world), [0; 0], "the transaction is open");
        assert_eq!(producer.end(&mut world, true), ErrorCode::NONE);
        assert_eq!(state(&world), Some(TransactionState::CompleteCommit));
        assert_eq!(committed(&mut world), [0]);
        producer.write(&mut world, "aborted");
        assert_eq!(producer.end(&mut world, false), ErrorCode::NONE);
        assert_eq!(state(&world), Some(TransactionState::CompleteAbort));
        assert_eq!(committed(&mut world), [0]);
        let ended: Vec<_> = world.cluster.journal().transactions().collect();
        let is_commit: Vec<_> = ended.iter().map(|one| one.is_commit).collect();
        assert_eq!(is_commit, [true, false]);
        assert!(ended.iter().all(|one| one.partitions == [tp()] && one.transactional_id == ID));
    }
}

/// Version 2 raises the epoch with each end, so that what comes late belongs to no later transaction.
#[test]
fn the_epoch_rises_with_each_end_of_version_2_only() {
    let mut world = World::new();
    let mut producer = Producer::begin(&mut world, V1);
    for _ in 0..2 {
        producer.write(&mut world, "a");
        assert_eq!(producer.end(&mut world, true), ErrorCode::NONE);
    }
    assert_eq!(markers(&world), [0, 0]);
    let mut world = World::new();
    let mut producer = Producer::begin(&mut world, V2);
    for _ in 0..2 {
        producer.write(&mut world, "a");
        assert_eq!(producer.end(&mut world, true), ErrorCode::NONE);
    }
    assert_eq!((producer.epoch, markers(&world)), (2, vec![1, 2]));
    producer.epoch = 1;
    assert_eq!(producer.send(&mut world, "late"), ErrorCode::INVALID_PRODUCER_EPOCH);
}

#[test]
fn a_second_producer_fences_the_first_and_aborts_what_it_left_open() {
    for versions in [V1, V2] {
        let mut world = World::new();
        let mut first = Producer::begin(&mut world, versions);
        first.write(&mut world, "left open");
        let mut second = Producer::connect(&mut world, versions);
        assert_eq!(second.init(&mut world), ErrorCode::CONCURRENT_TRANSACTIONS);
        assert_eq!(second.init(&mut world), ErrorCode::NONE);
        assert_eq!(second.id, first.id);
        assert!(second.epoch > first.epoch);
        assert_eq!(committed(&mut world), [0; 0]);
        let stable = world.cluster.partition(&tp()).map(|view| view.last_stable_offset);
        assert_eq!(stable, Some(offset(2)), "the record and its marker");

        assert_eq!(first.add(&mut world), ErrorCode::PRODUCER_FENCED);
        assert_eq!(first.send(&mut world, "zombie"), ErrorCode::INVALID_PRODUCER_EPOCH);
        assert_eq!(first.end(&mut world, true), ErrorCode::PRODUCER_FENCED);
        assert_eq!(first.init(&mut world), ErrorCode::PRODUCER_FENCED);
        second.write(&mut world, "kept");
        assert_eq!(second.end(&mut world, true), ErrorCode::NONE);
        assert_eq!(committed(&mut world), [2]);
    }
}

#[test]
fn a_transaction_that_takes_too_long_is_aborted_on_the_brokers_clock() {
    for versions in [V1, V2] {
        let mut world = World::new();
        let mut producer = Producer::connect(&mut world, versions);
        assert_eq!(producer.init_for(&mut world, Duration::from_secs(10)), ErrorCode::NONE);
        world.pass(Duration::from_secs(30));
        assert_eq!(state(&world), Some(TransactionState::Empty), "nothing was begun");
        producer.write(&mut world, "slow");
        world.pass(Duration::from_millis(9_999));
        assert_eq!(state(&world), Some(TransactionState::Ongoing));
        world.pass(Duration::from_millis(1));
        assert_eq!(state(&world), Some(TransactionState::CompleteAbort));
        assert_eq!(committed(&mut world), [0; 0]);
        assert_eq!(producer.send(&mut world, "late"), ErrorCode::INVALID_PRODUCER_EPOCH);
        let late = if versions.end < 5 {
            ErrorCode::PRODUCER_FENCED
        } else {
            ErrorCode::INVALID_TXN_STATE
        };
        assert_eq!(producer.end(&mut world, true), late);
        assert_eq!(producer.init(&mut world), ErrorCode::NONE, "it may go on");
        assert_eq!(producer.epoch, 1);
    }
}

/// Before version 2 the broker's abort is none of the producer's business.
#[test]
fn a_cluster_of_the_older_protocol_fences_whom_it_times_out() {
    let mut world = World::with(|settings| settings.transaction_version = 1);
    let mut producer = Producer::connect(&mut world, V1);
    assert_eq!(producer.init_for(&mut world, Duration::from_secs(10)), ErrorCode::NONE);
    producer.write(&mut world, "slow");
    world.pass(Duration::from_secs(10));
    assert_eq!(markers(&world), [1]);
    assert_eq!(producer.end(&mut world, true), ErrorCode::PRODUCER_FENCED);
    assert_eq!(producer.init(&mut world), ErrorCode::PRODUCER_FENCED);
}

/// With several batches in flight the first may be refused for a moment and the second come when all is well.
#[test]
fn a_batch_does_not_overtake_the_first_of_its_transaction() {
    let mut world = World::new();
    let mut producer = Producer::begin(&mut world, V1);
    assert_eq!(producer.send(&mut world, "first"), ErrorCode::TRANSACTION_ABORTABLE);
    assert_eq!(producer.add(&mut world), ErrorCode::NONE);
    producer.sequence = 1;
    assert_eq!(producer.send(&mut world, "second"), ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER);
    producer.sequence = 0;
    assert_eq!(producer.send(&mut world, "first"), ErrorCode::NONE);
    assert_eq!(producer.send(&mut world, "second"), ErrorCode::NONE);
    assert_eq!(world.values(), ["first", "second"]);
}

/// The answer to an EndTxn may be lost: asked again, it must neither fail nor end another transaction.
#[test]
fn an_end_may_be_repeated_and_not_be_changed() {
    let mut world = World::new();
    let mut producer = Producer::begin(&mut world, V1);
    assert_eq!(producer.end(&mut world, true), ErrorCode::INVALID_TXN_STATE, "nothing is open");
    producer.write(&mut world, "a");
    assert_eq!(producer.end(&mut world, true), ErrorCode::NONE);
    assert_eq!(producer.end(&mut world, true), ErrorCode::NONE);
    assert_eq!(producer.end(&mut world, false), ErrorCode::INVALID_TXN_STATE);
    assert_eq!(markers(&world), [0]);

    let mut world = World::new();
    let mut producer = Producer::begin(&mut world, V2);
    assert_eq!(producer.end(&mut world, true), ErrorCode::INVALID_TXN_STATE, "nothing is open");
    producer.write(&mut world, "a");
    assert_eq!(producer.end(&mut world, true), ErrorCode::NONE);
    producer.epoch = 0;
    assert_eq!(producer.end(&mut world, false), ErrorCode::INVALID_TXN_STATE);
    assert_eq!(producer.end(&mut world, true), ErrorCode::NONE);
    assert_eq!(producer.epoch, 1);
    assert_eq!(producer.end(&mut world, true), ErrorCode::INVALID_TXN_STATE, "the next one");
    assert_eq!(producer.end(&mut world, false), ErrorCode::NONE, "an abort of nothing");
    assert_eq!(producer.epoch, 2);
}

#[test]
fn a_batch_outside_of_a_transaction_is_refused() {
    let mut world = World::new();
    let mut producer = Producer::begin(&mut world, V1);
    assert_eq!(producer.send(&mut world, "a"), ErrorCode::TRANSACTION_ABORTABLE);
    producer.versions.produce = 10;
    assert_eq!(producer.send(&mut world, "a"), ErrorCode::INVALID_TXN_STATE);
    producer.id += 1;
    assert_eq!(producer.send(&mut world, "a"), ErrorCode::INVALID_PRODUCER_ID_MAPPING);
    producer.id -= 1;
    producer.write(&mut world, "a");
    let plain = world.produce(producer.leader, &["b"], Some((producer.id, producer.epoch, 1)));
    assert_eq!(plain.error_code, ErrorCode::INVALID_TXN_STATE);
    assert_eq!(world.values(), ["a"]);

    let mut world = World::new();
    let mut producer = Producer::begin(&mut world, V2);
    producer.sequence = 1;
    let late = producer.send(&mut world, "a");
    assert_eq!(late, ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER, "the first was lost");
}

#[test]
fn a_producer_goes_on_after_an_error_with_the_next_epoch() {
    let mut world = World::new();
    let mut producer = Producer::begin(&mut world, V1);
    let before = producer.epoch;
    assert_eq!(producer.init(&mut world), ErrorCode::NONE);
    assert_eq!(producer.epoch, before + 1);
    // The same asked again, as where the answer was lost.
    producer.epoch = before;
    assert_eq!(producer.init(&mut world), ErrorCode::NONE);
    assert_eq!(producer.epoch, before + 1);
    // One that knows nothing takes over; from then on the other is fenced.
    let mut other = Producer::begin(&mut world, V1);
    assert_eq!(other.epoch, before + 2);
    assert_eq!(producer.init(&mut world), ErrorCode::PRODUCER_FENCED);
    assert_eq!(other.init(&mut world), ErrorCode::NONE);
}

/// The last epoch is kept for fencing, so that the one before it is the last that a producer gets.
#[test]
fn another_id_takes_over_where_the_epochs_are_used_up() {
    let mut world = World::new();
    let mut producer = Producer::begin(&mut world, V2);
    let first = producer.id;
    while producer.epoch < i16::MAX - 1 {
        assert_eq!(producer.init(&mut world), ErrorCode::NONE);
    }
    assert_eq!(producer.id, first);
    producer.write(&mut world, "a");
    assert_eq!(producer.end(&mut world, true), ErrorCode::NONE);
    assert_ne!(producer.id, first);
    assert_eq!((producer.epoch, markers(&world)), (0, vec![i16::MAX]));
    let next = producer.id;
    // The retry of that end.
    (producer.id, producer.epoch) = (first, i16::MAX - 1);
    assert_eq!(producer.end(&mut world, true), ErrorCode::NONE);
    assert_eq!((producer.id, producer.epoch), (next, 0));
    producer.write(&mut world, "b");
    assert_eq!(producer.end(&mut world, true), ErrorCode::NONE);
    assert_eq!(committed(&mut world), [0, 2]);
}

#[test]
fn while_markers_are_due_whoever_asks_is_told_to_come_again() {
    let mut world =
        World::with(|settings| settings.transaction_marker_delay = Duration::from_millis(50));
    let mut producer = Producer::begin(&mut world, V2);
    producer.write(&mut world, "a");
    assert_eq!(producer.end(&mut world, true), ErrorCode::NONE);
    assert_eq!(state(&world), Some(TransactionState::PrepareCommit));
    assert_eq!(producer.add(&mut world), ErrorCode::CONCURRENT_TRANSACTIONS);
    assert_eq!(producer.send(&mut world, "b"), ErrorCode::CONCURRENT_TRANSACTIONS);
    let mut other = Producer::connect(&mut world, V2);
    assert_eq!(other.init(&mut world), ErrorCode::CONCURRENT_TRANSACTIONS);
    producer.epoch -= 1;
    assert_eq!(producer.end(&mut world, true), ErrorCode::CONCURRENT_TRANSACTIONS, "the retry");
    assert_eq!(committed(&mut world), [0; 0]);
    world.pass(Duration::from_millis(50));
    assert_eq!(state(&world), Some(TransactionState::CompleteCommit));
    assert_eq!(committed(&mut world), [0]);
}

/// The coordinator decides alone; a partition whose leader is gone gets its marker from the next one.
#[test]
fn a_partition_without_a_leader_gets_its_marker_later() {
    let mut world = World::new();
    let mut producer = Producer::begin(&mut world, V2);
    producer.write(&mut world, "a");
    let (leader, at) = (world.leader(), coordinator(&mut world));
    if leader == at {
        let other = (1..=3).map(node).find(|id| *id != at).expect("three nodes");
        assert!(world.cluster.move_leader(world.now, &tp(), other));
    }
    let leader = world.leader();
    world.cluster.crash_node(world.now, leader);
    assert_eq!(producer.end(&mut world, true), ErrorCode::NONE);
    assert_eq!(state(&world), Some(TransactionState::PrepareCommit));
    world.pass(Duration::from_secs(1));
    assert_ne!(world.leader(), leader);
    assert_eq!(state(&world), Some(TransactionState::CompleteCommit));
    assert_eq!(committed(&mut world), [0]);
}

/// Nothing is left there to be marked, and nobody else to wait for.
#[test]
fn a_transaction_ends_though_a_topic_of_it_is_deleted() {
    let mut world = World::new();
    let mut producer = Producer::begin(&mut world, V2);
    producer.write(&mut world, "a");
    let at = coordinator(&mut world);
    let other = (1..=3).map(node).find(|id| *id != at).expect("three nodes");
    if world.leader() != other {
        assert!(world.cluster.move_leader(world.now, &tp(), other));
    }
    world.cluster.crash_node(world.now, other);
    assert_eq!(producer.end(&mut world, true), ErrorCode::NONE);
    assert_eq!(state(&world), Some(TransactionState::PrepareCommit));
    assert!(world.cluster.delete_topic(world.now, "t"));
    assert_eq!(state(&world), Some(TransactionState::CompleteCommit));
}

#[test]
fn a_transaction_outlives_its_coordinator() {
    let mut world = World::new();
    let mut producer = Producer::connect(&mut world, V2);
    assert_eq!(producer.init_for(&mut world, Duration::from_secs(10)), ErrorCode::NONE);
    producer.write(&mut world, "a");
    let at = coordinator(&mut world);
    world.cluster.crash_node(world.now, at);
    world.pass(Duration::from_secs(1));
    let next = coordinator(&mut world);
    assert_ne!(next, at);
    producer.coordinator = world.connect(next);
    assert_eq!(producer.end(&mut world, true), ErrorCode::NONE);
    assert_eq!(committed(&mut world), [0]);
    let third = (1..=3).map(node).find(|id| *id != at && *id != next).expect("three nodes");
    producer.coordinator = world.connect(third);
    assert_eq!(producer.end(&mut world, false), ErrorCode::NOT_COORDINATOR);
}

#[test]
fn an_unused_transactional_id_is_forgotten_after_a_week() {
    let mut world = World::new();
    let mut producer = Producer::begin(&mut world, V1);
    let day = Duration::from_secs(24 * 60 * 60);
    world.pass(6 * day);
    producer.write(&mut world, "a");
    assert_eq!(producer.end(&mut world, true), ErrorCode::NONE);
    world.pass(6 * day);
    assert_eq!(state(&world), Some(TransactionState::CompleteCommit));
    world.pass(day);
    assert_eq!(state(&world), None);
    assert_eq!(producer.add(&mut world), ErrorCode::INVALID_PRODUCER_ID_MAPPING);
}

#[test]
fn faults_strike_the_requests_of_transactions() {
    let mut world = World::new();
    let mut producer = Producer::begin(&mut world, V1);
    let code = ErrorCode::COORDINATOR_NOT_AVAILABLE;
    world.cluster.add_fault(on(ApiKey::ADD_PARTITIONS_TO_TXN).topic("t").nth(1).error(code));
    world.cluster.add_fault(on(ApiKey::END_TXN).nth(1).apply_then_error(code));
    assert_eq!(producer.add(&mut world), code);
    assert_eq!(state(&world), Some(TransactionState::Empty));
    producer.write(&mut world, "a");
    assert_eq!(producer.end(&mut world, true), code);
    assert_eq!(committed(&mut world), [0]);
    assert_eq!(world.cluster.requests(ApiKey::END_TXN).len(), 1);
}

/// For tests that write past the coordinator.
#[test]
fn a_marker_of_an_epoch_that_was_overtaken_is_refused() {
    let mut world = World::new();
    let mut first = Producer::begin(&mut world, V2);
    first.write(&mut world, "a");
    let mut second = Producer::connect(&mut world, V2);
    while second.init(&mut world) != ErrorCode::NONE {}
    second.write(&mut world, "b");
    let id = ProducerId::from_wire(first.id).expect("not negative");
    let late = (id, ProducerEpoch::from_wire(first.epoch).expect("not negative"));
    let refused = world.cluster.end_transaction(world.now, &tp(), late, true);
    assert_eq!(refused.map_err(|error| error.code), Err(ErrorCode::INVALID_PRODUCER_EPOCH));
    let own = (id, ProducerEpoch::from_wire(second.epoch).expect("not negative"));
    assert!(world.cluster.end_transaction(world.now, &tp(), own, true).is_ok());
    assert_eq!(committed(&mut world), [2]);
}

/// All of the id has to match, as in Kafka (KIP-1152).
#[test]
fn transactions_are_listed_by_a_pattern_of_the_whole_id() {
    let mut world = World::new();
    let mut producer = Producer::begin(&mut world, V2);
    producer.write(&mut world, "open");
    let coordinator = coordinator(&mut world);
    let connection = world.connect(coordinator);
    let mut listed = |pattern: Option<&str>| {
        let request = ListTransactionsRequest {
            transactional_id_pattern: pattern.map(Into::into),
            ..Default::default()
        };
        let Response::ListTransactions(told) = world.ask(connection, 2, request) else { panic!() };
        (told.error_code, told.transaction_states.len())
    };
    let (first, rest) = ID.split_at(1);
    assert_eq!(listed(Some(&format!("{first}.*"))), (ErrorCode::NONE, 1));
    assert_eq!(listed(Some(rest)), (ErrorCode::NONE, 0));
    assert_eq!(listed(Some("")), (ErrorCode::NONE, 1));
    assert_eq!(listed(None), (ErrorCode::NONE, 1));
    assert_eq!(listed(Some("(")), (ErrorCode::INVALID_REGULAR_EXPRESSION, 0));
}

/// Nothing that is left says whether it was committed: a reader that is handed its records might read what was aborted.
#[test]
fn a_transaction_whose_marker_was_cut_off_is_open_again() {
    let stay: fn(&mut World) = |_| ();
    for restart in [stay, World::restart, World::restart_compacted] {
        for (versions, is_commit) in [(V1, true), (V1, false), (V2, true), (V2, false)] {
            let mut world = World::new();
            let mut producer = Producer::begin(&mut world, versions);
            producer.write(&mut world, "first");
            assert_eq!(producer.end(&mut world, true), ErrorCode::NONE);
            producer.write(&mut world, "second");
            assert_eq!(producer.send(&mut world, "third"), ErrorCode::NONE);
            assert_eq!(producer.end(&mut world, is_commit), ErrorCode::NONE);
            assert_eq!(committed(&mut world), if is_commit { vec![0, 2, 3] } else { vec![0] });
            let end = world.cluster.truncate_log(world.now, &tp(), offset(4));
            assert_eq!(end, Some(offset(4)));
            world.drain();
            restart(&mut world);
            assert_eq!(open_since(&mut world), [2], "is_commit={is_commit}");
            assert_eq!(committed(&mut world), [0], "is_commit={is_commit}");
            world.cluster.truncate_log(world.now, &tp(), offset(2));
            assert_eq!((open_since(&mut world), committed(&mut world)), (vec![-1], vec![0]));
        }
    }
}

/// Where the open transactions begin of those producers that the leader knows.
fn open_since(world: &mut World) -> Vec<i64> {
    let topic = TopicRequest { name: "t".into(), partition_indexes: vec![0] };
    let request = DescribeProducersRequest { topics: vec![topic] };
    let connection = world.connect_leader();
    let Response::DescribeProducers(told) = world.ask(connection, 0, request) else { panic!() };
    let producers = &told.topics[0].partitions[0].active_producers;
    producers.iter().map(|producer| producer.current_txn_start_offset).collect()
}
