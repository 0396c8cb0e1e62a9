//! A world for tests: consumers, a scripted cluster, one clock, and a network that delays and loses.
//!
//! Its users poll, acknowledge and keep account; what must never happen is asserted where it would be seen.

mod broker;
mod group;
mod log;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fastrand::Rng;
use milena_records::Limits;
use milena_types::{NodeId, Offset, Timestamp, Topic, TopicPartition};
use milena_wire::{Request, Response};

use self::broker::Stub;
use self::log::Log;
use crate::consumer::GroupMembershipOperation;
use crate::consumer::{
    Change, CommitId, Consumer, Event, GroupSettings, OffsetReset, Output, Polled, QueryId, Reader,
    RebalanceId, Reply, Settings,
};
use crate::error::Error;
use crate::request::{Answer, Failure, Lane, Outbound, RequestId, Target};

/// Who waits for an answer: a client, its request, and the lane it came by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiter {
    client: usize,
    request: RequestId,
    node: i32,
    lane: Lane,
}

/// What the network does to a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Fault {
    /// It never arrives.
    LoseRequest,
    /// It is carried out and the answer is lost.
    LoseAnswer,
    /// Nobody listens there.
    Refuse,
}

pub(crate) type Rule = Box<dyn FnMut(&mut Rng, usize, &Request) -> Option<Fault>>;

pub(crate) struct World {
    pub(crate) now: Instant,
    start: Instant,
    pub(crate) rng: Rng,
    pub(crate) stub: Stub,
    pub(crate) clients: Vec<Client>,
    /// Answers on their way.
    mail: Vec<(Instant, u64, Mail)>,
    sent: u64,
    /// When the last answer of a connection arrives: answers keep their order.
    lanes: BTreeMap<(usize, i32, Lane), Instant>,
    pub(crate) delay_max: Duration,
    pub(crate) fault: Option<Rule>,
    pub(crate) steps: u64,
}

enum Mail {
    Answer(usize, Answer),
    Cluster(usize),
}

pub(crate) struct Client {
    pub(crate) consumer: Consumer,
    reader: Reader,
    polled: Polled,
    /// By the events that this user acknowledged.
    pub(crate) owned: BTreeSet<TopicPartition>,
    /// The next offset that must come, by partition, within one stay.
    expected: BTreeMap<TopicPartition, i64>,
    /// Every record that was handed out.
    pub(crate) got: Vec<(TopicPartition, i64)>,
    /// Behind what was handed out; what was before the last poll.
    pub(crate) handed: BTreeMap<TopicPartition, i64>,
    pub(crate) returned: BTreeMap<TopicPartition, i64>,
    pub(crate) events: Vec<Event>,
    pub(crate) errors: Vec<Error>,
    pub(crate) committed: BTreeMap<CommitId, Result<(), Error>>,
    pub(crate) answered: BTreeMap<QueryId, Result<Reply, Error>>,
    pub(crate) closed: bool,
    /// Does not poll.
    pub(crate) asleep: bool,
    /// Dead: no output is carried out.
    pub(crate) crashed: bool,
    /// Rebalances seen and not acknowledged, where the user is slow.
    pub(crate) holds: Option<Vec<RebalanceId>>,
    /// Compacted or aborted logs have gaps.
    pub(crate) gaps: bool,
    /// How often the machine asked to be woken.
    pub(crate) timeouts: u32,
    /// How often it asked for fresh metadata.
    pub(crate) refreshes: u32,
    next_poll: Instant,
}

impl World {
    #[expect(clippy::disallowed_methods, reason = "any instant will do as the start of time")]
    pub(crate) fn new(seed: u64, partitions: i32) -> Self {
        let now = Instant::now();
        let mut stub = Stub::default();
        stub.nodes = 2;
        for partition in 0..partitions {
            let log = Log { leader: 1 + partition % 2, ..Default::default() };
            stub.logs.insert(tp(partition), log);
        }
        Self {
            now,
            start: now,
            rng: Rng::with_seed(seed),
            stub,
            clients: Vec::new(),
            mail: Vec::new(),
            sent: 0,
            lanes: BTreeMap::new(),
            delay_max: Duration::from_millis(2),
            fault: None,
            steps: 0,
        }
    }

    /// Settings for tests: earliest, group "g", commits by hand.
    pub(crate) fn settings() -> Settings {
        let mut group = GroupSettings::new("g");
        group.session_timeout = Duration::from_secs(10);
        group.heartbeat_interval = Duration::from_secs(1);
        group.max_poll_interval = Duration::from_secs(30);
        Settings {
            group: Some(group),
            auto_offset_reset: OffsetReset::Earliest,
            auto_commit_interval: None,
            max_poll_records: 7,
            ..Settings::default()
        }
    }

    pub(crate) fn client(&mut self, settings: Settings) -> usize {
        let rng = self.rng.fork();
        let wall = Timestamp::from_millis(0);
        let (records_max, check_crcs) = (settings.max_poll_records, settings.check_crcs);
        let consumer = Consumer::new(settings, self.now, wall, rng);
        let buffer = Arc::clone(consumer.buffer());
        self.clients.push(Client {
            consumer,
            reader: Reader::new(buffer, records_max, check_crcs, Limits::default()),
            polled: Polled::new(),
            owned: BTreeSet::new(),
            expected: BTreeMap::new(),
            got: Vec::new(),
            handed: BTreeMap::new(),
            returned: BTreeMap::new(),
            events: Vec::new(),
            errors: Vec::new(),
            committed: BTreeMap::new(),
            answered: BTreeMap::new(),
            closed: false,
            asleep: false,
            crashed: false,
            holds: None,
            gaps: false,
            timeouts: 0,
            refreshes: 0,
            next_poll: self.now,
        });
        self.clients.len() - 1
    }

    /// A client that subscribes to the topic.
    pub(crate) fn member(&mut self, settings: Settings) -> usize {
        let client = self.client(settings);
        let topics = BTreeSet::from([Topic::from("t")]);
        self.clients[client].consumer.subscribe(self.now, topics).unwrap();
        client
    }

    /// A client that reads these partitions.
    pub(crate) fn assigned(&mut self, settings: Settings, partitions: &[i32]) -> usize {
        let client = self.client(settings);
        let partitions: BTreeSet<_> = partitions.iter().map(|&partition| tp(partition)).collect();
        self.clients[client].owned.clone_from(&partitions);
        self.clients[client].consumer.assign(self.now, partitions).unwrap();
        client
    }

    pub(crate) fn produce(&mut self, partition: i32, count: i64) {
        self.stub.logs.get_mut(&tp(partition)).unwrap().append(count, None);
    }

    /// Lets `duration` pass, doing whatever comes due.
    pub(crate) fn run_for(&mut self, duration: Duration) {
        let end = self.now + duration;
        loop {
            self.settle();
            let next = self.next().filter(|at| *at < end);
            let Some(at) = next else { break };
            self.now = self.now.max(at);
            self.deliver();
            self.steps += 1;
            assert!(self.steps < 2_000_000, "spinning at {:?}", self.now - self.start);
        }
        self.now = end;
        self.deliver();
        self.settle();
    }

    fn next(&self) -> Option<Instant> {
        let mail = self.mail.iter().map(|(at, ..)| *at);
        let clients = self.clients.iter().filter(|client| !client.crashed && !client.closed);
        let timeouts = clients.clone().filter_map(|client| client.consumer.poll_timeout());
        let polls = clients.filter(|client| !client.asleep).map(|client| client.next_poll);
        let tick = self.now + Duration::from_millis(20);
        mail.chain(timeouts).chain(polls).chain([tick]).min()
    }

    fn deliver(&mut self) {
        let mut answers = Vec::new();
        self.stub.tick(self.now, &mut answers);
        self.post(answers);
        let (mut due, later): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.mail).into_iter().partition(|(at, ..)| *at <= self.now);
        self.mail = later;
        due.sort_by_key(|(at, sent, _)| (*at, *sent));
        for (_, _, mail) in due {
            match mail {
                Mail::Answer(client, answer) => {
                    self.clients[client].consumer.handle_answer(self.now, answer);
                }
                Mail::Cluster(client) => {
                    let cluster = self.stub.cluster();
                    self.clients[client].consumer.handle_cluster(self.now, cluster);
                }
            }
        }
        for client in &mut self.clients {
            if client.crashed || client.closed {
                continue;
            }
            if client.consumer.poll_timeout().is_some_and(|at| at <= self.now) {
                client.consumer.handle_timeout(self.now);
                client.timeouts += 1;
            }
            if !client.asleep && client.next_poll <= self.now {
                client.poll(self.now);
                let wait = Duration::from_millis(self.rng.u64(5..50));
                client.next_poll = self.now + wait;
            }
        }
    }

    /// Carries out what the machines want.
    fn settle(&mut self) {
        for index in 0..self.clients.len() {
            while let Some(output) = self.clients[index].consumer.poll_output() {
                if self.clients[index].crashed {
                    continue;
                }
                match output {
                    Output::Request(outbound) => self.send(index, outbound),
                    Output::Topics { .. } if self.stub.no_metadata => {}
                    Output::Topics { .. } | Output::AllTopics | Output::RefreshMetadata => {
                        let is_refresh = matches!(output, Output::RefreshMetadata);
                        self.clients[index].refreshes += u32::from(is_refresh);
                        let at = self.now + self.delay();
                        self.sent += 1;
                        self.mail.push((at, self.sent, Mail::Cluster(index)));
                    }
                    Output::LeaderHint(_) => {}
                    Output::Committed { id, result } => {
                        let twice = self.clients[index].committed.insert(id, result);
                        assert!(twice.is_none(), "a commit ended twice");
                    }
                    Output::Answered { id, result } => {
                        let twice = self.clients[index].answered.insert(id, result);
                        assert!(twice.is_none(), "a query ended twice");
                    }
                    Output::Closed { .. } => self.clients[index].closed = true,
                }
            }
        }
    }

    fn send(&mut self, client: usize, outbound: Outbound) {
        let node = match outbound.target {
            Target::Broker(node) => node.get(),
            Target::Any => 2,
        };
        self.check(client, &outbound.body);
        let waiter = Waiter { client, request: outbound.id, node, lane: outbound.lane };
        let mut rule = self.fault.take();
        let fault = rule.as_mut().and_then(|rule| rule(&mut self.rng, client, &outbound.body));
        self.fault = rule;
        let mut answers = Vec::new();
        if !matches!(fault, Some(Fault::LoseRequest | Fault::Refuse)) {
            self.stub.handle(self.now, node, waiter, &outbound.body, &mut answers);
        }
        if let Some(fault) = fault {
            answers.retain(|(to, _)| to.request != outbound.id || to.client != client);
            let failure = match fault {
                Fault::LoseRequest | Fault::LoseAnswer => Failure::ConnectionLost,
                Fault::Refuse => Failure::Unreachable("stub:9092: connection refused".into()),
            };
            self.answer(waiter, Err(failure));
        }
        self.post(answers);
    }

    fn post(&mut self, answers: Vec<(Waiter, Response)>) {
        for (waiter, response) in answers {
            self.answer(waiter, Ok(Some(response)));
        }
    }

    fn answer(&mut self, waiter: Waiter, result: Result<Option<Response>, Failure>) {
        let lane = self.lanes.get(&(waiter.client, waiter.node, waiter.lane)).copied();
        let at = (self.now + self.delay()).max(lane.unwrap_or(self.now));
        self.lanes.insert((waiter.client, waiter.node, waiter.lane), at);
        let node = NodeId::from_wire(waiter.node);
        let answer = Answer::new(waiter.request, node, 17, at, result);
        self.sent += 1;
        self.mail.push((at, self.sent, Mail::Answer(waiter.client, answer)));
    }

    fn delay(&mut self) -> Duration {
        let most = u64::try_from(self.delay_max.as_micros()).unwrap().max(1);
        Duration::from_micros(self.rng.u64(0..most))
    }

    /// P14: nothing is committed that the user does not have.
    fn check(&self, client: usize, request: &Request) {
        let Request::OffsetCommit(request) = request else { return };
        for topic in &request.topics {
            for partition in &topic.partitions {
                let tp = TopicPartition::new(&*topic.name, partition.partition_index);
                let handed = self.clients[client].handed.get(&tp).copied();
                let start = self.stub.committed.get(&tp).map_or(0, |(offset, _)| *offset);
                let most = handed.unwrap_or(0).max(start).max(self.stub.logs[&tp].start);
                assert!(
                    partition.committed_offset <= most || self.clients[client].gaps,
                    "commit of {tp} to {} beyond {most}",
                    partition.committed_offset
                );
            }
        }
    }
}

impl Client {
    /// One poll of the user, as the client crate does it.
    pub(crate) fn poll(&mut self, now: Instant) {
        let buffer = Arc::clone(self.consumer.buffer());
        buffer.enter_poll(now);
        self.returned.clone_from(&self.handed);
        while let Some(event) = buffer.take_event() {
            self.events.push(event.clone());
            match event {
                Event::Rebalance(rebalance) => {
                    for tp in &rebalance.partitions {
                        match rebalance.change {
                            Change::Assigned => {
                                assert!(self.owned.insert(tp.clone()), "{tp} was assigned twice");
                                self.expected.remove(tp);
                            }
                            Change::Revoked | Change::Lost => {
                                assert!(self.owned.remove(tp), "{tp} was taken and never given");
                                self.expected.remove(tp);
                            }
                        }
                    }
                    match &mut self.holds {
                        Some(held) => held.push(rebalance.id),
                        None => self.consumer.acknowledge(now, rebalance.id),
                    }
                }
                Event::Truncated { partition, .. } | Event::Recreated { partition, .. } => {
                    self.expected.remove(&partition);
                }
                Event::PollIntervalExceeded { .. } | Event::Stalled { .. } => {}
                Event::Error(error) => self.errors.push(error),
            }
        }
        if let Err(error) = self.reader.poll(&mut self.polled) {
            self.errors.push(error);
        }
        for chunk in self.polled.chunks() {
            let tp = chunk.partition();
            // P12, R22: nothing of others, nothing twice, nothing skipped.
            assert!(self.owned.contains(tp), "a record of {tp}, which is not ours");
            assert_eq!(chunk.iter().count(), chunk.len());
            for record in chunk.iter() {
                let offset = record.offset().get();
                if let Some(expected) = self.expected.get(tp) {
                    let fits = if self.gaps { offset >= *expected } else { offset == *expected };
                    assert!(fits, "{tp}: {offset} where {expected} was due");
                }
                assert_eq!(record.value(), Some(offset.to_string().as_bytes()));
                self.expected.insert(tp.clone(), offset + 1);
                self.handed.insert(tp.clone(), offset + 1);
                self.got.push((tp.clone(), offset));
            }
        }
        self.consumer.handle_buffer(now);
        buffer.leave_poll(now);
    }

    /// The user moves a position, so that what comes next is not what would have come.
    pub(crate) fn forget_expected(&mut self, partition: i32, next: Option<i64>) {
        self.expected.remove(&tp(partition));
        if let Some(next) = next {
            self.expected.insert(tp(partition), next);
        }
    }

    pub(crate) fn offsets(&self, partition: i32) -> Vec<i64> {
        let wanted = tp(partition);
        self.got.iter().filter(|(tp, _)| *tp == wanted).map(|(_, offset)| *offset).collect()
    }
}

pub(crate) fn tp(partition: i32) -> TopicPartition {
    TopicPartition::new("t", partition)
}

pub(crate) fn offset(raw: i64) -> Offset {
    Offset::new(raw).unwrap()
}

pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// An empty log that `leader` leads.
pub(crate) fn log_of(leader: i32) -> Log {
    Log { leader, ..Default::default() }
}

/// A group that nobody is in.
pub(crate) fn empty_group() -> group::State {
    group::State::Empty
}

/// As a consumer goes by itself.
pub(crate) const LEAVE: GroupMembershipOperation = GroupMembershipOperation::Default;
