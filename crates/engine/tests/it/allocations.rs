//! What the path of a record allocates: nothing per record, a few times a batch.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fastrand::Rng;
use milena_engine::metadata::{Broker, Cluster, PartitionMetadata, TopicMetadata};
use milena_engine::producer::{Accumulator, NewRecord, Output, Producer, Settings, TopicHandle};
use milena_types::{NodeId, Timestamp};

/// A producer that knows its topic; nothing is sent, so that only appending is counted.
fn accumulator(settings: &Settings) -> (Producer, Arc<Accumulator>, TopicHandle, Instant) {
    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    let now = Instant::now();
    let accumulator = Arc::new(Accumulator::new(settings, 1));
    let rng = Rng::with_seed(1);
    let mut producer = Producer::new(settings.clone(), Arc::clone(&accumulator), rng);
    let topic = accumulator.topic("orders");
    let partitions = (0..8).map(|index| PartitionMetadata::new(index, Some(NodeId::new(1)), None));
    let topics = [TopicMetadata::new("orders", None, partitions.collect())];
    let cluster = Cluster::new([Broker::new(NodeId::new(1), "one", 9092)], topics);
    producer.handle_metadata(now, Arc::new(cluster));
    (producer, accumulator, topic, now)
}

fn append(accumulator: &Accumulator, topic: &TopicHandle, now: Instant, records: usize) {
    for index in 0..records {
        let key = index.to_be_bytes();
        let record = NewRecord {
            partition: None,
            timestamp: Timestamp::from_millis(1_700_000_000_000),
            key: (index % 2 == 0).then_some(&key),
            value: Some(&[b'x'; 100]),
            headers: [],
        };
        let appended = accumulator.try_append(topic, &record, None, || now);
        assert!(appended.is_ok(), "{appended:?}");
    }
}

#[test]
fn appending_allocates_per_batch_and_not_per_record() {
    let mut settings = Settings::default();
    settings.batch_bytes = 1 << 20;
    settings.linger = Duration::from_secs(60);
    let (_producer, accumulator, topic, now) = accumulator(&settings);
    // Every partition has its batch open after this.
    append(&accumulator, &topic, now, 2000);
    let count = allocations_of(|| append(&accumulator, &topic, now, 4000));
    assert_eq!(count, 0, "4000 records into open batches allocated {count} times");
}

#[test]
fn a_batch_costs_a_handful_of_allocations() {
    let settings = Settings::default();
    let (_producer, accumulator, topic, now) = accumulator(&settings);
    append(&accumulator, &topic, now, 2000);
    let records = 100_000;
    let count = allocations_of(|| append(&accumulator, &topic, now, records));
    let batches = records * 110 / settings.batch_bytes;
    assert!(count <= 4 * batches, "{count} allocations for about {batches} batches");
}

/// The driver's side: taking, sealing and putting batches into requests costs per batch.
#[test]
fn taking_and_sealing_allocates_per_batch_and_not_per_record() {
    let mut settings = Settings::default();
    settings.is_idempotent = false;
    let (mut producer, accumulator, topic, now) = accumulator(&settings);
    let mut compressor = milena_records::Compressor::default();
    let mut decompressor = milena_records::Decompressor::default();
    append(&accumulator, &topic, now, 20_000);
    let mut batches = 0;
    let count = allocations_of(|| {
        while let Some(output) = producer.poll_output(now) {
            if let Output::Seal(job) = output {
                batches += 1;
                producer.handle_sealed(job.run(&mut compressor, &mut decompressor));
            }
        }
    });
    assert!(batches > 100, "{batches}");
    assert!(count <= 20 * batches, "{count} allocations for {batches} batches");
}

/// How often memory was allocated.
fn allocations_of(work: impl FnOnce()) -> usize {
    let before = COUNT.get();
    work();
    COUNT.get() - before
}

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

/// Counts by thread, since tests run in parallel.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call goes to the system's allocator unchanged; counting touches a thread local without a destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the pointer came from `alloc` above, with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: the pointer came from `alloc` above, with this layout.
        unsafe { System.realloc(pointer, layout, bytes) }
    }
}
