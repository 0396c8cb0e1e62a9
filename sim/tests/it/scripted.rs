//! What worlds that are written by hand begin with.

use std::time::Duration;

use milena_engine::producer::Acks;
use milena_sim::network::Weather;
use milena_sim::scenario::{ProducerPlan, Scenario};

/// Nobody but this producer, near its brokers, and nothing goes wrong.
pub(crate) fn world(nodes: i32, partitions: i32, producer: ProducerPlan) -> Scenario {
    Scenario {
        seed: 1,
        nodes,
        partitions,
        idempotent: true,
        first_sequence: 0,
        acks: Acks::All,
        message_bytes_max: None,
        transaction_version: 2,
        read_committed: false,
        producers: vec![producer],
        consumers: Vec::new(),
        group: None,
        share: None,
        metadata_max_age: None,
        fetched_bytes: None,
        shuffles_aborted: false,
        weather: weather(Duration::from_micros(50), Duration::from_millis(5)),
        faults: Vec::new(),
    }
}

/// A network that takes from `least` to `most` for each way, and tears nothing.
pub(crate) fn weather(least: Duration, most: Duration) -> Weather {
    Weather { latency: (least, most), segment_bytes: 65_536 }
}

/// Small records in small batches, with time for all that may come.
pub(crate) fn producer(records: usize, over: Duration) -> ProducerPlan {
    ProducerPlan {
        records,
        over,
        value_bytes_max: 10,
        flush_every: 0,
        linger: Duration::ZERO,
        batch_bytes: 200,
        buffer_bytes: 1 << 20,
        request_timeout: Duration::from_secs(2),
        delivery_timeout: Duration::from_secs(60),
        max_block: Duration::from_secs(60),
        in_flight: 5,
        idle: Duration::ZERO,
        transaction: None,
        compressed: false,
    }
}
