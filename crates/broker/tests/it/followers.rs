//! Reading from followers (KIP-392).

use std::collections::BTreeMap;
use std::time::Duration;

use milena_broker::Settings;
use milena_types::{ErrorCode, NodeId};
use milena_wire::messages::FetchRequest;
use milena_wire::messages::fetch_response::PartitionData;

use crate::world::{
    World, batch, fetch, fetch_response, fetched, node, offsets, ok, produce, produced,
};

/// Node n is in rack n.
fn with_racks(settings: &mut Settings) {
    settings.rack_aware_reads = true;
    for (node, rack) in settings.nodes.iter_mut().zip(1..) {
        node.rack = Some(format!("rack-{rack}"));
    }
}

fn from_rack(request: FetchRequest, rack: &str) -> FetchRequest {
    FetchRequest { rack_id: rack.into(), ..request }
}

fn rack_of(node: NodeId) -> String {
    format!("rack-{node}")
}

/// A leader that has one record, and a node that follows it.
fn world(change: impl FnOnce(&mut Settings)) -> (World, NodeId, NodeId) {
    let mut world = World::with(change);
    let connection = world.connect_leader();
    ok(&world.produce(connection, &["a"], None));
    let leader = world.leader();
    let follower = node(leader.get() % 3 + 1);
    (world, leader, follower)
}

fn read(world: &mut World, at: NodeId, version: i16, request: FetchRequest) -> PartitionData {
    let connection = world.connect(at);
    fetched(world.ask(connection, version, request))
}

#[test]
fn the_leader_sends_a_reader_to_the_replica_of_its_rack() {
    let (mut world, leader, follower) = world(with_racks);
    // Answered at once though there is nothing to read here.
    let request = || from_rack(fetch(0, 1, 500), &rack_of(follower));
    let told = read(&mut world, leader, 11, request());
    assert_eq!(told.preferred_read_replica, follower.get());
    assert_eq!((offsets(&told).len(), told.high_watermark), (0, 1));
    let told = read(&mut world, follower, 11, request());
    assert_eq!((told.preferred_read_replica, offsets(&told)), (-1, vec![0]));
}

/// Of those that have as much, as Kafka chooses.
#[test]
fn of_two_replicas_in_a_rack_the_one_of_the_highest_id_is_told() {
    let (mut world, leader, _) = world(|settings| {
        settings.rack_aware_reads = true;
        for node in &mut settings.nodes {
            node.rack = Some("of-followers".into());
        }
        // Where the only partition's leader is.
        settings.nodes[0].rack = Some("of-the-leader".into());
    });
    assert_eq!(leader, node(1));
    let request = from_rack(fetch(0, 1, 0), "of-followers");
    assert_eq!(read(&mut world, leader, 11, request).preferred_read_replica, 3);
}

#[test]
fn a_follower_shows_nothing_above_the_high_watermark() {
    let mut world = World::with(|settings| settings.failover = Duration::from_secs(9));
    let leader = world.leader();
    let (follower, silent) = (node(leader.get() % 3 + 1), node((leader.get() + 1) % 3 + 1));
    let writer = world.connect(leader);
    ok(&world.produce(writer, &["a"], None));
    world.cluster.pause_node(world.now, silent);
    ok(&produced(world.ask(writer, 9, produce(1, batch(&["b"], None)))));
    for (from, shown) in [(0, vec![0]), (1, vec![]), (2, vec![])] {
        let told = read(&mut world, follower, 11, fetch(from, 1, 0));
        let code = told.error_code;
        assert_eq!((code, told.high_watermark), (ErrorCode::NONE, 1), "from {from}");
        assert_eq!(offsets(&told), shown, "from {from}");
    }
    let told = read(&mut world, follower, 11, fetch(3, 1, 0));
    assert_eq!(told.error_code, ErrorCode::OFFSET_OUT_OF_RANGE);
    world.cluster.resume_node(world.now, silent);
    let told = read(&mut world, follower, 11, fetch(1, 1, 0));
    assert_eq!((offsets(&told), told.high_watermark), (vec![1], 2));
}

/// Else it would be sent away with no word of where to in the second answer of the session.
#[test]
fn a_session_tells_the_replica_in_each_answer() {
    let (mut world, leader, follower) = world(with_racks);
    let connection = world.connect(leader);
    let mut request = from_rack(fetch(0, 1, 500), &rack_of(follower));
    request.session_epoch = 0;
    let told = fetch_response(world.ask(connection, 11, request.clone()));
    assert!(told.session_id > 0);
    (request.session_id, request.session_epoch) = (told.session_id, 1);
    request.topics.clear();
    let told = fetched(world.ask(connection, 11, request));
    assert_eq!(told.preferred_read_replica, follower.get());
}

#[test]
fn the_leader_serves_whom_no_replica_is_nearer_to() {
    let (mut world, leader, follower) = world(with_racks);
    for rack in ["", "rack-9", &rack_of(leader)] {
        let told = read(&mut world, leader, 11, from_rack(fetch(0, 1, 0), rack));
        assert_eq!((told.preferred_read_replica, offsets(&told)), (-1, vec![0]), "{rack:?}");
    }
    // Out of the range of all of them: the leader says so.
    let told = read(&mut world, leader, 11, from_rack(fetch(2, 1, 0), &rack_of(follower)));
    assert_eq!(told.error_code, ErrorCode::OFFSET_OUT_OF_RANGE);
    // Nor is one that is down, once that is known.
    let now = world.now;
    world.cluster.crash_node(now, follower);
    world.pass(Duration::from_secs(1));
    let told = read(&mut world, leader, 11, from_rack(fetch(0, 1, 0), &rack_of(follower)));
    assert_eq!((told.preferred_read_replica, offsets(&told)), (-1, vec![0]));
}

#[test]
fn nobody_is_sent_away_by_default() {
    let racks_alone = |settings: &mut Settings| {
        with_racks(settings);
        settings.rack_aware_reads = false;
    };
    let (mut world, leader, follower) = world(racks_alone);
    let told = read(&mut world, leader, 11, from_rack(fetch(0, 1, 0), &rack_of(follower)));
    assert_eq!((told.preferred_read_replica, offsets(&told)), (-1, vec![0]));
}

/// As a broker of Kafka does whatever its replica selector is: only the request's version decides.
#[test]
fn a_follower_serves_requests_that_know_of_racks_and_no_others() {
    let (mut world, _, follower) = world(|_| {});
    let told = read(&mut world, follower, 11, fetch(0, 1, 0));
    assert_eq!(offsets(&told), [0]);
    let told = read(&mut world, follower, 11, fetch(2, 1, 0));
    assert_eq!(told.error_code, ErrorCode::OFFSET_OUT_OF_RANGE);
    let told = read(&mut world, follower, 10, fetch(0, 1, 0));
    assert_eq!(told.error_code, ErrorCode::NOT_LEADER_OR_FOLLOWER);
    let mut fenced = fetch(0, 1, 0);
    fenced.topics[0].partitions[0].current_leader_epoch = 7;
    let told = read(&mut world, follower, 11, fenced);
    assert_eq!(told.error_code, ErrorCode::UNKNOWN_LEADER_EPOCH);
}

#[test]
fn a_node_without_a_replica_serves_nobody() {
    let on_one = |settings: &mut Settings| {
        settings.topics[0].replication_factor = Some(1);
        settings.topics[0].config = BTreeMap::new();
    };
    let (mut world, _, other) = world(on_one);
    let told = read(&mut world, other, 11, fetch(0, 1, 0));
    assert_eq!(told.error_code, ErrorCode::NOT_LEADER_OR_FOLLOWER);
}

#[test]
fn a_reader_waits_at_a_follower_for_what_its_leader_gets() {
    let (mut world, leader, follower) = world(with_racks);
    let (reader, writer) = (world.connect(follower), world.connect(leader));
    world.send(reader, 11, from_rack(fetch(1, 1, 500), &rack_of(follower)));
    assert_eq!(world.answer(reader), None);
    ok(&world.produce(writer, &["b"], None));
    assert_eq!(offsets(&fetched(world.answer(reader).expect("woken"))), [1]);
}
