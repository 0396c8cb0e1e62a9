//! Finding the broker that looks after a group or a transactional id.

use std::time::{Duration, Instant};

use fastrand::Rng;
use milena_types::{ApiKey, NodeId};
use milena_wire::ByteString;
use milena_wire::Response;
use milena_wire::messages::FindCoordinatorRequest;

use crate::backoff::Backoff;
use crate::disposition::{Reaction, reaction};
use crate::error::{Error, ErrorKind, Operation};
use crate::metadata::Broker;
use crate::request::{Answer, Lane, Outbound, RequestId, RequestIds, Target};

/// Whose coordinator.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum CoordinatorKind {
    /// Of a group: members, offsets, share groups' members too.
    Group,
    /// Of a transactional id.
    Transaction,
}

/// How a coordinator is looked up. The defaults are Java's.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Settings {
    /// The first wait after a failure (`retry.backoff.ms`, 100 ms).
    pub retry_backoff: Duration,
    /// The longest wait after a failure (`retry.backoff.max.ms`, 1 s).
    pub retry_backoff_max: Duration,
    /// How long to wait for an answer (`request.timeout.ms`, 30 s).
    pub request_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            retry_backoff: Duration::from_millis(100),
            retry_backoff_max: Duration::from_secs(1),
            request_timeout: Duration::from_secs(30),
        }
    }
}

/// What an answer to a lookup means.
#[derive(Debug)]
#[non_exhaustive]
pub enum Found {
    /// This broker; [`Lookup::coordinator`] says so from here on. Its address may be news to the metadata.
    Coordinator(Broker),
    /// Not yet: the lookup asks again after a back-off. The error is for whoever's time runs out.
    NotYet(Error),
    /// Asking again does not help.
    Failed(Error),
}

/// Looks one coordinator up, and again each time its owner finds it gone.
///
/// A part of its owner's machine: the owner lends its request ids and its generator, and passes on time and answers.
#[derive(Debug)]
pub struct Lookup {
    kind: CoordinatorKind,
    key: ByteString,
    settings: Settings,
    state: State,
    backoff: Backoff,
    /// Whether the coordinator found last was lost without having done anything: then asking at once again would
    /// be answered the same.
    is_unproven: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    /// To be asked for, not before then.
    Unknown(Option<Instant>),
    Asked(RequestId),
    Known(NodeId),
}

impl Lookup {
    /// Nothing is known, and the first request may go out at once.
    pub fn new(kind: CoordinatorKind, key: impl Into<ByteString>, settings: Settings) -> Self {
        Self {
            kind,
            key: key.into(),
            settings,
            state: State::Unknown(None),
            backoff: Backoff::new(settings.retry_backoff, settings.retry_backoff_max),
            is_unproven: false,
        }
    }

    /// The coordinator, where it is known.
    pub fn coordinator(&self) -> Option<NodeId> {
        match self.state {
            State::Known(broker) => Some(broker),
            State::Unknown(_) | State::Asked(_) => None,
        }
    }

    /// Says that the coordinator did its work, so that losing it later is news.
    pub fn prove(&mut self) {
        self.is_unproven = false;
        self.backoff.reset();
    }

    /// Says that `broker` is not, or no longer, the coordinator or cannot be reached; another one found since stays.
    pub fn forget(&mut self, now: Instant, broker: NodeId, rng: &mut Rng) {
        if self.state == State::Known(broker) {
            let due = self.is_unproven.then(|| now + self.backoff.next_wait(rng));
            self.state = State::Unknown(due);
        }
    }

    /// The request to send, if one is due.
    #[must_use]
    pub fn poll_request(&mut self, now: Instant, ids: &mut RequestIds) -> Option<Outbound> {
        match self.state {
            State::Unknown(due) if due.is_none_or(|due| now >= due) => {}
            State::Unknown(_) | State::Asked(_) | State::Known(_) => return None,
        }
        let request = FindCoordinatorRequest {
            key_type: match self.kind {
                CoordinatorKind::Group => 0,
                CoordinatorKind::Transaction => 1,
            },
            coordinator_keys: vec![self.key.clone()],
            ..FindCoordinatorRequest::default()
        };
        let id = ids.deal();
        self.state = State::Asked(id);
        let timeout = self.settings.request_timeout;
        let mut request = Outbound::new(id, Target::Any, Lane::Control, timeout, request.into());
        // The first version that tells groups from transactional ids.
        request.version_min = 1;
        Some(request)
    }

    /// When to call [`poll_request`](Self::poll_request) next, by time alone.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Unknown(due) => due,
            State::Asked(_) | State::Known(_) => None,
        }
    }

    /// Takes an answer, if it is to the request of this lookup; gives any other back.
    ///
    /// # Errors
    /// The answer, where it is not this lookup's.
    pub fn handle_answer(
        &mut self,
        now: Instant,
        answer: Answer,
        rng: &mut Rng,
    ) -> Result<Found, Box<Answer>> {
        if self.state != State::Asked(answer.id) {
            return Err(Box::new(answer));
        }
        let asked = answer.broker;
        let error = match answer.result {
            Ok(Some(Response::FindCoordinator(response))) => {
                match response.coordinators.into_iter().find(|found| found.key == self.key) {
                    Some(found) if !found.error_code.is_error() => {
                        let port = u16::try_from(found.port).ok();
                        if let Some((id, port)) = NodeId::from_wire(found.node_id).zip(port) {
                            self.state = State::Known(id);
                            self.is_unproven = true;
                            return Ok(Found::Coordinator(Broker::new(id, &*found.host, port)));
                        }
                        Error::new(ErrorKind::Protocol).with_detail("coordinator without a place")
                    }
                    Some(found) => Error::from_code(ApiKey::FIND_COORDINATOR, found.error_code),
                    None => Error::new(ErrorKind::Protocol)
                        .with_detail("answer about another group or transactional id"),
                }
            }
            Ok(_) => Error::new(ErrorKind::Protocol).with_detail("answer to another request"),
            Err(failure) => Error::from_failure(&failure),
        };
        let wait = self.backoff.next_wait(rng);
        self.state = State::Unknown(Some(now + wait));
        let error = error
            .during(Operation::FindCoordinator)
            .with_group(&*self.key)
            .with_broker(asked)
            .with_attempt(self.backoff.failures());
        Ok(if is_passing(&error) { Found::NotYet(error) } else { Found::Failed(error) })
    }
}

/// Whether asking again may help.
fn is_passing(error: &Error) -> bool {
    match error.code() {
        Some(code) => matches!(
            reaction(ApiKey::FIND_COORDINATOR, code),
            Reaction::Retry | Reaction::RefreshMetadata | Reaction::FindCoordinator
        ),
        None => {
            matches!(error.kind(), ErrorKind::Connection | ErrorKind::Timeout | ErrorKind::Protocol)
        }
    }
}

#[cfg(test)]
mod tests;
