//! How much a producer has sent, and how that went.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::Error;

/// What a producer did so far, and what it holds. Totals only rise: read twice for a rate.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct ProducerMetrics {
    /// Records that were stored, or with acks=0 written to a connection; Java's `record-send-total`.
    pub records_sent: u64,
    /// Records that failed after they were admitted; Java's `record-error-total`.
    pub record_errors: u64,
    /// Records that were put into a request again, once for each time; Java's `record-retry-total`.
    pub record_retries: u64,
    /// Detached records that failed, admitted or not; each admitted one is one of `record_errors` too.
    pub detached_errors: u64,
    /// Batches put into requests; one that is tried again counts again.
    pub batches_sent: u64,
    /// Batches that a broker found too large, and that were split; Java's `batch-split-total`.
    pub batch_splits: u64,
    /// Bytes of the batches that were sent, compressed; Java's `byte-total`.
    pub bytes_sent: u64,
    /// Answers with which a broker asked for silence, because of a quota (KIP-219).
    pub throttles: u64,
    /// The longest silence asked for; Java's `produce-throttle-time-max` since the start.
    pub throttle_max: Duration,
    /// The silences together.
    pub throttle_total: Duration,
    /// Bytes of `buffer.memory` that records hold at the moment.
    pub buffer_bytes_used: u64,
    /// All of `buffer.memory`; Java's `buffer-total-bytes`.
    pub buffer_bytes_max: u64,
}

/// The numbers behind [`ProducerMetrics`]; written once a batch.
#[derive(Debug, Default)]
pub(super) struct Counters {
    records_sent: AtomicU64,
    record_errors: AtomicU64,
    record_retries: AtomicU64,
    detached_errors: AtomicU64,
    batches_sent: AtomicU64,
    batch_splits: AtomicU64,
    bytes_sent: AtomicU64,
    throttles: AtomicU64,
    throttle_max_ms: AtomicU64,
    throttle_total_ms: AtomicU64,
    /// Failures of detached records that nobody was told of.
    untold: Mutex<Option<(u64, Error)>>,
}

impl Counters {
    pub(super) fn settled(&self, records: u32, is_stored: bool) {
        let counter = if is_stored { &self.records_sent } else { &self.record_errors };
        counter.fetch_add(u64::from(records), Relaxed);
    }

    /// A batch goes into a request.
    pub(super) fn sent(&self, records: u32, bytes: usize, is_retry: bool) {
        self.batches_sent.fetch_add(1, Relaxed);
        self.bytes_sent.fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Relaxed);
        if is_retry {
            self.record_retries.fetch_add(u64::from(records), Relaxed);
        }
    }

    pub(super) fn split(&self) {
        self.batch_splits.fetch_add(1, Relaxed);
    }

    pub(super) fn throttled(&self, ms: u64) {
        self.throttles.fetch_add(1, Relaxed);
        self.throttle_max_ms.fetch_max(ms, Relaxed);
        self.throttle_total_ms.fetch_add(ms, Relaxed);
    }

    pub(super) fn detached_failed(&self, records: u32, error: &Error) {
        let records = u64::from(records);
        self.detached_errors.fetch_add(records, Relaxed);
        let mut untold = self.untold.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *untold {
            Some((count, _)) => *count += records,
            None => *untold = Some((records, error.clone())),
        }
    }

    pub(super) fn take_detached_failures(&self) -> Option<(u64, Error)> {
        self.untold.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// All but the buffer's numbers.
    pub(super) fn snapshot(&self) -> ProducerMetrics {
        ProducerMetrics {
            records_sent: self.records_sent.load(Relaxed),
            record_errors: self.record_errors.load(Relaxed),
            record_retries: self.record_retries.load(Relaxed),
            detached_errors: self.detached_errors.load(Relaxed),
            batches_sent: self.batches_sent.load(Relaxed),
            batch_splits: self.batch_splits.load(Relaxed),
            bytes_sent: self.bytes_sent.load(Relaxed),
            throttles: self.throttles.load(Relaxed),
            throttle_max: Duration::from_millis(self.throttle_max_ms.load(Relaxed)),
            throttle_total: Duration::from_millis(self.throttle_total_ms.load(Relaxed)),
            ..ProducerMetrics::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn what_was_sent_is_counted() {
        let counters = Counters::default();
        counters.sent(3, 100, false);
        counters.sent(2, 50, true);
        counters.split();
        counters.throttled(5);
        counters.throttled(3);
        counters.settled(4, true);
        counters.settled(1, false);
        let told = counters.snapshot();
        assert_eq!((told.batches_sent, told.bytes_sent, told.record_retries), (2, 150, 2));
        assert_eq!((told.batch_splits, told.throttles), (1, 2));
        assert_eq!((told.records_sent, told.record_errors), (4, 1));
        let ms = Duration::from_millis;
        assert_eq!((told.throttle_max, told.throttle_total), (ms(5), ms(8)));
    }

    /// Failures that nobody waits for are told once, all together, by the first of them.
    #[test]
    fn detached_failures_are_taken_once() {
        let counters = Counters::default();
        counters.detached_failed(2, &Error::new(ErrorKind::Timeout));
        counters.detached_failed(3, &Error::closed());
        let (count, first) = counters.take_detached_failures().unwrap();
        assert_eq!((count, first.kind()), (5, ErrorKind::Timeout));
        assert!(counters.take_detached_failures().is_none());
        assert_eq!(counters.snapshot().detached_errors, 5);
    }
}
