//! Writes the protocol messages of `milena-wire` from Kafka's schemas.
//!
//! The schemas stand in the published `kafka-clients` jar. What is written is committed, so that only this chore
//! needs the jar; `--check` says when the committed code is stale.

mod emit;
pub(crate) mod golden;
mod jar;
mod schema;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Result;
use schema::Schema;

/// The version of `kafka-clients` that the messages are written from.
pub(crate) const CLIENTS_VERSION: &str = "4.4.0";

/// Where the messages stand.
const MESSAGES: &str = "crates/wire/src/messages";

/// Messages that are neither request nor response, and that a client or an embedded broker reads.
const DATA: [&str; 2] = ["ConsumerProtocolAssignment", "ConsumerProtocolSubscription"];

/// Requests between brokers and controllers, which no client, tool or embedded broker meets.
const LEFT_OUT: [&str; 20] = [
    "AllocateProducerIds",
    "AlterPartition",
    "AssignReplicasToDirs",
    "BeginQuorumEpoch",
    "BrokerHeartbeat",
    "BrokerRegistration",
    "ControllerRegistration",
    "DeleteShareGroupState",
    "EndQuorumEpoch",
    "Envelope",
    "FetchSnapshot",
    "InitializeShareGroupState",
    "LeaderAndIsr",
    "ReadShareGroupState",
    "ReadShareGroupStateSummary",
    "StopReplica",
    "UpdateMetadata",
    "UpdateRaftVoter",
    "Vote",
    "WriteShareGroupState",
];

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
    let jar = match &args.jar {
        Some(jar) => jar.clone(),
        None => jar::fetch("org.apache.kafka", "kafka-clients", CLIENTS_VERSION)?,
    };
    let files = generate(jar::schemas(&jar)?)?;
    let folder = Path::new(MESSAGES);
    if args.check {
        return compare(folder, &files);
    }
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder)?;
    for (name, text) in &files {
        fs::write(folder.join(name), text)?;
    }
    println!("{} files in {MESSAGES}", files.len());
    Ok(())
}

/// The files and their text, by name.
fn generate(texts: Vec<String>) -> Result<BTreeMap<String, String>> {
    let mut schemas = Vec::new();
    for text in texts {
        let schema = Schema::parse(&text)?;
        if is_wanted(&schema) {
            schemas.push(schema);
        }
    }
    schemas.sort_by(|a, b| a.name.cmp(&b.name));
    let mut files = BTreeMap::new();
    for schema in &schemas {
        files.insert(format!("{}.rs", emit::snake(&schema.name)), format(&emit::message(schema))?);
    }
    files.insert("mod.rs".into(), format(&emit::list(&schemas))?);
    Ok(files)
}

fn is_wanted(schema: &Schema) -> bool {
    let api = schema.name.trim_end_matches("Request").trim_end_matches("Response");
    match schema.kind.as_str() {
        "request" | "response" => !schema.versions.is_empty() && !LEFT_OUT.contains(&api),
        _ => DATA.contains(&schema.name.as_str()),
    }
}

fn format(source: &str) -> Result<String> {
    let mut rustfmt = Command::new("rustfmt")
        .args(["--edition", "2024", "--config", "max_width=100,use_small_heuristics=Max"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    if let Some(mut stdin) = rustfmt.stdin.take() {
        stdin.write_all(source.as_bytes())?;
    }
    let output = rustfmt.wait_with_output()?;
    if !output.status.success() {
        return Err("rustfmt refused the generated code".into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

fn compare(folder: &Path, files: &BTreeMap<String, String>) -> Result {
    let mut stale = Vec::new();
    for (name, text) in files {
        if fs::read_to_string(folder.join(name)).ok().as_ref() != Some(text) {
            stale.push(name.clone());
        }
    }
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if !files.contains_key(&name) {
            stale.push(name);
        }
    }
    if stale.is_empty() {
        println!("{} files are up to date", files.len());
        return Ok(());
    }
    Err(format!("stale, run `cargo xtask codegen`: {}", stale.join(", ")).into())
}
