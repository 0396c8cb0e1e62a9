//! Produce (key 0), versions 3-13.
//!
//! Appends one batch per partition, checks sequences as Kafka does, and with acks=-1 answers once every in-sync
//! replica has it. With acks=0 nothing is answered; an error then closes the connection.
//!
//! A transactional batch needs its partition in the producer's transaction: from version 12 on it is added by the batch
//! itself, before that by AddPartitionsToTxn (KIP-890). While the markers of the last transaction are due a real broker
//! tries that for 100 ms before it answers CONCURRENT_TRANSACTIONS; here it is answered at once.
//!
//! Notes: versions 0-2 are advertised, as Kafka does for the sake of librdkafka (KAFKA-18659), and refused, which
//! brokers before 4.0 do not. zstd needs version 7. From version 10 on an answer that sends the client elsewhere
//! names the leader (KIP-951).

use std::collections::BTreeSet;
use std::time::Duration;

use milena_types::{ErrorCode, LeaderEpoch, NodeId, Offset, Timestamp, TopicPartition};
use milena_wire::messages::produce_request::{PartitionProduceData, ProduceRequest};
use milena_wire::messages::produce_response::{
    BatchIndexAndErrorMessage, LeaderIdAndEpoch, NodeEndpoint, PartitionProduceResponse,
    ProduceResponse, TopicProduceResponse,
};
use milena_wire::{ByteString, Records, Response};

use super::{Call, Outcome, Versions, milliseconds};
use crate::acl::AclOperation;
use crate::fetch::TopicKey;
use crate::journal::AcceptedBatch;
use crate::quota::Used;
use crate::state::{Identity, State, Wait, is_internal};
use crate::storage::{Batch, OUT_OF_ORDER, Rejected, Sent, begins_with_batch};
use crate::topic::{Appended, Origin, Partition};

pub(super) const VERSIONS: Versions = Versions::new(3, 13);

/// The first version that adds partitions to transactions.
const ENROLS_SINCE: i16 = 12;

/// The first version that knows TRANSACTION_ABORTABLE.
const ABORTABLE_SINCE: i16 = 11;

/// A Produce whose batches are appended and whose answer may have to wait for replicas.
#[derive(Debug)]
pub(crate) struct ProducePlan {
    node: NodeId,
    version: i16,
    response: ProduceResponse,
    partitions: Vec<TopicPartition>,
    waits: Vec<Waiting>,
}

/// A batch that is to be replicated before it is acknowledged.
#[derive(Debug)]
struct Waiting {
    /// Where the answer stands in the response.
    place: (usize, usize),
    partition: TopicPartition,
    end: Offset,
    written_in: Option<LeaderEpoch>,
}

pub(super) fn handle(state: &mut State, call: &Call<'_>, request: &ProduceRequest) -> Outcome {
    if !matches!(request.acks, -1..=1) {
        return Outcome::Answer(error(request, ErrorCode::INVALID_REQUIRED_ACKS));
    }
    if state.settings.release().closes_on_unreadable_records() && !is_readable(request) {
        return Outcome::Close;
    }
    let mut plan = ProducePlan {
        node: call.node,
        version: call.version,
        response: ProduceResponse::default(),
        partitions: Vec::new(),
        waits: Vec::new(),
    };
    let by_id = call.version >= 13;
    for (topic_at, topic) in request.topic_data.iter().enumerate() {
        let key = if by_id {
            TopicKey::Id(topic.topic_id)
        } else {
            TopicKey::Name((&*topic.name).into())
        };
        let name = call.topic(state, AclOperation::Write, &key);
        let mut answers = Vec::with_capacity(topic.partition_data.len());
        for (partition_at, data) in topic.partition_data.iter().enumerate() {
            let partition = name.clone().map(|name| TopicPartition::new(name, data.index));
            let appended = match &partition {
                Ok(partition) => append(state, call, request, partition, data),
                Err(code) => Err(Refusal::from(*code)),
            };
            answers.push(answer_of(data.index, &appended));
            if let (Ok(partition), Ok(Stored { appended, written_in, .. })) = (partition, appended)
            {
                let place = (topic_at, partition_at);
                plan.partitions.push(partition.clone());
                let end = appended.end;
                plan.waits.push(Waiting { place, partition, end, written_in });
            }
        }
        plan.response.responses.push(TopicProduceResponse {
            name: topic.name.clone(),
            topic_id: topic.topic_id,
            partition_responses: answers,
        });
    }
    for partition in &plan.partitions {
        state.replicate(call.now, partition);
    }
    let sent = request.topic_data.iter().flat_map(|topic| &topic.partition_data);
    let bytes = sent.filter_map(|data| data.records.as_ref()).map(Records::len).sum();
    let silence = state.quotas.charge(call.now, call.node, Used::Produce, call.client_id, bytes);
    plan.response.throttle_time_ms = milliseconds(silence);
    match request.acks {
        0 if plan.has_errors() => Outcome::Close,
        0 => Outcome::Silent(silence),
        -1 if !plan.is_ready(state) => {
            let patience = Duration::from_millis(u64::try_from(request.timeout_ms).unwrap_or(0));
            let deadline = call.now.checked_add(patience).unwrap_or(call.now);
            state.park(call.ticket, Wait::Produce(plan), deadline);
            Outcome::Wait
        }
        acks => {
            if acks != -1 {
                plan.waits.clear();
            }
            Outcome::Answer(plan.answer(state))
        }
    }
}

/// Whether there is a batch of a known format in each partition's records, whatever is wrong with it.
fn is_readable(request: &ProduceRequest) -> bool {
    let mut sent = request.topic_data.iter().flat_map(|topic| &topic.partition_data);
    sent.all(|data| data.records.as_ref().is_some_and(|records| begins_with_batch(&records.head)))
}

/// Every partition of the request with the same error.
pub(super) fn error(request: &ProduceRequest, code: ErrorCode) -> Response {
    let rejected = Err(Refusal::from(code));
    let responses = request.topic_data.iter().map(|topic| TopicProduceResponse {
        name: topic.name.clone(),
        topic_id: topic.topic_id,
        partition_responses: topic
            .partition_data
            .iter()
            .map(|data| answer_of(data.index, &rejected))
            .collect(),
    });
    ProduceResponse { responses: responses.collect(), ..Default::default() }.into()
}

impl ProducePlan {
    pub(crate) fn partitions(&self) -> &[TopicPartition] {
        &self.partitions
    }

    /// Whether nothing is left to wait for.
    pub(crate) fn is_ready(&self, state: &State) -> bool {
        self.waits.iter().all(|waiting| waiting.fate(state, self.node).is_some())
    }

    /// The answer; what is not replicated by now has timed out.
    pub(crate) fn answer(mut self, state: &State) -> Response {
        for waiting in &self.waits {
            let code = waiting.fate(state, self.node).unwrap_or(ErrorCode::REQUEST_TIMED_OUT);
            let (topic_at, partition_at) = waiting.place;
            let topic = self.response.responses.get_mut(topic_at);
            let answer = topic.and_then(|topic| topic.partition_responses.get_mut(partition_at));
            if let Some(answer) = answer.filter(|_| code.is_error()) {
                *answer = answer_of(answer.index, &Err(Refusal::from(code)));
            }
        }
        if self.version >= 10 {
            self.name_leaders(state);
        }
        self.response.into()
    }

    fn has_errors(&self) -> bool {
        let topics = self.response.responses.iter();
        topics
            .flat_map(|topic| &topic.partition_responses)
            .any(|answer| answer.error_code.is_error())
    }

    fn name_leaders(&mut self, state: &State) {
        let endpoints = &mut self.response.node_endpoints;
        for topic in &mut self.response.responses {
            let key = match topic.topic_id.is_zero() {
                true => TopicKey::Name((&*topic.name).into()),
                false => TopicKey::Id(topic.topic_id),
            };
            let Ok(name) = state.resolve(&key) else { continue };
            for answer in &mut topic.partition_responses {
                if answer.error_code != ErrorCode::NOT_LEADER_OR_FOLLOWER {
                    continue;
                }
                let Some(partition) = state.partition(name.as_str(), answer.index) else {
                    continue;
                };
                let Some(leader) = partition.leader() else { continue };
                answer.current_leader = LeaderIdAndEpoch {
                    leader_id: leader.get(),
                    leader_epoch: partition.leader_epoch().get(),
                };
                let is_named = endpoints.iter().any(|endpoint| endpoint.node_id == leader.get());
                if let Some(node) = state.nodes.get(leader).filter(|_| !is_named) {
                    endpoints.push(NodeEndpoint {
                        node_id: node.id.get(),
                        host: node.host.clone().into(),
                        port: node.port.into(),
                        rack: node.rack.clone().map(ByteString::from),
                    });
                }
            }
        }
    }
}

impl Waiting {
    /// What became of the batch, once that is certain.
    fn fate(&self, state: &State, node: NodeId) -> Option<ErrorCode> {
        let Some(topic) = state.topics.get(&self.partition.topic) else {
            return Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
        };
        let partition = topic.partition(self.partition.partition)?;
        // A leader that leads on in a new epoch still has the batch; one that was cut meanwhile may have another there.
        let is_there = epoch_before(partition, self.end) == self.written_in;
        if partition.leader() != Some(node) || !is_there {
            return Some(ErrorCode::NOT_LEADER_OR_FOLLOWER);
        }
        if partition.high_watermark() < self.end {
            return None;
        }
        let wanted = topic.config.on(Some(node)).min_insync_replicas;
        let is_safe = partition.isr().len() >= in_sync_min(state, partition, wanted);
        Some(if is_safe { ErrorCode::NONE } else { ErrorCode::NOT_ENOUGH_REPLICAS_AFTER_APPEND })
    }
}

/// A batch that is in the log of its leader.
struct Stored {
    appended: Appended,
    /// The epoch of the batch itself: a duplicate is older than its leader may be.
    written_in: Option<LeaderEpoch>,
    log_start: Offset,
}

/// A batch that is not stored.
struct Refusal {
    code: ErrorCode,
    message: Option<ByteString>,
    /// The records that it is not stored for, where it is some of them.
    records: Vec<BatchIndexAndErrorMessage>,
    /// Told where the log itself refused.
    log_start: Option<Offset>,
}

impl Refusal {
    fn by_log(rejected: Rejected, log_start: Offset, tp: &TopicPartition) -> Self {
        // Kafka tells nothing of the log to one whose batch is too large, or thought to be harmed on its way.
        let untold = [ErrorCode::MESSAGE_TOO_LARGE, ErrorCode::CORRUPT_MESSAGE];
        let is_told = !untold.contains(&rejected.code);
        let log_start = Some(log_start).filter(|_| is_told);
        if rejected.keyless.is_empty() {
            return Self { log_start, ..rejected.into() };
        }
        let why = format!("{} in topic partition {tp}", rejected.why);
        let first = rejected.keyless.iter().take(3);
        let first = first.map(|index| format!("RecordError(batchIndex={index}, message='{why}')"));
        let message = format!(
            "One or more records have been rejected due to {} record errors in total, and only showing the first three \
             errors at most: [{}]",
            rejected.keyless.len(),
            first.collect::<Vec<_>>().join(", ")
        );
        let why = ByteString::from(why);
        let records = rejected.keyless.into_iter().map(|batch_index| BatchIndexAndErrorMessage {
            batch_index,
            batch_index_error_message: Some(why.clone()),
        });
        let (message, records) = (Some(message.into()), records.collect());
        Self { code: rejected.code, message, records, log_start }
    }
}

impl From<Rejected> for Refusal {
    fn from(Rejected { code, why, .. }: Rejected) -> Self {
        let message = (!why.is_empty()).then(|| ByteString::from_static(why));
        Self { code, message, records: Vec::new(), log_start: None }
    }
}

impl From<ErrorCode> for Refusal {
    fn from(code: ErrorCode) -> Self {
        Rejected::new(code, "").into()
    }
}

fn append(
    state: &mut State,
    call: &Call<'_>,
    request: &ProduceRequest,
    tp: &TopicPartition,
    data: &PartitionProduceData,
) -> Result<Stored, Refusal> {
    let wall = state.wall(call.now);
    let reject = Refusal::from;
    let topic = state.topics.get(&tp.topic);
    let topic = topic.ok_or(reject(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION))?;
    let (config, is_forbidden) = (*topic.config.on(Some(call.node)), is_internal(&tp.topic));
    let partition = topic.partition(tp.partition);
    let partition = partition.ok_or(reject(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION))?;
    if is_forbidden {
        return Err(reject(ErrorCode::INVALID_TOPIC_EXCEPTION));
    }
    partition.check_leader(call.node, None).map_err(|failed| reject(failed.0))?;
    let in_sync_min = in_sync_min(state, partition, config.min_insync_replicas);
    if request.acks == -1 && partition.isr().len() < in_sync_min {
        return Err(reject(ErrorCode::NOT_ENOUGH_REPLICAS));
    }
    let records = data.records.as_ref().map(|records| records.head.clone()).unwrap_or_default();
    let release = state.settings.release();
    let as_known = |rejected: Rejected| match rejected.code {
        ErrorCode::INVALID_RECORD if !release.has_invalid_record() => {
            Rejected { code: ErrorCode::CORRUPT_MESSAGE, ..rejected }
        }
        _ => rejected,
    };
    let batch = Batch::read(&records).map_err(as_known)?;
    if batch.is_zstd() && call.version < 7 {
        return Err(reject(ErrorCode::UNSUPPORTED_COMPRESSION_TYPE));
    }
    let mut late = release.refuses_unknown_producers().then_some(ErrorCode::UNKNOWN_PRODUCER_ID);
    if batch.is_transactional() {
        let transactional_id = request.transactional_id.as_ref();
        let transactional_id =
            transactional_id.ok_or(reject(ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED))?;
        let begins = batch.sent().filter(|sent| !partition.has_open_transaction(*sent));
        if let Some(sent) = begins.filter(|_| release.verifies_transactions()) {
            late = (call.version >= ENROLS_SINCE).then_some(OUT_OF_ORDER);
            enrol(state, call, transactional_id, sent, tp)?;
        }
    }
    let partition = state.partition_mut(tp.topic.as_str(), tp.partition);
    let partition = partition.ok_or(reject(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION))?;
    let mut accepted = accepted(&batch, wall, call.node, tp, partition);
    let log_start = partition.log().start();
    let appended = partition
        .append(batch, Origin::Client { late }, &config, wall)
        .map_err(|rejected| Refusal::by_log(as_known(rejected), log_start, tp))?;
    partition.shrink(&config);
    let (written_in, log_start) = (epoch_before(partition, appended.end), partition.log().start());
    if !appended.is_duplicate {
        accepted.base_offset = appended.base_offset;
        state.journal.note_batch(accepted);
    }
    Ok(Stored { appended, written_in, log_start })
}

/// The epoch that wrote the record before `end`.
fn epoch_before(partition: &Partition, end: Offset) -> Option<LeaderEpoch> {
    let last = end.get().checked_sub(1).and_then(Offset::new)?;
    partition.log().epoch_at(last)
}

/// Sees to it that the partition takes part in the producer's transaction: from version 12 on it is added, in older
/// versions it must have been (KIP-890).
fn enrol(
    state: &mut State,
    call: &Call<'_>,
    transactional_id: &str,
    sent: Sent,
    tp: &TopicPartition,
) -> Result<(), Refusal> {
    let producer = Identity { id: sent.producer_id, epoch: sent.producer_epoch };
    let enrols = call.version >= ENROLS_SINCE;
    let partitions = BTreeSet::from([tp.clone()]);
    if let Some(partition) = state.partition_mut(tp.topic.as_str(), tp.partition) {
        partition.expect_first(sent);
    }
    let enrolled = state.enrol(call.now, transactional_id, producer, &partitions, enrols);
    enrolled.map_err(|code| {
        let code = match code {
            // Known to the producer from the log's own judgement of epochs, and only there.
            ErrorCode::PRODUCER_FENCED => ErrorCode::INVALID_PRODUCER_EPOCH,
            ErrorCode::TRANSACTION_ABORTABLE if call.version < ABORTABLE_SINCE => {
                ErrorCode::INVALID_TXN_STATE
            }
            ErrorCode::CONCURRENT_TRANSACTIONS if enrols => code,
            // Older producers try again on this one without asking for metadata first.
            ErrorCode::CONCURRENT_TRANSACTIONS | ErrorCode::COORDINATOR_NOT_AVAILABLE => {
                ErrorCode::NOT_ENOUGH_REPLICAS
            }
            code => code,
        };
        Refusal::from(code)
    })
}

/// What the journal says of a batch, once it has its offset.
pub(crate) fn accepted(
    batch: &Batch,
    at: Timestamp,
    node: NodeId,
    tp: &TopicPartition,
    partition: &Partition,
) -> AcceptedBatch {
    AcceptedBatch {
        at,
        node,
        leader_epoch: partition.leader_epoch(),
        partition: tp.clone(),
        base_offset: batch.base_offset(),
        records: batch.records(),
        bytes: batch.bytes(),
        producer: batch.sent().map(|sent| (sent.producer_id, sent.producer_epoch)),
        base_sequence: batch.sent().and_then(|sent| sent.base_sequence),
        is_transactional: batch.is_transactional(),
        is_control: batch.is_control(),
    }
}

/// How many replicas must be in sync for whoever waits for all of them.
fn in_sync_min(state: &State, partition: &Partition, wanted: usize) -> usize {
    let most = state.settings.release().asks_for_no_more_than_all();
    let most = if most { partition.replicas().count() } else { usize::MAX };
    wanted.min(most)
}

fn answer_of(index: i32, stored: &Result<Stored, Refusal>) -> PartitionProduceResponse {
    let answer = PartitionProduceResponse {
        index,
        base_offset: -1,
        log_append_time_ms: -1,
        log_start_offset: -1,
        ..Default::default()
    };
    match stored {
        Ok(stored) => PartitionProduceResponse {
            base_offset: stored.appended.base_offset.get(),
            log_append_time_ms: stored.appended.append_time.map_or(-1, |time| time.millis()),
            log_start_offset: stored.log_start.get(),
            ..answer
        },
        Err(Refusal { code, message, records, log_start }) => PartitionProduceResponse {
            error_code: *code,
            log_start_offset: log_start.map_or(-1, Offset::get),
            record_errors: records.clone(),
            error_message: message.clone(),
            ..answer
        },
    }
}
