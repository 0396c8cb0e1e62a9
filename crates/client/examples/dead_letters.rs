//! Reads numbers of which one is none: it is put aside in a topic of its own, with the reason, and the others go on.
//!
//! ```text
//! cargo run -p milena --example dead_letters [SERVERS]
//! ```

use std::error::Error;
use std::time::Duration;

use milena::config::OffsetReset;
use milena::{DeadLetter, Record};
use milena_broker::Broker;

const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let sum = match std::env::args().nth(1) {
        Some(servers) => sum(&servers).await?,
        None => {
            let broker = Broker::builder().topic("counts", 1).topic("counts.dlq", 1);
            sum(&broker.start().await?.bootstrap_servers()).await?
        }
    };
    println!("the sum of what could be read: {sum}");
    Ok(())
}

async fn sum(servers: &str) -> milena::Result<i64> {
    let kafka = milena::connect(servers).await?;
    let producer = kafka.producer().build().await?;
    let numbers = producer.typed::<str, i64>();
    numbers.send("counts", "page-1", &17).await?;
    producer.send(Record::to("counts").key("page-2").value("not a number")).await?;
    numbers.send("counts", "page-3", &4).await?;

    let consumer = kafka.consumer("sums").subscribe(["counts"]);
    let consumer = consumer.auto_offset_reset(OffsetReset::Earliest).build().await?;
    let consumer = consumer.typed::<String, i64>();
    let mut consumer = consumer.on_poison(DeadLetter::to("counts.dlq", &producer));
    let mut sum = 0;
    for _ in 0..2 {
        let Some(record) = consumer.try_next().await? else { break };
        println!("{:?} => {:?}", record.key(), record.value());
        sum += record.value().copied().unwrap_or_default();
    }
    consumer.close(PATIENCE).await?;
    producer.close(PATIENCE).await?;
    Ok(sum)
}

#[cfg(test)]
#[tokio::test]
async fn one_record_is_put_aside() {
    let broker = Broker::builder().topic("counts", 1).topic("counts.dlq", 1).start().await;
    let broker = broker.expect("a free port");
    assert_eq!(sum(&broker.bootstrap_servers()).await.expect("nothing is wrong"), 21);
    let letters = broker.records("counts.dlq", 0);
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].value.as_deref(), Some(&b"not a number"[..]));
}
