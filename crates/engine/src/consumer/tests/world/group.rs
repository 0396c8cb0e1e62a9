//! The scripted coordinator of one classic group.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use bytes::Bytes;
use milena_types::ErrorCode;
use milena_wire::messages::join_group_response::JoinGroupResponseMember;
use milena_wire::messages::{
    HeartbeatResponse, JoinGroupRequest, JoinGroupResponse, SyncGroupRequest, SyncGroupResponse,
};
use milena_wire::{ByteString, Response};

use super::Waiter;

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum State {
    #[default]
    Empty,
    Preparing(Instant),
    Completing,
    Stable,
}

#[derive(Debug, Default)]
pub(crate) struct Group {
    pub(crate) state: State,
    pub(crate) generation: i32,
    pub(crate) members: BTreeMap<String, Member>,
    promised: BTreeSet<String>,
    /// Before 2.2 whoever joins is a member at once, and learns its id when the others have joined too.
    pub(crate) is_old: bool,
    last_id: u32,
    /// How many rebalances were completed.
    pub(crate) rebalances: u32,
}

#[derive(Debug)]
pub(crate) struct Member {
    /// By strategy, the most wanted first.
    protocols: Vec<(String, Bytes)>,
    session: Duration,
    rebalance: Duration,
    seen: Instant,
    join: Option<Waiter>,
    sync: Option<Waiter>,
    assignment: Bytes,
}

/// Answers that became due, with whom they are for.
pub(crate) type Answers = Vec<(Waiter, Response)>;

impl Group {
    pub(crate) fn join(
        &mut self,
        now: Instant,
        waiter: Waiter,
        request: &JoinGroupRequest,
        out: &mut Answers,
    ) {
        let refuse = |code, member_id: ByteString| {
            let response = JoinGroupResponse { error_code: code, member_id, ..Default::default() };
            (waiter, response.into())
        };
        let mut id = request.member_id.to_string();
        if id.is_empty() {
            self.last_id += 1;
            id = format!("m-{}", self.last_id);
            self.promised.insert(id.clone());
        }
        if request.member_id.is_empty() && !self.is_old {
            out.push(refuse(ErrorCode::MEMBER_ID_REQUIRED, id.into()));
            return;
        }
        if !self.promised.remove(&id) && !self.members.contains_key(&id) {
            out.push(refuse(ErrorCode::UNKNOWN_MEMBER_ID, id.into()));
            return;
        }
        let millis = |ms: i32| Duration::from_millis(u64::try_from(ms).unwrap());
        let member = self.members.entry(id).or_insert_with(|| Member {
            protocols: Vec::new(),
            session: Duration::ZERO,
            rebalance: Duration::ZERO,
            seen: now,
            join: None,
            sync: None,
            assignment: Bytes::new(),
        });
        let protocols = request.protocols.iter();
        member.protocols =
            protocols.map(|one| (one.name.to_string(), one.metadata.clone())).collect();
        member.session = millis(request.session_timeout_ms);
        member.rebalance = millis(request.rebalance_timeout_ms);
        member.seen = now;
        member.join = Some(waiter);
        self.prepare(now, out);
        self.complete(now, out);
    }

    pub(crate) fn sync(
        &mut self,
        now: Instant,
        waiter: Waiter,
        request: &SyncGroupRequest,
        out: &mut Answers,
    ) {
        if let Err(code) = self.check(now, &request.member_id, request.generation_id) {
            let response = SyncGroupResponse { error_code: code, ..Default::default() };
            return out.push((waiter, response.into()));
        }
        match self.state {
            State::Preparing(_) | State::Empty => {
                let error_code = ErrorCode::REBALANCE_IN_PROGRESS;
                let response = SyncGroupResponse { error_code, ..Default::default() };
                out.push((waiter, response.into()));
            }
            State::Completing => {
                self.members.get_mut(&*request.member_id).unwrap().sync = Some(waiter);
                if request.assignments.is_empty() {
                    return;
                }
                for given in &request.assignments {
                    if let Some(member) = self.members.get_mut(&*given.member_id) {
                        member.assignment = given.assignment.clone();
                    }
                }
                self.state = State::Stable;
                self.rebalances += 1;
                for member in self.members.values_mut() {
                    if let Some(waiter) = member.sync.take() {
                        out.push((waiter, assigned(&member.assignment)));
                    }
                }
            }
            State::Stable => {
                let assignment = &self.members[&*request.member_id].assignment;
                out.push((waiter, assigned(assignment)));
            }
        }
    }

    pub(crate) fn heartbeat(&mut self, now: Instant, id: &str, generation: i32) -> Response {
        let error_code = match (self.check(now, id, generation), self.state) {
            (Err(code), _) => code,
            (Ok(()), State::Preparing(_)) => ErrorCode::REBALANCE_IN_PROGRESS,
            (Ok(()), _) => ErrorCode::NONE,
        };
        HeartbeatResponse { error_code, ..Default::default() }.into()
    }

    pub(crate) fn leave(&mut self, now: Instant, id: &str, out: &mut Answers) -> ErrorCode {
        if self.members.remove(id).is_none() {
            return ErrorCode::UNKNOWN_MEMBER_ID;
        }
        self.shrunk(now, out);
        ErrorCode::NONE
    }

    /// What the coordinator says to a commit.
    pub(crate) fn may_commit(&mut self, now: Instant, id: &str, generation: i32) -> ErrorCode {
        if generation < 0 && id.is_empty() && self.members.is_empty() {
            return ErrorCode::NONE;
        }
        match self.check(now, id, generation) {
            Err(code) => code,
            Ok(()) if self.state == State::Completing => ErrorCode::REBALANCE_IN_PROGRESS,
            Ok(()) => ErrorCode::NONE,
        }
    }

    pub(crate) fn tick(&mut self, now: Instant, out: &mut Answers) {
        let before = self.members.len();
        self.members
            .retain(|_, member| member.join.is_some() || now < member.seen + member.session);
        if let State::Preparing(deadline) = self.state
            && deadline <= now
        {
            self.members.retain(|_, member| member.join.is_some());
        }
        if self.members.len() < before {
            self.shrunk(now, out);
        }
        self.complete(now, out);
    }

    fn check(&mut self, now: Instant, id: &str, generation: i32) -> Result<(), ErrorCode> {
        let member = self.members.get_mut(id).ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?;
        if generation != self.generation {
            return Err(ErrorCode::ILLEGAL_GENERATION);
        }
        member.seen = now;
        Ok(())
    }

    fn shrunk(&mut self, now: Instant, out: &mut Answers) {
        if self.members.is_empty() {
            self.state = State::Empty;
        } else {
            self.prepare(now, out);
            self.complete(now, out);
        }
    }

    fn prepare(&mut self, now: Instant, out: &mut Answers) {
        if matches!(self.state, State::Preparing(_)) {
            return;
        }
        for member in self.members.values_mut() {
            if let Some(waiter) = member.sync.take() {
                let error_code = ErrorCode::REBALANCE_IN_PROGRESS;
                let response = SyncGroupResponse { error_code, ..Default::default() };
                out.push((waiter, response.into()));
            }
        }
        let wait = self.members.values().map(|member| member.rebalance).max().unwrap_or_default();
        self.state = State::Preparing(now + wait);
    }

    fn complete(&mut self, now: Instant, out: &mut Answers) {
        if !matches!(self.state, State::Preparing(_))
            || self.members.is_empty()
            || self.members.values().any(|member| member.join.is_none())
        {
            return;
        }
        self.generation += 1;
        self.state = State::Completing;
        let leader = self.members.keys().next().unwrap().clone();
        let has = |member: &Member, name: &str| member.protocols.iter().any(|one| one.0 == name);
        let mut names = self.members[&leader].protocols.iter().map(|one| one.0.clone());
        let chosen = names.find(|name| self.members.values().all(|member| has(member, name)));
        let chosen = chosen.expect("the members have a strategy in common");
        let all: Vec<_> = self
            .members
            .iter()
            .map(|(id, member)| JoinGroupResponseMember {
                member_id: id.as_str().into(),
                group_instance_id: None,
                metadata: member.protocols.iter().find(|one| one.0 == chosen).unwrap().1.clone(),
            })
            .collect();
        for (id, member) in &mut self.members {
            member.seen = now;
            let response = JoinGroupResponse {
                generation_id: self.generation,
                protocol_type: Some("consumer".into()),
                protocol_name: Some(chosen.as_str().into()),
                leader: leader.as_str().into(),
                member_id: id.as_str().into(),
                members: if *id == leader { all.clone() } else { Vec::new() },
                ..Default::default()
            };
            out.push((member.join.take().unwrap(), response.into()));
        }
    }
}

fn assigned(assignment: &Bytes) -> Response {
    SyncGroupResponse { assignment: assignment.clone(), ..Default::default() }.into()
}
