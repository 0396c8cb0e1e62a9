//! What brokers are configured with: what they were started with, and what they are told while they run (KIP-226): one of them, or
//! all that were not told otherwise.

use std::collections::{BTreeMap, BTreeSet};

use milena_types::NodeId;

use crate::release::Release;
use crate::topic::{ConfigKind, Definition, LogDefaults, TopicDefaults, broker_synonyms};

use self::ConfigKind::{Boolean, Double, Int, List, Long, String as Text};

/// All of it, as far as it is told by name.
#[derive(Debug, Default)]
pub(crate) struct BrokerConfigs {
    /// What all brokers were started with.
    fixed: BTreeMap<String, String>,
    /// What they were told since, by node; that of all nodes under `None`.
    told: BTreeMap<Option<NodeId>, BTreeMap<String, String>>,
}

/// A value that stands for a setting of a broker.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct BrokerValue {
    /// The setting, or one that counts in its place.
    pub(crate) name: String,
    pub(crate) value: String,
    /// Where it is from, as DescribeConfigs numbers it.
    pub(crate) source: i8,
}

/// Set for the broker while it runs.
const DYNAMIC_BROKER_CONFIG: i8 = 2;
/// Set for all brokers while they run.
pub(crate) const DYNAMIC_DEFAULT_BROKER_CONFIG: i8 = 3;
/// Set when the broker was started.
pub(crate) const STATIC_BROKER_CONFIG: i8 = 4;
/// By default.
pub(crate) const DEFAULT_CONFIG: i8 = 5;

/// One name that brokers may be told while they run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BrokerDefinition {
    pub(crate) kind: ConfigKind,
    topic: Option<&'static Definition>,
}

impl BrokerConfigs {
    /// Of brokers that were started with this.
    pub(crate) fn new(fixed: BTreeMap<String, String>) -> Self {
        Self { fixed, told: BTreeMap::new() }
    }

    /// What was set of a node, or of all.
    pub(crate) fn of(&self, node: Option<NodeId>) -> impl Iterator<Item = (&str, &str)> {
        let set = self.told.get(&node).into_iter().flatten();
        set.map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Sets all of a node, or of all.
    pub(crate) fn set(&mut self, node: Option<NodeId>, set: BTreeMap<String, String>) {
        match set.is_empty() {
            true => drop(self.told.remove(&node)),
            false => drop(self.told.insert(node, set)),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Option<NodeId>, &BTreeMap<String, String>)> {
        self.told.iter().map(|(node, set)| (*node, set))
    }

    /// What brokers have a value for besides defaults: a node, or all.
    pub(crate) fn names(&self, node: Option<NodeId>) -> BTreeSet<&str> {
        let fixed = node.iter().flat_map(|_| self.fixed.keys().map(String::as_str));
        let told = [node, None].into_iter().flat_map(|node| self.of(node).map(|(name, _)| name));
        fixed.chain(told).collect()
    }

    /// All that stands for a setting of a node, the strongest first; nothing where only what counts in its place is set, as
    /// Kafka has it (`ConfigHelper.configSynonyms`).
    pub(crate) fn synonyms(&self, node: NodeId, name: &str, release: Release) -> Vec<BrokerValue> {
        let layers = self.layers(node);
        let set = layers.iter().flat_map(|(source, set)| {
            broker_synonyms(name).filter_map(|name| Some((name, set.get(name)?.as_str(), *source)))
        });
        let default = |name| Some((name, default(name, release)?, DEFAULT_CONFIG));
        let all = set.chain(broker_synonyms(name).filter_map(default));
        let known = all.skip_while(|(one, ..)| *one != name);
        known
            .map(|(name, value, source)| BrokerValue {
                name: name.to_owned(),
                value: value.to_owned(),
                source,
            })
            .collect()
    }

    /// What a setting of all nodes is set to while they run.
    pub(crate) fn of_all(&self, name: &str) -> Option<BrokerValue> {
        let value = self.told.get(&None)?.get(name)?;
        let source = DYNAMIC_DEFAULT_BROKER_CONFIG;
        Some(BrokerValue { name: name.to_owned(), value: value.clone(), source })
    }

    /// What topics get from all of this.
    pub(crate) fn topic_defaults(&self, release: Release) -> TopicDefaults {
        let nodes = self.told.keys().copied().flatten();
        let of_topics = |node: &NodeId| {
            self.of(Some(*node)).any(|(name, _)| Definition::of_broker(name, release).is_some())
        };
        let own =
            nodes.filter(of_topics).map(|node| (node, self.log_defaults(Some(node), release)));
        TopicDefaults { all: self.log_defaults(None, release), own: own.collect() }
    }

    /// What a topic that is made gets where it does not say otherwise, and where that is from: nodes are asked by the
    /// controller, which takes any name that stands for it.
    pub(crate) fn of_new_topic(
        &self,
        controller: NodeId,
        definition: &Definition,
    ) -> Option<(String, i8)> {
        self.layers(controller).into_iter().find_map(|(source, set)| {
            Some((definition.default_of(|name| set.get(name).map(String::as_str))?, source))
        })
    }

    /// What topics have of a node; without one, of those that were told nothing of their own.
    fn log_defaults(&self, node: Option<NodeId>, release: Release) -> LogDefaults {
        let fixed = self.fixed.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let mut set: BTreeMap<&str, &str> = fixed.collect();
        let own = node.into_iter().flat_map(|node| self.of(Some(node)));
        for (name, value) in self.of(None).chain(own) {
            // It counts before all that stands for the same, whatever the unit.
            for synonym in broker_synonyms(name) {
                set.remove(synonym);
            }
            set.insert(name, value);
        }
        let known = Definition::all(release);
        let default = |one: &'static Definition| {
            Some((one.name, one.default_of(|name| set.get(name).copied())?))
        };
        known.filter_map(default).collect()
    }

    /// What is set of a node, the strongest first.
    fn layers(&self, node: NodeId) -> Vec<(i8, &BTreeMap<String, String>)> {
        let own = self.told.get(&Some(node)).map(|set| (DYNAMIC_BROKER_CONFIG, set));
        let all = self.told.get(&None).map(|set| (DYNAMIC_DEFAULT_BROKER_CONFIG, set));
        own.into_iter().chain(all).chain([(STATIC_BROKER_CONFIG, &self.fixed)]).collect()
    }
}

impl BrokerDefinition {
    /// The names of topics' defaults that may be told.
    pub(crate) fn names(release: Release) -> impl Iterator<Item = &'static str> {
        let names = Definition::all(release).filter_map(Definition::broker_name);
        names.filter(move |name| Definition::of_broker(name, release).is_some())
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

/// What a setting is where nobody says anything of it, as far as topics depend on it. Times have one of them in hours alone.
fn default(name: &str, release: Release) -> Option<&'static str> {
    match name {
        "log.retention.hours" | "log.roll.hours" => Some("168"),
        "log.roll.jitter.hours" => Some("0"),
        "log.flush.scheduler.interval.ms" => Some("9223372036854775807"),
        _ if broker_synonyms(name).nth(1).is_some() => None,
        _ => {
            let known = Definition::all(release).find(|one| one.broker_name() == Some(name));
            known.map(|one| one.default)
        }
    }
}

/// Why brokers cannot be started with this, if it is about what topics have of them at all.
pub(crate) fn check_static(
    name: &str,
    value: &str,
    release: Release,
) -> Option<Result<(), String>> {
    if let Some(topic) = Definition::of_broker(name, release) {
        return Some(topic.check_as(name, value));
    }
    let least: i64 = match name {
        "log.retention.hours" | "log.retention.minutes" => i64::MIN,
        "log.roll.hours" => 1,
        "log.roll.jitter.hours" | "log.flush.scheduler.interval.ms" => 0,
        _ => return None,
    };
    let kind = fixed_kind(name);
    let too_little =
        format!("Invalid value {value} for configuration {name}: Value must be at least {least}");
    let is_enough = || value.trim().parse::<i64>().is_ok_and(|number| number >= least);
    Some(kind.check(name, value).and_then(|()| if is_enough() { Ok(()) } else { Err(too_little) }))
}

/// Of what kind a setting is that brokers are started with alone; unknown where topics have nothing of it.
pub(crate) fn fixed_kind(name: &str) -> ConfigKind {
    match name {
        "log.flush.scheduler.interval.ms" => Long,
        _ if broker_synonyms(name).nth(1).is_some() => Int,
        _ => ConfigKind::Unknown,
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
