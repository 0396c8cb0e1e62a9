//! Requests on one connection: written in order, answered in order.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use milena_types::{CorrelationId, NodeId};
use milena_wire::ByteString;
use milena_wire::{Frame, Response, encode_request};
use tracing::field::{self, Empty};
use tracing::{Span, debug, debug_span};

use super::shape;
use super::throttle::throttle_time;
use super::versions::Versions;
use crate::request::{Answer, Failure, Outbound, RequestId};

/// Limits of one connection.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settings {
    /// Sent in every request's header (`client.id`).
    pub client_id: Option<ByteString>,
    /// Requests that wait for their answer at once; for the produce lane `max.in.flight.requests.per.connection`.
    pub in_flight_max: usize,
    /// How long a connection without work stays open (`connections.max.idle.ms`); `None` for ever.
    pub idle_max: Option<Duration>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { client_id: None, in_flight_max: 5, idle_max: Some(Duration::from_secs(540)) }
    }
}

/// What the driver has to do, apart from writing frames.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "a driver must know each")]
pub enum Output {
    /// Hand this to the machine that asked.
    Answer(Answer),
    /// Close the connection; nothing waits on it any more.
    Close(CloseReason),
}

/// Why a connection ends.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "a driver must know each")]
pub enum CloseReason {
    /// Nothing to do for longer than `idle_max`.
    Idle,
    /// Asked to, and everything in flight is answered.
    Drained,
    /// A request went unanswered for its time. What comes later on this connection cannot be trusted to come.
    TimedOut,
    /// The peer broke the protocol.
    Malformed(Arc<str>),
    /// The transport ended.
    Lost,
}

/// The requests of one connection to one broker, after the handshake.
///
/// The caller submits requests, writes the frames of [`poll_transmit`](Self::poll_transmit) in order, says how far
/// it got ([`handle_transmitted`](Self::handle_transmitted)), and hands over each frame it reads. Every submitted
/// request is answered exactly once, whatever happens; where it has no response, the answer says whether bytes of
/// it may have reached the broker.
///
/// A request that times out takes the connection with it, as Kafka answers in order: what was written behind it
/// is in doubt too (trap 43), what was not is not.
#[derive(Debug)]
pub struct Pipeline {
    settings: Settings,
    broker: Option<NodeId>,
    versions: Versions,
    next_correlation: CorrelationId,
    waiting: VecDeque<Waiting>,
    /// Written or being written, oldest first.
    in_flight: VecDeque<InFlight>,
    /// How many of the youngest in flight are not written whole.
    unwritten: usize,
    /// Whether bytes of the oldest of those are written.
    is_begun: bool,
    /// The broker asked for silence until then (KIP-219).
    muted_until: Option<Instant>,
    /// When the last request was submitted or answered.
    active: Instant,
    state: State,
    outputs: VecDeque<Output>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Open,
    /// Takes nothing new; what is in flight is still answered.
    Draining,
    Closed,
}

#[derive(Debug)]
struct Waiting {
    request: Outbound,
    /// When it is given up unsent.
    deadline: Instant,
}

#[derive(Debug)]
struct InFlight {
    id: RequestId,
    correlation: CorrelationId,
    version: i16,
    question: shape::Question,
    sent: Instant,
    deadline: Instant,
    is_answered: bool,
    span: Span,
}

impl Pipeline {
    /// A connection that has just finished its handshake with `broker`, which speaks `versions`.
    pub fn new(
        now: Instant,
        settings: Settings,
        broker: Option<NodeId>,
        versions: Versions,
        next_correlation: CorrelationId,
    ) -> Self {
        Self {
            settings,
            broker,
            versions,
            next_correlation,
            waiting: VecDeque::new(),
            in_flight: VecDeque::new(),
            unwritten: 0,
            is_begun: false,
            muted_until: None,
            active: now,
            state: State::Open,
            outputs: VecDeque::new(),
        }
    }

    /// What the broker speaks.
    pub fn versions(&self) -> &Versions {
        &self.versions
    }

    /// Requests that are neither answered nor failed.
    pub fn load(&self) -> usize {
        self.waiting.len() + self.in_flight.len()
    }

    /// Takes a request. It is written when those before it are, fewer than `in_flight_max` are in flight and the
    /// broker does not ask for silence; if that takes longer than its timeout it fails as not sent.
    pub fn submit(&mut self, now: Instant, request: Outbound) {
        self.active = now;
        if self.state != State::Open || self.waiting.len() >= WAITING_MAX {
            return self.answer(now, request.id, 0, Err(Failure::NotSent));
        }
        let deadline = now + request.timeout;
        self.waiting.push_back(Waiting { request, deadline });
    }

    /// The next frame to write, if one may be. The caller writes it whole, after all before it.
    #[must_use]
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Frame> {
        if self.muted_until.is_some_and(|until| now < until) {
            return None;
        }
        self.muted_until = None;
        while self.state == State::Open && self.in_flight.len() < self.settings.in_flight_max {
            let request = self.waiting.pop_front()?.request;
            if let Some(frame) = self.encode(now, request) {
                return Some(frame);
            }
        }
        None
    }

    /// Says that the oldest `frames` of the frames handed out are written whole, and whether bytes of the next are.
    pub fn handle_transmitted(&mut self, now: Instant, frames: usize, is_next_begun: bool) {
        for _ in 0..frames.min(self.unwritten) {
            let place = self.in_flight.len() - self.unwritten;
            self.unwritten -= 1;
            // Nothing comes back for acks=0: written is all that it will ever be.
            if self.in_flight.get(place).is_some_and(|sent| !sent.is_answered)
                && let Some(sent) = self.in_flight.remove(place)
            {
                self.settle(now, &sent, Ok(None));
            }
        }
        // What was begun stays begun until it is whole.
        self.is_begun = self.unwritten > 0 && (is_next_begun || (frames == 0 && self.is_begun));
        self.close_if_drained();
    }

    /// Takes a frame from the broker, without its length prefix. It must answer the oldest request in flight.
    pub fn handle_frame(&mut self, now: Instant, frame: Bytes) {
        if self.state == State::Closed {
            return;
        }
        if self.in_flight.len() == self.unwritten {
            return self.close(now, CloseReason::Malformed("answer without a request".into()));
        }
        let Some(sent) = self.in_flight.pop_front() else { return };
        match sent.question.decode(sent.version, frame) {
            Ok((correlation, response)) if correlation == sent.correlation => {
                self.active = now;
                if let Some(wait) = throttle_time(&response) {
                    debug!(parent: &sent.span, elapsed = ?wait, "throttled");
                    let until = now + wait.min(THROTTLE_MAX);
                    self.muted_until = self.muted_until.max(Some(until));
                }
                self.settle(now, &sent, Ok(Some(response)));
                self.close_if_drained();
            }
            Ok((correlation, _)) => {
                let due = sent.correlation;
                self.malformed(now, &sent, &format!("answer {correlation} where {due} was due"));
            }
            Err(error) => self.malformed(now, &sent, &error.to_string()),
        }
    }

    /// Says that what comes from the broker is no frame, or a larger one than is taken; `why` reaches who asked for it.
    pub fn handle_unreadable(&mut self, now: Instant, why: &str) {
        if self.state == State::Closed {
            return;
        }
        if self.in_flight.len() == self.unwritten {
            return self.close(now, CloseReason::Malformed(why.into()));
        }
        if let Some(sent) = self.in_flight.pop_front() {
            self.malformed(now, &sent, why);
        }
    }

    /// Says that the transport ended, or that nothing can be written or read any more.
    pub fn handle_lost(&mut self, now: Instant) {
        self.close(now, CloseReason::Lost);
    }

    /// Takes nothing new and fails what is not written yet; closes once what is in flight is answered.
    pub fn drain(&mut self, now: Instant) {
        if self.state == State::Open {
            self.state = State::Draining;
            self.fail_waiting(now);
            self.close_if_drained();
        }
    }

    /// Gives up what took too long.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.state == State::Closed {
            return;
        }
        // Else a caller who cannot write, and so does not ask for a frame, would be called at once for ever.
        self.muted_until.take_if(|until| now >= *until);
        if self.in_flight.iter().any(|sent| now >= sent.deadline) {
            return self.close(now, CloseReason::TimedOut);
        }
        // Deadlines differ, so the late ones may be anywhere.
        let (late, waiting) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|waiting| now >= waiting.deadline);
        self.waiting = waiting;
        for Waiting { request, .. } in late {
            self.answer(now, request.id, 0, Err(Failure::NotSent));
        }
        if self.idle_due().is_some_and(|due| now >= due) {
            self.close(now, CloseReason::Idle);
        }
    }

    /// What to do next; to be drained to `None` after every other call.
    #[must_use]
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) and [`poll_transmit`](Self::poll_transmit) next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.state == State::Closed {
            return None;
        }
        let in_flight = self.in_flight.iter().map(|sent| sent.deadline).min();
        let waiting = self.waiting.iter().map(|waiting| waiting.deadline).min();
        let muted = self.muted_until.filter(|_| !self.waiting.is_empty());
        [in_flight, waiting, muted, self.idle_due()].into_iter().flatten().min()
    }

    fn idle_due(&self) -> Option<Instant> {
        let is_idle = self.waiting.is_empty() && self.in_flight.is_empty();
        self.settings.idle_max.filter(|_| is_idle).map(|idle_max| self.active + idle_max)
    }

    /// Puts a request in flight; one that cannot be written is answered at once.
    fn encode(&mut self, now: Instant, request: Outbound) -> Option<Frame> {
        let Outbound { id, timeout, version_min, version_max, answered, body, .. } = request;
        let Some(version) = self.versions.pick(body.api_key(), version_min, version_max) else {
            self.answer(now, id, 0, Err(Failure::UnsupportedVersion));
            return None;
        };
        let (body, question) = shape::request(body, version);
        let correlation = self.next_correlation;
        let client_id = self.settings.client_id.as_deref();
        let frame = match encode_request(&body, version, correlation, client_id) {
            Ok(frame) => frame,
            Err(error) => {
                self.answer(now, id, version, Err(Failure::Unencodable(error.to_string().into())));
                return None;
            }
        };
        self.next_correlation = correlation.next();
        let span = debug_span!(
            "request",
            broker = self.broker.map(NodeId::get),
            api = %body.api_key(),
            api_version = version,
            correlation_id = correlation.get(),
            bytes = frame.len(),
            elapsed = Empty,
            failure = Empty,
        );
        self.in_flight.push_back(InFlight {
            id,
            correlation,
            version,
            question,
            sent: now,
            deadline: now + timeout,
            is_answered: answered,
            span,
        });
        self.unwritten += 1;
        Some(frame)
    }

    fn malformed(&mut self, now: Instant, sent: &InFlight, why: &str) {
        let why: Arc<str> = why.into();
        self.settle(now, sent, Err(Failure::MalformedResponse(Arc::clone(&why))));
        self.close(now, CloseReason::Malformed(why));
    }

    fn close_if_drained(&mut self) {
        if self.state == State::Draining && self.in_flight.is_empty() {
            self.state = State::Closed;
            self.outputs.push_back(Output::Close(CloseReason::Drained));
        }
    }

    /// Answers everything that is left, by how far it got.
    fn close(&mut self, now: Instant, reason: CloseReason) {
        if self.state == State::Closed {
            return;
        }
        self.state = State::Closed;
        let whole = self.in_flight.len() - self.unwritten;
        let begun = whole + usize::from(self.is_begun);
        self.unwritten = 0;
        for (place, sent) in std::mem::take(&mut self.in_flight).into_iter().enumerate() {
            let failure = if place >= begun {
                Failure::NotSent
            } else if now >= sent.deadline {
                Failure::TimedOut
            } else {
                Failure::ConnectionLost
            };
            self.settle(now, &sent, Err(failure));
        }
        self.fail_waiting(now);
        self.outputs.push_back(Output::Close(reason));
    }

    fn fail_waiting(&mut self, now: Instant) {
        for Waiting { request, .. } in std::mem::take(&mut self.waiting) {
            self.answer(now, request.id, 0, Err(Failure::NotSent));
        }
    }

    /// Answers a request that was in flight.
    fn settle(&mut self, now: Instant, sent: &InFlight, result: Result<Option<Response>, Failure>) {
        sent.span.record("elapsed", field::debug(now.saturating_duration_since(sent.sent)));
        if let Err(failure) = &result {
            sent.span.record("failure", field::debug(failure));
        }
        debug!(parent: &sent.span, "answered");
        self.answer(now, sent.id, sent.version, result);
    }

    fn answer(
        &mut self,
        now: Instant,
        id: RequestId,
        version: i16,
        result: Result<Option<Response>, Failure>,
    ) {
        let answer = Answer::new(id, self.broker, version, now, result);
        self.outputs.push_back(Output::Answer(answer));
    }
}

/// Machines keep a few requests per broker in flight; beyond this one of them is broken and memory is at stake.
const WAITING_MAX: usize = 10_000;

/// A broker asks for seconds at most; what a damaged answer asks for must not silence the client for days.
pub(crate) const THROTTLE_MAX: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests;
