//! The keys of a consumer.

use std::collections::BTreeSet;
use std::time::Duration;

use milena_engine::consumer::{AssignmentStrategy, GroupProtocol, IsolationLevel, OffsetReset};

use super::value::{Text, Value, list, words};
use super::{ConfigError, Key, Scope, key::keys};
use crate::consumer::ConsumerBuilder;

words! {
    IsolationLevel: "one of read_uncommitted, read_committed" {
        ReadUncommitted = "read_uncommitted",
        ReadCommitted = "read_committed",
    }
}

words! {
    GroupProtocol: "one of classic, consumer, auto" {
        Classic = "classic",
        Consumer = "consumer",
        Auto = "auto",
    }
}

keys! {
    /// Configuration of a consumer. Immutable; made by [`ConsumerBuilder`].
    pub struct ConsumerConfig of Consumer, built by ConsumerBuilder;

    /// The group whose members share the partitions and whose offsets are committed; `None` for a consumer of assigned
    /// partitions that commits nothing.
    group_id: Text = "group.id", "";

    /// Whether the offsets of what was handed out are committed in the background and on close.
    enable_auto_commit: bool = "enable.auto.commit", "true";

    /// How often offsets are committed in the background.
    auto_commit_interval: Duration = "auto.commit.interval.ms", "5000", 0..=2147483647;

    /// Where to start in a partition without a committed offset, or whose offset is gone.
    auto_offset_reset: OffsetReset = "auto.offset.reset", "latest";

    /// Whether records of open and aborted transactions are handed out.
    isolation_level: IsolationLevel = "isolation.level", "read_uncommitted";

    /// The most records that one `poll` hands out.
    max_poll_records: u32 = "max.poll.records", "500", 1..;

    /// How long the user may take between two polls before the member leaves its group.
    max_poll_interval: Duration = "max.poll.interval.ms", "300000", 1..=2147483647;

    /// How long a member may be silent before the group goes on without it.
    session_timeout: Duration = "session.timeout.ms", "45000", 1..=2147483647;

    /// How often a member shows the group that it lives; at most a third of `session.timeout.ms` is wise.
    heartbeat_interval: Duration = "heartbeat.interval.ms", "3000", 1..=2147483647;

    /// How many bytes a broker gathers before it answers a fetch, unless `fetch.max.wait.ms` is over.
    fetch_min_bytes: u32 = "fetch.min.bytes", "1";

    /// How many bytes a fetch may return; a larger first batch is returned whole. All that is fetched and not let go of
    /// takes 16 MiB at most, or this if it is less, whatever the number of brokers and partitions, and counted as it lies
    /// in memory: one answer is asked to hold a quarter of a broker's share of that.
    fetch_max_bytes: u32 = "fetch.max.bytes", "52428800";

    /// How many bytes of one partition a fetch may return; a larger first batch is returned whole.
    max_partition_fetch_bytes: u32 = "max.partition.fetch.bytes", "1048576";

    /// How long a broker may wait for `fetch.min.bytes`.
    fetch_max_wait: Duration = "fetch.max.wait.ms", "500", 0..=2147483647;

    /// Whether the checksum of every batch is verified.
    check_crcs: bool = "check.crcs", "true";

    /// Whether brokers may create a topic that the consumer asks about, where they are set to do so.
    allow_auto_create_topics: bool = "allow.auto.create.topics", "true";

    /// The consumer's rack: brokers may name a replica in it to fetch from (KIP-392).
    client_rack: String as into = "client.rack", "";

    /// By which protocol the consumer is a member of its group: `classic`, where a member shares the partitions out;
    /// `consumer`, where the coordinator does (KIP-848, brokers from 4.0); `auto`, which Java has not, is `consumer`
    /// where the coordinator speaks it, else `classic`.
    group_protocol: GroupProtocol = "group.protocol", "classic";

    /// Which of its assignors the coordinator is to use, `uniform` or `range`; its own choice without. Not in the classic
    /// protocol.
    group_remote_assignor: Text = "group.remote.assignor", "";

    /// Whether a subscription by pattern passes over Kafka's own topics, as that of committed offsets.
    exclude_internal_topics: bool = "exclude.internal.topics", "true";

    /// How partitions may be shared among the members of a classic group, the most wanted first; the group takes one
    /// that all of its members have. By name, or by Java's class. If all are cooperative, partitions that stay are read
    /// on while the group rebalances; with the default they are given up, until no member needs `range` any more and
    /// it is taken off the list (KIP-429).
    partition_assignment_strategy: Strategies = "partition.assignment.strategy", "range,cooperative-sticky";

    /// Makes the consumer a static member (KIP-345): it keeps its partitions while it restarts, if that takes less than
    /// `session.timeout.ms`, and does not leave its group on closing unless told to. No two members of a group may have
    /// the same.
    group_instance_id: Text as text = "group.instance.id", "";
}

const SHARE: &str = "it belongs to a share consumer";

const fn ignored(name: &'static str, kind: &'static str, why: &'static str) -> Key {
    Key::ignored(Scope::Consumer, name, kind, why)
}

const fn refused(name: &'static str, why: &'static str) -> Key {
    Key::refused(Scope::Consumer, name, "string", why)
}

/// Keys of Java without an effect of their own.
pub(super) const OTHERS: &[Key] = &[
    ignored("interceptor.classes", "list", "JVM classes; the builder takes interceptors"),
    ignored(
        "key.deserializer",
        "class",
        "a JVM class; keys are bytes here, or typed by `Consumer::typed`",
    ),
    ignored(
        "value.deserializer",
        "class",
        "a JVM class; values are bytes here, or typed by `Consumer::typed`",
    ),
    refused("share.acknowledgement.mode", SHARE),
    refused("share.acquire.mode", SHARE),
];

impl ConsumerConfig {
    /// The keys with an effect.
    pub fn keys() -> &'static [Key] {
        Self::KEYS
    }

    /// Every key with its value, as Java writes them.
    pub fn values(&self) -> Vec<(&'static str, String)> {
        self.own_values()
    }

    /// Sets the value of `key`; false where it is none of this table.
    pub(super) fn set(&mut self, key: &str, value: &str) -> Result<bool, ConfigError> {
        self.set_own(key, value)
    }

    /// Applies the rules between keys: what was left at its default gives way, what was set stands or fails.
    pub(crate) fn settle(mut self) -> Result<Self, ConfigError> {
        self.check_ranges()?;
        if self.group_id.is_none() && self.enable_auto_commit {
            if self.is_explicit("enable.auto.commit") {
                let rule =
                    "offsets are committed for a group: set group.id or switch auto-commit off";
                return Err(ConfigError::conflict("enable.auto.commit", "group.id", rule));
            }
            self.enable_auto_commit = false;
        }
        self.check_protocol()?;
        if self.heartbeat_interval >= self.session_timeout {
            let (first, second) = ("heartbeat.interval.ms", "session.timeout.ms");
            let rule = "a member must show itself more often than its session ends";
            return Err(ConfigError::conflict(first, second, rule));
        }
        if self.heartbeat_interval * 3 > self.session_timeout {
            tracing::warn!("heartbeat.interval.ms is more than a third of session.timeout.ms");
        }
        let strategies = &self.partition_assignment_strategy;
        if !is_choice(strategies) {
            let (key, expected) = ("partition.assignment.strategy", Strategies::EXPECTED);
            return Err(ConfigError::malformed(key, &strategies.show(), expected));
        }
        Ok(self)
    }
}

impl ConsumerConfig {
    /// Each protocol has keys of its own; `auto` may come to use those of both.
    fn check_protocol(&self) -> Result<(), ConfigError> {
        let (foreign, rule): (&[&'static str], _) = match self.group_protocol {
            GroupProtocol::Classic => (
                &["group.remote.assignor"],
                "in the classic protocol the members share the partitions out",
            ),
            GroupProtocol::Consumer => (
                &["partition.assignment.strategy", "heartbeat.interval.ms", "session.timeout.ms"],
                "in the consumer protocol the coordinator decides this",
            ),
            _ => (&[], ""),
        };
        match foreign.iter().find(|key| self.is_explicit(key)) {
            Some(key) => Err(ConfigError::conflict(key, "group.protocol", rule)),
            None => Ok(()),
        }
    }
}

/// The strategies of `partition.assignment.strategy`.
type Strategies = Vec<AssignmentStrategy>;

impl Value for Strategies {
    const TYPE: &'static str = "list";
    const EXPECTED: &'static str =
        "each at most once and at least one: range, roundrobin, sticky, cooperative-sticky";

    fn parse(text: &str) -> Option<Self> {
        let class = |name: &str| match name.rsplit('.').next()? {
            "RangeAssignor" => Some(AssignmentStrategy::Range),
            "RoundRobinAssignor" => Some(AssignmentStrategy::RoundRobin),
            "StickyAssignor" => Some(AssignmentStrategy::Sticky),
            "CooperativeStickyAssignor" => Some(AssignmentStrategy::CooperativeSticky),
            _ => None,
        };
        let strategy = |name: &String| AssignmentStrategy::named(name).or_else(|| class(name));
        let strategies: Option<Self> = list(text).iter().map(strategy).collect();
        strategies.filter(|strategies| is_choice(strategies))
    }

    fn show(&self) -> String {
        self.iter().map(|strategy| strategy.name()).collect::<Vec<_>>().join(",")
    }
}

fn is_choice(strategies: &[AssignmentStrategy]) -> bool {
    let distinct: BTreeSet<_> = strategies.iter().collect();
    !strategies.is_empty() && distinct.len() == strategies.len()
}

impl Value for OffsetReset {
    const TYPE: &'static str = "string";
    const EXPECTED: &'static str = "one of latest, earliest, none, by_duration:PnDTnHnMn.nS";

    fn parse(text: &str) -> Option<Self> {
        match text {
            "earliest" => Some(Self::Earliest),
            "latest" => Some(Self::Latest),
            "none" => Some(Self::None),
            _ => text.strip_prefix("by_duration:").and_then(iso_duration).map(Self::ByDuration),
        }
    }

    fn show(&self) -> String {
        match self {
            Self::Earliest => "earliest".to_owned(),
            Self::Latest => "latest".to_owned(),
            Self::ByDuration(age) => format!("by_duration:PT{}S", age.as_secs_f64()),
            _ => "none".to_owned(),
        }
    }
}

/// Reads ISO 8601's `PnDTnHnMn.nS`, every part of which may be left out but not all; not negative.
fn iso_duration(text: &str) -> Option<Duration> {
    let (days, time) = match text.strip_prefix('P')?.split_once('T') {
        Some((days, time)) if !time.is_empty() => (days, time),
        Some(_) => return None,
        None => (text.strip_prefix('P')?, ""),
    };
    let mut total = Duration::ZERO;
    let mut parts = 0;
    for (mut rest, units) in
        [(days, &[('D', 86_400.0)][..]), (time, &[('H', 3600.0), ('M', 60.0), ('S', 1.0)])]
    {
        for &(unit, seconds) in units {
            if let Some((number, tail)) = rest.split_once(unit) {
                let digits = number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
                let number = number.parse::<f64>().ok().filter(|_| digits)?;
                total += Duration::try_from_secs_f64(number * seconds).ok()?;
                (rest, parts) = (tail, parts + 1);
            }
        }
        if !rest.is_empty() {
            return None;
        }
    }
    (parts > 0).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reset_by_age_is_written_as_in_java() {
        let parse = |text: &str| <OffsetReset as Value>::parse(text);
        let seconds = |seconds| Some(OffsetReset::ByDuration(Duration::from_secs_f64(seconds)));
        assert_eq!(parse("by_duration:PT1H"), seconds(3600.0));
        assert_eq!(parse("by_duration:P1DT2H3M4.5S"), seconds(93_784.5));
        assert_eq!(parse("by_duration:P2D"), seconds(172_800.0));
        for wrong in ["P", "PT", "1H", "PT1", "PT-1H", "PT1D", "P1H", "PT1S2M"] {
            assert_eq!(parse(&format!("by_duration:{wrong}")), None, "{wrong}");
        }
    }
}
