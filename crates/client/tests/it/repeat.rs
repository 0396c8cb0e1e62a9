//! The same seed gives the same run.

use milena::Record;
use milena_broker::{Broker, on};
use milena_types::{ApiKey, ErrorCode, Timestamp};

use crate::world::{GRACE, World, read};

/// What the cluster was asked, in order; the bytes that a batch has follow from the records it got.
async fn run() -> (Vec<String>, Vec<String>) {
    let start = Timestamp::from_millis(1_767_225_600_000);
    let cluster = Broker::builder().nodes(3).topic("t", 3).seed(1).wall_clock(start);
    let world = World::start(cluster).await;
    world.broker.add_fault(on(ApiKey::PRODUCE).every(4).error(ErrorCode::NOT_LEADER_OR_FOLLOWER));
    world.broker.add_fault(on(ApiKey::PRODUCE).nth(3).apply_then_drop());
    let producer = world.kafka.producer().batch_size(200).build().await.unwrap();
    for number in 0..200 {
        let record = Record::to("t").value(number.to_string()).timestamp(start);
        let _delivery = producer.send(record).enqueue().await.unwrap();
    }
    producer.close(GRACE).await.unwrap();
    let mut consumer = world.member().build().await.unwrap();
    assert_eq!(read(&mut consumer, 200).await.len(), 200);
    consumer.close(GRACE).await.unwrap();
    let journal = world.broker.journal();
    let requests = journal.requests();
    let requests =
        requests.map(|seen| format!("{:?} {:?} {:?}", seen.node, seen.api, seen.correlation_id));
    let batches = journal.batches();
    let batches = batches.map(|b| format!("{} {:?} {}", b.partition, b.base_offset, b.records));
    (requests.collect(), batches.collect())
}

/// A failure that cannot be run again cannot be mended.
#[tokio::test(start_paused = true)]
async fn two_runs_with_one_seed_ask_the_same_of_the_brokers() {
    let (first, second) = (run().await, run().await);
    assert_eq!(first.1, second.1);
    assert_eq!(first.0, second.0);
}
