//! Writes `docs/configuration.md` from the client's own table of keys.
//!
//! The page is committed, so that it can be read without building; `--check` says when it is stale.

use std::fs;

use crate::Result;
use crate::cargo::{cargo, output, root};

const PAGE: &str = "docs/configuration.md";

/// What `cargo xtask config` takes.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only compare, and fail when the committed page is stale.
    #[arg(long)]
    check: bool,
}

/// Writes or compares.
///
/// # Errors
/// When the page is stale, or the client does not build.
pub(crate) fn run(args: &Args) -> Result {
    let mut command = cargo();
    command.args(["run", "--quiet", "--package", "milena", "--example", "configuration"]);
    let text = output(command.current_dir(root()))?;
    let text = format!("{}\n", text.trim_end());
    let page = root().join(PAGE);
    if !args.check {
        fs::write(page, text)?;
        println!("{PAGE} written");
    } else if fs::read_to_string(page).ok() != Some(text) {
        return Err(format!("stale, run `cargo xtask config`: {PAGE}").into());
    }
    Ok(())
}
