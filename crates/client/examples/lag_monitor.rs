//! How far a group is behind: of every partition the committed offset, the end and what lies between, as
//! `kafka-consumer-groups --describe` tells. It is no member of the group, and disturbs nobody.
//!
//! ```text
//! cargo run -p milena --example lag_monitor [SERVERS GROUP TOPIC]
//! ```

use std::error::Error;
use std::time::Duration;

use milena::{Kafka, Offset, Record, TopicPartition};
use milena_broker::Broker;

const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [servers, group, topic] = &*arguments {
        let kafka = milena::connect(servers).await?;
        loop {
            print(&lags(&kafka, group, topic).await?);
            tokio::time::sleep(PATIENCE).await;
        }
    }
    let broker = Broker::builder().topic("orders", 2).start().await?;
    print(&of_a_slow_group(&broker.bootstrap_servers()).await?);
    Ok(())
}

#[derive(Debug, Eq, PartialEq)]
struct Lag {
    partition: TopicPartition,
    committed: Option<Offset>,
    end: Offset,
}

impl Lag {
    /// `None` where nothing is committed: how much is to be read then depends on `auto.offset.reset`.
    fn records(&self) -> Option<i64> {
        Some(self.end.get() - self.committed?.get())
    }
}

async fn lags(kafka: &Kafka, group: &str, topic: &str) -> milena::Result<Vec<Lag>> {
    let partitions: Vec<TopicPartition> =
        (0..kafka.partitions_for(topic).await?).map(|index| (topic, index).into()).collect();
    // Without a subscription it asks, and joins nothing.
    let consumer = kafka.consumer(group).enable_auto_commit(false).build().await?;
    let handle = consumer.handle();
    let mut committed = handle.committed(partitions.clone()).await?;
    let ends = handle.end_offsets(partitions).await?;
    consumer.close(PATIENCE).await?;
    let lags = ends.into_iter().map(|(partition, end)| {
        let committed = committed.remove(&partition).map(|committed| committed.offset);
        Lag { partition, committed, end }
    });
    Ok(lags.collect())
}

fn print(lags: &[Lag]) {
    let text = |number: Option<i64>| number.map_or("-".to_owned(), |number| number.to_string());
    println!("{:<20} {:>15} {:>15} {:>10}", "PARTITION", "COMMITTED", "END", "LAG");
    for lag in lags {
        let (partition, committed) = (lag.partition.to_string(), lag.committed.map(Offset::get));
        let (committed, end, records) = (text(committed), lag.end.get(), text(lag.records()));
        println!("{partition:<20} {committed:>15} {end:>15} {records:>10}");
    }
    println!("total: {}", lags.iter().filter_map(Lag::records).sum::<i64>());
}

/// Ten orders in each of two partitions, three of one of which are worked off.
async fn of_a_slow_group(servers: &str) -> milena::Result<Vec<Lag>> {
    let kafka = milena::connect(servers).await?;
    let producer = kafka.producer().build().await?;
    for number in 0..20 {
        producer.send(Record::to("orders").partition(number % 2).value("an order")).detach();
    }
    producer.close(PATIENCE).await?;
    let consumer = kafka.consumer("billing").assign([("orders", 0)]).enable_auto_commit(false);
    let consumer = consumer.build().await?;
    let three = Offset::new(3).unwrap_or(Offset::ZERO);
    consumer.commit_offsets([(("orders", 0), three)]).await?;
    consumer.close(PATIENCE).await?;
    lags(&kafka, "billing", "orders").await
}

#[cfg(test)]
#[tokio::test]
async fn a_slow_group_lags_behind() {
    let broker = Broker::builder().topic("orders", 2).start().await.expect("a free port");
    let lags = of_a_slow_group(&broker.bootstrap_servers()).await.expect("nothing is wrong");
    assert_eq!(lags.iter().map(Lag::records).collect::<Vec<_>>(), [Some(7), None]);
}
