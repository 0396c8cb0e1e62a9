//! ShareFetch (key 78), versions 1-2.
//!
//! Gives a member records of the partitions of its share session and locks them for it (KIP-932). Acknowledgements that
//! come along are taken first. By default whole batches are given out, though that is more than asked for; from version 2
//! on a member may insist on its limit (KIP-1206), or only renew its locks (KIP-1222). Waits as Fetch does, until
//! something can be acquired. Epoch 0 begins a session, -1 ends it and gives back what is held; so does the end of the
//! connection. A node that has as many sessions as it may lets the member wait, then says so.
//!
//! Notes: a partition that no member of the group subscribes to is UNKNOWN_SERVER_ERROR, as nobody keeps its offset.
//! `min_bytes` counts what lies in the log from the first available record on. Quotas count the bytes of records alone, and who
//! reads too much is told nothing, as in Kafka: what this answer would have brought stays locked until the lock runs out.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use bytes::Bytes;
use milena_types::{ErrorCode, NodeId, Offset, TopicPartition, Uuid};
use milena_wire::messages::share_fetch_request::{FetchTopic, ShareFetchRequest};
use milena_wire::messages::share_fetch_response::{
    AcquiredRecords, LeaderIdAndEpoch, NodeEndpoint, PartitionData, ShareFetchResponse,
    ShareFetchableTopicResponse,
};
use milena_wire::{ByteString, Records, Response};

use super::fetch::join;
use super::share_acknowledge::{
    RawBatch, RawBatches, Taken, acknowledge, end_session, has_partition, lock_ms, may_read,
    session_key,
};
use super::{Call, Outcome, Versions, milliseconds};
use crate::node::Node;
use crate::quota::Used;
use crate::share::{
    Acquired, Demand, FINAL_EPOCH, INITIAL_EPOCH, ReadBatches, SessionKey, ShareKey,
    SharedPartition, StoredPartition,
};
use crate::state::{Said, State, Wait};
use crate::storage::Batch;
use crate::topic::Partition;

pub(super) const VERSIONS: Versions = Versions::new(1, 2);

/// A ShareFetch that is answered now, or once there is something to acquire.
#[derive(Debug)]
pub(crate) struct SharePlan {
    node: NodeId,
    session: SessionKey,
    epoch: i32,
    demand: Demand,
    bytes_min: usize,
    bytes_max: usize,
    reads_committed: bool,
    /// What may be acquired, in turn.
    shares: Vec<ShareKey>,
    /// The partitions behind them.
    partitions: Vec<TopicPartition>,
    failed: Vec<(ShareKey, ErrorCode)>,
    taken: Taken,
    /// The whole answer, where there is no room for the session.
    refused: Option<ErrorCode>,
    /// Who asks, if there is a quota for it.
    limited: Option<String>,
}

pub(super) fn handle(state: &mut State, call: &Call<'_>, request: &ShareFetchRequest) -> Outcome {
    let wait = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0));
    let deadline = call.now.checked_add(wait).unwrap_or(call.now);
    let key = match check(state, call, request) {
        Ok(key) => key,
        Err(code) => return Outcome::Answer(error(request, code)),
    };
    let shared = match open_session(state, call, &key, request) {
        Ok(shared) => shared,
        Err(code) => {
            let plan = SharePlan { refused: Some(code), ..plan(state, call, &key, request) };
            if code != ErrorCode::SHARE_SESSION_LIMIT_REACHED || wait.is_zero() {
                return Outcome::Answer(plan.answer(state, call.now));
            }
            state.park(call.ticket, Wait::ShareFetch(plan), deadline);
            return Outcome::Wait;
        }
    };
    let taken = acknowledge(state, call, &key, raw_batches(request), request.is_renew_ack);
    let mut plan = SharePlan { taken, ..plan(state, call, &key, request) };
    if !is_renewal(call, request) {
        plan.look_up(state, call, shared);
    }
    if request.share_session_epoch == FINAL_EPOCH {
        let response = plan.answer(state, call.now);
        end_session(state, call, &key);
        return Outcome::Answer(response);
    }
    let may_wait = !plan.shares.is_empty() && plan.bytes_max > 0 && plan.demand.records_max > 0;
    if wait.is_zero() || !may_wait || plan.is_ready(state) {
        return Outcome::Answer(plan.answer(state, call.now));
    }
    state.park(call.ticket, Wait::ShareFetch(plan), deadline);
    Outcome::Wait
}

pub(super) fn error(_: &ShareFetchRequest, code: ErrorCode) -> Response {
    ShareFetchResponse { error_code: code, ..Default::default() }.into()
}

impl SharePlan {
    pub(crate) fn partitions(&self) -> &[TopicPartition] {
        &self.partitions
    }

    /// Whether there is enough to acquire.
    pub(crate) fn is_ready(&self, state: &State) -> bool {
        let open = self.acquirable(state);
        if open.is_empty() {
            return false;
        }
        let share = self.bytes_max.checked_div(open.len()).unwrap_or(0);
        let mut found = 0;
        for (_, offset, partition) in open {
            let end = self.end(partition);
            if offset < partition.log().start() || offset > end {
                return true;
            }
            found += partition.log().bytes_between(offset, end, share).min(share);
        }
        found >= self.bytes_min
    }

    /// The answer, with what can be acquired now.
    pub(crate) fn answer(self, state: &mut State, now: Instant) -> Response {
        let (group, _) = &self.session;
        if let Some(error_code) = self.refused {
            return ShareFetchResponse { error_code, ..Default::default() }.into();
        }
        let mut told = self.fetch(state, now);
        let failed = |(key, code): &(ShareKey, ErrorCode)| {
            let partition_index = key.partition;
            let data = PartitionData { error_code: *code, ..blank(partition_index) };
            (key.topic_id, data)
        };
        told.extend(self.failed.iter().map(failed));
        let silence = self.throttle(state, now, &told);
        if silence.is_zero() {
            note_read(state, &told);
        } else {
            told.clear();
        }
        let node_endpoints = name_leaders(state, &mut told);
        let mut error_code = ErrorCode::NONE;
        if let Some(node) = state.nodes.get_mut(self.node)
            && !matches!(self.epoch, INITIAL_EPOCH | FINAL_EPOCH)
        {
            let sessions = &mut node.share_sessions;
            if sessions.is_answer_due(&self.session, self.epoch) {
                told.retain(|(topic_id, data)| {
                    let partition = (*topic_id, data.partition_index);
                    let has_records = !data.records.head.is_empty();
                    let is_error = data.error_code.is_error();
                    sessions.must_tell(&self.session, partition, has_records, is_error)
                });
            } else {
                error_code = ErrorCode::INVALID_SHARE_SESSION_EPOCH;
                told.clear();
            }
        }
        add_taken(&mut told, &self.taken);
        let mut responses: Vec<ShareFetchableTopicResponse> = Vec::new();
        let mut places: BTreeMap<Uuid, usize> = BTreeMap::new();
        for (topic_id, data) in told {
            let place = *places.entry(topic_id).or_insert(responses.len());
            match responses.get_mut(place) {
                Some(topic) => topic.partitions.push(data),
                None => {
                    let partitions = vec![data];
                    responses.push(ShareFetchableTopicResponse { topic_id, partitions });
                }
            }
        }
        ShareFetchResponse {
            throttle_time_ms: milliseconds(silence),
            error_code,
            acquisition_lock_timeout_ms: lock_ms(state, group),
            responses,
            node_endpoints,
            ..Default::default()
        }
        .into()
    }

    /// For how long the reader is to be silent, who has read more than it may.
    fn throttle(
        &self,
        state: &mut State,
        now: Instant,
        told: &[(Uuid, PartitionData)],
    ) -> Duration {
        let Some(client_id) = &self.limited else { return Duration::ZERO };
        let bytes = told.iter().map(|(_, data)| data.records.len()).sum();
        state.quotas.charge(now, self.node, Used::Fetch, client_id, bytes)
    }

    /// Finds out which partitions can be read here, and opens their windows.
    fn look_up(&mut self, state: &mut State, call: &Call<'_>, shared: Vec<SharedPartition>) {
        let (group, _) = &self.session;
        for SharedPartition { topic_id, topic, partition, .. } in shared {
            let key = ShareKey { group: group.clone(), topic_id, partition };
            let opened = if topic.is_none() {
                Err(ErrorCode::UNKNOWN_TOPIC_ID)
            } else if !may_read(state, call, topic_id) {
                Err(ErrorCode::TOPIC_AUTHORIZATION_FAILED)
            } else if !has_partition(state, topic_id, partition) {
                Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)
            } else {
                state.open_share(self.node, &key)
            };
            match opened {
                Ok(()) => {
                    self.partitions.extend(state.shared_topic_partition(&key));
                    self.shares.push(key);
                }
                Err(code) => self.failed.push((key, code)),
            }
        }
        // Each request begins with another partition, so that none starves.
        let turn = usize::try_from(self.epoch).unwrap_or(0);
        if let Some(turn) = turn.checked_rem(self.shares.len()) {
            self.shares.rotate_left(turn);
        }
    }

    /// Where something can be acquired, and from which offset on.
    fn acquirable<'a>(&'a self, state: &'a State) -> Vec<(&'a ShareKey, Offset, &'a Partition)> {
        let limits = state.share_config(&self.session.0).limits;
        let open = self.shares.iter().filter_map(|key| {
            let window = state.share_partitions.get(key).and_then(StoredPartition::window)?;
            let partition = state.led_partition(self.node, key).ok()?;
            let may_acquire = window.may_acquire(&limits);
            may_acquire.then(|| (key, window.next_fetch_offset(), partition))
        });
        open.collect()
    }

    fn fetch(&self, state: &mut State, now: Instant) -> Vec<(Uuid, PartitionData)> {
        if self.bytes_max == 0 || self.demand.records_max <= 0 {
            return Vec::new();
        }
        let open = self.acquirable(state);
        let share = self.bytes_max.checked_div(open.len()).unwrap_or(0);
        let mut rest = self.bytes_max.checked_rem(open.len()).unwrap_or(0);
        let keys: Vec<_> = open.into_iter().map(|(key, offset, _)| (key.clone(), offset)).collect();
        let mut room = self.bytes_max;
        let mut wanted = self.demand.records_max;
        let mut told = Vec::with_capacity(keys.len());
        for (key, offset) in keys {
            let bytes_max = (share + std::mem::take(&mut rest)).min(room);
            let is_first = room == self.bytes_max;
            let demand = Demand { records_max: wanted, ..self.demand.clone() };
            let read = self.read(state, &key, offset, bytes_max, is_first);
            let mut data = blank(key.partition);
            match read {
                Ok(read) => {
                    room = room.saturating_sub(read.bytes());
                    let acquired = state.acquire_shared(now, &key, &demand, &read.offsets);
                    wanted -= acquired.iter().map(count).sum::<i64>();
                    data.records = read.slice(&acquired);
                    data.acquired_records = acquired.into_iter().map(acquired_records).collect();
                }
                Err(log_start) => state.skip_shared(&key, log_start),
            }
            told.push((key.topic_id, data));
        }
        told
    }

    /// Reads the log; the error is where it begins, if that is later.
    fn read(
        &self,
        state: &State,
        key: &ShareKey,
        offset: Offset,
        bytes_max: usize,
        is_first: bool,
    ) -> Result<ReadLog, Offset> {
        let Ok(partition) = state.led_partition(self.node, key) else { return Err(Offset::ZERO) };
        let log = partition.log();
        if offset < log.start() || offset > log.end() {
            return Err(log.start());
        }
        let until = self.end(partition);
        let batches: Vec<Batch> = log.read(offset, until, bytes_max, is_first).cloned().collect();
        let taken: usize = batches.iter().map(Batch::bytes).sum();
        let next = batches.last().map_or(offset, |batch| batch.last_offset().next());
        let next = log.read(next, until, usize::MAX, true).next().cloned();
        let room = bytes_max.saturating_sub(taken);
        let is_aborted = |batch: &&Batch| {
            let producer = batch.sent().map(|sent| sent.producer_id);
            let (first, end) = (batch.base_offset(), batch.last_offset().next());
            let mut aborted = partition.transactions().aborted_between(first, end);
            let is_its = aborted.any(|one| {
                Some(one.producer_id) == producer && one.first <= first && one.marker >= end
            });
            batch.is_transactional() && !batch.is_control() && is_its
        };
        let span = |batch: &Batch| (batch.base_offset(), batch.last_offset());
        let aborted = batches.iter().filter(|batch| self.reads_committed && is_aborted(batch));
        let offsets = ReadBatches {
            fetch_offset: offset,
            batches: batches.iter().map(span).collect(),
            aborted: aborted.map(span).collect(),
        };
        let cut = next.map(|batch| (room.min(batch.bytes()), batch));
        Ok(ReadLog { batches, cut, offsets })
    }

    fn end(&self, partition: &Partition) -> Offset {
        if self.reads_committed {
            partition.last_stable_offset()
        } else {
            partition.high_watermark()
        }
    }
}

/// What was read of one log.
struct ReadLog {
    batches: Vec<Batch>,
    /// The beginning of the next batch, so many bytes of it.
    cut: Option<(usize, Batch)>,
    offsets: ReadBatches,
}

impl ReadLog {
    fn bytes(&self) -> usize {
        let cut = self.cut.as_ref().map_or(0, |(bytes, _)| *bytes);
        self.batches.iter().map(Batch::bytes).sum::<usize>() + cut
    }

    /// The batches with records that were acquired. A single batch comes with what was read after it.
    fn slice(&self, acquired: &[Acquired]) -> Records {
        let (Some(first), Some(last)) = (acquired.first(), acquired.last()) else { return empty() };
        if let [_] = self.batches.as_slice() {
            let cut = self.cut.as_ref().map(|(bytes, batch)| (batch, *bytes));
            return join(&self.batches.iter().collect::<Vec<_>>(), cut);
        }
        let from = self.batches.iter().rposition(|batch| batch.base_offset() <= first.first);
        let from = from.unwrap_or(0);
        let within =
            self.batches.iter().enumerate().filter(|(at, batch)| {
                *at == from || (*at > from && batch.base_offset() <= last.last)
            });
        join(&within.map(|(_, batch)| batch).collect::<Vec<_>>(), None)
    }
}

fn check(
    state: &State,
    call: &Call<'_>,
    request: &ShareFetchRequest,
) -> Result<SessionKey, ErrorCode> {
    let key = session_key(state, request.group_id.as_ref(), request.member_id.as_ref())?;
    let limits = [request.max_bytes, request.min_bytes, request.max_records, request.max_wait_ms];
    if is_renewal(call, request) && limits.iter().any(|limit| *limit != 0) {
        return Err(ErrorCode::INVALID_REQUEST);
    }
    Ok(key)
}

/// Whether the request only renews locks and fetches nothing.
fn is_renewal(call: &Call<'_>, request: &ShareFetchRequest) -> bool {
    call.version >= 2 && request.is_renew_ack
}

/// Takes the session part of a request; returns what is to be fetched.
fn open_session(
    state: &mut State,
    call: &Call<'_>,
    key: &SessionKey,
    request: &ShareFetchRequest,
) -> Result<Vec<SharedPartition>, ErrorCode> {
    let mut wanted: Vec<SharedPartition> = Vec::new();
    let mut seen = BTreeSet::new();
    for topic in &request.topics {
        let name = state.topic_ids.get(&topic.topic_id);
        for partition in &topic.partitions {
            let index = partition.partition_index;
            if seen.insert((topic.topic_id, index)) {
                wanted.push(SharedPartition::new(topic.topic_id, name.cloned(), index));
            }
        }
    }
    let forgotten = request.forgotten_topics_data.iter();
    let forgotten: Vec<_> = forgotten
        .flat_map(|topic| topic.partitions.iter().map(|partition| (topic.topic_id, *partition)))
        .collect();
    let node = state.nodes.get_mut(call.node).ok_or(ErrorCode::UNKNOWN_SERVER_ERROR)?;
    let sessions = &mut node.share_sessions;
    match request.share_session_epoch {
        FINAL_EPOCH => sessions.check(key).map(|()| Vec::new()),
        INITIAL_EPOCH if !raw_batches(request).is_empty() => Err(ErrorCode::INVALID_REQUEST),
        INITIAL_EPOCH => {
            sessions.begin(key, call.connection, wanted.clone())?;
            Ok(wanted)
        }
        epoch => sessions.go_on(key, epoch, wanted, &forgotten),
    }
}

/// The same request with all topics of the session that it goes on with.
pub(crate) fn in_full(
    state: &State,
    node: NodeId,
    request: &ShareFetchRequest,
) -> Option<ShareFetchRequest> {
    if request.share_session_epoch <= INITIAL_EPOCH {
        return None;
    }
    let key = session_key(state, request.group_id.as_ref(), request.member_id.as_ref()).ok()?;
    let mut whole = request.clone();
    for one in state.nodes.get(node)?.share_sessions.partitions(&key) {
        let (id, index) = (one.topic_id, one.partition);
        let is_forgotten = request
            .forgotten_topics_data
            .iter()
            .any(|topic| topic.topic_id == id && topic.partitions.contains(&index));
        let is_named = whole.topics.iter().any(|topic| topic.topic_id == id);
        if !is_forgotten && !is_named {
            whole.topics.push(FetchTopic { topic_id: id, partitions: Vec::new() });
        }
    }
    Some(whole)
}

/// The acknowledgements that come along. If any partition has some, each that is named is answered.
fn raw_batches(request: &ShareFetchRequest) -> RawBatches<'_> {
    let mut batches = RawBatches::new();
    for topic in &request.topics {
        for partition in &topic.partitions {
            let raw = partition.acknowledgement_batches.iter().map(|batch| RawBatch {
                first: batch.first_offset,
                last: batch.last_offset,
                types: &batch.acknowledge_types,
            });
            batches.insert((topic.topic_id, partition.partition_index), raw.collect());
        }
    }
    if batches.values().all(Vec::is_empty) { RawBatches::new() } else { batches }
}

fn plan(
    state: &State,
    call: &Call<'_>,
    session: &SessionKey,
    request: &ShareFetchRequest,
) -> SharePlan {
    let bytes = |wire: i32| usize::try_from(wire).unwrap_or(0);
    let window = state.quotas.window_bytes(Used::Fetch, call.client_id);
    // More than a window has room for would never be told.
    let bytes_max = bytes(request.max_bytes)
        .min(state.settings.fetch_bytes_max)
        .min(window.unwrap_or(usize::MAX));
    let (group, member) = session;
    SharePlan {
        node: call.node,
        epoch: request.share_session_epoch,
        demand: Demand {
            member: member.as_str().into(),
            records_max: request.max_records.into(),
            is_strict: call.version >= 2 && request.share_acquire_mode == RECORD_LIMIT,
            batch_size: request.batch_size.into(),
        },
        bytes_min: bytes(request.min_bytes).min(bytes_max),
        bytes_max,
        reads_committed: state.share_config(group).reads_committed,
        session: session.clone(),
        shares: Vec::new(),
        partitions: Vec::new(),
        failed: Vec::new(),
        taken: Taken::new(),
        refused: None,
        limited: window.map(|_| call.client_id.to_owned()),
    }
}

/// Counts what is given out.
fn note_read(state: &mut State, told: &[(Uuid, PartitionData)]) {
    for (topic_id, data) in told {
        if let Some(topic) = state.topic_ids.get(topic_id) {
            state.journal.note_read(topic, data.records.len());
        }
    }
}

/// Says how acknowledgements were taken, also of partitions about which there is nothing else to say.
fn add_taken(told: &mut Vec<(Uuid, PartitionData)>, taken: &Taken) {
    let say = |data: &mut PartitionData, done: &Result<(), Said>| {
        let (code, message) = done.clone().err().unwrap_or((ErrorCode::NONE, None));
        data.acknowledge_error_code = code;
        data.acknowledge_error_message = message.map(ByteString::from);
    };
    let mut is_told = BTreeSet::new();
    for (topic_id, data) in told.iter_mut() {
        let partition = (*topic_id, data.partition_index);
        if let Some(done) = taken.get(&partition) {
            say(data, done);
        }
        is_told.insert(partition);
    }
    for (partition, done) in taken.iter().filter(|(partition, _)| !is_told.contains(partition)) {
        let mut data = blank(partition.1);
        say(&mut data, done);
        told.push((partition.0, data));
    }
}

/// Tells who leads where the answer is that another node does.
fn name_leaders(state: &State, told: &mut [(Uuid, PartitionData)]) -> Vec<NodeEndpoint> {
    let mut leaders = BTreeSet::new();
    for (topic_id, data) in told {
        let is_stale = data.error_code == ErrorCode::NOT_LEADER_OR_FOLLOWER;
        let topic = state.topic_ids.get(topic_id).filter(|_| is_stale);
        let led = topic.and_then(|topic| state.partition(topic.as_str(), data.partition_index));
        if let Some((partition, leader)) = led.and_then(|led| Some((led, led.leader()?))) {
            let leader_epoch = partition.leader_epoch().get();
            data.current_leader = LeaderIdAndEpoch { leader_id: leader.get(), leader_epoch };
            leaders.insert(leader);
        }
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

fn count(acquired: &Acquired) -> i64 {
    acquired.last.get() - acquired.first.get() + 1
}

fn acquired_records(acquired: Acquired) -> AcquiredRecords {
    AcquiredRecords {
        first_offset: acquired.first.get(),
        last_offset: acquired.last.get(),
        delivery_count: acquired.delivery_count,
    }
}

fn blank(partition_index: i32) -> PartitionData {
    PartitionData { partition_index, records: empty(), ..Default::default() }
}

fn empty() -> Records {
    Records { head: Bytes::new(), body: Bytes::new() }
}

/// The mode that keeps to `max_records`.
const RECORD_LIMIT: i8 = 1;
