//! The end.

use std::time::Duration;

use milena_types::ErrorCode;
use milena_wire::Request;

use super::script::{Script, said};
use crate::share::Acknowledge as A;

#[test]
fn closing_says_the_last_words_closes_the_sessions_and_leaves() {
    let mut script = Script::joined(&[0]);
    let records = script.records(3);
    script.say(&records[..1], A::Accept);
    script.machine.close(script.now, Duration::from_secs(10));
    let last = script.acknowledge(1);
    assert_eq!(last.share_session_epoch, -1);
    assert_eq!(said(&Request::from(last)), [(0, 0, 0, 1)]);
    assert_eq!(script.closed(), None);
    script.answer_acknowledge(&[(0, ErrorCode::NONE)]);
    assert_eq!(script.heartbeat().member_epoch, -1);
    script.answer_heartbeat(ErrorCode::NONE, None);
    assert_eq!(script.closed(), Some(true));
}

#[test]
fn what_comes_while_closing_is_given_back() {
    let mut script = Script::joined(&[0]);
    script.want();
    let _ = script.fetch(1);
    script.machine.close(script.now, Duration::from_secs(10));
    script.acquire(0, &[(0, 9, 1)]);
    assert_eq!(script.read(100).len(), 0);
    let last = script.acknowledge(1);
    assert_eq!(last.share_session_epoch, -1);
    assert_eq!(said(&Request::from(last)), []);
}

#[test]
fn closing_ends_in_its_time_though_nobody_answers() {
    let mut script = Script::joined(&[0]);
    let records = script.records(1);
    script.say(&records, A::Accept);
    script.machine.close(script.now, Duration::from_secs(10));
    script.pass(Duration::from_secs(10));
    assert_eq!(script.closed(), Some(false));
    assert!(script.acknowledged().iter().all(|told| told.result.is_err()));
    assert_eq!(script.machine.poll_timeout(), None);
}

/// A lock that ends with the session is not renewed, and brokers of 4.1 would refuse the whole request for it.
#[test]
fn the_last_words_hold_no_renewal() {
    let mut script = Script::joined(&[0]);
    let records = script.records(2);
    script.want();
    let _ = script.fetch(1);
    script.say(&records[..1], A::Renew);
    script.say(&records[1..], A::Accept);
    script.machine.close(script.now, Duration::from_secs(10));
    script.answer_fetch(&[]);
    let last = script.acknowledge(1);
    assert_eq!((last.share_session_epoch, last.is_renew_ack), (-1, false));
    assert_eq!(said(&Request::from(last)), [(0, 1, 1, 1)]);
    script.answer_acknowledge(&[(0, ErrorCode::NONE)]);
    let _ = script.heartbeat();
    script.answer_heartbeat(ErrorCode::NONE, None);
    assert_eq!(script.closed(), Some(true));
}

#[test]
fn of_two_closes_the_one_in_more_of_a_hurry_decides() {
    let mut script = Script::joined(&[0]);
    let records = script.records(1);
    script.say(&records, A::Accept);
    for seconds in [60, 1, 30] {
        script.machine.close(script.now, Duration::from_secs(seconds));
    }
    script.pass(Duration::from_millis(999));
    assert_eq!(script.closed(), None);
    script.pass(Duration::from_millis(1));
    assert_eq!(script.closed(), Some(false));
}
