//! What each codec costs; `ratios` holds it against the block crate underneath.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a bench"
)]

mod payload;

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use milena_records::{BufferPool, Compression, CompressionType, Compressor, Decompressor, Limits};
use payload::{Payload, section};

fn main() {
    divan::main();
}

type Level = (CompressionType, i32);

const LEVELS: [Level; 15] = [
    (CompressionType::Snappy, 0),
    (CompressionType::Lz4, 9),
    (CompressionType::Lz4, 1),
    (CompressionType::Lz4, 3),
    (CompressionType::Lz4, 6),
    (CompressionType::Lz4, 8),
    (CompressionType::Lz4, 10),
    (CompressionType::Lz4, 12),
    (CompressionType::Gzip, 1),
    (CompressionType::Gzip, 6),
    (CompressionType::Gzip, 7),
    (CompressionType::Gzip, 9),
    (CompressionType::Zstd, 1),
    (CompressionType::Zstd, 3),
    (CompressionType::Zstd, 6),
];

const CASES: [(Payload, usize); 6] = [
    (Payload::Json, 16 << 10),
    (Payload::Json, 1 << 20),
    (Payload::Avro, 16 << 10),
    (Payload::Avro, 1 << 20),
    (Payload::Letters, 16 << 10),
    (Payload::Letters, 1 << 20),
];

#[divan::bench(args = LEVELS, consts = [0, 1, 2, 3, 4, 5], max_time = 0.2)]
fn compress<const CASE: usize>(bencher: Bencher<'_, '_>, level: Level) {
    let input = section(CASES[CASE].0, CASES[CASE].1);
    let (mut compressor, compression) = (Compressor::new(), compression(level));
    let mut output = Vec::with_capacity(2 << 20);
    bencher.counter(BytesCount::new(input.len())).bench_local(|| {
        output.clear();
        compressor.compress(compression, black_box(&input), &mut output).expect("ours");
        output.len()
    });
}

#[divan::bench(args = LEVELS, consts = [0, 1, 2, 3, 4, 5], max_time = 0.2)]
fn decompress<const CASE: usize>(bencher: Bencher<'_, '_>, level: Level) {
    let input = section(CASES[CASE].0, CASES[CASE].1);
    let packed = compressed(level, &input);
    let mut decompressor = Decompressor::new(Limits::default(), BufferPool::new(2, 4 << 20));
    let mut output = Vec::with_capacity(2 << 20);
    bencher.counter(BytesCount::new(input.len())).bench_local(|| {
        output.clear();
        decompressor.decompress(level.0, black_box(&packed), &mut output).expect("ours");
        output.len()
    });
}

fn compression((kind, level): Level) -> Compression {
    let compression = Compression::new(kind);
    if kind == CompressionType::Snappy {
        compression
    } else {
        compression.with_level(level).expect("known")
    }
}

fn compressed(level: Level, input: &[u8]) -> Vec<u8> {
    let mut output = Vec::new();
    Compressor::new().compress(compression(level), input, &mut output).expect("ours");
    output
}
