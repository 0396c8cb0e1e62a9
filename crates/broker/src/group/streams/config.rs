//! What groups of Kafka Streams are configured with (Kafka's `GroupConfig`).

use std::collections::BTreeMap;
use std::time::Duration;

use super::assignor::ASSIGNOR;
use super::settings::StreamsGroupSettings;
use crate::group::config::GroupDefinition;
use crate::topic::ConfigKind;

/// The settings of one group: what is set for it, else what the cluster gives all.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct StreamsConfig {
    pub(crate) session_timeout: Duration,
    pub(crate) heartbeat_interval: Duration,
    pub(crate) assignment_interval: Duration,
    pub(crate) initial_rebalance_delay: Duration,
    pub(crate) task_offset_interval: Duration,
    pub(crate) acceptable_recovery_lag: i64,
    warmup_replicas: i64,
    pub(crate) assignment: AssignmentConfig,
}

/// What the assignment depends on: where it changes, the group's epoch does too.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct AssignmentConfig {
    pub(crate) standby_replicas: usize,
    /// The tags that each member is to have.
    pub(crate) rack_tags: Vec<String>,
}

impl StreamsConfig {
    /// Every name, in the alphabet's order.
    pub(crate) const DEFINITIONS: &[GroupDefinition] = DEFINITIONS;

    /// What a group is configured with; values that are set were checked.
    pub(crate) fn new(
        settings: &StreamsGroupSettings,
        set: Option<&BTreeMap<String, String>>,
    ) -> Self {
        let value = |name: &str| set.and_then(|set| set.get(name)).map(String::as_str);
        let number = |name: &str| value(name).and_then(|value| value.parse::<i64>().ok());
        let duration = |name: &str, default: Duration| {
            let set = number(name).and_then(|ms| u64::try_from(ms).ok());
            set.map_or(default, Duration::from_millis)
        };
        let replicas = number(STANDBY_REPLICAS).and_then(|count| usize::try_from(count).ok());
        let tags = value(RACK_TAGS).unwrap_or_default().split(',').map(str::trim);
        Self {
            session_timeout: duration(SESSION_TIMEOUT, settings.session_timeout),
            heartbeat_interval: duration(HEARTBEAT_INTERVAL, settings.heartbeat_interval),
            assignment_interval: duration(ASSIGNMENT_INTERVAL, settings.assignment_interval),
            initial_rebalance_delay: duration(INITIAL_DELAY, settings.initial_rebalance_delay),
            task_offset_interval: duration(OFFSET_INTERVAL, settings.task_offset_interval),
            acceptable_recovery_lag: number(RECOVERY_LAG)
                .unwrap_or(settings.acceptable_recovery_lag),
            warmup_replicas: number(WARMUP_REPLICAS).unwrap_or(WARMUP_REPLICAS_DEFAULT),
            assignment: AssignmentConfig {
                standby_replicas: replicas.unwrap_or(settings.standby_replicas),
                rack_tags: tags.filter(|tag| !tag.is_empty()).map(str::to_owned).collect(),
            },
        }
    }

    /// The value of a name as DescribeConfigs tells it; `None` where it is none of these.
    pub(crate) fn value(&self, name: &str) -> Option<String> {
        let milliseconds = |duration: Duration| duration.as_millis().to_string();
        Some(match name {
            SESSION_TIMEOUT => milliseconds(self.session_timeout),
            HEARTBEAT_INTERVAL => milliseconds(self.heartbeat_interval),
            ASSIGNMENT_INTERVAL => milliseconds(self.assignment_interval),
            INITIAL_DELAY => milliseconds(self.initial_rebalance_delay),
            OFFSET_INTERVAL => milliseconds(self.task_offset_interval),
            RECOVERY_LAG => self.acceptable_recovery_lag.to_string(),
            WARMUP_REPLICAS => self.warmup_replicas.to_string(),
            STANDBY_REPLICAS => self.assignment.standby_replicas.to_string(),
            RACK_TAGS => self.assignment.rack_tags.join(","),
            ASSIGNOR_NAME => ASSIGNOR.to_owned(),
            _ => return None,
        })
    }
}

const ASSIGNMENT_INTERVAL: &str = "streams.assignment.interval.ms";
const ASSIGNOR_NAME: &str = "streams.assignor.name";
const HEARTBEAT_INTERVAL: &str = "streams.heartbeat.interval.ms";
const INITIAL_DELAY: &str = "streams.initial.rebalance.delay.ms";
const OFFSET_INTERVAL: &str = "streams.task.offset.interval.ms";
const RACK_TAGS: &str = "streams.rack.aware.assignment.tags";
const RECOVERY_LAG: &str = "streams.acceptable.recovery.lag";
const SESSION_TIMEOUT: &str = "streams.session.timeout.ms";
const STANDBY_REPLICAS: &str = "streams.num.standby.replicas";
const WARMUP_REPLICAS: &str = "streams.num.warmup.replicas";

/// Tasks to warm up are told of and set, but Kafka 4.4 gives out none either.
const WARMUP_REPLICAS_DEFAULT: i64 = 2;

const DEFINITIONS: &[GroupDefinition] = &[
    GroupDefinition::number(RECOVERY_LAG, "group.streams.acceptable.recovery.lag", 0, (None, None))
        .of_kind(ConfigKind::Long),
    GroupDefinition::number(
        ASSIGNMENT_INTERVAL,
        "group.streams.assignment.interval.ms",
        0,
        (Some(0), Some(15_000)),
    ),
    GroupDefinition::text(
        ASSIGNOR_NAME,
        "group.streams.assignors",
        &[ASSIGNOR],
        "Registered assignors are: [sticky].",
    ),
    GroupDefinition::number(
        HEARTBEAT_INTERVAL,
        "group.streams.heartbeat.interval.ms",
        1,
        (Some(5_000), Some(15_000)),
    ),
    GroupDefinition::number(
        INITIAL_DELAY,
        "group.streams.initial.rebalance.delay.ms",
        0,
        (None, None),
    ),
    GroupDefinition::number(
        STANDBY_REPLICAS,
        "group.streams.num.standby.replicas",
        0,
        (None, Some(2)),
    ),
    GroupDefinition::number(
        WARMUP_REPLICAS,
        "group.streams.num.warmup.replicas",
        0,
        (None, Some(20)),
    ),
    GroupDefinition::text(RACK_TAGS, "group.streams.rack.aware.assignment.tags", &[], "")
        .of_kind(ConfigKind::List),
    GroupDefinition::number(
        SESSION_TIMEOUT,
        "group.streams.session.timeout.ms",
        1,
        (Some(45_000), Some(60_000)),
    ),
    GroupDefinition::number(
        OFFSET_INTERVAL,
        "group.streams.task.offset.interval.ms",
        1,
        (Some(15_000), None),
    ),
];
