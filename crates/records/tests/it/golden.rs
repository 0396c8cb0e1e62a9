//! Record sets that Kafka's own classes wrote (see tests/java/Records.java).

use std::path::{Path, PathBuf};

use bytes::Bytes;
use milena_records::batch::control;
use milena_records::{
    Batch, BatchBuilder, Buffer, Compression, CompressionType, Compressor, Decompressor, RecordSet,
};
use milena_types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Timestamp};

use crate::digest::check_folder;

#[test]
fn all_that_java_wrote_is_read() {
    assert_eq!(check_folder(&folder()), 55);
}

/// Header and records: with the same contents, ours is Java's batch byte for byte.
#[test]
fn an_uncompressed_batch_is_java_s_byte_for_byte() {
    for file in ["v2-none-1.bin", "v2-none-16384.bin"] {
        let theirs = read(file);
        let batch = Batch::parse(theirs.clone()).unwrap();
        let mut builder = BatchBuilder::new(Buffer::default());
        for record in &batch.decode(&mut Decompressor::default()).unwrap() {
            let record = record.unwrap();
            let (key, value) = (record.key(), record.value());
            builder.append(record.timestamp().unwrap(), key, value, record.headers()).unwrap();
        }
        let sealed = builder.seal(Compression::NONE, &mut Compressor::new()).unwrap();
        let theirs_header = batch.header().unwrap();
        let mut header = *sealed.header();
        header.set_producer(theirs_header.producer());
        header.set_base_offset(theirs_header.base_offset());
        header.set_leader_epoch(theirs_header.leader_epoch());
        assert!(sealed.with_header(&header).to_bytes() == theirs, "{file}");
    }
}

#[test]
fn a_marker_is_java_s_byte_for_byte() {
    for (file, commit) in [("marker-commit.bin", true), ("marker-abort.bin", false)] {
        let theirs = read(file);
        let producer = ProducerId::from_wire(4242).unwrap();
        let epoch = ProducerEpoch::from_wire(3).unwrap();
        let at = Timestamp::from_millis(1_700_000_000_123);
        let marker = control::end_transaction(commit, producer, epoch, 7, at).unwrap();
        let mut header = *marker.header();
        header.set_base_offset(Offset::new(100).unwrap());
        header.set_leader_epoch(LeaderEpoch::from_wire(5));
        assert_eq!(marker.with_header(&header).to_bytes(), theirs, "{file}");
    }
}

#[test]
fn one_set_holds_three_formats() {
    let magics: Vec<_> =
        RecordSet::new(read("mixed.bin")).map(|batch| batch.unwrap().magic()).collect();
    assert_eq!(magics, [0, 0, 0, 0, 1, 2]);
}

/// Java compresses by liblz4, libzstd and zlib; what takes much more room than theirs at the same level is not that level.
#[test]
fn a_level_compresses_about_as_well_as_java_s() {
    use CompressionType::{Gzip, Lz4, Snappy, Zstd};
    let levels = [
        ("gzip-1", Gzip, -1),
        ("gzip1", Gzip, 1),
        ("gzip6", Gzip, 6),
        ("gzip9", Gzip, 9),
        ("lz4_1", Lz4, 1),
        ("lz4_5", Lz4, 5),
        ("lz4_9", Lz4, 9),
        ("lz4_12", Lz4, 12),
        ("lz4_17", Lz4, 17),
        ("snappy", Snappy, 0),
        ("zstd-5", Zstd, -5),
        ("zstd1", Zstd, 1),
        ("zstd3", Zstd, 3),
        ("zstd9", Zstd, 9),
        ("zstd22", Zstd, 22),
    ];
    let plain = Batch::parse(read("v2-none-16384.bin")).unwrap().parts().body;
    let mut compressor = Compressor::new();
    for (name, kind, level) in levels {
        let theirs = read(&format!("v2-{name}-16384.bin")).len() - 61;
        let compression = Compression::new(kind);
        let compression = compression.with_level(level).unwrap_or(compression);
        let mut ours = Vec::new();
        compressor.compress(compression, &plain, &mut ours).unwrap();
        println!("{name:>7}: {} bytes, Java's {theirs}", ours.len());
        assert!(ours.len() * 100 <= theirs * 104, "{name}: {} for {theirs}", ours.len());
    }
}

pub(crate) fn read(file: &str) -> Bytes {
    Bytes::from(std::fs::read(folder().join(file)).unwrap())
}

pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}
