//! The handle that blocking producers and consumers are made from.

use super::runtime::Runtime;
use super::{Consumer, Producer, ShareConsumer};
use crate::{ConsumerBuilder, Error, KafkaBuilder, ProducerBuilder, ShareConsumerBuilder};

/// Connects to a cluster with the default configuration; `servers` are `host:port` pairs separated by commas.
///
/// # Errors
/// As [`KafkaBuilder::connect`].
pub fn connect(servers: &str) -> Result<Kafka, Error> {
    Kafka::connect(crate::Kafka::builder().bootstrap_servers(servers))
}

/// A [`Kafka`](crate::Kafka) with a runtime of its own. A clone is the same handle.
#[derive(Clone, Debug)]
pub struct Kafka {
    kafka: crate::Kafka,
    runtime: Runtime,
}

impl Kafka {
    /// Connects as `builder` says.
    ///
    /// # Errors
    /// As [`KafkaBuilder::connect`]; `Misuse` in a thread of an async runtime.
    pub fn connect(builder: KafkaBuilder) -> Result<Self, Error> {
        let runtime = Runtime::start()?;
        let kafka = runtime.wait(builder.connect())??;
        Ok(Self { kafka, runtime })
    }

    /// Sets up a producer, for [`build_producer`](Self::build_producer).
    pub fn producer(&self) -> ProducerBuilder {
        self.kafka.producer()
    }

    /// Starts a producer.
    ///
    /// # Errors
    /// As [`ProducerBuilder::build`].
    pub fn build_producer(&self, builder: ProducerBuilder) -> Result<Producer, Error> {
        let producer = self.runtime.wait(builder.build())??;
        Ok(Producer::new(producer, self.runtime.clone()))
    }

    /// Sets up a consumer that is a member of `group`, for [`build_consumer`](Self::build_consumer).
    pub fn consumer(&self, group: impl Into<String>) -> ConsumerBuilder {
        self.kafka.consumer(group)
    }

    /// Sets up a consumer of partitions that it is assigned by hand, for [`build_consumer`](Self::build_consumer).
    pub fn consumer_without_group(&self) -> ConsumerBuilder {
        self.kafka.consumer_without_group()
    }

    /// Starts a consumer.
    ///
    /// # Errors
    /// As [`ConsumerBuilder::build`].
    pub fn build_consumer(&self, builder: ConsumerBuilder) -> Result<Consumer, Error> {
        let consumer = self.runtime.wait(builder.build())??;
        Ok(Consumer::new(consumer, self.runtime.clone()))
    }

    /// Sets up a share consumer that is a member of `group`, for
    /// [`build_share_consumer`](Self::build_share_consumer).
    pub fn share_consumer(&self, group: impl Into<String>) -> ShareConsumerBuilder {
        self.kafka.share_consumer(group)
    }

    /// Starts a share consumer.
    ///
    /// # Errors
    /// As [`ShareConsumerBuilder::build`].
    ///
    /// # Examples
    /// ```no_run
    /// # use std::time::Duration;
    /// # fn main() -> milena::Result<()> {
    /// let kafka = milena::blocking::connect("localhost:9092")?;
    /// let mut jobs = kafka.build_share_consumer(kafka.share_consumer("workers").subscribe(["jobs"]))?;
    /// for job in jobs.poll(Duration::from_secs(1))? {
    ///     println!("{:?}", job.value());
    ///     job.accept();
    /// }
    /// jobs.close(Duration::from_secs(10))
    /// # }
    /// ```
    pub fn build_share_consumer(
        &self,
        builder: ShareConsumerBuilder,
    ) -> Result<ShareConsumer, Error> {
        let consumer = self.runtime.wait(builder.build())??;
        Ok(ShareConsumer::new(consumer, self.runtime.clone()))
    }

    /// The async handle, for what has no call of its own here: give its futures to [`wait`](Self::wait).
    pub fn handle(&self) -> &crate::Kafka {
        &self.kafka
    }

    /// Waits for a future of this crate.
    ///
    /// # Errors
    /// `Misuse` in a thread of an async runtime.
    ///
    /// # Examples
    /// ```no_run
    /// # fn main() -> milena::Result<()> {
    /// let kafka = milena::blocking::connect("localhost:9092")?;
    /// for topic in kafka.wait(kafka.handle().admin().list_topics())?? {
    ///     println!("{topic:?}");
    /// }
    /// # Ok(()) }
    /// ```
    pub fn wait<F: Future>(&self, future: F) -> Result<F::Output, Error> {
        self.runtime.wait(future)
    }
}
