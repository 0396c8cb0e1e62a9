//! A record set: the batches of one partition in a Fetch response or a Produce request.

use bytes::Bytes;

use crate::batch::Batch;
use crate::error::{Error, Malformation};

/// Walks the batches of a record set, of whatever formats, one after the other.
///
/// Brokers cut a response off at a byte count, so a batch that is not all there ends the walk without an error:
/// [`trailing_bytes`](Self::trailing_bytes) tells how much of it there is. Every step takes a whole batch or ends the
/// walk, and nothing follows an error, since what lies behind a bad length cannot be found.
#[derive(Clone, Debug)]
pub struct RecordSet {
    rest: Bytes,
    ended: bool,
}

impl RecordSet {
    /// The record set in `bytes`; nothing is read yet.
    pub fn new(bytes: Bytes) -> Self {
        Self { rest: bytes, ended: false }
    }

    /// Bytes that were not walked: after the walk, those of a batch that was cut off.
    pub fn trailing_bytes(&self) -> usize {
        self.rest.len()
    }

    /// The first offset of the next batch, as far as it says so, even of one that was cut off behind its format. Those of
    /// formats 0 and 1 do not say: where one holds others, it begins with the last of their offsets.
    pub fn next_offset(&self) -> Option<i64> {
        let format = self.rest.get(FORMAT_AT).filter(|format| **format >= 2);
        format.and_then(|_| self.rest.first_chunk()).map(|offset| i64::from_be_bytes(*offset))
    }

    fn take(&mut self) -> Result<Option<Batch>, Error> {
        let Some((offset, after)) = self.rest.split_first_chunk() else { return Ok(None) };
        let base_offset = i64::from_be_bytes(*offset);
        let Some(length) = after.first_chunk() else { return Ok(None) };
        let length = i32::from_be_bytes(*length);
        let malformed = Error::Malformed { base_offset, reason: Malformation::Length };
        // Checked even where the batch is cut off: waiting for more would never heal a bad length.
        let length = usize::try_from(length).map_err(|_| malformed)?;
        if length < LENGTH_MIN {
            return Err(malformed);
        }
        let size = length.checked_add(LENGTH_END).ok_or(malformed)?;
        if size > self.rest.len() {
            return Ok(None);
        }
        Batch::parse(self.rest.split_to(size)).map(Some)
    }
}

impl Iterator for RecordSet {
    type Item = Result<Batch, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let batch = self.take().transpose();
        self.ended = !matches!(batch, Some(Ok(_)));
        batch
    }
}

/// Base offset and length, which the length does not count.
const LENGTH_END: usize = 12;

/// Where every format says which it is.
const FORMAT_AT: usize = 16;

/// The smallest message of format 0: checksum, format, attributes, null key, null value.
const LENGTH_MIN: usize = 14;
