use std::time::Duration;

use milena_sim::fault::{Api, Fault, Timed};
use milena_sim::history::Ended;
use milena_sim::scenario::{Cast, ConsumerPlan, ProducerPlan, Scenario, TransactionPlan};
use milena_sim::world::{Outcome, run};

use crate::scripted;

/// R7: an EndTxn that is lost and sent again may be read late; under the first protocol it has the epoch of the next
/// transaction too, unless the producer takes a new one.
#[test]
fn a_late_end_does_not_end_the_next_transaction() {
    for version in [1, 2] {
        let mut late = 0;
        for ms in (0..60).step_by(3) {
            let stall = Fault::Stall { client: 0, node: 1, lasts: Duration::from_secs(3) };
            let outcome = run(&world(version, Duration::from_millis(ms), stall), false);
            assert_eq!(outcome.violations, [], "version {version}, stalled at {ms} ms");
            late += usize::from(is_any_slow(&outcome));
        }
        assert!(late > 2, "version {version}: {late} worlds had a late end");
    }
}

/// R9, trap 22: nobody knows what an unclear answer means, and least of all that it is a commit.
#[test]
fn an_unclear_answer_is_never_a_commit() {
    for version in [1, 2] {
        for applied in [false, true] {
            let unclear = Fault::Error { api: Api::EndTxn, count: 1, code: -1, applied };
            let outcome = run(&world(version, Duration::ZERO, unclear), false);
            let first = outcome.history.transactions.first().and_then(|first| first.ended);
            assert_ne!(first.map(|(_, ended)| ended), Some(Ended::Committed));
            let of_outcome: Vec<_> = outcome
                .violations
                .iter()
                .filter(|found| !found.what.contains("began at"))
                .collect();
            assert!(of_outcome.is_empty(), "version {version}, applied {applied}: {of_outcome:?}");
        }
    }
}

/// F67: who reads committed records waits for the end of a transaction whose producer is gone, and then goes on.
#[test]
fn a_transaction_left_open_does_not_block_readers_for_ever() {
    for version in [1, 2] {
        let mut left = 0;
        for ms in (0..40).step_by(4) {
            let die = Fault::Die { client: 0, lasts: Duration::from_secs(20) };
            let outcome = run(&world(version, Duration::from_millis(ms), die), false);
            assert_eq!(outcome.violations, [], "version {version}, died at {ms} ms");
            let is_left = |ended: Option<(Duration, Ended)>| {
                ended.is_some_and(|(_, ended)| ended != Ended::Committed)
            };
            left += usize::from(outcome.history.transactions.iter().any(|t| is_left(t.ended)));
        }
        assert!(left > 2, "version {version}: {left} worlds had an open transaction");
    }
}

fn is_any_slow(outcome: &Outcome) -> bool {
    outcome.history.transactions.iter().any(|transaction| {
        transaction.ended.is_some_and(|(at, _)| at > transaction.begun + REQUEST_TIMEOUT)
    })
}

const REQUEST_TIMEOUT: Duration = Duration::from_millis(500);

/// One node, one producer with a few transactions within some 50 ms, one reader of what is committed.
fn world(transaction_version: i16, at: Duration, fault: Fault) -> Scenario {
    let producer = ProducerPlan {
        batch_bytes: 16_384,
        request_timeout: REQUEST_TIMEOUT,
        transaction: Some(TransactionPlan {
            id: "t".to_owned(),
            records: 3,
            aborts: 3,
            offsets: true,
            timeout: Duration::from_secs(10),
        }),
        ..scripted::producer(60, Duration::from_millis(50))
    };
    Scenario {
        transaction_version,
        read_committed: true,
        consumers: vec![ConsumerPlan {
            max_poll_records: 10,
            partition_bytes: 1 << 20,
            rewinds: 0,
        }],
        weather: scripted::weather(Duration::from_micros(50), Duration::from_micros(500)),
        faults: vec![Timed { at, fault }],
        ..scripted::world(1, 2, producer)
    }
}

/// Else nothing would be said of copies whose transactions go wrong.
#[test]
fn worlds_with_copies_strike_at_transactions_and_judge_what_comes_of_it() {
    let ends = |timed: &Timed| {
        let fault = format!("{:?}", timed.fault);
        ["EndTxn", "TxnOffsetCommit", "MoveCoordinator"].iter().any(|name| fault.contains(name))
    };
    let worlds: Vec<_> = (0..500).map(|seed| Scenario::draw(seed, Cast::Copies)).collect();
    let struck = worlds.iter().filter(|world| world.faults.iter().any(ends));
    let judged = struck.filter(|world| world.promises().copies_once).count();
    let wraps = worlds.iter().filter(|world| world.first_sequence > 0).count();
    assert!(judged > 80 && wraps > 100, "{judged} struck and judged, {wraps} wrap");
}
