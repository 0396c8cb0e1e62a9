//! `cargo xtask fuzz`: the fuzz targets over their corpora and mutations of them, for a while.

use std::process::Command;

use crate::Result;
use crate::cargo::cargo;

/// What `cargo xtask fuzz` takes.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How long in all; the targets share it evenly.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Only this target: frame, response, request, record_set, decompress, consumer_protocol, properties, connection,
    /// group_assignor, cluster_script.
    #[arg(long)]
    target: Option<String>,
    /// What the mutations are drawn from; the commit, unless told.
    #[arg(long)]
    seed: Option<u64>,
}

/// Runs the fuzz targets.
///
/// # Errors
/// When one of them found something; it has said how to run that input again.
pub(crate) fn run(args: &Args) -> Result {
    let mut command = command(args.seconds, args.seed);
    if let Some(target) = &args.target {
        command.args(["--target", target]);
    }
    let status = command.status()?;
    if status.success() { Ok(()) } else { Err(status.to_string().into()) }
}

/// All targets for so many seconds.
pub(crate) fn command(seconds: u64, seed: Option<u64>) -> Command {
    // Each commit tries inputs of its own, and the same ones wherever it is tested.
    let seed = seed.or_else(of_the_commit).unwrap_or(1);
    let mut command = cargo();
    command.args(["run", "--quiet", "--profile", "sim", "--package", "milena-fuzz", "--", "run"]);
    command.args(["--seconds", &seconds.to_string(), "--seed", &seed.to_string()]);
    command
}

fn of_the_commit() -> Option<u64> {
    let output = Command::new("git").args(["rev-parse", "HEAD"]).output().ok()?;
    let commit = String::from_utf8(output.stdout).ok()?;
    u64::from_str_radix(commit.get(..8)?, 16).ok()
}
