//! What connections, metadata and retries share: the keys of a [`Kafka`](crate::Kafka) handle.

use std::time::Duration;

use super::value::{Limit, SocketBuffer, Strings, words};
use super::{ConfigError, Key, Scope, key::keys};
use crate::client::KafkaBuilder;

/// What to do when no known broker can be reached (KIP-899).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum RecoveryStrategy {
    /// Start again from `bootstrap.servers`.
    Rebootstrap,
    /// Keep asking the brokers known last.
    None,
}

words! {
    RecoveryStrategy: "one of rebootstrap, none" {
        Rebootstrap = "rebootstrap",
        None = "none",
    }
}

keys! {
    /// Configuration of a [`Kafka`](crate::Kafka) handle: what all its producers, consumers and admin calls share.
    ///
    /// Immutable; made by [`KafkaBuilder`].
    pub struct CommonConfig of Client, built by KafkaBuilder;

    /// Brokers to learn the cluster from, as `host:port` separated by commas; any one that answers is enough.
    bootstrap_servers: Strings as list = "bootstrap.servers", "";

    /// A name for this client in the brokers' logs, metrics and quotas. Consumers left without one call themselves
    /// `consumer-<group>-<n>`, as in Java.
    client_id: String as into = "client.id", "";

    /// How long a broker may take to answer a request; after that the connection is given up and the request is
    /// retried where that is safe.
    request_timeout: Duration = "request.timeout.ms", "30000", 0..=2147483647;

    /// How long a call of the consumer or of the admin client may take, retries included.
    default_api_timeout: Duration = "default.api.timeout.ms", "60000", 0..=2147483647;

    /// How long to wait before a failed request is sent again; doubles with each failure, with 20 %
    /// jitter (KIP-580).
    retry_backoff: Duration = "retry.backoff.ms", "100";

    /// The longest wait between two attempts of a request.
    retry_backoff_max: Duration = "retry.backoff.max.ms", "1000";

    /// How long to wait before a broker that could not be reached is dialled again; doubles with each failure, with
    /// 20 % jitter (KIP-144).
    reconnect_backoff: Duration = "reconnect.backoff.ms", "50";

    /// The longest wait between two attempts to reach a broker.
    reconnect_backoff_max: Duration = "reconnect.backoff.max.ms", "1000";

    /// How long a connection may take from the dial to the end of its handshake; doubles with each failure (KIP-601).
    connection_setup_timeout: Duration = "socket.connection.setup.timeout.ms", "10000", 1..;

    /// The most that a connection may take from the dial to the end of its handshake.
    connection_setup_timeout_max: Duration = "socket.connection.setup.timeout.max.ms", "30000", 1..;

    /// How long a connection may be idle before it is closed; `None` keeps it.
    connections_max_idle: Limit = "connections.max.idle.ms", "540000";

    /// The age at which metadata is asked for again, to notice new partitions and moved leaders.
    metadata_max_age: Duration = "metadata.max.age.ms", "300000";

    /// What to do when no known broker can be reached (KIP-899).
    metadata_recovery_strategy: RecoveryStrategy = "metadata.recovery.strategy", "rebootstrap";

    /// How long metadata may be unobtainable before the client starts again from `bootstrap.servers` (KIP-1102).
    metadata_rebootstrap_trigger: Duration = "metadata.recovery.rebootstrap.trigger.ms", "300000";

    /// The operating system's buffer for bytes on their way out (`SO_SNDBUF`), in bytes.
    send_buffer_bytes: SocketBuffer = "send.buffer.bytes", "131072", -1..;

    /// The operating system's buffer for bytes that arrived (`SO_RCVBUF`), in bytes; -1 leaves it to the system, which
    /// lets it grow with what comes. Java's consumer has 65536 here and its producer 32768: that is a wake-up for every
    /// 64 KiB, and over a round trip of 50 ms not much more than a megabyte a second.
    receive_buffer_bytes: SocketBuffer = "receive.buffer.bytes", "-1", -1..;
}

/// Keys whose value a single producer or consumer may override: no connection depends on them.
pub(super) const OVERRIDABLE: &[&str] =
    &["request.timeout.ms", "default.api.timeout.ms", "retry.backoff.ms", "retry.backoff.max.ms"];

const JVM: &str = "JVM classes";
const NO_METRICS: &str =
    "metrics are counted all the time and neither sampled nor pushed to brokers";
const RESOLVED: &str =
    "no literal of the form ${provider:...} is looked up: resolve values before they come here";

const fn ignored(name: &'static str, kind: &'static str, why: &'static str) -> Key {
    Key::ignored(Scope::Client, name, kind, why)
}

/// Keys of Java without an effect of their own.
pub(super) const OTHERS: &[Key] = &[
    ignored("bootstrap.resolve.timeout.ms", "long", "names are resolved anew at each dial"),
    Key::only(
        Scope::Client,
        "client.dns.lookup",
        "string",
        "use_all_dns_ips",
        "every address of a name is tried; canonical names matter to Kerberos alone",
    ),
    Key::only(Scope::Client, "config.providers", "list", "", RESOLVED),
    ignored("enable.metrics.push", "boolean", NO_METRICS),
    ignored(
        "metadata.cluster.check.enable",
        "boolean",
        "the cluster's id is not sent, so that no broker checks it",
    ),
    ignored("metric.reporters", "list", JVM),
    ignored("metrics.num.samples", "int", NO_METRICS),
    ignored("metrics.recording.level", "string", NO_METRICS),
    ignored("metrics.sample.window.ms", "long", NO_METRICS),
];

impl CommonConfig {
    /// The keys with an effect.
    pub fn keys() -> &'static [Key] {
        Self::KEYS
    }

    /// Every key with its value, as Java writes them.
    pub fn values(&self) -> Vec<(&'static str, String)> {
        self.own_values()
    }

    /// Sets the value of `key`; false where it is none of this table.
    pub(super) fn set(&mut self, key: &str, value: &str) -> Result<bool, ConfigError> {
        self.set_own(key, value)
    }

    /// Applies the rules between keys: what was left at its default gives way, what was set stands or fails.
    ///
    /// Java only logs where the first wait is above the longest; there the longest alone is waited from then on.
    pub(crate) fn settle(mut self) -> Result<Self, ConfigError> {
        self.check_ranges()?;
        if self.bootstrap_servers.is_empty() {
            return Err(ConfigError::missing(
                "bootstrap.servers",
                "name at least one broker as host:port",
            ));
        }
        let explicit = self.explicit.clone();
        let rules = [
            (self.reconnect_backoff, &mut self.reconnect_backoff_max, RECONNECT_BACKOFF),
            (self.retry_backoff, &mut self.retry_backoff_max, RETRY_BACKOFF),
            (self.connection_setup_timeout, &mut self.connection_setup_timeout_max, SETUP_TIMEOUT),
        ];
        for (first, most, (key, key_max)) in rules {
            match (explicit.contains(key), explicit.contains(key_max)) {
                _ if first <= *most => {}
                (true, false) => *most = first,
                (true, true) | (false, _) => {
                    return Err(ConfigError::conflict(
                        key,
                        key_max,
                        "the first exceeds the largest",
                    ));
                }
            }
        }
        Ok(self)
    }
}

const RECONNECT_BACKOFF: (&str, &str) = ("reconnect.backoff.ms", "reconnect.backoff.max.ms");
const RETRY_BACKOFF: (&str, &str) = ("retry.backoff.ms", "retry.backoff.max.ms");
const SETUP_TIMEOUT: (&str, &str) =
    ("socket.connection.setup.timeout.ms", "socket.connection.setup.timeout.max.ms");
