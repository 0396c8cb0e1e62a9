//! The ways to send one record.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use milena_engine::Error;
use milena_engine::producer::{Delivery, RecordMetadata, Refused, Watch};

use super::outgoing::{Outgoing, try_enqueue};
use super::{Producer, Record, SendWithCallback, TryEnqueueError};
use crate::driver::turn;

/// A record about to be sent; see [`Producer::send`].
#[must_use = "nothing is sent before it is awaited, enqueued or detached"]
#[derive(Debug)]
pub struct Send<'a>(pub(super) Outgoing<'a>);

impl<'a> Send<'a> {
    #[inline]
    pub(super) fn new(producer: &'a Producer, record: Record<'a>) -> Self {
        Self::failing(producer, record, None)
    }

    /// A record that is not worth sending if `failed` says why.
    pub(super) fn failing(
        producer: &'a Producer,
        record: Record<'a>,
        failed: Option<Error>,
    ) -> Self {
        Self(Outgoing { producer, record, watch: Watch::Nobody, failed })
    }

    /// Waits only until the record is admitted to the send buffer; the [`Delivery`] resolves with the acknowledgement.
    ///
    /// Dropping the future before it is ready sends nothing.
    #[inline]
    pub fn enqueue(self) -> Enqueue<'a> {
        Enqueue::new(self.0)
    }

    /// Admits the record if that can be done at once; gives it back otherwise.
    ///
    /// # Errors
    /// As [`Producer::try_enqueue`].
    #[expect(clippy::result_large_err, reason = "the record is handed back without an allocation")]
    pub fn try_enqueue(self) -> Result<Delivery, TryEnqueueError<'a>> {
        let Outgoing { producer, record, watch, failed } = self.0;
        try_enqueue(producer, record, watch, failed)
    }

    /// Has `callback` called once with the acknowledgement, or with why there is none.
    ///
    /// Callbacks of one partition are called in the order of its offsets, by the producer's own task: one that takes
    /// long delays the producer, as in Java, and one that panics is logged and harms nobody. It may send with
    /// [`detach`](Self::detach) or [`try_enqueue`](Self::try_enqueue); no lock is held. A record that is not admitted
    /// calls it too, from the task that sent; one whose future is dropped before it is admitted does not.
    ///
    /// # Examples
    /// ```no_run
    /// # async fn example(producer: milena::Producer) -> milena::Result<()> {
    /// use milena::Record;
    ///
    /// let record = Record::to("orders").key("o-1").value("hi");
    /// let sent = producer.send(record).on_ack(|result| match result {
    ///     Ok(stored) => println!("partition {}, offset {:?}", stored.partition(), stored.offset()),
    ///     Err(error) => eprintln!("{error}: {}", error.fate()),
    /// });
    /// sent.enqueue().await?;
    /// # Ok(()) }
    /// ```
    pub fn on_ack<F>(self, callback: F) -> SendWithCallback<'a>
    where
        F: FnOnce(Result<RecordMetadata, Error>) + std::marker::Send + 'static,
    {
        SendWithCallback::new(self.0, callback)
    }

    /// Waits for nothing: the record is admitted at once, or in the background for up to `max.block.ms`.
    ///
    /// A failure is counted in [`Producer::metrics`] and logged at `warn`, with one line a second at most. Records
    /// detached one after another to a topic are admitted in that order, also where they wait; what is sent in another
    /// way meanwhile may overtake them. 1,024 wait at most, and more fail. Must be called within a tokio runtime.
    pub fn detach(mut self) {
        self.0.watch = Watch::Detached;
        self.0.detach();
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
    New(Option<Outgoing<'a>>),
    /// The slow way, which alone allocates.
    Waiting(Pin<Box<dyn Future<Output = Result<Delivery, Error>> + std::marker::Send + 'a>>),
}

impl<'a> Enqueue<'a> {
    #[inline]
    pub(super) fn new(outgoing: Outgoing<'a>) -> Self {
        Self(Admission::New(Some(outgoing)))
    }
}

impl Future for Enqueue<'_> {
    type Output = Result<Delivery, Error>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            match &mut self.0 {
                Admission::New(new) => {
                    let Some(outgoing) = new else {
                        let rule = "a send must not be polled once resolved";
                        return Poll::Ready(Err(Error::misuse(rule)));
                    };
                    if turn::take() {
                        if outgoing.producer.0.control.pace().is_due()
                            && let Some(outgoing) = new.take()
                        {
                            self.0 = Admission::Waiting(Box::pin(outgoing.rest()));
                            continue;
                        }
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                    // Where it is: moving a record costs as much as writing it into its batch.
                    let refused = match outgoing.begin() {
                        Ok(delivery) => {
                            *new = None;
                            return Poll::Ready(Ok(delivery));
                        }
                        Err(Refused::Failed(error)) => {
                            outgoing.fail(&error);
                            *new = None;
                            return Poll::Ready(Err(error));
                        }
                        Err(refused) => refused,
                    };
                    let Some(outgoing) = new.take() else { continue };
                    self.0 = Admission::Waiting(Box::pin(outgoing.admit(refused)));
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
