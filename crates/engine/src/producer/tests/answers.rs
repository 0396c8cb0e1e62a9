//! Answers that are lost, unreadable, or say more than that a batch is stored.

use std::time::Duration;

use milena_types::{ErrorCode, NodeId};
use milena_wire::messages::produce_response::{
    BatchIndexAndErrorMessage, PartitionProduceResponse,
};
use milena_wire::messages::{EndTxnResponse, InitProducerIdResponse, ProduceResponse};
use milena_wire::{Request, Response};

use super::hand::{Hand, plain, response, settings};
use crate::producer::{Sealed, Settings};
use crate::request::Failure;
use crate::transaction::TransactionVersion::Two;
use crate::{Error, ErrorKind, Fate};

const PAUSE: Duration = Duration::from_secs(5);

fn failed(error_code: ErrorCode) -> PartitionProduceResponse {
    PartitionProduceResponse { error_code, base_offset: -1, ..<_>::default() }
}

fn seconds_muted(seconds: i32) -> ProduceResponse {
    ProduceResponse { throttle_time_ms: 1000 * seconds, ..<_>::default() }
}

/// A broker that says nothing where it was to answer, or what nobody asked for, may have stored the batch.
#[test]
fn what_is_no_answer_to_the_request_leaves_it_open() {
    for result in [Ok(None), Ok(Some(Response::EndTxn(EndTxnResponse::default())))] {
        let mut hand = Hand::new(plain());
        let delivery = hand.send(0);
        let request = hand.next();
        hand.reply(&request, result);
        assert!(delivery.result().is_none());
        hand.wait(PAUSE);
        let again = hand.next();
        assert!(matches!(again.body, Request::Produce(_)));
        hand.reply(&again, Err(Failure::Closed));
        assert_eq!(delivery.result().unwrap().unwrap_err().fate(), Fate::Unknown);
    }
}

/// Some say that no broker will ever take the batch, and others that this connection has not.
#[test]
fn only_failures_that_pass_are_tried_again() {
    use Failure::{AuthenticationFailed, Closed, ConnectionLost, MalformedResponse, NotSent};
    use Failure::{TimedOut, Unencodable, Unreachable, UnsupportedVersion};
    for (failure, again, fate) in [
        (NotSent, true, Fate::NotStored),
        (Unreachable("x".into()), true, Fate::NotStored),
        (ConnectionLost, true, Fate::Unknown),
        (TimedOut, true, Fate::Unknown),
        (MalformedResponse("x".into()), true, Fate::Unknown),
        (UnsupportedVersion, false, Fate::NotStored),
        (AuthenticationFailed("x".into()), false, Fate::NotStored),
        (Closed, false, Fate::NotStored),
        (Unencodable("x".into()), false, Fate::NotStored),
    ] {
        let mut hand = Hand::new(plain());
        let delivery = hand.send(0);
        let request = hand.next();
        let before = hand.refreshes;
        hand.reply(&request, Err(failure.clone()));
        assert_eq!(hand.refreshes, before + 1, "the leader may be another one by now");
        assert_eq!(delivery.result().is_none(), again, "{failure:?}");
        if again {
            hand.wait(PAUSE);
            let request = hand.next();
            hand.reply(&request, Err(UnsupportedVersion));
        }
        let error = delivery.result().unwrap().unwrap_err();
        let attempt = if again { 2 } else { 1 };
        assert_eq!((error.fate(), error.attempt()), (fate, Some(attempt)), "{failure:?}");
        assert_eq!(
            (error.broker(), error.topic_partition()),
            (Some(NodeId::new(1)), Some(("t", 0).into()))
        );
    }
}

#[test]
fn an_identity_is_asked_for_until_it_is_one() {
    let negative = InitProducerIdResponse { producer_id: -1, ..<_>::default() };
    for result in [
        Ok(None),
        Ok(Some(Response::EndTxn(EndTxnResponse::default()))),
        Ok(Some(Response::InitProducerId(negative))),
        Err(Failure::TimedOut),
    ] {
        let mut hand = Hand::new(Settings { is_idempotent: true, ..plain() });
        let _delivery = hand.send(0);
        let request = hand.next();
        assert!(matches!(request.body, Request::InitProducerId(_)));
        hand.reply(&request, result);
        hand.expect_nothing();
        hand.wait(PAUSE);
        hand.identify();
        assert!(matches!(hand.next().body, Request::Produce(_)));
    }
}

/// KIP-219: each answer counts from when it came.
#[test]
fn a_short_silence_does_not_end_a_longer_one() {
    let mut hand = Hand::new(plain());
    let (_first, one) = (hand.send(0), hand.next());
    let (_second, two) = (hand.send(1), hand.next());
    hand.answer_batch_in(&one, PartitionProduceResponse::default(), seconds_muted(4));
    hand.answer_batch_in(&two, PartitionProduceResponse::default(), seconds_muted(1));
    let _third = hand.send(0);
    hand.wait(Duration::from_secs(3));
    hand.expect_nothing();
    assert!(hand.producer.poll_timeout().unwrap() <= hand.now + Duration::from_secs(1));
    hand.wait(Duration::from_secs(1));
    assert!(matches!(hand.next().body, Request::Produce(_)));
    let told = hand.accumulator.metrics();
    assert_eq!((told.throttles, told.throttle_max), (2, Duration::from_secs(4)));
}

/// KIP-467: whoever is to blame hears the broker's words, if there are any, and the others that they are not.
#[test]
fn each_record_of_a_refused_batch_hears_its_own_reason() {
    let mut hand = Hand::new(plain());
    let deliveries = [hand.send(0), hand.send(0), hand.send(0)];
    let request = hand.next();
    let words = "x".repeat(600);
    let blame = |batch_index, message: Option<&str>| BatchIndexAndErrorMessage {
        batch_index,
        batch_index_error_message: message.map(Into::into),
    };
    let record_errors = vec![blame(-1, None), blame(0, None), blame(2, Some(&words))];
    let invalid = failed(ErrorCode::INVALID_RECORD);
    hand.answer_batch(&request, PartitionProduceResponse { record_errors, ..invalid });
    let [silent, innocent, told] =
        deliveries.map(|delivery| delivery.result().unwrap().unwrap_err());
    let code = Some(ErrorCode::INVALID_RECORD);
    assert_eq!([silent.code(), told.code(), innocent.code()], [code, code, None]);
    assert!(innocent.to_string().contains("another record"), "{innocent}");
    assert_eq!((innocent.kind(), innocent.fate()), (ErrorKind::InvalidRecord, Fate::NotStored));
    assert!(!silent.to_string().contains('x'), "{silent}");
    assert_eq!(told.to_string().matches('x').count(), 512, "as much as a log can bear");
}

#[test]
fn a_broker_s_words_are_in_the_error() {
    let mut hand = Hand::new(plain());
    let delivery = hand.send(0);
    let request = hand.next();
    let error_message = Some("too far in the future".into());
    let refused = failed(ErrorCode::INVALID_TIMESTAMP);
    hand.answer_batch(&request, PartitionProduceResponse { error_message, ..refused });
    let error = delivery.result().unwrap().unwrap_err();
    assert!(error.to_string().contains("too far in the future"), "{error}");
}

/// Compression may fail, as where its memory does: the records fail, and nothing waits for them.
#[test]
fn a_batch_that_cannot_be_sealed_fails_alone() {
    let reason = || milena_records::Error::UnknownCompression { id: 9 };
    let mut hand = Hand::new(Settings { is_idempotent: true, ..plain() });
    hand.identify();
    let lost = hand.send(0);
    let crate::producer::Output::Seal(job) = hand.producer.poll_output(hand.now).unwrap() else {
        panic!("no seal")
    };
    let (slot, number) = (job.slot, job.number);
    let flush = hand.producer.flush(hand.now);
    hand.producer.handle_sealed(Sealed { slot, number, batches: Err(reason()) });
    let error = lost.result().unwrap().unwrap_err();
    assert_eq!((error.kind(), error.fate()), (ErrorKind::InvalidRecord, Fate::NotStored));
    assert_eq!(error.topic_partition(), Some(("t", 0).into()));
    let mut flushed = false;
    while let Some(output) = hand.producer.poll_output(hand.now) {
        flushed |= matches!(output, crate::producer::Output::Flushed(id) if id == flush);
    }
    assert!(flushed);
    let topic = hand.accumulator.topic("t");
    assert_eq!(topic.0.queue(0).unwrap().depth(), 0);
    let next = hand.send(0);
    assert_eq!(topic.0.queue(0).unwrap().depth(), 1);
    let request = hand.next();
    hand.stored(&request, 0, ErrorCode::NONE);
    assert!(next.result().unwrap().is_ok());
}

/// KIP-939: what was prepared can be committed by another process, which knows nothing of what was lost.
#[test]
fn nothing_is_prepared_of_which_a_record_is_lost() {
    for is_lost in [false, true] {
        let mut hand = Hand::open(Two, Settings { is_two_phase: true, ..settings() });
        let _delivery = hand.send(0);
        let request = hand.next();
        let code = if is_lost { ErrorCode::INVALID_RECORD } else { ErrorCode::NONE };
        let answer = response(&request, failed(code), ProduceResponse::default());
        hand.hear(&request, Ok(Some(answer.into())));
        let prepared = hand.producer.prepare_transaction();
        if is_lost {
            assert_eq!(prepared.unwrap_err().kind(), ErrorKind::InvalidRecord);
        } else {
            let (producer_id, epoch) = prepared.unwrap();
            assert_eq!((producer_id.get(), epoch.get()), (7, 0));
        }
    }
}

/// What is dropped unsent is not counted as waiting, or its partition would be avoided for ever (KIP-794).
#[test]
fn what_an_abort_drops_waits_no_more() {
    let mut hand = Hand::open(Two, settings());
    let first = hand.send(0);
    let request = hand.next();
    let dropped = [hand.send(0), hand.send(0)];
    hand.pump();
    let topic = hand.accumulator.topic("t");
    assert_eq!(topic.0.queue(0).unwrap().depth(), 1, "one batch travels until the broker knows us");
    let open = hand.send(0);
    let abort = hand.producer.abort_transaction(hand.deadline()).unwrap();
    hand.pump();
    assert_eq!(topic.0.queue(0).unwrap().depth(), 0);
    assert!(first.result().is_none());
    for delivery in dropped.iter().chain([&open]) {
        let error = delivery.result().expect("dropped").unwrap_err();
        assert_eq!((error.kind(), error.fate()), (ErrorKind::TransactionAborted, Fate::NotStored));
    }
    hand.stored(&request, 0, ErrorCode::NONE);
    assert!(!hand.end());
    hand.result(abort).unwrap();
}

/// Whoever closes twice is in a hurry.
#[test]
fn a_second_close_may_only_bring_the_deadline_forward() {
    let mut hand = Hand::new(plain());
    let delivery = hand.send(0);
    let _request = hand.next();
    for (seconds, expected) in [(10, 10), (3, 3), (5, 3)] {
        hand.producer.close(hand.now, hand.now + Duration::from_secs(seconds));
        let deadline = hand.now + Duration::from_secs(expected);
        assert_eq!(hand.producer.poll_timeout(), Some(deadline));
    }
    hand.wait(Duration::from_secs(3));
    let error: Error = delivery.result().expect("no time is left").unwrap_err();
    assert_eq!((error.kind(), error.fate()), (ErrorKind::Closed, Fate::Unknown));
}
