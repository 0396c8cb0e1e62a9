//! Runs the fuzz targets: over their corpora, then over mutations of them for a while.
#![forbid(unsafe_code)]

mod campaign;
mod watchdog;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use milena_fuzz::{Target, check, corpus};

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
    /// Write what a target begins with into a folder, a file an input, for a fuzzer that keeps its inputs so.
    Seeds {
        #[arg(value_parser = target)]
        target: Target,
        folder: PathBuf,
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
        Command::Seeds { target, folder } => write_seeds(target, &folder),
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

fn write_seeds(target: Target, folder: &Path) -> std::io::Result<bool> {
    std::fs::create_dir_all(folder)?;
    let seeds = corpus::seeds(target)?;
    for (number, seed) in seeds.iter().enumerate() {
        std::fs::write(folder.join(format!("seed-{number}")), &seed.data)?;
    }
    println!("{target}: {} inputs in {}", seeds.len(), folder.display());
    Ok(true)
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
