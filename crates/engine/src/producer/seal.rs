//! The heavy work on batches, done wherever there is a core for it.

use milena_records::{BatchBuilder, Compression, Compressor, Decompressor, SealedBatch};

/// A batch to compress and checksum, or to split; [`run`](Self::run) it and hand the result back.
#[derive(Debug)]
#[must_use = "the batch is not sent before its seal comes back"]
pub struct SealJob {
    pub(super) slot: usize,
    pub(super) number: u64,
    pub(super) compression: Compression,
    pub(super) work: Work,
}

#[derive(Debug)]
pub(super) enum Work {
    Seal(BatchBuilder),
    /// Into batches of at most so many bytes before compression.
    Split(SealedBatch, usize),
}

/// A [`SealJob`] that is done.
#[derive(Debug)]
#[must_use = "hand it to `Producer::handle_sealed`"]
pub struct Sealed {
    pub(super) slot: usize,
    pub(super) number: u64,
    pub(super) batches: Result<Vec<SealedBatch>, milena_records::Error>,
}

impl SealJob {
    /// Does the work. It may be done in another thread, and jobs may come back in any order.
    pub fn run(self, compressor: &mut Compressor, decompressor: &mut Decompressor) -> Sealed {
        let Self { slot, number, compression, work } = self;
        let batches = match work {
            Work::Seal(builder) => builder.seal(compression, compressor).map(|sealed| vec![sealed]),
            Work::Split(sealed, bytes) => {
                sealed.split(bytes, compression, compressor, decompressor)
            }
        };
        Sealed { slot, number, batches }
    }

    /// Bytes to work on: tells whether another thread is worth its while.
    pub fn bytes(&self) -> usize {
        match &self.work {
            Work::Seal(builder) => builder.size(),
            Work::Split(sealed, _) => sealed.uncompressed_size(),
        }
    }

    /// Whether the work is a checksum only.
    pub fn is_cheap(&self) -> bool {
        self.compression == Compression::NONE
    }
}

#[cfg(test)]
mod tests {
    use milena_records::{Buffer, CompressionType};
    use milena_types::Timestamp;

    use super::*;

    /// Whoever drives the machine hands large work to another thread, and does small work itself.
    #[test]
    fn a_job_says_how_much_work_it_is() {
        let builder = || {
            let mut builder = BatchBuilder::new(Buffer::default());
            builder.append(Timestamp::from_millis(0), None, Some(&[7; 1000]), []).unwrap();
            builder
        };
        let bytes = builder().size();
        let job = |compression, work| SealJob { slot: 0, number: 0, compression, work };
        let lz4 = Compression::new(CompressionType::Lz4);
        let (plain, packed) =
            (job(Compression::NONE, Work::Seal(builder())), job(lz4, Work::Seal(builder())));
        assert_eq!((plain.bytes(), plain.is_cheap()), (bytes, true));
        assert_eq!((packed.bytes(), packed.is_cheap()), (bytes, false));
        let sealed = builder().seal(lz4, &mut Compressor::new()).unwrap();
        assert!(sealed.size() < 200);
        assert_eq!(job(lz4, Work::Split(sealed, 100)).bytes(), bytes);
    }
}
