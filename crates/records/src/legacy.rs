//! Messages of formats 0 and 1, which old topics still hold and Fetch still returns: read only.
//!
//! A compressed message holds a set of messages in its value, and counts as one batch.

use bytes::Bytes;
use milena_types::Offset;

use crate::batch::State;
use crate::compression::{CompressionType, Decompressor};
use crate::crc;
use crate::error::{Error, Malformation};
use crate::record::{Headers, Record};

/// The fields before a message's key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Envelope {
    pub(crate) offset: Offset,
    pub(crate) crc: u32,
    pub(crate) magic: i8,
    size: usize,
    attributes: u8,
    timestamp: i64,
}

const COMPRESSION_BITS: u8 = 0x07;
const LOG_APPEND_TIME: u8 = 1 << 3;

/// Offset and size, which the size does not count.
const LOG_OVERHEAD: usize = 12;

/// Where the checksummed part starts.
const CRC_END: usize = 16;

impl Envelope {
    /// Reads the front of a message.
    pub(crate) fn parse(message: &[u8]) -> Result<Self, Malformation> {
        let mut rest = message;
        let stored = i64::from_be_bytes(take(&mut rest)?);
        let offset = Offset::new(stored).ok_or(Malformation::Offset)?;
        let size = i32::from_be_bytes(take(&mut rest)?);
        let crc = u32::from_be_bytes(take(&mut rest)?);
        let [magic] = take(&mut rest)?;
        let [attributes] = take(&mut rest)?;
        let timestamp = if magic == 0 { -1 } else { i64::from_be_bytes(take(&mut rest)?) };
        let size = usize::try_from(size).map_err(|_| Malformation::Length)?;
        Ok(Self { offset, crc, magic: magic as i8, size, attributes, timestamp })
    }

    /// Bytes of the whole message.
    pub(crate) fn message_bytes(&self) -> usize {
        LOG_OVERHEAD.saturating_add(self.size)
    }

    pub(crate) fn compression(&self) -> Result<CompressionType, Error> {
        CompressionType::from_id(self.attributes & COMPRESSION_BITS)
    }

    /// The CRC-32 of the bytes that it covers.
    pub(crate) fn checksum(&self, message: &[u8]) -> u32 {
        crc::crc32(message.get(CRC_END..).unwrap_or_default())
    }

    /// The messages in this one, or itself where it is not compressed.
    pub(crate) fn open(
        &self,
        message: &Bytes,
        decompressor: &mut Decompressor,
    ) -> Result<(Bytes, State), Error> {
        let malformed = |reason| Error::Malformed { base_offset: self.offset.get(), reason };
        let append_time = (self.attributes & LOG_APPEND_TIME != 0).then_some(self.timestamp);
        let compression = self.compression()?;
        if compression == CompressionType::None {
            let state = State::legacy(self.offset, append_time, self.magic, 0);
            return Ok((message.clone(), state));
        }
        let wrapper = take_message(&mut &message[..]).map_err(malformed)?;
        let value = wrapper.value.ok_or_else(|| malformed(Malformation::FieldLength))?;
        let messages = match self.magic {
            0 => decompressor.decompress_magic_0(compression, value)?,
            _ => decompressor.decompress_shared(compression, value)?,
        };
        // Format 0 stores absolute offsets inside; format 1 counts from the first, and the wrapper has the last's.
        let last = last_offset(&messages, self.magic).map_err(malformed)?;
        let offset_shift = if self.magic == 0 { 0 } else { self.offset.get().wrapping_sub(last) };
        Ok((messages, State::legacy(self.offset, append_time, self.magic, offset_shift)))
    }
}

/// Takes the next message of a set, which must not be compressed, as a record.
pub(crate) fn take_record<'a>(
    rest: &mut &'a [u8],
    magic: i8,
    offset_shift: i64,
) -> Result<Record<'a>, Malformation> {
    let message = take_message(rest)?;
    if message.magic != magic {
        return Err(Malformation::MixedMagic);
    }
    if message.attributes & COMPRESSION_BITS != 0 {
        return Err(Malformation::NestedCompression);
    }
    let offset = Offset::new(message.offset.wrapping_add(offset_shift));
    Ok(Record {
        offset: offset.ok_or(Malformation::Offset)?,
        timestamp: message.timestamp,
        key: message.key,
        value: message.value,
        headers: Headers::default(),
    })
}

/// The stored offset of a set's last message.
fn last_offset(mut messages: &[u8], magic: i8) -> Result<i64, Malformation> {
    let mut last = None;
    while !messages.is_empty() {
        let message = take_message(&mut messages)?;
        if message.magic != magic {
            return Err(Malformation::MixedMagic);
        }
        last = Some(message.offset);
    }
    last.ok_or(Malformation::RecordCount)
}

struct Message<'a> {
    offset: i64,
    magic: i8,
    attributes: u8,
    timestamp: i64,
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
}

/// Takes a whole message; each takes at least its overhead, so that a walk comes to its end.
fn take_message<'a>(rest: &mut &'a [u8]) -> Result<Message<'a>, Malformation> {
    let offset = i64::from_be_bytes(take(rest)?);
    let size = i32::from_be_bytes(take(rest)?);
    let size = usize::try_from(size).map_err(|_| Malformation::Length)?;
    let (mut fields, after) = rest.split_at_checked(size).ok_or(Malformation::Length)?;
    *rest = after;
    let _crc: [u8; 4] = take(&mut fields)?;
    let [magic] = take(&mut fields)?;
    let [attributes] = take(&mut fields)?;
    let timestamp = if magic == 0 { -1 } else { i64::from_be_bytes(take(&mut fields)?) };
    let key = take_nullable(&mut fields)?;
    let value = take_nullable(&mut fields)?;
    if !fields.is_empty() {
        return Err(Malformation::RecordLength);
    }
    Ok(Message { offset, magic: magic as i8, attributes, timestamp, key, value })
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], Malformation> {
    let (field, after) = rest.split_first_chunk().ok_or(Malformation::Length)?;
    *rest = after;
    Ok(*field)
}

fn take_nullable<'a>(rest: &mut &'a [u8]) -> Result<Option<&'a [u8]>, Malformation> {
    let length = i32::from_be_bytes(take(rest)?);
    let Ok(length) = usize::try_from(length) else {
        return if length == -1 { Ok(None) } else { Err(Malformation::FieldLength) };
    };
    let (field, after) = rest.split_at_checked(length).ok_or(Malformation::FieldLength)?;
    *rest = after;
    Ok(Some(field))
}

#[cfg(test)]
mod tests {
    use milena_types::Timestamp;

    use super::*;
    use crate::batch::Batch;
    use crate::compression::{Compression, Compressor};

    /// A message with key "k", its checksum 0.
    fn message(magic: i8, offset: i64, attributes: u8, time: i64, value: Option<&[u8]>) -> Vec<u8> {
        let mut fields = vec![0, 0, 0, 0, magic as u8, attributes];
        if magic > 0 {
            fields.extend_from_slice(&time.to_be_bytes());
        }
        fields.extend_from_slice(b"\0\0\0\x01k");
        let length = value.map_or(-1, |value| value.len() as i32);
        fields.extend_from_slice(&length.to_be_bytes());
        fields.extend_from_slice(value.unwrap_or_default());
        let size = fields.len() as i32;
        [&offset.to_be_bytes()[..], &size.to_be_bytes(), &fields].concat()
    }

    type Seen = (i64, Option<Timestamp>, Option<Vec<u8>>);

    fn read(message: Vec<u8>) -> Result<Vec<Seen>, Error> {
        let decoded =
            Batch::parse(message.into())?.decode_unverified(&mut Decompressor::default())?;
        let seen = |record: Record<'_>| {
            assert_eq!(record.key(), Some(&b"k"[..]));
            (record.offset().get(), record.timestamp(), record.value().map(<[u8]>::to_vec))
        };
        decoded.iter().map(|record| record.map(seen)).collect()
    }

    /// Messages around `inner` as a gzip wrapper has them.
    fn wrapper(magic: i8, offset: i64, attributes: u8, time: i64, inner: &[Vec<u8>]) -> Vec<u8> {
        let mut packed = Vec::new();
        let gzip = Compression::new(CompressionType::Gzip);
        Compressor::new().compress(gzip, &inner.concat(), &mut packed).unwrap();
        message(magic, offset, 1 | attributes, time, Some(&packed))
    }

    fn at(ms: i64) -> Option<Timestamp> {
        Some(Timestamp::from_millis(ms))
    }

    fn malformed(base_offset: i64, reason: Malformation) -> Result<Vec<Seen>, Error> {
        Err(Error::Malformed { base_offset, reason })
    }

    #[test]
    fn format_0_has_no_time_whatever_its_attributes_say() {
        for attributes in [0, LOG_APPEND_TIME] {
            let seen = read(message(0, 7, attributes, 0, Some(b"v"))).unwrap();
            assert_eq!(seen, [(7, None, Some(b"v".to_vec()))]);
        }
        assert_eq!(read(message(1, 7, 0, 99, None)).unwrap(), [(7, at(99), None)]);
    }

    /// Format 0 keeps offsets as they are; format 1 counts them, and the wrapper has the last one's.
    #[test]
    fn messages_in_a_wrapper_have_its_offsets() {
        let inner = |magic, offsets: [i64; 2]| {
            offsets.map(|offset| message(magic, offset, 0, 50 + offset, Some(b"v")))
        };
        let offsets = |seen: Vec<Seen>| seen.iter().map(|seen| seen.0).collect::<Vec<_>>();
        let seen = read(wrapper(0, 21, 0, 0, &inner(0, [20, 21]))).unwrap();
        assert_eq!(offsets(seen), [20, 21]);
        let seen = read(wrapper(1, 21, 0, 0, &inner(1, [0, 1]))).unwrap();
        assert_eq!(seen.iter().map(|seen| seen.1).collect::<Vec<_>>(), [at(50), at(51)]);
        assert_eq!(offsets(seen), [20, 21]);
        // Appended by the broker's clock: its one time is that of all.
        let seen = read(wrapper(1, 21, LOG_APPEND_TIME, 77, &inner(1, [0, 1]))).unwrap();
        assert_eq!(seen.iter().map(|seen| seen.1).collect::<Vec<_>>(), [at(77), at(77)]);
    }

    /// Offsets have to rise from what is below all of them.
    #[test]
    fn the_first_messages_of_a_log_are_read() {
        assert_eq!(read(message(1, 0, 0, 99, None)).unwrap(), [(0, at(99), None)]);
        let inner = [0, 1].map(|offset| message(1, offset, 0, 50, None));
        let seen = read(wrapper(1, 1, 0, 0, &inner)).unwrap();
        assert_eq!(seen, [(0, at(50), None), (1, at(50), None)]);
    }

    #[test]
    fn what_does_not_belong_into_a_wrapper_is_refused() {
        let mixed = [message(1, 0, 0, 1, None), message(0, 1, 0, 1, None)];
        assert_eq!(read(wrapper(1, 5, 0, 0, &mixed)), malformed(5, Malformation::MixedMagic));
        let nested = [wrapper(1, 0, 0, 0, &[message(1, 0, 0, 1, None)])];
        let result = read(wrapper(1, 5, 0, 0, &nested));
        assert_eq!(result, malformed(5, Malformation::NestedCompression));
        assert_eq!(read(wrapper(1, 5, 0, 0, &[])), malformed(5, Malformation::RecordCount));
        let null = message(1, 5, 1, 0, None);
        assert_eq!(read(null), malformed(5, Malformation::FieldLength));
    }

    #[test]
    fn a_message_whose_lengths_contradict_each_other_is_refused() {
        let good = message(1, 3, 0, 1, Some(b"value"));
        let length_at = good.len() - 5 - 4;
        for (length, reason) in [
            (4, Malformation::RecordLength),
            (6, Malformation::FieldLength),
            (-2, Malformation::FieldLength),
        ] {
            let mut bytes = good.clone();
            bytes[length_at..length_at + 4].copy_from_slice(&i32::to_be_bytes(length));
            assert_eq!(read(bytes), malformed(3, reason), "{length}");
        }
    }
}
