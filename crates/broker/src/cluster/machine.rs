//! Connections and requests of a cluster without IO.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use milena_types::{ApiKey, CorrelationId, NodeId};
use milena_wire::{
    Frame, Request, Response, decode_request, decode_request_header, encode_response,
};

use crate::api::{self, Call, Outcome};
use crate::connection::{Asked, Connection, ConnectionId, ConnectionState};
use crate::fault::{Fault, Faults, Subject};
use crate::journal::SeenRequest;
use crate::node::NodeStatus;
use crate::settings::Settings;
use crate::state::{NewTopic, State};
use crate::subjects;
use crate::ticket::{Ticket, Tickets};
use crate::timers::Timers;
use crate::topic::Liveness;

/// A Kafka cluster as a state machine: no socket, no task, no clock.
///
/// After each call that takes `now`, the caller takes everything off [`Cluster::poll_output`] and calls
/// [`Cluster::handle_timeout`] when [`Cluster::poll_timeout`] says so. The same calls give the same bytes.
#[derive(Debug)]
pub struct Cluster {
    pub(super) state: State,
    pub(super) faults: Faults,
    pub(super) connections: BTreeMap<ConnectionId, Connection>,
    connections_dealt: u64,
    /// Connections that go on by themselves at some time.
    waking: Timers<ConnectionId>,
    /// Whose answer a ticket is.
    asking: BTreeMap<Ticket, ConnectionId>,
    tickets: Tickets,
    outputs: VecDeque<Output>,
}

/// What the cluster wants done.
#[derive(Debug)]
#[non_exhaustive]
pub enum Output {
    /// Write this down for [`Cluster::restore`], before anything that comes after it goes out. Only of a cluster that
    /// was made by that.
    Store {
        /// All of it or none.
        piece: Bytes,
    },
    /// Write this frame.
    Reply {
        /// To whom.
        connection: ConnectionId,
        /// What, the length before it.
        frame: Frame,
    },
    /// Close the connection; it is forgotten already.
    Close {
        /// Which.
        connection: ConnectionId,
    },
}

/// Why a connection is refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum OpenError {
    /// There is no such node.
    UnknownNode,
    /// The node is crashed.
    NodeDown,
    /// There are as many connections as the settings allow.
    TooManyConnections,
}

impl std::fmt::Display for OpenError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::UnknownNode => "the cluster has no such node",
            Self::NodeDown => "the node is down",
            Self::TooManyConnections => "the cluster has as many connections as it may",
        })
    }
}

impl std::error::Error for OpenError {}

impl Cluster {
    /// A cluster as the settings say.
    ///
    /// # Errors
    /// What is wrong about a topic of the settings, or the level of a feature.
    pub fn new(settings: Settings, now: Instant) -> Result<Self, String> {
        settings.check_features()?;
        Self::of(State::new(settings, now), now)
    }

    /// A cluster of this state, and the topics of its settings.
    pub(super) fn of(mut state: State, now: Instant) -> Result<Self, String> {
        let faults = Faults::new(state.settings.seed);
        for topic in state.settings.topics.clone() {
            if state.topics.contains_key(topic.name.as_str()) && state.was_restored() {
                continue;
            }
            let new = NewTopic {
                name: topic.name,
                partitions: Some(topic.partitions),
                replication_factor: topic.replication_factor,
                config: topic.config,
                ..NewTopic::default()
            };
            state.create_topic(now, &new).map_err(|refused| refused.message)?;
        }
        state.count_internal_partitions();
        Ok(Self {
            state,
            faults,
            connections: BTreeMap::new(),
            connections_dealt: 0,
            waking: Timers::default(),
            asking: BTreeMap::new(),
            tickets: Tickets::default(),
            outputs: VecDeque::new(),
        })
    }

    /// A client connects to a node.
    ///
    /// # Errors
    /// If the node does not take connections now. A paused node takes them and answers nothing; so does one that took too
    /// many from the address for its quota (`connection_creation_rate`), and closes them after a second at most.
    pub fn open(&mut self, now: Instant, node: NodeId) -> Result<ConnectionId, OpenError> {
        let status = self.state.nodes.get(node).ok_or(OpenError::UnknownNode)?.status;
        if status == NodeStatus::Crashed {
            return Err(OpenError::NodeDown);
        }
        if self.connections.len() >= self.state.settings.connections_max {
            return Err(OpenError::TooManyConnections);
        }
        self.connections_dealt += 1;
        let id = ConnectionId(self.connections_dealt);
        let connection = Connection::new(node);
        let delay = self.state.quotas.connect(now, node, &connection.host);
        self.connections.insert(id, connection);
        if !delay.is_zero() {
            let until = now.checked_add(delay).unwrap_or(now);
            self.set_state(id, ConnectionState::Refused { until });
        }
        Ok(id)
    }

    /// A frame came in, without its length. Frames of a connection that is closed already are ignored.
    pub fn handle(&mut self, now: Instant, connection: ConnectionId, frame: Bytes) {
        let frame_bytes_max = self.state.settings.frame_bytes_max;
        let Some(open) = self.connections.get_mut(&connection) else { return };
        if matches!(open.state, ConnectionState::Hung | ConnectionState::Refused { .. }) {
            // Never to be read: kept, it would fill the backlog and hide from the shell that the client goes away.
            return;
        }
        open.push(frame);
        let is_too_much = open.unread.len() > UNREAD_FRAMES_MAX
            || open.unread_bytes > frame_bytes_max.saturating_mul(UNREAD_FULL_FRAMES_MAX)
            || open.unread.back().is_some_and(|frame| frame.len() > frame_bytes_max);
        if is_too_much {
            self.drop_connection(connection);
        } else {
            self.serve(now, connection);
        }
        self.deliver(now);
    }

    /// The client is gone.
    pub fn close(&mut self, now: Instant, connection: ConnectionId) {
        self.forget(connection);
        self.deliver(now);
    }

    /// Whether so much of the connection waits to be read that a shell does better not to read more from the client.
    pub fn is_behind(&self, connection: ConnectionId) -> bool {
        let frame_bytes_max = self.state.settings.frame_bytes_max;
        self.connections.get(&connection).is_some_and(|connection| {
            connection.unread.len() >= BACKLOG_FRAMES || connection.unread_bytes >= frame_bytes_max
        })
    }

    /// The next thing to be done.
    #[must_use]
    pub fn poll_output(&mut self, _now: Instant) -> Option<Output> {
        let piece = self.state.take_stored().map(|piece| Output::Store { piece });
        piece.or_else(|| self.outputs.pop_front())
    }

    /// When [`Cluster::handle_timeout`] is to be called next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.state.poll_timeout().into_iter().chain(self.waking.next()).min()
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(connection) = self.waking.pop(now) {
            self.wake_connection(now, connection);
        }
        self.state.handle_timeout(now);
        self.deliver(now);
    }

    /// Sends the answers that became due, and goes on with the connections that waited for them.
    pub(super) fn deliver(&mut self, now: Instant) {
        loop {
            self.state.end_disconnected(now);
            if self.state.answered.is_empty() {
                return;
            }
            for (ticket, response) in std::mem::take(&mut self.state.answered) {
                let Some(connection) = self.asking.remove(&ticket) else { continue };
                let Some(open) = self.connections.get_mut(&connection) else { continue };
                let runs = self.state.nodes.is_running(open.node);
                let waited = std::mem::replace(&mut open.state, ConnectionState::Idle);
                let ConnectionState::Waiting(asked) = waited else { continue };
                if runs {
                    self.answer(now, connection, &asked, response);
                    self.serve(now, connection);
                } else {
                    open.state = ConnectionState::Stalled(asked, Box::new(response));
                }
            }
        }
    }

    /// Goes on with every connection of a node, as after it ran again.
    pub(super) fn serve_node(&mut self, now: Instant, node: NodeId) {
        let of_node = self.connections.iter().filter(|(_, connection)| connection.node == node);
        let ids: Vec<_> = of_node.map(|(id, _)| *id).collect();
        for id in ids {
            self.wake_connection(now, id);
        }
    }

    /// Closes every connection to a node.
    pub(super) fn drop_connections(&mut self, node: NodeId) {
        let of_node = self.connections.iter().filter(|(_, connection)| connection.node == node);
        let ids: Vec<_> = of_node.map(|(id, _)| *id).collect();
        for id in ids {
            self.drop_connection(id);
        }
    }

    /// Reads frames until one has to wait.
    fn serve(&mut self, now: Instant, id: ConnectionId) {
        while let Some(connection) = self.connections.get_mut(&id) {
            let runs = self.state.nodes.is_running(connection.node);
            if !runs || !matches!(connection.state, ConnectionState::Idle) {
                return;
            }
            let Some(frame) = connection.pop() else { return };
            self.read(now, id, frame, true);
        }
    }

    fn wake_connection(&mut self, now: Instant, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if !self.state.nodes.is_running(connection.node) {
            return;
        }
        if connection.deadline().is_some_and(|deadline| deadline > now) {
            let deadline = connection.deadline();
            self.waking.set(id, deadline);
            return;
        }
        match std::mem::replace(&mut connection.state, ConnectionState::Idle) {
            ConnectionState::Held { frame, .. } => self.read(now, id, frame, false),
            ConnectionState::Late { answer, .. } => {
                let reply = |frame| Output::Reply { connection: id, frame };
                self.outputs.extend(answer.map(reply));
            }
            ConnectionState::Stalled(asked, response) => self.answer(now, id, &asked, *response),
            ConnectionState::Refused { .. } => self.drop_connection(id),
            unchanged @ (ConnectionState::Idle
            | ConnectionState::Waiting(_)
            | ConnectionState::Hung) => connection.state = unchanged,
        }
        self.serve(now, id);
    }

    /// Reads one request and carries it out; one that was held back is read twice.
    fn read(&mut self, now: Instant, id: ConnectionId, frame: Bytes, is_new: bool) {
        let Some(node) = self.connections.get(&id).map(|connection| connection.node) else {
            return;
        };
        let Ok((header, _)) = decode_request_header(frame.clone()) else {
            self.drop_connection(id);
            return;
        };
        let (api, version) = (header.api_key, header.api_version);
        let answered = self.state.apis.get(&api);
        let is_answered = answered.is_some_and(|versions| versions.contains(version));
        if is_new {
            self.state.journal.note_request(SeenRequest {
                at: self.state.wall(now),
                node,
                api,
                version,
                correlation_id: header.correlation_id,
                client_id: header.client_id.as_ref().map(ToString::to_string),
            });
        }
        if api == ApiKey::API_VERSIONS && !is_answered {
            if let Some(open) = self.connections.get_mut(&id) {
                // As with Kafka, which reads no name there.
                open.introduce(("", ""));
            }
            // Readable by a client that knows no version at all.
            let unsupported = api::api_versions::unsupported(&self.state);
            self.reply(id, &unsupported, 0, header.correlation_id);
            return;
        }
        let request = if is_answered { decode_request(frame.clone()).ok() } else { None };
        let Some((_, request)) = request else {
            self.drop_connection(id);
            return;
        };
        let (fault, instead) = if is_new { self.strike(node, &request) } else { (None, None) };
        let ticket = self.tickets.deal(version);
        let correlation_id = header.correlation_id;
        let asked = Asked { ticket, correlation_id, instead, fault };
        match &asked.fault {
            Some(Fault::Error(_)) => match &asked.instead {
                Some(response) => self.answer(now, id, &asked, response.clone()),
                None => self.drop_connection(id),
            },
            Some(Fault::Drop) => self.drop_connection(id),
            Some(Fault::Hang) => self.set_state(id, ConnectionState::Hung),
            Some(Fault::DelayRequest(delay)) => {
                let until = now.checked_add(*delay).unwrap_or(now);
                self.set_state(id, ConnectionState::Held { until, frame });
            }
            _ => {
                let Some(open) = self.connections.get_mut(&id) else { return };
                if let Request::ApiVersions(request) = &request
                    && let Some(software) = api::api_versions::software(version, request)
                {
                    open.introduce(software);
                }
                let call = Call {
                    now,
                    node,
                    connection: id,
                    ticket: asked.ticket,
                    version,
                    client_id: header.client_id.as_deref().unwrap_or_default(),
                    principal: &open.principal,
                    host: &open.host,
                    software: (&open.software.0, &open.software.1),
                };
                let outcome = api::handle(&mut self.state, &call, &request);
                self.conclude(now, id, asked, outcome);
            }
        }
    }

    fn conclude(&mut self, now: Instant, id: ConnectionId, asked: Asked, outcome: Outcome) {
        match outcome {
            Outcome::Answer(response) => self.answer(now, id, &asked, response),
            Outcome::Wait => {
                self.asking.insert(asked.ticket, id);
                self.set_state(id, ConnectionState::Waiting(asked));
            }
            Outcome::Silent(silence) => match asked.fault {
                Some(Fault::ApplyThenDrop | Fault::ApplyThenError(_) | Fault::Truncate) => {
                    self.drop_connection(id);
                }
                Some(Fault::ApplyThenHang) => self.set_state(id, ConnectionState::Hung),
                _ => self.mute(now, id, silence),
            },
            Outcome::Close => self.drop_connection(id),
        }
    }

    /// Sends an answer, or what a fault makes of it.
    fn answer(&mut self, now: Instant, id: ConnectionId, asked: &Asked, mut response: Response) {
        let version = asked.ticket.version;
        if let Some(instead) = &asked.instead
            && !refuses(&response)
        {
            response.clone_from(instead);
        }
        match &asked.fault {
            Some(Fault::ApplyThenDrop) => self.drop_connection(id),
            Some(Fault::ApplyThenHang) => self.set_state(id, ConnectionState::Hung),
            Some(Fault::DelayAnswer(delay)) => {
                let until = now.checked_add(*delay).unwrap_or(now);
                let answer = encode_response(&response, version, asked.correlation_id).ok();
                self.set_state(id, ConnectionState::Late { until, answer });
            }
            Some(Fault::Throttle(time)) => {
                let milliseconds = i32::try_from(time.as_millis()).unwrap_or(i32::MAX);
                api::throttle(&mut response, milliseconds);
                self.reply(id, &response, version, asked.correlation_id);
            }
            Some(Fault::WrongCorrelation) => {
                let wrong = CorrelationId::from_wire(asked.correlation_id.get() ^ WRONG_BITS);
                self.reply(id, &response, version, wrong);
            }
            Some(Fault::Corrupt) => {
                let frame = encode_response(&response, version, asked.correlation_id);
                if let Ok(frame) = frame {
                    let frame = corrupt(frame, &mut self.state.rng);
                    self.outputs.push_back(Output::Reply { connection: id, frame });
                }
            }
            Some(Fault::Truncate) => {
                if let Ok(frame) = encode_response(&response, version, asked.correlation_id) {
                    let half = frame.len() / 2;
                    let frame = Frame::from(frame.into_bytes().slice(..half));
                    self.outputs.push_back(Output::Reply { connection: id, frame });
                }
                self.drop_connection(id);
            }
            _ => {
                self.reply(id, &response, version, asked.correlation_id);
                self.mute(now, id, api::silence(&response));
            }
        }
    }

    /// Reads nothing more of a client that went beyond its quota, until it was silent for as long (KIP-219).
    fn mute(&mut self, now: Instant, id: ConnectionId, silence: Duration) {
        if !silence.is_zero() {
            let until = now.checked_add(silence).unwrap_or(now);
            self.set_state(id, ConnectionState::Late { until, answer: None });
        }
    }

    fn reply(
        &mut self,
        connection: ConnectionId,
        response: &Response,
        version: i16,
        correlation_id: CorrelationId,
    ) {
        match encode_response(response, version, correlation_id) {
            Ok(frame) => self.outputs.push_back(Output::Reply { connection, frame }),
            // What was asked for is too long to be repeated; a defect of ours shows in the tests of all versions.
            Err(_) => self.drop_connection(connection),
        }
    }

    /// The fault that hits a request, and the answer that says its error.
    fn strike(&mut self, node: NodeId, request: &Request) -> (Option<Fault>, Option<Response>) {
        if self.faults.is_empty() {
            return (None, None);
        }
        let state = &self.state;
        let whole = subjects::in_full(state, node, request);
        let request = whole.as_ref().unwrap_or(request);
        let subject = Subject {
            api: request.api_key(),
            node,
            topics: &|| subjects::topics(state, request),
            groups: &|| subjects::groups(request),
        };
        let fault = self.faults.strike(&subject);
        let error = match fault {
            // Without an answer to carry it, an error closes the connection.
            Some(Fault::Error(_) | Fault::ApplyThenError(_)) if api::is_silent(request) => None,
            Some(Fault::Error(code) | Fault::ApplyThenError(code)) => api::error(request, code),
            _ => None,
        };
        (fault, error)
    }

    fn set_state(&mut self, id: ConnectionId, state: ConnectionState) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.state = state;
            self.waking.set(id, connection.deadline());
        }
    }

    fn drop_connection(&mut self, connection: ConnectionId) {
        if self.forget(connection) {
            self.outputs.push_back(Output::Close { connection });
        }
    }

    fn forget(&mut self, id: ConnectionId) -> bool {
        let Some(connection) = self.connections.remove(&id) else { return false };
        self.waking.set(id, None);
        self.state.disconnected.push((connection.node, id));
        if let ConnectionState::Waiting(asked) = connection.state {
            self.asking.remove(&asked.ticket);
            self.state.forget_wait(asked.ticket);
        }
        true
    }
}

/// Changes some of the bytes after the correlation id.
fn corrupt(frame: Frame, rng: &mut fastrand::Rng) -> Frame {
    let mut bytes = BytesMut::from(frame.into_bytes());
    let header_bytes = ANSWER_HEADER_BYTES.min(bytes.len());
    let (_, body) = bytes.split_at_mut(header_bytes);
    for _ in 0..body.len().div_ceil(BYTES_PER_CORRUPTION) {
        let at = rng.usize(..body.len());
        if let Some(byte) = body.get_mut(at) {
            *byte ^= rng.u8(1..);
        }
    }
    Frame::from(bytes.freeze())
}

/// The length and the correlation id.
const ANSWER_HEADER_BYTES: usize = 8;

/// One byte in so many is changed, at least one.
const BYTES_PER_CORRUPTION: usize = 256;

/// Which bits a wrong correlation id differs in: enough that no other request has it.
const WRONG_BITS: i32 = 0x4000_0000;

/// A client this many requests ahead of its answers is not read from until they are fewer; others are, so that it is
/// noticed when they go away.
const BACKLOG_FRAMES: usize = 64;

/// Kafka leaves them in the socket's buffer; beyond this many the client is up to no good.
const UNREAD_FRAMES_MAX: usize = 10_000;

/// Likewise in bytes, as a multiple of the largest frame: more than a shell lets come.
const UNREAD_FULL_FRAMES_MAX: usize = 4;

/// Whether a part of a Produce request was not carried out, so that a later error would say too much.
fn refuses(response: &Response) -> bool {
    let Response::Produce(produce) = response else { return false };
    let mut parts = produce.responses.iter().flat_map(|topic| &topic.partition_responses);
    parts.any(|part| part.error_code.is_error())
}
