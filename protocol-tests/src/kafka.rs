//! Real Apache Kafka, started and broken through `kafka/kafka-cluster`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use serde::Deserialize;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::Result;

/// A cluster of real brokers on loopback. Dropping it kills the brokers and deletes their data;
/// should this process die first, the cluster's own watchdog does.
#[derive(Debug)]
pub(crate) struct RealCluster {
    dir: PathBuf,
    description: Description,
}

/// What the script says of a cluster.
#[derive(Debug, Deserialize)]
struct Description {
    bootstrap: BTreeMap<String, String>,
}

impl RealCluster {
    /// Starts `brokers` brokers of `version`, as `4.4.0`, with one feature at another level, as `name=level`, and with
    /// these settings, as `name=value`; with `racks` broker n is in `rack-n`, of three, and followers serve readers; with `acl`
    /// clients may only do what they are allowed to.
    ///
    /// The first start of a version downloads it, which takes up to a minute.
    ///
    /// # Errors
    /// What the script said, as that there is no Java.
    pub(crate) async fn start(
        version: &str,
        brokers: u32,
        feature: Option<&str>,
        configs: &[&str],
        racks: bool,
        acl: bool,
    ) -> Result<Self> {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let nth = STARTED.fetch_add(1, Ordering::Relaxed);
        let pid = std::process::id();
        let dir = std::env::temp_dir().join(format!("milena-kafka-{pid}-{nth}"));
        let mut start = script("start");
        start.arg("--dir").arg(&dir).args(["--version", version, "--json"]);
        start.args(["--brokers", &brokers.to_string(), "--owner-pid", &pid.to_string()]);
        if let Some(feature) = feature {
            start.args(["--feature", feature]);
        }
        if racks {
            start.arg("--racks");
        }
        if acl {
            start.arg("--acl");
        }
        for config in configs {
            start.args(["--config", config]);
        }
        let description = serde_json::from_str(&said(start).await?)?;
        Ok(Self { dir, description })
    }

    /// Addresses of all brokers, with commas.
    pub(crate) fn bootstrap_servers(&self) -> &str {
        &self.description.bootstrap["plaintext"]
    }

    /// Ends a broker as a power cut does.
    ///
    /// # Errors
    /// What the script said.
    pub(crate) async fn kill_broker(&self, broker: i32) -> Result {
        self.on("kill-broker", broker).await
    }

    /// Brings a killed broker back with its data and its port, and waits until it serves.
    ///
    /// # Errors
    /// What the script said.
    pub(crate) async fn start_broker(&self, broker: i32) -> Result {
        self.on("start-broker", broker).await
    }

    /// Has a broker end by itself, as for a new release.
    ///
    /// # Errors
    /// What the script said.
    pub(crate) async fn stop_broker(&self, broker: i32) -> Result {
        let mut command = self.about("kill-broker", broker);
        command.arg("--graceful");
        said(command).await.map(drop)
    }

    /// A broker stands still, with its connections open.
    ///
    /// # Errors
    /// What the script said.
    pub(crate) async fn pause_broker(&self, broker: i32) -> Result {
        self.on("pause", broker).await
    }

    /// A broker that stands still goes on.
    ///
    /// # Errors
    /// What the script said.
    pub(crate) async fn resume_broker(&self, broker: i32) -> Result {
        self.on("resume", broker).await
    }

    async fn on(&self, verb: &str, broker: i32) -> Result {
        said(self.about(verb, broker)).await.map(drop)
    }

    fn about(&self, verb: &str, broker: i32) -> Command {
        let mut command = script(verb);
        command.arg("--dir").arg(&self.dir).arg(broker.to_string());
        command
    }
}

impl Drop for RealCluster {
    fn drop(&mut self) {
        let mut stop = std::process::Command::new(program());
        stop.arg("stop").arg("--dir").arg(&self.dir);
        stop.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        // The watchdog is left if this fails.
        _ = stop.status();
    }
}

/// What one of Kafka's own programs said.
#[derive(Debug)]
pub(crate) struct Told {
    /// Exit code 0.
    pub(crate) success: bool,
    /// Standard output.
    pub(crate) stdout: String,
    /// Standard error.
    pub(crate) stderr: String,
}

impl Told {
    /// Standard output, of a program that must succeed.
    ///
    /// # Panics
    /// With all that it said, if it failed.
    pub(crate) fn expect_success(self) -> String {
        assert!(self.success, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self.stdout
    }
}

/// Runs one of Kafka's own programs, as `kafka-topics`, of `version` against `bootstrap_servers`,
/// with `input` on its standard input.
///
/// Each is a JVM of its own: 0.5 to 2 s and 150 MiB, so start few at a time.
///
/// # Errors
/// If the script cannot be started; a program that fails is told by [`Told::success`].
pub(crate) async fn tool(
    version: &str,
    bootstrap_servers: &str,
    name: &str,
    args: &[&str],
    input: &str,
) -> Result<Told> {
    let mut command = script("tool");
    let server = match name {
        "kafka-transactional-message-copier" => "--broker-list",
        _ => "--bootstrap-server",
    };
    command.args(["--version", version, name, "--", server, bootstrap_servers]).args(args);
    told(command, input).await
}

/// A program in Java that is one source file: compiled as it is started, with the jars of Kafka `version` to use.
pub(crate) fn java(version: &str, source: &Path) -> Command {
    let mut command = script("tool");
    command.args(["--version", version]).arg(source).arg("--");
    command
}

/// Runs a program to its end, with `input` on its standard input.
///
/// # Errors
/// If it cannot be started; one that fails is told by [`Told::success`].
pub(crate) async fn told(mut command: Command, input: &str) -> Result<Told> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.kill_on_drop(true).spawn()?;
    let mut stdin = child.stdin.take().ok_or("no standard input")?;
    let input = input.to_owned();
    // A program that ends early closes the pipe; what it says tells why.
    let write = async move { _ = stdin.write_all(input.as_bytes()).await };
    let ((), output) = tokio::join!(write, child.wait_with_output());
    let output = output?;
    Ok(Told {
        success: output.status.success(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

fn program() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("kafka/kafka-cluster")
}

fn script(verb: &str) -> Command {
    let mut command = Command::new(program());
    command.arg(verb).stdin(Stdio::null());
    command
}

async fn said(mut command: Command) -> Result<String> {
    let Output { status, stdout, stderr } = command.output().await?;
    if status.success() {
        Ok(String::from_utf8(stdout)?)
    } else {
        let why = String::from_utf8_lossy(&stderr);
        Err(format!("{:?}: {status}\n{why}", command.as_std()).into())
    }
}
