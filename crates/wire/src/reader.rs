//! Reads the protocol's primitives from one frame, within bounds.
//!
//! A length never sizes an allocation before it is held against the bytes that remain, and all that a message holds
//! is paid from one budget, so that a frame of n bytes never makes its reader hold more than about 8 n + 1 MiB.

use bytes::{Buf, Bytes};
use bytestring::ByteString;
use milena_types::{ErrorCode, Uuid};

use crate::error::{DecodeError, DecodeErrorKind};
use crate::records::Records;

type Result<T> = std::result::Result<T, DecodeError>;

/// What a message may hold beside its frame, for each byte of the frame: with the frame itself that makes 8.
///
/// The dearest messages that brokers send are lists of short names: 32 bytes to hold what takes some 8 on the wire.
const MEMORY_PER_BYTE: usize = 7;
/// What a small message may hold, whatever its length: 1 MiB, less what an error takes to say where it stands.
const MEMORY_FLOOR: usize = 960 * 1024;

/// A place in a frame, and what may still be spent on what it holds.
#[derive(Debug)]
pub struct Reader {
    rest: Bytes,
    frame_bytes: usize,
    memory: usize,
    field: &'static str,
}

impl Reader {
    /// A reader at the start of `frame`.
    pub fn new(frame: Bytes) -> Self {
        let frame_bytes = frame.len();
        let memory = frame_bytes.saturating_mul(MEMORY_PER_BYTE).saturating_add(MEMORY_FLOOR);
        Self { rest: frame, frame_bytes, memory, field: "" }
    }

    /// Bytes not yet read.
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Bytes read so far.
    pub fn position(&self) -> usize {
        self.frame_bytes - self.rest.len()
    }

    /// Fails unless every byte was read.
    pub fn finish(mut self) -> Result<()> {
        self.field = "";
        if self.rest.is_empty() { Ok(()) } else { Err(self.error(DecodeErrorKind::TrailingBytes)) }
    }

    /// The rest of the frame, as it is.
    pub fn into_rest(self) -> Bytes {
        self.rest
    }

    /// Names the field that is read next, for errors.
    pub(crate) fn field(&mut self, name: &'static str) {
        self.field = name;
    }

    pub(crate) fn error(&self, kind: DecodeErrorKind) -> DecodeError {
        DecodeError::new(kind, self.position(), self.field)
    }

    /// Fails where a null was read that the version does not allow.
    pub(crate) fn not_null<T>(&self, value: Option<T>) -> Result<T> {
        value.ok_or_else(|| self.error(DecodeErrorKind::UnexpectedNull))
    }

    /// A null is allowed only where `nullable`.
    pub(crate) fn null_if<T>(&self, nullable: bool, value: Option<T>) -> Result<Option<T>> {
        if value.is_none() && !nullable {
            return Err(self.error(DecodeErrorKind::UnexpectedNull));
        }
        Ok(value)
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N]> {
        let Some(bytes) = self.rest.first_chunk::<N>() else {
            return Err(self.error(DecodeErrorKind::Truncated));
        };
        let bytes = *bytes;
        self.rest.advance(N);
        Ok(bytes)
    }

    fn slice(&mut self, len: usize) -> Result<Bytes> {
        if len > self.rest.len() {
            return Err(self.error(DecodeErrorKind::LengthOutOfRange));
        }
        Ok(self.rest.split_to(len))
    }

    /// One byte, 0 or not.
    pub fn bool(&mut self) -> Result<bool> {
        Ok(self.take::<1>()? != [0])
    }

    /// A signed byte.
    pub fn i8(&mut self) -> Result<i8> {
        self.take().map(i8::from_be_bytes)
    }

    /// Two bytes, signed.
    pub fn i16(&mut self) -> Result<i16> {
        self.take().map(i16::from_be_bytes)
    }

    /// Two bytes, unsigned.
    pub fn u16(&mut self) -> Result<u16> {
        self.take().map(u16::from_be_bytes)
    }

    /// Four bytes, signed.
    pub fn i32(&mut self) -> Result<i32> {
        self.take().map(i32::from_be_bytes)
    }

    /// Eight bytes, signed.
    pub fn i64(&mut self) -> Result<i64> {
        self.take().map(i64::from_be_bytes)
    }

    /// Eight bytes, IEEE 754.
    pub fn f64(&mut self) -> Result<f64> {
        self.take().map(f64::from_be_bytes)
    }

    /// Sixteen bytes.
    pub fn uuid(&mut self) -> Result<Uuid> {
        self.take().map(Uuid::from_bytes)
    }

    /// Two bytes that say what went wrong.
    pub fn error_code(&mut self) -> Result<ErrorCode> {
        self.i16().map(ErrorCode::from_wire)
    }

    /// Seven bits a byte, least significant first, at most five bytes.
    pub fn unsigned_varint(&mut self) -> Result<u32> {
        let mut value = 0u32;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.take::<1>()?;
            if shift == 28 && byte > 0x0f {
                return Err(self.error(DecodeErrorKind::VarintOverflow));
            }
            value |= u32::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(self.error(DecodeErrorKind::VarintOverflow))
    }

    /// A length of four bytes, or in the compact form of a variable number that counts from one; `None` for null.
    fn length(&mut self, flexible: bool) -> Result<Option<usize>> {
        if flexible {
            return Ok(self.unsigned_varint()?.checked_sub(1).map(|len| len as usize));
        }
        match self.i32()? {
            -1 => Ok(None),
            len => match usize::try_from(len) {
                Ok(len) => Ok(Some(len)),
                Err(_) => Err(self.error(DecodeErrorKind::LengthOutOfRange)),
            },
        }
    }

    /// Text, or null.
    pub fn nullable_string(&mut self, flexible: bool) -> Result<Option<ByteString>> {
        let len = if flexible {
            self.length(true)?
        } else {
            match self.i16()? {
                -1 => None,
                len => match usize::try_from(len) {
                    Ok(len) => Some(len),
                    Err(_) => return Err(self.error(DecodeErrorKind::LengthOutOfRange)),
                },
            }
        };
        let Some(len) = len else { return Ok(None) };
        // A compact length could say more, but Kafka keeps the old limit in every version, on both sides.
        if len > i16::MAX as usize {
            return Err(self.error(DecodeErrorKind::LengthOutOfRange));
        }
        let bytes = self.slice(len)?;
        match ByteString::try_from(bytes) {
            Ok(text) => Ok(Some(text)),
            Err(_) => Err(self.error(DecodeErrorKind::InvalidUtf8)),
        }
    }

    /// Text.
    pub fn string(&mut self, flexible: bool) -> Result<ByteString> {
        let text = self.nullable_string(flexible)?;
        self.not_null(text)
    }

    /// Bytes, or null; a slice of the frame.
    pub fn nullable_bytes(&mut self, flexible: bool) -> Result<Option<Bytes>> {
        match self.length(flexible)? {
            Some(len) => self.slice(len).map(Some),
            None => Ok(None),
        }
    }

    /// Bytes; a slice of the frame.
    pub fn bytes(&mut self, flexible: bool) -> Result<Bytes> {
        let bytes = self.nullable_bytes(flexible)?;
        self.not_null(bytes)
    }

    /// A record set, or null; a slice of the frame.
    pub fn records(&mut self, flexible: bool) -> Result<Option<Records>> {
        Ok(self.nullable_bytes(flexible)?.map(Records::from))
    }

    /// An array, or null.
    pub fn nullable_array<T>(
        &mut self,
        flexible: bool,
        element: impl Fn(&mut Self) -> Result<T>,
    ) -> Result<Option<Vec<T>>> {
        let name = self.field;
        let Some(count) = self.length(flexible)? else { return Ok(None) };
        // Each element takes at least one byte, whatever the count claims.
        if count > self.rest.len() {
            return Err(self.error(DecodeErrorKind::LengthOutOfRange));
        }
        self.memory = match self.memory.checked_sub(count.saturating_mul(size_of::<T>())) {
            Some(memory) => memory,
            None => return Err(self.error(DecodeErrorKind::TooLarge)),
        };
        let mut elements = Vec::with_capacity(count);
        for index in 0..count {
            self.field = "";
            elements.push(element(self).map_err(|e| e.within(name, Some(index)))?);
        }
        Ok(Some(elements))
    }

    /// An array.
    pub fn array<T>(
        &mut self,
        flexible: bool,
        element: impl Fn(&mut Self) -> Result<T>,
    ) -> Result<Vec<T>> {
        let elements = self.nullable_array(flexible, element)?;
        self.not_null(elements)
    }

    /// A structure within a structure.
    pub(crate) fn nested<T>(&mut self, read: impl Fn(&mut Self) -> Result<T>) -> Result<T> {
        let name = self.field;
        self.field = "";
        read(self).map_err(|e| e.within(name, None))
    }

    /// A structure or null, told by a byte before it (KIP-893).
    pub(crate) fn nullable_struct<T>(
        &mut self,
        read: impl Fn(&mut Self) -> Result<T>,
    ) -> Result<Option<T>> {
        if self.i8()? < 0 { Ok(None) } else { self.nested(read).map(Some) }
    }

    /// Tagged fields (KIP-482): `known` reads the field of a tag it knows and says so; others are skipped.
    pub(crate) fn tagged_fields(
        &mut self,
        mut known: impl FnMut(&mut Self, u32) -> Result<bool>,
    ) -> Result<()> {
        self.field = "tagged fields";
        let count = self.unsigned_varint()?;
        // A tag and a size are a byte each at least.
        if count as usize > self.rest.len() / 2 {
            return Err(self.error(DecodeErrorKind::LengthOutOfRange));
        }
        let mut least = 0;
        for _ in 0..count {
            self.field = "tagged fields";
            let tag = self.unsigned_varint()?;
            if tag < least {
                return Err(self.error(DecodeErrorKind::InvalidTaggedFields));
            }
            least = match tag.checked_add(1) {
                Some(least) => least,
                None => return Err(self.error(DecodeErrorKind::InvalidTaggedFields)),
            };
            let size = self.unsigned_varint()? as usize;
            let Some(after) = self.rest.len().checked_sub(size) else {
                return Err(self.error(DecodeErrorKind::LengthOutOfRange));
            };
            if !known(self, tag)? {
                self.rest.advance(size);
            }
            if self.rest.len() != after {
                return Err(self.error(DecodeErrorKind::InvalidTaggedFields));
            }
        }
        Ok(())
    }
}
