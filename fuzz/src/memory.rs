//! Counts what the current thread holds, so that a target can bound it.
#![expect(unsafe_code, reason = "an allocator is unsafe to implement; this one only counts")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// Runs `work`, which may hold at most `bytes_max` more than is held now.
///
/// # Panics
/// Where it held more at one time.
pub fn within<T>(bytes_max: usize, work: impl FnOnce() -> T) -> T {
    let (peak, result) = peak(work);
    assert!(
        peak <= bytes_max,
        "{peak} bytes held at one time, where {bytes_max} are accounted for"
    );
    result
}

/// The most bytes that `work` held at one time, beyond what was held before, and its result.
pub fn peak<T>(work: impl FnOnce() -> T) -> (usize, T) {
    let before = HELD.get();
    PEAK.set(before);
    let result = work();
    (usize::try_from(PEAK.get() - before).unwrap_or(0), result)
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

thread_local! {
    /// Signed, as one thread may free what another allocated.
    static HELD: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

fn count(bytes: isize) {
    // The cells are gone while a thread ends.
    _ = HELD.try_with(|held| {
        held.set(held.get() + bytes);
        _ = PEAK.try_with(|peak| peak.set(peak.get().max(held.get())));
    });
}

// SAFETY: every call is passed on to the system's allocator with the arguments it came with.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: the caller keeps `alloc`'s promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: the caller keeps `alloc_zeroed`'s promises.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        count(-layout.size().cast_signed());
        // SAFETY: the caller keeps `dealloc`'s promises.
        unsafe { System.dealloc(place, layout) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_what_was_held_at_one_time() {
        let (bytes, _) = peak(|| {
            drop(Vec::<u8>::with_capacity(1000));
            drop(Vec::<u8>::with_capacity(3000));
            Vec::<u8>::with_capacity(2000)
        });
        assert_eq!(bytes, 3000);
    }

    #[test]
    #[should_panic(expected = "2000 bytes held at one time, where 1999 are accounted for")]
    fn a_byte_too_many_is_found() {
        within(1999, || drop(Vec::<u8>::with_capacity(2000)));
    }
}
