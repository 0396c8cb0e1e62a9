//! What fetched bytes take, counted for as long as anybody holds them: the buffer, the reader, or the user.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

/// The bytes of one broker's answers that somebody holds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Held(Arc<AtomicUsize>);

impl Held {
    pub(crate) fn bytes(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// Counts an answer of `bytes`.
    pub(crate) fn lease(&self, bytes: usize) -> Arc<Lease> {
        self.0.fetch_add(bytes, Ordering::Relaxed);
        Arc::new(Lease { held: self.clone(), bytes })
    }
}

/// One answer: all of it counts until the last slice of it is let go of, since one slice keeps all of its memory.
#[derive(Debug)]
pub(crate) struct Lease {
    held: Held,
    bytes: usize,
}

impl Lease {
    /// A part of the answer, which counts as long as it lives.
    pub(crate) fn part(self: &Arc<Self>, bytes: Bytes) -> Bytes {
        Bytes::from_owner(Part { bytes, _lease: Arc::clone(self) })
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.held.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

struct Part {
    bytes: Bytes,
    _lease: Arc<Lease>,
}

impl AsRef<[u8]> for Part {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// How much one broker's answers may take.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Room {
    /// Bytes that may be held when the next request is sent.
    pub(crate) held_max: usize,
    /// Among how many brokers what is decompressed is divided.
    pub(crate) brokers: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A record of 100 bytes that the user keeps holds the whole answer in memory: so much it counts.
    #[test]
    fn an_answer_counts_until_its_last_slice_is_gone() {
        let held = Held::default();
        let lease = held.lease(1000);
        let (one, other) = (lease.part(Bytes::from_static(b"one")), lease.part(Bytes::new()));
        drop((lease, other));
        let kept = one.slice(1..2);
        drop(one);
        assert_eq!((held.bytes(), &kept[..]), (1000, &b"n"[..]));
        drop(kept);
        assert_eq!(held.bytes(), 0);
    }
}
