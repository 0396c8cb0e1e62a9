//! A batch ready to be sent, as often as it takes.

use bytes::Bytes;
use milena_types::Timestamp;

use crate::batch::builder::BatchBuilder;
use crate::batch::header::{BatchHeader, HEADER_BYTES, ProducerStamp};
use crate::batch::reader::{Batch, DecodedBatch};
use crate::compression::{Compression, Compressor, Decompressor};
use crate::error::Error;
use crate::pool::Buffer;

/// A closed batch: its records are immutable, and its header is made afresh for each attempt to send it.
#[derive(Clone, Debug)]
pub struct SealedBatch {
    header: BatchHeader,
    body: Bytes,
    uncompressed_bytes: usize,
}

impl SealedBatch {
    pub(crate) fn new(header: BatchHeader, body: Bytes, uncompressed_bytes: usize) -> Self {
        Self { header, body, uncompressed_bytes }
    }

    /// The bytes to send for a producer and a sequence; `None` for a producer that is not idempotent.
    ///
    /// The records are shared, not copied, and not read: only the 61 bytes of the header are new. Stamping again while
    /// an earlier copy is in flight is fine.
    pub fn stamp(&self, stamp: Option<ProducerStamp>) -> BatchParts {
        let mut header = self.header;
        header.set_producer(stamp);
        BatchParts::new(&header, self.body.clone())
    }

    /// How many records it holds.
    pub fn record_count(&self) -> i32 {
        self.header.record_count()
    }

    /// Bytes on the wire, header included.
    pub fn size(&self) -> usize {
        HEADER_BYTES + self.body.len()
    }

    /// Bytes that it would take uncompressed, header included.
    pub fn uncompressed_size(&self) -> usize {
        self.uncompressed_bytes
    }

    /// The header, stamped by nobody.
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// The latest time of its records.
    pub fn max_timestamp(&self) -> Option<Timestamp> {
        self.header.max_timestamp()
    }

    /// The batch with another header, a changed copy of [`header`](Self::header); the records are shared.
    pub fn with_header(&self, header: &BatchHeader) -> BatchParts {
        BatchParts::new(header, self.body.clone())
    }

    pub(crate) fn make_control(&mut self, stamp: ProducerStamp) {
        self.header.set_producer(Some(stamp));
        self.header.set_control();
    }

    /// The records, decompressed.
    ///
    /// # Errors
    /// As [`Decompressor::decompress`].
    pub fn decode(&self, decompressor: &mut Decompressor) -> Result<DecodedBatch, Error> {
        DecodedBatch::from_parts(&self.header, &self.body, decompressor)
    }

    /// The same records in order in batches of at most `batch_bytes` uncompressed, header included, or of one record
    /// where that is larger: the answer to MESSAGE_TOO_LARGE.
    ///
    /// # Errors
    /// As [`decode`](Self::decode) and [`BatchBuilder::seal`].
    pub fn split(
        &self,
        batch_bytes: usize,
        compression: Compression,
        compressor: &mut Compressor,
        decompressor: &mut Decompressor,
    ) -> Result<Vec<Self>, Error> {
        let decoded = self.decode(decompressor)?;
        let mut parts = Vec::new();
        let mut builder =
            BatchBuilder::new(Buffer::with_capacity(batch_bytes.min(self.uncompressed_bytes)));
        for record in decoded.iter() {
            let record = record?;
            // Records without a time keep -1.
            let timestamp = Timestamp::from_millis(record.timestamp);
            let (key, value) = (record.key(), record.value());
            let size = builder.encoded_size(timestamp, key, value, record.headers());
            if !builder.is_empty() && builder.size() + size > batch_bytes {
                let next = BatchBuilder::new(Buffer::with_capacity(
                    batch_bytes.min(self.uncompressed_bytes),
                ));
                parts.push(std::mem::replace(&mut builder, next).seal(compression, compressor)?);
            }
            builder.append(timestamp, key, value, record.headers())?;
        }
        parts.push(builder.seal(compression, compressor)?);
        Ok(parts)
    }
}

/// A whole batch in two parts, to be written one after the other.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "it is these two parts by definition")]
pub struct BatchParts {
    /// The header's 61 bytes.
    pub head: Bytes,
    /// The records, compressed if the header says so.
    pub body: Bytes,
}

impl BatchParts {
    pub(crate) fn new(header: &BatchHeader, body: Bytes) -> Self {
        Self { head: Bytes::copy_from_slice(&header.encode()), body }
    }

    /// Bytes of both.
    pub fn len(&self) -> usize {
        self.head.len() + self.body.len()
    }

    /// Whether there is nothing, which no batch is.
    pub fn is_empty(&self) -> bool {
        self.head.is_empty() && self.body.is_empty()
    }

    /// Both parts copied into one, as a log keeps them.
    pub fn to_bytes(&self) -> Bytes {
        let mut bytes = Vec::with_capacity(self.len());
        bytes.extend_from_slice(&self.head);
        bytes.extend_from_slice(&self.body);
        bytes.into()
    }
}

impl From<&Batch> for BatchParts {
    fn from(batch: &Batch) -> Self {
        batch.parts()
    }
}
