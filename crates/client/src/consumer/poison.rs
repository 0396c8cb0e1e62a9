//! What becomes of records that cannot be read, or worked off.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use milena_engine::Error;
use milena_types::Topic;

use super::Message;
use crate::{Producer, Record, RecordMetadata};

/// Deals with records that cannot be read; see [`TypedConsumer::on_poison`](crate::TypedConsumer::on_poison).
///
/// # Examples
/// ```
/// use milena::{Error, Message, PoisonHandler};
///
/// /// Stops at the third one.
/// #[derive(Default)]
/// struct AtMostTwo(std::sync::atomic::AtomicU32);
///
/// impl PoisonHandler for AtMostTwo {
///     async fn handle(&self, _: &Message, error: &Error) -> milena::Result<()> {
///         match self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
///             0 | 1 => Ok(()),
///             _ => Err(error.clone()),
///         }
///     }
/// }
/// ```
pub trait PoisonHandler: Send + Sync + 'static {
    /// Takes care of `message`, which `error` says cannot be read. It counts as in the user's hand meanwhile: its offset
    /// is committed after this at the earliest.
    ///
    /// # Errors
    /// Given to the user, and the record comes again.
    fn handle(
        &self,
        message: &Message,
        error: &Error,
    ) -> impl Future<Output = Result<(), Error>> + Send;
}

/// Leaves records out that cannot be read, with a warning in the log.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "there is nothing to set")]
pub struct SkipPoison;

impl PoisonHandler for SkipPoison {
    async fn handle(&self, message: &Message, error: &Error) -> Result<(), Error> {
        tracing::warn!(
            topic = message.topic().as_str(),
            partition = message.partition(),
            offset = message.offset().get(),
            %error,
            "record skipped"
        );
        Ok(())
    }
}

/// Stores records that nobody can do anything with in a topic of their own, with the reason in headers.
///
/// A record keeps its key, value, headers and time. Behind its headers come, as text, `__milena.errors.topic`,
/// `__milena.errors.partition`, `__milena.errors.offset`, `__milena.errors.kind` (of an [`Error`]) and
/// `__milena.errors.message`, with all causes. It is stored before the consumer goes on, so that a crash in between
/// stores it twice rather than not at all.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    topic: Topic,
    producer: Producer,
}

impl DeadLetter {
    /// Stores them in `topic`, through `producer`.
    pub fn to(topic: impl Into<Topic>, producer: &Producer) -> Self {
        Self { topic: topic.into(), producer: producer.clone() }
    }

    /// Stores `message`, for a reason of the user's own, and waits until it is acknowledged.
    ///
    /// # Errors
    /// As [`Producer::send`].
    ///
    /// # Examples
    /// ```no_run
    /// # async fn example(mut consumer: milena::Consumer, letters: milena::DeadLetter) -> milena::Result<()> {
    /// # fn work(_: &milena::Message) -> std::io::Result<()> { Ok(()) }
    /// while let Some(message) = consumer.try_next().await? {
    ///     if let Err(error) = work(&message) {
    ///         letters.send(&message, &error).await?;
    ///     }
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn send(
        &self,
        message: &Message,
        reason: &(dyn std::error::Error + Sync),
    ) -> Result<RecordMetadata, Error> {
        self.store(message, None, chain(reason)).await
    }

    async fn store(
        &self,
        message: &Message,
        kind: Option<String>,
        reason: String,
    ) -> Result<RecordMetadata, Error> {
        let mut record = Record::to(self.topic.clone());
        if let Some(key) = message.key_bytes() {
            record = record.key(key);
        }
        if let Some(value) = message.value_bytes() {
            record = record.value(value);
        }
        if let Some(timestamp) = message.timestamp() {
            record = record.timestamp(timestamp);
        }
        for header in message.headers() {
            record.push_header(header.key.into(), header.value.map(Into::into));
        }
        record = record
            .header("__milena.errors.topic", message.topic().as_str())
            .header("__milena.errors.partition", message.partition().to_string())
            .header("__milena.errors.offset", message.offset().get().to_string());
        if let Some(kind) = kind {
            record = record.header("__milena.errors.kind", kind);
        }
        self.producer.send(record.header("__milena.errors.message", reason)).await
    }
}

impl PoisonHandler for DeadLetter {
    async fn handle(&self, message: &Message, error: &Error) -> Result<(), Error> {
        let stored = self.store(message, Some(format!("{:?}", error.kind())), chain(error)).await?;
        tracing::warn!(%error, stored = %stored, "record put aside");
        Ok(())
    }
}

/// An error with its causes, on one line.
fn chain(error: &(dyn std::error::Error + Sync)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        text = format!("{text}: {words}");
        cause = error.source();
    }
    text
}

/// [`PoisonHandler`] as an object.
pub(super) trait Handler: Send + Sync {
    fn handle_boxed(self: Arc<Self>, message: Message, error: Error) -> Handling;
}

pub(super) type Handling = Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

impl<H: PoisonHandler> Handler for H {
    fn handle_boxed(self: Arc<Self>, message: Message, error: Error) -> Handling {
        Box::pin(async move { self.handle(&message, &error).await })
    }
}

impl fmt::Debug for dyn Handler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PoisonHandler")
    }
}
