//! Frames off and onto a stream.

use std::collections::VecDeque;
use std::io::{self, IoSlice};

use bytes::{Buf, Bytes, BytesMut};
use milena_wire::{Frame, FrameReader};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Cuts a stream into frames.
///
/// A frame is a slice of the buffer that the kernel copied it to; the buffer is used again once its frames are gone.
#[derive(Debug)]
pub(super) struct Frames {
    buffer: BytesMut,
    reader: FrameReader,
}

impl Frames {
    /// Refuses frames of more than `frame_bytes_max` bytes.
    pub(super) fn new(frame_bytes_max: usize) -> Self {
        Self { buffer: BytesMut::new(), reader: FrameReader::new(frame_bytes_max) }
    }

    /// From here on, frames may have this many bytes.
    pub(super) fn allow(&mut self, frame_bytes_max: usize) {
        self.reader = FrameReader::new(frame_bytes_max);
    }

    /// The next frame, without its length prefix. Dropping the future loses nothing.
    ///
    /// # Errors
    /// `UnexpectedEof` where the stream ends, `InvalidData` for a length that no frame has, or the stream's own.
    pub(super) async fn read<S>(&mut self, stream: &mut S) -> io::Result<Bytes>
    where
        S: AsyncRead + Unpin + ?Sized,
    {
        loop {
            let frame = self.reader.read(&mut self.buffer);
            if let Some(frame) = frame.map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))? {
                return Ok(frame);
            }
            self.buffer.reserve(self.believed());
            if stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(self.end());
            }
        }
    }

    /// How much room to make: for the rest of the frame, but its stated length is not believed until bytes come, so
    /// that the buffer at most doubles.
    fn believed(&self) -> usize {
        let stated = self.buffer.first_chunk().map_or(0, |prefix| i32::from_be_bytes(*prefix));
        let whole = LENGTH_BYTES + usize::try_from(stated).unwrap_or_default();
        let missing = whole.saturating_sub(self.buffer.len());
        missing.min(self.buffer.len().max(BELIEVED_BYTES)).max(READ_BYTES_MIN)
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.buffer.capacity()
    }

    fn end(&self) -> io::Error {
        let is_between = self.buffer.is_empty();
        let what =
            if is_between { "closed by the peer" } else { "closed by the peer within a frame" };
        io::Error::new(io::ErrorKind::UnexpectedEof, what)
    }
}

/// Puts frames onto a stream, several in one write.
#[derive(Debug, Default)]
pub(super) struct FrameWriter {
    parts: VecDeque<Bytes>,
    /// Bytes that are left of each frame.
    frames: VecDeque<usize>,
    /// Bytes that are left of all.
    bytes: usize,
    needs_flush: bool,
}

/// How far a write got.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Progress {
    /// Frames that it finished.
    pub(super) frames: usize,
    /// Whether bytes of the next one are written.
    pub(super) is_next_begun: bool,
}

impl FrameWriter {
    /// Whether one more frame should be queued: enough to fill a write, not more, so that what waits can still fail
    /// as not sent.
    pub(super) fn has_room(&self) -> bool {
        self.bytes < WRITE_BYTES && self.parts.len() < SLICES_MAX
    }

    /// Queues a frame.
    pub(super) fn push(&mut self, frame: Frame) {
        let before = self.bytes;
        for part in frame.into_parts() {
            self.bytes += part.len();
            if !part.is_empty() {
                self.parts.push_back(part);
            }
        }
        self.frames.push_back(self.bytes - before);
        self.needs_flush = true;
    }

    /// Whether there is something to write or to flush.
    pub(super) fn has_work(&self) -> bool {
        self.needs_flush
    }

    /// Writes once, or flushes where all is written. Dropping the future loses nothing.
    pub(super) async fn write<S>(&mut self, stream: &mut S) -> io::Result<Progress>
    where
        S: AsyncWrite + Unpin + ?Sized,
    {
        if self.bytes == 0 {
            stream.flush().await?;
            self.needs_flush = false;
            return Ok(Progress { frames: 0, is_next_begun: false });
        }
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let used = self.parts.len().min(SLICES_MAX);
        for (slice, part) in slices.iter_mut().zip(&self.parts) {
            *slice = IoSlice::new(part);
        }
        let written = stream.write_vectored(slices.get(..used).unwrap_or_default()).await?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        Ok(self.advance(written))
    }

    fn advance(&mut self, written: usize) -> Progress {
        self.bytes -= written;
        let mut left = written;
        while let Some(part) = self.parts.front_mut() {
            if left < part.len() {
                part.advance(left);
                break;
            }
            left -= part.len();
            self.parts.pop_front();
        }
        let (mut frames, mut left) = (0, written);
        while let Some(frame) = self.frames.front_mut() {
            if left < *frame {
                *frame -= left;
                break;
            }
            left -= *frame;
            frames += 1;
            self.frames.pop_front();
        }
        Progress { frames, is_next_begun: left > 0 }
    }
}

const LENGTH_BYTES: usize = 4;

/// Enough for most answers; a frame up to this size is never moved while it grows.
const BELIEVED_BYTES: usize = 1024 * 1024;

/// One read takes at least this much if it is there.
const READ_BYTES_MIN: usize = 16 * 1024;

/// A write of this size is as good as a larger one.
const WRITE_BYTES: usize = 256 * 1024;

/// Slices of one vectored write; operating systems take 1024, and 64 parts are some 30 batches.
const SLICES_MAX: usize = 64;
