//! Measures what brokers answer: how long it took, and how much it was.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use milena_engine::request::{Answer, Outbound, RequestId};
use milena_types::ApiKey;
use milena_wire::Records;
use tokio::time::Instant;

/// How long answers of one kind took.
#[derive(Debug, Default)]
pub(crate) struct Latency {
    count: AtomicU64,
    total_us: AtomicU64,
    max_us: AtomicU64,
}

/// What fetches have brought so far. Totals only rise: read twice for a rate.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct FetchMetrics {
    /// Fetches that were answered; Java's `fetch-total`.
    pub count: u64,
    /// Bytes of the batches that came, compressed; next to Java's `bytes-consumed-total`.
    pub bytes: u64,
    /// How long the answers took together, with the wait for `fetch.min.bytes`; by `count` it is Java's
    /// `fetch-latency-avg`.
    pub latency_total: Duration,
    /// How long the slowest took; Java's `fetch-latency-max` since the start.
    pub latency_max: Duration,
    /// The longest silence that a broker asked for because of a quota (KIP-219).
    pub throttle_max: Duration,
    /// The silences together.
    pub throttle_total: Duration,
}

/// The numbers behind [`FetchMetrics`].
#[derive(Debug, Default)]
pub(crate) struct Fetches {
    latency: Latency,
    bytes: AtomicU64,
    throttle_max_ms: AtomicU64,
    throttle_total_ms: AtomicU64,
}

/// When the requests that are measured were submitted; bounded by what the machine has in flight.
#[derive(Debug, Default)]
pub(crate) struct Stopwatch(BTreeMap<RequestId, Instant>);

impl Latency {
    pub(crate) fn note(&self, took: Duration) {
        self.count.fetch_add(1, Relaxed);
        self.total_us.fetch_add(micros(took), Relaxed);
        self.max_us.fetch_max(micros(took), Relaxed);
    }

    pub(crate) fn total(&self) -> Duration {
        Duration::from_micros(self.total_us.load(Relaxed))
    }

    pub(crate) fn max(&self) -> Duration {
        Duration::from_micros(self.max_us.load(Relaxed))
    }
}

impl Fetches {
    pub(crate) fn note<'a>(
        &self,
        records: impl Iterator<Item = &'a Records>,
        throttle_ms: i32,
        took: Duration,
    ) {
        self.latency.note(took);
        let bytes: usize = records.map(|records| records.head.len() + records.body.len()).sum();
        self.bytes.fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Relaxed);
        let throttle_ms = u64::try_from(throttle_ms).unwrap_or(0);
        self.throttle_max_ms.fetch_max(throttle_ms, Relaxed);
        self.throttle_total_ms.fetch_add(throttle_ms, Relaxed);
    }

    pub(crate) fn read(&self) -> FetchMetrics {
        FetchMetrics {
            count: self.latency.count.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            latency_total: self.latency.total(),
            latency_max: self.latency.max(),
            throttle_max: Duration::from_millis(self.throttle_max_ms.load(Relaxed)),
            throttle_total: Duration::from_millis(self.throttle_total_ms.load(Relaxed)),
        }
    }
}

impl Stopwatch {
    pub(crate) fn start(&mut self, request: &Outbound) {
        if MEASURED.contains(&request.body.api_key()) {
            self.0.insert(request.id, Instant::now());
        }
    }

    /// How long the answer took, if it is one that is measured.
    pub(crate) fn stop(&mut self, answer: &Answer) -> Option<Duration> {
        self.0.remove(&answer.id).map(|started| started.elapsed())
    }
}

pub(crate) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

const MEASURED: [ApiKey; 3] = [ApiKey::FETCH, ApiKey::OFFSET_COMMIT, ApiKey::SHARE_FETCH];
