//! Input: a byte that seeds how the stream is torn, then the stream.

use bytes::{Bytes, BytesMut};
use milena_wire::{FrameError, FrameReader};

use crate::memory;

/// However a stream is torn, its frames are the same.
pub(crate) fn run(data: &[u8]) {
    let Some((seed, stream)) = data.split_first() else { return };
    let mut rng = fastrand::Rng::with_seed(u64::from(*seed));
    let whole = read(&[stream]);
    let mut pieces = Vec::new();
    let mut rest = stream;
    while !rest.is_empty() {
        let most = if rng.bool() { 5 } else { rest.len() };
        let (piece, after) = rest.split_at(rng.usize(1..=most.min(rest.len())));
        pieces.push(piece);
        rest = after;
    }
    let torn = memory::within(4 * stream.len() + (64 << 10), || read(&pieces));
    assert_eq!(whole.frames, torn.frames, "frames of a torn stream");
    assert_eq!(whole.error, torn.error, "the end of a torn stream");
    let taken: usize = whole.frames.iter().map(|frame| 4 + frame.len()).sum();
    if whole.error.is_none() {
        assert_eq!(taken + whole.left, stream.len(), "bytes went astray");
        assert_eq!(whole.left, torn.left, "what is left of a torn stream");
    }
    for frame in &whole.frames {
        // Whatever it is, looking whose answer it is does no harm.
        _ = milena_wire::peek_correlation_id(frame);
    }
}

struct Taken {
    frames: Vec<Bytes>,
    left: usize,
    error: Option<FrameError>,
}

fn read(pieces: &[&[u8]]) -> Taken {
    let reader = FrameReader::new(FRAME_BYTES_MAX);
    let mut received = BytesMut::new();
    let mut frames = Vec::new();
    for piece in pieces {
        received.extend_from_slice(piece);
        loop {
            match reader.read(&mut received) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return Taken { frames, left: received.len(), error: Some(error) },
            }
        }
    }
    Taken { frames, left: received.len(), error: None }
}

/// Small, so that lengths above it are common.
const FRAME_BYTES_MAX: usize = 32 << 10;
