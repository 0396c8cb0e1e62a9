//! One record: as its headers go in, and as it is read, borrowed or shared.

use bytes::Bytes;
use milena_types::{Offset, Timestamp};

use crate::error::Malformation;
use crate::varint;

/// One header of a record: a key, which need not be UTF-8 or unique, and a value, which may be null.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the format has no third field")]
pub struct Header<'a> {
    /// The key; the protocol means UTF-8, but does not enforce it.
    pub key: &'a [u8],
    /// The value.
    pub value: Option<&'a [u8]>,
}

impl<'a> Header<'a> {
    /// A header with a value.
    pub fn new(key: &'a str, value: &'a [u8]) -> Self {
        Self { key: key.as_bytes(), value: Some(value) }
    }

    /// How many bytes it takes in a record.
    pub(crate) fn size(&self) -> usize {
        nullable_size(Some(self.key)) + nullable_size(self.value)
    }
}

/// A record's headers in their order, duplicates included; parsed as they are walked.
#[derive(Clone, Copy, Debug, Default)]
pub struct Headers<'a> {
    count: usize,
    bytes: &'a [u8],
}

impl<'a> Headers<'a> {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The headers in order.
    pub fn iter(&self) -> HeaderIter<'a> {
        HeaderIter { left: self.count, bytes: self.bytes }
    }

    /// The value of the last header with this key, which Kafka treats as the one that counts.
    pub fn last(&self, key: &str) -> Option<Header<'a>> {
        self.iter().filter(|header| header.key == key.as_bytes()).last()
    }

    /// Takes headers from the front of `bytes`, which must end where they end.
    fn parse(mut bytes: &'a [u8]) -> Result<Self, Malformation> {
        let count = varint::take_int(&mut bytes).ok_or(Malformation::Varint)?;
        let count = usize::try_from(count).map_err(|_| Malformation::FieldLength)?;
        let headers = Self { count, bytes };
        for _ in 0..count {
            take_nullable(&mut bytes)?.ok_or(Malformation::FieldLength)?;
            take_nullable(&mut bytes)?;
        }
        if bytes.is_empty() { Ok(headers) } else { Err(Malformation::RecordLength) }
    }
}

impl<'a> IntoIterator for Headers<'a> {
    type Item = Header<'a>;
    type IntoIter = HeaderIter<'a>;

    fn into_iter(self) -> HeaderIter<'a> {
        self.iter()
    }
}

/// Walks a record's headers.
#[derive(Clone, Debug)]
pub struct HeaderIter<'a> {
    left: usize,
    bytes: &'a [u8],
}

impl<'a> Iterator for HeaderIter<'a> {
    type Item = Header<'a>;

    fn next(&mut self) -> Option<Header<'a>> {
        self.left = self.left.checked_sub(1)?;
        // The record was checked when it was read, so that neither fails.
        let key = take_nullable(&mut self.bytes).ok().flatten()?;
        let value = take_nullable(&mut self.bytes).ok()?;
        Some(Header { key, value })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for HeaderIter<'_> {}

/// A record as it lies in its batch, borrowed.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    pub(crate) offset: Offset,
    pub(crate) timestamp: i64,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) headers: Headers<'a>,
}

impl<'a> Record<'a> {
    /// Its place in the partition.
    pub fn offset(&self) -> Offset {
        self.offset
    }

    /// When it was made or appended, as the batch's timestamp type says; `None` where the producer gave no time.
    pub fn timestamp(&self) -> Option<Timestamp> {
        Timestamp::from_wire(self.timestamp)
    }

    /// The key; null and empty differ.
    pub fn key(&self) -> Option<&'a [u8]> {
        self.key
    }

    /// The value; null (a tombstone) and empty differ.
    pub fn value(&self) -> Option<&'a [u8]> {
        self.value
    }

    /// The headers.
    pub fn headers(&self) -> Headers<'a> {
        self.headers
    }

    /// Reads the fields of a record of format 2 whose length was taken already.
    #[inline]
    pub(crate) fn parse(
        mut bytes: &'a [u8],
        base_offset: i64,
        base_timestamp: i64,
    ) -> Result<(Self, i32), Malformation> {
        // Attributes: none are defined.
        let (_, rest) = bytes.split_first().ok_or(Malformation::RecordLength)?;
        bytes = rest;
        let timestamp = varint::take_long(&mut bytes).ok_or(Malformation::Varint)?;
        let delta = varint::take_int(&mut bytes).ok_or(Malformation::Varint)?;
        let key = take_nullable(&mut bytes)?;
        let value = take_nullable(&mut bytes)?;
        // One zero byte is what nearly every record has here.
        let headers = match bytes {
            [0] => Headers::default(),
            _ => Headers::parse(bytes)?,
        };
        let offset = Offset::new(base_offset.wrapping_add(i64::from(delta)));
        let offset = offset.ok_or(Malformation::Offset)?;
        let timestamp = base_timestamp.wrapping_add(timestamp);
        Ok((Self { offset, timestamp, key, value, headers }, delta))
    }
}

/// A record that keeps its batch's buffer alive by one reference count.
#[derive(Clone, Debug)]
pub struct SharedRecord {
    buffer: Bytes,
    offset: Offset,
    timestamp: i64,
    key: Option<Place>,
    value: Option<Place>,
    headers: Place,
    /// No more than it has bytes.
    header_count: u32,
}

/// A slice of a record's buffer. Four bytes each are enough for any: [`Limits`](crate::Limits) sees to it, and records
/// that are kept in great numbers stay small.
#[derive(Clone, Copy, Debug)]
struct Place {
    start: u32,
    bytes: u32,
}

impl Place {
    fn of(bytes: &[u8], buffer: &Bytes) -> Self {
        // An empty slice may point anywhere; it has no place to keep.
        let start = match bytes {
            [] => 0,
            _ => bytes.as_ptr().addr().wrapping_sub(buffer.as_ptr().addr()),
        };
        debug_assert!(u32::try_from(start + bytes.len()).is_ok());
        Self { start: start as u32, bytes: bytes.len() as u32 }
    }

    fn range(self) -> std::ops::Range<usize> {
        self.start as usize..(self.start as usize).saturating_add(self.bytes as usize)
    }
}

impl SharedRecord {
    /// Shares a record that was read from `buffer`.
    #[inline]
    pub(crate) fn new(buffer: &Bytes, record: &Record<'_>) -> Self {
        let place = |bytes: &[u8]| Place::of(bytes, buffer);
        Self {
            buffer: buffer.clone(),
            offset: record.offset,
            timestamp: record.timestamp,
            key: record.key.map(place),
            value: record.value.map(place),
            headers: place(record.headers.bytes),
            header_count: record.headers.count as u32,
        }
    }

    /// Its place in the partition.
    pub fn offset(&self) -> Offset {
        self.offset
    }

    /// When it was made or appended, as the batch's timestamp type says; `None` where the producer gave no time.
    pub fn timestamp(&self) -> Option<Timestamp> {
        Timestamp::from_wire(self.timestamp)
    }

    /// The key; null and empty differ.
    pub fn key(&self) -> Option<&[u8]> {
        self.key.map(|place| self.slice(place))
    }

    /// The value; null (a tombstone) and empty differ.
    pub fn value(&self) -> Option<&[u8]> {
        self.value.map(|place| self.slice(place))
    }

    /// The key as a slice that keeps the batch's buffer alive of its own.
    pub fn key_bytes(&self) -> Option<Bytes> {
        self.key.map(|place| self.buffer.slice(place.range()))
    }

    /// The value as a slice that keeps the batch's buffer alive of its own.
    pub fn value_bytes(&self) -> Option<Bytes> {
        self.value.map(|place| self.buffer.slice(place.range()))
    }

    /// The headers.
    pub fn headers(&self) -> Headers<'_> {
        Headers { count: self.header_count as usize, bytes: self.slice(self.headers) }
    }

    /// The same record, borrowed.
    pub fn borrowed(&self) -> Record<'_> {
        let (offset, timestamp) = (self.offset, self.timestamp);
        Record { offset, timestamp, key: self.key(), value: self.value(), headers: self.headers() }
    }

    fn slice(&self, place: Place) -> &[u8] {
        self.buffer.get(place.range()).unwrap_or_default()
    }
}

/// Takes a length and as many bytes; -1 stands for null.
#[inline]
pub(crate) fn take_nullable<'a>(bytes: &mut &'a [u8]) -> Result<Option<&'a [u8]>, Malformation> {
    let length = varint::take_int(bytes).ok_or(Malformation::Varint)?;
    let Ok(length) = usize::try_from(length) else {
        return if length == -1 { Ok(None) } else { Err(Malformation::FieldLength) };
    };
    let (field, rest) = bytes.split_at_checked(length).ok_or(Malformation::FieldLength)?;
    *bytes = rest;
    Ok(Some(field))
}

/// How many bytes a length and its field take.
#[inline]
pub(crate) fn nullable_size(field: Option<&[u8]>) -> usize {
    match field {
        Some(field) => varint::size(field.len() as i64) + field.len(),
        None => 1,
    }
}
