//! Reads orders as a member of a group, commits by hand what was worked off, and leaves well on Ctrl-C and SIGTERM: the
//! last offsets are committed, and the other members go on at once rather than after a time-out.
//!
//! ```text
//! cargo run -p milena --example order_consumer                    an embedded broker
//! KAFKA_BROKERS=localhost:9092 KAFKA_TOPIC=orders KAFKA_GROUP_ID=billing cargo run -p milena --example order_consumer
//! ```

use std::error::Error;
use std::time::Duration;

use milena::config::OffsetReset;
use milena::{ConsumerHandle, Kafka, RebalanceListener, Record, TopicPartition};
use milena_broker::Broker;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let variable = |name: &str, default: &str| std::env::var(name).unwrap_or(default.to_owned());
    let (topic, group) = (variable("KAFKA_TOPIC", "orders"), variable("KAFKA_GROUP_ID", "billing"));
    match std::env::var("KAFKA_BROKERS") {
        Ok(servers) => {
            let kafka = milena::connect(&servers).await?;
            let worked_off = work(&kafka, &topic, &group, asked_to_end()).await?;
            println!("{worked_off} orders");
        }
        Err(_) => {
            let broker = Broker::builder().topic(&*topic, 3).start().await?;
            let kafka = milena::connect(&broker.bootstrap_servers()).await?;
            place_orders(&kafka, &topic).await?;
            // Ends by itself, where nobody presses Ctrl-C.
            let soon = tokio::time::sleep(Duration::from_secs(3));
            let end = async {
                tokio::select! { () = soon => {}, () = asked_to_end() => {} }
            };
            println!("{} orders", work(&kafka, &topic, &group, end).await?);
        }
    }
    Ok(())
}

/// Says what the group does.
struct Announce;

impl RebalanceListener for Announce {
    async fn assigned(&self, _: &ConsumerHandle, partitions: &[TopicPartition]) {
        println!("assigned: {}", listed(partitions));
    }

    async fn revoked(&self, handle: &ConsumerHandle, partitions: &[TopicPartition]) {
        // The last word before somebody else goes on there.
        if let Err(error) = handle.commit_marked().await {
            eprintln!("not committed: {error}");
        }
        println!("revoked: {}", listed(partitions));
    }
}

/// As Kafka writes them: `orders-0, orders-2`.
fn listed(partitions: &[TopicPartition]) -> String {
    partitions.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Works off orders until `end`; tells how many.
async fn work(
    kafka: &Kafka,
    topic: &str,
    group: &str,
    end: impl Future<Output = ()>,
) -> milena::Result<u64> {
    let consumer = kafka.consumer(group).subscribe([topic]).enable_auto_commit(false);
    let consumer = consumer.auto_offset_reset(OffsetReset::Earliest).max_poll_records(500);
    let mut consumer = consumer.on_rebalance(Announce).build().await?;
    let mut end = std::pin::pin!(end);
    let mut worked_off = 0;
    loop {
        // To drop a poll half-way loses no record.
        let batch = tokio::select! {
            biased;
            () = &mut end => break,
            batch = consumer.poll(Duration::from_secs(1)) => batch,
        };
        let batch = match batch {
            Ok(batch) => batch,
            Err(error) if !error.is_fatal() => {
                eprintln!("{error}");
                continue;
            }
            Err(error) => return Err(error),
        };
        for order in &batch {
            bill(order.value().unwrap_or_default());
            // Of what is marked nothing is lost if a rebalance comes before the commit.
            consumer.mark(order);
            worked_off += 1;
        }
        match consumer.commit_marked().await {
            Ok(()) => {}
            // Other members read these orders again: at least once.
            Err(error) if !error.is_fatal() => eprintln!("not committed: {error}"),
            Err(error) => return Err(error),
        }
    }
    consumer.close(Duration::from_secs(10)).await?;
    Ok(worked_off)
}

fn bill(order: &[u8]) {
    println!("billing {}", String::from_utf8_lossy(order));
}

async fn asked_to_end() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminated) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminated.recv() => {}
            }
            return;
        }
    }
    let _ = tokio::signal::ctrl_c().await;
}

async fn place_orders(kafka: &Kafka, topic: &str) -> milena::Result<()> {
    let producer = kafka.producer().build().await?;
    for number in 0..10 {
        let (key, value) = (format!("o-{number}"), format!("order {number}"));
        producer.send(Record::to(topic).key(key).value(value)).detach();
    }
    producer.close(Duration::from_secs(10)).await
}

#[cfg(test)]
#[tokio::test]
async fn what_was_worked_off_is_committed_when_it_ends() {
    let broker = Broker::builder().topic("orders", 3).start().await.expect("a free port");
    let kafka = milena::connect(&broker.bootstrap_servers()).await.expect("it listens");
    place_orders(&kafka, "orders").await.expect("nothing is wrong");
    let stored = || -> i64 {
        broker.committed("billing").values().map(|committed| committed.offset.get()).sum()
    };
    let end = async {
        while stored() < 10 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert_eq!(work(&kafka, "orders", "billing", end).await.expect("nothing is wrong"), 10);
    assert!(broker.group("billing").is_none_or(|group| group.members.is_empty()), "it left");
}
