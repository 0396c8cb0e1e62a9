//! Fetching, and what travels with it.

use std::time::Duration;

use milena_types::ErrorCode;
use milena_wire::Request;

use super::script::{Script, said};
use crate::request::Failure;
use crate::share::{Acknowledge as A, AcquireMode};

const MS: Duration = Duration::from_millis(1);

#[test]
fn nothing_is_fetched_before_someone_waits_for_it() {
    let mut script = Script::joined(&[0]);
    script.pass(100 * MS);
    assert!(script.take(1).is_none());
    script.want();
    let fetch = script.fetch(1);
    assert_eq!((fetch.share_session_epoch, fetch.max_records, fetch.batch_size), (0, 500, 500));
    assert_eq!(fetch.topics[0].partitions.len(), 1);
}

#[test]
fn acknowledgements_travel_with_the_next_fetch_of_the_session() {
    let mut script = Script::joined(&[0]);
    script.want();
    let _ = script.fetch(1);
    script.acquire(0, &[(0, 4, 1)]);
    let records = script.read(5);
    assert_eq!(records.iter().map(|one| one.delivery_count).collect::<Vec<_>>(), [1; 5]);
    script.say(&records[..3], A::Accept);
    script.say(&records[3..4], A::Release);
    script.say(&records[4..], A::Reject);
    script.want();
    let fetch = script.fetch(1);
    assert_eq!(fetch.share_session_epoch, 1);
    assert_eq!(said(&Request::from(fetch)), [(0, 0, 2, 1), (0, 3, 3, 2), (0, 4, 4, 3)]);
    script.answer_fetch(&[]);
    let told = script.acknowledged();
    assert_eq!(told.len(), 1);
    assert!(told[0].result.is_ok());
}

#[test]
fn records_of_two_fetches_are_in_hand_at_a_time() {
    let mut script = Script::joined(&[0]);
    let first = script.records(2);
    script.want();
    let _ = script.fetch(1);
    script.acquire(0, &[(2, 3, 1)]);
    let second = script.read(100);
    script.say(&first[..1], A::Accept);
    script.say(&second[..1], A::Release);
    script.say(&first[1..], A::Reject);
    let _ = script.machine.commit(script.now);
    assert_eq!(
        said(&Request::from(script.acknowledge(1))),
        [(0, 0, 0, 1), (0, 1, 1, 3), (0, 2, 2, 2)]
    );
    assert!(script.acknowledged().is_empty());
}

/// A broker that is gone leads nothing any more; but a driver that asks already need not hear of it each time.
#[test]
fn a_session_that_breaks_has_the_metadata_asked_for_once_a_second() {
    let mut script = Script::joined(&[0]);
    script.want();
    for (told, pause) in [(1, 200), (1, 1000), (2, 0)] {
        let _ = script.fetch(1);
        script.fail(Failure::ConnectionLost);
        assert_eq!(script.refreshes, told);
        script.pass(pause * MS);
    }
}

#[test]
fn without_a_fetch_acknowledgements_go_by_themselves_after_a_moment() {
    let mut script = Script::joined(&[0]);
    let records = script.records(3);
    script.say(&records, A::Accept);
    assert!(script.take(1).is_none());
    script.pass(500 * MS);
    let request = script.acknowledge(1);
    assert_eq!(request.share_session_epoch, 1);
    assert_eq!(said(&Request::from(request)), [(0, 0, 2, 1)]);
}

#[test]
fn a_commit_waits_for_everything_said_before_it_and_for_no_more() {
    let mut script = Script::joined(&[0]);
    let records = script.records(3);
    script.say(&records[..1], A::Accept);
    let first = script.machine.commit(script.now);
    let _ = script.acknowledge(1);
    script.say(&records[1..2], A::Accept);
    let second = script.machine.commit(script.now);
    script.say(&records[2..], A::Accept);
    script.answer_acknowledge(&[(0, ErrorCode::NONE)]);
    assert_eq!(script.committed(first), Some(true));
    assert_eq!(script.committed(second), None);
    // The third record goes along, since it was said by then.
    assert_eq!(said(&Request::from(script.acknowledge(1))), [(0, 1, 2, 1)]);
    script.answer_acknowledge(&[(0, ErrorCode::NONE)]);
    assert_eq!(script.committed(second), Some(true));
}

#[test]
fn what_passes_is_said_again_and_the_commit_waits_for_it() {
    let mut script = Script::joined(&[0]);
    let records = script.records(1);
    script.say(&records, A::Accept);
    let commit = script.machine.commit(script.now);
    let _ = script.acknowledge(1);
    script.answer_acknowledge(&[(0, ErrorCode::COORDINATOR_NOT_AVAILABLE)]);
    assert_eq!(script.committed(commit), None);
    script.pass(200 * MS);
    assert_eq!(said(&Request::from(script.acknowledge(1))), [(0, 0, 0, 1)]);
    script.answer_acknowledge(&[(0, ErrorCode::NONE)]);
    assert_eq!(script.committed(commit), Some(true));
}

#[test]
fn what_was_acquired_in_a_session_that_broke_is_lost_with_it() {
    let mut script = Script::joined(&[0]);
    let records = script.records(3);
    script.say(&records[..1], A::Accept);
    let commit = script.machine.commit(script.now);
    let _ = script.acknowledge(1);
    script.say(&records[1..2], A::Accept);
    script.fail(Failure::ConnectionLost);
    assert_eq!(script.committed(commit), Some(false));
    script.say(&records[2..], A::Accept);
    let told = script.acknowledged();
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told.iter().all(|told| told.result.is_err()));
    // The next session carries none of it.
    script.want();
    script.pass(200 * MS);
    let fetch = script.fetch(1);
    assert_eq!(fetch.share_session_epoch, 0);
    assert_eq!(said(&Request::from(fetch)), []);
}

#[test]
fn an_evicted_session_is_opened_again_at_once_and_then_with_patience() {
    let mut script = Script::joined(&[0]);
    script.want();
    let _ = script.fetch(1);
    script.answer_fetch(&[]);
    assert_eq!(script.fetch(1).share_session_epoch, 1);
    script.refuse_fetch(ErrorCode::SHARE_SESSION_NOT_FOUND);
    assert_eq!(script.fetch(1).share_session_epoch, 0);
    script.refuse_fetch(ErrorCode::SHARE_SESSION_LIMIT_REACHED);
    assert!(script.take(1).is_none());
    script.pass(300 * MS);
    assert_eq!(script.fetch(1).share_session_epoch, 0);
}

#[test]
fn a_leader_that_moved_is_followed_by_its_hint() {
    let mut script = Script::joined(&[0]);
    script.want();
    let _ = script.fetch(1);
    script.moved(0, 2);
    assert_eq!(script.hints(), 1);
    script.lead(0, 2);
    let fetch = script.fetch(2);
    assert_eq!(fetch.share_session_epoch, 0);
}

#[test]
fn every_leader_is_fetched_from_at_once_unless_records_are_limited() {
    let mut script = Script::joined(&[0, 1]);
    script.want();
    assert!(script.take(1).is_some() && script.take(2).is_some());
    let mut script = Script::new(|settings| settings.acquire_mode = AcquireMode::RecordLimit);
    script.settle(&[0, 1]);
    script.want();
    assert_eq!(script.fetch(1).share_acquire_mode, 1);
    assert!(script.take(2).is_none());
    script.answer_fetch(&[]);
    let _ = script.fetch(2);
    assert!(script.take(1).is_none());
}
