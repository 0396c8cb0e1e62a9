//! The scripted cluster: what it answers.
#![allow(clippy::wildcard_enum_match_arm, reason = "it speaks what a consumer needs")]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use milena_types::{ErrorCode, LeaderEpoch, NodeId, Topic, TopicPartition, Uuid};
use milena_wire::messages::fetch_response::{
    FetchableTopicResponse, LeaderIdAndEpoch, PartitionData,
};
use milena_wire::messages::find_coordinator_response::Coordinator;
use milena_wire::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use milena_wire::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use milena_wire::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartitions, OffsetFetchResponseTopics,
};
use milena_wire::messages::offset_for_leader_epoch_response::{
    EpochEndOffset, OffsetForLeaderTopicResult,
};
use milena_wire::messages::{
    ConsumerGroupHeartbeatResponse, FetchRequest, FetchResponse, FindCoordinatorResponse,
    LeaveGroupResponse, ListOffsetsResponse, OffsetCommitRequest, OffsetCommitResponse,
    OffsetFetchResponse, OffsetForLeaderEpochResponse,
};
use milena_wire::{Records, Request, Response};

use super::Waiter;
use super::group::{Answers, Group};
use super::log::Log;
use crate::metadata::{Broker, Cluster, PartitionMetadata, TopicMetadata};

/// A cluster of a few brokers; node 1 coordinates.
#[derive(Debug, Default)]
pub(crate) struct Stub {
    pub(crate) logs: BTreeMap<TopicPartition, Log>,
    pub(crate) group: Group,
    pub(crate) committed: BTreeMap<TopicPartition, (i64, i32)>,
    /// Every commit that was stored, in order.
    pub(crate) commits: Vec<(TopicPartition, i64)>,
    sessions: BTreeMap<i32, Session>,
    last_session: i32,
    parked: Vec<(Instant, Waiter, i32, FetchRequest)>,
    pub(crate) nodes: i32,
    /// Where the coordinator came back to, if it did; the metadata that clients have says otherwise.
    pub(crate) coordinator_port: Option<i32>,
    /// What the metadata says of topics that nobody may read, or that are not there.
    pub(crate) topic_errors: BTreeMap<Topic, ErrorCode>,
    /// What every commit is answered with.
    pub(crate) commit_error: Option<ErrorCode>,
    /// A broker that has not heard of its office: it names the leader before it, with that one's epoch.
    pub(crate) behind: Option<(i32, (i32, i32))>,
    /// Fetches that named partitions although a session could have spared it.
    pub(crate) full_fetches: u32,
    pub(crate) requests: Vec<milena_types::ApiKey>,
    /// Partitions that a follower was asked for.
    pub(crate) follower_reads: RefCell<u32>,
    /// A node that reads requests and answers none.
    pub(crate) silent: Option<i32>,
    /// Who names topics hears nothing new of them: they were known.
    pub(crate) no_metadata: bool,
    /// How often all topics were deleted and made anew.
    pub(crate) incarnation: u8,
}

#[derive(Debug, Default)]
struct Session {
    epoch: i32,
    /// Topics are named by id, as from version 13 on.
    by_id: bool,
    asks: BTreeMap<TopicPartition, i64>,
}

impl Stub {
    pub(crate) fn cluster(&self) -> Arc<Cluster> {
        let mut topics: BTreeMap<Topic, Vec<PartitionMetadata>> = BTreeMap::new();
        for (tp, log) in &self.logs {
            topics.entry(tp.topic.clone()).or_default().push(PartitionMetadata::new(
                tp.partition,
                NodeId::from_wire(log.leader),
                LeaderEpoch::from_wire(log.epoch),
            ));
        }
        let topics = topics.into_iter().map(|(name, partitions)| {
            TopicMetadata::new(&name, Some(self.topic_id(&name)), partitions)
        });
        let refused = self.topic_errors.iter().map(|(name, code)| {
            let mut topic = TopicMetadata::new(name, None, Vec::new());
            topic.error = Some(*code);
            topic
        });
        let brokers = (1..=self.nodes).map(|id| Broker::new(NodeId::new(id), "stub", 9092));
        Arc::new(Cluster::new(brokers, topics.chain(refused)))
    }

    pub(crate) fn handle(
        &mut self,
        now: Instant,
        node: i32,
        waiter: Waiter,
        request: &Request,
        out: &mut Answers,
    ) {
        self.requests.push(request.api_key());
        if self.silent == Some(node) {
            return;
        }
        let response = match request {
            Request::FindCoordinator(request) => {
                let key = request.coordinator_keys.first().cloned();
                let coordinator = Coordinator {
                    key: key.unwrap_or_else(|| request.key.clone()),
                    node_id: 1,
                    host: "stub".into(),
                    port: self.coordinator_port.unwrap_or(9092),
                    ..Default::default()
                };
                FindCoordinatorResponse { coordinators: vec![coordinator], ..Default::default() }
                    .into()
            }
            Request::JoinGroup(request) => return self.group.join(now, waiter, request, out),
            Request::SyncGroup(request) => return self.group.sync(now, waiter, request, out),
            Request::Heartbeat(request) => {
                self.group.heartbeat(now, &request.member_id, request.generation_id)
            }
            // Groups of the consumer protocol are more than it can keep.
            Request::ConsumerGroupHeartbeat(_) => {
                let error_code = ErrorCode::UNKNOWN_SERVER_ERROR;
                ConsumerGroupHeartbeatResponse { error_code, ..Default::default() }.into()
            }
            Request::LeaveGroup(request) => {
                let error_code = self.group.leave(now, &request.members[0].member_id, out);
                LeaveGroupResponse { error_code, ..Default::default() }.into()
            }
            Request::OffsetCommit(request) => self.commit(now, request),
            Request::OffsetFetch(request) => {
                let asked = &request.groups[0];
                let topics = asked.topics.iter().flatten().map(|topic| {
                    let partitions = topic.partition_indexes.iter().map(|&index| {
                        let tp = TopicPartition::new(&*topic.name, index);
                        let (offset, epoch) = self.committed.get(&tp).copied().unwrap_or((-1, -1));
                        OffsetFetchResponsePartitions {
                            partition_index: index,
                            committed_offset: offset,
                            committed_leader_epoch: epoch,
                            ..Default::default()
                        }
                    });
                    let partitions = partitions.collect();
                    let name = topic.name.clone();
                    OffsetFetchResponseTopics { name, partitions, ..Default::default() }
                });
                let group = OffsetFetchResponseGroup {
                    group_id: asked.group_id.clone(),
                    topics: topics.collect(),
                    ..Default::default()
                };
                OffsetFetchResponse { groups: vec![group], ..Default::default() }.into()
            }
            Request::ListOffsets(request) => {
                let topics = request.topics.iter().map(|topic| {
                    let partitions = topic.partitions.iter().map(|asked| {
                        let tp = TopicPartition::new(&*topic.name, asked.partition_index);
                        let log = &self.logs[&tp];
                        let offset = match asked.timestamp {
                            -2 => log.start,
                            -1 => log.end(),
                            at if at < log.end() => at.max(log.start),
                            _ => -1,
                        };
                        let error_code = self.leads(node, &tp);
                        ListOffsetsPartitionResponse {
                            partition_index: asked.partition_index,
                            error_code,
                            offset,
                            leader_epoch: log.epoch,
                            ..Default::default()
                        }
                    });
                    let partitions = partitions.collect();
                    ListOffsetsTopicResponse { name: topic.name.clone(), partitions }
                });
                ListOffsetsResponse { topics: topics.collect(), ..Default::default() }.into()
            }
            Request::OffsetForLeaderEpoch(request) => {
                let topics = request.topics.iter().map(|topic| {
                    let partitions = topic.partitions.iter().map(|asked| {
                        let tp = TopicPartition::new(&*topic.topic, asked.partition);
                        let (leader_epoch, end_offset) =
                            self.logs[&tp].epoch_end(asked.leader_epoch);
                        EpochEndOffset {
                            error_code: self.leads(node, &tp),
                            partition: asked.partition,
                            leader_epoch,
                            end_offset,
                        }
                    });
                    let partitions = partitions.collect();
                    OffsetForLeaderTopicResult { topic: topic.topic.clone(), partitions }
                });
                OffsetForLeaderEpochResponse { topics: topics.collect(), ..Default::default() }
                    .into()
            }
            Request::Fetch(request) => {
                let response = self.fetch(node, request);
                let waits = response.responses.is_empty()
                    && response.error_code == ErrorCode::NONE
                    && request.session_epoch > 0
                    && request.max_wait_ms > 0;
                if waits {
                    let wait = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap());
                    self.parked.push((now + wait, waiter, node, request.clone()));
                    return;
                }
                response.into()
            }
            other => panic!("the stub does not speak {}", other.api_key()),
        };
        out.push((waiter, response));
    }

    /// Lets time pass.
    pub(crate) fn tick(&mut self, now: Instant, out: &mut Answers) {
        self.group.tick(now, out);
        for (due, waiter, node, request) in std::mem::take(&mut self.parked) {
            let Some(session) = self.sessions.get(&request.session_id) else {
                let error_code = ErrorCode::FETCH_SESSION_ID_NOT_FOUND;
                let response = FetchResponse { error_code, ..Default::default() };
                out.push((waiter, response.into()));
                continue;
            };
            let session_id = request.session_id;
            let responses = self.read(node, &session.asks.clone(), &request, true);
            if responses.is_empty() && now < due {
                self.parked.push((due, waiter, node, request));
            } else {
                let response = FetchResponse { session_id, responses, ..Default::default() };
                out.push((waiter, response.into()));
            }
        }
    }

    /// Forgets every session, as a busy broker does.
    pub(crate) fn evict_sessions(&mut self) {
        self.sessions.clear();
    }

    fn commit(&mut self, now: Instant, request: &OffsetCommitRequest) -> Response {
        let generation = request.generation_id_or_member_epoch;
        let code = self.group.may_commit(now, &request.member_id, generation);
        let code = self.commit_error.unwrap_or(code);
        let topics = request.topics.iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|partition| {
                let tp = TopicPartition::new(&*topic.name, partition.partition_index);
                if code == ErrorCode::NONE {
                    let committed = (partition.committed_offset, partition.committed_leader_epoch);
                    self.committed.insert(tp.clone(), committed);
                    self.commits.push((tp, partition.committed_offset));
                }
                let partition_index = partition.partition_index;
                OffsetCommitResponsePartition { partition_index, error_code: code }
            });
            let partitions = partitions.collect();
            let name = topic.name.clone();
            OffsetCommitResponseTopic { name, partitions, ..Default::default() }
        });
        OffsetCommitResponse { topics: topics.collect(), ..Default::default() }.into()
    }

    fn fetch(&mut self, node: i32, request: &FetchRequest) -> FetchResponse {
        let refuse = |code| FetchResponse { error_code: code, ..Default::default() };
        if request.session_epoch == -1 {
            self.sessions.remove(&request.session_id);
            return FetchResponse::default();
        }
        let full = request.session_epoch == 0;
        let session_id = if full {
            self.full_fetches += 1;
            self.sessions.remove(&request.session_id);
            self.last_session += 1;
            let by_id = request.topics.iter().all(|topic| topic.topic_id != Uuid::ZERO);
            let session = Session { epoch: 1, by_id, ..Default::default() };
            self.sessions.insert(self.last_session, session);
            self.last_session
        } else {
            match self.sessions.get_mut(&request.session_id) {
                None => return refuse(ErrorCode::FETCH_SESSION_ID_NOT_FOUND),
                Some(session) if session.epoch != request.session_epoch => {
                    return refuse(ErrorCode::INVALID_FETCH_SESSION_EPOCH);
                }
                Some(session) => session.epoch += 1,
            }
            request.session_id
        };
        let session = self.sessions.get_mut(&session_id).unwrap();
        for topic in &request.forgotten_topics_data {
            for &index in &topic.partitions {
                session.asks.remove(&TopicPartition::new(&*topic.topic, index));
            }
        }
        for topic in &request.topics {
            for asked in &topic.partitions {
                let tp = TopicPartition::new(&*topic.topic, asked.partition);
                session.asks.insert(tp, asked.fetch_offset);
            }
        }
        let (asks, by_id) = (session.asks.clone(), session.by_id);
        let mut responses = self.read(node, &asks, request, !full);
        for topic in &mut responses {
            if by_id {
                topic.topic = Default::default();
            } else {
                topic.topic_id = Uuid::ZERO;
            }
        }
        FetchResponse { session_id, responses, ..Default::default() }
    }

    fn read(
        &self,
        node: i32,
        asks: &BTreeMap<TopicPartition, i64>,
        request: &FetchRequest,
        incremental: bool,
    ) -> Vec<FetchableTopicResponse> {
        let mut left = usize::try_from(request.max_bytes).unwrap();
        let mut responses: Vec<FetchableTopicResponse> = Vec::new();
        for (tp, &offset) in asks {
            let log = &self.logs[tp];
            let follower = log.follower.filter(|(replica, _)| *replica == node);
            let named = log.follower.filter(|_| node == log.leader && !request.rack_id.is_empty());
            let mut error_code = match follower {
                Some((_, code)) => code,
                None => log.refusal.unwrap_or_else(|| self.leads(node, tp)),
            };
            if follower.is_some() {
                *self.follower_reads.borrow_mut() += 1;
            }
            let mut current_leader = LeaderIdAndEpoch::default();
            if let Some((behind, (leader_id, leader_epoch))) = self.behind
                && behind == node
            {
                error_code = ErrorCode::NOT_LEADER_OR_FOLLOWER;
                current_leader = LeaderIdAndEpoch { leader_id, leader_epoch };
            }
            if error_code == ErrorCode::NONE && (offset < log.start || offset > log.end()) {
                error_code = ErrorCode::OFFSET_OUT_OF_RANGE;
            }
            let records = if error_code == ErrorCode::NONE && left > 0 && named.is_none() {
                log.read(offset, left.min(1 << 20))
            } else {
                bytes::Bytes::new()
            };
            left = left.saturating_sub(records.len());
            let named = named.map_or(-1, |(replica, _)| replica);
            if incremental && records.is_empty() && error_code == ErrorCode::NONE && named < 0 {
                continue;
            }
            let aborted = log.aborted.iter().rev().filter(|aborted| aborted.first_offset >= 0);
            let data = PartitionData {
                partition_index: tp.partition,
                error_code,
                high_watermark: log.end(),
                last_stable_offset: log.end(),
                log_start_offset: log.start,
                aborted_transactions: Some(aborted.cloned().collect()),
                preferred_read_replica: named,
                current_leader,
                records: Some(Records { head: records, ..Default::default() }),
                ..Default::default()
            };
            let topic_id = self.topic_id(&tp.topic);
            match responses.last_mut() {
                Some(topic) if topic.topic_id == topic_id => topic.partitions.push(data),
                _ => responses.push(FetchableTopicResponse {
                    topic: tp.topic.as_str().into(),
                    topic_id,
                    partitions: vec![data],
                    ..Default::default()
                }),
            }
        }
        responses
    }

    pub(crate) fn topic_id(&self, topic: &Topic) -> Uuid {
        let mut bytes = [7 + self.incarnation; 16];
        for (place, byte) in topic.as_str().bytes().take(15).enumerate() {
            bytes[place] = byte;
        }
        Uuid::from_bytes(bytes)
    }

    fn leads(&self, node: i32, tp: &TopicPartition) -> ErrorCode {
        match self.logs.get(tp) {
            None => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            Some(log) if log.leader != node => ErrorCode::NOT_LEADER_OR_FOLLOWER,
            Some(_) => ErrorCode::NONE,
        }
    }
}
