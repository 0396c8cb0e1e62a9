//! A simulated client's connection: the pump of the shipped client, told again without tasks.
//!
//! It dials, agrees on versions and carries requests, one connection after another, with the engine's own
//! negotiation and pipeline.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use fastrand::Rng;
use milena_engine::Backoff;
use milena_engine::connection::{Negotiation, Output, Pipeline, Step, pipeline};
use milena_engine::request::{Answer, Failure, Lane, Outbound, RequestId, RequestIds};
use milena_engine::transaction::TransactionVersion;
use milena_types::NodeId;
use milena_wire::{Frame, FrameReader};

use crate::clock::Clock;
use crate::network::{Event, LinkId, Network, Side};

/// Which machine of a client asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Owner {
    Metadata,
    Producer,
    /// Which of those that a client has had.
    Consumer(u32),
    /// The same of a member's producers.
    Copier(u32),
}

/// How likely a line is to answer soon, the best first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Health {
    Open,
    Closed,
    Failing,
}

/// The connection of one lane to one address.
pub(crate) struct Line {
    client: usize,
    /// Whose address it dials.
    node: NodeId,
    /// Who the client thinks is there; `None` for the bootstrap list.
    broker: Option<NodeId>,
    in_flight_max: usize,
    state: State,
    health: Health,
    /// Requests that wait for the connection to open, and until when.
    waiting: VecDeque<(Owner, Outbound, Instant)>,
    /// Machines number their requests each on their own; here they get one number for all.
    ids: RequestIds,
    owners: BTreeMap<RequestId, (Owner, RequestId)>,
    answers: VecDeque<(Owner, Answer)>,
    reconnect: Backoff,
    setup: Backoff,
    not_before: Option<Instant>,
    is_wanted: bool,
    /// What the newest connection told of the cluster's features, until it is taken.
    features: Option<Features>,
}

/// The epoch of the finalized features, and the level of `transaction.version`.
pub(crate) type Features = (Option<i64>, Option<i16>);

enum State {
    Closed,
    Opening { link: LinkId, until: Instant, negotiation: Negotiation, received: BytesMut },
    Open { link: LinkId, pipeline: Box<Pipeline>, received: BytesMut },
}

impl Line {
    pub(crate) fn new(client: usize, node: NodeId, broker: Option<NodeId>, lane: Lane) -> Self {
        let ms = Duration::from_millis;
        Self {
            client,
            node,
            broker,
            in_flight_max: if lane == Lane::Produce { 5 } else { 100 },
            state: State::Closed,
            health: Health::Closed,
            waiting: VecDeque::new(),
            ids: RequestIds::default(),
            owners: BTreeMap::new(),
            answers: VecDeque::new(),
            reconnect: Backoff::new(ms(50), ms(1_000)),
            setup: Backoff::new(ms(10_000), ms(30_000)),
            not_before: None,
            is_wanted: true,
            features: None,
        }
    }

    pub(crate) fn health(&self) -> Health {
        self.health
    }

    pub(crate) fn take_features(&mut self) -> Option<Features> {
        self.features.take()
    }

    /// Requests that wait for an answer here.
    pub(crate) fn load(&self) -> usize {
        self.waiting.len() + self.owners.len()
    }

    /// Whether nothing is left to do and nobody wants it.
    pub(crate) fn is_over(&self) -> bool {
        !self.is_wanted
            && self.load() == 0
            && self.answers.is_empty()
            && matches!(self.state, State::Closed)
    }

    /// The broker left or moved: what is in flight is still answered.
    pub(crate) fn retire(&mut self, now: Instant) {
        self.is_wanted = false;
        match &mut self.state {
            State::Open { pipeline, .. } => pipeline.drain(now),
            State::Closed | State::Opening { .. } => self.fail_waiting(now, &Failure::NotSent),
        }
    }

    pub(crate) fn submit(&mut self, now: Instant, owner: Owner, request: Outbound) {
        let until = now + request.timeout;
        self.waiting.push_back((owner, request, until));
    }

    pub(crate) fn poll_answer(&mut self) -> Option<(Owner, Answer)> {
        self.answers.pop_front()
    }

    /// Does all that can be done now; says which link it opened, if one.
    pub(crate) fn run(
        &mut self,
        clock: &Clock,
        rng: &mut Rng,
        network: &mut Network,
    ) -> Option<LinkId> {
        let now = clock.now();
        let opened = self.open_if_due(clock, rng, network);
        if let State::Open { link, pipeline, .. } = &mut self.state {
            let link = *link;
            for (owner, mut request, until) in self.waiting.drain(..) {
                // What the opening took is not given a second time.
                request.timeout = until.saturating_duration_since(now);
                let id = self.ids.deal();
                self.owners.insert(id, (owner, request.id));
                request.id = id;
                pipeline.submit(now, request);
            }
            // A full socket buffer takes nothing more (F21).
            while !network.is_clogged(self.client, self.node)
                && let Some(frame) = pipeline.poll_transmit(now)
            {
                network.send(clock.elapsed(), link, Side::Client, frame.into_bytes());
                pipeline.handle_transmitted(now, 1, false);
            }
        }
        self.drain(clock, rng, network);
        opened
    }

    pub(crate) fn handle_event(
        &mut self,
        clock: &Clock,
        rng: &mut Rng,
        network: &mut Network,
        event: Event,
    ) -> Option<LinkId> {
        match &mut self.state {
            State::Closed => {}
            State::Opening { negotiation, received, .. } => {
                let step = match event {
                    Event::Opened => negotiation.handle_connected(),
                    Event::Refused => Step::Failed(Failure::NotSent),
                    Event::Closed => negotiation.handle_lost("reset"),
                    Event::Received(bytes) => {
                        received.extend_from_slice(&bytes);
                        match FrameReader::default().read(received) {
                            Ok(Some(frame)) => negotiation.handle_frame(frame),
                            Ok(None) => return None,
                            Err(error) => {
                                Step::Failed(Failure::MalformedResponse(error.to_string().into()))
                            }
                        }
                    }
                };
                return self.take_step(clock, rng, network, step);
            }
            State::Open { pipeline, received, .. } => match event {
                Event::Opened | Event::Refused => {}
                Event::Closed => pipeline.handle_lost(clock.now()),
                Event::Received(bytes) => {
                    received.extend_from_slice(&bytes);
                    loop {
                        match FrameReader::default().read(received) {
                            Ok(Some(frame)) => pipeline.handle_frame(clock.now(), frame),
                            Ok(None) => break,
                            Err(_) => {
                                pipeline.handle_lost(clock.now());
                                break;
                            }
                        }
                    }
                }
            },
        }
        None
    }

    pub(crate) fn handle_timeout(&mut self, clock: &Clock, rng: &mut Rng, network: &mut Network) {
        let now = clock.now();
        self.expire(now);
        match &mut self.state {
            State::Closed => {}
            State::Opening { link, until, .. } => {
                if now >= *until {
                    let link = *link;
                    network.close(clock.elapsed(), link, Side::Client);
                    self.fail_opening(now, rng, &Failure::NotSent);
                }
            }
            State::Open { pipeline, .. } => pipeline.handle_timeout(now),
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let state = match &self.state {
            State::Closed if self.waiting.is_empty() => None,
            State::Closed => self.not_before,
            State::Opening { until, .. } => Some(*until),
            State::Open { pipeline, .. } => pipeline.poll_timeout(),
        };
        let patience = self.waiting.iter().map(|(_, _, until)| *until);
        patience.chain(state).min()
    }

    fn open_if_due(
        &mut self,
        clock: &Clock,
        rng: &mut Rng,
        network: &mut Network,
    ) -> Option<LinkId> {
        let now = clock.now();
        let is_due = self.not_before.is_none_or(|at| now >= at);
        if !matches!(self.state, State::Closed) || self.waiting.is_empty() || !is_due {
            return None;
        }
        let link = network.connect(clock.elapsed(), self.client, self.node);
        let until = now + self.setup.next_wait(rng);
        let negotiation = Negotiation::new("sim");
        self.state = State::Opening { link, until, negotiation, received: BytesMut::new() };
        Some(link)
    }

    fn take_step(
        &mut self,
        clock: &Clock,
        rng: &mut Rng,
        network: &mut Network,
        step: Step,
    ) -> Option<LinkId> {
        let State::Opening { link, received, .. } = &mut self.state else { return None };
        match step {
            Step::Send(frame) => {
                send(clock, network, *link, frame);
                None
            }
            Step::Done(versions, next) => {
                let level = versions.finalized(TransactionVersion::FEATURE);
                self.features = Some((versions.finalized_epoch(), level));
                let mut limits = pipeline::Settings::default();
                limits.in_flight_max = self.in_flight_max;
                let pipeline =
                    Box::new(Pipeline::new(clock.now(), limits, self.broker, versions, next));
                self.state =
                    State::Open { link: *link, pipeline, received: std::mem::take(received) };
                self.health = Health::Open;
                self.reconnect.reset();
                self.setup.reset();
                None
            }
            Step::Reconnect => {
                network.close(clock.elapsed(), *link, Side::Client);
                let next = network.connect(clock.elapsed(), self.client, self.node);
                *link = next;
                received.clear();
                Some(next)
            }
            Step::Failed(failure) => {
                network.close(clock.elapsed(), *link, Side::Client);
                self.fail_opening(clock.now(), rng, &failure);
                None
            }
        }
    }

    fn fail_opening(&mut self, now: Instant, rng: &mut Rng, failure: &Failure) {
        self.state = State::Closed;
        self.health = Health::Failing;
        self.not_before = Some(now + self.reconnect.next_wait(rng));
        self.fail_waiting(now, failure);
    }

    /// Nobody waits for a connection longer than for an answer.
    fn expire(&mut self, now: Instant) {
        let (late, waiting) =
            std::mem::take(&mut self.waiting).into_iter().partition(|(_, _, until)| *until <= now);
        self.waiting = late;
        self.fail_waiting(now, &Failure::NotSent);
        self.waiting = waiting;
    }

    fn fail_waiting(&mut self, now: Instant, failure: &Failure) {
        for (owner, request, _) in self.waiting.drain(..) {
            let answer = Answer::new(request.id, self.broker, 0, now, Err(failure.clone()));
            self.answers.push_back((owner, answer));
        }
    }

    /// Takes over what the pipeline has to say.
    fn drain(&mut self, clock: &Clock, rng: &mut Rng, network: &mut Network) {
        let State::Open { link, pipeline, .. } = &mut self.state else { return };
        let mut is_over = false;
        while let Some(output) = pipeline.poll_output() {
            match output {
                Output::Answer(mut answer) => {
                    if let Some((owner, id)) = self.owners.remove(&answer.id) {
                        answer.id = id;
                        self.answers.push_back((owner, answer));
                    }
                }
                Output::Close(_) => is_over = true,
            }
        }
        if is_over {
            network.close(clock.elapsed(), *link, Side::Client);
            self.state = State::Closed;
            self.health = Health::Closed;
            self.not_before = Some(clock.now() + self.reconnect.next_wait(rng));
        }
    }
}

fn send(clock: &Clock, network: &mut Network, link: LinkId, frame: Frame) {
    network.send(clock.elapsed(), link, Side::Client, frame.into_bytes());
}
