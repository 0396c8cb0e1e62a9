//! Input: two bytes for API and version, then a request from its correlation id on.

use bytes::{BufMut, Bytes, BytesMut};
use milena_wire::{Request, RequestHeader, decode_request, encode_request};

use super::{version, wire_bytes_max};
use crate::memory;

/// What is read can be written, and reads the same then.
pub(crate) fn run(data: &[u8]) {
    let Some((key, version, rest)) = version::take(data) else { return };
    let mut frame = BytesMut::with_capacity(HEAD_BYTES + rest.len());
    frame.put_i16(key.get());
    frame.put_i16(version);
    frame.extend_from_slice(rest);
    let frame = frame.freeze();
    let bytes = frame.len();
    let (header, request) = match memory::within(wire_bytes_max(bytes), || decode_request(frame)) {
        Ok(read) => read,
        Err(e) => return assert!(e.offset() <= bytes, "{e}"),
    };
    assert_eq!((header.api_key, header.api_version), (key, version));
    let written = write(&header, &request);
    let (header_again, again) = decode_request(written.clone())
        .unwrap_or_else(|e| panic!("{key} request {version} was written so that {e}"));
    assert_eq!(header, header_again);
    // Bytes are compared, since a NaN is not what it is.
    assert_eq!(written, write(&header, &again), "{key} request {version}");
}

fn write(header: &RequestHeader, request: &Request) -> Bytes {
    let RequestHeader { api_key, api_version, correlation_id, client_id, .. } = header;
    let frame = encode_request(request, *api_version, *correlation_id, client_id.as_deref());
    let frame =
        frame.unwrap_or_else(|e| panic!("{api_key} request {api_version} was read, but: {e}"));
    frame.into_bytes().slice(LENGTH_BYTES..)
}

/// API and version, which the input leaves out.
const HEAD_BYTES: usize = 4;

const LENGTH_BYTES: usize = 4;
