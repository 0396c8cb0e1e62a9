//! What a producer is given to send.

use std::fmt;

use bytes::Bytes;
use milena_records::Header;
use milena_types::{Timestamp, Topic};

/// A record on its way to a topic: borrowed or owned, key and value as bytes.
///
/// Nothing is copied before the record is written into its batch, and nothing is allocated for one without headers.
/// A record without a value is a tombstone: a compacted topic forgets its key. Null and empty differ for keys and
/// values alike.
///
/// # Examples
/// ```
/// use milena::Record;
///
/// let login = Record::to("orders").key("user_001").value(r#"{"action":"login"}"#).header("trace", "abc");
/// let gone = Record::to("orders").key("user_001").tombstone();
/// let pinned = Record::to("orders").partition(2).value(vec![0xca, 0xfe]);
/// ```
#[derive(Clone)]
#[must_use = "a record goes nowhere before it is sent"]
pub struct Record<'a> {
    topic: TopicName<'a>,
    partition: Option<i32>,
    timestamp: Option<Timestamp>,
    key: Option<Payload<'a>>,
    value: Option<Payload<'a>>,
    headers: Vec<(Payload<'a>, Option<Payload<'a>>)>,
}

impl<'a> Record<'a> {
    /// A record to `topic`, without key, value or headers.
    pub fn to(topic: impl Into<TopicName<'a>>) -> Self {
        Self {
            topic: topic.into(),
            partition: None,
            timestamp: None,
            key: None,
            value: None,
            headers: Vec::new(),
        }
    }

    /// Gives it a key: records of one key go to one partition, in order.
    pub fn key(mut self, key: impl Into<Payload<'a>>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Gives it a value.
    pub fn value(mut self, value: impl Into<Payload<'a>>) -> Self {
        self.value = Some(value.into());
        self
    }

    /// Takes its value away, which in a compacted topic deletes the key. This is how a record starts out.
    pub fn tombstone(mut self) -> Self {
        self.value = None;
        self
    }

    /// Adds a header; order and duplicates are kept.
    pub fn header(mut self, key: impl Into<Payload<'a>>, value: impl Into<Payload<'a>>) -> Self {
        self.headers.push((key.into(), Some(value.into())));
        self
    }

    /// Adds a header with a null value.
    pub fn null_header(mut self, key: impl Into<Payload<'a>>) -> Self {
        self.headers.push((key.into(), None));
        self
    }

    /// Sends it to this partition, whatever its key.
    pub fn partition(mut self, partition: i32) -> Self {
        self.partition = Some(partition);
        self
    }

    /// Gives it a time; without one it is the time of `send`.
    pub fn timestamp(mut self, timestamp: Timestamp) -> Self {
        self.timestamp = Some(timestamp);
        self
    }

    /// Copies what is borrowed, so that the record can outlive it.
    pub fn into_owned(self) -> Record<'static> {
        let headers = self.headers.into_iter();
        Record {
            topic: TopicName::Shared(self.topic.into_topic()),
            partition: self.partition,
            timestamp: self.timestamp,
            key: self.key.map(Payload::into_owned),
            value: self.value.map(Payload::into_owned),
            headers: headers
                .map(|(key, value)| (key.into_owned(), value.map(Payload::into_owned)))
                .collect(),
        }
    }

    pub(super) fn topic(&self) -> &str {
        self.topic.as_str()
    }

    pub(super) fn fixed_partition(&self) -> Option<i32> {
        self.partition
    }

    pub(super) fn fixed_timestamp(&self) -> Option<Timestamp> {
        self.timestamp
    }

    pub(super) fn key_bytes(&self) -> Option<&[u8]> {
        self.key.as_ref().map(Payload::as_bytes)
    }

    pub(super) fn value_bytes(&self) -> Option<&[u8]> {
        self.value.as_ref().map(Payload::as_bytes)
    }

    /// The headers as a batch takes them.
    pub(super) fn headers(&self) -> impl Iterator<Item = Header<'_>> + Clone {
        self.headers.iter().map(|(key, value)| Header {
            key: key.as_bytes(),
            value: value.as_ref().map(Payload::as_bytes),
        })
    }
}

impl fmt::Debug for Record<'_> {
    /// Contents do not belong in logs: sizes do.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = |payload: Option<&[u8]>| payload.map(<[u8]>::len);
        f.debug_struct("Record")
            .field("topic", &self.topic.as_str())
            .field("partition", &self.partition)
            .field("timestamp", &self.timestamp)
            .field("key_bytes", &bytes(self.key_bytes()))
            .field("value_bytes", &bytes(self.value_bytes()))
            .field("headers", &self.headers.len())
            .finish()
    }
}

/// The name of a topic, borrowed or shared.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum TopicName<'a> {
    /// Borrowed text.
    Borrowed(&'a str),
    /// A shared name.
    Shared(Topic),
}

impl TopicName<'_> {
    fn as_str(&self) -> &str {
        match self {
            Self::Borrowed(name) => name,
            Self::Shared(topic) => topic.as_str(),
        }
    }

    fn into_topic(self) -> Topic {
        match self {
            Self::Borrowed(name) => Topic::from(name),
            Self::Shared(topic) => topic,
        }
    }
}

/// A key, a value, or part of a header: bytes, borrowed or owned.
#[derive(Clone)]
pub struct Payload<'a>(Content<'a>);

#[derive(Clone)]
enum Content<'a> {
    Borrowed(&'a [u8]),
    Owned(Bytes),
}

impl Payload<'_> {
    fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Content::Borrowed(bytes) => bytes,
            Content::Owned(bytes) => bytes,
        }
    }

    fn into_owned(self) -> Payload<'static> {
        Payload(Content::Owned(match self.0 {
            Content::Borrowed(bytes) => Bytes::copy_from_slice(bytes),
            Content::Owned(bytes) => bytes,
        }))
    }
}

impl fmt::Debug for Payload<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({} bytes)", self.as_bytes().len())
    }
}

macro_rules! from {
    ($target:ident: $($source:ty => |$value:ident| $made:expr;)+) => {$(
        impl<'a> From<$source> for $target<'a> {
            fn from($value: $source) -> Self {
                $made
            }
        }
    )+};
}

from! {TopicName:
    &'a str => |name| Self::Borrowed(name);
    &'a String => |name| Self::Borrowed(name);
    String => |name| Self::Shared(Topic::from(name));
    Topic => |topic| Self::Shared(topic);
    &'a Topic => |topic| Self::Borrowed(topic.as_str());
}

from! {Payload:
    &'a str => |text| Self(Content::Borrowed(text.as_bytes()));
    &'a String => |text| Self(Content::Borrowed(text.as_bytes()));
    &'a [u8] => |bytes| Self(Content::Borrowed(bytes));
    &'a Vec<u8> => |bytes| Self(Content::Borrowed(bytes));
    &'a Bytes => |bytes| Self(Content::Borrowed(bytes));
    String => |text| Self(Content::Owned(Bytes::from(text)));
    Vec<u8> => |bytes| Self(Content::Owned(Bytes::from(bytes)));
    Bytes => |bytes| Self(Content::Owned(bytes));
}

impl<'a, const N: usize> From<&'a [u8; N]> for Payload<'a> {
    fn from(bytes: &'a [u8; N]) -> Self {
        Self(Content::Borrowed(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_and_empty_differ() {
        let record = Record::to("t").key("").header("h", "").null_header("n");
        assert_eq!((record.key_bytes(), record.value_bytes()), (Some(&b""[..]), None));
        let values: Vec<_> = record.headers().map(|header| header.value).collect();
        assert_eq!(values, [Some(&b""[..]), None]);
        assert_eq!(record.value("v").tombstone().value_bytes(), None);
    }

    #[test]
    fn an_owned_record_is_the_same_record() {
        let text = String::from("value");
        let record =
            Record::to("t").partition(3).key(b"k").value(&text).header("h", "v").into_owned();
        assert_eq!(record.topic(), "t");
        assert_eq!(record.fixed_partition(), Some(3));
        assert_eq!(
            (record.key_bytes(), record.value_bytes()),
            (Some(&b"k"[..]), Some(&b"value"[..]))
        );
        assert_eq!(record.headers().count(), 1);
    }

    #[test]
    fn contents_stay_out_of_logs() {
        assert!(!format!("{:?}", Record::to("t").value("secret")).contains("secret"));
    }
}
