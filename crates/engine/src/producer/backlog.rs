//! How much waits to be sent, beside what is on its way.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

/// Counts the batches that are closed and that no request has taken yet, against those that are on their way, and says
/// when they are worth waking the driver for.
///
/// What waits behind a full window is sent no sooner for being there: beyond what the next answers make room for, it
/// only costs memory and adds to the time until a record is acknowledged. As much as is on its way may wait, so that a
/// window that is not full yet can grow.
#[derive(Debug)]
pub(super) struct Backlog {
    /// Batches that may wait, however few are on their way.
    floor: usize,
    /// Batches that are worth a request, while another is on its way.
    worth: usize,
    waiting: AtomicUsize,
    in_flight: AtomicUsize,
    /// Whether a broker has room for more than there is for it.
    is_short: AtomicBool,
    /// Whether something that batches wait for has come.
    has_progressed: AtomicBool,
    /// With so many waiting the driver wants to look, though it will look by itself; 0 if it will not.
    wanted: AtomicUsize,
}

impl Backlog {
    /// `at_once` batches wait because they are being compressed.
    pub(super) fn new(batch_bytes: usize, at_once: usize) -> Self {
        let floor = (FLOOR_BYTES / batch_bytes.max(1)).max(FLOOR_BATCHES + at_once);
        Self {
            floor,
            worth: (WORTH_BYTES / batch_bytes.max(1)).max(1),
            waiting: AtomicUsize::new(0),
            in_flight: AtomicUsize::new(0),
            is_short: AtomicBool::new(false),
            has_progressed: AtomicBool::new(false),
            wanted: AtomicUsize::new(0),
        }
    }

    /// A batch was closed.
    pub(super) fn closed(&self) {
        self.waiting.fetch_add(1, Relaxed);
    }

    /// A closed batch was sent for the first time, or given up before it was.
    pub(super) fn left(&self) {
        // Each was closed before: saturating, because a wrong number here must not stop anyone for ever.
        let _ = self.waiting.fetch_update(Relaxed, Relaxed, |waiting| waiting.checked_sub(1));
    }

    /// Nothing waits any more, and nothing is on its way.
    pub(super) fn clear(&self) {
        self.waiting.store(0, Relaxed);
        self.in_flight.store(0, Relaxed);
    }

    /// So many batches are on their way; `is_short` says whether a broker in use has room for more than there is for it.
    pub(super) fn looked(&self, in_flight: usize, is_short: bool) {
        self.in_flight.store(in_flight, Relaxed);
        self.is_short.store(is_short, Relaxed);
    }

    /// The driver looks again soon, whatever happens: only much more than there is now is worth waking it for.
    pub(super) fn attend(&self) {
        self.wanted.store(self.waiting.load(Relaxed) + self.worth, Relaxed);
    }

    /// The driver looks when it is woken.
    pub(super) fn neglect(&self) {
        self.wanted.store(0, Relaxed);
    }

    /// Whether the driver is to be woken for news that `is_first` of those that it has not looked at.
    pub(super) fn is_worth_waking(&self, is_first: bool) -> bool {
        match self.wanted.load(Relaxed) {
            0 => is_first,
            wanted => self.waiting.load(Relaxed) >= wanted,
        }
    }

    /// A broker that something waits for has answered, or a batch was sealed that others waited behind.
    pub(super) fn progressed(&self) {
        self.has_progressed.store(true, Relaxed);
    }

    /// Whether there was such a thing since the last call.
    pub(super) fn take_progress(&self) -> bool {
        self.has_progressed.swap(false, Relaxed)
    }

    /// Whether as much waits as is of use.
    pub(super) fn is_high(&self) -> bool {
        self.waiting.load(Relaxed) >= self.high()
    }

    /// Whether more is wanted: so little waits, or what waits is for others than have room.
    pub(super) fn is_low(&self) -> bool {
        self.is_short.load(Relaxed) || self.waiting.load(Relaxed) <= self.high() / 2
    }

    fn high(&self) -> usize {
        self.floor.max(self.in_flight.load(Relaxed))
    }
}

/// A few writes' worth, so that who sends is not stopped for each request.
const FLOOR_BYTES: usize = 512 * 1024;

/// What a request takes to carry no more than its share of what sending it costs: a wake-up, a call into the kernel and an
/// answer.
const WORTH_BYTES: usize = 64 * 1024;

/// One that is next, while another is being filled.
const FLOOR_BATCHES: usize = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_high_until_half_of_it_has_left() {
        let backlog = Backlog::new(128 * 1024, 0);
        (0..3).for_each(|_| backlog.closed());
        assert!(!backlog.is_high() && !backlog.is_low());
        backlog.closed();
        assert!(backlog.is_high());
        backlog.left();
        assert!(!backlog.is_high() && !backlog.is_low());
        backlog.left();
        assert!(backlog.is_low());
        (0..9).for_each(|_| backlog.left());
        assert!(backlog.is_low());
    }

    #[test]
    fn a_driver_that_looks_by_itself_is_woken_for_a_request_worth() {
        let backlog = Backlog::new(16 * 1024, 0);
        assert!(backlog.is_worth_waking(true) && !backlog.is_worth_waking(false));
        backlog.closed();
        backlog.attend();
        (0..3).for_each(|_| backlog.closed());
        assert!(!backlog.is_worth_waking(true));
        backlog.closed();
        assert!(backlog.is_worth_waking(false));
        backlog.neglect();
        assert!(!backlog.is_worth_waking(false));
    }

    #[test]
    fn more_is_wanted_while_one_broker_has_room() {
        let backlog = Backlog::new(1 << 20, 0);
        (0..9).for_each(|_| backlog.closed());
        assert!(backlog.is_high() && !backlog.is_low());
        backlog.looked(0, true);
        assert!(backlog.is_high() && backlog.is_low());
    }

    #[test]
    fn more_may_wait_the_more_is_on_its_way() {
        let backlog = Backlog::new(1 << 20, 0);
        backlog.looked(10, false);
        (0..9).for_each(|_| backlog.closed());
        assert!(!backlog.is_high());
        backlog.closed();
        assert!(backlog.is_high());
        backlog.looked(0, false);
        (0..9).for_each(|_| backlog.left());
        assert!(backlog.is_high(), "one of them may wait, whatever is on its way");
        backlog.left();
        assert!(!backlog.is_high());
    }
}
