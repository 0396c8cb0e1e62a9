//! A cluster of brokers that stores batches by Kafka's rules for sequences, and remembers all it did.

use std::collections::{BTreeMap, VecDeque};

use milena_records::{Decompressor, RecordSet};
use milena_types::{ErrorCode, NodeId, Uuid};
use milena_wire::ByteString;
use milena_wire::messages::produce_request::ProduceRequest;
use milena_wire::messages::produce_response::{
    BatchIndexAndErrorMessage, LeaderIdAndEpoch, NodeEndpoint, PartitionProduceResponse,
    ProduceResponse, TopicProduceResponse,
};

/// What happens to one Produce request, or to one of its partitions.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Fault {
    /// The broker refuses each batch without storing it.
    Refuse(ErrorCode),
    /// The broker stores each batch and answers with an error all the same.
    StoreAndRefuse(ErrorCode),
    /// The connection dies before the broker reads the request.
    LoseRequest,
    /// The connection dies after the broker stored the request.
    LoseAnswer,
    /// No connection can be made.
    Unreachable,
    /// The connection is given up; the broker reads what was sent all the same, this much later.
    ReadLate(u64),
    /// The broker refuses the record at this index of each batch, with the KIP-467 detail.
    RefuseRecord(i32),
    /// The answer leaves the partitions out.
    Garble,
    /// The broker answers and asks for this many milliseconds of silence.
    Throttle(i32),
}

/// Producer id, epoch and base sequence.
pub(super) type Stamp = (i64, i16, i32);

/// A batch that was stored.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Stored {
    pub(super) producer: Option<Stamp>,
    pub(super) values: Vec<u64>,
}

#[derive(Debug)]
pub(super) struct PartitionLog {
    pub(super) leader: NodeId,
    pub(super) epoch: i32,
    pub(super) batches: Vec<Stored>,
    pub(super) batch_bytes_max: usize,
    records: i64,
    producers: BTreeMap<i64, ProducerState>,
}

#[derive(Debug)]
struct ProducerState {
    epoch: i16,
    /// Base sequence, last sequence, base offset.
    batches: VecDeque<(i32, i32, i64)>,
}

#[derive(Debug)]
pub(super) struct Brokers {
    pub(super) topic_id: Option<Uuid>,
    pub(super) partitions: Vec<PartitionLog>,
    pub(super) gives_hints: bool,
    pub(super) next_producer_id: i64,
    /// Every batch that came: its partition, its stamp, and what was made of it.
    pub(super) seen: Vec<(i32, Option<Stamp>, ErrorCode)>,
}

impl Brokers {
    pub(super) fn new(partitions: usize, nodes: i32) -> Self {
        let log = |index: usize| PartitionLog {
            leader: NodeId::new(index as i32 % nodes),
            epoch: 0,
            batches: Vec::new(),
            batch_bytes_max: usize::MAX,
            records: 0,
            producers: BTreeMap::new(),
        };
        Self {
            topic_id: Some(Uuid::from_bytes([1; 16])),
            partitions: (0..partitions).map(log).collect(),
            gives_hints: false,
            next_producer_id: 1000,
            seen: Vec::new(),
        }
    }

    pub(super) fn values(&self, partition: usize) -> Vec<u64> {
        let batches = self.partitions[partition].batches.iter();
        batches.flat_map(|batch| batch.values.iter().copied()).collect()
    }

    /// The topic is deleted and made anew.
    pub(super) fn recreate(&mut self) {
        self.topic_id = Some(Uuid::from_bytes([2; 16]));
        for log in &mut self.partitions {
            *log = PartitionLog { leader: log.leader, ..Brokers::new(1, 1).partitions.remove(0) };
        }
    }

    pub(super) fn produce(
        &mut self,
        node: NodeId,
        request: &ProduceRequest,
        fault: Option<Fault>,
    ) -> ProduceResponse {
        let mut response = ProduceResponse::default();
        for topic in &request.topic_data {
            let is_current = self.topic_id.is_none_or(|id| id == topic.topic_id);
            let mut partitions = Vec::new();
            for data in &topic.partition_data {
                let bytes = data.records.clone().expect("records").into_bytes();
                let answer = if is_current {
                    self.append(node, data.index, bytes, fault)
                } else {
                    let error_code = ErrorCode::UNKNOWN_TOPIC_ID;
                    PartitionProduceResponse { error_code, ..Default::default() }
                };
                partitions.push(PartitionProduceResponse { index: data.index, ..answer });
            }
            // Versions with ids leave the name out.
            let name = if self.topic_id.is_some() { "".into() } else { topic.name.clone() };
            response.responses.push(TopicProduceResponse {
                name,
                topic_id: topic.topic_id,
                partition_responses: partitions,
            });
        }
        match fault {
            Some(Fault::Garble) => response.responses.clear(),
            Some(Fault::Throttle(ms)) => response.throttle_time_ms = ms,
            _ => {}
        }
        if self.gives_hints {
            for node in 0..3 {
                let (node_id, port, rack) = (node, 9092, None);
                let host = ByteString::from("broker");
                response.node_endpoints.push(NodeEndpoint { node_id, host, port, rack });
            }
        }
        response
    }

    fn append(
        &mut self,
        node: NodeId,
        index: i32,
        bytes: bytes::Bytes,
        fault: Option<Fault>,
    ) -> PartitionProduceResponse {
        let gives_hints = self.gives_hints;
        let log = &mut self.partitions[index as usize];
        let size = bytes.len();
        let mut set = RecordSet::new(bytes);
        let batch = set.next().expect("a batch").expect("a sound batch");
        assert!(set.next().is_none(), "one batch a partition");
        let decoded = batch.decode(&mut Decompressor::default()).expect("records");
        let values: Vec<u64> = decoded
            .iter()
            .map(|record| {
                let value = record.expect("a record").value().expect("a value");
                u64::from_be_bytes(*value.first_chunk().expect("8 bytes"))
            })
            .collect();
        let producer = batch.header().expect("format 2").producer().map(|stamp| {
            let base = stamp.base_sequence.expect("a sequence").get();
            (stamp.producer_id.get(), stamp.producer_epoch.get(), base)
        });
        let mut answer = PartitionProduceResponse { base_offset: -1, ..Default::default() };
        answer.error_code = if log.leader != node {
            if gives_hints {
                let (leader_id, leader_epoch) = (log.leader.get(), log.epoch);
                answer.current_leader = LeaderIdAndEpoch { leader_id, leader_epoch };
            }
            ErrorCode::NOT_LEADER_OR_FOLLOWER
        } else if let Some(Fault::Refuse(code)) = fault {
            code
        } else if let Some(Fault::RefuseRecord(index)) = fault {
            answer.record_errors.push(BatchIndexAndErrorMessage {
                batch_index: index,
                batch_index_error_message: Some("bad record".into()),
            });
            ErrorCode::INVALID_RECORD
        } else if size > log.batch_bytes_max {
            ErrorCode::MESSAGE_TOO_LARGE
        } else {
            match log.store(producer, values) {
                Ok(offset) => {
                    answer.base_offset = offset;
                    ErrorCode::NONE
                }
                Err(code) => code,
            }
        };
        if let (Some(Fault::StoreAndRefuse(code)), false) = (fault, answer.error_code.is_error()) {
            answer.error_code = code;
        }
        answer.log_append_time_ms = -1;
        answer.log_start_offset = 0;
        self.seen.push((index, producer, answer.error_code));
        answer
    }
}

impl PartitionLog {
    /// Kafka forgets producers that were silent for long, or whose records are gone.
    pub(super) fn forget_producers(&mut self) {
        self.producers.clear();
    }

    /// As `ProducerAppendInfo.checkSequence` and `findDuplicateBatch` do.
    fn store(&mut self, producer: Option<Stamp>, values: Vec<u64>) -> Result<i64, ErrorCode> {
        let offset = self.records;
        let count = values.len() as i32;
        if let Some((id, epoch, base)) = producer {
            let last = ((i64::from(base) + i64::from(count) - 1) % (1 << 31)) as i32;
            if let Some(state) = self.producers.get_mut(&id) {
                if epoch < state.epoch {
                    return Err(ErrorCode::INVALID_PRODUCER_EPOCH);
                }
                if epoch > state.epoch {
                    if base != 0 {
                        return Err(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER);
                    }
                    state.batches.clear();
                    state.epoch = epoch;
                } else {
                    let known = state.batches.iter().find(|b| (b.0, b.1) == (base, last));
                    if let Some(&(_, _, offset)) = known {
                        return Ok(offset);
                    }
                    let next =
                        state.batches.back().map(|b| if b.1 == i32::MAX { 0 } else { b.1 + 1 });
                    if next.is_some_and(|next| next != base) {
                        return Err(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER);
                    }
                }
            }
            // A producer that is not known may begin anywhere.
            let state = self
                .producers
                .entry(id)
                .or_insert_with(|| ProducerState { epoch, batches: VecDeque::new() });
            state.batches.push_back((base, last, offset));
            if state.batches.len() > 5 {
                state.batches.pop_front();
            }
        }
        self.records += i64::from(count);
        self.batches.push(Stored { producer, values });
        Ok(offset)
    }
}
