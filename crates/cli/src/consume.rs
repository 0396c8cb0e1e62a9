//! `milena consume`: prints records.

mod printed;
mod start;

use std::collections::BTreeSet;
use std::io::{BufWriter, ErrorKind, IsTerminal, Write};
use std::time::Duration;

use clap::{Args, ValueEnum};
use milena::config::OffsetReset;
use milena::{Batch, Consumer, Kafka, MemberState, TopicPartition};

use crate::args::Connection;
use crate::failure::Failure;
use crate::format::Format;
use crate::interrupt::{interrupted, unless_interrupted};
use printed::{Offsets, Printed};
use start::{Partitions, Start};

const EXAMPLES: &str = "\
Examples:
  milena consume orders -e                            everything there is, then stop
  milena consume orders -n 10 -f '%p %o %k => %v\\n'   ten records with their places and keys
  milena consume orders payments -g billing           as a member of a group, until Ctrl-C
  milena consume orders --from 5000 -e -o ndjson      JSON lines from offset 5000 of each partition
  milena consume orders --from -10 -e                 the last ten records of each partition
  milena consume orders --from @-1h --partition 0,2-5 of these partitions, from an hour ago on

Formats: %t topic, %p partition, %o offset, %k key, %v or %s value, %h headers, %T timestamp,
%K and %S lengths of key and value, %% a percent sign; \\n \\t \\r \\0 \\\\";

/// Prints the records of topics.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ConsumeArgs {
    /// The topics to read
    #[arg(required = true)]
    topics: Vec<String>,

    /// Share the partitions with the other members of this group, and commit what was printed
    #[arg(short = 'g', long)]
    group: Option<String>,

    /// Where to start: beginning, end, an offset, -N for the last N records of each partition, @-1h, @MILLISECONDS;
    /// a group starts at its committed offsets where it has some [default: end, or beginning with -e]
    #[arg(long, value_name = "WHERE", value_parser = Start::parse, allow_hyphen_values = true)]
    from: Option<Start>,

    /// Only these partitions, as 0,2-5
    #[arg(long, value_name = "LIST", value_parser = start::partitions, conflicts_with = "group")]
    partition: Option<Partitions>,

    /// Stop after this many records
    #[arg(short = 'n', long, value_name = "RECORDS")]
    max_records: Option<u64>,

    /// Stop at the end of every partition
    #[arg(short = 'e', long)]
    exit: bool,

    /// How to print a record
    #[arg(short = 'f', long, value_parser = Format::parse, conflicts_with = "output")]
    format: Option<Format>,

    /// Print records in this form
    #[arg(short = 'o', long, value_name = "FORM")]
    output: Option<Output>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Output {
    /// One JSON object a line
    Ndjson,
}

/// Runs the command.
pub(crate) async fn run(connection: &Connection, args: ConsumeArgs) -> Result<(), Failure> {
    let format = match args.output {
        Some(Output::Ndjson) => Format::Ndjson,
        None => args.format.clone().unwrap_or_else(Format::value_lines),
    };
    let kafka = connection.connect().await?;
    let printed = Printed::of(args.group.as_deref());
    let mut consumer = build(&kafka, &args, &printed).await?;
    let mut out = BufWriter::with_capacity(OUT_BYTES, std::io::stdout().lock());
    let mut records = 0;
    let outcome = print(&mut consumer, &args, &format, &mut out, &mut records, &printed).await;
    let ended = unless_interrupted(async {
        let committed = match args.group {
            Some(_) => consumer.commit_offsets(printed.offsets()).await,
            None => Ok(()),
        };
        let closed = consumer.close(CLOSE_TIMEOUT).await;
        committed.and(closed)
    });
    let ended = ended.await;
    if std::io::stderr().is_terminal() {
        eprintln!("% {records} records");
    }
    outcome?;
    Ok(ended??)
}

async fn build(kafka: &Kafka, args: &ConsumeArgs, printed: &Printed) -> Result<Consumer, Failure> {
    let default = if args.exit { Start::Beginning } else { Start::End };
    let from = args.from.unwrap_or(default);
    let reset = match from {
        Start::End => OffsetReset::Latest,
        Start::Beginning | Start::At(_) | Start::Last(_) | Start::Ago(_) | Start::Time(_) => {
            OffsetReset::Earliest
        }
    };
    if args.group.is_some() && from.is_sought() {
        return Err(Failure::usage(
            "a group goes on where it was: leave out -g, or use beginning or end",
        ));
    }
    let mut partitions = partitions(kafka, &args.topics).await?;
    if let Some(wanted) = &args.partition {
        partitions.retain(|tp| wanted.has(tp.partition));
        if partitions.is_empty() {
            return Err(Failure::usage("--partition names none that there is"));
        }
    }
    if let Some(group) = &args.group {
        // Commits follow what was printed, not what was handed out.
        let consumer = kafka.consumer(group.as_str()).auto_offset_reset(reset);
        let consumer = consumer.enable_auto_commit(false).on_rebalance(printed.clone());
        return Ok(consumer.subscribe(args.topics.iter().map(String::as_str)).build().await?);
    }
    let consumer = kafka.consumer_without_group().auto_offset_reset(reset);
    let consumer = consumer.assign(partitions.clone()).build().await?;
    if from.is_sought() {
        from.seek(&consumer.handle(), partitions).await?;
    }
    Ok(consumer)
}

/// All partitions of the topics, none of which is created by being asked for.
async fn partitions(kafka: &Kafka, topics: &[String]) -> Result<Vec<TopicPartition>, Failure> {
    let topics: BTreeSet<&str> = topics.iter().map(String::as_str).collect();
    let mut partitions = Vec::new();
    for (name, described) in kafka.admin().describe_topics(topics).await? {
        let described = described.map_err(Failure::from)?;
        let indexes = described.partitions().iter().map(|partition| partition.index);
        partitions.extend(indexes.map(|index| TopicPartition::new(name.clone(), index)));
    }
    Ok(partitions)
}

/// Prints until there is a reason to stop.
async fn print(
    consumer: &mut Consumer,
    args: &ConsumeArgs,
    format: &Format,
    out: &mut impl Write,
    records: &mut u64,
    printed: &Printed,
) -> Result<(), Failure> {
    let mut interrupt = std::pin::pin!(interrupted());
    let mut ended = BTreeSet::new();
    loop {
        let batch = tokio::select! {
            biased;
            () = &mut interrupt => return match args.exit || args.max_records.is_some() {
                true => Err(Failure::interrupted("not all that was asked for was printed")),
                false => Ok(()),
            },
            batch = consumer.poll(POLL_TIMEOUT) => batch?,
        };
        let left = args.max_records.map_or(u64::MAX, |most| most - *records);
        match write(out, format, &batch, left) {
            Ok((written, offsets)) => {
                *records += written;
                printed.add(offsets);
            }
            // The reader has gone, as with `milena consume t | head`; what it did not read does not count.
            Err(cause) if cause.kind() == ErrorKind::BrokenPipe => return Ok(()),
            Err(cause) => return Err(cause.into()),
        }
        let is_enough = args.max_records == Some(*records);
        if is_enough || (args.exit && is_at_end(consumer, &mut ended).await?) {
            return Ok(());
        }
        if args.group.is_some() && !batch.is_empty() {
            consumer.handle().commit_async();
        }
    }
}

/// Writes up to `most` records, and says how many there were and what is behind them once they have left.
fn write(
    out: &mut impl Write,
    format: &Format,
    batch: &Batch,
    most: u64,
) -> std::io::Result<(u64, Offsets)> {
    let (mut written, mut offsets) = (0, Offsets::new());
    for message in batch {
        if written == most {
            break;
        }
        format.write(out, message)?;
        printed::note(&mut offsets, message);
        written += 1;
    }
    out.flush()?;
    Ok((written, offsets))
}

/// Whether the end of each assigned partition was reached once, which is noted in `ended`: who writes meanwhile does not keep the
/// program from ending. A member of a group that got no partition is done.
async fn is_at_end(
    consumer: &Consumer,
    ended: &mut BTreeSet<TopicPartition>,
) -> Result<bool, Failure> {
    let handle = consumer.handle();
    // Asked first: a member that becomes stable in between has its partitions in what is asked next.
    let state = handle.member_state().await?;
    let lag = handle.lag();
    if lag.is_empty() {
        return Ok(state == Some(MemberState::Stable));
    }
    ended.extend(lag.iter().filter(|(_, lag)| **lag == Some(0)).map(|(tp, _)| tp.clone()));
    Ok(lag.keys().all(|partition| ended.contains(partition)))
}

/// How long a look at the end of the log takes at most to be repeated.
const POLL_TIMEOUT: Duration = Duration::from_millis(200);
/// What commit and leave may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);
/// Enough for a whole poll of small records in one write.
const OUT_BYTES: usize = 256 * 1024;
