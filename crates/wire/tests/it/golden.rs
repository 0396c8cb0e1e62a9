//! Bytes that Kafka's own classes wrote, in every version of every message.

use std::fs;
use std::path::Path;

use bytes::Bytes;
use milena_types::ApiKey;
use milena_wire::messages::{ConsumerProtocolAssignment, ConsumerProtocolSubscription};
use milena_wire::{Reader, Request, Response, Writer};

/// One line of a golden file.
struct Sample {
    message: String,
    version: i16,
    bytes: Bytes,
}

#[test]
fn every_message_of_kafka_is_read_and_written_back_byte_for_byte() {
    let samples = samples();
    for sample in &samples {
        let written = round_trip(sample);
        assert_eq!(written, sample.bytes, "{} version {}", sample.message, sample.version);
    }
    println!("{} golden messages", samples.len());
}

/// A version without a sample would pass unseen.
#[test]
fn every_api_and_version_has_a_sample() {
    let samples = samples();
    for (key, versions) in Request::APIS {
        for version in versions.clone() {
            for kind in ["Request", "Response"] {
                let name = format!("{key}{kind}");
                let found = samples.iter().any(|s| s.message == name && s.version == version);
                assert!(found, "no golden bytes of {name} version {version}");
            }
        }
    }
}

fn round_trip(sample: &Sample) -> Bytes {
    let mut r = Reader::new(sample.bytes.clone());
    let mut w = Writer::new();
    let version = sample.version;
    let context = || format!("{} version {version}", sample.message);
    let read_and_write = || -> Result<(), Box<dyn std::error::Error>> {
        if let Some(api) = sample.message.strip_suffix("Request") {
            Request::decode(key(api), version, &mut r)?.encode(&mut w, version)?;
        } else if let Some(api) = sample.message.strip_suffix("Response") {
            Response::decode(key(api), version, &mut r)?.encode(&mut w, version)?;
        } else if sample.message == "ConsumerProtocolAssignment" {
            ConsumerProtocolAssignment::decode(&mut r, version)?.encode(&mut w, version)?;
        } else {
            ConsumerProtocolSubscription::decode(&mut r, version)?.encode(&mut w, version)?;
        }
        r.finish()?;
        Ok(())
    };
    if let Err(e) = read_and_write() {
        panic!("{}: {e}", context());
    }
    w.into_bytes()
}

fn key(name: &str) -> ApiKey {
    let known = ApiKey::ALL.iter().find(|key| key.name() == Some(name));
    *known.unwrap_or_else(|| panic!("no API {name}"))
}

fn samples() -> Vec<Sample> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut samples = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let message = path.file_stem().unwrap().to_string_lossy().into_owned();
        for line in fs::read_to_string(&path).unwrap().lines() {
            let mut parts = line.split('\t');
            let version = parts.next().unwrap().parse().unwrap();
            let bytes = unhex(parts.next().unwrap());
            samples.push(Sample { message: message.clone(), version, bytes });
        }
    }
    samples
}

fn unhex(text: &str) -> Bytes {
    let digits = text.as_bytes().chunks_exact(2);
    digits
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect::<Vec<u8>>()
        .into()
}
