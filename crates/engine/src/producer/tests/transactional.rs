//! What a producer's sender and its transactions have to do with each other.

use std::collections::BTreeMap;
use std::time::Duration;

use milena_types::ErrorCode;
use milena_wire::Request;

use super::hand::{Hand, cluster, settings};
use crate::producer::{Delivery, Settings};
use crate::transaction::TransactionVersion::{One, Two};
use crate::transaction::{GroupMetadata, TransactionOutcome};
use crate::{Error, ErrorKind, Fate};

fn failure(delivery: &Delivery) -> Error {
    delivery.result().expect("settled").expect_err("a failure")
}

/// Under the first protocol a record that overtakes its partition's enrolment is in the log, and in no transaction.
#[test]
fn a_partition_is_enrolled_before_records_go_there() {
    let mut hand = Hand::open(One, settings());
    let delivery = hand.send(0);
    hand.enrol(0);
    let request = hand.next();
    assert!(matches!(request.body, Request::Produce(_)) && request.version_max < 12);
    hand.expect_nothing();
    hand.stored(&request, 0, ErrorCode::NONE);
    assert!(delivery.result().unwrap().is_ok());
    let _other = hand.send(1);
    hand.enrol(1);
    assert!(matches!(hand.next().body, Request::Produce(_)));
}

#[test]
fn the_protocol_is_the_one_that_the_cluster_agreed_on() {
    let mut hand = Hand::open(Two, settings());
    let _delivery = hand.send(0);
    let request = hand.next();
    assert!(matches!(request.body, Request::Produce(_)) && request.version_min >= 12);
}

#[test]
fn a_commit_waits_until_everything_is_stored() {
    let mut hand = Hand::open(Two, settings());
    assert_eq!(hand.producer.transaction_outcome(), None);
    let first = hand.send(0);
    let request = hand.next();
    let second = hand.send(1);
    let other = hand.next();
    let commit = hand.producer.commit_transaction(hand.now, hand.deadline()).unwrap();
    hand.expect_nothing();
    hand.stored(&request, 5, ErrorCode::NONE);
    hand.expect_nothing();
    hand.stored(&other, 0, ErrorCode::NONE);
    assert!(hand.end(), "it commits");
    hand.result(commit).unwrap();
    assert!(first.result().unwrap().is_ok() && second.result().unwrap().is_ok());
    assert_eq!(hand.producer.transaction_outcome(), Some(TransactionOutcome::Committed));
}

/// Nothing travels meanwhile, and all the same nothing is at its end.
#[test]
fn a_commit_waits_for_what_is_to_be_tried_again() {
    let mut hand = Hand::open(Two, settings());
    let delivery = hand.send(0);
    let request = hand.next();
    hand.stored(&request, -1, ErrorCode::NOT_ENOUGH_REPLICAS);
    let commit = hand.producer.commit_transaction(hand.now, hand.deadline()).unwrap();
    hand.expect_nothing();
    hand.wait(Duration::from_secs(5));
    let request = hand.next();
    assert!(matches!(request.body, Request::Produce(_)), "{request:?}");
    hand.stored(&request, 0, ErrorCode::NONE);
    assert!(hand.end(), "it commits");
    hand.result(commit).unwrap();
    assert!(delivery.result().unwrap().is_ok());
}

/// What is on its way may be stored behind the end of its transaction, and be part of the next one.
#[test]
fn an_abort_waits_for_what_travels_even_where_it_was_given_up() {
    let mut hand = Hand::open(Two, settings());
    let delivery = hand.send(0);
    let request = hand.next();
    hand.wait(Duration::from_secs(121));
    assert_eq!(failure(&delivery).kind(), ErrorKind::Timeout);
    let abort = hand.producer.abort_transaction(hand.deadline()).unwrap();
    hand.expect_nothing();
    hand.stored(&request, 0, ErrorCode::NONE);
    assert!(!hand.end(), "it aborts");
    hand.result(abort).unwrap();
    assert_eq!(hand.producer.transaction_outcome(), Some(TransactionOutcome::Aborted));
}

#[test]
fn an_abort_drops_what_is_not_on_its_way() {
    let mut hand = Hand::open(Two, Settings { in_flight_max: 1, ..settings() });
    let travelling = hand.send(0);
    let request = hand.next();
    let sealed = hand.send(0);
    hand.producer.flush(hand.now);
    hand.pump();
    let (queued, elsewhere) = (hand.send(0), hand.send(1));
    let abort = hand.producer.abort_transaction(hand.deadline()).unwrap();
    hand.expect_nothing();
    for dropped in [sealed, queued, elsewhere] {
        let error = failure(&dropped);
        assert_eq!((error.kind(), error.fate()), (ErrorKind::TransactionAborted, Fate::NotStored));
        assert!(error.is_abortable());
    }
    assert!(travelling.result().is_none());
    hand.stored(&request, 0, ErrorCode::NONE);
    assert!(travelling.result().unwrap().is_ok());
    assert!(!hand.end());
    hand.result(abort).unwrap();
    assert_eq!(hand.accumulator.bytes_used(), 0);
}

#[test]
fn an_abort_drops_what_waits_to_be_tried_again() {
    for (code, fate) in [
        (ErrorCode::NOT_ENOUGH_REPLICAS, Fate::NotStored),
        (ErrorCode::REQUEST_TIMED_OUT, Fate::Unknown),
    ] {
        let mut hand = Hand::open(Two, settings());
        let delivery = hand.send(0);
        let request = hand.next();
        hand.stored(&request, -1, code);
        assert!(delivery.result().is_none());
        let abort = hand.producer.abort_transaction(hand.deadline()).unwrap();
        assert!(!hand.end());
        hand.result(abort).unwrap();
        let error = failure(&delivery);
        assert_eq!((error.kind(), error.fate()), (ErrorKind::TransactionAborted, fate));
        assert_eq!(error.attempt(), Some(1));
    }
}

/// The user's code may lose a record before the producer sees it.
#[test]
fn a_transaction_that_lost_something_can_only_be_aborted() {
    let mut hand = Hand::open(Two, settings());
    hand.producer.fail_transaction(&Error::new(ErrorKind::RecordTooLarge));
    let commit = hand.producer.commit_transaction(hand.now, hand.deadline()).unwrap();
    let error = hand.result(commit).unwrap_err();
    assert_eq!((error.kind(), error.is_abortable()), (ErrorKind::RecordTooLarge, true));
    let late = hand.send(0);
    hand.expect_nothing();
    assert_eq!(failure(&late).kind(), ErrorKind::TransactionAborted);
    let abort = hand.producer.abort_transaction(hand.deadline()).unwrap();
    hand.expect_nothing();
    hand.result(abort).unwrap();
}

#[test]
fn an_abandoned_transaction_is_aborted_with_nobody_to_wait() {
    let mut hand = Hand::open(Two, settings());
    let _delivery = hand.send(0);
    let request = hand.next();
    hand.producer.abandon_transaction();
    hand.stored(&request, 0, ErrorCode::NONE);
    assert!(!hand.end());
    assert_eq!(hand.producer.transaction_outcome(), Some(TransactionOutcome::Aborted));
}

#[test]
fn no_offsets_are_in_a_transaction_at_once() {
    let mut hand = Hand::open(Two, settings());
    let (at, group) = (hand.deadline(), GroupMetadata::without_member("g"));
    let call = hand.producer.send_offsets_to_transaction(BTreeMap::new(), group, at).unwrap();
    hand.expect_nothing();
    hand.result(call).unwrap();
}

#[test]
fn a_call_ends_by_its_deadline_which_is_announced() {
    let mut hand = Hand::new(settings());
    let deadline = hand.now + Duration::from_secs(5);
    let begin = hand.producer.begin_transaction(deadline).unwrap();
    let _unanswered = hand.next();
    assert_eq!(hand.producer.poll_timeout(), Some(deadline));
    hand.wait(Duration::from_secs(5));
    assert_eq!(hand.result(begin).unwrap_err().kind(), ErrorKind::Timeout);
}

/// A coordinator that the metadata does not know could not be reached.
#[test]
fn a_coordinator_elsewhere_asks_for_new_metadata() {
    for (host, port, asks) in [("broker", 9092, 0), ("moved", 9092, 1), ("broker", 9093, 1)] {
        let mut hand = Hand::new(settings());
        let _call = hand.producer.begin_transaction(hand.deadline()).unwrap();
        hand.pump();
        let before = hand.refreshes;
        hand.find_coordinator(host, port);
        assert_eq!(hand.refreshes - before, asks, "{host}:{port}");
    }
}

/// The new topic knows nothing of the sequences that the transaction has used up.
#[test]
fn a_topic_made_anew_in_a_transaction_fails_it() {
    let mut hand = Hand::open(Two, settings());
    let _first = hand.send(0);
    let request = hand.next();
    hand.stored(&request, 0, ErrorCode::NONE);
    hand.learn(cluster(2, Some(1)));
    let _second = hand.send(0);
    hand.expect_nothing();
    let commit = hand.producer.commit_transaction(hand.now, hand.deadline()).unwrap();
    let error = hand.result(commit).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TransactionAborted);
    assert!(error.to_string().contains("made anew"), "{error}");
}

#[test]
fn a_topic_made_anew_between_two_transactions_takes_a_new_epoch() {
    for (id, is_new) in [(1, false), (2, true)] {
        let mut hand = Hand::open(Two, settings());
        let _first = hand.send(0);
        let request = hand.next();
        hand.stored(&request, 0, ErrorCode::NONE);
        let commit = hand.producer.commit_transaction(hand.now, hand.deadline()).unwrap();
        assert!(hand.end());
        hand.result(commit).unwrap();
        hand.learn(cluster(id, Some(1)));
        let begin = hand.producer.begin_transaction(hand.deadline()).unwrap();
        if is_new {
            hand.identify();
        }
        hand.result(begin).unwrap();
        let _second = hand.send(0);
        assert!(matches!(hand.next().body, Request::Produce(_)));
    }
}

#[test]
fn a_producer_without_an_id_has_no_transactions() {
    let mut hand = Hand::new(Settings { transactional_id: None, ..settings() });
    let (now, at, group) = (hand.now, hand.deadline(), GroupMetadata::without_member("g"));
    let producer = &mut hand.producer;
    let refused = [
        producer.begin_transaction(at).map(drop),
        producer.settle_transaction(at).map(drop),
        producer.commit_transaction(now, at).map(drop),
        producer.abort_transaction(at).map(drop),
        producer.send_offsets_to_transaction(BTreeMap::new(), group, at).map(drop),
        producer.prepare_transaction().map(drop),
    ];
    for refused in refused {
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Misuse);
    }
    assert_eq!(producer.transaction_outcome(), None);
}

/// The gap that it leaves among the sequences is not the reason that a user looks for.
#[test]
fn a_commit_tells_what_became_of_the_batch_that_was_lost() {
    let mut hand = Hand::open(Two, settings());
    let _first = hand.send(0);
    let first = hand.next();
    hand.stored(&first, 0, ErrorCode::NONE);
    let _second = hand.send(0);
    let second = hand.next();
    let _third = hand.send(0);
    let _in_flight = hand.next();
    hand.stored(&second, -1, ErrorCode::INVALID_RECORD);
    let commit = hand.producer.commit_transaction(hand.now, hand.deadline()).unwrap();
    assert_eq!(hand.result(commit).unwrap_err().kind(), ErrorKind::InvalidRecord);
}
