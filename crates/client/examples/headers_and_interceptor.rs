//! Headers on a record, and an interceptor that adds some to every record and counts what became of them.
//!
//! ```text
//! cargo run -p milena --example headers_and_interceptor [SERVERS]
//! ```

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use milena::{BoxError, ProducerInterceptor, Record, RecordMetadata};
use milena_broker::Broker;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let audit = match std::env::args().nth(1) {
        Some(servers) => send_with_headers(&servers).await?,
        None => {
            let broker = Broker::builder().topic("payments", 1).start().await?;
            send_with_headers(&broker.bootstrap_servers()).await?
        }
    };
    println!("{} stored", audit.stored.load(Ordering::Relaxed));
    Ok(())
}

/// Numbers the records, and counts how they fared.
#[derive(Default)]
struct Audit {
    seen: AtomicU64,
    stored: AtomicU64,
    failed: AtomicU64,
}

/// The interceptor is shared with whoever reads its counts.
struct Auditor(Arc<Audit>);

impl ProducerInterceptor for Auditor {
    fn on_send<'a>(&self, record: Record<'a>) -> Result<Record<'a>, BoxError> {
        let number = self.0.seen.fetch_add(1, Ordering::Relaxed);
        // An array is kept in the record itself: no allocation.
        Ok(record.header("audit-number", number.to_be_bytes()))
    }

    fn on_ack(&self, result: &milena::Result<RecordMetadata>) {
        let count = if result.is_ok() { &self.0.stored } else { &self.0.failed };
        count.fetch_add(1, Ordering::Relaxed);
    }

    fn close(&self) {
        println!("audit: {} seen", self.0.seen.load(Ordering::Relaxed));
    }
}

async fn send_with_headers(servers: &str) -> milena::Result<Arc<Audit>> {
    let kafka = milena::connect(servers).await?;
    let audit = Arc::new(Audit::default());
    let producer = kafka.producer().interceptor(Auditor(Arc::clone(&audit))).build().await?;

    // Headers keep their order, may repeat, and may have no value at all.
    let payment = Record::to("payments").key("p-1").value("9.50 EUR");
    let payment = payment.header("message-id", "0f8fad5b").header("tag", "a").header("tag", "b");
    producer.send(payment.null_header("urgent")).await?;
    // No value: in a compacted topic the key is forgotten.
    producer.send(Record::to("payments").key("p-1").tombstone()).await?;
    producer.close(Duration::from_secs(10)).await?;

    let consumer = kafka.consumer_without_group().assign([("payments", 0)]);
    let consumer = consumer.auto_offset_reset(milena::config::OffsetReset::Earliest);
    let mut consumer = consumer.build().await?;
    for _ in 0..2 {
        let Some(message) = consumer.try_next().await? else { break };
        println!("{} => {}", shown(message.key()), shown(message.value()));
        for header in message.headers() {
            println!("  {}: {}", shown(Some(header.key)), shown(header.value));
        }
    }
    consumer.close(Duration::from_secs(10)).await?;
    Ok(audit)
}

fn shown(bytes: Option<&[u8]>) -> String {
    bytes.map_or("null".to_owned(), |bytes| bytes.escape_ascii().to_string())
}

#[cfg(test)]
#[tokio::test]
async fn every_record_is_audited() {
    let broker = Broker::builder().topic("payments", 1).start().await.expect("a free port");
    let audit = send_with_headers(&broker.bootstrap_servers()).await.expect("nothing is wrong");
    assert_eq!(audit.stored.load(Ordering::Relaxed), 2);
    assert_eq!(audit.failed.load(Ordering::Relaxed), 0);
    let stored = broker.records("payments", 0);
    assert_eq!((stored[0].headers.len(), stored[1].headers.len()), (5, 1));
}
