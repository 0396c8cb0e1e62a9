//! What each codec costs, and how much of it is ours: each is beside the block crate underneath.
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
    for (payload, bytes) in CASES {
        let input = section(payload, bytes);
        let ratios = LEVELS.map(|level| {
            let ratio = input.len() as f64 / compressed(level, &input).len() as f64;
            format!("{}{} {ratio:.3}", level.0, level.1)
        });
        println!("{payload:?} {bytes}: {}", ratios.join(", "));
    }
    divan::main();
}

type Level = (CompressionType, i32);

const LEVELS: [Level; 14] = [
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

/// lz4_flex's block compressor by itself, 64 KiB a block.
#[divan::bench(consts = [0, 1, 2, 3, 4, 5], max_time = 0.2)]
fn compress_lz4_block_crate<const CASE: usize>(bencher: Bencher<'_, '_>) {
    let input = section(CASES[CASE].0, CASES[CASE].1);
    let mut table = lz4_flex::block::CompressTable::large();
    let mut output = vec![0; lz4_flex::block::get_maximum_output_size(64 << 10)];
    bencher.counter(BytesCount::new(input.len())).bench_local(|| {
        let mut total = 0;
        for block in black_box(&input).chunks(64 << 10) {
            let compress = lz4_flex::block::compress_into_with_table;
            total += compress(block, &mut output, &mut table).expect("room");
        }
        total
    });
}

/// snap's raw compressor by itself, 32 KiB a block.
#[divan::bench(consts = [0, 1, 2, 3, 4, 5], max_time = 0.2)]
fn compress_snappy_block_crate<const CASE: usize>(bencher: Bencher<'_, '_>) {
    let input = section(CASES[CASE].0, CASES[CASE].1);
    let mut encoder = snap::raw::Encoder::new();
    let mut output = vec![0; snap::raw::max_compress_len(32 << 10)];
    bencher.counter(BytesCount::new(input.len())).bench_local(|| {
        let mut total = 0;
        for block in black_box(&input).chunks(32 << 10) {
            total += encoder.compress(block, &mut output).expect("room");
        }
        total
    });
}

/// rust-zstd's compressor by itself, level 3.
#[divan::bench(consts = [0, 1, 2, 3, 4, 5], max_time = 0.2)]
fn compress_zstd3_crate<const CASE: usize>(bencher: Bencher<'_, '_>) {
    let input = section(CASES[CASE].0, CASES[CASE].1);
    let options = rust_zstd::CompressOptions { level: 3, ..Default::default() };
    let mut encoder = rust_zstd::Compressor::new(options);
    let mut output = Vec::with_capacity(2 << 20);
    bencher.counter(BytesCount::new(input.len())).bench_local(|| {
        output.clear();
        encoder.compress(black_box(&input), &mut output);
        output.len()
    });
}

/// zlib-rs's compressor by itself, level 6, no checksum.
#[divan::bench(consts = [0, 1, 2, 3, 4, 5], max_time = 0.2)]
fn compress_gzip6_crate<const CASE: usize>(bencher: Bencher<'_, '_>) {
    let input = section(CASES[CASE].0, CASES[CASE].1);
    let mut encoder = zlib_rs::Deflate::new(6, false, 15);
    let mut output = vec![0; 2 << 20];
    bencher.counter(BytesCount::new(input.len())).bench_local(|| {
        encoder.reset();
        let flush = zlib_rs::DeflateFlush::Finish;
        encoder.compress(black_box(&input), &mut output, flush).expect("room");
        encoder.total_out()
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
