//! Record batches written by hand, a third reading of the format beside ours and Java's.

use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::{BufMut, Bytes, BytesMut};

/// A batch of magic 2 with one record a value, without keys and headers.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    /// `-1` without idempotence.
    pub(crate) producer_id: i64,
    /// `-1` without idempotence.
    pub(crate) producer_epoch: i16,
    /// `-1` without idempotence.
    pub(crate) base_sequence: i32,
    /// Milliseconds since the epoch, of the first record; each next is one later.
    pub(crate) timestamp: i64,
    /// Codec, timestamp type, transactional, control.
    pub(crate) attributes: i16,
    /// What the records hold.
    pub(crate) values: Vec<Vec<u8>>,
}

/// The records' time: the second in which the tests began, so that retention leaves them alone and
/// two clusters are sent the same bytes.
pub(crate) fn timestamp() -> i64 {
    static BEGAN: OnceLock<i64> = OnceLock::new();
    #[expect(clippy::disallowed_methods, reason = "real brokers live in real time")]
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    *BEGAN.get_or_init(|| i64::try_from(now()).unwrap_or_default() * 1000)
}

const CRC_AT: usize = 17;
const ATTRIBUTES_AT: usize = 21;

impl Batch {
    /// Records without idempotence.
    pub(crate) fn of(values: &[&str]) -> Self {
        Self {
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
            timestamp: timestamp(),
            attributes: 0,
            values: values.iter().map(|value| value.as_bytes().to_vec()).collect(),
        }
    }

    /// The same records from an idempotent producer.
    pub(crate) fn of_producer(self, id: i64, epoch: i16, base_sequence: i32) -> Self {
        Self { producer_id: id, producer_epoch: epoch, base_sequence, ..self }
    }

    /// The bytes, with a right checksum.
    pub(crate) fn bytes(&self) -> Bytes {
        let mut batch = BytesMut::new();
        let records = i32::try_from(self.values.len()).unwrap_or(i32::MAX);
        batch.put_i64(0); // base offset
        batch.put_i32(0); // length, below
        batch.put_i32(-1); // partition leader epoch
        batch.put_i8(2); // magic
        batch.put_u32(0); // checksum, below
        batch.put_i16(self.attributes);
        batch.put_i32(records - 1);
        batch.put_i64(self.timestamp);
        batch.put_i64(self.timestamp + i64::from(records.max(1)) - 1);
        batch.put_i64(self.producer_id);
        batch.put_i16(self.producer_epoch);
        batch.put_i32(self.base_sequence);
        batch.put_i32(records);
        for (delta, value) in (0i64..).zip(&self.values) {
            let mut record = vec![0]; // attributes
            varint(&mut record, delta); // timestamp
            varint(&mut record, delta); // offset
            varint(&mut record, -1); // no key
            varint(&mut record, i64::try_from(value.len()).unwrap_or_default());
            record.extend_from_slice(value);
            varint(&mut record, 0); // headers
            let mut length = Vec::new();
            varint(&mut length, i64::try_from(record.len()).unwrap_or_default());
            batch.put_slice(&length);
            batch.put_slice(&record);
        }
        let length = u32::try_from(batch.len() - 12).unwrap_or_default();
        batch[8..12].copy_from_slice(&length.to_be_bytes());
        let crc = crc32c(&batch[ATTRIBUTES_AT..]);
        batch[CRC_AT..ATTRIBUTES_AT].copy_from_slice(&crc.to_be_bytes());
        batch.freeze()
    }
}

/// Zigzag, then seven bits a byte.
fn varint(to: &mut Vec<u8>, value: i64) {
    let mut rest = value.wrapping_shl(1).cast_unsigned() ^ (value >> 63).cast_unsigned();
    while rest >= 0x80 {
        to.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    to.push(rest as u8);
}

/// Bit by bit: slow, and plainly right.
pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0x82f6_3b78 & 0u32.wrapping_sub(crc & 1));
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_rfc_3720() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn numbers_are_written_as_the_protocol_says() {
        let written = |value| {
            let mut to = Vec::new();
            varint(&mut to, value);
            to
        };
        assert_eq!(written(-1), [1]);
        assert_eq!(written(1), [2]);
        assert_eq!(written(64), [0x80, 1]);
        assert_eq!(written(i64::MIN).len(), 10);
    }
}
