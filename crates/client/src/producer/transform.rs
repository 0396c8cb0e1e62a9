//! Consume, transform, produce: exactly once.

use std::collections::BTreeMap;
use std::time::Duration;

use milena_engine::transaction::TransactionOutcome;
use milena_engine::{Error, ErrorKind, Fate};
use milena_types::{Offset, TopicPartition};

use super::{Transaction, TransactionalProducer};
use crate::{Batch, Consumer, ConsumerHandle};

impl TransactionalProducer {
    /// Reads a batch from `consumer`, waiting up to `timeout` for it, runs `body` on it in a transaction, and commits
    /// what `body` sent together with the offsets that were read. Returns how many records were read and committed: 0
    /// where none came, or where a rebalance took the partitions away.
    ///
    /// If anything fails, the transaction is aborted, and the consumer reads the same records again with the next call.
    /// If the partitions have gone to another member meanwhile, the commit becomes an abort, since that member reads
    /// the same records. The consumer must be a member of a group, must not commit by itself
    /// (`enable.auto.commit=false`), and should read committed records only where its topics are written in
    /// transactions.
    ///
    /// Dropping the future aborts, but does not take the consumer back: go on with a new consumer of the group then.
    ///
    /// # Errors
    /// What `body` returns; else as [`Consumer::poll`], [`begin`](Self::begin), [`Transaction::send_offsets`] and
    /// [`Transaction::commit`], so that brokers before 2.5 are `UnsupportedVersion`. After an error whose fate is unknown nobody knows where to read on: go on with a new
    /// producer and a new consumer.
    ///
    /// # Examples
    /// ```no_run
    /// # async fn example(kafka: milena::Kafka) -> milena::Result<()> {
    /// use milena::Record;
    /// use std::time::Duration;
    ///
    /// let consumer = kafka.consumer("copier").enable_auto_commit(false).subscribe(["orders"]);
    /// let mut consumer = consumer.build().await?;
    /// let producer = kafka.producer().transactional_id("copier-1");
    /// let mut producer = producer.build_transactional().await?;
    /// loop {
    ///     let copied = producer.transform(&mut consumer, Duration::from_secs(1), async |transaction, batch| {
    ///         for message in batch {
    ///             let value = message.value().unwrap_or_default().to_ascii_uppercase();
    ///             transaction.send(Record::to("copies").value(value)).enqueue().await?;
    ///         }
    ///         Ok::<_, milena::Error>(())
    ///     });
    ///     println!("{} records", copied.await?);
    ///     # break;
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn transform<E>(
        &mut self,
        consumer: &mut Consumer,
        timeout: Duration,
        body: impl AsyncFnOnce(&Transaction<'_>, &Batch) -> Result<(), E>,
    ) -> Result<usize, E>
    where
        E: From<Error>,
    {
        let batch = consumer.poll(timeout).await?;
        if batch.is_empty() {
            return Ok(0);
        }
        let mut is_committed = self.run(&batch, body).await;
        if let Err(Trouble::Client(error)) = &is_committed
            && error.fate() == Fate::Unknown
            && !error.is_fatal()
            && !error.is_abortable()
            && self.wait_for_end().await? == Some(TransactionOutcome::Committed)
        {
            is_committed = Ok(());
        }
        match is_committed {
            Ok(()) => Ok(batch.len()),
            Err(trouble) => {
                // The handle alone: a future that held the consumer could not be spawned.
                rewind(&consumer.handle(), &batch).await?;
                match trouble {
                    Trouble::Client(error) if error.kind() == ErrorKind::Rebalanced => {
                        tracing::debug!(%error, "aborted");
                        Ok(0)
                    }
                    Trouble::Client(error) => Err(error.into()),
                    Trouble::Body(error) => Err(error),
                }
            }
        }
    }

    async fn run<E>(
        &mut self,
        batch: &Batch,
        body: impl AsyncFnOnce(&Transaction<'_>, &Batch) -> Result<(), E>,
    ) -> Result<(), Trouble<E>> {
        self.transaction(async |transaction| {
            body(transaction, batch).await.map_err(Trouble::Body)?;
            Ok(transaction.send_offsets(batch).await?)
        })
        .await
    }
}

/// Who has failed.
enum Trouble<E> {
    Body(E),
    Client(Error),
}

impl<E> From<Error> for Trouble<E> {
    fn from(error: Error) -> Self {
        Self::Client(error)
    }
}

/// Has the consumer hand out the records of `batch` again.
async fn rewind(consumer: &ConsumerHandle, batch: &Batch) -> Result<(), Error> {
    let mut starts: BTreeMap<TopicPartition, Offset> = BTreeMap::new();
    for message in batch {
        let partition = message.topic_partition();
        if !starts.contains_key(partition) {
            starts.insert(partition.clone(), message.offset());
        }
    }
    for (partition, offset) in starts {
        match consumer.seek(partition, offset).await {
            Ok(()) => {}
            // It is another member's by now.
            Err(error) if error.kind() == ErrorKind::Misuse => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
