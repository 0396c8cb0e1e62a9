//! The 61 bytes before a batch's records.

use milena_types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, Timestamp};

use crate::compression::CompressionType;
use crate::crc;
use crate::error::{Error, Malformation};

/// Bytes of a batch's header (format 2), before its records.
pub const HEADER_BYTES: usize = 61;

/// Bytes before those that the length field counts: base offset and length.
pub(crate) const LENGTH_END: usize = 12;

/// Where the checksummed part starts.
pub(crate) const CRC_END: usize = 21;

/// What a record's timestamp means.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "one bit of the attributes")]
pub enum TimestampType {
    /// When the producer made the record.
    CreateTime,
    /// When the broker appended the batch; one time for all of its records.
    LogAppendTime,
}

/// Who sent a batch, and as what in its order: what a broker tells a retried batch from a new one by (KIP-98).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the header has room for no more")]
pub struct ProducerStamp {
    /// The producer.
    pub producer_id: ProducerId,
    /// Its incarnation.
    pub producer_epoch: ProducerEpoch,
    /// The sequence of the batch's first record; `None` in batches that a coordinator writes.
    pub base_sequence: Option<Sequence>,
    /// Whether the batch belongs to a transaction.
    pub transactional: bool,
}

/// The header of a batch of format 2.
///
/// Changing a field keeps the checksum right without reading the records again: see the `set_` methods.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct BatchHeader {
    pub(crate) base_offset: i64,
    pub(crate) length: i32,
    pub(crate) leader_epoch: i32,
    pub(crate) crc: u32,
    pub(crate) attributes: i16,
    pub(crate) last_offset_delta: i32,
    pub(crate) base_timestamp: i64,
    pub(crate) max_timestamp: i64,
    pub(crate) producer_id: i64,
    pub(crate) producer_epoch: i16,
    pub(crate) base_sequence: i32,
    pub(crate) record_count: i32,
}

const COMPRESSION_BITS: i16 = 0x07;
const LOG_APPEND_TIME: i16 = 1 << 3;
const TRANSACTIONAL: i16 = 1 << 4;
const CONTROL: i16 = 1 << 5;
const DELETE_HORIZON: i16 = 1 << 6;

impl BatchHeader {
    /// The header of a fresh batch, stamped by nobody, whose records are `body_bytes` long; its checksum is not set.
    pub(crate) fn fresh(compression: CompressionType, body_bytes: usize) -> Option<Self> {
        let length = i32::try_from(body_bytes + HEADER_BYTES - LENGTH_END).ok()?;
        Some(Self {
            base_offset: 0,
            length,
            leader_epoch: -1,
            crc: 0,
            attributes: i16::from(compression.id()),
            last_offset_delta: 0,
            base_timestamp: -1,
            max_timestamp: -1,
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
            record_count: 0,
        })
    }

    /// Reads a header and checks that its fields agree with each other.
    pub(crate) fn parse(bytes: &[u8; HEADER_BYTES]) -> Result<Self, Error> {
        let mut fields = Fields(bytes);
        let header = Self {
            base_offset: i64::from_be_bytes(fields.take()),
            length: i32::from_be_bytes(fields.take()),
            leader_epoch: i32::from_be_bytes(fields.take()),
            crc: {
                let [_magic] = fields.take();
                u32::from_be_bytes(fields.take())
            },
            attributes: i16::from_be_bytes(fields.take()),
            last_offset_delta: i32::from_be_bytes(fields.take()),
            base_timestamp: i64::from_be_bytes(fields.take()),
            max_timestamp: i64::from_be_bytes(fields.take()),
            producer_id: i64::from_be_bytes(fields.take()),
            producer_epoch: i16::from_be_bytes(fields.take()),
            base_sequence: i32::from_be_bytes(fields.take()),
            record_count: i32::from_be_bytes(fields.take()),
        };
        header.check().map_err(|reason| header.malformed(reason))?;
        Ok(header)
    }

    fn check(&self) -> Result<(), Malformation> {
        if self.length < (HEADER_BYTES - LENGTH_END) as i32 {
            return Err(Malformation::Length);
        }
        if self.base_offset < 0
            || self.base_offset.checked_add(i64::from(self.last_offset_delta) + 1).is_none()
        {
            return Err(Malformation::Offset);
        }
        if self.record_count < 0 {
            return Err(Malformation::RecordCount);
        }
        // Compaction removes records and keeps the offsets: there may be fewer records than offsets, never more.
        if self.last_offset_delta < 0 || self.last_offset_delta < self.record_count - 1 {
            return Err(Malformation::LastOffsetDelta);
        }
        Ok(())
    }

    /// The 61 bytes.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        let mut rest = &mut bytes[..];
        let mut put = |field: &[u8]| {
            if let Some((place, after)) =
                std::mem::take(&mut rest).split_at_mut_checked(field.len())
            {
                place.copy_from_slice(field);
                rest = after;
            }
        };
        put(&self.base_offset.to_be_bytes());
        put(&self.length.to_be_bytes());
        put(&self.leader_epoch.to_be_bytes());
        put(&[MAGIC]);
        put(&self.crc.to_be_bytes());
        put(&self.attributes.to_be_bytes());
        put(&self.last_offset_delta.to_be_bytes());
        put(&self.base_timestamp.to_be_bytes());
        put(&self.max_timestamp.to_be_bytes());
        put(&self.producer_id.to_be_bytes());
        put(&self.producer_epoch.to_be_bytes());
        put(&self.base_sequence.to_be_bytes());
        put(&self.record_count.to_be_bytes());
        bytes
    }

    /// The offset of the first record that was ever in the batch.
    pub fn base_offset(&self) -> Offset {
        Offset::new(self.base_offset).unwrap_or(Offset::ZERO)
    }

    /// The offset of the last record that was ever in the batch.
    pub fn last_offset(&self) -> Offset {
        self.base_offset().saturating_add(i64::from(self.last_offset_delta))
    }

    /// How many offsets the batch spans, less one; a producer sends `record_count - 1`.
    pub fn last_offset_delta(&self) -> i32 {
        self.last_offset_delta
    }

    /// How many records it says it holds; compaction may have left none.
    pub fn record_count(&self) -> i32 {
        self.record_count
    }

    /// Bytes of the whole batch, this header included.
    pub fn batch_bytes(&self) -> usize {
        LENGTH_END + self.length as usize
    }

    /// The epoch of the leader that appended it.
    pub fn leader_epoch(&self) -> Option<LeaderEpoch> {
        LeaderEpoch::from_wire(self.leader_epoch)
    }

    /// The codec of its records.
    ///
    /// # Errors
    /// [`Error::UnknownCompression`].
    pub fn compression(&self) -> Result<CompressionType, Error> {
        CompressionType::from_id((self.attributes & COMPRESSION_BITS) as u8)
    }

    /// What its timestamps mean.
    pub fn timestamp_type(&self) -> TimestampType {
        match self.attributes & LOG_APPEND_TIME {
            0 => TimestampType::CreateTime,
            _ => TimestampType::LogAppendTime,
        }
    }

    /// Its first record's time; after compaction, the base that times are stored relative to.
    pub fn base_timestamp(&self) -> Option<Timestamp> {
        Timestamp::from_wire(self.base_timestamp)
    }

    /// The latest time of its records, or when it was appended.
    pub fn max_timestamp(&self) -> Option<Timestamp> {
        Timestamp::from_wire(self.max_timestamp)
    }

    /// When compaction may remove its tombstones (KIP-534), once that is decided.
    pub fn delete_horizon(&self) -> Option<Timestamp> {
        if self.attributes & DELETE_HORIZON == 0 { None } else { self.base_timestamp() }
    }

    /// Whether it belongs to a transaction.
    pub fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL != 0
    }

    /// Whether it holds control records, which are not handed out.
    pub fn is_control(&self) -> bool {
        self.attributes & CONTROL != 0
    }

    /// Who sent it, if that producer is idempotent or transactional.
    pub fn producer(&self) -> Option<ProducerStamp> {
        Some(ProducerStamp {
            producer_id: ProducerId::from_wire(self.producer_id)?,
            producer_epoch: ProducerEpoch::from_wire(self.producer_epoch)?,
            base_sequence: Sequence::from_wire(self.base_sequence),
            transactional: self.is_transactional(),
        })
    }

    /// The producer's id, for batches of any kind of producer that has one.
    pub fn producer_id(&self) -> Option<ProducerId> {
        ProducerId::from_wire(self.producer_id)
    }

    /// The stored CRC-32C.
    pub fn checksum(&self) -> u32 {
        self.crc
    }

    /// Moves the batch to `offset`; the checksum does not cover it.
    pub fn set_base_offset(&mut self, offset: Offset) {
        self.base_offset = offset.get();
    }

    /// Sets the epoch of the leader that appends it; the checksum does not cover it.
    pub fn set_leader_epoch(&mut self, epoch: Option<LeaderEpoch>) {
        self.leader_epoch = LeaderEpoch::to_wire(epoch);
    }

    /// Makes the batch one of [`TimestampType::LogAppendTime`], appended at `appended`.
    pub fn set_log_append_time(&mut self, appended: Timestamp) {
        self.patch(|header| {
            header.attributes |= LOG_APPEND_TIME;
            header.max_timestamp = appended.millis();
        });
    }

    /// Says who sends the batch; `None` for a producer that is not idempotent.
    pub fn set_producer(&mut self, stamp: Option<ProducerStamp>) {
        self.patch(|header| {
            header.producer_id = stamp.map_or(-1, |stamp| stamp.producer_id.get());
            header.producer_epoch = stamp.map_or(-1, |stamp| stamp.producer_epoch.get());
            let sequence = stamp.and_then(|stamp| stamp.base_sequence);
            header.base_sequence = sequence.map_or(-1, Sequence::get);
            header.attributes &= !TRANSACTIONAL;
            if stamp.is_some_and(|stamp| stamp.transactional) {
                header.attributes |= TRANSACTIONAL;
            }
        });
    }

    /// Makes the batch a control batch.
    pub(crate) fn set_control(&mut self) {
        self.patch(|header| header.attributes |= CONTROL);
    }

    /// Sets the checksum for records whose own CRC-32C is `body_crc`.
    pub(crate) fn set_checksum(&mut self, body_crc: u32) {
        let bytes = self.encode();
        self.crc = crc::join(checksummed(&bytes), body_crc, self.body_bytes());
    }

    /// An [`Error`] about this batch.
    pub(crate) fn malformed(&self, reason: Malformation) -> Error {
        Error::Malformed { base_offset: self.base_offset, reason }
    }

    fn patch(&mut self, change: impl FnOnce(&mut Self)) {
        let old = self.encode();
        change(self);
        let new = self.encode();
        self.crc = crc::patch(self.crc, checksummed(&old), checksummed(&new), self.body_bytes());
    }

    fn body_bytes(&self) -> usize {
        self.batch_bytes() - HEADER_BYTES
    }
}

/// The format's number.
pub(crate) const MAGIC: u8 = 2;

/// What of a header the checksum covers.
fn checksummed(header: &[u8; HEADER_BYTES]) -> &[u8] {
    header.get(CRC_END..).unwrap_or_default()
}

/// Fixed-width fields taken off the front of a header.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        // The fields of a header are 61 bytes together, which its parser was given.
        let Some((field, rest)) = self.0.split_first_chunk() else { return [0; N] };
        self.0 = rest;
        *field
    }
}
