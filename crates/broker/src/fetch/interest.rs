//! One partition that a consumer wants to read.

use milena_types::{LeaderEpoch, Offset, Topic, Uuid};

/// A topic as a request named it: by name, or from Fetch version 13 on by id.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum TopicKey {
    Name(Topic),
    Id(Uuid),
}

/// From where, and how much, to read of one partition.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Interest {
    pub(crate) topic: TopicKey,
    pub(crate) partition: i32,
    /// `None` for a negative offset, which no log holds.
    pub(crate) offset: Option<Offset>,
    /// The leader epoch the consumer believes in.
    pub(crate) leader_epoch: Option<LeaderEpoch>,
    /// The epoch of the last record it read, by which a truncated log shows.
    pub(crate) last_fetched_epoch: Option<LeaderEpoch>,
    pub(crate) bytes_max: usize,
}
