//! krafka: `Producer::enqueue`, every delivery handle awaited by one task per
//! partition (acks of one partition come in order); `Consumer::poll` with assign.
use bench_common::*;
use bytes::Bytes;
use krafka::consumer::AutoOffsetReset;
use krafka::producer::{Acks, DeliveryHandle};
use krafka::{Compression, Kafka, Record};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::time::Duration;

struct Shared {
    clock: Clock,
    hist: Hist,
    acked: AtomicU64,
    errors: AtomicU64,
}

async fn produce(a: &Args) {
    let pool: Vec<Bytes> = a.payloads().into_iter().map(Bytes::from).collect();
    let keys: Vec<Bytes> = a.keys().into_iter().map(Bytes::from).collect();
    let n = a.num_records();
    let rate = a.num("throughput", 0);
    let mask = sample_mask(rate);
    // Handles travel to the awaiting tasks in chunks, so that the channel's
    // cost is no part of what is measured; one by one when throttled.
    let chunk = if rate > 0 { 1 } else { 256 };
    let kafka = Kafka::builder(a.bootstrap())
        .max_in_flight_requests(a.num("max-in-flight", 5) as usize)
        .connect()
        .await
        .expect("connect");
    let producer = kafka
        .producer()
        .acks(match a.get("acks", "all").as_str() {
            "0" => Acks::None,
            "1" => Acks::Leader,
            _ => Acks::All,
        })
        .idempotent(a.idempotence())
        .compression(match a.get("compression", "none").as_str() {
            "none" => Compression::None,
            "gzip" => Compression::Gzip,
            "snappy" => Compression::Snappy,
            "lz4" => Compression::Lz4,
            "zstd" => Compression::Zstd,
            c => panic!("{c}"),
        })
        .linger(Duration::from_millis(a.num("linger-ms", 5)))
        .batch_size(a.num("batch-size", 1_000_000) as usize)
        .buffer_memory(a.buffer_memory())
        .build()
        .await
        .expect("producer");
    let sh = Arc::new(Shared {
        clock: Clock::new(),
        hist: Hist::new(),
        acked: AtomicU64::new(0),
        errors: AtomicU64::new(0),
    });
    let parts = a.partitions() as usize;
    let (mut txs, mut tasks) = (Vec::new(), Vec::new());
    for _ in 0..parts {
        let (tx, mut rx) = tokio::sync::mpsc::unbounded_channel::<Vec<(DeliveryHandle, u64)>>();
        txs.push(tx);
        let sh = sh.clone();
        tasks.push(tokio::spawn(async move {
            while let Some(v) = rx.recv().await {
                let (mut ok, mut bad) = (0, 0);
                for (h, t) in v {
                    match h.await {
                        Ok(_) => ok += 1,
                        Err(_) => bad += 1,
                    }
                    if t != 0 {
                        sh.hist.record(sh.clock.ns() - t);
                    }
                }
                sh.acked.fetch_add(ok, Ordering::Relaxed);
                sh.errors.fetch_add(bad, Ordering::Relaxed);
            }
        }));
    }
    let topic = a.topic();
    let mut held: Vec<Vec<(DeliveryHandle, u64)>> = (0..parts).map(|_| Vec::with_capacity(chunk)).collect();
    // One record first: connections, metadata and the producer id are no part
    // of what is measured.
    let _ = producer.send(Record::new(topic.as_str(), pool[0].clone())).await.expect("send");
    let start = Clock::new();
    let th = Throttle::new(rate);
    let (mut bytes, mut j) = (0u64, 0usize);
    for i in 0..n {
        if let Some(d) = th.delay(i) {
            tokio::time::sleep(d).await;
        }
        let (v, k) = (&pool[j], keys.get(j));
        j += 1;
        if j == pool.len() {
            j = 0;
        }
        let t = if i & mask == 0 { sh.clock.ns() } else { 0 };
        let mut record = Record::new(topic.as_str(), v.clone());
        if let Some(k) = k {
            record = record.key(k.clone());
            bytes += k.len() as u64;
        }
        let h = producer.enqueue(record).await.expect("enqueue");
        let p = h.partition() as usize;
        held[p].push((h, t));
        if held[p].len() == chunk {
            let v = std::mem::replace(&mut held[p], Vec::with_capacity(chunk));
            let _ = txs[p].send(v);
        }
        bytes += v.len() as u64;
    }
    for (p, v) in held.into_iter().enumerate() {
        let _ = txs[p].send(v);
    }
    drop(txs);
    producer.flush().await.expect("flush");
    for t in tasks {
        t.await.unwrap();
    }
    let secs = start.secs();
    report("krafka", "produce", sh.acked.load(Ordering::Relaxed), bytes, secs, sh.errors.load(Ordering::Relaxed), Some(&sh.hist));
    std::process::exit(0);
}

async fn consume(a: &Args) {
    let n = a.num_records();
    let kafka = Kafka::builder(a.bootstrap()).connect().await.expect("connect");
    let c = kafka
        .consumer_without_group()
        .auto_offset_reset(AutoOffsetReset::Earliest)
        .fetch_max_bytes(52_428_800)
        .build()
        .await
        .expect("consumer");
    let start = Clock::new();
    c.assign(&a.topic(), (0..a.partitions()).collect()).await.expect("assign");
    let (mut got, mut bytes, mut idle, mut order) = (0u64, 0u64, 0, InOrder::new(a.partitions()));
    while got < n && idle < 30 {
        let recs = c.poll(Duration::from_secs(1)).await.expect("poll");
        idle = if recs.is_empty() { idle + 1 } else { 0 };
        for r in &recs {
            bytes += r.key.as_ref().map_or(0, |k| k.len()) as u64 + r.value.as_ref().map_or(0, |v| v.len()) as u64;
            order.see(r.partition, r.offset);
        }
        got += recs.len() as u64;
    }
    report("krafka", "consume", got, bytes, start.secs(), order.errors(), None);
    std::process::exit(0);
}

#[tokio::main]
async fn main() {
    let a = Args::parse();
    match a.mode.as_str() {
        "produce" => produce(&a).await,
        "consume" => consume(&a).await,
        m => panic!("{m}"),
    }
}
