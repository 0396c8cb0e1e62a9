//! Little that becomes much, or says so: nine bombs for each codec; the tenth, a record of headers without end, is in
//! `hostile`.

use milena_records::CompressionType::{self, Gzip, Lz4, Snappy, Zstd};
use milena_records::{BufferPool, Compressor, Decompressor, Error};

use crate::allocation::peak_of;
use crate::hostile::limits;

/// Each is at most 64 KiB, and would become far more than the limit of 1 MiB, or claims to.
#[test]
fn bombs_stop_at_the_limit() {
    for (name, kind, bomb) in bombs() {
        assert!(bomb.len() <= 64 << 10, "{name} of {kind} is {} bytes", bomb.len());
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
        assert!(stopped, "{name} of {kind}: {result:?}");
        // The output may be copied once as it grows; the rest is the codecs' contexts and windows.
        assert!(peak <= 6 << 20, "{name} of {kind} took {peak} bytes");
    }
}

#[test]
fn every_codec_has_each_bomb() {
    for codec in [Gzip, Snappy, Lz4, Zstd] {
        for name in NAMES {
            let is_there = bombs().iter().any(|bomb| (bomb.0, bomb.1) == (name, codec));
            assert!(is_there, "{name} of {codec}");
        }
    }
}

/// What really is beyond the limit is told as that: a codec that calls it corrupt would have readers look for damage.
#[test]
fn what_is_only_too_large_is_told_as_too_large() {
    for (name, kind, bomb) in bombs() {
        // Of LZ4, as in Java, the first frame is all there is.
        if ![ZEROS, MANY_FRAMES, RUNS].contains(&name) || (name, kind) == (MANY_FRAMES, Lz4) {
            continue;
        }
        let mut decompressor = Decompressor::new(limits(1 << 20), BufferPool::new(0, 0));
        let result = decompressor.decompress(kind, &bomb, &mut Vec::new());
        let is_told = matches!(result, Err(Error::DecompressedTooLarge { .. }));
        assert!(is_told, "{name} of {kind}: {result:?}");
    }
}

/// A head with a wrong checksum would be refused for that, and prove nothing about what it says.
#[test]
fn heads_of_lz4_frames_are_right() {
    let written = compress(Lz4, b"");
    assert_eq!(frame(written[4], written[5], &[]), written[..7]);
}

const ZEROS: &str = "zeros";
const TWICE: &str = "zeros, compressed twice";
const SIZE: &str = "a stated size that lies";
const WINDOW: &str = "a window or distance that lies";
const NOTHING: &str = "blocks of nothing";
const MANY_FRAMES: &str = "many frames";
const RUNS: &str = "runs";
const LEGACY: &str = "a format of former times";
const DICTIONARY: &str = "a dictionary that nobody has";

const NAMES: [&str; 9] =
    [ZEROS, TWICE, SIZE, WINDOW, NOTHING, MANY_FRAMES, RUNS, LEGACY, DICTIONARY];

type Bombs = Vec<(&'static str, Vec<u8>)>;

fn bombs() -> Vec<(&'static str, CompressionType, Vec<u8>)> {
    let codecs = [(Gzip, gzip()), (Snappy, snappy()), (Lz4, lz4()), (Zstd, zstd())];
    let all = codecs
        .into_iter()
        .flat_map(|(codec, bombs)| bombs.into_iter().map(move |(name, bomb)| (name, codec, bomb)));
    all.collect()
}

fn gzip() -> Bombs {
    let zeros = compress(Gzip, &vec![0; 8 << 20]);
    let twice = compress(Gzip, &zeros);
    let mut size = compress(Gzip, b"five.");
    let end = size.len();
    size[end - 4..].fill(0xff);
    let head = b"\x1f\x8b\x08\0\0\0\0\0\0\x03";
    // The last block, of fixed codes: three bytes from 32,768 before its start.
    let window = [&head[..], &bits(["110", "0000001", "11101", "1111111111111", "0000000"])];
    let nothing = [&head[..], &b"\0\0\0\xff\xff".repeat(10_000), b"\x01\0\0\xff\xff", &[0; 8]];
    let members = compress(Gzip, &[0; 60_000]);
    let members = members.repeat(64 * 1024 / members.len());
    // A letter, and then 258 of the same again and again.
    let again = ["11000101", "00000"].repeat(33_000);
    let run = bits(["110", "10010001"].into_iter().chain(again));
    vec![
        (ZEROS, zeros),
        (TWICE, twice),
        (SIZE, size),
        (WINDOW, window.concat()),
        (NOTHING, nothing.concat()),
        (NOTHING, compress(Gzip, b"").repeat(3000)),
        (MANY_FRAMES, members),
        (RUNS, [&head[..], &run].concat()),
        (LEGACY, b"\x1f\x9d\x90\x61\xc2\x84\x09\x13\x2a".to_vec()),
        (LEGACY, b"\x1f\x8b\x07\0\0\0\0\0\0\x03\0\0\0".to_vec()),
        // As zlib marks one.
        (DICTIONARY, b"\x78\xbb\0\0\0\x01\x4b\x04\0\0\x62\0\x62".to_vec()),
        (
            "a name without an end",
            [&b"\x1f\x8b\x08\x08\0\0\0\0\0\x03"[..], &[b'n'; 60_000]].concat(),
        ),
        ("extra fields that lie", b"\x1f\x8b\x08\x04\0\0\0\0\0\x03\xff\xff\0".to_vec()),
    ]
}

fn snappy() -> Bombs {
    let zeros = vec![0; 1 << 20];
    let full = compress(Snappy, &zeros);
    let twice = compress(Snappy, &compress(Snappy, &zeros[..1 << 19]));
    let many = compress(Snappy, &zeros[..60_000]).repeat(20);
    let xerial = b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01";
    let mut size = vec![0xff, 0xff, 0xff, 0xff, 0x0f];
    size.extend([0; 100]);
    let size_in_frame = [&xerial[..], b"\0\0\0\x69", &size].concat();
    // A hundred bytes, of which 64 are four billion before their start.
    let window = b"\x64\xff\xff\xff\xff\xff";
    // 1,280,001 bytes: a letter, and then 64 of the same again and again.
    let run = [&b"\x81\x90\x4e\0a"[..], &b"\xfe\x01\0".repeat(20_000)].concat();
    let old = b"\x82SNAPPY\0\x7f\xff\xff\xff\x7f\xff\xff\xff";
    vec![
        (ZEROS, [full, compress(Snappy, &zeros[..100])].concat()),
        (TWICE, twice),
        (SIZE, size),
        (SIZE, size_in_frame),
        (WINDOW, window.to_vec()),
        (WINDOW, [&xerial[..], b"\0\0\0\x06", window].concat()),
        (NOTHING, [&xerial[..], &[0; 4].repeat(15_000)].concat()),
        (NOTHING, [&xerial[..], &b"\0\0\0\x01\0".repeat(12_000)].concat()),
        (MANY_FRAMES, many),
        (RUNS, run),
        (LEGACY, [&old[..], b"\0\0\0\x01\0"].concat()),
        // The other framing of Snappy, which Kafka never had.
        (DICTIONARY, b"\xff\x06\0\0sNaPpY\0\xff\xff\xff\0\0\0\0".to_vec()),
        ("a block's length that lies", [&xerial[..], b"\x7f\xff\xff\xff\0"].concat()),
    ]
}

fn lz4() -> Bombs {
    let zeros = compress(Lz4, &vec![0; 8 << 20]);
    let twice = compress(Lz4, &zeros);
    let many = compress(Lz4, &[0; 60_000]);
    let many = many.repeat(60_000 / many.len());
    let block = |data: &[u8]| [&(data.len() as u32).to_le_bytes(), data].concat();
    // Four bytes from 65,535 before their start, and five more.
    let window = block(b"\0\xff\xff\x50.....");
    // A letter, and then 255 of the same again and again.
    let run = |times| [&b"\x1fa\x01\0"[..], &vec![0xff; times], b"\0\x50....."].concat();
    let end = [0; 4];
    let plain = frame(0x60, 0x70, &[]);
    vec![
        (ZEROS, zeros),
        (TWICE, twice),
        (SIZE, [&frame(0x68, 0x70, &[0xff; 8])[..], &block(b"\x50....."), &end].concat()),
        (WINDOW, [&plain[..], &window, &end].concat()),
        (NOTHING, [&plain[..], &[0, 0, 0, 0x80].repeat(10_000)].concat()),
        (MANY_FRAMES, many),
        // In blocks that are as large as they may be, and in one that is larger.
        (RUNS, [&plain[..], &block(&run(10_000)), &end].concat()),
        ("one run", [&plain[..], &block(&run(50_000)), &end].concat()),
        (LEGACY, [&b"\x02\x21\x4c\x18"[..], &block(&run(10_000))].concat()),
        (DICTIONARY, [&frame(0x61, 0x40, &[1, 0, 0, 0])[..], &block(b"\x50....."), &end].concat()),
        ("a block's length that lies", [&plain[..], b"\xff\xff\xff\x7f\0"].concat()),
        ("skippable frames", b"\x50\x2a\x4d\x18\0\0\0\0".repeat(8000)),
    ]
}

fn zstd() -> Bombs {
    let zeros = compress(Zstd, &vec![0; 8 << 20]);
    let twice = compress(Zstd, &zeros);
    let small = compress(Zstd, &[0; 60_000]);
    // So much follows that all of it is decoded piece by piece.
    let mut skipped = b"\x50\x2a\x4d\x18\0\0\0\0".repeat(7000);
    skipped.extend(small.repeat(18));

    // No frame has a dictionary here, and 'single segment' states the size in 8 bytes.
    let rle = |size: u32, last: u32| ((size << 3) | 2 | last).to_le_bytes()[..3].to_vec();
    let mut many_runs = b"\x28\xb5\x2f\xfd\0\x58".to_vec();
    for _ in 0..10_000 {
        many_runs.extend(rle(128 << 10, 0));
        many_runs.push(0);
    }
    many_runs.extend(rle(1, 1));
    many_runs.push(0);
    let mut size = b"\x28\xb5\x2f\xfd\xe0\0\0\0\0\0\0\0\x40".to_vec();
    size.extend(rle(100, 1));
    size.push(0);
    let mut window = b"\x28\xb5\x2f\xfd\0\xf8".to_vec();
    window.extend(rle(128 << 10, 0).into_iter().chain([0]).cycle().take(4000));
    let mut nothing = b"\x28\xb5\x2f\xfd\0\x58".to_vec();
    nothing.extend([0, 0, 0].repeat(20_000));
    vec![
        (ZEROS, zeros),
        (TWICE, twice),
        (SIZE, size),
        (WINDOW, window),
        (NOTHING, nothing),
        (MANY_FRAMES, small.repeat(1000)),
        ("many skippable frames", b"\x50\x2a\x4d\x18\0\0\0\0".repeat(8000)),
        ("skippable frames before data", skipped),
        (RUNS, many_runs),
        (LEGACY, b"\x27\xb5\x2f\xfd\0\0\0\0\0".to_vec()),
        (DICTIONARY, b"\x28\xb5\x2f\xfd\x23\x01\0\0\0\x05\x01\0\0".to_vec()),
    ]
}

fn compress(kind: CompressionType, input: &[u8]) -> Vec<u8> {
    let mut output = Vec::new();
    Compressor::new().compress(kind.into(), input, &mut output).unwrap();
    output
}

/// Bits in the order in which DEFLATE reads them.
fn bits<'a>(codes: impl IntoIterator<Item = &'a str>) -> Vec<u8> {
    let bits: Vec<u8> = codes.into_iter().flat_map(str::bytes).collect();
    let byte =
        |bits: &[u8]| bits.iter().rev().fold(0, |byte, bit| byte << 1 | u8::from(*bit == b'1'));
    bits.chunks(8).map(byte).collect()
}

/// The head of an LZ4 frame, with the checksum that it has to have.
fn frame(flags: u8, block_size: u8, more: &[u8]) -> Vec<u8> {
    let descriptor = [&[flags, block_size], more].concat();
    let checksum = (xxh32(&descriptor) >> 8) as u8;
    [&b"\x04\x22\x4d\x18"[..], &descriptor, &[checksum]].concat()
}

/// XXH32 of fewer than 16 bytes.
fn xxh32(bytes: &[u8]) -> u32 {
    const PRIMES: [u32; 5] = [0x9e37_79b1, 0x85eb_ca77, 0xc2b2_ae3d, 0x27d4_eb2f, 0x1656_67b1];
    let [first, second, third, fourth, fifth] = PRIMES;
    let mut hash = fifth.wrapping_add(bytes.len() as u32);
    let mut words = bytes.chunks_exact(4);
    for word in words.by_ref() {
        let word = u32::from_le_bytes(word.try_into().unwrap());
        hash = hash.wrapping_add(word.wrapping_mul(third)).rotate_left(17).wrapping_mul(fourth);
    }
    for byte in words.remainder() {
        let byte = u32::from(*byte).wrapping_mul(fifth);
        hash = hash.wrapping_add(byte).rotate_left(11).wrapping_mul(first);
    }
    hash = (hash ^ hash >> 15).wrapping_mul(second);
    hash = (hash ^ hash >> 13).wrapping_mul(third);
    hash ^ hash >> 16
}
