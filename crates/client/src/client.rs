//! The handle that everything else is made from.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fastrand::Rng;
use milena_engine::metadata::{Address, Settings as MetadataSettings};
use milena_engine::{Error, Fate, Operation};
use milena_types::Topic;
use tokio::io::DuplexStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::admin::Admin;
use crate::clock::Clock;
use crate::config::{
    CommonConfig, ConfigError, Effect, RecoveryStrategy, Scope, Settings, parse_properties,
};
use crate::consumer::ConsumerBuilder;
use crate::driver::metadata::MetadataHandle;
use crate::net::{self, Memory, Pool, Tcp, Transport, WeakPool};
use crate::producer::ProducerBuilder;
use crate::share::ShareConsumerBuilder;

/// Connects to a cluster with the default configuration; `servers` are `host:port` pairs separated by commas.
///
/// # Errors
/// As [`KafkaBuilder::connect`].
///
/// # Examples
/// ```no_run
/// # async fn example() -> milena::Result<()> {
/// let kafka = milena::connect("localhost:9092").await?;
/// # Ok(()) }
/// ```
pub async fn connect(servers: &str) -> Result<Kafka, Error> {
    Kafka::builder().bootstrap_servers(servers).connect().await
}

/// A cluster, as this program sees it: its connections and its metadata.
///
/// Producers, consumers and admin clients are made from it and share both. A clone is the same handle. Its tasks end
/// with the last clone and the last of what was made from it; [`close`](Self::close) lets what is in flight be answered
/// first.
#[derive(Clone)]
pub struct Kafka(Arc<Shared>);

struct Shared {
    settings: Settings,
    dialer: Dialer,
    /// Carries what producers, admin calls and the metadata ask.
    pool: Pool,
    /// Of the consumers; those that are gone among them until the next consumer is made.
    consumer_pools: Mutex<Vec<WeakPool>>,
    metadata: MetadataHandle,
    clock: Arc<Clock>,
    rng: Mutex<Rng>,
    members: AtomicU64,
}

impl Kafka {
    /// Sets up a handle.
    pub fn builder() -> KafkaBuilder {
        KafkaBuilder::default()
    }

    /// Sets up a producer.
    pub fn producer(&self) -> ProducerBuilder {
        ProducerBuilder::new(self.clone(), self.0.settings.clone())
    }

    /// Sets up a consumer that is a member of `group`.
    pub fn consumer(&self, group: impl Into<String>) -> ConsumerBuilder {
        self.consumer_without_group().group_id(Some(group.into()))
    }

    /// Sets up a consumer of partitions that it is assigned by hand; it has no group unless a `.properties` file or
    /// [`set`](KafkaBuilder::set) named one.
    pub fn consumer_without_group(&self) -> ConsumerBuilder {
        ConsumerBuilder::new(self.clone(), self.0.settings.clone())
    }

    /// Sets up a share consumer that is a member of the share group `group`.
    pub fn share_consumer(&self, group: impl Into<String>) -> ShareConsumerBuilder {
        ShareConsumerBuilder::new(self.clone(), self.0.settings.clone(), group.into())
    }

    /// An admin client.
    pub fn admin(&self) -> Admin {
        Admin::new(self.clone())
    }

    /// How many partitions `topic` has. Asking may create it, where brokers are set to do so.
    ///
    /// Waits for `max.block.ms` at most. Dropping the future sends nothing more.
    ///
    /// # Errors
    /// `UnknownTopic`, `Authorization`, or `Timeout` with what stood in the way.
    pub async fn partitions_for(&self, topic: impl Into<Topic>) -> Result<i32, Error> {
        self.partitions_within(&topic.into(), self.0.settings.producer.max_block()).await
    }

    /// As [`partitions_for`](Self::partitions_for), with a `max.block.ms` of one's own.
    pub(crate) async fn partitions_within(
        &self,
        topic: &Topic,
        limit: Duration,
    ) -> Result<i32, Error> {
        match timeout(limit, self.0.metadata.topic(topic)).await {
            Ok(known) => Ok(known?.partition_count()),
            Err(_) => Err(self.late(topic, limit)),
        }
    }

    /// The configuration.
    pub fn config(&self) -> &CommonConfig {
        &self.0.settings.common
    }

    /// Lets every request in flight be answered for up to `grace`, and ends the connections of everything that was made
    /// from this handle. Close producers and consumers first: afterwards their calls end as `Closed`.
    ///
    /// Dropping the future ends the connections at once.
    pub async fn close(&self, grace: Duration) {
        self.0.metadata.close();
        // First: a consumer that is made meanwhile looks at it.
        self.0.pool.stop();
        let consumers =
            self.consumer_pools().iter().filter_map(WeakPool::upgrade).collect::<Vec<_>>();
        let mut closing = JoinSet::new();
        for pool in consumers.into_iter().chain([self.0.pool.clone()]) {
            closing.spawn(async move { pool.close(grace).await });
        }
        while closing.join_next().await.is_some() {}
    }

    fn consumer_pools(&self) -> MutexGuard<'_, Vec<WeakPool>> {
        // Nothing that can panic happens under the lock.
        self.0.consumer_pools.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.0.pool
    }

    /// Connections of their own for one consumer: what waits at a broker for one member, as JoinGroup and Fetch do,
    /// would hold up every other on the same connection.
    ///
    /// Its answers may be as large as `fetch_bytes_max` and what stands around the records.
    pub(crate) fn consumer_pool(&self, client_id: &str, fetch_bytes_max: usize) -> Pool {
        let mut settings = self.0.dialer.settings.clone();
        client_id.clone_into(&mut settings.client_id);
        let frame_bytes_max = fetch_bytes_max.saturating_add(FETCH_HEADER_BYTES_MAX);
        settings.frame_bytes_max = settings.frame_bytes_max.max(frame_bytes_max);
        let pool = self.0.dialer.pool(settings, self.fork_rng());
        {
            let mut pools = self.consumer_pools();
            pools.retain(WeakPool::is_kept);
            pools.push(pool.downgrade());
        }
        if self.0.pool.is_stopped() {
            pool.stop();
        }
        pool
    }

    pub(crate) fn metadata(&self) -> &MetadataHandle {
        &self.0.metadata
    }

    pub(crate) fn clock(&self) -> &Arc<Clock> {
        &self.0.clock
    }

    /// A generator for one machine, seeded from the handle's.
    pub(crate) fn fork_rng(&self) -> Rng {
        self.0.rng.lock().unwrap_or_else(PoisonError::into_inner).fork()
    }

    /// Counts the consumers of this handle from 1, for their default `client.id`.
    pub(crate) fn next_member(&self) -> u64 {
        self.0.members.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The error of a call that waited `limit` in vain for the metadata of `topic`.
    pub(crate) fn late(&self, topic: &Topic, limit: Duration) -> Error {
        // Nothing goes to a topic whose leaders are not known.
        let late = Error::timeout(limit, "max.block.ms").with_fate(Fate::NotStored);
        let late = late.during(Operation::Metadata);
        match self.0.metadata.trouble(topic) {
            Some(trouble) => late.with_topic(topic).because(trouble),
            None => late.with_topic(topic),
        }
    }
}

/// What it takes to make connections.
struct Dialer {
    transport: Arc<dyn Transport>,
    settings: net::Settings,
    bootstrap: Vec<Address>,
}

impl Dialer {
    fn pool(&self, settings: net::Settings, rng: Rng) -> Pool {
        Pool::new(Arc::clone(&self.transport), settings, self.bootstrap.clone(), rng)
    }
}

impl fmt::Debug for Kafka {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kafka")
            .field("bootstrap_servers", &self.config().bootstrap_servers())
            .field("cluster_id", &self.0.metadata.load().cluster_id())
            .finish_non_exhaustive()
    }
}

/// Sets up a [`Kafka`] handle.
///
/// Takes the keys of producers and consumers too, by their Java names: they become the defaults of those that the
/// handle builds, so that one `.properties` file serves all.
#[derive(Clone, Default)]
#[must_use = "nothing happens before `connect`"]
pub struct KafkaBuilder {
    settings: Settings,
    transport: Option<Arc<dyn Transport>>,
    seed: Option<u64>,
}

impl KafkaBuilder {
    /// Sets a key by its Java name.
    ///
    /// # Errors
    /// `Config` for a key that is unknown (with the nearest known one), a value that is malformed or out of range, and
    /// a key that would do harm if it were ignored.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> milena::Result<()> {
    /// let kafka = milena::Kafka::builder().set("bootstrap.servers", "localhost:9092")?.client_id("orders");
    /// # Ok(()) }
    /// ```
    pub fn set(mut self, key: &str, value: &str) -> Result<Self, Error> {
        note(key, self.settings.set(Scope::Client, key, value)?);
        Ok(self)
    }

    /// Sets every key of a Java `.properties` text.
    ///
    /// # Errors
    /// As [`set`](Self::set), and `Config` for text that is not one.
    pub fn from_properties(self, text: &str) -> Result<Self, Error> {
        parse_properties(text)?
            .iter()
            .try_fold(self, |builder, (key, value)| builder.set(key, value))
    }

    /// Sets every key of a Java `.properties` file.
    ///
    /// # Errors
    /// As [`from_properties`](Self::from_properties), and `Config` for a file that cannot be read.
    pub fn from_properties_file(self, path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let text =
            std::fs::read_to_string(path).map_err(|cause| ConfigError::unreadable(path, &cause))?;
        self.from_properties(&text)
    }

    /// Connects within the process: `dial` gives one end of a pipe whose other end someone at that host and port
    /// serves, as the embedded broker does.
    pub fn in_process(
        mut self,
        dial: impl Fn(&str, u16) -> io::Result<DuplexStream> + Send + Sync + 'static,
    ) -> Self {
        self.transport = Some(Arc::new(Memory::new(dial)));
        self
    }

    /// Seeds everything that is drawn by lot: back-off jitter, sticky partitions, choice among brokers. Only tests that
    /// must repeat have a use for it.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Connects: returns once a broker has told of the cluster.
    ///
    /// Does not wait for brokers to come up: every address is tried a few times, for `default.api.timeout.ms` at most.
    /// Dropping the future closes what was opened.
    ///
    /// # Errors
    /// `Config` where settings contradict each other; `Connection`, naming an address that was tried; `Authentication`;
    /// `Timeout`.
    pub async fn connect(mut self) -> Result<Kafka, Error> {
        self.settings.common = self.settings.common.settle()?;
        let common = &self.settings.common;
        let servers = common.bootstrap_servers().iter();
        let bootstrap =
            servers.map(|server| Address::parse(server)).collect::<Result<Vec<_>, _>>()?;
        // Contradictions show here, not when the first producer is built.
        self.settings.producer.clone().settle(common)?;
        let transport = self.transport.clone().unwrap_or_else(|| {
            Arc::new(Tcp {
                send_buffer_bytes: common.send_buffer_bytes(),
                receive_buffer_bytes: common.receive_buffer_bytes(),
            })
        });
        let seed = self.seed.unwrap_or_else(|| RandomState::new().hash_one("milena"));
        let mut rng = Rng::with_seed(seed);
        let attempts = ATTEMPTS_PER_SERVER * bootstrap.len();
        let dialer = Dialer { transport, settings: connections(&self.settings), bootstrap };
        let pool = dialer.pool(dialer.settings.clone(), rng.fork());
        let metadata = MetadataHandle::spawn(freshness(&self.settings), pool.clone(), rng.fork());
        let limit = common.default_api_timeout();
        match timeout(limit, first_answer(&metadata, attempts)).await {
            Ok(answer) => answer?,
            Err(_) => {
                let late = Error::timeout(limit, "default.api.timeout.ms");
                return Err(late.during(Operation::Connect));
            }
        }
        Ok(Kafka(Arc::new(Shared {
            settings: self.settings,
            dialer,
            pool,
            consumer_pools: Mutex::default(),
            metadata,
            clock: Arc::new(Clock::new()),
            rng: Mutex::new(rng),
            members: AtomicU64::new(0),
        })))
    }

    pub(crate) fn config_mut(&mut self) -> &mut CommonConfig {
        &mut self.settings.common
    }
}

impl fmt::Debug for KafkaBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaBuilder").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// Waits for the first snapshot; gives up after `attempts` failures.
async fn first_answer(metadata: &MetadataHandle, attempts: usize) -> Result<(), Error> {
    let mut changes = metadata.subscribe();
    let mut failures = 0;
    loop {
        if metadata.load().brokers().len() > 0 {
            return Ok(());
        }
        changes.changed().await?;
        if let Some(trouble) = changes.trouble() {
            failures += 1;
            if trouble.is_fatal() || failures >= attempts {
                return Err(trouble);
            }
        }
    }
}

/// Says that a key has no effect, where it has none.
pub(crate) fn note(key: &str, effect: Effect) {
    if let Effect::Ignored(reason) = effect {
        tracing::info!(key, reason, "configuration key has no effect");
    }
}

fn connections(settings: &Settings) -> net::Settings {
    let Settings { common, producer, .. } = settings;
    net::Settings {
        client_id: common.client_id().to_owned(),
        in_flight_max: usize::try_from(producer.max_in_flight_requests_per_connection())
            .unwrap_or(usize::MAX),
        idle_max: common.connections_max_idle(),
        reconnect_backoff: common.reconnect_backoff(),
        reconnect_backoff_max: common.reconnect_backoff_max(),
        setup_timeout: common.connection_setup_timeout(),
        setup_timeout_max: common.connection_setup_timeout_max(),
        rebootstrap: common.metadata_recovery_strategy() == RecoveryStrategy::Rebootstrap,
        ..net::Settings::default()
    }
}

fn freshness(settings: &Settings) -> MetadataSettings {
    let Settings { common, producer, .. } = settings;
    let mut freshness = MetadataSettings::default();
    freshness.max_age = common.metadata_max_age();
    freshness.max_idle = producer.metadata_max_idle();
    freshness.retry_backoff = common.retry_backoff();
    freshness.retry_backoff_max = common.retry_backoff_max();
    freshness.request_timeout = common.request_timeout();
    let rebootstraps = common.metadata_recovery_strategy() == RecoveryStrategy::Rebootstrap;
    freshness.rebootstrap_trigger = rebootstraps.then(|| common.metadata_rebootstrap_trigger());
    freshness
}

/// A broker that restarts refuses connections for a moment; one that is not there is not waited for.
const ATTEMPTS_PER_SERVER: usize = 3;

/// What a Fetch answer holds beside its records: names, offsets, aborted transactions.
const FETCH_HEADER_BYTES_MAX: usize = 1024 * 1024;
