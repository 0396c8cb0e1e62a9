//! The published jar with the schemas in it.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Result;

/// Has Maven fetch a jar, by name, and says where it lies.
pub(super) fn fetch(group: &str, artifact: &str, version: &str) -> Result<PathBuf> {
    let folder = std::env::current_dir()?.join("target/jars");
    let jar = folder.join(format!("{artifact}-{version}.jar"));
    if jar.exists() {
        return Ok(jar);
    }
    let status = Command::new("mvn")
        .args(["-q", "-B", "dependency:copy"])
        .arg(format!("-Dartifact={group}:{artifact}:{version}"))
        .arg(format!("-DoutputDirectory={}", folder.display()))
        .status()
        .map_err(|e| format!("mvn does not start ({e}); name the jar with --jar FILE"))?;
    if status.success() && jar.exists() {
        Ok(jar)
    } else {
        Err(format!("Maven did not bring {artifact} {version}; name the jar with --jar FILE")
            .into())
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
