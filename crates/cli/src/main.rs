//! The `milena` program: Apache Kafka's tools without a JVM.
//!
//! One file a command. Data goes to standard output and everything else to standard error; the exit status is 0 for
//! done, 1 for failed, 2 for a command line that cannot be read, 4 for something that does not exist, 5 for refused
//! credentials or missing rights, 124 for a time-out, 130 for one that was interrupted before it was
//! done.
#![forbid(unsafe_code)]

mod args;
mod consume;
mod demo;
mod dev;
mod failure;
mod format;
mod interrupt;
mod output;
mod perf;
mod produce;
mod table;
mod topic;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use args::{Cli, Command};
use failure::Failure;

fn main() -> ExitCode {
    let cli = Cli::parse();
    log();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(cause) => return Failure::from(cause).report(),
    };
    let result = runtime.block_on(run(cli));
    // A thread may still wait for a line of standard input; it must not hold up the exit.
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

/// Warnings go to standard error; `RUST_LOG` asks for more or less, as `RUST_LOG=milena=debug`.
fn log() {
    let filter =
        EnvFilter::builder().with_default_directive(LevelFilter::WARN.into()).from_env_lossy();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .compact()
        .init();
}

async fn run(cli: Cli) -> Result<(), Failure> {
    let Cli { connection, command } = cli;
    match command {
        Command::Dev(args) => dev::run(args).await,
        Command::Demo(args) => demo::run(&connection, args).await,
        Command::Produce(args) => produce::run(&connection, args).await,
        Command::Consume(args) => consume::run(&connection, args).await,
        Command::Topic(args) => topic::run(&connection, args).await,
        Command::Perf(args) => perf::run(&connection, args).await,
    }
}
