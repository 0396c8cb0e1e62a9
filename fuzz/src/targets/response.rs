//! Input: two bytes for API and version, then a response without its length.

use bytes::Bytes;
use milena_types::{ApiKey, CorrelationId};
use milena_wire::{Response, decode_response, encode_response};

use super::{version, wire_bytes_max};
use crate::memory;

/// What is read can be written, and reads the same then.
pub(crate) fn run(data: &[u8]) {
    let Some((key, version, rest)) = version::take(data) else { return };
    let frame = Bytes::copy_from_slice(rest);
    let read = memory::within(wire_bytes_max(frame.len()), || decode_response(key, version, frame));
    let (id, response) = match read {
        Ok(read) => read,
        Err(e) => return assert!(e.offset() <= rest.len(), "{e}"),
    };
    let written = write(&response, version, id);
    let (id_again, again) = decode_response(key, version, written.clone())
        .unwrap_or_else(|e| panic!("{key} response {version} was written so that {e}"));
    assert_eq!(id, id_again);
    // Bytes are compared, since a NaN is not what it is.
    assert_eq!(written, write(&again, version, id), "{key} response {version}");
    assert_eq!(response.api_key(), key);
}

fn write(response: &Response, version: i16, id: CorrelationId) -> Bytes {
    let key: ApiKey = response.api_key();
    let frame = encode_response(response, version, id);
    let frame = frame.unwrap_or_else(|e| panic!("{key} response {version} was read, but: {e}"));
    frame.into_bytes().slice(LENGTH_BYTES..)
}

const LENGTH_BYTES: usize = 4;
