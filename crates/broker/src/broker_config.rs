//! What brokers are told while they run (KIP-226): one of them, or all that were not told otherwise.

use std::collections::BTreeMap;

use milena_types::NodeId;

use crate::release::Release;
use crate::topic::{ConfigKind, Definition, TopicDefaults};

use self::ConfigKind::{Boolean, Double, Int, List, Long, String as Text};

/// All of it, by node; that of all nodes under `None`.
#[derive(Debug, Default)]
pub(crate) struct BrokerConfigs {
    by_node: BTreeMap<Option<NodeId>, BTreeMap<String, String>>,
}

/// One name that brokers may be told while they run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BrokerDefinition {
    pub(crate) kind: ConfigKind,
    topic: Option<&'static Definition>,
}

impl BrokerConfigs {
    /// What was set of a node, or of all.
    pub(crate) fn of(&self, node: Option<NodeId>) -> impl Iterator<Item = (&str, &str)> {
        let set = self.by_node.get(&node).into_iter().flatten();
        set.map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// What this name was set to of a node, or of all.
    pub(crate) fn value(&self, node: Option<NodeId>, name: &str) -> Option<&str> {
        self.by_node.get(&node)?.get(name).map(String::as_str)
    }

    /// Sets all of a node, or of all.
    pub(crate) fn set(&mut self, node: Option<NodeId>, set: BTreeMap<String, String>) {
        match set.is_empty() {
            true => drop(self.by_node.remove(&node)),
            false => drop(self.by_node.insert(node, set)),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Option<NodeId>, &BTreeMap<String, String>)> {
        self.by_node.iter().map(|(node, set)| (*node, set))
    }

    /// What topics get from it. A node's own counts where there is no other node: a topic's settings are the same on all.
    pub(crate) fn topic_defaults(&self, only: Option<NodeId>, release: Release) -> TopicDefaults {
        let own = only.into_iter().flat_map(|node| self.of(Some(node)));
        let told = self.of(None).chain(own);
        let default = |(name, value): (&str, &str)| {
            Some((Definition::of_broker(name, release)?.name, value.to_owned()))
        };
        told.filter_map(default).collect()
    }
}

impl BrokerDefinition {
    /// Those of topics' defaults, with their names and what they are by default.
    pub(crate) fn all(
        release: Release,
    ) -> impl Iterator<Item = (&'static str, Option<&'static str>)> {
        Definition::all(release).filter_map(|topic| {
            let name = topic.broker_name()?;
            Some((name, fallback(name).is_none().then_some(topic.default)))
        })
    }

    /// The definition of a name that brokers may be told while they run.
    pub(crate) fn of(name: &str, release: Release) -> Option<Self> {
        let topic = Definition::of_broker(name, release);
        let of_topics = topic.map(|topic| Self { kind: topic.kind, topic: Some(topic) });
        let other = OTHERS.iter().find(|(other, _)| *other == name);
        of_topics.or_else(|| other.map(|(_, kind)| Self { kind: *kind, topic: None }))
    }

    /// What it is where nobody was told otherwise.
    pub(crate) fn default(&self) -> &'static str {
        self.topic.map_or("", |topic| topic.default)
    }

    fn check(&self, name: &str, value: &str) -> Result<(), String> {
        match self.topic {
            Some(topic) => topic.check_as(name, value),
            None => self.kind.check(name, value),
        }
    }
}

/// What stands for a name of no default of its own: times in hours.
pub(crate) fn fallback(name: &str) -> Option<(&'static str, &'static str)> {
    match name {
        "log.retention.ms" => Some(("log.retention.hours", "168")),
        "log.roll.ms" => Some(("log.roll.hours", "168")),
        "log.roll.jitter.ms" => Some(("log.roll.jitter.hours", "0")),
        _ => None,
    }
}

/// Why not all of this may be set. A name that Kafka does not know is taken, as by Kafka: a plugin of its brokers might.
pub(crate) fn check(set: &BTreeMap<String, String>, release: Release) -> Result<(), String> {
    let definition = |name: &str| BrokerDefinition::of(name, release);
    let is_fixed = |name: &&String| definition(name).is_none() && is_read_at_the_start(name);
    let fixed: Vec<&str> = set.keys().filter(is_fixed).map(String::as_str).collect();
    if !fixed.is_empty() {
        let fixed = fixed.join(", ");
        // As Scala's sets were printed, and Java's are.
        let set = if release < Release::of(4, 0) {
            format!("Set({fixed})")
        } else {
            format!("[{fixed}]")
        };
        return Err(format!("Cannot update these configs dynamically: {set}"));
    }
    let mut known = set.iter().filter_map(|(name, value)| Some((name, value, definition(name)?)));
    known.try_for_each(|(name, value, definition)| definition.check(name, value))
}

/// Whether brokers of Kafka know the name, and read it when they start alone.
fn is_read_at_the_start(name: &str) -> bool {
    FIXED.contains(&name) || FIXED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Those that are no defaults of topics (`DynamicBrokerConfig.AllDynamicConfigs`), but for listeners and what is about TLS. Here they
/// are kept and do nothing.
const OTHERS: &[(&str, ConfigKind)] = &[
    ("background.threads", Int),
    ("follower.replication.throttled.rate", Long),
    ("leader.replication.throttled.rate", Long),
    ("log.cleaner.backoff.ms", Long),
    ("log.cleaner.dedupe.buffer.size", Long),
    ("log.cleaner.io.buffer.load.factor", Double),
    ("log.cleaner.io.buffer.size", Int),
    ("log.cleaner.io.max.bytes.per.second", Double),
    ("log.cleaner.threads", Int),
    ("max.connection.creation.rate", Int),
    ("max.connections", Int),
    ("max.connections.per.ip", Int),
    ("max.connections.per.ip.overrides", Text),
    ("metric.reporters", List),
    ("num.io.threads", Int),
    ("num.network.threads", Int),
    ("num.recovery.threads.per.data.dir", Int),
    ("num.replica.fetchers", Int),
    ("producer.id.expiration.ms", Int),
    ("replica.alter.log.dirs.io.max.bytes.per.second", Long),
    ("transaction.partition.verification.enable", Boolean),
];

/// What begins so is read when a broker starts, unless it is above or a default of topics.
const FIXED_PREFIXES: &[&str] = &[
    "alter.",
    "broker.",
    "controller.",
    "delegation.token.",
    "group.",
    "log.",
    "metadata.",
    "offsets.",
    "quota.",
    "replica.",
    "remote.log.",
    "sasl.",
    "socket.",
    "transaction.",
    "transactional.",
    "zookeeper.",
];

/// The others of which somebody may want to change one.
const FIXED: &[&str] = &[
    "advertised.listeners",
    "auto.create.topics.enable",
    "auto.leader.rebalance.enable",
    "authorizer.class.name",
    "connections.max.idle.ms",
    "connections.max.reauth.ms",
    "create.topic.policy.class.name",
    "default.replication.factor",
    "delete.topic.enable",
    "early.start.listeners",
    "fetch.max.bytes",
    "fetch.purgatory.purge.interval.requests",
    "initial.broker.registration.timeout.ms",
    "inter.broker.listener.name",
    "inter.broker.protocol.version",
    "kafka.metrics.reporters",
    "leader.imbalance.check.interval.seconds",
    "leader.imbalance.per.broker.percentage",
    "max.incremental.fetch.session.cache.slots",
    "max.request.partition.size.limit",
    "metrics.num.samples",
    "metrics.recording.level",
    "metrics.sample.window.ms",
    "node.id",
    "num.partitions",
    "num.replica.alter.log.dirs.threads",
    "offset.metadata.max.bytes",
    "process.roles",
    "producer.purgatory.purge.interval.requests",
    "queued.max.request.bytes",
    "queued.max.requests",
    "reserved.broker.max.id",
    "request.timeout.ms",
    "security.inter.broker.protocol",
    "telemetry.max.bytes",
    "unstable.api.versions.enable",
    "unstable.feature.versions.enable",
];
