//! What sending and reading cost in allocations, nothing per record, and what reading holds in memory.

use std::time::Duration;

use milena::config::{CompressionType, OffsetReset};
use milena::{Consumer, Producer, Record};

use crate::allocations::{allocations_so_far, live_bytes};
use crate::world::{GRACE, LONG, World};

/// A producer whose driver has nothing to do while records go into an open batch.
async fn producer(world: &World) -> Producer {
    let producer = world.kafka.producer().batch_size(4 << 20).linger(Duration::from_secs(60));
    let producer = producer.max_request_size(8 << 20).build().await.unwrap();
    let _delivery =
        producer.send(Record::to("t").value("opens the batch")).enqueue().await.unwrap();
    tokio::task::yield_now().await;
    producer
}

#[tokio::test(start_paused = true)]
async fn enqueueing_allocates_nothing_per_record() {
    let world = World::with_partitions(1).await;
    let producer = producer(&world).await;
    let topic = producer.topic("t");
    let mut deliveries = Vec::with_capacity(4000);
    let before = allocations_so_far();
    for number in 0..2000_u32 {
        let key = number.to_be_bytes();
        let by_name = Record::to("t").key(key).value(&[b'x'; 100]);
        deliveries.push(producer.send(by_name).enqueue().await.unwrap());
        let resolved = Record::to(&topic).value(&[b'x'; 100]);
        deliveries.push(producer.send(resolved).enqueue().await.unwrap());
    }
    let count = allocations_so_far() - before;
    assert!(count <= 2, "4000 records allocated {count} times");
    producer.flush().await.unwrap();
    let before = allocations_so_far();
    for delivery in deliveries {
        delivery.await.unwrap();
    }
    let count = allocations_so_far() - before;
    assert_eq!(count, 0, "4000 acknowledgements allocated {count} times");
}

/// A copy on the way would need a place of its own, and a value of this size has none but the heap.
#[tokio::test(start_paused = true)]
async fn a_value_is_copied_into_its_batch_and_nowhere_else() {
    let world = World::with_partitions(1).await;
    let producer = producer(&world).await;
    let value = vec![b'x'; 200_000];
    let before = allocations_so_far();
    for _ in 0..10 {
        let record = Record::to("t").value(&value);
        let _delivery = producer.send(record).enqueue().await.unwrap();
    }
    let count = allocations_so_far() - before;
    assert!(count <= 1, "10 values of 200 kB allocated {count} times");
}

#[tokio::test(start_paused = true)]
async fn many_records_in_a_call_cost_a_few_allocations() {
    let world = World::with_partitions(1).await;
    let producer = producer(&world).await;
    let before = allocations_so_far();
    let records = (0..4000).map(|_| Record::to("t").value(&[b'x'; 100]));
    let deliveries = producer.enqueue_all(records).await;
    let count = allocations_so_far() - before;
    assert!(count <= 8, "a call of 4000 records allocated {count} times");
    producer.flush().await.unwrap();
    deliveries.await.into_result().unwrap();
}

/// A consumer that has read some, so that what it keeps is made, with more than 5000 records waiting.
async fn warm(world: &World) -> Consumer {
    world.fill(0..20_000).await;
    let mut consumer = world.reader().await;
    assert_eq!(consumer.poll(LONG).await.unwrap().len(), 500);
    tokio::time::sleep(Duration::from_secs(1)).await;
    consumer
}

#[tokio::test(start_paused = true)]
async fn a_batch_poll_allocates_nothing_per_record() {
    let world = World::with_partitions(1).await;
    let mut consumer = warm(&world).await;
    let before = allocations_so_far();
    let (mut records, mut bytes) = (0, 0);
    while records < 5000 {
        let batch = consumer.poll(LONG).await.unwrap();
        bytes += batch.iter().filter_map(|message| message.value()).map(<[u8]>::len).sum::<usize>();
        records += batch.len();
    }
    let count = allocations_so_far() - before;
    assert!(bytes > records && count < records / 10, "{count} allocations for {records} records");
}

/// An owned record shares its batch's memory: not even one allocation each.
#[tokio::test(start_paused = true)]
async fn records_read_one_by_one_allocate_nothing_each() {
    let world = World::with_partitions(1).await;
    let mut consumer = warm(&world).await;
    let before = allocations_so_far();
    for number in 500..5500_usize {
        let message = consumer.try_next().await.unwrap().unwrap();
        assert_eq!(message.offset().get(), number as i64);
    }
    let count = allocations_so_far() - before;
    assert!(count < 500, "{count} allocations for 5000 records");
}

/// P21: the budget is 16 MiB, and 16 MiB more are what a poll, an answer on its way and all else may take, be it one
/// partition or a hundred, and however much larger batches become when they are opened.
#[tokio::test(start_paused = true)]
async fn a_slow_user_s_memory_is_bounded_whatever_the_partitions() {
    let (none, lz4) = (CompressionType::None, CompressionType::Lz4);
    for (partitions, compression) in [(1, none), (100, none), (1, lz4), (100, lz4)] {
        let world = World::with_partitions(partitions).await;
        let records = 480;
        let producer = world.kafka.producer().batch_size(1_000_000).compression(compression);
        let producer = producer.build().await.unwrap();
        let value = vec![b'x'; 100_000];
        for number in 0..records {
            let record = Record::to("t").partition(number % partitions).value(&value);
            let _delivery = producer.send(record).enqueue().await.unwrap();
        }
        producer.close(GRACE).await.unwrap();
        drop(producer);
        let before = live_bytes();
        let consumer = world.kafka.consumer_without_group();
        let consumer = consumer.auto_offset_reset(OffsetReset::Earliest);
        let all = (0..partitions).map(|partition| ("t", partition));
        let mut consumer = consumer.assign(all).build().await.unwrap();
        let (mut read, mut most) = (0, 0);
        while read < records {
            let batch = consumer.poll(LONG).await.unwrap();
            read += i32::try_from(batch.len()).unwrap();
            tokio::time::sleep(Duration::from_secs(5)).await;
            most = most.max(live_bytes() - before);
        }
        let most = most as f64 / f64::from(1 << 20);
        assert!(most < 32.0, "{partitions} partitions, {compression:?}: {most} MiB");
    }
}
