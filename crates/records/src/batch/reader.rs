//! A batch as it lies in a fetched record set.

use bytes::Bytes;
use milena_types::{Offset, ProducerId};

use crate::batch::control::ControlRecord;
use crate::batch::header::{BatchHeader, CRC_END, HEADER_BYTES, TimestampType};
use crate::batch::iter::{Iter, Records, State};
use crate::batch::sealed::BatchParts;
use crate::compression::{CompressionType, Decompressor};
use crate::crc;
use crate::error::{Error, Malformation};
use crate::legacy;
use crate::record::{Record, SharedRecord};

/// A batch of any format in a buffer that it shares: its header is read, its records are not touched yet.
///
/// A message of formats 0 and 1, alone or around compressed messages, counts as a batch too.
#[derive(Clone, Debug)]
pub struct Batch {
    bytes: Bytes,
    format: Format,
}

#[derive(Clone, Copy, Debug)]
enum Format {
    V2(BatchHeader),
    Legacy(legacy::Envelope),
}

impl Batch {
    /// Reads the header of the batch that fills `bytes` from start to end.
    ///
    /// # Errors
    /// [`Error::Malformed`] for contradictory fields or a length other than that of `bytes`, and
    /// [`Error::UnknownMagic`].
    pub fn parse(bytes: Bytes) -> Result<Self, Error> {
        let base_offset = bytes.first_chunk().map_or(-1, |offset| i64::from_be_bytes(*offset));
        let malformed = |reason| Error::Malformed { base_offset, reason };
        let format = match bytes.get(MAGIC_AT).map(|&magic| magic as i8) {
            Some(2) => {
                let header = bytes.first_chunk().ok_or_else(|| malformed(Malformation::Length))?;
                Format::V2(BatchHeader::parse(header)?)
            }
            Some(0 | 1) => Format::Legacy(legacy::Envelope::parse(&bytes).map_err(malformed)?),
            Some(magic) => return Err(Error::UnknownMagic { base_offset, magic }),
            None => return Err(malformed(Malformation::Length)),
        };
        let stated = match &format {
            Format::V2(header) => header.batch_bytes(),
            Format::Legacy(envelope) => envelope.message_bytes(),
        };
        if stated != bytes.len() {
            return Err(malformed(Malformation::Length));
        }
        Ok(Self { bytes, format })
    }

    /// The header, where the format is 2.
    pub fn header(&self) -> Option<&BatchHeader> {
        match &self.format {
            Format::V2(header) => Some(header),
            Format::Legacy(_) => None,
        }
    }

    /// The record format: 0, 1 or 2.
    pub fn magic(&self) -> i8 {
        match &self.format {
            Format::V2(_) => 2,
            Format::Legacy(envelope) => envelope.magic,
        }
    }

    /// The offset of its last record, or where compaction removed that one, the offset that it had.
    pub fn last_offset(&self) -> Offset {
        match &self.format {
            Format::V2(header) => header.last_offset(),
            Format::Legacy(envelope) => envelope.offset,
        }
    }

    /// Where a reader goes on after this batch, whatever records are left in it.
    pub fn next_offset(&self) -> Offset {
        self.last_offset().next()
    }

    /// Bytes of the whole batch.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// The whole batch.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The codec of its records.
    ///
    /// # Errors
    /// [`Error::UnknownCompression`].
    pub fn compression(&self) -> Result<CompressionType, Error> {
        match &self.format {
            Format::V2(header) => header.compression(),
            Format::Legacy(envelope) => envelope.compression(),
        }
    }

    /// Whether it holds control records, which are not handed out.
    pub fn is_control(&self) -> bool {
        self.header().is_some_and(BatchHeader::is_control)
    }

    /// Whether it belongs to a transaction.
    pub fn is_transactional(&self) -> bool {
        self.header().is_some_and(BatchHeader::is_transactional)
    }

    /// The producer's id, if it has one.
    pub fn producer_id(&self) -> Option<ProducerId> {
        self.header().and_then(BatchHeader::producer_id)
    }

    /// Compares the stored checksum with that of the bytes.
    ///
    /// # Errors
    /// [`Error::Checksum`].
    pub fn verify(&self) -> Result<(), Error> {
        let (base_offset, stored, computed) = match &self.format {
            Format::V2(header) => {
                let covered = self.bytes.get(CRC_END..).unwrap_or_default();
                (header.base_offset, header.crc, crc::crc32c(covered))
            }
            Format::Legacy(envelope) => {
                (envelope.offset.get(), envelope.crc, envelope.checksum(&self.bytes))
            }
        };
        if stored == computed {
            Ok(())
        } else {
            Err(Error::Checksum { base_offset, stored, computed })
        }
    }

    /// Checks and decompresses the records, which can be walked then.
    ///
    /// # Errors
    /// [`Error::Checksum`], [`Error::Malformed`] and those of [`Decompressor::decompress`].
    pub fn decode(&self, decompressor: &mut Decompressor) -> Result<DecodedBatch, Error> {
        self.verify()?;
        self.decode_unverified(decompressor)
    }

    /// As [`decode`](Self::decode), without the checksum (`check.crcs=false`).
    ///
    /// # Errors
    /// [`Error::Malformed`] and those of [`Decompressor::decompress`].
    pub fn decode_unverified(
        &self,
        decompressor: &mut Decompressor,
    ) -> Result<DecodedBatch, Error> {
        match &self.format {
            Format::V2(header) => {
                let body = self.bytes.slice(HEADER_BYTES..);
                DecodedBatch::from_parts(header, &body, decompressor)
            }
            Format::Legacy(envelope) => {
                let (records, state) = envelope.open(&self.bytes, decompressor)?;
                Ok(DecodedBatch { records, state, is_control: false })
            }
        }
    }

    /// The batch as header and records, sharing its buffer.
    pub fn parts(&self) -> BatchParts {
        let split = HEADER_BYTES.min(self.bytes.len());
        BatchParts { head: self.bytes.slice(..split), body: self.bytes.slice(split..) }
    }

    /// The batch with another header, as a broker makes it when it assigns offsets; the records are shared.
    ///
    /// `header` is a changed copy of [`header`](Self::header), so that batches of formats 0 and 1 have none.
    pub fn with_header(&self, header: &BatchHeader) -> BatchParts {
        BatchParts::new(header, self.parts().body)
    }
}

/// Where every format keeps its number.
const MAGIC_AT: usize = 16;

/// The fewest bytes that a record of format 2 takes: seven numbers of a byte each.
const RECORD_BYTES_MIN: usize = 7;

/// A batch whose records are plain bytes.
#[derive(Clone, Debug)]
pub struct DecodedBatch {
    records: Bytes,
    state: State,
    is_control: bool,
}

impl DecodedBatch {
    pub(crate) fn from_parts(
        header: &BatchHeader,
        body: &Bytes,
        decompressor: &mut Decompressor,
    ) -> Result<Self, Error> {
        let compression = header.compression()?;
        let records = if compression == CompressionType::None {
            body.clone()
        } else {
            decompressor.decompress_shared(compression, body)?
        };
        let count = usize::try_from(header.record_count).unwrap_or(usize::MAX);
        if count > records.len() / RECORD_BYTES_MIN {
            return Err(header.malformed(Malformation::RecordCount));
        }
        let append_time = match header.timestamp_type() {
            TimestampType::CreateTime => None,
            TimestampType::LogAppendTime => Some(header.max_timestamp),
        };
        let state = State::v2(header, append_time);
        Ok(Self { records, state, is_control: header.is_control() })
    }

    /// How many records the header announces; unknown for formats 0 and 1.
    pub fn record_count(&self) -> Option<i32> {
        self.state.announced()
    }

    /// Bytes of the records, decompressed.
    pub fn records_bytes(&self) -> usize {
        self.records.len()
    }

    /// The records in order, borrowed.
    pub fn iter(&self) -> Iter<'_> {
        Iter::new(&self.records, self.state)
    }

    /// The records in order, each holding the buffer by one reference count.
    pub fn into_records(self) -> Records {
        Records::new(self.records, self.state)
    }

    /// A record of this batch that can be kept.
    pub fn share(&self, record: &Record<'_>) -> SharedRecord {
        SharedRecord::new(&self.records, record)
    }

    /// What a control batch says: its first record; `None` for other batches, and where compaction removed it.
    ///
    /// # Errors
    /// [`Error::Malformed`].
    pub fn control_record(&self) -> Result<Option<ControlRecord>, Error> {
        if !self.is_control {
            return Ok(None);
        }
        let Some(record) = self.iter().next() else { return Ok(None) };
        match ControlRecord::parse(&record?) {
            Some(control) => Ok(Some(control)),
            None => Err(self.state.malformed(Malformation::ControlRecord)),
        }
    }
}

impl<'a> IntoIterator for &'a DecodedBatch {
    type Item = Result<Record<'a>, Error>;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}
