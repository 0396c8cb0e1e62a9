//! Kafka's own classes read what we write, and we read what they write, up to 1 MiB.
//!
//! Runs where `java` and Kafka's jars are: in the folder `KAFKA_LIBS`, or in target/kafka-libs/4.4.0. Elsewhere it says that
//! it did not run. With `MILENA_REQUIRE_JAVA` set, Maven fetches the jars by name, and not to run is a failure:
//! `MILENA_REQUIRE_JAVA=1 cargo test -p milena-records --test it java -- --nocapture`.

use std::path::{Path, PathBuf};
use std::process::Command;

use milena_records::{
    BatchBuilder, Buffer, Compression, CompressionType, Compressor, Decompressor, Header,
    ProducerStamp,
};
use milena_types::{ProducerEpoch, ProducerId, Sequence, Timestamp};

use crate::digest::{Digest, check_folder};

#[test]
fn java_and_we_read_each_other() {
    match libraries() {
        Ok(libraries) => exchange(&libraries),
        Err(why) => {
            assert!(!is_required(), "{why}");
            eprintln!("NOT RUN: {why}. Nothing was proved about Java here.");
        }
    }
}

fn exchange(libraries: &Path) {
    let theirs = scratch("theirs");
    java(libraries, &["write", theirs.to_str().unwrap(), "large"]);
    let read = check_folder(&theirs);

    let ours = scratch("ours");
    let mut expected = Vec::new();
    let mut compressor = Compressor::new();
    for compression in levels() {
        for size in [1, 16 << 10, 1 << 20] {
            let (file, line) = write(&ours, compression, size, &mut compressor);
            expected.push((file, line));
        }
    }
    expected.sort();
    let lines = java(libraries, &["read", ours.to_str().unwrap()]);
    let lines: Vec<&str> = lines.lines().collect();
    let expected: Vec<&str> = expected.iter().map(|(_, line)| line.as_str()).collect();
    assert_eq!(lines, expected);
    println!("Java read {} sets of ours, we read {read} of Java's", lines.len());
}

/// Every codec, at its lowest, default and highest levels and some between.
fn levels() -> Vec<Compression> {
    let mut all = vec![Compression::NONE, Compression::new(CompressionType::Snappy)];
    let levels: [(CompressionType, &[i32]); 3] = [
        (CompressionType::Gzip, &[-1, 1, 6, 7, 9]),
        (CompressionType::Lz4, &[1, 5, 9, 12, 17]),
        (CompressionType::Zstd, &[-131_072, -5, 1, 3, 9, 19]),
    ];
    for (kind, levels) in levels {
        all.extend(levels.iter().map(|&level| Compression::new(kind).with_level(level).unwrap()));
    }
    all
}

/// Writes a batch of about `size` bytes; returns its file name and its line.
fn write(
    folder: &Path,
    compression: Compression,
    size: usize,
    compressor: &mut Compressor,
) -> (String, String) {
    let mut rng = fastrand::Rng::with_seed(size as u64);
    let mut builder = BatchBuilder::new(Buffer::default());
    while builder.size() < size.max(62) {
        let index = builder.record_count();
        let at = Timestamp::from_millis(1_700_000_000_000 + i64::from(index % 50 * 3));
        let key = format!("user-{}", rng.u32(..500));
        let value = format!("{{\"event\":{index},\"session\":\"{:x}\",\"vip\":true}}", rng.u32(..));
        let headers =
            [Header::new("trace", value.as_bytes()), Header { key: b"trace", value: None }];
        let headers = if index % 5 == 2 { &headers[..] } else { &[] };
        let key = (index % 3 != 1).then_some(key.as_bytes());
        let value = (index % 11 != 5).then_some(value.as_bytes());
        builder.append(at, key, value, headers.iter().copied()).unwrap();
    }
    let sealed = builder.seal(compression, compressor).unwrap();
    let mut digest = Digest::new();
    for record in &sealed.decode(&mut Decompressor::default()).unwrap() {
        digest.add(&record.unwrap());
    }
    let stamp = ProducerStamp {
        producer_id: ProducerId::from_wire(77).unwrap(),
        producer_epoch: ProducerEpoch::ZERO,
        base_sequence: Some(Sequence::ZERO),
        transactional: false,
    };
    let file = format!("{}{}-{size}.bin", compression.kind(), compression.level());
    std::fs::write(folder.join(&file), sealed.stamp(Some(stamp)).to_bytes()).unwrap();
    let line = digest.line(&file);
    (file, line)
}

/// Runs Records.java and returns what it printed.
fn java(libraries: &Path, arguments: &[&str]) -> String {
    let output = Command::new("java")
        .arg("-cp")
        .arg(libraries.join("*"))
        .arg(source("Records.java"))
        .args(arguments)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "Records.java {arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// A folder with kafka-clients and its codecs.
fn libraries() -> Result<PathBuf, String> {
    let answers = |program: &str| Command::new(program).arg("--version").output().is_ok();
    if !answers("java") {
        return Err("java is not installed".into());
    }
    if let Some(folder) = std::env::var_os("KAFKA_LIBS") {
        return Ok(folder.into());
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/kafka-libs/4.4.0");
    if folder.join("kafka-clients-4.4.0.jar").exists() {
        return Ok(folder);
    }
    if !is_required() {
        return Err("neither KAFKA_LIBS nor MILENA_REQUIRE_JAVA is set".into());
    }
    let status = Command::new("mvn")
        .args(["-q", "-B", "dependency:copy-dependencies", "-f"])
        .arg(source("pom.xml"))
        .arg(format!("-DoutputDirectory={}", folder.display()))
        .output()
        .map_err(|error| error.to_string())?;
    if status.status.success() { Ok(folder) } else { Err("Maven did not bring the jars".into()) }
}

fn is_required() -> bool {
    std::env::var_os("MILENA_REQUIRE_JAVA").is_some()
}

fn source(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/java").join(file)
}

fn scratch(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}
