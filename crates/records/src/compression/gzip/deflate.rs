//! DEFLATE (RFC 1951) of a whole buffer: the search for matches and the writing of blocks, by turns.

use super::super::Refusal;
use super::block::BitWriter;
use super::matches::MatchFinder;
use super::tokens::Tokens;

/// Compresses; keeps its tables, about 0.8 MiB.
#[derive(Default)]
pub(super) struct Deflate {
    finder: MatchFinder,
    tokens: Tokens,
}

/// How hard the search tries.
#[derive(Clone, Copy, Debug)]
pub(super) enum Effort {
    /// Takes the first match, and remembers one position of four inside of it.
    Fast,
    /// Looks for a longer match one position ahead and at the end of the one found; remembers one position of three.
    Usual,
    /// As that, with two candidates at each position, every one of which is remembered.
    Thorough,
}

impl Deflate {
    /// Appends `input`, compressed, to `output`.
    pub(super) fn compress(
        &mut self,
        effort: Effort,
        input: &[u8],
        output: &mut Vec<u8>,
    ) -> Result<(), Refusal> {
        let start = output.len();
        // Each block is stored where that is smaller: five bytes for at most 64 KiB, and for the block, which is of no less
        // than half of that. The writer itself takes eight bytes at a time.
        output.resize(start + input.len() + (input.len() >> 11) + 64, 0);
        let mut writer = BitWriter::new(output.get_mut(start..).unwrap_or_default());
        self.finder.start(input.len());
        let mut position = 0;
        loop {
            self.tokens.clear();
            let end = self.finder.search(effort, input, position, &mut self.tokens);
            let last = end == input.len();
            let bytes = input.get(position..end).unwrap_or_default();
            self.tokens.write_block(bytes, last, &mut writer);
            position = end;
            if last {
                break;
            }
        }
        let written = writer.finish().ok_or(Refusal::Failed)?;
        output.truncate(start + written);
        self.finder.finish(input.len());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compress(deflate: &mut Deflate, input: &[u8]) -> Vec<u8> {
        let mut output = Vec::new();
        deflate.compress(Effort::Usual, input, &mut output).unwrap();
        output
    }

    /// Positions are counted on through all buffers, and begin anew before they no longer fit.
    #[test]
    fn the_four_billionth_byte_changes_nothing() {
        let input: Vec<u8> = (0..3000u32).flat_map(|i| (i * i % 1000).to_le_bytes()).collect();
        let known = compress(&mut Deflate::default(), &input);
        assert!(known.len() < input.len());
        for left in [1, 100, 12_000, 12_001, 30_000] {
            let mut deflate = Deflate::default();
            compress(&mut deflate, b"tables");
            deflate.finder.move_base(u32::MAX - left);
            for _ in 0..3 {
                assert!(compress(&mut deflate, &input) == known, "{left}");
            }
        }
    }
}
