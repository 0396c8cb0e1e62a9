//! What `milena dev` tells Prometheus: the counters that Kafka has as `BrokerTopicMetrics`.

use std::fmt::Write;
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use milena_broker::{Broker, TopicMetrics};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

/// A port of the loopback where the counters can be read.
pub(super) struct MetricsPort {
    listener: TcpListener,
}

impl MetricsPort {
    /// Takes the port; 0 takes a free one.
    pub(super) async fn bind(port: u16) -> io::Result<Self> {
        Ok(Self { listener: TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await? })
    }

    /// Where Prometheus, or a browser, is to look.
    pub(super) fn url(&self) -> io::Result<String> {
        Ok(format!("http://{}/metrics", self.listener.local_addr()?))
    }

    /// Answers until it is dropped.
    pub(super) async fn serve(self, broker: Arc<Broker>) {
        let places = Arc::new(Semaphore::new(READERS_MAX));
        while let Ok(place) = Arc::clone(&places).acquire_owned().await {
            let Ok((stream, _)) = self.listener.accept().await else {
                // Out of file descriptors, most likely: they come back as connections close.
                sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let broker = Arc::clone(&broker);
            tokio::spawn(async move {
                // A reader that is slow or gone gets nothing; the next one reads the same counters.
                let _ = timeout(READER_PATIENCE, answer(stream, &broker)).await;
                drop(place);
            });
        }
    }
}

async fn answer(mut stream: TcpStream, broker: &Broker) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
        let left = HEAD_BYTES_MAX.saturating_sub(head.len());
        if (&mut stream).take(left as u64).read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let (status, body) = if head.starts_with(b"GET /metrics ") {
        ("200 OK", text(broker))
    } else {
        ("404 Not Found", "the counters are at /metrics\n".to_owned())
    };
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}

/// All counters in Prometheus' text format. Names of topics need no escape.
fn text(broker: &Broker) -> String {
    let topics = broker.topic_metrics();
    let mut text = String::new();
    for (name, help, counter) in COUNTERS {
        // Writing to a string does not fail.
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} counter");
        for (topic, metrics) in &topics {
            let _ = writeln!(text, "{name}{{topic=\"{topic}\"}} {}", counter(metrics));
        }
    }
    text
}

/// Name, meaning, value.
type Counter = (&'static str, &'static str, fn(&TopicMetrics) -> u64);

/// As dashboards for Kafka's own brokers know them.
const COUNTERS: [Counter; 3] = [
    (
        "kafka_server_brokertopicmetrics_messagesin_total",
        "Records stored, transaction markers among them.",
        |metrics| metrics.messages_in,
    ),
    (
        "kafka_server_brokertopicmetrics_bytesin_total",
        "Bytes of the batches stored, as they were sent.",
        |metrics| metrics.bytes_in,
    ),
    (
        "kafka_server_brokertopicmetrics_bytesout_total",
        "Bytes of the batches given to consumers.",
        |metrics| metrics.bytes_out,
    ),
];

/// A request has no more than a few lines.
const HEAD_BYTES_MAX: usize = 8 << 10;

/// Prometheus is one reader, and reads seldom.
const READERS_MAX: usize = 16;

/// How long one reader may take for all of it.
const READER_PATIENCE: Duration = Duration::from_secs(10);

const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
