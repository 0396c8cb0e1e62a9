//! The keys of a producer.

use std::time::Duration;

use milena_engine::producer::Acks;
use milena_records::CompressionType;

use super::value::words;
use super::{CommonConfig, ConfigError, Key, key::keys};
use crate::producer::ProducerBuilder;

words! {
    Acks: "one of all, -1, 1, 0" {
        All = "all" | "-1",
        Leader = "1",
        None = "0",
    }
}

words! {
    CompressionType: "one of none, gzip, snappy, lz4, zstd" {
        None = "none",
        Gzip = "gzip",
        Snappy = "snappy",
        Lz4 = "lz4",
        Zstd = "zstd",
    }
}

keys! {
    /// Configuration of a producer. Immutable; made by [`ProducerBuilder`].
    pub struct ProducerConfig, built by ProducerBuilder;

    /// Who must have stored a record before it counts as acknowledged.
    acks: Acks = "acks", "all";

    /// Whether the brokers drop a record that a retry sent twice, and keep the order of retried ones (KIP-98). Needs
    /// `acks=all`, retries, and at most five requests in flight; left at its default, it goes off where they are set
    /// otherwise.
    enable_idempotence: bool = "enable.idempotence", "true";

    /// How long a batch may wait for more records before it is sent. Larger values trade latency for larger batches;
    /// `Duration::ZERO` sends at once.
    linger: Duration = "linger.ms", "5";

    /// How many bytes of records a batch takes before it is sent without waiting further. A larger record gets a batch
    /// of its own.
    batch_size: u32 = "batch.size", "16384";

    /// How many bytes of unsent records the producer holds; beyond that `send` waits for room.
    buffer_memory: u64 = "buffer.memory", "33554432";

    /// How long `send` may wait for room in the buffer and for the topic's metadata.
    max_block: Duration = "max.block.ms", "60000";

    /// The largest request, in bytes; a record that does not fit is refused at once.
    max_request_size: u32 = "max.request.size", "1048576";

    /// How long after it was sent a record may still be retried, before it counts as failed. At least `linger.ms` and
    /// `request.timeout.ms` together.
    delivery_timeout: Duration = "delivery.timeout.ms", "120000";

    /// How often a failed batch is sent again before it counts as failed; `delivery.timeout.ms` is the better bound.
    retries: u32 = "retries", "2147483647";

    /// How many requests may wait for an answer on one connection.
    max_in_flight_requests_per_connection: u32 = "max.in.flight.requests.per.connection", "5", 1..;

    /// How batches are compressed.
    compression: CompressionType = "compression.type", "none";

    /// Gzip's effort, from 1 (fast) to 9 (small); -1 for its default.
    compression_gzip_level: i32 = "compression.gzip.level", "-1", -1..=9;

    /// LZ4's effort; from 3 up the slower high-compression search.
    compression_lz4_level: i32 = "compression.lz4.level", "9", 1..=17;

    /// Zstandard's effort; negative levels are faster still.
    compression_zstd_level: i32 = "compression.zstd.level", "3", -131072..=22;

    /// Whether records without a key avoid brokers that answer slowly (KIP-794).
    partitioner_adaptive_partitioning_enable: bool = "partitioner.adaptive.partitioning.enable", "true";

    /// How long a broker may leave batches unsent before records without a key avoid it; zero never avoids it, and is
    /// the only value taken so far.
    partitioner_availability_timeout: Duration = "partitioner.availability.timeout.ms", "0";

    /// Whether the key has no say in the partition.
    partitioner_ignore_keys: bool = "partitioner.ignore.keys", "false";

    /// How long a topic's metadata is kept after the last record to it (KIP-526).
    metadata_max_idle: Duration = "metadata.max.idle.ms", "300000", 5000..;
}

const NO_TRANSACTIONS: &str =
    "transactions are not there yet, and sending without them would break their promise";

/// Keys of Java without an effect of their own.
pub(super) const OTHERS: &[Key] = &[
    Key::ignored("client.rack", "string", "only the rack-aware partitioner has a use for it"),
    Key::ignored("interceptor.classes", "list", "a JVM class"),
    Key::ignored("key.serializer", "class", "a JVM class; keys are bytes here"),
    Key::ignored("value.serializer", "class", "a JVM class; values are bytes here"),
    Key::refused(
        "partitioner.class",
        "class",
        "a JVM class; without it records would go to other partitions: name the partition on the record",
    ),
    Key::ignored("partitioner.rack.aware", "boolean", "records go to all leaders alike"),
    Key::ignored("transaction.timeout.ms", "int", "only transactions have a use for it"),
    Key::refused("transaction.two.phase.commit.enable", "boolean", NO_TRANSACTIONS),
    Key::refused("transactional.id", "string", NO_TRANSACTIONS),
];

impl ProducerConfig {
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
    pub(crate) fn settle(mut self, common: &CommonConfig) -> Result<Self, ConfigError> {
        self.check_ranges()?;
        if self.compression_gzip_level == 0 {
            let (key, range) = ("compression.gzip.level", "-1 or 1..=9");
            return Err(ConfigError::out_of_range(key, "0".to_owned(), range));
        }
        if !self.partitioner_availability_timeout.is_zero() {
            let reason = "slow brokers are avoided by the length of their queues alone \
                          (partitioner.adaptive.partitioning.enable); only 0 is taken";
            return Err(ConfigError::unsupported("partitioner.availability.timeout.ms", reason));
        }
        self.settle_idempotence()?;
        self.settle_delivery_timeout(common)?;
        Ok(self)
    }

    fn settle_idempotence(&mut self) -> Result<(), ConfigError> {
        let obstacles = [
            (self.acks != Acks::All, "acks", "idempotence needs acks=all"),
            (self.retries == 0, "retries", "idempotence needs at least one retry"),
            (
                self.max_in_flight_requests_per_connection > IDEMPOTENT_IN_FLIGHT_MAX,
                "max.in.flight.requests.per.connection",
                "idempotence allows 5 at most: brokers remember 5 batches of a producer",
            ),
        ];
        for (_, key, rule) in obstacles.into_iter().filter(|(stands, ..)| *stands) {
            if self.enable_idempotence && self.is_explicit("enable.idempotence") {
                return Err(ConfigError::conflict("enable.idempotence", key, rule));
            }
            self.enable_idempotence = false;
        }
        Ok(())
    }

    fn settle_delivery_timeout(&mut self, common: &CommonConfig) -> Result<(), ConfigError> {
        let least = self.linger.saturating_add(common.request_timeout());
        if self.delivery_timeout < least {
            if self.is_explicit("delivery.timeout.ms") {
                return Err(ConfigError::conflict(
                    "delivery.timeout.ms",
                    "request.timeout.ms",
                    "delivery.timeout.ms must be at least linger.ms + request.timeout.ms",
                ));
            }
            tracing::warn!(
                delivery_timeout_ms = least.as_millis() as u64,
                "delivery.timeout.ms is raised to linger.ms + request.timeout.ms"
            );
            self.delivery_timeout = least;
        }
        Ok(())
    }
}

/// Brokers remember this many batches of a producer in a partition.
const IDEMPOTENT_IN_FLIGHT_MAX: u32 = 5;
