//! Other people's clients: they work on every cluster that ours does, and share groups with ours.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use milena::Record;
use tokio::process::Command;

use super::classic_groups::join;
use crate::Result;
use crate::member::until;
use crate::target::Target;
use crate::user::{connect, create};

/// The first of them builds its judge.
pub(super) const LIMIT: Duration = Duration::from_secs(600);

/// Programs in `judges/`, all with the same arguments.
#[derive(Clone, Copy, Debug)]
enum Judge {
    FranzGo,
    Librdkafka,
}

use Judge::{FranzGo, Librdkafka};

impl Judge {
    /// Itself and nothing in between, so that whoever gives up kills it.
    fn command(self) -> Result<Command> {
        let mut command = match self {
            FranzGo => Command::new(program()?),
            Librdkafka => {
                let mut python = Command::new("python3");
                python.arg(folder("librdkafka").join("judge.py"));
                python
            }
        };
        command.stdin(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        Ok(command)
    }

    /// Builds it, or looks whether what it needs is installed; says loudly if not, and fails where nothing may be left
    /// out.
    async fn is_there(self) -> Result<bool> {
        let (mut probe, what) = match self {
            FranzGo => (Command::new("go"), "Go and its modules"),
            Librdkafka => (Command::new("python3"), "python3 with confluent-kafka"),
        };
        match self {
            FranzGo => {
                let build = probe.args(["build", "-o"]).arg(program()?).arg(".");
                build.current_dir(folder("franz-go"))
            }
            Librdkafka => probe.args(["-c", "import confluent_kafka"]),
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
        let mut command = self.command()?;
        command.args([verb, "-bootstrap-servers", on.bootstrap_servers()]).args(args);
        let output = command.stdout(Stdio::piped()).output().await?;
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        let why = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{self:?} {verb}: {told}\n{why}");
        Ok(told)
    }
}

pub(super) async fn franz_go_is_at_home(on: Arc<Target>) -> Result {
    alone(&on, FranzGo).await
}

pub(super) async fn librdkafka_is_at_home(on: Arc<Target>) -> Result {
    alone(&on, Librdkafka).await
}

pub(super) async fn members_of_franz_go_and_ours_share_one_group(on: Arc<Target>) -> Result {
    mixed(&on, FranzGo, &["range", "sticky", "cooperative-sticky"]).await
}

pub(super) async fn members_of_librdkafka_and_ours_share_one_group(on: Arc<Target>) -> Result {
    mixed(&on, Librdkafka, &["range", "roundrobin", "cooperative-sticky"]).await
}

/// The judge administers, produces, reads in a group and uses transactions, and says itself what must hold.
async fn alone(on: &Target, judge: Judge) -> Result {
    if !judge.is_there().await? {
        return Ok(());
    }
    let (topic, group) = (on.unique("judged"), on.unique("judge"));
    let replicas = on.choice().brokers.min(3).to_string();
    let args = ["-topic", &topic, "-group", &group, "-replicas", &replicas];
    judge.run(on, "alone", &args).await.map(drop)
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
        let settings = [("partition.assignment.strategy", *strategy)];
        let ours = join(&kafka, &group, &topic, &settings).await?;
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

/// Where a judge's sources are.
fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("judges").join(name)
}

/// What franz-go's judge is built to: beside this program, in the target folder.
fn program() -> Result<PathBuf> {
    Ok(std::env::current_exe()?.with_file_name("judge-franz-go"))
}
