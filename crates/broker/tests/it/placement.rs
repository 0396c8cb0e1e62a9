//! Who leads a partition and who holds it, as an administrator decides.

use std::time::Duration;

use milena_types::{ErrorCode, NodeId};
use milena_wire::Response;
use milena_wire::messages::alter_partition_reassignments_request::{
    ReassignablePartition, ReassignableTopic,
};
use milena_wire::messages::describe_log_dirs_response::DescribeLogDirsPartition;
use milena_wire::messages::elect_leaders_request::TopicPartitions;
use milena_wire::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use milena_wire::messages::{
    AlterPartitionReassignmentsRequest, DescribeLogDirsRequest, ElectLeadersRequest,
    IncrementalAlterConfigsRequest,
};

use crate::world::{World, batch, fetch, fetched, node, offsets, ok, produce, produced, tp};

/// To which nodes partition 0 of `t` is to go, and what comes of it.
fn reassign(world: &mut World, to: Option<&[i32]>) -> ErrorCode {
    reassign_if(world, to, true)
}

fn reassign_if(world: &mut World, to: Option<&[i32]>, may_change_factor: bool) -> ErrorCode {
    let partition = ReassignablePartition { partition_index: 0, replicas: to.map(<[i32]>::to_vec) };
    let topic = ReassignableTopic { name: "t".into(), partitions: vec![partition] };
    let request = AlterPartitionReassignmentsRequest {
        topics: vec![topic],
        allow_replication_factor_change: may_change_factor,
        ..Default::default()
    };
    let any = alive(world);
    let connection = world.connect(any);
    let Response::AlterPartitionReassignments(told) = world.ask(connection, 1, request) else {
        panic!("another answer")
    };
    told.responses[0].partitions[0].error_code
}

fn alive(world: &World) -> NodeId {
    let view = world.cluster.partition(&tp()).expect("there");
    view.leader.or_else(|| view.isr.first().copied()).expect("somebody")
}

fn elect(world: &mut World, at: NodeId, election_type: i8, all: bool) -> Vec<ErrorCode> {
    let named = TopicPartitions { topic: "t".into(), partitions: vec![0] };
    let request = ElectLeadersRequest {
        election_type,
        topic_partitions: (!all).then(|| vec![named]),
        ..Default::default()
    };
    let connection = world.connect(at);
    let Response::ElectLeaders(told) = world.ask(connection, 2, request) else {
        panic!("another answer")
    };
    let results = told.replica_election_results.iter().flat_map(|topic| &topic.partition_result);
    results.map(|result| result.error_code).collect()
}

fn replicas(world: &World) -> Vec<i32> {
    let view = world.cluster.partition(&tp()).expect("there");
    view.replicas.iter().map(|node| node.get()).collect()
}

/// Replicas of one node each, so that a move takes all records elsewhere.
fn world_of_one() -> (World, NodeId) {
    let mut world = World::with(|settings| settings.topics[0].replication_factor = Some(1));
    let connection = world.connect_leader();
    ok(&world.produce(connection, &["a", "b"], None));
    let leader = world.leader();
    (world, leader)
}

#[test]
fn records_move_with_their_partition() {
    let (mut world, leader) = world_of_one();
    let other = node(leader.get() % 3 + 1);
    assert_eq!(reassign(&mut world, Some(&[other.get()])), ErrorCode::NONE);
    assert_eq!((world.leader(), replicas(&world)), (other, vec![other.get()]));
    let (old, new) = (world.connect(leader), world.connect(other));
    let told = fetched(world.ask(old, 11, fetch(0, 1, 0)));
    assert_eq!(told.error_code, ErrorCode::NOT_LEADER_OR_FOLLOWER);
    assert_eq!(offsets(&fetched(world.ask(new, 11, fetch(0, 1, 0)))), [0, 1]);
    let told = produced(world.ask(new, 9, produce(-1, batch(&["c"], None))));
    assert_eq!(ok(&told), 2);
    // What was moved is where it was moved to after a restart, with nobody from before in between.
    world.restart();
    assert_eq!((world.leader(), replicas(&world)), (other, vec![other.get()]));
    assert_eq!(world.values(), ["a", "b", "c"]);
    world.cluster.crash_node(world.now, leader);
    world.pass(Duration::from_secs(1));
    assert_eq!(world.leader(), other);
}

#[test]
fn a_leader_that_stays_leads_on_in_a_new_epoch_where_another_goes() {
    let mut world = World::new();
    let leader = world.leader();
    let epoch = |world: &World| world.cluster.partition(&tp()).expect("there").leader_epoch;
    let before = epoch(&world);
    assert_eq!(reassign(&mut world, Some(&[leader.get()])), ErrorCode::NONE);
    assert_eq!((world.leader(), replicas(&world)), (leader, vec![leader.get()]));
    assert!(epoch(&world) > before, "who read from those that went asks anew");
    let before = epoch(&world);
    let more = [leader.get(), leader.get() % 3 + 1];
    assert_eq!(reassign(&mut world, Some(&more)), ErrorCode::NONE);
    assert_eq!((replicas(&world), epoch(&world)), (more.to_vec(), before));
    let view = world.cluster.partition(&tp()).expect("there");
    assert_eq!(view.isr.len(), 2, "who is new is in sync at once");
}

/// The batch is where its leader still is.
#[test]
fn what_a_leader_that_stays_has_is_acknowledged_in_its_new_epoch() {
    let mut world = World::with(|settings| settings.failover = Duration::from_secs(9));
    let leader = world.leader();
    let connection = world.connect(leader);
    let follower = node(leader.get() % 3 + 1);
    let stamp = |sequence| Some((7, 0, sequence));
    world.cluster.pause_node(world.now, follower);
    world.send(connection, 9, produce(-1, batch(&["a"], stamp(0))));
    assert_eq!(world.answer(connection), None, "the follower is in sync and does not have it");
    assert_eq!(reassign(&mut world, Some(&[leader.get()])), ErrorCode::NONE);
    let told = produced(world.answer(connection).expect("nobody is left to wait for"));
    assert_eq!(ok(&told), 0);
    // Sent again, it is one of an older epoch than its leader's.
    assert_eq!(ok(&world.produce(connection, &["a"], stamp(0))), 0);
    assert_eq!(ok(&world.produce(connection, &["b"], stamp(1))), 1);
    assert_eq!(world.values(), ["a", "b"]);
}

#[test]
fn throttles_of_moves_are_set_and_deleted_on_brokers_and_what_is_fixed_is_not() {
    let (set, delete) = (0, 1);
    let throttles = [
        "leader.replication.throttled.rate",
        "follower.replication.throttled.rate",
        "replica.alter.log.dirs.io.max.bytes.per.second",
    ];
    let mut world = World::new();
    let mut alter = |names: &[&str], operation, value: Option<&str>| {
        let config = |name: &&str| AlterableConfig {
            name: (*name).into(),
            config_operation: operation,
            value: value.map(Into::into),
        };
        let resource = AlterConfigsResource {
            resource_type: 4,
            resource_name: "1".into(),
            configs: names.iter().map(config).collect(),
        };
        let request =
            IncrementalAlterConfigsRequest { resources: vec![resource], ..Default::default() };
        let connection = world.connect(node(1));
        let Response::IncrementalAlterConfigs(told) = world.ask(connection, 1, request) else {
            panic!("another answer")
        };
        told.responses[0].error_code
    };
    assert_eq!(alter(&throttles, set, Some("1000")), ErrorCode::NONE);
    assert_eq!(alter(&throttles, delete, None), ErrorCode::NONE);
    assert_eq!(alter(&throttles, set, None), ErrorCode::INVALID_REQUEST);
    let more = [&throttles[..], &["num.partitions"]].concat();
    assert_eq!(alter(&more, set, Some("3")), ErrorCode::INVALID_REQUEST);
}

#[test]
fn what_cannot_be_is_not_reassigned() {
    let (mut world, leader) = world_of_one();
    let before = replicas(&world);
    for (to, code) in [
        (Some(&[][..]), ErrorCode::INVALID_REPLICA_ASSIGNMENT),
        (Some(&[9]), ErrorCode::INVALID_REPLICA_ASSIGNMENT),
        (Some(&[1, 1]), ErrorCode::INVALID_REPLICA_ASSIGNMENT),
        (None, ErrorCode::NO_REASSIGNMENT_IN_PROGRESS),
    ] {
        assert_eq!(reassign(&mut world, to), code, "{to:?}");
    }
    let more = [leader.get(), leader.get() % 3 + 1];
    let told = reassign_if(&mut world, Some(&more), false);
    assert_eq!(told, ErrorCode::INVALID_REPLICATION_FACTOR);
    assert_eq!(replicas(&world), before);
}

/// Nobody could give the records to the new replica: they would be gone.
#[test]
fn nothing_moves_away_from_a_node_that_is_down() {
    let (mut world, leader) = world_of_one();
    let other = node(leader.get() % 3 + 1);
    world.cluster.crash_node(world.now, leader);
    world.pass(Duration::from_secs(1));
    let partition = ReassignablePartition { partition_index: 0, replicas: Some(vec![other.get()]) };
    let topic = ReassignableTopic { name: "t".into(), partitions: vec![partition] };
    let request = AlterPartitionReassignmentsRequest { topics: vec![topic], ..Default::default() };
    let connection = world.connect(other);
    let Response::AlterPartitionReassignments(told) = world.ask(connection, 0, request) else {
        panic!("another answer")
    };
    let code = told.responses[0].partitions[0].error_code;
    assert_eq!(code, ErrorCode::INVALID_REPLICA_ASSIGNMENT);
    assert_eq!(replicas(&world), [leader.get()]);
}

#[test]
fn the_preferred_leader_is_elected_once_it_is_back() {
    let mut world = World::new();
    let (preferred, other) = (world.leader(), node(world.leader().get() % 3 + 1));
    assert_eq!(elect(&mut world, other, 0, false), [ErrorCode::ELECTION_NOT_NEEDED]);
    world.cluster.crash_node(world.now, preferred);
    world.pass(Duration::from_secs(1));
    assert_ne!(world.leader(), preferred);
    let told = elect(&mut world, other, 0, false);
    assert_eq!(told, [ErrorCode::PREFERRED_LEADER_NOT_AVAILABLE]);
    world.cluster.restart_node(world.now, preferred);
    world.drain();
    assert_ne!(world.leader(), preferred);
    assert_eq!(elect(&mut world, other, 0, true), [ErrorCode::NONE]);
    assert_eq!(world.leader(), preferred);
    assert_eq!(elect(&mut world, other, 0, true), [], "the others are not told of");
    assert_eq!(elect(&mut world, other, 7, false), [ErrorCode::INVALID_REQUEST]);
}

#[test]
fn an_unclean_leader_is_elected_where_there_is_none() {
    let mut world = World::with(|settings| settings.topics[0].replication_factor = Some(2));
    let first = world.leader();
    let view = world.cluster.partition(&tp()).expect("there");
    let second = *view.replicas.iter().find(|node| **node != first).expect("two");
    let third = node(6 - first.get() - second.get());
    assert_eq!(elect(&mut world, third, 1, false), [ErrorCode::ELECTION_NOT_NEEDED]);
    world.cluster.crash_node(world.now, second);
    world.pass(Duration::from_secs(1));
    let connection = world.connect(first);
    ok(&world.produce(connection, &["lost"], None));
    world.cluster.crash_node(world.now, first);
    world.pass(Duration::from_secs(1));
    let told = elect(&mut world, third, 1, false);
    assert_eq!(told, [ErrorCode::ELIGIBLE_LEADERS_NOT_AVAILABLE]);
    world.cluster.restart_node(world.now, second);
    world.drain();
    assert_eq!(elect(&mut world, third, 1, false), [ErrorCode::NONE]);
    assert_eq!((world.leader(), world.values().len()), (second, 0));
}

#[test]
fn a_node_describes_the_logs_that_it_holds() {
    let (mut world, leader) = world_of_one();
    let described = |world: &mut World, at: NodeId| -> Vec<DescribeLogDirsPartition> {
        let connection = world.connect(at);
        let Response::DescribeLogDirs(told) =
            world.ask(connection, 4, DescribeLogDirsRequest { topics: None })
        else {
            panic!("another answer")
        };
        told.results[0].topics.iter().flat_map(|topic| topic.partitions.clone()).collect()
    };
    let log = described(&mut world, leader);
    let written = batch(&["a", "b"], None).len();
    assert_eq!((log.len(), log[0].partition_size), (1, i64::try_from(written).expect("small")));
    assert_eq!(described(&mut world, node(leader.get() % 3 + 1)), []);
}
