//! SyncGroup and Heartbeat: the assignment reaches the members, and they stay known as alive.

use std::collections::BTreeMap;
use std::time::Instant;

use bytes::Bytes;
use milena_types::{ErrorCode, Generation};

use super::group::{Answer, ClassicGroup, GroupState, Reply};
use crate::ticket::Ticket;

/// Who a member says it is.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) member_id: String,
    pub(crate) instance_id: Option<String>,
    /// `None` for a consumer that is in no group and only commits.
    pub(crate) generation: Option<Generation>,
}

impl Identity {
    /// Whether it says of itself that it is no member.
    pub(crate) fn is_outsider(&self) -> bool {
        self.generation.is_none() && self.member_id.is_empty() && self.instance_id.is_none()
    }
}

/// A SyncGroup as the group sees it.
#[derive(Clone, Debug)]
pub(crate) struct SyncRequest {
    pub(crate) ticket: Ticket,
    pub(crate) identity: Identity,
    pub(crate) protocol_type: Option<String>,
    pub(crate) protocol: Option<String>,
    /// From the leader: what each member gets.
    pub(crate) assignments: BTreeMap<String, Bytes>,
}

/// What a SyncGroup is answered with.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct SyncAnswer {
    pub(crate) code: ErrorCode,
    pub(crate) protocol_type: Option<String>,
    pub(crate) protocol: Option<String>,
    pub(crate) assignment: Bytes,
}

impl SyncAnswer {
    pub(crate) fn error(code: ErrorCode) -> Self {
        Self { code, ..Self::default() }
    }
}

impl ClassicGroup {
    /// Takes a SyncGroup; the answer comes through [`Group::take_replies`] once the leader has assigned.
    pub(crate) fn sync(&mut self, now: Instant, request: SyncRequest) {
        let SyncRequest { ticket, identity, .. } = &request;
        let (ticket, id) = (*ticket, identity.member_id.clone());
        if let Err(code) = self.check_sync(&request) {
            self.reply_sync(ticket, SyncAnswer::error(code));
            return;
        }
        if let Some(member) = self.members.get_mut(&id) {
            member.touch(now);
            member.owes_sync = false;
            if let Some(superseded) = member.sync.replace(ticket) {
                self.reply_sync(superseded, SyncAnswer::error(ErrorCode::UNKNOWN_MEMBER_ID));
            }
        }
        if self.state == GroupState::CompletingRebalance {
            if self.leader.as_deref() != Some(&id) {
                return;
            }
            let mut assignments = request.assignments;
            for member in self.members.values_mut() {
                member.assignment = assignments.remove(&member.id).unwrap_or_default();
            }
            self.become_state(GroupState::Stable);
            // Those that have not synced yet still have their time to.
        }
        self.answer_syncs(now);
    }

    /// Takes a Heartbeat.
    pub(crate) fn heartbeat(&mut self, now: Instant, identity: &Identity) -> ErrorCode {
        if let Err(code) = self.check_identity(identity) {
            return code;
        }
        if let Some(member) = self.members.get_mut(&identity.member_id) {
            member.touch(now);
        }
        match self.state {
            GroupState::Empty => ErrorCode::UNKNOWN_MEMBER_ID,
            GroupState::PreparingRebalance => ErrorCode::REBALANCE_IN_PROGRESS,
            GroupState::CompletingRebalance if !self.release.beats_while_assigning() => {
                ErrorCode::REBALANCE_IN_PROGRESS
            }
            GroupState::CompletingRebalance | GroupState::Stable => ErrorCode::NONE,
        }
    }

    /// Whether the member exists, holds its instance id and is of the present generation.
    pub(super) fn check_identity(&self, identity: &Identity) -> Result<(), ErrorCode> {
        self.check_member(&identity.member_id, identity.instance_id.as_deref())?;
        let is_current = identity.generation.is_some() && identity.generation == self.generation;
        if is_current { Ok(()) } else { Err(ErrorCode::ILLEGAL_GENERATION) }
    }

    fn check_sync(&self, request: &SyncRequest) -> Result<(), ErrorCode> {
        self.check_identity(&request.identity)?;
        let differs = |said: &Option<String>, is: &Option<String>| said.is_some() && said != is;
        if differs(&request.protocol_type, &self.protocol_type)
            || differs(&request.protocol, &self.protocol)
        {
            return Err(ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
        }
        match self.state {
            GroupState::Empty => Err(ErrorCode::UNKNOWN_MEMBER_ID),
            GroupState::PreparingRebalance => Err(ErrorCode::REBALANCE_IN_PROGRESS),
            GroupState::CompletingRebalance | GroupState::Stable => Ok(()),
        }
    }

    fn answer_syncs(&mut self, now: Instant) {
        for member in self.members.values_mut() {
            let Some(ticket) = member.sync.take() else { continue };
            member.touch(now);
            let answer = SyncAnswer {
                code: ErrorCode::NONE,
                protocol_type: self.protocol_type.clone(),
                protocol: self.protocol.clone(),
                assignment: member.assignment.clone(),
            };
            self.replies.push(Reply { ticket, answer: Answer::Sync(answer) });
        }
        if self.members.values().all(|member| !member.owes_sync) {
            self.phase_deadline = None;
        }
    }

    fn reply_sync(&mut self, ticket: Ticket, answer: SyncAnswer) {
        self.replies.push(Reply { ticket, answer: Answer::Sync(answer) });
    }
}
