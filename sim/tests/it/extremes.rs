//! What is too rare or too large to be drawn: a cluster that loses what it acknowledged, and one with thousands of
//! partitions.

use std::time::Duration;

use milena_sim::checker::Property;
use milena_sim::fault::{Api, Fault, Timed};
use milena_sim::history::Outcome;
use milena_sim::scenario::{ConsumerPlan, ProducerPlan, Scenario};
use milena_sim::world::{Outcome as Ended, run};

use crate::scripted::{producer, world};

/// F28: after an unclean election the leader knows of fewer sequences than it acknowledged. What was lost is lost; the
/// producer begins a new epoch, and what it sends from then on is stored once and in order.
#[test]
fn a_producer_goes_on_behind_an_unclean_election() {
    let mut renewed = 0;
    for ms in (300..1_900).step_by(97) {
        let outcome = goes_on(ms, 3);
        let stored: usize = outcome.history.logs().map(|(_, log)| log.len()).sum();
        // Batches of a few records go as a whole.
        assert!((72..=80).contains(&stored), "lost at {ms} ms: {stored} of 80 stored");
        let mut batches = outcome.history.batches.iter().filter_map(|batch| batch.identity);
        renewed += usize::from(batches.any(|(_, epoch, _)| epoch > 0));
    }
    assert!(renewed > 10, "{renewed} of 17 worlds had a new epoch");
}

/// F58, of producers: a broker that has forgotten a producer, with all that it wrote, takes its next sequence as the
/// first.
#[test]
fn a_producer_goes_on_whom_its_broker_has_forgotten() {
    for ms in (300..1_900).step_by(97) {
        goes_on(ms, 1_000);
    }
}

/// F46: behind the last sequence comes 0, for the producer and for its brokers, whatever is lost around it.
#[test]
fn sequences_wrap_without_a_trace() {
    for ms in (0..2_000).step_by(97) {
        let mut scenario = scenario(3, 1, 80);
        scenario.first_sequence = i32::MAX - 40;
        let lost = Fault::ApplyThenDrop { api: Api::Produce, count: 2 };
        let moves = Fault::MoveLeader { partition: 0 };
        let at = Duration::from_millis(ms);
        scenario.faults = vec![Timed { at, fault: lost }, Timed { at, fault: moves }];
        let outcome = run(&scenario, false);
        assert_eq!(outcome.violations, [], "at {ms} ms");
        let stamps = outcome.history.batches.iter().filter_map(|batch| batch.identity);
        let wraps = |(_, epoch, sequence): &(i64, i16, i32)| *epoch == 0 && *sequence < 40;
        assert!(stamps.clone().any(|(_, _, sequence)| sequence > i32::MAX - 41), "at {ms} ms");
        assert!(stamps.filter(wraps).count() > 0, "at {ms} ms");
    }
}

/// A world in which a partition loses its last records; every send is done all the same, and promises hold but those
/// that the cluster broke itself.
fn goes_on(ms: u64, count: i64) -> Ended {
    let mut scenario = scenario(3, 1, 80);
    let fault = Fault::LoseRecords { partition: 0, count };
    scenario.faults = vec![Timed { at: Duration::from_millis(ms), fault }];
    let outcome = run(&scenario, false);
    let is_lost = |property| matches!(property, Property::P1 | Property::P5);
    let others = outcome.violations.iter().filter(|found| !is_lost(found.property));
    assert_eq!(others.collect::<Vec<_>>(), [] as [&_; 0], "lost at {ms} ms");
    for send in &outcome.history.sends {
        let is_done = matches!(send.returned[..], [(_, Outcome::Done(Some(_)))]);
        assert!(is_done, "lost at {ms} ms: {send:?}");
    }
    outcome
}

/// F74: a topic of 10,000 partitions on 20 brokers is written and read, and nothing spins.
#[test]
fn ten_thousand_partitions_are_written_and_read() {
    let mut scenario = scenario(20, 10_000, 100);
    scenario.producers.iter_mut().for_each(|plan| plan.over = Duration::from_millis(200));
    scenario.consumers =
        vec![ConsumerPlan { max_poll_records: 500, partition_bytes: 1 << 20, rewinds: 0 }];
    let outcome = run(&scenario, false);
    assert_eq!(outcome.violations, []);
    assert_eq!(outcome.history.reads.len(), 100);
}

/// One producer with records of 2 s, and a network that is near.
fn scenario(nodes: i32, partitions: i32, records: usize) -> Scenario {
    let producer = producer(records, Duration::from_secs(2));
    let linger = Duration::from_millis(5);
    world(nodes, partitions, ProducerPlan { linger, buffer_bytes: 1 << 25, ..producer })
}
