//! Has Kafka's own classes write samples of every message, for the tests of `milena-wire`, and share out partitions
//! among random groups, for those of `milena-engine`.
//!
//! Run once a Kafka version; the samples are committed, so that the tests need neither Java nor the jars.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Command;

use super::jar;
use crate::Result;

/// Where the samples stand.
const FOLDER: &str = "crates/wire/tests/golden";

/// Where the assignments of random groups stand.
const GROUPS: &str = "crates/engine/tests/golden";

/// What `cargo xtask golden` takes.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The kafka-clients jar to run; without it, the one that Maven fetches.
    #[arg(long, value_name = "FILE")]
    jar: Option<PathBuf>,
}

/// Writes the samples.
pub(crate) fn run(args: &Args) -> Result {
    let clients = match &args.jar {
        Some(jar) => jar.clone(),
        None => jar::fetch(jar::CLIENTS)?,
    };
    let names = super::message_names(&clients)?;
    let mut class_path = vec![clients];
    // Kafka's JSON converters stand in its jar, the JSON library does not.
    for coordinates in [jar::SLF4J, jar::JACKSON, jar::JACKSON_CORE, jar::JACKSON_ANNOTATIONS] {
        class_path.push(jar::fetch(coordinates)?);
    }
    let class_path = std::env::join_paths(class_path)?;
    java(&class_path, &["xtask/java/Assignors.java", GROUPS], &[])?;
    java(&class_path, &["xtask/java/Golden.java", FOLDER], &names)?;
    println!("samples of {} messages in {FOLDER}", names.len());
    Ok(())
}

fn java(class_path: &OsStr, program: &[&str], names: &[String]) -> Result {
    let status = Command::new("java")
        .arg("-cp")
        .arg(class_path)
        .args(program)
        .args(names)
        .status()
        .map_err(|e| format!("java does not start: {e}"))?;
    if status.success() { Ok(()) } else { Err("the samples could not be written".into()) }
}
