//! `milena perf produce`.

use std::time::Duration;

use clap::Args;
use milena::{Delivery, Record};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::latency::{Run, Window};
use crate::args::{Connection, SendingArgs};
use crate::failure::Failure;
use crate::output;

const EXAMPLES: &str = "\
Examples:
  milena perf produce orders --num-records 1000000 --record-size 100
  milena perf produce orders --num-records 10000 --record-size 1000 --throughput 1000
  milena perf produce orders --num-records 1000000 --compression lz4 -X batch.size=131072 -X linger.ms=50";

/// Sends records of one size and reports rate and latency every few seconds and at the end.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct PerfProduceArgs {
    /// The topic to send to
    topic: String,

    /// How many records to send
    #[arg(long, default_value_t = 1_000_000)]
    num_records: u64,

    /// Bytes of each record's value
    #[arg(long, default_value_t = 100)]
    record_size: usize,

    /// Records per second at most; -1 for as fast as it goes
    #[arg(long, default_value_t = -1, allow_negative_numbers = true)]
    throughput: i64,

    #[command(flatten)]
    sending: SendingArgs,

    /// Seconds between two lines of progress
    #[arg(long, default_value_t = 5)]
    reporting_interval: u64,
}

/// Runs the command.
pub(super) async fn run(connection: &Connection, args: PerfProduceArgs) -> Result<(), Failure> {
    let kafka = connection.connect().await?;
    let producer = args.sending.producer(&kafka)?.build().await?;
    let rate = u64::try_from(args.throughput).ok().filter(|rate| *rate > 0);
    let payloads = Payloads::new(args.record_size);

    let started = Instant::now();
    // Not bounded here: the send buffer bounds how many records wait for their delivery.
    let (open, arrivals) = mpsc::unbounded_channel();
    let interval = Duration::from_secs(args.reporting_interval.max(1));
    let counting = count(arrivals, args.record_size, started, interval);
    let chunk_records = if rate.is_some() { 1 } else { CHUNK_RECORDS };
    let mut chunk = Vec::with_capacity(chunk_records);
    for number in 0..args.num_records {
        if let Some(rate) = rate {
            tokio::time::sleep_until(started + due(number, rate)).await;
        }
        let record = Record::to(args.topic.as_str()).value(payloads.of(number));
        let sent = Instant::now();
        chunk.push((sent, producer.send(record).enqueue().await?));
        if chunk.len() == chunk_records {
            let full = std::mem::replace(&mut chunk, Vec::with_capacity(chunk_records));
            if open.send(full).is_err() {
                break;
            }
        }
    }
    let _ = open.send(chunk);
    drop(open);
    let (run, failure) =
        counting.await.map_err(|cause| Failure::new(format!("counting failed: {cause}")))?;
    output::print(&format!("{}\n", run.summary(started.elapsed())))?;
    producer.close(Duration::from_secs(10)).await?;
    failure.map_or(Ok(()), |error| Err(error.into()))
}

/// Records on their way, with the moment each was handed over.
type Chunk = Vec<(Instant, Delivery)>;

/// Awaits every delivery in a task of its own, so that counting does not slow down sending.
fn count(
    mut arrivals: mpsc::UnboundedReceiver<Chunk>,
    record_bytes: usize,
    started: Instant,
    interval: Duration,
) -> JoinHandle<(Run, Option<milena::Error>)> {
    tokio::spawn(async move {
        let (mut run, mut window) = (Run::default(), Window::default());
        let mut window_started = started;
        let mut failure = None;
        while let Some(chunk) = arrivals.recv().await {
            for (sent, delivery) in chunk {
                match delivery.await {
                    Ok(_) => {
                        let latency = sent.elapsed();
                        run.add(record_bytes, latency);
                        window.add(record_bytes, latency);
                    }
                    Err(error) => failure = Some(error),
                }
            }
            let elapsed = window_started.elapsed();
            if elapsed >= interval {
                // What cannot be written now cannot at the end either, where it is told.
                let _ = output::print(&format!("{}\n", window.line(elapsed)));
                (window, window_started) = (Window::default(), Instant::now());
            }
        }
        (run, failure)
    })
}

/// When record `number` is due at `rate` records per second.
fn due(number: u64, rate: u64) -> Duration {
    Duration::from_secs_f64(number as f64 / rate as f64)
}

/// Upper-case letters without a pattern, the same in every run: each record has others, so that they are as compressible as those of
/// Kafka's own tool.
struct Payloads {
    letters: Vec<u8>,
    record_bytes: usize,
}

impl Payloads {
    fn new(record_bytes: usize) -> Self {
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let letters = std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            b'A' + (state % 26) as u8
        });
        Self { letters: letters.take(REPEAT_BYTES + record_bytes).collect(), record_bytes }
    }

    /// The value of record `number`.
    fn of(&self, number: u64) -> &[u8] {
        let bytes = self.record_bytes as u64;
        let start = (number.wrapping_mul(bytes) % REPEAT_BYTES as u64) as usize;
        self.letters.get(start..start + self.record_bytes).unwrap_or_default()
    }
}

/// After so much the letters come again: no codec looks back as far.
const REPEAT_BYTES: usize = 4 << 20;

/// Deliveries handed over at once when nothing holds the sender back: one wake-up for all.
const CHUNK_RECORDS: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_spreads_records_evenly() {
        assert_eq!(due(500, 1000), Duration::from_millis(500));
    }

    #[test]
    fn no_two_records_in_a_row_are_alike() {
        for bytes in [3, 1000, REPEAT_BYTES + 1] {
            let payloads = Payloads::new(bytes);
            let records: Vec<_> = (0..100).map(|number| payloads.of(number)).collect();
            assert!(records.iter().all(|record| record.len() == bytes));
            assert!(records.windows(2).all(|pair| pair[0] != pair[1]), "{bytes}");
        }
    }
}
