//! How groups of the consumer protocol behave.

use std::time::Duration;

/// The broker's `group.consumer.*` settings; the defaults are Kafka's.
///
/// A test in real time that waits for rebalances wants a smaller [`heartbeat_interval`](Self::heartbeat_interval) and
/// [`assignment_interval`](Self::assignment_interval).
///
/// # Examples
/// ```
/// # use std::time::Duration;
/// # use milena_broker::Broker;
/// let hasty = Broker::builder().topic("orders", 6).configure(|settings| {
///     settings.consumer_groups.heartbeat_interval = Duration::from_millis(50);
///     settings.consumer_groups.assignment_interval = Duration::ZERO;
/// });
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ConsumerGroupSettings {
    /// `group.consumer.session.timeout.ms`: a member that is not heard of for so long is given up. Default 45 s.
    pub session_timeout: Duration,
    /// `group.consumer.heartbeat.interval.ms`: how often members are told to send heartbeats. Default 5 s.
    pub heartbeat_interval: Duration,
    /// `group.consumer.assignment.interval.ms`: the least time from one assignment of a group to its next. Default 1 s.
    pub assignment_interval: Duration,
    /// `group.consumer.max.size`. Default 10,000 (Kafka: no limit).
    pub size_max: usize,
    /// `group.consumer.regex.refresh.interval.ms`: regular expressions are matched against all topics that often, even
    /// where no topic was created. Default 10 min.
    pub regex_refresh_interval: Duration,
    /// `group.consumer.migration.policy`. Default both ways.
    pub migration_policy: MigrationPolicy,
}

/// Which groups with members may change their protocol.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "Kafka's four; there is nothing between them")]
pub enum MigrationPolicy {
    /// None; a classic member cannot join a group of the consumer protocol either.
    Disabled,
    /// From the classic to the consumer protocol.
    Upgrade,
    /// From the consumer to the classic protocol.
    Downgrade,
    /// Both ways.
    Bidirectional,
}

impl MigrationPolicy {
    /// As Kafka writes it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::Upgrade => "upgrade",
            Self::Downgrade => "downgrade",
            Self::Bidirectional => "bidirectional",
        }
    }

    pub(super) const fn may_upgrade(self) -> bool {
        matches!(self, Self::Upgrade | Self::Bidirectional)
    }

    pub(super) const fn may_downgrade(self) -> bool {
        matches!(self, Self::Downgrade | Self::Bidirectional)
    }
}

impl Default for ConsumerGroupSettings {
    fn default() -> Self {
        Self {
            session_timeout: Duration::from_secs(45),
            heartbeat_interval: Duration::from_secs(5),
            assignment_interval: Duration::from_secs(1),
            size_max: 10_000,
            regex_refresh_interval: Duration::from_secs(10 * 60),
            migration_policy: MigrationPolicy::Bidirectional,
        }
    }
}
