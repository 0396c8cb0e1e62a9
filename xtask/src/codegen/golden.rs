//! Writes the golden bytes: what Kafka's own classes make of each message in each version.
//!
//! Run once for a version of Kafka; the bytes are committed.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{CLIENTS_VERSION, Schema, is_wanted, jar};
use crate::Result;

/// Where the bytes stand.
const GOLDEN: &str = "crates/wire/tests/golden";
const PROGRAM: &str = "xtask/java/Golden.java";
/// What the JSON converters need, by Maven's names.
const JACKSON: [&str; 3] =
    ["jackson-annotations:2.20", "jackson-core:2.20.0", "jackson-databind:2.20.0"];

/// Fetches the jars, compiles the program and runs it.
pub(crate) fn run() -> Result {
    let clients = jar::fetch("org.apache.kafka", "kafka-clients", CLIENTS_VERSION)?;
    let mut jars = vec![clients.clone()];
    jars.push(jar::fetch("org.slf4j", "slf4j-api", "1.7.36")?);
    for artifact in JACKSON {
        let (name, version) = artifact.split_once(':').unwrap_or((artifact, ""));
        jars.push(jar::fetch("com.fasterxml.jackson.core", name, version)?);
    }
    let classes = PathBuf::from("target/golden-classes");
    fs::create_dir_all(&classes)?;
    let path = env::join_paths(&jars)?;
    tool("javac", |c| c.arg("-cp").arg(&path).arg("-d").arg(&classes).arg(PROGRAM))?;
    let mut names: Vec<String> = jar::schemas(&clients)?
        .iter()
        .map(|text| Schema::parse(text))
        .filter(|schema| schema.as_ref().is_ok_and(is_wanted))
        .map(|schema| schema.map(|schema| schema.name))
        .collect::<Result<_>>()?;
    names.sort();
    if Path::new(GOLDEN).exists() {
        fs::remove_dir_all(GOLDEN)?;
    }
    fs::create_dir_all(GOLDEN)?;
    jars.push(classes);
    let path = env::join_paths(&jars)?;
    tool("java", |c| c.arg("-cp").arg(&path).args(["Golden", GOLDEN]).args(&names))?;
    println!("{} messages in {GOLDEN}", names.len());
    Ok(())
}

fn tool(name: &str, arguments: impl FnOnce(&mut Command) -> &mut Command) -> Result {
    let status = arguments(&mut Command::new(name))
        .status()
        .map_err(|e| format!("{name} does not start ({e}); is a JDK installed?"))?;
    if status.success() { Ok(()) } else { Err(format!("{name} failed").into()) }
}
