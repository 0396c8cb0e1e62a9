//! What our framing adds to the block crate underneath, and what each level takes and gives.
//!
//! CPU time of this thread from the kernel's scheduler (Linux), the quietest of rounds of all cases in turn: on a machine that
//! others use too, wall time cannot tell five per cent. Batches of 16 KiB are 48 different ones, those of 1 MiB are 3,
//! since a repeated input teaches the branch predictor by heart.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a bench"
)]

mod payload;

use std::hint::black_box;

use milena_records::{Compression, CompressionType, Compressor, Decompressor};
use payload::{Payload, section};

type Inputs<'a> = &'a [&'a [u8]];
type Case<'a> = Box<dyn FnMut() + 'a>;

fn main() {
    for payload in [Payload::Json, Payload::Avro, Payload::Letters] {
        for (size, different) in [(16 << 10, 48), (1 << 20, 3)] {
            let whole = section(payload, size * different);
            let inputs: Vec<&[u8]> = whole.chunks_exact(size).take(different).collect();
            println!("\n{payload:?}, {} KiB", size >> 10);
            against_the_crates(&inputs);
            levels(&inputs);
        }
    }
}

/// Each codec beside the crate under it, in one interleaved run. gzip compresses by our own.
fn against_the_crates(inputs: Inputs<'_>) {
    use CompressionType::{Lz4, Snappy, Zstd};
    for kind in [Lz4, Snappy, Zstd] {
        let cases = &mut [compress(kind.into(), inputs), compress_underneath(kind, inputs)];
        let [ours, theirs] = rates(cases, inputs);
        println!(
            "  {kind:<7} ours {ours:>6.0} MB/s, the crate {theirs:>6.0} MB/s: {:.3}",
            ours / theirs
        );
    }
}

/// Compression and decompression at levels that Kafka's settings tell apart.
fn levels(inputs: Inputs<'_>) {
    let bytes: usize = inputs.iter().map(|input| input.len()).sum();
    for (kind, level) in LEVELS {
        let compression = Compression::new(kind);
        let compression = compression.with_level(level).unwrap_or(compression);
        let mut compressor = Compressor::new();
        let pack = |input: &&[u8]| {
            let mut output = Vec::new();
            compressor.compress(compression, input, &mut output).expect("ours");
            output
        };
        let packed: Vec<Vec<u8>> = inputs.iter().map(pack).collect();
        let ratio = bytes as f64 / packed.iter().map(Vec::len).sum::<usize>() as f64;
        let cases = &mut [compress(compression, inputs), decompress(kind, &packed)];
        let [there, back] = rates(cases, inputs);
        let name = format!("{kind} {level}");
        println!("  {name:<9} {there:>6.0} MB/s, back {back:>6.0} MB/s, ratio {ratio:.3}");
    }
}

const LEVELS: [(CompressionType, i32); 14] = [
    (CompressionType::Snappy, 0),
    (CompressionType::Lz4, 9),
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

fn compress<'a>(compression: Compression, inputs: Inputs<'a>) -> Case<'a> {
    let mut compressor = Compressor::new();
    let mut output = Vec::with_capacity(2 << 20);
    Box::new(move || {
        for input in inputs {
            output.clear();
            compressor.compress(compression, input, &mut output).expect("ours");
            black_box(&output);
        }
    })
}

fn decompress<'a>(kind: CompressionType, packed: &'a [Vec<u8>]) -> Case<'a> {
    let mut decompressor = Decompressor::default();
    let mut output = Vec::with_capacity(2 << 20);
    Box::new(move || {
        for input in packed {
            output.clear();
            decompressor.decompress(kind, input, &mut output).expect("ours");
            black_box(&output);
        }
    })
}

/// The crate by itself, in the blocks that the framing gives it, at Kafka's default level.
fn compress_underneath<'a>(kind: CompressionType, inputs: Inputs<'a>) -> Case<'a> {
    let mut output = vec![0; 2 << 20];
    match kind {
        CompressionType::None | CompressionType::Gzip => Box::new(|| ()),
        CompressionType::Lz4 => {
            let mut table = lz4_flex::block::CompressTable::large();
            Box::new(move || {
                for block in inputs.iter().flat_map(|input| input.chunks(64 << 10)) {
                    let compress = lz4_flex::block::compress_into_with_table;
                    black_box(compress(block, &mut output, &mut table).expect("room"));
                }
            })
        }
        CompressionType::Snappy => {
            let mut encoder = snap::raw::Encoder::new();
            Box::new(move || {
                for block in inputs.iter().flat_map(|input| input.chunks(32 << 10)) {
                    black_box(encoder.compress(block, &mut output).expect("room"));
                }
            })
        }
        CompressionType::Zstd => {
            let options = rust_zstd::CompressOptions { level: 3, ..Default::default() };
            let mut encoder = rust_zstd::Compressor::new(options);
            Box::new(move || {
                for input in inputs {
                    output.clear();
                    encoder.compress(input, &mut output);
                    black_box(&output);
                }
            })
        }
    }
}

/// Uncompressed MB/s of each case: the quietest of the rounds in which all take turns.
fn rates<const N: usize>(cases: &mut [Case<'_>; N], inputs: Inputs<'_>) -> [f64; N] {
    let bytes: usize = inputs.iter().map(|input| input.len()).sum();
    let mut times = [const { Vec::new() }; N];
    for round in 0..ROUNDS {
        for (case, times) in cases.iter_mut().zip(&mut times) {
            let start = cpu_nanos();
            let mut runs = 0;
            while runs == 0 || cpu_nanos() - start < ROUND_NANOS {
                case();
                runs += 1;
            }
            // The first round warms up.
            if round > 0 {
                times.push((cpu_nanos() - start) / runs);
            }
        }
    }
    times.map(|times| bytes as f64 * 1e3 / times.into_iter().min().unwrap_or(1) as f64)
}

const ROUNDS: usize = 11;
const ROUND_NANOS: u64 = 20_000_000;

/// What the scheduler gave this thread.
fn cpu_nanos() -> u64 {
    // Else it would be what it was at the last tick.
    std::thread::yield_now();
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    text.split_whitespace().next().and_then(|nanos| nanos.parse().ok()).expect("a number")
}
