//! The project's own chores: `cargo xtask test`, `tidy`, `fuzz`, `codegen`, `config`, `defects`.
//!
//! Everything that checks the repository is behind `cargo xtask test`; CI calls nothing else.
#![forbid(unsafe_code)]

mod cargo;
mod codegen;
mod config;
mod defects;
mod fuzz;
mod packages;
mod steps;
mod test;
mod tidy;

use std::error::Error;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// What a chore ends with; the error's text is all the user sees.
type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "The project's own chores", version)]
struct Cli {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Run every check that does not take hours, as CI does, and end with a table of them.
    Test(test::Args),
    /// Hold the sources and the dependency graph against the project's own rules.
    Tidy,
    /// Run the fuzz targets for a while.
    Fuzz(fuzz::Args),
    /// Write the protocol messages from Kafka's schemas.
    Codegen(codegen::Args),
    /// Write the reference of configuration keys from the table that parses them.
    Config(config::Args),
    /// Have Kafka's own classes write samples of every message.
    Golden(codegen::golden::Args),
    /// Plant known defects and have simulation find each.
    Defects(defects::Args),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().chore {
        Chore::Test(args) => test::run(&args),
        Chore::Tidy => tidy::run(),
        Chore::Fuzz(args) => fuzz::run(&args),
        Chore::Codegen(args) => codegen::run(&args),
        Chore::Config(args) => config::run(&args),
        Chore::Golden(args) => codegen::golden::run(&args),
        Chore::Defects(args) => defects::run(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("{e}");
            ExitCode::FAILURE
        }
    }
}
