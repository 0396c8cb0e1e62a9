//! Writes the protocol's primitives, leaving record sets where they are.

use bytes::{BufMut, Bytes, BytesMut};
use milena_types::{ErrorCode, Uuid};

use crate::error::EncodeError;
use crate::records::Records;

type Result<T = ()> = std::result::Result<T, EncodeError>;

/// Record sets of at least this many bytes are passed on as they are; below, a copy is cheaper than a part.
const PART_BYTES_MIN: usize = 1024;

/// A message as far as it is written.
///
/// All small pieces stand in one buffer; large record sets are cut in where they belong, uncopied.
#[derive(Debug, Default)]
pub struct Writer {
    buffer: BytesMut,
    /// What stands before the byte of the buffer with this index, in order.
    cuts: Vec<(usize, Bytes)>,
    /// Bytes of all cuts.
    cut_bytes: usize,
}

impl Writer {
    /// An empty message.
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes written so far.
    pub fn len(&self) -> usize {
        self.buffer.len() + self.cut_bytes
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The message in parts, in order.
    pub fn into_parts(self) -> Vec<Bytes> {
        let mut parts = Vec::with_capacity(2 * self.cuts.len() + 1);
        let mut rest = self.buffer.freeze();
        let mut taken = 0;
        for (before, cut) in self.cuts {
            if before > taken {
                parts.push(rest.split_to(before - taken));
                taken = before;
            }
            parts.push(cut);
        }
        if !rest.is_empty() {
            parts.push(rest);
        }
        parts
    }

    /// The message in one piece.
    pub fn into_bytes(self) -> Bytes {
        let mut parts = self.into_parts();
        match parts.len() {
            0 => Bytes::new(),
            1 => parts.swap_remove(0),
            _ => parts.concat().into(),
        }
    }

    /// Overwrites the first bytes.
    pub(crate) fn stamp(&mut self, start: [u8; 4]) {
        if let Some(bytes) = self.buffer.first_chunk_mut() {
            *bytes = start;
        }
    }

    /// One byte, 0 or 1.
    pub fn bool(&mut self, value: bool) {
        self.buffer.put_u8(u8::from(value));
    }

    /// A signed byte.
    pub fn i8(&mut self, value: i8) {
        self.buffer.put_i8(value);
    }

    /// Two bytes, signed.
    pub fn i16(&mut self, value: i16) {
        self.buffer.put_i16(value);
    }

    /// Two bytes, unsigned.
    pub fn u16(&mut self, value: u16) {
        self.buffer.put_u16(value);
    }

    /// Four bytes, signed.
    pub fn i32(&mut self, value: i32) {
        self.buffer.put_i32(value);
    }

    /// Eight bytes, signed.
    pub fn i64(&mut self, value: i64) {
        self.buffer.put_i64(value);
    }

    /// Eight bytes, IEEE 754.
    pub fn f64(&mut self, value: f64) {
        self.buffer.put_f64(value);
    }

    /// Sixteen bytes.
    pub fn uuid(&mut self, value: Uuid) {
        self.buffer.put_slice(value.as_bytes());
    }

    /// Two bytes that say what went wrong.
    pub fn error_code(&mut self, value: ErrorCode) {
        self.i16(value.get());
    }

    /// Seven bits a byte, least significant first.
    pub fn unsigned_varint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.buffer.put_u8((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.buffer.put_u8(value as u8);
    }

    fn length(&mut self, len: usize, flexible: bool) -> Result {
        let len = i32::try_from(len).map_err(|_| EncodeError::TooLong)?;
        if flexible {
            self.unsigned_varint(len.unsigned_abs() + 1);
        } else {
            self.i32(len);
        }
        Ok(())
    }

    fn null(&mut self, flexible: bool, nullable: bool, field: &'static str) -> Result {
        if !nullable {
            return Err(EncodeError::UnexpectedNull { field });
        }
        if flexible {
            self.unsigned_varint(0);
        } else {
            self.i32(-1);
        }
        Ok(())
    }

    /// Text.
    pub fn string(&mut self, value: &str, flexible: bool) -> Result {
        // Compact text could be longer, but Kafka keeps the old limit in every version.
        let len = i16::try_from(value.len()).map_err(|_| EncodeError::TooLong)?;
        if flexible {
            self.unsigned_varint(u32::from(len.unsigned_abs()) + 1);
        } else {
            self.i16(len);
        }
        self.buffer.put_slice(value.as_bytes());
        Ok(())
    }

    /// Text, or null.
    pub(crate) fn nullable_string(
        &mut self,
        value: Option<&str>,
        flexible: bool,
        nullable: bool,
        field: &'static str,
    ) -> Result {
        match value {
            Some(value) => self.string(value, flexible),
            None if flexible || !nullable => self.null(flexible, nullable, field),
            None => {
                self.i16(-1);
                Ok(())
            }
        }
    }

    /// Bytes.
    pub fn bytes(&mut self, value: &[u8], flexible: bool) -> Result {
        self.length(value.len(), flexible)?;
        self.buffer.put_slice(value);
        Ok(())
    }

    /// Bytes, or null.
    pub fn nullable_bytes(
        &mut self,
        value: Option<&Bytes>,
        flexible: bool,
        nullable: bool,
        field: &'static str,
    ) -> Result {
        match value {
            Some(value) => self.bytes(value, flexible),
            None => self.null(flexible, nullable, field),
        }
    }

    /// A record set, or null; large ones are not copied.
    pub(crate) fn records(
        &mut self,
        value: Option<&Records>,
        flexible: bool,
        nullable: bool,
        field: &'static str,
    ) -> Result {
        let Some(records) = value else { return self.null(flexible, nullable, field) };
        self.length(records.len(), flexible)?;
        for part in [&records.head, &records.body] {
            if part.len() < PART_BYTES_MIN {
                self.buffer.put_slice(part);
            } else {
                self.cut_bytes += part.len();
                self.cuts.push((self.buffer.len(), part.clone()));
            }
        }
        Ok(())
    }

    /// An array.
    pub(crate) fn array<T>(
        &mut self,
        value: &[T],
        flexible: bool,
        mut element: impl FnMut(&mut Self, &T) -> Result,
    ) -> Result {
        self.length(value.len(), flexible)?;
        value.iter().try_for_each(|one| element(self, one))
    }

    /// An array, or null.
    pub(crate) fn nullable_array<T>(
        &mut self,
        value: Option<&[T]>,
        flexible: bool,
        nullable: bool,
        field: &'static str,
        element: impl FnMut(&mut Self, &T) -> Result,
    ) -> Result {
        match value {
            Some(value) => self.array(value, flexible, element),
            None => self.null(flexible, nullable, field),
        }
    }

    /// A structure or null, told by a byte before it (KIP-893).
    pub(crate) fn nullable_struct<T>(
        &mut self,
        value: Option<&T>,
        nullable: bool,
        field: &'static str,
        write: impl FnOnce(&mut Self, &T) -> Result,
    ) -> Result {
        match value {
            Some(value) => {
                self.i8(1);
                write(self, value)
            }
            None if nullable => {
                self.i8(-1);
                Ok(())
            }
            None => Err(EncodeError::UnexpectedNull { field }),
        }
    }

    /// One tagged field (KIP-482).
    pub(crate) fn tagged(&mut self, tag: u32, write: impl FnOnce(&mut Self) -> Result) -> Result {
        let mut field = Self::new();
        write(&mut field)?;
        let field = field.into_bytes();
        self.unsigned_varint(tag);
        self.unsigned_varint(u32::try_from(field.len()).map_err(|_| EncodeError::TooLong)?);
        self.buffer.put_slice(&field);
        Ok(())
    }
}
