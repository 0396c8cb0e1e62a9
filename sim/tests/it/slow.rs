//! Slow networks: what takes long there is neither lost nor stuck.

use std::time::Duration;

use milena_sim::fault::{Fault, Timed};
use milena_sim::scenario::{ConsumerPlan, ProducerPlan, Scenario};
use milena_sim::world::run;

use crate::scripted;

/// With `max.partition.fetch.bytes` of 1 an answer brings one batch: a reader who begins when all is written needs a round
/// trip for each.
#[test]
fn a_reader_of_one_batch_a_round_trip_comes_to_rest() {
    let mut scenario = world(200, 5, Duration::from_secs(9));
    if let Some(plan) = scenario.producers.first_mut() {
        plan.request_timeout = Duration::from_secs(2);
        plan.delivery_timeout = Duration::from_secs(7);
    }
    scenario.producers = vec![scenario.producers; 3].concat();
    scenario.consumers =
        vec![ConsumerPlan { max_poll_records: 10, partition_bytes: 1, rewinds: 0 }];
    let lasts = Duration::from_secs(18);
    let fault = Fault::Silence { client: 3, node: 1, from_broker: true, lasts };
    scenario.faults = vec![Timed { at: Duration::from_secs(7), fault }];
    let outcome = run(&scenario, false);
    assert_eq!(outcome.violations, []);
    assert!(outcome.lasted > Duration::from_secs(100), "it read for long: {:?}", outcome.lasted);
}

/// One request in flight, a record in each, and all of them there at once: the last ones run out of their 30 s, and
/// nobody is to blame.
#[test]
fn a_queue_longer_than_its_time_is_given_up_in_part() {
    let scenario = world(195, 1, Duration::from_millis(47));
    let outcome = run(&scenario, false);
    assert_eq!(outcome.violations, []);
    let stored: usize = outcome.history.logs().map(|(_, log)| log.len()).sum();
    assert!((100..195).contains(&stored), "{stored} of 195 are stored");
}

/// One node and one partition far away, one producer of small batches.
fn world(records: usize, in_flight: usize, over: Duration) -> Scenario {
    let producer = ProducerPlan {
        value_bytes_max: 1_000,
        flush_every: 7,
        request_timeout: Duration::from_secs(30),
        delivery_timeout: Duration::from_secs(30),
        max_block: Duration::from_millis(100),
        in_flight,
        ..scripted::producer(records, over)
    };
    let weather = scripted::weather(Duration::from_millis(60), Duration::from_millis(100));
    Scenario { weather, ..scripted::world(1, 1, producer) }
}
