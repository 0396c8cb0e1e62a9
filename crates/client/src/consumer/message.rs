//! One record, as it is handed out.

use std::fmt;

use bytes::Bytes;
use milena_engine::Error;
use milena_engine::consumer::{Polled, Stay};
use milena_records::{Headers, Record, SharedRecord};
use milena_types::{Offset, Timestamp, Topic, TopicPartition};

use crate::format::{DeserializeContext, Deserializer, Part};

/// A record of its own: it can be kept and sent to other tasks.
///
/// It shares the memory that it was read into: of a compressed batch the decompressed one, of an uncompressed batch the
/// broker's whole answer, which is up to `fetch.max.bytes`. Copy key and value out of what is kept for long.
#[derive(Clone)]
pub struct Message {
    partition: TopicPartition,
    record: SharedRecord,
    stay: Stay,
}

/// A record borrowed from its batch.
#[derive(Clone, Copy)]
pub struct MessageRef<'a> {
    partition: &'a TopicPartition,
    record: Record<'a>,
    stay: Stay,
}

impl Message {
    pub(super) fn new(partition: TopicPartition, record: SharedRecord, stay: Stay) -> Self {
        Self { partition, record, stay }
    }

    /// The first record of `polled`, which holds no other.
    pub(super) fn first(polled: &mut Polled) -> Option<Self> {
        let chunk = polled.drain().next()?;
        let (partition, stay) = (chunk.partition().clone(), chunk.stay());
        Some(Self::new(partition, chunk.into_shared().next()?, stay))
    }

    /// The stay of the partition in which it was read.
    pub(super) fn stay(&self) -> Stay {
        self.stay
    }

    pub(super) fn borrowed(&self) -> MessageRef<'_> {
        MessageRef::new(&self.partition, self.record.borrowed(), self.stay)
    }

    /// The topic.
    pub fn topic(&self) -> &Topic {
        &self.partition.topic
    }

    /// The partition's index.
    pub fn partition(&self) -> i32 {
        self.partition.partition
    }

    /// The topic and the partition.
    pub fn topic_partition(&self) -> &TopicPartition {
        &self.partition
    }

    /// The record's place in its partition.
    pub fn offset(&self) -> Offset {
        self.record.offset()
    }

    /// When it was made, or appended where the topic says so; `None` where the producer gave no time.
    pub fn timestamp(&self) -> Option<Timestamp> {
        self.record.timestamp()
    }

    /// The key; null and empty differ.
    pub fn key(&self) -> Option<&[u8]> {
        self.record.key()
    }

    /// The value; null (a tombstone) and empty differ.
    pub fn value(&self) -> Option<&[u8]> {
        self.record.value()
    }

    /// The key as bytes of their own, without a copy.
    pub fn key_bytes(&self) -> Option<Bytes> {
        self.record.key_bytes()
    }

    /// The value as bytes of their own, without a copy.
    pub fn value_bytes(&self) -> Option<Bytes> {
        self.record.value_bytes()
    }

    /// The headers, in order.
    pub fn headers(&self) -> Headers<'_> {
        self.record.headers()
    }

    /// The key as `format` reads it; `None` where it is null.
    ///
    /// # Errors
    /// `Serialization` with partition and offset, if the format fails.
    pub fn key_as<K>(&self, format: &impl Deserializer<K>) -> Result<Option<K>, Error> {
        DeserializeContext::read(self, Part::Key, format)
    }

    /// The value as `format` reads it; `None` where it is null, which is a tombstone.
    ///
    /// # Errors
    /// As [`key_as`](Self::key_as).
    ///
    /// # Examples
    /// ```no_run
    /// # async fn example(mut consumer: milena::Consumer) -> milena::Result<()> {
    /// use milena::format::Plain;
    ///
    /// while let Some(message) = consumer.try_next().await? {
    ///     let count: Option<i64> = message.value_as(&Plain)?;
    ///     println!("{count:?}");
    /// }
    /// # Ok(()) }
    /// ```
    pub fn value_as<V>(&self, format: &impl Deserializer<V>) -> Result<Option<V>, Error> {
        DeserializeContext::read(self, Part::Value, format)
    }
}

impl<'a> MessageRef<'a> {
    pub(super) fn new(partition: &'a TopicPartition, record: Record<'a>, stay: Stay) -> Self {
        Self { partition, record, stay }
    }

    /// The stay of the partition in which it was read.
    pub(super) fn stay(&self) -> Stay {
        self.stay
    }

    /// The topic.
    pub fn topic(&self) -> &'a Topic {
        &self.partition.topic
    }

    /// The partition's index.
    pub fn partition(&self) -> i32 {
        self.partition.partition
    }

    /// The topic and the partition.
    pub fn topic_partition(&self) -> &'a TopicPartition {
        self.partition
    }

    /// The record's place in its partition.
    pub fn offset(&self) -> Offset {
        self.record.offset()
    }

    /// When it was made, or appended where the topic says so; `None` where the producer gave no time.
    pub fn timestamp(&self) -> Option<Timestamp> {
        self.record.timestamp()
    }

    /// The key; null and empty differ.
    pub fn key(&self) -> Option<&'a [u8]> {
        self.record.key()
    }

    /// The value; null (a tombstone) and empty differ.
    pub fn value(&self) -> Option<&'a [u8]> {
        self.record.value()
    }

    /// The headers, in order.
    pub fn headers(&self) -> Headers<'a> {
        self.record.headers()
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sizes = (self.key().map(<[u8]>::len), self.value().map(<[u8]>::len));
        describe(f, "Message", &self.partition, self.offset(), sizes)
    }
}

impl fmt::Debug for MessageRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sizes = (self.key().map(<[u8]>::len), self.value().map(<[u8]>::len));
        describe(f, "MessageRef", self.partition, self.offset(), sizes)
    }
}

/// Sizes alone: contents are the user's secret, and a batch's memory is no line of a log.
fn describe(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    partition: &TopicPartition,
    offset: Offset,
    (key_bytes, value_bytes): (Option<usize>, Option<usize>),
) -> fmt::Result {
    f.debug_struct(name)
        .field("partition", &format_args!("{partition}"))
        .field("offset", &offset.get())
        .field("key_bytes", &key_bytes)
        .field("value_bytes", &value_bytes)
        .finish()
}
