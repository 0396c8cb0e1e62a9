//! What a producer is given to send.

use std::fmt;

use bytes::Bytes;
use milena_engine::producer::TopicHandle;
use milena_engine::{Error, ErrorKind, Fate, Operation};
use milena_records::Header;
use milena_types::{Timestamp, Topic};

use super::{Producer, ProducerTopic};
use crate::format::{Cause, Part, SerializeContext, Serializer};

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

    /// Gives it `key` as `format` writes it; what [`TypedProducer`](crate::TypedProducer) does, for a single record, as
    /// in a transaction.
    ///
    /// # Errors
    /// `Serialization` if the format fails.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> milena::Result<()> {
    /// use milena::Record;
    /// use milena::format::Plain;
    ///
    /// let record = Record::to("counts").key_as(&Plain, &42_i32)?.value_as(&Plain, "forty-two")?;
    /// assert_eq!(record.key_bytes(), Some(&[0, 0, 0, 42][..]));
    /// # Ok(()) }
    /// ```
    pub fn key_as<K: ?Sized>(
        mut self,
        format: &impl Serializer<K>,
        key: &'a K,
    ) -> Result<Self, Error> {
        self.write(Part::Key, format, key)?;
        Ok(self)
    }

    /// Gives it `value` as `format` writes it; as [`key_as`](Self::key_as).
    ///
    /// # Errors
    /// As there.
    pub fn value_as<V: ?Sized>(
        mut self,
        format: &impl Serializer<V>,
        value: &'a V,
    ) -> Result<Self, Error> {
        self.write(Part::Value, format, value)?;
        Ok(self)
    }

    /// Gives it the part as `format` writes it.
    pub(super) fn write<T: ?Sized>(
        &mut self,
        part: Part,
        format: &impl Serializer<T>,
        value: &'a T,
    ) -> Result<(), Error> {
        let written = format.serialize(value, &mut SerializeContext::new(self, part));
        let bytes = written.map_err(|cause| {
            let error = Error::new(ErrorKind::Serialization).during(Operation::Send);
            let error = error.with_topic(self.topic()).with_fate(Fate::NotStored);
            error.with_detail(format!("the {part} cannot be serialized")).because(Cause(cause))
        })?;
        match part {
            Part::Key => self.key = bytes,
            Part::Value => self.value = bytes,
        }
        Ok(())
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
            topic: self.topic.into_owned(),
            partition: self.partition,
            timestamp: self.timestamp,
            key: self.key.map(Payload::into_owned),
            value: self.value.map(Payload::into_owned),
            headers: headers
                .map(|(key, value)| (key.into_owned(), value.map(Payload::into_owned)))
                .collect(),
        }
    }

    /// The topic's name.
    pub fn topic(&self) -> &str {
        self.topic.as_str()
    }

    /// The partition that it names, if it does.
    pub fn fixed_partition(&self) -> Option<i32> {
        self.partition
    }

    /// The time that it was given, if it was.
    pub fn fixed_timestamp(&self) -> Option<Timestamp> {
        self.timestamp
    }

    /// The key.
    pub fn key_bytes(&self) -> Option<&[u8]> {
        self.key.as_ref().map(Payload::as_bytes)
    }

    /// The value; `None` is a tombstone.
    pub fn value_bytes(&self) -> Option<&[u8]> {
        self.value.as_ref().map(Payload::as_bytes)
    }

    /// The topic as `producer` knows it, where the record has that at hand.
    pub(super) fn resolved(&self, producer: &Producer) -> Option<&TopicHandle> {
        match &self.topic.0 {
            Name::Resolved(topic) => topic.handle_of(producer),
            Name::OwnedResolved(topic) => topic.handle_of(producer),
            Name::Borrowed(_) | Name::Shared(_) => None,
        }
    }

    /// Without key and value.
    pub(super) fn without_contents(mut self) -> Self {
        (self.key, self.value) = (None, None);
        self
    }

    pub(crate) fn push_header(&mut self, key: Payload<'a>, value: Option<Payload<'a>>) {
        self.headers.push((key, value));
    }

    /// The headers in order.
    pub fn headers(&self) -> impl Iterator<Item = Header<'_>> + Clone {
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

/// Where a record goes: a topic's name, borrowed or shared, or a topic that was looked up.
#[derive(Clone, Debug)]
pub struct TopicName<'a>(Name<'a>);

#[derive(Clone, Debug)]
enum Name<'a> {
    Borrowed(&'a str),
    Shared(Topic),
    Resolved(&'a ProducerTopic),
    OwnedResolved(ProducerTopic),
}

impl TopicName<'_> {
    fn as_str(&self) -> &str {
        match &self.0 {
            Name::Borrowed(name) => name,
            Name::Shared(topic) => topic.as_str(),
            Name::Resolved(topic) => topic.name().as_str(),
            Name::OwnedResolved(topic) => topic.name().as_str(),
        }
    }

    fn into_owned(self) -> TopicName<'static> {
        TopicName(match self.0 {
            Name::Borrowed(name) => Name::Shared(Topic::from(name)),
            Name::Shared(topic) => Name::Shared(topic),
            Name::Resolved(topic) => Name::OwnedResolved(topic.clone()),
            Name::OwnedResolved(topic) => Name::OwnedResolved(topic),
        })
    }
}

/// A key, a value, or part of a header: bytes, borrowed or owned.
#[derive(Clone)]
pub struct Payload<'a>(Content<'a>);

#[derive(Clone)]
enum Content<'a> {
    Borrowed(&'a [u8]),
    Owned(Bytes),
    /// What is too short to be worth an allocation: numbers, and ids as text.
    Inline {
        length: u8,
        bytes: [u8; INLINE_MAX],
    },
}

impl Payload<'_> {
    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Content::Borrowed(bytes) => bytes,
            Content::Owned(bytes) => bytes,
            Content::Inline { length, bytes } => bytes.get(..usize::from(*length)).unwrap_or(bytes),
        }
    }

    fn into_owned(self) -> Payload<'static> {
        Payload(match self.0 {
            Content::Borrowed(bytes) => Content::Owned(Bytes::copy_from_slice(bytes)),
            Content::Owned(bytes) => Content::Owned(bytes),
            Content::Inline { length, bytes } => Content::Inline { length, bytes },
        })
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
    &'a str => |name| Self(Name::Borrowed(name));
    &'a String => |name| Self(Name::Borrowed(name));
    String => |name| Self(Name::Shared(Topic::from(name)));
    Topic => |topic| Self(Name::Shared(topic));
    &'a Topic => |topic| Self(Name::Borrowed(topic.as_str()));
    &'a ProducerTopic => |topic| Self(Name::Resolved(topic));
    ProducerTopic => |topic| Self(Name::OwnedResolved(topic));
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

macro_rules! from_array {
    ($($length:literal),+) => {$(
        impl From<[u8; $length]> for Payload<'_> {
            /// Kept in the record itself, as numbers, ids and their text are: nothing is allocated.
            fn from(array: [u8; $length]) -> Self {
                let mut bytes = [0; INLINE_MAX];
                let (start, _) = bytes.split_at_mut($length);
                start.copy_from_slice(&array);
                Self(Content::Inline { length: $length, bytes })
            }
        }
    )+};
}

// Not for every length: a long array is better borrowed.
from_array!(1, 2, 4, 8, 16, 32, 36);

impl<'a, T: Into<TopicName<'a>>> From<T> for Record<'a> {
    /// A record to this topic, without key, value or headers.
    fn from(topic: T) -> Self {
        Self::to(topic)
    }
}

/// A UUID as text; what fits beside the tag in the space that shared bytes take.
const INLINE_MAX: usize = 36;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_arrays_are_kept_whole() {
        assert_eq!(Payload::from([7]).as_bytes(), [7]);
        assert_eq!(Payload::from([7; 36]).into_owned().as_bytes(), [7; 36]);
        assert!(size_of::<Payload<'_>>() <= 40);
    }

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
