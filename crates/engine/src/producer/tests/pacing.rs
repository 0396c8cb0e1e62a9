//! When the driver is woken, and how much is sent before an answer comes.

use std::time::Duration;

use milena_records::{Compression, CompressionType};
use milena_wire::Request;
use milena_wire::messages::ProduceResponse;
use milena_wire::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};

use super::hand::{Hand, plain, record};
use super::world::MS;
use crate::producer::{Acks, Settings};
use crate::request::Outbound;

/// Appends a record of `bytes`; whether the driver is to be woken.
fn append(hand: &Hand, partition: i32, bytes: usize) -> bool {
    let (topic, value, now) = (hand.accumulator.topic("t"), vec![0; bytes], hand.now);
    let record = record(Some(partition), &value);
    hand.accumulator.try_append(&topic, &record, None, || now).expect("room").wake
}

/// Batches of four records of 4,000 bytes, which leave when they are full.
fn small() -> Hand {
    let linger = Duration::from_secs(1);
    Hand::new(Settings { batch_bytes: 16 * 1024, linger, ..plain() })
}

/// How many of the appends that fill and open `batches` more wake the driver.
fn wakes(hand: &Hand, batches: usize) -> usize {
    (0..4 * batches).filter(|_| append(hand, 0, 4000)).count()
}

#[test]
fn a_driver_that_sends_full_batches_is_woken_for_a_request_worth() {
    let mut hand = small();
    assert_eq!(wakes(&hand, 1), 1, "a batch was opened");
    hand.expect_nothing();
    assert_eq!(wakes(&hand, 1), 1, "it is full");
    let _sent = hand.next();
    assert_eq!(wakes(&hand, 3), 0, "the answer is due, and 48 KiB wait");
    assert_eq!(wakes(&hand, 1), 1, "64 KiB wait");
}

#[test]
fn a_driver_left_alone_looks_again_within_a_millisecond() {
    let mut hand = small();
    wakes(&hand, 2);
    let _sent = hand.next();
    assert_eq!(wakes(&hand, 1), 0);
    assert_eq!(hand.producer.poll_timeout(), Some(hand.now + MS));
    hand.wait(MS);
    let _next = hand.next();
    assert_eq!(wakes(&hand, 1), 0, "batches still fill");
    hand.wait(MS);
    let _last = hand.next();
    hand.wait(MS);
    hand.expect_nothing();
    assert_eq!(
        wakes(&hand, 1),
        1,
        "nothing was full for a millisecond: it sleeps until it is woken"
    );
}

#[test]
fn a_driver_is_woken_for_each_batch_while_nothing_is_on_its_way() {
    let mut hand = small();
    wakes(&hand, 2);
    let sent = hand.next();
    hand.pump();
    answer(&mut hand, &sent);
    assert_eq!(wakes(&hand, 1), 1);
}

/// Everything in it is stored.
fn answer(hand: &mut Hand, request: &Outbound) {
    let Request::Produce(produce) = &request.body else { panic!("{request:?}") };
    let responses = produce.topic_data.iter().map(|topic| TopicProduceResponse {
        name: topic.name.clone(),
        topic_id: topic.topic_id,
        partition_responses: (topic.partition_data.iter())
            .map(|data| PartitionProduceResponse { index: data.index, ..<_>::default() })
            .collect(),
    });
    let responses = responses.collect();
    hand.answer(request, ProduceResponse { responses, ..<_>::default() });
}

/// Sends what is due, answers all of it after `took`, and returns how many requests were on their way.
fn on_their_way(hand: &mut Hand, took: Duration) -> usize {
    let requests = hand.requests();
    hand.wait(took);
    requests.iter().for_each(|request| answer(hand, request));
    requests.len()
}

#[test]
fn more_is_on_its_way_while_answers_come_as_soon_as_ever_and_less_when_not() {
    let mut hand = Hand::new(Settings { batch_bytes: 400, ..plain() });
    for _ in 0..80 {
        append(&hand, 0, 300);
    }
    let counts = [10, 10, 100, 100, 10, 10, 10].map(|ms| on_their_way(&mut hand, ms * MS));
    assert_eq!(counts, [5, 5, 5, 2, 2, 4, 5]);
}

/// Whether what has come is of use to what waits.
fn progress_after(mut hand: Hand, come: impl FnOnce(&mut Hand)) -> bool {
    hand.accumulator.take_progress();
    come(&mut hand);
    hand.accumulator.take_progress()
}

#[test]
fn an_answer_is_progress_where_something_waits_for_it() {
    for (batches, waits) in [(5, false), (6, true)] {
        let mut hand = Hand::new(Settings { batch_bytes: 400, ..plain() });
        for _ in 0..batches {
            append(&hand, 0, 300);
        }
        let requests = hand.requests();
        assert_eq!(requests.len(), 5);
        let progress = progress_after(hand, |hand| answer(hand, &requests[0]));
        assert_eq!(progress, waits, "{batches} batches");
    }
}

/// The window was full before, and its partition stands in the line already.
#[test]
fn an_answer_is_progress_where_something_came_to_wait_for_it() {
    let mut hand = Hand::new(Settings { batch_bytes: 400, ..plain() });
    let mut requests = Vec::new();
    for _ in 0..5 {
        append(&hand, 0, 300);
        requests.push(hand.next());
    }
    append(&hand, 0, 300);
    hand.expect_nothing();
    assert!(progress_after(hand, |hand| answer(hand, &requests[0])));
}

#[test]
fn without_acknowledgements_a_write_is_progress_where_something_waits_for_it() {
    for (batches, waits) in [(5, false), (6, true)] {
        let acks = Acks::None;
        let mut hand = Hand::new(Settings { batch_bytes: 400, acks, ..plain() });
        for _ in 0..batches {
            append(&hand, 0, 300);
        }
        let requests = hand.requests();
        assert_eq!(requests.len(), 5);
        let progress = progress_after(hand, |hand| hand.reply(&requests[0], Ok(None)));
        assert_eq!(progress, waits, "{batches} batches");
    }
}

#[test]
fn a_sealed_batch_is_progress_where_others_wait_to_be_compressed() {
    for (compression, waits) in
        [(Compression::NONE, false), (Compression::new(CompressionType::Lz4), true)]
    {
        let hand = Hand::new(Settings { batch_bytes: 400, compression, ..plain() });
        for _ in 0..3 {
            append(&hand, 0, 300);
        }
        assert_eq!(progress_after(hand, |hand| drop(hand.requests())), waits, "{compression:?}");
    }
}
