//! What the cluster accepted: the evidence that tests assert on.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use milena_types::{
    ApiKey, CorrelationId, LeaderEpoch, NodeId, Offset, ProducerEpoch, ProducerId, Sequence,
    Timestamp, Topic, TopicPartition, Uuid,
};

use crate::group::Committed;
use crate::share::Acknowledgement;

/// Everything accepted since the start, each kind bounded by [`Settings::journal_max`](crate::Settings).
#[derive(Clone, Debug)]
pub struct Journal {
    entries_max: usize,
    batches: VecDeque<AcceptedBatch>,
    commits: VecDeque<AcceptedCommit>,
    acknowledgements: VecDeque<AcceptedAcknowledgement>,
    transactions: VecDeque<EndedTransaction>,
    telemetry: VecDeque<AcceptedTelemetry>,
    telemetry_bytes: usize,
    requests: VecDeque<SeenRequest>,
    request_counts: BTreeMap<ApiKey, u64>,
    topics: BTreeMap<Topic, TopicMetrics>,
}

/// What a topic has taken and given since it was made, as Kafka's `BrokerTopicMetrics`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct TopicMetrics {
    /// Records stored, transaction markers among them.
    pub messages_in: u64,
    /// Bytes of the batches stored, as they were sent.
    pub bytes_in: u64,
    /// Bytes of the batches given to consumers.
    pub bytes_out: u64,
}

/// A batch that was appended to a log. A duplicate that was only acknowledged again is not among these.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct AcceptedBatch {
    /// When.
    pub at: Timestamp,
    /// The leader that took it.
    pub node: NodeId,
    /// The leader's epoch.
    pub leader_epoch: LeaderEpoch,
    /// Where it lies.
    pub partition: TopicPartition,
    /// The offset of its first record.
    pub base_offset: Offset,
    /// How many records it has.
    pub records: i32,
    /// Its size.
    pub bytes: usize,
    /// The idempotent producer that sent it.
    pub producer: Option<(ProducerId, ProducerEpoch)>,
    /// The sequence of its first record.
    pub base_sequence: Option<Sequence>,
    /// Whether it belongs to a transaction.
    pub is_transactional: bool,
    /// Whether it is a transaction's marker.
    pub is_control: bool,
}

/// An offset that a group committed.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct AcceptedCommit {
    /// The group.
    pub group: String,
    /// The member that committed; empty for a consumer without membership.
    pub member_id: String,
    /// For which partition.
    pub partition: TopicPartition,
    /// What.
    pub committed: Committed,
}

/// What a member of a share group said of neighbouring records, and was believed.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct AcceptedAcknowledgement {
    /// When.
    pub at: Timestamp,
    /// The share group.
    pub group: String,
    /// The member that held the records, or speaks of what is done with already.
    pub member_id: String,
    /// Where the records lie.
    pub partition: TopicPartition,
    /// The first of them.
    pub first: Offset,
    /// The last of them.
    pub last: Offset,
    /// What was said.
    pub said: Acknowledgement,
}

/// A transaction whose end was decided: by its producer, by a newer one, or by time.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct EndedTransaction {
    /// When.
    pub at: Timestamp,
    /// Whose.
    pub transactional_id: String,
    /// The id and epoch that its markers carry.
    pub producer: (ProducerId, ProducerEpoch),
    /// Committed, or else aborted.
    pub is_commit: bool,
    /// The partitions that took part.
    pub partitions: Vec<TopicPartition>,
}

/// What a client pushed of its metrics.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct AcceptedTelemetry {
    /// When.
    pub at: Timestamp,
    /// The node that took it.
    pub node: NodeId,
    /// What the client calls itself.
    pub client_id: String,
    /// The id by which the brokers know it.
    pub client_instance_id: Uuid,
    /// For which subscriptions it was.
    pub subscription_id: i32,
    /// Whether the client said that it ends.
    pub is_terminating: bool,
    /// `MetricsData` of OpenTelemetry, in protobuf, decompressed.
    pub metrics: Bytes,
}

/// A request that a node read.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct SeenRequest {
    /// When.
    pub at: Timestamp,
    /// The node that read it.
    pub node: NodeId,
    /// What was asked.
    pub api: ApiKey,
    /// In which version.
    pub version: i16,
    /// The number that the answer repeats.
    pub correlation_id: CorrelationId,
    /// What the client calls itself.
    pub client_id: Option<String>,
}

impl Journal {
    pub(crate) fn new(entries_max: usize) -> Self {
        Self {
            entries_max,
            batches: VecDeque::new(),
            commits: VecDeque::new(),
            acknowledgements: VecDeque::new(),
            transactions: VecDeque::new(),
            telemetry: VecDeque::new(),
            telemetry_bytes: 0,
            requests: VecDeque::new(),
            request_counts: BTreeMap::new(),
            topics: BTreeMap::new(),
        }
    }

    /// The batches appended, oldest first.
    pub fn batches(&self) -> impl DoubleEndedIterator<Item = &AcceptedBatch> {
        self.batches.iter()
    }

    /// The commits taken, oldest first.
    pub fn commits(&self) -> impl DoubleEndedIterator<Item = &AcceptedCommit> {
        self.commits.iter()
    }

    /// The acknowledgements of share groups taken, oldest first.
    pub fn acknowledgements(&self) -> impl DoubleEndedIterator<Item = &AcceptedAcknowledgement> {
        self.acknowledgements.iter()
    }

    /// The transactions ended, oldest first.
    pub fn transactions(&self) -> impl DoubleEndedIterator<Item = &EndedTransaction> {
        self.transactions.iter()
    }

    /// What clients pushed of their metrics, oldest first; of 64 MiB at most, whatever the settings say.
    pub fn telemetry(&self) -> impl DoubleEndedIterator<Item = &AcceptedTelemetry> {
        self.telemetry.iter()
    }

    /// The requests read, oldest first.
    pub fn requests(&self) -> impl DoubleEndedIterator<Item = &SeenRequest> {
        self.requests.iter()
    }

    /// How many requests of this API were read since the start.
    pub fn request_count(&self, api: ApiKey) -> u64 {
        self.request_counts.get(&api).copied().unwrap_or(0)
    }

    /// What each topic that is there has taken and given, those left out that did neither.
    pub fn topics(&self) -> impl Iterator<Item = (&Topic, &TopicMetrics)> {
        self.topics.iter()
    }

    pub(crate) fn note_read(&mut self, topic: &Topic, bytes: usize) {
        if bytes > 0 {
            self.topics.entry(topic.clone()).or_default().bytes_out += bytes as u64;
        }
    }

    /// A topic is gone; one of its name that is made later begins anew.
    pub(crate) fn forget_topic(&mut self, topic: &Topic) {
        self.topics.remove(topic);
    }

    pub(crate) fn note_batch(&mut self, batch: AcceptedBatch) {
        let metrics = self.topics.entry(batch.partition.topic.clone()).or_default();
        metrics.messages_in += u64::try_from(batch.records).unwrap_or(0);
        metrics.bytes_in += batch.bytes as u64;
        push(&mut self.batches, batch, self.entries_max);
    }

    pub(crate) fn note_commit(&mut self, commit: AcceptedCommit) {
        push(&mut self.commits, commit, self.entries_max);
    }

    pub(crate) fn note_acknowledgement(&mut self, acknowledgement: AcceptedAcknowledgement) {
        push(&mut self.acknowledgements, acknowledgement, self.entries_max);
    }

    pub(crate) fn note_transaction(&mut self, transaction: EndedTransaction) {
        push(&mut self.transactions, transaction, self.entries_max);
    }

    pub(crate) fn note_telemetry(&mut self, pushed: AcceptedTelemetry) {
        self.telemetry_bytes += pushed.metrics.len();
        self.telemetry.push_back(pushed);
        while self.telemetry.len() > self.entries_max || self.telemetry_bytes > TELEMETRY_BYTES_MAX
        {
            let Some(oldest) = self.telemetry.pop_front() else { break };
            self.telemetry_bytes -= oldest.metrics.len();
        }
    }

    pub(crate) fn note_request(&mut self, request: SeenRequest) {
        *self.request_counts.entry(request.api).or_default() += 1;
        push(&mut self.requests, request, self.entries_max);
    }
}

/// A plugin would hand on what is pushed; here it takes memory.
const TELEMETRY_BYTES_MAX: usize = 64 << 20;

fn push<T>(ring: &mut VecDeque<T>, entry: T, max: usize) {
    if max == 0 {
        return;
    }
    if ring.len() >= max {
        ring.pop_front();
    }
    ring.push_back(entry);
}
