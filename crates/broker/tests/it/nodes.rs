//! Nodes crash, pause and come back.

use std::time::Duration;

use milena_broker::{OpenError, TopicSettings, on};
use milena_types::{ApiKey, ErrorCode, NodeId};
use milena_wire::Response;
use milena_wire::messages as m;

use crate::world::{World, batch, fetch, fetch_response, node, offset, ok, produce, produced, tp};

#[test]
fn what_was_acknowledged_survives_any_one_node_and_a_restart() {
    let mut world = World::new();
    for round in 0..3 {
        let connection = world.connect_leader();
        let leader = world.leader();
        assert_eq!(ok(&world.produce(connection, &["x"], None)), round);
        world.cluster.crash_node(world.now, leader);
        world.drain();
        assert!(world.is_closed(connection));
        assert_eq!(world.cluster.open(world.now, leader), Err(OpenError::NodeDown));
        assert_eq!(
            world.cluster.partition(&tp()).and_then(|p| p.leader),
            Some(leader),
            "not noticed yet"
        );
        world.pass(Duration::from_secs(1));
        assert_ne!(world.leader(), leader);
        world.cluster.restart_node(world.now, leader);
        assert_eq!(world.cluster.partition(&tp()).map(|p| p.isr.len()), Some(3));
    }
    assert_eq!(world.values(), ["x"; 3]);
    assert_eq!(world.cluster.partition(&tp()).map(|p| p.leader_epoch.get()), Some(3));
}

#[test]
fn a_partition_without_a_live_replica_has_no_leader_until_the_last_in_sync_is_back() {
    let mut world = World::with(|settings| settings.failover = Duration::ZERO);
    let order: Vec<_> = world.cluster.partition(&tp()).expect("there").replicas;
    for id in &order {
        world.cluster.crash_node(world.now, *id);
    }
    let leader = |world: &World| world.cluster.partition(&tp()).and_then(|p| p.leader);
    assert_eq!(leader(&world), None);
    world.cluster.restart_node(world.now, order[0]);
    assert_eq!(leader(&world), None, "it may lack records");
    world.cluster.restart_node(world.now, order[2]);
    assert_eq!(leader(&world), Some(order[2]));
    assert_eq!(world.cluster.partition(&tp()).map(|p| p.isr.len()), Some(2));
}

#[test]
fn an_unclean_election_loses_what_the_new_leader_lacks() {
    let mut world = World::with(|settings| {
        settings.failover = Duration::ZERO;
        let mut topic = TopicSettings::new("t", 1);
        topic.replication_factor = Some(2);
        topic.config.insert("unclean.leader.election.enable".into(), "true".into());
        settings.topics = vec![topic];
    });
    let replicas = world.cluster.partition(&tp()).expect("there").replicas;
    let connection = world.connect_leader();
    ok(&world.produce(connection, &["kept"], None));
    world.cluster.crash_node(world.now, replicas[1]);
    ok(&world.produce(connection, &["lost"], None));
    world.cluster.crash_node(world.now, replicas[0]);
    world.cluster.restart_node(world.now, replicas[1]);
    assert_eq!(world.leader(), replicas[1]);
    assert_eq!(world.values(), ["kept"]);
    world.cluster.restart_node(world.now, replicas[0]);
    assert_eq!(world.values(), ["kept"]);
    assert_eq!(world.cluster.partition(&tp()).map(|p| p.high_watermark), Some(offset(1)));
}

#[test]
fn a_paused_node_answers_when_it_goes_on() {
    let mut world = World::new();
    let connection = world.connect_leader();
    let leader = world.leader();
    world.cluster.pause_node(world.now, leader);
    world.send(connection, 9, produce(-1, batch(&["a"], None)));
    assert_eq!(world.answer(connection), None);
    world.cluster.resume_node(world.now, leader);
    world.drain();
    assert!(world.answer(connection).is_some());
    assert_eq!(world.values(), ["a"]);
}

/// Its time may be over, or others may have stored what it waits for: who stands still says nothing of it.
#[test]
fn a_paused_node_does_not_answer_what_it_had_begun() {
    let mut world = World::new();
    let connection = world.connect_leader();
    let leader = world.leader();
    world.cluster.add_fault(on(ApiKey::FETCH).throttle(Duration::from_secs(2)));
    world.send(connection, 11, fetch(0, 1, 500));
    world.send(connection, 11, fetch(0, 0, 0));
    world.cluster.pause_node(world.now, leader);
    world.pass(Duration::from_millis(900));
    assert_eq!(world.answer(connection), None);
    world.cluster.resume_node(world.now, leader);
    world.drain();
    for _ in 0..2 {
        let answer = fetch_response(world.answer(connection).expect("answered"));
        assert_eq!(answer.throttle_time_ms, 2000);
    }
}

#[test]
fn a_leader_moves_only_to_a_replica_in_sync() {
    let mut world = World::with(|settings| settings.failover = Duration::ZERO);
    let down = (1..=3).map(node).find(|id| *id != world.leader()).expect("three nodes");
    world.cluster.crash_node(world.now, down);
    assert!(!world.cluster.move_leader(world.now, &tp(), down));
    let up = (1..=3).map(node).find(|id| *id != world.leader() && *id != down).expect("another");
    assert!(world.cluster.move_leader(world.now, &tp(), up));
    assert_eq!(world.leader(), up);
}

/// Whoever leads serves what it has: nobody else's records, be they acknowledged by acks=1.
#[test]
fn a_leader_moved_by_hand_has_no_records_that_it_never_copied() {
    let mut world = World::new();
    let connection = world.connect_leader();
    let leader = world.leader();
    ok(&world.produce(connection, &["everywhere"], None));
    for follower in (1..=3).map(node).filter(|id| *id != leader) {
        world.cluster.pause_node(world.now, follower);
    }
    let answer = world.ask(connection, 9, produce(1, batch(&["on the leader"], None)));
    ok(&produced(answer));
    world.cluster.pause_node(world.now, leader);
    let follower = (1..=3).map(node).find(|id| *id != leader).expect("three nodes");
    world.cluster.resume_node(world.now, follower);
    assert!(world.cluster.move_leader(world.now, &tp(), follower));
    assert_eq!(world.values(), ["everywhere"]);
}

fn unregister(world: &mut World, node: NodeId) -> (ErrorCode, Option<String>) {
    let mut others = (1..=3).map(NodeId::new).filter(|other| *other != node);
    let other = others.next_back().expect("three nodes");
    let connection = world.connect(other);
    let request = m::UnregisterBrokerRequest { broker_id: node.get() };
    let Response::UnregisterBroker(told) = world.ask(connection, 0, request) else { panic!() };
    (told.error_code, told.error_message.map(|why| why.to_string()))
}

/// The nodes that another tells of, fenced ones too, and those of them that clients are sent to.
fn told(world: &mut World, by: NodeId) -> (Vec<i32>, Vec<i32>) {
    let connection = world.connect(by);
    let request = m::DescribeClusterRequest { include_fenced_brokers: true, ..Default::default() };
    let Response::DescribeCluster(all) = world.ask(connection, 2, request) else { panic!() };
    let Response::Metadata(told) = world.ask(connection, 12, m::MetadataRequest::default()) else {
        panic!()
    };
    let all = all.brokers.iter().map(|broker| broker.broker_id).collect();
    (all, told.brokers.iter().map(|broker| broker.node_id).collect())
}

#[test]
fn a_node_that_is_unregistered_is_gone_until_its_process_starts_anew() {
    for is_down in [true, false] {
        let mut world = World::new();
        let leader = world.leader();
        let by = (1..=3).map(node).find(|other| *other != leader).expect("three nodes");
        if is_down {
            world.cluster.crash_node(world.now, leader);
            world.pass(Duration::from_secs(1));
            assert_eq!(told(&mut world, by).0.len(), 3, "it is fenced");
        }
        assert_eq!(unregister(&mut world, leader), (ErrorCode::NONE, Some(String::new())));
        let why = format!("Broker ID {leader} is not currently registered");
        let refused = (ErrorCode::BROKER_ID_NOT_REGISTERED, Some(why));
        assert_eq!(unregister(&mut world, leader), refused);
        let code = ErrorCode::NOT_CONTROLLER;
        world.cluster.add_fault(on(ApiKey::UNREGISTER_BROKER).first(1).error(code));
        assert_eq!(unregister(&mut world, leader), (code, Some(String::new())), "never null");
        let (all, live) = told(&mut world, by);
        assert!(all.len() == 2 && !all.contains(&leader.get()) && live == all, "{all:?} {live:?}");
        let view = world.cluster.partition(&tp()).expect("there");
        assert!(view.leader.is_some_and(|other| other != leader) && !view.isr.contains(&leader));
        assert!(view.replicas.contains(&leader), "it stays a replica");
        // To stand still for a while is no new start.
        if !is_down {
            world.cluster.pause_node(world.now, leader);
            world.cluster.resume_node(world.now, leader);
            assert_eq!(told(&mut world, by).0.len(), 2);
        }
        world.cluster.restart_node(world.now, leader);
        assert_eq!(told(&mut world, by).1.len(), 3);
        assert_eq!(world.cluster.partition(&tp()).map(|p| p.isr.len()), Some(3));
    }
}

#[test]
fn a_node_that_is_unregistered_gets_no_replica() {
    let mut world = World::new();
    assert_eq!(unregister(&mut world, node(1)).0, ErrorCode::NONE);
    let connection = world.connect(node(2));
    let assignment = m::create_topics_request::CreatableReplicaAssignment {
        partition_index: 0,
        broker_ids: vec![1],
    };
    let topic = m::create_topics_request::CreatableTopic {
        name: "u".into(),
        num_partitions: -1,
        replication_factor: -1,
        assignments: vec![assignment],
        ..Default::default()
    };
    let request = m::CreateTopicsRequest { topics: vec![topic], ..Default::default() };
    let Response::CreateTopics(told) = world.ask(connection, 7, request) else { panic!() };
    assert_eq!(told.topics[0].error_code, ErrorCode::INVALID_REPLICA_ASSIGNMENT);
}

/// One that runs registers anew at once.
#[test]
fn a_controller_that_is_down_is_forgotten_until_it_starts() {
    let mut world = World::new();
    let connection = world.connect(node(1));
    let unregister = |world: &mut World, controller_id| {
        let request = m::UnregisterControllerRequest { controller_id };
        let Response::UnregisterController(told) = world.ask(connection, 0, request) else {
            panic!()
        };
        told.error_code
    };
    assert_eq!(unregister(&mut world, 1), ErrorCode::INVALID_REQUEST, "it is the active one");
    assert_eq!(unregister(&mut world, 3), ErrorCode::NONE);
    assert_eq!(unregister(&mut world, 3), ErrorCode::NONE);
    world.cluster.crash_node(world.now, node(3));
    assert_eq!(unregister(&mut world, 3), ErrorCode::NONE);
    assert_eq!(unregister(&mut world, 3), ErrorCode::CONTROLLER_ID_NOT_REGISTERED);
    world.cluster.restart_node(world.now, node(3));
    assert_eq!(unregister(&mut world, 3), ErrorCode::NONE);
}
