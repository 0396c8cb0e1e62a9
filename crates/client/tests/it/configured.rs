//! Settings that decide where records go, and settings that cannot be.

use std::collections::BTreeMap;
use std::time::Duration;

use milena::{
    ErrorKind, NodeId, PartitionContext, Partitioner, Partitioning, ProducerBuilder, Record,
};

use milena_broker::Broker;

use crate::world::{GRACE, World};

/// How many records there are in each of three partitions after ten with keys `0` to `9`.
async fn spread(configure: impl Fn(ProducerBuilder) -> ProducerBuilder) -> Vec<usize> {
    let world = World::with_partitions(3).await;
    let producer = configure(world.kafka.producer()).build().await.unwrap();
    for number in 0..10 {
        let record = Record::to("t").key(number.to_string()).value("v");
        let _delivery = producer.send(record).enqueue().await.unwrap();
    }
    producer.close(GRACE).await.unwrap();
    (0..3).map(|partition| world.values(partition).len()).collect()
}

#[tokio::test(start_paused = true)]
async fn round_robin_deals_ten_records_four_three_and_three() {
    let named = "org.apache.kafka.clients.producer.RoundRobinPartitioner";
    assert_eq!(spread(|builder| builder.set("partitioner.class", named).unwrap()).await, [4, 3, 3]);
    assert_eq!(spread(|builder| builder.partitioner(Partitioning::RoundRobin)).await, [4, 3, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_partitioner_of_ones_own_places_records() {
    struct ByLastDigit(BTreeMap<u8, i32>);
    impl Partitioner for ByLastDigit {
        fn partition(&self, record: &PartitionContext<'_>) -> Option<i32> {
            assert_eq!((record.topic().as_str(), record.partition_count()), ("t", 3));
            self.0.get(record.key()?.last()?).copied()
        }
    }
    let digits =
        ByLastDigit((b'0'..=b'9').map(|digit| (digit, i32::from(digit == b'7'))).collect());
    assert_eq!(
        spread(|builder| builder.partitioner(ByLastDigit(digits.0.clone()))).await,
        [9, 1, 0]
    );
    let all_to_one = |_: &PartitionContext<'_>| Some(2);
    assert_eq!(spread(|builder| builder.partitioner(all_to_one)).await, [0, 0, 10]);
}

/// Waiting for a fourth partition would be waiting for ever.
#[tokio::test(start_paused = true)]
async fn a_partition_that_there_is_not_fails_the_record_at_once() {
    let world = World::with_partitions(3).await;
    let producer = world.kafka.producer().partitioner(|_: &PartitionContext<'_>| Some(3));
    let producer = producer.build().await.unwrap();
    let error = producer.send(Record::to("t").value("v")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misuse);
    assert!(error.to_string().contains("chose partition 3 of t, which has 3"), "{error}");
}

/// KIP-1123: traffic between racks costs money, and nothing else would show.
#[tokio::test(start_paused = true)]
async fn records_without_a_key_go_to_leaders_in_the_rack() {
    let cluster = Broker::builder().nodes(3).topic("t", 6).configure(|settings| {
        for (node, rack) in settings.nodes.iter_mut().zip(["a", "b", "c"]) {
            node.rack = Some(rack.to_owned());
        }
    });
    let world = World::start(cluster).await;
    for partition in 0..6 {
        let leader = [1, 2, 3, 1, 3, 3][partition as usize];
        assert!(world.broker.move_leader("t", partition, NodeId::new(leader)));
    }
    let producer = world.kafka.producer().partitioner_rack_aware(true).client_rack("b");
    let producer = producer.build().await.unwrap();
    for _ in 0..40 {
        producer.send(Record::to("t").value(vec![0; 16_000])).await.unwrap();
    }
    let stored: Vec<_> = (0..6).map(|partition| world.values(partition).len()).collect();
    assert_eq!(stored, [0, 40, 0, 0, 0, 0]);
    producer.close(GRACE).await.unwrap();
}

/// A typed setter cannot fail, so that `build` does.
#[tokio::test(start_paused = true)]
async fn a_number_beyond_javas_types_fails_in_build() {
    let world = World::with_partitions(1).await;
    let error = world.kafka.producer().batch_size(u32::MAX).build().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("batch.size"), "{error}");
}

/// Who flushes by hand may say so with the longest time there is.
#[tokio::test(start_paused = true)]
async fn no_time_is_too_long_for_a_clock() {
    let world = World::with_partitions(1).await;
    let producer = world.kafka.producer().linger(Duration::MAX);
    let producer = producer.partitioner_availability_timeout(Duration::MAX).build().await.unwrap();
    let delivery = producer.send(Record::to("t").value("v")).enqueue().await.unwrap();
    producer.flush().await.unwrap();
    delivery.await.unwrap();
    assert_eq!(world.values(0), ["v"]);
}
