//! One record, as it is handed out.

use std::fmt;

use milena_engine::consumer::{Polled, Stay};
use milena_records::{Headers, Record, SharedRecord};
use milena_types::{Offset, Timestamp, Topic, TopicPartition};

use crate::received::{describe, received};

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
}

received!(Message);

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
        describe(f, "Message", &self.partition, self.record.borrowed()).finish()
    }
}

impl fmt::Debug for MessageRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        describe(f, "MessageRef", self.partition, self.record).finish()
    }
}
