//! What a format may know of the record.

use std::fmt;

use bytes::Bytes;
use milena_engine::{Error, ErrorKind, Operation};
use milena_records::{Header, Headers, SharedRecord};
use milena_types::{Offset, TopicPartition};

use super::Deserializer;
use crate::{BoxError, Payload, Record};

/// Which part of a record is written or read.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "a record has these two")]
pub enum Part {
    /// The key, which comes first.
    Key,
    /// The value.
    Value,
}

/// The record that a [`Serializer`](super::Serializer) writes a part of.
#[derive(Debug)]
pub struct SerializeContext<'c, 'a> {
    record: &'c mut Record<'a>,
    part: Part,
}

impl<'c, 'a> SerializeContext<'c, 'a> {
    pub(crate) fn new(record: &'c mut Record<'a>, part: Part) -> Self {
        Self { record, part }
    }

    /// The topic that the record goes to.
    pub fn topic(&self) -> &str {
        self.record.topic()
    }

    /// Which part of the record is written.
    pub fn part(&self) -> Part {
        self.part
    }

    /// The headers so far, in order.
    pub fn headers(&self) -> impl Iterator<Item = Header<'_>> {
        self.record.headers()
    }

    /// Adds a header behind the others.
    pub fn add_header(&mut self, key: impl Into<Payload<'a>>, value: impl Into<Payload<'a>>) {
        self.record.push_header(key.into(), Some(value.into()));
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Key => "key",
            Self::Value => "value",
        })
    }
}

/// The record that a [`Deserializer`] reads a part of.
#[derive(Clone, Copy, Debug)]
pub struct DeserializeContext<'a> {
    partition: &'a TopicPartition,
    record: &'a SharedRecord,
    part: Part,
}

impl<'a> DeserializeContext<'a> {
    /// Reads a part of `record`; null is `None`.
    pub(crate) fn read<T>(
        partition: &'a TopicPartition,
        record: &'a SharedRecord,
        part: Part,
        format: &(impl Deserializer<T> + ?Sized),
    ) -> Result<Option<T>, Error> {
        let bytes = match part {
            Part::Key => record.key(),
            Part::Value => record.value(),
        };
        let Some(bytes) = bytes else { return Ok(None) };
        format.deserialize(bytes, &Self { partition, record, part }).map(Some).map_err(|cause| {
            let offset = record.offset().get();
            let error = Error::new(ErrorKind::Serialization).during(Operation::Poll);
            let error = error.with_partition(partition);
            let detail = format!("the {part} at offset {offset} cannot be deserialized");
            error.with_detail(detail).because(Cause(cause))
        })
    }

    /// The topic that the record is from.
    pub fn topic(&self) -> &'a str {
        self.partition.topic.as_str()
    }

    /// Which part of the record is read.
    pub fn part(&self) -> Part {
        self.part
    }

    /// The topic and the partition.
    pub fn topic_partition(&self) -> &'a TopicPartition {
        self.partition
    }

    /// The record's place in its partition.
    pub fn offset(&self) -> Offset {
        self.record.offset()
    }

    /// The headers, in order.
    pub fn headers(&self) -> Headers<'a> {
        self.record.headers()
    }

    /// The bytes that are read, without a copy: they share the memory of the record.
    pub fn bytes(&self) -> Bytes {
        let bytes = match self.part {
            Part::Key => self.record.key_bytes(),
            Part::Value => self.record.value_bytes(),
        };
        bytes.unwrap_or_default()
    }
}

/// An error of the user's, which is a box and therefore no error itself.
#[derive(Debug)]
pub(crate) struct Cause(pub(crate) BoxError);

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Cause {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}
