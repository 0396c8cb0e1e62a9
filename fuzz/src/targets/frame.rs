//! Input: a byte that seeds how the stream is torn, then the stream.

use bytes::{Bytes, BytesMut};
use milena_wire::{FrameError, FrameReader};

use crate::memory;

/// However a stream is torn, its frames are the same.
pub(crate) fn run(data: &[u8]) {
    let Some((seed, stream)) = data.split_first() else { return };
    let mut rng = fastrand::Rng::with_seed(u64::from(*seed));
    // Room for as many frames as there can be, so that only what the reader holds is counted.
    let room = || Vec::with_capacity(stream.len() / LENGTH_BYTES + 1);
    let whole = read(&[stream], room());
    let mut pieces = Vec::new();
    let mut rest = stream;
    while !rest.is_empty() {
        let most = if rng.bool() { 5 } else { rest.len() };
        let (piece, after) = rest.split_at(rng.usize(1..=most.min(rest.len())));
        pieces.push(piece);
        rest = after;
    }
    let frames = room();
    let torn = memory::within(4 * stream.len() + (64 << 10), || read(&pieces, frames));
    assert_eq!(whole.frames, torn.frames, "frames of a torn stream");
    assert_eq!(whole.error, torn.error, "the end of a torn stream");
    let taken: usize = whole.frames.iter().map(|frame| LENGTH_BYTES + frame.len()).sum();
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

fn read(pieces: &[&[u8]], mut frames: Vec<Bytes>) -> Taken {
    let reader = FrameReader::new(FRAME_BYTES_MAX);
    let mut received = BytesMut::new();
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

const LENGTH_BYTES: usize = 4;
