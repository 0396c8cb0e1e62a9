//! Topics and leaders that are missing, refused, or come late.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use milena_types::{ErrorCode, NodeId};
use milena_wire::Request;

use super::hand::{Hand, cluster, plain};
use crate::metadata::{Broker, Cluster, TopicMetadata};
use crate::producer::Settings;
use crate::{Error, ErrorKind};

/// Records wait for the leader, and somebody has to ask for it.
#[test]
fn a_partition_without_leader_asks_for_new_metadata_while_it_has_records() {
    let mut hand = Hand::new(plain());
    hand.learn(cluster(1, None));
    let before = hand.refreshes;
    hand.pump();
    assert_eq!(hand.refreshes, before, "there is nothing to send");
    let delivery = hand.send(0);
    hand.expect_nothing();
    assert_eq!(hand.refreshes, before + 1);
    hand.learn(cluster(1, Some(1)));
    let request = hand.next();
    assert!(matches!(request.body, Request::Produce(_)));
    hand.stored(&request, 0, ErrorCode::NONE);
    assert!(delivery.result().unwrap().is_ok());
}

/// Metadata forgets a topic that nobody uses for 5 s (KIP-526), and need not hear of each batch.
#[test]
fn a_topic_in_use_is_named_once_a_second() {
    let mut hand = Hand::new(plain());
    let uses = |hand: &mut Hand| {
        let before = hand.uses;
        let _delivery = hand.send(0);
        hand.pump();
        hand.uses - before
    };
    assert_eq!(hand.uses, 1);
    assert_eq!(uses(&mut hand), 0);
    hand.wait(std::time::Duration::from_millis(999));
    assert_eq!(uses(&mut hand), 0);
    hand.wait(std::time::Duration::from_millis(1));
    assert_eq!((uses(&mut hand), uses(&mut hand)), (1, 0));
}

/// To wait for a topic that is forbidden is in vain; for one that is not there yet it is not.
#[test]
fn whoever_waits_for_a_topic_hears_of_an_error_that_lasts() {
    for (code, kind) in [
        (ErrorCode::TOPIC_AUTHORIZATION_FAILED, Some(ErrorKind::Authorization)),
        (ErrorCode::INVALID_TOPIC_EXCEPTION, Some(ErrorKind::Broker)),
        (ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, None),
        (ErrorCode::LEADER_NOT_AVAILABLE, None),
    ] {
        let mut hand = Hand::new(plain());
        let topic = hand.accumulator.topic("u");
        let mut ready = pin!(hand.accumulator.topic_ready(&topic, None));
        hand.pump();
        let mut refused = TopicMetadata::new("u", None, Vec::new());
        refused.error = Some(code);
        let broker = Broker::new(NodeId::new(1), "broker", 9092);
        hand.learn(Arc::new(Cluster::new([broker], [refused])));
        let polled = ready.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        match (polled, kind) {
            (Poll::Pending, None) => {}
            (Poll::Ready(Err(error)), Some(kind)) => assert_eq!(error.kind(), kind),
            (polled, kind) => panic!("{polled:?} and not {kind:?} for {code:?}"),
        }
        assert_eq!(topic.partition_count(), 0);
    }
}

/// What was told to somebody else before is not told again: the topic may be there by then.
#[test]
fn a_wait_hears_only_of_errors_that_come_after_it_began() {
    let hand = Hand::new(plain());
    let topic = hand.accumulator.topic("t");
    assert_eq!(topic.partition_count(), 2);
    let poll = |ready: std::pin::Pin<&mut crate::producer::TopicReady>| {
        ready.poll(&mut Context::from_waker(Waker::noop()))
    };
    topic.0.updated(Some(Error::new(ErrorKind::Authorization)));
    {
        let mut first = pin!(topic.0.wait(Some(2)));
        assert!(poll(first.as_mut()).is_pending());
        topic.0.updated(None);
        assert!(poll(first.as_mut()).is_pending());
        topic.0.updated(Some(Error::new(ErrorKind::Authorization)));
        assert!(matches!(poll(first.as_mut()), Poll::Ready(Err(_))));
        assert!(topic.0.is_waited_for());
    }
    assert!(!topic.0.is_waited_for(), "whoever stops waiting is forgotten");
    let (one, two) = (topic.0.wait(Some(7)), topic.0.wait(Some(8)));
    drop(one);
    assert!(topic.0.is_waited_for(), "and nobody else with him");
    drop(two);
    let mut known = pin!(topic.0.wait(Some(1)));
    assert!(matches!(poll(known.as_mut()), Poll::Ready(Ok(()))), "the error is not of this wait");
}

#[test]
fn what_is_in_the_buffer_is_told_and_so_is_what_failed_unseen() {
    let mut hand = Hand::new(Settings { buffer_bytes: 10_000, ..plain() });
    let _delivery = hand.send(0);
    let metrics = hand.accumulator.metrics();
    assert_eq!((metrics.buffer_bytes_used, metrics.buffer_bytes_max), (400, 10_000));
    let request = hand.next();
    hand.stored(&request, 0, ErrorCode::NONE);
    let metrics = hand.accumulator.metrics();
    assert_eq!((metrics.buffer_bytes_used, metrics.records_sent), (0, 1));
    assert!(hand.accumulator.take_detached_failures().is_none());
    hand.accumulator.detached_failed(&Error::new(ErrorKind::BufferFull));
    let (count, error) = hand.accumulator.take_detached_failures().unwrap();
    assert_eq!((count, error.kind()), (1, ErrorKind::BufferFull));
}
