//! What sending costs in allocations: nothing per record.

use std::time::Duration;

use milena::{Producer, Record};

use crate::allocations::allocations_so_far;
use crate::world::World;

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
