//! milena: `Producer::send(..).enqueue()` or `Producer::enqueue_all`, every delivery awaited; `Consumer::poll` or, record
//! by record, `Consumer::try_next`, with assign.

mod apart;

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use apart::Apart;
use bench_common::*;
use milena::config::OffsetReset;
use milena::{Deliveries, Delivery, Producer, Record, TopicPartition};
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
    let form = a.get("form", "one");
    let (producer, apart) = match form.as_str() {
        "apart" => Apart::start(a).await.map(|(producer, apart)| (producer, Some(apart)))?,
        _ => (producer(a).await?, None),
    };
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
    let is_all = form == "all";
    let sending: Vec<_> = (0..tasks)
        .map(|_| (producer.clone(), plan.clone(), Arc::clone(&shared)))
        .map(|(producer, plan, shared)| match is_all {
            true => tokio::spawn(send_all(producer, plan, shared)),
            false => tokio::spawn(send(producer, plan, shared)),
        })
        .collect();
    let mut bytes = 0;
    for task in sending {
        bytes += task.await.expect("a sending task")?;
    }
    let secs = start.secs();
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let (acked, errors) = (count(&shared.acked), count(&shared.errors));
    report("milena", "produce", acked, bytes, secs, errors, Some(&shared.latencies));
    producer.close(Duration::from_secs(10)).await?;
    if let Some(apart) = apart {
        eprintln!("driver, metadata and connections: {:.3} CPU s in {secs:.3} s", apart.end());
    }
    Ok(())
}

/// Sends a task's share and waits for all of its acknowledgements; returns the bytes sent.
async fn send(producer: Producer, plan: Plan, shared: Arc<Shared>) -> milena::Result<u64> {
    let mask = sample_mask(plan.rate);
    // At full speed, timed deliveries are awaited by another task, in chunks, so that the channel's cost is no part of what
    // is measured. All others are looked at here, in order, as their batches settle.
    let chunk_records = 32;
    let (open, deliveries) = mpsc::unbounded_channel();
    let timing = tokio::spawn(time(deliveries, Arc::clone(&shared)));
    let mut chunk: Vec<(Delivery, u64)> = Vec::with_capacity(chunk_records);
    let mut untimed = Untimed::default();
    let mut pace = Pace::new(plan.rate);
    let topic = producer.topic(&plan.topic);
    let (mut bytes, mut next) = (0, 0);
    for i in 0..plan.records {
        pace.wait(i).await;
        let value = &plan.values[next];
        let mut record = Record::to(&topic).value(value);
        if let Some(key) = plan.keys.get(next) {
            record = record.key(key);
            bytes += key.len() as u64;
        }
        bytes += value.len() as u64;
        next = if next + 1 == plan.values.len() { 0 } else { next + 1 };
        if i & mask != 0 {
            untimed.push(producer.send(record).enqueue().await?);
            continue;
        }
        let sent = shared.clock.ns();
        if plan.rate > 0 {
            // As the peers: another task that awaits it would be woken for each record, which wakes another thread.
            let shared = Arc::clone(&shared);
            let sending = producer.send(record).on_ack(move |result| {
                let counter = if result.is_ok() { &shared.acked } else { &shared.errors };
                counter.fetch_add(1, Ordering::Relaxed);
                shared.latencies.record(shared.clock.ns() - sent);
            });
            sending.enqueue().await?;
            continue;
        }
        chunk.push((producer.send(record).enqueue().await?, sent));
        if chunk.len() == chunk_records {
            let full = std::mem::replace(&mut chunk, Vec::with_capacity(chunk_records));
            let _ = open.send(full);
        }
    }
    let _ = open.send(chunk);
    drop(open);
    producer.flush().await?;
    timing.await.expect("the timing task");
    untimed.finish(&shared).await;
    Ok(bytes)
}

/// As [`send`], with `--form all`: as many records a call as a batch holds, roughly.
async fn send_all(producer: Producer, plan: Plan, shared: Arc<Shared>) -> milena::Result<u64> {
    let topic = producer.topic(&plan.topic);
    let mut pending: VecDeque<(Deliveries, u64)> = VecDeque::new();
    let mut bytes = 0;
    let mut values = plan.values.iter().cycle();
    let mut left = plan.records as usize;
    while left > 0 || !pending.is_empty() {
        let records = left.min(CALL_RECORDS);
        if records > 0 {
            let sent = shared.clock.ns();
            let records = values.by_ref().take(records);
            let records = records.map(|value| Record::to(&topic).value(value));
            let deliveries =
                producer
                    .enqueue_all(records.inspect(|record| {
                        bytes += record.value_bytes().map_or(0, <[u8]>::len) as u64
                    }))
                    .await;
            left -= deliveries.len();
            pending.push_back((deliveries, sent));
        }
        while let Some((deliveries, sent)) = pending.front_mut() {
            let outcomes = if left == 0 {
                deliveries.await
            } else {
                match poll_once(deliveries) {
                    Poll::Ready(outcomes) => outcomes,
                    Poll::Pending => break,
                }
            };
            let failures = outcomes.failures() as u64;
            shared.acked.fetch_add(outcomes.len() as u64 - failures, Ordering::Relaxed);
            shared.errors.fetch_add(failures, Ordering::Relaxed);
            shared.latencies.record(shared.clock.ns() - *sent);
            pending.pop_front();
        }
    }
    Ok(bytes)
}

/// Deliveries that nobody times.
#[derive(Default)]
struct Untimed {
    pending: VecDeque<Delivery>,
    acked: u64,
    errors: u64,
}

impl Untimed {
    fn push(&mut self, delivery: Delivery) {
        self.pending.push_back(delivery);
        if self.pending.len().is_multiple_of(256) {
            while let Some(Poll::Ready(result)) = self.pending.front_mut().map(poll_once) {
                self.settle(result.is_ok());
            }
        }
    }

    fn settle(&mut self, is_stored: bool) {
        self.pending.pop_front();
        *(if is_stored { &mut self.acked } else { &mut self.errors }) += 1;
    }

    async fn finish(mut self, shared: &Shared) {
        while let Some(delivery) = self.pending.front_mut() {
            let result = delivery.await;
            self.settle(result.is_ok());
        }
        shared.acked.fetch_add(self.acked, Ordering::Relaxed);
        shared.errors.fetch_add(self.errors, Ordering::Relaxed);
    }
}

fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

async fn time(mut deliveries: mpsc::UnboundedReceiver<Vec<(Delivery, u64)>>, shared: Arc<Shared>) {
    while let Some(chunk) = deliveries.recv().await {
        for (delivery, sent) in chunk {
            let counter = if delivery.await.is_ok() { &shared.acked } else { &shared.errors };
            counter.fetch_add(1, Ordering::Relaxed);
            shared.latencies.record(shared.clock.ns() - sent);
        }
    }
}

const CALL_RECORDS: usize = 500;

/// One task sends at a rate, each record alone, the other reads one by one: what lies between is the record's latency.
async fn latency(a: &Args) -> milena::Result<()> {
    let (topic, records) = (a.topic(), a.num_records());
    let producer = producer(a).await?;
    producer.send(Record::to(&topic).partition(0).value(&0u64.to_be_bytes())).await?;
    let mut consumer = reader(a).await?;
    let mut order = InOrder::new(1);
    if let Some(message) = consumer.try_next().await? {
        order.see(message.partition(), message.offset().get());
    }
    let start = Clock::new();
    let clock = Arc::new(Clock::new());
    let (sending, mut pace) = (Arc::clone(&clock), Pace::new(a.num("throughput", 1000)));
    let sender = tokio::spawn(async move {
        for i in 0..records {
            pace.wait(i).await;
            let mut value = [b'x'; 100];
            value[..8].copy_from_slice(&sending.ns().to_be_bytes());
            let _delivery = producer.send(Record::to(&topic).partition(0).value(&value)).enqueue().await?;
        }
        producer.close(Duration::from_secs(10)).await
    });
    // A task of the runtime, not of the thread that waits for it: that one would have to be woken for each record.
    let reader = tokio::spawn(async move {
        let (mut got, latencies) = (0, Hist::new());
        while got < records {
            let Some(message) = consumer.try_next().await? else { break };
            let sent = message.value().and_then(|value| value.first_chunk()).map_or(0, |sent| u64::from_be_bytes(*sent));
            latencies.record(clock.ns() - sent);
            order.see(message.partition(), message.offset().get());
            got += 1;
        }
        Ok::<_, milena::Error>((got, latencies, order.errors()))
    });
    let (got, latencies, errors) = reader.await.expect("the reading task")?;
    sender.await.expect("the sending task")?;
    report("milena", "latency", got, got * 100, start.secs(), errors, Some(&latencies));
    Ok(())
}

/// Assigned and with nothing to read; of each partition a broker says so now and then.
async fn idle(a: &Args) -> milena::Result<()> {
    let start = Clock::new();
    let mut consumer = reader(a).await?;
    let batch = consumer.poll(Duration::from_secs(a.num_records())).await?;
    report("milena", "idle", a.num_records(), 0, start.secs(), batch.len() as u64, None);
    Ok(())
}

async fn reader(a: &Args) -> milena::Result<milena::Consumer> {
    let topic = a.topic();
    let kafka = milena::connect(&a.bootstrap()).await?;
    let reset = if a.mode == "idle" { OffsetReset::Latest } else { OffsetReset::Earliest };
    let mut consumer = kafka.consumer_without_group().auto_offset_reset(reset);
    for (key, value) in a.properties() {
        consumer = consumer.set(&key, &value)?;
    }
    let partitions = (0..a.partitions()).map(|p| TopicPartition::new(topic.as_str(), p));
    consumer.assign(partitions).build().await
}

/// A member of a share group, alone: what it is handed is accepted by the next poll.
async fn share(a: &Args) -> milena::Result<()> {
    let records = a.num_records();
    let start = Clock::new();
    let kafka = milena::connect(&a.bootstrap()).await?;
    let group = a.get("group", "bench");
    let mut consumer = kafka.share_consumer(&group).subscribe([a.topic()]);
    for (key, value) in a.properties() {
        consumer = consumer.set(&key, &value)?;
    }
    let mut consumer = consumer.build().await?;
    let (mut got, mut bytes, mut idle, mut seen) = (0, 0, 0, Seen::default());
    while got < records && idle < 30 {
        let batch = consumer.poll(Duration::from_secs(1)).await?;
        idle = if batch.is_empty() { idle + 1 } else { 0 };
        for message in &batch {
            bytes += message.key().map_or(0, <[u8]>::len) as u64;
            bytes += message.value().map_or(0, <[u8]>::len) as u64;
            seen.see(message.partition(), message.offset().get());
            got += 1;
        }
    }
    report("milena", "share", got, bytes, start.secs(), seen.errors(), None);
    consumer.close(Duration::from_secs(10)).await
}

async fn consume(a: &Args) -> milena::Result<()> {
    let records = a.num_records();
    let slow = Duration::from_micros(a.num("slow-us", 0));
    let start = Clock::new();
    let mut consumer = reader(a).await?;
    let (mut got, mut bytes, mut idle, mut order) = (0, 0, 0, InOrder::new(a.partitions()));
    if a.get("form", "batch") == "stream" {
        while got < records {
            let Some(message) = consumer.try_next().await? else { break };
            bytes += message.key().map_or(0, <[u8]>::len) as u64;
            bytes += message.value().map_or(0, <[u8]>::len) as u64;
            order.see(message.partition(), message.offset().get());
            got += 1;
        }
    }
    while got < records && idle < 30 {
        let batch = consumer.poll(Duration::from_secs(1)).await?;
        idle = if batch.is_empty() { idle + 1 } else { 0 };
        for message in &batch {
            bytes += message.key().map_or(0, <[u8]>::len) as u64;
            bytes += message.value().map_or(0, <[u8]>::len) as u64;
            order.see(message.partition(), message.offset().get());
            got += 1;
        }
        if !slow.is_zero() {
            tokio::time::sleep(slow).await;
        }
    }
    report("milena", "consume", got, bytes, start.secs(), order.errors(), None);
    Ok(())
}

#[tokio::main]
async fn main() -> milena::Result<()> {
    let a = Args::parse();
    match a.mode.as_str() {
        "produce" => produce(&a).await,
        "consume" => consume(&a).await,
        "latency" => latency(&a).await,
        "share" => share(&a).await,
        "idle" => idle(&a).await,
        mode => panic!("{mode}: produce, consume, latency, share or idle"),
    }
}
