//! LZ4's frame format over lz4_flex's blocks, or over those of our own high-compression match finder.
//!
//! The frame layer is ours because the crate's copies every block once more each way, and because of the wrong header
//! checksum of Kafka's early messages.

mod hc;
mod xxh32;

use lz4_flex::block::{
    CompressTable, compress_into_with_table, decompress_into_with_dict, get_maximum_output_size,
};

use self::hc::MatchFinder;
use self::xxh32::xxh32;
use super::Refusal;
use super::output::Output;

/// Compresses; keeps its tables.
#[derive(Default)]
pub(super) struct Encoder {
    fast: Option<CompressTable>,
    high: MatchFinder,
    /// Where a block is compressed to: clearing room for the worst case in the output would cost more than the copy.
    block: Vec<u8>,
}

impl Encoder {
    /// Java's client takes the fast compressor at the default level, 9, and the high-compression one at every other.
    pub(super) fn compress(
        &mut self,
        level: i32,
        input: &[u8],
        output: &mut Vec<u8>,
    ) -> Result<(), Refusal> {
        self.block.resize(get_maximum_output_size(BLOCK_BYTES), 0);
        output.extend_from_slice(&HEADER);
        for block in input.chunks(BLOCK_BYTES) {
            let written = if level == DEFAULT_LEVEL {
                let table = self.fast.get_or_insert_with(CompressTable::large);
                compress_into_with_table(block, &mut self.block, table)
                    .map_err(|_| Refusal::Failed)?
            } else {
                self.high.compress(level, block, &mut self.block)
            };
            match self.block.get(..written) {
                Some(compressed) if written < block.len() => {
                    output.extend_from_slice(&(written as u32).to_le_bytes());
                    output.extend_from_slice(compressed);
                }
                _ => {
                    output.extend_from_slice(&(block.len() as u32 | STORED).to_le_bytes());
                    output.extend_from_slice(block);
                }
            }
        }
        output.extend_from_slice(&END);
        Ok(())
    }
}

/// Decompresses; LZ4 needs no context.
#[derive(Default)]
pub(super) struct Decoder;

impl Decoder {
    pub(super) fn decompress(
        &mut self,
        input: &[u8],
        output: &mut Output<'_>,
    ) -> Result<(), Refusal> {
        frame(input, output, true)
    }

    /// As [`decompress`](Self::decompress), for messages of format 0: early clients computed the header's checksum
    /// over the wrong bytes, and readers have not checked it since (KAFKA-3160).
    pub(super) fn decompress_magic_0(
        &mut self,
        input: &[u8],
        output: &mut Output<'_>,
    ) -> Result<(), Refusal> {
        frame(input, output, false)
    }
}

/// Reads one frame; what follows it is ignored, as Java does.
fn frame(input: &[u8], output: &mut Output<'_>, check_header: bool) -> Result<(), Refusal> {
    let mut rest = input;
    let start = output.produced();
    let descriptor = Descriptor::take(&mut rest, check_header).ok_or(Refusal::Corrupt)?;
    loop {
        let length = u32::from_le_bytes(take(&mut rest)?);
        if length == 0 {
            break;
        }
        let stored = length & STORED != 0;
        let length = (length & !STORED) as usize;
        if length > descriptor.block_bytes_max {
            return Err(Refusal::Corrupt);
        }
        let (block, after) = rest.split_at_checked(length).ok_or(Refusal::Corrupt)?;
        rest = after;
        if descriptor.block_checksums && u32::from_le_bytes(take(&mut rest)?) != xxh32(block) {
            return Err(Refusal::Corrupt);
        }
        if stored {
            output.extend(block)?;
            continue;
        }
        let possible = length.saturating_mul(RATIO_MAX).min(descriptor.block_bytes_max);
        let fits = possible <= output.left();
        output.fill(possible, |before, place| {
            // A block of its own gets no history. The refusal of one that does not fit into what is left is the
            // limit's, not the data's.
            let history = if descriptor.blocks_depend { window(before, start) } else { &[] };
            let refusal = if fits { Refusal::Corrupt } else { Refusal::TooLarge };
            decompress_into_with_dict(block, place, history).map_err(|_| refusal)
        })?;
    }
    let content = output.written().get(start..).unwrap_or_default();
    if descriptor.content_bytes.is_some_and(|stated| stated != content.len() as u64) {
        return Err(Refusal::Corrupt);
    }
    // The content's checksum, where there is one, is not computed, nor is it in Java's client: the batch's covers the
    // same bytes as they travelled, and here it would be a fifth of the whole cost of reading.
    Ok(())
}

/// What a frame says of itself.
struct Descriptor {
    blocks_depend: bool,
    block_checksums: bool,
    block_bytes_max: usize,
    content_bytes: Option<u64>,
}

impl Descriptor {
    fn take(rest: &mut &[u8], check_header: bool) -> Option<Self> {
        let magic: [u8; 4] = take(rest).ok()?;
        if magic != MAGIC {
            return None;
        }
        let whole = *rest;
        let [flags, sizes] = take(rest).ok()?;
        // Version 1, no reserved bit, no dictionary, which Kafka has no way to name.
        if flags >> 6 != 1 || flags & 0x03 != 0 || sizes & 0x8f != 0 {
            return None;
        }
        let block_bytes_max = match sizes >> 4 {
            4 => 64 << 10,
            5 => 256 << 10,
            6 => 1 << 20,
            7 => 4 << 20,
            _ => return None,
        };
        let content_bytes = match flags & 0x08 {
            0 => None,
            _ => Some(u64::from_le_bytes(take(rest).ok()?)),
        };
        let covered = whole.get(..whole.len() - rest.len())?;
        let [checksum] = take(rest).ok()?;
        if check_header && checksum != (xxh32(covered) >> 8) as u8 {
            return None;
        }
        Some(Self {
            blocks_depend: flags & 0x20 == 0,
            block_checksums: flags & 0x10 != 0,
            block_bytes_max,
            content_bytes,
        })
    }
}

/// The last 64 KiB of a frame's output, which a block may copy from.
fn window(before: &[u8], frame_start: usize) -> &[u8] {
    let start = before.len().saturating_sub(BLOCK_BYTES).max(frame_start);
    before.get(start..).unwrap_or_default()
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], Refusal> {
    let (field, after) = rest.split_first_chunk().ok_or(Refusal::Corrupt)?;
    *rest = after;
    Ok(*field)
}

const DEFAULT_LEVEL: i32 = 9;

/// Java's and ours; also how far back a match may reach.
const BLOCK_BYTES: usize = 64 << 10;

/// Marks a block's length: the block is not compressed.
const STORED: u32 = 1 << 31;

/// The best that LZ4 can do is 255 bytes for one more byte of a match's length.
const RATIO_MAX: usize = 256;

const MAGIC: [u8; 4] = [0x04, 0x22, 0x4d, 0x18];

/// Version 1, independent blocks of at most 64 KiB, no checksums but that of the two bytes, as Java's client writes it.
const HEADER: [u8; 7] = [0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82];

/// A block of no bytes.
const END: [u8; 4] = [0; 4];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_s_checksum_is_that_of_its_bytes() {
        let [.., flags, sizes, checksum] = HEADER;
        assert_eq!((xxh32(&[flags, sizes]) >> 8) as u8, checksum);
    }

    /// As Java's client does: to read a block that saves nothing costs more than to copy it.
    #[test]
    fn a_block_that_compression_makes_no_smaller_is_stored() {
        // Twenty literals, the first of them once more, and twelve literals. As a sequence of its own the match costs a
        // token and an offset, and each run of 15 literals and more a byte of length.
        let block = |matched: usize| {
            let distinct: Vec<u8> = (100..120).collect();
            [&distinct[..], &distinct[..matched], b"abcdefghijkl"].concat()
        };
        for level in [DEFAULT_LEVEL, 12] {
            for (matched, is_stored) in [(5, true), (6, false)] {
                let block = block(matched);
                let mut encoder = Encoder::default();
                let mut bytes = Vec::new();
                encoder.compress(level, &block, &mut bytes).unwrap();
                let length = u32::from_le_bytes(*bytes[HEADER.len()..].first_chunk().unwrap());
                let least = block.len() as u32 - u32::from(!is_stored);
                let expected = if is_stored { least | STORED } else { least };
                assert_eq!(length, expected, "a match of {matched} bytes at level {level}");
                assert_eq!(read(&bytes).unwrap(), block);
            }
        }
    }

    /// A frame of blocks that are written as they are given, each with its length, and a checksum where flags say so.
    fn framed(flags: u8, sizes: u8, stated: Option<u64>, blocks: &[(u32, &[u8])]) -> Vec<u8> {
        let mut descriptor = vec![flags, sizes];
        descriptor.extend(stated.iter().flat_map(|stated| stated.to_le_bytes()));
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&descriptor);
        bytes.push((xxh32(&descriptor) >> 8) as u8);
        for (stored, block) in blocks {
            bytes.extend_from_slice(&(block.len() as u32 | stored).to_le_bytes());
            bytes.extend_from_slice(block);
            if flags & 0x10 != 0 {
                bytes.extend_from_slice(&xxh32(block).to_le_bytes());
            }
        }
        bytes.extend_from_slice(&END);
        bytes
    }

    fn read(bytes: &[u8]) -> Result<Vec<u8>, Refusal> {
        let mut output = Vec::new();
        frame(bytes, &mut Output::new(&mut output, 64 << 20), true)?;
        Ok(output)
    }

    /// Other clients write larger blocks than Java's.
    #[test]
    fn a_block_is_as_large_as_its_frame_allows() {
        for (size, bytes_max) in [(4, 64 << 10), (5, 256 << 10), (6, 1 << 20), (7, 4 << 20)] {
            let block = vec![3; bytes_max + 1];
            let fits = framed(0x60, size << 4, None, &[(STORED, &block[..bytes_max])]);
            assert_eq!(read(&fits).map(|read| read.len()), Ok(bytes_max));
            let larger = framed(0x60, size << 4, None, &[(STORED, &block)]);
            assert_eq!(read(&larger), Err(Refusal::Corrupt));
        }
    }

    #[test]
    fn a_descriptor_that_is_not_of_this_format_is_refused() {
        assert!(read(&framed(0x60, 0x40, None, &[])).is_ok());
        for (flags, sizes) in [
            (0x20, 0x40),
            (0xe0, 0x40),
            (0x61, 0x40),
            (0x62, 0x40),
            (0x60, 0x30),
            (0x60, 0x41),
            (0x60, 0xc0),
        ] {
            let refused = read(&framed(flags, sizes, None, &[]));
            assert_eq!(refused, Err(Refusal::Corrupt), "{flags:x} {sizes:x}");
        }
    }

    #[test]
    fn what_a_frame_states_of_its_content_is_held_against_it() {
        for (stated, is_right) in [(5, true), (4, false), (6, false)] {
            let bytes = framed(0x68, 0x40, Some(stated), &[(STORED, b"abcde")]);
            assert_eq!(read(&bytes).is_ok(), is_right, "{stated}");
        }
        let mut checked = framed(0x70, 0x40, None, &[(STORED, b"abcde"), (STORED, b"fg")]);
        assert_eq!(read(&checked).unwrap(), b"abcdefg");
        let at = checked.len() - END.len() - 1;
        checked[at] ^= 1;
        assert_eq!(read(&checked), Err(Refusal::Corrupt));
    }

    /// A block may copy from the one before it where the frame says that blocks depend on each other, and nowhere else.
    #[test]
    fn blocks_that_depend_see_what_came_before() {
        // A match of 8 bytes, 8 bytes back; then five literals, with which every block ends.
        let copy = *b"\x04\x08\0\x50vwxyz";
        let blocks = [(STORED, &b"abcdefgh"[..]), (0, &copy[..])];
        assert_eq!(read(&framed(0x40, 0x40, None, &blocks)).unwrap(), b"abcdefghabcdefghvwxyz");
        assert_eq!(read(&framed(0x60, 0x40, None, &blocks)), Err(Refusal::Corrupt));
    }
}
