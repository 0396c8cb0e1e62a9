//! A classic group that was one of the consumer protocol, or becomes one.

use std::time::{Duration, Instant};

use bytes::Bytes;
use milena_types::{ErrorCode, Generation};

use super::group::{ClassicGroup, GroupState};
use super::member::Member;
use crate::group::consumer::{self, ClassicSide};
use crate::release::Release;

impl ClassicGroup {
    /// A stable group that is still without members.
    pub(crate) fn at_generation(generation: Option<Generation>, protocol_type: &str) -> Self {
        Self {
            state: GroupState::Stable,
            generation,
            protocol_type: Some(protocol_type.to_owned()),
            ..Self::new(Release::NEWEST)
        }
    }

    /// Takes a member in as it is; the first one leads.
    pub(crate) fn adopt(&mut self, mut member: Member) {
        self.joins += 1;
        member.seniority = self.joins;
        if let Some(instance_id) = &member.instance_id {
            self.statics.insert(instance_id.clone(), member.id.clone());
        }
        self.leader.get_or_insert_with(|| member.id.clone());
        self.members.insert(member.id.clone(), member);
    }

    /// Chooses the assignor by what the members speak.
    pub(crate) fn settle_protocol(&mut self) {
        self.protocol = self.elect_protocol();
    }

    /// Sets what members have, as a leader would have assigned it.
    pub(crate) fn set_assignments(&mut self, assignments: Vec<(String, Bytes)>) {
        for (id, assignment) in assignments {
            if let Some(member) = self.members.get_mut(&id) {
                member.assignment = assignment;
            }
        }
    }

    /// Begins a rebalance at once.
    pub(crate) fn rebalance_now(&mut self, now: Instant) {
        self.rebalance(now, Duration::ZERO);
    }

    /// Tells all that wait that they are to begin again.
    pub(crate) fn refuse_all_waiting(&mut self) {
        let ids: Vec<_> = self.members.keys().cloned().collect();
        for id in ids {
            self.refuse_waiting(&id, ErrorCode::REBALANCE_IN_PROGRESS);
        }
    }
}

impl Member {
    /// A member that was one of a group of the consumer protocol.
    pub(crate) fn adopted(now: Instant, member: &consumer::Member, classic: &ClassicSide) -> Self {
        Self {
            id: member.id.clone(),
            instance_id: member.instance_id.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            session_timeout: classic.session_timeout,
            rebalance_timeout: member.rebalance_timeout,
            protocols: classic.protocols.clone(),
            assignment: Bytes::new(),
            seniority: 0,
            join: None,
            sync: None,
            owes_sync: false,
            session_deadline: now + classic.session_timeout,
            is_new: false,
        }
    }
}
