//! What a machine asks of a broker, and what comes back.

use std::time::{Duration, Instant};

use milena_types::NodeId;
use milena_wire::{Request, Response};

/// Names one request of one machine; the driver hands it back with the answer.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct RequestId(u64);

/// Deals out request ids; each machine owns one.
#[derive(Debug, Default)]
pub struct RequestIds(u64);

impl RequestIds {
    /// The next id; none is dealt twice.
    pub fn deal(&mut self) -> RequestId {
        self.0 += 1;
        RequestId(self.0)
    }
}

/// Who is to answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "a driver must know each")]
pub enum Target {
    /// This broker.
    Broker(NodeId),
    /// Any broker: the one with the fewest requests in flight, else one of the bootstrap list.
    Any,
}

/// Which connection to a broker carries the request, so that a slow answer of one kind never holds up another.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[expect(clippy::exhaustive_enums, reason = "a driver must know each")]
pub enum Lane {
    /// Produce requests, strictly in order.
    Produce,
    /// Fetch requests, which wait at the broker.
    Fetch,
    /// Group requests; JoinGroup blocks for a whole rebalance.
    Group,
    /// Everything short: metadata, offsets, coordinators, producer ids, admin.
    Control,
}

/// A request on its way out of a machine.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Outbound {
    /// Comes back with the answer.
    pub id: RequestId,
    /// Who is to answer.
    pub target: Target,
    /// Which connection carries it.
    pub lane: Lane,
    /// How long to wait for the answer, from the moment it is written.
    pub timeout: Duration,
    /// Versions below this lack what the machine needs.
    pub version_min: i16,
    /// Versions above this say something the machine cannot fill in, as topic ids it does not know.
    pub version_max: i16,
    /// False for Produce with acks=0: the answer is `Ok(None)` as soon as the request is written.
    pub answered: bool,
    /// What is asked. Names and ids are both filled in where both are known; the codec writes what the version has.
    pub body: Request,
}

impl Outbound {
    /// A request to `target` that takes any version and expects an answer within `timeout`.
    pub fn new(
        id: RequestId,
        target: Target,
        lane: Lane,
        timeout: Duration,
        body: Request,
    ) -> Self {
        let (version_min, version_max) = (0, i16::MAX);
        Self { id, target, lane, timeout, version_min, version_max, answered: true, body }
    }
}

/// What became of a request.
#[derive(Debug)]
#[non_exhaustive]
pub struct Answer {
    /// The request that this answers.
    pub id: RequestId,
    /// Who answered, where one was reached.
    pub broker: Option<NodeId>,
    /// The version that was spoken; 0 where none was sent.
    pub version: i16,
    /// When the answer, or the news of the failure, arrived.
    pub received: Instant,
    /// The response; `None` where none was expected.
    pub result: Result<Option<Response>, Failure>,
}

impl Answer {
    /// An answer to the request `id`.
    pub fn new(
        id: RequestId,
        broker: Option<NodeId>,
        version: i16,
        received: Instant,
        result: Result<Option<Response>, Failure>,
    ) -> Self {
        Self { id, broker, version, received, result }
    }
}

/// Why a request has no response. What decides between retry and doubt is [`Failure::may_be_applied`].
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Failure {
    /// The connection died, or was not to be had, before a byte of this request was written.
    NotSent,
    /// No connection could be opened; says to where, and why.
    Unreachable(std::sync::Arc<str>),
    /// The connection died after bytes of the request were written.
    ConnectionLost,
    /// No answer came in time; the connection is given up.
    TimedOut,
    /// The broker speaks no version of this API between the request's bounds.
    UnsupportedVersion,
    /// The broker refused our credentials or our certificate; retrying does not help.
    AuthenticationFailed(std::sync::Arc<str>),
    /// The answer could not be read; the connection is given up.
    MalformedResponse(std::sync::Arc<str>),
    /// The client was closed before the request was sent.
    Closed,
    /// The request could not be written in any version both sides speak; a defect or a limit of ours.
    Unencodable(std::sync::Arc<str>),
}

impl Failure {
    /// Whether the same request may fare better in a while: brokers restart and connections break.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::NotSent
            | Self::Unreachable(_)
            | Self::ConnectionLost
            | Self::TimedOut
            | Self::MalformedResponse(_) => true,
            Self::UnsupportedVersion
            | Self::AuthenticationFailed(_)
            | Self::Closed
            | Self::Unencodable(_) => false,
        }
    }

    /// Whether the broker may have carried out the request all the same.
    pub fn may_be_applied(&self) -> bool {
        match self {
            Self::ConnectionLost | Self::TimedOut | Self::MalformedResponse(_) => true,
            Self::NotSent
            | Self::Unreachable(_)
            | Self::UnsupportedVersion
            | Self::AuthenticationFailed(_)
            | Self::Closed
            | Self::Unencodable(_) => false,
        }
    }
}
