//! librdkafka through the `rdkafka` crate: ThreadedProducer with a delivery
//! callback; BaseConsumer with assign.
use bench_common::*;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::time::Duration;

struct Shared {
    clock: Clock,
    hist: Hist,
    acked: AtomicU64,
    errors: AtomicU64,
}
struct Ctx(Arc<Shared>);
impl ClientContext for Ctx {}
impl ProducerContext for Ctx {
    type DeliveryOpaque = usize;
    fn delivery(&self, r: &DeliveryResult<'_>, sent: usize) {
        match r {
            Ok(_) => self.0.acked.fetch_add(1, Ordering::Relaxed),
            Err(_) => self.0.errors.fetch_add(1, Ordering::Relaxed),
        };
        if sent != 0 {
            self.0.hist.record(self.0.clock.ns() - sent as u64);
        }
    }
}

fn base(a: &Args) -> ClientConfig {
    let mut c = ClientConfig::new();
    c.set("bootstrap.servers", a.bootstrap());
    for (k, v) in a.properties() {
        c.set(k, v);
    }
    c
}

fn produce(a: &Args) {
    let (pool, keys) = (a.payloads(), a.keys());
    let n = a.num_records();
    let rate = a.num("throughput", 0);
    let mask = sample_mask(rate);
    let topic = a.topic();
    let mut c = base(a);
    c.set("acks", a.get("acks", "all"))
        .set("enable.idempotence", a.idempotence().to_string())
        .set("linger.ms", a.get("linger-ms", "5"))
        .set("batch.size", a.get("batch-size", "1000000"))
        .set("batch.num.messages", a.get("batch-num-messages", "100000"))
        .set("compression.type", a.get("compression", "none"))
        // Java's partitioner, as all others have it; keyless records stick to a partition either way.
        .set("partitioner", "murmur2_random")
        .set("max.in.flight.requests.per.connection", a.get("max-in-flight", "5"))
        .set("queue.buffering.max.kbytes", (a.buffer_memory() / 1024).to_string())
        .set("queue.buffering.max.messages", a.get("buffer-records", "500000"));
    let sh = Arc::new(Shared {
        clock: Clock::new(),
        hist: Hist::new(),
        acked: AtomicU64::new(0),
        errors: AtomicU64::new(0),
    });
    let p: ThreadedProducer<Ctx> = c.create_with_context(Ctx(sh.clone())).expect("producer");
    // One record first: connections, metadata and the producer id are no part
    // of what is measured.
    let first: BaseRecord<[u8], [u8], usize> = BaseRecord::with_opaque_to(&topic, 0).payload(&pool[0]);
    p.send(first).map_err(|(e, _)| e).expect("send");
    p.flush(Duration::from_secs(30)).expect("flush");
    sh.acked.store(0, Ordering::Relaxed);
    let start = Clock::new();
    let th = Throttle::new(rate);
    let (mut bytes, mut j) = (0u64, 0usize);
    for i in 0..n {
        if let Some(d) = th.delay(i) {
            std::thread::sleep(d);
        }
        let (v, k) = (&pool[j], keys.get(j));
        j += 1;
        if j == pool.len() {
            j = 0;
        }
        let t = if i & mask == 0 { sh.clock.ns() as usize } else { 0 };
        let mut rec: BaseRecord<[u8], [u8], usize> = BaseRecord::with_opaque_to(&topic, t).payload(v);
        if let Some(k) = k {
            rec = rec.key(k);
            bytes += k.len() as u64;
        }
        loop {
            match p.send(rec) {
                Ok(()) => break,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), r)) => {
                    rec = r;
                    std::thread::sleep(Duration::from_micros(500));
                }
                Err((e, _)) => panic!("{e}"),
            }
        }
        bytes += v.len() as u64;
    }
    p.flush(Duration::from_secs(120)).expect("flush");
    while sh.acked.load(Ordering::Relaxed) + sh.errors.load(Ordering::Relaxed) < n {
        std::thread::sleep(Duration::from_micros(200));
    }
    let secs = start.secs();
    report("librdkafka", "produce", sh.acked.load(Ordering::Relaxed), bytes, secs, sh.errors.load(Ordering::Relaxed), Some(&sh.hist));
}

fn consume(a: &Args) {
    let n = a.num_records();
    let topic = a.topic();
    let mut c = base(a);
    c.set("group.id", "bench-rdkafka").set("enable.auto.commit", "false").set("check.crcs", "true").set("fetch.max.bytes", "52428800");
    let cons: BaseConsumer = c.create().expect("consumer");
    let mut tpl = TopicPartitionList::new();
    for p in 0..a.partitions() {
        tpl.add_partition_offset(&topic, p, Offset::Beginning).unwrap();
    }
    let start = Clock::new();
    cons.assign(&tpl).unwrap();
    let slow = Duration::from_micros(a.num("slow-us", 0));
    let (mut got, mut bytes, mut keys) = (0u64, 0u64, 0u64);
    let mut order = InOrder::new(a.partitions());
    while got < n {
        match cons.poll(Duration::from_secs(30)) {
            Some(Ok(m)) => {
                bytes += m.payload().map_or(0, |p| p.len()) as u64;
                keys += m.key().map_or(0, |p| p.len()) as u64;
                order.see(m.partition(), m.offset());
                got += 1;
                // As often as the others, who poll 500 records at once.
                if !slow.is_zero() && got % 500 == 0 {
                    std::thread::sleep(slow);
                }
            }
            Some(Err(e)) => eprintln!("{e}"),
            None => break,
        }
    }
    report("librdkafka", "consume", got, bytes + keys, start.secs(), order.errors(), None);
    // Leaving at once: closing would only wait for what was prefetched.
    std::process::exit(0);
}

fn assigned(a: &Args, offset: Offset) -> BaseConsumer {
    let mut c = base(a);
    c.set("group.id", "bench-rdkafka").set("enable.auto.commit", "false").set("check.crcs", "true");
    let cons: BaseConsumer = c.create().expect("consumer");
    let mut tpl = TopicPartitionList::new();
    for p in 0..a.partitions() {
        tpl.add_partition_offset(&a.topic(), p, offset).unwrap();
    }
    cons.assign(&tpl).unwrap();
    cons
}

/// Sends at a rate, each record alone, and reads them: both ends are this client's.
fn latency(a: &Args) {
    let (n, topic) = (a.num_records(), a.topic());
    let mut c = base(a);
    c.set("acks", "all").set("enable.idempotence", "true").set("linger.ms", "0");
    let sh = Arc::new(Shared { clock: Clock::new(), hist: Hist::new(), acked: AtomicU64::new(0), errors: AtomicU64::new(0) });
    let p: ThreadedProducer<Ctx> = c.create_with_context(Ctx(sh.clone())).expect("producer");
    let send = move |value: &[u8]| {
        let r: BaseRecord<[u8], [u8], usize> = BaseRecord::with_opaque_to(&topic, 0).partition(0).payload(value);
        p.send(r).map_err(|(e, _)| e).expect("send");
    };
    send(&[0; 100]);
    let cons = assigned(a, Offset::Beginning);
    let mut order = InOrder::new(1);
    loop {
        if let Some(first) = cons.poll(Duration::from_secs(30)) {
            if let Ok(m) = first {
                order.see(m.partition(), m.offset());
            }
            break;
        }
    }
    let (start, hist, clock) = (Clock::new(), Hist::new(), Arc::new(Clock::new()));
    let (sending, th) = (Arc::clone(&clock), Throttle::new(a.num("throughput", 1000)));
    std::thread::spawn(move || {
        for i in 0..n {
            if let Some(d) = th.delay(i) {
                std::thread::sleep(d);
            }
            let mut value = [b'x'; 100];
            value[..8].copy_from_slice(&sending.ns().to_be_bytes());
            send(&value);
        }
        std::thread::sleep(Duration::from_secs(60));
    });
    let mut got = 0;
    while got < n {
        let Some(Ok(m)) = cons.poll(Duration::from_secs(30)) else { break };
        let sent = m.payload().and_then(|v| v.first_chunk()).map_or(0, |sent| u64::from_be_bytes(*sent));
        hist.record(clock.ns() - sent);
        order.see(m.partition(), m.offset());
        got += 1;
    }
    report("librdkafka", "latency", got, got * 100, start.secs(), order.errors(), Some(&hist));
    std::process::exit(0);
}

fn idle(a: &Args) {
    let start = Clock::new();
    let cons = assigned(a, Offset::End);
    let _ = cons.poll(Duration::from_secs(a.num_records()));
    report("librdkafka", "idle", a.num_records(), 0, start.secs(), 0, None);
    std::process::exit(0);
}

fn main() {
    let a = Args::parse();
    match a.mode.as_str() {
        "produce" => produce(&a),
        "consume" => consume(&a),
        "latency" => latency(&a),
        "idle" => idle(&a),
        m => panic!("{m}"),
    }
}
