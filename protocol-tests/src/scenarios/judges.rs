//! Other people's clients: they work on every cluster that ours does, and share groups with ours.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use milena::Record;
use tokio::process::Command;

use super::{classic_groups, consumer_groups};
use crate::Result;
use crate::member::until;
use crate::target::{Target, Version};
use crate::user::{connect, create};

/// The first of them builds its judge.
pub(super) const LIMIT: Duration = Duration::from_secs(600);

/// Before this version settings of topics are not altered one by one (KIP-339), nor committed offsets deleted (KIP-496).
pub(super) const JAVA_SINCE: Version = Version::of(2, 4, 0);

/// Programs in `judges/`, all with the same arguments.
#[derive(Clone, Copy, Debug)]
enum Judge {
    FranzGo,
    Java,
    Librdkafka,
    Streams,
}

use Judge::{FranzGo, Java, Librdkafka, Streams};

/// What stands for the consumer protocol where a strategy is asked for: the coordinator has it.
const CONSUMER_PROTOCOL: &str = "consumer";

impl Judge {
    /// Itself and nothing in between, so that whoever gives up kills it.
    fn command(self, on: &Target) -> Result<Command> {
        let mut command = match self {
            FranzGo => Command::new(program()?),
            Java => on.java(&folder("java").join("Judge.java")),
            Librdkafka => {
                let mut python = Command::new("python3");
                python.arg(folder("librdkafka").join("judge.py"));
                python
            }
            Streams => {
                let mut java = Command::new("java");
                java.arg("-cp")
                    .arg(jars()?.join("*"))
                    .arg(folder("streams").join("WordCount.java"));
                java
            }
        };
        command.stdin(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        Ok(command)
    }

    /// Builds it, or looks whether what it needs is installed; says loudly if not, and fails where nothing may be left
    /// out.
    async fn is_there(self) -> Result<bool> {
        let (mut probe, what) = match self {
            // Kafka's own programs need no less.
            Java => return Ok(true),
            FranzGo => {
                let mut build = Command::new("go");
                build.args(["build", "-o"]).arg(program()?).arg(".");
                build.current_dir(folder("franz-go"));
                (build, "Go and its modules")
            }
            Librdkafka => {
                let mut import = Command::new("python3");
                import.args(["-c", "import confluent_kafka"]);
                (import, "python3 with confluent-kafka")
            }
            Streams if std::fs::read_dir(jars()?).is_ok_and(|mut jars| jars.next().is_some()) => {
                return Ok(true);
            }
            Streams => {
                let mut copy = Command::new("mvn");
                copy.args(["-q", "dependency:copy-dependencies"]);
                copy.arg(format!("-DoutputDirectory={}", jars()?.display()));
                copy.current_dir(folder("streams"));
                (copy, "a JDK, Maven and the jars of Kafka Streams")
            }
        };
        let probed = probe.stdin(Stdio::null()).kill_on_drop(true).output().await;
        let why = match probed {
            Ok(output) if output.status.success() => return Ok(true),
            Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
            Err(error) => error.to_string(),
        };
        let missing = format!("{self:?} needs {what}: {}", why.trim());
        if std::env::var("CI").is_ok_and(|value| value == "true") {
            return Err(missing.into());
        }
        println!("!!!!        NOT RUN: {missing}");
        Ok(false)
    }

    /// Runs it to its end, and gives what it printed.
    async fn run(self, on: &Target, verb: &str, args: &[&str]) -> Result<String> {
        let mut command = self.command(on)?;
        command.args([verb, "-bootstrap-servers", on.bootstrap_servers()]).args(args);
        let output = command.stdout(Stdio::piped()).output().await?;
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        let why = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{self:?} {verb}: {told}\n{why}");
        Ok(told)
    }
}

pub(super) async fn franz_go_is_at_home(on: Arc<Target>) -> Result {
    alone(&on, FranzGo, &["cooperative-sticky"]).await
}

pub(super) async fn librdkafka_is_at_home(on: Arc<Target>) -> Result {
    alone(&on, Librdkafka, &["cooperative-sticky"]).await
}

pub(super) async fn java_is_at_home(on: Arc<Target>) -> Result {
    alone(&on, Java, &with_consumer_protocol(&on, &["cooperative-sticky"])).await
}

pub(super) async fn members_of_franz_go_and_ours_share_one_group(on: Arc<Target>) -> Result {
    mixed(&on, FranzGo, &["range", "sticky", "cooperative-sticky"]).await
}

pub(super) async fn members_of_librdkafka_and_ours_share_one_group(on: Arc<Target>) -> Result {
    mixed(&on, Librdkafka, &["range", "roundrobin", "cooperative-sticky"]).await
}

pub(super) async fn members_of_java_and_ours_share_one_group(on: Arc<Target>) -> Result {
    let strategies = ["range", "roundrobin", "sticky", "cooperative-sticky"];
    mixed(&on, Java, &with_consumer_protocol(&on, &strategies)).await
}

pub(super) async fn kafka_streams_is_at_home(on: Arc<Target>) -> Result {
    count_words(&on, &[]).await
}

pub(super) async fn kafka_streams_is_at_home_with_transactions_and_copies(
    on: Arc<Target>,
) -> Result {
    count_words(&on, &["-guarantee", "exactly_once_v2", "-standbys", "1"]).await
}

/// Two instances share the tasks of one application, one leaves, and no word is lost or counted twice.
async fn count_words(on: &Target, more: &[&str]) -> Result {
    if !Streams.is_there().await? {
        return Ok(());
    }
    let application = on.unique("words");
    let replicas = on.choice().brokers.min(3).to_string();
    let args = ["-application", &application, "-replicas", &replicas];
    let told = Streams.run(on, "count", &[&args[..], more].concat()).await?;
    let expected = ["black 3", "blue 6", "fish 24", "new 3", "old 3", "one 3", "red 3", "two 3"];
    assert_eq!(told.lines().collect::<Vec<_>>(), expected);
    Ok(())
}

/// Groups of Kafka Streams are there (KIP-1071).
pub(super) fn fits_streams(on: &Target) -> bool {
    *on.version() >= Version::of(4, 2, 0)
}

fn with_consumer_protocol<'a>(on: &Target, strategies: &[&'a str]) -> Vec<&'a str> {
    let protocol = consumer_groups::is_spoken(on).then_some(CONSUMER_PROTOCOL);
    strategies.iter().copied().chain(protocol).collect()
}

/// The judge administers, produces, reads in a group and uses transactions, and says itself what must hold.
async fn alone(on: &Target, judge: Judge, strategies: &[&str]) -> Result {
    if !judge.is_there().await? {
        return Ok(());
    }
    for strategy in strategies {
        let (topic, group) = (on.unique("judged"), on.unique("judge"));
        let replicas = on.choice().brokers.min(3).to_string();
        let args = ["-topic", &topic, "-group", &group, "-replicas", &replicas];
        let args = [&args[..], &["-strategy", strategy]].concat();
        judge.run(on, "alone", &args).await?;
    }
    Ok(())
}

/// One of ours and one of theirs: each has two partitions of four, the same ones in the eyes of both, and reads what is
/// in them; the other goes on where they left off.
async fn mixed(on: &Target, judge: Judge, strategies: &[&str]) -> Result {
    const EACH: usize = 10;
    if !judge.is_there().await? {
        return Ok(());
    }
    for strategy in strategies {
        let kafka = connect(on).await?;
        let (topic, group) = (on.unique("judged"), on.unique("mixed"));
        create(&kafka, on, &topic, 4).await?;
        let ours = if *strategy == CONSUMER_PROTOCOL {
            consumer_groups::hasten(on, &group, SESSION_MS).await?;
            consumer_groups::join(&kafka, &group, &topic, &[]).await?
        } else {
            let settings = [("partition.assignment.strategy", *strategy)];
            classic_groups::join(&kafka, &group, &topic, &settings).await?
        };
        until("ours has all", || ours.owned().len() == 4).await?;
        let count = (2 * EACH).to_string();
        let args = ["-topic", &topic, "-group", &group, "-strategy", strategy, "-count", &count];
        let theirs = judge.run(on, "member", &args);
        let meanwhile = async {
            until("both have two", || ours.owned().len() == 2).await?;
            let mine: BTreeSet<i32> = ours.owned().into_iter().collect();
            let producer = kafka.producer().build().await?;
            for number in 0..EACH {
                for partition in 0..4 {
                    let value = format!("{partition}-{number}");
                    let record = Record::to(topic.as_str()).partition(partition).value(value);
                    producer.send(record).await?;
                }
            }
            producer.close(Duration::from_secs(30)).await?;
            Result::Ok(mine)
        };
        // Whichever fails first is the cause; the other would wait for it in vain.
        let (told, mine) = tokio::try_join!(theirs, meanwhile)?;
        let mut read: Vec<&str> = told.lines().collect();
        read.sort_unstable();
        let is_theirs = |partition: &i32| !mine.contains(partition);
        let expected: Vec<String> = (0..4)
            .filter(is_theirs)
            .flat_map(|partition| (0..EACH).map(move |number| format!("{partition}-{number}")))
            .collect();
        assert_eq!(read, expected, "{judge:?}, {strategy}");
        until("ours has all again", || ours.owned().len() == 4).await?;
        until("ours has read its own", || ours.seen().records.len() == 2 * EACH).await?;
        let seen = ours.stop().await?;
        let is_once = seen
            .records
            .iter()
            .all(|((partition, _), times)| *times == 1 && mine.contains(&partition.partition));
        assert!(is_once, "{judge:?}, {strategy}: {:?}", seen.records);
    }
    Ok(())
}

/// Nobody goes without a word here.
const SESSION_MS: u32 = 45_000;

/// Where a judge's sources are.
fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("judges").join(name)
}

/// What franz-go's judge is built to: beside this program, in the target folder.
fn program() -> Result<PathBuf> {
    Ok(std::env::current_exe()?.with_file_name("judge-franz-go"))
}

/// Where the jars of Kafka Streams are copied to.
fn jars() -> Result<PathBuf> {
    Ok(std::env::current_exe()?.with_file_name("judge-streams"))
}
