//! What a coordinator's answers mean to a member.

use std::time::Instant;

use fastrand::Rng;
use milena_types::{ApiKey, ErrorCode, Generation};
use milena_wire::Response;
use milena_wire::messages::{JoinGroupResponse, SyncGroupResponse};

use super::{Action, Call, Identity, Leading, METADATA_WAIT, Member, SYNCS_LOST_MAX};
use crate::disposition::{self, Reaction};
use crate::error::{Error, ErrorKind, Operation};
use crate::group::assignor::{self, AssignmentStrategy};
use crate::group::message::{MemberAssignment, MemberSubscription, PROTOCOL_TYPE};
use crate::group::state::MemberState;
use crate::request::{Answer, Failure};
use crate::subscription::Event;

/// Answers.
impl Member {
    /// Takes in the answer to a request of this member; false if it is not one.
    pub(crate) fn handle_answer(
        &mut self,
        now: Instant,
        answer: &mut Answer,
        rng: &mut Rng,
    ) -> bool {
        if let Some(sent) = self.heartbeat.landed(answer.id) {
            self.handle_heartbeat(now, sent, answer, rng);
            return true;
        }
        let Some(call) = self.call.take_if(|call| call.request == answer.id) else { return false };
        if self.state == MemberState::Leaving {
            match &answer.result {
                Ok(Some(Response::JoinGroup(response))) if !response.member_id.is_empty() => {
                    self.identity.member_id = response.member_id.clone();
                }
                // Whatever it says, there is nothing left to do: the session ends by itself.
                _ => self.left(),
            }
            return true;
        }
        let body = match std::mem::replace(&mut answer.result, Ok(None)) {
            Ok(body) => body,
            Err(failure) => {
                tracing::debug!(group = %self.settings.group_id, api = %call.api, ?failure, "no answer");
                self.actions.push_back(Action::LoseCoordinator(Some(call.coordinator)));
                self.pause(now, rng);
                if call.api == ApiKey::SYNC_GROUP && self.may_sync_again(&failure) {
                    return true;
                }
                self.doubt(now, &call, failure == Failure::ConnectionLost);
                if call.api == ApiKey::SYNC_GROUP && self.state == MemberState::Syncing {
                    // What the group has become meanwhile is best asked by joining.
                    self.enter(MemberState::Joining);
                }
                return true;
            }
        };
        match body {
            Some(Response::JoinGroup(response)) => self.handle_join(now, &call, response, rng),
            Some(Response::SyncGroup(response)) => self.handle_sync(now, &call, response, rng),
            _ => self.fail(self.error(ErrorKind::Protocol, Operation::JoinGroup)),
        }
        true
    }

    fn handle_join(
        &mut self,
        now: Instant,
        call: &Call,
        response: JoinGroupResponse,
        rng: &mut Rng,
    ) {
        if self.state != MemberState::Joining || call.identity != self.identity {
            return;
        }
        let code = response.error_code;
        if code == ErrorCode::MEMBER_ID_REQUIRED {
            self.identity = Identity { member_id: response.member_id, generation: None };
            return;
        }
        if code != ErrorCode::NONE {
            self.refused(now, ApiKey::JOIN_GROUP, code, call, rng);
            return;
        }
        let name = response.protocol_name.as_deref().unwrap_or_default();
        let strategy = AssignmentStrategy::named(name)
            .filter(|strategy| self.settings.assignment_strategies.contains(strategy));
        let Some(strategy) = strategy.filter(|_| is_ours(response.protocol_type.as_deref())) else {
            let detail =
                format!("the coordinator chose the strategy {name:?}, which was not offered");
            self.fail(self.inconsistent(detail));
            return;
        };
        self.strategy = strategy;
        self.doubt_ends = None;
        // The back-off goes on until the assignment is here: without it, the group would be joined again at once for ever.
        self.retry_at = None;
        self.identity = Identity {
            member_id: response.member_id.clone(),
            generation: Generation::from_wire(response.generation_id),
        };
        self.heartbeat.start(now);
        self.shared_out = None;
        self.enter(MemberState::Syncing);
        if response.leader == response.member_id {
            let members = response.members.iter().map(|member| {
                // A member whose bytes make no sense gets nothing; the others must not suffer (R16, trap 37).
                let said = MemberSubscription::decode(&member.metadata).unwrap_or_else(|_| {
                    tracing::warn!(group = %self.settings.group_id, member = %member.member_id, "unreadable subscription");
                    MemberSubscription::default()
                });
                let instance_id = member.group_instance_id.as_deref().map(str::to_owned);
                assignor::Member::of(member.member_id.to_string(), instance_id, said)
            });
            let deadline = now + METADATA_WAIT.min(self.settings.session_timeout / 3);
            let is_skipped = response.skip_assignment;
            self.leading = Some(Leading { members: members.collect(), is_skipped, deadline });
        }
    }

    fn handle_sync(
        &mut self,
        now: Instant,
        call: &Call,
        response: SyncGroupResponse,
        rng: &mut Rng,
    ) {
        if self.state != MemberState::Syncing || call.identity != self.identity {
            return;
        }
        if response.error_code != ErrorCode::NONE {
            self.refused(now, ApiKey::SYNC_GROUP, response.error_code, call, rng);
            return;
        }
        let name = response.protocol_name.as_deref();
        if !is_ours(response.protocol_type.as_deref())
            || name.is_some_and(|name| name != self.strategy.name())
        {
            let detail = format!("the assignment is by {name:?}, not by {}", self.strategy);
            self.fail(self.inconsistent(detail));
            return;
        }
        let Ok(assignment) = MemberAssignment::decode(&response.assignment) else {
            // Taken as empty, these partitions would have an owner who does not read them (R16).
            let error = self
                .error(ErrorKind::Protocol, Operation::JoinGroup)
                .with_detail("the leader's assignment cannot be read; joining again");
            self.actions.push_back(Action::Tell(Event::Error(error)));
            self.pause(now, rng);
            self.enter(MemberState::Joining);
            return;
        };
        if !assignment.partitions.iter().all(|tp| self.topics.contains(&tp.topic)) {
            // The subscription changed after JoinGroup was sent: ours is not what the leader saw.
            self.rejoin = Some("the assignment does not match the subscription".into());
            self.enter(MemberState::Joining);
            return;
        }
        let is_due = self.syncing.as_ref().is_some_and(|syncing| syncing.is_due);
        if is_due && assignment.partitions.is_empty() {
            // It may be from before there was the topic, if the leader went before it heard of that: nobody else watches.
            self.rejoin =
                Some("the leader came back to no partitions, and the assignment may be old".into());
            self.enter(MemberState::Joining);
            return;
        }
        self.backoff.reset();
        self.heartbeat.start(call.sent);
        self.assigned(assignment.partitions);
    }

    /// Whether to ask for the assignment again where no answer came. A coordinator gives it as often as it is asked for
    /// in this generation, and refuses any other; a leader that joins again has the whole group rebalance.
    ///
    /// Not where partitions are owned meanwhile: a new coordinator may never have heard of the generation, and to be told
    /// so would cost them. Who joins keeps them.
    fn may_sync_again(&mut self, failure: &Failure) -> bool {
        let Some(syncing) = &mut self.syncing else { return false };
        syncing.lost += 1;
        failure.is_passing()
            && syncing.lost < SYNCS_LOST_MAX
            && self.rejoin.is_none()
            && self.owned.is_empty()
    }

    fn handle_heartbeat(
        &mut self,
        now: Instant,
        sent: Instant,
        answer: &mut Answer,
        rng: &mut Rng,
    ) {
        match std::mem::replace(&mut answer.result, Ok(None)) {
            Err(_) => {
                self.actions.push_back(Action::LoseCoordinator(answer.broker));
                let wait = self.backoff.next_wait(rng);
                self.heartbeat.failed(now, wait);
            }
            Ok(Some(Response::Heartbeat(response))) => {
                let code = response.error_code;
                if code == ErrorCode::NONE {
                    self.heartbeat.succeeded(sent);
                    return;
                }
                let reaction = disposition::reaction(ApiKey::HEARTBEAT, code);
                // The coordinator knows us, whatever else it says.
                if matches!(reaction, Reaction::Rejoin | Reaction::Retry) {
                    self.heartbeat.succeeded(sent);
                }
                let wait = self.backoff.next_wait(rng);
                self.heartbeat.failed(now, wait);
                if reaction == Reaction::FindCoordinator {
                    self.actions.push_back(Action::LoseCoordinator(answer.broker));
                }
                // Heartbeats are dropped when the identity changes, so this one was ours.
                let sender = self.identity.clone();
                self.react(reaction, code, &sender, Operation::Heartbeat);
            }
            Ok(_) => self.fail(self.error(ErrorKind::Protocol, Operation::Heartbeat)),
        }
    }

    /// A refusal of JoinGroup or SyncGroup.
    #[expect(clippy::wildcard_enum_match_arm, reason = "what is not named here is left to `react`")]
    fn refused(&mut self, now: Instant, api: ApiKey, code: ErrorCode, call: &Call, rng: &mut Rng) {
        tracing::debug!(group = %self.settings.group_id, %api, %code, "refused");
        let reaction = disposition::reaction(api, code);
        self.pause(now, rng);
        if api == ApiKey::JOIN_GROUP {
            // A coordinator that stops, or hands the group on, refuses those who wait at it.
            self.doubt(now, call, true);
        }
        if reaction == Reaction::FindCoordinator {
            self.actions.push_back(Action::LoseCoordinator(Some(call.coordinator)));
        }
        if code == ErrorCode::UNKNOWN_SERVER_ERROR {
            // It may never pass, and nobody would know why nothing is read.
            let error = Error::from_code(api, code).during(Operation::JoinGroup);
            let error = error.with_group(self.settings.group_id.clone());
            self.actions.push_back(Action::Tell(Event::Error(error)));
        }
        match reaction {
            Reaction::Retry | Reaction::FindCoordinator if api == ApiKey::SYNC_GROUP => {
                self.enter(MemberState::Joining);
            }
            Reaction::Rejoin => {
                // The group rebalances already; our place in it waits for us.
                self.retry_at = None;
                self.enter(MemberState::Joining);
            }
            _ => self.react(reaction, code, &call.identity, Operation::JoinGroup),
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "what joining again does not heal is told to the user"
    )]
    pub(super) fn react(
        &mut self,
        reaction: Reaction,
        code: ErrorCode,
        sender: &Identity,
        operation: Operation,
    ) {
        match reaction {
            // A coordinator that is none is forgotten by whoever knows which one it was.
            Reaction::Accept | Reaction::Retry | Reaction::FindCoordinator => {}
            Reaction::Rejoin => {
                if matches!(
                    self.state,
                    MemberState::Revoking | MemberState::Settling | MemberState::Stable
                ) && self.rejoin.is_none()
                {
                    // Java's word for it, which operators may know.
                    self.rejoin = Some("group is already rebalancing".into());
                }
            }
            // What was sent as somebody else says nothing of who we are today.
            _ if *sender != self.identity => {}
            Reaction::ResetGeneration => {
                self.identity.generation = None;
                self.lose();
            }
            Reaction::ResetMember => {
                self.identity = Identity::default();
                self.lose();
            }
            _ => {
                let error = Error::from_code(ApiKey::JOIN_GROUP, code)
                    .during(operation)
                    .with_group(self.settings.group_id.clone());
                self.fail(error);
            }
        }
    }

    /// Nobody keeps our place any more, unless a coordinator hears of us within a session. One that let a JoinGroup wait,
    /// and ended the wait itself, as `by_coordinator` says, kept it until now.
    fn doubt(&mut self, now: Instant, call: &Call, by_coordinator: bool) {
        if self.owned.is_empty() {
            return;
        }
        let ends = now + self.settings.session_timeout;
        let waited = call.sent + self.settings.heartbeat_interval <= now;
        if call.is_join() && waited && by_coordinator {
            self.doubt_ends = Some(ends);
        } else {
            self.doubt_ends.get_or_insert(ends);
        }
    }

    fn pause(&mut self, now: Instant, rng: &mut Rng) {
        self.retry_at = Some(now + self.backoff.next_wait(rng));
    }

    /// The group speaks of something else than we do (KIP-559).
    fn inconsistent(&self, detail: String) -> Error {
        Error::from_code(ApiKey::JOIN_GROUP, ErrorCode::INCONSISTENT_GROUP_PROTOCOL)
            .during(Operation::JoinGroup)
            .with_group(self.settings.group_id.clone())
            .with_detail(detail)
    }

    fn error(&self, kind: ErrorKind, operation: Operation) -> Error {
        Error::new(kind).during(operation).with_group(self.settings.group_id.clone())
    }
}

/// Whether a protocol type is that of consumers; older coordinators tell none.
fn is_ours(protocol_type: Option<&str>) -> bool {
    protocol_type.is_none_or(|name| name == PROTOCOL_TYPE)
}
