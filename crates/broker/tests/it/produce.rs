//! What is stored, and what is refused.

use std::time::Duration;

use bytes::Bytes;
use milena_broker::TopicSettings;
use milena_types::ErrorCode;
use milena_wire::Response;
use milena_wire::messages::init_producer_id_request::InitProducerIdRequest;

use crate::world::{World, batch, node, offset, ok, produce, produced, tp};

#[test]
fn records_are_stored_in_order_and_acknowledged_with_their_offsets() {
    let mut world = World::new();
    let connection = world.connect_leader();
    assert_eq!(ok(&world.produce(connection, &["a", "b"], None)), 0);
    assert_eq!(ok(&world.produce(connection, &["c"], None)), 2);
    assert_eq!(world.values(), ["a", "b", "c"]);
    let journal: Vec<_> =
        world.cluster.journal().batches().map(|b| (b.base_offset, b.records)).collect();
    assert_eq!(journal, [(offset(0), 2), (offset(2), 1)]);
}

/// A duplicate would also be answered without an error, so the journal is asked too.
#[test]
fn a_retried_batch_is_stored_once_and_answered_with_its_first_offset() {
    let mut world = World::new();
    let connection = world.connect_leader();
    assert_eq!(ok(&world.produce(connection, &["a"], Some((9, 0, 0)))), 0);
    assert_eq!(ok(&world.produce(connection, &["b"], Some((9, 0, 1)))), 1);
    assert_eq!(ok(&world.produce(connection, &["a"], Some((9, 0, 0)))), 0);
    assert_eq!(world.cluster.journal().batches().count(), 2);
    let gap = world.produce(connection, &["d"], Some((9, 0, 3)));
    assert_eq!(gap.error_code, ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER);
    let new_epoch = world.produce(connection, &["d"], Some((9, 1, 0)));
    assert_eq!(ok(&new_epoch), 2);
    let fenced = world.produce(connection, &["c"], Some((9, 0, 2)));
    assert_eq!(fenced.error_code, ErrorCode::INVALID_PRODUCER_EPOCH);
}

/// Only the leader's memory of sequences would be lost with it, and the retry stored twice.
#[test]
fn a_new_leader_knows_the_sequences_of_the_old() {
    let mut world = World::new();
    let connection = world.connect_leader();
    let old = world.leader();
    ok(&world.produce(connection, &["a"], Some((9, 0, 0))));
    world.cluster.crash_node(world.now, old);
    world.pass(Duration::from_secs(1));
    assert_ne!(world.leader(), old);
    let connection = world.connect_leader();
    assert_eq!(ok(&world.produce(connection, &["a"], Some((9, 0, 0)))), 0);
    assert_eq!(world.values(), ["a"]);
}

#[test]
fn harmed_or_illegal_batches_are_refused() {
    let mut world = World::new();
    let connection = world.connect_leader();
    let good = batch(&["a"], None);
    let changed = |at: usize, bits: u8| {
        let mut bytes = good.to_vec();
        bytes[at] ^= bits;
        Bytes::from(bytes)
    };
    let twice = Bytes::from([&good[..], &good[..]].concat());
    let cases = [
        (changed(good.len() - 2, 1), ErrorCode::CORRUPT_MESSAGE),
        (changed(7, 1), ErrorCode::INVALID_RECORD),
        (twice, ErrorCode::INVALID_RECORD),
        (Bytes::new(), ErrorCode::INVALID_RECORD),
        (good.slice(..30), ErrorCode::INVALID_RECORD),
    ];
    for (records, code) in cases {
        let answer = produced(world.ask(connection, 9, produce(-1, records)));
        assert_eq!(answer.error_code, code, "{answer:?}");
    }
    assert_eq!(world.values(), [""; 0]);
}

#[test]
fn a_batch_above_the_topics_limit_is_too_large() {
    let mut world = World::with(|settings| {
        let mut topic = TopicSettings::new("t", 1);
        topic.config.insert("max.message.bytes".into(), "100".into());
        settings.topics = vec![topic];
    });
    let connection = world.connect_leader();
    let answer = world.produce(connection, &["x".repeat(50).as_str()], None);
    assert_eq!(answer.error_code, ErrorCode::MESSAGE_TOO_LARGE);
    ok(&world.produce(connection, &["x"], None));
}

#[test]
fn log_append_time_replaces_the_producers_clock() {
    let mut world = World::with(|settings| {
        let mut topic = TopicSettings::new("t", 1);
        topic.config.insert("message.timestamp.type".into(), "LogAppendTime".into());
        settings.topics = vec![topic];
    });
    let connection = world.connect_leader();
    world.pass(Duration::from_secs(5));
    let answer = world.produce(connection, &["a"], None);
    assert_eq!(answer.log_append_time_ms, crate::world::NOON.millis() + 5000);
    let record = world.cluster.records(&tp()).remove(0);
    assert_eq!(record.timestamp.map(|time| time.millis()), Some(answer.log_append_time_ms));
}

#[test]
fn acks_zero_is_not_answered_and_an_error_closes_the_connection() {
    let mut world = World::new();
    let connection = world.connect_leader();
    world.send(connection, 9, produce(0, batch(&["a"], None)));
    assert_eq!(world.answer(connection), None);
    assert_eq!(world.values(), ["a"]);
    world.send(connection, 9, produce(0, Bytes::new()));
    assert!(world.is_closed(connection));
}

#[test]
fn acks_all_waits_for_a_paused_follower_until_it_is_out_of_the_in_sync_set() {
    let mut world = World::with(|settings| settings.failover = Duration::from_millis(300));
    let connection = world.connect_leader();
    let follower = (1..=3).map(node).find(|id| *id != world.leader()).expect("three nodes");
    world.cluster.pause_node(world.now, follower);
    world.send(connection, 9, produce(-1, batch(&["a"], None)));
    world.pass(Duration::from_millis(299));
    assert_eq!(world.answer(connection), None);
    world.pass(Duration::from_millis(1));
    ok(&produced(world.answer(connection).expect("answered")));
}

/// What acks=1 risks: the leader alone had it, and those in sync elect another.
#[test]
fn acks_one_is_lost_with_a_leader_that_alone_had_it() {
    let mut world = World::with(|settings| settings.failover = Duration::from_millis(300));
    let leader = world.leader();
    let connection = world.connect(leader);
    let followers: Vec<_> = (1..=3).map(node).filter(|id| *id != leader).collect();
    followers.iter().for_each(|id| world.cluster.pause_node(world.now, *id));
    world.send(connection, 9, produce(1, batch(&["a"], None)));
    ok(&produced(world.answer(connection).expect("answered")));
    world.cluster.pause_node(world.now, leader);
    followers.iter().for_each(|id| world.cluster.resume_node(world.now, *id));
    assert_eq!(world.values(), ["a"], "the leader has not failed over yet");
    world.pass(Duration::from_millis(300));
    assert_ne!(world.leader(), leader);
    assert!(world.values().is_empty());
}

#[test]
fn a_replica_that_stays_silent_times_the_produce_out_though_it_is_appended() {
    let mut world = World::with(|settings| settings.failover = Duration::from_secs(9));
    let connection = world.connect_leader();
    let follower = (1..=3).map(node).find(|id| *id != world.leader()).expect("three nodes");
    world.cluster.pause_node(world.now, follower);
    world.send(connection, 9, produce(-1, batch(&["a"], None)));
    world.pass(Duration::from_secs(1));
    let answer = produced(world.answer(connection).expect("answered"));
    assert_eq!(answer.error_code, ErrorCode::REQUEST_TIMED_OUT);
    assert_eq!(world.values(), ["a"]);
}

#[test]
fn too_few_in_sync_replicas_refuse_acks_all() {
    let mut world = World::with(|settings| {
        settings.failover = Duration::ZERO;
        let mut topic = TopicSettings::new("t", 1);
        topic.config.insert("min.insync.replicas".into(), "2".into());
        settings.topics = vec![topic];
    });
    let leader = world.leader();
    let connection = world.connect(leader);
    for id in (1..=3).map(node).filter(|id| *id != leader) {
        world.cluster.crash_node(world.now, id);
    }
    let answer = world.produce(connection, &["a"], None);
    assert_eq!(answer.error_code, ErrorCode::NOT_ENOUGH_REPLICAS);
    assert_eq!(ok(&produced(world.ask(connection, 9, produce(1, batch(&["a"], None))))), 0);
}

#[test]
fn a_node_that_does_not_lead_names_the_leader() {
    let mut world = World::new();
    let leader = world.leader();
    let other = (1..=3).map(node).find(|id| *id != leader).expect("three nodes");
    let connection = world.connect(other);
    let Response::Produce(response) = world.ask(connection, 11, produce(-1, batch(&["a"], None)))
    else {
        panic!("a produce response")
    };
    let answer = &response.responses[0].partition_responses[0];
    assert_eq!(answer.error_code, ErrorCode::NOT_LEADER_OR_FOLLOWER);
    assert_eq!(answer.current_leader.leader_id, leader.get());
    assert_eq!(response.node_endpoints[0].node_id, leader.get());
}

#[test]
fn producer_ids_differ() {
    let mut world = World::new();
    let mut ids = Vec::new();
    for _ in 0..2 {
        let connection = world.connect(node(1));
        let Response::InitProducerId(dealt) = world.ask(
            connection,
            4,
            InitProducerIdRequest { transactional_id: None, ..Default::default() },
        ) else {
            panic!("a producer id")
        };
        ids.push((dealt.producer_id, dealt.producer_epoch));
    }
    assert_ne!(ids[0].0, ids[1].0);
}
