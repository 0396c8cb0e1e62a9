//! Committed offsets.

use std::collections::BTreeMap;
use std::time::Instant;

use milena_types::{ErrorCode, LeaderEpoch, Offset, ProducerId, Timestamp, TopicPartition};

use super::classic::{Group, GroupState};
use super::sync::Identity;
use crate::transaction::End;

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

/// Commits that wait for the end of a producer's transaction, with the member that made each.
#[derive(Clone, Debug, Default)]
pub(super) struct PendingCommits {
    /// `None` where the group has since committed the partition otherwise, which then holds.
    by_partition: BTreeMap<TopicPartition, Option<(Committed, String)>>,
}

/// A commit that a transaction has made good, and the member that made it.
#[derive(Clone, Debug)]
pub(crate) struct MadeGood {
    pub(crate) member_id: String,
    pub(crate) commit: Commit,
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

    /// The same for a commit within a transaction: who says that it is a member must be of this generation (KIP-447),
    /// and a rebalance under way is no reason to refuse.
    pub(crate) fn check_transactional_commit(&self, identity: &Identity) -> Result<(), ErrorCode> {
        let is_outsider = identity.generation.is_none()
            && identity.member_id.is_empty()
            && identity.instance_id.is_none();
        let is_empty = self.state == GroupState::Empty && identity.generation.is_none();
        if is_outsider || is_empty { Ok(()) } else { self.check_identity(identity) }
    }

    pub(crate) fn commit(&mut self, commit: Commit) {
        for pending in self.pending_commits.values_mut() {
            if let Some(superseded) = pending.by_partition.get_mut(&commit.partition) {
                *superseded = None;
            }
        }
        self.committed.insert(commit.partition, commit.committed);
    }

    /// Takes a commit that counts once the producer's transaction is committed.
    pub(crate) fn commit_in_transaction(
        &mut self,
        producer_id: ProducerId,
        member_id: String,
        commit: Commit,
    ) {
        let pending = self.pending_commits.entry(producer_id).or_default();
        pending.by_partition.insert(commit.partition, Some((commit.committed, member_id)));
    }

    /// The producer's transaction has ended. What it committed for the group counts from here on, or never.
    pub(crate) fn end_transaction(&mut self, producer_id: ProducerId, end: End) -> Vec<MadeGood> {
        let Some(pending) = self.pending_commits.remove(&producer_id) else { return Vec::new() };
        let mut made_good = Vec::new();
        for (partition, commit) in pending.by_partition {
            let Some((committed, member_id)) = commit.filter(|_| end == End::Commit) else {
                continue;
            };
            let commit = Commit { partition, committed };
            self.commit(commit.clone());
            made_good.push(MadeGood { member_id, commit });
        }
        made_good
    }

    /// Whether a transaction is open that commits for this partition.
    pub(crate) fn is_unstable(&self, partition: &TopicPartition) -> bool {
        let mut pending = self.pending_commits.values();
        pending.any(|pending| pending.by_partition.contains_key(partition))
    }

    /// Forgets the commits of partitions for which `is_gone` holds.
    pub(crate) fn forget_commits(&mut self, is_gone: impl Fn(&TopicPartition) -> bool) {
        self.committed.retain(|partition, _| !is_gone(partition));
        for pending in self.pending_commits.values_mut() {
            pending.by_partition.retain(|partition, _| !is_gone(partition));
        }
    }
}
