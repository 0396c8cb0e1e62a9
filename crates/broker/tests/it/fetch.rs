//! What readers get, and when.

use std::time::Duration;

use milena_types::ErrorCode;
use milena_wire::Response;
use milena_wire::messages::fetch_request::{FetchRequest, ForgottenTopic};
use milena_wire::messages::list_offsets_request::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use milena_wire::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderEpochRequest, OffsetForLeaderPartition, OffsetForLeaderTopic,
};

use crate::world::{World, fetch, fetch_response, fetched, node, offset, offsets, ok, tp};

#[test]
fn what_was_produced_is_read_from_the_asked_offset_on() {
    let mut world = World::new();
    let connection = world.connect_leader();
    for value in ["a", "b", "c"] {
        ok(&world.produce(connection, &[value], None));
    }
    let data = fetched(world.ask(connection, 11, fetch(1, 1, 0)));
    assert_eq!(offsets(&data), [1, 2]);
    assert_eq!((data.high_watermark, data.log_start_offset), (3, 0));
}

#[test]
fn a_fetch_waits_for_data_and_is_answered_by_the_append() {
    let mut world = World::new();
    let (reader, writer) = (world.connect_leader(), world.connect_leader());
    world.send(reader, 11, fetch(0, 1, 500));
    world.pass(Duration::from_millis(499));
    assert_eq!(world.answer(reader), None);
    ok(&world.produce(writer, &["a"], None));
    assert_eq!(offsets(&fetched(world.answer(reader).expect("woken"))), [0]);
}

#[test]
fn a_fetch_without_data_is_answered_when_its_time_is_over() {
    let mut world = World::new();
    let reader = world.connect_leader();
    world.send(reader, 11, fetch(0, 1, 500));
    // Later requests on the connection wait for it, as in Kafka.
    world.send(reader, 11, fetch(0, 0, 0));
    assert_eq!(world.answer(reader), None);
    world.pass(Duration::from_millis(500));
    assert_eq!(offsets(&fetched(world.answer(reader).expect("timed out"))), [0; 0]);
    assert!(world.answer(reader).is_some(), "and then the next one");
}

#[test]
fn the_first_batch_is_whole_whatever_the_limits_say() {
    let mut world = World::new();
    let connection = world.connect_leader();
    ok(&world.produce(connection, &["x".repeat(500).as_str()], None));
    ok(&world.produce(connection, &["y"], None));
    let mut request = fetch(0, 1, 0);
    request.max_bytes = 10;
    request.topics[0].partitions[0].partition_max_bytes = 10;
    assert_eq!(offsets(&fetched(world.ask(connection, 11, request))), [0]);
}

#[test]
fn offsets_outside_of_the_log_are_out_of_range() {
    let mut world = World::new();
    let connection = world.connect_leader();
    for value in ["a", "b", "c"] {
        ok(&world.produce(connection, &[value], None));
    }
    world.cluster.delete_records(world.now, &tp(), offset(2));
    for (from, code) in [
        (1, ErrorCode::OFFSET_OUT_OF_RANGE),
        (2, ErrorCode::NONE),
        (3, ErrorCode::NONE),
        (4, ErrorCode::OFFSET_OUT_OF_RANGE),
    ] {
        let data = fetched(world.ask(connection, 11, fetch(from, 0, 0)));
        assert_eq!(data.error_code, code, "from {from}");
    }
}

#[test]
fn leader_epochs_of_the_reader_are_checked() {
    let mut world = World::new();
    let other = (1..=3).map(node).find(|id| *id != world.leader()).expect("three nodes");
    assert!(world.cluster.move_leader(world.now, &tp(), other));
    let connection = world.connect_leader();
    for (epoch, code) in [
        (0, ErrorCode::FENCED_LEADER_EPOCH),
        (1, ErrorCode::NONE),
        (2, ErrorCode::UNKNOWN_LEADER_EPOCH),
        (-1, ErrorCode::NONE),
    ] {
        let mut request = fetch(0, 0, 0);
        request.topics[0].partitions[0].current_leader_epoch = epoch;
        let data = fetched(world.ask(connection, 12, request));
        assert_eq!(data.error_code, code, "epoch {epoch}");
    }
}

/// Only versions that have the fields may name the leader; the older ones must be answered all the same.
#[test]
fn a_node_without_the_partition_says_so_in_every_version() {
    let mut world = World::with(|settings| settings.topics[0].replication_factor = Some(1));
    let other = (1..=3).map(node).find(|id| *id != world.leader()).expect("three nodes");
    let leader = world.leader().get();
    for version in 4..=18 {
        let connection = world.connect(other);
        let mut request = fetch(0, 0, 0);
        request.topics[0].topic_id = world.cluster.topic_id("t").expect("there");
        let response = fetch_response(world.ask(connection, version, request));
        let data = &response.responses[0].partitions[0];
        assert_eq!(data.error_code, ErrorCode::NOT_LEADER_OR_FOLLOWER, "version {version}");
        assert_eq!(data.current_leader.leader_id == leader, version >= 12, "version {version}");
        assert_eq!(!response.node_endpoints.is_empty(), version >= 16, "version {version}");
    }
}

/// A reader of records that an unclean election took back must be told, not be given others in their place.
#[test]
fn a_reader_ahead_of_a_truncated_log_is_told_where_they_part() {
    let mut world = World::new();
    let connection = world.connect_leader();
    for value in ["a", "b", "c"] {
        ok(&world.produce(connection, &[value], None));
    }
    assert_eq!(world.cluster.truncate_log(world.now, &tp(), offset(1)), Some(offset(1)));
    ok(&world.produce(connection, &["d"], None));
    let mut request = fetch(3, 0, 0);
    request.topics[0].partitions[0].last_fetched_epoch = 0;
    let data = fetched(world.ask(connection, 12, request));
    assert_eq!((data.diverging_epoch.epoch, data.diverging_epoch.end_offset), (0, 1));
    let asked =
        OffsetForLeaderPartition { partition: 0, current_leader_epoch: -1, leader_epoch: 0 };
    let topic = OffsetForLeaderTopic { topic: "t".into(), partitions: vec![asked] };
    let request = OffsetForLeaderEpochRequest { replica_id: -1, topics: vec![topic] };
    let Response::OffsetForLeaderEpoch(response) = world.ask(connection, 4, request) else {
        panic!()
    };
    let end = &response.topics[0].partitions[0];
    assert_eq!((end.leader_epoch, end.end_offset), (0, 1));
}

#[test]
fn a_session_carries_only_changes_and_knows_its_epoch() {
    let mut world = World::new();
    let connection = world.connect_leader();
    ok(&world.produce(connection, &["a"], None));
    let mut first = fetch(0, 0, 0);
    first.session_epoch = 0;
    let opened = fetch_response(world.ask(connection, 12, first));
    let session = opened.session_id;
    assert_ne!(session, 0);
    let next = |epoch| FetchRequest {
        session_id: session,
        session_epoch: epoch,
        topics: Vec::new(),
        ..fetch(0, 0, 0)
    };
    // The session still stands at offset 0, so the data comes again; then the reader moves past it.
    assert_eq!(fetch_response(world.ask(connection, 12, next(1))).responses.len(), 1);
    let moved = FetchRequest { topics: fetch(1, 0, 0).topics, ..next(2) };
    assert_eq!(fetch_response(world.ask(connection, 12, moved)).responses.len(), 0);
    let stale = fetch_response(world.ask(connection, 12, next(2)));
    assert_eq!(stale.error_code, ErrorCode::INVALID_FETCH_SESSION_EPOCH);
    ok(&world.produce(connection, &["b"], None));
    let news = fetch_response(world.ask(connection, 12, next(3)));
    assert_eq!(offsets(&news.responses[0].partitions[0]), [1]);
    let forgotten = ForgottenTopic { topic: "t".into(), partitions: vec![0], ..Default::default() };
    let last = FetchRequest { forgotten_topics_data: vec![forgotten], ..next(4) };
    assert_eq!(fetch_response(world.ask(connection, 12, last)).session_id, 0);
    let gone = fetch_response(world.ask(connection, 12, next(5)));
    assert_eq!(gone.error_code, ErrorCode::FETCH_SESSION_ID_NOT_FOUND);
}

#[test]
fn offsets_are_listed_by_place_and_by_time() {
    let mut world = World::new();
    let connection = world.connect_leader();
    for value in ["a", "b", "c"] {
        ok(&world.produce(connection, &[value], None));
    }
    world.cluster.delete_records(world.now, &tp(), offset(1));
    let noon = crate::world::NOON.millis();
    for (timestamp, found) in [(-1, 3), (-2, 1), (-3, 1), (noon, 1), (noon + 1, -1)] {
        let partition =
            ListOffsetsPartition { partition_index: 0, timestamp, ..Default::default() };
        let topic = ListOffsetsTopic { name: "t".into(), partitions: vec![partition] };
        let request =
            ListOffsetsRequest { replica_id: -1, topics: vec![topic], ..Default::default() };
        let Response::ListOffsets(response) = world.ask(connection, 7, request) else { panic!() };
        assert_eq!(response.topics[0].partitions[0].offset, found, "{timestamp}");
    }
}
