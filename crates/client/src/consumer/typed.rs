//! A consumer of values rather than bytes.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use milena_engine::{Error, ErrorKind};
use milena_records::Headers;
use milena_types::{Offset, Timestamp, TopicPartition};

use super::poison::Handler;
use super::{Consumer, ConsumerHandle, Mark, Message, PoisonHandler};
use crate::format::{Deserializer, Plain};

/// A consumer whose keys are `K` and whose values are `V`, with the formats that read them; made by
/// [`Consumer::typed`].
///
/// A record that cannot be read, a poison record, stops its partition until it is skipped or sought past, as in Java,
/// unless a [`PoisonHandler`] takes it away: [`DeadLetter`](crate::DeadLetter) stores it in another topic,
/// [`SkipPoison`](crate::SkipPoison) logs it.
///
/// # Examples
/// ```no_run
/// # async fn example(kafka: milena::Kafka) -> milena::Result<()> {
/// use milena::DeadLetter;
///
/// let producer = kafka.producer().build().await?;
/// let consumer = kafka.consumer("billing").subscribe(["counts"]).build().await?;
/// let mut counts =
///     consumer.typed::<String, i64>().on_poison(DeadLetter::to("counts.dlq", &producer));
/// while let Some(record) = counts.try_next().await? {
///     println!("{:?} => {:?}", record.key(), record.value());
/// }
/// # Ok(()) }
/// ```
#[must_use = "a consumer that is dropped leaves its group"]
pub struct TypedConsumer<K, V, F = Plain, G = Plain> {
    consumer: Consumer,
    key_format: F,
    value_format: G,
    handler: Option<Arc<dyn Handler>>,
    /// Handed out and not dealt with: a call that was dropped half-way goes on there.
    pending: Option<(Message, Error)>,
    /// What the last error was about.
    poison: Option<Message>,
    types: PhantomData<fn() -> (K, V)>,
}

impl Consumer {
    /// Reads keys and values instead of bytes, in the formats of [`Plain`] until others are given.
    pub fn typed<K, V>(self) -> TypedConsumer<K, V> {
        TypedConsumer {
            consumer: self,
            key_format: Plain,
            value_format: Plain,
            handler: None,
            pending: None,
            poison: None,
            types: PhantomData,
        }
    }
}

impl<K, V, F, G> TypedConsumer<K, V, F, G> {
    /// Reads keys in this format.
    pub fn key_format<N: Deserializer<K>>(self, format: N) -> TypedConsumer<K, V, N, G> {
        let Self { consumer, value_format, handler, pending, poison, types, .. } = self;
        let key_format = format;
        TypedConsumer { consumer, key_format, value_format, handler, pending, poison, types }
    }

    /// Reads values in this format.
    pub fn value_format<N: Deserializer<V>>(self, format: N) -> TypedConsumer<K, V, F, N> {
        let Self { consumer, key_format, handler, pending, poison, types, .. } = self;
        let value_format = format;
        TypedConsumer { consumer, key_format, value_format, handler, pending, poison, types }
    }

    /// Has `handler` deal with records that cannot be read.
    pub fn on_poison(mut self, handler: impl PoisonHandler) -> Self {
        self.handler = Some(Arc::new(handler));
        self
    }

    /// The record that the last [`try_next`](Self::try_next) failed at; `None` if it did not.
    pub fn poison(&self) -> Option<&Message> {
        self.poison.as_ref()
    }

    /// Goes on behind the record that the last [`try_next`](Self::try_next) failed at, if it did.
    ///
    /// # Errors
    /// `Closed`.
    pub async fn skip_poison(&mut self) -> Result<(), Error> {
        let Some(poison) = &self.poison else { return Ok(()) };
        self.go_to(poison, poison.offset().next()).await?;
        self.poison = None;
        Ok(())
    }

    /// Remembers that everything of the record's partition up to it is done with; see [`ConsumerHandle::mark`].
    pub fn mark(&self, record: impl Into<Mark>) {
        self.consumer.mark(record);
    }

    /// What can be asked from any task: commits, seeks, pauses, positions, closing.
    pub fn handle(&self) -> ConsumerHandle {
        self.consumer.handle()
    }

    /// The consumer of bytes beneath.
    pub fn consumer(&self) -> &Consumer {
        &self.consumer
    }

    /// Closes the consumer; see [`Consumer::close`].
    ///
    /// # Errors
    /// As there.
    pub async fn close(self, timeout: Duration) -> Result<(), Error> {
        self.consumer.close(timeout).await
    }

    async fn go_to(&self, message: &Message, offset: Offset) -> Result<(), Error> {
        let (handle, partition) = (self.consumer.handle(), message.topic_partition());
        if handle.buffer.stay(partition) != Some(message.stay()) {
            // It was another member's meanwhile: where to go on is no longer up to this one.
            return Ok(());
        }
        match handle.seek(partition.clone(), offset).await {
            Err(error) if error.kind() == ErrorKind::Misuse => Ok(()),
            done => done,
        }
    }
}

impl<K, V, F: Deserializer<K>, G: Deserializer<V>> TypedConsumer<K, V, F, G> {
    /// Waits for the next record; `None` once the consumer is closed by its handle.
    ///
    /// Dropping the future loses no record. A handler that was at work on a poison record begins anew with the next
    /// call.
    ///
    /// # Errors
    /// As [`Consumer::poll`]. `Serialization` for a record that cannot be read, or the handler's error for it: the same
    /// record comes again, and is not committed, until [`skip_poison`](Self::skip_poison) or a seek; other partitions go
    /// on.
    pub async fn try_next(&mut self) -> Result<Option<TypedMessage<K, V>>, Error> {
        loop {
            if self.pending.is_none() {
                self.poison = None;
                let Some(message) = self.consumer.try_next().await? else { return Ok(None) };
                match self.read(&message) {
                    Ok((key, value)) => return Ok(Some(TypedMessage { message, key, value })),
                    Err(error) => self.pending = Some((message, error)),
                }
            }
            let Some((message, error)) = self.pending.clone() else { continue };
            let handled = match self.handler.clone() {
                Some(handler) => handler.handle_boxed(message.clone(), error).await,
                None => Err(error),
            };
            if handled.is_err() {
                // What was handed out would be committed; and a program that starts anew must meet it again.
                self.go_to(&message, message.offset()).await?;
            }
            self.pending = None;
            if let Err(error) = handled {
                self.poison = Some(message);
                return Err(error);
            }
        }
    }

    fn read(&self, message: &Message) -> Result<(Option<K>, Option<V>), Error> {
        Ok((message.key_as(&self.key_format)?, message.value_as(&self.value_format)?))
    }
}

impl<K, V, F, G> fmt::Debug for TypedConsumer<K, V, F, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TypedConsumer").field("consumer", &self.consumer).finish_non_exhaustive()
    }
}

/// A record with its key and value as they were read; made by [`TypedConsumer`].
#[derive(Clone)]
pub struct TypedMessage<K, V> {
    message: Message,
    key: Option<K>,
    value: Option<V>,
}

impl<K, V> TypedMessage<K, V> {
    /// The key; `None` where it is null.
    pub fn key(&self) -> Option<&K> {
        self.key.as_ref()
    }

    /// The value; `None` is a tombstone.
    pub fn value(&self) -> Option<&V> {
        self.value.as_ref()
    }

    /// Key and value, to keep.
    pub fn into_parts(self) -> (Option<K>, Option<V>) {
        (self.key, self.value)
    }

    /// The record of bytes that they were read from.
    pub fn message(&self) -> &Message {
        &self.message
    }

    /// The topic and the partition.
    pub fn topic_partition(&self) -> &TopicPartition {
        self.message.topic_partition()
    }

    /// The record's place in its partition.
    pub fn offset(&self) -> Offset {
        self.message.offset()
    }

    /// When it was made, or appended where the topic says so; `None` where the producer gave no time.
    pub fn timestamp(&self) -> Option<Timestamp> {
        self.message.timestamp()
    }

    /// The headers, in order.
    pub fn headers(&self) -> Headers<'_> {
        self.message.headers()
    }
}

impl<K, V> From<&TypedMessage<K, V>> for Mark {
    fn from(record: &TypedMessage<K, V>) -> Self {
        Self::from(&record.message)
    }
}

impl<K, V> fmt::Debug for TypedMessage<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TypedMessage").field("message", &self.message).finish_non_exhaustive()
    }
}
