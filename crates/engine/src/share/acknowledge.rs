//! What can be said about an acquired record, and what became of having said it.

use std::ops::RangeInclusive;

use milena_types::{Offset, TopicPartition};

use crate::error::Error;

/// What is said about an acquired record.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the protocol has these")]
pub enum Acknowledge {
    /// There is no record at this offset: compacted away, or a marker of a transaction.
    Gap,
    /// Done with: never delivered again.
    Accept,
    /// Not done: delivered again, to anyone, unless it was delivered too often.
    Release,
    /// Not to be done by anyone: never delivered again.
    Reject,
    /// Still being worked on: the lock begins anew (KIP-1222).
    Renew,
}

impl Acknowledge {
    pub(super) const fn to_wire(self) -> i8 {
        match self {
            Self::Gap => 0,
            Self::Accept => 1,
            Self::Release => 2,
            Self::Reject => 3,
            Self::Renew => 4,
        }
    }
}

/// What became of acknowledgements that went to the broker together.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Acknowledgement {
    /// Where the records are from.
    pub partition: TopicPartition,
    /// Their offsets, in order.
    pub offsets: Vec<RangeInclusive<Offset>>,
    /// Whether the broker took them. After an error the records come again, to this member or another, unless the
    /// error's [`fate`](Error::fate) leaves that open.
    pub result: Result<(), Error>,
}
