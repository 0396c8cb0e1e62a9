//! What the coordinator's answers mean to a member.

use std::sync::Arc;
use std::time::{Duration, Instant};

use milena_types::{ApiKey, ErrorCode, Generation, NodeId};
use milena_wire::Response;
use milena_wire::messages::ConsumerGroupHeartbeatResponse;

use super::{Member, Name, State, Wanted};
use crate::disposition::{self, Reaction};
use crate::error::{Error, ErrorKind, Operation};
use crate::group::GroupProtocol;
use crate::group::action::Action;
use crate::group::consumer::assignment::Assignment;
use crate::request::{Answer, Failure};
use crate::subscription::Event;

/// Answers.
impl Member {
    /// Takes in the answer to a request of this member; false if it is not one.
    pub(crate) fn handle_answer(&mut self, now: Instant, answer: &mut Answer) -> bool {
        let Some((_, sent)) = self.beat.in_flight.take_if(|(id, _)| *id == answer.id) else {
            return false;
        };
        if self.state == State::Leaving {
            // Whatever it says, there is nothing left to do: the session ends by itself.
            self.left();
            return true;
        }
        match std::mem::replace(&mut answer.result, Ok(None)) {
            Ok(Some(Response::ConsumerGroupHeartbeat(response))) => {
                if let Name::Returning(taken) = &self.name {
                    self.returned(now, answer.broker, &response, taken.clone());
                } else if response.error_code == ErrorCode::NONE {
                    self.accepted(sent, &response);
                } else {
                    self.refused(now, answer.broker, &response);
                }
            }
            Ok(_) => self.fail(self.error(ErrorKind::Protocol)),
            Err(Failure::UnsupportedVersion) => {
                self.decline(now, Error::from_failure(&Failure::UnsupportedVersion));
            }
            Err(failure) => {
                tracing::debug!(group = %self.settings.group_id, ?failure, "no answer");
                // It may have been heard or not.
                self.requests.forget();
                self.pause(now);
                self.actions.push_back(Action::LoseCoordinator(answer.broker));
            }
        }
        true
    }

    fn accepted(&mut self, sent: Instant, response: &ConsumerGroupHeartbeatResponse) {
        self.beat.backoff.reset();
        self.beat.not_before = None;
        let interval_ms = u64::try_from(response.heartbeat_interval_ms).unwrap_or(0);
        self.beat.interval = Duration::from_millis(interval_ms).max(INTERVAL_MIN);
        self.beat.next_at = Some(sent + self.beat.interval);
        (self.told_forbidden, self.name) = (false, Name::Free);
        if let Some(member_id) = response.member_id.as_ref().filter(|id| !id.is_empty()) {
            self.identity.member_id = member_id.clone();
        }
        self.identity.generation = Generation::from_wire(response.member_epoch);
        if let Some(assignment) = &response.assignment {
            self.target = Some(Assignment::read(assignment));
            self.names_due = None;
            self.is_changed = true;
        } else if self.state == State::Joining {
            // The answer to one who joins has it; one to a heartbeat that says all has it too.
            self.requests.forget();
        }
        // What was acknowledged is in the next heartbeat, which goes out first.
        if matches!(self.state, State::Joining | State::Stable) && self.is_changed {
            self.enter(State::Reconciling);
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "what joining again does not heal is told to the user"
    )]
    fn refused(
        &mut self,
        now: Instant,
        broker: Option<NodeId>,
        response: &ConsumerGroupHeartbeatResponse,
    ) {
        let code = response.error_code;
        let error = Error::from_code(ApiKey::CONSUMER_GROUP_HEARTBEAT, code)
            .with_broker_message(response.error_message.as_deref());
        tracing::info!(group = %self.settings.group_id, %code, %error, "heartbeat refused");
        self.requests.forget();
        let joining = self.state == State::Joining;
        if joining && code == ErrorCode::UNRELEASED_INSTANCE_ID {
            // Whose it is the answer to the farewell tells; the first time it is asked at once.
            if !matches!(self.name, Name::Free) {
                self.pause(now);
            }
            self.name = Name::Returning(self.placed(error));
            return;
        }
        match disposition::reaction(ApiKey::CONSUMER_GROUP_HEARTBEAT, code) {
            // The group is of another protocol, and stays so.
            Reaction::ResetMember if joining && code == ErrorCode::GROUP_ID_NOT_FOUND => {
                self.decline(now, error);
            }
            Reaction::ResetMember if joining => self.pause(now),
            Reaction::ResetMember => self.fence(),
            Reaction::FindCoordinator => {
                self.pause(now);
                self.actions.push_back(Action::LoseCoordinator(broker));
            }
            Reaction::Retry => self.pause(now),
            // Rights may be given; until then the member stays what it is.
            Reaction::Fail => {
                self.pause(now);
                if !std::mem::replace(&mut self.told_forbidden, true) {
                    let error = self.placed(error);
                    self.actions.push_back(Action::Tell(Event::Error(error)));
                }
            }
            _ if code == ErrorCode::UNSUPPORTED_VERSION => self.decline(now, error),
            _ => self.fail(self.placed(error)),
        }
    }

    /// The answer to a farewell that is to give back this member's name.
    fn returned(
        &mut self,
        now: Instant,
        broker: Option<NodeId>,
        response: &ConsumerGroupHeartbeatResponse,
        taken: Error,
    ) {
        let code = response.error_code;
        tracing::info!(group = %self.settings.group_id, %code, "asked for its name back");
        let reaction = disposition::reaction(ApiKey::CONSUMER_GROUP_HEARTBEAT, code);
        if matches!(reaction, Reaction::Accept | Reaction::ResetMember) {
            // It was this member's, or it is nobody's any more.
            self.name = Name::Returned;
        } else if matches!(reaction, Reaction::Retry | Reaction::FindCoordinator | Reaction::Fail) {
            // It says nothing of the name yet.
            self.refused(now, broker, response);
        } else {
            self.fail(taken);
        }
    }

    /// The coordinator has no use for this protocol.
    fn decline(&mut self, now: Instant, error: Error) {
        let by_topics = matches!(self.wanted, Some(Wanted::Topics(_)));
        if self.settings.protocol != GroupProtocol::Auto || !by_topics {
            let detail = error.detail().map(|detail| format!("{detail}; ")).unwrap_or_default();
            let advice = if by_topics {
                "the group cannot be joined by the consumer protocol: use group.protocol=classic"
            } else {
                "the coordinator takes no pattern: subscribe by one that the client matches"
            };
            return self.fail(self.placed(error.with_detail(format!("{detail}{advice}"))));
        }
        if self.state == State::Joining {
            tracing::info!(group = %self.settings.group_id, %error, "on with the classic protocol");
            self.is_declined = true;
            self.pause(now);
        } else {
            // Joining again tells whether it is to stay so.
            self.fence();
        }
    }

    fn pause(&mut self, now: Instant) {
        self.beat.not_before = Some(now + self.beat.backoff.next_wait(&mut self.rng));
        self.beat.next_at = None;
    }

    fn error(&self, kind: ErrorKind) -> Error {
        self.placed(Error::new(kind))
    }

    fn placed(&self, error: Error) -> Error {
        let joining = self.state == State::Joining;
        let operation = if joining { Operation::JoinGroup } else { Operation::Heartbeat };
        error.during(operation).with_group(Arc::clone(&self.settings.group_id))
    }
}

/// No coordinator wants to hear of a member more often than this.
const INTERVAL_MIN: Duration = Duration::from_millis(10);
