//! Frames off and onto a stream.

use std::collections::VecDeque;
use std::io::{self, IoSlice};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use milena_records::{Buffer, BufferPool};
use milena_wire::{Frame, FrameReader};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Cuts a stream into frames.
///
/// A small frame is a slice of the buffer that the kernel copied it to. A large one gets a buffer of its own, of a pool
/// to which it returns once nobody holds a slice of it: fresh memory costs about as much as the copy into it.
#[derive(Debug)]
pub(super) struct Frames {
    buffer: BytesMut,
    reader: FrameReader,
    frame_bytes_max: usize,
    large: Option<Large>,
    pool: BufferPool,
}

/// A large frame as far as it has come.
#[derive(Debug)]
struct Large {
    bytes: Buffer,
    missing: usize,
}

impl Frames {
    /// Refuses frames of more than `frame_bytes_max` bytes.
    pub(super) fn new(frame_bytes_max: usize) -> Self {
        Self {
            buffer: BytesMut::new(),
            reader: FrameReader::new(frame_bytes_max),
            frame_bytes_max,
            large: None,
            pool: BufferPool::new(LARGE_KEPT, LARGE_BYTES_KEPT),
        }
    }

    /// From here on, frames may have this many bytes.
    pub(super) fn allow(&mut self, frame_bytes_max: usize) {
        self.reader = FrameReader::new(frame_bytes_max);
        self.frame_bytes_max = frame_bytes_max;
    }

    /// The next frame, without its length prefix. Dropping the future loses nothing.
    ///
    /// # Errors
    /// `UnexpectedEof` where the stream ends, `InvalidData` for a length that no frame has, or the stream's own.
    pub(super) async fn read<S>(&mut self, stream: &mut S) -> io::Result<Bytes>
    where
        S: AsyncRead + Unpin + ?Sized,
    {
        while self.large.is_none() {
            let frame = self.reader.read(&mut self.buffer);
            if let Some(frame) = frame.map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))? {
                return Ok(frame);
            }
            if self.begin_large() {
                break;
            }
            self.buffer.reserve(READ_BYTES_MIN);
            if stream.read_buf(&mut self.buffer).await? == 0 {
                let is_between = self.buffer.is_empty();
                return Err(end(is_between));
            }
        }
        while let Some(large) = self.large.as_mut().filter(|large| large.missing > 0) {
            // The stated length is not believed until bytes come, so that the buffer at most doubles.
            let believed = large.bytes.len().max(BELIEVED_BYTES).min(large.missing);
            if large.bytes.capacity() - large.bytes.len() < believed {
                large.bytes.reserve_exact(believed);
            }
            let read = stream.read_buf(&mut (&mut *large.bytes).limit(large.missing)).await?;
            if read == 0 {
                return Err(end(false));
            }
            large.missing -= read;
        }
        Ok(self.large.take().map(|large| large.bytes.freeze()).unwrap_or_default())
    }

    /// Gives the frame that has begun a buffer of its own, if it is large.
    fn begin_large(&mut self) -> bool {
        let Some((prefix, begun)) = self.buffer.split_first_chunk() else { return false };
        let stated = usize::try_from(i32::from_be_bytes(*prefix)).unwrap_or_default();
        let missing = stated.saturating_sub(begun.len());
        if missing < LARGE_BYTES || stated > self.frame_bytes_max {
            return false;
        }
        let mut bytes = self.pool.take(0);
        if bytes.capacity() < begun.len() {
            bytes.reserve_exact(stated.min(BELIEVED_BYTES.max(begun.len())));
        }
        bytes.extend_from_slice(begun);
        self.buffer.clear();
        self.large = Some(Large { bytes, missing });
        true
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        let large = self.large.as_ref().map_or(0, |large| large.bytes.capacity());
        self.buffer.capacity() + large
    }
}

fn end(is_between: bool) -> io::Error {
    let what = if is_between { "closed by the peer" } else { "closed by the peer within a frame" };
    io::Error::new(io::ErrorKind::UnexpectedEof, what)
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

/// Enough for most answers; a frame up to this size is never moved while it grows.
const BELIEVED_BYTES: usize = 1024 * 1024;

/// One read takes at least this much if it is there.
const READ_BYTES_MIN: usize = 16 * 1024;

/// A frame of which this much is still to come is read to where it stays.
const LARGE_BYTES: usize = 64 * 1024;

/// Buffers of large frames that lie unused: as many as are in hand at once while others are on their way.
const LARGE_KEPT: usize = 4;

/// The largest of them: half of what a consumer holds by default.
const LARGE_BYTES_KEPT: usize = 9 << 20;

/// A write of this size is as good as a larger one.
const WRITE_BYTES: usize = 256 * 1024;

/// Slices of one vectored write; operating systems take 1024, and 64 parts are some 30 batches.
const SLICES_MAX: usize = 64;
