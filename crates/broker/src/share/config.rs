//! What share groups are configured with (Kafka's `GroupConfig`).

use std::collections::BTreeMap;
use std::time::Duration;

use super::partition::Limits;
use super::settings::ShareGroupSettings;
use crate::group::GroupDefinition;
use crate::topic::ConfigKind;

/// The settings of one share group: what is set for it, else what the cluster gives all.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct ShareConfig {
    pub(crate) session_timeout: Duration,
    pub(crate) heartbeat_interval: Duration,
    pub(crate) assignment_interval: Duration,
    pub(crate) limits: Limits,
    pub(crate) reads_committed: bool,
    pub(crate) begins_at_earliest: bool,
}

impl ShareConfig {
    /// Every name, in the alphabet's order.
    pub(crate) const DEFINITIONS: &[GroupDefinition] = DEFINITIONS;

    /// What a group is configured with; values that are set were checked.
    pub(crate) fn new(
        settings: &ShareGroupSettings,
        set: Option<&BTreeMap<String, String>>,
    ) -> Self {
        let value = |name: &str| set.and_then(|set| set.get(name)).map(String::as_str);
        let number = |name: &str| value(name).and_then(|value| value.parse::<i64>().ok());
        let duration = |name: &str, default: Duration| {
            let set = number(name).and_then(|ms| u64::try_from(ms).ok());
            set.map_or(default, Duration::from_millis)
        };
        let deliveries_max = number(DELIVERY_COUNT_LIMIT).and_then(|n| i16::try_from(n).ok());
        Self {
            session_timeout: duration(SESSION_TIMEOUT, settings.session_timeout),
            heartbeat_interval: duration(HEARTBEAT_INTERVAL, settings.heartbeat_interval),
            assignment_interval: duration(ASSIGNMENT_INTERVAL, settings.assignment_interval),
            limits: Limits {
                records_max: number(RECORD_LOCKS_MAX).unwrap_or(settings.record_locks_max),
                deliveries_max: deliveries_max.unwrap_or(settings.delivery_count_limit),
                lock: duration(RECORD_LOCK_DURATION, settings.record_lock_duration),
                may_renew: value(RENEW_ENABLE) != Some("false"),
            },
            reads_committed: value(ISOLATION_LEVEL) == Some("read_committed"),
            begins_at_earliest: value(AUTO_OFFSET_RESET) == Some("earliest"),
        }
    }

    /// The value of a name as DescribeConfigs tells it.
    pub(crate) fn value(&self, name: &str) -> String {
        let milliseconds = |duration: Duration| duration.as_millis().to_string();
        match name {
            SESSION_TIMEOUT => milliseconds(self.session_timeout),
            HEARTBEAT_INTERVAL => milliseconds(self.heartbeat_interval),
            ASSIGNMENT_INTERVAL => milliseconds(self.assignment_interval),
            RECORD_LOCK_DURATION => milliseconds(self.limits.lock),
            RECORD_LOCKS_MAX => self.limits.records_max.to_string(),
            DELIVERY_COUNT_LIMIT => self.limits.deliveries_max.to_string(),
            RENEW_ENABLE => self.limits.may_renew.to_string(),
            ISOLATION_LEVEL if self.reads_committed => "read_committed".to_owned(),
            ISOLATION_LEVEL => "read_uncommitted".to_owned(),
            AUTO_OFFSET_RESET if self.begins_at_earliest => "earliest".to_owned(),
            AUTO_OFFSET_RESET => "latest".to_owned(),
            _ => String::new(),
        }
    }
}

const ASSIGNMENT_INTERVAL: &str = "share.assignment.interval.ms";
const AUTO_OFFSET_RESET: &str = "share.auto.offset.reset";
const DELIVERY_COUNT_LIMIT: &str = "share.delivery.count.limit";
const HEARTBEAT_INTERVAL: &str = "share.heartbeat.interval.ms";
const ISOLATION_LEVEL: &str = "share.isolation.level";
const RECORD_LOCKS_MAX: &str = "share.partition.max.record.locks";
const RECORD_LOCK_DURATION: &str = "share.record.lock.duration.ms";
const RENEW_ENABLE: &str = "share.renew.acknowledge.enable";
const SESSION_TIMEOUT: &str = "share.session.timeout.ms";

const fn int(
    name: &'static str,
    synonym: &'static str,
    least: i64,
    (min, max): (i64, i64),
) -> GroupDefinition {
    GroupDefinition::number(name, synonym, least, (Some(min), Some(max)))
}

const DEFINITIONS: &[GroupDefinition] = &[
    int(ASSIGNMENT_INTERVAL, "group.share.assignment.interval.ms", 0, (0, 15_000)),
    GroupDefinition::text(
        AUTO_OFFSET_RESET,
        AUTO_OFFSET_RESET,
        &["earliest", "latest"],
        "the embedded broker knows earliest and latest",
    ),
    int(DELIVERY_COUNT_LIMIT, "group.share.delivery.count.limit", 2, (2, 10)),
    int(HEARTBEAT_INTERVAL, "group.share.heartbeat.interval.ms", 1, (5_000, 15_000)),
    GroupDefinition::text(
        ISOLATION_LEVEL,
        ISOLATION_LEVEL,
        &["read_committed", "read_uncommitted"],
        "String must be one of: read_committed, read_uncommitted",
    ),
    int(RECORD_LOCKS_MAX, "group.share.partition.max.record.locks", 100, (100, 4_000)),
    int(RECORD_LOCK_DURATION, "group.share.record.lock.duration.ms", 1_000, (15_000, 60_000)),
    GroupDefinition::text(
        RENEW_ENABLE,
        RENEW_ENABLE,
        &["true", "false"],
        "Expected value to be either true or false",
    )
    .of_kind(ConfigKind::Boolean),
    int(SESSION_TIMEOUT, "group.share.session.timeout.ms", 1, (45_000, 60_000)),
];
