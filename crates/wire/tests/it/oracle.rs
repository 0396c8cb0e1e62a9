//! Another codec, made from the same schemas by other people, reads and writes what we write.

use bytes::{Buf, Bytes, BytesMut};
use kafka_protocol::messages::{
    ApiKey as TheirKey, RequestHeader, RequestKind, ResponseHeader, ResponseKind,
};
use kafka_protocol::protocol::{Decodable, Encodable};
use milena_types::ApiKey;

use crate::sample::{Kind, Sample, samples};

/// Only the versions that it knows; how many is printed, and must not fall.
#[test]
fn kafka_protocol_agrees_on_all_that_it_covers() {
    let (mut agreed, mut differing) = (0, Vec::new());
    for sample in samples() {
        // What nobody knows is skipped by us and kept by them.
        if sample.name == "tags" || sample.is_not_covered() {
            continue;
        }
        let ours = sample.kind.decode(sample.version, sample.frame.clone()).unwrap();
        let ours = ours.encode(sample.version).unwrap();
        let theirs = match sample.kind {
            Kind::Request(key) => request(key.get(), sample.version, ours.clone()),
            Kind::Response(key) => response(key.get(), sample.version, ours.clone()),
            Kind::Assignment | Kind::Subscription => None,
        };
        match theirs {
            Some(Ok(theirs)) if theirs == ours => agreed += 1,
            Some(Ok(_)) => differing.push(format!("{sample}: other bytes")),
            Some(Err(error)) => differing.push(format!("{sample}: {error}")),
            None => {}
        }
    }
    println!("{agreed} messages agree");
    assert!(differing.is_empty(), "{}", differing.join("\n"));
    assert!(agreed >= AGREED_MIN, "{agreed} messages");
}

impl Sample {
    /// Versions that are in its table of APIs, and that its messages do not know.
    fn is_not_covered(&self) -> bool {
        let Kind::Request(key) = self.kind else { return false };
        [(ApiKey::INIT_PRODUCER_ID, 6), (ApiKey::OFFSET_COMMIT, 10), (ApiKey::OFFSET_FETCH, 10)]
            .contains(&(key, self.version))
    }
}

/// Reads a request with their codec and writes it again; `None` for a version that they do not know.
fn request(key: i16, version: i16, frame: Bytes) -> Option<Result<Bytes, String>> {
    let key = TheirKey::try_from(key).ok()?;
    let versions = key.valid_versions();
    if version < versions.min || version > versions.max {
        return None;
    }
    let header_version = key.request_header_version(version);
    let mut rest = frame;
    let header = RequestHeader::decode(&mut rest, header_version).unwrap();
    let mut again = || {
        let body = RequestKind::decode(key, &mut rest, version).map_err(|e| e.to_string())?;
        if rest.has_remaining() {
            return Err("bytes are left over".to_owned());
        }
        let mut written = BytesMut::new();
        header.encode(&mut written, header_version).map_err(|e| e.to_string())?;
        body.encode(&mut written, version).map_err(|e| e.to_string())?;
        Ok(written.freeze())
    };
    Some(again())
}

fn response(key: i16, version: i16, frame: Bytes) -> Option<Result<Bytes, String>> {
    let key = TheirKey::try_from(key).ok()?;
    let versions = key.valid_versions();
    if version < versions.min || version > versions.max {
        return None;
    }
    let header_version = key.response_header_version(version);
    let mut rest = frame;
    let header = ResponseHeader::decode(&mut rest, header_version).unwrap();
    let mut again = || {
        let body = ResponseKind::decode(key, &mut rest, version).map_err(|e| e.to_string())?;
        if rest.has_remaining() {
            return Err("bytes are left over".to_owned());
        }
        let mut written = BytesMut::new();
        header.encode(&mut written, header_version).map_err(|e| e.to_string())?;
        body.encode(&mut written, version).map_err(|e| e.to_string())?;
        Ok(written.freeze())
    };
    Some(again())
}

/// What version 0.18 of it covers.
const AGREED_MIN: usize = 1_500;
