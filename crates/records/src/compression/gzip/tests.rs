use zlib_rs::{Inflate, InflateFlush, Status};

use super::block::BitWriter;
use super::deflate::{Deflate, Effort};
use super::huffman::Code;
use super::matches::MatchFinder;
use super::tokens::Tokens;

/// Without a limit, the code of Fibonacci's numbers has as many lengths as there are symbols.
#[test]
fn a_code_of_limited_length_is_complete() {
    for limit in [15, 7] {
        let mut counts = [1u32; 30];
        for at in 2..counts.len() {
            counts[at] = counts[at - 1] + counts[at - 2];
        }
        let lengths = Code::of(&counts, limit).lengths.map(usize::from);
        assert_eq!(lengths.iter().max(), Some(&limit));
        assert!(lengths.is_sorted_by(|a, b| a >= b), "{lengths:?}");
        let taken: usize = lengths.iter().map(|length| 1 << (limit - length)).sum();
        assert_eq!(taken, 1 << limit, "{lengths:?}");
    }
}

#[test]
fn a_fixed_block_holds_every_extreme() {
    let input = Input::after_noise().noise(20).extremes();
    let written = input.write();
    assert_eq!(written[BEHIND_NOISE] & 7, 0b011);
    assert!(inflate(&written, input.bytes.len()) == input.bytes);
}

#[test]
fn a_block_of_its_own_code_holds_every_extreme() {
    let input = Input::after_noise().literals(&b"ab".repeat(200)).extremes();
    let written = input.write();
    assert_eq!(written[BEHIND_NOISE] & 7, 0b101);
    assert!(inflate(&written, input.bytes.len()) == input.bytes);
}

#[test]
fn noise_is_stored() {
    let input = Input::after_noise().noise(300);
    let written = input.write();
    assert_eq!(written[BEHIND_NOISE] & 7, 0b001);
    assert!(inflate(&written, input.bytes.len()) == input.bytes);
}

/// A stored block holds 65,535 bytes. Here no tokens stand for them, as if the search had broken off.
#[test]
fn what_tokens_do_not_stand_for_is_stored() {
    let mut tokens = Tokens::default();
    tokens.clear();
    for (len, blocks) in [(1, 1), (65_535, 1), (65_536, 2)] {
        let bytes = noise(len);
        let written = write(&[(&bytes, &tokens)]);
        assert_eq!(written.len(), len + 5 * blocks);
        assert_eq!(written[0] & 7, if blocks == 1 { 0b001 } else { 0b000 });
        assert!(blocks == 1 || written[5 + 65_535] & 7 == 0b001);
        assert!(inflate(&written, len) == bytes);
    }
}

#[test]
fn more_tokens_than_there_is_room_for_lose_nothing() {
    let mut tokens = Tokens::default();
    tokens.clear();
    let bytes = vec![7; tokens.room() + 1];
    tokens.push_literals(&bytes);
    assert_eq!(tokens.bytes(), bytes.len() - 1);
    assert!(inflate(&write(&[(&bytes, &tokens)]), bytes.len()) == bytes);
}

#[test]
fn a_search_without_tables_loses_nothing() {
    let (mut finder, mut tokens) = (MatchFinder::default(), Tokens::default());
    tokens.clear();
    let bytes = vec![7; 1000];
    let end = finder.search(Effort::Usual, &bytes, 0, &mut tokens);
    assert!(inflate(&write(&[(&bytes[..end], &tokens)]), 1000) == bytes);
}

/// The window of 32 KiB is used to its last byte, and no further.
#[test]
fn a_match_is_found_at_32_768_bytes_and_not_at_32_769() {
    let noise = noise(80);
    let (repeated, behind) = noise.split_at(40);
    for effort in [Effort::Fast, Effort::Usual, Effort::Thorough] {
        let [near, far] = [32_768, 32_769].map(|distance| {
            let gap = vec![0; distance - repeated.len()];
            let input = [repeated, &gap, repeated, behind].concat();
            let mut output = Vec::new();
            Deflate::default().compress(effort, &input, &mut output).unwrap();
            assert!(inflate(&output, input.len()) == input, "{effort:?}");
            output.len()
        });
        assert!(near + 30 < far, "{effort:?}: {near}, {far}");
    }
}

/// Bytes in two blocks, of which the first is stored and as long as the window, with the tokens of the second.
struct Input {
    bytes: Vec<u8>,
    tokens: Tokens,
}

impl Input {
    fn after_noise() -> Self {
        let mut tokens = Tokens::default();
        tokens.clear();
        Self { bytes: noise(WINDOW), tokens }
    }

    fn literals(mut self, bytes: &[u8]) -> Self {
        self.bytes.extend_from_slice(bytes);
        self.tokens.push_literals(bytes);
        self
    }

    fn noise(self, len: usize) -> Self {
        self.literals(&noise(len))
    }

    /// Matches of the least and the greatest lengths and distances, and those beside them.
    fn extremes(mut self) -> Self {
        for length in [3, 257, 258] {
            for distance in [1, 2, 32_767, 32_768] {
                for _ in 0..length {
                    self.bytes.push(self.bytes[self.bytes.len() - distance]);
                }
                self.tokens.push_match(length, distance);
            }
        }
        self
    }

    fn write(&self) -> Vec<u8> {
        let (first, second) = self.bytes.split_at(WINDOW);
        let mut tokens = Tokens::default();
        tokens.clear();
        tokens.push_literals(first);
        let written = write(&[(first, &tokens), (second, &self.tokens)]);
        assert_eq!(written[0] & 7, 0b000);
        written
    }
}

fn write(blocks: &[(&[u8], &Tokens)]) -> Vec<u8> {
    let room = blocks.iter().map(|(bytes, _)| bytes.len() + 100).sum();
    let mut written = vec![0; room];
    let mut writer = BitWriter::new(&mut written);
    for (at, (bytes, tokens)) in blocks.iter().enumerate() {
        tokens.write_block(bytes, at + 1 == blocks.len(), &mut writer);
    }
    let len = writer.finish().unwrap();
    written.truncate(len);
    written
}

/// By zlib-rs, to the last byte of what is there.
fn inflate(deflated: &[u8], len: usize) -> Vec<u8> {
    let mut inflate = Inflate::new(false, 15);
    let mut output = vec![0; len + 1];
    let status = inflate.decompress(deflated, &mut output, InflateFlush::Finish);
    assert_eq!(status, Ok(Status::StreamEnd));
    assert_eq!(inflate.total_in(), deflated.len() as u64);
    output.truncate(inflate.total_out() as usize);
    output
}

fn noise(len: usize) -> Vec<u8> {
    let mut rng = fastrand::Rng::with_seed(len as u64);
    (0..len).map(|_| rng.u8(1..)).collect()
}

const WINDOW: usize = 32 << 10;

/// Where a block begins that follows the stored one.
const BEHIND_NOISE: usize = 5 + WINDOW;
