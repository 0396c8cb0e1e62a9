//! `milena demo`: records produced, stored and consumed by a group, in a few seconds.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::time::Duration;

use clap::Args;
use milena::config::OffsetReset;
use milena::{Consumer, ConsumerHandle, ErrorCode, Kafka, Record};
use milena_broker::Broker;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::args::Connection;
use crate::failure::Failure;
use crate::output;
use crate::table::{OffsetRow, OffsetTable};

const EXAMPLES: &str = "\
Examples:
  milena demo                                    on a cluster of three nodes in this process
  milena demo --bootstrap-server localhost:9092  on a cluster of yours: it gets the topic json-messages";

/// Produces five records, consumes them with a group of three, and shows the group.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DemoArgs {}

/// Runs the command.
pub(crate) async fn run(connection: &Connection, _args: DemoArgs) -> Result<(), Failure> {
    // Kept to the end: the cluster stops when its handle is dropped.
    let mut embedded = None;
    let (mut kafka, is_named) = connection.builder()?;
    if !is_named {
        let broker = Broker::builder().nodes(3).start().await?;
        kafka = kafka.bootstrap_servers(&broker.bootstrap_servers());
        eprintln!("cluster  three nodes in this process: {}", broker.bootstrap_servers());
        embedded = Some(broker);
    }
    let kafka = kafka.connect().await?;
    show(&kafka).await?;
    kafka.close(GRACE).await;
    drop(embedded);
    Ok(())
}

async fn show(kafka: &Kafka) -> Result<(), Failure> {
    match kafka.admin().create_topic(TOPIC).partitions(PARTITIONS).await {
        Ok(()) => eprintln!("topic    {TOPIC} with {PARTITIONS} partitions"),
        Err(error) if error.code() == Some(ErrorCode::TOPIC_ALREADY_EXISTS) => {
            eprintln!("topic    {TOPIC} is there already");
        }
        Err(error) => return Err(error.into()),
    }

    // The group first, so that its members have found their partitions when the records come.
    let mut members = Members::start(kafka).await?;
    members.settle().await?;
    eprintln!("group    {GROUP} with {MEMBERS} members");

    let producer = kafka.producer().build().await?;
    let mut stored = BTreeSet::new();
    for (key, value) in RECORDS {
        let metadata = producer.send(Record::to(TOPIC).key(key).value(value)).await?;
        stored.extend(metadata.offset().map(|offset| (metadata.partition(), offset)));
    }
    producer.close(GRACE).await?;
    eprintln!("produced {} records", RECORDS.len());

    for line in members.read(stored).await? {
        output::print(&format!("{line}\n"))?;
    }
    let rows = kafka.admin().group_offsets(GROUP).await?;
    let rows = rows.iter().filter(|row| row.partition().topic == TOPIC).map(|row| {
        let member = row.member();
        OffsetRow {
            group: GROUP.to_owned(),
            topic: row.partition().topic.to_string(),
            partition: row.partition().partition,
            committed: row.committed().map(|offset| offset.get()),
            log_end: row.log_end().map(|offset| offset.get()),
            member: member.map(|member| member.id().to_owned()),
            host: member.map(|member| member.host().to_owned()),
            client_id: member.map(|member| member.client_id().to_owned()),
        }
    });
    output::print(&format!("\n{}", OffsetTable { rows: rows.collect() }))?;
    members.stop().await
}

/// The group's members, each in a task of its own.
struct Members {
    handles: Vec<ConsumerHandle>,
    tasks: JoinSet<Result<(), Failure>>,
    lines: mpsc::Receiver<Line>,
}

/// A record that a member read: its partition, its offset, and how it is shown.
type Line = (i32, milena::Offset, String);

impl Members {
    async fn start(kafka: &Kafka) -> Result<Self, Failure> {
        let (sender, lines) = mpsc::channel(LINES_MAX);
        let mut members = Self { handles: Vec::new(), tasks: JoinSet::new(), lines };
        for _ in 0..MEMBERS {
            let consumer = kafka
                .consumer(GROUP)
                .auto_offset_reset(OffsetReset::Earliest)
                .enable_auto_commit(false)
                // Members hear of each other with their heartbeats; a demo should not wait for three seconds.
                .set("heartbeat.interval.ms", "100")?
                .subscribe([TOPIC])
                .build()
                .await?;
            members.handles.push(consumer.handle());
            members.tasks.spawn(read(consumer, sender.clone()));
        }
        Ok(members)
    }

    /// Waits until every member has a partition.
    async fn settle(&mut self) -> Result<(), Failure> {
        let all_have_one = async {
            loop {
                let mut settled = 0;
                for handle in &self.handles {
                    settled += usize::from(!handle.assignment().await?.is_empty());
                }
                if settled == self.handles.len() {
                    return Ok(());
                }
                sleep(GLANCE).await;
            }
        };
        match timeout(PATIENCE, all_have_one).await {
            Ok(settled) => settled,
            Err(_) => Err(Failure::new(
                "the group did not come to rest; is a member of it running elsewhere?",
            )),
        }
    }

    /// Waits until all of these records are read, and gives them in order of partition and offset.
    async fn read(
        &mut self,
        mut expected: BTreeSet<(i32, milena::Offset)>,
    ) -> Result<Vec<String>, Failure> {
        let mut read = BTreeSet::new();
        let all = async {
            while !expected.is_empty() {
                tokio::select! {
                    biased;
                    Some(line) = self.lines.recv() => {
                        expected.remove(&(line.0, line.1));
                        read.insert(line);
                    }
                    Some(ended) = self.tasks.join_next() => ended.unwrap_or_else(|e| Err(Failure::new(e.to_string())))?,
                    else => return Err(Failure::new("the members are gone")),
                }
            }
            Ok(())
        };
        match timeout(PATIENCE, all).await {
            Ok(done) => done?,
            Err(_) => return Err(Failure::new("the records did not come back in time")),
        }
        Ok(read.into_iter().map(|(_, _, line)| line).collect())
    }

    async fn stop(mut self) -> Result<(), Failure> {
        for handle in &self.handles {
            handle.close(GRACE).await?;
        }
        while let Some(ended) = self.tasks.join_next().await {
            ended.map_err(|e| Failure::new(e.to_string()))??;
        }
        Ok(())
    }
}

/// Reads until the consumer is closed, and commits what was handed on.
async fn read(mut consumer: Consumer, lines: mpsc::Sender<Line>) -> Result<(), Failure> {
    loop {
        let batch = match consumer.poll(GRACE).await {
            Ok(batch) => batch,
            Err(error) if error.kind() == milena::ErrorKind::Closed => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        batch.commit().await?;
        for message in &batch {
            let (partition, offset) = (message.partition(), message.offset());
            let line = format!(
                "{partition} {offset} {} => {}",
                text(message.key()),
                text(message.value())
            );
            // Nobody reads on once all expected records are there.
            let _ = lines.send((partition, offset, line)).await;
        }
    }
}

fn text(bytes: Option<&[u8]>) -> Cow<'_, str> {
    bytes.map_or("null".into(), String::from_utf8_lossy)
}

const TOPIC: &str = "json-messages";
const PARTITIONS: i32 = 3;
const GROUP: &str = "demo-group";
const MEMBERS: usize = 3;
const RECORDS: [(&str, &str); 5] = [
    ("user_001", r#"{"action":"login","timestamp":"2026-11-21T09:00:00Z"}"#),
    ("user_002", r#"{"action":"purchase","amount":99.5}"#),
    ("user_003", r#"{"action":"logout","timestamp":"2026-11-21T09:05:00Z"}"#),
    ("project_100", r#"{"status":"created","owner":"user_001"}"#),
    ("task_200", r#"{"status":"done","project":"project_100"}"#),
];
/// Longer than any healthy cluster needs for a rebalance.
const PATIENCE: Duration = Duration::from_secs(30);
const GRACE: Duration = Duration::from_secs(5);
const GLANCE: Duration = Duration::from_millis(20);
/// Lines that wait to be printed; members wait beyond that.
const LINES_MAX: usize = 1000;
