//! Everything the APIs work on: nodes, topics, groups, transactions, and who waits for what.

mod acls;
mod alteration;
mod census;
mod cleaning;
mod configs;
mod expiry;
mod features;
mod groups;
mod nodes;
mod placement;
mod producer_ids;
mod replay;
mod shares;
mod spread;
mod stored;
mod telemetry;
mod topics;
mod transactions;
mod waits;

use std::collections::BTreeMap;
use std::time::Instant;

use milena_types::{ApiKey, NodeId, Timestamp, Topic, Uuid};
use milena_wire::Response;

pub(crate) use acls::{ACLS_MAX, check_name};
pub(crate) use alteration::{Alteration, BROKER, CLIENT_METRICS, Change, GROUP, TOPIC};
pub(crate) use features::Features;
pub(crate) use groups::{OFFSETS_TOPIC, TRANSACTIONS_TOPIC, is_internal};
pub(crate) use nodes::Nodes;
pub(crate) use placement::Election;
pub(crate) use producer_ids::{Identity, ProducerIds};
pub(crate) use shares::Said;
pub(crate) use spread::{Spread, java_hash};
pub(crate) use stored::Store;
pub(crate) use topics::{NewTopic, Refused, cut};
pub(crate) use waits::{Wait, Waits};

use self::census::Census;
use crate::acl::Acls;
use crate::api::{self, Versions};
use crate::broker_config::BrokerConfigs;
use crate::clock::Clock;
use crate::connection::ConnectionId;
use crate::group::Group;
use crate::journal::Journal;
use crate::quota::Quotas;
use crate::scram::Credentials;
use crate::settings::Settings;
use crate::share::{ShareGroup, ShareKey, SharePartitions};
use crate::telemetry::Subscriptions;
use crate::ticket::Ticket;
use crate::timers::Timers;
use crate::topic::{ImageVersion, TopicImage, TopicState};
use crate::transaction::Transaction;

/// The cluster's model, without its connections.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) settings: Settings,
    /// What is answered, in the release that is played.
    pub(crate) apis: BTreeMap<ApiKey, Versions>,
    pub(crate) clock: Clock,
    pub(crate) rng: fastrand::Rng,
    pub(crate) nodes: Nodes,
    pub(crate) topics: BTreeMap<Topic, TopicState>,
    /// Names of topics by their id.
    pub(crate) topic_ids: BTreeMap<Uuid, Topic>,
    /// Counts the changes of topics.
    pub(crate) topics_version: ImageVersion,
    census: Census,
    pub(crate) groups: BTreeMap<String, Group>,
    pub(crate) spread: Spread,
    pub(crate) share_groups: BTreeMap<String, ShareGroup>,
    pub(crate) share_partitions: SharePartitions,
    /// What is set for single groups, by their ids.
    pub(crate) group_configs: BTreeMap<String, BTreeMap<String, String>>,
    /// What brokers were started with and told while they run.
    pub(crate) broker_configs: BrokerConfigs,
    /// What clients are to tell of themselves.
    pub(crate) subscriptions: Subscriptions,
    /// Who may do what, judged by only where the settings have an authorizer.
    pub(crate) acls: Acls,
    /// What is set for clients, and what they use.
    pub(crate) quotas: Quotas,
    /// By what users could prove who they are.
    pub(crate) credentials: Credentials,
    pub(crate) features: Features,
    pub(crate) producer_ids: ProducerIds,
    /// By their transactional ids.
    pub(crate) transactions: BTreeMap<String, Transaction>,
    pub(crate) waits: Waits,
    pub(crate) timers: Timers<Timer>,
    pub(crate) journal: Journal,
    /// What is to be written down.
    pub(crate) store: Store,
    /// Connections that are gone, and what hung on them is not gone yet.
    pub(crate) disconnected: Vec<(NodeId, ConnectionId)>,
    /// Answers that became due and are not sent yet.
    pub(crate) answered: Vec<(Ticket, Response)>,
}

/// What can become due.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Timer {
    /// A node that stopped is no longer counted in.
    Fence(NodeId),
    /// A member's session, a rebalance, a member id handed out.
    Group(String),
    /// A session of a share group's member.
    ShareGroup(String),
    /// A lock on records.
    SharePartition(ShareKey),
    /// A transaction took too long, its markers are due, or its id was unused for long.
    Transaction(String),
    /// A request that waits for data or for replicas.
    Wait(Ticket),
    /// Logs may hold what is too old.
    Retain,
    /// Logs may hold what is to be compacted.
    Compact,
    /// Groups may hold commits that are too old.
    Commits,
}

impl State {
    /// A cluster of the given nodes, still without topics.
    pub(crate) fn new(settings: Settings, now: Instant) -> Self {
        let nodes = Nodes::new(&settings);
        Self {
            apis: api::answered(settings.release()),
            clock: Clock::new(now, settings.wall_clock),
            rng: fastrand::Rng::with_seed(settings.seed),
            nodes,
            topics: BTreeMap::new(),
            topic_ids: BTreeMap::new(),
            topics_version: ImageVersion::default(),
            census: Census::default(),
            groups: BTreeMap::new(),
            spread: Spread::default(),
            share_groups: BTreeMap::new(),
            share_partitions: SharePartitions::default(),
            group_configs: BTreeMap::new(),
            broker_configs: BrokerConfigs::new(settings.broker_config.clone()),
            subscriptions: Subscriptions::default(),
            acls: Acls::default(),
            quotas: Quotas::default(),
            credentials: Credentials::default(),
            features: Features::default(),
            producer_ids: ProducerIds::default(),
            transactions: BTreeMap::new(),
            waits: Waits::default(),
            timers: Timers::default(),
            journal: Journal::new(settings.journal_max),
            store: Store::default(),
            disconnected: Vec::new(),
            answered: Vec::new(),
            settings,
        }
    }

    /// What group coordinators see of the topics.
    pub(crate) fn image(&self) -> TopicImage<'_> {
        TopicImage::new(&self.topics, &self.topic_ids, self.topics_version)
    }

    pub(crate) fn wall(&self, now: Instant) -> Timestamp {
        self.clock.wall(now)
    }

    /// A random id as Kafka draws them (version 4).
    pub(crate) fn draw_uuid(&mut self) -> Uuid {
        let mut bytes = self.rng.u128(..).to_be_bytes();
        let [_, _, _, _, _, _, version, _, variant, ..] = &mut bytes;
        *version = (*version & 0x0f) | 0x40;
        *variant = (*variant & 0x3f) | 0x80;
        Uuid::from_bytes(bytes)
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        while let Some(timer) = self.timers.pop(now) {
            match timer {
                Timer::Fence(node) => self.fence(now, node),
                Timer::Group(group) => self.expire_group(now, &group),
                Timer::ShareGroup(group) => self.expire_share_group(now, &group),
                Timer::SharePartition(key) => self.expire_share_partition(now, &key),
                Timer::Transaction(id) => self.expire_transaction(now, &id),
                Timer::Wait(ticket) => self.expire_wait(now, ticket),
                Timer::Retain => self.retain_all(now),
                Timer::Compact => self.compact_all(now),
                Timer::Commits => self.expire_commits(now),
            }
        }
    }
}
