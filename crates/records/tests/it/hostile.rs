//! Bytes that mean harm: lies, cuts and flips end in a typed error, without a panic and within bounds.

use bytes::Bytes;
use milena_records::{
    Batch, BatchBuilder, BatchHeader, Buffer, BufferPool, Compression, CompressionType, Compressor,
    Decompressor, Limits, RecordSet, SealedBatch,
};
use milena_types::Timestamp;

use crate::allocation::peak_of;
use crate::golden;

/// What a batch says of its contents never makes room for them.
#[test]
fn a_batch_that_lies_about_its_count_makes_no_room() {
    let sealed = sealed(3);
    let (result, peak) = peak_of(|| {
        let mut bytes = sealed.stamp(None).to_bytes().to_vec();
        bytes[23..27].copy_from_slice(&i32::MAX.to_be_bytes());
        bytes[57..61].copy_from_slice(&i32::MAX.to_be_bytes());
        let batch = Batch::parse(Bytes::from(bytes))?;
        batch.decode_unverified(&mut Decompressor::default()).map(drop)
    });
    assert!(result.is_err());
    assert!(peak < 4096, "{peak}");
}

/// Java's batches of every format and codec, cut at every byte.
#[test]
fn a_set_cut_anywhere_gives_whole_batches_and_no_error() {
    for file in small_files() {
        let set = golden::read(&file);
        let ends: Vec<usize> = RecordSet::new(set.clone())
            .scan(0, |end, batch| {
                *end += batch.unwrap().size();
                Some(*end)
            })
            .collect();
        for cut in 0..set.len() {
            let whole = ends.iter().filter(|&&end| end <= cut).count();
            let mut walk = RecordSet::new(set.slice(..cut));
            assert_eq!(walk.by_ref().map(Result::unwrap).count(), whole, "{file} cut at {cut}");
            let walked = ends.iter().rfind(|&&end| end <= cut).unwrap_or(&0);
            assert_eq!(walk.trailing_bytes(), cut - walked);
        }
    }
}

/// With the checksum taken for right, as where it is not checked, so that all of the parser is reached.
#[test]
fn a_flipped_bit_anywhere_neither_panics_nor_hangs() {
    let mut decompressor = Decompressor::new(limits(1 << 20), BufferPool::new(1, 1 << 20));
    for file in small_files() {
        let set = golden::read(&file);
        for bit in 0..set.len() * 8 {
            let mut bytes = set.to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            walk(Bytes::from(bytes), &mut decompressor);
        }
    }
}

/// Each field of the header that counts or measures, at the edges of its range.
#[test]
fn extreme_header_fields_neither_panic_nor_hang() {
    let mut decompressor = Decompressor::default();
    let good = sealed(3).stamp(None).to_bytes();
    let remaining = good.len() as i64 - 12;
    for (at, width) in [(0, 8), (8, 4), (23, 4), (27, 8), (35, 8), (43, 8), (53, 4), (57, 4)] {
        for value in [-1, 0, 1, remaining + 1, i64::from(i32::MAX), i64::MAX, i64::MIN] {
            let mut bytes = good.to_vec();
            bytes[at..at + width].copy_from_slice(&value.to_be_bytes()[8 - width..]);
            walk(Bytes::from(bytes), &mut decompressor);
        }
    }
    for (length, walked) in [(-1, 1), (0, 1), (13, 1), (48, 1), (i32::MAX, 0)] {
        let mut bytes = good.to_vec();
        bytes[8..12].copy_from_slice(&i32::to_be_bytes(length));
        // A batch that is only cut off is no error; one of impossible length is, and ends the walk.
        assert_eq!(RecordSet::new(Bytes::from(bytes)).count(), walked, "{length}");
    }
}

/// A record of 2,147,483,647 headers costs no memory, since headers are walked and not stored: whatever the codec, no more
/// than the honest one does.
#[test]
fn a_huge_header_count_makes_no_room() {
    for codec in CompressionType::ALL {
        let read = |count: &[u8]| {
            let mut record = [&[0, 0, 0, 1, 1][..], count].concat();
            record.insert(0, (record.len() * 2) as u8);
            let bytes = batch_of(codec, &record);
            peak_of(|| {
                let batch = Batch::parse(Bytes::from(bytes)).unwrap();
                let decoded = batch.decode_unverified(&mut Decompressor::default()).unwrap();
                decoded.iter().next().unwrap().map(drop)
            })
        };
        let (honest, enough) = read(&[0]);
        assert!(honest.is_ok(), "{codec}: {honest:?}");
        let (result, peak) = read(&[0xfe, 0xff, 0xff, 0xff, 0x0f]);
        assert!(result.is_err(), "{codec}");
        assert!(peak <= enough + 4096, "{codec}: {peak}");
    }
}

/// One record in a batch of this codec.
fn batch_of(codec: CompressionType, record: &[u8]) -> Vec<u8> {
    let mut bytes = BatchHeader::encode(sealed(1).header()).to_vec();
    bytes[22] = codec.id();
    Compressor::new().compress(codec.into(), record, &mut bytes).unwrap();
    let length = bytes.len() as i32 - 12;
    bytes[8..12].copy_from_slice(&length.to_be_bytes());
    bytes
}

fn walk(set: Bytes, decompressor: &mut Decompressor) {
    for batch in RecordSet::new(set).flatten() {
        let Ok(decoded) = batch.decode_unverified(decompressor) else { continue };
        let _ = decoded.control_record();
        for record in decoded.iter().flatten() {
            assert!(record.headers().iter().count() == record.headers().len());
            let shared = decoded.share(&record);
            assert_eq!(shared.value(), record.value());
        }
    }
}

fn small_files() -> Vec<String> {
    let files = std::fs::read_dir(golden::folder()).unwrap().map(|entry| entry.unwrap());
    let files = files.map(|file| file.file_name().into_string().unwrap());
    let mut files: Vec<_> = files.filter(|file| file.ends_with("-1.bin")).collect();
    files.extend(["mixed.bin", "marker-abort.bin", "v2-append_time.bin"].map(String::from));
    files.sort();
    files
}

pub(crate) fn limits(bytes_max: usize) -> Limits {
    let mut limits = Limits::default();
    limits.bytes_max = bytes_max;
    limits
}

fn sealed(records: usize) -> SealedBatch {
    let mut builder = BatchBuilder::new(Buffer::default());
    for _ in 0..records {
        builder.append(Timestamp::from_millis(1), None, Some(b"value"), []).unwrap();
    }
    builder.seal(Compression::NONE, &mut Compressor::new()).unwrap()
}
