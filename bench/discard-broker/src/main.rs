//! A Kafka broker that stores nothing, to see a client's own limit:
//! Produce is acknowledged at once, counted and discarded; Fetch serves one batch, built
//! at start, over and over with its base offset patched (the CRC does not cover
//! it). Every topic name exists, with `--partitions` partitions, led by node 1.
//! The end offset of a topic that was produced to is the number of its records.
//! One blocking thread per connection; no group coordinator (use assign).
//!
//! `discard-broker --port P --partitions 6 [--record-size S --batch-records N
//! --compression none|gzip|snappy|lz4|zstd --payload-file F --end-offset O
//! --advertised-host H]`
use anyhow::{anyhow, bail, Context, Result};
use bytes::{Buf, Bytes, BytesMut};
use kafka_protocol::indexmap::IndexMap;
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::fetch_response::{FetchableTopicResponse, PartitionData};
use kafka_protocol::messages::list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};
use kafka_protocol::messages::metadata_response::{MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic};
use kafka_protocol::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};
use kafka_protocol::records::{Compression, Record, RecordBatchEncoder, RecordEncodeOptions, TimestampType};
use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

/// What is advertised; the newest version of each that the answers below fill in.
const APIS: &[(ApiKey, i16, i16)] = &[
    (ApiKey::Produce, 3, 13),
    (ApiKey::Fetch, 4, 17),
    (ApiKey::ListOffsets, 1, 9),
    (ApiKey::Metadata, 0, 12),
    // Answered "not available"; librdkafka silently sends lz4 batches
    // uncompressed to a broker that does not advertise it.
    (ApiKey::FindCoordinator, 0, 4),
    (ApiKey::ApiVersions, 0, 3),
    (ApiKey::InitProducerId, 0, 4),
];
/// Bytes of one partition's cached records in one Fetch answer.
const SERVE: usize = 1 << 20;

struct Broker {
    host: StrBytes,
    port: i32,
    partitions: i32,
    end_offset: i64,
    batch: Vec<u8>,
    batch_records: i64,
    /// By topic id, the end offset of each partition that was produced to.
    log_ends: Mutex<HashMap<uuid::Uuid, Arc<[AtomicI64]>>>,
    next_pid: AtomicI64,
}

fn build_batch(opt: &HashMap<String, String>) -> Result<(Vec<u8>, i64)> {
    let get = |k: &str, d: &str| opt.get(k).cloned().unwrap_or_else(|| d.to_string());
    let size: usize = get("record-size", "100").parse()?;
    let n: i64 = get("batch-records", "1000").parse()?;
    let compression = match get("compression", "none").as_str() {
        "none" => Compression::None,
        "gzip" => Compression::Gzip,
        "snappy" => Compression::Snappy,
        "lz4" => Compression::Lz4,
        "zstd" => Compression::Zstd,
        c => bail!("--compression {c}"),
    };
    let values: Vec<Bytes> = match opt.get("payload-file") {
        Some(f) => std::fs::read(f)
            .with_context(|| f.clone())?
            .split(|b| *b == b'\n')
            .filter(|l| !l.is_empty())
            .map(Bytes::copy_from_slice)
            .collect(),
        None => {
            let mut x = 0x9E3779B97F4A7C15u64;
            (0..n)
                .map(|_| {
                    (0..size)
                        .map(|_| {
                            x ^= x << 13;
                            x ^= x >> 7;
                            x ^= x << 17;
                            b'A' + (x % 26) as u8
                        })
                        .collect::<Vec<u8>>()
                        .into()
                })
                .collect()
        }
    };
    let records: Vec<Record> = (0..n)
        .map(|i| Record {
            transactional: false,
            control: false,
            delete_horizon: false,
            partition_leader_epoch: 0,
            producer_id: -1,
            producer_epoch: -1,
            timestamp_type: TimestampType::Creation,
            offset: i,
            sequence: i as i32,
            timestamp: 1_700_000_000_000 + i / 10,
            key: None,
            value: Some(values[i as usize % values.len()].clone()),
            headers: IndexMap::new(),
        })
        .collect();
    let mut out = BytesMut::new();
    RecordBatchEncoder::encode(&mut out, &records, &RecordEncodeOptions { version: 2, compression })?;
    // One batch, without a producer: base sequence -1 is not what the encoder
    // writes, but consumers do not read it.
    let len = 12 + i32::from_be_bytes(out[8..12].try_into()?) as usize;
    if len != out.len() {
        bail!("the encoder made more than one batch");
    }
    Ok((out.to_vec(), n))
}

fn topic_id(name: &str) -> uuid::Uuid {
    let mut h = 0xcbf29ce484222325u64;
    for b in name.bytes() {
        h = (h ^ b as u64).wrapping_mul(0x100000001b3);
    }
    uuid::Uuid::from_u64_pair(h | 1, !h)
}

/// 15 is COORDINATOR_NOT_AVAILABLE; from version 4 on, one answer per key.
fn find_coordinator(req: FindCoordinatorRequest, v: i16) -> FindCoordinatorResponse {
    let none = BrokerId(-1);
    if v < 4 {
        return FindCoordinatorResponse::default().with_error_code(15).with_node_id(none).with_port(-1);
    }
    FindCoordinatorResponse::default().with_coordinators(
        req.coordinator_keys
            .into_iter()
            .map(|k| Coordinator::default().with_key(k).with_error_code(15).with_node_id(none).with_port(-1))
            .collect(),
    )
}

impl Broker {
    fn api_versions(&self) -> ApiVersionsResponse {
        ApiVersionsResponse::default().with_api_keys(
            APIS.iter()
                .map(|(k, lo, hi)| ApiVersion::default().with_api_key(*k as i16).with_min_version(*lo).with_max_version(*hi))
                .collect(),
        )
    }

    fn metadata(&self, req: MetadataRequest) -> MetadataResponse {
        let topics = req.topics.unwrap_or_default();
        MetadataResponse::default()
            .with_cluster_id(Some(StrBytes::from_static_str("discard-broker")))
            .with_controller_id(BrokerId(1))
            .with_brokers(vec![MetadataResponseBroker::default()
                .with_node_id(BrokerId(1))
                .with_host(self.host.clone())
                .with_port(self.port)])
            .with_topics(
                topics
                    .into_iter()
                    .map(|t| match t.name {
                        // Asked by id alone: 100 is UNKNOWN_TOPIC_ID.
                        None => MetadataResponseTopic::default().with_error_code(100).with_topic_id(t.topic_id),
                        Some(name) => MetadataResponseTopic::default()
                            .with_topic_id(topic_id(&name))
                            .with_name(Some(name))
                            .with_partitions(
                                (0..self.partitions)
                                    .map(|p| {
                                        MetadataResponsePartition::default()
                                            .with_partition_index(p)
                                            .with_leader_id(BrokerId(1))
                                            .with_leader_epoch(0)
                                            .with_replica_nodes(vec![BrokerId(1)])
                                            .with_isr_nodes(vec![BrokerId(1)])
                                    })
                                    .collect(),
                            ),
                    })
                    .collect(),
            )
    }

    fn produce(&self, req: &ProduceRequest) -> ProduceResponse {
        ProduceResponse::default().with_responses(
            req.topic_data
                .iter()
                .map(|t| {
                    let id = if t.topic_id.is_nil() { topic_id(&t.name) } else { t.topic_id };
                    let log_end = self.log_end(id);
                    TopicProduceResponse::default().with_name(t.name.clone()).with_topic_id(t.topic_id).with_partition_responses(
                        t.partition_data
                            .iter()
                            .map(|p| {
                                // Each v2 batch: length at 8, record count at 57.
                                let (mut b, mut n) = (p.records.as_deref().unwrap_or(&[]), 0i64);
                                while b.len() >= 61 {
                                    n += i32::from_be_bytes([b[57], b[58], b[59], b[60]]) as i64;
                                    let len = 12 + i32::from_be_bytes([b[8], b[9], b[10], b[11]]) as usize;
                                    b = &b[len.min(b.len())..];
                                }
                                let base = log_end.get(p.index as usize).map_or(0, |o| o.fetch_add(n, Ordering::Relaxed));
                                PartitionProduceResponse::default()
                                    .with_index(p.index)
                                    .with_base_offset(base)
                                    .with_log_append_time_ms(-1)
                                    .with_log_start_offset(0)
                            })
                            .collect(),
                    )
                })
                .collect(),
        )
    }

    fn log_end(&self, topic: uuid::Uuid) -> Arc<[AtomicI64]> {
        let mut log_ends = self.log_ends.lock().unwrap();
        let new = || (0..self.partitions).map(|_| AtomicI64::new(0)).collect();
        log_ends.entry(topic).or_insert_with(new).clone()
    }

    /// What was produced; to topics that only consumers know, the cached batch goes on up to `end_offset`.
    fn end_offset(&self, topic: &str, partition: i32) -> i64 {
        match self.log_ends.lock().unwrap().get(&topic_id(topic)) {
            Some(log_end) => log_end.get(partition as usize).map_or(0, |o| o.load(Ordering::Relaxed)),
            None => self.end_offset,
        }
    }

    fn list_offsets(&self, req: ListOffsetsRequest) -> ListOffsetsResponse {
        ListOffsetsResponse::default().with_topics(
            req.topics
                .into_iter()
                .map(|t| {
                    ListOffsetsTopicResponse::default().with_name(t.name.clone()).with_partitions(
                        t.partitions
                            .into_iter()
                            .map(|p| {
                                ListOffsetsPartitionResponse::default()
                                    .with_partition_index(p.partition_index)
                                    .with_timestamp(-1)
                                    .with_offset(if p.timestamp == -1 { self.end_offset(&t.name, p.partition_index) } else { 0 })
                            })
                            .collect(),
                    )
                })
                .collect(),
        )
    }

    /// `cache` holds, per partition, as many copies of the batch as fit in SERVE.
    fn fetch(&self, req: FetchRequest, cache: &mut HashMap<i32, BytesMut>) -> FetchResponse {
        let blen = self.batch.len();
        let copies = (SERVE / blen).max(1);
        let mut room = req.max_bytes.max(blen as i32) as usize;
        FetchResponse::default().with_responses(
            req.topics
                .into_iter()
                .map(|t| {
                    FetchableTopicResponse::default().with_topic(t.topic).with_topic_id(t.topic_id).with_partitions(
                        t.partitions
                            .into_iter()
                            .map(|p| {
                                let left = ((self.end_offset - p.fetch_offset).max(0) / self.batch_records) as usize;
                                let k = copies.min((p.partition_max_bytes as usize / blen).max(1)).min(left).min(room / blen);
                                room -= k * blen;
                                let mut buf = cache.remove(&p.partition).unwrap_or_default();
                                while buf.len() < k * blen {
                                    buf.extend_from_slice(&self.batch);
                                }
                                let base = p.fetch_offset - p.fetch_offset % self.batch_records;
                                for i in 0..k {
                                    let o = base + i as i64 * self.batch_records;
                                    buf[i * blen..i * blen + 8].copy_from_slice(&o.to_be_bytes());
                                }
                                buf.truncate(k * blen);
                                PartitionData::default()
                                    .with_partition_index(p.partition)
                                    .with_high_watermark(self.end_offset)
                                    .with_last_stable_offset(self.end_offset)
                                    .with_log_start_offset(0)
                                    .with_preferred_read_replica(BrokerId(-1))
                                    .with_aborted_transactions(None)
                                    .with_records(Some(buf.freeze()))
                            })
                            .collect(),
                    )
                })
                .collect(),
        )
    }

    fn serve(&self, mut s: TcpStream) -> Result<()> {
        s.set_nodelay(true)?;
        let mut frame = BytesMut::new();
        let mut out = BytesMut::new();
        let mut cache: HashMap<i32, BytesMut> = HashMap::new();
        loop {
            let mut len = [0u8; 4];
            if s.read_exact(&mut len).is_err() {
                return Ok(());
            }
            frame.resize(u32::from_be_bytes(len) as usize, 0);
            s.read_exact(&mut frame)?;
            let mut b: Bytes = frame.freeze();
            if b.len() < 8 {
                bail!("short frame");
            }
            let (k, v) = (i16::from_be_bytes([b[0], b[1]]), i16::from_be_bytes([b[2], b[3]]));
            let key = ApiKey::try_from(k).map_err(|_| anyhow!("api key {k}"))?;
            let (_, lo, hi) = *APIS.iter().find(|a| a.0 == key).ok_or_else(|| anyhow!("{key:?} is not served"))?;
            let whole = b.clone();
            out.clear();
            out.extend_from_slice(&[0; 4]);
            if key == ApiKey::ApiVersions && !(lo..=hi).contains(&v) {
                // 35 is UNSUPPORTED_VERSION, answered as version 0.
                let id = (&b[4..8]).get_i32();
                ResponseHeader::default().with_correlation_id(id).encode(&mut out, 0)?;
                self.api_versions().with_error_code(35).encode(&mut out, 0)?;
            } else {
                if !(lo..=hi).contains(&v) {
                    bail!("{key:?} v{v} is not served");
                }
                let h = RequestHeader::decode(&mut b, key.request_header_version(v))?;
                ResponseHeader::default().with_correlation_id(h.correlation_id).encode(&mut out, key.response_header_version(v))?;
                match key {
                    ApiKey::ApiVersions => self.api_versions().encode(&mut out, v)?,
                    ApiKey::Metadata => self.metadata(MetadataRequest::decode(&mut b, v)?).encode(&mut out, v)?,
                    ApiKey::InitProducerId => InitProducerIdResponse::default()
                        .with_producer_id(ProducerId(self.next_pid.fetch_add(1, Ordering::Relaxed)))
                        .with_producer_epoch(0)
                        .encode(&mut out, v)?,
                    ApiKey::FindCoordinator => find_coordinator(FindCoordinatorRequest::decode(&mut b, v)?, v).encode(&mut out, v)?,
                    ApiKey::ListOffsets => self.list_offsets(ListOffsetsRequest::decode(&mut b, v)?).encode(&mut out, v)?,
                    ApiKey::Produce => {
                        let req = ProduceRequest::decode(&mut b, v)?;
                        let resp = self.produce(&req);
                        if req.acks == 0 {
                            out.clear();
                        } else {
                            resp.encode(&mut out, v)?;
                        }
                    }
                    ApiKey::Fetch => {
                        let resp = self.fetch(FetchRequest::decode(&mut b, v)?, &mut cache);
                        resp.encode(&mut out, v)?;
                        for p in resp.responses.into_iter().flat_map(|t| t.partitions) {
                            if let Some(Ok(m)) = p.records.map(|r| r.try_into_mut()) {
                                cache.insert(p.partition_index, m);
                            }
                        }
                    }
                    _ => unreachable!(),
                }
            }
            if !out.is_empty() {
                let n = (out.len() - 4) as u32;
                out[..4].copy_from_slice(&n.to_be_bytes());
                s.write_all(&out)?;
            }
            drop(b);
            // The same memory again, unless a part of the request is still held.
            frame = whole.try_into_mut().unwrap_or_default();
        }
    }
}

fn main() -> Result<()> {
    let mut opt = HashMap::new();
    let mut it = std::env::args().skip(1);
    while let Some(k) = it.next() {
        let v = it.next().ok_or_else(|| anyhow!("{k} needs a value"))?;
        opt.insert(k.trim_start_matches("--").to_string(), v);
    }
    let num = |k: &str, d: i64| -> Result<i64> { Ok(opt.get(k).map_or(Ok(d), |v| v.parse())?) };
    let (port, partitions) = (num("port", 19092)?, num("partitions", 6)? as i32);
    let (batch, batch_records) = build_batch(&opt)?;
    let broker = Arc::new(Broker {
        host: StrBytes::from_string(opt.get("advertised-host").cloned().unwrap_or_else(|| "127.0.0.1".into())),
        port: port as i32,
        partitions,
        end_offset: num("end-offset", 1 << 40)?,
        batch_records,
        log_ends: Mutex::default(),
        next_pid: AtomicI64::new(1),
        batch,
    });
    let l = TcpListener::bind(("127.0.0.1", port as u16))?;
    println!(
        "discard-broker on 127.0.0.1:{port}: {partitions} partitions, batch of {batch_records} records in {} bytes",
        broker.batch.len()
    );
    for s in l.incoming() {
        let (s, b) = (s?, broker.clone());
        std::thread::spawn(move || {
            if let Err(e) = b.serve(s) {
                eprintln!("connection: {e:#}");
            }
        });
    }
    Ok(())
}
