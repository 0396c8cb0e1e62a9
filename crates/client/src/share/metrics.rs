//! What a share consumer has done so far, in numbers.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use milena_engine::request::Answer;
use milena_engine::share::Acknowledgement;
use milena_wire::Response;

use crate::meter::{FetchMetrics, Fetches};

/// What a share consumer did so far. Totals only rise: read twice for a rate.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct ShareConsumerMetrics {
    /// Records that were handed out, those that come again included; Java's `records-consumed-total`.
    pub records_consumed: u64,
    /// What was fetched for them, and in what time.
    pub fetch: FetchMetrics,
    /// Acknowledgements that brokers took, renewals included. With [`acknowledgement_errors`](Self::acknowledgement_errors)
    /// it is Java's `acknowledgements-send-total`.
    pub acknowledgements: u64,
    /// Acknowledgements that failed, those included that came too late to be sent; next to Java's
    /// `acknowledgements-error-total`.
    pub acknowledgement_errors: u64,
}

/// The numbers behind [`ShareConsumerMetrics`].
#[derive(Debug, Default)]
pub(crate) struct Counters {
    records: AtomicU64,
    fetches: Fetches,
    acknowledgements: AtomicU64,
    acknowledgement_errors: AtomicU64,
}

impl Counters {
    pub(super) fn handed_out(&self, records: usize) {
        self.records.fetch_add(u64::try_from(records).unwrap_or(u64::MAX), Relaxed);
    }

    pub(crate) fn acknowledged(&self, told: &Acknowledgement) {
        let spans = told.offsets.iter().map(|span| span.end().get() - span.start().get() + 1);
        let records = u64::try_from(spans.sum::<i64>()).unwrap_or(0);
        let is_taken = told.result.is_ok();
        let counter = if is_taken { &self.acknowledgements } else { &self.acknowledgement_errors };
        counter.fetch_add(records, Relaxed);
    }

    /// Takes in an answer that took so long.
    pub(crate) fn answered(&self, answer: &Answer, took: Duration) {
        if let Ok(Some(Response::ShareFetch(response))) = &answer.result {
            let partitions = response.responses.iter().flat_map(|topic| &topic.partitions);
            let records = partitions.map(|partition| &partition.records);
            self.fetches.note(records, response.throttle_time_ms, took);
        }
    }

    pub(super) fn read(&self) -> ShareConsumerMetrics {
        let get = |counter: &AtomicU64| counter.load(Relaxed);
        ShareConsumerMetrics {
            records_consumed: get(&self.records),
            fetch: self.fetches.read(),
            acknowledgements: get(&self.acknowledgements),
            acknowledgement_errors: get(&self.acknowledgement_errors),
        }
    }
}
