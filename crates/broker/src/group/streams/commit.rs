//! Whether a member may commit, and ask for what was committed.

use milena_types::{ErrorCode, MemberEpoch};

use super::group::StreamsGroup;
use crate::group::consumer::{Committer, MayCommit};

impl StreamsGroup {
    /// Whether it may. An outsider may while nobody is a member, and at any time within a transaction.
    pub(crate) fn check_commit(&self, committer: &Committer<'_>) -> Result<MayCommit, ErrorCode> {
        let is_outsiders = committer.epoch.is_none() && self.members.is_empty();
        if is_outsiders || (committer.is_transactional && committer.is_outsider) {
            return Ok(MayCommit::Any);
        }
        let member = self.members.get(committer.member_id).ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?;
        if !committer.is_transactional && !committer.knows_epochs {
            return Err(ErrorCode::UNSUPPORTED_VERSION);
        }
        committer.at(member.epoch).ok_or(ErrorCode::STALE_MEMBER_EPOCH)
    }

    /// Whether a commit that may name some partitions may name this one: whose task the member had at that epoch.
    pub(crate) fn check_partition(
        &self,
        may: &MayCommit,
        topic: &str,
        index: i32,
    ) -> Result<(), ErrorCode> {
        let MayCommit::HadAt { member_id, epoch } = may else { return Ok(()) };
        let member = self.members.get(member_id);
        let got_at = self.readers.get(topic).zip(member);
        let got_at = got_at.and_then(|(subtopology, member)| member.epoch_of(subtopology, index));
        let may = got_at.is_some_and(|got_at| got_at <= *epoch);
        if may { Ok(()) } else { Err(ErrorCode::STALE_MEMBER_EPOCH) }
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
        if epoch == member.epoch { Ok(()) } else { Err(ErrorCode::STALE_MEMBER_EPOCH) }
    }

    /// Whether any member reads the topic.
    pub(crate) fn is_subscribed(&self, topic: &str) -> bool {
        !self.members.is_empty() && self.readers.contains_key(topic)
    }
}
