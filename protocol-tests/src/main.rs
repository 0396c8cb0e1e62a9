//! One suite, many brokers: the same scenarios on the embedded broker and on real Apache Kafka.
//!
//! A scenario is a plain async function over a [`Target`] and fails by panicking or by returning an
//! error. [`suite::run`] runs the scenarios that a target can hold. Run it as
//! `cargo run -p protocol-tests -- --help` says; `cargo test` runs what needs no Java.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a scenario fails by panicking, as any test"
)]

mod compare;
mod kafka;
mod scenarios;
mod suite;
mod target;

use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;

use crate::scenarios::SCENARIOS;
use crate::suite::Tally;
use crate::target::{Choice, Target};

/// What a scenario ends with.
type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Runs the suite on the embedded broker and on real Apache Kafka.
#[derive(Parser)]
struct Cli {
    /// Clusters to run on: embedded, embedded-x3, 4.4.0, 4.4.0-x3, 3.9.2, 2.8.2 ...
    #[arg(default_values = ["embedded", "embedded-x3", "4.4.0", "4.4.0-x3", "3.9.2", "2.8.2"])]
    on: Vec<Choice>,
    /// Only scenarios whose name contains this.
    #[arg(long, default_value = "")]
    only: String,
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let mut tally = Tally::default();
    for choice in &cli.on {
        match Target::start(choice).await {
            Ok(target) => {
                tally.add(suite::run(&Arc::new(target), SCENARIOS, &cli.only).await);
            }
            Err(e) => {
                println!("{choice} did not start: {e}");
                tally.failed += 1;
            }
        }
    }
    println!("{} passed, {} failed", tally.passed, tally.failed);
    if tally.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
