//! What a consumer is told once.

use std::sync::Arc;
use std::time::Duration;

use crate::fetch::IsolationLevel;
use crate::group::GroupSettings;
use crate::subscription::OffsetReset;

/// The settings of a [`Consumer`](super::Consumer); the defaults are Java's where it has the setting.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settings {
    /// `None` reads without a group: no committed offsets, no shared topics.
    pub group: Option<GroupSettings>,
    /// Where to start without a position. Java name `auto.offset.reset`.
    pub auto_offset_reset: OffsetReset,
    /// Java name `isolation.level`.
    pub isolation_level: IsolationLevel,
    /// Where this client is, so that a near replica may serve it (KIP-392). Java name `client.rack`.
    pub client_rack: Option<Arc<str>>,
    /// A broker waits until it has this many bytes, or [`fetch_max_wait`](Self::fetch_max_wait) is over.
    pub fetch_min_bytes: i32,
    /// The most that one answer holds, one batch excepted.
    pub fetch_max_bytes: i32,
    /// The most that one answer holds of one partition, one batch excepted.
    pub max_partition_fetch_bytes: i32,
    /// How long a broker waits for [`fetch_min_bytes`](Self::fetch_min_bytes).
    pub fetch_max_wait: Duration,
    /// How much may wait to be taken, over all partitions and brokers. Java has no such limit.
    pub buffer_bytes: usize,
    /// Records that one poll hands out at most. Java name `max.poll.records`.
    pub max_poll_records: usize,
    /// Whether the checksum of each batch is verified. Java name `check.crcs`.
    pub check_crcs: bool,
    /// How often positions are committed by themselves; `None` never. Needs a group.
    pub auto_commit_interval: Option<Duration>,
    /// Whether asking for a missing topic lets the brokers make it. Java name `allow.auto.create.topics`.
    pub allow_auto_create_topics: bool,
    /// Whether a subscription by filter passes Kafka's own topics over. Java name `exclude.internal.topics`.
    pub exclude_internal_topics: bool,
    /// How long to wait for an answer. Java name `request.timeout.ms`.
    pub request_timeout: Duration,
    /// How long a commit or query may be tried. Java name `default.api.timeout.ms`.
    pub default_api_timeout: Duration,
    /// The first wait after an error; it doubles up to [`retry_backoff_max`](Self::retry_backoff_max).
    pub retry_backoff: Duration,
    /// The longest wait after an error.
    pub retry_backoff_max: Duration,
    /// How long metadata is good; a preferred replica is used no longer than that. Java name `metadata.max.age.ms`.
    pub metadata_max_age: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            group: None,
            auto_offset_reset: OffsetReset::Latest,
            isolation_level: IsolationLevel::ReadUncommitted,
            client_rack: None,
            fetch_min_bytes: 1,
            fetch_max_bytes: 50 << 20,
            max_partition_fetch_bytes: 1 << 20,
            fetch_max_wait: Duration::from_millis(500),
            buffer_bytes: 16 << 20,
            max_poll_records: 500,
            check_crcs: true,
            auto_commit_interval: Some(Duration::from_secs(5)),
            allow_auto_create_topics: true,
            exclude_internal_topics: true,
            request_timeout: Duration::from_secs(30),
            default_api_timeout: Duration::from_secs(60),
            retry_backoff: Duration::from_millis(100),
            retry_backoff_max: Duration::from_secs(1),
            metadata_max_age: Duration::from_secs(300),
        }
    }
}
