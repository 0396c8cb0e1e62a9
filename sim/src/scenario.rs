//! What one world is set up to do, drawn from its seed.

mod promises;

use std::fmt;
use std::time::Duration;

use fastrand::Rng;
use milena_engine::producer::Acks;
use serde::{Deserialize, Serialize};

use crate::fault::{self, Api, Fault, Members, RULE_LASTS, Strike, Targets, Timed};
use crate::group::{Act, CopyPlan, GroupPlan, MemberPlan, Strategy};
use crate::network::Weather;
use crate::script;
use crate::share::{SharePlan, SharerPlan};

/// Who is in a world besides producers and consumers.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Cast {
    /// Nobody.
    #[default]
    Plain,
    /// In one world of three a group; and the faults that came with groups.
    Groups,
    /// A group whose members copy in transactions, and the faults of groups.
    Copies,
    /// A share group, and the faults of such.
    Shares,
}

/// A world before it begins.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Where all chance in it comes from.
    pub seed: u64,
    /// Brokers, with ids from 1.
    pub nodes: i32,
    /// Partitions of the one topic.
    pub partitions: i32,
    /// Whether the producers are idempotent; all or none, so that the logs can be judged.
    pub idempotent: bool,
    /// F46: where sequences of new producers begin: a broker takes any of one that it does not know.
    pub first_sequence: i32,
    /// `acks` of all producers.
    #[serde(with = "script::OfAcks")]
    pub acks: Acks,
    /// F42: the topic's `max.message.bytes`; larger batches must be split.
    pub message_bytes_max: Option<usize>,
    /// The level of the feature `transaction.version`.
    pub transaction_version: i16,
    /// Whether consumers read committed records only.
    pub read_committed: bool,
    /// What each producer does.
    pub producers: Vec<ProducerPlan>,
    /// What each consumer does.
    pub consumers: Vec<ConsumerPlan>,
    /// The group that shares the topic out among its members, if there is one; its clients come after the consumers.
    pub group: Option<GroupPlan>,
    /// The share group of the topic, if there is one; its clients come last.
    pub share: Option<SharePlan>,
    /// `metadata.max.age.ms` of all clients, where it is not the group's or the default.
    pub metadata_max_age: Option<Duration>,
    /// F71: the bytes that a consumer may hold of what it fetched, where it is not the default.
    pub fetched_bytes: Option<usize>,
    /// R8: Fetch names aborted transactions in another order than the log's.
    pub shuffles_aborted: bool,
    /// How the network is.
    pub weather: Weather,
    /// What goes wrong, by time.
    pub faults: Vec<Timed>,
}

/// What one producer does, and how it is set.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ProducerPlan {
    /// How many records it sends.
    pub records: usize,
    /// Over how long.
    pub over: Duration,
    /// The largest value, in bytes.
    pub value_bytes_max: usize,
    /// After how many records it flushes each time; 0 for never.
    pub flush_every: usize,
    /// `linger.ms`
    pub linger: Duration,
    /// `batch.size`
    pub batch_bytes: usize,
    /// `buffer.memory`
    pub buffer_bytes: usize,
    /// `request.timeout.ms`
    pub request_timeout: Duration,
    /// `delivery.timeout.ms`
    pub delivery_timeout: Duration,
    /// `max.block.ms`
    pub max_block: Duration,
    /// `max.in.flight.requests.per.connection`
    pub in_flight: usize,
    /// How long it stays open when everything is sent.
    pub idle: Duration,
    /// Its transactions, if it has any.
    pub transaction: Option<TransactionPlan>,
    /// Whether batches are compressed, so that they come back from the sealer out of order.
    pub compressed: bool,
}

/// How a producer's transactions are.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TransactionPlan {
    /// `transactional.id`
    pub id: String,
    /// How many records each has.
    pub records: usize,
    /// Its user aborts one in so many; 0 for none.
    pub aborts: u32,
    /// Whether it commits an offset too.
    pub offsets: bool,
    /// `transaction.timeout.ms`
    pub timeout: Duration,
}

impl TransactionPlan {
    /// The group whose offset its transactions move.
    pub fn group(&self) -> String {
        format!("group of {}", self.id)
    }
}

/// What one consumer does, and how it is set.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ConsumerPlan {
    /// `max.poll.records`
    pub max_poll_records: usize,
    /// `max.partition.fetch.bytes`
    pub partition_bytes: i32,
    /// How often it seeks back to the start.
    pub rewinds: u32,
}

/// Several round trips of such a network take longer than the shortest `max.block.ms`.
const SLOW: Duration = Duration::from_millis(100);
const PATIENT: Duration = Duration::from_secs(2);

/// Such that the seeds of `sim/regressions`, and those at which planted defects were found, are the worlds that they were.
const RARE: u64 = 0x7262_0240;

/// Such that the same holds of those seeds whose worlds have a group, as far as this is concerned.
const LATE: u64 = 0x6c61_7465_0000_81a5;

/// Longer than metadata is good in worlds whose topic grows.
const NOTICED: Duration = Duration::from_secs(7);

impl Scenario {
    /// The world of a seed.
    pub fn draw(seed: u64, cast: Cast) -> Self {
        Self::with_strikes(seed, cast, fault::draw)
    }

    /// The world of a seed in which these strike in the place of what it would draw first.
    pub fn scripted(seed: u64, cast: Cast, script: &[Strike]) -> Self {
        Self::with_strikes(seed, cast, |_, targets, during| {
            fault::scripted(script, targets, during)
        })
    }

    fn with_strikes(
        seed: u64,
        cast: Cast,
        strikes: impl FnOnce(&mut Rng, Targets, Duration) -> Vec<Timed>,
    ) -> Self {
        let mut rng = Rng::with_seed(seed);
        let nodes = rng.i32(1..=3);
        let partitions = rng.i32(1..=4);
        let idempotent = rng.u32(0..5) > 0;
        let acks = match rng.u32(0..3) {
            1 if !idempotent => Acks::Leader,
            2 if !idempotent => Acks::None,
            _ => Acks::All,
        };
        // Without idempotence the order is kept by one request in flight, or not at all.
        let in_flight: &[usize] = if idempotent { &[5, 5, 2, 1] } else { &[5, 1] };
        let in_flight = *pick(&mut rng, in_flight);
        let mut producers: Vec<_> =
            (0..rng.usize(1..=4)).map(|_| producer(&mut rng, in_flight)).collect();
        let transactional = if idempotent && rng.u32(0..3) == 0 {
            let rivals = rng.u32(0..6) == 0;
            // The first ones, so that they are easily named.
            let count = rng.usize(1..=producers.len());
            for (n, plan) in producers.iter_mut().take(count).enumerate() {
                let id = if rivals { "t".to_owned() } else { format!("t{n}") };
                plan.transaction = Some(transaction(&mut rng, id));
            }
            count
        } else {
            0
        };
        let consumers: Vec<_> = (0..rng.usize(1..=4)).map(|_| consumer(&mut rng)).collect();
        let clients = producers.len() + consumers.len();
        let during = producers.iter().map(|plan| plan.over).max().unwrap_or_default();
        // Who copies does so in transactions, whatever the others do.
        let copying = usize::from(cast == Cast::Copies);
        let struck = transactional.max(copying);
        let targets = Targets { nodes, clients, partitions, transactional: struck };
        let weather = weather(&mut rng);
        if weather.latency.1 >= SLOW {
            // Else no call of a transaction would ever end well.
            for plan in producers.iter_mut().filter(|plan| plan.transaction.is_some()) {
                plan.max_block = plan.max_block.max(PATIENT);
            }
        }
        let mut faults = strikes(&mut rng, targets, during + Duration::from_secs(1));
        // Of producers those with transactions are told apart from who comes after them.
        faults.retain(
            |timed| !matches!(timed.fault, Fault::Die { client, .. } if client >= transactional),
        );
        let transaction_version = rng.i16(1..=2);
        let read_committed = transactional > 0 && rng.u32(0..4) > 0;
        // A single record always fits.
        let message_bytes_max = (rng.u32(0..6) == 0).then(|| rng.usize(1_200..4_000));
        let mut scenario = Self {
            seed,
            nodes,
            partitions,
            idempotent,
            first_sequence: 0,
            acks,
            transaction_version,
            read_committed,
            message_bytes_max,
            producers,
            consumers,
            group: None,
            share: None,
            metadata_max_age: None,
            fetched_bytes: None,
            shuffles_aborted: false,
            weather,
            faults,
        };
        match cast {
            Cast::Plain => {}
            Cast::Groups | Cast::Copies => scenario.draw_more(targets, during, cast),
            Cast::Shares => scenario.draw_share(targets, during),
        }
        scenario
    }

    /// Draws what came to worlds later, on its own chances: a seed whose world has nothing of it stays what it was.
    fn draw_more(&mut self, targets: Targets, during: Duration, cast: Cast) {
        let mut rng = Rng::with_seed(self.seed ^ 0x6d69_6c65_6e61);
        let during = during + Duration::from_secs(10);
        if cast == Cast::Copies {
            self.group = Some(GroupPlan::draw_copies(&mut rng, during));
            self.leave_room_for_copies(&mut rng);
        } else if rng.u32(0..3) == 0 {
            self.group = Some(GroupPlan::draw(&mut rng, during));
        }
        if self.group.is_some() {
            // What a group committed of a topic that is gone is nobody's promise.
            self.faults.retain(|timed| timed.fault != Fault::Recreate);
            // Its members read enough.
            self.consumers.truncate(1);
        }
        let mut late = Rng::with_seed(self.seed ^ LATE);
        let has_late = cast == Cast::Groups && late.u32(0..3) > 0;
        if has_late {
            self.draw_late(&mut late);
        }
        let first = self.producers.len() + self.consumers.len();
        let members = first..first + self.members().count();
        let targets = Targets { clients: first, ..targets };
        let has_more = !members.is_empty() || rng.u32(0..4) == 0;
        // In a calm world nothing may fail.
        if has_more && (!self.faults.is_empty() || rng.u32(0..8) == 0) {
            self.faults.extend(fault::draw_more(&mut rng, targets, &members, during));
            self.faults.sort_by_key(|timed| timed.at);
        }
        if cast == Cast::Groups && !self.faults.is_empty() {
            self.draw_rare(targets, &members, during);
            if let Some(group) = self.group.as_ref().filter(|_| has_late) {
                self.faults.extend(fault::draw_late(&mut late, group.strategy, during));
                self.faults.sort_by_key(|timed| timed.at);
            }
        }
        if cast == Cast::Copies {
            // Before KIP-447 nobody could know who commits what in a transaction.
            self.faults.retain(|timed| !matches!(timed.fault, Fault::Withdraw { .. }));
        }
        if self.first_sequence > 0 {
            self.faults.retain(|timed| !matches!(timed.fault, Fault::TransactionVersion { .. }));
        }
        if self.is_there(|fault| matches!(fault, Fault::Withdraw { api: Api::Fetch, .. })) {
            // Fetch names topics by id from version 13 on. Before, what is read of a topic made anew comes as if it were the
            // old one's, until metadata tells, and then from its start again.
            self.faults.retain(|timed| timed.fault != Fault::Recreate);
        }
        if self.is_there(|fault| matches!(fault, Fault::Crash { .. } | Fault::Pause { .. })) {
            // With too few nodes for their replicas there would be none.
            self.faults.retain(|timed| !matches!(timed.fault, Fault::AddPartitions { .. }));
        }
        let grows = self.grows();
        if let Some(group) = self.group.as_mut().filter(|_| grows) {
            group.metadata_max_age = group.metadata_max_age.min(Duration::from_secs(5));
        }
        self.settle_what_static_members_leave();
    }

    /// Draws what came to worlds with groups last.
    fn draw_late(&mut self, rng: &mut Rng) {
        if let Some(group) = &mut self.group {
            group.draw_late(rng);
        }
        if rng.u32(0..3) == 0 {
            self.fetched_bytes = Some(1);
        }
    }

    /// Draws what hardly ever comes together, on its own chances once more.
    fn draw_rare(&mut self, targets: Targets, members: &Members, during: Duration) {
        let mut rng = Rng::with_seed(self.seed ^ RARE);
        // With too few nodes for their replicas there would be no more partitions.
        let is_short = |fault: &Fault| matches!(fault, Fault::Crash { .. } | Fault::Pause { .. });
        let may_grow = !self.is_there(is_short);
        let rare = fault::draw_rare(&mut rng, targets, members, may_grow, during);
        self.faults.extend(rare.faults);
        self.faults.sort_by_key(|timed| timed.at);
        self.metadata_max_age = rare.metadata_max_age;
        self.shuffles_aborted = rare.shuffles_aborted;
    }

    /// Few records on a near network, as each poll of a member is a transaction; sequences of some wrap (F46), under the
    /// first protocol of transactions, as the second wants 0 from whom a broker does not know.
    fn leave_room_for_copies(&mut self, rng: &mut Rng) {
        self.idempotent = true;
        self.acks = Acks::All;
        self.read_committed = true;
        self.weather.latency.1 = self.weather.latency.1.min(Duration::from_millis(5));
        self.producers.truncate(2);
        for plan in &mut self.producers {
            plan.records = plan.records.min(60);
        }
        if rng.u32(0..3) == 0 {
            self.first_sequence = i32::MAX - rng.i32(0..20);
            self.transaction_version = 1;
        }
        // What was in a transaction and is deleted is neither committed nor aborted.
        self.faults.retain(|timed| !matches!(timed.fault, Fault::DeleteRecords { .. }));
    }

    /// Draws the share group, on chances of its own too.
    fn draw_share(&mut self, targets: Targets, during: Duration) {
        let mut rng = Rng::with_seed(self.seed ^ 0x7368_6172_6564);
        let during = during + Duration::from_secs(10);
        // What is lost with a leader would leave offsets that the group is done with to other records.
        self.acks = Acks::All;
        self.share = Some(SharePlan::draw(&mut rng, during));
        self.faults.retain(|timed| timed.fault != Fault::Recreate);
        self.consumers.truncate(1);
        let first = self.producers.len() + self.consumers.len();
        let members = first..first + self.sharers().count();
        let targets = Targets { clients: first, ..targets };
        // In a calm world nothing may fail.
        if !self.faults.is_empty() || rng.u32(0..8) == 0 {
            self.faults.extend(fault::draw_shares(&mut rng, targets, &members, during));
            self.faults.sort_by_key(|timed| timed.at);
        }
    }

    /// A static member that comes back gets what it was assigned, and nobody joins anew (KIP-345, KIP-814). What it
    /// gave up in the middle of a cooperative rebalance, and what was added while the leader was away, is then nobody's
    /// until the next rebalance: Kafka's own consumers do no better. So in such worlds users ask for one in the end.
    pub(crate) fn settle_what_static_members_leave(&mut self) {
        let (grows, faults_end) = (self.grows(), self.faults_end() + RULE_LASTS);
        let Some(group) = self.group.as_mut().filter(|group| group.keeps_places()) else { return };
        if grows || group.strategy == Strategy::Cooperative {
            let at = faults_end.max(group.busy_until()) + group.settles();
            for member in &mut group.members {
                member.acts.push((at, Act::Rebalance));
            }
        }
    }

    fn is_there(&self, which: impl Fn(&Fault) -> bool) -> bool {
        self.faults.iter().any(|timed| which(&timed.fault))
    }

    /// How many partitions the clients know of at a time, with a margin for those that were added last.
    pub fn partitions_at(&self, at: Duration) -> i32 {
        let added = self.faults.iter().filter(|timed| timed.at + NOTICED <= at);
        added.fold(self.partitions, |count, timed| {
            if let Fault::AddPartitions { count: more } = timed.fault {
                count + more
            } else {
                count
            }
        })
    }

    /// `metadata.max.age.ms` of all clients, where it is not the default.
    pub(crate) fn metadata_max_age(&self) -> Option<Duration> {
        self.metadata_max_age.or(self.group.as_ref().map(|group| group.metadata_max_age))
    }

    /// Whether the topic gets more partitions.
    pub fn grows(&self) -> bool {
        self.is_there(|fault| matches!(fault, Fault::AddPartitions { .. }))
    }

    /// How members copy, if they do.
    pub fn copies(&self) -> Option<CopyPlan> {
        self.group.as_ref().and_then(GroupPlan::copies)
    }

    /// The plans of all members, each with its group's.
    pub fn members(&self) -> impl Iterator<Item = (&GroupPlan, &MemberPlan)> {
        let groups = self.group.iter();
        groups.flat_map(|group| group.members.iter().map(move |member| (group, member)))
    }

    /// The plans of all members of the share group, each with its group's.
    pub fn sharers(&self) -> impl Iterator<Item = (&SharePlan, &SharerPlan)> {
        let groups = self.share.iter();
        groups.flat_map(|group| group.members.iter().map(move |member| (group, member)))
    }

    /// The plans of all transactions.
    pub fn transactions(&self) -> impl Iterator<Item = &TransactionPlan> {
        self.producers.iter().filter_map(|plan| plan.transaction.as_ref())
    }

    /// When the last fault ends.
    pub fn faults_end(&self) -> Duration {
        let ends = self.faults.iter().map(|timed| timed.at + timed.fault.lasts());
        ends.max().unwrap_or_default()
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "seed {}: {} nodes, {} partitions of messages up to {:?}, idempotent {} from {} on, acks {:?}, \
             transactions of version {}, read committed {}, segments of {} bytes",
            self.seed,
            self.nodes,
            self.partitions,
            self.message_bytes_max,
            self.idempotent,
            self.first_sequence,
            self.acks,
            self.transaction_version,
            self.read_committed,
            self.weather.segment_bytes
        )?;
        for (n, plan) in self.producers.iter().enumerate() {
            writeln!(f, "producer {n}: {plan:?}")?;
        }
        for (n, plan) in self.consumers.iter().enumerate() {
            writeln!(f, "consumer {n}: {plan:?}")?;
        }
        if let Some(group) = &self.group {
            writeln!(
                f,
                "group: session {:?}, polls within {:?}, {:?}, {:?}",
                group.session, group.max_poll_interval, group.strategy, group.commits
            )?;
            for (n, plan) in group.members.iter().enumerate() {
                writeln!(f, "member {n}: {plan:?}")?;
            }
        }
        if let Some(group) = &self.share {
            writeln!(
                f,
                "share group: session {:?}, locks of {:?}, {} deliveries, polls within {:?}",
                group.session, group.lock, group.deliveries_max, group.max_poll_interval
            )?;
            for (n, plan) in group.members.iter().enumerate() {
                writeln!(f, "sharer {n}: {plan:?}")?;
            }
        }
        self.faults.iter().try_for_each(|timed| writeln!(f, "{timed}"))
    }
}

fn producer(rng: &mut Rng, in_flight: usize) -> ProducerPlan {
    let ms = Duration::from_millis;
    let linger = ms(*pick(rng, &[0, 1, 5, 50]));
    let request_timeout = ms(*pick(rng, &[500, 2_000, 30_000]));
    let value_bytes_max = *pick(rng, &[8, 100, 1_000]);
    let batch_bytes = *pick(rng, &[200, 1_000, 16_384]);
    ProducerPlan {
        records: rng.usize(1..=200),
        // Some send all that they have before a broker has heard of them.
        over: ms(if rng.u32(0..4) == 0 { rng.u64(1..=50) } else { rng.u64(1..=20_000) }),
        value_bytes_max,
        flush_every: *pick(rng, &[0, 0, 7, 50]),
        linger,
        batch_bytes,
        buffer_bytes: *pick(rng, &[40_000, 1 << 20]),
        request_timeout,
        delivery_timeout: linger + request_timeout + ms(*pick(rng, &[0, 5_000, 90_000])),
        max_block: ms(*pick(rng, &[100, 60_000])),
        in_flight,
        idle: ms(*pick(rng, &[0, 0, 40_000])),
        transaction: None,
        compressed: rng.u32(0..4) == 0,
    }
}

fn transaction(rng: &mut Rng, id: String) -> TransactionPlan {
    TransactionPlan {
        id,
        records: *pick(rng, &[1, 3, 10, 40]),
        aborts: *pick(rng, &[0, 2, 4]),
        offsets: rng.bool(),
        timeout: Duration::from_millis(*pick(rng, &[1_000, 5_000, 30_000])),
    }
}

fn consumer(rng: &mut Rng) -> ConsumerPlan {
    ConsumerPlan {
        max_poll_records: *pick(rng, &[1, 10, 500]),
        partition_bytes: *pick(rng, &[1, 1_000, 1 << 20]),
        rewinds: rng.u32(0..2),
    }
}

fn weather(rng: &mut Rng) -> Weather {
    let most = *pick(rng, &[500, 5_000, 100_000]);
    Weather {
        latency: (Duration::from_micros(50), Duration::from_micros(most)),
        segment_bytes: *pick(rng, &[16, 1_400, 65_536]),
    }
}

fn pick<'a, T>(rng: &mut Rng, of: &'a [T]) -> &'a T {
    #[expect(clippy::indexing_slicing, reason = "drawn within the slice, which is not empty")]
    &of[rng.usize(0..of.len())]
}
