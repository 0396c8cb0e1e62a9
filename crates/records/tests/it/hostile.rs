//! Bytes that mean harm: bombs, lies, cuts and flips end in a typed error, without a panic and within bounds.

use bytes::Bytes;
use milena_records::{
    Batch, BatchBuilder, BatchHeader, Buffer, BufferPool, Compression, CompressionType, Compressor,
    Decompressor, Error, Limits, RecordSet, SealedBatch,
};
use milena_types::Timestamp;

use crate::allocation::peak_of;
use crate::golden;

/// Each is at most 64 KiB, and would become far more than the limit of 1 MiB, or claims to.
#[test]
fn bombs_stop_at_the_limit() {
    for (name, kind, bomb) in bombs() {
        assert!(bomb.len() <= 64 << 10, "{name} is {} bytes", bomb.len());
        let limits = limits(1 << 20);
        let mut decompressor = Decompressor::new(limits, BufferPool::new(0, 0));
        let (result, peak) = peak_of(|| {
            let mut output = Vec::new();
            decompressor.decompress(kind, &bomb, &mut output).map(|()| output.len())
        });
        let stopped = match result {
            Err(error) => {
                matches!(error, Error::DecompressedTooLarge { .. } | Error::CorruptCompression(_))
            }
            // Nested frames are data, and frames of nothing are nothing.
            Ok(len) => len < 64 << 10,
        };
        assert!(stopped, "{name}: {result:?}");
        // The output may be copied once as it grows; the rest is the codecs' contexts and windows.
        assert!(peak <= 6 << 20, "{name} took {peak} bytes");
    }
}

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

/// A record of 2,147,483,647 headers costs no memory, since headers are walked and not stored.
#[test]
fn a_huge_header_count_makes_no_room() {
    let mut body = vec![0, 0, 0, 1, 1];
    body.extend_from_slice(&[0xfe, 0xff, 0xff, 0xff, 0x0f]);
    body.insert(0, (body.len() * 2) as u8);
    let mut bytes = BatchHeader::encode(sealed(1).header()).to_vec();
    bytes.extend_from_slice(&body);
    let length = bytes.len() as i32 - 12;
    bytes[8..12].copy_from_slice(&length.to_be_bytes());
    let (result, peak) = peak_of(|| {
        let batch = Batch::parse(Bytes::from(bytes)).unwrap();
        let decoded = batch.decode_unverified(&mut Decompressor::default()).unwrap();
        decoded.iter().next().unwrap().map(drop)
    });
    assert!(result.is_err());
    assert!(peak < 4096, "{peak}");
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

fn bombs() -> Vec<(&'static str, CompressionType, Vec<u8>)> {
    use CompressionType::{Gzip, Lz4, Snappy, Zstd};
    let mut bombs = Vec::new();
    let zeros = vec![0; 8 << 20];
    let snappy_zeros = compress(Snappy, &zeros[..1 << 20]);
    for (kind, zeros) in [(Gzip, &zeros[..]), (Lz4, &zeros[..]), (Zstd, &zeros[..])] {
        let bomb = compress(kind, zeros);
        let twice = compress(kind, &bomb);
        bombs.push(("zeros", kind, bomb.clone()));
        bombs.push(("zeros, compressed twice", kind, twice));
    }
    bombs.push(("zeros", Snappy, [&snappy_zeros[..], &snappy_zeros[..1000]].concat()));
    let small = compress(Gzip, &zeros[..60_000]);
    bombs.push(("many members", Gzip, small.repeat(64 * 1024 / small.len())));
    bombs.push(("members of nothing", Gzip, compress(Gzip, b"").repeat(3000)));
    let small = compress(Zstd, &zeros[..60_000]);
    bombs.push(("many frames", Zstd, small.repeat(1000)));
    bombs.push(("many skippable frames", Zstd, b"\x50\x2a\x4d\x18\0\0\0\0".repeat(8000)));

    // So much follows that all of it is decoded piece by piece.
    let mut skipped = b"\x50\x2a\x4d\x18\0\0\0\0".repeat(7000);
    skipped.extend(compress(Zstd, &zeros[..60_000]).repeat(18));
    bombs.push(("skippable frames before data", Zstd, skipped));

    // zstd: no frame has a dictionary here, and 'single segment' states the size in 8 bytes.
    let rle = |size: u32, last: u32| ((size << 3) | 2 | last).to_le_bytes()[..3].to_vec();
    let mut many_runs = b"\x28\xb5\x2f\xfd\0\x58".to_vec();
    for _ in 0..10_000 {
        many_runs.extend(rle(128 << 10, 0));
        many_runs.push(0);
    }
    many_runs.extend(rle(1, 1));
    many_runs.push(0);
    bombs.push(("runs", Zstd, many_runs));
    let mut lie = b"\x28\xb5\x2f\xfd\xe0\0\0\0\0\0\0\0\x40".to_vec();
    lie.extend(rle(100, 1));
    lie.push(0);
    bombs.push(("stated size lies", Zstd, lie));
    let mut window = b"\x28\xb5\x2f\xfd\0\xf8".to_vec();
    window.extend(rle(128 << 10, 0).into_iter().chain([0]).cycle().take(4000));
    bombs.push(("window of terabytes", Zstd, window));
    let mut empty_blocks = b"\x28\xb5\x2f\xfd\0\x58".to_vec();
    empty_blocks.extend([0, 0, 0].repeat(20_000));
    bombs.push(("blocks of nothing", Zstd, empty_blocks));
    bombs.push(("legacy frame", Zstd, b"\x27\xb5\x2f\xfd\0\0\0\0\0".to_vec()));
    bombs.push(("dictionary", Zstd, b"\x28\xb5\x2f\xfd\x23\x01\0\0\0\x05\x01\0\0".to_vec()));

    let mut length = vec![0xff, 0xff, 0xff, 0xff, 0x0f];
    length.extend([0; 100]);
    bombs.push(("stated size lies", Snappy, length.clone()));
    let mut framed = b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01\0\0\0\x69".to_vec();
    framed.extend(length);
    bombs.push(("stated size lies in a frame", Snappy, framed));
    let mut block = b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01".to_vec();
    block.extend([0x7f, 0xff, 0xff, 0xff, 0]);
    bombs.push(("block length lies", Snappy, block));

    let mut sizes = compress(Lz4, b"");
    sizes.truncate(7);
    sizes.extend([0xff, 0xff, 0xff, 0x7f, 0]);
    bombs.push(("block length lies", Lz4, sizes));
    let mut stored = compress(Lz4, b"");
    stored.truncate(7);
    stored.extend([0, 0, 0, 0x80].repeat(10_000));
    bombs.push(("blocks of nothing", Lz4, stored));
    bombs
}

fn compress(kind: CompressionType, input: &[u8]) -> Vec<u8> {
    let mut output = Vec::new();
    Compressor::new().compress(kind.into(), input, &mut output).unwrap();
    output
}

fn limits(bytes_max: usize) -> Limits {
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
