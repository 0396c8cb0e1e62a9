//! The machine that sends batches.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fastrand::Rng;
use milena_records::Compression;
use milena_types::{NodeId, Topic};

use super::accumulator::Accumulator;
use super::batch::{Batch, Content};
use super::broker::{Broker, InFlight};
use super::flush::{FlushId, Unsettled};
use super::partition::{Partition, Rules};
use super::request::init_producer_id;
use super::routes::TopicState;
use super::seal::{SealJob, Sealed};
use super::settings::Settings;
use super::state::State;
use crate::idempotence::Idempotence;
use crate::metadata::{Cluster, LeaderHint};
use crate::request::{Answer, Outbound, RequestIds};
use crate::transaction::{self, TransactionCall, Transactions};
use crate::{Backoff, Error, ErrorKind, Operation};

/// Takes batches out of an [`Accumulator`] and has them stored, in order, each once.
///
/// Its driver drains [`poll_output`](Self::poll_output) to `None` after every call, sleeps until
/// [`poll_timeout`](Self::poll_timeout) at the latest, and is woken when an append says so. Dropping it fails what is
/// unsettled, so that no delivery waits for ever.
pub struct Producer {
    pub(super) settings: Settings,
    pub(super) accumulator: Arc<Accumulator>,
    pub(super) state: State,
    pub(super) rng: Rng,
    pub(super) ids: RequestIds,
    pub(super) cluster: Arc<Cluster>,
    pub(super) topics: BTreeMap<Topic, TopicState>,
    /// By slot.
    pub(super) partitions: Vec<Partition>,
    /// Slots to look at.
    pub(super) dirty: Vec<usize>,
    pub(super) brokers: BTreeMap<NodeId, Broker>,
    /// Brokers that may have room for what is in their line.
    pub(super) busy: BTreeSet<NodeId>,
    pub(super) in_flight: InFlight,
    pub(super) idempotence: Idempotence,
    /// Of a producer with a transactional id.
    pub(super) transactions: Option<Transactions>,
    pub(super) timers: BTreeSet<(Instant, usize)>,
    pub(super) unsettled: Unsettled,
    pub(super) next_job: u64,
    /// Batches that are being sealed.
    pub(super) sealing: usize,
    /// Whether full batches came since the last look.
    pub(super) is_filling: bool,
    /// Until when it looks by itself rather than being woken for little.
    attends_until: Option<Instant>,
    pub(super) wants_refresh: bool,
    has_given_up: bool,
    pub(super) outputs: VecDeque<Output>,
}

/// What the driver is to do.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "a driver must know each")]
pub enum Output {
    /// Send this; the answer comes back by [`Producer::handle_answer`].
    Request(Outbound),
    /// Compress and checksum this, here or in another thread, and hand the result to [`Producer::handle_sealed`].
    Seal(SealJob),
    /// Keep the metadata of this topic: it is in use.
    UseTopic(Topic),
    /// What is known of the cluster is out of date.
    RefreshMetadata,
    /// A partition has moved (KIP-951).
    LeaderHint(LeaderHint),
    /// Everything that was appended before this flush has its result.
    Flushed(FlushId),
    /// A call on transactions has its result.
    TransactionDone(TransactionCall, Result<(), Error>),
    /// The producer is closed, and every record has its result.
    Closed,
}

impl Producer {
    /// A producer that sends what is appended to `accumulator`. `rng` draws the jitter of its waits.
    pub fn new(settings: Settings, accumulator: Arc<Accumulator>, rng: Rng) -> Self {
        let backoff = Backoff::new(settings.retry_backoff, settings.retry_backoff_max);
        let transactions = settings.transactional_id.clone().map(|transactional_id| {
            Transactions::new(transaction::Settings {
                transactional_id: transactional_id.into(),
                timeout: settings.transaction_timeout,
                is_two_phase: settings.is_two_phase,
                request_timeout: settings.request_timeout,
                retry_backoff: settings.retry_backoff,
                retry_backoff_max: settings.retry_backoff_max,
            })
        });
        let idempotence = match transactions {
            Some(_) => Idempotence::of_transactions(backoff),
            None => Idempotence::new(settings.is_idempotent, backoff),
        };
        Self {
            idempotence,
            transactions,
            settings,
            accumulator,
            state: State::Running,
            rng,
            ids: RequestIds::default(),
            cluster: Arc::default(),
            topics: BTreeMap::new(),
            partitions: Vec::new(),
            dirty: Vec::new(),
            brokers: BTreeMap::new(),
            busy: BTreeSet::new(),
            in_flight: InFlight::default(),
            timers: BTreeSet::new(),
            unsettled: Unsettled::default(),
            next_job: 0,
            sealing: 0,
            is_filling: false,
            attends_until: None,
            wants_refresh: false,
            has_given_up: false,
            outputs: VecDeque::new(),
        }
    }

    /// Sends everything that was appended so far without further linger; [`Output::Flushed`] follows when all of it
    /// has its result, good or bad.
    pub fn flush(&mut self, now: Instant) -> FlushId {
        self.take_news(now);
        self.take_everything(now);
        self.unsettled.flush()
    }

    /// Takes nothing more in, and sends what there is until `deadline`; then what is left fails. [`Output::Closed`]
    /// follows at the latest then. An open transaction is aborted; one that is being committed goes on. A second call may only bring the deadline forward.
    pub fn close(&mut self, now: Instant, deadline: Instant) {
        self.accumulator.close(Error::closed().during(Operation::Send));
        if let Some(transactions) = &mut self.transactions {
            transactions.close(&Error::closed().during(Operation::Transaction));
        }
        self.take_news(now);
        self.take_everything(now);
        match self.state {
            State::Running => self.state = State::Closing(deadline),
            State::Closing(earlier) => self.state = State::Closing(earlier.min(deadline)),
            State::Failed | State::Closed => {
                self.state = State::Closed;
                self.outputs.push_back(Output::Closed);
            }
        }
    }

    /// New metadata.
    pub fn handle_metadata(&mut self, now: Instant, cluster: Arc<Cluster>) {
        self.cluster = cluster;
        if self.state.is_alive() {
            self.take_news(now);
            self.learn_all(now);
        }
    }

    /// The answer to a request, or the news that there will be none.
    pub fn handle_answer(&mut self, now: Instant, answer: Answer) {
        if self.idempotence.is_asked_by(answer.id) {
            self.identified(now, answer);
        } else if let Some(request) = self.in_flight.remove(answer.id) {
            self.answered(now, request, answer);
        } else if let Some(transactions) = &mut self.transactions {
            // The answer to a request that was given up is nobody's.
            let _ = transactions.handle_answer(now, answer, &mut self.rng);
        }
    }

    /// A batch that is sealed, or split.
    pub fn handle_sealed(&mut self, sealed: Sealed) {
        if self.is_sealing_full() {
            self.accumulator.backlog.progressed();
        }
        self.sealing = self.sealing.saturating_sub(1);
        let Sealed { slot, number, batches } = sealed;
        let Some(partition) = self.partitions.get_mut(slot) else { return };
        let is_it = |batch: &Batch| matches!(batch.content, Content::Away(job) if job == number);
        let batches = batches.map_err(|cause| {
            Error::new(ErrorKind::InvalidRecord)
                .with_detail("the batch could not be sealed")
                .because(cause)
                .during(Operation::Produce)
                .with_partition(&partition.queue.partition)
        });
        if let Some(index) = partition.waiting.iter().position(is_it) {
            match batches {
                Ok(mut batches) => {
                    if let (Some(batch), Some(sealed)) =
                        (partition.waiting.get_mut(index), batches.pop())
                    {
                        batch.content = Content::Sealed(sealed);
                    }
                }
                Err(error) => {
                    if let Some(mut batch) = partition.waiting.remove(index) {
                        partition.topic.0.shorten(&partition.queue);
                        self.unsettled.failed(batch.id, &error);
                        batch.fail(error);
                    }
                }
            }
        } else if let Some(index) = partition.sent.iter().position(is_it) {
            match batches {
                Ok(batches) => {
                    if let Some(batch) = partition.sent.remove(index) {
                        self.unsettled.split(batch.id, batches.len());
                        for (offset, part) in batch.split(batches).into_iter().enumerate() {
                            partition.sent.insert(index + offset, part);
                        }
                    }
                }
                Err(error) => {
                    if let Some(mut batch) = partition.give_up(index) {
                        self.unsettled.failed(batch.id, &error);
                        batch.fail(error);
                    }
                }
            }
        }
        self.mark(slot);
    }

    /// Whether as much is being compressed as there is use for: what waits, waits for that.
    fn is_sealing_full(&self) -> bool {
        self.settings.compression != Compression::NONE && self.sealing >= 2 * self.settings.sealers
    }

    /// Something that [`poll_timeout`](Self::poll_timeout) announced is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(&(at, slot)) = self.timers.first()
            && at <= now
        {
            self.timers.pop_first();
            if let Some(partition) = self.partitions.get_mut(slot) {
                partition.timer = None;
            }
            self.mark(slot);
        }
        for (&node, broker) in &mut self.brokers {
            if broker.muted_until.is_some_and(|until| until <= now) {
                broker.muted_until = None;
                self.busy.insert(node);
            }
        }
        self.find_late(now);
        if let State::Closing(deadline) = self.state
            && deadline <= now
        {
            let is_idle = self.transactions.as_ref().is_none_or(Transactions::is_idle);
            self.has_given_up |= !is_idle || !self.unsettled.is_empty();
            let error = Error::closed().with_detail("closed before it could be sent");
            self.fail_all(&error);
        }
    }

    /// What to do next; `None` when there is nothing until the next event.
    #[must_use]
    pub fn poll_output(&mut self, now: Instant) -> Option<Output> {
        if self.outputs.is_empty() {
            self.advance(now);
            let in_flight_max = self.settings.in_flight_max;
            // What is being compressed comes no sooner for more that waits to be.
            let is_short = !self.is_sealing_full()
                && self.brokers.values().any(|broker| broker.is_short(now, in_flight_max));
            self.accumulator.backlog.looked(self.in_flight.batches(), is_short);
            if self.outputs.is_empty() && !self.attend(now) && self.accumulator.has_news() {
                // It came while whoever brought it relied on this look.
                self.advance(now);
            }
        }
        self.outputs.pop_front()
    }

    /// Whether it looks again soon, without being woken. While batches fill and a request is on its way, each batch would
    /// wake the driver for a request of its own; left alone until the answer comes or so much waits that it is worth
    /// one, it makes fewer requests that hold more.
    fn attend(&mut self, now: Instant) -> bool {
        let is_filling = std::mem::take(&mut self.is_filling);
        let is_on_its_way = self.in_flight.batches() > 0;
        if is_filling {
            self.attends_until = Some(now + ATTENTION);
        }
        self.attends_until.take_if(|until| *until <= now || !is_on_its_way);
        match self.attends_until {
            Some(_) => self.accumulator.backlog.attend(),
            None => self.accumulator.backlog.neglect(),
        }
        self.attends_until.is_some()
    }

    /// Whether a close ran out of time before everything was settled.
    pub fn has_given_up(&self) -> bool {
        self.has_given_up
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) at the latest.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let closing = match self.state {
            State::Closing(deadline) => Some(deadline),
            State::Running => None,
            State::Failed | State::Closed => return None,
        };
        let partition = self.timers.first().map(|&(at, _)| at);
        let muted = self.brokers.values().filter_map(|broker| broker.muted_until).min();
        let late = self.brokers.values().filter_map(|broker| broker.late_at(&self.settings)).min();
        let transactions = self.transactions.as_ref().and_then(Transactions::poll_timeout);
        let attends = self.attends_until;
        [closing, partition, muted, late, attends, self.idempotence.timeout(), transactions]
            .into_iter()
            .flatten()
            .min()
    }

    /// Looks at all that changed since the last time. Requests are made only when every seal was handed out, so that
    /// partitions whose batches are sealed at once share one.
    fn advance(&mut self, now: Instant) {
        if !self.state.is_alive() {
            self.conclude();
            return;
        }
        self.take_news(now);
        if let Some(error) = self.idempotence.refusal().cloned() {
            self.fail(&error);
            self.conclude();
            return;
        }
        loop {
            while let Some(slot) = self.dirty.pop() {
                self.update(now, slot);
            }
            // After the partitions: one of them may have used the last epoch up.
            if self.idempotence.is_due(now) {
                let id = self.ids.deal();
                self.idempotence.asked(id);
                let request = init_producer_id(id, self.settings.request_timeout);
                self.outputs.push_back(Output::Request(request));
            }
            self.drive_transactions(now);
            if !self.dirty.is_empty() {
                continue;
            }
            if std::mem::take(&mut self.wants_refresh) {
                self.outputs.push_back(Output::RefreshMetadata);
            }
            if !self.outputs.is_empty() || self.busy.is_empty() {
                break;
            }
            for node in std::mem::take(&mut self.busy) {
                let before = self.brokers.get(&node).map_or(0, |broker| broker.in_flight);
                self.drain(now, node);
                let after = self.brokers.get(&node).map_or(0, |broker| broker.in_flight);
                self.observe(now, node, after > before);
            }
        }
        self.conclude();
    }

    /// Reports what is finished.
    fn conclude(&mut self) {
        while let Some(id) = self.unsettled.flushed() {
            self.outputs.push_back(Output::Flushed(id));
        }
        if let Some(transactions) = &mut self.transactions {
            let results = transactions.take_results().into_iter();
            self.outputs
                .extend(results.map(|(call, result)| Output::TransactionDone(call, result)));
        }
        let is_closing = matches!(self.state, State::Closing(_));
        let is_idle = self.transactions.as_ref().is_none_or(Transactions::is_idle);
        if is_closing && is_idle && self.unsettled.is_empty() {
            self.state.become_if_allowed(State::Closed);
            self.outputs.push_back(Output::Closed);
        }
    }

    /// Notes that a partition changed.
    pub(super) fn mark(&mut self, slot: usize) {
        if let Some(partition) = self.partitions.get_mut(slot)
            && !std::mem::replace(&mut partition.is_dirty, true)
        {
            self.dirty.push(slot);
        }
    }

    pub(super) fn mark_all(&mut self) {
        for slot in 0..self.partitions.len() {
            if self.partitions.get(slot).is_some_and(Partition::has_work) {
                self.mark(slot);
            }
        }
    }

    pub(super) fn rules(&self, now: Instant) -> Rules {
        Rules {
            now,
            linger: self.settings.linger,
            delivery_timeout: self.settings.delivery_timeout,
            is_idempotent: self.idempotence.is_on(),
            identity: self.idempotence.identity(),
            is_exhausted: self.accumulator.is_exhausted(),
            transaction: self.transactions.as_ref().map(Transactions::number),
        }
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        let error = Error::closed().with_detail("the producer was dropped");
        self.accumulator.close(error.clone());
        self.fail_all(&error);
    }
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer")
            .field("state", &self.state)
            .field("idempotence", &self.idempotence)
            .field("topics", &self.topics.len())
            .field("partitions", &self.partitions.len())
            .finish_non_exhaustive()
    }
}

/// What a record may wait longer for company, while batches fill: less than what filling one takes at most rates.
const ATTENTION: Duration = Duration::from_millis(1);
