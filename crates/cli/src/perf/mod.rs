//! `milena perf`: how fast a cluster takes and gives records, in the words of Kafka's own tools.

mod consume;
mod latency;
mod produce;

use clap::{Args, Subcommand};

use crate::args::Connection;
use crate::failure::Failure;

/// Measures producing or consuming.
#[derive(Args, Debug)]
pub(crate) struct PerfArgs {
    #[command(subcommand)]
    command: PerfCommand,
}

#[derive(Debug, Subcommand)]
enum PerfCommand {
    /// Send records of one size and print what `kafka-producer-perf-test` prints
    Produce(produce::PerfProduceArgs),
    /// Read records and print what `kafka-consumer-perf-test` prints
    Consume(consume::PerfConsumeArgs),
}

/// Runs the command.
pub(crate) async fn run(connection: &Connection, args: PerfArgs) -> Result<(), Failure> {
    match args.command {
        PerfCommand::Produce(args) => produce::run(connection, args).await,
        PerfCommand::Consume(args) => consume::run(connection, args).await,
    }
}
