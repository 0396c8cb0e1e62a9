//! The `milena` program, as a user runs it.

use std::path::PathBuf;

use tokio::process::Command;

use crate::Result;
use crate::kafka::{Told, told};
use crate::target::Target;

/// Runs `milena` with `args` against this cluster, and with `input` on its standard input; asserts that it succeeds, and
/// gives what it printed.
///
/// # Errors
/// If it cannot be built or started.
pub(crate) async fn milena(on: &Target, args: &[&str], input: &str) -> Result<String> {
    let mut command = Command::new(built().await?);
    command.args(args).args(["--bootstrap-server", on.bootstrap_servers()]);
    command.env_remove("RUST_LOG");
    Ok(told(command, input).await?.expect_success())
}

/// Builds the program from the sources as they are, which takes no time where it is built, and says where it is: beside
/// this one.
async fn built() -> Result<PathBuf> {
    let here = std::env::current_exe()?;
    let folder = here.parent().ok_or("a program in no folder")?;
    let target = folder.parent().ok_or("a target folder that is a root")?;
    let profile = folder.file_name().and_then(|name| name.to_str()).ok_or("no profile")?;
    let profile = if profile == "debug" { "dev" } else { profile };
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    // With this package's features, so that what both are made of is there.
    build.args(["build", "--quiet", "--package", "milena-cli", "--package", "protocol-tests"]);
    build.args(["--bin", "milena", "--profile", profile, "--target-dir"]).arg(target);
    build.current_dir(env!("CARGO_MANIFEST_DIR"));
    let Told { success, stderr, .. } = told(build, "").await?;
    if success { Ok(here.with_file_name("milena")) } else { Err(stderr.into()) }
}
