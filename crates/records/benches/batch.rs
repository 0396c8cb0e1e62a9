//! How many records a core appends and seals, and how many it verifies and walks, uncompressed.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a bench"
)]

mod payload;

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use milena_records::{Batch, BufferPool, Compression, Compressor, Decompressor};
use payload::{Payload, build, records};

fn main() {
    divan::main();
}

const CASES: [(Payload, usize); 4] = [
    (Payload::Letters, 16 << 10),
    (Payload::Letters, 1 << 20),
    (Payload::Avro, 1 << 20),
    (Payload::Json, 1 << 20),
];

/// Append and CRC: encode every record into a pooled buffer, seal, stamp.
#[divan::bench(args = CASES)]
fn append_and_seal(bencher: Bencher<'_, '_>, (payload, bytes): (Payload, usize)) {
    let records = records(payload, bytes);
    let pool = BufferPool::new(2, 4 << 20);
    let mut compressor = Compressor::new();
    bencher.counter(ItemsCount::new(records.len())).bench_local(|| {
        let builder = build(pool.take(bytes + bytes / 4), &records);
        let sealed = builder.seal(Compression::NONE, &mut compressor).expect("records");
        sealed.stamp(None)
    });
}

/// What of the above is the copy of the bytes.
#[divan::bench(args = CASES)]
fn memcpy(bencher: Bencher<'_, '_>, (payload, bytes): (Payload, usize)) {
    let from = payload::section(payload, bytes);
    let mut to = from.clone();
    let count = records(payload, bytes).len();
    bencher.counter(ItemsCount::new(count)).bench_local(|| {
        to.copy_from_slice(black_box(&from));
        black_box(&to);
    });
}

/// Verify the checksum and walk every record, touching key, value and headers.
#[divan::bench(args = CASES)]
fn verify_and_walk(bencher: Bencher<'_, '_>, (payload, bytes): (Payload, usize)) {
    let records = records(payload, bytes);
    let builder = build(BufferPool::new(0, 0).take(bytes), &records);
    let sealed = builder.seal(Compression::NONE, &mut Compressor::new()).expect("records");
    let batch = sealed.stamp(None).to_bytes();
    let mut decompressor = Decompressor::default();
    bencher.counter(ItemsCount::new(records.len())).bench_local(|| {
        let batch = Batch::parse(black_box(&batch).clone()).expect("our own");
        let decoded = batch.decode(&mut decompressor).expect("our own");
        let (mut bytes, mut offset) = (0, 0);
        for record in &decoded {
            let record = record.expect("our own");
            bytes += black_box(record.value()).map_or(0, <[u8]>::len);
            black_box((record.key(), record.timestamp()));
            bytes += record.headers().len();
            offset += record.offset().get();
        }
        (bytes, offset)
    });
}

/// The same as records that can be kept: one reference count each.
#[divan::bench(args = CASES)]
fn verify_and_share(bencher: Bencher<'_, '_>, (payload, bytes): (Payload, usize)) {
    let records = records(payload, bytes);
    let builder = build(BufferPool::new(0, 0).take(bytes), &records);
    let sealed = builder.seal(Compression::NONE, &mut Compressor::new()).expect("records");
    let batch = sealed.stamp(None).to_bytes();
    let mut decompressor = Decompressor::default();
    bencher.counter(ItemsCount::new(records.len())).bench_local(|| {
        let batch = Batch::parse(black_box(&batch).clone()).expect("our own");
        let decoded = batch.decode(&mut decompressor).expect("our own");
        decoded
            .into_records()
            .map(|record| record.expect("our own").value().map_or(0, <[u8]>::len))
            .sum::<usize>()
    });
}

/// A retry under another sequence: 61 bytes, whatever the batch's size.
#[divan::bench(args = CASES)]
fn stamp(bencher: Bencher<'_, '_>, (payload, bytes): (Payload, usize)) {
    let builder = build(BufferPool::new(0, 0).take(bytes), &records(payload, bytes));
    let sealed = builder.seal(Compression::NONE, &mut Compressor::new()).expect("records");
    bencher.bench_local(|| black_box(&sealed).stamp(None));
}
