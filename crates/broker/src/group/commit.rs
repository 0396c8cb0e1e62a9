//! Committed offsets.

use std::time::Instant;

use milena_types::{ErrorCode, LeaderEpoch, Offset, Timestamp, TopicPartition};

use super::classic::{Group, GroupState};
use super::sync::Identity;

/// What a group committed for one partition.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Committed {
    /// The offset of the next record to read.
    pub offset: Offset,
    /// The epoch of the record before it, where the consumer knew it.
    pub leader_epoch: Option<LeaderEpoch>,
    /// Whatever the consumer wrote beside it.
    pub metadata: String,
    /// When the broker took it.
    pub committed_at: Timestamp,
}

/// A commit that was allowed.
#[derive(Clone, Debug)]
pub(crate) struct Commit {
    pub(crate) partition: TopicPartition,
    pub(crate) committed: Committed,
}

impl Group {
    /// Whether this identity may commit now; a sign of life of the member if so.
    pub(crate) fn check_commit(
        &mut self,
        now: Instant,
        identity: &Identity,
    ) -> Result<(), ErrorCode> {
        let is_outsider = identity.generation.is_none()
            && identity.member_id.is_empty()
            && identity.instance_id.is_none();
        if self.state == GroupState::Empty && identity.generation.is_none() {
            return Ok(());
        }
        if is_outsider {
            // The members own the offsets, so that one who only commits must wait until they are gone.
            return Err(ErrorCode::UNKNOWN_MEMBER_ID);
        }
        self.check_identity(identity)?;
        if self.state == GroupState::CompletingRebalance {
            return Err(ErrorCode::REBALANCE_IN_PROGRESS);
        }
        if let Some(member) = self.members.get_mut(&identity.member_id) {
            member.touch(now);
        }
        Ok(())
    }

    pub(crate) fn commit(&mut self, commit: Commit) {
        self.committed.insert(commit.partition, commit.committed);
    }

    /// Forgets the commits of partitions for which `is_gone` holds.
    pub(crate) fn forget_commits(&mut self, is_gone: impl Fn(&TopicPartition) -> bool) {
        self.committed.retain(|partition, _| !is_gone(partition));
    }
}
