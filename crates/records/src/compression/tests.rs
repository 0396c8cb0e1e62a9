use super::*;

#[test]
fn every_codec_gives_back_what_it_got() {
    let mut compressor = Compressor::new();
    let mut decompressor = Decompressor::default();
    let (mut compressed, mut back) = (Vec::new(), Vec::new());
    for input in inputs() {
        for compression in every_level() {
            compressed.clear();
            back.clear();
            compressor.compress(compression, &input, &mut compressed).unwrap();
            decompressor.decompress(compression.kind(), &compressed, &mut back).unwrap();
            assert!(back == input, "{compression:?}, {} bytes", input.len());
        }
    }
}

#[test]
fn a_cut_off_input_is_an_error_and_spoils_nothing() {
    let input = text(3000);
    let mut decompressor = Decompressor::default();
    for kind in CODECS {
        let compressed = compress(kind.into(), &input);
        for end in 0..compressed.len() {
            let mut back = Vec::new();
            let result = decompressor.decompress(kind, &compressed[..end], &mut back);
            // What is cut off at a block's end still looks whole in snappy's framing.
            let whole_blocks = kind == CompressionType::Snappy && input.starts_with(&back);
            // Nothing at all is no zstd frame and no error either.
            assert!(result.is_err() || whole_blocks || end == 0, "{kind} cut at {end}");
        }
        assert_eq!(decompress(&mut decompressor, kind, &compressed).unwrap(), input);
    }
}

#[test]
fn flipped_bits_neither_panic_nor_grow_past_the_limit() {
    let input = text(2000);
    let limits = Limits { bytes_max: 100_000, ..Limits::default() };
    let mut decompressor = Decompressor::new(limits, BufferPool::new(1, 1 << 20));
    for kind in CODECS {
        let compressed = compress(kind.into(), &input);
        for bit in 0..compressed.len() * 8 {
            let mut bytes = compressed.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let mut back = Vec::new();
            let _ = decompressor.decompress(kind, &bytes, &mut back);
            assert!(back.len() <= 100_000);
        }
        assert_eq!(decompress(&mut decompressor, kind, &compressed).unwrap(), input);
    }
}

#[test]
fn the_limit_itself_is_allowed_and_one_more_is_not() {
    let input = text(70_000);
    for kind in CODECS {
        for compressed in [compress(kind.into(), &input)] {
            for (bytes_max, fits) in [(70_000, true), (69_999, false)] {
                let limits = Limits { bytes_max, ..Limits::default() };
                let mut decompressor = Decompressor::new(limits, BufferPool::new(0, 0));
                let result = decompress(&mut decompressor, kind, &compressed);
                let too_large = Error::DecompressedTooLarge { compression: kind, bytes_max };
                assert_eq!(result.err(), (!fits).then_some(too_large), "{kind}");
            }
        }
    }
}

/// A context that was made for another level would compress by that one.
#[test]
fn a_compressor_that_is_used_again_compresses_as_a_new_one() {
    let input = text(20_000);
    let mut used = Compressor::new();
    for _ in 0..2 {
        for compression in every_level() {
            let mut output = b"before".to_vec();
            used.compress(compression, &input, &mut output).unwrap();
            assert_eq!(output[6..], compress(compression, &input), "{compression:?}");
        }
    }
}

/// The search for matches may be changed; what that does to the sizes is seen here: level, bytes, and the CRC-32 of them.
#[test]
fn lz4_s_levels_compress_as_they_did() {
    // Long runs of literals and long matches, near and far, so that lengths take further bytes.
    let mut rng = fastrand::Rng::with_seed(11);
    let noise: Vec<u8> = (0..3000).map(|_| rng.u8(..)).collect();
    let mixed = [&noise[..], &noise[..700], &[5; 600], &noise[100..], &noise[..19]].concat();
    let inputs = [mixed, text(13), text(40_000), vec![7; 70_000]];
    let told = [1, 2, 3, 6, 8, 10, 11, 12].map(|level| {
        let compression = Compression::new(CompressionType::Lz4).with_level(level).unwrap();
        let outputs: Vec<u8> =
            inputs.iter().flat_map(|input| compress(compression, input)).collect();
        (level, outputs.len(), crate::crc::crc32(&outputs))
    });
    let known = [
        (1, 18_417, 509_802_607),
        (2, 18_417, 509_802_607),
        (3, 17_987, 3_222_086_422),
        (6, 15_668, 1_210_441_670),
        (8, 14_770, 1_783_102_158),
        (10, 14_647, 1_753_538_494),
        (11, 14_179, 3_684_046_889),
        (12, 14_169, 1_509_950_737),
    ];
    assert_eq!(told, known);
}

#[test]
fn what_is_not_compressed_is_held_against_the_limit_too() {
    for (bytes_max, fits) in [(10, true), (9, false)] {
        let limits = Limits { bytes_max, ..Limits::default() };
        let mut decompressor = Decompressor::new(limits, BufferPool::new(0, 0));
        let result = decompress(&mut decompressor, CompressionType::None, &[1; 10]);
        assert_eq!(result.is_ok(), fits, "{bytes_max}");
    }
}

#[test]
fn data_that_grows_too_much_is_refused_above_the_floor_only() {
    let zeros = vec![0; 3 << 20];
    for kind in [CompressionType::Gzip, CompressionType::Lz4, CompressionType::Zstd] {
        let compressed = compress(kind.into(), &zeros);
        for (ratio_floor, fits) in [(3 << 20, true), (1 << 20, false)] {
            let limits = Limits { ratio_max: 10, ratio_floor, ..Limits::default() };
            let mut decompressor = Decompressor::new(limits, BufferPool::new(0, 0));
            assert_eq!(decompress(&mut decompressor, kind, &compressed).is_ok(), fits, "{kind}");
        }
    }
}

/// Java's, librdkafka's and franz-go's producers differ here.
#[test]
fn snappy_is_read_raw_framed_and_concatenated() {
    let input = text(100_000);
    let mut decompressor = Decompressor::default();
    let kind = CompressionType::Snappy;
    let framed = compress(kind.into(), &input);
    assert_eq!(framed[..16], *b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01");
    let raw = snap::raw::Encoder::new().compress_vec(&input).unwrap();
    assert_eq!(decompress(&mut decompressor, kind, &raw).unwrap(), input);
    let twice = [&framed[..], &framed[..]].concat();
    assert_eq!(decompress(&mut decompressor, kind, &twice).unwrap().len(), 200_000);
}

/// As the platform's inflater does in Java.
#[test]
fn gzip_members_follow_each_other_and_padding_is_ignored() {
    let input = text(1000);
    let mut decompressor = Decompressor::default();
    let kind = CompressionType::Gzip;
    let member = compress(kind.into(), &input);
    let twice = [&member[..], &member[..], b"\0\0\0"].concat();
    assert_eq!(decompress(&mut decompressor, kind, &twice).unwrap().len(), 2000);
    let mut named = member.clone();
    named[3] = 0x1e;
    named.splice(10..10, *b"\x02\0xxname\0comment\0hh");
    assert_eq!(decompress(&mut decompressor, kind, &named).unwrap(), input);
}

/// KAFKA-3160: only messages of format 0 may have it.
#[test]
fn a_wrong_lz4_header_checksum_is_read_in_format_0_alone() {
    let input = text(1000);
    let kind = CompressionType::Lz4;
    let mut frame = compress(kind.into(), &input);
    frame[6] ^= 0xff;
    let mut decompressor = Decompressor::default();
    let corrupt = Error::CorruptCompression(kind);
    assert_eq!(decompress(&mut decompressor, kind, &frame), Err(corrupt));
    assert_eq!(decompressor.decompress_magic_0(kind, &frame).unwrap(), input);
}

#[test]
fn a_higher_lz4_level_is_not_larger() {
    let input: Vec<u8> = text(60_000);
    let size = |level| {
        let compression = Compression::new(CompressionType::Lz4).with_level(level).unwrap();
        compress(compression, &input).len()
    };
    let sizes: Vec<_> = [9, 3, 6, 8, 10, 11, 12].into_iter().map(size).collect();
    assert!(sizes.is_sorted_by(|a, b| a >= b), "{sizes:?}");
    assert_eq!(size(12), size(17));
}

/// Of these payloads. Only level 9 promises it of all.
#[test]
fn a_higher_gzip_level_is_not_larger() {
    let mut rng = fastrand::Rng::with_seed(3);
    // Fields of few bytes, of which some repeat.
    let binary: Vec<u8> = (0..6000)
        .flat_map(|_| [0, 0, 0, 42, rng.u8(..9), 5, 1, rng.u8(..), rng.u8(..40), 7])
        .collect();
    for input in [text(60_000), text(3000), binary] {
        let size = |level| {
            let compression = Compression::new(CompressionType::Gzip).with_level(level).unwrap();
            compress(compression, &input).len()
        };
        let sizes: Vec<_> = (1..=9).map(size).collect();
        assert!(sizes.is_sorted_by(|a, b| a >= b), "{sizes:?}");
        assert_eq!(size(-1), size(6));
    }
}

/// Noise and repeats of what is up to 64 KiB behind, in buffers of one block and of more.
#[test]
fn gzip_gives_back_what_repeats_at_any_distance() {
    let mut rng = fastrand::Rng::with_seed(21);
    let mut compressor = Compressor::new();
    let mut decompressor = Decompressor::default();
    for round in 0..300 {
        let mut input: Vec<u8> = Vec::new();
        let len = [20, 300, 5000, 70_000, 200_000][round % 5];
        let letters = [2, 16, 256][round % 3];
        while input.len() < len {
            let mut up_to = |power| {
                let most = 1 << rng.u32(..power);
                1 + rng.usize(..most)
            };
            let (noise, back, repeat) = (up_to(10), up_to(17), up_to(11));
            input.extend((0..noise).map(|_| rng.usize(..letters) as u8));
            let from = input.len() - back.min(input.len());
            let to = input.len().min(from + repeat);
            input.extend_from_within(from..to);
        }
        for level in [1, 6, 7] {
            let compression = Compression::new(CompressionType::Gzip).with_level(level).unwrap();
            let mut compressed = Vec::new();
            compressor.compress(compression, &input, &mut compressed).unwrap();
            let back = decompress(&mut decompressor, CompressionType::Gzip, &compressed).unwrap();
            assert!(back == input, "level {level}, round {round}, {} bytes", input.len());
        }
    }
}

#[test]
fn zstd_agrees_with_another_implementation() {
    let mut decompressor = Decompressor::default();
    for input in inputs() {
        for level in [-5, 1, 3, 9] {
            let compression = Compression::new(CompressionType::Zstd).with_level(level).unwrap();
            let ours = compress(compression, &input);
            let mut theirs = Vec::new();
            let mut decoder = structured_zstd::decoding::StreamingDecoder::new(&ours[..]);
            std::io::Read::read_to_end(&mut decoder, &mut theirs).unwrap();
            assert!(theirs == input, "level {level}, {} bytes", input.len());
        }
        let level = structured_zstd::encoding::CompressionLevel::Default;
        let theirs = structured_zstd::encoding::compress_to_vec(&input[..], level);
        let back = decompress(&mut decompressor, CompressionType::Zstd, &theirs).unwrap();
        assert!(back == input, "{} bytes", input.len());
    }
}

#[test]
fn levels_are_those_of_kafka() {
    for (kind, good, bad) in [
        (CompressionType::None, vec![], vec![-1, 0, 1]),
        (CompressionType::Snappy, vec![], vec![1]),
        (CompressionType::Gzip, vec![-1, 1, 9], vec![-2, 0, 10]),
        (CompressionType::Lz4, vec![1, 9, 17], vec![0, 18]),
        (CompressionType::Zstd, vec![-131_072, -1, 0, 22], vec![-131_073, 23]),
    ] {
        for level in good {
            assert_eq!(Compression::new(kind).with_level(level).unwrap().level(), level);
        }
        for level in bad {
            let error = Error::UnknownLevel { compression: kind, level };
            assert_eq!(Compression::new(kind).with_level(level), Err(error));
        }
    }
}

/// They are in batches and in configurations.
#[test]
fn names_and_numbers_are_those_of_kafka() {
    let names = ["none", "gzip", "snappy", "lz4", "zstd"];
    for (id, (name, kind)) in (0..).zip(names.into_iter().zip(CompressionType::ALL)) {
        assert_eq!((kind.id(), kind.name(), kind.to_string().as_str()), (id, name, name));
        assert_eq!(CompressionType::from_id(id), Ok(kind));
        assert_eq!(CompressionType::from_name(name), Some(kind));
    }
    assert_eq!(CompressionType::from_id(5), Err(Error::UnknownCompression { id: 5 }));
    assert_eq!(CompressionType::from_name("GZIP"), None);
    assert_eq!(CompressionType::from_name(""), None);
}

#[test]
fn default_levels_are_those_of_kafka() {
    let levels = CompressionType::ALL.map(|kind| Compression::from(kind).level());
    assert_eq!(levels, [0, -1, 0, 9, 3]);
}

/// All three bound the output, and none of them replaces another.
#[test]
fn the_lowest_limit_holds() {
    let limits = |bytes_max, ratio_max, ratio_floor| Limits { bytes_max, ratio_max, ratio_floor };
    assert_eq!(limits(1000, 10, 50).decompressed_max(20), 200);
    assert_eq!(limits(1000, 10, 50).decompressed_max(2), 50);
    assert_eq!(limits(1000, 10, 50).decompressed_max(200), 1000);
    assert_eq!(limits(usize::MAX, 10, 50).decompressed_max(usize::MAX), u32::MAX as usize);
    let default = Limits::default();
    assert_eq!(default.decompressed_max(1), 16 << 20);
    assert_eq!(default.decompressed_max(20_000), 22_000_000);
    assert_eq!(default.decompressed_max(1 << 20), 64 << 20);
}

/// `fetch.max.bytes` may be more than what is usually the most.
#[test]
fn a_fetch_may_become_four_times_as_large_and_never_less_than_usual() {
    let usual = Limits::default();
    for (fetch_bytes_max, expected) in [
        (0, 64 << 20),
        (16 << 20, 64 << 20),
        ((16 << 20) + 1, (64 << 20) + 4),
        (usize::MAX, usize::MAX),
    ] {
        let limits = Limits::of_fetches(fetch_bytes_max);
        assert_eq!(limits.bytes_max, expected, "{fetch_bytes_max}");
        assert_eq!(limits.ratio_max, usual.ratio_max);
        assert_eq!(limits.ratio_floor, fetch_bytes_max.max(16 << 20));
    }
}

/// Room grows in steps, and the end may lie on either side of each of them.
#[test]
fn what_is_decompressed_follows_what_is_there_however_far_it_grows() {
    let mut decompressor = Decompressor::default();
    let steps = [4 << 10, 12 << 10, 28 << 10, 64 << 10, 1 << 20];
    for len in steps.into_iter().flat_map(|step| [step - 1, step, step + 1]) {
        let input = vec![7; len];
        for kind in CODECS {
            let mut output = b"before".to_vec();
            let compressed = compress(kind.into(), &input);
            decompressor.decompress(kind, &compressed, &mut output).unwrap();
            let (before, back) = output.split_at(6);
            assert!(before == b"before" && back == input, "{kind}, {len} bytes");
        }
    }
}

const CODECS: [CompressionType; 4] =
    [CompressionType::Gzip, CompressionType::Snappy, CompressionType::Lz4, CompressionType::Zstd];

fn every_level() -> Vec<Compression> {
    let levels = |kind, levels: &[i32]| -> Vec<Compression> {
        let compression = Compression::new(kind);
        levels.iter().map(|&level| compression.with_level(level).unwrap()).collect()
    };
    let mut all = vec![Compression::NONE, Compression::new(CompressionType::Snappy)];
    all.extend(levels(CompressionType::Gzip, &[-1, 1, 2, 6, 7, 8, 9]));
    all.extend(levels(CompressionType::Lz4, &[1, 3, 6, 8, 9, 10, 11, 12, 17]));
    all.extend(levels(CompressionType::Zstd, &[-131_072, -5, 1, 3, 6]));
    all
}

/// Empty, tiny, block edges, runs, noise, text.
fn inputs() -> Vec<Vec<u8>> {
    let mut rng = fastrand::Rng::with_seed(4);
    let mut inputs: Vec<Vec<u8>> = [1, 5, 12, 13, 14, 300, 65_535, 65_536, 65_537, 200_000]
        .into_iter()
        .map(|len| (0..len).map(|_| rng.u8(..)).collect())
        .collect();
    inputs.push(Vec::new());
    inputs.extend([13, 70, 32_768, 131_072].map(|len| vec![7; len]));
    inputs.extend([20, 1000, 65_536, 150_000].map(text));
    inputs
}

fn text(len: usize) -> Vec<u8> {
    const WORDS: [&str; 12] = [
        "{\"user\":",
        "\"order\":",
        "\"price\":",
        "12.50",
        "true",
        "},",
        "user_",
        "item-",
        "\"ts\":",
        "1772323200",
        "null",
        "\"city\":\"Prague\",",
    ];
    let mut rng = fastrand::Rng::with_seed(9);
    let mut text = Vec::with_capacity(len + 16);
    while text.len() < len {
        text.extend_from_slice(WORDS[rng.usize(..WORDS.len())].as_bytes());
        text.push(b'0' + rng.u8(0..10));
    }
    text.truncate(len);
    text
}

fn compress(compression: Compression, input: &[u8]) -> Vec<u8> {
    let mut compressed = Vec::new();
    Compressor::new().compress(compression, input, &mut compressed).unwrap();
    compressed
}

fn decompress(
    decompressor: &mut Decompressor,
    kind: CompressionType,
    input: &[u8],
) -> Result<Vec<u8>, Error> {
    let mut output = Vec::new();
    decompressor.decompress(kind, input, &mut output).map(|()| output)
}
