//! Confluent's native Rust client: the byte-slice `KafkaProducer::send` (its
//! zero-copy path) with a callback per record; `KafkaConsumer::poll` with assign.
use bench_common::*;
use bytes::Bytes;
use confluent_kafka::common::serialization::{ByteArraySerializer, BytesDeserializer};
use confluent_kafka::common::TopicPartition;
use confluent_kafka::consumer::{Consumer, ConsumerConfig, KafkaConsumer};
use confluent_kafka::producer::{callback, KafkaProducer, Producer, ProducerConfig, ProducerRecord};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::time::Duration;

struct Shared {
    clock: Clock,
    hist: Hist,
    acked: AtomicU64,
    errors: AtomicU64,
}

fn props(kv: &[(&str, String)]) -> HashMap<String, String> {
    kv.iter().map(|(k, v)| (k.to_string(), v.clone())).collect()
}

async fn produce(a: &Args) {
    let (pool, keys) = (a.payloads(), a.keys());
    let n = a.num_records();
    let rate = a.num("throughput", 0);
    let mask = sample_mask(rate);
    let cfg = ProducerConfig::new(&props(&[
        ("bootstrap.servers", a.bootstrap()),
        ("acks", a.get("acks", "all")),
        ("enable.idempotence", a.idempotence().to_string()),
        ("linger.ms", a.get("linger-ms", "5")),
        ("batch.size", a.get("batch-size", "1000000")),
        ("compression.type", a.get("compression", "none")),
        ("max.in.flight.requests.per.connection", a.get("max-in-flight", "5")),
        ("buffer.memory", a.buffer_memory().to_string()),
    ]))
    .expect("config");
    let p = KafkaProducer::<Vec<u8>, Vec<u8>>::new(cfg, ByteArraySerializer::default(), ByteArraySerializer::default())
        .expect("producer");
    let sh = Arc::new(Shared {
        clock: Clock::new(),
        hist: Hist::new(),
        acked: AtomicU64::new(0),
        errors: AtomicU64::new(0),
    });
    let topic = a.topic();
    // One record first: connections, metadata and the producer id are no part
    // of what is measured.
    let first: ProducerRecord<&[u8], &[u8]> = ProducerRecord::new(topic.clone(), Some(pool[0].as_slice()));
    let _ = p.send(first, None).await.expect("send");
    p.flush().await.expect("flush");
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
        let s = sh.clone();
        let cb = callback::new(move |_, e| {
            match e {
                None => s.acked.fetch_add(1, Ordering::Relaxed),
                Some(_) => s.errors.fetch_add(1, Ordering::Relaxed),
            };
            if t != 0 {
                s.hist.record(s.clock.ns() - t);
            }
        });
        let rec: ProducerRecord<&[u8], &[u8]> = match k {
            Some(k) => ProducerRecord::with_key(topic.clone(), Some(k.as_slice()), Some(v.as_slice())),
            None => ProducerRecord::new(topic.clone(), Some(v.as_slice())),
        };
        bytes += k.map_or(0, |k| k.len()) as u64;
        let _ = p.send(rec, Some(Box::new(cb))).await.expect("send");
        bytes += v.len() as u64;
    }
    p.flush().await.expect("flush");
    while sh.acked.load(Ordering::Relaxed) + sh.errors.load(Ordering::Relaxed) < n {
        tokio::time::sleep(Duration::from_micros(200)).await;
    }
    let secs = start.secs();
    report("confluent-kafka", "produce", sh.acked.load(Ordering::Relaxed), bytes, secs, sh.errors.load(Ordering::Relaxed), Some(&sh.hist));
    std::process::exit(0);
}

async fn consume(a: &Args) {
    let n = a.num_records();
    let topic = a.topic();
    let cfg = ConsumerConfig::new(&props(&[
        ("bootstrap.servers", a.bootstrap()),
        ("group.protocol", "consumer".into()),
        ("enable.auto.commit", "false".into()),
        ("auto.offset.reset", "earliest".into()),
        ("check.crcs", "true".into()),
        ("fetch.max.bytes", "52428800".into()),
        ("max.poll.records", a.get("max-poll-records", "500")),
    ]))
    .expect("config");
    let mut c = KafkaConsumer::<Bytes, Bytes>::new(cfg, BytesDeserializer::default(), BytesDeserializer::default()).expect("consumer");
    let tps: Vec<TopicPartition> = (0..a.partitions()).map(|p| TopicPartition::new(topic.clone(), p)).collect();
    let start = Clock::new();
    c.assign(tps.clone()).await.expect("assign");
    c.seek_to_beginning(&tps).await.expect("seek");
    let (mut got, mut bytes, mut idle, mut order) = (0u64, 0u64, 0, InOrder::new(a.partitions()));
    while got < n && idle < 30 {
        let recs = c.poll(Duration::from_secs(1)).await.expect("poll");
        let before = got;
        for r in &recs {
            bytes += r.key().map_or(0, |k| k.len()) as u64 + r.value().map_or(0, |v| v.len()) as u64;
            order.see(r.partition(), r.offset());
            got += 1;
        }
        idle = if got == before { idle + 1 } else { 0 };
    }
    report("confluent-kafka", "consume", got, bytes, start.secs(), order.errors(), None);
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
