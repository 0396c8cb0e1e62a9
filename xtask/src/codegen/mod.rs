//! Writes the protocol messages of `milena-wire` from Kafka's schemas.

use std::path::PathBuf;

use crate::Result;

/// What `cargo xtask codegen` takes.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only compare, and fail when the committed code is stale.
    #[arg(long)]
    pub(crate) check: bool,
    /// The kafka-clients jar to read; without it, the one that Maven fetches.
    #[arg(long, value_name = "FILE")]
    pub(crate) jar: Option<PathBuf>,
}

/// Writes or compares.
pub(crate) fn run(args: &Args) -> Result {
    Err(format!("no generator yet (check {}, jar {:?})", args.check, args.jar).into())
}
