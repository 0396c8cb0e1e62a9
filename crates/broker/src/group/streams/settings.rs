//! How groups of Kafka Streams behave that are not configured otherwise.

use std::time::Duration;

/// What Kafka's brokers call `group.streams.*`. A group may have its own values, set through IncrementalAlterConfigs.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StreamsGroupSettings {
    /// `group.streams.session.timeout.ms`. Default 45 s.
    pub session_timeout: Duration,
    /// `group.streams.heartbeat.interval.ms`, which members are told to keep. Default 5 s.
    pub heartbeat_interval: Duration,
    /// `group.streams.assignment.interval.ms`: the least time from one assignment of a group to its next. Default 1 s.
    pub assignment_interval: Duration,
    /// `group.streams.initial.rebalance.delay.ms`: how long the first assignment waits for more members. Default 0
    /// (Kafka: 3 s).
    pub initial_rebalance_delay: Duration,
    /// `group.streams.max.size`. Default 10,000 (Kafka: no limit).
    pub size_max: usize,
    /// `group.streams.num.standby.replicas`: how many other processes keep a copy of each task's state. Default 0.
    pub standby_replicas: usize,
    /// `group.streams.task.offset.interval.ms`: how often members are to say how far their copies are. Default 60 s.
    pub task_offset_interval: Duration,
    /// `group.streams.acceptable.recovery.lag`, which members are told. Default 10,000.
    pub acceptable_recovery_lag: i64,
}

impl Default for StreamsGroupSettings {
    fn default() -> Self {
        Self {
            session_timeout: Duration::from_secs(45),
            heartbeat_interval: Duration::from_secs(5),
            assignment_interval: Duration::from_secs(1),
            initial_rebalance_delay: Duration::ZERO,
            size_max: 10_000,
            standby_replicas: 0,
            task_offset_interval: Duration::from_secs(60),
            acceptable_recovery_lag: 10_000,
        }
    }
}
