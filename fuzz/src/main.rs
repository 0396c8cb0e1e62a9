//! Runs the fuzz targets: over their corpora, then over mutations of them for a while.
#![forbid(unsafe_code)]

mod campaign;
mod watchdog;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use milena_fuzz::{Target, check};

#[derive(Parser)]
#[command(name = "milena-fuzz", about = "Fuzz targets on stable Rust", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run every corpus, then mutations of it.
    Run {
        /// How long in all; the targets share it evenly.
        #[arg(long, default_value_t = 20)]
        seconds: u64,
        /// Only this one.
        #[arg(long, value_parser = target)]
        target: Option<Target>,
        /// What the mutations are drawn from.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Run one input.
    Replay {
        #[arg(value_parser = target)]
        target: Target,
        file: PathBuf,
    },
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Run { seconds, target, seed } => campaign::run(target, seconds, seed),
        Command::Replay { target, file } => replay(target, file),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(e) => {
            eprintln!("{e}");
            ExitCode::FAILURE
        }
    }
}

fn replay(target: Target, file: PathBuf) -> std::io::Result<bool> {
    let data = std::fs::read(file)?;
    // A panic prints where it happened.
    let outcome = check(target, &data);
    match &outcome {
        Ok(()) => println!("{target}: {} bytes, nothing wrong", data.len()),
        Err(failure) => println!("{target}: {failure}"),
    }
    Ok(outcome.is_ok())
}

fn target(name: &str) -> Result<Target, String> {
    let known = || Target::ALL.map(Target::name).join(", ");
    Target::from_name(name).ok_or_else(|| format!("the targets are {}", known()))
}
