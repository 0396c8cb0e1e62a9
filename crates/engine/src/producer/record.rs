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
