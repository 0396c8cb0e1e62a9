//! How much, how long and which records a fetch asks for.

use std::sync::Arc;
use std::time::Duration;

use super::budget::Room;

/// Which records of transactions are handed out.
///
/// Java name `isolation.level`; default `read_uncommitted`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the protocol has these two")]
pub enum IsolationLevel {
    /// Every record, also of transactions that are open or were aborted.
    #[default]
    ReadUncommitted,
    /// Only records of committed transactions and records outside of any, up to the last stable offset.
    ReadCommitted,
}

impl IsolationLevel {
    pub(crate) fn to_wire(self) -> i8 {
        match self {
            Self::ReadUncommitted => 0,
            Self::ReadCommitted => 1,
        }
    }
}

/// What every Fetch request says alike.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    pub(crate) isolation: IsolationLevel,
    pub(crate) rack: Option<Arc<str>>,
    pub(crate) min_bytes: i32,
    pub(crate) max_bytes: i32,
    pub(crate) partition_max_bytes: i32,
    pub(crate) max_wait: Duration,
    /// Bytes that may wait to be taken, over all brokers.
    pub(crate) buffer_bytes: usize,
}

impl Limits {
    /// The bytes that one of `brokers` may have waiting to be taken and on their way together.
    ///
    /// Each broker has its own share, so that one whose partitions are not read never holds up the others.
    pub(crate) fn share(&self, brokers: usize) -> usize {
        (self.buffer_bytes / brokers.max(1)).max(ANSWERS_PER_SHARE * ANSWER_BYTES_MIN)
    }

    /// What one of `brokers` may have held when it is asked again.
    pub(crate) fn room(&self, brokers: usize) -> Room {
        let answer = usize::try_from(self.answer_bytes(brokers)).unwrap_or(0);
        Room { held_max: self.share(brokers).saturating_sub(answer), brokers }
    }

    /// The most that one answer of one of `brokers` may hold: a part of its share, so that answers can be on their way
    /// while another is read.
    pub(crate) fn answer_bytes(&self, brokers: usize) -> i32 {
        let part = self.share(brokers) / ANSWERS_PER_SHARE;
        self.max_bytes.min(i32::try_from(part).unwrap_or(i32::MAX))
    }
}

/// An answer in hand, one that waits, one on its way, and room for the one that is larger than it should be.
const ANSWERS_PER_SHARE: usize = 4;

/// Below this an answer holds hardly a batch of default size, and requests would outweigh records.
const ANSWER_BYTES_MIN: usize = 32 << 10;
