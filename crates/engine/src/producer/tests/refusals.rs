//! What one answer does to its batch, and what it leaves alone.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use milena_records::batch::size_upper_bound;
use milena_records::{Batch, Header};
use milena_types::{ErrorCode, LeaderEpoch, NodeId};
use milena_wire::Request;
use milena_wire::messages::ProduceResponse;
use milena_wire::messages::produce_response::{
    LeaderIdAndEpoch, NodeEndpoint, PartitionProduceResponse,
};

use super::hand::{Hand, cluster, record, settings};
use crate::metadata::{Broker, Cluster, PartitionMetadata, TopicMetadata};
use crate::producer::{Callback, Refused, Settings, Watch};
use crate::request::{Failure, Outbound, Target};
use crate::transaction::TransactionVersion::Two;
use crate::{ErrorKind, Fate};

fn idempotent() -> Settings {
    Settings { transactional_id: None, ..settings() }
}

/// An idempotent producer that has its identity, and whose first batch is stored.
fn ready() -> Hand {
    let mut hand = Hand::new(idempotent());
    hand.identify();
    let _first = hand.send(0);
    let request = hand.next();
    hand.stored(&request, 0, ErrorCode::NONE);
    hand
}

/// One that knows these brokers, of which 1 leads the partition in epoch 5.
fn led(brokers: &[i32]) -> Hand {
    let mut hand = Hand::new(idempotent());
    hand.identify();
    let partition = PartitionMetadata::new(0, Some(NodeId::new(1)), LeaderEpoch::from_wire(5));
    let topic = TopicMetadata::new("t", None, vec![partition]);
    let brokers = brokers.iter().map(|&id| Broker::new(NodeId::new(id), "broker", 9092));
    hand.learn(Arc::new(Cluster::new(brokers, [topic])));
    hand
}

/// Epoch and base sequence of the one batch.
fn stamp(request: &Outbound) -> (i16, i32) {
    let Request::Produce(body) = &request.body else { panic!("{request:?}") };
    let records = body.topic_data[0].partition_data[0].records.clone().unwrap();
    let batch = Batch::parse(records.into_bytes()).unwrap();
    let stamp = batch.header().unwrap().producer().unwrap();
    (stamp.producer_epoch.get(), stamp.base_sequence.unwrap().get())
}

fn answer(error_code: ErrorCode) -> PartitionProduceResponse {
    PartitionProduceResponse { error_code, base_offset: -1, ..PartitionProduceResponse::default() }
}

/// Trap 6: a broker that does not know us, and does not know where its log starts either, is no leader for long.
#[test]
fn a_broker_that_knows_nothing_is_asked_again_under_the_same_name() {
    for (code, log_start_offset, renamed) in [
        (ErrorCode::UNKNOWN_PRODUCER_ID, -1, false),
        (ErrorCode::UNKNOWN_PRODUCER_ID, 0, true),
        (ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER, -1, true),
    ] {
        let mut hand = ready();
        let _second = hand.send(0);
        let request = hand.next();
        assert_eq!(stamp(&request), (0, 1));
        let answer = PartitionProduceResponse { log_start_offset, ..answer(code) };
        hand.answer_batch(&request, answer);
        hand.wait(Duration::from_secs(5));
        let expected = if renamed { (1, 0) } else { (0, 1) };
        assert_eq!(stamp(&hand.next()), expected, "{code:?}, log start {log_start_offset}");
    }
}

/// KIP-951: a hint that is no news has been followed already, or is stale, and nothing is gained by haste.
#[test]
fn a_stale_hint_neither_moves_a_partition_nor_hurries_it() {
    for (leader_id, leader_epoch, at_once) in [(1, 5, true), (2, 5, false), (1, 4, false)] {
        let mut hand = led(&[1, 2]);
        let _delivery = hand.send(0);
        let request = hand.next();
        let current_leader = LeaderIdAndEpoch { leader_id, leader_epoch };
        let moved = answer(ErrorCode::NOT_LEADER_OR_FOLLOWER);
        hand.answer_batch(&request, PartitionProduceResponse { current_leader, ..moved });
        if at_once {
            assert_eq!(hand.next().target, request.target);
        } else {
            hand.expect_nothing();
        }
    }
}

/// KIP-951: the new leader may be a broker that the metadata does not know, and the answer says where it listens.
#[test]
fn a_hint_is_followed_to_a_broker_that_can_be_reached() {
    let endpoint = |node_id: i32, host: &str| NodeEndpoint {
        node_id,
        host: host.into(),
        port: 9000 + node_id,
        rack: Some("r".into()),
    };
    let two = Broker { rack: Some("r".into()), ..Broker::new(NodeId::new(2), "two", 9002) };
    for (is_known, node_endpoints, expected) in [
        (false, vec![endpoint(1, "one"), endpoint(2, "two")], Some(Some(two))),
        (false, vec![endpoint(1, "one"), endpoint(3, "three")], None),
        (false, vec![NodeEndpoint { port: -1, ..endpoint(2, "two") }], None),
        (true, vec![endpoint(1, "one")], Some(None)),
    ] {
        let mut hand = led(if is_known { &[1, 2] } else { &[1] });
        let _delivery = hand.send(0);
        let request = hand.next();
        let moved = PartitionProduceResponse {
            current_leader: LeaderIdAndEpoch { leader_id: 2, leader_epoch: 6 },
            ..answer(ErrorCode::NOT_LEADER_OR_FOLLOWER)
        };
        let around = ProduceResponse { node_endpoints, ..ProduceResponse::default() };
        hand.answer_batch_in(&request, moved, around);
        let Some(endpoint) = expected else {
            hand.expect_nothing();
            assert!(hand.hints.is_empty());
            continue;
        };
        let again = hand.next();
        assert_eq!(again.target, Target::Broker(NodeId::new(2)));
        assert_eq!(stamp(&again), stamp(&request));
        let [hint] = hand.hints.as_slice() else { panic!("{:?}", hand.hints) };
        assert_eq!((&hint.partition, hint.leader), (&("t", 0).into(), NodeId::new(2)));
        assert_eq!(Some(hint.leader_epoch), LeaderEpoch::from_wire(6));
        assert_eq!(hint.endpoint, endpoint);
    }
}

/// Trap 5: within a transaction nothing begins anew. What is missing for good ends it, and what may be on its way does
/// not.
#[test]
fn in_a_transaction_only_a_proven_gap_fails_the_batch() {
    let out_of_order = ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER;
    let pause = Duration::from_secs(5);
    let mut hand = Hand::open(Two, settings());
    let first = hand.send(0);
    let request = hand.next();
    hand.stored(&request, 0, ErrorCode::NONE);
    assert!(first.result().unwrap().is_ok());

    let (second, third) = (hand.send(0), hand.send(0));
    let one = hand.next();
    let fourth = hand.send(0);
    let two = hand.next();
    assert_eq!((stamp(&one), stamp(&two)), ((0, 1), (0, 3)));
    hand.stored(&two, -1, out_of_order);
    assert!(fourth.result().is_none(), "the batch before it is on its way");
    hand.stored(&one, -1, ErrorCode::NOT_ENOUGH_REPLICAS_AFTER_APPEND);
    hand.wait(pause);
    let one = hand.next();
    assert_eq!(stamp(&one), (0, 1));
    hand.stored(&one, -1, out_of_order);
    assert!(second.result().is_none(), "a deposed leader may say so of what is stored");
    hand.wait(pause);
    let one = hand.next();
    assert_eq!(stamp(&one), (0, 1));
    hand.stored(&one, -1, out_of_order);
    for delivery in [second, third] {
        let error = delivery.result().expect("proven").unwrap_err();
        assert_eq!((error.code(), error.fate()), (Some(out_of_order), Fate::Unknown));
        assert!(error.is_abortable());
    }
}

#[test]
fn what_is_sent_again_and_what_brokers_ask_for_is_counted() {
    let mut hand = ready();
    let deliveries = [hand.send(0), hand.send(0)];
    let request = hand.next();
    let before = hand.accumulator.metrics();
    assert_eq!((before.batches_sent, before.record_retries), (2, 0));
    let around = ProduceResponse { throttle_time_ms: 70, ..ProduceResponse::default() };
    hand.answer_batch_in(&request, answer(ErrorCode::NOT_ENOUGH_REPLICAS), around);
    hand.wait(Duration::from_secs(5));
    let again = hand.next();
    assert_eq!(stamp(&again), stamp(&request));
    let after = hand.accumulator.metrics();
    assert_eq!((after.batches_sent, after.record_retries), (3, 2));
    assert_eq!((after.throttles, after.throttle_max), (1, Duration::from_millis(70)));
    hand.stored(&again, 1, ErrorCode::NONE);
    assert!(deliveries.iter().all(|delivery| delivery.result().is_some()));
    assert_eq!(hand.accumulator.metrics().records_sent, 3);
}

/// What the transaction lost cannot be mended by storing more of it.
#[test]
fn nothing_is_tried_again_once_the_transaction_failed() {
    let mut hand = Hand::open(Two, settings());
    let (first, second) = (hand.send(0), hand.send(1));
    let _ = (first, second);
    let request = hand.next();
    let Request::Produce(body) = &request.body else { panic!("{request:?}") };
    assert_eq!(body.topic_data[0].partition_data.len(), 2, "both travel together");
    let mut hand = Hand::open(Two, settings());
    let first = hand.send(0);
    let one = hand.next();
    let second = hand.send(1);
    let two = hand.next();
    hand.stored(&one, -1, ErrorCode::INVALID_RECORD);
    assert_eq!(first.result().unwrap().unwrap_err().kind(), ErrorKind::InvalidRecord);
    hand.stored(&two, -1, ErrorCode::NOT_ENOUGH_REPLICAS);
    let error = second.result().expect("not tried again").unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::NOT_ENOUGH_REPLICAS), "the reason is its own");
    assert_eq!((error.fate(), error.is_abortable()), (Fate::NotStored, true));
    hand.expect_nothing();
}

/// The cluster does not want this producer at all: what travels elsewhere fails too, and nothing more is taken.
#[test]
fn an_answer_against_the_producer_fails_all_of_it() {
    let mut hand = ready();
    let refused = hand.send(0);
    let request = hand.next();
    let elsewhere = hand.send(1);
    let _other = hand.next();
    let unsent = hand.send(1);
    hand.stored(&request, -1, ErrorCode::CLUSTER_AUTHORIZATION_FAILED);
    for (delivery, partition, fate) in
        [(refused, 0, Fate::NotStored), (elsewhere, 1, Fate::Unknown), (unsent, 1, Fate::NotStored)]
    {
        let error = delivery.result().unwrap().unwrap_err();
        assert_eq!((error.kind(), error.fate()), (ErrorKind::Authorization, fate));
        assert_eq!(error.topic_partition(), Some(("t", partition).into()));
    }
    assert_eq!(hand.producer.poll_timeout(), None);
    let record = record(Some(0), b"v");
    let (topic, now) = (hand.accumulator.topic("t"), hand.now);
    let late = hand.accumulator.try_append(&topic, &record, None, || now);
    assert!(matches!(late, Err(Refused::Failed(_))));
}

/// `max.request.size` is the largest that is taken, not the first that is not.
#[test]
fn a_record_of_the_largest_size_is_taken() {
    let none: [Header<'_>; 0] = [];
    let bytes = size_upper_bound(None, Some(&[0; 50]), none);
    for (request_bytes_max, fits) in [(bytes, true), (bytes - 1, false)] {
        let hand = Hand::new(Settings { request_bytes_max, ..idempotent() });
        let record = record(Some(0), &[0; 50]);
        let topic = hand.accumulator.topic("t");
        let now = hand.now;
        match hand.accumulator.try_append(&topic, &record, None, || now) {
            Ok(_) => assert!(fits),
            Err(Refused::Failed(error)) => {
                assert_eq!((error.kind(), fits), (ErrorKind::RecordTooLarge, false));
            }
            Err(refused) => panic!("{refused:?}"),
        }
    }
}

#[test]
fn a_callback_is_told_and_a_detached_failure_counted() {
    for code in [ErrorCode::NONE, ErrorCode::INVALID_RECORD] {
        let mut hand = ready();
        let told = Arc::new(Mutex::new(Vec::new()));
        let callback: Callback = Box::new({
            let told = Arc::clone(&told);
            move |result| told.lock().unwrap().push(result)
        });
        let record = record(Some(0), b"v");
        let topic = hand.accumulator.topic("t");
        let now = hand.now;
        for mut watch in [Watch::Callback(callback), Watch::Detached] {
            let append =
                hand.accumulator.try_append_watched(&topic, &record, &mut watch, None, || now);
            assert!(append.is_ok());
        }
        let request = hand.next();
        assert!(told.lock().unwrap().is_empty());
        hand.stored(&request, 8, code);
        let told: Vec<_> = std::mem::take(&mut told.lock().unwrap());
        let failures = hand.accumulator.take_detached_failures();
        let offsets: Vec<_> = told.iter().map(|told| told.as_ref().ok()?.offset()).collect();
        if code.is_error() {
            assert_eq!((offsets, failures.map(|failures| failures.0)), (vec![None], Some(1)));
        } else {
            let offset = milena_types::Offset::new(8);
            assert_eq!((offsets, failures.is_none()), (vec![offset], true));
        }
    }
}

/// Where Produce names topics, what is in doubt may be in the new topic: under another stamp it would be there twice.
#[test]
fn a_batch_in_doubt_keeps_its_stamp_in_a_topic_made_anew() {
    let mut hand = ready();
    let deliveries = [hand.send(0), hand.send(0)];
    let lost = hand.next();
    assert_eq!(stamp(&lost), (0, 1));
    hand.reply(&lost, Err(Failure::ConnectionLost));
    hand.learn(cluster(2, Some(1)));
    hand.wait(Duration::from_secs(5));
    let again = hand.next();
    assert_eq!(stamp(&again), (0, 1));
    hand.stored(&again, 0, ErrorCode::INVALID_RECORD);
    let error = deliveries[0].result().unwrap().unwrap_err();
    assert_eq!(error.fate(), Fate::Unknown, "the first try may have stored it");
}

/// What nobody can have stored is the new topic's first, and what is behind one in doubt waits for that.
#[test]
fn what_is_behind_a_batch_in_doubt_begins_at_zero_in_a_topic_made_anew() {
    let mut hand = ready();
    let _doubtful = hand.send(0);
    let lost = hand.next();
    let _behind = hand.send(0);
    let unsent = hand.next();
    hand.reply(&lost, Err(Failure::ConnectionLost));
    hand.reply(&unsent, Err(Failure::NotSent));
    hand.learn(cluster(2, Some(1)));
    hand.wait(Duration::from_secs(5));
    let again = hand.next();
    assert_eq!(stamp(&again), (0, 1));
    hand.expect_nothing();
    hand.stored(&again, 0, ErrorCode::NONE);
    hand.wait(Duration::from_secs(5));
    assert_eq!(stamp(&hand.next()), (1, 0));
}

/// By its id, a request meant the old topic alone.
#[test]
fn a_batch_that_went_by_id_begins_at_zero_in_a_topic_made_anew() {
    let mut hand = ready();
    hand.version = 13;
    let _delivery = hand.send(0);
    let lost = hand.next();
    hand.reply(&lost, Err(Failure::ConnectionLost));
    hand.learn(cluster(2, Some(1)));
    hand.wait(Duration::from_secs(5));
    assert_eq!(stamp(&hand.next()), (1, 0));
}

/// The second batch came before the first, which the new topic then says is out of order: under a new identity the second would be
/// there twice.
#[test]
fn a_batch_that_may_be_in_the_new_topic_is_given_up_rather_than_doubled() {
    let mut hand = ready();
    let early = hand.send(0);
    let unsent = hand.next();
    let late = hand.send(0);
    let lost = hand.next();
    hand.reply(&unsent, Err(Failure::NotSent));
    hand.reply(&lost, Err(Failure::ConnectionLost));
    hand.learn(cluster(2, Some(1)));
    hand.wait(Duration::from_secs(5));
    for _ in 0..9 {
        let Some(again) = hand.requests().pop() else { break };
        if stamp(&again) == (1, 0) {
            hand.stored(&again, 1, ErrorCode::NONE);
        } else {
            assert_eq!(stamp(&again), (0, 1));
            hand.stored(&again, -1, ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER);
        }
        hand.wait(Duration::from_secs(5));
    }
    assert!(early.result().unwrap().is_ok());
    let error = late.result().unwrap().unwrap_err();
    assert_eq!(error.fate(), Fate::Unknown, "{error}");
}
