//! A consumer whose calls block.

use std::time::Duration;

use super::runtime::Runtime;
use crate::{Batch, ConsumerHandle, Error, Message};

/// A [`Consumer`](crate::Consumer) whose calls block the thread.
///
/// It keeps its place in the group between calls, as the async one does. Dropping it leaves the group in the
/// background.
#[derive(Debug)]
pub struct Consumer {
    /// Until it is closed.
    consumer: Option<crate::Consumer>,
    handle: ConsumerHandle,
    runtime: Runtime,
}

impl Consumer {
    pub(super) fn new(consumer: crate::Consumer, runtime: Runtime) -> Self {
        Self { handle: consumer.handle(), consumer: Some(consumer), runtime }
    }

    /// Waits for records, for `timeout` at most; the batch is empty if none came.
    ///
    /// # Errors
    /// As [`Consumer::poll`](crate::Consumer::poll); `Misuse` in a thread of an async runtime.
    pub fn poll(&mut self, timeout: Duration) -> Result<Batch, Error> {
        let consumer = self.consumer.as_mut().ok_or_else(Error::closed)?;
        self.runtime.wait(consumer.poll(timeout))?
    }

    /// Waits for the next record; `None` once the consumer is closed.
    ///
    /// # Errors
    /// As [`Consumer::try_next`](crate::Consumer::try_next); `Misuse` in a thread of an async runtime.
    pub fn try_next(&mut self) -> Result<Option<Message>, Error> {
        let Some(consumer) = self.consumer.as_mut() else { return Ok(None) };
        self.runtime.wait(consumer.try_next())?
    }

    /// Commits what was handed out.
    ///
    /// # Errors
    /// As [`Consumer::commit`](crate::Consumer::commit); `Misuse` in a thread of an async runtime.
    pub fn commit(&self) -> Result<(), Error> {
        let consumer = self.consumer.as_ref().ok_or_else(Error::closed)?;
        self.runtime.wait(consumer.commit())?
    }

    /// A handle for what has no call of its own here, and to close from another thread: give its futures to
    /// [`Kafka::wait`](super::Kafka::wait).
    pub fn handle(&self) -> ConsumerHandle {
        self.handle.clone()
    }

    /// Commits where that is automatic, leaves the group, and ends the consumer, within `timeout`.
    ///
    /// # Errors
    /// As [`Consumer::close`](crate::Consumer::close); `Misuse` in a thread of an async runtime.
    pub fn close(mut self, timeout: Duration) -> Result<(), Error> {
        let consumer = self.consumer.take().ok_or_else(Error::closed)?;
        self.runtime.wait(consumer.close(timeout))?
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        if let Some(consumer) = self.consumer.take() {
            self.runtime.finish(async move {
                // Whoever wants to know closes it.
                let _ = consumer.close(LEAVE_TIMEOUT).await;
            });
        }
    }
}

/// What a consumer that was dropped rather than closed gives its commit and its leave.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(10);
