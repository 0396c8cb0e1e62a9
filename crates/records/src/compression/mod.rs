//! Compression of a batch's records: which codec at which level, and the contexts that do the work.

use std::fmt;

use bytes::Bytes;

use self::output::Output;
use crate::error::Error;
use crate::pool::BufferPool;

mod output;

#[cfg_attr(not(feature = "gzip"), path = "disabled.rs")]
mod gzip;
#[cfg_attr(not(feature = "lz4"), path = "disabled.rs")]
mod lz4;
#[cfg_attr(not(feature = "snappy"), path = "disabled.rs")]
mod snappy;
#[cfg_attr(not(feature = "zstd"), path = "disabled.rs")]
mod zstd;

/// Kafka's compression types (`compression.type`).
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[expect(
    clippy::exhaustive_enums,
    reason = "a new codec needs a new protocol version and new code"
)]
pub enum CompressionType {
    /// Not compressed.
    #[default]
    None,
    /// DEFLATE in gzip's framing.
    Gzip,
    /// Snappy, written in the framing of Java's xerial library.
    Snappy,
    /// LZ4's frame format.
    Lz4,
    /// Zstandard (KIP-110); brokers take it since 2.1.
    Zstd,
}

impl CompressionType {
    /// All of them, by number.
    pub const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    /// The number in a batch's attributes.
    pub const fn id(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Gzip => 1,
            Self::Snappy => 2,
            Self::Lz4 => 3,
            Self::Zstd => 4,
        }
    }

    /// The type with this number.
    ///
    /// # Errors
    /// [`Error::UnknownCompression`] for a number that Kafka has not defined.
    pub const fn from_id(id: u8) -> Result<Self, Error> {
        match id {
            0 => Ok(Self::None),
            1 => Ok(Self::Gzip),
            2 => Ok(Self::Snappy),
            3 => Ok(Self::Lz4),
            4 => Ok(Self::Zstd),
            _ => Err(Error::UnknownCompression { id }),
        }
    }

    /// The name in `compression.type`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }

    /// The type of this name, as configurations write it.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|compression| compression.name() == name)
    }
}

impl fmt::Display for CompressionType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A compression type and its level.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Compression {
    kind: CompressionType,
    level: i32,
}

impl Compression {
    /// No compression.
    pub const NONE: Self = Self::new(CompressionType::None);

    /// The codec at Kafka's default level: gzip -1 (6), lz4 9, zstd 3.
    pub const fn new(kind: CompressionType) -> Self {
        let level = match kind {
            CompressionType::None | CompressionType::Snappy => 0,
            CompressionType::Gzip => -1,
            CompressionType::Lz4 => 9,
            CompressionType::Zstd => 3,
        };
        Self { kind, level }
    }

    /// The same codec at `level`: gzip -1 or 1 to 9, lz4 1 to 17, zstd -131072 to 22 (KIP-390).
    ///
    /// Of gzip's, 2 to 6 and -1 are the same, and so are 7 and 8.
    ///
    /// # Errors
    /// [`Error::UnknownLevel`] for another level, and for any level of a codec that has none.
    pub const fn with_level(self, level: i32) -> Result<Self, Error> {
        let known = match self.kind {
            CompressionType::None | CompressionType::Snappy => false,
            CompressionType::Gzip => level == -1 || (1 <= level && level <= 9),
            CompressionType::Lz4 => 1 <= level && level <= 17,
            CompressionType::Zstd => -131_072 <= level && level <= 22,
        };
        if known {
            Ok(Self { kind: self.kind, level })
        } else {
            Err(Error::UnknownLevel { compression: self.kind, level })
        }
    }

    /// The codec.
    pub const fn kind(self) -> CompressionType {
        self.kind
    }

    /// The level, 0 where the codec has none.
    pub const fn level(self) -> i32 {
        self.level
    }
}

impl From<CompressionType> for Compression {
    fn from(kind: CompressionType) -> Self {
        Self::new(kind)
    }
}

/// How far data may grow when decompressed; both limits hold at once.
///
/// Whatever a codec's header states is not trusted: output is counted as it is produced.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// No batch may become larger than this; default 64 MiB.
    pub bytes_max: usize,
    /// No batch may become more than this many times as large; default 1,100, which is above what DEFLATE can do.
    pub ratio_max: usize,
    /// Up to this size any ratio is fine; default 16 MiB, since a megabyte of one byte is a legitimate record.
    pub ratio_floor: usize,
}

impl Limits {
    /// Of a consumer whose fetches may bring so many bytes: what is legitimate there is no bomb here.
    pub fn of_fetches(fetch_bytes_max: usize) -> Self {
        let usual = Self::default();
        let bytes_max = usual.bytes_max.max(fetch_bytes_max.saturating_mul(GROWTH_OF_A_FETCH));
        // zstd makes a hundred bytes of megabytes of one byte: whoever takes so much of a fetch takes it of a batch.
        let ratio_floor = usual.ratio_floor.max(fetch_bytes_max);
        Self { bytes_max, ratio_floor, ..usual }
    }

    /// How large `compressed` bytes may become.
    pub fn decompressed_max(&self, compressed: usize) -> usize {
        let by_ratio = compressed.saturating_mul(self.ratio_max).max(self.ratio_floor);
        // Records keep their places in four bytes.
        by_ratio.min(self.bytes_max).min(u32::MAX as usize)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes_max: 64 << 20, ratio_max: 1_100, ratio_floor: 16 << 20 }
    }
}

/// Compresses: one context a codec, made on first use and kept.
///
/// Give each thread that seals batches its own.
#[derive(Default)]
pub struct Compressor {
    gzip: gzip::Encoder,
    snappy: snappy::Encoder,
    lz4: lz4::Encoder,
    zstd: zstd::Encoder,
}

impl Compressor {
    /// A compressor without contexts yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends `input`, compressed, to `output`.
    ///
    /// # Errors
    /// [`Error::CodecDisabled`] where the codec's feature is off, [`Error::CompressFailed`] on a defect of the codec;
    /// `output` may then hold a part.
    pub fn compress(
        &mut self,
        compression: Compression,
        input: &[u8],
        output: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let Compression { kind, level } = compression;
        let result = match kind {
            CompressionType::None => {
                output.extend_from_slice(input);
                Ok(())
            }
            CompressionType::Gzip => self.gzip.compress(level, input, output),
            CompressionType::Snappy => self.snappy.compress(level, input, output),
            CompressionType::Lz4 => self.lz4.compress(level, input, output),
            CompressionType::Zstd => self.zstd.compress(level, input, output),
        };
        result.map_err(|refusal| refusal.into_error(kind, 0))
    }
}

impl fmt::Debug for Compressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compressor").finish_non_exhaustive()
    }
}

/// Decompresses within limits: one context a codec, made on first use and kept.
///
/// Give each thread that reads batches its own.
pub struct Decompressor {
    limits: Limits,
    pool: BufferPool,
    decoders: Decoders,
}

#[derive(Default)]
struct Decoders {
    gzip: gzip::Decoder,
    snappy: snappy::Decoder,
    lz4: lz4::Decoder,
    zstd: zstd::Decoder,
}

impl Decoders {
    fn decompress(
        &mut self,
        kind: CompressionType,
        input: &[u8],
        output: &mut Output<'_>,
    ) -> Result<(), Refusal> {
        match kind {
            CompressionType::None => output.extend(input),
            CompressionType::Gzip => self.gzip.decompress(input, output),
            CompressionType::Snappy => self.snappy.decompress(input, output),
            CompressionType::Lz4 => self.lz4.decompress(input, output),
            CompressionType::Zstd => self.zstd.decompress(input, output),
        }
    }
}

impl Decompressor {
    /// A decompressor without contexts yet, whose decoded batches return their buffers to `pool`.
    pub fn new(limits: Limits, pool: BufferPool) -> Self {
        Self { limits, pool, decoders: Decoders::default() }
    }

    /// Appends `input`, decompressed, to `output`, which grows only as data is produced.
    ///
    /// # Errors
    /// [`Error::CorruptCompression`], [`Error::DecompressedTooLarge`], or [`Error::CodecDisabled`] where the codec's
    /// feature is off; `output` may then hold a part.
    pub fn decompress(
        &mut self,
        kind: CompressionType,
        input: &[u8],
        output: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let bytes_max = self.limits.decompressed_max(input.len());
        let result = self.decoders.decompress(kind, input, &mut Output::new(output, bytes_max));
        result.map_err(|refusal| refusal.into_error(kind, bytes_max))
    }

    /// Decompresses into a buffer of the pool.
    pub(crate) fn decompress_shared(
        &mut self,
        kind: CompressionType,
        input: &[u8],
    ) -> Result<Bytes, Error> {
        let mut output = self.pool.take_used();
        let bytes_max = self.limits.decompressed_max(input.len());
        let result =
            self.decoders.decompress(kind, input, &mut Output::over(&mut output, bytes_max));
        result.map_err(|refusal| refusal.into_error(kind, bytes_max))?;
        Ok(output.freeze())
    }

    /// As [`decompress_shared`](Self::decompress_shared), for messages of format 0, whose LZ4 frames carry a wrong
    /// header checksum (KAFKA-3160).
    pub(crate) fn decompress_magic_0(
        &mut self,
        kind: CompressionType,
        input: &[u8],
    ) -> Result<Bytes, Error> {
        if kind != CompressionType::Lz4 {
            return self.decompress_shared(kind, input);
        }
        let mut output = self.pool.take_used();
        let bytes_max = self.limits.decompressed_max(input.len());
        self.decoders
            .lz4
            .decompress_magic_0(input, &mut Output::over(&mut output, bytes_max))
            .map_err(|refusal| refusal.into_error(kind, bytes_max))?;
        Ok(output.freeze())
    }
}

impl Default for Decompressor {
    /// Default limits, and a pool that keeps nothing.
    fn default() -> Self {
        Self::new(Limits::default(), BufferPool::new(0, 0))
    }
}

impl fmt::Debug for Decompressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decompressor").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// Why a codec gave up; becomes an [`Error`] where the codec and the limit are known.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[allow(dead_code, reason = "which of them occur depends on the features")]
enum Refusal {
    Disabled,
    Corrupt,
    TooLarge,
    Failed,
}

impl Refusal {
    fn into_error(self, compression: CompressionType, bytes_max: usize) -> Error {
        match self {
            Self::Disabled => Error::CodecDisabled(compression),
            Self::Corrupt => Error::CorruptCompression(compression),
            Self::TooLarge => Error::DecompressedTooLarge { compression, bytes_max },
            Self::Failed => Error::CompressFailed(compression),
        }
    }
}

/// What was fetched may become so many times as large.
const GROWTH_OF_A_FETCH: usize = 4;

#[cfg(test)]
mod tests;
