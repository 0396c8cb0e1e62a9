//! Three ways to commit: by itself, and waited for, and not waited for.
//!
//! ```text
//! cargo run -p milena --example commit_modes [SERVERS]
//! ```

use std::error::Error;
use std::time::Duration;

use milena::config::OffsetReset;
use milena::{ConsumerBuilder, Kafka, Record};
use milena_broker::Broker;

const RECORDS: usize = 20;
const PATIENCE: Duration = Duration::from_secs(5);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    match std::env::args().nth(1) {
        Some(servers) => all(&servers).await?,
        None => {
            let broker = Broker::builder().topic("events", 1).start().await?;
            all(&broker.bootstrap_servers()).await?;
        }
    }
    Ok(())
}

async fn all(servers: &str) -> milena::Result<()> {
    let kafka = milena::connect(servers).await?;
    let producer = kafka.producer().build().await?;
    for number in 0..RECORDS {
        producer.send(Record::to("events").value(number.to_string())).detach();
    }
    producer.close(PATIENCE).await?;
    let member = |group: &str| {
        let consumer = kafka.consumer(group).subscribe(["events"]).max_poll_records(5);
        consumer.auto_offset_reset(OffsetReset::Earliest)
    };
    by_itself(member("by-itself")).await?;
    waited_for(member("waited-for")).await?;
    not_waited_for(member("not-waited-for")).await?;
    for group in ["by-itself", "waited-for", "not-waited-for"] {
        println!("{group}: {}", committed(&kafka, group).await?);
    }
    Ok(())
}

/// Every five seconds and on close, what was handed out before the last poll: nothing is left to do.
async fn by_itself(consumer: ConsumerBuilder) -> milena::Result<()> {
    let mut consumer = consumer.enable_auto_commit(true).build().await?;
    let mut read = 0;
    while read < RECORDS {
        read += consumer.poll(PATIENCE).await?.len();
    }
    consumer.close(PATIENCE).await
}

/// After each batch; errors that pass are tried again, others are told.
async fn waited_for(consumer: ConsumerBuilder) -> milena::Result<()> {
    let mut consumer = consumer.enable_auto_commit(false).build().await?;
    let mut read = 0;
    while read < RECORDS {
        let batch = consumer.poll(PATIENCE).await?;
        read += batch.len();
        batch.commit().await?;
    }
    consumer.close(PATIENCE).await
}

/// Without a wait between batches; one that fails is not tried again, as the next one covers it, and never comes to be
/// stored behind a newer one. The last one is waited for, since nothing comes after it.
async fn not_waited_for(consumer: ConsumerBuilder) -> milena::Result<()> {
    let mut consumer = consumer.enable_auto_commit(false).build().await?;
    let mut read = 0;
    while read < RECORDS {
        read += consumer.poll(PATIENCE).await?.len();
        consumer.handle().commit_async();
    }
    consumer.commit().await?;
    consumer.close(PATIENCE).await
}

async fn committed(kafka: &Kafka, group: &str) -> milena::Result<i64> {
    let consumer = kafka.consumer(group).build().await?;
    let committed = consumer.handle().committed([("events", 0)]).await?;
    consumer.close(PATIENCE).await?;
    Ok(committed.values().map(|committed| committed.offset.get()).sum())
}

#[cfg(test)]
#[tokio::test]
async fn each_way_commits_everything() {
    let broker = Broker::builder().topic("events", 1).start().await.expect("a free port");
    all(&broker.bootstrap_servers()).await.expect("nothing is wrong");
    for group in ["by-itself", "waited-for", "not-waited-for"] {
        let committed = broker.committed(group);
        let offsets: Vec<_> = committed.values().map(|one| one.offset.get()).collect();
        assert_eq!(offsets, [20], "{group}");
    }
}
