//! Sends orders in each of the ways there are: awaited, in one go, with a callback, without waiting.
//!
//! ```text
//! cargo run -p milena --example order_producer                    an embedded broker
//! cargo run -p milena --example order_producer localhost:9092     yours
//! ```

use std::error::Error;
use std::time::Duration;

use milena::config::CompressionType;
use milena::{Fate, Record};
use milena_broker::Broker;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    match std::env::args().nth(1) {
        Some(servers) => send_orders(&servers).await?,
        None => {
            let broker = Broker::builder().topic("orders", 3).start().await?;
            send_orders(&broker.bootstrap_servers()).await?;
        }
    }
    Ok(())
}

async fn send_orders(servers: &str) -> milena::Result<()> {
    let kafka = milena::connect(servers).await?;
    // Typed setters and Java's names mix. acks=all and idempotence are the default.
    let producer = kafka.producer().compression(CompressionType::Snappy).set("linger.ms", "5")?;
    let producer = producer.build().await?;

    // Awaited: one order at a time, its place known before the next.
    let stored = producer.send(order("o-1", r#"{"item":"book"}"#)).await?;
    println!("awaited: {stored}");

    // Enqueued: all on their way first, then one wait for each.
    let mut deliveries = Vec::new();
    for id in ["o-2", "o-3", "o-4"] {
        deliveries.push(producer.send(order(id, r#"{"item":"pen"}"#)).enqueue().await?);
    }
    for delivery in deliveries {
        println!("enqueued: {}", delivery.await?);
    }

    // All in one call, which is the fastest.
    let many = ["o-5", "o-6", "o-7"].map(|id| order(id, r#"{"item":"ink"}"#));
    let outcomes = producer.enqueue_all(many).await.await;
    println!("in one call: {} stored", outcomes.iter().filter(|outcome| outcome.is_ok()).count());

    // With a callback: called in the order of the offsets, by the producer's own task, so it should be quick.
    for id in ["o-8", "o-9"] {
        let sent =
            producer.send(order(id, r#"{"item":"cup"}"#)).on_ack(move |result| match result {
                Ok(stored) => {
                    println!(
                        "{id} sent: partition={}, offset={:?}",
                        stored.partition(),
                        stored.offset()
                    );
                }
                Err(error) if error.fate() == Fate::Unknown => {
                    eprintln!("{id} may be stored: {error}")
                }
                Err(error) => eprintln!("{id} is not stored: {error}"),
            });
        sent.enqueue().await?;
    }

    // Detached: nobody waits. Failures are counted, and logged through `tracing`.
    producer.send(order("o-10", r#"{"item":"hat"}"#)).detach();

    // Close waits for all of them.
    producer.close(Duration::from_secs(10)).await?;
    let metrics = producer.metrics();
    println!("{} records in {} batches", metrics.records_sent, metrics.batches_sent);
    Ok(())
}

fn order<'a>(id: &'a str, json: &'a str) -> Record<'a> {
    Record::to("orders").key(id).value(json)
}

#[cfg(test)]
#[tokio::test]
async fn ten_orders_are_stored() {
    let broker = Broker::builder().topic("orders", 3).start().await.expect("a free port");
    send_orders(&broker.bootstrap_servers()).await.expect("nothing is wrong");
    let stored: usize = (0..3).map(|partition| broker.records("orders", partition).len()).sum();
    assert_eq!(stored, 10);
}
