//! `milena perf consume`.

use std::time::{Duration, SystemTime};

use clap::Args;
use milena::config::OffsetReset;
use tokio::time::Instant;

use crate::args::Connection;
use crate::failure::Failure;
use crate::output;

const EXAMPLES: &str = "\
Examples:
  milena perf consume orders --num-records 1000000
  milena perf consume orders --num-records 1000000 --group measured -X fetch.min.bytes=65536";

/// Reads records from the beginning of a topic and reports the rate.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct PerfConsumeArgs {
    /// The topic to read
    topic: String,

    /// How many records to read
    #[arg(long, default_value_t = 1_000_000)]
    num_records: u64,

    /// The group to read as [default: a new one]
    #[arg(long)]
    group: Option<String>,

    /// Give up when nothing arrives for this many milliseconds
    #[arg(long, default_value_t = 10_000)]
    timeout: u64,

    /// Leave out the names of the columns
    #[arg(long)]
    hide_header: bool,
}

/// Runs the command.
pub(super) async fn run(connection: &Connection, args: PerfConsumeArgs) -> Result<(), Failure> {
    let kafka = connection.connect().await?;
    #[expect(clippy::disallowed_methods, reason = "the table shows people when it was")]
    let start_time = SystemTime::now();
    let group = args.group.unwrap_or_else(|| format!("perf-consumer-{}", milliseconds(start_time)));
    let mut consumer = kafka
        .consumer(group)
        .auto_offset_reset(OffsetReset::Earliest)
        .subscribe([args.topic.as_str()])
        .build()
        .await?;
    let started = Instant::now();
    let patience = Duration::from_millis(args.timeout);
    let (mut records, mut bytes) = (0_u64, 0_u64);
    let mut joined = None;
    let mut last_arrival = started;
    while records < args.num_records {
        let batch = consumer.poll(POLL_TIMEOUT).await?;
        if !batch.is_empty() {
            last_arrival = Instant::now();
            joined.get_or_insert(last_arrival);
        } else if last_arrival.elapsed() >= patience {
            eprintln!(
                "WARNING: Exiting before consuming the expected number of records: timeout ({} ms) exceeded. \
                 You can use the --timeout option to increase the timeout.",
                args.timeout
            );
            break;
        }
        for message in &batch {
            records += 1;
            bytes += message.key().map_or(0, <[u8]>::len) as u64;
            bytes += message.value().map_or(0, <[u8]>::len) as u64;
        }
    }
    let elapsed = last_arrival - started;
    consumer.close(Duration::from_secs(10)).await?;
    if !args.hide_header {
        output::print(&format!("{HEADER}\n"))?;
    }
    let rebalance = joined.map_or(elapsed, |joined| joined - started);
    let totals = Totals { records, bytes, elapsed, rebalance };
    output::print(&format!("{}, {}, {totals}\n", date(start_time), date(start_time + elapsed)))?;
    Ok(())
}

/// The columns behind the dates.
struct Totals {
    records: u64,
    bytes: u64,
    elapsed: Duration,
    rebalance: Duration,
}

impl std::fmt::Display for Totals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let megabytes = self.bytes as f64 / (1024.0 * 1024.0);
        let fetching = self.elapsed.saturating_sub(self.rebalance);
        let per_second = |amount: f64, time: Duration| amount / time.as_secs_f64().max(0.001);
        write!(
            f,
            "{megabytes:.4}, {:.4}, {}, {:.4}, {}, {}, {:.4}, {:.4}",
            per_second(megabytes, self.elapsed),
            self.records,
            per_second(self.records as f64, self.elapsed),
            self.rebalance.as_millis(),
            fetching.as_millis(),
            per_second(megabytes, fetching),
            per_second(self.records as f64, fetching),
        )
    }
}

fn milliseconds(time: SystemTime) -> u128 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis()
}

/// UTC as `yyyy-MM-dd HH:mm:ss:SSS`, which is Kafka's default format of dates here.
fn date(time: SystemTime) -> String {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let (days, seconds) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = civil(days);
    format!(
        "{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}:{:03}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60,
        since.subsec_millis()
    )
}

/// Year, month and day of a count of days since 1970, by Howard Hinnant's `civil_from_days`: eras of 400 years that
/// start in March, so that the leap day comes last.
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, month, day)
}

const HEADER: &str = "start.time, end.time, data.consumed.in.MB, MB.sec, data.consumed.in.nMsg, nMsg.sec, \
                      rebalance.time.ms, fetch.time.ms, fetch.MB.sec, fetch.nMsg.sec";
/// How often patience is held against the clock.
const POLL_TIMEOUT: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        let at = |ms| date(SystemTime::UNIX_EPOCH + Duration::from_millis(ms));
        assert_eq!(at(0), "1970-01-01 00:00:00:000");
        assert_eq!(at(951_827_696_789), "2000-02-29 12:34:56:789");
        assert_eq!(at(1_795_226_090_755), "2026-11-21 01:54:50:755");
    }

    #[test]
    fn the_columns_are_kafkas() {
        let totals = Totals {
            records: 10_000,
            bytes: 10 * 1024 * 1024,
            elapsed: Duration::from_secs(4),
            rebalance: Duration::from_secs(2),
        };
        assert_eq!(
            totals.to_string(),
            "10.0000, 2.5000, 10000, 2500.0000, 2000, 2000, 5.0000, 5000.0000"
        );
        assert_eq!(HEADER.split(", ").count(), 10);
    }
}
