//! Frames as one buffer for vectored writes.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes};
use milena_wire::Frame;

/// Parts of frames that are still to be written, in order.
#[derive(Debug, Default)]
pub(super) struct Frames {
    parts: VecDeque<Bytes>,
    remaining: usize,
}

impl Frames {
    pub(super) fn push(&mut self, frame: Frame) {
        self.remaining += frame.len();
        self.parts.extend(frame.into_parts().into_iter().filter(|part| !part.is_empty()));
    }
}

impl Buf for Frames {
    fn remaining(&self) -> usize {
        self.remaining
    }

    fn chunk(&self) -> &[u8] {
        self.parts.front().map_or(&[], |part| part)
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let pairs = slices.iter_mut().zip(&self.parts);
        pairs.map(|(slice, part)| *slice = IoSlice::new(part)).count()
    }

    fn advance(&mut self, mut bytes: usize) {
        self.remaining = self.remaining.saturating_sub(bytes);
        while let Some(part) = self.parts.front_mut() {
            if bytes < part.len() {
                part.advance(bytes);
                return;
            }
            bytes -= part.len();
            self.parts.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_written_across_their_borders() {
        let mut frames = Frames::default();
        frames.push(Frame::from(Bytes::from_static(b"abc")));
        frames.push(Frame::from(Bytes::from_static(b"defg")));
        let mut slices = [IoSlice::new(&[]); 4];
        assert_eq!(frames.chunks_vectored(&mut slices), 2);
        frames.advance(4);
        assert_eq!((frames.remaining(), frames.chunk()), (3, &b"efg"[..]));
        frames.advance(3);
        assert!(!frames.has_remaining());
    }
}
