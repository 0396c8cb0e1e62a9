//! Damaged frames of every message in every version: none makes the reader panic, hang or hold much memory.
//!
//! Positions of lengths are not looked for: every position of a sample is taken for one, in each of the forms that a
//! length can have, so that none is missed.

use bytes::Bytes;
use milena_wire::{DecodeError, DecodeErrorKind, Reader, Writer};

use crate::memory;
use crate::sample::{Sample, samples};

#[test]
fn a_frame_cut_short_anywhere_is_an_error() {
    let mut cases = 0;
    for sample in damaged() {
        for len in 0..sample.frame.len() {
            let error = read(&sample, sample.frame.slice(..len)).expect_err(&sample.to_string());
            let expected = matches!(
                error.kind(),
                DecodeErrorKind::Truncated | DecodeErrorKind::LengthOutOfRange
            );
            assert!(expected, "{sample} cut to {len}: {error}");
            cases += 1;
        }
    }
    println!("{cases} truncations");
}

#[test]
fn bytes_after_the_end_are_an_error() {
    for sample in damaged() {
        let frame = [&sample.frame[..], &[0]].concat();
        let error = read(&sample, frame.into()).expect_err(&sample.to_string());
        assert_eq!(error.kind(), DecodeErrorKind::TrailingBytes, "{sample}");
        assert_eq!(error.offset(), sample.frame.len(), "{sample}");
    }
}

/// What is read can be written again: the compact form has room for text that Kafka neither writes nor takes.
#[test]
fn text_beyond_the_old_limit_is_refused_in_the_compact_form_too() {
    let compact = |len: usize| {
        // One more than the length, in three groups of seven bits.
        let more = len + 1;
        let prefix = [more as u8 | 0x80, (more >> 7) as u8 | 0x80, (more >> 14) as u8];
        Reader::new([&prefix[..], &vec![b'a'; len]].concat().into())
    };
    let text = compact(32_767).string(true).unwrap();
    assert_eq!(text.len(), 32_767);
    Writer::new().string(&text, true).unwrap();
    let error = compact(32_768).string(true).unwrap_err();
    assert_eq!(error.kind(), DecodeErrorKind::LengthOutOfRange);
}

#[test]
fn a_flipped_bit_is_harmless() {
    let (mut cases, mut errors) = (0, 0);
    for sample in damaged() {
        for bit in 0..sample.frame.len() * 8 {
            let mut frame = sample.frame.to_vec();
            frame[bit / 8] ^= 1 << (bit % 8);
            errors += usize::from(read(&sample, frame.into()).is_err());
            cases += 1;
        }
    }
    println!("{cases} flipped bits, {errors} of them noticed");
}

#[test]
fn a_false_length_is_harmless() {
    let (mut cases, mut errors) = (0, 0);
    for sample in damaged() {
        for at in 0..sample.frame.len() {
            for (old, new) in false_lengths(sample.frame.len() - at) {
                let Some(rest) = sample.frame.get(at + old..) else { continue };
                let frame = [&sample.frame[..at], &new, rest].concat();
                errors += usize::from(read(&sample, frame.into()).is_err());
                cases += 1;
            }
        }
    }
    println!("{cases} false lengths, {errors} of them noticed");
}

/// What a frame of one byte over and over claims is the most there is to claim.
#[test]
fn a_frame_of_claims_holds_no_more_than_its_share() {
    let mut cases = 0;
    for sample in samples().into_iter().filter(|sample| sample.name == "full") {
        for byte in [0x00, 0x01, 0x02, 0x10, 0x7f, 0x80, 0xff] {
            for start in [0, 16, sample.frame.len() / 2] {
                let mut frame = sample.frame[..start.min(sample.frame.len())].to_vec();
                frame.resize(64 * 1024, byte);
                _ = read(&sample, frame.into());
                cases += 1;
            }
        }
    }
    println!("{cases} frames of claims");
}

/// The fullest and the emptiest of each message and version: with unknown tagged fields, where there can be some.
fn damaged() -> Vec<Sample> {
    let mut samples = samples();
    let has_tags: Vec<_> =
        samples.iter().filter(|s| s.name == "tags").map(|s| (s.kind, s.version)).collect();
    samples.retain(|s| match s.name.as_str() {
        "full" => !has_tags.contains(&(s.kind, s.version)),
        name => name != "null",
    });
    samples
}

/// −1, 0, more than remains by one, and the largest, in each form of a length, with how many bytes they replace.
fn false_lengths(remaining: usize) -> Vec<(usize, Vec<u8>)> {
    let mut lengths = Vec::new();
    for (bytes, width) in [(2, 2), (4, 4)] {
        let more = (remaining - remaining.min(bytes) + 1) as i32;
        for value in [-1, 0, more, i32::MAX] {
            let value = if width == 2 { i32::from(value.min(0x7fff) as i16) } else { value };
            lengths.push((bytes, value.to_be_bytes()[4 - width..].to_vec()));
        }
    }
    // Compact lengths count from one, and tagged fields and their sizes from zero.
    let more = remaining as u32 + 1;
    for value in [0, 1, more, more + 1, i32::MAX.unsigned_abs(), u32::MAX] {
        lengths.push((1, varint(value)));
    }
    // A number that never ends.
    lengths.push((1, vec![0xff; 11]));
    lengths
}

fn varint(mut value: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// Reads within bounds, and says where it failed.
fn read(sample: &Sample, frame: Bytes) -> Result<(), DecodeError> {
    let len = frame.len();
    let (peak, result) = memory::peak(|| sample.kind.decode(sample.version, frame).map(drop));
    // The frame itself is one of the eight.
    assert!(peak <= 7 * len + (1 << 20), "{sample}: {peak} bytes held for {len}");
    if let Err(error) = &result {
        assert!(error.offset() <= len, "{sample}: {error}");
        let is_whole = matches!(
            error.kind(),
            DecodeErrorKind::TrailingBytes | DecodeErrorKind::UnsupportedVersion
        );
        assert!(is_whole || !error.path().is_empty(), "{sample}: {error}");
    }
    result
}
