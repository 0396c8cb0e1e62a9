//! Each fault does what it says, once.

use std::time::Duration;

use milena_broker::on;
use milena_types::{ApiKey, ErrorCode};
use milena_wire::Response;
use milena_wire::messages::delete_topics_request::{DeleteTopicState, DeleteTopicsRequest};
use milena_wire::messages::fetch_request::FetchRequest;
use milena_wire::messages::metadata_request::MetadataRequest;

use crate::world::{World, batch, fetch, fetch_response, fetched, ok, produce, produced};

fn asked(rule: milena_broker::FaultRule) -> (World, milena_broker::ConnectionId) {
    let mut world = World::new();
    world.cluster.add_fault(rule);
    let connection = world.connect_leader();
    world.send(connection, 9, produce(-1, batch(&["a"], None)));
    (world, connection)
}

#[test]
fn an_error_is_answered_and_nothing_is_done() {
    let rule = on(ApiKey::PRODUCE).topic("t").nth(1).error(ErrorCode::KAFKA_STORAGE_ERROR);
    let (mut world, connection) = asked(rule);
    let answer = produced(world.answer(connection).expect("answered"));
    assert_eq!(answer.error_code, ErrorCode::KAFKA_STORAGE_ERROR);
    assert_eq!(world.values(), [""; 0]);
    assert_eq!(ok(&world.produce(connection, &["b"], None)), 0, "only the first is hit");
}

#[test]
fn apply_then_drop_stores_and_closes() {
    let (mut world, connection) = asked(on(ApiKey::PRODUCE).apply_then_drop());
    assert_eq!(world.answer(connection), None);
    assert!(world.is_closed(connection));
    assert_eq!(world.values(), ["a"]);
}

#[test]
fn drop_closes_and_stores_nothing() {
    let (world, connection) = asked(on(ApiKey::PRODUCE).drop_request());
    assert!(world.is_closed(connection));
    assert_eq!(world.values(), [""; 0]);
}

#[test]
fn a_late_answer_is_stored_at_once_and_holds_back_what_follows() {
    let (mut world, connection) = asked(on(ApiKey::PRODUCE).delay_answer(Duration::from_secs(3)));
    assert_eq!(world.values(), ["a"]);
    world.send(connection, 11, fetch(0, 0, 0));
    world.pass(Duration::from_millis(2999));
    assert_eq!(world.answer(connection), None);
    world.pass(Duration::from_millis(1));
    assert!(matches!(world.answer(connection), Some(Response::Produce(_))));
    assert!(matches!(world.answer(connection), Some(Response::Fetch(_))));
}

#[test]
fn a_late_request_is_stored_late() {
    let (mut world, connection) = asked(on(ApiKey::PRODUCE).delay_request(Duration::from_secs(3)));
    assert_eq!(world.values(), [""; 0]);
    world.pass(Duration::from_secs(3));
    assert_eq!(ok(&produced(world.answer(connection).expect("answered"))), 0);
    assert_eq!(world.cluster.requests(ApiKey::PRODUCE).len(), 1, "asked once");
}

/// The request itself names nothing: what it is about, the node remembers.
#[test]
fn an_incremental_fetch_is_about_the_topics_of_its_session() {
    let mut world = World::new();
    let connection = world.connect_leader();
    let first = FetchRequest { session_epoch: 0, ..fetch(0, 0, 0) };
    let session_id = fetch_response(world.ask(connection, 11, first)).session_id;
    let code = ErrorCode::NOT_LEADER_OR_FOLLOWER;
    world.cluster.add_fault(on(ApiKey::FETCH).topic("other").error(ErrorCode::NONE));
    world.cluster.add_fault(on(ApiKey::FETCH).topic("t").error(code));
    let going_on =
        FetchRequest { session_id, session_epoch: 1, topics: Vec::new(), ..fetch(0, 0, 0) };
    let answer = fetched(world.ask(connection, 11, going_on));
    assert_eq!((answer.partition_index, answer.error_code), (0, code));
}

#[test]
fn topics_to_be_deleted_are_known_by_name_and_by_id() {
    let mut world = World::new();
    let code = ErrorCode::NOT_CONTROLLER;
    world.cluster.add_fault(on(ApiKey::DELETE_TOPICS).topic("t").error(code));
    let connection = world.connect_leader();
    let request = MetadataRequest { topics: None, ..Default::default() };
    let Response::Metadata(metadata) = world.ask(connection, 12, request) else { panic!() };
    let by_name = DeleteTopicState { name: Some("t".into()), ..Default::default() };
    let by_id = DeleteTopicState { name: None, topic_id: metadata.topics[0].topic_id };
    for topic in [by_name, by_id] {
        let request = DeleteTopicsRequest { topics: vec![topic], ..Default::default() };
        let Response::DeleteTopics(answer) = world.ask(connection, 6, request) else { panic!() };
        assert_eq!(answer.responses[0].error_code, code);
    }
}

/// It has no answer that could carry an error.
#[test]
fn an_error_closes_the_connection_of_a_produce_without_answer() {
    let code = ErrorCode::NOT_LEADER_OR_FOLLOWER;
    for (rule, stored) in
        [(on(ApiKey::PRODUCE).error(code), 0), (on(ApiKey::PRODUCE).apply_then_error(code), 1)]
    {
        let mut world = World::new();
        world.cluster.add_fault(rule);
        let connection = world.connect_leader();
        world.send(connection, 9, produce(0, batch(&["a"], None)));
        assert!(world.is_closed(connection));
        assert_eq!(world.values().len(), stored);
    }
}

/// The most dangerous lie: a client that believes it sends again, and the record is there twice.
#[test]
fn apply_then_error_stores_and_says_otherwise() {
    let code = ErrorCode::REQUEST_TIMED_OUT;
    let (mut world, connection) = asked(on(ApiKey::PRODUCE).apply_then_error(code));
    let answer = produced(world.answer(connection).expect("answered"));
    assert_eq!((answer.error_code, answer.base_offset), (code, -1));
    assert_eq!(world.values(), ["a"]);
    let refused = world.ask(connection, 9, produce(7, batch(&["a"], None)));
    assert_eq!(produced(refused).error_code, ErrorCode::INVALID_REQUIRED_ACKS, "nothing was done");
}

#[test]
fn a_corrupt_answer_keeps_its_length_and_correlation_id() {
    let mut world = World::new();
    let connection = world.connect_leader();
    let request = MetadataRequest { topics: None, ..Default::default() };
    let good = world.ask(connection, 12, request.clone());
    world.cluster.add_fault(on(ApiKey::METADATA).nth(1).corrupt());
    world.send(connection, 12, request.clone());
    // It may be readable all the same, but says something else.
    assert_ne!(world.answer(connection), Some(good.clone()));
    assert_eq!(world.ask(connection, 12, request), good, "the connection goes on");
}

#[test]
fn a_hung_connection_answers_nothing_any_more() {
    for (rule, stored) in
        [(on(ApiKey::PRODUCE).nth(1).hang(), 0), (on(ApiKey::PRODUCE).nth(1).apply_then_hang(), 1)]
    {
        let (mut world, connection) = asked(rule);
        world.send(connection, 11, fetch(0, 0, 0));
        world.pass(Duration::from_secs(600));
        assert_eq!(world.answer(connection), None);
        assert!(!world.is_closed(connection));
        assert_eq!(world.values().len(), stored);
    }
}

#[test]
fn harmed_answers_cannot_be_taken_for_the_real_ones() {
    let (world, connection) = asked(on(ApiKey::PRODUCE).wrong_correlation());
    assert_eq!(world.garbage(connection), 1);
    let (world, connection) = asked(on(ApiKey::PRODUCE).truncate());
    assert_eq!(world.garbage(connection), 1);
    assert!(world.is_closed(connection));
}

#[test]
fn throttling_is_said_in_the_answer() {
    let (mut world, connection) = asked(on(ApiKey::PRODUCE).throttle(Duration::from_secs(2)));
    let Some(Response::Produce(answer)) = world.answer(connection) else { panic!() };
    assert_eq!(answer.throttle_time_ms, 2000);
}

#[test]
fn a_removed_rule_hits_nothing() {
    let mut world = World::new();
    let id = world.cluster.add_fault(on(ApiKey::PRODUCE).drop_request());
    assert!(world.cluster.remove_fault(id));
    assert!(!world.cluster.remove_fault(id));
    let connection = world.connect_leader();
    ok(&world.produce(connection, &["a"], None));
}
