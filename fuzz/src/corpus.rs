//! What fuzzing begins with: the golden bytes of the other crates, and the inputs kept in `fuzz/corpus`.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use milena_engine::consumer::AssignmentStrategy;
use milena_records::{CompressionType, RecordSet};
use milena_types::ApiKey;

use crate::target::Target;
use crate::targets::version;

/// An input and where it came from.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Seed {
    /// A file, and for golden bytes the line.
    pub origin: String,
    /// What the target is given.
    pub data: Vec<u8>,
}

/// All inputs that `target` begins with, in a fixed order.
///
/// # Errors
/// Where a file cannot be read, or golden bytes are not what they were.
pub fn seeds(target: Target) -> io::Result<Vec<Seed>> {
    let mut seeds = match target {
        Target::Frame => frames()?,
        Target::Response => messages("Response", |key, version, frame| {
            Some([&version::bytes(key, version)?[..], frame].concat())
        })?,
        Target::Request => messages("Request", |key, version, frame| {
            Some([&version::bytes(key, version)?[..], frame.get(HEAD_BYTES..)?].concat())
        })?,
        Target::RecordSet => record_sets()?,
        Target::Decompress => compressed()?,
        Target::ConsumerProtocol => consumer_protocol()?,
        Target::Properties => Vec::new(),
        Target::Connection => conversations()?,
        Target::GroupAssignor => groups()?,
        Target::ClusterScript => worlds(),
    };
    for path in files(&kept(target))? {
        seeds.push(Seed { origin: path.display().to_string(), data: fs::read(&path)? });
    }
    Ok(seeds)
}

/// The folder of inputs that were made or found, and are kept.
pub fn kept(target: Target) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name())
}

/// One line of `crates/wire/tests/golden`: what Kafka's own classes wrote.
struct Golden {
    message: String,
    version: i16,
    /// A frame without its length; of a consumer protocol message, the message alone.
    frame: Vec<u8>,
    origin: String,
}

/// Streams of three requests each, since one after the other is how they come.
fn frames() -> io::Result<Vec<Seed>> {
    let golden: Vec<Golden> =
        golden()?.into_iter().filter(|golden| golden.message.ends_with("Request")).collect();
    let stream = |three: &[Golden]| {
        let mut data = vec![0];
        for golden in three {
            let length = u32::try_from(golden.frame.len()).unwrap_or(u32::MAX);
            data.extend_from_slice(&length.to_be_bytes());
            data.extend_from_slice(&golden.frame);
        }
        let origin = three.first().map(|first| first.origin.clone()).unwrap_or_default();
        Seed { origin, data }
    };
    Ok(golden.chunks(3).map(stream).collect())
}

fn messages(
    kind: &str,
    input: impl Fn(ApiKey, i16, &[u8]) -> Option<Vec<u8>>,
) -> io::Result<Vec<Seed>> {
    let mut seeds = Vec::new();
    for Golden { message, version, frame, origin } in golden()? {
        let Some(api) = message.strip_suffix(kind) else { continue };
        let key = ApiKey::ALL.iter().find(|key| key.name() == Some(api));
        let data = key.and_then(|key| input(*key, version, &frame));
        seeds.push(Seed { data: data.ok_or_else(|| broken(&origin))?, origin });
    }
    Ok(seeds)
}

fn consumer_protocol() -> io::Result<Vec<Seed>> {
    let mut seeds = Vec::new();
    for Golden { message, version, frame, origin } in golden()? {
        let which = match message.as_str() {
            "ConsumerProtocolSubscription" => 0,
            "ConsumerProtocolAssignment" => 1,
            _ => continue,
        };
        let version = u8::try_from(version).map_err(|_| broken(&origin))?;
        seeds.push(Seed { origin, data: [&[version << 1 | which], &frame[..]].concat() });
    }
    Ok(seeds)
}

/// A request, written whole, and its answer; then one that is not answered in time.
fn conversations() -> io::Result<Vec<Seed>> {
    const ASKED: [&str; 5] = ["Heartbeat", "Metadata", "Produce", "Fetch", "FindCoordinator"];
    let mut seeds = Vec::new();
    for Golden { message, version, frame, origin } in golden()? {
        let api = message.strip_suffix("Response");
        let Some(kind) = ASKED.iter().position(|asked| Some(*asked) == api) else { continue };
        let kind = u8::try_from(kind).map_err(|_| broken(&origin))?;
        let version = u8::try_from(version).map_err(|_| broken(&origin))?;
        let body = frame.get(CORRELATION_BYTES..).ok_or_else(|| broken(&origin))?;
        let len = u16::try_from(body.len()).map_err(|_| broken(&origin))?.to_be_bytes();
        let asked = [0, kind, 15, version, 8, 4];
        let late = [0, kind, 15, version, 2, 3, 0, 1, 6, 17];
        let data = [&asked[..], &len, body, &late].concat();
        seeds.push(Seed { origin, data });
    }
    Ok(seeds)
}

/// Groups of three members of one strategy, each by a version of Java's own words; with racks, and a name for the last.
fn groups() -> io::Result<Vec<Seed>> {
    let path = crates().join("engine/tests/golden/subscriptions.txt");
    let text = fs::read_to_string(path)?;
    let mut by_strategy: BTreeMap<&str, Vec<Vec<u8>>> = BTreeMap::new();
    for line in text.lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        let [_, strategy, .., bytes] = fields[..] else { return Err(broken(line)) };
        let bytes = unhex(bytes).ok_or_else(|| broken(line))?;
        by_strategy.entry(strategy).or_default().push(bytes);
    }
    let mut seeds = Vec::new();
    for (strategy, said) in by_strategy {
        let number = AssignmentStrategy::ALL.iter().position(|known| known.name() == strategy);
        let number = number.and_then(|number| u8::try_from(number).ok());
        let number = number.ok_or_else(|| broken(strategy))?;
        for three in said.chunks(3) {
            let mut data = vec![number, 2, 7, 0b0101_1010, 5, 0b0000_1110];
            for (name, bytes) in [0, 1, 0x80].into_iter().zip(three) {
                let len = u16::try_from(bytes.len()).map_err(|_| broken(strategy))?;
                data.push(name);
                data.extend(len.to_be_bytes());
                data.extend(bytes);
            }
            seeds.push(Seed { origin: format!("subscriptions of {strategy}"), data });
        }
    }
    Ok(seeds)
}

/// A world for each kind of fault, with two others after it.
fn worlds() -> Vec<Seed> {
    let world = |kind: u8| {
        let others = [(kind, 20), (kind + 7, 90), (kind + 13, 160)];
        let strikes = others.iter().flat_map(|(kind, at)| [kind % FAULTS, *at, 0, *kind]);
        let data = [0, kind, kind % 2].into_iter().chain(strikes).collect();
        Seed { origin: format!("a world of fault {kind}"), data }
    };
    (0..FAULTS).map(world).collect()
}

/// Each record set twice: as it is, and with its checksums put right after every change.
fn record_sets() -> io::Result<Vec<Seed>> {
    let mut seeds = Vec::new();
    for (origin, set) in golden_records()? {
        for flags in [0, 1] {
            seeds.push(Seed { origin: origin.clone(), data: [&[flags], &set[..]].concat() });
        }
    }
    Ok(seeds)
}

/// The compressed part of each record set that has one, at the default limit and at one that is soon reached.
fn compressed() -> io::Result<Vec<Seed>> {
    let mut seeds = Vec::new();
    for (origin, set) in golden_records()? {
        for batch in RecordSet::new(set.into()).flatten() {
            let codec = match (batch.magic(), batch.compression()) {
                (2, Ok(CompressionType::Gzip)) => 0,
                (2, Ok(CompressionType::Snappy)) => 1,
                (2, Ok(CompressionType::Lz4)) => 2,
                (2, Ok(CompressionType::Zstd)) => 3,
                _ => continue,
            };
            let body: Bytes = batch.parts().body;
            for limit in [0, 3] {
                let data = [&[codec, limit], &body[..]].concat();
                seeds.push(Seed { origin: origin.clone(), data });
            }
        }
    }
    Ok(seeds)
}

fn golden() -> io::Result<Vec<Golden>> {
    let mut all = Vec::new();
    for path in files(&crates().join("wire/tests/golden"))? {
        let message = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        for (number, line) in fs::read_to_string(&path)?.lines().enumerate() {
            let origin = format!("{message} line {}", number + 1);
            let mut parts = line.split(' ');
            let version = parts.next().and_then(|version| version.parse().ok());
            let frame = parts.nth(1).and_then(unhex);
            let (Some(version), Some(frame)) = (version, frame) else {
                return Err(broken(&origin));
            };
            all.push(Golden { message: message.clone(), version, frame, origin });
        }
    }
    Ok(all)
}

fn golden_records() -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut all = Vec::new();
    for path in files(&crates().join("records/tests/golden"))? {
        if path.extension().is_some_and(|extension| extension == "bin") {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            all.push((name, fs::read(path)?));
        }
    }
    Ok(all)
}

fn crates() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates")
}

/// The files of a folder by name; none where there is no folder.
fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let entries = fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path()));
    let mut paths = entries.collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks(2);
    let byte = |pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    digits.map(byte).collect()
}

fn broken(origin: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{origin} is no golden sample"))
}

/// Kinds of faults that worlds draw from.
const FAULTS: u8 = 24;

/// At the front of a response.
const CORRELATION_BYTES: usize = 4;

/// API and version, which the input of `request` has in a form of its own.
const HEAD_BYTES: usize = 4;
