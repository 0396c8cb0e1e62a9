//! One stream of records for each partition.

use std::collections::BTreeMap;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::Stream;
use milena_engine::consumer::{Claimed, CommittedOffset, Polled, Reader, Stay};
use milena_engine::{Error, Operation};
use milena_types::{Offset, TopicPartition};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::{Batch, Consumer, ConsumerHandle, Mark, Message, Polling, error_of};
use crate::driver::consumer::Read;

/// The records of one partition, for as long as the consumer keeps it; made by [`Consumer::next_partition`].
///
/// It ends (with `None`) when the partition is revoked or lost, or the consumer closes; what was fetched by then and not
/// handed out is never handed out. A group that takes the partition away waits until the stream is dropped, so that
/// what was worked off can be committed first: drop it once it has ended.
///
/// What was handed out counts as done with the next call that asks for more. A stream that is dropped before it has
/// ended gives its partition back: [`Consumer::next_partition`] hands out another one, which begins with what was in
/// hand.
///
/// A reader that is slow holds up its own partition only: little more of it is fetched than what waits.
#[must_use = "a partition whose stream is dropped is read by nobody"]
pub struct PartitionStream {
    partition: TopicPartition,
    stay: Stay,
    reader: Reader,
    records_max: usize,
    handle: ConsumerHandle,
    is_over: bool,
    /// Its end tells the consumer that nobody works on the partition any more.
    _working: oneshot::Sender<()>,
}

impl Consumer {
    /// Waits for a partition to read: one stream for each that is assigned, and another one whenever it comes back.
    /// `None` once the consumer is closed by its handle.
    ///
    /// From the first call on records are handed out by these streams alone. The consumer counts as polling while this
    /// waits: rebalances go on within, and the listener is called within, so keep calling it. A worker that hangs holds
    /// up its own partition, and a rebalance that takes it away for half of `max.poll.interval.ms`.
    ///
    /// Dropping the future loses nothing.
    ///
    /// # Errors
    /// As [`poll`](Self::poll), but what concerns one partition is told by its stream.
    ///
    /// # Examples
    /// ```no_run
    /// # async fn example(mut consumer: milena::Consumer) -> milena::Result<()> {
    /// use milena::PartitionStream;
    ///
    /// async fn work(mut partition: PartitionStream) -> milena::Result<()> {
    ///     while let Some(message) = partition.try_next().await? {
    ///         println!("{} {}", message.topic_partition(), message.offset());
    ///         partition.mark(&message);
    ///     }
    ///     // It was taken away: the last word before another member reads on.
    ///     partition.commit_marked().await
    /// }
    ///
    /// while let Some(partition) = consumer.next_partition().await? {
    ///     tokio::spawn(work(partition));
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn next_partition(&mut self) -> Result<Option<PartitionStream>, Error> {
        let buffer = Arc::clone(&self.handle.buffer);
        let counters = Arc::clone(&self.handle.counters);
        let _polling = Polling::enter(&buffer, &counters);
        if self.workers.is_none() {
            self.reader.put_back();
            self.workers = Some(Workers::default());
        }
        poll_fn(|cx| self.poll_partition(cx)).await
    }

    fn poll_partition(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<PartitionStream>, Error>> {
        loop {
            ready!(self.poll_events(cx))?;
            if self.handle.buffer.is_closed() {
                return Poll::Ready(Ok(None));
            }
            // The listener hears of a partition before anybody reads it.
            let (owned, subscribes) = (&self.owned, self.subscribes);
            let may = |tp: &TopicPartition| !subscribes || owned.contains(tp);
            if let Some((partition, stay)) = self.handle.buffer.claim(may) {
                return Poll::Ready(Ok(Some(self.stream_of(partition, stay))));
            }
            ready!(self.handle.buffer.poll_ready(cx));
        }
    }

    fn stream_of(&mut self, partition: TopicPartition, stay: Stay) -> PartitionStream {
        let (working, ended) = oneshot::channel();
        if let Some(workers) = &mut self.workers {
            workers.0.insert(partition.clone(), ended);
        }
        let buffer = Arc::clone(&self.handle.buffer);
        let claim = (partition.clone(), stay);
        let check_crcs = self.config.check_crcs();
        PartitionStream {
            reader: Reader::of_claimed(buffer, claim, self.records_max, check_crcs, self.limits),
            partition,
            stay,
            records_max: self.records_max,
            handle: self.handle.clone(),
            is_over: false,
            _working: working,
        }
    }
}

impl PartitionStream {
    /// The partition.
    pub fn topic_partition(&self) -> &TopicPartition {
        &self.partition
    }

    /// Waits for the next record; `None` once the partition is not this consumer's any more.
    ///
    /// Dropping the future hands out nothing: no record is lost.
    ///
    /// # Errors
    /// `NoOffset`, `OffsetOutOfRange` or `LogTruncated`, after which the partition stands still until a seek;
    /// `Authorization`; `InvalidRecord` where bytes are damaged. The stream can be asked again after any of them.
    pub async fn try_next(&mut self) -> Result<Option<Message>, Error> {
        poll_fn(|cx| self.poll_message(cx)).await.transpose()
    }

    /// Waits for records, and hands out up to `max.poll.records` of those that are there; `None` once the partition is
    /// not this consumer's any more. Costs less a record than [`try_next`](Self::try_next).
    ///
    /// Dropping the future hands out nothing: no record is lost.
    ///
    /// # Errors
    /// As [`try_next`](Self::try_next).
    pub async fn next_batch(&mut self) -> Result<Option<Batch>, Error> {
        let (mut polled, records_max) = (Polled::new(), self.records_max);
        let arrival = poll_fn(|cx| self.poll_records(cx, records_max, &mut polled));
        let is_there = arrival.await?;
        self.handle.hand_out(&polled);
        Ok(is_there.then(|| Batch::new(polled, self.handle.clone())))
    }

    /// Remembers that everything up to the record is done with; see [`ConsumerHandle::mark`].
    pub fn mark(&self, record: impl Into<Mark>) {
        self.handle.mark(record);
    }

    /// Commits what was marked since the last time, of all partitions; see [`ConsumerHandle::commit_marked`].
    ///
    /// # Errors
    /// As [`ConsumerHandle::commit_marked`].
    pub async fn commit_marked(&self) -> Result<(), Error> {
        self.handle.commit_marked().await
    }

    /// Commits the position behind everything that this stream handed out, and waits until it is stored. Of a partition
    /// that is about to be revoked this is possible until the stream is dropped.
    ///
    /// # Errors
    /// As [`ConsumerHandle::commit`]; `Rebalanced` also where the partition was lost, or has come back since.
    pub async fn commit(&self) -> Result<(), Error> {
        let (buffer, partition, stay) =
            (Arc::clone(&self.handle.buffer), self.partition.clone(), self.stay);
        let read = move || {
            let mut read = Read::default();
            if let Some(position) = buffer.position(&partition) {
                let mut end = CommittedOffset::new(position.offset);
                end.leader_epoch = position.leader_epoch;
                read.put(partition, end, stay);
            } else {
                read.stays.insert(partition, stay);
            }
            read
        };
        self.handle.commit_read(Box::new(read)).await
    }

    /// The next offset to hand out; `None` where it is not known yet, or the partition is gone.
    pub fn position(&self) -> Option<Offset> {
        let buffer = &self.handle.buffer;
        let is_mine = buffer.stay(&self.partition) == Some(self.stay);
        buffer.position(&self.partition).filter(|_| is_mine).map(|position| position.offset)
    }

    /// How many offsets lie between the position and the end of the log; see [`ConsumerHandle::lag`].
    pub fn lag(&self) -> Option<u64> {
        self.handle.lag_of(&self.partition)
    }

    /// The consumer's handle: pauses, seeks, commits.
    pub fn handle(&self) -> &ConsumerHandle {
        &self.handle
    }

    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Message, Error>>> {
        let mut polled = Polled::new();
        match ready!(self.poll_records(cx, 1, &mut polled)) {
            Ok(true) => {
                self.handle.hand_out(&polled);
                Poll::Ready(Message::first(&mut polled).map(Ok))
            }
            Ok(false) => Poll::Ready(None),
            Err(error) => Poll::Ready(Some(Err(error))),
        }
    }

    /// Hands out what is there; false once the partition is gone.
    fn poll_records(
        &mut self,
        cx: &mut Context<'_>,
        records_max: usize,
        polled: &mut Polled,
    ) -> Poll<Result<bool, Error>> {
        if self.is_over {
            return Poll::Ready(Ok(false));
        }
        let buffer = Arc::clone(&self.handle.buffer);
        buffer.return_claimed(&self.partition, self.stay);
        self.reader.set_records_max(records_max);
        loop {
            self.reader.poll(polled)?;
            if !polled.is_empty() {
                return Poll::Ready(Ok(true));
            }
            match ready!(buffer.poll_claimed(cx, &self.partition, self.stay)) {
                Claimed::Ready => {}
                Claimed::Event(event) => {
                    if let Some(error) = error_of(event) {
                        return Poll::Ready(Err(error));
                    }
                }
                Claimed::Over => {
                    self.is_over = true;
                    return Poll::Ready(Ok(false));
                }
            }
        }
    }
}

impl Stream for PartitionStream {
    type Item = Result<Message, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_message(cx)
    }
}

impl Drop for PartitionStream {
    fn drop(&mut self) {
        self.reader.put_back();
        self.handle.buffer.unclaim(&self.partition, self.stay);
    }
}

impl fmt::Debug for PartitionStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PartitionStream")
            .field("partition", &format_args!("{}", self.partition))
            .field("position", &self.position().map(Offset::get))
            .field("is_over", &self.is_over)
            .finish_non_exhaustive()
    }
}

/// Ends when the last reader of each partition is gone.
#[derive(Debug, Default)]
pub(super) struct Workers(BTreeMap<TopicPartition, oneshot::Receiver<()>>);

impl Workers {
    /// Those who work on `partitions`.
    pub(super) fn take(&mut self, partitions: &[TopicPartition]) -> Self {
        let taken = partitions.iter().filter_map(|tp| self.0.remove_entry(tp));
        Self(taken.collect())
    }

    /// Waits until they are done, for `limit` at most; then there are none. Dropped, it leaves those it waits for.
    pub(super) async fn finish(&mut self, limit: Duration) {
        let finish = async {
            while let Some(mut worker) = self.0.first_entry() {
                tracing::debug!(partition = %worker.key(), "waiting for who reads the partition");
                let _ = worker.get_mut().await;
                worker.remove();
            }
        };
        if timeout(limit, finish).await.is_err() {
            tracing::warn!(
                ?limit,
                "going on without those who still hold their partition's stream"
            );
            self.0.clear();
        }
    }
}

/// A consumer whose partitions have streams hands out nothing in another way.
pub(super) fn ensure_unclaimed(workers: Option<&Workers>) -> Result<(), Error> {
    match workers {
        None => Ok(()),
        Some(_) => {
            let rule = "records are handed out by the streams of `next_partition`";
            Err(Error::misuse(rule).during(Operation::Poll))
        }
    }
}
