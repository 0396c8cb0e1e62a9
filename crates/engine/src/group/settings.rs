//! What a member of a group is told once.

use std::sync::Arc;
use std::time::Duration;

/// The settings of a member of a group.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct GroupSettings {
    /// Java name `group.id`.
    pub group_id: Arc<str>,
    /// Makes the member a static one (KIP-345). Java name `group.instance.id`.
    pub instance_id: Option<Arc<str>>,
    /// Silent for this long, the member is out. Java name `session.timeout.ms`.
    pub session_timeout: Duration,
    /// How often the coordinator hears of us. Java name `heartbeat.interval.ms`.
    pub heartbeat_interval: Duration,
    /// Not polled for this long, the member leaves; also how long others wait for it to join again.
    /// Java name `max.poll.interval.ms`.
    pub max_poll_interval: Duration,
}

impl GroupSettings {
    /// A member of the group `group_id` with Java's defaults.
    pub fn new(group_id: impl Into<Arc<str>>) -> Self {
        Self {
            group_id: group_id.into(),
            instance_id: None,
            session_timeout: Duration::from_secs(45),
            heartbeat_interval: Duration::from_secs(3),
            max_poll_interval: Duration::from_secs(300),
        }
    }
}
