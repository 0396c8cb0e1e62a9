//! What brokers are configured with: what they were started with, and what they are told while they run (KIP-226): one of them, or
//! all that were not told otherwise.

use std::collections::{BTreeMap, BTreeSet};

use milena_types::NodeId;

use crate::broker_definition::{
    BrokerDefinition, OF_LISTENERS_ALONE, RETENTION, default, is_read_at_the_start, synonyms,
};
use crate::release::Release;
use crate::topic::{Definition, LogDefaults, TopicDefaults, broker_synonyms};

/// All of it, as far as it is told by name.
#[derive(Clone, Debug, Default)]
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
            synonyms(name).filter_map(|name| Some((name, set.get(name)?.as_str(), *source)))
        });
        let default = |name| Some((name, default(name, release)?, DEFAULT_CONFIG));
        let all = set.chain(synonyms(name).filter_map(default));
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

/// What is wrong with what a broker would have after it was told this: of one broker, or of all.
pub(crate) fn check(
    before: &BrokerConfigs,
    node: Option<NodeId>,
    set: &BTreeMap<String, String>,
    asked: NodeId,
    release: Release,
) -> Result<(), String> {
    let definition = |name: &str| BrokerDefinition::of(name, release);
    let refuse = |why: &str, set_of: &str, is_wrong: &dyn Fn(&str) -> bool| {
        let wrong = set.keys().map(String::as_str).filter(|name| is_wrong(name));
        let wrong = wrong.collect::<Vec<_>>().join(", ");
        match wrong.is_empty() {
            true => Ok(()),
            // As Scala's sets were printed, and Java's are.
            false if release < Release::of(4, 0) => Err(format!("{why}: {set_of}({wrong})")),
            false => Err(format!("{why}: [{wrong}]")),
        }
    };
    refuse("Cannot update these configs dynamically", "Set", &|name| {
        definition(name).is_none() && is_read_at_the_start(name, release)
    })?;
    let why = "These security configs can be dynamically updated only per-listener using the listener prefix";
    refuse(why, "HashSet", &|name| OF_LISTENERS_ALONE.contains(&name))?;
    for (name, value) in set {
        // A name that Kafka does not know is taken, as by Kafka: a plugin of its brokers might.
        definition(name).map_or(Ok(()), |definition| definition.check(name, value))?;
    }
    if node.is_none() {
        let why =
            "Cannot update these configs at default cluster level, broker id must be specified";
        refuse(why, "Set", &|name| definition(name).is_some_and(|known| known.is_own(name)))?;
    }
    let mut after = before.clone();
    after.set(node, set.clone());
    let number = |configs: &BrokerConfigs, name: &str| {
        let first = configs.synonyms(asked, name, release).into_iter().next();
        first.and_then(|one| one.value.trim().parse::<i64>().ok())
    };
    check_whole(|name| number(&after, name), release)?;
    // No node here has folders of several.
    let dirs = set.get("cordoned.log.dirs").map(String::as_str).unwrap_or_default();
    let dirs: Vec<&str> = dirs.split(',').map(str::trim).filter(|dir| !dir.is_empty()).collect();
    if !dirs.is_empty() && definition("cordoned.log.dirs").is_some() {
        let missing = dirs.join(", ");
        return Err(format!(
            "requirement failed: All entries in cordoned.log.dirs must be present in log.dirs or log.dir. Missing entries : \
             {missing}"
        ));
    }
    let wrap = |why: String| {
        format!(
            "Invalid value org.apache.kafka.common.config.ConfigException: {why} for configuration Invalid dynamic \
             configuration"
        )
    };
    for name in THREADS.iter().filter(|name| definition(name).is_some()) {
        let (Some(old), Some(new)) = (number(before, name), number(&after, name)) else { continue };
        check_threads(name, old, new).map_err(wrap)?;
    }
    let logs = after.log_defaults(Some(asked), release);
    let default = |name: &str| -> Option<i64> {
        let known = Definition::of(name, release)?;
        logs.get(name).map_or(known.default, String::as_str).trim().parse().ok()
    };
    for unit in ["ms", "bytes"] {
        let (all, local) = (format!("retention.{unit}"), format!("local.retention.{unit}"));
        if let (Some(all), Some(local)) = (default(&all), default(&local)) {
            check_local(unit, all, local).map_err(wrap)?;
        }
    }
    Ok(())
}

/// What Kafka asks of a broker's settings as a whole (`KafkaConfig.validateValues`).
fn check_whole(number: impl Fn(&str) -> Option<i64>, release: Release) -> Result<(), String> {
    let require = |is_met: bool, what: &str| match is_met {
        true => Ok(()),
        false => Err(format!("requirement failed: {what}")),
    };
    let at_least = |name: &str, least: i64| number(name).is_none_or(|number| number >= least);
    require(at_least("log.roll.ms", 1), "log.roll.ms must be greater than or equal to 1")?;
    let what = "log.roll.jitter.ms must be equal or greater than 0";
    require(at_least("log.roll.jitter.ms", 0), what)?;
    require(number("log.retention.ms") != Some(0), RETENTION)?;
    let threads = number("log.cleaner.threads").unwrap_or(1).max(1);
    let each = number("log.cleaner.dedupe.buffer.size").map(|bytes| bytes / threads);
    let what = "log.cleaner.dedupe.buffer.size must be at least 1MB per cleaner thread.";
    // Of before 3.0 it is not known.
    require(release < Release::of(3, 0) || each.is_none_or(|bytes| bytes > 1 << 20), what)
}

/// Threads come and go by half at once.
fn check_threads(name: &str, old: i64, new: i64) -> Result<(), String> {
    let is_cleaner = name == "log.cleaner.threads";
    let failed =
        format!("Dynamic thread count update validation failed for {name}={new}, value should");
    match new {
        _ if new == old => Ok(()),
        ..=0 if is_cleaner => Err("Log cleaner threads should be at least 1".to_owned()),
        ..=0 => Err(format!("{failed} be at least 1")),
        _ if new < old / 2 && is_cleaner => Err(format!(
            "Log cleaner threads cannot be reduced to less than half the current value {old}"
        )),
        _ if new < old / 2 => Err(format!("{failed} be at least half the current value {old}")),
        _ if new > old.saturating_mul(2) && is_cleaner => Err(format!(
            "Log cleaner threads cannot be increased to more than double the current value {old}"
        )),
        _ if new > old.saturating_mul(2) => {
            Err(format!("{failed} not be greater than double the current value {old}"))
        }
        _ => Ok(()),
    }
}

/// What is kept locally is part of what is kept.
fn check_local(unit: &str, all: i64, local: i64) -> Result<(), String> {
    if all < 0 || local == -2 {
        return Ok(());
    }
    let why = match local {
        -1 => format!("Value must not be -1 as log.retention.{unit} value is set as {all}."),
        _ if local > all => {
            format!("Value must not be more than log.retention.{unit} property value: {all}")
        }
        _ => return Ok(()),
    };
    Err(format!("Invalid value {local} for configuration log.local.retention.{unit}: {why}"))
}

/// The numbers of threads.
const THREADS: &[&str] = &[
    "background.threads",
    "log.cleaner.threads",
    "num.io.threads",
    "num.network.threads",
    "num.recovery.threads.per.data.dir",
    "num.replica.fetchers",
    "remote.log.manager.copier.thread.pool.size",
    "remote.log.manager.expiration.thread.pool.size",
    "remote.log.manager.follower.thread.pool.size",
    "remote.log.reader.threads",
];
