//! Control records: what brokers write into a partition between the records of producers.

use milena_types::{ProducerEpoch, ProducerId, Timestamp};

use crate::batch::{BatchBuilder, ProducerStamp, SealedBatch};
use crate::compression::{Compression, Compressor};
use crate::error::Error;
use crate::pool::Buffer;
use crate::record::Record;

/// The kind of a control record; an open set.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct ControlType(i16);

impl ControlType {
    /// A transaction was aborted.
    pub const ABORT: Self = Self(0);
    /// A transaction was committed.
    pub const COMMIT: Self = Self(1);
    /// A KRaft leader took over.
    pub const LEADER_CHANGE: Self = Self(2);

    /// The kind with this number, known or not.
    pub const fn new(raw: i16) -> Self {
        Self(raw)
    }

    /// The number as records write it.
    pub const fn get(self) -> i16 {
        self.0
    }
}

/// The first record of a control batch.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct ControlRecord {
    /// What happened.
    pub kind: ControlType,
    /// Counts the transaction coordinators' terms; of ends of transactions only.
    pub coordinator_epoch: Option<i32>,
}

impl ControlRecord {
    /// Reads version and type from the key, and what an end of a transaction says from the value.
    pub(crate) fn parse(record: &Record<'_>) -> Option<Self> {
        let (_version, key) = record.key()?.split_first_chunk::<2>()?;
        let kind = ControlType(i16::from_be_bytes(*key.first_chunk()?));
        let coordinator_epoch = match kind {
            ControlType::ABORT | ControlType::COMMIT => {
                let (_version, value) = record.value()?.split_first_chunk::<2>()?;
                Some(i32::from_be_bytes(*value.first_chunk()?))
            }
            _ => None,
        };
        Some(Self { kind, coordinator_epoch })
    }
}

/// The batch that ends a producer's transaction in one partition, at offset 0 until it is moved.
///
/// # Errors
/// None in practice: a batch of one small record can be sealed.
pub fn end_transaction(
    commit: bool,
    producer_id: ProducerId,
    producer_epoch: ProducerEpoch,
    coordinator_epoch: i32,
    timestamp: Timestamp,
) -> Result<SealedBatch, Error> {
    let kind = if commit { ControlType::COMMIT } else { ControlType::ABORT };
    let [high, low] = kind.0.to_be_bytes();
    let key = [0, 0, high, low];
    let [a, b, c, d] = coordinator_epoch.to_be_bytes();
    let value = [0, 0, a, b, c, d];
    let mut builder = BatchBuilder::new(Buffer::with_capacity(MARKER_BYTES));
    builder.append(timestamp, Some(&key), Some(&value), [])?;
    let mut sealed = builder.seal(Compression::NONE, &mut Compressor::new())?;
    let stamp =
        ProducerStamp { producer_id, producer_epoch, base_sequence: None, transactional: true };
    sealed.make_control(stamp);
    Ok(sealed)
}

/// What the one record of a marker takes, and some.
const MARKER_BYTES: usize = 32;
