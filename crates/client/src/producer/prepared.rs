//! A transaction between the two phases of its commit (KIP-939).

use std::fmt;

use milena_engine::Error;
use milena_types::{ProducerEpoch, ProducerId};

use super::Transaction;

/// By what the cluster knows a prepared transaction, for another system to keep beside its own commit. Printed as Java's
/// `PreparedTxnState` is: `ID:EPOCH`.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct PreparedState {
    producer_id: ProducerId,
    epoch: ProducerEpoch,
}

impl PreparedState {
    pub(super) const fn new(producer_id: ProducerId, epoch: ProducerEpoch) -> Self {
        Self { producer_id, epoch }
    }

    /// The producer's id in the cluster.
    pub const fn producer_id(self) -> ProducerId {
        self.producer_id
    }

    /// The epoch of the transaction.
    pub const fn epoch(self) -> ProducerEpoch {
        self.epoch
    }
}

impl fmt::Display for PreparedState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.producer_id.get(), self.epoch.get())
    }
}

/// A transaction of which everything is stored, and whose end another system decides; see
/// [`Transaction::prepare`].
///
/// It has no time-out: where this process ends before it does, it stays open, and holds up those who read committed
/// records, until a producer with the same `transactional.id` starts, which aborts it, or an operator ends it. No broker
/// up to 4.4 lets a new producer take it over. Dropping it aborts it.
///
/// # Examples
/// ```no_run
/// # struct Database;
/// # impl Database { async fn commit_with(&self, _: String) -> bool { true } }
/// # async fn example(kafka: milena::Kafka, database: Database) -> milena::Result<()> {
/// use milena::Record;
///
/// let producer = kafka.producer().transactional_id("transfers-1");
/// let producer = producer.set("transaction.two.phase.commit.enable", "true")?;
/// let mut producer = producer.build_transactional().await?;
/// let transaction = producer.begin().await?;
/// transaction.send(Record::to("transfers").value("ann to bob: 10")).enqueue().await?;
/// let prepared = transaction.prepare().await?;
/// match database.commit_with(prepared.state().to_string()).await {
///     true => prepared.commit().await?,
///     false => prepared.abort().await?,
/// }
/// # Ok(()) }
/// ```
#[must_use = "a prepared transaction that is dropped is aborted"]
#[derive(Debug)]
pub struct PreparedTransaction<'a> {
    transaction: Transaction<'a>,
    state: PreparedState,
}

impl<'a> PreparedTransaction<'a> {
    pub(super) const fn new(transaction: Transaction<'a>, state: PreparedState) -> Self {
        Self { transaction, state }
    }

    /// By what the cluster knows it.
    pub const fn state(&self) -> PreparedState {
        self.state
    }

    /// Commits; see [`Transaction::commit`].
    ///
    /// # Errors
    /// As [`Transaction::commit`].
    pub async fn commit(self) -> Result<(), Error> {
        self.transaction.commit().await
    }

    /// Aborts; see [`Transaction::abort`].
    ///
    /// # Errors
    /// As [`Transaction::abort`].
    pub async fn abort(self) -> Result<(), Error> {
        self.transaction.abort().await
    }
}
