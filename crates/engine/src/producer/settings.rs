//! How a producer behaves.

use std::time::Duration;

use milena_records::Compression;
use milena_types::Sequence;

use super::partitioner::Partitioning;

/// Whose acknowledgement a batch waits for (`acks`).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the protocol knows these three")]
pub enum Acks {
    /// Nobody's: there is no answer, and no offset is ever known. Excludes idempotence.
    None,
    /// The leader's. Excludes idempotence.
    Leader,
    /// Every in-sync replica's.
    #[default]
    All,
}

impl Acks {
    /// The number as the protocol writes it.
    pub const fn to_wire(self) -> i16 {
        match self {
            Self::None => 0,
            Self::Leader => 1,
            Self::All => -1,
        }
    }
}

/// How a producer behaves. The defaults are Java's; contradictions are the configuration's to find.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settings {
    /// Whose acknowledgement a batch waits for (`acks`, all).
    pub acks: Acks,
    /// Whether brokers store each record once and in order whatever is retried (`enable.idempotence`, true).
    pub is_idempotent: bool,
    /// The size at which a batch is full, in bytes before compression (`batch.size`, 16 KiB). A larger record gets a
    /// batch of its own.
    pub batch_bytes: usize,
    /// How long a batch may wait for more records (`linger.ms`, 5 ms).
    pub linger: Duration,
    /// How batches are compressed (`compression.type`, none).
    pub compression: Compression,
    /// How many batches the driver compresses at a time (1).
    pub sealers: usize,
    /// The most that unsent records may hold (`buffer.memory`, 32 MiB).
    pub buffer_bytes: usize,
    /// The largest request, and the largest record before compression (`max.request.size`, 1 MiB).
    pub request_bytes_max: usize,
    /// Produce requests under way to one broker at a time (`max.in.flight.requests.per.connection`, 5). More than 5
    /// exclude idempotence: brokers remember five batches.
    pub in_flight_max: usize,
    /// How long to wait for an answer (`request.timeout.ms`, 30 s).
    pub request_timeout: Duration,
    /// When a record is given up at the latest, counted from its append (`delivery.timeout.ms`, 2 min).
    pub delivery_timeout: Duration,
    /// How often a batch is tried again at most (`retries`, 2^31 - 1).
    pub retries: u32,
    /// The first wait before a retry (`retry.backoff.ms`, 100 ms).
    pub retry_backoff: Duration,
    /// The longest wait before a retry (`retry.backoff.max.ms`, 1 s).
    pub retry_backoff_max: Duration,
    /// Who chooses the partition of a record that names none (`partitioner.class`, Java's).
    pub partitioning: Partitioning,
    /// Whether records without key or partition go less often to partitions whose broker is slow
    /// (`partitioner.adaptive.partitioning.enable`, true).
    pub is_adaptive: bool,
    /// Whether keys play no part in choosing a partition (`partitioner.ignore.keys`, false).
    pub ignores_keys: bool,
    /// How long a broker may leave batches waiting before records without key or partition avoid it; zero never avoids
    /// it, and without `is_adaptive` it has no effect (`partitioner.availability.timeout.ms`, 0).
    pub availability_timeout: Duration,
    /// The rack whose leaders records without key or partition prefer (KIP-1123: `client.rack`, where
    /// `partitioner.rack.aware` is set; none).
    pub rack: Option<String>,
    /// The name that transactions go by; `None` is a producer without them (`transactional.id`, none).
    pub transactional_id: Option<String>,
    /// How long a transaction may be open before its coordinator aborts it (`transaction.timeout.ms`, 1 min).
    pub transaction_timeout: Duration,
    /// Whether transactions stay open until they are ended by hand (KIP-939:
    /// `transaction.two.phase.commit.enable`, false).
    pub is_two_phase: bool,
    /// Where a new producer's sequences begin in each partition (no key of Java's: 0). Simulation begins at the last
    /// ones, since behind them they wrap.
    pub first_sequence: Sequence,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            acks: Acks::All,
            is_idempotent: true,
            batch_bytes: 16 * 1024,
            linger: Duration::from_millis(5),
            compression: Compression::default(),
            sealers: 1,
            buffer_bytes: 32 * 1024 * 1024,
            request_bytes_max: 1024 * 1024,
            in_flight_max: 5,
            request_timeout: Duration::from_secs(30),
            delivery_timeout: Duration::from_secs(120),
            retries: i32::MAX.unsigned_abs(),
            retry_backoff: Duration::from_millis(100),
            retry_backoff_max: Duration::from_secs(1),
            partitioning: Partitioning::Default,
            is_adaptive: true,
            ignores_keys: false,
            availability_timeout: Duration::ZERO,
            rack: None,
            transactional_id: None,
            transaction_timeout: Duration::from_secs(60),
            is_two_phase: false,
            first_sequence: Sequence::ZERO,
        }
    }
}
