//! Static members, whose place waits for them (KIP-345).

use milena_types::{ErrorCode, MemberEpoch};

use super::group::ConsumerGroup;
use super::heartbeat::Standing;
use super::member::Member;
use crate::state::Refused;

impl ConsumerGroup {
    /// Whose place a joining static member takes: its own of before, or a new one.
    pub(super) fn standing_of_joining_static(
        &self,
        id: &str,
        instance_id: &str,
        is_classic: bool,
    ) -> Result<Standing, Refused> {
        let Some(holder) = self.static_member(instance_id) else {
            let member = self.members.get(id).cloned().unwrap_or_else(|| Member::new(id));
            return Ok(Standing { member, replaces: None });
        };
        let both_consumers = !is_classic && !holder.is_classic();
        if both_consumers && holder.epoch.is_some() {
            let message = format!(
                "Static member {id} with instance id {instance_id} cannot join the group because the instance id is \
                 owned by {} member.",
                holder.id
            );
            return Err(Refused::new(ErrorCode::UNRELEASED_INSTANCE_ID, message));
        }
        let member = Member {
            id: id.to_owned(),
            epoch: Some(MemberEpoch::ZERO),
            previous_epoch: Some(MemberEpoch::ZERO),
            ..holder.clone()
        };
        Ok(Standing { member, replaces: Some(holder.id.clone()) })
    }

    /// The member that has this instance id, which must be the one that says so.
    pub(super) fn holder(&self, instance_id: &str, id: &str) -> Result<&Member, Refused> {
        let Some(holder) = self.static_member(instance_id) else {
            let message = format!("Instance id {instance_id} is unknown.");
            return Err(Refused::new(ErrorCode::UNKNOWN_MEMBER_ID, message));
        };
        if holder.id != id {
            let message = format!(
                "Static member {id} with instance id {instance_id} was fenced by member {}.",
                holder.id
            );
            return Err(Refused::new(ErrorCode::FENCED_INSTANCE_ID, message));
        }
        Ok(holder)
    }
}
