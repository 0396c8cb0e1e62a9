//! gzip (RFC 1952): the framing, our own compression, and zlib-rs for the highest level and for decompression.
//!
//! The framing is written and read here, so that one raw context serves every member and the checksum is ours.

use zlib_rs::{DeflateFlush, Inflate, InflateFlush, Status};

use self::deflate::{Deflate, Effort};
use super::Refusal;
use super::output::Output;
use crate::crc;

mod block;
mod deflate;
mod huffman;
mod matches;
mod tokens;

#[cfg(test)]
mod tests;

/// Compresses; keeps its contexts.
#[derive(Default)]
pub(super) struct Encoder {
    deflate: Deflate,
    zlib: Option<zlib_rs::Deflate>,
}

impl Encoder {
    pub(super) fn compress(
        &mut self,
        level: i32,
        input: &[u8],
        output: &mut Vec<u8>,
    ) -> Result<(), Refusal> {
        output.extend_from_slice(&HEADER);
        match level {
            1 => self.deflate.compress(Effort::Fast, input, output),
            -1 | 2..=6 => self.deflate.compress(Effort::Usual, input, output),
            7 | 8 => self.deflate.compress(Effort::Thorough, input, output),
            _ => self.smallest(input, output),
        }?;
        output.extend_from_slice(&crc::crc32(input).to_le_bytes());
        output.extend_from_slice(&(input.len() as u32).to_le_bytes());
        Ok(())
    }

    /// Compresses by zlib-rs too, and keeps what is smaller: which of them it is depends on the payload.
    fn smallest(&mut self, input: &[u8], output: &mut Vec<u8>) -> Result<(), Refusal> {
        let start = output.len();
        self.deflate.compress(Effort::Thorough, input, output)?;
        let middle = output.len();
        self.zlib(input, output)?;
        if output.len() - middle < middle - start {
            output.drain(start..middle);
        } else {
            output.truncate(middle);
        }
        Ok(())
    }

    fn zlib(&mut self, input: &[u8], output: &mut Vec<u8>) -> Result<(), Refusal> {
        let new = || zlib_rs::Deflate::new(ZLIB_LEVEL, false, WINDOW_BITS);
        let deflate = self.zlib.get_or_insert_with(new);
        deflate.reset();
        let mut rest = input;
        loop {
            let start = output.len();
            // zlib's own bound, which one round suffices for.
            let room = rest.len() + (rest.len() >> 8) + 64;
            output.resize(start + room, 0);
            let (read, written) = (deflate.total_in(), deflate.total_out());
            let place = output.get_mut(start..).unwrap_or_default();
            let status = deflate.compress(rest, place, DeflateFlush::Finish);
            let read = (deflate.total_in() - read) as usize;
            let written = (deflate.total_out() - written) as usize;
            output.truncate(start + written);
            rest = rest.get(read..).unwrap_or_default();
            match status {
                Ok(Status::StreamEnd) => return Ok(()),
                Ok(_) if read + written > 0 => {}
                _ => return Err(Refusal::Failed),
            }
        }
    }
}

/// Decompresses; keeps its context.
#[derive(Default)]
pub(super) struct Decoder {
    context: Option<Inflate>,
}

impl Decoder {
    pub(super) fn decompress(
        &mut self,
        input: &[u8],
        output: &mut Output<'_>,
    ) -> Result<(), Refusal> {
        let mut rest = input;
        loop {
            self.member(&mut rest, output)?;
            // Members may follow each other; anything else behind one is padding, which Java ignores too.
            if !rest.starts_with(&MAGIC) {
                return Ok(());
            }
        }
    }

    /// Takes one member; at least its header and trailer, so that the loop above ends.
    fn member(&mut self, rest: &mut &[u8], output: &mut Output<'_>) -> Result<(), Refusal> {
        skip_header(rest).ok_or(Refusal::Corrupt)?;
        let inflate = self.context.get_or_insert_with(|| Inflate::new(false, WINDOW_BITS));
        inflate.reset(false);
        let start = output.produced();
        let mut room = rest.len().saturating_mul(4).clamp(ROOM_MIN, ROOM_MAX);
        loop {
            let (read_before, before) = (inflate.total_in(), output.produced());
            let mut status = Status::Ok;
            output.fill(room, |_, place| {
                let written = inflate.total_out();
                status = inflate
                    .decompress(rest, place, InflateFlush::NoFlush)
                    .map_err(|_| Refusal::Corrupt)?;
                Ok((inflate.total_out() - written) as usize)
            })?;
            let read = (inflate.total_in() - read_before) as usize;
            *rest = rest.get(read..).unwrap_or_default();
            if status == Status::StreamEnd {
                break;
            }
            if output.left() == 0 {
                return Err(Refusal::TooLarge);
            }
            if read == 0 && output.produced() == before {
                return Err(Refusal::Corrupt);
            }
            room = (room * 2).min(ROOM_MAX);
        }
        let written = output.written().get(start..).unwrap_or_default();
        let (trailer, after) = rest.split_first_chunk::<8>().ok_or(Refusal::Corrupt)?;
        *rest = after;
        let expected = u64::from(crc::crc32(written)) | u64::from(written.len() as u32) << 32;
        if u64::from_le_bytes(*trailer) == expected { Ok(()) } else { Err(Refusal::Corrupt) }
    }
}

/// Skips a member's header with its optional fields.
fn skip_header(rest: &mut &[u8]) -> Option<()> {
    let (header, mut after) = rest.split_first_chunk::<10>()?;
    let [0x1f, 0x8b, DEFLATE, flags, ..] = *header else { return None };
    if flags & EXTRA != 0 {
        let (length, behind) = after.split_first_chunk()?;
        after = behind.get(usize::from(u16::from_le_bytes(*length))..)?;
    }
    for field in [NAME, COMMENT] {
        if flags & field != 0 {
            let end = after.iter().position(|&byte| byte == 0)?;
            after = after.get(end + 1..)?;
        }
    }
    if flags & HEADER_CRC != 0 {
        after = after.get(2..)?;
    }
    *rest = after;
    Some(())
}

const MAGIC: [u8; 2] = [0x1f, 0x8b];
const DEFLATE: u8 = 8;
const HEADER_CRC: u8 = 1 << 1;
const EXTRA: u8 = 1 << 2;
const NAME: u8 = 1 << 3;
const COMMENT: u8 = 1 << 4;

/// No time, no name, unknown system: as Java writes it.
const HEADER: [u8; 10] = [0x1f, 0x8b, DEFLATE, 0, 0, 0, 0, 0, 0, 0xff];

/// Smaller than its 9 on most payloads.
const ZLIB_LEVEL: i32 = 8;

/// 32 KiB, the largest that DEFLATE has.
const WINDOW_BITS: u8 = 15;

/// Steps in which the output grows: not less than a small batch, and not more than is cheap to clear in vain.
const ROOM_MIN: usize = 4 << 10;
const ROOM_MAX: usize = 1 << 20;
