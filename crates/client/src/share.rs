//! Reading records as from a queue: share groups.

mod builder;
mod handle;
mod message;
mod metrics;

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::Stream;
use milena_engine::share::{ShareBuffer, ShareReader};
use milena_engine::{Error, ErrorKind, Operation};
use tokio::time::{Instant, timeout_at};

pub use builder::ShareConsumerBuilder;
pub use handle::ShareConsumerHandle;
pub use message::ShareMessage;
pub(crate) use metrics::Counters;
pub use metrics::ShareConsumerMetrics;

use crate::Kafka;
use crate::clock::after;
use crate::config::ShareConsumerConfig;

/// Reads records as a member of a share group (KIP-932): any number of members work on one partition, and each record is
/// acknowledged by itself, as in a queue.
///
/// Made by [`Kafka::share_consumer`]; needs brokers of Kafka 4.1 or newer with share groups switched on. A record that is
/// handed out is locked for this member; it goes to another when it is released, when its lock runs out (30 s unless the
/// group says otherwise), or when this consumer is closed. After a number of deliveries (5) it is given up by the brokers.
///
/// With implicit acknowledgement, the default, what was handed out is accepted by the next call that asks for more, unless
/// it was acknowledged otherwise by then. Records that go to other tasks want `share.acknowledgement.mode=explicit`: then
/// nothing is accepted but by [`ShareMessage::accept`], and what is dropped without a word comes again once its lock runs
/// out.
///
/// Records are fetched while someone waits for them, so that nothing sits under a lock unread; acknowledgements go with
/// the next fetch, or half a second later. A new group starts at the end of its topics, unless its
/// `share.auto.offset.reset` is set on the brokers.
///
/// Dropping it releases what is in hand and leaves the group in the background, in a few seconds at most;
/// [`close`](Self::close) to know.
///
/// # Examples
/// ```no_run
/// # async fn run(_: &milena::ShareMessage) -> Result<(), ()> { Ok(()) }
/// # async fn example(kafka: milena::Kafka) -> milena::Result<()> {
/// let mut jobs = kafka.share_consumer("workers").subscribe(["jobs"]).build().await?;
/// while let Some(job) = jobs.try_next().await? {
///     match run(&job).await {
///         Ok(()) => job.accept(),
///         Err(()) if job.delivery_count() < 3 => job.release(),
///         Err(()) => job.reject(),
///     }
/// }
/// # Ok(()) }
/// ```
#[must_use = "a share consumer that is dropped leaves its group"]
pub struct ShareConsumer {
    handle: ShareConsumerHandle,
    config: ShareConsumerConfig,
    reader: ShareReader,
    /// Of a batch that could not be read, behind records that could.
    unread: Option<Error>,
    /// The stream has said that the consumer is of no more use.
    is_over: bool,
    is_closed: bool,
    kafka: Kafka,
}

impl ShareConsumer {
    fn new(
        handle: ShareConsumerHandle,
        config: ShareConsumerConfig,
        reader: ShareReader,
        kafka: Kafka,
    ) -> Self {
        let (unread, is_over, is_closed) = (None, false, false);
        Self { handle, config, reader, unread, is_over, is_closed, kafka }
    }

    /// Waits up to `timeout` for records, and hands out up to `max.poll.records` of those that are there. Empty if none
    /// came.
    ///
    /// With implicit acknowledgement, what was handed out before is accepted. Dropping the future hands out nothing: what
    /// was fetched is handed out by the next call, if its lock lasts.
    ///
    /// # Errors
    /// `Authorization`; `InvalidRecord` of a damaged batch, whose records are released where its checksum is wrong, to come
    /// again up to the group's limit of deliveries, and rejected where it is right; `Rebalanced` and the like are
    /// dealt with unseen. `Closed`; `UnsupportedVersion` where the cluster has no share groups. Unless it
    /// [`is_fatal`](Error::is_fatal), the next call goes on; a fatal one is every later call's too.
    pub async fn poll(&mut self, timeout: Duration) -> Result<Vec<ShareMessage>, Error> {
        let deadline = after(timeout);
        let buffer = Arc::clone(&self.handle.buffer);
        let _polling = Polling::enter(&buffer);
        let records_max = usize::try_from(self.config.max_poll_records()).unwrap_or(usize::MAX);
        let arrival = poll_fn(|cx| self.poll_messages(cx, records_max));
        timeout_at(deadline, arrival).await.unwrap_or_else(|_| Ok(Vec::new()))
    }

    /// Waits for the next record; `None` once the consumer is closed by its handle.
    ///
    /// With implicit acknowledgement, the record before is accepted. Dropping the future hands out nothing.
    ///
    /// # Errors
    /// As [`poll`](Self::poll).
    pub async fn try_next(&mut self) -> Result<Option<ShareMessage>, Error> {
        let buffer = Arc::clone(&self.handle.buffer);
        let _polling = Polling::enter(&buffer);
        poll_fn(|cx| self.poll_message(cx)).await.transpose()
    }

    /// A handle, for other tasks.
    pub fn handle(&self) -> ShareConsumerHandle {
        self.handle.clone()
    }

    /// Sends what was acknowledged so far, and waits for the answers; see [`ShareConsumerHandle::commit`].
    ///
    /// # Errors
    /// As [`ShareConsumerHandle::commit`].
    pub async fn commit(&self) -> Result<(), Error> {
        self.handle.commit().await
    }

    /// Sends what was acknowledged so far at once, and does not wait; see [`ShareConsumerHandle::commit_async`].
    pub fn commit_async(&self) {
        self.handle.commit_async();
    }

    /// What was handed out and acknowledged so far; see [`ShareConsumerHandle::metrics`].
    pub fn metrics(&self) -> ShareConsumerMetrics {
        self.handle.metrics()
    }

    /// The configuration in force.
    pub fn config(&self) -> &ShareConsumerConfig {
        &self.config
    }

    /// Sends what was acknowledged, has the brokers release everything else, and leaves the group, in `timeout` at most.
    /// With implicit acknowledgement, what was handed out is accepted.
    ///
    /// Dropping the future does not stop the closing.
    ///
    /// # Errors
    /// The first acknowledgement's that failed meanwhile; `Closed` where the consumer's task had panicked.
    pub async fn close(mut self, timeout: Duration) -> Result<(), Error> {
        self.handle.buffer.accept_in_hand();
        let closed = self.handle.close(timeout).await;
        self.is_closed = true;
        match closed {
            // A handle was faster; or else nobody knows what became of the last acknowledgements.
            Err(error) if error.kind() == ErrorKind::Closed => {
                match self.handle.signals.life.is_over() {
                    true => Ok(()),
                    false => Err(error.with_detail("the share consumer's task has panicked")),
                }
            }
            closed => closed,
        }
    }

    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<ShareMessage, Error>>> {
        match ready!(self.poll_messages(cx, 1)) {
            Ok(messages) => Poll::Ready(messages.into_iter().next().map(Ok)),
            Err(error) if error.kind() == ErrorKind::Closed => Poll::Ready(None),
            Err(error) => Poll::Ready(Some(Err(error))),
        }
    }

    /// Hands out what is there: first what the user must hear of, then records.
    fn poll_messages(
        &mut self,
        cx: &mut Context<'_>,
        records_max: usize,
    ) -> Poll<Result<Vec<ShareMessage>, Error>> {
        loop {
            if let Some(error) = self.unread.take().or_else(|| self.handle.buffer.take_error()) {
                return Poll::Ready(Err(error));
            }
            let mut messages = Vec::new();
            while messages.len() < records_max {
                match self.reader.poll() {
                    Ok(None) => break,
                    Ok(Some(delivered)) => {
                        let buffer = Arc::clone(&self.handle.buffer);
                        messages.push(ShareMessage::new(delivered, buffer));
                    }
                    Err(error) if messages.is_empty() => return Poll::Ready(Err(error)),
                    Err(error) => {
                        self.unread = Some(error);
                        break;
                    }
                }
            }
            if !messages.is_empty() {
                self.handle.counters.handed_out(messages.len());
                return Poll::Ready(Ok(messages));
            }
            if self.handle.buffer.is_closed() {
                return Poll::Ready(Err(Error::closed().during(Operation::Poll)));
            }
            ready!(self.handle.buffer.poll_ready(cx));
        }
    }
}

impl Stream for ShareConsumer {
    type Item = Result<ShareMessage, Error>;

    /// The next record; ends once the consumer is closed by its handle, or behind an error that is fatal.
    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.is_over {
            return Poll::Ready(None);
        }
        let now = || Instant::now().into_std();
        this.handle.buffer.enter_poll(now());
        let polled = this.poll_message(cx);
        if let Poll::Ready(polled) = &polled {
            this.handle.buffer.leave_poll(now());
            this.is_over = matches!(polled, Some(Err(error)) if error.is_fatal());
        }
        polled
    }
}

impl Drop for ShareConsumer {
    fn drop(&mut self) {
        if !self.is_closed {
            self.handle.signals.life.abandon();
        }
    }
}

impl fmt::Debug for ShareConsumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShareConsumer")
            .field("group_id", &self.handle.group_id)
            .field("kafka", &self.kafka)
            .finish_non_exhaustive()
    }
}

/// The user asks for records for as long as this lives.
struct Polling<'a>(&'a ShareBuffer);

impl<'a> Polling<'a> {
    fn enter(buffer: &'a ShareBuffer) -> Self {
        buffer.enter_poll(Instant::now().into_std());
        Self(buffer)
    }
}

impl Drop for Polling<'_> {
    fn drop(&mut self) {
        self.0.leave_poll(Instant::now().into_std());
    }
}
