//! The requests of a producer.

use std::time::Duration;

use milena_records::{BatchParts, CompressionType};
use milena_types::{NodeId, Uuid};
use milena_wire::messages::InitProducerIdRequest;
use milena_wire::messages::produce_request::{
    PartitionProduceData, ProduceRequest, TopicProduceData,
};
use milena_wire::{ByteString, Records, Request};

use super::settings::{Acks, Settings};
use crate::request::{Lane, Outbound, RequestId, Target};

/// A Produce request that is being filled.
#[derive(Debug)]
pub(super) struct ProduceBuilder {
    topics: Vec<TopicProduceData>,
    bytes: usize,
    has_every_id: bool,
}

impl ProduceBuilder {
    pub(super) fn new() -> Self {
        Self { topics: Vec::new(), bytes: REQUEST_BYTES, has_every_id: true }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.topics.is_empty()
    }

    /// Whether a batch of `bytes` still fits; the first one always does.
    pub(super) fn fits(&self, bytes: usize, bytes_max: usize) -> bool {
        self.is_empty() || self.bytes + bytes + PARTITION_BYTES <= bytes_max
    }

    /// Adds the batch of a partition.
    pub(super) fn push(
        &mut self,
        name: &ByteString,
        id: Option<Uuid>,
        partition: i32,
        parts: BatchParts,
    ) {
        self.bytes += parts.len() + PARTITION_BYTES;
        self.has_every_id &= id.is_some();
        let records = Records { head: parts.head, body: parts.body };
        let data = PartitionProduceData { index: partition, records: Some(records) };
        // Partitions of one topic mostly follow each other; a topic may stand in a request twice.
        match self.topics.last_mut().filter(|topic| topic.name == *name) {
            Some(topic) => topic.partition_data.push(data),
            None => {
                let topic_id = id.unwrap_or(Uuid::ZERO);
                self.bytes += name.len();
                let partition_data = vec![data];
                self.topics.push(TopicProduceData { name: name.clone(), topic_id, partition_data });
            }
        }
    }

    /// The request, to `node`.
    pub(super) fn finish(self, id: RequestId, node: NodeId, settings: &Settings) -> Outbound {
        let timeout = settings.request_timeout;
        let request = ProduceRequest {
            transactional_id: settings.transactional_id.as_deref().map(ByteString::from),
            acks: settings.acks.to_wire(),
            timeout_ms: millis(timeout),
            topic_data: self.topics,
        };
        let body = Request::Produce(request);
        let mut outbound = Outbound::new(id, Target::Broker(node), Lane::Produce, timeout, body);
        outbound.answered = settings.acks != Acks::None;
        outbound.version_min = match settings.compression.kind() {
            CompressionType::Zstd => VERSION_ZSTD,
            CompressionType::None
            | CompressionType::Gzip
            | CompressionType::Snappy
            | CompressionType::Lz4 => VERSION_MIN,
        };
        if !self.has_every_id {
            outbound.version_max = VERSION_NAMES_MAX;
        }
        outbound
    }
}

/// An InitProducerId for a producer without transactions.
pub(super) fn init_producer_id(id: RequestId, timeout: Duration) -> Outbound {
    let request = InitProducerIdRequest {
        transactional_id: None,
        // Means nothing without transactions; Java sends this.
        transaction_timeout_ms: i32::MAX,
        ..InitProducerIdRequest::default()
    };
    let body = Request::InitProducerId(request);
    Outbound::new(id, Target::Any, Lane::Control, timeout, body)
}

fn millis(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}

/// Header and fixed fields of a request, rounded up.
const REQUEST_BYTES: usize = 128;

/// Index, length and tags of a partition, rounded up.
const PARTITION_BYTES: usize = 24;

/// Record batches of format 2 (KIP-896 drops what is older).
const VERSION_MIN: i16 = 3;

/// Below, brokers refuse zstd (KIP-110).
const VERSION_ZSTD: i16 = 7;

/// Above, topics go by id only (KIP-516).
const VERSION_NAMES_MAX: i16 = 12;
