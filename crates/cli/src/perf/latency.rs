//! Counts, rates and latencies, reported as Kafka's `ProducerPerformance` does.

use std::fmt;
use std::time::Duration;

/// What a stretch of a run did.
#[derive(Clone, Debug, Default)]
pub(super) struct Window {
    records: u64,
    bytes: u64,
    latency_total_ms: f64,
    latency_max_ms: f64,
}

impl Window {
    pub(super) fn add(&mut self, bytes: usize, latency: Duration) {
        let latency_ms = latency.as_secs_f64() * 1000.0;
        self.records += 1;
        self.bytes += bytes as u64;
        self.latency_total_ms += latency_ms;
        self.latency_max_ms = self.latency_max_ms.max(latency_ms);
    }

    fn rates(&self, elapsed: Duration) -> (f64, f64) {
        let seconds = elapsed.as_secs_f64().max(f64::MIN_POSITIVE);
        (self.records as f64 / seconds, self.bytes as f64 / seconds / (1024.0 * 1024.0))
    }

    fn latency_average_ms(&self) -> f64 {
        self.latency_total_ms / (self.records.max(1) as f64)
    }

    /// The line of one reporting interval.
    pub(super) fn line(&self, elapsed: Duration) -> String {
        let (records, megabytes) = self.rates(elapsed);
        format!(
            "{} records sent, {records:.1} records/sec ({megabytes:.2} MB/sec), {:.1} ms avg latency, {:.1} ms max latency.",
            self.records,
            self.latency_average_ms(),
            self.latency_max_ms,
        )
    }
}

/// A whole run: its totals and how its latencies are spread.
#[derive(Debug)]
pub(super) struct Run {
    total: Window,
    /// Records per millisecond of latency; the last entry takes all that took longer.
    spread: Vec<u64>,
}

impl Default for Run {
    fn default() -> Self {
        Self { total: Window::default(), spread: vec![0; LATENCY_MS_MAX + 1] }
    }
}

impl Run {
    pub(super) fn add(&mut self, bytes: usize, latency: Duration) {
        self.total.add(bytes, latency);
        let ms = usize::try_from(latency.as_millis()).unwrap_or(LATENCY_MS_MAX);
        if let Some(count) = self.spread.get_mut(ms.min(LATENCY_MS_MAX)) {
            *count += 1;
        }
    }

    /// The latency that `share` of the records did not exceed, in whole milliseconds.
    fn percentile_ms(&self, share: f64) -> usize {
        let wanted = (share * self.total.records as f64) as u64;
        let mut passed = 0;
        let at = self.spread.iter().position(|count| {
            passed += count;
            passed > wanted || passed == self.total.records
        });
        at.unwrap_or(0)
    }

    /// The last line of a run.
    pub(super) fn summary(&self, elapsed: Duration) -> Summary<'_> {
        Summary { run: self, elapsed }
    }
}

/// The last line of a run, with percentiles.
pub(super) struct Summary<'a> {
    run: &'a Run,
    elapsed: Duration,
}

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = &self.run.total;
        let (records, megabytes) = total.rates(self.elapsed);
        let [p50, p95, p99, p999] =
            [0.5, 0.95, 0.99, 0.999].map(|share| self.run.percentile_ms(share));
        write!(
            f,
            "{} records sent, {records:.6} records/sec ({megabytes:.2} MB/sec), {:.2} ms avg latency, \
             {:.2} ms max latency, {p50} ms 50th, {p95} ms 95th, {p99} ms 99th, {p999} ms 99.9th.",
            total.records,
            total.latency_average_ms(),
            total.latency_max_ms,
        )
    }
}

/// Longer latencies than a delivery time-out do not occur.
const LATENCY_MS_MAX: usize = 120_000;

#[cfg(test)]
mod tests {
    use super::*;

    /// The shapes are those that `kafka-producer-perf-test` 4.3.1 printed.
    #[test]
    fn the_lines_are_kafkas() {
        let mut run = Run::default();
        let mut window = Window::default();
        for ms in 1..=100_u64 {
            run.add(1000, Duration::from_millis(ms));
            window.add(1000, Duration::from_millis(ms));
        }
        assert_eq!(
            window.line(Duration::from_secs(2)),
            "100 records sent, 50.0 records/sec (0.05 MB/sec), 50.5 ms avg latency, 100.0 ms max latency."
        );
        assert_eq!(
            run.summary(Duration::from_secs(2)).to_string(),
            "100 records sent, 50.000000 records/sec (0.05 MB/sec), 50.50 ms avg latency, 100.00 ms max latency, \
             51 ms 50th, 96 ms 95th, 100 ms 99th, 100 ms 99.9th."
        );
    }

    #[test]
    fn nothing_sent_divides_by_nothing() {
        let shown = Run::default().summary(Duration::ZERO).to_string();
        assert!(shown.starts_with("0 records sent, 0.000000 records/sec (0.00 MB/sec), 0.00 ms"));
    }
}
