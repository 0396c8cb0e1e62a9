//! One connection and the task that pumps it.

use std::collections::BTreeMap;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::time::Duration;

use fastrand::Rng;
use milena_engine::Backoff;
use milena_engine::connection::{CloseReason, Output, Pipeline, pipeline};
use milena_engine::metadata::Address;
use milena_engine::request::{Failure, Lane, Outbound, RequestId, RequestIds};
use milena_types::NodeId;
use tokio::io::split;
use tokio::select;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tracing::{Instrument, debug, debug_span};

use super::frame::{FrameWriter, Progress};
use super::handshake::{self, Opened};
use super::reply::Reply;
use super::settings::Settings;
use super::transport::Transport;
use crate::clock::after;

/// The pool's end of a connection. Dropping it lets the pump answer what is in flight and end.
#[derive(Debug)]
pub(super) struct Handle {
    mailbox: mpsc::UnboundedSender<(Outbound, Reply)>,
    status: Arc<Status>,
}

impl Handle {
    pub(super) fn submit(&self, request: Outbound, reply: Reply) {
        self.status.load.fetch_add(1, Ordering::Relaxed);
        // A pump that is gone drops the reply, which answers for itself.
        drop(self.mailbox.send((request, reply)));
    }

    /// Requests that wait for an answer here.
    pub(super) fn load(&self) -> usize {
        self.status.load.load(Ordering::Relaxed)
    }

    pub(super) fn health(&self) -> Health {
        match self.status.health.load(Ordering::Relaxed) {
            0 => Health::Open,
            1 => Health::Closed,
            _ => Health::Failing,
        }
    }
}

/// How likely a connection is to answer soon, the best first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[repr(u8)]
pub(super) enum Health {
    /// Ready for requests.
    Open = 0,
    /// To be opened when a request comes, or being opened.
    Closed = 1,
    /// The last attempt to open it failed.
    Failing = 2,
}

/// What the pool sees of a pump.
#[derive(Debug)]
struct Status {
    load: AtomicUsize,
    health: AtomicU8,
}

/// Starts the pump of a connection to `address`, which opens it when the first request comes.
pub(super) fn spawn(
    pumps: &mut JoinSet<()>,
    transport: Arc<dyn Transport>,
    settings: Arc<Settings>,
    rng: Rng,
    broker: Option<NodeId>,
    address: Address,
    lane: Lane,
) -> Handle {
    let (sender, mailbox) = mpsc::unbounded_channel();
    let status =
        Arc::new(Status { load: AtomicUsize::new(0), health: AtomicU8::new(Health::Closed as u8) });
    let pump = Pump {
        reconnect: Backoff::new(settings.reconnect_backoff, settings.reconnect_backoff_max),
        setup: Backoff::new(settings.setup_timeout, settings.setup_timeout_max),
        transport,
        settings,
        rng,
        broker,
        address,
        lane,
        mailbox,
        status: Arc::clone(&status),
        ids: RequestIds::default(),
        replies: BTreeMap::new(),
        waiting: Vec::new(),
    };
    pumps.spawn(pump.run());
    Handle { mailbox: sender, status }
}

/// Carries the requests of one lane to one broker, over one connection after another.
struct Pump {
    transport: Arc<dyn Transport>,
    settings: Arc<Settings>,
    rng: Rng,
    broker: Option<NodeId>,
    address: Address,
    lane: Lane,
    mailbox: mpsc::UnboundedReceiver<(Outbound, Reply)>,
    status: Arc<Status>,
    reconnect: Backoff,
    setup: Backoff,
    /// Machines number their requests each on their own; here they get one number for all.
    ids: RequestIds,
    replies: BTreeMap<RequestId, Reply>,
    /// Requests that wait for the connection to open, and until when.
    waiting: Vec<(Outbound, Reply, Instant)>,
}

impl Pump {
    async fn run(mut self) {
        let mut not_before = Instant::now();
        loop {
            if self.waiting.is_empty() {
                match self.mailbox.recv().await {
                    Some(request) => self.wait(request),
                    None => return,
                }
            }
            if !self.wait_until(not_before).await {
                return self.fail_waiting(&Failure::NotSent);
            }
            match self.open().await {
                Some(Ok(opened)) => {
                    self.set_health(Health::Open);
                    self.reconnect.reset();
                    self.setup.reset();
                    let reason = self.serve(opened).await;
                    debug!(broker = self.broker.map(NodeId::get), address = %self.address, ?reason, "closed");
                    self.set_health(Health::Closed);
                    if reason == CloseReason::Lost && self.lane == Lane::Produce {
                        self.settings.hung_up.notify_one();
                    }
                    match reason {
                        CloseReason::Drained => return,
                        CloseReason::Idle => {}
                        CloseReason::TimedOut | CloseReason::Malformed(_) | CloseReason::Lost => {
                            not_before = Instant::now() + self.reconnect.next_wait(&mut self.rng);
                        }
                    }
                }
                Some(Err(failure)) => {
                    self.set_health(Health::Failing);
                    not_before = Instant::now() + self.reconnect.next_wait(&mut self.rng);
                    self.fail_waiting(&failure);
                }
                None => return self.fail_waiting(&Failure::NotSent),
            }
        }
    }

    /// Waits out the back-off while requests come in; says whether the pool still wants this connection.
    async fn wait_until(&mut self, deadline: Instant) -> bool {
        loop {
            let patience = self.patience();
            select! {
                biased;
                request = self.mailbox.recv() => match request {
                    Some(request) => self.wait(request),
                    None => return false,
                },
                () = sleep_until(deadline) => return true,
                () = sleep_until(patience) => self.expire(),
            }
        }
    }

    /// Dials and shakes hands while requests come in; `None` where the pool no longer wants this connection.
    async fn open(&mut self) -> Option<Result<Opened, Failure>> {
        let timeout = self.setup.next_wait(&mut self.rng);
        let span = debug_span!(
            "connect",
            client_id = %self.settings.client_id,
            broker = self.broker.map(NodeId::get),
            address = %self.address,
            lane = ?self.lane,
            attempt = self.setup.failures(),
        );
        let (transport, settings) = (Arc::clone(&self.transport), Arc::clone(&self.settings));
        let address = self.address.clone();
        let opening = handshake::open(&*transport, &settings, &address, timeout).instrument(span);
        let mut opening = pin!(opening);
        loop {
            // A dial may take long, with many addresses to try: nobody waits for it longer than for an answer.
            let patience = self.patience();
            select! {
                biased;
                opened = &mut opening => return Some(opened),
                request = self.mailbox.recv() => self.wait(request?),
                () = sleep_until(patience) => self.expire(),
            }
        }
    }

    /// Carries requests and answers until the connection ends; then each request it took is answered.
    ///
    /// One loop, not one per direction: both change the pipeline, and here they take turns without a lock. Every arm
    /// can be dropped and polled again without loss.
    async fn serve(&mut self, opened: Opened) -> CloseReason {
        let Opened { stream, mut frames, versions, next_correlation } = opened;
        let (mut source, mut sink) = split(stream);
        let mut writer = FrameWriter::default();
        let mut pipeline =
            Pipeline::new(now(), self.limits(), self.broker, versions, next_correlation);
        self.expire();
        for (mut request, reply, until) in std::mem::take(&mut self.waiting) {
            // What the opening took is not given a second time.
            request.timeout = until.saturating_duration_since(Instant::now());
            self.submit(&mut pipeline, request, reply);
        }
        let mut is_wanted = true;
        let mut timer = pin!(sleep_until(Instant::now()));
        loop {
            while writer.has_room()
                && let Some(frame) = pipeline.poll_transmit(now())
            {
                writer.push(frame);
            }
            if let Some(reason) = self.deliver(&mut pipeline) {
                return reason;
            }
            let deadline = pipeline.poll_timeout().map(Instant::from_std);
            // A timer that is early wakes once for nothing; one that is late would be wrong. Deadlines mostly move
            // away, so that the timer is seldom touched.
            if let Some(deadline) = deadline
                && (deadline < timer.deadline() || timer.is_elapsed())
            {
                timer.as_mut().reset(deadline);
            }
            select! {
                biased;
                frame = frames.read(&mut source) => match frame {
                    Ok(frame) => pipeline.handle_frame(now(), frame),
                    Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                        pipeline.handle_unreadable(now(), &error.to_string());
                    }
                    Err(error) => self.lost(&mut pipeline, &error),
                },
                progress = writer.write(&mut sink), if writer.has_work() => match progress {
                    Ok(Progress { frames, is_next_begun }) => {
                        pipeline.handle_transmitted(now(), frames, is_next_begun);
                    }
                    Err(error) => self.lost(&mut pipeline, &error),
                },
                request = self.mailbox.recv(), if is_wanted => match request {
                    Some((request, reply)) => self.submit(&mut pipeline, request, reply),
                    None => {
                        is_wanted = false;
                        pipeline.drain(now());
                    }
                },
                () = &mut timer, if deadline.is_some() => pipeline.handle_timeout(now()),
            }
        }
    }

    fn limits(&self) -> pipeline::Settings {
        let mut limits = pipeline::Settings::default();
        if !self.settings.client_id.is_empty() {
            limits.client_id = Some(self.settings.client_id.as_str().into());
        }
        limits.in_flight_max = match self.lane {
            Lane::Produce => self.settings.in_flight_max,
            Lane::Fetch | Lane::Group | Lane::Control => IN_FLIGHT_MAX,
        };
        limits.idle_max = self.settings.idle_max;
        limits
    }

    fn submit(&mut self, pipeline: &mut Pipeline, mut request: Outbound, reply: Reply) {
        request.id = self.ids.deal();
        self.replies.insert(request.id, reply);
        pipeline.submit(now(), request);
    }

    /// Hands over what the pipeline has to say; the reason once the connection is over.
    fn deliver(&mut self, pipeline: &mut Pipeline) -> Option<CloseReason> {
        while let Some(output) = pipeline.poll_output() {
            match output {
                Output::Answer(answer) => {
                    if let Some(reply) = self.replies.remove(&answer.id) {
                        self.status.load.fetch_sub(1, Ordering::Relaxed);
                        reply.answer(answer);
                    }
                }
                Output::Close(reason) => return Some(reason),
            }
        }
        None
    }

    fn lost(&self, pipeline: &mut Pipeline, error: &io::Error) {
        debug!(broker = self.broker.map(NodeId::get), address = %self.address, %error, "connection lost");
        pipeline.handle_lost(now());
    }

    fn wait(&mut self, (request, reply): (Outbound, Reply)) {
        let until = after(request.timeout);
        self.waiting.push((request, reply, until));
    }

    /// When the first of those that wait gives up; in an age where nobody waits.
    fn patience(&self) -> Instant {
        let until = self.waiting.iter().map(|(_, _, until)| *until).min();
        until.unwrap_or_else(|| after(Duration::MAX))
    }

    /// Fails what has waited for the connection for as long as it may wait for an answer.
    fn expire(&mut self) {
        let now = Instant::now();
        let is_over = |(_, _, until): &mut (_, _, Instant)| now >= *until;
        let over: Vec<_> = self.waiting.extract_if(.., is_over).collect();
        self.fail(over, &Failure::NotSent);
    }

    /// Fails everything that waits for the connection to open.
    fn fail_waiting(&mut self, failure: &Failure) {
        while let Ok(request) = self.mailbox.try_recv() {
            self.wait(request);
        }
        let waiting = std::mem::take(&mut self.waiting);
        self.fail(waiting, failure);
    }

    fn fail(&self, requests: Vec<(Outbound, Reply, Instant)>, failure: &Failure) {
        for (_, reply, _) in requests {
            self.status.load.fetch_sub(1, Ordering::Relaxed);
            reply.fail(self.broker, failure.clone());
        }
    }

    fn set_health(&self, health: Health) {
        self.status.health.store(health as u8, Ordering::Relaxed);
    }
}

fn now() -> std::time::Instant {
    Instant::now().into_std()
}

/// Brokers answer one request of a connection at a time; more than this in flight only piles up in their sockets.
const IN_FLIGHT_MAX: usize = 100;
