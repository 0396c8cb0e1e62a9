//! A batch that records are appended to.

use milena_types::Timestamp;

use crate::batch::header::{BatchHeader, HEADER_BYTES};
use crate::batch::sealed::SealedBatch;
use crate::compression::{Compression, CompressionType, Compressor};
use crate::crc;
use crate::error::Error;
use crate::pool::Buffer;
use crate::record::{Header, nullable_size};
use crate::varint;

/// Collects records, encoded straight into one buffer: appending allocates nothing while the buffer has room.
///
/// The buffer holds records only. The header is written when the batch is sealed and each time it is stamped, which is
/// why a retry under another epoch costs 61 bytes, not a batch.
#[derive(Debug)]
#[must_use = "records are lost unless the batch is sealed"]
pub struct BatchBuilder {
    records: Buffer,
    record_count: i32,
    base_timestamp: i64,
    max_timestamp: i64,
}

impl BatchBuilder {
    /// An empty batch over `buffer`, whose contents are dropped.
    pub fn new(mut buffer: Buffer) -> Self {
        buffer.clear();
        Self { records: buffer, record_count: 0, base_timestamp: -1, max_timestamp: -1 }
    }

    /// How many records it holds.
    pub fn record_count(&self) -> i32 {
        self.record_count
    }

    /// Whether it holds no record.
    pub fn is_empty(&self) -> bool {
        self.record_count == 0
    }

    /// Bytes of the batch if it were sealed uncompressed, header included.
    pub fn size(&self) -> usize {
        HEADER_BYTES + self.records.len()
    }

    /// Bytes that the buffer can hold before it has to grow.
    pub fn capacity(&self) -> usize {
        self.records.capacity()
    }

    /// By exactly how much [`size`](Self::size) would grow with this record.
    pub fn encoded_size<'h>(
        &self,
        timestamp: Timestamp,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: impl IntoIterator<Item = Header<'h>>,
    ) -> usize {
        let (header_count, header_bytes) = headers_size(headers.into_iter());
        let fields = 1
            + varint::size(self.timestamp_delta(timestamp))
            + varint::size(i64::from(self.record_count))
            + nullable_size(key)
            + nullable_size(value)
            + varint::size(header_count as i64)
            + header_bytes;
        varint::size(fields as i64) + fields
    }

    /// Appends a record and returns its index in the batch.
    ///
    /// # Errors
    /// [`Error::BatchFull`] where the batch would exceed 2³¹ − 1 bytes or records; it is unchanged then. Limits below
    /// that are the caller's: see [`encoded_size`](Self::encoded_size).
    pub fn append<'h, H>(
        &mut self,
        timestamp: Timestamp,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: H,
    ) -> Result<i32, Error>
    where
        H: IntoIterator<Item = Header<'h>>,
        H::IntoIter: Clone,
    {
        let headers = headers.into_iter();
        let (header_count, header_bytes) = headers_size(headers.clone());
        let timestamp_delta = self.timestamp_delta(timestamp);
        let index = self.record_count;
        let fields = 1
            + varint::size(timestamp_delta)
            + varint::size(i64::from(index))
            + nullable_size(key)
            + nullable_size(value)
            + varint::size(header_count as i64)
            + header_bytes;
        let bytes_after = self.records.len() + fields + varint::VARLONG_BYTES_MAX;
        if index == i32::MAX || bytes_after > BODY_BYTES_MAX {
            return Err(Error::BatchFull);
        }

        self.records.reserve(fields + varint::VARLONG_BYTES_MAX);
        let mut prefix = Prefix::default();
        prefix.put(fields as i64);
        prefix.put_attributes();
        prefix.put(timestamp_delta);
        prefix.put(i64::from(index));
        match key {
            Some(key) => {
                prefix.put(key.len() as i64);
                self.records.extend_from_slice(prefix.as_slice());
                self.records.extend_from_slice(key);
                prefix = Prefix::default();
            }
            None => prefix.put(-1),
        }
        prefix.put(value.map_or(-1, |value| value.len() as i64));
        self.records.extend_from_slice(prefix.as_slice());
        if let Some(value) = value {
            self.records.extend_from_slice(value);
        }
        if header_count == 0 {
            self.records.push(0);
        } else {
            self.append_headers(header_count, headers);
        }

        if index == 0 {
            self.base_timestamp = timestamp.millis();
            self.max_timestamp = timestamp.millis();
        }
        self.max_timestamp = self.max_timestamp.max(timestamp.millis());
        self.record_count += 1;
        Ok(index)
    }

    /// Compresses, checksums and closes the batch.
    ///
    /// Where compression would not make it smaller, the records stay uncompressed, as librdkafka does and Java does
    /// not: the broker stores either, and readers save the work.
    ///
    /// # Errors
    /// [`Error::BatchEmpty`], or as [`Compressor::compress`].
    pub fn seal(
        self,
        compression: Compression,
        compressor: &mut Compressor,
    ) -> Result<SealedBatch, Error> {
        if self.record_count == 0 {
            return Err(Error::BatchEmpty);
        }
        let uncompressed_bytes = self.size();
        let Self { records, record_count, base_timestamp, max_timestamp } = self;
        let mut kind = compression.kind();
        let mut body = records;
        if kind != CompressionType::None {
            let mut compressed = body.another(body.len());
            compressor.compress(compression, &body, &mut compressed)?;
            if compressed.len() < body.len() {
                body = compressed;
            } else {
                kind = CompressionType::None;
            }
        }
        let mut header = BatchHeader::fresh(kind, body.len()).ok_or(Error::BatchFull)?;
        header.record_count = record_count;
        header.last_offset_delta = record_count - 1;
        header.base_timestamp = base_timestamp;
        header.max_timestamp = max_timestamp;
        header.set_checksum(crc::crc32c(&body));
        Ok(SealedBatch::new(header, body.freeze(), uncompressed_bytes))
    }

    fn append_headers<'h>(&mut self, count: usize, headers: impl Iterator<Item = Header<'h>>) {
        let records = &mut self.records;
        put_number(records, count as i64);
        for header in headers {
            put_number(records, header.key.len() as i64);
            records.extend_from_slice(header.key);
            match header.value {
                Some(value) => {
                    put_number(records, value.len() as i64);
                    records.extend_from_slice(value);
                }
                None => put_number(records, -1),
            }
        }
    }

    fn timestamp_delta(&self, timestamp: Timestamp) -> i64 {
        if self.record_count == 0 {
            0
        } else {
            timestamp.millis().wrapping_sub(self.base_timestamp)
        }
    }
}

/// An upper bound of the size of a batch with only this record, computed as Java's producer does for
/// `max.request.size`: it does not depend on the record's place in the batch.
pub fn size_upper_bound<'h>(
    key: Option<&[u8]>,
    value: Option<&[u8]>,
    headers: impl IntoIterator<Item = Header<'h>>,
) -> usize {
    let (header_count, header_bytes) = headers_size(headers.into_iter());
    HEADER_BYTES
        + RECORD_OVERHEAD_MAX
        + nullable_size(key)
        + nullable_size(value)
        + varint::size(header_count as i64)
        + header_bytes
}

/// Java's `DefaultRecord.MAX_RECORD_OVERHEAD`: length, attributes, timestamp and offset at their largest.
const RECORD_OVERHEAD_MAX: usize = 21;

/// The length field counts 49 bytes of the header too.
const BODY_BYTES_MAX: usize = i32::MAX as usize - HEADER_BYTES;

fn headers_size<'h>(headers: impl Iterator<Item = Header<'h>>) -> (usize, usize) {
    headers.fold((0, 0), |(count, bytes), header| (count + 1, bytes + header.size()))
}

fn put_number(out: &mut Vec<u8>, value: i64) {
    let mut prefix = Prefix::default();
    prefix.put(value);
    out.extend_from_slice(prefix.as_slice());
}

/// The numbers before a key or value, gathered so that the buffer is written to once.
struct Prefix {
    bytes: [u8; Self::BYTES],
    len: usize,
}

impl Prefix {
    /// Length, attributes, timestamp, offset, key length, value length, all at their longest.
    const BYTES: usize = 64;

    #[inline]
    fn put(&mut self, value: i64) {
        let out = self.bytes.get_mut(self.len..).unwrap_or_default();
        self.len += varint::put(out, value);
    }

    #[inline]
    fn put_attributes(&mut self) {
        // The byte is zero already.
        self.len += 1;
    }

    #[inline]
    fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

impl Default for Prefix {
    #[inline]
    fn default() -> Self {
        Self { bytes: [0; Self::BYTES], len: 0 }
    }
}
