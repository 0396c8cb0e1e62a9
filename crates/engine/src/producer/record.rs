//! A record on its way into a batch.

use milena_records::Header;
use milena_records::batch::{HEADER_BYTES, size_upper_bound};
use milena_types::Timestamp;

/// A record to append; everything is borrowed, and copied once, into its batch.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "the parts of a record are the format's")]
pub struct NewRecord<'a, H = std::iter::Empty<Header<'a>>> {
    /// The partition, where the caller chooses it.
    pub partition: Option<i32>,
    /// The record's time, as the caller gives it.
    pub timestamp: Timestamp,
    /// `None` is no key; an empty key is a key.
    pub key: Option<&'a [u8]>,
    /// `None` is a tombstone; an empty value is a value.
    pub value: Option<&'a [u8]>,
    /// The headers in order, walked more than once; keys may repeat.
    pub headers: H,
}

impl<'a, H: IntoIterator<Item = Header<'a>> + Clone> NewRecord<'a, H> {
    /// No fewer bytes than this record takes in a batch. Together with [`HEADER_BYTES`] it is what Java holds against
    /// `max.request.size`.
    #[inline]
    pub(super) fn bytes_bound(&self) -> usize {
        size_upper_bound(self.key, self.value, self.headers.clone()) - HEADER_BYTES
    }
}

/// What a record's result says of the record itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Own {
    pub(super) timestamp: Timestamp,
    pub(super) sizes: Sizes,
}

/// The bytes of a record's key and value; [`NO_SIZE`] where there is none, to keep a result small.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    key: u32,
    value: u32,
}

impl Own {
    #[inline]
    pub(super) fn of<H>(record: &NewRecord<'_, H>) -> Self {
        let sizes = Sizes { key: size(record.key), value: size(record.value) };
        Self { timestamp: record.timestamp, sizes }
    }
}

impl Sizes {
    /// They were not kept.
    pub(super) const UNKNOWN: Self = Self { key: NO_SIZE, value: NO_SIZE };

    pub(super) fn key(self) -> Option<usize> {
        bytes(self.key)
    }

    pub(super) fn value(self) -> Option<usize> {
        bytes(self.value)
    }
}

#[inline]
fn size(part: Option<&[u8]>) -> u32 {
    part.map_or(NO_SIZE, |part| u32::try_from(part.len()).unwrap_or(NO_SIZE))
}

fn bytes(size: u32) -> Option<usize> {
    usize::try_from(size).ok().filter(|_| size != NO_SIZE)
}

/// More than a record can take, which is less than 2^31 bytes.
const NO_SIZE: u32 = u32::MAX;
