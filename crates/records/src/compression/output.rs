//! Where decompressed bytes go: a buffer that grows only as they are produced, up to a limit.

use super::Refusal;

/// The end of a caller's buffer, with a limit on how far it may grow.
pub(super) struct Output<'a> {
    bytes: &'a mut Vec<u8>,
    start: usize,
    bytes_max: usize,
}

// No codec uses all of it.
#[cfg_attr(not(all(feature = "gzip", feature = "lz4", feature = "zstd")), allow(dead_code))]
impl<'a> Output<'a> {
    /// Appends to `bytes`, at most `bytes_max`.
    pub(super) fn new(bytes: &'a mut Vec<u8>, bytes_max: usize) -> Self {
        let start = bytes.len();
        Self { bytes, start, bytes_max }
    }

    /// Bytes appended so far.
    pub(super) fn produced(&self) -> usize {
        self.bytes.len() - self.start
    }

    /// Bytes that may still be appended.
    pub(super) fn left(&self) -> usize {
        self.bytes_max.saturating_sub(self.produced())
    }

    /// What was appended so far.
    pub(super) fn written(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    /// The buffer itself, for a codec that is known to stay within [`left`](Self::left).
    pub(super) fn buffer(&mut self) -> &mut Vec<u8> {
        self.bytes
    }

    /// Appends a copy.
    pub(super) fn extend(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        if bytes.len() > self.left() {
            return Err(Refusal::TooLarge);
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    /// Lets `write` fill up to `room` bytes, fewer where the limit is near, and keeps as many as it says.
    ///
    /// `write` sees what was appended before, for codecs that copy from there.
    pub(super) fn fill(
        &mut self,
        room: usize,
        write: impl FnOnce(&[u8], &mut [u8]) -> Result<usize, Refusal>,
    ) -> Result<usize, Refusal> {
        let len = self.bytes.len();
        self.bytes.resize(len + room.min(self.left()), 0);
        let (before, place) = self.bytes.split_at_mut(len);
        let written = write(before.get(self.start..).unwrap_or_default(), place);
        let kept = written.as_ref().map_or(0, |&written| written.min(place.len()));
        self.bytes.truncate(len + kept);
        written
    }
}
