//! Apache Kafka record batches, compression and partition hashes.
//!
//! # Out
//! A [`BatchBuilder`] encodes records into a [`Buffer`] of a [`BufferPool`]; sealed with a [`Compressor`] it is a
//! [`SealedBatch`], which is stamped with producer and sequence each time it is sent. A stamp makes [`BatchParts`]: a fresh
//! header of 61 bytes, and the records, immutable and shared, so that a copy in flight never changes.
//!
//! # In
//! A [`RecordSet`] walks the batches of fetched bytes without copying them. [`Batch`] is a checked header over bytes not
//! looked at yet; decoding it with a [`Decompressor`] verifies the checksum, decompresses within [`Limits`], and gives
//! records that borrow ([`Record`]) or share ([`SharedRecord`]) one buffer. [`AbortedTransactions`] tells which batches
//! `read_committed` leaves out, before they are decompressed.
//!
//! # Where to
//! [`partition`] has the hashes of keys.
//!
//! ---
#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod batch;
pub mod compression;
pub mod partition;

mod aborted;
mod crc;
mod error;
mod legacy;
mod pool;
mod record;
mod set;
mod varint;

pub use aborted::AbortedTransactions;
pub use batch::{
    Batch, BatchBuilder, BatchHeader, BatchParts, DecodedBatch, ProducerStamp, SealedBatch,
    TimestampType,
};
pub use compression::{Compression, CompressionType, Compressor, Decompressor, Limits};
pub use error::{Error, Malformation};
pub use pool::{Buffer, BufferPool};
pub use record::{Header, HeaderIter, Headers, Record, SharedRecord};
pub use set::RecordSet;
