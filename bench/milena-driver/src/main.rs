//! milena: `Producer::enqueue`, every delivery awaited by a task per sending task; `Consumer::poll` with assign.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bench_common::*;
use milena::config::OffsetReset;
use milena::{Delivery, Producer, Record, TopicPartition};
use tokio::sync::mpsc;

#[derive(Default)]
struct Shared {
    clock: Clock,
    latencies: Hist,
    acked: AtomicU64,
    errors: AtomicU64,
}

/// What one task sends.
#[derive(Clone)]
struct Plan {
    topic: String,
    values: Arc<[Vec<u8>]>,
    keys: Arc<[Vec<u8>]>,
    records: u64,
    rate: u64,
}

async fn producer(a: &Args) -> milena::Result<Producer> {
    let kafka = milena::connect(&a.bootstrap()).await?;
    let mut producer = kafka.producer();
    for (key, value) in [
        ("acks", a.get("acks", "all")),
        ("enable.idempotence", a.idempotence().to_string()),
        ("linger.ms", a.get("linger-ms", "5")),
        ("batch.size", a.get("batch-size", "1000000")),
        ("compression.type", a.get("compression", "none")),
        ("max.in.flight.requests.per.connection", a.get("max-in-flight", "5")),
        ("buffer.memory", a.buffer_memory().to_string()),
    ] {
        producer = producer.set(key, &value)?;
    }
    for (key, value) in a.properties() {
        producer = producer.set(&key, &value)?;
    }
    producer.build().await
}

async fn produce(a: &Args) -> milena::Result<()> {
    let producer = producer(a).await?;
    let tasks = a.num("tasks", 1);
    let plan = Plan {
        topic: a.topic(),
        values: a.payloads().into(),
        keys: a.keys().into(),
        records: a.num_records() / tasks,
        rate: a.num("throughput", 0) / tasks,
    };
    let shared = Arc::new(Shared::default());
    // One record first: connections, metadata and the producer id are no part of what is measured.
    producer.send(Record::to(&plan.topic).value(&plan.values[0])).await?;
    let start = Clock::new();
    let sending: Vec<_> = (0..tasks)
        .map(|_| tokio::spawn(send(producer.clone(), plan.clone(), Arc::clone(&shared))))
        .collect();
    let mut bytes = 0;
    for task in sending {
        bytes += task.await.expect("a sending task")?;
    }
    let secs = start.secs();
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let (acked, errors) = (count(&shared.acked), count(&shared.errors));
    report("milena", "produce", acked, bytes, secs, errors, Some(&shared.latencies));
    producer.close(Duration::from_secs(10)).await
}

/// Sends a task's share and waits for all of its acknowledgements; returns the bytes sent.
async fn send(producer: Producer, plan: Plan, shared: Arc<Shared>) -> milena::Result<u64> {
    let mask = sample_mask(plan.rate);
    // Deliveries travel in chunks, so that the channel's cost is no part of what is measured; one by one when throttled.
    let chunk_records = if plan.rate > 0 { 1 } else { 256 };
    let (open, deliveries) = mpsc::unbounded_channel();
    let counting = tokio::spawn(count(deliveries, Arc::clone(&shared)));
    let mut chunk: Vec<(Delivery, u64)> = Vec::with_capacity(chunk_records);
    let throttle = Throttle::new(plan.rate);
    let (mut bytes, mut next) = (0, 0);
    for i in 0..plan.records {
        if let Some(wait) = throttle.delay(i) {
            tokio::time::sleep(wait).await;
        }
        let value = &plan.values[next];
        let mut record = Record::to(&plan.topic).value(value);
        if let Some(key) = plan.keys.get(next) {
            record = record.key(key);
            bytes += key.len() as u64;
        }
        next = if next + 1 == plan.values.len() { 0 } else { next + 1 };
        tokio::task::coop::consume_budget().await;
        let sent = if i & mask == 0 { shared.clock.ns() } else { 0 };
        chunk.push((producer.send(record).enqueue().await?, sent));
        bytes += value.len() as u64;
        if chunk.len() == chunk_records {
            let full = std::mem::replace(&mut chunk, Vec::with_capacity(chunk_records));
            let _ = open.send(full);
        }
    }
    let _ = open.send(chunk);
    drop(open);
    producer.flush().await?;
    counting.await.expect("the counting task");
    Ok(bytes)
}

async fn count(mut deliveries: mpsc::UnboundedReceiver<Vec<(Delivery, u64)>>, shared: Arc<Shared>) {
    while let Some(chunk) = deliveries.recv().await {
        let (mut acked, mut errors) = (0, 0);
        for (delivery, sent) in chunk {
            match delivery.await {
                Ok(_) => acked += 1,
                Err(_) => errors += 1,
            }
            if sent != 0 {
                shared.latencies.record(shared.clock.ns() - sent);
            }
        }
        shared.acked.fetch_add(acked, Ordering::Relaxed);
        shared.errors.fetch_add(errors, Ordering::Relaxed);
    }
}

async fn consume(a: &Args) -> milena::Result<()> {
    let records = a.num_records();
    let topic = a.topic();
    let kafka = milena::connect(&a.bootstrap()).await?;
    let start = Clock::new();
    let consumer = kafka.consumer_without_group().auto_offset_reset(OffsetReset::Earliest);
    let partitions = (0..a.partitions()).map(|p| TopicPartition::new(topic.as_str(), p));
    let mut consumer = consumer.assign(partitions).build().await?;
    let (mut got, mut bytes, mut idle) = (0, 0, 0);
    while got < records && idle < 30 {
        let batch = consumer.poll(Duration::from_secs(1)).await?;
        idle = if batch.is_empty() { idle + 1 } else { 0 };
        for message in &batch {
            bytes += message.key().map_or(0, <[u8]>::len) as u64;
            bytes += message.value().map_or(0, <[u8]>::len) as u64;
            got += 1;
        }
    }
    report("milena", "consume", got, bytes, start.secs(), 0, None);
    Ok(())
}

#[tokio::main]
async fn main() -> milena::Result<()> {
    let a = Args::parse();
    match a.mode.as_str() {
        "produce" => produce(&a).await,
        "consume" => consume(&a).await,
        mode => panic!("{mode}: produce or consume"),
    }
}
