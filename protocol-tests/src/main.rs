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
mod copier;
mod hoarder;
mod kafka;
mod ledger;
mod link;
mod member;
mod mortal;
mod program;
mod raw;
mod relay;
mod replicas;
mod scenarios;
mod storm;
mod suite;
mod target;
mod user;
mod writer;

use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use crate::scenarios::{ANSWERS, REFUSALS, SCENARIOS, SOAK};
use crate::suite::{Scenario, Tally};
use crate::target::{Choice, Target};

/// What a scenario ends with.
type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Holds the embedded broker and real Apache Kafka to the same claims.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Runs the scenarios on each cluster.
    Suite {
        /// Clusters to run on, as embedded, embedded-x3, 4.4.0, 4.4.0-x3, 4.4.0-tv1 (transactions of version 1), 2.8.2.
        #[arg(required = true)]
        on: Vec<Choice>,
        /// Only scenarios whose name contains this.
        #[arg(long, default_value = "")]
        only: String,
        /// The scenarios that take long, or other people's clients, instead: a million records while a leader dies,
        /// half a million through three groups. Use --release.
        #[arg(long)]
        soak: bool,
        /// Prints the names of what would run, and how many there are, instead.
        #[arg(long)]
        list: bool,
        /// Runs each scenario this many times: what fails now and then is found so.
        #[arg(long, default_value_t = 1)]
        repeat: usize,
    },
    /// Has records produced, copied in transactions and read by groups while brokers and connections break, and looks for
    /// each in the end.
    Storm {
        /// The cluster, of three brokers at least.
        #[arg(default_value = "4.4.0-x3")]
        on: Choice,
        #[command(flatten)]
        plan: storm::Plan,
    },
    /// Sends the same requests to two clusters and compares the answers field by field.
    Compare {
        /// One of them.
        #[arg(default_value = "embedded")]
        ours: Choice,
        /// The one that is right.
        #[arg(default_value = "4.4.0")]
        theirs: Choice,
    },
    /// Writes transactions until it is killed or done; a part of the scenarios about kills.
    #[command(hide = true)]
    Write(writer::Plan),
    /// Copies a topic until it is killed or done; a part of the scenarios about guarantees.
    #[command(hide = true)]
    Copy(copier::Plan),
    /// Produces when it has no descriptors left; a part of the scenarios about connections.
    #[command(hide = true)]
    Hoard(hoarder::Plan),
    /// Prints what a cluster answers to the requests of `compare`.
    Transcript {
        /// The cluster.
        #[arg(default_value = "4.4.0")]
        of: Choice,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    log();
    let tally = match Cli::parse().what {
        What::Suite { on, only, soak, list, repeat } => {
            let all = if soak {
                SOAK.to_vec()
            } else {
                [&[SCENARIOS], REFUSALS, ANSWERS].concat().concat()
            };
            suite(&on, &only, list, &all.repeat(repeat)).await
        }
        What::Storm { on, plan } => return end_of("storm", storm(&on, plan).await),
        What::Compare { ours, theirs } => compare(&ours, &theirs).await,
        What::Transcript { of } => return transcript(&of).await,
        What::Write(plan) => return end_of("writer", writer::write(&plan).await),
        What::Copy(plan) => return end_of("copier", copier::copy(&plan).await),
        What::Hoard(plan) => return end_of("hoarder", hoarder::hoard(&plan).await),
    };
    println!("{} passed, {} failed", tally.passed, tally.failed);
    if tally.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What clients log goes to standard error, where `RUST_LOG` asks for it, as `RUST_LOG=milena_engine=debug`.
fn log() {
    let asked = EnvFilter::from_default_env();
    tracing_subscriber::fmt().with_env_filter(asked).with_writer(std::io::stderr).compact().init();
}

async fn suite(on: &[Choice], only: &str, list: bool, scenarios: &[Scenario]) -> Tally {
    let mut tally = Tally::default();
    for choice in on {
        match Target::start(choice).await {
            Ok(target) if list => suite::list(&target, scenarios, only),
            Ok(target) => tally.add(suite::run(&Arc::new(target), scenarios, only).await),
            Err(e) => {
                println!("{choice} did not start: {e}");
                tally.failed += 1;
            }
        }
    }
    tally
}

async fn storm(on: &Choice, plan: storm::Plan) -> Result {
    storm::run(Arc::new(Target::start(on).await?), plan).await
}

async fn compare(ours: &Choice, theirs: &Choice) -> Tally {
    let both = async {
        let ours = Target::start_as_it_is(ours).await?;
        compare::run(&ours, &Target::start_as_it_is(theirs).await?).await
    };
    match both.await {
        Ok(exchanges) => {
            println!("{exchanges} answers of {ours} are those of {theirs}");
            Tally { passed: exchanges, failed: 0 }
        }
        Err(e) => {
            println!("{ours} and {theirs}: {e}");
            Tally { passed: 0, failed: 1 }
        }
    }
}

fn end_of(who: &str, result: Result) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("{who}: {e}");
            ExitCode::FAILURE
        }
    }
}

async fn transcript(of: &Choice) -> ExitCode {
    match async { compare::transcript(&Target::start_as_it_is(of).await?).await }.await {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            println!("{of}: {e}");
            ExitCode::FAILURE
        }
    }
}
