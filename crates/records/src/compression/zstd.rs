//! Zstandard (RFC 8878) by rust-zstd.
//!
//! Encoder and decoder are the seam behind which the codec can be exchanged; structured-zstd reads and writes the same
//! in the tests.

use rust_zstd::{CompressOptions, Compressor, Decompressor};

use super::Refusal;
use super::output::Output;

/// Compresses; keeps its context while the level stays.
#[derive(Default)]
pub(super) struct Encoder {
    context: Option<(i32, Compressor)>,
}

impl Encoder {
    pub(super) fn compress(
        &mut self,
        level: i32,
        input: &[u8],
        output: &mut Vec<u8>,
    ) -> Result<(), Refusal> {
        if self.context.as_ref().is_none_or(|(of, _)| *of != level) {
            let options = CompressOptions { level, ..CompressOptions::default() };
            self.context = Some((level, Compressor::new(options)));
        }
        let Some((_, context)) = &mut self.context else { return Err(Refusal::Failed) };
        context.compress(input, output);
        Ok(())
    }
}

/// Decompresses; keeps its context.
#[derive(Default)]
pub(super) struct Decoder {
    context: Option<Decompressor>,
}

impl Decoder {
    pub(super) fn decompress(
        &mut self,
        input: &[u8],
        output: &mut Output<'_>,
    ) -> Result<(), Refusal> {
        let bytes_max = content_max(input).ok_or(Refusal::Corrupt)?;
        let context = self.context.get_or_insert_with(Decompressor::new);
        if bytes_max <= output.left() as u64 && output.is_empty() {
            // No input with these blocks can grow past the limit, so that it may be decoded in one go.
            let decoded = output.append(|bytes| context.decompress_into(input, bytes));
            return decoded.map_err(|_| Refusal::Corrupt);
        }
        stream(context, input, output)
    }
}

/// Decodes piece by piece, and stops at the limit.
fn stream(
    context: &mut Decompressor,
    input: &[u8],
    output: &mut Output<'_>,
) -> Result<(), Refusal> {
    context.reset();
    // A window that reaches further back than there may be bytes is of no use.
    let log = usize::BITS - output.left().leading_zeros();
    context.set_window_log_max(log.clamp(WINDOW_LOG_MIN, WINDOW_LOG_MAX));
    let mut read = 0;
    let mut room = input.len().saturating_mul(4).clamp(ROOM_MIN, ROOM_MAX);
    loop {
        let read_before = read;
        let written = output.fill(room, |_, place| {
            let mut written = 0;
            let result = context.decompress_stream(input, &mut read, place, &mut written);
            result.map_err(|_| Refusal::Corrupt)?;
            Ok(written)
        })?;
        if read == input.len() && context.finish().is_ok() {
            return Ok(());
        }
        if output.left() == 0 {
            return Err(Refusal::TooLarge);
        }
        if written == 0 && read == read_before {
            return Err(Refusal::Corrupt);
        }
        room = (room * 2).min(ROOM_MAX);
    }
}

/// The most that the frames of `input` can hold, by their block headers alone; `None` where they contradict themselves
/// or are cut off.
///
/// Sizes that a frame states count only where they are possible, so that a lie cannot make the decoder reserve memory.
fn content_max(input: &[u8]) -> Option<u64> {
    let mut rest = input;
    let mut total = 0u64;
    while !rest.is_empty() {
        let magic = u32::from_le_bytes(take(&mut rest)?);
        if magic & !0xf == SKIPPABLE {
            let length = u32::from_le_bytes(take(&mut rest)?);
            rest = rest.get(length as usize..)?;
            continue;
        }
        if magic != MAGIC {
            return None;
        }
        let [descriptor] = take(&mut rest)?;
        let (single_segment, checksum) = (descriptor & 0x20 != 0, descriptor & 4 != 0);
        if !single_segment {
            let [_window] = take(&mut rest)?;
        }
        let dictionary_bytes = match descriptor & 3 {
            0 => 0,
            1 => 1,
            2 => 2,
            _ => 4,
        };
        rest = rest.get(dictionary_bytes..)?;
        let stated = match descriptor >> 6 {
            0 if single_segment => Some(u64::from(u8::from_le_bytes(take(&mut rest)?))),
            0 => None,
            1 => Some(u64::from(u16::from_le_bytes(take(&mut rest)?)) + 256),
            2 => Some(u64::from(u32::from_le_bytes(take(&mut rest)?))),
            _ => Some(u64::from_le_bytes(take(&mut rest)?)),
        };
        let possible = blocks_max(&mut rest)?;
        if checksum {
            rest = rest.get(4..)?;
        }
        match stated {
            Some(stated) if stated > possible => return None,
            Some(stated) => total = total.saturating_add(stated),
            None => total = total.saturating_add(possible),
        }
    }
    Some(total)
}

/// The most that a frame's blocks can hold; takes them from `rest`.
fn blocks_max(rest: &mut &[u8]) -> Option<u64> {
    let mut total = 0u64;
    loop {
        let [low, middle, high] = take(rest)?;
        let header = u32::from_le_bytes([low, middle, high, 0]);
        let (last, kind, size) = (header & 1 == 1, header >> 1 & 3, header >> 3);
        let (stored, possible) = match kind {
            RAW => (size, size),
            RLE => (1, size),
            COMPRESSED => (size, BLOCK_BYTES_MAX),
            _ => return None,
        };
        *rest = rest.get(stored as usize..)?;
        total = total.saturating_add(u64::from(possible));
        if last {
            return Some(total);
        }
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (field, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(*field)
}

const MAGIC: u32 = 0xfd2f_b528;
const SKIPPABLE: u32 = 0x184d_2a50;
const RAW: u32 = 0;
const RLE: u32 = 1;
const COMPRESSED: u32 = 2;

/// What a compressed block may hold at most, whatever the window.
const BLOCK_BYTES_MAX: u32 = 128 << 10;

/// 1 KiB and 128 MiB: what the format starts at, and what decoders take by default.
const WINDOW_LOG_MIN: u32 = 10;
const WINDOW_LOG_MAX: u32 = 27;

/// Steps in which the output grows.
const ROOM_MIN: usize = 4 << 10;
const ROOM_MAX: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame whose one block holds `size` bytes of its own, or of one byte's run.
    fn frame(header: &[u8], kind: u32, size: u32, trailer: usize) -> Vec<u8> {
        let mut frame = MAGIC.to_le_bytes().to_vec();
        frame.extend_from_slice(header);
        frame.extend_from_slice(&(size << 3 | kind << 1 | 1).to_le_bytes()[..3]);
        let stored = if kind == RLE { 1 } else { size as usize };
        frame.resize(frame.len() + stored + trailer, 0);
        frame
    }

    /// RFC 8878, 3.1.1: what a frame's header holds is skipped by its length, and no byte of it taken for another.
    #[test]
    fn a_frame_holds_what_it_states_whatever_else_its_header_has() {
        let known: [(&[u8], usize, Option<u64>); 12] = [
            // Single segments with 1, 2, 4 and 8 bytes of size; the second counts from 256.
            (&[0x20, 100], 0, Some(100)),
            (&[0x60, 44, 1], 0, Some(556)),
            (&[0xa0, 0x58, 2, 0, 0], 0, Some(600)),
            (&[0xe0, 0x58, 2, 0, 0, 0, 0, 0, 0], 0, Some(600)),
            // With a window, and with no size: as much as the block can hold.
            (&[0x40, 0x58, 44, 1], 0, Some(556)),
            (&[0x00, 0x58], 0, Some(1000)),
            // Dictionaries are named by 1, 2 and 4 bytes.
            (&[0x21, 9, 100], 0, Some(100)),
            (&[0x22, 9, 9, 100], 0, Some(100)),
            (&[0x23, 9, 9, 9, 9, 100], 0, Some(100)),
            // A checksum is behind the blocks.
            (&[0x24, 100], 4, Some(100)),
            (&[0x24, 100], 3, None),
            // More than the blocks can hold.
            (&[0xa0, 0xe9, 3, 0, 0], 0, None),
        ];
        for (header, trailer, expected) in known {
            let one = frame(header, RLE, 1000, trailer);
            assert_eq!(content_max(&one), expected, "{header:x?}");
            let two = [&one[..], &frame(&[0x20, 7], RAW, 7, 0)].concat();
            assert_eq!(content_max(&two), expected.map(|bytes| bytes + 7), "{header:x?}");
            for end in 1..one.len() {
                assert_eq!(content_max(&one[..end]), None, "{header:x?} cut at {end}");
            }
        }
        assert_eq!(content_max(&[]), Some(0));
    }

    #[test]
    fn a_block_holds_what_its_kind_can() {
        let header = [0x00, 0x58];
        assert_eq!(content_max(&frame(&header, RAW, 30, 0)), Some(30));
        assert_eq!(content_max(&frame(&header, RLE, 30, 0)), Some(30));
        assert_eq!(content_max(&frame(&header, COMPRESSED, 30, 0)), Some(128 << 10));
        assert_eq!(content_max(&frame(&header, 3, 30, 0)), None);
        // Three blocks, of which the last is marked.
        let mut blocks = frame(&header, RAW, 0, 0);
        blocks.truncate(6);
        for (size, last) in [(5u32, 0), (6, 0), (7, 1)] {
            blocks.extend_from_slice(&(size << 3 | last).to_le_bytes()[..3]);
            blocks.resize(blocks.len() + size as usize, 0);
        }
        assert_eq!(content_max(&blocks), Some(18));
        blocks.push(0);
        assert_eq!(content_max(&blocks), None, "no frame begins with this");
    }

    #[test]
    fn skippable_frames_are_skipped_by_their_length() {
        for magic in [0x50, 0x5f] {
            let skipped = [magic, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3];
            let after = [&skipped[..], &frame(&[0x20, 7], RAW, 7, 0)].concat();
            assert_eq!((content_max(&skipped), content_max(&after)), (Some(0), Some(7)));
            assert_eq!(content_max(&skipped[..10]), None);
        }
        assert_eq!(content_max(&[0x60, 0x2a, 0x4d, 0x18, 0, 0, 0, 0]), None);
    }
}
