//! A producer and its user, who sends numbered records by a plan.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::future::Future;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use fastrand::Rng;
use milena_engine::metadata::Cluster;
use milena_engine::producer::{
    Accumulator, Delivery, FlushId, Grant, NewRecord, Output, Producer, RecordMetadata, Refused,
    Room, Settings, TopicReady, Watch,
};
use milena_engine::request::{Answer, Outbound, RequestId, Target};
use milena_engine::transaction::TransactionVersion;
use milena_engine::{Error, Fate};
use milena_records::partition::murmur2_partition;
use milena_records::{Compression, CompressionType, Compressor, Decompressor};
use milena_types::{NodeId, Sequence, TopicPartition};
use milena_wire::Request;

use super::Wish;
use super::transaction::TransactionUser;
use crate::clock::Clock;
use crate::history::{Call, CallKind, History, Outcome, Send, Value};
use crate::line::Owner;
use crate::scenario::{ProducerPlan, Scenario};
use crate::world::TOPIC;

/// A producer under test, and what its user has in mind.
pub(crate) struct ProducerHost {
    index: usize,
    plan: ProducerPlan,
    machine: Producer,
    accumulator: Arc<Accumulator>,
    compressor: Compressor,
    decompressor: Decompressor,
    /// Records not handed over yet, by time.
    script: VecDeque<(Duration, Draft)>,
    /// The record that waits for room or for metadata.
    blocked: Option<Blocked>,
    grant: Option<Grant>,
    /// Handed over, and its place in the history.
    deliveries: Vec<(usize, Delivery)>,
    /// What callbacks were told.
    told: Arc<Mutex<Vec<(Value, Outcome)>>>,
    flushes: Vec<(FlushId, usize)>,
    /// Which broker has a Produce request of ours, and for which partitions.
    unanswered: BTreeMap<RequestId, (NodeId, Vec<i32>)>,
    sent: usize,
    /// Whether the record that is blocked may go on.
    woken: Arc<Woken>,
    closes_at: Duration,
    transaction: Option<TransactionUser>,
    closing: Closing,
}

/// A record before it is handed over.
struct Draft {
    value: Value,
    to: TopicPartition,
    key: Option<[u8; 4]>,
    padding: usize,
}

struct Blocked {
    since: Duration,
    draft: Draft,
    on: Obstacle,
}

/// Whether a task would have been woken.
#[derive(Debug, Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

enum Obstacle {
    Room(Room),
    Topic(TopicReady),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Closing {
    /// Records are still to come.
    Not,
    /// The call that closes, in the history.
    Called(usize),
    Done,
}

impl ProducerHost {
    pub(crate) fn new(
        index: usize,
        plan: &ProducerPlan,
        scenario: &Scenario,
        mut rng: Rng,
    ) -> Self {
        let script = script(index, plan, scenario, &mut rng);
        Self::with_script(index, plan, scenario, rng, script)
    }

    fn with_script(
        index: usize,
        plan: &ProducerPlan,
        scenario: &Scenario,
        mut rng: Rng,
        script: VecDeque<(Duration, Draft)>,
    ) -> Self {
        let mut settings = Settings::default();
        settings.is_idempotent = scenario.idempotent;
        settings.acks = scenario.acks;
        settings.first_sequence =
            Sequence::from_wire(scenario.first_sequence).unwrap_or(Sequence::ZERO);
        settings.in_flight_max = plan.in_flight;
        settings.linger = plan.linger;
        settings.batch_bytes = plan.batch_bytes;
        settings.buffer_bytes = plan.buffer_bytes;
        settings.request_timeout = plan.request_timeout;
        settings.delivery_timeout = plan.delivery_timeout;
        if plan.compressed {
            settings.compression = Compression::new(CompressionType::Lz4);
        }
        if let Some(transaction) = &plan.transaction {
            settings.transactional_id = Some(transaction.id.clone());
            settings.transaction_timeout = transaction.timeout;
        }
        let transaction = plan.transaction.clone().map(|transaction| {
            let times = (plan.max_block, plan.delivery_timeout);
            TransactionUser::new(index, transaction, times, scenario.healed(), rng.fork())
        });
        let accumulator = Arc::new(Accumulator::new(&settings, rng.u64(..)));
        let mut machine = Producer::new(settings, Arc::clone(&accumulator), rng.fork());
        let version = TransactionVersion::from_level(Some(scenario.transaction_version));
        machine.handle_transaction_version(version);
        Self {
            index,
            closes_at: script.back().map(|(at, _)| *at + plan.idle).unwrap_or_default(),
            transaction,
            plan: plan.clone(),
            machine,
            accumulator,
            compressor: Compressor::default(),
            decompressor: Decompressor::default(),
            script,
            blocked: None,
            woken: Arc::default(),
            grant: None,
            deliveries: Vec::new(),
            told: Arc::default(),
            flushes: Vec::new(),
            unanswered: BTreeMap::new(),
            sent: 0,
            closing: Closing::Not,
        }
    }

    /// Whether its user has nothing more to do and everything is settled.
    pub(crate) fn is_done(&self) -> bool {
        self.closing == Closing::Done && self.deliveries.is_empty()
    }

    pub(crate) fn buffered_bytes(&self) -> usize {
        self.accumulator.bytes_used()
    }

    /// What its buffer still counts when the machine is gone.
    pub(crate) fn bytes_left(self) -> usize {
        let Self { machine, accumulator, blocked, grant, .. } = self;
        drop((machine, blocked, grant));
        accumulator.bytes_used()
    }

    /// The cluster follows another protocol for transactions from now on.
    pub(crate) fn handle_transaction_version(&mut self, level: Option<i16>) {
        let version = TransactionVersion::from_level(level);
        self.machine.handle_transaction_version(version);
    }

    pub(crate) fn handle_metadata(&mut self, now: Instant, cluster: Arc<Cluster>) {
        self.machine.handle_metadata(now, cluster);
    }

    pub(crate) fn handle_answer(&mut self, now: Instant, answer: Answer) {
        self.unanswered.remove(&answer.id);
        self.machine.handle_answer(now, answer);
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if self.machine.poll_timeout().is_some_and(|at| at <= now) {
            self.machine.handle_timeout(now);
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.machine.poll_timeout()
    }

    /// When its user does the next thing, counted from the world's start.
    pub(crate) fn next_move(&self) -> Option<Duration> {
        if let Some(blocked) = &self.blocked {
            return Some(blocked.since + self.plan.max_block);
        }
        let record = self.script.front().map(|(at, _)| *at);
        let is_closing = record.is_none() && self.closing == Closing::Not;
        match &self.transaction {
            Some(user) if !user.is_over() && record.is_some() => user.may_move(record),
            Some(user) if !user.is_idle() => None,
            Some(_) | None => record.or(is_closing.then_some(self.closes_at)),
        }
    }

    /// The user acts, the machine works, what is done is noted down.
    pub(crate) fn run(&mut self, clock: &Clock, history: &mut History, wishes: &mut Vec<Wish>) {
        loop {
            self.woken.0.store(false, Ordering::Relaxed);
            self.act(clock, history);
            self.drain(clock, history, wishes);
            self.settle(clock, history);
            let bytes = self.buffered_bytes() as u64;
            history.buffered_bytes_max = history.buffered_bytes_max.max(bytes);
            if !self.woken.0.load(Ordering::Relaxed) {
                return;
            }
        }
    }

    fn drain(&mut self, clock: &Clock, history: &mut History, wishes: &mut Vec<Wish>) {
        let now = clock.now();
        while let Some(output) = self.machine.poll_output(now) {
            match output {
                Output::Request(request) => {
                    self.note_request(history, &request);
                    wishes.push(Wish::Send(Owner::Producer, request));
                }
                Output::Seal(job) => {
                    let sealed = job.run(&mut self.compressor, &mut self.decompressor);
                    self.machine.handle_sealed(sealed);
                }
                Output::UseTopic(topic) => wishes.push(Wish::Use(topic)),
                Output::RefreshMetadata => wishes.push(Wish::Refresh),
                Output::LeaderHint(hint) => wishes.push(Wish::Hint(hint)),
                Output::Flushed(id) => self.flushed(clock, history, id),
                Output::TransactionDone(call, result) => {
                    // Whoever awaits a commit sees the results no later than its return.
                    self.settle(clock, history);
                    if let Some(user) = &mut self.transaction {
                        user.done(&mut self.machine, clock, history, call, &result);
                    }
                    self.act(clock, history);
                }
                Output::Closed => self.closed(clock, history),
            }
        }
    }

    fn note_request(&mut self, history: &mut History, request: &Outbound) {
        let (Request::Produce(produce), Target::Broker(node)) = (&request.body, request.target)
        else {
            return;
        };
        let partitions = produce.topic_data.iter().flat_map(|topic| &topic.partition_data);
        let partitions: Vec<i32> = partitions.map(|data| data.index).collect();
        for index in &partitions {
            let holders = self.unanswered.values().filter(|(_, held)| held.contains(index));
            let mut brokers: BTreeSet<NodeId> = holders.map(|(broker, _)| *broker).collect();
            brokers.insert(node);
            history.brokers_at_once_max = history.brokers_at_once_max.max(brokers.len());
        }
        self.unanswered.insert(request.id, (node, partitions));
    }

    fn act(&mut self, clock: &Clock, history: &mut History) {
        if let Some(mut blocked) = self.blocked.take() {
            let waker = Waker::from(Arc::clone(&self.woken));
            let mut cx = Context::from_waker(&waker);
            let is_free = match &mut blocked.on {
                Obstacle::Room(room) => match Pin::new(room).poll(&mut cx) {
                    Poll::Ready(grant) => {
                        self.grant = Some(grant);
                        true
                    }
                    Poll::Pending => false,
                },
                Obstacle::Topic(ready) => match Pin::new(ready).poll(&mut cx) {
                    Poll::Ready(Ok(())) => true,
                    Poll::Ready(Err(error)) => {
                        self.refused(clock, history, blocked.since, &blocked.draft, &error);
                        return self.act(clock, history);
                    }
                    Poll::Pending => false,
                },
            };
            if is_free {
                self.send(clock, history, blocked.since, blocked.draft);
            } else if clock.elapsed() >= blocked.since + self.plan.max_block {
                let error = Error::closed();
                self.refused(clock, history, blocked.since, &blocked.draft, &error);
            } else {
                self.blocked = Some(blocked);
            }
        }
        if self.transaction.as_ref().is_some_and(TransactionUser::is_over) {
            self.script.clear();
        }
        while self.blocked.is_none()
            && self.script.front().is_some_and(|(at, _)| *at <= clock.elapsed())
            && self.is_ready_to_send(clock, history)
            && let Some((_, draft)) = self.script.pop_front()
        {
            self.send(clock, history, clock.elapsed(), draft);
            self.sent += 1;
            if self.plan.flush_every > 0 && self.sent.is_multiple_of(self.plan.flush_every) {
                let id = self.machine.flush(clock.now());
                self.flushes.push((id, self.call(clock, history, CallKind::Flush)));
            }
        }
        let is_done = self.script.is_empty() && self.blocked.is_none();
        if let (true, Some(user)) = (is_done, &mut self.transaction) {
            user.finish(&mut self.machine, clock, history);
        }
        let is_idle = self.transaction.as_ref().is_none_or(TransactionUser::is_idle);
        let is_due = self.closes_at <= clock.elapsed();
        if is_done && is_idle && is_due && self.closing == Closing::Not {
            let call = self.call(clock, history, CallKind::Close);
            self.closing = Closing::Called(call);
            self.machine.close(clock.now(), clock.now() + self.plan.delivery_timeout);
        }
    }

    /// Whether a transaction takes the next record, where there are transactions.
    fn is_ready_to_send(&mut self, clock: &Clock, history: &mut History) -> bool {
        match &mut self.transaction {
            Some(user) => user.is_ready(&mut self.machine, clock, history),
            None => true,
        }
    }

    /// The client's process ends without a word; the one that takes its place goes on with what is left, from
    /// `returns` on.
    pub(crate) fn die(
        mut self,
        clock: &Clock,
        history: &mut History,
        scenario: &Scenario,
        returns: Duration,
    ) -> Self {
        for (place, _) in self.deliveries.drain(..) {
            if let Some(send) = history.sends.get_mut(place) {
                send.returned.push((clock.elapsed(), Outcome::Unknown));
                // Its callback died with the process.
                send.is_watched = false;
            }
        }
        for call in history.calls.iter_mut().filter(|call| call.client == self.index) {
            call.returned.get_or_insert((clock.elapsed(), false));
        }
        if let Some(user) = &mut self.transaction {
            user.die(clock, history);
        }
        let mut script = std::mem::take(&mut self.script);
        script.iter_mut().for_each(|(at, _)| *at = returns.max(*at));
        let (index, plan) = (self.index, self.plan.clone());
        let rng = Rng::with_seed(clock.elapsed().as_nanos() as u64 ^ index as u64);
        history.buffered_bytes_left = history.buffered_bytes_left.max(self.bytes_left() as u64);
        Self::with_script(index, &plan, scenario, rng, script)
    }

    fn send(&mut self, clock: &Clock, history: &mut History, since: Duration, draft: Draft) {
        let mut bytes = draft.value.0.to_be_bytes().to_vec();
        bytes.resize(8 + draft.padding, b'x');
        let record = NewRecord {
            partition: draft.key.is_none().then_some(draft.to.partition),
            timestamp: clock.wall(),
            key: draft.key.as_ref().map(<[u8; 4]>::as_slice),
            value: Some(&bytes),
            headers: std::iter::empty(),
        };
        let topic = self.accumulator.topic(TOPIC);
        let now = clock.now();
        let is_watched = draft.value.0.is_multiple_of(2);
        let mut watch = if is_watched { self.watch(draft.value) } else { Watch::Nobody };
        let grant = self.grant.take();
        match self.accumulator.try_append_watched(&topic, &record, &mut watch, grant, || now) {
            Ok(appended) => {
                let place = self.note(history, since, clock.elapsed(), &draft);
                if let Some(send) = history.sends.get_mut(place) {
                    send.is_watched = is_watched;
                }
                self.deliveries.push((place, appended.delivery));
                if let Some(user) = &mut self.transaction {
                    user.sent(true);
                }
            }
            Err(Refused::NoRoom { bytes }) => {
                let on = Obstacle::Room(self.accumulator.room(bytes));
                self.wait(Blocked { since, draft, on });
            }
            Err(Refused::UnknownPartition) => {
                let on = Obstacle::Topic(self.accumulator.topic_ready(&topic, record.partition));
                self.wait(Blocked { since, draft, on });
            }
            Err(Refused::Failed(error)) => self.refused(clock, history, since, &draft, &error),
        }
    }

    /// Has a callback told too what becomes of a record.
    fn watch(&self, value: Value) -> Watch {
        let told = Arc::clone(&self.told);
        Watch::Callback(Box::new(move |result| lock(&told).push((value, outcome_of(&result)))))
    }

    /// The first look leaves the waker, or finds that the wait is over.
    fn wait(&mut self, blocked: Blocked) {
        self.blocked = Some(blocked);
        self.woken.0.store(true, Ordering::Relaxed);
    }

    /// A record that was never taken in: its fate is known at once.
    fn refused(
        &mut self,
        clock: &Clock,
        history: &mut History,
        since: Duration,
        draft: &Draft,
        error: &Error,
    ) {
        let place = self.note(history, since, clock.elapsed(), draft);
        if let Some(user) = &mut self.transaction {
            user.sent(false);
        }
        if let Some(send) = history.sends.get_mut(place) {
            send.is_taken = false;
            send.returned.push((clock.elapsed(), outcome(error)));
        }
    }

    fn note(
        &self,
        history: &mut History,
        since: Duration,
        taken: Duration,
        draft: &Draft,
    ) -> usize {
        history.sends.push(Send {
            producer: self.index,
            value: draft.value,
            to: draft.to.clone(),
            transaction: self.transaction.as_ref().and_then(TransactionUser::current),
            invoked: since,
            deadline: taken + self.plan.delivery_timeout + TICK,
            is_taken: true,
            is_watched: false,
            returned: Vec::new(),
        });
        history.sends.len() - 1
    }

    fn settle(&mut self, clock: &Clock, history: &mut History) {
        settle(&mut self.deliveries, clock, history);
        history.told.append(&mut lock(&self.told));
    }

    fn call(&self, clock: &Clock, history: &mut History, what: CallKind) -> usize {
        history.calls.push(Call {
            what,
            client: self.index,
            invoked: clock.elapsed(),
            deadline: clock.elapsed() + self.plan.delivery_timeout + TICK,
            returned: None,
        });
        history.calls.len() - 1
    }

    fn flushed(&mut self, clock: &Clock, history: &mut History, id: FlushId) {
        // Whoever awaits a flush sees the results no later than its return.
        self.settle(clock, history);
        let place = self.flushes.iter().position(|(flush, _)| *flush == id);
        if let Some((_, call)) = place.map(|place| self.flushes.remove(place))
            && let Some(call) = history.calls.get_mut(call)
        {
            call.returned = Some((clock.elapsed(), true));
        }
    }

    fn closed(&mut self, clock: &Clock, history: &mut History) {
        self.settle(clock, history);
        if let Closing::Called(call) = self.closing
            && let Some(call) = history.calls.get_mut(call)
        {
            call.returned = Some((clock.elapsed(), true));
        }
        self.closing = Closing::Done;
    }
}

impl fmt::Display for ProducerHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sent, left, open) = (self.sent, self.script.len(), self.deliveries.len());
        let blocked = self.blocked.is_some();
        let bytes = self.buffered_bytes();
        write!(f, "producer: {sent} sent, {left} to send, {open} open, blocked {blocked}, ")?;
        write!(f, "{bytes} bytes held, ")?;
        write!(f, "closing {:?}, {} flushes open", self.closing, self.flushes.len())
    }
}

/// Notes what has become of records; each delivery has its place in the history.
pub(super) fn settle(
    deliveries: &mut Vec<(usize, Delivery)>,
    clock: &Clock,
    history: &mut History,
) {
    deliveries.retain(|(place, delivery)| {
        let Some(result) = delivery.result() else { return true };
        let outcome = outcome_of(&result);
        if let Some(send) = history.sends.get_mut(*place) {
            send.returned.push((clock.elapsed(), outcome));
        }
        false
    });
}

fn outcome_of(result: &Result<RecordMetadata, Error>) -> Outcome {
    match result {
        Ok(metadata) => Outcome::Done(metadata.offset()),
        Err(error) => outcome(error),
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn outcome(error: &Error) -> Outcome {
    match error.fate() {
        Fate::NotStored => Outcome::NotDone,
        Fate::Stored => Outcome::Done(None),
        _ => Outcome::Unknown,
    }
}

/// What the user will send and when: half of it with a key, half to a partition of its choice.
fn script(
    index: usize,
    plan: &ProducerPlan,
    scenario: &Scenario,
    rng: &mut Rng,
) -> VecDeque<(Duration, Draft)> {
    let over = u64::try_from(plan.over.as_micros()).unwrap_or(u64::MAX).max(1);
    let mut times: Vec<_> =
        (0..plan.records).map(|_| Duration::from_micros(rng.u64(0..over))).collect();
    times.sort_unstable();
    if let Some(transaction) = &plan.transaction {
        // One more when all is well: it must be committed.
        let healed = scenario.healed() + Duration::from_secs(1);
        times.extend((0..transaction.records).map(|_| healed));
    }
    // Where a key belongs is another partition once there are more.
    let has_keys = !scenario.grows();
    let draft = |(n, at): (usize, Duration)| {
        let partitions = scenario.partitions_at(at);
        let key = rng.bool().then(|| rng.u32(0..50).to_be_bytes()).filter(|_| has_keys);
        let partition = match key {
            Some(key) => NonZeroU32::new(partitions.unsigned_abs())
                .map_or(0, |count| murmur2_partition(&key, count)),
            None => rng.i32(0..partitions),
        };
        let value = Value((index as u64) << 32 | n as u64);
        let padding = rng.usize(0..plan.value_bytes_max);
        (at, Draft { value, to: TopicPartition::new(TOPIC, partition), key, padding })
    };
    times.into_iter().enumerate().map(draft).collect()
}

/// Deadlines are met to the resolution of a timer.
const TICK: Duration = Duration::from_millis(1);
