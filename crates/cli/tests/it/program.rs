//! Runs the program.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use milena_broker::Broker;

/// What a run left behind.
pub(crate) struct Run {
    pub(crate) status: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    fn of(output: Output) -> Self {
        Self {
            status: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).expect("text"),
            stderr: String::from_utf8(output.stderr).expect("text"),
        }
    }

    /// The output of a run that must have succeeded.
    pub(crate) fn done(self) -> String {
        assert_eq!(self.status, 0, "{}", self.stderr);
        self.stdout
    }
}

/// Runs `milena` with `args` against `broker`, with `input` on its standard input.
pub(crate) async fn milena(broker: &Broker, args: &[&str], input: &str) -> Run {
    let servers = broker.bootstrap_servers();
    alone(&[&["-b", servers.as_str()], args].concat(), input).await
}

/// Runs `milena` with `args` against `broker`, with an output that nobody reads any more.
pub(crate) async fn into_a_closed_pipe(broker: &Broker, args: &[&str]) -> Run {
    let servers = broker.bootstrap_servers();
    let mut command = program(&[&["-b", servers.as_str()], args].concat());
    let (reader, writer) = std::io::pipe().expect("pipes are there");
    drop(reader);
    command.stdin(Stdio::null()).stdout(writer).stderr(Stdio::piped());
    let run = move || command.spawn().expect("the program was built").wait_with_output();
    let output = tokio::task::spawn_blocking(run).await.expect("it does not panic");
    Run::of(output.expect("its pipes are read"))
}

/// Runs `milena` with `args` and nothing else.
pub(crate) async fn alone(args: &[&str], input: &str) -> Run {
    let mut command = program(args);
    let input = input.to_owned();
    let run = move || {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program was built");
        // A program that fails early does not read what it is given.
        let _ = child.stdin.take().expect("it is piped").write_all(input.as_bytes());
        child.wait_with_output().expect("its pipes are read")
    };
    let output = tokio::task::spawn_blocking(run).await.expect("it does not panic");
    Run::of(output)
}

pub(crate) fn program(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_milena"));
    command.args(args).env_remove("KAFKA_BOOTSTRAP_SERVERS").env_remove("RUST_LOG");
    command
}

/// A broker of one node with the topic `orders` of three partitions.
pub(crate) async fn broker() -> Broker {
    Broker::builder().topic("orders", 3).start().await.expect("a free port")
}
