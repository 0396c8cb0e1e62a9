//! Sets up a consumer.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use milena_engine::consumer::{Consumer as Machine, GroupSettings, Settings as MachineSettings};
use milena_engine::{Error, Operation};
use milena_types::{Topic, TopicPartition};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::listener::{Listener, RebalanceListener};
use super::pattern::{self, Pattern, SubscriptionPattern};
use super::{Consumer, ConsumerHandle, ConsumerInterceptor, Counters, Interceptors};
use crate::Kafka;
use crate::client::note;
use crate::config::{ConsumerConfig, Scope, Settings};
use crate::driver::consumer::{Driver, Signals};

/// Sets up a [`Consumer`].
#[derive(Clone)]
#[must_use = "nothing happens before `build`"]
pub struct ConsumerBuilder {
    kafka: Kafka,
    settings: Settings,
    topics: BTreeSet<Topic>,
    pattern: Option<Pattern>,
    partitions: BTreeSet<TopicPartition>,
    listener: Option<Arc<dyn Listener>>,
    interceptors: Vec<Arc<dyn ConsumerInterceptor>>,
}

impl ConsumerBuilder {
    pub(crate) fn new(kafka: Kafka, settings: Settings) -> Self {
        let (topics, partitions) = (BTreeSet::new(), BTreeSet::new());
        Self {
            kafka,
            settings,
            topics,
            pattern: None,
            partitions,
            listener: None,
            interceptors: Vec::new(),
        }
    }

    /// Sets a key by its Java name.
    ///
    /// # Errors
    /// `Config`, as for [`KafkaBuilder::set`](crate::KafkaBuilder::set); also for a key that holds for all connections.
    pub fn set(mut self, key: &str, value: &str) -> Result<Self, Error> {
        note(key, self.settings.set(Scope::Consumer, key, value)?);
        Ok(self)
    }

    /// Reads the partitions of these topics that the group gives to this member.
    pub fn subscribe<T: Into<Topic>>(mut self, topics: impl IntoIterator<Item = T>) -> Self {
        self.topics.extend(topics.into_iter().map(Into::into));
        self
    }

    /// Reads the partitions, that the group gives to this member, of all topics whose whole name matches `pattern`, a
    /// regular expression of the [`regex`](https://docs.rs/regex) crate without Unicode classes.
    ///
    /// It is held against the metadata of all topics, which is asked for every `metadata.max.age.ms`: topics that are
    /// made later are read from the next such time on. Kafka's own topics match only with
    /// `exclude.internal.topics=false`. Works in both group protocols.
    ///
    /// # Errors
    /// `Misuse` if it is no such expression.
    ///
    /// # Examples
    /// ```no_run
    /// # async fn example(kafka: milena::Kafka) -> milena::Result<()> {
    /// let consumer = kafka.consumer("billing").subscribe_pattern("orders-.*")?.build().await?;
    /// # Ok(()) }
    /// ```
    pub fn subscribe_pattern(mut self, pattern: &str) -> Result<Self, Error> {
        self.pattern = Some(Pattern::Client(pattern::filter(pattern)?));
        Ok(self)
    }

    /// Reads the partitions, that the group gives to this member, of all topics that the coordinator finds to match
    /// `pattern`. Only in the consumer protocol (`group.protocol=consumer`).
    ///
    /// # Examples
    /// ```no_run
    /// # async fn example(kafka: milena::Kafka) -> milena::Result<()> {
    /// use milena::SubscriptionPattern;
    ///
    /// let pattern = SubscriptionPattern::new("orders-.*");
    /// let consumer = kafka.consumer("billing").set("group.protocol", "consumer")?;
    /// let consumer = consumer.subscribe_server_pattern(pattern).build().await?;
    /// # Ok(()) }
    /// ```
    pub fn subscribe_server_pattern(mut self, pattern: SubscriptionPattern) -> Self {
        self.pattern = Some(Pattern::Coordinator(pattern));
        self
    }

    /// Reads these partitions, whatever other consumers do.
    pub fn assign<P: Into<TopicPartition>>(
        mut self,
        partitions: impl IntoIterator<Item = P>,
    ) -> Self {
        self.partitions.extend(partitions.into_iter().map(Into::into));
        self
    }

    /// Tells `listener` which partitions come and go.
    pub fn on_rebalance(mut self, listener: impl RebalanceListener) -> Self {
        self.listener = Some(Arc::new(listener));
        self
    }

    /// Has `interceptor` see every record, after those that were given before.
    pub fn interceptor(mut self, interceptor: impl ConsumerInterceptor) -> Self {
        self.interceptors.push(Arc::new(interceptor));
        self
    }

    /// Starts the consumer. It joins its group in the background; the first `poll` is not needed for that.
    ///
    /// Without topics and partitions it has nothing to read, which `poll` refuses; what it can be asked by its handle, as
    /// offsets of the group or of any partition, it answers.
    ///
    /// # Errors
    /// `Config` where settings contradict each other; `Misuse` for topics and partitions at once, or for topics
    /// without a group.
    pub async fn build(self) -> Result<Consumer, Error> {
        let config = self.settings.consumer.settle()?;
        let (group, common) = (config.group_id(), &self.settings.common.settle()?);
        if self.pattern.is_some() && !self.topics.is_empty() {
            let rule = "subscribe to topics by name or by pattern, not by both";
            return Err(Error::misuse(rule).during(Operation::Subscribe));
        }
        if config.group_id().is_none() && (!self.topics.is_empty() || self.pattern.is_some()) {
            let error =
                Error::misuse("subscribing needs a group: set group.id, or assign partitions");
            return Err(error.during(Operation::Subscribe));
        }
        let client_id = match (common.client_id(), group) {
            ("", Some(group)) => format!("consumer-{group}-{}", self.kafka.next_member()),
            ("", None) => format!("consumer-{}", self.kafka.next_member()),
            (client_id, _) => client_id.to_owned(),
        };
        let (clock, rng) = (Arc::clone(self.kafka.clock()), self.kafka.fork_rng());
        let mut settings = machine_settings(&config);
        settings.request_timeout = common.request_timeout();
        settings.default_api_timeout = common.default_api_timeout();
        settings.retry_backoff = common.retry_backoff();
        settings.retry_backoff_max = common.retry_backoff_max();
        settings.metadata_max_age = common.metadata_max_age();
        let subscribes = !self.topics.is_empty() || self.pattern.is_some();
        let reads = subscribes || !self.partitions.is_empty();
        let now = Instant::now();
        let mut machine = Machine::new(settings, now.into_std(), clock.wall(now), rng);
        if !self.topics.is_empty() {
            machine.subscribe(now.into_std(), self.topics)?;
        }
        match self.pattern {
            Some(Pattern::Client(filter)) => machine.subscribe_matching(now.into_std(), filter)?,
            Some(Pattern::Coordinator(pattern)) => {
                machine.subscribe_pattern(now.into_std(), pattern.as_str().into())?;
            }
            None => {}
        }
        if !self.partitions.is_empty() {
            machine.assign(now.into_std(), self.partitions)?;
        }
        let buffer = Arc::clone(machine.buffer());
        let signals = Arc::new(Signals::default());
        let fetch_bytes_max = usize::try_from(config.fetch_max_bytes()).unwrap_or(usize::MAX);
        let (commands, inbox) = mpsc::channel(COMMANDS_MAX);
        let pool = self.kafka.consumer_pool(&client_id, fetch_bytes_max);
        let counters = Arc::new(Counters::default());
        let interceptors = Interceptors::new(self.interceptors);
        let driver = Driver {
            counters: Arc::clone(&counters),
            interceptors: interceptors.clone(),
            machine,
            pool,
            metadata: self.kafka.metadata().clone(),
            clock,
            commands: inbox,
            signals: Arc::clone(&signals),
        };
        tokio::spawn(driver.run());
        let handle = ConsumerHandle {
            commands,
            signals,
            buffer,
            marks: Arc::default(),
            counters,
            interceptors,
            isolation: config.isolation_level(),
        };
        let mut consumer = Consumer::new(handle, config, subscribes, self.listener, self.kafka);
        if !reads {
            consumer.failed = Some(Consumer::reads_nothing());
        }
        Ok(consumer)
    }

    pub(crate) fn config_mut(&mut self) -> &mut ConsumerConfig {
        &mut self.settings.consumer
    }
}

impl fmt::Debug for ConsumerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConsumerBuilder")
            .field("settings", &self.settings)
            .field("topics", &self.topics)
            .field("pattern", &self.pattern)
            .field("partitions", &self.partitions)
            .field("interceptors", &self.interceptors.len())
            .finish_non_exhaustive()
    }
}

fn machine_settings(config: &ConsumerConfig) -> MachineSettings {
    let mut settings = MachineSettings::default();
    let rack: Option<Arc<str>> =
        Some(config.client_rack()).filter(|rack| !rack.is_empty()).map(Arc::from);
    settings.group = config.group_id().map(|id| {
        let mut group = GroupSettings::new(id);
        group.session_timeout = config.session_timeout();
        group.heartbeat_interval = config.heartbeat_interval();
        group.max_poll_interval = config.max_poll_interval();
        group.instance_id = config.group_instance_id().map(Arc::from);
        group.protocol = config.group_protocol();
        group.remote_assignor = config.group_remote_assignor().map(Arc::from);
        group.rack = rack.clone();
        group.assignment_strategies = config.partition_assignment_strategy().to_vec();
        group
    });
    settings.auto_offset_reset = config.auto_offset_reset();
    settings.isolation_level = config.isolation_level();
    settings.client_rack = rack;
    settings.fetch_min_bytes = bounded(config.fetch_min_bytes());
    settings.fetch_max_bytes = bounded(config.fetch_max_bytes());
    settings.max_partition_fetch_bytes = bounded(config.max_partition_fetch_bytes());
    settings.fetch_max_wait = config.fetch_max_wait();
    let fetch_bytes = usize::try_from(config.fetch_max_bytes()).unwrap_or(usize::MAX);
    settings.buffer_bytes = settings.buffer_bytes.min(fetch_bytes);
    settings.max_poll_records = usize::try_from(config.max_poll_records()).unwrap_or(usize::MAX);
    settings.check_crcs = config.check_crcs();
    settings.auto_commit_interval =
        config.enable_auto_commit().then(|| config.auto_commit_interval());
    settings.allow_auto_create_topics = config.allow_auto_create_topics();
    settings.exclude_internal_topics = config.exclude_internal_topics();
    settings
}

fn bounded(bytes: u32) -> i32 {
    i32::try_from(bytes).unwrap_or(i32::MAX)
}

/// Calls that wait for the driver at once; who comes later waits for his turn.
const COMMANDS_MAX: usize = 64;
