//! A program that reads in a group is killed with `kill -9` between its two steps: what each guarantee is worth, judged by
//! what is stored.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use milena::Record;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

use crate::Result;
use crate::copier::{Guarantee, Plan};
use crate::target::{Target, Version};
use crate::user::{connect, create};

/// Each kill is noticed after a session only.
pub(super) const LIMIT: Duration = Duration::from_secs(300);

/// The child is this program itself, which as a test has no such command.
pub(super) fn has_children(_: &Target) -> bool {
    !cfg!(test)
}

/// Before 2.5 a transaction's coordinator does not learn which member commits (KIP-447), and could not refuse one that
/// was killed and lives on; as in Java that is an error.
pub(super) const EXACTLY_ONCE_SINCE: Version = Version::of(2, 5, 0);

const PARTITIONS: i32 = 2;
const RECORDS: usize = 300;

/// Whole batches before each kill.
const KILLS: [usize; 3] = [2, 0, 3];

/// One child, from its start to its last word.
const PATIENCE: Duration = Duration::from_secs(120);

pub(super) async fn at_least_once_shows_duplicates_and_no_loss(on: Arc<Target>) -> Result {
    let counts = copied(&on, Guarantee::AtLeastOnce).await?;
    assert_eq!(lost(&counts), 0, "{counts:?}");
    assert!(doubled(&counts) >= KILLS.len(), "each kill doubles a batch: {counts:?}");
    Ok(())
}

pub(super) async fn at_most_once_shows_loss_and_no_duplicates(on: Arc<Target>) -> Result {
    let counts = copied(&on, Guarantee::AtMostOnce).await?;
    assert_eq!(doubled(&counts), 0, "{counts:?}");
    assert!(lost(&counts) >= KILLS.len(), "each kill loses a batch: {counts:?}");
    Ok(())
}

pub(super) async fn exactly_once_shows_neither(on: Arc<Target>) -> Result {
    let counts = copied(&on, Guarantee::ExactlyOnce).await?;
    assert_eq!((lost(&counts), doubled(&counts)), (0, 0), "{counts:?}");
    Ok(())
}

/// How often each number is in the copy.
type Counts = BTreeMap<usize, usize>;

fn lost(counts: &Counts) -> usize {
    RECORDS - counts.len()
}

fn doubled(counts: &Counts) -> usize {
    counts.values().filter(|count| **count > 1).count()
}

/// Copies, with kills in between, and counts what committed readers find.
async fn copied(on: &Target, guarantee: Guarantee) -> Result<Counts> {
    let kafka = connect(on).await?;
    let (source, target) = (on.unique("copy-from"), on.unique("copy-to"));
    create(&kafka, on, &source, PARTITIONS).await?;
    create(&kafka, on, &target, PARTITIONS).await?;
    let producer = kafka.producer().build().await?;
    for number in 0..RECORDS {
        let partition = i32::try_from(number)? % PARTITIONS;
        let record = Record::to(source.as_str()).partition(partition).value(number.to_string());
        drop(producer.send(record).enqueue().await?);
    }
    producer.close(PATIENCE).await?;
    let group = on.unique("copiers");
    let bootstrap_servers = on.bootstrap_servers().to_owned();
    let stall_after = None;
    let whole = Plan { bootstrap_servers, source, target, group, guarantee, stall_after };
    for batches in KILLS {
        let plan = Plan { stall_after: Some(batches), ..whole.clone() };
        timeout(PATIENCE, run(&plan, "stalled")).await.map_err(|_| "it did not stall")??;
    }
    timeout(PATIENCE, run(&whole, "done")).await.map_err(|_| "it did not end")??;
    stored(on, &whole.target).await
}

/// Runs a child until it says `word`, and kills it.
async fn run(plan: &Plan, word: &str) -> Result {
    let mut command = Command::new(std::env::current_exe()?);
    let guarantee = match plan.guarantee {
        Guarantee::AtLeastOnce => "at-least-once",
        Guarantee::AtMostOnce => "at-most-once",
        Guarantee::ExactlyOnce => "exactly-once",
    };
    command.arg("copy").args(["--bootstrap-servers", &plan.bootstrap_servers]);
    command.args(["--source", &plan.source, "--target", &plan.target]);
    command.args(["--group", &plan.group, "--guarantee", guarantee]);
    if let Some(batches) = plan.stall_after {
        command.args(["--stall-after", &batches.to_string()]);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn()?;
    let stdout = child.stdout.take().ok_or("no standard output")?;
    let mut lines = BufReader::new(stdout).lines();
    let said = lines.next_line().await?;
    if said.as_deref() != Some(word) {
        return Err(format!("the child said {said:?} instead of {word}").into());
    }
    // SIGKILL: neither destructors nor handlers run.
    child.kill().await?;
    Ok(())
}

async fn stored(on: &Target, topic: &str) -> Result<Counts> {
    let kafka = connect(on).await?;
    let all: Vec<_> = (0..PARTITIONS).map(|index| (topic, index)).collect();
    let builder = kafka.consumer_without_group().assign(all.clone());
    let builder = builder.set("auto.offset.reset", "earliest")?;
    let mut consumer = builder.set("isolation.level", "read_committed")?.build().await?;
    let handle = consumer.handle();
    let ends = handle.end_offsets(all).await?;
    let mut counts = Counts::new();
    let is_read = || {
        let positions = handle.positions();
        ends.iter().all(|(tp, end)| positions.get(tp).copied().flatten() >= Some(*end))
    };
    timeout(PATIENCE, async {
        while !is_read() {
            for message in &consumer.poll(Duration::from_millis(500)).await? {
                let text = std::str::from_utf8(message.value().unwrap_or_default())?;
                *counts.entry(text.parse()?).or_default() += 1;
            }
        }
        Result::Ok(())
    })
    .await
    .map_err(|_| "the copy could not be read to its end")??;
    consumer.close(PATIENCE).await?;
    Ok(counts)
}
