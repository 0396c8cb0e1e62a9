//! What a varint, a checksum and a key's hash cost.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    missing_docs,
    dead_code,
    unused_imports,
    reason = "a bench"
)]

#[path = "../src/crc.rs"]
mod crc;
#[path = "../src/varint.rs"]
mod varint;

use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use fastrand::Rng;
use milena_records::partition::murmur2;

fn main() {
    divan::main();
}

/// The numbers of real records: lengths, time and offset differences, nulls.
fn numbers() -> Vec<i64> {
    let mut rng = Rng::with_seed(7);
    (0..4096)
        .map(|i| match i % 5 {
            0 => rng.i64(100..1000),
            1 => rng.i64(0..3000),
            2 => i / 5,
            3 => -1,
            _ => rng.i64(100..130),
        })
        .collect()
}

#[divan::bench]
fn varint_put(bencher: Bencher<'_, '_>) {
    let numbers = numbers();
    let mut out = vec![0; 4096 * varint::VARLONG_BYTES_MAX];
    bencher.counter(ItemsCount::new(numbers.len())).bench_local(|| {
        let mut at = 0;
        for &number in black_box(&numbers) {
            at += varint::put(&mut out[at..], number);
        }
        at
    });
}

#[divan::bench]
fn varint_take(bencher: Bencher<'_, '_>) {
    let numbers = numbers();
    let mut bytes = Vec::new();
    for &number in &numbers {
        let mut out = [0; varint::VARLONG_BYTES_MAX];
        let written = varint::put(&mut out, number);
        bytes.extend_from_slice(&out[..written]);
    }
    bencher.counter(ItemsCount::new(numbers.len())).bench_local(|| {
        let mut rest = black_box(&bytes[..]);
        let mut sum = 0i64;
        while let Some(number) = varint::take_int(&mut rest) {
            sum += i64::from(number);
        }
        sum
    });
}

#[divan::bench(args = [8, 16, 36, 100])]
fn murmur2_of_key(bencher: Bencher<'_, '_>, bytes: usize) {
    let mut rng = Rng::with_seed(7);
    let keys: Vec<Vec<u8>> = (0..1024).map(|_| (0..bytes).map(|_| rng.u8(..)).collect()).collect();
    bencher
        .counter(ItemsCount::new(keys.len()))
        .bench_local(|| keys.iter().fold(0, |hash, key| hash ^ murmur2(black_box(key))));
}

#[divan::bench(args = [61, 1024, 16 << 10, 1 << 20])]
fn crc32c(bencher: Bencher<'_, '_>, bytes: usize) {
    let data = vec![0x5a; bytes];
    bencher.counter(BytesCount::new(bytes)).bench_local(|| crc::crc32c(black_box(&data)));
}

/// Following a changed header with the checksum of a batch of this size.
#[divan::bench(args = [16 << 10, 1 << 20])]
fn crc_patch(bencher: Bencher<'_, '_>, bytes: usize) {
    let (old, new) = ([1; 40], [2; 40]);
    bencher.bench_local(|| crc::patch(7, black_box(&old), black_box(&new), bytes));
}
