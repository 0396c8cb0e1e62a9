//! A record batch as it lies in a log.

use bytes::{Bytes, BytesMut};
use milena_records::batch::control::{ControlType, end_transaction};
use milena_records::{BatchHeader, CompressionType, Decompressor, Error, Record, TimestampType};
use milena_types::{
    ErrorCode, LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, Timestamp,
};

use crate::transaction::End;

/// A batch with its header read; the records stay as they were sent, in a slice of the frame they came in.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    header: BatchHeader,
    /// The header as bytes.
    head: Bytes,
    body: Bytes,
}

/// What an idempotent producer says of itself in each batch.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Sent {
    pub(crate) producer_id: ProducerId,
    pub(crate) producer_epoch: ProducerEpoch,
    /// `None` in control batches.
    pub(crate) base_sequence: Option<Sequence>,
}

/// Why a set of records is not stored.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Rejected {
    pub(crate) code: ErrorCode,
    pub(crate) why: &'static str,
    /// Which of its records lack a key, where the topic wants one.
    pub(crate) keyless: Vec<i32>,
}

impl Rejected {
    pub(crate) fn new(code: ErrorCode, why: &'static str) -> Self {
        Self { code, why, keyless: Vec::new() }
    }
}

impl Batch {
    /// Reads a produced record set, which must be exactly one batch of the current format, whole and unharmed.
    pub(crate) fn read(bytes: &Bytes) -> Result<Self, Rejected> {
        let invalid = |why| Rejected::new(ErrorCode::INVALID_RECORD, why);
        let batch = milena_records::Batch::parse(bytes.clone()).map_err(|error| {
            if matches!(error, Error::UnknownMagic { .. }) {
                Rejected::new(ErrorCode::CORRUPT_MESSAGE, "the record format is unknown")
            } else {
                invalid("a produced record set is exactly one batch, whole and consistent")
            }
        })?;
        let header = *batch.header().ok_or(invalid("only record format 2 is written"))?;
        let corrupt = Rejected::new(ErrorCode::CORRUPT_MESSAGE, "checksum mismatch");
        batch.verify().map_err(|_| corrupt)?;
        if header.compression().is_err() {
            // Kafka's validator falls over such a batch, and says so.
            return Err(Rejected::new(ErrorCode::UNKNOWN_SERVER_ERROR, "the codec is unknown"));
        }
        if header.producer_id().is_some() && header.producer().is_none() {
            return Err(invalid("a producer id without an epoch"));
        }
        let parts = batch.parts();
        Ok(Self { header, head: parts.head, body: parts.body })
    }

    /// A marker that ends a producer's transaction, by a coordinator in its term `coordinator_epoch`.
    pub(crate) fn marker(
        sent: Sent,
        is_commit: bool,
        coordinator_epoch: Option<LeaderEpoch>,
        now: Timestamp,
    ) -> Result<Self, Error> {
        let Sent { producer_id, producer_epoch, .. } = sent;
        let coordinator_epoch = LeaderEpoch::to_wire(coordinator_epoch);
        let sealed =
            end_transaction(is_commit, producer_id, producer_epoch, coordinator_epoch, now)?;
        let header = *sealed.header();
        let parts = sealed.with_header(&header);
        Ok(Self { header, head: parts.head, body: parts.body })
    }

    /// How a transaction ended, and the term of the coordinator that said so, if the batch is a marker of that.
    pub(crate) fn end(&self) -> Option<(End, Option<LeaderEpoch>)> {
        if !self.is_control() {
            return None;
        }
        let batch = milena_records::Batch::parse(self.to_bytes()).ok()?;
        let decoded = batch.decode(&mut Decompressor::default()).ok()?;
        let control = decoded.control_record().ok()??;
        let end = match control.kind {
            ControlType::COMMIT => End::Commit,
            ControlType::ABORT => End::Abort,
            _ => return None,
        };
        Some((end, control.coordinator_epoch.and_then(LeaderEpoch::from_wire)))
    }

    /// The same batch with other records: some of those that it has, at their offsets.
    pub(crate) fn with_records(
        &self,
        compression: CompressionType,
        records: i32,
        max_timestamp: i64,
        body: Bytes,
    ) -> Option<Self> {
        let kind: u8 = match compression {
            CompressionType::None => 0,
            CompressionType::Gzip => 1,
            CompressionType::Snappy => 2,
            CompressionType::Lz4 => 3,
            CompressionType::Zstd => 4,
        };
        let mut whole = BytesMut::from(&self.head[..]);
        whole.extend_from_slice(&body);
        let length = i32::try_from(whole.len().checked_sub(LENGTH_END)?).ok()?;
        let mut put = |at: usize, field: &[u8]| -> Option<()> {
            whole.get_mut(at..at + field.len())?.copy_from_slice(field);
            Some(())
        };
        put(LENGTH_AT, &length.to_be_bytes())?;
        let attributes = self.head.get(ATTRIBUTES_LOW_AT)? & !COMPRESSION_BITS | kind;
        put(ATTRIBUTES_LOW_AT, &[attributes])?;
        if !self.is_log_append_time() {
            put(MAX_TIMESTAMP_AT, &max_timestamp.to_be_bytes())?;
        }
        put(RECORDS_AT, &records.to_be_bytes())?;
        let crc = crc_fast::crc32_iscsi(whole.get(CHECKED_FROM..)?);
        whole.get_mut(CRC_AT..CRC_AT + 4)?.copy_from_slice(&crc.to_be_bytes());
        Self::read(&whole.freeze()).ok()
    }

    /// Says whether the records could be read.
    pub(crate) fn for_each_record(&self, mut work: impl FnMut(&Record<'_>)) -> bool {
        let Ok(parsed) = milena_records::Batch::parse(self.to_bytes()) else { return false };
        let Ok(decoded) = parsed.decode_unverified(&mut Decompressor::default()) else {
            return false;
        };
        for record in decoded.iter() {
            match record {
                Ok(record) => work(&record),
                Err(_) => return false,
            }
        }
        true
    }

    /// By which codec its records are compressed, if that is known.
    pub(crate) fn compression(&self) -> Option<CompressionType> {
        self.header.compression().ok()
    }

    /// Gives the batch its place in the log. Offset and leader epoch lie outside of what the checksum covers.
    pub(super) fn place(&mut self, base_offset: Offset, leader_epoch: LeaderEpoch) {
        self.header.set_base_offset(base_offset);
        self.header.set_leader_epoch(Some(leader_epoch));
        self.head = Bytes::copy_from_slice(&self.header.encode());
    }

    /// Replaces the producer's clock by the broker's, as topics with `LogAppendTime` want it.
    pub(crate) fn stamp_append_time(&mut self, now: Timestamp) {
        self.header.set_log_append_time(now);
        self.head = Bytes::copy_from_slice(&self.header.encode());
    }

    /// The header as bytes.
    pub(crate) fn head(&self) -> &Bytes {
        &self.head
    }

    /// The records as bytes, perhaps compressed.
    pub(crate) fn body(&self) -> &Bytes {
        &self.body
    }

    /// The batch in one piece, copied.
    pub(crate) fn to_bytes(&self) -> Bytes {
        let mut whole = BytesMut::with_capacity(self.bytes());
        whole.extend_from_slice(&self.head);
        whole.extend_from_slice(&self.body);
        whole.freeze()
    }

    /// Its size in the log and on the wire.
    pub(crate) fn bytes(&self) -> usize {
        self.head.len() + self.body.len()
    }

    pub(crate) fn base_offset(&self) -> Offset {
        self.header.base_offset()
    }

    /// The offset of its last record, also where compaction took that record away.
    pub(crate) fn last_offset(&self) -> Offset {
        self.header.last_offset()
    }

    pub(crate) fn leader_epoch(&self) -> Option<LeaderEpoch> {
        self.header.leader_epoch()
    }

    /// How many records it has; zero only where a client says so, which is refused.
    pub(crate) fn records(&self) -> i32 {
        self.header.record_count()
    }

    /// How many offsets it takes: as many as it had records before compaction.
    pub(crate) fn offsets(&self) -> i32 {
        self.header.last_offset_delta().saturating_add(1)
    }

    /// Whether its offsets are those of its records, without gaps.
    pub(crate) fn is_gapless(&self) -> bool {
        self.header.last_offset_delta().checked_add(1) == Some(self.header.record_count())
    }

    /// The time of its latest record; `None` where its records have no time.
    pub(crate) fn max_timestamp(&self) -> Option<Timestamp> {
        self.header.max_timestamp()
    }

    pub(crate) fn base_timestamp(&self) -> Option<Timestamp> {
        self.header.base_timestamp()
    }

    pub(crate) fn is_log_append_time(&self) -> bool {
        self.header.timestamp_type() == TimestampType::LogAppendTime
    }

    /// Who sent it, where an idempotent producer did.
    pub(crate) fn sent(&self) -> Option<Sent> {
        self.header.producer().map(|stamp| Sent {
            producer_id: stamp.producer_id,
            producer_epoch: stamp.producer_epoch,
            base_sequence: stamp.base_sequence,
        })
    }

    pub(crate) fn is_zstd(&self) -> bool {
        self.header.compression() == Ok(CompressionType::Zstd)
    }

    pub(crate) fn is_transactional(&self) -> bool {
        self.header.is_transactional()
    }

    pub(crate) fn is_control(&self) -> bool {
        self.header.is_control()
    }
}

/// Whether records begin with a batch of a known format that is all there, by what it says of itself.
pub(crate) fn begins_with_batch(records: &[u8]) -> bool {
    let length = records.get(LENGTH_AT..LENGTH_END).and_then(|field| field.try_into().ok());
    let length = length.and_then(|field| usize::try_from(i32::from_be_bytes(field)).ok());
    let is_whole = length.is_some_and(|length| length <= records.len() - LENGTH_END);
    is_whole && records.get(MAGIC_AT).is_some_and(|magic| *magic <= 2)
}

/// Where the fields of a header of format 2 lie; the checksum covers all behind it.
const LENGTH_AT: usize = 8;
const LENGTH_END: usize = 12;
const MAGIC_AT: usize = 16;
const CRC_AT: usize = 17;
const CHECKED_FROM: usize = 21;
const ATTRIBUTES_LOW_AT: usize = 22;
const MAX_TIMESTAMP_AT: usize = 35;
const RECORDS_AT: usize = 57;

const COMPRESSION_BITS: u8 = 0x07;
