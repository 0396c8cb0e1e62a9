//! How connections are made and kept.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::features::Features;

/// How connections are made and kept. The defaults are Java's.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// `client.id`; empty for none.
    pub(crate) client_id: String,
    /// `max.in.flight.requests.per.connection`, of the produce lane.
    pub(crate) in_flight_max: usize,
    /// `connections.max.idle.ms`; `None` keeps connections for ever.
    pub(crate) idle_max: Option<Duration>,
    /// `reconnect.backoff.ms`
    pub(crate) reconnect_backoff: Duration,
    /// `reconnect.backoff.max.ms`
    pub(crate) reconnect_backoff_max: Duration,
    /// `socket.connection.setup.timeout.ms`
    pub(crate) setup_timeout: Duration,
    /// `socket.connection.setup.timeout.max.ms`
    pub(crate) setup_timeout_max: Duration,
    /// The largest answer that is read; Java has no such key.
    pub(crate) frame_bytes_max: usize,
    /// Whether the bootstrap list is tried when no known broker answers (`metadata.recovery.strategy`).
    pub(crate) rebootstrap: bool,
    /// Where connections put down what brokers say of the cluster; clones share it.
    pub(crate) features: Arc<Features>,
    /// Rung where a broker hangs up on a producer: with `acks=0` it has no other way to say that it does not lead a
    /// partition. Clones share it.
    pub(crate) hung_up: Arc<Notify>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            client_id: String::new(),
            in_flight_max: 5,
            idle_max: Some(Duration::from_secs(540)),
            reconnect_backoff: Duration::from_millis(50),
            reconnect_backoff_max: Duration::from_secs(1),
            setup_timeout: Duration::from_secs(10),
            setup_timeout_max: Duration::from_secs(30),
            // As librdkafka and franz-go; the largest fetch by default is half of it.
            frame_bytes_max: 100 * 1024 * 1024,
            rebootstrap: true,
            features: Arc::default(),
            hung_up: Arc::default(),
        }
    }
}
