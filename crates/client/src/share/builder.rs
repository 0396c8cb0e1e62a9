//! Sets up a share consumer.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use milena_engine::share::{
    Acknowledgement, Settings as MachineSettings, ShareConsumer as Machine, ShareReader,
};
use milena_engine::{Error, Operation};
use milena_records::Limits;
use milena_types::Topic;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{Counters, ShareConsumer, ShareConsumerHandle};
use crate::Kafka;
use crate::client::note;
use crate::config::{Scope, Settings, ShareConsumerConfig};
use crate::driver::share::{Driver, OnAcknowledged, Signals};

/// Sets up a [`ShareConsumer`].
#[derive(Clone)]
#[must_use = "nothing happens before `build`"]
pub struct ShareConsumerBuilder {
    kafka: Kafka,
    settings: Settings,
    group_id: Arc<str>,
    topics: BTreeSet<Topic>,
    on_acknowledged: Option<OnAcknowledged>,
}

impl ShareConsumerBuilder {
    pub(crate) fn new(kafka: Kafka, settings: Settings, group_id: String) -> Self {
        let (group_id, topics) = (group_id.into(), BTreeSet::new());
        Self { kafka, settings, group_id, topics, on_acknowledged: None }
    }

    /// Sets a key by its Java name.
    ///
    /// # Errors
    /// `Config`, as for [`KafkaBuilder::set`](crate::KafkaBuilder::set); also for a key that holds for all connections,
    /// and for one that Java refuses for share consumers, as `auto.offset.reset`.
    pub fn set(mut self, key: &str, value: &str) -> Result<Self, Error> {
        note(key, self.settings.set(Scope::ShareConsumer, key, value)?);
        Ok(self)
    }

    /// Reads these topics.
    pub fn subscribe<T: Into<Topic>>(mut self, topics: impl IntoIterator<Item = T>) -> Self {
        self.topics.extend(topics.into_iter().map(Into::into));
        self
    }

    /// Tells `callback` what became of acknowledgements: once for each partition and request, with the offsets.
    ///
    /// Called by the consumer's own task, so that it must not take long; a panic in it is logged.
    ///
    /// # Examples
    /// ```no_run
    /// # async fn example(kafka: milena::Kafka) -> milena::Result<()> {
    /// let workers = kafka.share_consumer("workers").subscribe(["jobs"]).on_acknowledged(|told| {
    ///     if let Err(error) = &told.result {
    ///         eprintln!("{:?} of {} come again: {error}", told.offsets, told.partition);
    ///     }
    /// });
    /// # let _ = workers.build().await?;
    /// # Ok(()) }
    /// ```
    pub fn on_acknowledged(
        mut self,
        callback: impl Fn(&Acknowledgement) + Send + Sync + 'static,
    ) -> Self {
        self.on_acknowledged = Some(Arc::new(callback));
        self
    }

    /// Starts the consumer. It joins its group in the background; the first `poll` is not needed for that.
    ///
    /// # Errors
    /// `Config` where a setting is out of range; `Misuse` without a topic or a group.
    pub async fn build(self) -> Result<ShareConsumer, Error> {
        let config = self.settings.share.settle()?;
        let common = &self.settings.common.settle()?;
        if self.group_id.is_empty() {
            return Err(
                Error::misuse("a share consumer needs a group").during(Operation::Subscribe)
            );
        }
        let client_id = match common.client_id() {
            "" => format!("consumer-{}-{}", self.group_id, self.kafka.next_member()),
            client_id => client_id.to_owned(),
        };
        let mut settings = machine_settings(&config, &self.group_id);
        settings.request_timeout = common.request_timeout();
        settings.default_api_timeout = common.default_api_timeout();
        settings.retry_backoff = common.retry_backoff();
        settings.retry_backoff_max = common.retry_backoff_max();
        let mut machine = Machine::new(settings, self.kafka.fork_rng());
        machine.subscribe(Instant::now().into_std(), self.topics)?;
        let buffer = Arc::clone(machine.buffer());
        let signals = Arc::new(Signals::default());
        let counters = Arc::new(Counters::default());
        let (commands, inbox) = mpsc::channel(COMMANDS_MAX);
        let fetch_bytes_max = usize::try_from(config.fetch_max_bytes()).unwrap_or(usize::MAX);
        let driver = Driver {
            machine,
            pool: self.kafka.consumer_pool(&client_id, fetch_bytes_max),
            metadata: self.kafka.metadata().clone(),
            commands: inbox,
            signals: Arc::clone(&signals),
            counters: Arc::clone(&counters),
            on_acknowledged: self.on_acknowledged,
        };
        tokio::spawn(driver.run());
        let limits = Limits::of_fetches(fetch_bytes_max);
        let reader = ShareReader::new(Arc::clone(&buffer), config.check_crcs(), limits);
        let group_id = self.group_id;
        let handle = ShareConsumerHandle { commands, signals, counters, buffer, group_id };
        Ok(ShareConsumer::new(handle, config, reader, self.kafka))
    }

    pub(crate) fn config_mut(&mut self) -> &mut ShareConsumerConfig {
        &mut self.settings.share
    }
}

impl fmt::Debug for ShareConsumerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShareConsumerBuilder")
            .field("group_id", &self.group_id)
            .field("topics", &self.topics)
            .field("config", &self.settings.share)
            .finish_non_exhaustive()
    }
}

fn machine_settings(config: &ShareConsumerConfig, group_id: &Arc<str>) -> MachineSettings {
    let mut settings = MachineSettings::new(Arc::clone(group_id));
    settings.client_rack =
        Some(config.client_rack()).filter(|rack| !rack.is_empty()).map(Arc::from);
    settings.acknowledgement_mode = config.share_acknowledgement_mode();
    settings.acquire_mode = config.share_acquire_mode();
    settings.max_poll_records = usize::try_from(config.max_poll_records()).unwrap_or(usize::MAX);
    settings.max_poll_interval = config.max_poll_interval();
    settings.fetch_min_bytes = bounded(config.fetch_min_bytes());
    settings.fetch_max_bytes = bounded(config.fetch_max_bytes());
    settings.fetch_max_wait = config.fetch_max_wait();
    settings.check_crcs = config.check_crcs();
    settings
}

fn bounded(bytes: u32) -> i32 {
    i32::try_from(bytes).unwrap_or(i32::MAX)
}

/// Calls that wait for the driver at once; who comes later waits for his turn.
const COMMANDS_MAX: usize = 64;
