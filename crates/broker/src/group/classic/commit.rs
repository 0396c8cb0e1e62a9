//! Whether a member of a classic group may commit.

use std::time::Instant;

use milena_types::ErrorCode;

use super::group::{ClassicGroup, GroupState};
use super::sync::Identity;

impl ClassicGroup {
    /// Whether this identity may commit now; a sign of life of the member if so.
    pub(crate) fn check_commit(
        &mut self,
        now: Instant,
        identity: &Identity,
    ) -> Result<(), ErrorCode> {
        if self.state == GroupState::Empty && identity.generation.is_none() {
            return Ok(());
        }
        if identity.is_outsider() {
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
        if self.release.judges_committers_in_part() {
            return self.check_in_part(identity);
        }
        let is_empty = self.state == GroupState::Empty && identity.generation.is_none();
        if identity.is_outsider() || is_empty { Ok(()) } else { self.check_identity(identity) }
    }

    fn check_in_part(&self, identity: &Identity) -> Result<(), ErrorCode> {
        let id = &identity.member_id;
        let holder = identity.instance_id.as_ref().and_then(|name| self.statics.get(name));
        if holder.is_some_and(|holder| holder != id) {
            return Err(ErrorCode::FENCED_INSTANCE_ID);
        }
        if !id.is_empty() && !self.members.contains_key(id) {
            return Err(ErrorCode::UNKNOWN_MEMBER_ID);
        }
        if identity.generation.is_some() && identity.generation != self.generation {
            return Err(ErrorCode::ILLEGAL_GENERATION);
        }
        Ok(())
    }
}
