//! Each fault does what it says, once.

use std::time::Duration;

use milena_broker::on;
use milena_types::{ApiKey, ErrorCode};
use milena_wire::Response;

use crate::world::{World, batch, fetch, ok, produce, produced};

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
