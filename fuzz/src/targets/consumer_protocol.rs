//! Input: a byte for message and version, then the message without its version.

use bytes::Bytes;
use milena_wire::messages::{ConsumerProtocolAssignment, ConsumerProtocolSubscription};
use milena_wire::{DecodeError, EncodeError, Reader, Writer};

use super::wire_bytes_max;
use crate::memory;

/// What is read can be written, and reads the same then.
pub(crate) fn run(data: &[u8]) {
    let Some((which, blob)) = data.split_first() else { return };
    let version = i16::from(which >> 1 & 3);
    if which & 1 == 0 {
        round(blob, version, ConsumerProtocolSubscription::decode, |message, w| {
            message.encode(w, version)
        });
    } else {
        round(blob, version, ConsumerProtocolAssignment::decode, |message, w| {
            message.encode(w, version)
        });
    }
}

fn round<T: PartialEq + std::fmt::Debug>(
    blob: &[u8],
    version: i16,
    decode: impl Fn(&mut Reader, i16) -> Result<T, DecodeError>,
    encode: impl Fn(&T, &mut Writer) -> Result<(), EncodeError>,
) {
    let mut r = Reader::new(Bytes::copy_from_slice(blob));
    let read = memory::within(wire_bytes_max(blob.len()), || decode(&mut r, version));
    let Ok(message) = read else { return };
    // Whatever a newer version appended is left alone.
    let taken = blob.len() - r.remaining();
    let mut w = Writer::new();
    encode(&message, &mut w).unwrap_or_else(|e| panic!("version {version} was read, but: {e}"));
    let written = w.into_bytes();
    assert_eq!(written.get(..), blob.get(..taken), "version {version} has one form only");
    let again = decode(&mut Reader::new(written), version);
    assert_eq!(again.as_ref(), Ok(&message), "version {version}");
}
