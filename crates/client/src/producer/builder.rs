//! Sets up a producer.

use std::sync::Arc;

use milena_engine::Error;
use milena_engine::producer::Settings as MachineSettings;
use milena_records::{Compression, CompressionType};

use super::{Producer, Shared};
use crate::Kafka;
use crate::client::note;
use crate::config::{ConfigError, ProducerConfig, Scope, Settings};
use crate::driver::producer::Control;

/// Sets up a [`Producer`].
#[derive(Clone, Debug)]
#[must_use = "nothing happens before `build`"]
pub struct ProducerBuilder {
    kafka: Kafka,
    settings: Settings,
}

impl ProducerBuilder {
    pub(crate) fn new(kafka: Kafka, settings: Settings) -> Self {
        Self { kafka, settings }
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

    /// Starts the producer.
    ///
    /// # Errors
    /// `Config` where settings contradict each other, naming both.
    pub async fn build(self) -> Result<Producer, Error> {
        let Settings { common, producer, .. } = self.settings;
        let common = common.settle()?;
        let config = producer.settle(&common)?;
        // The one line to go when transactions are there: without them records would be visible at once.
        if config.transactional_id().is_some() {
            return Err(ConfigError::unsupported("transactional.id", "no transactions yet").into());
        }
        let mut settings = machine_settings(&config);
        settings.request_timeout = common.request_timeout();
        settings.retry_backoff = common.retry_backoff();
        settings.retry_backoff_max = common.retry_backoff_max();
        let control = Control::spawn(&self.kafka, settings);
        Ok(Producer(Arc::new(Shared { kafka: self.kafka, config, control })))
    }

    pub(crate) fn config_mut(&mut self) -> &mut ProducerConfig {
        &mut self.settings.producer
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
