//! Has Kafka's own classes write samples of every message, for the tests of `milena-wire`.
//!
//! Run once a Kafka version; the samples are committed, so that the tests need neither Java nor the jars.

use std::path::PathBuf;
use std::process::Command;

use super::jar;
use crate::Result;

/// Where the samples stand.
const FOLDER: &str = "crates/wire/tests/golden";

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
    let status = Command::new("java")
        .arg("-cp")
        .arg(std::env::join_paths(class_path)?)
        .args(["xtask/java/Golden.java", FOLDER])
        .args(&names)
        .status()
        .map_err(|e| format!("java does not start: {e}"))?;
    if !status.success() {
        return Err("the samples could not be written".into());
    }
    println!("samples of {} messages in {FOLDER}", names.len());
    Ok(())
}
