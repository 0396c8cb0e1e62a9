//! What a consumer has done so far, in numbers.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use milena_engine::request::Answer;
use milena_wire::Response;
use tokio::time::Instant;

use crate::meter::{FetchMetrics, Fetches, Latency, micros};

/// What a consumer did so far, and where it stands. Totals only rise: read twice for a rate.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct ConsumerMetrics {
    /// Records that were handed out; Java's `records-consumed-total`. Of single records those of the run at hand are
    /// counted with the next run.
    pub records_consumed: u64,
    /// What was fetched for them, and in what time.
    pub fetch: FetchMetrics,
    /// The partition that is furthest behind, in records; Java's `records-lag-max`. `None` where none is known.
    pub records_lag_max: Option<u64>,
    /// Partitions that are assigned; Java's `assigned-partitions`.
    pub partitions_assigned: u64,
    /// Commits that were stored; Java's `commit-total`.
    pub commits: u64,
    /// Commits that failed, those without a retry included.
    pub commit_errors: u64,
    /// How long the answers to commits took together.
    pub commit_latency_total: Duration,
    /// How long the slowest took; Java's `commit-latency-max` since the start.
    pub commit_latency_max: Duration,
    /// Assignments that were taken on; Java's `rebalance-total`.
    pub rebalances: u64,
    /// Times that partitions were lost, rather than revoked; part of Java's `failed-rebalance-total`.
    pub losses: u64,
    /// Times that `max.poll.interval.ms` was exceeded.
    pub poll_intervals_exceeded: u64,
    /// Times that a partition was found to be behind and to make no progress; see
    /// [`RebalanceListener::stalled`](crate::RebalanceListener::stalled).
    pub stalls: u64,
    /// How long calls that ask for records have waited for them together: the rest of the time records were worked off.
    /// Java's `poll-idle-ratio-avg` times the time.
    pub poll_idle_total: Duration,
}

/// The numbers behind [`ConsumerMetrics`]; nothing is written for a single record.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    records: AtomicU64,
    fetches: Fetches,
    commits: AtomicU64,
    commit_errors: AtomicU64,
    commit_answers: Latency,
    rebalances: AtomicU64,
    losses: AtomicU64,
    late: AtomicU64,
    stalls: AtomicU64,
    idle_us: AtomicU64,
}

impl Counters {
    pub(super) fn handed_out(&self, records: usize) {
        self.records.fetch_add(u64::try_from(records).unwrap_or(u64::MAX), Relaxed);
    }

    pub(super) fn waited(&self, since: Instant) {
        self.idle_us.fetch_add(micros(since.elapsed()), Relaxed);
    }

    pub(super) fn assigned(&self) {
        self.rebalances.fetch_add(1, Relaxed);
    }

    pub(super) fn lost(&self) {
        self.losses.fetch_add(1, Relaxed);
    }

    pub(super) fn polled_late(&self) {
        self.late.fetch_add(1, Relaxed);
    }

    pub(super) fn stalled(&self) {
        self.stalls.fetch_add(1, Relaxed);
    }

    pub(crate) fn committed(&self, is_stored: bool) {
        let counter = if is_stored { &self.commits } else { &self.commit_errors };
        counter.fetch_add(1, Relaxed);
    }

    /// Takes in an answer that took so long.
    pub(crate) fn answered(&self, answer: &Answer, took: Duration) {
        match &answer.result {
            Ok(Some(Response::Fetch(response))) => {
                let partitions = response.responses.iter().flat_map(|topic| &topic.partitions);
                let records = partitions.filter_map(|partition| partition.records.as_ref());
                self.fetches.note(records, response.throttle_time_ms, took);
            }
            Ok(Some(Response::OffsetCommit(_))) => self.commit_answers.note(took),
            _ => {}
        }
    }

    pub(super) fn read(&self, lags: impl Iterator<Item = Option<u64>>) -> ConsumerMetrics {
        let get = |counter: &AtomicU64| counter.load(Relaxed);
        let (mut partitions_assigned, mut records_lag_max) = (0, None);
        for lag in lags {
            partitions_assigned += 1;
            records_lag_max = records_lag_max.max(lag);
        }
        ConsumerMetrics {
            records_consumed: get(&self.records),
            fetch: self.fetches.read(),
            records_lag_max,
            partitions_assigned,
            commits: get(&self.commits),
            commit_errors: get(&self.commit_errors),
            commit_latency_total: self.commit_answers.total(),
            commit_latency_max: self.commit_answers.max(),
            rebalances: get(&self.rebalances),
            losses: get(&self.losses),
            poll_intervals_exceeded: get(&self.late),
            stalls: get(&self.stalls),
            poll_idle_total: Duration::from_micros(get(&self.idle_us)),
        }
    }
}
