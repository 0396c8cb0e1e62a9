//! One request and its answer, tried again while that may help.

use std::time::Duration;

use fastrand::Rng;
use milena_engine::backoff::Backoff;
use milena_engine::request::{Lane, Outbound, RequestIds, Target};
use milena_engine::{Error, ErrorKind, Operation};
use milena_types::{ApiKey, NodeId};
use milena_wire::messages::FindCoordinatorRequest;
use milena_wire::{ByteString, Request, Response};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout_at};

use crate::Kafka;
use crate::clock::after;
use crate::net::ReplyTo;

/// One call of the admin client: where it goes and when it must be done.
pub(super) struct Call<'a> {
    kafka: &'a Kafka,
    deadline: Instant,
    limit: Duration,
    backoff: Backoff,
    rng: Rng,
}

impl<'a> Call<'a> {
    pub(super) fn new(kafka: &'a Kafka) -> Self {
        let config = kafka.config();
        let limit = config.default_api_timeout();
        let backoff = Backoff::new(config.retry_backoff(), config.retry_backoff_max());
        Self { kafka, deadline: after(limit), limit, backoff, rng: kafka.fork_rng() }
    }

    pub(super) fn kafka(&self) -> &'a Kafka {
        self.kafka
    }

    /// Waits before the next attempt, where `error` may pass and there is time for one.
    ///
    /// # Errors
    /// `error` itself, where trying again does not help.
    pub(super) async fn retry(&mut self, error: Error) -> Result<(), Error> {
        if !error.is_retriable() {
            return Err(error);
        }
        let wait = self.backoff.next_wait(&mut self.rng);
        if Instant::now() + wait >= self.deadline {
            let late = Error::timeout(self.limit, "default.api.timeout.ms");
            return Err(late.because(error));
        }
        tracing::debug!(%error, ?wait, "trying again");
        sleep(wait).await;
        Ok(())
    }

    /// Sends `request` in any version from `version_min` on and waits for the answer.
    pub(super) async fn ask(
        &self,
        target: Target,
        version_min: i16,
        request: impl Into<Request>,
    ) -> Result<Response, Error> {
        self.ask_between(target, version_min, i16::MAX, request).await
    }

    /// Sends `request` in a version within these bounds and waits for the answer.
    pub(super) async fn ask_between(
        &self,
        target: Target,
        version_min: i16,
        version_max: i16,
        request: impl Into<Request>,
    ) -> Result<Response, Error> {
        let request = request.into();
        let operation = Operation::Request(request.api_key());
        let id = RequestIds::default().deal();
        let left = self.deadline.saturating_duration_since(Instant::now());
        let timeout = self.kafka.config().request_timeout().min(left);
        let mut outbound = Outbound::new(id, target, Lane::Control, timeout, request);
        (outbound.version_min, outbound.version_max) = (version_min, version_max);
        let (reply, answer) = oneshot::channel();
        self.kafka.pool().submit(outbound, ReplyTo::Caller(reply));
        let Ok(answer) = timeout_at(self.deadline, answer).await else {
            let late = Error::timeout(self.limit, "default.api.timeout.ms");
            return Err(late.during(operation));
        };
        let answer = answer.map_err(|_| Error::closed().during(operation))?;
        match answer.result {
            Ok(Some(response)) => Ok(response),
            Ok(None) => Err(unexpected().during(operation)),
            Err(failure) => {
                // Who does not answer may be gone, and another the controller by now.
                if failure.is_passing() {
                    self.kafka.metadata().refresh();
                }
                Err(Error::from_failure(&failure).during(operation).with_broker(answer.broker))
            }
        }
    }

    /// The broker that takes changes: a controller, or in KRaft any broker that hands them on.
    pub(super) fn controller(&self) -> Target {
        self.kafka.metadata().load().controller().map_or(Target::Any, Target::Broker)
    }

    /// The broker that looks after `group`.
    pub(super) async fn coordinator(&self, group: &str) -> Result<NodeId, Error> {
        let request = FindCoordinatorRequest {
            coordinator_keys: vec![ByteString::from(group)],
            ..FindCoordinatorRequest::default()
        };
        let Response::FindCoordinator(response) = self.ask(Target::Any, 0, request).await? else {
            return Err(unexpected());
        };
        let found = response.coordinators.first().ok_or_else(unexpected)?;
        if found.error_code.is_error() {
            let error = Error::from_code(ApiKey::FIND_COORDINATOR, found.error_code);
            return Err(error.during(Operation::FindCoordinator).with_group(group));
        }
        NodeId::from_wire(found.node_id).ok_or_else(unexpected)
    }
}

/// Does an attempt of a call until it succeeds or trying again does not help. A macro because the futures of async
/// closures cannot be sent between threads in general.
macro_rules! retry {
    ($call:ident, $attempt:expr) => {
        loop {
            match $attempt.await {
                Ok(done) => break Ok(done),
                Err(error) => {
                    if let Err(error) = $call.retry(error).await {
                        break Err(error);
                    }
                }
            }
        }
    };
}
pub(super) use retry;

/// An answer that does not belong to its request.
pub(super) fn unexpected() -> Error {
    Error::new(ErrorKind::Protocol).with_detail("answer to another request")
}
