//! Seeded records like those that Kafka carries.
#![allow(dead_code, reason = "no bench uses all of it")]

use std::fmt::Write as _;

use fastrand::Rng;
use milena_records::{BatchBuilder, Buffer, Compression, Compressor};
use milena_types::Timestamp;

/// What the records look like.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Payload {
    /// Click and order events of 150 to 500 bytes, with a key.
    Json,
    /// Binary fields of about 50 bytes behind a schema id, with a key.
    Avro,
    /// 100 letters at random and no key, as `kafka-producer-perf-test` sends them.
    Letters,
}

/// A batch's size, uncompressed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bytes(pub(crate) usize);

pub(crate) type KeyValue = (Option<Vec<u8>>, Vec<u8>);

/// Records of about `bytes` together.
pub(crate) fn records(payload: Payload, bytes: usize) -> Vec<KeyValue> {
    let mut rng = Rng::with_seed(7);
    let (mut records, mut total) = (Vec::new(), 0);
    while total < bytes {
        let record = record(payload, &mut rng);
        total += record.1.len() + record.0.as_ref().map_or(0, Vec::len) + 8;
        records.push(record);
    }
    records
}

/// Appends them all.
pub(crate) fn build(buffer: Buffer, records: &[KeyValue]) -> BatchBuilder {
    let mut builder = BatchBuilder::new(buffer);
    for (index, (key, value)) in records.iter().enumerate() {
        let at = Timestamp::from_millis(1_772_323_200_000 + index as i64 / 4);
        builder.append(at, key.as_deref(), Some(value), []).expect("a batch of a megabyte");
    }
    builder
}

/// The records section of a batch: what is compressed.
pub(crate) fn section(payload: Payload, bytes: usize) -> Vec<u8> {
    let builder = build(Buffer::default(), &records(payload, bytes));
    let sealed = builder.seal(Compression::NONE, &mut Compressor::new()).expect("no codec");
    sealed.stamp(None).body.to_vec()
}

fn record(payload: Payload, rng: &mut Rng) -> KeyValue {
    match payload {
        Payload::Json => json(rng),
        Payload::Avro => avro(rng),
        Payload::Letters => (None, (0..100).map(|_| b'A' + rng.u8(..26)).collect()),
    }
}

fn json(rng: &mut Rng) -> KeyValue {
    const PAGES: [&str; 6] = ["/", "/search", "/cart", "/checkout", "/account/orders", "/deals"];
    const CITIES: [&str; 8] =
        ["London", "Berlin", "Paris", "Madrid", "New York", "Tokyo", "Pune", "Lagos"];
    const AGENTS: [&str; 3] = [
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/126.0.0.0 Safari/537.36",
        "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 Version/17.5",
        "Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0",
    ];
    let user = skewed(rng, 200_000);
    let mut text = String::new();
    let id = rng.u128(..);
    let city = CITIES[skewed(rng, CITIES.len())];
    if rng.u8(..5) < 3 {
        let (page, agent) = (PAGES[skewed(rng, PAGES.len())], AGENTS[skewed(rng, AGENTS.len())]);
        let load = 20 + skewed(rng, 3000);
        let _ = write!(
            text,
            "{{\"event_id\":\"{id:032x}\",\"event_type\":\"page_view\",\"user_id\":{user},\"page\":{{\"url\":\
             \"https://shop.example.com{page}\",\"load_ms\":{load}}},\"geo\":{{\"city\":\"{city}\",\"lat\":{:.4}}},\
             \"ua\":\"{agent}\"}}",
            rng.f64() * 120.0 - 60.0
        );
    } else {
        let _ = write!(
            text,
            "{{\"order_id\":\"ORD-{:09}\",\"status\":\"PAID\",\"customer\":{{\"id\":{user},\"email\":\
             \"user{user}@example.com\"}},\"items\":[",
            rng.u32(..900_000_000)
        );
        for item in 0..=skewed(rng, 5) {
            let comma = if item > 0 { "," } else { "" };
            let (sku, price) = (skewed(rng, 40_000), 199 + skewed(rng, 30_000));
            let _ = write!(
                text,
                "{comma}{{\"sku\":\"SKU-{sku:06}\",\"qty\":{},\"unit_price\":{}.{:02}}}",
                1 + skewed(rng, 5),
                price / 100,
                price % 100
            );
        }
        let _ = write!(text, "],\"city\":\"{city}\",\"txn\":\"{id:032x}\"}}");
    }
    (Some(format!("user-{user}").into_bytes()), text.into_bytes())
}

fn avro(rng: &mut Rng) -> KeyValue {
    let mut value = vec![0, 0, 0, 0, 42];
    value.extend_from_slice(&rng.u32(..1 << 24).to_be_bytes());
    value.extend_from_slice(format!("\x12dev-{:05x}", skewed(rng, 20_000)).as_bytes());
    value.push(skewed(rng, 8) as u8);
    value.extend_from_slice(&(18.0 + (rng.f32() * 640.0).round() / 8.0).to_le_bytes());
    value.extend_from_slice(&(1000.0 + rng.f64() * 30.0).to_le_bytes());
    value.extend_from_slice(&(skewed(rng, 200_000) as u64).to_be_bytes());
    (Some((skewed(rng, 20_000) as u32).to_be_bytes().to_vec()), value)
}

/// Below `n`, small numbers more often.
fn skewed(rng: &mut Rng, n: usize) -> usize {
    let x = rng.f64();
    (x * x * x * n as f64) as usize
}
