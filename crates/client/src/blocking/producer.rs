//! A producer whose calls block.

use std::sync::Arc;
use std::time::Duration;

use super::Delivery;
use super::runtime::Runtime;
use crate::{
    Error, Outcomes, ProducerMetrics, ProducerTopic, Record, RecordMetadata, TryEnqueueError,
};

/// A [`Producer`](crate::Producer) whose calls block the thread. A clone is the same producer, for use from many
/// threads.
///
/// Dropping the last clone leaves what is in the buffer to be sent in the background, for half a minute at most and as
/// long as the program runs; [`close`](Self::close) first to know what became of it.
#[derive(Clone, Debug)]
pub struct Producer(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    producer: crate::Producer,
    runtime: Runtime,
}

impl Producer {
    pub(super) fn new(producer: crate::Producer, runtime: Runtime) -> Self {
        Self(Arc::new(Inner { producer, runtime }))
    }

    /// Sends `record`, and waits until it is stored as `acks` asks.
    ///
    /// # Errors
    /// As [`Producer::send`](crate::Producer::send); `Misuse` in a thread of an async runtime.
    pub fn send(&self, record: Record<'_>) -> Result<RecordMetadata, Error> {
        self.0.runtime.wait(self.0.producer.send(record).into_future())?
    }

    /// Waits only until `record` is admitted to the send buffer.
    ///
    /// # Errors
    /// As [`Send::enqueue`](crate::Send::enqueue); `Misuse` in a thread of an async runtime.
    pub fn enqueue(&self, record: Record<'_>) -> Result<Delivery, Error> {
        let delivery = self.0.runtime.wait(self.0.producer.send(record).enqueue())??;
        Ok(Delivery::new(delivery, self.0.runtime.clone()))
    }

    /// Waits only until `record` is admitted to the send buffer, and has `callback` called with the acknowledgement.
    ///
    /// # Errors
    /// As [`SendWithCallback::enqueue`](crate::SendWithCallback::enqueue); `Misuse` in a thread of an async runtime.
    pub fn send_with<F>(&self, record: Record<'_>, callback: F) -> Result<(), Error>
    where
        F: FnOnce(Result<RecordMetadata, Error>) + Send + 'static,
    {
        self.0.runtime.wait(self.0.producer.send(record).on_ack(callback).enqueue())?
    }

    /// Sends `records`, and waits until the fate of each is known.
    ///
    /// # Errors
    /// `Misuse` in a thread of an async runtime; what became of the records is in the [`Outcomes`].
    pub fn send_all<'a>(
        &self,
        records: impl IntoIterator<Item = Record<'a>>,
    ) -> Result<Outcomes, Error> {
        self.0.runtime.wait(async { self.0.producer.enqueue_all(records).await.await })
    }

    /// Admits `record` to the send buffer if that can be done at once; gives it back otherwise.
    ///
    /// # Errors
    /// As [`Producer::try_enqueue`](crate::Producer::try_enqueue).
    #[expect(clippy::result_large_err, reason = "the record is handed back without an allocation")]
    pub fn try_enqueue<'a>(&self, record: Record<'a>) -> Result<Delivery, TryEnqueueError<'a>> {
        let delivery = self.0.producer.try_enqueue(record)?;
        Ok(Delivery::new(delivery, self.0.runtime.clone()))
    }

    /// Waits for nothing; a failure is counted and logged, as by [`Send::detach`](crate::Send::detach).
    pub fn detach(&self, record: Record<'_>) {
        let _runtime = self.0.runtime.enter();
        self.0.producer.send(record).detach();
    }

    /// Looks `topic` up once; see [`Producer::topic`](crate::Producer::topic).
    pub fn topic(&self, topic: impl AsRef<str>) -> ProducerTopic {
        self.0.producer.topic(topic)
    }

    /// Waits until every record that was admitted or detached is acknowledged or failed.
    ///
    /// # Errors
    /// As [`Producer::flush`](crate::Producer::flush); `Misuse` in a thread of an async runtime.
    pub fn flush(&self) -> Result<(), Error> {
        self.0.runtime.wait(self.0.producer.flush())?
    }

    /// What was sent so far.
    pub fn metrics(&self) -> ProducerMetrics {
        self.0.producer.metrics()
    }

    /// Admits nothing more, sends what is in the buffer for up to `timeout`, and ends the producer. Holds for all
    /// clones.
    ///
    /// # Errors
    /// As [`Producer::close`](crate::Producer::close); `Misuse` in a thread of an async runtime.
    pub fn close(&self, timeout: Duration) -> Result<(), Error> {
        self.0.runtime.wait(self.0.producer.close(timeout))?
    }

    /// The async producer beneath, for what has no call of its own here: give its futures to
    /// [`Kafka::wait`](super::Kafka::wait).
    pub fn handle(&self) -> &crate::Producer {
        &self.0.producer
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let producer = self.producer.clone();
        self.runtime.finish(async move {
            // Whoever wants to know closes it.
            let _ = producer.close(ABANDONED_TIMEOUT).await;
        });
    }
}

/// What a producer that was dropped rather than closed gives the records in its buffer.
const ABANDONED_TIMEOUT: Duration = Duration::from_secs(30);
