//! `milena dev`: a broker in this process.

mod metrics;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use milena_broker::{Broker, Release, TopicSettings};

use self::metrics::MetricsPort;
use crate::args::pair;
use crate::failure::Failure;
use crate::interrupt::interrupted;
use crate::output;

const EXAMPLES: &str = "\
Examples:
  milena dev                                 one node on port 9092
  milena dev --nodes 3 --topic orders:6      three nodes, and a topic with six partitions
  milena dev --port 0                        on free ports; the first line says which
  milena dev --data-dir ./kafka              what is stored is there again after a restart
  milena dev -X log.retention.hours=1        keeps records for an hour
  milena dev --as-version 3.9                with the APIs, versions and features of Kafka 3.9";

/// Starts a broker in this process and keeps it until ^C. Without --data-dir, what it stores is gone with it.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DevArgs {
    /// The port of the first node; the others take those behind it. 0 takes free ones
    #[arg(long, default_value_t = 9092)]
    port: u16,

    /// How many nodes
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=100))]
    nodes: u8,

    /// A topic to create, as NAME or NAME:PARTITIONS; may be repeated
    #[arg(long = "topic", value_name = "NAME[:PARTITIONS]", value_parser = topic)]
    topics: Vec<(String, i32)>,

    /// Spreads the nodes over so many racks, rack-1 and on, and has followers serve readers of their rack; at most as
    /// many as there are nodes
    #[arg(long, default_value_t = 0, hide_default_value = true, value_name = "N")]
    racks: u8,

    /// A broker's setting by its name in Kafka's server.properties, as log.retention.bytes, message.max.bytes or
    /// num.partitions; may be repeated
    #[arg(short = 'X', id = "setting", value_name = "KEY=VALUE", value_parser = pair)]
    settings: Vec<(String, String)>,

    /// In the place of what other commands take: there is no cluster to be found.
    #[arg(short = 'b', long, hide = true)]
    bootstrap_server: Option<String>,

    /// Likewise.
    #[arg(long, hide = true)]
    command_config: Option<PathBuf>,

    /// The release of Kafka to play, from 2.1 to 4.4 [default: 4.4]
    #[arg(long, value_name = "RELEASE")]
    as_version: Option<Release>,

    /// A directory to keep what is stored in: what was acknowledged survives the end of the program, `kill -9` too. It is
    /// made if there is none. Restart with as many nodes
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,

    /// Judges by ACLs what clients may do, as Kafka's StandardAuthorizer; what no ACL is about everyone may. kafka-acls sets them
    #[arg(long)]
    authorizer: bool,

    /// A port where Prometheus finds counters of records and bytes by topic, at /metrics; Apache Kafka gives them by JMX, to JVMs alone. 0 takes a free one
    #[arg(long, value_name = "PORT")]
    metrics_port: Option<u16>,
}

/// Runs the command.
pub(crate) async fn run(args: DevArgs) -> Result<(), Failure> {
    let mut builder = Broker::builder().nodes(usize::from(args.nodes)).port(args.port);
    builder = builder.racks(usize::from(args.racks));
    if let Some(release) = args.as_version {
        builder = builder.as_version(release);
    }
    if args.bootstrap_server.is_some() || args.command_config.is_some() {
        let why = "dev starts a broker of its own: -b and --command-config are for other commands";
        return Err(Failure::usage(why));
    }
    for (name, value) in &args.settings {
        builder = builder.set(name, value).map_err(|why| Failure::usage(why.to_string()))?;
    }
    if args.authorizer {
        builder = builder.authorizer();
    }
    for (name, partitions) in args.topics {
        builder = builder.topic_with(TopicSettings::new(name, partitions));
    }
    let (port, data_dir) = (args.port, args.data_dir);
    if let Some(path) = &data_dir {
        builder = builder.data_dir(path);
    }
    let broker = builder.start().await.map_err(|cause| match &data_dir {
        None if cause.kind() == io::ErrorKind::InvalidInput => {
            Failure::new(format!("the broker cannot start: {cause}"))
        }
        None => Failure::new(format!(
            "the broker cannot start on port {port}: {cause}\n  does another one run there? choose with --port, or \
             take a free one with --port 0"
        )),
        Some(_) => Failure::new(format!(
            "the broker cannot start on port {port} with its data directory: {cause}"
        )),
    })?;
    let broker = Arc::new(broker);
    let servers = broker.bootstrap_servers();
    output::print(&format!("bootstrap.servers={servers}\n"))?;
    eprintln!("Try, in another terminal:");
    eprintln!("  echo 'k1:hello' | milena -b {servers} produce first-topic -K :");
    eprintln!("  milena -b {servers} consume first-topic --from beginning -e");
    eprintln!(
        "Kafka's own tools work too, with --bootstrap-server {servers}. ^C stops the broker."
    );
    match args.metrics_port {
        None => tokio::select! {
            () = interrupted() => {}
            error = broker.store_failure() => return Err(not_stored(&error)),
        },
        Some(port) => {
            let metrics = MetricsPort::bind(port).await.map_err(|cause| {
                Failure::new(format!("the counters cannot be had on port {port}: {cause}"))
            })?;
            eprintln!("Counters for Prometheus: {}", metrics.url()?);
            tokio::select! {
                () = interrupted() => {}
                error = broker.store_failure() => return Err(not_stored(&error)),
                () = metrics.serve(Arc::clone(&broker)) => {}
            }
        }
    }
    Ok(())
}

fn not_stored(error: &io::Error) -> Failure {
    Failure::new(format!("the broker stopped, since it cannot store any more: {error}"))
}

/// Reads `name` or `name:partitions`.
fn topic(text: &str) -> Result<(String, i32), String> {
    let (name, partitions) = text.split_once(':').unwrap_or((text, "1"));
    match partitions.parse() {
        Ok(partitions) if partitions > 0 && !name.is_empty() => Ok((name.to_owned(), partitions)),
        _ => Err("expected NAME or NAME:PARTITIONS, as orders:3".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_may_say_how_many_partitions_it_has() {
        assert_eq!(topic("orders:3"), Ok(("orders".to_owned(), 3)));
        assert_eq!(topic("orders"), Ok(("orders".to_owned(), 1)));
        assert!(topic("orders:0").is_err());
        assert!(topic(":3").is_err());
    }
}
