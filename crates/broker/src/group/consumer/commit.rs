//! Whether a member may commit, and ask for what was committed.

use milena_types::{ErrorCode, MemberEpoch, Uuid};

use super::group::ConsumerGroup;

/// Which partitions a commit may name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum MayCommit {
    Any,
    /// Those that the member had at the epoch that it says, which is older than its own.
    HadAt {
        member_id: String,
        epoch: MemberEpoch,
    },
}

/// Who wants to commit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Committer<'a> {
    pub(crate) member_id: &'a str,
    /// Whether it says of itself that it is no member.
    pub(crate) is_outsider: bool,
    pub(crate) epoch: Option<MemberEpoch>,
    pub(crate) is_transactional: bool,
    /// Whether the request is of a version that has member epochs.
    pub(crate) knows_epochs: bool,
}

impl Committer<'_> {
    /// What a member may commit that has come to this epoch; `None` where it says one that it never had.
    pub(crate) fn at(&self, known: Option<MemberEpoch>) -> Option<MayCommit> {
        match self.epoch {
            epoch if epoch == known => Some(MayCommit::Any),
            Some(epoch) if Some(epoch) < known => {
                Some(MayCommit::HadAt { member_id: self.member_id.to_owned(), epoch })
            }
            _ => None,
        }
    }
}

impl ConsumerGroup {
    /// Whether it may. An outsider may while nobody is a member, and at any time within a transaction.
    pub(crate) fn check_commit(&self, committer: &Committer<'_>) -> Result<MayCommit, ErrorCode> {
        let Committer { member_id, is_outsider, epoch, is_transactional, knows_epochs } =
            *committer;
        if (epoch.is_none() && self.members.is_empty()) || (is_transactional && is_outsider) {
            return Ok(MayCommit::Any);
        }
        let member = self.members.get(member_id).ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?;
        if !is_transactional && !member.is_classic() && !knows_epochs {
            return Err(ErrorCode::UNSUPPORTED_VERSION);
        }
        committer.at(member.epoch).ok_or_else(|| self.stale(member_id))
    }

    /// Whether a commit that may name some partitions may name this one.
    pub(crate) fn check_partition(
        &self,
        may: &MayCommit,
        topic: Uuid,
        index: i32,
    ) -> Result<(), ErrorCode> {
        let MayCommit::HadAt { member_id, epoch } = may else { return Ok(()) };
        let member = self.members.get(member_id);
        let got_at = member.and_then(|member| member.epoch_of(topic, index));
        if got_at.is_some_and(|got_at| got_at <= *epoch) {
            Ok(())
        } else {
            Err(self.stale(member_id))
        }
    }

    /// Whether someone who says to be this member may ask for commits.
    pub(crate) fn check_fetch(
        &self,
        member_id: Option<&str>,
        epoch: Option<MemberEpoch>,
    ) -> Result<(), ErrorCode> {
        if member_id.is_none() && epoch.is_none() {
            return Ok(());
        }
        let member = member_id.and_then(|id| self.members.get(id));
        let member = member.ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?;
        if epoch == member.epoch { Ok(()) } else { Err(self.stale(&member.id)) }
    }

    /// What a member hears whose epoch is not the one known, in the words of its protocol.
    fn stale(&self, member_id: &str) -> ErrorCode {
        let is_classic = self.members.get(member_id).is_some_and(|member| member.is_classic());
        if is_classic { ErrorCode::ILLEGAL_GENERATION } else { ErrorCode::STALE_MEMBER_EPOCH }
    }
}
