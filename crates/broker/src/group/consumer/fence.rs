//! How members go: of their own will, removed, or given up.

use std::time::Instant;

use milena_types::MemberEpoch;

use super::group::ConsumerGroup;
use super::heartbeat::Heartbeat;
use super::member::Member;
use crate::state::Refused;
use crate::topic::TopicImage;

impl ConsumerGroup {
    /// The member that says that it leaves.
    pub(crate) fn leaving(&self, request: &Heartbeat) -> Result<String, Refused> {
        let member = match request.instance_id.as_deref() {
            None => self.member(&request.member_id)?,
            Some(instance_id) => self.holder(instance_id, &request.member_id)?,
        };
        Ok(member.id.clone())
    }

    /// A static member goes for a while: until its session is over it keeps what it has, and nobody else gets it.
    pub(crate) fn set_away(&mut self, id: &str) {
        let Some(member) = self.members.get(id) else { return };
        let mut away = Member { epoch: None, revocation_deadline: None, ..member.clone() };
        away.revoking.clear();
        for epoch in away.assigned.values_mut().flat_map(|partitions| partitions.values_mut()) {
            *epoch = MemberEpoch::ZERO;
        }
        self.put(away);
    }

    /// Takes members out; the others share what they had once they are heard of.
    pub(crate) fn fence(&mut self, ids: &[String], image: &TopicImage<'_>) {
        for id in ids {
            let pattern = self.members.get(id).map(|member| member.pattern.clone());
            self.take(id);
            self.drop_pattern(&pattern.unwrap_or_default());
        }
        self.refresh_metadata(image);
        self.bump();
        if self.members.is_empty() {
            self.assignment_epoch = self.epoch;
            self.assigned_at = None;
        }
    }

    /// Gives all members their full time again, as a coordinator does that has just moved.
    pub(crate) fn handle_coordinator_move(&mut self, now: Instant, session: std::time::Duration) {
        for member in self.members.values_mut() {
            let of_classic = member.classic.as_ref().map(|classic| classic.session_timeout);
            member.session_deadline = Some(now + of_classic.unwrap_or(session));
            member.revocation_deadline =
                member.revocation_deadline.map(|_| now + member.rebalance_timeout);
            member.join_deadline = None;
            member.sync_deadline = None;
        }
    }
}
