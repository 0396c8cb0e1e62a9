//! One record on its way to the send buffer and on to its acknowledgement.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use milena_engine::producer::{Delivery, NewRecord, RecordMetadata, Refused};
use milena_engine::{Error, Operation};
use tokio::time::{Instant, timeout_at};

use super::{Producer, Record};
use crate::driver::producer::report;

/// A record about to be sent; see [`Producer::send`].
#[must_use = "nothing is sent before it is awaited, enqueued or detached"]
#[derive(Debug)]
pub struct Send<'a> {
    producer: &'a Producer,
    record: Record<'a>,
}

impl<'a> Send<'a> {
    pub(super) fn new(producer: &'a Producer, record: Record<'a>) -> Self {
        Self { producer, record }
    }

    /// Waits only until the record is admitted to the send buffer; the [`Delivery`] resolves with the acknowledgement.
    ///
    /// Dropping the future before it is ready sends nothing.
    pub fn enqueue(self) -> Enqueue<'a> {
        Enqueue(Admission::New(Some(self)))
    }

    /// Waits for nothing: the record is admitted at once, or in the background for up to `max.block.ms`. A failure is
    /// logged.
    ///
    /// Must be called within a tokio runtime.
    pub fn detach(self) {
        match try_enqueue(self.producer, self.record) {
            // The batch is stored whether or not anyone holds a share of its result.
            Ok(delivery) => drop(delivery),
            Err(refused) if refused.may_pass => {
                let producer = self.producer.clone();
                let record = refused.record.into_owned();
                self.producer.0.control.spawn_detached(async move {
                    let delivery = producer.send(record).enqueue().await?;
                    delivery.await.map(drop)
                });
            }
            Err(refused) => report(&refused.error),
        }
    }
}

impl<'a> IntoFuture for Send<'a> {
    type Output = Result<RecordMetadata, Error>;
    type IntoFuture = Sending<'a>;

    fn into_future(self) -> Sending<'a> {
        Sending(Stage::Admitting(self.enqueue()))
    }
}

/// Resolves with a record's acknowledgement; see [`Producer::send`].
#[must_use = "nothing is sent before it is polled"]
#[derive(Debug)]
pub struct Sending<'a>(Stage<'a>);

#[derive(Debug)]
enum Stage<'a> {
    Admitting(Enqueue<'a>),
    Delivering(Delivery),
}

impl Future for Sending<'_> {
    type Output = Result<RecordMetadata, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            match &mut self.0 {
                Stage::Admitting(admission) => match Pin::new(admission).poll(cx) {
                    Poll::Ready(Ok(delivery)) => self.0 = Stage::Delivering(delivery),
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => return Poll::Pending,
                },
                Stage::Delivering(delivery) => return Pin::new(delivery).poll(cx),
            }
        }
    }
}

/// Resolves once a record is admitted to the send buffer; see [`Send::enqueue`].
#[must_use = "nothing is sent before it is polled"]
#[derive(Debug)]
pub struct Enqueue<'a>(Admission<'a>);

enum Admission<'a> {
    New(Option<Send<'a>>),
    /// The slow way, which alone allocates.
    Waiting(Pin<Box<dyn Future<Output = Result<Delivery, Error>> + std::marker::Send + 'a>>),
}

impl Future for Enqueue<'_> {
    type Output = Result<Delivery, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            match &mut self.0 {
                Admission::New(send) => {
                    let Some(Send { producer, record }) = send.take() else {
                        let rule = "a send must not be polled once resolved";
                        return Poll::Ready(Err(Error::misuse(rule)));
                    };
                    let refused = match append(producer, &record, None) {
                        Ok(delivery) => return Poll::Ready(Ok(delivery)),
                        Err(Refused::Failed(error)) => return Poll::Ready(Err(error)),
                        Err(refused) => refused,
                    };
                    self.0 = Admission::Waiting(Box::pin(admit(producer, record, refused)));
                }
                Admission::Waiting(waiting) => return waiting.as_mut().poll(cx),
            }
        }
    }
}

impl fmt::Debug for Admission<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::New(_) => "New",
            Self::Waiting(_) => "Waiting",
        })
    }
}

/// Why a record was not admitted at once, with the record.
pub struct TryEnqueueError<'a> {
    record: Record<'a>,
    error: Error,
    may_pass: bool,
}

impl<'a> TryEnqueueError<'a> {
    /// The record, to be sent another time.
    pub fn into_record(self) -> Record<'a> {
        self.record
    }

    /// Why it was not admitted.
    pub fn error(&self) -> &Error {
        &self.error
    }

    /// The record and the reason.
    pub fn into_parts(self) -> (Record<'a>, Error) {
        (self.record, self.error)
    }
}

impl fmt::Debug for TryEnqueueError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TryEnqueueError")
            .field("record", &self.record)
            .field("error", &self.error)
            .finish()
    }
}

impl fmt::Display for TryEnqueueError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for TryEnqueueError<'_> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error.source()
    }
}

impl From<TryEnqueueError<'_>> for Error {
    fn from(refused: TryEnqueueError<'_>) -> Self {
        refused.error
    }
}

#[expect(clippy::result_large_err, reason = "the record is handed back without an allocation")]
pub(super) fn try_enqueue<'a>(
    producer: &Producer,
    record: Record<'a>,
) -> Result<Delivery, TryEnqueueError<'a>> {
    let (error, may_pass) = match append(producer, &record, None) {
        Ok(delivery) => return Ok(delivery),
        Err(Refused::Failed(error)) => (error, false),
        Err(Refused::NoRoom { .. }) => (Error::buffer_full(std::time::Duration::ZERO), true),
        Err(_) => {
            producer.0.control.wake();
            let unknown = Error::new(milena_engine::ErrorKind::Timeout);
            let detail = "the partitions of the topic are not known yet";
            (unknown.with_detail(detail).with_fate(milena_engine::Fate::NotStored), true)
        }
    };
    let error = error.during(Operation::Send).with_topic(record.topic());
    Err(TryEnqueueError { record, error, may_pass })
}

/// Writes the record into its batch, if that can be done now.
fn append(
    producer: &Producer,
    record: &Record<'_>,
    grant: Option<milena_engine::producer::Grant>,
) -> Result<Delivery, Refused> {
    let control = &producer.0.control;
    let now = Instant::now();
    let accumulator = control.accumulator();
    let topic = accumulator.topic(record.topic());
    let new = NewRecord {
        partition: record.fixed_partition(),
        timestamp: record.fixed_timestamp().unwrap_or_else(|| producer.0.kafka.clock().wall(now)),
        key: record.key_bytes(),
        value: record.value_bytes(),
        headers: record.headers(),
    };
    let appended = accumulator.try_append(&topic, &new, grant, || now.into_std())?;
    if appended.wake {
        control.wake();
    }
    Ok(appended.delivery)
}

/// Waits for what stands in the way, in turn, for `max.block.ms` in all.
async fn admit(
    producer: &Producer,
    record: Record<'_>,
    mut refused: Refused,
) -> Result<Delivery, Error> {
    let limit = producer.0.config.max_block();
    let deadline = Instant::now() + limit;
    let control = &producer.0.control;
    let accumulator = control.accumulator();
    loop {
        let mut grant = None;
        match refused {
            Refused::NoRoom { bytes } => {
                let room = accumulator.room(bytes);
                control.wake();
                let full = |_| Error::buffer_full(limit).during(Operation::Send);
                grant = Some(timeout_at(deadline, room).await.map_err(full)?);
            }
            Refused::Failed(error) => return Err(error),
            _ => {
                let topic = accumulator.topic(record.topic());
                let ready = accumulator.topic_ready(&topic, record.fixed_partition());
                control.wake();
                match timeout_at(deadline, ready).await {
                    Ok(ready) => ready?,
                    Err(_) => return Err(producer.0.kafka.late(topic.name(), limit)),
                }
            }
        }
        match append(producer, &record, grant) {
            Ok(delivery) => return Ok(delivery),
            Err(another) => refused = another,
        }
    }
}
