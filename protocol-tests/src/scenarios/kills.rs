//! A producer, a broker and a coordinator killed at random: of each transaction all is read, or nothing.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use milena_types::TopicPartition;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::{Instant, sleep, timeout};

use crate::Result;
use crate::target::Target;
use crate::user::{connect, create};
use crate::writer::Plan;

/// Brokers that are killed take their time to come back.
pub(super) const LIMIT: Duration = Duration::from_secs(300);

/// The whole, on a slow machine.
pub(super) const SOAK_LIMIT: Duration = Duration::from_secs(1200);

const PARTITIONS: i32 = 3;

/// As the aim says.
const RECORDS_EACH: usize = 750;

/// How long a transaction takes, most of which records are on their way.
const PACE: Duration = Duration::from_millis(400);

/// The last record of each partition, behind all transactions.
const END: &str = "end";

pub(super) async fn all_or_nothing_of_each_transaction_is_read(on: Arc<Target>) -> Result {
    killed(on, 30).await
}

pub(super) async fn all_or_nothing_of_a_hundred_thousand_records(on: Arc<Target>) -> Result {
    killed(on, 100_000usize.div_ceil(RECORDS_EACH)).await
}

/// What the writers said of each attempt at each transaction.
#[derive(Debug, Default)]
struct Account {
    said: BTreeMap<(usize, usize), &'static str>,
    /// The attempt that is under way.
    open: Option<(usize, usize)>,
    committed: usize,
}

impl Account {
    fn hear(&mut self, line: &str) -> Result {
        let words: Vec<_> = line.split(' ').collect();
        let [word, number, attempt] = words[..] else { return Err(line.into()) };
        let attempt = (number.parse()?, attempt.parse()?);
        let word = match word {
            "begun" => {
                self.open = Some(attempt);
                return Ok(());
            }
            "committed" => "committed",
            "aborted" => "aborted",
            "unknown" => "unknown",
            _ => return Err(line.into()),
        };
        self.open = None;
        self.committed += usize::from(word == "committed");
        self.said.insert(attempt, word);
        Ok(())
    }

    /// The writer was killed: nobody knows of the attempt that was under way. Says where the next is to begin.
    fn killed(&mut self) -> (usize, usize) {
        if let Some(open) = self.open.take() {
            self.said.insert(open, "unknown");
        }
        match self.said.last_key_value() {
            Some((&(number, _), &"committed")) => (number + 1, 0),
            Some((&(number, attempt), _)) => (number, attempt + 1),
            None => (0, 0),
        }
    }
}

/// A writer in a process of its own.
struct Writer {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Writer {
    fn start(plan: &Plan, (from, attempt): (usize, usize)) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("write").args(["--bootstrap-servers", &plan.bootstrap_servers]);
        command.args(["--topic", &plan.topic, "--transactional-id", &plan.transactional_id]);
        let numbers = [
            ("--partitions", plan.partitions.to_string()),
            ("--from", from.to_string()),
            ("--attempt", attempt.to_string()),
            ("--until", plan.until.to_string()),
            ("--records", plan.records.to_string()),
            ("--pace-ms", plan.pace_ms.to_string()),
        ];
        for (name, number) in numbers {
            command.arg(name).arg(number);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn()?;
        let stdout = child.stdout.take().ok_or("no standard output")?;
        Ok(Self { child, lines: BufReader::new(stdout).lines() })
    }
}

/// Writes `transactions` of 750 records while processes are killed, and has Kafka's own consumer say what is there.
async fn killed(on: Arc<Target>, transactions: usize) -> Result {
    let kafka = connect(&on).await?;
    let topic = on.unique("txn-kills");
    create(&kafka, &on, &topic, PARTITIONS).await?;
    let plan = Plan {
        bootstrap_servers: on.bootstrap_servers().to_owned(),
        topic: topic.clone(),
        partitions: PARTITIONS,
        transactional_id: topic.clone(),
        from: 0,
        attempt: 0,
        until: transactions,
        records: RECORDS_EACH,
        pace_ms: u64::try_from(PACE.as_millis())?,
    };
    let seed = fastrand::u64(..);
    println!("            seed {seed}");
    let started = Instant::now();
    let (account, kills) = write(&on, &plan, fastrand::Rng::with_seed(seed)).await?;
    let written = started.elapsed();

    let last = kafka.producer().transactional_id(format!("{topic}-end"));
    let mut last = last.build_transactional().await?;
    let end = last.begin().await?;
    for partition in 0..PARTITIONS {
        let record = milena::Record::to(topic.as_str()).partition(partition).value(END);
        end.send(record).enqueue().await?;
    }
    end.commit().await?;
    last.close(Duration::from_secs(30)).await?;

    let mut ours = read_to_the_end(&kafka, &topic).await?;
    let count = ours.len().to_string();
    let args = ["--topic", &topic, "--from-beginning", "--isolation-level", "read_committed"];
    let args = [&args[..], &["--max-messages", &count, "--timeout-ms", "60000"]].concat();
    let java = on.tool("kafka-console-consumer", &args, "").await?;
    let mut theirs: Vec<String> = java.lines().map(str::to_owned).collect();
    check(&account, &theirs)?;
    ours.sort_unstable();
    theirs.sort_unstable();
    assert!(ours == theirs, "our consumer and Java's read different records");

    let aborted = account.said.values().filter(|said| **said == "aborted").count();
    let unknown = account.said.values().filter(|said| **said == "unknown").count();
    println!(
        "            {} records in {transactions} transactions of {RECORDS_EACH} in {:.1} s; killed: {kills}; \
         attempts aborted {aborted}, cut off {unknown}; read by Java {}",
        transactions * RECORDS_EACH,
        written.as_secs_f64(),
        theirs.len() - usize::try_from(PARTITIONS)?,
    );
    Ok(())
}

/// Lets writers write until all is committed. Says what they said, and what was killed.
async fn write(on: &Arc<Target>, plan: &Plan, mut rng: fastrand::Rng) -> Result<(Account, String)> {
    let mut account = Account::default();
    let mut writer = Writer::start(plan, (0, 0))?;
    let (mut writers, mut brokers) = (0, 0);
    let mut outage: Option<tokio::task::JoinHandle<Result>> = None;
    let mut next_kill = Instant::now() + until_next_kill(&mut rng);
    while account.committed < plan.until {
        tokio::select! {
            biased;
            line = writer.lines.next_line() => {
                let Some(line) = line? else {
                    return Err(format!("the writer ended: {:?}", writer.child.wait().await).into());
                };
                account.hear(&line)?;
            }
            () = tokio::time::sleep_until(next_kill) => {
                let broker_is_down = outage.as_ref().is_some_and(|outage| !outage.is_finished());
                match rng.u8(..3) {
                    0 => {
                        writers += 1;
                        writer.child.kill().await?;
                        // What it said before it died is in the pipe.
                        while let Some(line) = writer.lines.next_line().await? {
                            account.hear(&line)?;
                        }
                        let next = account.killed();
                        writer = Writer::start(plan, next)?;
                    }
                    _ if broker_is_down => {}
                    _ => {
                        if let Some(outage) = outage.take() {
                            outage.await??;
                        }
                        // In turn, since both may be one: the coordinator, a leader, any.
                        let broker = match brokers % 3 {
                            0 => on.transaction_coordinator(&plan.transactional_id).await?,
                            1 => on.leader(&plan.topic).await?,
                            _ => i32::try_from(rng.u32(1..=on.choice().brokers))?,
                        };
                        brokers += 1;
                        let pause = Duration::from_millis(rng.u64(500..3000));
                        outage = Some(tokio::spawn(bounce(Arc::clone(on), broker, pause)));
                    }
                }
                next_kill = Instant::now() + until_next_kill(&mut rng);
            }
        }
    }
    if let Some(outage) = outage {
        outage.await??;
    }
    let kills = format!("the producer {writers} times, a broker {brokers} times");
    Ok((account, kills))
}

fn until_next_kill(rng: &mut fastrand::Rng) -> Duration {
    Duration::from_millis(rng.u64(200..3000))
}

/// Kills a broker and brings it back.
async fn bounce(on: Arc<Target>, broker: i32, pause: Duration) -> Result {
    on.kill_broker(broker).await?;
    sleep(pause).await;
    on.start_broker(broker).await?;
    // In sync again before another goes.
    sleep(Duration::from_secs(2)).await;
    Ok(())
}

/// The committed records of each partition up to its last.
async fn read_to_the_end(kafka: &milena::Kafka, topic: &str) -> Result<Vec<String>> {
    let all = (0..PARTITIONS).map(|partition| TopicPartition::new(topic, partition));
    let builder = kafka.consumer_without_group().assign(all);
    let builder = builder.set("auto.offset.reset", "earliest")?;
    let mut consumer = builder.set("isolation.level", "read_committed")?.build().await?;
    let (mut values, mut ends) = (Vec::new(), 0);
    while ends < PARTITIONS {
        let message = timeout(Duration::from_secs(60), consumer.try_next()).await;
        let message = message.map_err(|_| format!("{} records, then nothing", values.len()))??;
        let message = message.ok_or("the consumer was closed")?;
        let value = String::from_utf8_lossy(message.value().unwrap_or_default()).into_owned();
        ends += i32::from(value == END);
        values.push(value);
    }
    consumer.close(Duration::from_secs(30)).await?;
    Ok(values)
}

/// Of each attempt all records are there, each once, or none; of a committed one all, of an aborted one none.
fn check(account: &Account, read: &[String]) -> Result {
    let mut attempts: BTreeMap<(usize, usize), Vec<usize>> = BTreeMap::new();
    for value in read.iter().filter(|value| *value != END) {
        let mut parts = value.split(':').map(str::parse);
        let mut part = || -> Result<usize> { Ok(parts.next().ok_or_else(|| value.clone())??) };
        let (number, attempt, record) = (part()?, part()?, part()?);
        attempts.entry((number, attempt)).or_default().push(record);
    }
    for (attempt, records) in &mut attempts {
        records.sort_unstable();
        let whole: Vec<_> = (0..RECORDS_EACH).collect();
        assert_eq!(*records, whole, "transaction {attempt:?} is there in part or twice");
        let said = account.said.get(attempt);
        assert!(matches!(said, Some(&"committed" | &"unknown")), "{attempt:?} was {said:?}");
    }
    for (attempt, said) in &account.said {
        assert!(*said != "committed" || attempts.contains_key(attempt), "{attempt:?} is lost");
    }
    Ok(())
}
