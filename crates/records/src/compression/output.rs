//! Where decompressed bytes go: a buffer that grows only as they are produced, up to a limit.

use super::Refusal;

/// The end of a caller's buffer, with a limit on how far it may grow.
pub(super) struct Output<'a> {
    /// Behind `end`: room that was cleared or used before, and not filled. It stays, since an input may ask for room
    /// very often and put nothing in it, and is cut off in the end.
    bytes: &'a mut Vec<u8>,
    start: usize,
    end: usize,
    bytes_max: usize,
}

// No codec uses all of it.
#[cfg_attr(not(all(feature = "gzip", feature = "lz4", feature = "zstd")), allow(dead_code))]
impl<'a> Output<'a> {
    /// Appends to `bytes`, at most `bytes_max`.
    pub(super) fn new(bytes: &'a mut Vec<u8>, bytes_max: usize) -> Self {
        let start = bytes.len();
        Self { bytes, start, end: start, bytes_max }
    }

    /// Writes over `bytes`, at most `bytes_max`.
    pub(super) fn over(bytes: &'a mut Vec<u8>, bytes_max: usize) -> Self {
        Self { bytes, start: 0, end: 0, bytes_max }
    }

    /// Bytes appended so far.
    pub(super) fn produced(&self) -> usize {
        self.end - self.start
    }

    /// Bytes that may still be appended.
    pub(super) fn left(&self) -> usize {
        self.bytes_max.saturating_sub(self.produced())
    }

    /// What was appended so far.
    pub(super) fn written(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    /// Whether the caller's buffer holds nothing at all.
    pub(super) fn is_empty(&self) -> bool {
        self.end == 0
    }

    /// Lets a codec append that is known to stay within [`left`](Self::left).
    pub(super) fn append<T>(&mut self, write: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        self.bytes.truncate(self.end);
        let result = write(self.bytes);
        self.end = self.bytes.len();
        result
    }

    /// Appends a copy.
    pub(super) fn extend(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        if bytes.len() > self.left() {
            return Err(Refusal::TooLarge);
        }
        let cleared = self.bytes.get_mut(self.end..).unwrap_or_default();
        let (fits, rest) = bytes.split_at(cleared.len().min(bytes.len()));
        cleared.iter_mut().zip(fits).for_each(|(to, from)| *to = *from);
        self.bytes.extend_from_slice(rest);
        self.end += bytes.len();
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
        let room = room.min(self.left());
        if self.bytes.len() < self.end + room {
            self.bytes.resize(self.end + room, 0);
        }
        let (before, place) = self.bytes.split_at_mut(self.end);
        let place = place.get_mut(..room).unwrap_or_default();
        let written = write(before.get(self.start..).unwrap_or_default(), place);
        self.end += written.as_ref().map_or(0, |&written| written.min(room));
        written
    }
}

impl Drop for Output<'_> {
    fn drop(&mut self) {
        self.bytes.truncate(self.end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_over_is_not_seen() {
        let mut bytes = b"before".to_vec();
        let mut output = Output::over(&mut bytes, 100);
        assert!(output.is_empty());
        output.extend(b"now").unwrap();
        assert_eq!((output.written(), output.produced()), (&b"now"[..], 3));
        drop(output);
        assert_eq!(bytes, b"now");
        drop(Output::over(&mut bytes, 100));
        assert_eq!(bytes, b"");
    }

    /// An input of nothing but empty frames would have megabytes cleared for every few bytes of its own.
    #[test]
    fn room_is_cleared_once_however_often_it_is_asked_for() {
        let mut bytes = b"before".to_vec();
        let mut output = Output::new(&mut bytes, 100);
        let mark = |_: &[u8], place: &mut [u8]| {
            place.fill(7);
            Ok(0)
        };
        output.fill(100, mark).unwrap();
        output.extend(b"copied").unwrap();
        let seen = output.fill(200, |before, place| {
            assert_eq!(before, b"copied");
            assert_eq!(place, [7; 94]);
            place[..2].copy_from_slice(b"ab");
            Ok(2)
        });
        assert_eq!((seen, output.produced(), output.left()), (Ok(2), 8, 92));
        assert_eq!(output.extend(&[1; 93]), Err(Refusal::TooLarge));
        output.append(|bytes| bytes.push(b'c'));
        assert_eq!(output.written(), b"copiedabc");
        drop(output);
        assert_eq!(bytes, b"beforecopiedabc");
    }
}
