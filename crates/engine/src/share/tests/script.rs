//! One share consumer, and the answers that a test gives to it.
#![allow(clippy::wildcard_enum_match_arm, reason = "it speaks what a share consumer needs")]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use fastrand::Rng;
use milena_records::{BatchBuilder, Buffer, Compression, Compressor, Limits};
use milena_types::{ErrorCode, LeaderEpoch, NodeId, Offset, Timestamp, Topic, Uuid};
use milena_wire::messages::find_coordinator_response::Coordinator;
use milena_wire::messages::share_acknowledge_response as acknowledged;
use milena_wire::messages::share_fetch_response as fetched;
use milena_wire::messages::share_group_heartbeat_response::{Assignment, TopicPartitions};
use milena_wire::messages::{
    FindCoordinatorResponse, ShareAcknowledgeRequest, ShareAcknowledgeResponse, ShareFetchRequest,
    ShareFetchResponse, ShareGroupHeartbeatRequest, ShareGroupHeartbeatResponse,
};
use milena_wire::{Records, Request, Response};

use crate::error::Error;
use crate::metadata::{Broker, Cluster, PartitionMetadata, TopicMetadata};
use crate::request::{Answer, Failure, Outbound, Target};
use crate::share::settings::AcknowledgementMode;
use crate::share::{
    Acknowledge, Acknowledgement, CommitId, Delivered, Output, Settings, ShareBuffer,
    ShareConsumer, ShareReader,
};

pub(super) struct Script {
    pub(super) now: Instant,
    pub(super) machine: ShareConsumer,
    pub(super) buffer: Arc<ShareBuffer>,
    reader: ShareReader,
    /// Requests that were not looked at.
    requests: VecDeque<Outbound>,
    /// The request that was looked at last.
    last: Option<Outbound>,
    heartbeat: Option<Outbound>,
    told: Vec<Acknowledgement>,
    committed: BTreeMap<CommitId, bool>,
    closed: Option<bool>,
    hints: usize,
    /// How often the metadata was found to be stale.
    pub(super) refreshes: usize,
    /// The topics whose metadata is asked for.
    pub(super) topics: BTreeSet<Topic>,
    /// How long brokers lock records, as they say themselves.
    pub(super) lock_ms: i32,
    leaders: BTreeMap<i32, (i32, i32)>,
}

/// What a fetch brings of a partition: bytes, and ranges with their delivery count.
type Brought<'a> = (i32, Vec<u8>, &'a [(i64, i64, i16)]);

/// What a request says: partition, first and last offset, type.
pub(super) fn said(request: &Request) -> Vec<(i32, i64, i64, i8)> {
    let mut said = Vec::new();
    match request {
        Request::ShareFetch(request) => {
            for partition in request.topics.iter().flat_map(|topic| &topic.partitions) {
                said.extend(partition.acknowledgement_batches.iter().map(|batch| {
                    let index = partition.partition_index;
                    (index, batch.first_offset, batch.last_offset, batch.acknowledge_types[0])
                }));
            }
        }
        Request::ShareAcknowledge(request) => {
            for partition in request.topics.iter().flat_map(|topic| &topic.partitions) {
                said.extend(partition.acknowledgement_batches.iter().map(|batch| {
                    let index = partition.partition_index;
                    (index, batch.first_offset, batch.last_offset, batch.acknowledge_types[0])
                }));
            }
        }
        other => panic!("{other:?}"),
    }
    said
}

impl Script {
    /// A consumer of nothing that acknowledges by hand.
    #[expect(clippy::disallowed_methods, reason = "any instant will do as the start of time")]
    pub(super) fn idle(change: impl FnOnce(&mut Settings)) -> Self {
        let now = Instant::now();
        let mut settings = Settings::new("g");
        settings.acknowledgement_mode = AcknowledgementMode::Explicit;
        change(&mut settings);
        let machine = ShareConsumer::new(settings, Rng::with_seed(1));
        let buffer = Arc::clone(machine.buffer());
        let reader = ShareReader::new(Arc::clone(&buffer), true, Limits::default());
        let mut script = Self {
            now,
            machine,
            buffer,
            reader,
            requests: VecDeque::new(),
            last: None,
            heartbeat: None,
            told: Vec::new(),
            committed: BTreeMap::new(),
            closed: None,
            hints: 0,
            refreshes: 0,
            topics: BTreeSet::new(),
            lock_ms: 30_000,
            leaders: BTreeMap::from([(0, (1, 1)), (1, (2, 1))]),
        };
        script.machine.handle_cluster(now, script.cluster());
        script.drain();
        script
    }

    /// The same, of topic `jobs`, whose coordinator is found.
    pub(super) fn new(change: impl FnOnce(&mut Settings)) -> Self {
        let mut script = Self::idle(change);
        script.machine.subscribe(script.now, [Topic::from("jobs")].into()).unwrap();
        script.drain();
        let lookup = script.requests.pop_front().unwrap();
        let found = Coordinator {
            key: "g".into(),
            node_id: 1,
            host: "one".into(),
            port: 9092,
            ..Coordinator::default()
        };
        let answer = FindCoordinatorResponse { coordinators: vec![found], ..Default::default() };
        script.answer(&lookup, Ok(answer.into()));
        script
    }

    /// The same, a member with these partitions.
    pub(super) fn joined(partitions: &[i32]) -> Self {
        let mut script = Self::new(|_| {});
        script.settle(partitions);
        script
    }

    pub(super) fn settle(&mut self, partitions: &[i32]) {
        let _ = self.heartbeat();
        self.assign(partitions);
    }

    fn cluster(&self) -> Arc<Cluster> {
        let brokers = [(1, "one"), (2, "two")]
            .map(|(id, host)| Broker::new(NodeId::from_wire(id).unwrap(), host, 9092));
        let partitions = self.leaders.iter().map(|(&index, &(leader, epoch))| {
            let epoch = LeaderEpoch::from_wire(epoch);
            PartitionMetadata::new(index, NodeId::from_wire(leader), epoch)
        });
        let jobs = TopicMetadata::new("jobs", Some(topic_id()), partitions.collect::<Vec<_>>());
        Arc::new(Cluster::new(brokers, [jobs]))
    }

    /// Time goes by, and the machine is woken when it asked to be.
    pub(super) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        let mut wakes = 0;
        while let Some(at) = self.machine.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.machine.handle_timeout(self.now);
            self.drain();
            wakes += 1;
            assert!(wakes < 1000, "it asks to be woken for nothing");
        }
        self.now = end;
    }

    pub(super) fn stir(&mut self) {
        let mut cx = Context::from_waker(Waker::noop());
        if self.buffer.poll_stirred(&mut cx).is_ready() {
            self.machine.handle_buffer(self.now);
        }
        self.drain();
    }

    /// The user waits for records.
    pub(super) fn want(&mut self) {
        let mut cx = Context::from_waker(Waker::noop());
        assert!(self.buffer.poll_ready(&mut cx).is_pending());
        self.stir();
    }

    pub(super) fn heartbeat(&mut self) -> ShareGroupHeartbeatRequest {
        self.drain();
        let is_beat = |one: &Outbound| matches!(one.body, Request::ShareGroupHeartbeat(_));
        let place = self.requests.iter().position(is_beat).expect("a heartbeat");
        let outbound = self.requests.remove(place).unwrap();
        let Request::ShareGroupHeartbeat(request) = outbound.body.clone() else { unreachable!() };
        self.heartbeat = Some(outbound);
        request
    }

    /// Whether a heartbeat is on its way.
    pub(super) fn beats(&self) -> bool {
        self.requests.iter().any(|one| matches!(one.body, Request::ShareGroupHeartbeat(_)))
    }

    pub(super) fn answer_heartbeat(&mut self, code: ErrorCode, partitions: Option<&[i32]>) {
        let assignment = partitions.map(|partitions| Assignment {
            topic_partitions: vec![TopicPartitions {
                topic_id: topic_id(),
                partitions: partitions.to_vec(),
            }],
        });
        let answer = ShareGroupHeartbeatResponse {
            error_code: code,
            member_epoch: 1,
            heartbeat_interval_ms: 5000,
            assignment,
            ..Default::default()
        };
        let beat = self.heartbeat.take().expect("a heartbeat");
        self.answer(&beat, Ok(answer.into()));
    }

    /// The heartbeat comes to nothing; where the metadata does not know whom it is for, it is not even sent.
    pub(super) fn fail_heartbeat(&mut self, failure: Failure) {
        let beat = self.heartbeat.take().expect("a heartbeat");
        let answer = Answer::new(beat.id, None, 0, self.now, Err(failure));
        self.machine.handle_answer(self.now, answer);
        self.drain();
    }

    /// Whether the coordinator is asked for.
    pub(super) fn looks_for_the_coordinator(&self) -> bool {
        self.requests.iter().any(|one| matches!(one.body, Request::FindCoordinator(_)))
    }

    pub(super) fn assign(&mut self, partitions: &[i32]) {
        self.answer_heartbeat(ErrorCode::NONE, Some(partitions));
    }

    /// The next request to the session of `broker`.
    pub(super) fn take(&mut self, broker: i32) -> Option<Request> {
        self.stir();
        let to = Target::Broker(NodeId::from_wire(broker).unwrap());
        let of_session = |one: &Outbound| {
            let speaks = matches!(one.body, Request::ShareFetch(_) | Request::ShareAcknowledge(_));
            speaks && one.target == to
        };
        let place = self.requests.iter().position(of_session)?;
        let outbound = self.requests.remove(place)?;
        let body = outbound.body.clone();
        self.last = Some(outbound);
        Some(body)
    }

    pub(super) fn fetch(&mut self, broker: i32) -> ShareFetchRequest {
        match self.take(broker) {
            Some(Request::ShareFetch(request)) => request,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn acknowledge(&mut self, broker: i32) -> ShareAcknowledgeRequest {
        match self.take(broker) {
            Some(Request::ShareAcknowledge(request)) => request,
            other => panic!("{other:?}"),
        }
    }

    /// The fetch brings records whose values are their offsets, of one batch.
    pub(super) fn acquire(&mut self, partition: i32, ranges: &[(i64, i64, i16)]) {
        let records = batch(0..100, false);
        self.answer_fetch(&[(partition, records, ranges)]);
    }

    /// Batches of offsets 0 to 2 and 5 to 7.
    pub(super) fn acquire_sparse(&mut self, ranges: &[(i64, i64, i16)]) {
        let records = [batch(0..3, false), batch(5..8, false)].concat();
        self.answer_fetch(&[(0, records, ranges)]);
    }

    /// Offsets 0 to 2, and the first `shown` bytes of a batch that begins at `next`.
    pub(super) fn acquire_cut_off(&mut self, next: i64, shown: usize, ranges: &[(i64, i64, i16)]) {
        let records = [&batch(0..3, false)[..], &batch(next..next + 9, false)[..shown]].concat();
        self.answer_fetch(&[(0, records, ranges)]);
    }

    /// Offsets 0 to 2 and 5 to 7, the second batch damaged.
    pub(super) fn acquire_damaged(&mut self, ranges: &[(i64, i64, i16)]) {
        let records = [batch(0..3, false), batch(5..8, true)].concat();
        self.answer_fetch(&[(0, records, ranges)]);
    }

    /// Offsets 0 to 2 with this bit flipped, and 5 to 7.
    pub(super) fn acquire_flipped(&mut self, bit: usize, ranges: &[(i64, i64, i16)]) {
        let mut flipped = batch(0..3, false);
        flipped[bit / 8] ^= 1 << (bit % 8);
        let records = [flipped, batch(5..8, false)].concat();
        self.answer_fetch(&[(0, records, ranges)]);
    }

    /// The bits that the checksum covers, behind itself.
    pub(super) fn covered_bits() -> Range<usize> {
        21 * 8..batch(0..3, false).len() * 8
    }

    pub(super) fn answer_fetch(&mut self, partitions: &[Brought<'_>]) {
        let outbound = self.last.take().expect("a fetch");
        let mut data: BTreeMap<i32, fetched::PartitionData> = BTreeMap::new();
        for (index, ..) in said(&outbound.body) {
            data.entry(index).or_default().partition_index = index;
        }
        for (index, records, ranges) in partitions {
            let place = data.entry(*index).or_default();
            place.partition_index = *index;
            place.records = Records::from(bytes::Bytes::from(records.clone()));
            place.acquired_records = ranges
                .iter()
                .map(|&(first_offset, last_offset, delivery_count)| fetched::AcquiredRecords {
                    first_offset,
                    last_offset,
                    delivery_count,
                })
                .collect();
        }
        self.answer_with(&outbound, data.into_values().collect(), ErrorCode::NONE);
    }

    pub(super) fn refuse_fetch(&mut self, code: ErrorCode) {
        let outbound = self.last.take().expect("a fetch");
        self.answer_with(&outbound, Vec::new(), code);
    }

    /// The fetch is told that `partition` is led by another.
    pub(super) fn moved(&mut self, partition: i32, leader: i32) {
        let outbound = self.last.take().expect("a fetch");
        let current_leader = fetched::LeaderIdAndEpoch { leader_id: leader, leader_epoch: 2 };
        let data = fetched::PartitionData {
            partition_index: partition,
            error_code: ErrorCode::NOT_LEADER_OR_FOLLOWER,
            current_leader,
            ..Default::default()
        };
        self.answer_with(&outbound, vec![data], ErrorCode::NONE);
    }

    /// The metadata says so too.
    pub(super) fn lead(&mut self, partition: i32, leader: i32) {
        self.leaders.insert(partition, (leader, 2));
        self.machine.handle_cluster(self.now, self.cluster());
        self.drain();
    }

    fn answer_with(
        &mut self,
        outbound: &Outbound,
        partitions: Vec<fetched::PartitionData>,
        error_code: ErrorCode,
    ) {
        let topic = fetched::ShareFetchableTopicResponse { topic_id: topic_id(), partitions };
        let answer = ShareFetchResponse {
            error_code,
            acquisition_lock_timeout_ms: self.lock_ms,
            responses: vec![topic],
            ..Default::default()
        };
        self.answer(outbound, Ok(answer.into()));
    }

    pub(super) fn answer_acknowledge(&mut self, codes: &[(i32, ErrorCode)]) {
        let outbound = self.last.take().expect("acknowledgements");
        let partitions = codes.iter().map(|&(partition_index, error_code)| {
            acknowledged::PartitionData { partition_index, error_code, ..Default::default() }
        });
        let topic = acknowledged::ShareAcknowledgeTopicResponse {
            topic_id: topic_id(),
            partitions: partitions.collect(),
        };
        let answer = ShareAcknowledgeResponse {
            acquisition_lock_timeout_ms: self.lock_ms,
            responses: vec![topic],
            ..Default::default()
        };
        self.answer(&outbound, Ok(answer.into()));
    }

    /// The request that was looked at last comes to nothing.
    pub(super) fn fail(&mut self, failure: Failure) {
        let outbound = self.last.take().expect("a request");
        self.answer(&outbound, Err(failure));
    }

    fn answer(&mut self, outbound: &Outbound, result: Result<Response, Failure>) {
        let broker = match outbound.target {
            Target::Broker(broker) => Some(broker),
            Target::Any => None,
        };
        let answer = Answer::new(outbound.id, broker, 2, self.now, result.map(Some));
        self.machine.handle_answer(self.now, answer);
        self.drain();
    }

    /// What the user is handed.
    pub(super) fn read(&mut self, count: usize) -> Vec<Delivered> {
        let mut records = Vec::new();
        while records.len() < count
            && let Some(record) = self.reader.poll().unwrap()
        {
            records.push(record);
        }
        records
    }

    pub(super) fn read_to_error(&mut self) -> (Vec<Delivered>, Error) {
        let mut records = Vec::new();
        loop {
            match self.reader.poll() {
                Ok(Some(record)) => records.push(record),
                Ok(None) => panic!("no error"),
                Err(error) => return (records, error),
            }
        }
    }

    /// `count` records of partition 0 in the user's hand.
    pub(super) fn records(&mut self, count: i64) -> Vec<Delivered> {
        self.want();
        let _ = self.fetch(1);
        self.acquire(0, &[(0, count - 1, 1)]);
        self.read(100)
    }

    pub(super) fn say(&mut self, records: &[Delivered], what: Acknowledge) {
        for one in records {
            let offset = one.record.offset();
            self.buffer.acknowledge(one.acquisition, &one.partition, offset, what);
        }
        self.stir();
    }

    pub(super) fn acknowledged(&mut self) -> Vec<Acknowledgement> {
        self.drain();
        std::mem::take(&mut self.told)
    }

    pub(super) fn committed(&mut self, id: CommitId) -> Option<bool> {
        self.drain();
        self.committed.get(&id).copied()
    }

    pub(super) fn closed(&mut self) -> Option<bool> {
        self.drain();
        self.closed
    }

    pub(super) fn hints(&self) -> usize {
        self.hints
    }

    fn drain(&mut self) {
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Request(request) => self.requests.push_back(request),
                Output::Topics(topics) => self.topics = topics,
                Output::RefreshMetadata => self.refreshes += 1,
                Output::LeaderHint(_) => self.hints += 1,
                Output::Acknowledged(told) => self.told.push(told),
                Output::Committed { id, result } => {
                    self.committed.insert(id, result.is_ok());
                }
                Output::Closed { result } => self.closed = Some(result.is_ok()),
            }
        }
    }
}

fn topic_id() -> Uuid {
    Uuid::from_bytes([7; 16])
}

/// One batch of records at these offsets.
fn batch(offsets: Range<i64>, damaged: bool) -> Vec<u8> {
    let mut builder = BatchBuilder::new(Buffer::with_capacity(1024));
    for offset in offsets.clone() {
        let value = offset.to_string();
        builder.append(Timestamp::from_millis(offset), None, Some(value.as_bytes()), []).unwrap();
    }
    let sealed = builder.seal(Compression::NONE, &mut Compressor::new()).unwrap();
    let mut header = *sealed.header();
    header.set_base_offset(Offset::new(offsets.start).unwrap());
    let mut bytes = sealed.with_header(&header).to_bytes().to_vec();
    if damaged {
        let last = bytes.len() - 1;
        bytes[last] ^= 0xff;
    }
    bytes
}
