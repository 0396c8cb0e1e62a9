//! What became of a record, for a thread that waits.

use std::time::Duration;

use super::runtime::Runtime;
use crate::{Error, RecordMetadata, TopicPartition};

/// Tells where a record was stored, or why it was not; made by [`Producer::enqueue`](super::Producer::enqueue).
///
/// Dropping it never takes the record back.
#[derive(Debug)]
#[must_use = "a record is known to be stored only once its delivery says so"]
pub struct Delivery {
    delivery: crate::Delivery,
    runtime: Runtime,
}

impl Delivery {
    pub(super) fn new(delivery: crate::Delivery, runtime: Runtime) -> Self {
        Self { delivery, runtime }
    }

    /// Waits for the acknowledgement, for `delivery.timeout.ms` at most.
    ///
    /// # Errors
    /// As [`Producer::send`](super::Producer::send) of a record that was admitted.
    pub fn wait(self) -> Result<RecordMetadata, Error> {
        self.runtime.wait(self.delivery)?
    }

    /// Waits for `timeout` at most; `Err` with the delivery if there is no acknowledgement by then.
    ///
    /// # Errors
    /// In the inner result, as [`wait`](Self::wait).
    pub fn wait_for(mut self, timeout: Duration) -> Result<Result<RecordMetadata, Error>, Self> {
        let limited = async { tokio::time::timeout(timeout, &mut self.delivery).await };
        match self.runtime.wait(limited) {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(_elapsed)) => Err(self),
            Err(misuse) => Ok(Err(misuse)),
        }
    }

    /// What became of the record, if that is known already.
    pub fn result(&self) -> Option<Result<RecordMetadata, Error>> {
        self.delivery.result()
    }

    /// The partition that the record was given.
    pub fn topic_partition(&self) -> Option<&TopicPartition> {
        self.delivery.topic_partition()
    }
}
