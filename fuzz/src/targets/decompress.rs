//! Input: a byte for the codec and the level to compress again by, one for the limit, then compressed data.

use std::cell::RefCell;
use std::io::Read;
use std::panic::catch_unwind;

use milena_records::{
    BufferPool, Compression, CompressionType, Compressor, Decompressor, Error, Limits,
};

use crate::memory;

/// Output and memory stay within the limit; a used decompressor is as good as a new one; what was read survives being
/// compressed again; and another implementation of Zstandard reads the same.
pub(crate) fn run(data: &[u8]) {
    let Some(([codec, limit], input)) = data.split_first_chunk() else { return };
    let kind = kind(*codec);
    let mut limits = Limits::default();
    limits.bytes_max = BYTES_MAX.get(usize::from(*limit) % BYTES_MAX.len()).map_or(0, |max| *max);
    let output_max = limits.decompressed_max(input.len());

    // The buffer doubles, so that for a moment there are one and a half of it; the rest is a codec's context.
    let bytes_max = 2 * output_max + 2 * input.len() + CONTEXT_BYTES_MAX;
    let fresh = memory::within(bytes_max, || {
        let mut decompressor = Decompressor::new(limits, BufferPool::new(0, 0));
        decompress(&mut decompressor, kind, input)
    });
    let used = DECOMPRESSORS.with_borrow_mut(|all| {
        let place = usize::from(*limit) % BYTES_MAX.len();
        if all.len() <= place {
            all.resize_with(BYTES_MAX.len(), || None);
        }
        let one = all
            .get_mut(place)
            .map(|one| one.get_or_insert_with(|| Decompressor::new(limits, BufferPool::new(0, 0))));
        one.map(|one| decompress(one, kind, input))
    });
    assert!(used.is_none_or(|used| used == fresh), "{kind}: a used decompressor differs");
    let output = match fresh {
        Ok(output) => output,
        Err(Error::CorruptCompression(_) | Error::DecompressedTooLarge { .. }) => return,
        Err(e) => panic!("{kind}: {e}"),
    };
    assert!(output.len() <= output_max, "{kind}: {} bytes of {output_max}", output.len());
    if output.len() > COMPARED_BYTES_MAX {
        return;
    }
    if kind == CompressionType::Zstd {
        compare(input, &output);
    }
    let mut again = Vec::new();
    let mut compression = Compression::new(kind);
    if kind == CompressionType::Gzip {
        let level = GZIP_LEVELS.get(usize::from(*codec / 4) % GZIP_LEVELS.len()).copied();
        let with_level = compression.with_level(level.unwrap_or(-1));
        compression = with_level.unwrap_or_else(|e| panic!("{kind}: {e}"));
    }
    let compressed = Compressor::new().compress(compression, &output, &mut again);
    compressed.unwrap_or_else(|e| panic!("{kind}: {e}"));
    let back = decompress(&mut Decompressor::default(), kind, &again);
    assert!(back.as_ref() == Ok(&output), "{kind}: not the same after being compressed again");
}

/// The codec that a byte chooses.
pub(crate) fn kind(byte: u8) -> CompressionType {
    match byte % 4 {
        0 => CompressionType::Gzip,
        1 => CompressionType::Snappy,
        2 => CompressionType::Lz4,
        _ => CompressionType::Zstd,
    }
}

fn decompress(
    decompressor: &mut Decompressor,
    kind: CompressionType,
    input: &[u8],
) -> Result<Vec<u8>, Error> {
    let mut output = Vec::new();
    decompressor.decompress(kind, input, &mut output).map(|()| output)
}

/// Has another implementation read what ours has read. Where that one refuses, or breaks, nothing is said about ours.
fn compare(input: &[u8], ours: &[u8]) {
    let theirs = catch_unwind(|| {
        let mut rest = input;
        let mut theirs = Vec::new();
        let mut decoder = structured_zstd::decoding::StreamingDecoder::new(&mut rest);
        decoder.by_ref().take(COMPARED_BYTES_MAX as u64 + 1).read_to_end(&mut theirs).ok()?;
        drop(decoder);
        Some((theirs, rest.is_empty()))
    });
    let Ok(Some((theirs, is_all))) = theirs else { return };
    // It stops after the first frame.
    assert!(ours.starts_with(&theirs), "zstd: structured-zstd reads something else");
    assert!(!is_all || ours.len() == theirs.len(), "zstd: structured-zstd reads less");
}

/// Limits to run into; the last is the default.
const BYTES_MAX: [usize; 4] = [1 << 10, 64 << 10, 1 << 20, 64 << 20];

/// One of each of our own efforts.
const GZIP_LEVELS: [i32; 3] = [1, 6, 7];

/// Tables and windows of the largest codec, whatever the limit.
const CONTEXT_BYTES_MAX: usize = 8 << 20;

/// Above this, comparing takes longer than finding the next input.
const COMPARED_BYTES_MAX: usize = 64 << 10;

thread_local! {
    /// One a limit, kept from input to input.
    static DECOMPRESSORS: RefCell<Vec<Option<Decompressor>>> = const { RefCell::new(Vec::new()) };
}
