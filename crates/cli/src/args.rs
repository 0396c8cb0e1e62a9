//! The command line, and what every command shares of it.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use milena::{Kafka, KafkaBuilder, ProducerBuilder};

use crate::failure::Failure;
use crate::{consume, demo, dev, perf, produce, topic};

const EXAMPLES: &str = "\
Examples:
  milena demo                                   see records produced, stored and consumed, without a broker
  milena dev --topic orders:3                   start a broker in this process
  echo 'hello' | milena produce orders          send a line
  milena consume orders -e                      read all there is
  milena -b broker1:9092 topic list             ask another cluster";

/// Apache Kafka's tools in one program, without a JVM.
#[derive(Debug, Parser)]
#[command(name = "milena", version, after_help = EXAMPLES, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) connection: Connection,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start a broker in this process, for development
    Dev(dev::DevArgs),
    /// Produce five records, consume them with a group of three, and show the group
    Demo(demo::DemoArgs),
    /// Send lines from standard input
    Produce(produce::ProduceArgs),
    /// Print records
    Consume(consume::ConsumeArgs),
    /// List, create, describe and delete topics
    Topic(topic::TopicArgs),
    /// Measure producing or consuming
    Perf(perf::PerfArgs),
}

/// Which cluster to talk to, and how.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Connection {
    /// Brokers to start from, as host:port separated by commas [default: $KAFKA_BOOTSTRAP_SERVERS, else localhost:9092]
    #[arg(short = 'b', long, global = true, value_name = "SERVERS")]
    pub(crate) bootstrap_server: Option<String>,

    /// A client setting by its Java name; may be repeated
    #[arg(short = 'X', global = true, value_name = "KEY=VALUE", value_parser = pair)]
    pub(crate) setting: Vec<(String, String)>,

    /// A Java .properties file with client settings
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) command_config: Option<PathBuf>,
}

/// How records are sent, of every command that sends some.
#[derive(Args, Debug)]
pub(crate) struct SendingArgs {
    /// Who must have stored a record before it counts: all, 1 or 0
    #[arg(long)]
    acks: Option<String>,

    /// Compress batches: none, gzip, snappy, lz4 or zstd
    #[arg(long)]
    compression: Option<String>,
}

impl SendingArgs {
    pub(crate) fn producer(&self, kafka: &Kafka) -> Result<ProducerBuilder, Failure> {
        let mut producer = kafka.producer();
        if let Some(acks) = &self.acks {
            producer = producer.set("acks", acks)?;
        }
        if let Some(compression) = &self.compression {
            producer = producer.set("compression.type", compression)?;
        }
        Ok(producer)
    }
}

impl Connection {
    /// Connects: flags win over `-X`, that over the file, that over the environment.
    pub(crate) async fn connect(&self) -> Result<Kafka, Failure> {
        let (mut kafka, is_named) = self.builder()?;
        if !is_named {
            let servers = std::env::var("KAFKA_BOOTSTRAP_SERVERS");
            kafka = kafka.bootstrap_servers(servers.as_deref().unwrap_or(DEFAULT));
        }
        kafka.connect().await.map_err(Failure::from)
    }

    /// The client's settings, and whether a flag, `-X` or the file says where the cluster is.
    pub(crate) fn builder(&self) -> Result<(KafkaBuilder, bool), Failure> {
        let mut kafka = Kafka::builder().client_id("milena");
        let mut is_named = false;
        if let Some(path) = &self.command_config {
            let text = std::fs::read_to_string(path).map_err(|cause| {
                Failure::usage(format!("{} cannot be read: {cause}", path.display()))
            })?;
            is_named = text.lines().any(|line| line.trim_start().starts_with("bootstrap.servers"));
            kafka = kafka.from_properties(&text)?;
        }
        for (key, value) in &self.setting {
            is_named |= key == "bootstrap.servers";
            kafka = kafka.set(key, value)?;
        }
        if let Some(servers) = &self.bootstrap_server {
            return Ok((kafka.bootstrap_servers(servers), true));
        }
        Ok((kafka, is_named))
    }
}

const DEFAULT: &str = "localhost:9092";

/// Reads `key=value`.
pub(crate) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_value_may_hold_the_separator() {
        assert_eq!(pair("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert!(pair("=b").is_err());
    }
}
