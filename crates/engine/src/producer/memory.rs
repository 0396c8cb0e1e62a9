//! The budget of bytes that unsent records may hold (`buffer.memory`).

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// Counts the bytes of every open, waiting and travelling batch against `buffer.memory`.
///
/// Taking and giving back is one atomic step while nobody waits. Those who wait are served in the order in which they
/// came: while anyone waits, nobody else is given room, so a stream of small records cannot starve a large one.
#[derive(Debug)]
pub(super) struct Memory {
    bytes_max: usize,
    bytes_used: AtomicUsize,
    /// How many wait without a grant; lets the usual path pass by the lock.
    waiting: AtomicUsize,
    line: Mutex<Line>,
}

#[derive(Debug, Default)]
struct Line {
    next_ticket: u64,
    waiters: BTreeMap<u64, Waiter>,
}

#[derive(Debug)]
struct Waiter {
    bytes: usize,
    granted: bool,
    waker: Option<Waker>,
}

impl Memory {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            bytes_used: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            line: Mutex::default(),
        }
    }

    pub(super) fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    pub(super) fn bytes_used(&self) -> usize {
        self.bytes_used.load(SeqCst)
    }

    /// Whether someone waits for room, so that batches should leave before they are full.
    pub(super) fn is_exhausted(&self) -> bool {
        self.waiting.load(SeqCst) > 0
    }

    /// Takes `bytes` if they are free and nobody waits for them.
    pub(super) fn try_reserve(self: &Arc<Self>, bytes: usize) -> Option<Reserved> {
        if self.is_exhausted() || !self.take(bytes) {
            return None;
        }
        Some(Reserved { memory: Arc::clone(self), bytes })
    }

    /// Queues up for `bytes`, which must not be more than the whole budget.
    pub(super) fn reserve(self: &Arc<Self>, bytes: usize) -> Room {
        let ticket = {
            let mut line = self.line();
            let ticket = line.next_ticket;
            line.next_ticket += 1;
            let bytes = bytes.min(self.bytes_max);
            line.waiters.insert(ticket, Waiter { bytes, granted: false, waker: None });
            ticket
        };
        self.waiting.fetch_add(1, SeqCst);
        // Room may have come back between the caller's failed try and its place in the line.
        self.serve();
        Room { memory: Arc::clone(self), ticket: Some(ticket) }
    }

    fn take(&self, bytes: usize) -> bool {
        self.bytes_used
            .fetch_update(SeqCst, SeqCst, |used| {
                used.checked_add(bytes).filter(|&used| used <= self.bytes_max)
            })
            .is_ok()
    }

    fn give_back(&self, bytes: usize) {
        let used = self.bytes_used.fetch_sub(bytes, SeqCst);
        debug_assert!(used >= bytes, "gave back {bytes} bytes of {used}");
        // Read after the subtraction, as a waiter reads the bytes after it is counted: one of the two sees the other.
        if self.is_exhausted() {
            self.serve();
        }
    }

    /// Grants room from the head of the line for as long as it lasts.
    fn serve(&self) {
        let mut wakers = Vec::new();
        {
            let mut line = self.line();
            for waiter in line.waiters.values_mut().filter(|waiter| !waiter.granted) {
                if !self.take(waiter.bytes) {
                    break;
                }
                waiter.granted = true;
                self.waiting.fetch_sub(1, SeqCst);
                wakers.extend(waiter.waker.take());
            }
        }
        wakers.into_iter().for_each(Waker::wake);
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes taken from the budget; they go back when this is dropped.
#[derive(Debug)]
pub(super) struct Reserved {
    memory: Arc<Memory>,
    bytes: usize,
}

impl Reserved {
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.memory.give_back(self.bytes);
    }
}

/// Waits for room in the send buffer, behind everyone who came before.
///
/// The caller bounds the wait by `max.block.ms`. Dropping it leaves the line, and gives back room that was granted.
#[derive(Debug)]
#[must_use = "it leaves the line when dropped"]
pub struct Room {
    memory: Arc<Memory>,
    ticket: Option<u64>,
}

/// Room that was waited for; hand it to the next try to append. Unused room goes back when dropped.
#[derive(Debug)]
#[must_use = "the room goes back when dropped"]
pub struct Grant(pub(super) Reserved);

impl Future for Room {
    type Output = Grant;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Grant> {
        let this = self.get_mut();
        let Some(ticket) = this.ticket else { return Poll::Pending };
        let bytes = {
            let mut line = this.memory.line();
            match line.waiters.get_mut(&ticket) {
                Some(waiter) if !waiter.granted => {
                    waiter.waker = Some(cx.waker().clone());
                    return Poll::Pending;
                }
                _ => {}
            }
            line.waiters.remove(&ticket).map_or(0, |waiter| waiter.bytes)
        };
        this.ticket = None;
        Poll::Ready(Grant(Reserved { memory: Arc::clone(&this.memory), bytes }))
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket else { return };
        let Some(waiter) = self.memory.line().waiters.remove(&ticket) else { return };
        if waiter.granted {
            self.memory.give_back(waiter.bytes);
        } else {
            self.memory.waiting.fetch_sub(1, SeqCst);
            // The next in line may need less than the one who left.
            self.memory.serve();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, SeqCst);
        }
    }

    fn poll(room: &mut Room, count: &Arc<Count>) -> Option<Grant> {
        let waker = Waker::from(Arc::clone(count));
        match Pin::new(room).poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(grant) => Some(grant),
            Poll::Pending => None,
        }
    }

    #[test]
    fn the_budget_is_never_exceeded_and_comes_back() {
        let memory = Arc::new(Memory::new(100));
        let first = memory.try_reserve(60).unwrap();
        assert!(memory.try_reserve(41).is_none());
        let second = memory.try_reserve(40).unwrap();
        assert_eq!(memory.bytes_used(), 100);
        drop((first, second));
        assert_eq!(memory.bytes_used(), 0);
    }

    /// A small record that slips past a large one in line would starve it under load.
    #[test]
    fn nobody_overtakes_the_line() {
        let memory = Arc::new(Memory::new(100));
        let (half, rest) = (memory.try_reserve(50).unwrap(), memory.try_reserve(40).unwrap());
        let count = Arc::new(Count::default());
        let mut large = memory.reserve(80);
        let mut small = memory.reserve(5);
        assert!(poll(&mut large, &count).is_none());
        assert!(
            poll(&mut small, &count).is_none(),
            "10 bytes are free, but the large one is first"
        );
        assert!(memory.try_reserve(1).is_none());

        drop(half);
        assert!(poll(&mut large, &count).is_none());
        drop(rest);
        assert_eq!(count.0.load(SeqCst), 2, "both fit, both are woken");
        let (large, small) = (poll(&mut large, &count).unwrap(), poll(&mut small, &count).unwrap());
        assert_eq!(memory.bytes_used(), 85);
        drop((large, small));
        assert_eq!(memory.bytes_used(), 0);
        assert!(!memory.is_exhausted());
    }

    #[test]
    fn who_leaves_the_line_lets_the_next_one_in() {
        let memory = Arc::new(Memory::new(100));
        let held = memory.try_reserve(50).unwrap();
        let count = Arc::new(Count::default());
        let mut large = memory.reserve(80);
        let mut small = memory.reserve(50);
        assert!(poll(&mut large, &count).is_none());
        assert!(poll(&mut small, &count).is_none());
        drop(large);
        assert_eq!(count.0.load(SeqCst), 1);
        assert!(poll(&mut small, &count).is_some());
        drop(held);
        assert_eq!(memory.bytes_used(), 0);
    }

    /// A wait that is cut short just after it was granted must not leak the room.
    #[test]
    fn a_dropped_wait_gives_its_grant_back() {
        let memory = Arc::new(Memory::new(100));
        let held = memory.try_reserve(100).unwrap();
        let room = memory.reserve(100);
        drop(held);
        assert_eq!(memory.bytes_used(), 100);
        drop(room);
        assert_eq!(memory.bytes_used(), 0);
        assert!(memory.try_reserve(100).is_some());
    }

    #[test]
    fn room_that_came_back_before_the_line_is_granted_at_once() {
        let memory = Arc::new(Memory::new(100));
        let mut room = memory.reserve(1000);
        let grant = poll(&mut room, &Arc::new(Count::default())).unwrap();
        assert_eq!(grant.0.bytes(), 100, "a wait for more than there is waits for all");
    }

    #[test]
    fn threads_that_take_and_give_back_end_at_zero() {
        let memory = Arc::new(Memory::new(1000));
        std::thread::scope(|scope| {
            for seed in 0..4 {
                let memory = &memory;
                scope.spawn(move || {
                    let mut rng = fastrand::Rng::with_seed(seed);
                    let mut held = Vec::new();
                    for _ in 0..2000 {
                        match rng.u8(..3) {
                            0 => held.extend(memory.try_reserve(rng.usize(1..400))),
                            1 => drop(held.pop()),
                            _ => {
                                let mut room = memory.reserve(rng.usize(1..400));
                                if let Some(grant) = poll(&mut room, &Arc::default()) {
                                    held.push(grant.0);
                                }
                            }
                        }
                        assert!(memory.bytes_used() <= 1000);
                    }
                });
            }
        });
        assert_eq!(memory.bytes_used(), 0);
        assert!(!memory.is_exhausted());
    }
}
