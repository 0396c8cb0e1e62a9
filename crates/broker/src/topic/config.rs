//! A topic's configuration: which names there are, what they default to, what is set.

use std::collections::BTreeMap;

use milena_records::TimestampType;
use milena_types::NodeId;

use crate::release::Release;
use crate::storage::{CompactionConfig, SegmentConfig};

use super::check::check_together;

use self::ConfigKind::{Boolean, Double, Int, List, Long, String as Text};

/// What is set of one topic, and what that and the nodes' own settings come to on each node.
#[derive(Clone, Debug)]
pub(crate) struct TopicConfig {
    release: Release,
    set: BTreeMap<String, String>,
    log: LogConfig,
    /// On the nodes that were told otherwise than the others.
    own: BTreeMap<NodeId, LogConfig>,
}

/// What a node goes by with the logs of one topic: the settings that this broker acts on, read out once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogConfig {
    pub(crate) max_message_bytes: usize,
    pub(crate) min_insync_replicas: usize,
    pub(crate) retention_ms: Option<i64>,
    pub(crate) retention_bytes: Option<u64>,
    pub(crate) timestamp_type: TimestampType,
    pub(crate) timestamp_before_max_ms: i64,
    pub(crate) timestamp_after_max_ms: i64,
    pub(crate) unclean_leader_election: bool,
    /// Whether retention deletes what is old or too much; what is only compacted stays.
    pub(crate) is_deleted: bool,
    /// Whether whatever is produced is kept as zstd.
    pub(crate) is_zstd: bool,
    pub(crate) segments: SegmentConfig,
    /// How the topic is compacted, if it is.
    pub(crate) compaction: Option<CompactionConfig>,
}

/// What topics have of a node where they do not say otherwise, by the topics' names.
pub(crate) type LogDefaults = BTreeMap<&'static str, String>;

/// The same of all nodes.
#[derive(Clone, Debug, Default)]
pub(crate) struct TopicDefaults {
    pub(crate) all: LogDefaults,
    /// Of the nodes that were told otherwise.
    pub(crate) own: BTreeMap<NodeId, LogDefaults>,
}

/// How Kafka types a value (`ConfigDef.Type`), with the numbers of DescribeConfigs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ConfigKind {
    Unknown = 0,
    Boolean = 1,
    String = 2,
    Int = 3,
    Short = 4,
    Long = 5,
    Double = 6,
    List = 7,
    Class = 8,
    Password = 9,
}

/// One name that a topic's configuration may hold, with what it defaults to in some releases.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Definition {
    pub(crate) name: &'static str,
    pub(crate) kind: ConfigKind,
    pub(crate) default: &'static str,
    /// The broker's setting that gives the default, where Kafka has one.
    pub(crate) synonym: Option<&'static str>,
    /// From this release on,
    since: Release,
    /// and up to the one before this.
    until: Option<Release>,
}

impl TopicConfig {
    /// Every name that its release knows, in the alphabet's order; those that are told only where they are set, if they are.
    pub(crate) fn definitions(&self) -> impl Iterator<Item = &'static Definition> {
        let is_told = |one: &&Definition| !one.is_internal() || self.set.contains_key(one.name);
        Definition::of_release(self.release).filter(is_told)
    }

    /// Reads the values that are set, and those that brokers were given for all topics; the error says which is wrong.
    pub(crate) fn new(
        set: BTreeMap<String, String>,
        defaults: &TopicDefaults,
        release: Release,
    ) -> Result<Self, String> {
        match set.keys().find(|name| Definition::of(name, release).is_none()) {
            Some(name) => Err(format!("Unknown topic config name: {name}")),
            None => Self::keeping(set, defaults, release),
        }
    }

    /// The same, where some may have been set in another release: names that this one lacks are kept, and count for nothing.
    pub(crate) fn keeping(
        set: BTreeMap<String, String>,
        defaults: &TopicDefaults,
        release: Release,
    ) -> Result<Self, String> {
        for (name, value) in &set {
            let known = Definition::of(name, release);
            known.map_or(Ok(()), |definition| definition.check(value, release))?;
        }
        check_together(&set, &defaults.all, release)?;
        Self::taken(set, defaults, release)
    }

    /// The same of what was taken once, perhaps where more was legal: values need only be of their kinds.
    pub(crate) fn taken(
        set: BTreeMap<String, String>,
        defaults: &TopicDefaults,
        release: Release,
    ) -> Result<Self, String> {
        for (name, value) in &set {
            let known = Definition::of(name, release);
            known.map_or(Ok(()), |definition| definition.kind.check(name, value))?;
        }
        let log = LogConfig::new(&set, &defaults.all, release);
        let own = defaults.own.iter();
        let own = own.map(|(node, defaults)| (*node, LogConfig::new(&set, defaults, release)));
        Ok(Self { release, log, own: own.collect(), set })
    }

    /// What a node goes by; where it is none, what most do.
    pub(crate) fn on(&self, node: Option<NodeId>) -> &LogConfig {
        node.and_then(|node| self.own.get(&node)).unwrap_or(&self.log)
    }

    /// Whether any node compacts the topic.
    pub(crate) fn is_compacted(&self) -> bool {
        self.own.values().chain([&self.log]).any(|log| log.compaction.is_some())
    }

    /// What is set for this topic, by name; some of it perhaps in a release that knew more.
    pub(crate) fn overrides(&self) -> &BTreeMap<String, String> {
        &self.set
    }

    /// What of that its release knows.
    pub(crate) fn known(&self) -> BTreeMap<String, String> {
        let set = self.set.iter().filter(|(name, _)| Definition::of(name, self.release).is_some());
        set.map(|(name, value)| (name.clone(), value.clone())).collect()
    }
}

impl LogConfig {
    /// Values were checked, those that were set and the defaults.
    fn new(set: &BTreeMap<String, String>, defaults: &LogDefaults, release: Release) -> Self {
        let of = |name: &str| Definition::of(name, release);
        let text = |name: &str| {
            let default = || of(name).map_or("", |definition| definition.default);
            set.get(name).or_else(|| defaults.get(name)).map_or_else(default, String::as_str)
        };
        // Values were checked above, so that what does not parse can only be a wrong default in the table.
        let number = |name: &str| text(name).trim().parse::<i64>().unwrap_or_default();
        let has_policy = |wanted| text("cleanup.policy").split(',').any(|one| one.trim() == wanted);
        let compaction = CompactionConfig {
            min_lag_ms: number("min.compaction.lag.ms"),
            delete_retention_ms: number("delete.retention.ms"),
            min_dirty_ratio: text("min.cleanable.dirty.ratio").trim().parse().unwrap_or_default(),
        };
        // 3.6 to 3.9 have all three: the old one, of both directions, counts where the new one is at its default.
        let known = |name: &str| of(name).map_or(i64::MAX, |_| number(name));
        let both = known("message.timestamp.difference.max.ms");
        let time_bound = |name: &str| Some(known(name)).filter(|new| *new != i64::MAX);
        let bound = |name: &str| Some(number(name)).filter(|value| *value >= 0);
        Self {
            max_message_bytes: usize::try_from(number("max.message.bytes")).unwrap_or_default(),
            min_insync_replicas: usize::try_from(number("min.insync.replicas")).unwrap_or(1),
            retention_ms: bound("retention.ms"),
            retention_bytes: bound("retention.bytes").map(i64::unsigned_abs),
            timestamp_type: match text("message.timestamp.type").trim() {
                "LogAppendTime" => TimestampType::LogAppendTime,
                _ => TimestampType::CreateTime,
            },
            timestamp_before_max_ms: time_bound("message.timestamp.before.max.ms").unwrap_or(both),
            timestamp_after_max_ms: time_bound("message.timestamp.after.max.ms").unwrap_or(both),
            unclean_leader_election: text("unclean.leader.election.enable")
                .trim()
                .eq_ignore_ascii_case("true"),
            is_deleted: has_policy("delete"),
            is_zstd: text("compression.type").trim() == "zstd",
            segments: SegmentConfig {
                bytes: match of(INTERNAL_SEGMENT_BYTES).is_some()
                    && set.contains_key(INTERNAL_SEGMENT_BYTES)
                {
                    true => number(INTERNAL_SEGMENT_BYTES).unsigned_abs(),
                    false => number("segment.bytes").unsigned_abs(),
                },
                ms: number("segment.ms"),
            },
            compaction: has_policy("compact").then_some(compaction),
        }
    }
}

impl Definition {
    /// The definition of `name` in a release, if there is one.
    pub(crate) fn of(name: &str, release: Release) -> Option<&'static Self> {
        DEFINITIONS.iter().find(|known| known.name == name && known.is_of(release))
    }

    /// Those of a release that every topic has.
    pub(crate) fn all(release: Release) -> impl Iterator<Item = &'static Self> {
        Self::of_release(release).filter(|known| !known.is_internal())
    }

    fn of_release(release: Release) -> impl Iterator<Item = &'static Self> {
        DEFINITIONS.iter().filter(move |known| known.is_of(release))
    }

    /// Whether it stands for nothing, and nobody is told of it, until it is set: Kafka has it for tests.
    fn is_internal(&self) -> bool {
        self.name == INTERNAL_SEGMENT_BYTES
    }

    /// The one whose default brokers may be told by this name while they run.
    pub(crate) fn of_broker(name: &str, release: Release) -> Option<&'static Self> {
        Self::all(release).find(|known| known.broker_name() == Some(name) && name != FORMAT)
    }

    /// By what name brokers are told its default; where there are several, that which counts before the others.
    pub(crate) fn broker_name(&self) -> Option<&'static str> {
        self.units().map_or(self.synonym, |units| units.first().map(|(name, _)| *name))
    }

    /// What the default comes to, if brokers have `value` of these names.
    pub(crate) fn default_of<'a>(&self, value: impl Fn(&str) -> Option<&'a str>) -> Option<String> {
        let Some(units) = self.units() else { return value(self.synonym?).map(str::to_owned) };
        let (text, unit_ms) =
            units.iter().find_map(|(name, unit_ms)| Some((value(name)?, *unit_ms)))?;
        let number = text.trim().parse::<i64>().unwrap_or_default().saturating_mul(unit_ms);
        // Less than nothing is for ever.
        Some(number.max(-1).to_string())
    }

    fn units(&self) -> Option<&'static [(&'static str, i64)]> {
        UNITS.iter().find(|(name, _)| *name == self.name).map(|(_, units)| *units)
    }

    fn is_of(&self, release: Release) -> bool {
        self.since <= release && self.until.is_none_or(|until| release < until)
    }

    const fn since(self, major: u8, minor: u8) -> Self {
        Self { since: Release::of(major, minor), ..self }
    }

    const fn until(self, major: u8, minor: u8) -> Self {
        Self { until: Some(Release::of(major, minor)), ..self }
    }
}

const fn definition(
    name: &'static str,
    kind: ConfigKind,
    default: &'static str,
    synonym: &'static str,
) -> Definition {
    let synonym = if synonym.is_empty() { None } else { Some(synonym) };
    Definition { name, kind, default, synonym, since: Release::OLDEST, until: None }
}

/// Names, types and defaults. What the others know 4.3 and 4.4 were asked for, and 3.9, 2.8 and 2.1; the releases in
/// between go by when their notes say that a setting came or went.
#[rustfmt::skip]
const DEFINITIONS: &[Definition] = &[
    definition("cleanup.policy", List, "delete", "log.cleanup.policy"),
    definition("compression.gzip.level", Int, "-1", "compression.gzip.level").since(3, 8),
    definition("compression.lz4.level", Int, "9", "compression.lz4.level").since(3, 8),
    definition("compression.type", Text, "producer", "compression.type"),
    definition("compression.zstd.level", Int, "3", "compression.zstd.level").since(3, 8),
    definition("delete.retention.ms", Long, "86400000", "log.cleaner.delete.retention.ms"),
    definition("errors.deadletterqueue.group.enable", Boolean, "false", "").since(4, 4),
    definition("file.delete.delay.ms", Long, "60000", "log.segment.delete.delay.ms"),
    definition("flush.messages", Long, "9223372036854775807", "log.flush.interval.messages"),
    definition("flush.ms", Long, "9223372036854775807", ""),
    definition("follower.replication.throttled.replicas", List, "", ""),
    definition("index.interval.bytes", Int, "4096", "log.index.interval.bytes"),
    definition(INTERNAL_SEGMENT_BYTES, Int, "", "").since(4, 1),
    definition("leader.replication.throttled.replicas", List, "", ""),
    definition("local.retention.bytes", Long, "-2", "log.local.retention.bytes").since(3, 6),
    definition("local.retention.ms", Long, "-2", "log.local.retention.ms").since(3, 6),
    definition("max.compaction.lag.ms", Long, "9223372036854775807", "log.cleaner.max.compaction.lag.ms").since(2, 3),
    definition("max.decompressed.message.bytes", Int, "2147483639", "max.decompressed.message.bytes").since(4, 4),
    definition("max.message.bytes", Int, "1000012", "message.max.bytes").until(2, 5),
    definition("max.message.bytes", Int, "1048588", "message.max.bytes").since(2, 5),
    definition("message.downconversion.enable", Boolean, "true", "log.message.downconversion.enable").until(4, 0),
    definition("message.format.version", Text, "2.1-IV2", FORMAT).until(2, 2),
    definition("message.format.version", Text, "2.2-IV1", FORMAT).since(2, 2).until(2, 3),
    definition("message.format.version", Text, "2.3-IV1", FORMAT).since(2, 3).until(2, 4),
    definition("message.format.version", Text, "2.4-IV1", FORMAT).since(2, 4).until(2, 5),
    definition("message.format.version", Text, "2.5-IV0", FORMAT).since(2, 5).until(2, 6),
    definition("message.format.version", Text, "2.6-IV0", FORMAT).since(2, 6).until(2, 7),
    definition("message.format.version", Text, "2.7-IV2", FORMAT).since(2, 7).until(2, 8),
    definition("message.format.version", Text, "2.8-IV1", FORMAT).since(2, 8).until(3, 0),
    definition("message.format.version", Text, "3.0-IV1", FORMAT).since(3, 0).until(4, 0),
    definition("message.timestamp.after.max.ms", Long, "9223372036854775807", "log.message.timestamp.after.max.ms").since(3, 6).until(4, 0),
    definition("message.timestamp.after.max.ms", Long, "3600000", "log.message.timestamp.after.max.ms").since(4, 0),
    definition("message.timestamp.before.max.ms", Long, "9223372036854775807", "log.message.timestamp.before.max.ms").since(3, 6),
    definition("message.timestamp.difference.max.ms", Long, "9223372036854775807", "log.message.timestamp.difference.max.ms").until(4, 0),
    definition("message.timestamp.type", Text, "CreateTime", "log.message.timestamp.type"),
    definition("min.cleanable.dirty.ratio", Double, "0.5", "log.cleaner.min.cleanable.ratio"),
    definition("min.compaction.lag.ms", Long, "0", "log.cleaner.min.compaction.lag.ms"),
    definition("min.insync.replicas", Int, "1", "min.insync.replicas"),
    definition("preallocate", Boolean, "false", "log.preallocate"),
    definition("remote.copy.lag.bytes", Long, "-1", "log.remote.copy.lag.bytes").since(4, 4),
    definition("remote.copy.lag.ms", Long, "0", "log.remote.copy.lag.ms").since(4, 4),
    definition("remote.log.copy.disable", Boolean, "false", "").since(3, 9),
    definition("remote.log.delete.on.disable", Boolean, "false", "").since(3, 9),
    definition("remote.storage.enable", Boolean, "false", "").since(3, 6),
    definition("retention.bytes", Long, "-1", "log.retention.bytes"),
    definition("retention.ms", Long, "604800000", ""),
    definition("segment.bytes", Int, "1073741824", "log.segment.bytes"),
    definition("segment.index.bytes", Int, "10485760", "log.index.size.max.bytes"),
    definition("segment.jitter.ms", Long, "0", ""),
    definition("segment.ms", Long, "604800000", ""),
    definition("unclean.leader.election.enable", Boolean, "false", "unclean.leader.election.enable"),
];

/// Comes before `segment.bytes`, and may be less than that.
const INTERNAL_SEGMENT_BYTES: &str = "internal.segment.bytes";

const FORMAT: &str = "log.message.format.version";

/// Of what topics' defaults brokers may be told in several units: by which names, each counting before the next, and how many
/// milliseconds a unit is.
const UNITS: &[(&str, &[(&str, i64)])] = &[
    ("flush.ms", &[("log.flush.interval.ms", 1), ("log.flush.scheduler.interval.ms", 1)]),
    (
        "retention.ms",
        &[
            ("log.retention.ms", 1),
            ("log.retention.minutes", 60_000),
            ("log.retention.hours", 3_600_000),
        ],
    ),
    ("segment.jitter.ms", &[("log.roll.jitter.ms", 1), ("log.roll.jitter.hours", 3_600_000)]),
    ("segment.ms", &[("log.roll.ms", 1), ("log.roll.hours", 3_600_000)]),
];

/// The names that stand for the same as this one of a broker, each counting before the next.
pub(crate) fn broker_synonyms(name: &str) -> impl Iterator<Item = &str> {
    let mut known = UNITS.iter().map(|(_, units)| *units);
    let units = known.find(|units| units.iter().any(|(one, _)| *one == name)).unwrap_or_default();
    units.iter().map(|(one, _)| *one).chain(units.is_empty().then_some(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(set: &[(&str, &str)]) -> Result<TopicConfig, String> {
        TopicConfig::new(
            set.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect(),
            &TopicDefaults::default(),
            Release::NEWEST,
        )
    }

    /// A second one would be answered twice; a gap would be one of the table.
    #[test]
    fn a_release_knows_a_name_once() {
        for release in Release::all() {
            let config = TopicConfig::new(BTreeMap::new(), &TopicDefaults::default(), release);
            let config = config.expect("defaults");
            let names: Vec<_> = config.definitions().map(|known| known.name).collect();
            assert!(names.is_sorted_by(|a, b| a < b), "{release}: {names:?}");
            assert_eq!(names.contains(&"message.format.version"), release < Release::of(4, 0));
        }
    }

    /// Kafka 3.6 has both, as 3.9: `LogConfig.getMessageTimestampBeforeMaxMs`.
    #[test]
    fn a_new_bound_of_timestamps_counts_before_the_old_one_unless_it_is_the_default() {
        let bounds = |release: &str, set: &[(&str, &str)]| {
            let set = set.iter();
            let config = TopicConfig::new(
                set.map(|(name, value)| {
                    (format!("message.timestamp.{name}.max.ms"), value.to_string())
                })
                .collect(),
                &TopicDefaults::default(),
                release.parse().expect("a release"),
            )
            .expect("legal");
            let log = config.on(None);
            (log.timestamp_before_max_ms, log.timestamp_after_max_ms)
        };
        let old = ("difference", "10");
        assert_eq!(bounds("3.5", &[old]), (10, 10));
        assert_eq!(bounds("3.9", &[old]), (10, 10));
        assert_eq!(bounds("3.6", &[old, ("before", "20")]), (20, 10));
        assert_eq!(bounds("3.9", &[old, ("after", "20")]), (10, 20));
        assert_eq!(bounds("3.9", &[old, ("after", "9223372036854775807")]), (10, 10));
        assert_eq!(bounds("4.0", &[("before", "20")]), (20, 3_600_000));
        assert_eq!(bounds("4.0", &[]), (i64::MAX, 3_600_000));
    }

    #[test]
    fn unknown_names_and_wrong_values_are_refused() {
        assert!(config(&[("retention", "1")]).is_err());
        assert!(config(&[("retention.ms", "soon")]).is_err());
        assert!(config(&[("min.insync.replicas", "0")]).is_err());
        let config = config(&[("retention.bytes", "5"), ("cleanup.policy", "compact,delete")]);
        let log = config.map(|config| *config.on(None));
        assert!(log.is_ok_and(|log| log.retention_bytes == Some(5) && log.is_deleted));
    }
}
