//! Sending records.

mod builder;
mod callback;
mod detached;
mod many;
mod outgoing;
#[cfg(feature = "unstable-two-phase-commit")]
mod prepared;
mod record;
mod refused;
mod send;
mod topic;
mod transaction;
mod transactional;
mod transform;
mod typed;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use milena_engine::Error;
use milena_types::Topic;

pub use builder::ProducerBuilder;
pub(crate) use callback::guarded;
pub use callback::{EnqueueWithCallback, SendWithCallback};
pub(crate) use detached::{Detached, Mark};
pub use many::EnqueueAll;
use milena_engine::producer::Watch;
pub use milena_engine::producer::{
    Deliveries, Delivery, Outcomes, ProducerMetrics, RecordMetadata,
};
#[cfg(feature = "unstable-two-phase-commit")]
pub use prepared::{PreparedState, PreparedTransaction};
pub use record::{Payload, Record, TopicName};
pub use refused::TryEnqueueError;
pub use send::{Enqueue, Send, Sending};
pub use topic::ProducerTopic;
pub use transaction::{SendInTransaction, Transaction};
pub use transactional::TransactionalProducer;
pub use typed::TypedProducer;

use crate::Kafka;
use crate::config::ProducerConfig;
use crate::driver::producer::Control;
use crate::interceptor::Interceptors;

/// Sends records to a cluster.
///
/// Made by [`Kafka::producer`]; a clone is the same producer, for use from many tasks. Records of one partition are
/// stored in the order in which they were admitted to the send buffer, each once unless idempotence is off.
///
/// Dropping the last clone leaves what is in the buffer to be sent in the background, for half a minute at most and as
/// long as the runtime lives; [`close`](Self::close) first to know what became of it.
///
/// # Examples
/// ```no_run
/// # async fn example(kafka: milena::Kafka) -> milena::Result<()> {
/// use std::time::Duration;
/// use milena::Record;
///
/// let producer = kafka.producer().linger(Duration::from_millis(1)).build().await?;
/// let stored = producer.send(Record::to("orders").key("o-1").value("hi")).await?;
/// println!("partition {}, offset {:?}", stored.partition(), stored.offset());
///
/// // Many at once: admit them one by one, await the acknowledgements together.
/// let mut deliveries = Vec::new();
/// for number in 0..10 {
///     deliveries.push(producer.send(Record::to("orders").value(number.to_string())).enqueue().await?);
/// }
/// for delivery in deliveries {
///     delivery.await?;
/// }
/// producer.close(Duration::from_secs(10)).await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Producer(Arc<Shared>);

pub(crate) struct Shared {
    kafka: Kafka,
    config: ProducerConfig,
    interceptors: Option<Arc<Interceptors>>,
    control: Control,
}

impl Producer {
    /// Sends `record`: await the result for the acknowledgement, or choose another way on it.
    ///
    /// - `.await` waits until the record is stored as `acks` asks, and returns where.
    /// - [`.enqueue()`](Send::enqueue)`.await` waits until it is admitted to the send buffer, and returns a
    ///   [`Delivery`] that resolves with the acknowledgement.
    /// - [`.on_ack(callback)`](Send::on_ack) has a function called with the acknowledgement, whichever of these follows.
    /// - [`.detach()`](Send::detach) waits for nothing.
    /// - [`.try_enqueue()`](Send::try_enqueue) gives the record back where it would have to wait.
    ///
    /// Admission waits for room in the buffer and for the topic's metadata, for `max.block.ms` at most; tasks get room
    /// in the order in which they asked. A task that sends faster than the brokers store rests now and then, for 15 ms at
    /// most, so that the buffer does not fill with what is stored no sooner for it.
    ///
    /// Dropping the future before the record is admitted sends nothing; dropping it, or the delivery, afterwards does
    /// not take the record back.
    ///
    /// # Errors
    /// `BufferFull`, `UnknownTopic` or `Timeout` if it was not admitted in time, `RecordTooLarge`, `Closed`, or what
    /// the brokers said; [`Error::fate`] tells whether the record may be stored.
    #[inline]
    pub fn send<'a>(&'a self, record: Record<'a>) -> Send<'a> {
        Send::new(self, record)
    }

    /// As [`send`](Self::send) and awaiting that, in a future that borrows nothing: for tasks of their own.
    ///
    /// # Errors
    /// As there.
    ///
    /// # Examples
    /// ```no_run
    /// # async fn example(producer: milena::Producer) -> milena::Result<()> {
    /// use milena::Record;
    ///
    /// let mut sending = tokio::task::JoinSet::new();
    /// for number in 0..10 {
    ///     sending.spawn(producer.send_owned(Record::to("orders").value(number.to_string())));
    /// }
    /// while let Some(stored) = sending.join_next().await {
    ///     println!("{:?}", stored.expect("no panic")?.offset());
    /// }
    /// # Ok(()) }
    /// ```
    pub fn send_owned(
        &self,
        record: Record<'static>,
    ) -> impl Future<Output = Result<RecordMetadata, Error>> + std::marker::Send + use<> {
        let producer = self.clone();
        async move { producer.send(record).await }
    }

    /// Admits `record` to the send buffer if that can be done at once; gives it back otherwise.
    ///
    /// # Errors
    /// The record with the reason: no room (`BufferFull`), a topic whose partitions are not known yet (`Timeout`),
    /// `RecordTooLarge`, or `Closed`. Nothing of it is stored.
    // The record comes back by value: boxing it would cost the caller an allocation when it is busiest.
    #[expect(clippy::result_large_err, reason = "the record is handed back without an allocation")]
    pub fn try_enqueue<'a>(&self, record: Record<'a>) -> Result<Delivery, TryEnqueueError<'a>> {
        outgoing::try_enqueue(self, record, Watch::Nobody, None)
    }

    /// Looks `topic` up, so that `Record::to(&topic)` need not do it for each record, and has its metadata fetched.
    ///
    /// # Examples
    /// ```no_run
    /// # async fn example(producer: milena::Producer) -> milena::Result<()> {
    /// use milena::Record;
    ///
    /// let orders = producer.topic("orders");
    /// for number in 0..1000 {
    ///     producer.send(Record::to(&orders).value(number.to_string())).detach();
    /// }
    /// # Ok(()) }
    /// ```
    pub fn topic(&self, topic: impl AsRef<str>) -> ProducerTopic {
        let handle = self.0.control.accumulator().topic(topic.as_ref());
        self.0.control.wake();
        ProducerTopic::new(self, handle)
    }

    /// A view of this producer whose keys are `K` and whose values are `V`, written as [`Plain`](crate::format::Plain)
    /// does unless the view is given another format.
    pub fn typed<K: ?Sized, V: ?Sized>(&self) -> TypedProducer<K, V> {
        TypedProducer::new(self.clone())
    }

    /// How many partitions `topic` has, for a partitioner of your own. Waits for `max.block.ms` at most.
    ///
    /// # Errors
    /// As [`Kafka::partitions_for`].
    pub async fn partitions_for(&self, topic: impl Into<Topic>) -> Result<i32, Error> {
        self.0.kafka.partitions_within(&topic.into(), self.0.config.max_block()).await
    }

    /// Sends what is in the buffer without lingering, and waits until every record admitted or detached before the call
    /// is acknowledged or failed. Failures show in the deliveries; callbacks were called.
    ///
    /// Bounded by `delivery.timeout.ms`, and `max.block.ms` where detached records wait for admission. Dropping the future stops the wait, not the sending.
    ///
    /// # Errors
    /// `Closed`.
    pub async fn flush(&self) -> Result<(), Error> {
        self.0.control.flush().await
    }

    /// Admits nothing more but what was detached before, sends what is in the buffer for up to `timeout`, and ends the
    /// producer's tasks. What is not acknowledged by then fails; callbacks were called.
    ///
    /// Holds for all clones. Dropping the future does not stop the closing.
    ///
    /// # Errors
    /// `Timeout` if records were given up; `Closed` if it was closed before.
    pub async fn close(&self, timeout: Duration) -> Result<(), Error> {
        self.0.control.close(timeout).await
    }

    /// What was sent so far, by all clones, and what there is in the buffer. Costs a dozen loads.
    pub fn metrics(&self) -> ProducerMetrics {
        self.0.control.accumulator().metrics()
    }

    /// The configuration in force.
    pub fn config(&self) -> &ProducerConfig {
        &self.0.config
    }
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer").field("accumulator", self.0.control.accumulator()).finish()
    }
}
