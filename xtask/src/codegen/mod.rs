//! Writes the protocol messages of `milena-wire` from Kafka's schemas, and the tables of `milena-types`.
//!
//! The schemas stand in the published `kafka-clients` jar. What is written is committed, so that only this chore
//! needs the jar; `--check` says when the committed code is stale.

mod emit;
pub(crate) mod golden;
mod jar;
mod schema;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Result;
use schema::Schema;

/// The files of which only a table is written, and the table's name.
const ERROR_CODES: (&str, &str) = ("crates/types/src/error_code.rs", "codes");
/// See [`ERROR_CODES`].
const API_KEYS: (&str, &str) = ("crates/types/src/api_key.rs", "keys");

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
        None => jar::fetch(jar::CLIENTS)?,
    };
    let files = generate(&jar)?;
    if args.check {
        return compare(&files);
    }
    for stale in committed()?.difference(&files.keys().cloned().collect()) {
        fs::remove_file(stale)?;
    }
    for (path, text) in &files {
        fs::write(path, text)?;
    }
    println!("{} files written", files.len());
    Ok(())
}

/// The names of all messages there is code for.
pub(crate) fn message_names(jar: &Path) -> Result<Vec<String>> {
    Ok(wanted(schemas(jar)?).into_iter().map(|schema| schema.name).collect())
}

/// The files and their text, by path.
fn generate(jar: &Path) -> Result<BTreeMap<PathBuf, String>> {
    let mut files = BTreeMap::new();
    let schemas = schemas(jar)?;
    for ((path, name), rows) in
        [(API_KEYS, table::api_keys(&schemas)), (ERROR_CODES, table::error_codes(jar)?)]
    {
        let file = table::replace(&fs::read_to_string(path)?, name, &rows)?;
        files.insert(path.into(), format(&file)?);
    }
    let schemas = wanted(schemas);
    let folder = Path::new(MESSAGES);
    for schema in &schemas {
        let path = folder.join(format!("{}.rs", emit::snake(&schema.name)));
        files.insert(path, format(&emit::message(schema))?);
    }
    files.insert(folder.join("mod.rs"), format(&emit::list(&schemas))?);
    Ok(files)
}

fn schemas(jar: &Path) -> Result<Vec<Schema>> {
    jar::schemas(jar)?.iter().map(|text| Schema::parse(text)).collect()
}

fn wanted(mut schemas: Vec<Schema>) -> Vec<Schema> {
    schemas.retain(is_wanted);
    schemas.sort_by(|a, b| a.name.cmp(&b.name));
    schemas
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

fn compare(files: &BTreeMap<PathBuf, String>) -> Result {
    let mut stale = committed()?;
    stale.retain(|path| !files.contains_key(path));
    for (path, text) in files {
        if fs::read_to_string(path).ok().as_ref() != Some(text) {
            stale.insert(path.clone());
        }
    }
    if stale.is_empty() {
        println!("{} files are up to date", files.len());
        return Ok(());
    }
    let stale: Vec<_> = stale.iter().map(|path| path.display().to_string()).collect();
    Err(format!("stale, run `cargo xtask codegen`: {}", stale.join(", ")).into())
}

/// The generated files there are; the folder of messages holds nothing else.
fn committed() -> Result<BTreeSet<PathBuf>> {
    fs::read_dir(MESSAGES)?.map(|entry| Ok(entry?.path())).collect()
}
