//! A broker of one's own: `milena dev`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use crate::program::alone;

/// A running `milena dev`, killed when it is dropped.
pub(crate) struct Dev {
    child: Child,
    pub(crate) servers: String,
    metrics: String,
}

impl Dev {
    fn start() -> Self {
        Self::with(&[])
    }

    /// One with further arguments.
    pub(crate) fn with(args: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_milena"));
        command.args(["dev", "--port", "0", "--metrics-port", "0", "--topic", "orders"]).args(args);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().expect("the program was built");
        // Before anything below can panic, so that nothing is left running.
        let mut dev = Self { child, servers: String::new(), metrics: String::new() };
        let mut printed = BufReader::new(dev.child.stdout.take().expect("piped")).lines();
        let mut told = BufReader::new(dev.child.stderr.take().expect("piped")).lines();
        let first = printed.next().expect("a line").expect("text");
        dev.servers = first.strip_prefix("bootstrap.servers=").expect("as documented").to_owned();
        let url = told.find_map(|line| {
            let line = line.expect("text");
            line.split("http://").nth(1).map(str::to_owned)
        });
        let url = url.expect("the counters' address");
        dev.metrics = url.split('/').next().expect("host and port").to_owned();
        dev
    }

    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(&self.metrics).expect("it listens");
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        answer
    }

    fn counter(&self, name: &str) -> u64 {
        let line = format!("kafka_server_brokertopicmetrics_{name}_total{{topic=\"orders\"}} ");
        let answer = self.get("/metrics");
        let value = answer.lines().find_map(|found| found.strip_prefix(&line));
        value.map_or(0, |value| value.parse().expect("a number"))
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        // It may have ended by itself; then the test fails by what it did not say.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn what_goes_in_and_out_is_counted_by_topic() {
    let dev = Dev::start();
    assert!(dev.get("/").starts_with("HTTP/1.1 404"));
    let empty = dev.get("/metrics");
    assert!(empty.starts_with("HTTP/1.1 200 OK\r\n"), "{empty}");
    assert!(empty.contains("# TYPE kafka_server_brokertopicmetrics_messagesin_total counter"));
    assert_eq!(dev.counter("messagesin"), 0);
    alone(&["-b", &dev.servers, "produce", "orders"], "one\ntwo\nthree\n").await.done();
    assert_eq!(dev.counter("messagesin"), 3);
    assert_eq!(dev.counter("bytesout"), 0);
    alone(&["-b", &dev.servers, "consume", "orders", "--from", "beginning", "-e"], "").await.done();
    let (bytes_in, bytes_out) = (dev.counter("bytesin"), dev.counter("bytesout"));
    assert!(bytes_in > 0 && bytes_out >= bytes_in, "{bytes_in} in, {bytes_out} out");
}

#[tokio::test]
async fn more_racks_than_nodes_are_refused() {
    let run = alone(&["dev", "--port", "0", "--racks", "3"], "").await;
    assert_eq!(run.status, 1, "{}", run.stderr);
    assert!(run.stderr.contains("racks = 3 is more than nodes = 1"), "{}", run.stderr);
    assert!(!run.stderr.contains("port"), "{}", run.stderr);
}

#[tokio::test]
async fn a_release_that_cannot_be_played_is_refused() {
    let run = alone(&["dev", "--as-version", "1.0"], "").await;
    assert_eq!(run.status, 2, "{}", run.stderr);
    assert!(run.stderr.contains("from 2.1 to 4.4"), "{}", run.stderr);
}

/// A word that is taken and does nothing would be noticed when the disk is full.
#[tokio::test]
async fn a_broker_s_setting_has_its_effect_and_one_that_means_nothing_is_refused() {
    let dev = Dev::with(&["-X", "message.max.bytes=200", "-X", "log.retention.hours=1"]);
    alone(&["-b", &dev.servers, "produce", "orders"], "small\n").await.done();
    let large = "x".repeat(300);
    let run = alone(&["-b", &dev.servers, "produce", "orders"], &large).await;
    assert_ne!(run.status, 0, "{}", run.stderr);
    for (args, why) in [
        (&["dev", "--port", "0", "-X", "retention.ms=1"][..], "retention.ms is no property"),
        (&["dev", "--port", "0", "-X", "log.retention.ms=soon"], "soon"),
        (&["-b", "localhost:1", "dev", "--port", "0"], "for other commands"),
    ] {
        let run = alone(args, "").await;
        assert_eq!(run.status, 2, "{}", run.stderr);
        assert!(run.stderr.contains(why), "{}", run.stderr);
    }
    let help = alone(&["dev", "--help"], "").await.done();
    assert!(help.contains("log.retention.bytes") && !help.contains("--bootstrap"), "{help}");
}
