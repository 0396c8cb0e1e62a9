//! One client's connection: what it sent that is not read yet, and what is being answered.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;
use milena_types::{CorrelationId, NodeId};
use milena_wire::Frame;
use milena_wire::Response;

use crate::fault::Fault;
use crate::state::cut;
use crate::ticket::Ticket;

/// Names a connection; none is dealt twice.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ConnectionId(pub(crate) u64);

/// A connection. As in Kafka, one request is worked on at a time, and the next is read once it is answered.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) node: NodeId,
    /// Who the client is: everyone is anonymous where nobody has to prove it.
    pub(crate) principal: String,
    /// Its address.
    pub(crate) host: String,
    /// The name and version of its library.
    pub(crate) software: (String, String),
    /// Frames that are not read yet.
    pub(crate) unread: VecDeque<Bytes>,
    pub(crate) unread_bytes: usize,
    pub(crate) state: ConnectionState,
}

/// What the connection is at.
#[derive(Debug)]
pub(crate) enum ConnectionState {
    /// Ready for the next request.
    Idle,
    /// Its request waits for an answer.
    Waiting(Asked),
    /// A request is held back by a fault rule until then.
    Held { until: Instant, frame: Bytes },
    /// An answer is held back by a fault rule until then.
    Late { until: Instant, answer: Option<Frame> },
    /// Its request is carried out, but the node stands still and answers once it goes on.
    Stalled(Asked, Box<Response>),
    /// Nothing is answered any more.
    Hung,
    /// Nothing is answered, and it is closed then: there were too many from its address.
    Refused { until: Instant },
}

/// The request that is being answered.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) ticket: Ticket,
    pub(crate) correlation_id: CorrelationId,
    /// What shall happen to the answer.
    pub(crate) fault: Option<Fault>,
    /// What is answered where the request went well.
    pub(crate) instead: Option<Response>,
}

impl Connection {
    pub(crate) fn new(node: NodeId) -> Self {
        Self {
            node,
            principal: ANONYMOUS.to_owned(),
            host: LOOPBACK.to_owned(),
            software: (UNKNOWN.to_owned(), UNKNOWN.to_owned()),
            unread: VecDeque::new(),
            unread_bytes: 0,
            state: ConnectionState::Idle,
        }
    }

    pub(crate) fn push(&mut self, frame: Bytes) {
        self.unread_bytes += frame.len();
        self.unread.push_back(frame);
    }

    pub(crate) fn pop(&mut self) -> Option<Bytes> {
        let frame = self.unread.pop_front()?;
        self.unread_bytes = self.unread_bytes.saturating_sub(frame.len());
        Some(frame)
    }

    /// The client says which library it is.
    pub(crate) fn introduce(&mut self, (name, version): (&str, &str)) {
        let short = |text| match cut(text, SOFTWARE_BYTES_MAX) {
            "" => UNKNOWN.to_owned(),
            text => text.to_owned(),
        };
        self.software = (short(name), short(version));
    }

    /// When the connection goes on by itself.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match &self.state {
            ConnectionState::Held { until, .. }
            | ConnectionState::Late { until, .. }
            | ConnectionState::Refused { until } => Some(*until),
            ConnectionState::Idle
            | ConnectionState::Waiting(_)
            | ConnectionState::Stalled(..)
            | ConnectionState::Hung => None,
        }
    }
}

/// Who has not said who it is.
const ANONYMOUS: &str = "User:ANONYMOUS";

/// Sockets are bound to it alone.
const LOOPBACK: &str = "127.0.0.1";

/// What Kafka calls a library that has not said its name.
const UNKNOWN: &str = "unknown";

/// Names and versions of libraries are shorter.
const SOFTWARE_BYTES_MAX: usize = 1_000;
