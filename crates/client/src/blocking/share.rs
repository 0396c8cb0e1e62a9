//! A share consumer whose calls block.

use std::time::Duration;

use super::runtime::Runtime;
use crate::{Error, ShareConsumerHandle, ShareMessage};

/// A [`ShareConsumer`](crate::ShareConsumer) whose calls block the thread.
///
/// Records are acknowledged as there, which never waits. Dropping it releases what is in hand and leaves the group in the
/// background.
#[derive(Debug)]
pub struct ShareConsumer {
    /// Until it is closed.
    consumer: Option<crate::ShareConsumer>,
    handle: ShareConsumerHandle,
    runtime: Runtime,
}

impl ShareConsumer {
    pub(super) fn new(consumer: crate::ShareConsumer, runtime: Runtime) -> Self {
        Self { handle: consumer.handle(), consumer: Some(consumer), runtime }
    }

    /// Waits for records, for `timeout` at most; none if none came.
    ///
    /// # Errors
    /// As [`ShareConsumer::poll`](crate::ShareConsumer::poll); `Misuse` in a thread of an async runtime.
    pub fn poll(&mut self, timeout: Duration) -> Result<Vec<ShareMessage>, Error> {
        let consumer = self.consumer.as_mut().ok_or_else(Error::closed)?;
        self.runtime.wait(consumer.poll(timeout))?
    }

    /// Waits for the next record; `None` once the consumer is closed by its handle.
    ///
    /// # Errors
    /// As [`ShareConsumer::try_next`](crate::ShareConsumer::try_next); `Misuse` in a thread of an async runtime.
    pub fn try_next(&mut self) -> Result<Option<ShareMessage>, Error> {
        let Some(consumer) = self.consumer.as_mut() else { return Ok(None) };
        self.runtime.wait(consumer.try_next())?
    }

    /// Sends what was acknowledged so far, and waits for the answers.
    ///
    /// # Errors
    /// As [`ShareConsumerHandle::commit`]; `Misuse` in a thread of an async runtime.
    pub fn commit(&self) -> Result<(), Error> {
        self.runtime.wait(self.handle.commit())?
    }

    /// A handle for what has no call of its own here, and to close from another thread: give its futures to
    /// [`Kafka::wait`](super::Kafka::wait).
    pub fn handle(&self) -> ShareConsumerHandle {
        self.handle.clone()
    }

    /// Sends what was acknowledged, has the brokers release everything else, and leaves the group, within `timeout`.
    ///
    /// # Errors
    /// As [`ShareConsumer::close`](crate::ShareConsumer::close); `Misuse` in a thread of an async runtime.
    pub fn close(mut self, timeout: Duration) -> Result<(), Error> {
        let consumer = self.consumer.take().ok_or_else(Error::closed)?;
        self.runtime.wait(consumer.close(timeout))?
    }
}

impl Drop for ShareConsumer {
    fn drop(&mut self) {
        if self.consumer.take().is_some() {
            let handle = self.handle.clone();
            // By its handle, since that accepts nothing that is in hand; and the runtime lasts until it is done.
            self.runtime.finish(async move { drop(handle.close(LEAVE_TIMEOUT).await) });
        }
    }
}

/// What a share consumer that was dropped rather than closed gives its last words.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(5);
