//! A task for each partition: they work at the same time, each in the order of its partition, and none waits for another.
//!
//! ```text
//! cargo run -p milena --example partition_workers [SERVERS]
//! ```

use std::collections::BTreeMap;
use std::error::Error;
use std::time::Duration;

use milena::config::OffsetReset;
use milena::{Kafka, PartitionStream, Record};
use milena_broker::Broker;
use tokio::task::JoinSet;

const PARTITIONS: i32 = 4;
const EACH: usize = 25;
const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    match std::env::args().nth(1) {
        Some(servers) => run(&servers).await?,
        None => {
            let broker = Broker::builder().topic("clicks", PARTITIONS).start().await?;
            run(&broker.bootstrap_servers()).await?
        }
    };
    Ok(())
}

async fn run(servers: &str) -> milena::Result<BTreeMap<i32, usize>> {
    let kafka = milena::connect(servers).await?;
    click(&kafka).await?;
    let consumer = kafka.consumer("counters").subscribe(["clicks"]).enable_auto_commit(false);
    let mut consumer = consumer.auto_offset_reset(OffsetReset::Earliest).build().await?;
    let handle = consumer.handle();
    let mut workers = JoinSet::new();
    let mut counts = BTreeMap::new();
    loop {
        tokio::select! {
            partition = consumer.next_partition() => match partition? {
                Some(partition) => drop(workers.spawn(count(partition))),
                // Closed by its handle.
                None => break,
            },
            Some(done) = workers.join_next() => {
                let (partition, clicks) = done.map_err(|panic| milena::Error::misuse(panic.to_string()))??;
                println!("partition {partition}: {clicks} clicks");
                counts.insert(partition, clicks);
                if counts.len() == PARTITIONS as usize {
                    // This program has read enough; a service goes on until it is asked to end.
                    handle.close(PATIENCE).await?;
                }
            }
        }
    }
    Ok(counts)
}

/// Counts the clicks of one partition, and commits after each batch.
async fn count(mut partition: PartitionStream) -> milena::Result<(i32, usize)> {
    let mut clicks = 0;
    // `None` once the partition is another member's: what was not handed out by then, he reads.
    while let Some(batch) = partition.next_batch().await? {
        clicks += batch.len();
        batch.commit().await?;
        if clicks == EACH {
            break;
        }
    }
    Ok((partition.topic_partition().partition, clicks))
}

async fn click(kafka: &Kafka) -> milena::Result<()> {
    let producer = kafka.producer().build().await?;
    for number in 0..EACH {
        for partition in 0..PARTITIONS {
            let record = Record::to("clicks").partition(partition).value(number.to_string());
            producer.send(record).detach();
        }
    }
    producer.close(PATIENCE).await
}

#[cfg(test)]
#[tokio::test]
async fn every_partition_is_counted_and_committed() {
    let broker = Broker::builder().topic("clicks", PARTITIONS).start().await;
    let broker = broker.expect("a free port");
    let counts = run(&broker.bootstrap_servers()).await.expect("nothing is wrong");
    assert_eq!(counts, (0..PARTITIONS).map(|partition| (partition, EACH)).collect());
    let committed = broker.committed("counters");
    assert!(committed.values().all(|one| one.offset.get() == 25) && committed.len() == 4);
}
