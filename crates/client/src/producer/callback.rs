//! A record whose acknowledgement goes to a function.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use milena_engine::Error;
use milena_engine::producer::{RecordMetadata, Watch};

use super::outgoing::{Outgoing, try_enqueue};
use super::send::{Enqueue, Sending};
use super::{Send, TryEnqueueError};

/// A record about to be sent, with a function that gets its acknowledgement; see [`Send::on_ack`].
#[must_use = "nothing is sent before it is awaited, enqueued or detached"]
#[derive(Debug)]
pub struct SendWithCallback<'a>(pub(super) Outgoing<'a>);

impl<'a> SendWithCallback<'a> {
    pub(super) fn new<F>(mut outgoing: Outgoing<'a>, callback: F) -> Self
    where
        F: FnOnce(Result<RecordMetadata, Error>) + std::marker::Send + 'static,
    {
        outgoing.watch = Watch::Callback(Box::new(move |result| {
            guarded("callback of a record", || callback(result));
        }));
        Self(outgoing)
    }

    /// Waits only until the record is admitted to the send buffer.
    ///
    /// Dropping the future before it is ready sends nothing and calls nothing.
    ///
    /// # Errors
    /// As [`Producer::send`](super::Producer::send) where the record is not admitted; the callback was called with the
    /// same error by then.
    pub fn enqueue(self) -> EnqueueWithCallback<'a> {
        EnqueueWithCallback(Enqueue::new(self.0))
    }

    /// Admits the record if that can be done at once; gives it back otherwise, and drops the callback uncalled.
    ///
    /// # Errors
    /// As [`Producer::try_enqueue`](super::Producer::try_enqueue).
    #[expect(clippy::result_large_err, reason = "the record is handed back without an allocation")]
    pub fn try_enqueue(self) -> Result<(), TryEnqueueError<'a>> {
        let Outgoing { producer, record, watch, failed } = self.0;
        try_enqueue(producer, record, watch, failed).map(drop)
    }

    /// Waits for nothing; the callback gets the failure, too, where the record is not admitted.
    ///
    /// As [`Send::detach`], but a failure is the callback's to count and log.
    pub fn detach(self) {
        self.0.detach();
    }
}

impl<'a> IntoFuture for SendWithCallback<'a> {
    type Output = Result<RecordMetadata, Error>;
    type IntoFuture = Sending<'a>;

    fn into_future(self) -> Sending<'a> {
        Send(self.0).into_future()
    }
}

/// Resolves once a record with a callback is admitted to the send buffer; see [`SendWithCallback::enqueue`].
#[must_use = "nothing is sent before it is polled"]
#[derive(Debug)]
pub struct EnqueueWithCallback<'a>(Enqueue<'a>);

impl Future for EnqueueWithCallback<'_> {
    type Output = Result<(), Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map_ok(drop)
    }
}

/// Runs code of the user's; a panic in it is logged, and `None`.
pub(crate) fn guarded<T>(what: &'static str, call: impl FnOnce() -> T) -> Option<T> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(result) => Some(result),
        Err(payload) => {
            tracing::error!(what, panic = words(&*payload), "panicked");
            None
        }
    }
}

fn words(payload: &(dyn Any + std::marker::Send)) -> &str {
    match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(words), _) => words,
        (None, Some(words)) => words,
        (None, None) => "no words",
    }
}
