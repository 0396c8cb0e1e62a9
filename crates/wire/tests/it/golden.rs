//! Bytes that Kafka's own classes wrote, in every version of every message.

use milena_wire::Request;
use serde_json::Value;

use crate::debug;
use crate::sample::{Kind, Sample, samples};

#[test]
fn every_message_of_kafka_is_read_and_written_back_byte_for_byte() {
    let mut samples = samples();
    samples.retain(|sample| sample.name != "tags");
    for sample in &samples {
        let message = sample.kind.decode(sample.version, sample.frame.clone());
        let message = message.unwrap_or_else(|e| panic!("{sample}: {e}"));
        let written = message.encode(sample.version).unwrap_or_else(|e| panic!("{sample}: {e}"));
        assert_eq!(written, sample.frame, "{sample}");
    }
    println!("{} golden messages", samples.len());
}

/// Newer brokers say more than we know (KIP-482), in any structure and in the headers.
#[test]
fn tagged_fields_that_nobody_knows_are_skipped_wherever_they_stand() {
    let samples = samples();
    let mut skipped = 0;
    for sample in samples.iter().filter(|sample| sample.name == "tags") {
        let is_plain =
            |s: &&Sample| s.kind == sample.kind && s.version == sample.version && s.name == "full";
        let plain = samples.iter().find(is_plain).unwrap();
        let message = sample.kind.decode(sample.version, sample.frame.clone());
        let message = message.unwrap_or_else(|e| panic!("{sample}: {e}"));
        assert_eq!(message.encode(sample.version).unwrap(), plain.frame, "{sample}");
        assert!(sample.frame.len() > plain.frame.len(), "{sample} has nothing to skip");
        skipped += 1;
    }
    println!("{skipped} messages with tagged fields to skip");
}

/// Two fields of one type read in the wrong order would be written back in the same wrong order.
#[test]
fn every_field_holds_what_kafka_says_it_holds() {
    let mut fields = 0;
    for sample in samples().into_iter().filter(|sample| sample.name != "tags") {
        let message = sample.kind.decode(sample.version, sample.frame.clone()).unwrap();
        let theirs: Value = serde_json::from_str(&sample.json).unwrap();
        let ours = debug::parse(&message.debug());
        fields += assert_same(&sample, "", &theirs, &ours);
    }
    assert!(fields > 10_000, "only {fields} fields were compared");
    println!("{fields} fields");
}

/// A version without a sample would pass unseen.
#[test]
fn every_api_version_and_direction_has_its_samples() {
    let samples = samples();
    for (key, versions) in Request::APIS {
        for version in versions.clone() {
            for kind in [Kind::Request(*key), Kind::Response(*key)] {
                let found = samples.iter().filter(|s| s.kind == kind && s.version == version);
                let names: Vec<_> = found.map(|sample| sample.name.as_str()).collect();
                let is_flexible = Request::is_flexible(*key, version);
                let expected = ["full", "null", "default", "tags"];
                let expected = &expected[..if is_flexible { 4 } else { 3 }];
                assert_eq!(names, expected, "{key} version {version}");
            }
        }
    }
}

/// Each field that Kafka's JSON has must be ours with the same value; gives their number.
fn assert_same(sample: &Sample, path: &str, theirs: &Value, ours: &Value) -> usize {
    match (theirs, ours) {
        (Value::Object(theirs), Value::Object(ours)) => {
            let mut fields = 0;
            for (name, theirs) in theirs {
                let plain = name.to_lowercase();
                let same = |(ours, _): &(&String, &Value)| ours.replace('_', "") == plain;
                let Some((_, ours)) = ours.iter().find(same) else {
                    panic!("{sample}: no field {path}.{name}");
                };
                fields += assert_same(sample, &format!("{path}.{name}"), theirs, ours);
            }
            fields
        }
        (Value::Array(theirs), Value::Array(ours)) => {
            assert_eq!(theirs.len(), ours.len(), "{sample}: elements of {path}");
            let pairs = theirs.iter().zip(ours).enumerate();
            pairs.map(|(n, (a, b))| assert_same(sample, &format!("{path}[{n}]"), a, b)).sum()
        }
        // Kafka's converter leaves the bytes of records out.
        (Value::String(theirs), Value::Object(records)) if theirs.is_empty() => {
            assert!(records.contains_key("head"), "{sample}: {path} are no records");
            1
        }
        _ => {
            assert_eq!(theirs, ours, "{sample}: {path}");
            1
        }
    }
}
