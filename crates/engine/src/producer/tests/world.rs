//! One producer, its brokers and the network between them, on a virtual clock.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fastrand::Rng;
use milena_records::{Compressor, Decompressor};
use milena_types::{ErrorCode, NodeId, Topic};
use milena_wire::messages::{InitProducerIdResponse, ProduceResponse};
use milena_wire::{Request, Response};

use super::broker::{Brokers, Fault};
use super::hand::record;
use crate::metadata::{Broker, Cluster, PartitionMetadata, TopicMetadata};
use crate::producer::{Accumulator, Delivery, FlushId, Output, Producer, Refused, Settings};
use crate::request::{Answer, Failure, Outbound, RequestId, Target};
use crate::{Error, Fate};

pub(super) const MS: Duration = Duration::from_millis(1);

/// Partitions and the sizes of their batches.
type Sizes = Vec<(i32, usize)>;

/// A record that was sent, and what its delivery says.
#[derive(Debug)]
pub(super) struct SentRecord {
    pub(super) partition: i32,
    pub(super) value: u64,
    pub(super) delivery: Delivery,
}

/// What metadata may lack of a topic that it knows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Less {
    /// All but its name.
    NoPartitions,
    /// Its last partition.
    FewerPartitions,
}

pub(super) struct World {
    pub(super) now: Instant,
    start: Instant,
    pub(super) rng: Rng,
    pub(super) producer: Option<Producer>,
    pub(super) accumulator: Arc<Accumulator>,
    pub(super) brokers: Brokers,
    /// By number of the Produce request, from 1.
    pub(super) faults: BTreeMap<usize, Fault>,
    /// Draws faults where none is scripted.
    pub(super) chance: f64,
    pub(super) init_faults: Vec<ErrorCode>,
    pub(super) first_epoch: i16,
    pub(super) may_read_late: bool,
    pub(super) latency: Duration,
    pub(super) produced: usize,
    pub(super) sent: Vec<SentRecord>,
    pub(super) flushed: Vec<(FlushId, Instant)>,
    pub(super) is_closed: bool,
    /// Metadata leaves the topic out while this holds.
    pub(super) topic_is_missing: bool,
    /// Metadata knows the topic, and less of it than there is.
    pub(super) knows_less: Option<Less>,
    /// Of brokers 0, 1 and 2.
    pub(super) racks: [Option<&'static str>; 3],
    pub(super) refreshes: usize,
    pub(super) in_flight: BTreeMap<NodeId, usize>,
    pub(super) in_flight_seen: usize,
    /// When, to whom, and the size of each partition's batch.
    pub(super) requests: Vec<(Instant, NodeId, Sizes)>,
    pub(super) seals_held: Option<Vec<crate::producer::Sealed>>,
    events: BTreeMap<(Instant, u64), Event>,
    next_event: u64,
    next_value: u64,
    /// When the last request arrives and the last answer leaves, per broker: connections keep order.
    arrivals: BTreeMap<NodeId, Instant>,
    connections: BTreeMap<NodeId, u64>,
    metadata_due: bool,
    /// Whether the machine is to be looked at: it was told something, or an append said so. One that says nothing relies
    /// on a look that comes anyway.
    is_woken: bool,
    polls: usize,
    /// What went over the network; printed where a test fails.
    trace: Vec<String>,
}

enum Event {
    Arrive { node: NodeId, connection: u64, outbound: Outbound, fault: Option<Fault> },
    Read { node: NodeId, outbound: Outbound },
    Answer { node: Option<NodeId>, id: RequestId, result: Result<Option<Response>, Failure> },
    Cut { node: NodeId, connection: u64 },
    Metadata,
}

pub(super) fn settings() -> Settings {
    Settings { linger: Duration::ZERO, batch_bytes: 400, ..Settings::default() }
}

impl World {
    /// Six records or so make a batch; nothing lingers.
    pub(super) fn new(seed: u64, partitions: usize, settings: Settings) -> Self {
        #[expect(clippy::disallowed_methods, reason = "the clock's zero; nothing reads it again")]
        let now = Instant::now() + Duration::from_secs(1);
        let accumulator = Arc::new(Accumulator::new(&settings, seed));
        let rng = Rng::with_seed(seed);
        let producer = Producer::new(settings, Arc::clone(&accumulator), Rng::with_seed(seed));
        Self {
            now,
            start: now,
            rng,
            producer: Some(producer),
            accumulator,
            brokers: Brokers::new(partitions, 3),
            faults: BTreeMap::new(),
            chance: 0.0,
            init_faults: Vec::new(),
            first_epoch: 0,
            may_read_late: true,
            latency: MS,
            produced: 0,
            sent: Vec::new(),
            flushed: Vec::new(),
            is_closed: false,
            topic_is_missing: false,
            knows_less: None,
            racks: [None; 3],
            refreshes: 0,
            in_flight: BTreeMap::new(),
            in_flight_seen: 0,
            requests: Vec::new(),
            seals_held: None,
            events: BTreeMap::new(),
            next_event: 0,
            next_value: 0,
            arrivals: BTreeMap::new(),
            connections: BTreeMap::new(),
            metadata_due: false,
            is_woken: true,
            polls: 0,
            trace: Vec::new(),
        }
    }

    /// A world whose producer knows the topic and has an identity.
    pub(super) fn ready(seed: u64, partitions: usize, settings: Settings) -> Self {
        let mut world = Self::new(seed, partitions, settings);
        world.accumulator.topic("t");
        world.run(20 * MS);
        world
    }

    pub(super) fn fault(mut self, request: usize, fault: Fault) -> Self {
        self.faults.insert(request, fault);
        self
    }

    pub(super) fn machine(&mut self) -> &mut Producer {
        self.is_woken = true;
        self.producer.as_mut().expect("not dropped")
    }

    pub(super) fn try_send(&mut self, partition: i32, bytes: usize) -> Result<(), Refused> {
        let value = self.next_value;
        let mut bytes_of = vec![0; bytes.max(8)];
        bytes_of[..8].copy_from_slice(&value.to_be_bytes());
        let delivery = self.append(Some(partition), &bytes_of)?;
        self.next_value += 1;
        self.sent.push(SentRecord { partition, value, delivery });
        Ok(())
    }

    /// Appends a record that is not looked for later on.
    pub(super) fn append(
        &mut self,
        partition: Option<i32>,
        value: &[u8],
    ) -> Result<Delivery, Refused> {
        let (topic, now) = (self.accumulator.topic("t"), self.now);
        let appended = self.accumulator.try_append(&topic, &record(partition, value), None, || now);
        // Who is refused wakes the driver before he waits.
        self.is_woken |= appended.as_ref().map_or(true, |appended| appended.wake);
        appended.map(|appended| appended.delivery)
    }

    /// Sends `count` records of 50 bytes.
    pub(super) fn send(&mut self, partition: i32, count: usize) {
        for _ in 0..count {
            self.try_send(partition, 50).expect("room");
        }
    }

    /// Sends a batch of `count` records of its own.
    pub(super) fn send_batch(&mut self, partition: i32, count: usize) {
        self.send(partition, count);
        self.flush();
    }

    pub(super) fn result(&self, index: usize) -> Result<Option<i64>, Error> {
        let result = self.sent[index].delivery.result().expect("settled");
        result.map(|metadata| metadata.offset().map(milena_types::Offset::get))
    }

    pub(super) fn offsets(&self) -> Vec<Option<i64>> {
        (0..self.sent.len()).map(|index| self.result(index).expect("stored")).collect()
    }

    pub(super) fn move_leader(&mut self, partition: usize, leader: i32) {
        let log = &mut self.brokers.partitions[partition];
        log.leader = NodeId::new(leader);
        log.epoch += 1;
    }

    pub(super) fn flush(&mut self) -> FlushId {
        let now = self.now;
        let id = self.machine().flush(now);
        self.settle_outputs();
        id
    }

    pub(super) fn close(&mut self, within: Duration) {
        let now = self.now;
        self.machine().close(now, now + within);
        self.settle_outputs();
    }

    /// Lets the time pass, event by event.
    pub(super) fn run(&mut self, span: Duration) {
        let end = self.now + span;
        loop {
            if self.is_woken {
                self.settle_outputs();
            }
            let event = self.events.first_key_value().map(|(&(at, _), _)| at);
            let timeout = self.producer.as_ref().and_then(Producer::poll_timeout);
            let Some(next) = [event, timeout].into_iter().flatten().min().filter(|at| *at <= end)
            else {
                break;
            };
            self.now = self.now.max(next);
            if event.is_some_and(|at| at <= self.now) {
                let (_, event) = self.events.pop_first().expect("it is there");
                self.handle(event);
            } else {
                let now = self.now;
                self.machine().handle_timeout(now);
            }
            self.polls += 1;
            assert!(self.polls < 200_000, "the producer spins");
        }
        self.now = end;
    }

    /// Does what the machine asks for, until it asks for nothing.
    pub(super) fn settle_outputs(&mut self) {
        let now = self.now;
        self.is_woken = false;
        while let Some(output) = self.producer.as_mut().and_then(|p| p.poll_output(now)) {
            self.polls += 1;
            assert!(self.polls < 200_000, "the producer spins");
            match output {
                Output::Request(outbound) => self.request(outbound),
                Output::Seal(job) => {
                    let sealed = job.run(&mut Compressor::default(), &mut Decompressor::default());
                    match &mut self.seals_held {
                        Some(held) => held.push(sealed),
                        None => self.machine().handle_sealed(sealed),
                    }
                }
                Output::UseTopic(topic) => {
                    assert_eq!(topic, Topic::from("t"));
                    self.refresh();
                }
                Output::RefreshMetadata => self.refresh(),
                Output::LeaderHint(_) => {}
                Output::Flushed(id) => self.flushed.push((id, now)),
                Output::TransactionDone(call, result) => {
                    panic!("{call:?} of a producer without transactions: {result:?}")
                }
                Output::Closed => self.is_closed = true,
            }
        }
    }

    fn refresh(&mut self) {
        self.refreshes += 1;
        // As the real one, no more often than the back-off allows.
        if !std::mem::replace(&mut self.metadata_due, true) {
            self.after(10 * MS, Event::Metadata);
        }
    }

    fn request(&mut self, outbound: Outbound) {
        let Request::Produce(request) = &outbound.body else {
            return self.init_producer_id(&outbound);
        };
        let Target::Broker(node) = outbound.target else { panic!("produce to anyone") };
        self.produced += 1;
        let fault = self.draw_fault();
        let sizes = request.topic_data.iter().flat_map(|topic| &topic.partition_data);
        let sizes = sizes.map(|data| (data.index, data.records.as_ref().map_or(0, |r| r.len())));
        let sizes: Vec<_> = sizes.collect();
        let partitions: BTreeSet<_> = sizes.iter().map(|(index, _)| *index).collect();
        assert_eq!(partitions.len(), sizes.len(), "brokers take one batch of each partition");
        self.requests.push((self.now, node, sizes));
        let in_flight = self.in_flight.entry(node).or_default();
        *in_flight += 1;
        self.in_flight_seen = self.in_flight_seen.max(*in_flight);
        let connection = *self.connections.entry(node).or_default();
        let (id, is_answered) = (outbound.id, outbound.answered);
        match fault {
            Some(Fault::Unreachable) => {
                self.cut(node, Failure::NotSent, id);
                return;
            }
            Some(Fault::LoseRequest) => {
                self.after(self.latency, Event::Cut { node, connection });
            }
            Some(Fault::ReadLate(ms)) => {
                self.after(self.latency, Event::Cut { node, connection });
                let outbound = outbound.clone();
                self.after(Duration::from_millis(ms), Event::Read { node, outbound });
            }
            _ => {}
        }
        if !is_answered {
            self.after(Duration::ZERO, Event::Answer { node: Some(node), id, result: Ok(None) });
        }
        let at = self.arrivals.get(&node).copied().unwrap_or(self.now).max(self.now + self.latency);
        self.arrivals.insert(node, at);
        self.at(at, Event::Arrive { node, connection, outbound, fault });
    }

    fn draw_fault(&mut self) -> Option<Fault> {
        use milena_types::ErrorCode as E;
        if let Some(&fault) = self.faults.get(&self.produced) {
            return Some(fault);
        }
        if self.rng.f64() >= self.chance {
            return None;
        }
        let faults = [
            Fault::Refuse(E::NOT_ENOUGH_REPLICAS),
            Fault::Refuse(E::NOT_LEADER_OR_FOLLOWER),
            Fault::Refuse(E::KAFKA_STORAGE_ERROR),
            Fault::StoreAndRefuse(E::NOT_ENOUGH_REPLICAS_AFTER_APPEND),
            Fault::StoreAndRefuse(E::REQUEST_TIMED_OUT),
            Fault::StoreAndRefuse(E::NOT_LEADER_OR_FOLLOWER),
            Fault::Refuse(E::INVALID_RECORD),
            Fault::Refuse(E::TOPIC_AUTHORIZATION_FAILED),
            Fault::Refuse(E::MESSAGE_TOO_LARGE),
            Fault::LoseRequest,
            Fault::LoseAnswer,
            Fault::LoseAnswer,
            Fault::Unreachable,
            Fault::ReadLate(self.rng.u64(1..300)),
            Fault::RefuseRecord(1),
            Fault::Garble,
            Fault::Throttle(50),
        ];
        let fault = faults[self.rng.usize(..faults.len())];
        let is_late = matches!(fault, Fault::ReadLate(_));
        Some(if is_late && !self.may_read_late { Fault::LoseRequest } else { fault })
    }

    fn init_producer_id(&mut self, outbound: &Outbound) {
        let mut response = InitProducerIdResponse::default();
        if self.init_faults.is_empty() {
            response.producer_id = self.brokers.next_producer_id;
            response.producer_epoch = self.first_epoch;
            self.first_epoch = 0;
            self.brokers.next_producer_id += 1;
        } else {
            response.error_code = self.init_faults.remove(0);
        }
        let (id, result) = (outbound.id, Ok(Some(Response::InitProducerId(response))));
        self.after(self.latency, Event::Answer { node: None, id, result });
    }

    fn handle(&mut self, event: Event) {
        let now = self.now;
        match event {
            Event::Arrive { node, connection, outbound, fault } => {
                if self.connections.get(&node) != Some(&connection) {
                    return;
                }
                let Some(response) = self.read(node, &outbound, fault) else { return };
                if fault == Some(Fault::LoseAnswer) && outbound.answered {
                    let (id, result) = (outbound.id, Ok(None));
                    self.after(self.latency, Event::Answer { node: Some(node), id, result });
                    self.handle(Event::Cut { node, connection });
                } else if outbound.answered {
                    let result = Ok(Some(Response::Produce(response)));
                    self.after(
                        self.latency,
                        Event::Answer { node: Some(node), id: outbound.id, result },
                    );
                }
            }
            Event::Read { node, outbound } => {
                self.read(node, &outbound, None);
            }
            Event::Answer { node, id, result } => {
                if let Some(node) = node {
                    *self.in_flight.entry(node).or_default() -= 1;
                }
                if self.producer.is_some() {
                    self.machine().handle_answer(now, Answer::new(id, node, 13, now, result));
                }
            }
            Event::Cut { node, connection } => {
                if self.connections.get(&node) == Some(&connection) {
                    self.cut_connection(node);
                }
            }
            Event::Metadata => {
                self.metadata_due = false;
                let cluster = Arc::new(self.cluster());
                if self.producer.is_some() {
                    self.machine().handle_metadata(now, cluster);
                }
            }
        }
    }

    fn read(
        &mut self,
        node: NodeId,
        outbound: &Outbound,
        fault: Option<Fault>,
    ) -> Option<ProduceResponse> {
        let Request::Produce(request) = &outbound.body else { return None };
        let before = self.brokers.seen.len();
        let response = self.brokers.produce(node, request, fault);
        let (at, id) = (self.now - self.start, outbound.id);
        let seen = &self.brokers.seen[before..];
        self.trace.push(format!("{at:?} broker {node} reads {id:?}, {fault:?}: {seen:?}"));
        Some(response)
    }

    /// Everything in flight to `node` is lost; in doubt, since it was written.
    fn cut_connection(&mut self, node: NodeId) {
        *self.connections.entry(node).or_default() += 1;
        let is_ours = |event: &Event| match event {
            Event::Arrive { node: of, outbound, .. } if *of == node && outbound.answered => {
                Some(outbound.id)
            }
            Event::Answer { node: Some(of), id, .. } if *of == node => Some(*id),
            Event::Arrive { .. }
            | Event::Read { .. }
            | Event::Answer { .. }
            | Event::Cut { .. }
            | Event::Metadata => None,
        };
        let mut lost: Vec<_> = self.events.values().filter_map(is_ours).collect();
        lost.sort();
        self.events.retain(|_, event| is_ours(event).is_none());
        for id in lost {
            let result = Err(Failure::ConnectionLost);
            self.after(Duration::ZERO, Event::Answer { node: Some(node), id, result });
        }
    }

    fn cut(&mut self, node: NodeId, failure: Failure, id: RequestId) {
        self.after(Duration::ZERO, Event::Answer { node: Some(node), id, result: Err(failure) });
    }

    pub(super) fn cluster(&self) -> Cluster {
        let brokers = (0..).zip(self.racks).map(|(id, rack)| {
            let broker = Broker::new(NodeId::new(id), "broker", 9092);
            Broker { rack: rack.map(Arc::from), ..broker }
        });
        let partition = |(index, log): (usize, &super::broker::PartitionLog)| {
            let epoch = milena_types::LeaderEpoch::from_wire(log.epoch);
            PartitionMetadata::new(index as i32, Some(log.leader), epoch)
        };
        let mut partitions: Vec<_> =
            self.brokers.partitions.iter().enumerate().map(partition).collect();
        let error = match self.knows_less {
            None => None,
            Some(Less::NoPartitions) => {
                partitions.clear();
                Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)
            }
            Some(Less::FewerPartitions) => {
                partitions.pop();
                None
            }
        };
        let mut topic = TopicMetadata::new("t", self.brokers.topic_id, partitions);
        topic.error = error;
        Cluster::new(brokers, (!self.topic_is_missing).then_some(topic))
    }

    fn after(&mut self, span: Duration, event: Event) {
        self.at(self.now + span, event);
    }

    fn at(&mut self, at: Instant, event: Event) {
        self.events.insert((at, self.next_event), event);
        self.next_event += 1;
    }

    /// Holds what callers were told against what the brokers have.
    pub(super) fn check(&self, is_idempotent: bool) {
        let logs: Vec<_> =
            (0..self.brokers.partitions.len()).map(|index| self.brokers.values(index)).collect();
        for record in &self.sent {
            let log = &logs[record.partition as usize];
            let copies = log.iter().filter(|&&value| value == record.value).count();
            let result = record.delivery.result();
            let result = result.unwrap_or_else(|| panic!("{} has no result", record.value));
            match result {
                Ok(metadata) => {
                    assert!(copies > 0, "acknowledged {} is lost", record.value);
                    if let Some(offset) = metadata.offset() {
                        let at = log.get(offset.get() as usize);
                        assert_eq!(at, Some(&record.value), "another record at {offset}");
                    }
                }
                Err(error) if error.fate() == Fate::NotStored => {
                    assert_eq!(copies, 0, "{} is stored in spite of {error}", record.value);
                }
                Err(_) => {}
            }
            assert!(copies <= 1 || !is_idempotent, "{} is stored {copies} times", record.value);
        }
        if is_idempotent {
            for log in &logs {
                assert!(log.is_sorted(), "out of order: {log:?}");
            }
        }
        assert_eq!(self.accumulator.bytes_used(), 0, "memory is not given back");
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.trace.iter().for_each(|line| eprintln!("{line}"));
        }
    }
}
