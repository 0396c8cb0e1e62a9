//! Snappy, in the framing of Java's xerial library, which Kafka's Java client writes, or raw, as others write it.

use snap::raw::{Decoder as RawDecoder, Encoder as RawEncoder, decompress_len, max_compress_len};

use super::Refusal;
use super::output::Output;

/// Compresses; keeps its hash table.
pub(super) struct Encoder {
    context: RawEncoder,
    /// Where a block is compressed to: clearing room for the worst case in the output would cost more than the copy.
    block: Vec<u8>,
}

impl Default for Encoder {
    fn default() -> Self {
        Self { context: RawEncoder::new(), block: Vec::new() }
    }
}

impl Encoder {
    pub(super) fn compress(
        &mut self,
        _level: i32,
        input: &[u8],
        output: &mut Vec<u8>,
    ) -> Result<(), Refusal> {
        self.block.resize(max_compress_len(BLOCK_BYTES), 0);
        output.extend_from_slice(&MAGIC);
        output.extend_from_slice(&VERSIONS);
        for block in input.chunks(BLOCK_BYTES) {
            let written = self.context.compress(block, &mut self.block);
            let written = written.map_err(|_| Refusal::Failed)?;
            output.extend_from_slice(&(written as u32).to_be_bytes());
            output.extend_from_slice(self.block.get(..written).unwrap_or_default());
        }
        Ok(())
    }
}

/// Decompresses; snappy needs no context.
#[derive(Default)]
pub(super) struct Decoder;

impl Decoder {
    pub(super) fn decompress(
        &mut self,
        input: &[u8],
        output: &mut Output<'_>,
    ) -> Result<(), Refusal> {
        if !input.starts_with(&MAGIC) {
            return raw(input, output);
        }
        let mut rest = input;
        while !rest.is_empty() {
            // Concatenated streams repeat the header between blocks.
            if let Some(after) = rest.strip_prefix(&MAGIC) {
                rest = after.get(VERSIONS.len()..).ok_or(Refusal::Corrupt)?;
                continue;
            }
            let (length, after) = rest.split_first_chunk().ok_or(Refusal::Corrupt)?;
            let length = u32::from_be_bytes(*length) as usize;
            let (block, after) = after.split_at_checked(length).ok_or(Refusal::Corrupt)?;
            raw(block, output)?;
            rest = after;
        }
        Ok(())
    }
}

fn raw(block: &[u8], output: &mut Output<'_>) -> Result<(), Refusal> {
    let stated = decompress_len(block).map_err(|_| Refusal::Corrupt)?;
    // What no input of this length could become is a lie, and is not allocated.
    if stated > block.len().saturating_mul(RATIO_MAX) {
        return Err(Refusal::Corrupt);
    }
    if stated > output.left() {
        return Err(Refusal::TooLarge);
    }
    let decode = |_: &[u8], place: &mut [u8]| {
        RawDecoder::new().decompress(block, place).map_err(|_| Refusal::Corrupt)
    };
    output.fill(stated, decode)?;
    Ok(())
}

const MAGIC: [u8; 8] = *b"\x82SNAPPY\0";

/// The version that writes and the oldest that reads: 1 and 1.
const VERSIONS: [u8; 8] = [0, 0, 0, 1, 0, 0, 0, 1];

/// What Java's client gathers before it compresses.
const BLOCK_BYTES: usize = 32 << 10;

/// The best that snappy can do is a copy of 64 bytes in an element of 3.
const RATIO_MAX: usize = 22;
