//! How metadata is kept fresh.

use std::time::Duration;

/// How metadata is kept fresh. The defaults are Java's.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settings {
    /// The oldest that metadata may get (`metadata.max.age.ms`, 5 min).
    pub max_age: Duration,
    /// How long a topic that no producer touches is kept fresh (`metadata.max.idle.ms`, 5 min).
    pub max_idle: Duration,
    /// The first wait after a failure, and the shortest between two requests (`retry.backoff.ms`, 100 ms).
    pub retry_backoff: Duration,
    /// The longest wait after a failure (`retry.backoff.max.ms`, 1 s).
    pub retry_backoff_max: Duration,
    /// How long to wait for an answer (`request.timeout.ms`, 30 s).
    pub request_timeout: Duration,
    /// How long to go without an answer before starting over from the bootstrap list
    /// (`metadata.recovery.rebootstrap.trigger.ms`, 5 min); `None` where `metadata.recovery.strategy` is `none`.
    pub rebootstrap_trigger: Option<Duration>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_age: Duration::from_secs(300),
            max_idle: Duration::from_secs(300),
            retry_backoff: Duration::from_millis(100),
            retry_backoff_max: Duration::from_secs(1),
            request_timeout: Duration::from_secs(30),
            rebootstrap_trigger: Some(Duration::from_secs(300)),
        }
    }
}
