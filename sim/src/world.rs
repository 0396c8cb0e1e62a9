//! One world: clients, network and brokers, run to their end.

mod group;
mod share;
mod strike;
mod tamper;

use std::collections::{BTreeMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use fastrand::Rng;
use milena_broker::{Cluster, ConnectionId, Output, Settings, StoredBatch, TopicSettings};
use milena_engine::producer::Acks;
use milena_records::batch::control::ControlType;
use milena_records::{Decompressor, RecordSet};
use milena_types::{ApiKey, NodeId, Offset, ProducerId, Sequence, TopicPartition};
use milena_wire::{FrameReader, Request, decode_request};

use crate::checker::{self, Violation};
use crate::clock::Clock;
use crate::fault::Timed;
use crate::group::GroupPlan;
use crate::history::{BatchSeen, Fate, History, Log, Logs, Value};
use crate::host::{ConsumerHost, Host, MemberHost, ProducerHost, SharerHost, User};
use crate::network::{Event, LinkId, Network, Side};
use crate::scenario::Scenario;
use crate::share::{SharePlan, Shares};

pub(crate) use share::is_done;
pub use strike::Relief;
use tamper::{Asked, Tamper};

/// The one topic of a world.
pub const TOPIC: &str = "orders";

/// What a run came to.
#[derive(Debug)]
pub struct Outcome {
    /// The properties that it broke.
    pub violations: Vec<Violation>,
    /// All that happened.
    pub history: History,
    /// Equal for equal runs: every frame and its time are in it.
    pub trace_hash: u64,
    /// How long it took, in its own time.
    pub lasted: Duration,
    /// How often the network brought something to somebody.
    pub events: u64,
}

/// A world while it runs.
pub struct World {
    scenario: Scenario,
    clock: Clock,
    rng: Rng,
    network: Network,
    cluster: Cluster,
    hosts: Vec<Host>,
    /// Brokers' ends of links.
    ends: BTreeMap<LinkId, End>,
    connections: BTreeMap<ConnectionId, LinkId>,
    faults: VecDeque<Timed>,
    reliefs: Vec<(Duration, Relief)>,
    /// How many answers of a node are still to be lost.
    swallowed: BTreeMap<NodeId, u32>,
    tamper: Tamper,
    /// What was deleted from the starts of logs in this life of the topic.
    deleted: Logs,
    /// The group's offsets as they were noted last.
    committed: BTreeMap<TopicPartition, Offset>,
    /// How far the group ever was: a commit that a connection held up for long may have moved it back since.
    furthest: BTreeMap<TopicPartition, Offset>,
    /// What was noted last of the share group.
    noted: share::Noted,
    history: History,
    trace: DefaultHasher,
    events: u64,
    is_traced: bool,
    second: Second,
}

struct End {
    connection: ConnectionId,
    received: BytesMut,
    /// Produce requests that are not answered.
    in_flight: usize,
    unanswered: VecDeque<Asked>,
}

/// What happened in the second that runs.
#[derive(Default)]
struct Second {
    number: u64,
    requests: u64,
}

/// Runs the world of `scenario` and judges it.
pub fn run(scenario: &Scenario, is_traced: bool) -> Outcome {
    let mut world = World::new(scenario.clone(), is_traced);
    world.run();
    let violations = checker::check(&world.history, &scenario.promises());
    Outcome {
        violations,
        trace_hash: world.trace.finish(),
        lasted: world.clock.elapsed(),
        events: world.events,
        history: world.history,
    }
}

impl World {
    fn new(scenario: Scenario, is_traced: bool) -> Self {
        let clock = Clock::new();
        // Apart from the draws that made the scenario, so that a shrunk one runs on the same chances.
        let mut rng = Rng::with_seed(scenario.seed ^ 0x9e37_79b9_7f4a_7c15);
        let mut settings = Settings::with_nodes(scenario.nodes.unsigned_abs() as usize);
        settings.seed = rng.u64(..);
        settings.transaction_version = scenario.transaction_version;
        if let Some(group) = &scenario.group {
            settings.consumer_groups.session_timeout = group.session;
            settings.consumer_groups.heartbeat_interval = group.heartbeat;
        }
        if let Some(group) = &scenario.share {
            settings.share_groups.session_timeout = group.session;
            settings.share_groups.heartbeat_interval = group.session / 3;
            settings.share_groups.record_lock_duration = group.lock;
            settings.share_groups.delivery_count_limit = group.deliveries_max;
        }
        let mut topic = TopicSettings::new(TOPIC, scenario.partitions);
        if let Some(bytes) = scenario.message_bytes_max {
            topic.config.insert("max.message.bytes".to_owned(), bytes.to_string());
        }
        settings.topics.push(topic);
        #[expect(clippy::expect_used, reason = "a drawn topic is a legal one")]
        let mut cluster =
            Cluster::new(settings, clock.now()).expect("a drawn topic is a legal one");
        if scenario.share.is_some() {
            share::configure(&mut cluster, clock.now(), scenario.read_committed);
        }
        let network = Network::new(rng.u64(..), scenario.weather.clone());
        let tamper = Tamper::new(rng.fork(), scenario.shuffles_aborted);
        let mut hosts = Vec::new();
        let max_age = scenario.metadata_max_age();
        for plan in &scenario.producers {
            let index = hosts.len();
            let user = ProducerHost::new(index, plan, &scenario, rng.fork());
            let user = User::Producer(Box::new(user));
            let place = (index, scenario.nodes);
            hosts.push(Host::new(place, max_age, clock.now(), rng.fork(), user));
        }
        for plan in &scenario.consumers {
            let index = hosts.len();
            let user = ConsumerHost::new(index, plan, &scenario, &clock, rng.fork());
            let user = User::Consumer(Box::new(user));
            let place = (index, scenario.nodes);
            hosts.push(Host::new(place, max_age, clock.now(), rng.fork(), user));
        }
        for (group, plan) in scenario.members() {
            let index = hosts.len();
            let user = MemberHost::new(index, plan, group, &scenario, rng.fork());
            let user = User::Member(Box::new(user));
            let place = (index, scenario.nodes);
            hosts.push(Host::new(place, max_age, clock.now(), rng.fork(), user));
        }
        for (group, plan) in scenario.sharers() {
            let index = hosts.len();
            let user = SharerHost::new(index, plan, group, rng.fork());
            let user = User::Sharer(Box::new(user));
            let place = (index, scenario.nodes);
            hosts.push(Host::new(place, max_age, clock.now(), rng.fork(), user));
        }
        let share = scenario
            .share
            .as_ref()
            .map(|group| Shares { deliveries_max: group.deliveries_max, ..Shares::default() });
        let faults_ended = scenario.faults_end();
        Self {
            faults: scenario.faults.iter().cloned().collect(),
            history: History { faults_ended, share, ..History::default() },
            noted: share::Noted::default(),
            scenario,
            clock,
            rng,
            network,
            cluster,
            hosts,
            ends: BTreeMap::new(),
            connections: BTreeMap::new(),
            reliefs: Vec::new(),
            swallowed: BTreeMap::new(),
            tamper,
            deleted: Logs::new(),
            committed: BTreeMap::new(),
            furthest: BTreeMap::new(),
            trace: DefaultHasher::new(),
            events: 0,
            is_traced,
            second: Second::default(),
        }
    }

    fn run(&mut self) {
        let promises = self.scenario.promises();
        let end = self.history.faults_ended.max(self.busy_until()) + promises.calm;
        loop {
            self.step();
            if self.is_at_rest() {
                self.history.rested = Some(self.clock.elapsed());
                break;
            }
            match self.next_event() {
                // A call that came late, as its user was blocked, has its time too before it is judged.
                Some(at) if at <= end || self.history.open_until() >= Some(at) => {
                    self.clock.advance_to(at);
                }
                _ => break,
            }
        }
        self.note_transactions();
        self.note_group();
        self.note_share_ends();
        // Rest is due after the last fault or the last thing a user does, whichever is later.
        self.history.faults_ended = self.history.faults_ended.max(self.busy_until());
        self.end_life();
        self.say(|| self.hosts.iter().map(|host| format!("{}\n", host.user())).collect());
        for host in std::mem::take(&mut self.hosts) {
            if let User::Producer(producer) = host.into_user() {
                let left = &mut self.history.buffered_bytes_left;
                *left = (*left).max(producer.bytes_left() as u64);
            }
        }
    }

    fn busy_until(&self) -> Duration {
        let busy = self.scenario.producers.iter().map(|plan| plan.over + plan.idle).max();
        let has_transactions = self.scenario.transactions().next().is_some();
        let last = if has_transactions { self.scenario.healed() } else { Duration::ZERO };
        let group = self.scenario.group.as_ref().map(GroupPlan::busy_until);
        let share = self.scenario.share.as_ref().map(SharePlan::busy_until);
        let last = last.max(group.unwrap_or_default()).max(share.unwrap_or_default());
        busy.unwrap_or_default().max(last)
    }

    /// Everything that happens at this time.
    fn step(&mut self) {
        let now = self.clock.now();
        self.begin_second();
        self.strike_what_is_due();
        if self.cluster.poll_timeout().is_some_and(|at| at <= now) {
            self.cluster.handle_timeout(now);
            // It takes what waited behind a request that was held up.
            self.note_commits();
            self.note_shares();
        }
        if self.scenario.copies().is_some() {
            // A transaction's offsets are the group's some time after its end was asked for.
            self.note_commits();
        }
        for host in &mut self.hosts {
            host.handle_timeout(&self.clock, &mut self.network);
        }
        loop {
            for host in &mut self.hosts {
                if host.is_due(&self.clock) {
                    host.run(&self.clock, &mut self.network, &mut self.history);
                }
            }
            self.deliver_replies();
            let Some((link, side, event)) = self.network.poll(self.clock.elapsed()) else { break };
            self.note_trace(link, side, &event);
            self.events += 1;
            match side {
                Side::Client => {
                    let client = self.network.ends(link).map(|(client, _)| client);
                    let hosts = self.hosts.iter_mut().enumerate();
                    // A link that is gone is known to whoever had it.
                    for (n, host) in hosts {
                        if client.is_none_or(|client| client == n) {
                            host.handle_event(&self.clock, &mut self.network, link, event.clone());
                        }
                    }
                }
                Side::Broker => self.broker_hears(link, event),
            }
        }
    }

    fn broker_hears(&mut self, link: LinkId, event: Event) {
        let now = self.clock.now();
        match event {
            Event::Opened => {
                let Some((_, node)) = self.network.ends(link) else { return };
                match self.cluster.open(now, node) {
                    Ok(connection) => {
                        self.connections.insert(connection, link);
                        let received = BytesMut::new();
                        let unanswered = VecDeque::new();
                        let end = End { connection, received, in_flight: 0, unanswered };
                        self.ends.insert(link, end);
                    }
                    Err(_) => self.network.reset(self.clock.elapsed(), link),
                }
            }
            Event::Received(bytes) => {
                let Some(end) = self.ends.get_mut(&link) else { return };
                end.received.extend_from_slice(&bytes);
                let mut frames = Vec::new();
                let mut is_broken = false;
                loop {
                    match FrameReader::default().read(&mut end.received) {
                        Ok(Some(frame)) => frames.push(frame),
                        Ok(None) => break,
                        Err(_) => {
                            is_broken = true;
                            break;
                        }
                    }
                }
                let connection = end.connection;
                for frame in frames {
                    if self.is_held_up(link, &frame) {
                        break;
                    }
                    let may_commit = self.note_request(link, &frame);
                    let frame = self.tamper_with(link, Side::Client, frame);
                    self.cluster.handle(now, connection, frame);
                    if may_commit {
                        self.note_commits();
                    }
                    self.note_shares();
                }
                if is_broken {
                    self.forget(link);
                    self.network.reset(self.clock.elapsed(), link);
                }
            }
            Event::Closed => self.forget(link),
            Event::Refused => {}
        }
    }

    fn forget(&mut self, link: LinkId) {
        if let Some(end) = self.ends.remove(&link) {
            self.connections.remove(&end.connection);
            self.cluster.close(self.clock.now(), end.connection);
            self.note_shares();
        }
    }

    fn deliver_replies(&mut self) {
        while let Some(output) = self.cluster.poll_output(self.clock.now()) {
            match output {
                Output::Reply { connection, frame } => {
                    let frame = frame.into_bytes();
                    let Some(link) = self.connections.get(&connection).copied() else { continue };
                    let asked = self.ends.get_mut(&link).and_then(|end| {
                        let asked = end.unanswered.pop_front()?;
                        end.in_flight -= usize::from(asked.api == ApiKey::PRODUCE);
                        Some(asked)
                    });
                    self.say(|| {
                        let said = asked.as_ref().map(|asked| asked.read(&frame));
                        let said: String =
                            said.unwrap_or_default().chars().take(SAID_MAX).collect();
                        format!("{:?} hears {said}", self.network.ends(link))
                    });
                    if !self.is_swallowed(link) {
                        let frame = self.tamper_with(link, Side::Broker, frame);
                        let node = self.network.ends(link).map(|(_, node)| node);
                        let frame = match (asked, node) {
                            (Some(asked), Some(node)) => self.tamper.answer(node, asked, frame),
                            _ => frame,
                        };
                        self.network.send(self.clock.elapsed(), link, Side::Broker, frame);
                    }
                }
                Output::Close { connection } => {
                    if let Some(link) = self.connections.remove(&connection) {
                        self.ends.remove(&link);
                        self.network.close(self.clock.elapsed(), link, Side::Broker);
                    }
                }
                // Nothing of a world is kept.
                other @ (Output::Store { .. } | _) => unreachable!("a new output: {other:?}"),
            }
        }
    }

    /// Whether the answer that goes out on `link` is to be lost.
    fn is_swallowed(&mut self, link: LinkId) -> bool {
        let Some((_, node)) = self.network.ends(link) else { return false };
        let Some(left) = self.swallowed.get_mut(&node).filter(|left| **left > 0) else {
            return false;
        };
        *left -= 1;
        true
    }

    /// What the checker wants to know of a request as the broker read it; whether it may move offsets of the group.
    fn note_request(&mut self, link: LinkId, frame: &Bytes) -> bool {
        self.second.requests += 1;
        let Ok((header, request)) = decode_request(frame.clone()) else { return false };
        self.say(|| {
            // Records say nothing, and whole requests too much.
            let what: String = format!("{request:?}").chars().take(SAID_MAX).collect();
            format!("{:?} asks {what}", self.network.ends(link))
        });
        let Some(end) = self.ends.get_mut(&link) else { return false };
        let is_answered = !matches!(&request, Request::Produce(produce) if produce.acks == 0);
        if is_answered {
            end.unanswered.push_back(Asked::of(&header, &request));
        }
        let may_commit = matches!(&request, Request::OffsetCommit(_) | Request::EndTxn(_));
        let Request::Produce(produce) = request else { return may_commit };
        end.in_flight += usize::from(is_answered);
        self.history.in_flight_max = self.history.in_flight_max.max(end.in_flight);
        for topic in produce.topic_data {
            for partition in topic.partition_data {
                let Some(records) = partition.records else { continue };
                let to = TopicPartition::new(TOPIC, partition.index);
                let seen = batches_seen(self.clock.elapsed(), link, &to, records.into_bytes());
                self.history.batches.extend(seen);
            }
        }
        false
    }

    /// Looks at what came over a link, and changes what is to be changed of it.
    fn tamper_with(&mut self, link: LinkId, side: Side, frame: Bytes) -> Bytes {
        match self.network.ends(link) {
            Some((_, node)) => self.tamper.damage(node, side, frame),
            None => frame,
        }
    }

    /// Notes what became of transactions in the log and of the offsets in them.
    fn note_transactions(&mut self) {
        for plan in self.scenario.transactions() {
            let group = plan.group();
            let committed = self.cluster.committed(&group);
            let committed = committed.get(&TopicPartition::new(TOPIC, 0));
            let offset = committed.map(|committed| committed.offset.get());
            self.history.groups.insert(group, offset);
        }
        for tp in self.partitions() {
            let fates = fates(&self.cluster.batches(&tp));
            self.history.fates.insert(tp, fates);
        }
    }

    /// Notes what the topic holds, at the end of the world or of the topic.
    fn end_life(&mut self) {
        let mut logs = Logs::new();
        for tp in self.partitions() {
            let mut log = self.deleted.remove(&tp).unwrap_or_default();
            log.extend(self.log(&tp));
            logs.insert(tp, log);
        }
        self.history.lives.push(logs);
    }

    fn log(&self, tp: &TopicPartition) -> Log {
        let records = self.cluster.records(tp).into_iter();
        let value = |bytes: Option<Bytes>| value(bytes.as_deref().unwrap_or_default());
        records.map(|record| (record.offset, value(record.value))).collect()
    }

    fn is_at_rest(&self) -> bool {
        let producers_done = self.hosts.iter().all(|host| match host.user() {
            User::Producer(producer) => producer.is_done(),
            User::Consumer(_) | User::Member(_) | User::Sharer(_) => true,
        });
        // With acks=0 a record is done when it is written.
        let is_on_its_way = self.scenario.acks == Acks::None
            && self.network.carries_from(|client| client < self.scenario.producers.len());
        producers_done
            && !is_on_its_way
            && self.faults.is_empty()
            && self.reliefs.is_empty()
            && self.hosts.iter().all(|host| match host.user() {
                User::Producer(_) | User::Member(_) | User::Sharer(_) => true,
                User::Consumer(consumer) => consumer.has_read_all(&self.cluster),
            })
            && self.is_group_settled()
            && self.is_share_settled()
    }

    fn next_event(&self) -> Option<Duration> {
        let hosts = self.hosts.iter().filter_map(Host::next);
        let next = hosts
            .chain(self.network.poll_timeout())
            .chain(self.cluster.poll_timeout().map(|at| self.clock.since_start(at)))
            .chain(self.faults.front().map(|timed| timed.at))
            .chain(self.reliefs.iter().map(|(at, _)| *at))
            .min()?;
        // What is due already and did not happen would stop the clock: a machine that asks to be called at once, for
        // ever, is a spin, and the checker is to see it as such.
        Some(if next <= self.clock.elapsed() { self.clock.elapsed() + SPIN_STEP } else { next })
    }

    fn begin_second(&mut self) {
        let number = self.clock.elapsed().as_secs();
        if number != self.second.number {
            let wakeups = self.hosts.iter().map(|host| host.wakeups).max().unwrap_or_default();
            let history = &mut self.history;
            history.requests_per_second_max =
                history.requests_per_second_max.max(self.second.requests);
            history.wakeups_per_second_max = history.wakeups_per_second_max.max(wakeups);
            self.hosts.iter_mut().for_each(|host| host.wakeups = 0);
            self.second = Second { number, requests: 0 };
        }
    }

    fn note_trace(&mut self, link: LinkId, side: Side, event: &Event) {
        let at = self.clock.elapsed();
        match event {
            Event::Received(bytes) => (at, link.0, side as u8, &bytes[..]).hash(&mut self.trace),
            Event::Opened => (at, link.0, side as u8, 1).hash(&mut self.trace),
            Event::Refused => (at, link.0, side as u8, 2).hash(&mut self.trace),
            Event::Closed => (at, link.0, side as u8, 3).hash(&mut self.trace),
        }
        if self.is_traced {
            let what = match event {
                Event::Received(bytes) => format!("{} bytes", bytes.len()),
                Event::Opened | Event::Refused | Event::Closed => format!("{event:?}"),
            };
            let ends = self.network.ends(link);
            println!("{:>12.6}s link {} {side:?} of {ends:?}: {what}", at.as_secs_f64(), link.0);
        }
    }

    fn say(&self, what: impl FnOnce() -> String) {
        if self.is_traced {
            println!("{:>12.6}s {}", self.clock.elapsed().as_secs_f64(), what());
        }
    }
}

fn batches_seen(at: Duration, link: LinkId, to: &TopicPartition, records: Bytes) -> Vec<BatchSeen> {
    let mut decompressor = Decompressor::default();
    let mut seen = Vec::new();
    for batch in RecordSet::new(records).flatten() {
        let Some(header) = batch.header().cloned() else { continue };
        let Ok(decoded) = batch.decode(&mut decompressor) else { continue };
        let values = decoded.iter().flatten();
        let values = values.map(|record| value(record.value().unwrap_or_default())).collect();
        let identity = header.producer().map(|stamp| {
            let sequence = stamp.base_sequence.map_or(-1, Sequence::get);
            (stamp.producer_id.get(), stamp.producer_epoch.get(), sequence)
        });
        let records = header.record_count();
        seen.push(BatchSeen { at, connection: link.0, to: to.clone(), identity, records, values });
    }
    seen
}

/// What became of each record of a transaction, by the markers.
fn fates(batches: &[StoredBatch]) -> BTreeMap<Offset, Fate> {
    let mut fates = BTreeMap::new();
    let mut open: BTreeMap<ProducerId, Vec<Offset>> = BTreeMap::new();
    for batch in batches.iter().filter(|batch| batch.is_transactional) {
        let Some((producer, _)) = batch.producer else { continue };
        if !batch.is_control {
            let last = batch.last_offset.get();
            let offsets = (batch.base_offset.get()..=last).filter_map(Offset::new);
            for offset in offsets {
                fates.insert(offset, Fate::Open);
                open.entry(producer).or_default().push(offset);
            }
            continue;
        }
        let control = RecordSet::new(batch.bytes.clone()).next().and_then(Result::ok);
        let control = control.and_then(|batch| batch.decode(&mut Decompressor::default()).ok());
        let control = control.and_then(|records| records.control_record().ok().flatten());
        let fate = match control.map(|control| control.kind) {
            Some(ControlType::COMMIT) => Fate::Committed,
            _ => Fate::Aborted,
        };
        for offset in open.remove(&producer).unwrap_or_default() {
            fates.insert(offset, fate);
        }
    }
    fates
}

fn value(bytes: &[u8]) -> Value {
    Value(bytes.first_chunk().map_or(u64::MAX, |bytes| u64::from_be_bytes(*bytes)))
}

/// How much of a request or an answer a trace shows.
const SAID_MAX: usize = 400;

/// How far the clock is moved where something is due and does not happen.
const SPIN_STEP: Duration = Duration::from_micros(10);
