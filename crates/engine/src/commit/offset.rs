//! What a commit stores, and how hard it is tried.

use std::sync::Arc;

use milena_types::{LeaderEpoch, Offset};

/// Names a commit.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct CommitId(pub(crate) u64);

/// An offset as a group stores it: the next one to read.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct CommittedOffset {
    /// The next offset to read.
    pub offset: Offset,
    /// The leader epoch of the record before it, where it is known.
    pub leader_epoch: Option<LeaderEpoch>,
    /// Any text; empty by default.
    pub metadata: Arc<str>,
}

impl CommittedOffset {
    /// The offset alone.
    pub fn new(offset: Offset) -> Self {
        Self { offset, leader_epoch: None, metadata: Arc::from("") }
    }

    /// With the leader epoch of the record before it.
    #[must_use]
    pub fn with_leader_epoch(self, epoch: impl Into<Option<LeaderEpoch>>) -> Self {
        Self { leader_epoch: epoch.into(), ..self }
    }

    /// With a text of the user's, which brokers store up to `offset.metadata.max.bytes` of.
    #[must_use]
    pub fn with_metadata(self, metadata: impl Into<Arc<str>>) -> Self {
        Self { metadata: metadata.into(), ..self }
    }
}

impl From<Offset> for CommittedOffset {
    fn from(offset: Offset) -> Self {
        Self::new(offset)
    }
}

/// How hard a commit is tried.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "sync and async, as in Java")]
pub enum CommitMode {
    /// Until it succeeds, fails for good, or `default.api.timeout.ms` is over.
    Retry,
    /// Once: a later commit is about to follow anyway.
    Once,
}
