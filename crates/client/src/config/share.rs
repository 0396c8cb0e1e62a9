//! The keys of a share consumer.

use std::time::Duration;

use milena_engine::share::{AcknowledgementMode, AcquireMode};

use super::value::words;
use super::{ConfigError, Key, Scope, key::keys};
use crate::share::ShareConsumerBuilder;

words! {
    AcknowledgementMode: "one of implicit, explicit" {
        Implicit = "implicit",
        Explicit = "explicit",
    }
}

words! {
    AcquireMode: "one of batch_optimized, record_limit" {
        BatchOptimized = "batch_optimized",
        RecordLimit = "record_limit",
    }
}

keys! {
    /// Configuration of a share consumer. Immutable; made by [`ShareConsumerBuilder`].
    pub struct ShareConsumerConfig of ShareConsumer, built by ShareConsumerBuilder;

    /// Who says that a record is done with: `implicit` accepts what was handed out when more is asked for, unless it
    /// was acknowledged otherwise; with `explicit` only the caller does.
    share_acknowledgement_mode: AcknowledgementMode = "share.acknowledgement.mode", "implicit";

    /// How strictly `max.poll.records` limits what is locked for this member: `batch_optimized` takes whole batches, of
    /// all brokers at once; `record_limit` takes never more, and asks one broker at a time (KIP-1206).
    share_acquire_mode: AcquireMode = "share.acquire.mode", "batch_optimized";

    /// The most records that one `poll` hands out, and that a fetch asks for.
    max_poll_records: u32 = "max.poll.records", "500", 1..;

    /// How long the user may take between two polls before the member leaves its group; it comes back with the next.
    max_poll_interval: Duration = "max.poll.interval.ms", "300000", 1..=2147483647;

    /// How many bytes a broker gathers before it answers a fetch, unless `fetch.max.wait.ms` is over.
    fetch_min_bytes: u32 = "fetch.min.bytes", "1";

    /// How many bytes the fetches that go out together may return; a larger first batch is returned whole.
    fetch_max_bytes: u32 = "fetch.max.bytes", "52428800";

    /// How long a broker may wait for `fetch.min.bytes`. Acknowledgements that travel with a fetch are answered with it.
    fetch_max_wait: Duration = "fetch.max.wait.ms", "500", 0..=2147483647;

    /// Whether the checksum of every batch is verified.
    check_crcs: bool = "check.crcs", "true";

    /// The consumer's rack, which the group's assignor may look at.
    client_rack: String as into = "client.rack", "";
}

const COORDINATED: &str = "share groups have no such setting: the group's coordinator decides";
const OF_GROUP: &str =
    "it is a setting of the share group: alter the group's configs on the brokers";

const fn refused(name: &'static str, kind: &'static str, why: &'static str) -> Key {
    Key::refused(Scope::ShareConsumer, name, kind, why)
}

const fn ignored(name: &'static str, kind: &'static str, why: &'static str) -> Key {
    Key::ignored(Scope::ShareConsumer, name, kind, why)
}

/// Keys of Java without an effect of their own; refused are those that Java refuses.
pub(super) const OTHERS: &[Key] = &[
    refused("auto.offset.reset", "string", OF_GROUP),
    refused("isolation.level", "string", OF_GROUP),
    refused("enable.auto.commit", "boolean", "records are acknowledged, not offsets committed"),
    refused("group.instance.id", "string", "members of share groups are never static"),
    refused("partition.assignment.strategy", "list", COORDINATED),
    refused("group.remote.assignor", "string", COORDINATED),
    refused("group.protocol", "string", "share groups have one protocol"),
    refused("session.timeout.ms", "int", COORDINATED),
    refused("heartbeat.interval.ms", "int", COORDINATED),
    refused("interceptor.classes", "list", "share consumers have no interceptors"),
    refused("group.id", "string", "it is given to `Kafka::share_consumer`"),
    ignored("key.deserializer", "class", "a JVM class; keys are bytes here"),
    ignored("value.deserializer", "class", "a JVM class; values are bytes here"),
    ignored("auto.commit.interval.ms", "int", "records are acknowledged, not offsets committed"),
    ignored("max.partition.fetch.bytes", "int", "a share fetch has no limit for each partition"),
    ignored(
        "exclude.internal.topics",
        "boolean",
        "only subscriptions by pattern have a use for it",
    ),
    ignored("allow.auto.create.topics", "boolean", "asking about a topic never makes it here"),
];

impl ShareConsumerConfig {
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

    /// Holds every value against its range.
    pub(crate) fn settle(self) -> Result<Self, ConfigError> {
        self.check_ranges()?;
        Ok(self)
    }
}
