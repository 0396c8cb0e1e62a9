//! Reads orders, writes invoices, and commits both in one transaction: whatever happens in between, each order is
//! invoiced once.
//!
//! ```text
//! cargo run -p milena --example exactly_once_copy [SERVERS]
//! ```

use std::error::Error;
use std::time::Duration;

use milena::config::{IsolationLevel, OffsetReset};
use milena::{Kafka, Record};
use milena_broker::Broker;

const ORDERS: usize = 10;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    match std::env::args().nth(1) {
        Some(servers) => copy(&servers).await?,
        None => {
            let broker = Broker::builder().topic("orders", 1).topic("invoices", 1).start().await?;
            copy(&broker.bootstrap_servers()).await?;
        }
    }
    Ok(())
}

async fn copy(servers: &str) -> milena::Result<()> {
    let kafka = milena::connect(servers).await?;
    place_orders(&kafka).await?;

    let consumer = kafka.consumer("billing").subscribe(["orders"]);
    let consumer = consumer.isolation_level(IsolationLevel::ReadCommitted);
    // The transaction commits the offsets; nobody else may.
    let consumer = consumer.enable_auto_commit(false).auto_offset_reset(OffsetReset::Earliest);
    let mut consumer = consumer.build().await?;
    // One name for each instance: whoever comes with the same one fences its predecessor.
    let producer = kafka.producer().transactional_id("billing-1");
    let mut producer = producer.build_transactional().await?;

    let mut crashes = 1;
    let mut invoiced = 0;
    while invoiced < ORDERS {
        let copied = producer.transform(
            &mut consumer,
            Duration::from_secs(1),
            async |transaction, orders| {
                for order in orders {
                    let invoice = [b"invoice of ", order.value().unwrap_or_default()].concat();
                    let invoice = Record::to("invoices").value(invoice);
                    transaction.send(invoice).enqueue().await?;
                }
                if crashes > 0 {
                    crashes -= 1;
                    return Err(milena::Error::misuse("the first attempt goes wrong"));
                }
                Ok(())
            },
        );
        match copied.await {
            Ok(copied) => invoiced += copied,
            // Aborted: the invoices that were written are never read, and the orders are read again.
            Err(error) if !error.is_fatal() => println!("aborted: {error}"),
            Err(error) => return Err(error),
        }
    }
    println!("{invoiced} orders invoiced");
    consumer.close(Duration::from_secs(10)).await?;
    producer.close(Duration::from_secs(10)).await
}

async fn place_orders(kafka: &Kafka) -> milena::Result<()> {
    let producer = kafka.producer().build().await?;
    for number in 0..ORDERS {
        producer.send(Record::to("orders").value(format!("order {number}"))).detach();
    }
    producer.close(Duration::from_secs(10)).await
}

#[cfg(test)]
#[tokio::test]
async fn each_order_is_invoiced_once() {
    let broker = Broker::builder().topic("orders", 1).topic("invoices", 1).start().await;
    let broker = broker.expect("a free port");
    copy(&broker.bootstrap_servers()).await.expect("nothing is wrong");
    let kafka = milena::connect(&broker.bootstrap_servers()).await.expect("it listens");
    let consumer = kafka.consumer_without_group().assign([("invoices", 0)]);
    let consumer = consumer.auto_offset_reset(OffsetReset::Earliest);
    let consumer = consumer.isolation_level(IsolationLevel::ReadCommitted);
    let mut consumer = consumer.build().await.expect("it is there");
    for number in 0..ORDERS {
        let message = consumer.try_next().await.expect("nothing is wrong").expect("not closed");
        let expected = format!("invoice of order {number}");
        assert_eq!(message.value(), Some(expected.as_bytes()));
    }
    let rest = consumer.poll(Duration::from_millis(200)).await.expect("nothing is wrong");
    assert!(rest.is_empty(), "an order was invoiced twice");
}
