//! A producer with transactions.

use std::fmt;
use std::time::Duration;

use milena_engine::Error;
use milena_engine::transaction::TransactionOutcome;
use milena_types::Topic;

use super::{Producer, ProducerMetrics, ProducerTopic, Transaction};
use crate::config::ProducerConfig;
use crate::driver::transaction::Ask;

/// Sends records in transactions: those who read committed records (`isolation.level=read_committed`) see all of one,
/// or nothing.
///
/// Made by [`ProducerBuilder::build_transactional`](crate::ProducerBuilder::build_transactional). It is one identity in
/// the cluster, by its `transactional.id`: building it fences any older instance with the same id, and whatever that one
/// had open is aborted. One transaction is open at a time, and records are sent through it alone.
///
/// - [`transaction`](Self::transaction) runs a closure: committed where it returns `Ok`, aborted in every other case.
/// - [`begin`](Self::begin) gives a [`Transaction`] to be committed or aborted by hand; dropped, it is aborted.
/// - [`transform`](Self::transform) reads from a consumer, and commits what was made of it with the offsets that were
///   read: each record is consumed, in effect, exactly once.
///
/// An error that [`is_abortable`](Error::is_abortable) ends its transaction and nothing else. One that
/// [`is_fatal`](Error::is_fatal) ends the producer, as where a newer instance has taken over. More in the page
/// `docs/transactions.md` of the repository.
///
/// # Examples
/// ```no_run
/// # async fn example(kafka: milena::Kafka) -> milena::Result<()> {
/// use milena::Record;
///
/// let producer = kafka.producer().transactional_id("transfers-1");
/// let mut producer = producer.build_transactional().await?;
/// producer
///     .transaction(async |transaction| {
///         transaction.send(Record::to("accounts").key("ann").value("-10")).await?;
///         transaction.send(Record::to("accounts").key("bob").value("+10")).await?;
///         Ok::<_, milena::Error>(())
///     })
///     .await?;
/// # Ok(()) }
/// ```
pub struct TransactionalProducer {
    producer: Producer,
}

impl TransactionalProducer {
    /// Takes `producer` over once it has its identity and its predecessors are fenced.
    pub(super) async fn start(producer: Producer) -> Result<Self, Error> {
        let started = Self { producer };
        started.wait_for_end().await?;
        Ok(started)
    }

    /// Runs `body` in a transaction: commits where it returns `Ok`, and returns its value once the commit is certain;
    /// aborts where it returns `Err`, and returns that error. Every other way out, a panic or a dropped future, aborts
    /// too, in the background.
    ///
    /// What `body` sent and did not await is waited for before the commit; if a record of it is lost, nothing is
    /// committed.
    ///
    /// # Errors
    /// What `body` returns; else as [`begin`](Self::begin) and [`Transaction::commit`].
    pub async fn transaction<T, E>(
        &mut self,
        body: impl AsyncFnOnce(&Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E>
    where
        E: From<Error>,
    {
        let transaction = self.begin().await?;
        match body(&transaction).await {
            Ok(value) => {
                transaction.commit().await?;
                Ok(value)
            }
            Err(error) => {
                if let Err(failure) = transaction.abort().await {
                    // The next transaction, if there can be one, waits for the abort.
                    tracing::debug!(error = %failure, "abort");
                }
                Err(error)
            }
        }
    }

    /// Begins a transaction, as soon as the last one has ended.
    ///
    /// Dropping the future begins nothing.
    ///
    /// # Errors
    /// `Timeout` after `max.block.ms`; `Fenced` where a newer instance has taken over; `Authorization`; `Closed`.
    ///
    /// # Examples
    /// ```no_run
    /// # async fn example(mut producer: milena::TransactionalProducer) -> milena::Result<()> {
    /// use milena::Record;
    ///
    /// let transaction = producer.begin().await?;
    /// transaction.send(Record::to("orders").key("o-1").value("hi")).await?;
    /// transaction.commit().await?;
    /// # Ok(()) }
    /// ```
    pub async fn begin(&mut self) -> Result<Transaction<'_>, Error> {
        let begin = |deadline, done| Ask::Begin { deadline, done };
        let open = self.producer.0.control.transact(self.limit(), begin).await?;
        Ok(Transaction::new(&self.producer, open))
    }

    /// Waits until the last transaction has ended, and says how; `None` where there was none.
    ///
    /// This is the question to ask after a commit whose error has the fate [`Unknown`](crate::Fate::Unknown): the
    /// answer was not there in time, and the producer goes on asking for it.
    ///
    /// # Errors
    /// `Timeout` after `max.block.ms`; the producer's own error where it cannot go on; `Closed`.
    pub async fn wait_for_end(&self) -> Result<Option<TransactionOutcome>, Error> {
        let settle = |deadline, done| Ask::Settle { deadline, done };
        self.producer.0.control.transact(self.limit(), settle).await
    }

    /// How many partitions `topic` has; see [`Producer::partitions_for`].
    ///
    /// # Errors
    /// As [`Producer::partitions_for`].
    pub async fn partitions_for(&self, topic: impl Into<Topic>) -> Result<i32, Error> {
        self.producer.partitions_for(topic).await
    }

    /// Looks `topic` up, so that records need not do it each; see [`Producer::topic`].
    pub fn topic(&self, topic: impl AsRef<str>) -> ProducerTopic {
        self.producer.topic(topic)
    }

    /// What was sent so far, and what there is in the buffer; see [`Producer::metrics`].
    pub fn metrics(&self) -> ProducerMetrics {
        self.producer.metrics()
    }

    /// Ends the producer's tasks. A transaction that is being committed or aborted is waited for, up to `timeout`; what
    /// is not ended by then, its coordinator aborts after `transaction.timeout.ms`.
    ///
    /// Dropping the future does not stop the closing.
    ///
    /// # Errors
    /// `Timeout` if something was given up.
    pub async fn close(self, timeout: Duration) -> Result<(), Error> {
        self.producer.close(timeout).await
    }

    /// The configuration in force.
    pub fn config(&self) -> &ProducerConfig {
        self.producer.config()
    }

    fn limit(&self) -> Duration {
        self.producer.config().max_block()
    }
}

impl fmt::Debug for TransactionalProducer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransactionalProducer")
            .field("transactional_id", &self.config().transactional_id())
            .finish_non_exhaustive()
    }
}
