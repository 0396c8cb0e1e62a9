//! How share groups behave that are not configured otherwise.

use std::time::Duration;

/// What Kafka's brokers call `group.share.*`. A group may have its own values, set through IncrementalAlterConfigs.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ShareGroupSettings {
    /// `group.share.session.timeout.ms`. Default 45 s.
    pub session_timeout: Duration,
    /// `group.share.heartbeat.interval.ms`, which members are told to keep. Default 5 s.
    pub heartbeat_interval: Duration,
    /// `group.share.assignment.interval.ms`: how long an assignment lasts before the next is made. Default 1 s.
    pub assignment_interval: Duration,
    /// `group.share.max.size`: how many members a group takes. Default 200.
    pub size_max: usize,
    /// `group.share.record.lock.duration.ms`: how long a member holds records that it was given. Default 30 s.
    pub record_lock_duration: Duration,
    /// `group.share.delivery.count.limit`: how often a record is given out before it is given up. Default 5.
    pub delivery_count_limit: i16,
    /// `group.share.partition.max.record.locks`: records in flight of one share partition. Default 2000.
    pub record_locks_max: i64,
    /// `group.share.max.share.sessions`, of each node. Default 2000.
    pub sessions_max: usize,
}

impl Default for ShareGroupSettings {
    fn default() -> Self {
        Self {
            session_timeout: Duration::from_secs(45),
            heartbeat_interval: Duration::from_secs(5),
            assignment_interval: Duration::from_secs(1),
            size_max: 200,
            record_lock_duration: Duration::from_secs(30),
            delivery_count_limit: 5,
            record_locks_max: 2000,
            sessions_max: 2000,
        }
    }
}
