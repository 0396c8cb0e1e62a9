//! Sets up a producer.

use std::fmt;
use std::sync::Arc;

use milena_engine::Error;
use milena_engine::producer::Settings as MachineSettings;
use milena_records::{Compression, CompressionType};

use super::{Producer, Shared, TransactionalProducer};
use crate::Kafka;
use crate::client::note;
use crate::config::{CommonConfig, ConfigError, ProducerConfig, Scope, Settings};
use crate::driver::producer::Control;
use crate::interceptor::{Interceptors, ProducerInterceptor};

/// Sets up a [`Producer`].
#[derive(Clone)]
#[must_use = "nothing happens before `build`"]
pub struct ProducerBuilder {
    kafka: Kafka,
    settings: Settings,
    interceptors: Vec<Arc<dyn ProducerInterceptor>>,
}

impl ProducerBuilder {
    pub(crate) fn new(kafka: Kafka, settings: Settings) -> Self {
        Self { kafka, settings, interceptors: Vec::new() }
    }

    /// Sets a key by its Java name.
    ///
    /// # Errors
    /// `Config`, as for [`KafkaBuilder::set`](crate::KafkaBuilder::set); also for a key that holds for all connections.
    ///
    /// # Examples
    /// ```no_run
    /// # async fn example(kafka: milena::Kafka) -> milena::Result<()> {
    /// let producer = kafka.producer().set("linger.ms", "50")?.batch_size(128 * 1024).build().await?;
    /// # Ok(()) }
    /// ```
    pub fn set(mut self, key: &str, value: &str) -> Result<Self, Error> {
        note(key, self.settings.set(Scope::Producer, key, value)?);
        Ok(self)
    }

    /// Has `interceptor` see every record, after those that were given before.
    pub fn interceptor(mut self, interceptor: impl ProducerInterceptor) -> Self {
        self.interceptors.push(Arc::new(interceptor));
        self
    }

    /// Starts the producer.
    ///
    /// # Errors
    /// `Config` where settings contradict each other, naming both, and where there is a `transactional.id`: records of
    /// its transactions are sent through them alone, by [`build_transactional`](Self::build_transactional).
    pub async fn build(self) -> Result<Producer, Error> {
        let Self { kafka, settings, interceptors } = self;
        let (common, config) = settle(settings)?;
        if config.transactional_id().is_some() {
            let rule = "a producer with transactions is made by build_transactional";
            return Err(ConfigError::unsupported("transactional.id", rule).into());
        }
        Ok(start(kafka, &common, config, interceptors))
    }

    /// Starts a producer with transactions, under the `transactional.id` that was set. Returns once it is known to the
    /// cluster: older instances with that id are fenced from here on, and what they had open is aborted.
    ///
    /// Dropping the future ends the producer; older instances may be fenced all the same.
    ///
    /// # Errors
    /// `Config` without a `transactional.id`, or where settings contradict each other; `Authorization`; `Timeout` after
    /// `max.block.ms`; `Broker` with INVALID_TRANSACTION_TIMEOUT where `transaction.timeout.ms` is more than the brokers
    /// allow (`transaction.max.timeout.ms`).
    pub async fn build_transactional(self) -> Result<TransactionalProducer, Error> {
        let Self { kafka, settings, interceptors } = self;
        let (common, config) = settle(settings)?;
        if config.transactional_id().is_none() {
            let remedy = "transactions go by a name; give one";
            return Err(ConfigError::missing("transactional.id", remedy).into());
        }
        TransactionalProducer::start(start(kafka, &common, config, interceptors)).await
    }

    pub(crate) fn config_mut(&mut self) -> &mut ProducerConfig {
        &mut self.settings.producer
    }
}

/// Applies the rules between keys.
fn settle(settings: Settings) -> Result<(CommonConfig, ProducerConfig), Error> {
    let common = settings.common.settle()?;
    let config = settings.producer.settle(&common)?;
    Ok((common, config))
}

fn start(
    kafka: Kafka,
    common: &CommonConfig,
    config: ProducerConfig,
    interceptors: Vec<Arc<dyn ProducerInterceptor>>,
) -> Producer {
    let mut settings = machine_settings(&config);
    settings.request_timeout = common.request_timeout();
    settings.retry_backoff = common.retry_backoff();
    settings.retry_backoff_max = common.retry_backoff_max();
    let interceptors = Interceptors::new(interceptors);
    let control = Control::spawn(&kafka, settings, interceptors.clone());
    Producer(Arc::new(Shared { kafka, config, interceptors, control }))
}

impl fmt::Debug for ProducerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProducerBuilder")
            .field("settings", &self.settings)
            .field("interceptors", &self.interceptors.len())
            .finish_non_exhaustive()
    }
}

fn machine_settings(config: &ProducerConfig) -> MachineSettings {
    let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    let mut settings = MachineSettings::default();
    settings.acks = config.acks();
    settings.is_idempotent = config.enable_idempotence();
    settings.batch_bytes = size(config.batch_size().into());
    settings.linger = config.linger();
    settings.compression = compression(config);
    settings.buffer_bytes = size(config.buffer_memory());
    settings.request_bytes_max = size(config.max_request_size().into());
    settings.in_flight_max = size(config.max_in_flight_requests_per_connection().into());
    settings.delivery_timeout = config.delivery_timeout();
    settings.retries = config.retries();
    settings.is_adaptive = config.partitioner_adaptive_partitioning_enable();
    settings.partitioning = config.partitioner().clone();
    settings.ignores_keys = config.partitioner_ignore_keys();
    settings.availability_timeout = config.partitioner_availability_timeout();
    settings.rack = config.partitioner_rack_aware().then(|| config.client_rack().to_owned());
    settings.transactional_id = config.transactional_id().map(str::to_owned);
    settings.transaction_timeout = config.transaction_timeout();
    settings.is_two_phase = config.transaction_two_phase_commit_enable();
    settings
}

fn compression(config: &ProducerConfig) -> Compression {
    let codec = Compression::new(config.compression());
    let level = match config.compression() {
        CompressionType::None | CompressionType::Snappy => return codec,
        CompressionType::Gzip => config.compression_gzip_level(),
        CompressionType::Lz4 => config.compression_lz4_level(),
        CompressionType::Zstd => config.compression_zstd_level(),
    };
    // The table of keys has the same ranges.
    codec.with_level(level).unwrap_or(codec)
}
