//! The published jar with the schemas in it, and what runs beside it.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Result;

/// The clients that the messages are written from.
pub(super) const CLIENTS: &str = "org.apache.kafka:kafka-clients:4.4.0";
/// Without it no class of the clients starts.
pub(super) const SLF4J: &str = "org.slf4j:slf4j-api:1.7.36";
/// The JSON library of the clients' converters, in three parts.
pub(super) const JACKSON: &str = "com.fasterxml.jackson.core:jackson-databind:2.19.0";
/// See [`JACKSON`].
pub(super) const JACKSON_CORE: &str = "com.fasterxml.jackson.core:jackson-core:2.19.0";
/// See [`JACKSON`].
pub(super) const JACKSON_ANNOTATIONS: &str =
    "com.fasterxml.jackson.core:jackson-annotations:2.19.0";

/// Has Maven fetch a jar, by `group:artifact:version`, and says where it lies.
pub(super) fn fetch(coordinates: &str) -> Result<PathBuf> {
    let [_, artifact, version] = coordinates.split(':').collect::<Vec<_>>()[..] else {
        return Err(format!("{coordinates} is not group:artifact:version").into());
    };
    let folder = Path::new("target/jars");
    let jar = folder.join(format!("{artifact}-{version}.jar"));
    if jar.exists() {
        return Ok(jar);
    }
    let status = Command::new("mvn")
        .args(["-q", "-B", "dependency:copy"])
        .arg(format!("-Dartifact={coordinates}"))
        .arg(format!("-DoutputDirectory={}", std::env::current_dir()?.join(folder).display()))
        .status()
        .map_err(|e| format!("mvn does not start ({e}); name the jar with --jar FILE"))?;
    if status.success() && jar.exists() {
        Ok(jar)
    } else {
        Err(format!("Maven did not bring {coordinates}; name the jar with --jar FILE").into())
    }
}

/// The text of each message schema.
pub(super) fn schemas(jar: &Path) -> Result<Vec<String>> {
    let file = File::open(jar).map_err(|e| format!("{}: {e}", jar.display()))?;
    let mut archive = zip::ZipArchive::new(file)?;
    let mut texts = Vec::new();
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index)?;
        let name = entry.name()?.into_owned();
        if name.starts_with("common/message/") && name.ends_with(".json") {
            let mut text = String::new();
            entry.read_to_string(&mut text)?;
            texts.push(text);
        }
    }
    if texts.is_empty() {
        return Err(format!("{} holds no message schemas", jar.display()).into());
    }
    Ok(texts)
}
