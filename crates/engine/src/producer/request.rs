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
pub(super) const VERSION_NAMES_MAX: i16 = 12;

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::request::RequestIds;

    fn batch(bytes: usize) -> BatchParts {
        BatchParts { head: Bytes::new(), body: Bytes::from(vec![0; bytes]) }
    }

    fn request(builder: ProduceBuilder, settings: &Settings) -> (ProduceRequest, Outbound) {
        let id = RequestIds::default().deal();
        let outbound = builder.finish(id, NodeId::new(1), settings);
        let Request::Produce(body) = &outbound.body else { panic!("{outbound:?}") };
        (body.clone(), outbound)
    }

    /// 1 would be an acknowledgement that a leader's death takes back.
    #[test]
    fn what_was_set_stands_in_the_request() {
        for (acks, wire) in [(Acks::None, 0), (Acks::Leader, 1), (Acks::All, -1)] {
            let timeout = Duration::from_secs(7);
            let settings = Settings { acks, request_timeout: timeout, ..Settings::default() };
            let (body, outbound) = request(ProduceBuilder::new(), &settings);
            assert_eq!((body.acks, body.timeout_ms), (wire, 7000));
            assert_eq!(outbound.answered, acks != Acks::None, "{acks:?}");
            assert_eq!(body.transactional_id, None);
        }
    }

    #[test]
    fn partitions_of_a_topic_stand_together() {
        let mut builder = ProduceBuilder::new();
        let (a, b) = (ByteString::from("a"), ByteString::from("b"));
        let id = |byte| Some(Uuid::from_bytes([byte; 16]));
        for (name, id, partition) in [(&a, id(1), 0), (&a, id(1), 3), (&b, id(2), 0)] {
            builder.push(name, id, partition, batch(10));
        }
        let (body, outbound) = request(builder, &Settings::default());
        let indexes = |topic: &TopicProduceData| {
            topic.partition_data.iter().map(|data| data.index).collect::<Vec<_>>()
        };
        let topics: Vec<_> = body.topic_data.iter().map(|t| (t.topic_id, indexes(t))).collect();
        assert_eq!(topics, [(id(1).unwrap(), vec![0, 3]), (id(2).unwrap(), vec![0])]);
        assert_eq!(outbound.version_max, i16::MAX);
    }

    /// One topic without an id takes the whole request to the versions that go by name.
    #[test]
    fn a_topic_without_an_id_goes_by_name() {
        let mut builder = ProduceBuilder::new();
        builder.push(&ByteString::from("a"), Some(Uuid::from_bytes([1; 16])), 0, batch(10));
        builder.push(&ByteString::from("b"), None, 0, batch(10));
        assert_eq!(request(builder, &Settings::default()).1.version_max, 12);
    }

    /// Whichever of them comes first.
    #[test]
    fn a_topic_with_an_id_does_not_take_it_to_newer_versions() {
        let mut builder = ProduceBuilder::new();
        builder.push(&ByteString::from("a"), None, 0, batch(10));
        builder.push(&ByteString::from("b"), Some(Uuid::from_bytes([1; 16])), 0, batch(10));
        assert_eq!(request(builder, &Settings::default()).1.version_max, 12);
    }

    /// KIP-110: brokers refuse zstd below version 7.
    #[test]
    fn only_zstd_needs_a_newer_version() {
        for kind in CompressionType::ALL {
            let transactional_id = Some("x".to_owned());
            let compression = kind.into();
            let settings = Settings { compression, transactional_id, ..Settings::default() };
            let (body, outbound) = request(ProduceBuilder::new(), &settings);
            let expected = if kind == CompressionType::Zstd { 7 } else { 3 };
            assert_eq!(outbound.version_min, expected, "{kind}");
            assert_eq!(body.transactional_id.as_deref(), Some("x"));
        }
    }

    /// Longer than the field can say is as long as it can say.
    #[test]
    fn an_id_is_asked_for_as_java_asks() {
        let timeout = Duration::from_secs(7);
        let outbound = init_producer_id(RequestIds::default().deal(), timeout);
        let Request::InitProducerId(body) = &outbound.body else { panic!("{outbound:?}") };
        assert_eq!((body.transaction_timeout_ms, body.producer_id), (i32::MAX, -1));
        assert_eq!((&body.transactional_id, outbound.target), (&None, Target::Any));
        assert_eq!((millis(timeout), millis(Duration::MAX)), (7000, i32::MAX));
    }

    /// A first batch always fits: it would never be sent otherwise.
    #[test]
    fn a_request_is_filled_up_to_its_limit() {
        let mut builder = ProduceBuilder::new();
        assert!(builder.fits(1_000_000, 1000));
        builder.push(&ByteString::from("t"), None, 0, batch(500));
        let taken = REQUEST_BYTES + 500 + PARTITION_BYTES + 1;
        let left = 1000 - taken - PARTITION_BYTES;
        assert!(builder.fits(left, 1000) && !builder.fits(left + 1, 1000));
    }
}
