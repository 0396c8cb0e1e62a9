//! Fetch (key 1), versions 4-18.
//!
//! Reads from the partition's leader, or from version 11 on from any replica (KIP-392), up to the high watermark, or the
//! last stable offset with read_committed. Where the cluster is told to, the leader sends readers on to a replica of
//! their rack that is in sync and has what they ask for. Waits until `min_bytes` can be read, at most `max_wait_ms`; an error or a diverged log is answered at once, but
//! partitions that are unknown or that the client may not read wait with the others, if there are any. The
//! first batch of the first partition with data is returned whole whatever the limits say. Sessions as KIP-227.
//!
//! Notes: topic ids from version 13 on. A record set is a slice of what was produced where it is one batch, else
//! copied together. Followers know the high watermark as soon as their leader does. Replica fields are ignored.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use milena_types::{ErrorCode, LeaderEpoch, NodeId, Offset, Topic, TopicPartition, Uuid};
use milena_wire::messages::fetch_request::{FetchPartition, FetchRequest, FetchTopic};
use milena_wire::messages::fetch_response::{
    AbortedTransaction, EpochEndOffset, FetchResponse, FetchableTopicResponse, LeaderIdAndEpoch,
    NodeEndpoint, PartitionData,
};
use milena_wire::{ByteString, Records, Response};

use super::{Call, Outcome, Versions, milliseconds};
use crate::acl::AclOperation;
use crate::fetch::{Interest, SessionRequest, SessionUse, Shown, TopicKey};
use crate::node::Node;
use crate::quota::Used;
use crate::state::{State, Wait};
use crate::storage::{Batch, EpochEnd};
use crate::topic::Partition;

pub(super) const VERSIONS: Versions = Versions::new(4, 18);

/// A Fetch that is answered now or once there is enough to read.
#[derive(Debug)]
pub(crate) struct FetchPlan {
    node: NodeId,
    version: i16,
    names_by_id: bool,
    /// Whether what is unknown is answered with an empty list.
    lists_no_aborted: bool,
    session: SessionUse,
    /// What is to be read, in turn.
    interests: Vec<Interest>,
    /// What is wrong with each of them, where it was put aside from the beginning: nothing is read from it.
    aside: Vec<Option<ErrorCode>>,
    /// The partitions behind the other interests.
    partitions: Vec<TopicPartition>,
    bytes_min: usize,
    bytes_max: usize,
    is_read_committed: bool,
    /// Where the reader is, as far as it says.
    rack: Option<ByteString>,
    /// What the reader calls itself, where what it reads is limited.
    limited: Option<String>,
}

pub(super) fn handle(state: &mut State, call: &Call<'_>, request: &FetchRequest) -> Outcome {
    let names_by_id = call.version >= 13;
    let has_sessions = call.version >= 7;
    let session = SessionRequest {
        id: if has_sessions { request.session_id } else { 0 },
        epoch: if has_sessions { request.session_epoch } else { -1 },
        names_by_id,
        interests: interests(request, names_by_id),
        forgotten: forgotten(request, names_by_id),
    };
    let Some(node) = state.nodes.get_mut(call.node) else { return Outcome::Close };
    let (session, interests) = match node.sessions.open(call.now, session) {
        Ok(opened) => opened,
        Err(code) => return Outcome::Answer(error(request, code)),
    };
    let mut partitions = Vec::with_capacity(interests.len());
    let release = state.settings.release();
    let suspects_zstd = release.suspects_zstd() && call.version < ZSTD_SINCE;
    let judged = interests.iter().map(|interest| {
        let judged = judge(state, call, interest).map(|partition| partitions.push(partition));
        judged.err().map(|code| match code {
            ErrorCode::UNKNOWN_TOPIC_OR_PARTITION if suspects_zstd => {
                ErrorCode::UNSUPPORTED_COMPRESSION_TYPE
            }
            code => code,
        })
    });
    let aside = judged.collect();
    let window = state.quotas.window_bytes(Used::Fetch, call.client_id);
    let bytes = |wire: i32| usize::try_from(wire).unwrap_or(0).min(window.unwrap_or(usize::MAX));
    let plan = FetchPlan {
        node: call.node,
        version: call.version,
        lists_no_aborted: release.lists_no_aborted(),
        names_by_id,
        session,
        interests,
        aside,
        partitions,
        bytes_min: bytes(request.min_bytes),
        bytes_max: bytes(request.max_bytes).min(state.settings.fetch_bytes_max),
        is_read_committed: request.isolation_level == READ_COMMITTED,
        rack: Some(request.rack_id.clone()).filter(|rack| !rack.is_empty()),
        limited: window.map(|_| call.client_id.to_owned()),
    };
    let patience = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0));
    if patience.is_zero() || plan.partitions.is_empty() || plan.is_ready(state) {
        return Outcome::Answer(plan.answer(state, call.now));
    }
    let deadline = call.now.checked_add(patience).unwrap_or(call.now);
    state.park(call.ticket, Wait::Fetch(plan), deadline);
    Outcome::Wait
}

/// The partition that is to be read, if it is there and the client may read it.
fn judge(state: &State, call: &Call<'_>, interest: &Interest) -> Result<TopicPartition, ErrorCode> {
    let name = call.topic(state, AclOperation::Read, &interest.topic)?;
    let unknown = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
    state.partition(name.as_str(), interest.partition).ok_or(unknown)?;
    if call.version < ZSTD_SINCE && state.settings.release().keeps_zstd_back() {
        let topic = state.topics.get(&name).ok_or(unknown)?;
        if topic.config.on(Some(call.node)).is_zstd {
            return Err(ErrorCode::UNSUPPORTED_COMPRESSION_TYPE);
        }
    }
    Ok(TopicPartition::new(name, interest.partition))
}

/// The whole answer is the error, as with sessions; older versions say it in each partition.
pub(super) fn error(request: &FetchRequest, code: ErrorCode) -> Response {
    let topics = request.topics.iter().map(|topic| FetchableTopicResponse {
        topic: topic.topic.clone(),
        topic_id: topic.topic_id,
        partitions: topic
            .partitions
            .iter()
            .map(|partition| PartitionData { error_code: code, ..blank(partition.partition) })
            .collect(),
    });
    let is_of_session = matches!(
        code,
        ErrorCode::FETCH_SESSION_ID_NOT_FOUND
            | ErrorCode::INVALID_FETCH_SESSION_EPOCH
            | ErrorCode::FETCH_SESSION_TOPIC_ID_ERROR
    );
    let responses = if is_of_session { Vec::new() } else { topics.collect() };
    let error_code = if is_of_session { code } else { ErrorCode::NONE };
    FetchResponse { error_code, responses, ..Default::default() }.into()
}

/// A Fetch that goes on with a session, with the partitions of the session that it does not repeat.
pub(crate) fn in_full(state: &State, node: NodeId, request: &FetchRequest) -> Option<FetchRequest> {
    if request.session_epoch <= 0 {
        return None;
    }
    let sessions = &state.nodes.get(node)?.sessions;
    let mut whole = request.clone();
    for (topic, partition) in sessions.partitions(request.session_id) {
        let (topic, topic_id) = match topic {
            TopicKey::Name(name) => (ByteString::from(name.as_str()), Uuid::ZERO),
            TopicKey::Id(id) => (ByteString::new(), *id),
        };
        let is_it = |name: &ByteString, id: Uuid| *name == topic && id == topic_id;
        let is_forgotten = request
            .forgotten_topics_data
            .iter()
            .any(|t| is_it(&t.topic, t.topic_id) && t.partitions.contains(partition));
        let is_repeated = request.topics.iter().any(|t| {
            is_it(&t.topic, t.topic_id) && t.partitions.iter().any(|p| p.partition == *partition)
        });
        if is_forgotten || is_repeated {
            continue;
        }
        let added = FetchPartition { partition: *partition, ..Default::default() };
        match whole.topics.iter_mut().find(|t| is_it(&t.topic, t.topic_id)) {
            Some(topic) => topic.partitions.push(added),
            None => whole.topics.push(FetchTopic { topic, topic_id, partitions: vec![added] }),
        }
    }
    Some(whole)
}

impl FetchPlan {
    pub(crate) fn partitions(&self) -> &[TopicPartition] {
        &self.partitions
    }

    /// What is to be read, with what is wrong where it was put aside.
    fn all(&self) -> impl Iterator<Item = (&Interest, Option<ErrorCode>)> {
        self.interests.iter().zip(self.aside.iter().copied())
    }

    /// Whether there is enough to read, or something to be told at once.
    pub(crate) fn is_ready(&self, state: &State) -> bool {
        let mut found = 0;
        for (interest, _) in self.all().filter(|(_, aside)| aside.is_none()) {
            match self.find(state, interest) {
                Ok(Found::Readable { partition, from, until }) => {
                    let wanted =
                        interest.bytes_max.min(self.bytes_min.saturating_sub(found).max(1));
                    found += partition.log().bytes_between(from, until, wanted);
                }
                Ok(Found::Diverged(..) | Found::Nearer(..)) | Err(_) => return true,
            }
            if found >= self.bytes_min {
                return true;
            }
        }
        found >= self.bytes_min
    }

    /// The answer, from what there is.
    pub(crate) fn answer(self, state: &mut State, now: Instant) -> Response {
        let mut room = self.bytes_max;
        let mut bytes_read = 0;
        let mut read = Vec::with_capacity(self.interests.len());
        for (interest, aside) in self.all() {
            let found = aside.map_or_else(|| self.find(state, interest), Err);
            let data = self.read(interest, found, room, bytes_read == 0);
            let bytes = data.records.as_ref().map_or(0, Records::len);
            room = room.saturating_sub(bytes);
            bytes_read += bytes;
            read.push(data);
        }
        if let Some(throttled) = self.throttle(state, now, bytes_read) {
            return throttled;
        }
        for (interest, data) in self.interests.iter().zip(&read) {
            let bytes = data.records.as_ref().map_or(0, Records::len);
            if let Ok(topic) = state.resolve(&interest.topic) {
                state.journal.note_read(&topic, bytes);
            }
        }
        let session_id = self.keep_session(state, now, &mut read);
        let node_endpoints = self.name_leaders(state, &mut read);
        let mut response = FetchResponse { session_id, node_endpoints, ..Default::default() };
        for (interest, data) in self.interests.into_iter().zip(read) {
            if data.partition_index != LEFT_OUT {
                push(&mut response.responses, state, interest.topic, data);
            }
        }
        response.into()
    }

    /// The empty answer to a reader that has read more than it may. No session begins with it.
    fn throttle(&self, state: &mut State, now: Instant, bytes: usize) -> Option<Response> {
        let client_id = self.limited.as_ref()?;
        let silence = state.quotas.charge(now, self.node, Used::Fetch, client_id, bytes);
        let session_id = match self.session {
            SessionUse::None | SessionUse::New => 0,
            SessionUse::Incremental(id) => id,
        };
        let throttle_time_ms = milliseconds(silence);
        let throttled = FetchResponse { throttle_time_ms, session_id, ..Default::default() };
        (!silence.is_zero()).then(|| throttled.into())
    }

    /// Begins or goes on with the session; what is no news to the consumer is marked as left out.
    fn keep_session(&self, state: &mut State, now: Instant, read: &mut [PartitionData]) -> i32 {
        let State { nodes, rng, .. } = state;
        let Some(node) = nodes.get_mut(self.node) else { return 0 };
        match self.session {
            SessionUse::None => 0,
            SessionUse::New => {
                let answered = self.interests.iter().cloned().zip(read.iter().map(shown));
                node.sessions.begin(now, rng, self.names_by_id, answered)
            }
            SessionUse::Incremental(id) => {
                for (interest, data) in self.interests.iter().zip(read) {
                    let has_records = data.records.as_ref().is_some_and(|r| !r.head.is_empty());
                    let must_say = data.error_code.is_error()
                        || data.diverging_epoch.epoch >= 0
                        || data.preferred_read_replica >= 0;
                    let (topic, index) = (&interest.topic, interest.partition);
                    let is_news =
                        node.sessions.must_show(id, topic, index, shown(data), has_records);
                    if !is_news && !must_say {
                        data.partition_index = LEFT_OUT;
                    }
                }
                id
            }
        }
    }

    fn read(
        &self,
        interest: &Interest,
        found: Result<Found<'_>, ErrorCode>,
        room: usize,
        is_first: bool,
    ) -> PartitionData {
        let answer = blank(interest.partition);
        let (partition, from, until) = match found {
            Err(code) => {
                // What the log refuses has no list at all, where a success has an empty one.
                let is_known = !matches!(
                    code,
                    ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
                        | ErrorCode::UNKNOWN_TOPIC_ID
                        | ErrorCode::TOPIC_AUTHORIZATION_FAILED
                );
                let has_list = !is_known && self.lists_no_aborted;
                let aborted = answer.aborted_transactions.clone().filter(|_| has_list);
                return PartitionData { error_code: code, aborted_transactions: aborted, ..answer };
            }
            Ok(Found::Diverged(partition, end)) => {
                let diverging_epoch =
                    EpochEndOffset { epoch: end.epoch.get(), end_offset: end.end.get() };
                return PartitionData { diverging_epoch, ..watermarks(partition, answer) };
            }
            Ok(Found::Nearer(partition, replica)) => {
                let preferred_read_replica = replica.get();
                let aborted_transactions = None;
                let answer = watermarks(partition, answer);
                return PartitionData { preferred_read_replica, aborted_transactions, ..answer };
            }
            Ok(Found::Readable { partition, from, until }) => (partition, from, until),
        };
        let bytes_max = interest.bytes_max.min(room);
        let batches: Vec<_> = partition.log().read(from, until, bytes_max, is_first).collect();
        // The bytes end where the limit is, in the middle of a batch if need be (trap of every client).
        let taken: usize = batches.iter().map(|batch| batch.bytes()).sum();
        let cut = batches.last().and_then(|last| {
            let next =
                partition.log().read(last.last_offset().next(), until, usize::MAX, true).next()?;
            let room = bytes_max.saturating_sub(taken);
            Some((next, room.min(next.bytes())))
        });
        let aborted = self.is_read_committed.then(|| {
            let until = batches.last().map_or(from, |batch| batch.last_offset().next());
            let aborted = partition.transactions().aborted_between(from, until);
            let entry = |one: crate::storage::Aborted| AbortedTransaction {
                producer_id: one.producer_id.get(),
                first_offset: one.first.get(),
            };
            aborted.map(entry).collect()
        });
        PartitionData {
            aborted_transactions: aborted,
            records: Some(join(&batches, cut)),
            ..watermarks(partition, answer)
        }
    }

    fn find<'a>(&self, state: &'a State, interest: &Interest) -> Result<Found<'a>, ErrorCode> {
        let name = state.resolve(&interest.topic)?;
        let unknown = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
        let partition = state.partition(name.as_str(), interest.partition).ok_or(unknown)?;
        let by_replica = self.version >= RACKS_SINCE;
        let end = partition.check_reader(self.node, interest.leader_epoch, by_replica);
        let end = end.map_err(|failed| failed.0)?;
        if let Some(nearer) = self.nearer(state, partition, interest.offset) {
            return Ok(Found::Nearer(partition, nearer));
        }
        let offset = interest.offset.ok_or(ErrorCode::OFFSET_OUT_OF_RANGE)?;
        if interest.last_fetched_epoch.is_some_and(|last| last > partition.leader_epoch()) {
            return Err(ErrorCode::OFFSET_OUT_OF_RANGE);
        }
        if let Some(end) = diverges(partition, interest.last_fetched_epoch, offset) {
            return Ok(Found::Diverged(partition, end));
        }
        // Up to the log's end: what is not replicated yet is there but is not shown.
        if offset < partition.log().start() || offset > end {
            return Err(ErrorCode::OFFSET_OUT_OF_RANGE);
        }
        let until = if self.is_read_committed {
            partition.last_stable_offset()
        } else {
            partition.high_watermark()
        };
        Ok(Found::Readable { partition, from: offset, until: until.min(end) })
    }

    /// The replica that the leader sends the reader to, as Kafka's `RackAwareReplicaSelector` chooses it.
    fn nearer(
        &self,
        state: &State,
        partition: &Partition,
        offset: Option<Offset>,
    ) -> Option<NodeId> {
        let rack = self.rack.as_deref().filter(|_| state.settings.rack_aware_reads)?;
        let is_near = |node: NodeId| {
            let node = state.nodes.get(node).filter(|node| node.is_registered);
            node.is_some_and(|node| node.rack.as_deref() == Some(rack))
        };
        if partition.leader() != Some(self.node) || is_near(self.node) {
            return None;
        }
        let offset = offset.filter(|offset| *offset >= partition.log().start())?;
        let in_sync = partition.isr().iter().copied().filter(|node| is_near(*node));
        let ends = in_sync.filter_map(|node| Some((partition.end_at(node)?, node)));
        let (end, node) = ends.max()?;
        (end >= offset).then_some(node)
    }

    /// Tells who leads where the answer is that another node does (KIP-951).
    fn name_leaders(&self, state: &State, read: &mut [PartitionData]) -> Vec<NodeEndpoint> {
        if self.version < LEADERS_SINCE {
            return Vec::new();
        }
        let mut leaders = BTreeSet::new();
        for (interest, data) in self.interests.iter().zip(read) {
            let is_stale = matches!(
                data.error_code,
                ErrorCode::NOT_LEADER_OR_FOLLOWER | ErrorCode::FENCED_LEADER_EPOCH
            );
            let name = state.resolve(&interest.topic).ok().filter(|_| is_stale);
            let partition =
                name.and_then(|name| state.partition(name.as_str(), interest.partition));
            let Some((partition, leader)) = partition.and_then(|p| Some((p, p.leader()?))) else {
                continue;
            };
            data.current_leader = LeaderIdAndEpoch {
                leader_id: leader.get(),
                leader_epoch: partition.leader_epoch().get(),
            };
            leaders.insert(leader);
        }
        if self.version < ENDPOINTS_SINCE {
            return Vec::new();
        }
        let nodes = leaders.into_iter().filter_map(|leader| state.nodes.get(leader));
        let endpoint = |node: &Node| NodeEndpoint {
            node_id: node.id.get(),
            host: node.host.clone().into(),
            port: node.port.into(),
            rack: node.rack.clone().map(ByteString::from),
        };
        nodes.map(endpoint).collect()
    }
}

enum Found<'a> {
    Readable {
        partition: &'a Partition,
        from: Offset,
        until: Offset,
    },
    /// The consumer read records that are no longer part of the log.
    Diverged(&'a Partition, EpochEnd),
    /// This replica is nearer to the consumer.
    Nearer(&'a Partition, NodeId),
}

/// Where the log and what the consumer has read part, if they do (KIP-595).
fn diverges(partition: &Partition, last: Option<LeaderEpoch>, offset: Offset) -> Option<EpochEnd> {
    let last = last?;
    let end = partition.end_of_epoch(last)?;
    (end.epoch < last || end.end < offset).then_some(end)
}

fn interests(request: &FetchRequest, by_id: bool) -> Vec<Interest> {
    let topics = request.topics.iter().flat_map(|topic| {
        let key = if by_id {
            TopicKey::Id(topic.topic_id)
        } else {
            TopicKey::Name((&*topic.topic).into())
        };
        topic.partitions.iter().map(move |partition| Interest {
            topic: key.clone(),
            partition: partition.partition,
            offset: Offset::new(partition.fetch_offset),
            leader_epoch: LeaderEpoch::from_wire(partition.current_leader_epoch),
            last_fetched_epoch: LeaderEpoch::from_wire(partition.last_fetched_epoch),
            bytes_max: usize::try_from(partition.partition_max_bytes).unwrap_or(0),
        })
    });
    topics.collect()
}

fn forgotten(request: &FetchRequest, by_id: bool) -> Vec<(TopicKey, i32)> {
    let topics = request.forgotten_topics_data.iter().flat_map(|topic| {
        let key = if by_id {
            TopicKey::Id(topic.topic_id)
        } else {
            TopicKey::Name((&*topic.topic).into())
        };
        topic.partitions.iter().map(move |partition| (key.clone(), *partition))
    });
    topics.collect()
}

/// One batch as it is, several copied together, with the beginning of a last one.
pub(super) fn join(batches: &[&Batch], cut: Option<(&Batch, usize)>) -> Records {
    let cut = cut.filter(|(_, room)| *room > 0);
    match batches {
        [] => Records { head: Bytes::new(), body: Bytes::new() },
        [one] if cut.is_none() => Records { head: one.head().clone(), body: one.body().clone() },
        [first, rest @ ..] => {
            let bytes = rest.iter().map(|batch| batch.bytes()).sum::<usize>() + first.body().len();
            let bytes = bytes + cut.map_or(0, |(_, room)| room);
            let mut body = BytesMut::with_capacity(bytes);
            body.extend_from_slice(first.body());
            for batch in rest {
                body.extend_from_slice(batch.head());
                body.extend_from_slice(batch.body());
            }
            if let Some((batch, room)) = cut {
                let head = batch.head().len().min(room);
                body.extend(batch.head().iter().take(head));
                body.extend(batch.body().iter().take(room - head));
            }
            Records { head: first.head().clone(), body: body.freeze() }
        }
    }
}

/// Adds a partition to the answer, to the topic before it if that is its own.
fn push(
    responses: &mut Vec<FetchableTopicResponse>,
    state: &State,
    topic: TopicKey,
    data: PartitionData,
) {
    let (name, id) = match topic {
        TopicKey::Name(name) => {
            let id = state.topics.get(&name).map(|topic| topic.id).unwrap_or_default();
            (name, id)
        }
        TopicKey::Id(id) => {
            (state.topic_ids.get(&id).cloned().unwrap_or_else(|| Topic::from("")), id)
        }
    };
    match responses.last_mut() {
        Some(last) if *last.topic == *name.as_str() && last.topic_id == id => {
            last.partitions.push(data)
        }
        _ => responses.push(FetchableTopicResponse {
            topic: name.as_str().into(),
            topic_id: id,
            partitions: vec![data],
        }),
    }
}

fn shown(data: &PartitionData) -> Shown {
    Shown {
        high_watermark: Offset::new(data.high_watermark),
        log_start: Offset::new(data.log_start_offset),
    }
}

fn watermarks(partition: &Partition, answer: PartitionData) -> PartitionData {
    PartitionData {
        high_watermark: partition.high_watermark().get(),
        last_stable_offset: partition.last_stable_offset().get(),
        log_start_offset: partition.log().start().get(),
        ..answer
    }
}

fn blank(partition_index: i32) -> PartitionData {
    PartitionData {
        partition_index,
        high_watermark: -1,
        last_stable_offset: -1,
        log_start_offset: -1,
        preferred_read_replica: -1,
        records: Some(Records { head: Bytes::new(), body: Bytes::new() }),
        ..Default::default()
    }
}

const READ_COMMITTED: i8 = 1;

/// Older requests do not say where the consumer is, and are for leaders alone.
const RACKS_SINCE: i16 = 11;

/// The first version whose clients read zstd.
const ZSTD_SINCE: i16 = 10;

/// Older answers have no place for a leader.
const LEADERS_SINCE: i16 = 12;

/// Older answers have no place for where a leader is reached.
const ENDPOINTS_SINCE: i16 = 16;

/// Marks a partition that an incremental answer does not mention; no partition has this index.
const LEFT_OUT: i32 = i32::MIN;
