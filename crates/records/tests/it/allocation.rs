//! What is allocated, counted: nothing per record, and bounded on hostile input (see `hostile`).

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use milena_records::{
    Batch, BatchBuilder, BufferPool, Compression, CompressionType, Compressor, Decompressor, Limits,
};
use milena_types::Timestamp;

#[test]
fn a_record_costs_no_allocation_on_either_side() {
    let pool = BufferPool::new(4, 1 << 20);
    let mut compressor = Compressor::new();
    let mut decompressor = Decompressor::new(Limits::default(), pool.clone());
    let mut round = |compression: Compression, records: i32| {
        let ((), count) = allocations_of(|| {
            let mut builder = BatchBuilder::new(pool.take(256 << 10));
            for _ in 0..records {
                let at = Timestamp::from_millis(1_700_000_000_000);
                builder.append(at, Some(b"key"), Some(&[b'x'; 100]), []).unwrap();
            }
            let sealed = builder.seal(compression, &mut compressor).unwrap();
            let batch = Batch::parse(sealed.stamp(None).to_bytes()).unwrap();
            let decoded = batch.decode(&mut decompressor).unwrap();
            assert_eq!(decoded.iter().map(Result::unwrap).count(), records as usize);
            let shared = decoded.into_records().map(Result::unwrap);
            assert_eq!(shared.filter(|record| record.key().is_some()).count(), records as usize);
        });
        count
    };
    for kind in CompressionType::ALL {
        let compression = Compression::new(kind);
        // Contexts and pooled buffers are made in the first rounds.
        round(compression, 1000);
        round(compression, 1000);
        let (few, many) = (round(compression, 10), round(compression, 1000));
        assert!(many <= few + 2, "{kind}: {few} for 10 records, {many} for 1000");
        assert!(many <= 12, "{kind}: {many} a batch");
    }
}

/// The result and the most bytes that were allocated at once.
pub(crate) fn peak_of<T>(work: impl FnOnce() -> T) -> (T, usize) {
    LIVE.set(0);
    PEAK.set(0);
    let result = work();
    (result, usize::try_from(PEAK.get()).unwrap_or(0))
}

/// The result and how often memory was allocated.
fn allocations_of<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = COUNT.get();
    let result = work();
    (result, COUNT.get() - before)
}

thread_local! {
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

/// Counts by thread, since tests run in parallel.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn grow(bytes: isize) {
    let _ = LIVE.try_with(|live| {
        live.set(live.get() + bytes);
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(live.get())));
    });
    if bytes > 0 {
        let _ = COUNT.try_with(|count| count.set(count.get() + 1));
    }
}

// SAFETY: every call goes to the system's allocator as it came; the counters do not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grow(layout.size() as isize);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        grow(-(layout.size() as isize));
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}
