//! Apache Kafka record batches, compression and partition hashes.
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
