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
use tokio::sync::mpsc;
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
    let (tell, mut told) = mpsc::channel(PARTITIONS as usize);
    let mut counts = BTreeMap::new();
    loop {
        tokio::select! {
            partition = consumer.next_partition() => match partition? {
                Some(partition) => drop(workers.spawn(count(partition, tell.clone()))),
                // Closed by its handle.
                None => break,
            },
            Some((partition, clicks)) = told.recv() => {
                println!("partition {partition}: {clicks} clicks");
                *counts.entry(partition).or_default() += clicks;
                if counts.values().sum::<usize>() == EACH * PARTITIONS as usize {
                    // This program has read enough; a service goes on until it is asked to end.
                    handle.close(PATIENCE).await?;
                }
            }
        }
    }
    while let Some(worker) = workers.join_next().await {
        worker.map_err(|panic| milena::Error::misuse(panic.to_string()))??;
    }
    Ok(counts)
}

/// Counts the clicks of one partition, commits each batch, and tells of it then.
async fn count(
    mut partition: PartitionStream,
    tell: mpsc::Sender<(i32, usize)>,
) -> milena::Result<()> {
    // `None` once the partition is another member's: what was not handed out by then, he reads.
    while let Some(batch) = partition.next_batch().await? {
        let clicks = batch.len();
        batch.commit().await?;
        // Whoever does not listen any more has gone.
        let _gone = tell.send((partition.topic_partition().partition, clicks)).await;
    }
    Ok(())
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
