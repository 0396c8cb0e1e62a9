//! The keys of a producer.

use std::time::Duration;

use milena_engine::producer::{Acks, Partitioning};
use milena_records::CompressionType;

use super::value::{Text, Value, words};
use super::{CommonConfig, ConfigError, Key, Scope, key::keys};
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
    pub struct ProducerConfig of Producer, built by ProducerBuilder;

    /// Who must have stored a record before it counts as acknowledged.
    acks: Acks = "acks", "all";

    /// Whether the brokers drop a record that a retry sent twice, and keep the order of retried ones (KIP-98). Needs
    /// `acks=all`, retries, and at most five requests in flight. Left at its default, it goes off for other `acks` and
    /// for no retries, but not for more requests in flight.
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
    delivery_timeout: Duration = "delivery.timeout.ms", "120000", 0..=2147483647;

    /// How often a failed batch is sent again before it counts as failed; `delivery.timeout.ms` is the better bound.
    retries: u32 = "retries", "2147483647";

    /// How many requests may wait for an answer on one connection.
    max_in_flight_requests_per_connection: u32 = "max.in.flight.requests.per.connection", "5", 1..;

    /// How batches are compressed.
    compression: CompressionType = "compression.type", "none";

    /// Gzip's effort, from 1 (fast) to 9 (small), where 2 to 6 are the same, and 7 and 8; -1 for its default, 6.
    compression_gzip_level: i32 = "compression.gzip.level", "-1", -1..=9;

    /// LZ4's effort; from 3 up the slower high-compression search.
    compression_lz4_level: i32 = "compression.lz4.level", "9", 1..=17;

    /// Zstandard's effort; negative levels are faster still.
    compression_zstd_level: i32 = "compression.zstd.level", "3", -131072..=22;

    /// Who chooses the partition of a record that names none: [`Partitioning::Default`] as Java does, round robin,
    /// librdkafka's hashes, or a [`Partitioner`](crate::Partitioner) or function of your own. By name there are
    /// Java's `RoundRobinPartitioner`, and `consistent` and `consistent_random` of librdkafka.
    partitioner: Partitioning as into = "partitioner.class", "";

    /// Whether records without a key go less often to partitions with many batches waiting, as those of slow brokers
    /// have (KIP-794).
    partitioner_adaptive_partitioning_enable: bool = "partitioner.adaptive.partitioning.enable", "true";

    /// How long a broker may take nothing of what waits for it before records without a key avoid its partitions; zero
    /// never avoids it. It has no effect without `partitioner.adaptive.partitioning.enable`.
    partitioner_availability_timeout: Duration = "partitioner.availability.timeout.ms", "0";

    /// Whether the key has no say in the partition.
    partitioner_ignore_keys: bool = "partitioner.ignore.keys", "false";

    /// Whether records without a key prefer partitions whose leader is in the rack `client.rack`, which must be set
    /// then (KIP-1123).
    partitioner_rack_aware: bool = "partitioner.rack.aware", "false";

    /// The producer's rack, for `partitioner.rack.aware`.
    client_rack: String as into = "client.rack", "";

    /// The name that the producer's transactions go by, the same after each restart; without one there are none. Needs
    /// idempotence, and a producer made by `build_transactional`.
    transactional_id: Text as text = "transactional.id", "";

    /// How long a transaction may be open before its coordinator aborts it; brokers allow 15 minutes at most
    /// (`transaction.max.timeout.ms`).
    transaction_timeout: Duration = "transaction.timeout.ms", "60000", 0..=2147483647;

    /// Whether transactions have no time-out and are ended by another system's commit (KIP-939).
    /// `true` takes milena's feature `unstable-two-phase-commit`.
    transaction_two_phase_commit_enable: bool = "transaction.two.phase.commit.enable", "false";

    /// How long a topic's metadata is kept after the last record to it (KIP-526).
    metadata_max_idle: Duration = "metadata.max.idle.ms", "300000", 5000..;
}

const fn ignored(name: &'static str, kind: &'static str, why: &'static str) -> Key {
    Key::ignored(Scope::Producer, name, kind, why)
}

/// Keys of Java without an effect of their own.
pub(super) const OTHERS: &[Key] = &[
    ignored(
        "interceptor.classes",
        "list",
        "JVM classes; the builder takes interceptors of your own",
    ),
    ignored("key.serializer", "class", "a JVM class; a key is what the program makes of it"),
    ignored("value.serializer", "class", "a JVM class; a value is what the program makes of it"),
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
        if self.partitioner_rack_aware && self.client_rack.is_empty() {
            let rule = "leaders of a rack cannot be preferred where client.rack is not set";
            return Err(ConfigError::conflict("partitioner.rack.aware", "client.rack", rule));
        }
        self.settle_idempotence()?;
        self.check_transactions()?;
        self.settle_delivery_timeout(common)?;
        Ok(self)
    }

    fn settle_idempotence(&mut self) -> Result<(), ConfigError> {
        if !self.enable_idempotence {
            return Ok(());
        }
        let is_asked_for = self.is_explicit("enable.idempotence");
        let is_window_wide = self.max_in_flight_requests_per_connection > IDEMPOTENT_IN_FLIGHT_MAX;
        let obstacles = [
            (self.acks != Acks::All, is_asked_for, "acks", "idempotence needs acks=all"),
            (self.retries == 0, is_asked_for, "retries", "idempotence needs at least one retry"),
            // Since 4.0 Java does not switch idempotence off for this one: who asks for six may not know the price.
            (
                is_window_wide,
                true,
                "max.in.flight.requests.per.connection",
                "idempotence allows 5 at most, as many batches as brokers remember of a producer",
            ),
        ];
        for (_, is_final, key, rule) in obstacles.into_iter().filter(|(stands, ..)| *stands) {
            if is_final {
                return Err(ConfigError::conflict("enable.idempotence", key, rule));
            }
            tracing::info!(
                key,
                "idempotence is off: it was not asked for, and this key excludes it"
            );
            self.enable_idempotence = false;
        }
        Ok(())
    }

    fn check_transactions(&self) -> Result<(), ConfigError> {
        let (id, two_phase) = ("transactional.id", "transaction.two.phase.commit.enable");
        if self.transactional_id.as_deref().is_some_and(str::is_empty) {
            return Err(ConfigError::out_of_range(
                id,
                "\"\"".to_owned(),
                "text of at least one letter",
            ));
        }
        if self.transactional_id.is_some() && !self.enable_idempotence {
            let rule = "transactions need idempotence";
            let idempotence_off = [
                ("enable.idempotence", self.is_explicit("enable.idempotence")),
                ("acks", self.acks != Acks::All),
                ("retries", self.retries == 0),
            ];
            let cause = idempotence_off.into_iter().find(|(_, is_cause)| *is_cause);
            let cause = cause.map_or("enable.idempotence", |(key, _)| key);
            return Err(ConfigError::conflict(id, cause, rule));
        }
        if self.transaction_two_phase_commit_enable && self.is_explicit("transaction.timeout.ms") {
            let rule = "transactions do not expire under two-phase commit";
            return Err(ConfigError::conflict("transaction.timeout.ms", two_phase, rule));
        }
        if self.transaction_two_phase_commit_enable && !cfg!(feature = "unstable-two-phase-commit")
        {
            let reason = "it takes milena's feature unstable-two-phase-commit";
            return Err(ConfigError::unsupported(two_phase, reason));
        }
        Ok(())
    }

    fn settle_delivery_timeout(&mut self, common: &CommonConfig) -> Result<(), ConfigError> {
        let least = self.linger.saturating_add(common.request_timeout()).min(DELIVERY_TIMEOUT_MAX);
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

/// As far as Java's `int` counts milliseconds.
const DELIVERY_TIMEOUT_MAX: Duration = Duration::from_millis(2_147_483_647);

/// The user's own has no text that could be read back; what is written is for people.
impl Value for Partitioning {
    const TYPE: &'static str = "class";
    const EXPECTED: &'static str = "one of org.apache.kafka.clients.producer.RoundRobinPartitioner, consistent, \
         consistent_random; a partitioner of your own is handed to the builder";

    fn parse(text: &str) -> Option<Self> {
        Some(match text.rsplit('.').next() {
            // The class is gone since Kafka 4.0, files that name it are not.
            Some("" | "DefaultPartitioner" | "murmur2_random") => Self::Default,
            Some("RoundRobinPartitioner") => Self::RoundRobin,
            Some("consistent") => Self::Consistent,
            Some("consistent_random") => Self::ConsistentRandom,
            _ => return None,
        })
    }

    fn show(&self) -> String {
        match self {
            Self::Default => "",
            Self::RoundRobin => "org.apache.kafka.clients.producer.RoundRobinPartitioner",
            Self::Consistent => "consistent",
            Self::ConsistentRandom => "consistent_random",
            _ => "the program's own",
        }
        .to_owned()
    }
}

/// Brokers remember this many batches of a producer in a partition.
const IDEMPOTENT_IN_FLIGHT_MAX: u32 = 5;
