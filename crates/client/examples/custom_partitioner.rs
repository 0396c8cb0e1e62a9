//! A partitioner of one's own: orders of large customers have a partition to themselves, the others share the rest.
//!
//! ```text
//! cargo run -p milena --example custom_partitioner [SERVERS]
//! ```

use std::error::Error;
use std::time::Duration;

use milena::{PartitionContext, Partitioner, Record};
use milena_broker::Broker;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    match std::env::args().nth(1) {
        Some(servers) => send_orders(&servers).await?,
        None => {
            let broker = Broker::builder().topic("orders", 4).start().await?;
            send_orders(&broker.bootstrap_servers()).await?;
        }
    }
    Ok(())
}

struct LargeCustomersFirst;

impl Partitioner for LargeCustomersFirst {
    /// Called for each record that names no partition, so it should be quick. `None` leaves the choice to Java's rule.
    fn partition(&self, record: &PartitionContext<'_>) -> Option<i32> {
        let key = record.key()?;
        let others = record.partition_count() - 1;
        if key.starts_with(b"large-") || others == 0 {
            return Some(0);
        }
        let sum: i32 = key.iter().map(|&byte| i32::from(byte)).sum();
        Some(1 + sum % others)
    }
}

async fn send_orders(servers: &str) -> milena::Result<()> {
    let kafka = milena::connect(servers).await?;
    let producer = kafka.producer().partitioner(LargeCustomersFirst).build().await?;
    for customer in ["large-acme", "ann", "bob", "large-acme", "cy"] {
        let stored = producer.send(Record::to("orders").key(customer).value("an order")).await?;
        println!("{customer}: partition {}", stored.partition());
    }
    // A partition named on the record is not up for discussion.
    let stored = producer.send(Record::to("orders").key("ann").partition(0)).await?;
    println!("ann, by name: partition {}", stored.partition());
    producer.close(Duration::from_secs(10)).await
}

#[cfg(test)]
#[tokio::test]
async fn large_customers_have_partition_0() {
    let broker = Broker::builder().topic("orders", 4).start().await.expect("a free port");
    send_orders(&broker.bootstrap_servers()).await.expect("nothing is wrong");
    let keys: Vec<_> = broker.records("orders", 0).into_iter().map(|record| record.key).collect();
    let expected: [&[u8]; 3] = [b"large-acme", b"large-acme", b"ann"];
    assert!(keys.iter().map(|key| key.as_deref()).eq(expected.map(Some)));
}
