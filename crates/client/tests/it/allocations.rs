//! Counts allocations, by thread.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// How often `work` allocates.
pub(crate) fn allocations_of(work: impl FnOnce()) -> usize {
    let before = allocations_so_far();
    work();
    allocations_so_far() - before
}

/// How often this thread has allocated.
pub(crate) fn allocations_so_far() -> usize {
    COUNT.get()
}

/// The bytes that this thread has allocated and not given back, less what it gave back for others.
pub(crate) fn live_bytes() -> isize {
    LIVE.get()
}

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
    static LIVE: Cell<isize> = const { Cell::new(0) };
}

fn count(bytes: usize, freed: usize) {
    COUNT.set(COUNT.get() + usize::from(bytes > 0));
    LIVE.set(LIVE.get() + bytes as isize - freed as isize);
}

/// Counts by thread, since tests run in parallel.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call goes to the system's allocator unchanged; counting touches a thread local without a destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(0, layout.size());
        // SAFETY: the pointer came from `alloc` above, with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        count(bytes, layout.size());
        // SAFETY: the pointer came from `alloc` above, with this layout.
        unsafe { System.realloc(pointer, layout, bytes) }
    }
}
