//! What a share consumer is told once.

use std::sync::Arc;
use std::time::Duration;

/// Who says that a record is done with.
///
/// Java name `share.acknowledgement.mode`; default `implicit`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the protocol has these two")]
pub enum AcknowledgementMode {
    /// What was handed out and not acknowledged otherwise is accepted when the user asks for more.
    #[default]
    Implicit,
    /// Only the user does. What he never acknowledges is delivered again once its lock runs out.
    Explicit,
}

/// How strictly `max.poll.records` limits what is acquired (KIP-1206).
///
/// Java name `share.acquire.mode`; default `batch_optimized`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the protocol has these two")]
pub enum AcquireMode {
    /// Whole batches, so that a fetch may bring more records than asked for; every broker is asked at once.
    #[default]
    BatchOptimized,
    /// Never more records than asked for; one broker is asked at a time.
    RecordLimit,
}

/// The settings of a [`ShareConsumer`](super::ShareConsumer); the defaults are Java's.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settings {
    /// Java name `group.id`.
    pub group_id: Arc<str>,
    /// Java name `client.rack`.
    pub client_rack: Option<Arc<str>>,
    /// Who says that a record is done with.
    pub acknowledgement_mode: AcknowledgementMode,
    /// How strictly records are limited.
    pub acquire_mode: AcquireMode,
    /// Records that one fetch asks for, and one poll hands out at most. Java name `max.poll.records`.
    pub max_poll_records: usize,
    /// Not polled for this long, the member leaves until it is. Java name `max.poll.interval.ms`.
    pub max_poll_interval: Duration,
    /// A broker waits until it has this many bytes, or [`fetch_max_wait`](Self::fetch_max_wait) is over.
    pub fetch_min_bytes: i32,
    /// The most that is fetched at once, over all brokers, one batch each excepted.
    pub fetch_max_bytes: i32,
    /// How long a broker waits for records. Acknowledgements that travel with the fetch are not answered before.
    pub fetch_max_wait: Duration,
    /// Whether the checksum of each batch is verified. Java name `check.crcs`.
    pub check_crcs: bool,
    /// How long to wait for an answer. Java name `request.timeout.ms`.
    pub request_timeout: Duration,
    /// How long a commit may take. Java name `default.api.timeout.ms`.
    pub default_api_timeout: Duration,
    /// The first wait after an error; it doubles up to [`retry_backoff_max`](Self::retry_backoff_max).
    pub retry_backoff: Duration,
    /// The longest wait after an error.
    pub retry_backoff_max: Duration,
}

impl Settings {
    /// A member of the share group `group_id` with Java's defaults.
    pub fn new(group_id: impl Into<Arc<str>>) -> Self {
        Self {
            group_id: group_id.into(),
            client_rack: None,
            acknowledgement_mode: AcknowledgementMode::Implicit,
            acquire_mode: AcquireMode::BatchOptimized,
            max_poll_records: 500,
            max_poll_interval: Duration::from_secs(300),
            fetch_min_bytes: 1,
            fetch_max_bytes: 50 << 20,
            fetch_max_wait: Duration::from_millis(500),
            check_crcs: true,
            request_timeout: Duration::from_secs(30),
            default_api_timeout: Duration::from_secs(60),
            retry_backoff: Duration::from_millis(100),
            retry_backoff_max: Duration::from_secs(1),
        }
    }
}
