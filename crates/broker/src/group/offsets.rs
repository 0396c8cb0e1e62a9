//! Committed offsets.

use std::collections::BTreeMap;
use std::time::Instant;

use milena_types::{LeaderEpoch, Offset, ProducerId, Timestamp, TopicPartition};

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
struct PendingCommits {
    /// `None` where the group has since committed the partition otherwise, which then holds.
    by_partition: BTreeMap<TopicPartition, Option<(Committed, String)>>,
}

/// When commits are too old.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Expiry {
    Never,
    /// So long after each was made.
    SinceCommit,
    /// So long after this, whenever they were made.
    Since(Instant),
}

/// A commit that a transaction has made good, and the member that made it.
#[derive(Clone, Debug)]
pub(crate) struct MadeGood {
    pub(crate) member_id: String,
    pub(crate) commit: Commit,
}

/// All that a group committed; it outlives the group's members and its protocol.
#[derive(Clone, Debug, Default)]
pub(crate) struct Offsets {
    committed: BTreeMap<TopicPartition, Committed>,
    /// What transactions that are open have committed, by their producers.
    pending: BTreeMap<ProducerId, PendingCommits>,
}

impl Offsets {
    pub(crate) fn committed(&self) -> &BTreeMap<TopicPartition, Committed> {
        &self.committed
    }

    /// What open transactions have committed: by which producer and member.
    pub(crate) fn pending(&self) -> impl Iterator<Item = (ProducerId, &str, Commit)> {
        self.pending.iter().flat_map(|(id, pending)| {
            pending.by_partition.iter().filter_map(move |(partition, commit)| {
                let (committed, member) = commit.as_ref()?;
                let commit = Commit { partition: partition.clone(), committed: committed.clone() };
                Some((*id, member.as_str(), commit))
            })
        })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.committed.is_empty() && self.pending.is_empty()
    }

    pub(crate) fn commit(&mut self, commit: Commit) {
        for pending in self.pending.values_mut() {
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
        let pending = self.pending.entry(producer_id).or_default();
        pending.by_partition.insert(commit.partition, Some((commit.committed, member_id)));
    }

    /// The producer's transaction has ended. What it committed for the group counts from here on, or never.
    pub(crate) fn end_transaction(&mut self, producer_id: ProducerId, end: End) -> Vec<MadeGood> {
        let Some(pending) = self.pending.remove(&producer_id) else { return Vec::new() };
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
        let mut pending = self.pending.values();
        pending.any(|pending| pending.by_partition.contains_key(partition))
    }

    /// The partitions whose commits are from `oldest` or before, and that no open transaction commits for.
    pub(crate) fn committed_by(&self, oldest: Timestamp) -> Vec<TopicPartition> {
        let is_old = |(partition, committed): &(&TopicPartition, &Committed)| {
            committed.committed_at <= oldest && !self.is_unstable(partition)
        };
        self.committed.iter().filter(is_old).map(|(partition, _)| partition.clone()).collect()
    }

    /// Forgets the commits of partitions for which `is_gone` holds.
    pub(crate) fn forget_commits(&mut self, is_gone: impl Fn(&TopicPartition) -> bool) {
        self.committed.retain(|partition, _| !is_gone(partition));
        for pending in self.pending.values_mut() {
            pending.by_partition.retain(|partition, _| !is_gone(partition));
        }
    }
}
