//! What can be wrong with records.

use crate::compression::CompressionType;

/// Why records could not be built or read.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes are not those that were sealed.
    #[error(
        "batch at offset {base_offset}: checksum {stored:#010x} stored, {computed:#010x} computed"
    )]
    Checksum {
        /// The batch's base offset, or a v0/v1 message's offset, as stored.
        base_offset: i64,
        /// The checksum in the header.
        stored: u32,
        /// The checksum of the bytes.
        computed: u32,
    },
    /// The checksum may hold, but the contents contradict themselves.
    #[error("batch at offset {base_offset}: {reason}")]
    Malformed {
        /// The batch's base offset, or a v0/v1 message's offset, as stored.
        base_offset: i64,
        /// What is wrong.
        reason: Malformation,
    },
    /// A record format from the future.
    #[error("batch at offset {base_offset}: record format {magic} is unknown")]
    UnknownMagic {
        /// The batch's base offset, as stored.
        base_offset: i64,
        /// The format's number; 0, 1 and 2 are known.
        magic: i8,
    },
    /// A compression type that Kafka has not defined.
    #[error("compression type {id} is unknown")]
    UnknownCompression {
        /// The three bits of the attributes.
        id: u8,
    },
    /// The codec's cargo feature is switched off.
    #[error("this build lacks {0} compression")]
    CodecDisabled(CompressionType),
    /// The codec refused its input.
    #[error("{0} data is corrupt")]
    CorruptCompression(CompressionType),
    /// Decompressed data would exceed its limits; see [`Limits`](crate::Limits).
    #[error("{compression} data exceeds {bytes_max} bytes when decompressed")]
    DecompressedTooLarge {
        /// The codec.
        compression: CompressionType,
        /// The limit that applied to this input.
        bytes_max: usize,
    },
    /// The codec could not compress, which only an error inside of it can cause.
    #[error("{0} compression failed")]
    CompressFailed(CompressionType),
    /// Codec and level do not fit.
    #[error("{compression} has no level {level}")]
    UnknownLevel {
        /// The codec.
        compression: CompressionType,
        /// The level asked for.
        level: i32,
    },
    /// The record does not fit into this batch: the format counts records and bytes in 32 bits.
    #[error("the batch has no room for the record")]
    BatchFull,
    /// A batch was sealed without records.
    #[error("the batch has no records")]
    BatchEmpty,
}

/// How a batch contradicts itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Malformation {
    /// The length field is too small for the format's header.
    #[error("length is below the header's")]
    Length,
    /// A negative base offset, or offsets beyond the 64 bits of one.
    #[error("offset out of range")]
    Offset,
    /// A negative count, or more records than bytes could hold.
    #[error("record count does not fit its bytes")]
    RecordCount,
    /// A last offset delta that is negative or smaller than the count of records demands.
    #[error("last offset delta does not fit the record count")]
    LastOffsetDelta,
    /// Offsets of records that do not ascend, or lie past the batch's last offset.
    #[error("record offsets do not ascend within the batch")]
    OffsetOrder,
    /// A variable-length number that is cut off or too long.
    #[error("bad varint")]
    Varint,
    /// A field's length that is negative or reaches past its record.
    #[error("field reaches past its record")]
    FieldLength,
    /// A record's length that is negative or reaches past the batch, or that its fields do not fill.
    #[error("record length does not match its fields")]
    RecordLength,
    /// Bytes after the last record.
    #[error("bytes after the last record")]
    TrailingBytes,
    /// A control record without a version and a type.
    #[error("control record too short")]
    ControlRecord,
    /// A compressed message inside of a compressed message.
    #[error("nested compression")]
    NestedCompression,
    /// A message format other than that of the compressed message around it.
    #[error("message formats mixed inside of one compressed message")]
    MixedMagic,
}
