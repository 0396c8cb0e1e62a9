//! What a consumer asks of its driver.

use std::collections::{BTreeMap, BTreeSet};

use milena_types::{Topic, TopicPartition};

use crate::commit::{CommitId, CommittedOffset};
use crate::error::Error;
use crate::fetch::FoundOffset;
use crate::metadata::LeaderHint;
use crate::request::Outbound;
use crate::subscription::OffsetSpec;

/// What to do next; drain [`Consumer::poll_output`](super::Consumer::poll_output) to `None` after each mutation.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "a driver that ignores one would hang")]
pub enum Output {
    /// Send this and bring back the [`Answer`](crate::request::Answer).
    Request(Outbound),
    /// From now on these topics' metadata is needed, and no others; fetch what is missing. Snapshots come back by
    /// [`Consumer::handle_cluster`](super::Consumer::handle_cluster).
    Topics {
        /// Their names.
        topics: BTreeSet<Topic>,
        /// Whether asking may make the brokers create them.
        may_create: bool,
    },
    /// From now on the metadata of every topic is needed, as a subscription by pattern takes.
    AllTopics,
    /// The metadata turned out to be stale: fetch it again, with the usual back-off.
    RefreshMetadata,
    /// A broker told where a partition went (KIP-951).
    LeaderHint(LeaderHint),
    /// A commit is over.
    Committed {
        /// Which one.
        id: CommitId,
        /// Whether the offsets are stored; [`Error::fate`] tells "no" from "unknown".
        result: Result<(), Error>,
    },
    /// A query is over.
    Answered {
        /// Which one.
        id: QueryId,
        /// What was asked for.
        result: Result<Reply, Error>,
    },
    /// The consumer is closed: committed and left as far as its deadline allowed. Nothing comes after.
    Closed {
        /// The last commit's error, where there was one.
        result: Result<(), Error>,
    },
}

/// Names a query.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct QueryId(pub(crate) u64);

/// A question about offsets.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Query {
    /// The group's committed offsets of these partitions.
    Committed(BTreeSet<TopicPartition>),
    /// An offset of each partition.
    Offsets(BTreeMap<TopicPartition, OffsetSpec>),
}

/// The answer to a [`Query`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Reply {
    /// To [`Query::Committed`]; a partition without a committed offset is left out.
    Committed(BTreeMap<TopicPartition, CommittedOffset>),
    /// To [`Query::Offsets`]; a partition without a record at or after the time is left out.
    Offsets(BTreeMap<TopicPartition, FoundOffset>),
}
