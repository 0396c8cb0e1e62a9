//! How members go: of their own will, removed, or given up.

use milena_types::{ErrorCode, MemberEpoch};

use super::group::StreamsGroup;
use super::heartbeat::{Beat, Heartbeat, Step};
use super::member::Member;
use super::tasks::Held;
use crate::group::consumer::next;
use crate::state::Refused;

impl StreamsGroup {
    /// Takes a heartbeat of a member that leaves.
    pub(crate) fn leave(&mut self, request: &Heartbeat) -> Result<Beat, Refused> {
        let id = request.member_id.as_str();
        if request.wants_shutdown && self.shutdown_by.is_none() && !self.members.is_empty() {
            self.shutdown_by = Some(id.to_owned());
        }
        let member = match &request.instance_id {
            None => self.member(id)?,
            Some(instance_id) => self.holder(instance_id, id)?,
        };
        let id = member.id.clone();
        if request.step == Step::LeaveForAWhile && request.instance_id.is_some() {
            self.set_away(&id);
        } else {
            self.fence(&id);
        }
        Ok(Beat::of_leaving(id))
    }

    /// A static member goes for a while: until its session is over it keeps what it has, and nobody else gets it.
    fn set_away(&mut self, id: &str) {
        let Some(member) = self.members.get_mut(id) else { return };
        member.epoch = None;
        member.revocation_deadline = None;
        member.revoking = Held::default();
        for epoch in member.assigned.active.values_mut().flat_map(|of| of.values_mut()) {
            *epoch = MemberEpoch::ZERO;
        }
    }

    /// Takes a member out; the others share what it had once they are heard of.
    pub(super) fn fence(&mut self, id: &str) {
        self.take(id);
        self.epoch = next(self.epoch);
        if self.members.is_empty() {
            self.assignment_epoch = self.epoch;
            self.assigned_at = None;
        }
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
