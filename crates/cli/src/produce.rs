//! `milena produce`: lines from standard input, one record each.

use std::collections::VecDeque;
use std::io::{BufRead, IsTerminal};

use clap::Args;
use milena::{Delivery, Producer, Record};
use tokio::sync::mpsc;

use crate::args::{Connection, SendingArgs, pair};
use crate::failure::Failure;
use crate::interrupt::{interrupted, unless_interrupted};

const EXAMPLES: &str = "\
Examples:
  echo 'hello' | milena produce greetings
  milena produce users -K : < users.txt           user_001:{\"action\":\"login\"} becomes key and value
  milena produce users -k user_001 -H trace=abc   every line gets this key and header
  milena produce logs --acks 1 --compression zstd -X linger.ms=50 < big.log";

/// Sends each line of standard input as a record.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ProduceArgs {
    /// The topic to send to
    topic: String,

    /// Give every record this key
    #[arg(short = 'k', long, conflicts_with = "key_separator")]
    key: Option<String>,

    /// Split each line into key and value at the first SEP
    #[arg(short = 'K', long, value_name = "SEP")]
    key_separator: Option<String>,

    /// Add a header to every record; may be repeated
    #[arg(short = 'H', long, value_name = "KEY=VALUE", value_parser = pair)]
    header: Vec<(String, String)>,

    /// Send to this partition, whatever the key
    #[arg(short = 'p', long)]
    partition: Option<i32>,

    #[command(flatten)]
    sending: SendingArgs,
}

/// Runs the command.
pub(crate) async fn run(connection: &Connection, args: ProduceArgs) -> Result<(), Failure> {
    let separator = args.key_separator.as_deref().map(str::as_bytes);
    if separator == Some(b"") {
        return Err(Failure::usage("-K needs a separator of at least one character"));
    }
    let kafka = connection.connect().await?;
    let producer = args.sending.producer(&kafka)?.build().await?;
    let mut sent = Sent::default();
    let outcome = tokio::select! {
        biased;
        () = interrupted() => Err(Failure::interrupted("the rest of the input was not sent")),
        outcome = send_lines(&producer, &args, separator, &mut sent) => outcome,
    };
    let closed = unless_interrupted(async {
        let closed = producer.close(CLOSE_TIMEOUT).await;
        sent.settle().await;
        closed
    });
    let closed = closed.await;
    if std::io::stderr().is_terminal() || sent.failed > 0 {
        eprintln!("% {} records sent, {} failed", sent.stored, sent.failed);
    }
    outcome?;
    sent.first_error.map_or(Ok(()), Err)?;
    Ok(closed??)
}

async fn send_lines(
    producer: &Producer,
    args: &ProduceArgs,
    separator: Option<&[u8]>,
    sent: &mut Sent,
) -> Result<(), Failure> {
    let mut chunks = read_stdin();
    let mut number = 0_u64;
    while let Some(chunk) = chunks.recv().await {
        for line in chunk?.split_inclusive(|byte| *byte == b'\n') {
            number += 1;
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let (key, value) = match separator {
                Some(separator) => split(line, separator).ok_or_else(|| {
                    let shown = String::from_utf8_lossy(line);
                    Failure::new(format!(
                        "No key separator found on line number {number}: '{shown}'"
                    ))
                })?,
                None => (args.key.as_deref().map(str::as_bytes), line),
            };
            let mut record = Record::to(args.topic.as_str()).value(value);
            if let Some(key) = key {
                record = record.key(key);
            }
            if let Some(partition) = args.partition {
                record = record.partition(partition);
            }
            for (name, value) in &args.header {
                record = record.header(name.as_str(), value.as_str());
            }
            let enqueue = producer.send(record).enqueue();
            let delivery = match number {
                1 => telling_of_a_wait(enqueue, &args.topic).await?,
                _ => enqueue.await?,
            };
            sent.add(delivery).await;
        }
    }
    Ok(())
}

/// The first record waits until the topic is known, which a misspelt name never is.
async fn telling_of_a_wait<T>(enqueue: impl Future<Output = T>, topic: &str) -> T {
    let mut enqueue = std::pin::pin!(enqueue);
    tokio::select! {
        biased;
        enqueued = &mut enqueue => return enqueued,
        () = tokio::time::sleep(WAIT_UNTOLD) => {}
    }
    eprintln!(
        "% waiting for topic '{topic}': does it exist? `milena topic create {topic}` makes it"
    );
    enqueue.await
}

/// Cuts a line at the first separator, as Kafka's console producer does: values often hold it again.
fn split<'a>(line: &'a [u8], separator: &[u8]) -> Option<(Option<&'a [u8]>, &'a [u8])> {
    let at = line.windows(separator.len()).position(|window| window == separator)?;
    let (key, rest) = line.split_at(at);
    Some((Some(key), rest.get(separator.len()..)?))
}

/// Reads whole lines in a thread of its own: a terminal may keep a read waiting for ever.
fn read_stdin() -> mpsc::Receiver<std::io::Result<Vec<u8>>> {
    let (chunks, receiver) = mpsc::channel(CHUNKS_AHEAD_MAX);
    std::thread::spawn(move || {
        let mut input = std::io::BufReader::with_capacity(CHUNK_BYTES, std::io::stdin());
        loop {
            let chunk = read_lines(&mut input);
            let last = !matches!(&chunk, Ok(chunk) if !chunk.is_empty());
            let ended = matches!(&chunk, Ok(chunk) if chunk.is_empty());
            if ended || chunks.blocking_send(chunk).is_err() || last {
                break;
            }
        }
    });
    receiver
}

/// The lines that have arrived; waits for one at least, and is empty at the end of the input.
fn read_lines(input: &mut impl BufRead) -> std::io::Result<Vec<u8>> {
    let arrived = input.fill_buf()?;
    let whole = arrived.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let mut lines = arrived.get(..whole).unwrap_or_default().to_vec();
    input.consume(whole);
    if lines.is_empty() {
        input.read_until(b'\n', &mut lines)?;
    }
    Ok(lines)
}

/// What became of the records so far.
#[derive(Default)]
struct Sent {
    open: VecDeque<Delivery>,
    stored: u64,
    failed: u64,
    first_error: Option<Failure>,
}

impl Sent {
    /// Notes a record on its way; waits for the oldest where too many are.
    async fn add(&mut self, delivery: Delivery) {
        self.open.push_back(delivery);
        if self.open.len() >= OPEN_MAX
            && let Some(oldest) = self.open.front_mut()
        {
            // Counted even if this is dropped half-way: it stays in line until then.
            let outcome = oldest.await.map(drop);
            self.open.pop_front();
            self.note(outcome);
        }
    }

    async fn settle(&mut self) {
        while let Some(oldest) = self.open.pop_front() {
            self.note(oldest.await.map(drop));
        }
    }

    fn note(&mut self, outcome: milena::Result<()>) {
        match outcome {
            Ok(()) => self.stored += 1,
            Err(error) => {
                self.failed += 1;
                self.first_error.get_or_insert_with(|| error.into());
            }
        }
    }
}

/// Deliveries kept to be counted: more than the send buffer holds of small records would only cost memory.
const OPEN_MAX: usize = 100_000;
/// One read of a pipe.
const CHUNK_BYTES: usize = 64 * 1024;
/// Lines read ahead of the sender, in chunks.
const CHUNKS_AHEAD_MAX: usize = 4;
/// How long a topic may stay unknown without a word.
const WAIT_UNTOLD: std::time::Duration = std::time::Duration::from_secs(2);
/// What close may take: as long as a record may take to be delivered.
const CLOSE_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(120);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_split_at_the_first_separator() {
        let line = br#"user_001:{"action":"login"}"#;
        let expected: (Option<&[u8]>, &[u8]) = (Some(b"user_001"), br#"{"action":"login"}"#);
        assert_eq!(split(line, b":"), Some(expected));
        assert_eq!(split(b"nokeyhere", b":"), None);
        assert_eq!(split(b"k => v", b" => "), Some((Some(&b"k"[..]), &b"v"[..])));
    }

    #[test]
    fn lines_are_read_whole_and_the_last_needs_no_break() {
        let mut input =
            std::io::BufReader::with_capacity(8, &b"one\ntwo\nlonger than eight\nend"[..]);
        let mut chunks = Vec::new();
        loop {
            let chunk = read_lines(&mut input).unwrap();
            if chunk.is_empty() {
                break;
            }
            chunks.push(String::from_utf8(chunk).unwrap());
        }
        assert_eq!(chunks, ["one\ntwo\n", "longer than eight\n", "end"]);
    }
}
