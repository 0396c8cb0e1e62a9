//! Buffers that come back: a bounded stock of them, and the guard that returns one.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// A bounded stock of byte buffers, shared by clones.
///
/// It bounds what lies unused; how much is in use is the business of who takes (the producer's accumulator has the
/// budget, the consumer asks for [`frozen_bytes`](Self::frozen_bytes)). A pool never blocks: where it is empty, a new
/// buffer is allocated.
#[derive(Clone)]
pub struct BufferPool {
    stock: Arc<Stock>,
}

struct Stock {
    free: Mutex<Vec<Vec<u8>>>,
    /// Capacities of the buffers that were frozen and are referred to still.
    frozen: AtomicUsize,
    buffers_max: usize,
    capacity_max: usize,
}

impl BufferPool {
    /// A pool that keeps at most `buffers_max` unused buffers, none larger than `capacity_max` bytes.
    pub fn new(buffers_max: usize, capacity_max: usize) -> Self {
        let free = Mutex::new(Vec::new());
        let frozen = AtomicUsize::new(0);
        Self { stock: Arc::new(Stock { free, frozen, buffers_max, capacity_max }) }
    }

    /// An empty buffer with room for `capacity` bytes, used before where there is one.
    pub fn take(&self, capacity: usize) -> Buffer {
        let mut buffer = self.take_used();
        buffer.clear();
        buffer.reserve(capacity);
        buffer
    }

    /// A buffer with what it held before, for who writes over that: to clear it once more was 6 % of reading lz4.
    pub(crate) fn take_used(&self) -> Buffer {
        let used = self.stock.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Buffer { bytes: used.unwrap_or_default(), pool: Some(self.clone()), frozen: 0 }
    }

    /// The memory behind bytes that were [frozen](Buffer::freeze) and that somebody holds still.
    pub fn frozen_bytes(&self) -> usize {
        self.stock.frozen.load(Ordering::Relaxed)
    }

    /// How many unused buffers lie here.
    pub fn free(&self) -> usize {
        self.stock.free.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn put_back(&self, bytes: Vec<u8>) {
        // A buffer that grew for one large record is not worth holding.
        if bytes.capacity() == 0 || bytes.capacity() > self.stock.capacity_max {
            return;
        }
        let mut free = self.stock.free.lock().unwrap_or_else(PoisonError::into_inner);
        if free.len() < self.stock.buffers_max {
            free.push(bytes);
        }
    }
}

impl fmt::Debug for BufferPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BufferPool")
            .field("free", &self.free())
            .field("buffers_max", &self.stock.buffers_max)
            .field("capacity_max", &self.stock.capacity_max)
            .finish()
    }
}

/// A byte buffer that returns to its pool when the last reference to its bytes is dropped, and never earlier.
///
/// [`freeze`](Self::freeze) gives its bytes away without a copy; the pool sees the buffer again only when all
/// [`Bytes`] made of it are gone, so that a batch in flight can never be overwritten (CVE-2026-35554).
#[derive(Default)]
pub struct Buffer {
    bytes: Vec<u8>,
    pool: Option<BufferPool>,
    /// What it was counted with when it was frozen.
    frozen: usize,
}

impl Buffer {
    /// An empty buffer of no pool with room for `capacity` bytes.
    pub fn with_capacity(capacity: usize) -> Self {
        Self { bytes: Vec::with_capacity(capacity), pool: None, frozen: 0 }
    }

    /// Another empty buffer from where this one came.
    #[must_use]
    pub fn another(&self, capacity: usize) -> Self {
        match &self.pool {
            Some(pool) => pool.take(capacity),
            None => Self::with_capacity(capacity),
        }
    }

    /// Its contents as shared, immutable bytes, without a copy.
    pub fn freeze(mut self) -> Bytes {
        let Some(pool) = &self.pool else {
            return Bytes::from(std::mem::take(&mut self.bytes));
        };
        self.frozen = self.bytes.capacity();
        pool.stock.frozen.fetch_add(self.frozen, Ordering::Relaxed);
        Bytes::from_owner(self)
    }
}

impl From<Vec<u8>> for Buffer {
    fn from(bytes: Vec<u8>) -> Self {
        Self { bytes, pool: None, frozen: 0 }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Some(pool) = self.pool.take() {
            pool.stock.frozen.fetch_sub(self.frozen, Ordering::Relaxed);
            pool.put_back(std::mem::take(&mut self.bytes));
        }
    }
}

impl Deref for Buffer {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.bytes
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffer")
            .field("len", &self.bytes.len())
            .field("capacity", &self.bytes.capacity())
            .field("pooled", &self.pool.is_some())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Were it handed out while a request still sends it, records would land in another topic (KAFKA-19012).
    #[test]
    fn a_frozen_buffer_returns_only_with_its_last_reference() {
        let pool = BufferPool::new(4, 1024);
        let mut buffer = pool.take(100);
        buffer.extend_from_slice(b"in flight");
        let sent = buffer.freeze();
        let slice = sent.slice(3..);
        drop(sent);
        assert_eq!(pool.free(), 0);
        assert_eq!(&slice[..], b"flight");
        drop(slice);
        assert_eq!(pool.free(), 1);
        assert!(pool.take(10).is_empty());
    }

    #[test]
    fn a_used_buffer_comes_as_it_was_given_back() {
        let pool = BufferPool::new(4, 1024);
        pool.take(100).extend_from_slice(b"before");
        assert_eq!(**pool.take_used(), *b"before");
        assert!(pool.take(0).is_empty());
    }

    #[test]
    fn what_is_frozen_counts_until_its_last_reference_is_gone() {
        let pool = BufferPool::new(4, 1024);
        let mut buffer = pool.take(100);
        buffer.extend_from_slice(b"record");
        assert_eq!(pool.frozen_bytes(), 0);
        let kept = buffer.freeze().slice(1..);
        assert!(pool.frozen_bytes() >= 100);
        drop(kept);
        assert_eq!(pool.frozen_bytes(), 0);
        drop(pool.take(100));
        assert_eq!(pool.frozen_bytes(), 0, "what is dropped unfrozen never counted");
    }

    #[test]
    fn a_pool_keeps_no_more_and_no_larger_than_told() {
        let pool = BufferPool::new(2, 1024);
        let taken: Vec<_> = (0..5).map(|_| pool.take(64)).collect();
        drop(taken);
        assert_eq!(pool.free(), 2);
        drop((pool.take(64), pool.take(64)));
        drop(pool.take(4096));
        assert_eq!(pool.free(), 1);
        let exact = Buffer { bytes: Vec::with_capacity(1024), pool: Some(pool.clone()), frozen: 0 };
        drop(exact);
        assert_eq!(pool.free(), 2, "one of just the largest size is kept");
    }

    #[test]
    fn a_buffer_without_bytes_is_not_kept() {
        let pool = BufferPool::new(2, 1024);
        drop(pool.take(0));
        assert_eq!(pool.free(), 0);
    }

    /// A batch is compressed into a buffer from where its own came.
    #[test]
    fn another_buffer_comes_from_the_same_pool() {
        let pool = BufferPool::new(2, 1024);
        let (one, two) = (pool.take(10), pool.take(10));
        drop(one.another(500));
        assert_eq!(pool.free(), 1);
        drop((one, two));
        assert_eq!(pool.free(), 2);
        assert!(Buffer::with_capacity(7).another(500).capacity() >= 500);
    }

    #[test]
    fn a_buffer_of_no_pool_gives_its_bytes_away() {
        let mut buffer = Buffer::with_capacity(10);
        buffer.extend_from_slice(b"bytes");
        assert_eq!(buffer.as_ref(), b"bytes");
        assert_eq!(&buffer.freeze()[..], b"bytes");
    }
}
