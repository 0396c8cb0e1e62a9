//! JoinGroup: who becomes a member of which generation.

use std::time::{Duration, Instant};

use bytes::Bytes;
use milena_types::{ErrorCode, Generation};

use super::group::{Answer, ClassicGroup, GroupState, Reply};
use super::member::Member;
use crate::ticket::Ticket;

/// A JoinGroup as the group sees it.
#[derive(Clone, Debug)]
pub(crate) struct JoinRequest {
    /// Where the answer goes.
    pub(crate) ticket: Ticket,
    /// Empty for a member that joins for the first time.
    pub(crate) member_id: String,
    /// What a member without an id is called if it is let in.
    pub(crate) fresh_member_id: String,
    /// The same in a group of the consumer protocol.
    pub(crate) fresh_uuid: String,
    pub(crate) instance_id: Option<String>,
    pub(crate) client_id: String,
    pub(crate) client_host: String,
    pub(crate) session_timeout: Duration,
    pub(crate) rebalance_timeout: Duration,
    pub(crate) protocol_type: String,
    pub(crate) protocols: Vec<(String, Bytes)>,
    /// Whether a dynamic member must come again with the id it is given (KIP-394; version 4 on).
    pub(crate) requires_known_id: bool,
    /// Whether the member understands that it leads but must not assign (KIP-814; version 9 on).
    pub(crate) may_skip_assignment: bool,
    pub(crate) group_size_max: usize,
    pub(crate) initial_rebalance_delay: Duration,
}

/// What a JoinGroup is answered with.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct JoinAnswer {
    pub(crate) code: ErrorCode,
    pub(crate) generation: Option<Generation>,
    pub(crate) protocol_type: Option<String>,
    pub(crate) protocol: Option<String>,
    pub(crate) leader: String,
    pub(crate) member_id: String,
    pub(crate) skip_assignment: bool,
    /// For the leader: member id, instance id, subscription.
    pub(crate) members: Vec<(String, Option<String>, Bytes)>,
}

impl JoinAnswer {
    pub(crate) fn error(code: ErrorCode, member_id: &str) -> Self {
        Self { code, member_id: member_id.to_owned(), ..Self::default() }
    }
}

impl ClassicGroup {
    /// Takes a JoinGroup; the answer comes through [`Group::take_replies`], at once or when the rebalance is through.
    pub(crate) fn join(&mut self, now: Instant, request: JoinRequest) {
        let ticket = request.ticket;
        let member_id = request.member_id.clone();
        if let Err(refused) = self.try_join(now, request) {
            let (code, id) = match refused {
                Refused::Code(code) => (code, member_id),
                Refused::MemberIdRequired(id) => (ErrorCode::MEMBER_ID_REQUIRED, id),
            };
            self.reply_join(ticket, JoinAnswer::error(code, &id));
        }
    }

    fn try_join(&mut self, now: Instant, request: JoinRequest) -> Result<(), Refused> {
        if !self.has_room_for(&request) {
            self.pending.remove(&request.member_id);
            return Err(Refused::Code(ErrorCode::GROUP_MAX_SIZE_REACHED));
        }
        if !self.understands(&request) {
            return Err(Refused::Code(ErrorCode::INCONSISTENT_GROUP_PROTOCOL));
        }
        if request.member_id.is_empty() {
            return self.join_without_id(now, request);
        }
        if self.pending.remove(&request.member_id).is_some() {
            let id = request.member_id.clone();
            self.add_member(now, id, request);
            return Ok(());
        }
        self.check_member(&request.member_id, request.instance_id.as_deref())?;
        self.rejoin(now, request)
    }

    fn join_without_id(&mut self, now: Instant, request: JoinRequest) -> Result<(), Refused> {
        let id = request.fresh_member_id.clone();
        match &request.instance_id {
            Some(instance_id) => match self.statics.get(instance_id).cloned() {
                Some(old) => self.replace_static(now, &old, request),
                None => self.add_member(now, id, request),
            },
            None if request.requires_known_id => {
                self.pending.insert(id.clone(), now + request.session_timeout);
                return Err(Refused::MemberIdRequired(id));
            }
            None => self.add_member(now, id, request),
        }
        Ok(())
    }

    fn rejoin(&mut self, now: Instant, request: JoinRequest) -> Result<(), Refused> {
        let leads = self.leader.as_deref() == Some(&request.member_id);
        let is_same = self
            .members
            .get(&request.member_id)
            .is_some_and(|member| member.protocols == request.protocols);
        match self.state {
            GroupState::Empty => return Err(Refused::Code(ErrorCode::UNKNOWN_MEMBER_ID)),
            // The answer was lost, or a follower asks again: tell it the same.
            GroupState::CompletingRebalance if is_same => self.answer_again(now, &request),
            GroupState::Stable if is_same && !leads => self.answer_again(now, &request),
            GroupState::PreparingRebalance
            | GroupState::CompletingRebalance
            | GroupState::Stable => {
                let id = request.member_id.clone();
                self.update_member(now, &id, &request);
                if let Some(member) = self.members.get_mut(&id) {
                    let superseded = member.join.replace(request.ticket);
                    self.drop_superseded(superseded, &id);
                }
                self.rebalance(now, request.initial_rebalance_delay);
            }
        }
        Ok(())
    }

    fn answer_again(&mut self, now: Instant, request: &JoinRequest) {
        if let Some(member) = self.members.get_mut(&request.member_id) {
            member.touch(now);
        }
        let answer = self.join_answer(&request.member_id);
        self.reply_join(request.ticket, answer);
    }

    fn add_member(&mut self, now: Instant, id: String, request: JoinRequest) {
        self.joins += 1;
        let mut member = Member {
            id: id.clone(),
            instance_id: request.instance_id.clone(),
            client_id: request.client_id,
            client_host: request.client_host,
            session_timeout: request.session_timeout,
            rebalance_timeout: request.rebalance_timeout,
            protocols: request.protocols,
            assignment: Bytes::new(),
            seniority: self.joins,
            join: Some(request.ticket),
            sync: None,
            owes_sync: false,
            session_deadline: now,
            is_new: true,
        };
        member.touch(now);
        if let Some(instance_id) = request.instance_id {
            self.statics.insert(instance_id, id.clone());
        }
        if self.members.is_empty() {
            self.protocol_type = Some(request.protocol_type);
        }
        self.leader.get_or_insert_with(|| id.clone());
        self.members.insert(id, member);
        self.rebalance(now, request.initial_rebalance_delay);
    }

    /// A static member came back without its id: it gets a new one and keeps its place and its assignment.
    fn replace_static(&mut self, now: Instant, old: &str, request: JoinRequest) {
        self.refuse_waiting(old, ErrorCode::FENCED_INSTANCE_ID);
        let Some(mut member) = self.members.remove(old) else { return };
        let id = request.fresh_member_id.clone();
        member.id.clone_from(&id);
        self.members.insert(id.clone(), member);
        if let Some(instance_id) = &request.instance_id {
            self.statics.insert(instance_id.clone(), id.clone());
        }
        let leader_before = self.leader.clone();
        let leads = leader_before.as_deref() == Some(old);
        if leads {
            self.leader = Some(id.clone());
        }
        self.update_member(now, &id, &request);
        if self.state == GroupState::Stable && self.elect_protocol() == self.protocol {
            let mut answer = self.join_answer(&id);
            if request.may_skip_assignment {
                answer.skip_assignment = leads;
            } else {
                // An old client would assign anew if it heard that it leads.
                answer.leader = leader_before.unwrap_or_default();
                answer.members = Vec::new();
            }
            self.reply_join(request.ticket, answer);
            return;
        }
        if let Some(member) = self.members.get_mut(&id) {
            member.join = Some(request.ticket);
        }
        self.rebalance(now, request.initial_rebalance_delay);
    }

    fn update_member(&mut self, now: Instant, id: &str, request: &JoinRequest) {
        let Some(member) = self.members.get_mut(id) else { return };
        member.protocols.clone_from(&request.protocols);
        member.session_timeout = request.session_timeout;
        member.rebalance_timeout = request.rebalance_timeout;
        member.client_id.clone_from(&request.client_id);
        member.client_host.clone_from(&request.client_host);
        member.touch(now);
    }

    /// What the member is told about the present generation.
    pub(super) fn join_answer(&self, id: &str) -> JoinAnswer {
        let leader = self.leader.clone().unwrap_or_default();
        let protocol = self.protocol.clone().unwrap_or_default();
        let entry = |member: &Member| {
            (member.id.clone(), member.instance_id.clone(), member.metadata(&protocol))
        };
        let members =
            if leader == id { self.members.values().map(entry).collect() } else { Vec::new() };
        JoinAnswer {
            code: ErrorCode::NONE,
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            leader,
            member_id: id.to_owned(),
            skip_assignment: false,
            members,
        }
    }

    pub(super) fn reply_join(&mut self, ticket: Ticket, answer: JoinAnswer) {
        self.replies.push(Reply { ticket, answer: Answer::Join(answer) });
    }

    /// The member asked again on another connection: the older request gets an answer too.
    fn drop_superseded(&mut self, ticket: Option<Ticket>, id: &str) {
        if let Some(ticket) = ticket {
            self.reply_join(ticket, JoinAnswer::error(ErrorCode::UNKNOWN_MEMBER_ID, id));
        }
    }

    fn has_room_for(&self, request: &JoinRequest) -> bool {
        let max = request.group_size_max;
        let is_member = self.members.contains_key(&request.member_id);
        let is_pending = self.pending.contains_key(&request.member_id);
        let returns = request.instance_id.as_ref().is_some_and(|id| self.statics.contains_key(id));
        let taken = if self.state == GroupState::PreparingRebalance {
            self.members.values().filter(|member| member.join.is_some()).count()
        } else {
            self.members.len()
        };
        // Ids handed out take up room too, or a hostile client could have any number of them.
        let pending = if is_pending { 0 } else { self.pending.len() };
        is_member || returns || taken + pending < max
    }

    /// Whether the member is of the group's kind and speaks an assignor that all others speak.
    fn understands(&self, request: &JoinRequest) -> bool {
        if request.protocol_type.is_empty() || request.protocols.is_empty() {
            return false;
        }
        if self.members.is_empty() {
            return true;
        }
        let common = self.common_protocols();
        let others_than_self =
            self.members.len() > 1 || !self.members.contains_key(&request.member_id);
        self.protocol_type.as_ref() == Some(&request.protocol_type)
            && (!others_than_self
                || request.protocols.iter().any(|(name, _)| common.contains(name.as_str())))
    }
}

enum Refused {
    Code(ErrorCode),
    MemberIdRequired(String),
}

impl From<ErrorCode> for Refused {
    fn from(code: ErrorCode) -> Self {
        Self::Code(code)
    }
}
