//! Reading records.

mod batch;
mod builder;
mod handle;
mod interceptor;
mod listener;
mod mark;
mod message;
mod metrics;
mod partition;
mod pattern;
mod poison;
mod subscription;
mod typed;

use std::collections::BTreeSet;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::Stream;
use milena_engine::consumer::{
    Change, CommittedOffset, Consumer as Machine, Event, FetchBuffer, GroupMembershipOperation,
    Polled, Reader, Rebalance, RebalanceId,
};
use milena_engine::{Error, ErrorKind, Operation};
use milena_records::Limits;
use milena_types::TopicPartition;
use tokio::time::{Instant, timeout_at};

pub use batch::{Batch, Messages};
pub use builder::ConsumerBuilder;
pub use handle::ConsumerHandle;
pub use interceptor::ConsumerInterceptor;
pub(crate) use interceptor::Interceptors;
pub use listener::{RebalanceListener, Stall};
pub use mark::Mark;
pub use message::{Message, MessageRef};
pub use metrics::ConsumerMetrics;
pub(crate) use metrics::Counters;
pub use partition::PartitionStream;
pub use pattern::SubscriptionPattern;
pub use poison::{DeadLetter, PoisonHandler, SkipPoison};
pub use typed::{TypedConsumer, TypedMessage};

use crate::Kafka;
use crate::clock::after;
use crate::config::ConsumerConfig;
use listener::{Hearing, Listener, Told};
use partition::{Workers, ensure_unclaimed};

/// Reads records, as a member of a group or of partitions of its own choice.
///
/// Made by [`Kafka::consumer`]. Joining, fetching, heartbeats and automatic commits go on in the background; records
/// are handed out by [`poll`](Self::poll) in batches, or one by one by [`try_next`](Self::try_next) and as a [`Stream`].
/// Rebalances are told, and go on, within these calls: a consumer that does not ask for records for
/// `max.poll.interval.ms` is taken out of its group until it asks again.
///
/// What is handed out counts as done with the next call that asks for more: automatic commits cover what was handed out
/// before that call, so that a crash redelivers records and loses none.
///
/// Dropping it leaves the group in the background, in a few seconds at most; [`close`](Self::close) to know.
///
/// # Examples
/// ```no_run
/// # async fn example(kafka: milena::Kafka) -> milena::Result<()> {
/// use std::time::Duration;
///
/// let mut consumer = kafka.consumer("billing").enable_auto_commit(false).subscribe(["orders"]).build().await?;
/// loop {
///     let batch = consumer.poll(Duration::from_secs(1)).await?;
///     for message in &batch {
///         println!("{} => {:?}", message.offset(), message.value());
///     }
///     batch.commit().await?;
///     # if batch.is_empty() { break }
/// }
/// consumer.close(Duration::from_secs(10)).await?;
/// # Ok(()) }
/// ```
#[must_use = "a consumer that is dropped leaves its group"]
pub struct Consumer {
    handle: ConsumerHandle,
    config: ConsumerConfig,
    reader: Reader,
    limits: Limits,
    records_max: usize,
    /// Records of the run at hand that are not counted yet.
    taken: usize,
    /// Topics are subscribed to: partitions come and go by events.
    subscribes: bool,
    /// Who reads the partitions, one by one; `None` as long as the consumer does.
    workers: Option<Workers>,
    listener: Option<Arc<dyn Listener>>,
    /// A rebalance that the listener is told of; a `poll` that was dropped half-way goes on there.
    hearing: Option<Hearing>,
    /// A rebalance that the group waits for, taken by a call that was to leave it; if it was dropped half-way, the next
    /// `poll` answers.
    unanswered: Option<RebalanceId>,
    /// What the listener knows to be assigned.
    owned: BTreeSet<TopicPartition>,
    /// Why the consumer is of no more use: every poll says so.
    failed: Option<Error>,
    /// The stream has said so.
    is_over: bool,
    is_closed: bool,
    kafka: Kafka,
}

impl Consumer {
    fn new(
        handle: ConsumerHandle,
        config: ConsumerConfig,
        subscribes: bool,
        listener: Option<Arc<dyn Listener>>,
        kafka: Kafka,
    ) -> Self {
        let records_max = usize::try_from(config.max_poll_records()).unwrap_or(usize::MAX);
        let fetch_bytes_max = usize::try_from(config.fetch_max_bytes()).unwrap_or(usize::MAX);
        let limits = Limits::of_fetches(fetch_bytes_max);
        let buffer = Arc::clone(&handle.buffer);
        let reader = Reader::new(buffer, records_max, config.check_crcs(), limits);
        Self {
            handle,
            config,
            reader,
            limits,
            records_max,
            taken: 0,
            subscribes,
            workers: None,
            listener,
            hearing: None,
            unanswered: None,
            owned: BTreeSet::new(),
            failed: None,
            is_over: false,
            is_closed: false,
            kafka,
        }
    }

    /// Waits up to `timeout` for records, and hands out up to `max.poll.records` of those that are there. Empty if none
    /// came.
    ///
    /// Dropping the future hands out nothing: no record is lost.
    ///
    /// # Errors
    /// `NoOffset`, `OffsetOutOfRange` or `LogTruncated` of one partition, which stands still until a seek;
    /// `Authorization`, `InvalidRecord` where bytes are damaged; `Closed`; `Misuse` without topics and partitions. A topic
    /// that does not exist is waited for, with a warning in the log, as in Java. Unless it [`is_fatal`](Error::is_fatal), the other partitions go on with the next call.
    /// A fatal one is every later call's too.
    pub async fn poll(&mut self, timeout: Duration) -> Result<Batch, Error> {
        let deadline = after(timeout);
        let buffer = Arc::clone(&self.handle.buffer);
        let counters = Arc::clone(&self.handle.counters);
        let _polling = Polling::enter(&buffer, &counters);
        let mut polled = Polled::new();
        give_way(&buffer).await;
        let arrival = poll_fn(|cx| {
            self.poll_reader(cx, |reader| {
                reader.poll(&mut polled)?;
                Ok(Some(()).filter(|()| !polled.is_empty()))
            })
        });
        match timeout_at(deadline, arrival).await {
            Ok(arrived) => arrived?,
            Err(_) => polled.clear(),
        }
        self.handle.hand_out(&polled);
        Ok(Batch::new(polled, self.handle.clone()))
    }

    /// Waits for the next record; `None` once the consumer is closed by its handle.
    ///
    /// Dropping the future hands out nothing: no record is lost.
    ///
    /// # Errors
    /// As [`poll`](Self::poll).
    pub async fn try_next(&mut self) -> Result<Option<Message>, Error> {
        if let Some(next) = self.next_in_run() {
            return Ok(Some(next));
        }
        let buffer = Arc::clone(&self.handle.buffer);
        let counters = Arc::clone(&self.handle.counters);
        let _polling = Polling::enter(&buffer, &counters);
        give_way(&buffer).await;
        poll_fn(|cx| self.poll_message(cx)).await.transpose()
    }

    /// Remembers that everything of the record's partition up to it is done with; see [`ConsumerHandle::mark`].
    pub fn mark(&self, record: impl Into<Mark>) {
        self.handle.mark(record);
    }

    /// Commits what was marked since the last time; see [`ConsumerHandle::commit_marked`].
    ///
    /// # Errors
    /// As [`ConsumerHandle::commit_marked`].
    pub async fn commit_marked(&self) -> Result<(), Error> {
        self.handle.commit_marked().await
    }

    /// What can be asked from any task: commits, seeks, pauses, positions, closing.
    pub fn handle(&self) -> ConsumerHandle {
        self.handle.clone()
    }

    /// Commits the positions behind everything that was handed out; see [`ConsumerHandle::commit`].
    ///
    /// # Errors
    /// As [`ConsumerHandle::commit`].
    pub async fn commit(&self) -> Result<(), Error> {
        self.handle.commit().await
    }

    /// Commits these offsets; see [`ConsumerHandle::commit_offsets`].
    ///
    /// # Errors
    /// As [`ConsumerHandle::commit`].
    pub async fn commit_offsets<P: Into<TopicPartition>, O: Into<CommittedOffset>>(
        &self,
        offsets: impl IntoIterator<Item = (P, O)>,
    ) -> Result<(), Error> {
        self.handle.commit_offsets(offsets).await
    }

    /// Reads on from `offset`; see [`ConsumerHandle::seek`].
    ///
    /// # Errors
    /// As [`ConsumerHandle::seek`].
    pub async fn seek(
        &self,
        partition: impl Into<TopicPartition>,
        offset: impl Into<CommittedOffset>,
    ) -> Result<(), Error> {
        self.handle.seek(partition, offset).await
    }

    /// What was read and committed so far; see [`ConsumerHandle::metrics`].
    pub fn metrics(&self) -> ConsumerMetrics {
        let mut metrics = self.handle.metrics();
        metrics.records_consumed += u64::try_from(self.taken).unwrap_or(u64::MAX);
        metrics
    }

    /// The configuration in force.
    pub fn config(&self) -> &ConsumerConfig {
        &self.config
    }

    /// Tells the listener that the partitions are revoked, commits where it commits by itself, and leaves the group, in
    /// `timeout` at most. A listener that takes longer is not heard out.
    ///
    /// Dropping the future does not stop the closing.
    ///
    /// # Errors
    /// The last commit's, where it failed; `Closed` where the consumer's task had panicked.
    pub async fn close(self, timeout: Duration) -> Result<(), Error> {
        self.close_with(timeout, GroupMembershipOperation::Default).await
    }

    /// As [`close`](Self::close), and leaves the group or stays in it as `operation` says (KIP-1092): a member that
    /// stays and comes back before its session ends costs the others no rebalance if it is a static one.
    ///
    /// # Errors
    /// Those of [`close`](Self::close).
    pub async fn close_with(
        mut self,
        timeout: Duration,
        operation: GroupMembershipOperation,
    ) -> Result<(), Error> {
        let deadline = after(timeout);
        // What was handed out is done with: nobody asks for more.
        self.handle.buffer.enter_poll(Instant::now().into_std());
        if timeout_at(deadline, self.hand_back()).await.is_err() {
            tracing::warn!("closing without waiting any longer for the listener");
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let closed = self.handle.close_with(left, operation).await;
        self.is_closed = true;
        match closed {
            // A handle was faster; or else nobody knows what became of the last commit.
            Err(error) if error.kind() == ErrorKind::Closed => {
                match self.handle.signals.life.is_over() {
                    true => Ok(()),
                    false => Err(error.with_detail("the consumer's task has panicked")),
                }
            }
            closed => closed,
        }
    }

    /// Tells the listener that he gives everything up, and before that what else he has to hear.
    async fn hand_back(&mut self) {
        if let Some(workers) = &mut self.workers {
            self.handle.buffer.end_claims();
            workers.finish(self.config.max_poll_interval() / 2).await;
        }
        self.hear_out().await;
        let Some(listener) = self.listener.clone() else { return };
        if self.handle.buffer.is_closed() {
            return;
        }
        let handle = self.handle.clone();
        while let Some(event) = self.handle.buffer.take_event() {
            // What he has not heard to be assigned he need not give up.
            let Event::Rebalance(Rebalance { id, change, partitions, .. }) = event else {
                continue;
            };
            self.unanswered = Some(id);
            let partitions: Vec<_> =
                partitions.into_iter().filter(|tp| self.owned.remove(tp)).collect();
            if change != Change::Assigned && !partitions.is_empty() {
                let listener = Arc::clone(&listener);
                self.hearing =
                    Some(Hearing::new(listener.hear(change, handle.clone(), partitions)));
                self.hear_out().await;
            }
        }
        let partitions: Vec<_> = std::mem::take(&mut self.owned).into_iter().collect();
        if !partitions.is_empty() {
            self.hearing = Some(Hearing::new(listener.hear(Change::Revoked, handle, partitions)));
            self.hear_out().await;
        }
    }

    /// Waits for the listener; dropped half-way, whoever comes next goes on where it was.
    async fn hear_out(&mut self) {
        if let Some(hearing) = &mut self.hearing {
            poll_fn(|cx| hearing.poll(cx)).await;
            self.hearing = None;
            self.handle.buffer.end_hearing();
        }
    }

    /// The next record, where nothing has happened since the last one; takes no lock.
    #[inline]
    fn next_in_run(&mut self) -> Option<Message> {
        let (partition, record, stay) = self.reader.next_in_run()?;
        self.taken += 1;
        Some(self.intercepted(Message::new(partition, record, stay)))
    }

    #[inline]
    fn intercepted(&self, message: Message) -> Message {
        if let Some(chain) = &self.handle.interceptors {
            chain.on_message(&message);
        }
        message
    }

    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Message, Error>>> {
        match ready!(self.poll_reader(cx, Reader::poll_one)) {
            Ok((partition, record, stay)) => {
                self.handle.counters.handed_out(std::mem::take(&mut self.taken) + 1);
                Poll::Ready(Some(Ok(self.intercepted(Message::new(partition, record, stay)))))
            }
            Err(error) if error.kind() == ErrorKind::Closed => Poll::Ready(None),
            Err(error) => Poll::Ready(Some(Err(error))),
        }
    }

    /// Tells what the user must hear of before anything else.
    fn poll_events(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        loop {
            if let Some(hearing) = &mut self.hearing {
                // Others wait for the partitions of a listener that hangs, however often its consumer is polled.
                self.handle.buffer.begin_hearing(Instant::now().into_std());
                ready!(hearing.poll(cx));
                self.hearing = None;
                self.handle.buffer.end_hearing();
            }
            if let Some(id) = self.unanswered.take() {
                self.hearing = Some(Hearing::new(Box::pin(acknowledge(self.handle.clone(), id))));
                continue;
            }
            if let Some(event) = self.handle.buffer.take_event() {
                // What is about a partition that has a reader of its own is for him to hear.
                let Some(event) = self.handle.buffer.pass_on(event) else { continue };
                match event {
                    Event::Rebalance(rebalance) => {
                        self.hearing = Some(Hearing::new(self.hear(rebalance)))
                    }
                    Event::PollIntervalExceeded { limit, .. } => {
                        tracing::warn!(?limit, "left the group: no poll for max.poll.interval.ms");
                        self.handle.counters.polled_late();
                        self.hearing = self
                            .listener
                            .clone()
                            .map(|listener| Hearing::new(listener.late(limit)));
                    }
                    Event::Stalled { partition, position, end, waited, .. } => {
                        let position = position.map(|position| position.offset);
                        tracing::warn!(%partition, ?position, ?end, ?waited, "behind, and no progress");
                        self.handle.counters.stalled();
                        let stall = Stall { partition, position, end, waited };
                        let (listener, handle) = (self.listener.clone(), self.handle.clone());
                        self.hearing =
                            listener.map(|listener| Hearing::new(listener.stall(handle, stall)));
                    }
                    event => match error_of(event) {
                        // Told below, once the listener has heard what came with it. The first one is the cause.
                        Some(error) if error.is_fatal() => drop(self.failed.get_or_insert(error)),
                        Some(error) => return Poll::Ready(Err(error)),
                        None => {}
                    },
                }
                continue;
            }
            return match &self.failed {
                Some(failed) => Poll::Ready(Err(failed.clone())),
                None => Poll::Ready(Ok(())),
            };
        }
    }

    /// Hands out what is there: first what the user must hear of, then what `read` takes.
    fn poll_reader<T>(
        &mut self,
        cx: &mut Context<'_>,
        mut read: impl FnMut(&mut Reader) -> Result<Option<T>, Error>,
    ) -> Poll<Result<T, Error>> {
        ensure_unclaimed(self.workers.as_ref())?;
        loop {
            ready!(self.poll_events(cx))?;
            if let Some(taken) = read(&mut self.reader)? {
                return Poll::Ready(Ok(taken));
            }
            if self.handle.buffer.is_closed() {
                return Poll::Ready(Err(Error::closed().during(Operation::Poll)));
            }
            ready!(self.handle.buffer.poll_ready(cx));
        }
    }

    /// Tells the listener, and then the machine that he was told.
    fn hear(&mut self, rebalance: Rebalance) -> Told {
        let (handle, listener) = (self.handle.clone(), self.listener.clone());
        let Rebalance { id, change, partitions, .. } = rebalance;
        let mut workers = Workers::default();
        if let Some(all) = &mut self.workers {
            let taken = all.take(&partitions);
            if change == Change::Revoked {
                workers = taken;
            }
        }
        // The group waits for all of it, so that time must be left for commits and for joining.
        let limit = self.config.max_poll_interval() / 2;
        match change {
            Change::Assigned => self.handle.counters.assigned(),
            Change::Lost => self.handle.counters.lost(),
            Change::Revoked => {}
        }
        match change {
            Change::Assigned => self.owned.extend(partitions.iter().cloned()),
            Change::Revoked | Change::Lost => self.owned.retain(|tp| !partitions.contains(tp)),
        }
        tracing::info!(?change, ?partitions, "rebalance");
        Box::pin(async move {
            workers.finish(limit).await;
            if let Some(listener) = listener {
                listener.hear(change, handle.clone(), partitions).await;
            }
            acknowledge(handle, id).await;
        })
    }
}

impl Stream for Consumer {
    type Item = Result<Message, Error>;

    /// The next record; ends once the consumer is closed by its handle, or behind an error that is fatal. The consumer
    /// counts as polling from the first call that found nothing to the next that found something.
    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.is_over {
            return Poll::Ready(None);
        }
        if let Some(next) = this.next_in_run() {
            return Poll::Ready(Some(Ok(next)));
        }
        if this.handle.buffer.take_woken() {
            cx.waker().wake_by_ref();
            return Poll::Pending;
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

impl Drop for Consumer {
    fn drop(&mut self) {
        if !self.is_closed {
            self.handle.signals.life.abandon();
        }
    }
}

impl fmt::Debug for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer")
            .field("group_id", &self.config.group_id())
            .field("kafka", &self.kafka)
            .field("positions", &self.handle.positions())
            .finish_non_exhaustive()
    }
}

/// Tells the machine that everybody has heard of the rebalance.
async fn acknowledge(handle: ConsumerHandle, id: RebalanceId) {
    let acknowledge = move |machine: &mut Machine, now| machine.acknowledge(now, id);
    // Closed in the meantime: nobody waits for it.
    let _ = handle.call(Operation::Subscribe, acknowledge).await;
}

/// Lets the driver run that the user's task has woken: a runtime may have it wait for this very thread.
async fn give_way(buffer: &FetchBuffer) {
    if buffer.take_woken() {
        tokio::task::yield_now().await;
    }
}

/// The user asks for records for as long as this lives.
struct Polling<'a>(&'a FetchBuffer, &'a Counters, Instant);

impl<'a> Polling<'a> {
    fn enter(buffer: &'a FetchBuffer, counters: &'a Counters) -> Self {
        let now = Instant::now();
        buffer.enter_poll(now.into_std());
        Self(buffer, counters, now)
    }
}

impl Drop for Polling<'_> {
    fn drop(&mut self) {
        self.0.leave_poll(Instant::now().into_std());
        self.1.waited(self.2);
    }
}

/// The error that an event comes to; `None` for one that is none.
fn error_of(event: Event) -> Option<Error> {
    match event {
        Event::Error(error) => Some(error),
        Event::Truncated { partition, position, diverged_at, .. } => {
            let detail = match diverged_at {
                Some(end) => format!(
                    "the log was cut below {}: it parts from what was read at {}",
                    position.offset, end.offset
                ),
                None => format!("the log was cut below {}", position.offset),
            };
            let error = Error::new(ErrorKind::LogTruncated).with_detail(detail);
            Some(error.during(Operation::Fetch).with_partition(&partition))
        }
        Event::Recreated { partition, position, .. } => {
            let detail = format!(
                "the topic was deleted and made anew; it was read up to {}",
                position.offset
            );
            let error = Error::new(ErrorKind::LogTruncated).with_detail(detail);
            Some(error.during(Operation::Fetch).with_partition(&partition))
        }
        _ => None,
    }
}
