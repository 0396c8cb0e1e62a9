//! `milena consume`: prints records.

use std::collections::BTreeMap;
use std::io::{BufWriter, ErrorKind, IsTerminal, Write};
use std::time::Duration;

use clap::{Args, ValueEnum};
use milena::config::OffsetReset;
use milena::{Consumer, Kafka, MemberState, MessageRef, Offset, TopicPartition};

use crate::args::Connection;
use crate::failure::Failure;
use crate::format::Format;

const EXAMPLES: &str = "\
Examples:
  milena consume orders -e                            everything there is, then stop
  milena consume orders -n 10 -f '%p %o %k => %v\\n'   ten records with their places and keys
  milena consume orders payments -g billing           as a member of a group, until Ctrl-C
  milena consume orders --from 5000 -e -o ndjson      JSON lines from offset 5000 of each partition

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

    /// Where to start: beginning, end or an offset; a group starts at its committed offsets where it has some
    /// [default: end, or beginning with -e]
    #[arg(long, value_name = "WHERE", value_parser = start)]
    from: Option<Start>,

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

/// Where reading starts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Start {
    Beginning,
    End,
    At(Offset),
}

fn start(text: &str) -> Result<Start, String> {
    match text {
        "beginning" => Ok(Start::Beginning),
        "end" => Ok(Start::End),
        _ => {
            let offset = text.parse().ok().and_then(Offset::new).map(Start::At);
            offset.ok_or_else(|| "expected beginning, end or an offset".to_owned())
        }
    }
}

/// Runs the command.
pub(crate) async fn run(connection: &Connection, args: ConsumeArgs) -> Result<(), Failure> {
    let format = match args.output {
        Some(Output::Ndjson) => Format::Ndjson,
        None => args.format.clone().unwrap_or_else(Format::value_lines),
    };
    let kafka = connection.connect().await?;
    let mut consumer = build(&kafka, &args).await?;
    let mut out = BufWriter::with_capacity(OUT_BYTES, std::io::stdout().lock());
    let mut printed = Printed::default();
    let outcome = print(&mut consumer, &args, &format, &mut out, &mut printed).await;
    let committed = match args.group {
        Some(_) => consumer.commit_offsets(printed.next).await,
        None => Ok(()),
    };
    let closed = consumer.close(CLOSE_TIMEOUT).await;
    if std::io::stderr().is_terminal() {
        eprintln!("% {} records", printed.records);
    }
    outcome?;
    Ok(committed.and(closed)?)
}

async fn build(kafka: &Kafka, args: &ConsumeArgs) -> Result<Consumer, Failure> {
    let default = if args.exit { Start::Beginning } else { Start::End };
    let from = args.from.unwrap_or(default);
    let reset = match from {
        Start::End => OffsetReset::Latest,
        Start::Beginning | Start::At(_) => OffsetReset::Earliest,
    };
    if let Some(group) = &args.group {
        if let Start::At(_) = from {
            return Err(Failure::usage(
                "--from OFFSET needs all partitions: leave out -g, or use beginning or end",
            ));
        }
        // Commits follow what was printed, not what was handed out.
        let consumer = kafka.consumer(group.as_str()).auto_offset_reset(reset);
        let topics = args.topics.iter().map(String::as_str);
        return Ok(consumer.enable_auto_commit(false).subscribe(topics).build().await?);
    }
    let mut partitions = Vec::new();
    for topic in &args.topics {
        let count = kafka.partitions_for(topic.as_str()).await?;
        partitions.extend((0..count).map(|index| TopicPartition::new(topic.as_str(), index)));
    }
    let consumer = kafka.consumer_without_group().auto_offset_reset(reset);
    let consumer = consumer.assign(partitions.clone()).build().await?;
    if let Start::At(offset) = from {
        for partition in &partitions {
            consumer.seek(partition.clone(), offset).await?;
        }
    }
    Ok(consumer)
}

/// What was printed so far.
#[derive(Default)]
struct Printed {
    records: u64,
    /// Behind the last record of each partition.
    next: BTreeMap<TopicPartition, Offset>,
}

/// Prints until there is a reason to stop.
async fn print(
    consumer: &mut Consumer,
    args: &ConsumeArgs,
    format: &Format,
    out: &mut impl Write,
    printed: &mut Printed,
) -> Result<(), Failure> {
    let mut interrupt = std::pin::pin!(tokio::signal::ctrl_c());
    loop {
        let batch = tokio::select! {
            biased;
            _ = &mut interrupt => return Ok(()),
            batch = consumer.poll(POLL_TIMEOUT) => batch?,
        };
        for message in &batch {
            if args.max_records == Some(printed.records) {
                break;
            }
            match format.write(out, message) {
                Ok(()) => printed.note(message),
                // The reader has gone, as with `milena consume t | head`.
                Err(cause) if cause.kind() == ErrorKind::BrokenPipe => return Ok(()),
                Err(cause) => return Err(cause.into()),
            }
        }
        out.flush()?;
        let is_enough = args.max_records == Some(printed.records);
        if is_enough || (args.exit && batch.is_empty() && is_at_end(consumer).await?) {
            return Ok(());
        }
        if args.group.is_some() && !batch.is_empty() {
            consumer.handle().commit_async();
        }
    }
}

/// Whether every record of the assigned partitions was printed. A member of a group that got no partition is done.
async fn is_at_end(consumer: &Consumer) -> Result<bool, Failure> {
    let handle = consumer.handle();
    let lag = handle.lag();
    if lag.is_empty() {
        return Ok(handle.member_state().await? == Some(MemberState::Stable));
    }
    Ok(lag.into_values().all(|lag| lag == Some(0)))
}

impl Printed {
    fn note(&mut self, message: MessageRef<'_>) {
        self.records += 1;
        self.next.insert(message.topic_partition().clone(), message.offset().next());
    }
}

/// How long a look at the end of the log takes at most to be repeated.
const POLL_TIMEOUT: Duration = Duration::from_millis(200);
/// What commit and leave may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);
/// Enough for a whole poll of small records in one write.
const OUT_BYTES: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_is_a_word_or_an_offset() {
        assert_eq!(start("beginning"), Ok(Start::Beginning));
        assert_eq!(start("end"), Ok(Start::End));
        assert_eq!(start("7"), Ok(Start::At(Offset::new(7).unwrap())));
        assert!(start("-7").is_err() && start("middle").is_err());
    }
}
