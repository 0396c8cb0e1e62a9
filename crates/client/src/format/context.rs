//! What a serializer may know of the record.

use std::fmt;

use milena_records::Header;

use crate::{Payload, Record};

/// Which part of a record is written.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "a record has these two")]
pub enum Part {
    /// The key, which is written first.
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
