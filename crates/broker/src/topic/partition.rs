//! One partition: its log, its replicas and who leads them.

use milena_types::{ErrorCode, LeaderEpoch, NodeId, Offset, Timestamp};

use super::config::LogConfig;
use super::replication::Replica;
use super::saved::Saved;
use milena_records::TimestampType;

use crate::storage::{
    Batch, EpochEnd, Log, MarkerTerm, Producers, Rejected, Rewritten, Sent, Stored, Transactions,
    Verdict,
};

/// A replicated partition. How leaders come and go is in the module `replication`.
#[derive(Clone, Debug)]
pub(crate) struct Partition {
    pub(super) replicas: Vec<Replica>,
    pub(super) leader: Option<NodeId>,
    pub(super) leader_epoch: LeaderEpoch,
    pub(super) isr: Vec<NodeId>,
    pub(super) high_watermark: Offset,
    pub(super) log: Log,
    pub(super) producers: Producers,
    pub(super) transactions: Transactions,
    /// How far all this is written down.
    pub(super) saved: Saved,
}

/// A batch that is in the log.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Appended {
    pub(crate) base_offset: Offset,
    /// The offset after its last record: replicated once the high watermark reaches it.
    pub(crate) end: Offset,
    /// The broker's clock, where the topic wants it in the records.
    pub(crate) append_time: Option<Timestamp>,
    /// Whether it was there before.
    pub(crate) is_duplicate: bool,
}

/// Who appends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Origin {
    Client {
        /// What a producer of which nothing is known here is refused with unless it begins at sequence 0: it is to where
        /// this may be the first batch of a transaction by KIP-890, and did before KIP-360.
        late: Option<ErrorCode>,
    },
    /// The transaction coordinator, in this term: a marker, and whether it commits.
    Coordinator { is_commit: bool, term: MarkerTerm },
}

/// Why a partition does not serve a reader.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct PartitionError(pub(crate) ErrorCode);

impl Partition {
    /// An empty partition, led by the first of its replicas.
    pub(crate) fn new(nodes: Vec<NodeId>) -> Self {
        Self {
            saved: Saved::new(nodes.first().copied()),
            leader: nodes.first().copied(),
            leader_epoch: LeaderEpoch::ZERO,
            replicas: nodes.iter().map(|node| Replica { node: *node, end: Offset::ZERO }).collect(),
            isr: nodes,
            high_watermark: Offset::ZERO,
            log: Log::default(),
            producers: Producers::default(),
            transactions: Transactions::default(),
        }
    }

    /// Stores one batch, if size, timestamps and sequence allow it.
    pub(crate) fn append(
        &mut self,
        mut batch: Batch,
        origin: Origin,
        config: &LogConfig,
        now: Timestamp,
    ) -> Result<Appended, Rejected> {
        let reject = |code| Rejected::new(code, "");
        if let (Origin::Coordinator { term, .. }, Some(sent)) = (origin, batch.sent()) {
            let is_open = self.transactions.is_open(sent.producer_id);
            self.producers.check_marker(sent, term, is_open).map_err(reject)?;
        }
        if let Origin::Client { late } = origin {
            check_sent(&batch, config, now)?;
            if let Some(sent) = batch.sent() {
                let verdict = self.producers.check(sent, batch.records(), late);
                match verdict.map_err(reject)? {
                    Verdict::Append => {}
                    Verdict::Duplicate { base_offset, timestamp } => {
                        let end = base_offset.saturating_add(batch.records().into());
                        // Whatever the topic's timestamp type: Kafka answers with the batch's own time.
                        let append_time = Some(timestamp.unwrap_or(now));
                        return Ok(Appended { base_offset, end, append_time, is_duplicate: true });
                    }
                }
                if !batch.is_transactional() && self.transactions.is_open(sent.producer_id) {
                    let why = "a batch outside of the producer's open transaction";
                    return Err(Rejected::new(ErrorCode::INVALID_TXN_STATE, why));
                }
            }
        }
        if config.timestamp_type == TimestampType::LogAppendTime {
            batch.stamp_append_time(now);
        }
        let base_offset = self.log.append(batch, self.leader_epoch);
        if let Some(stored) = self.log.batches().next_back() {
            if let Some(noted) = Stored::of(stored) {
                self.producers.note(noted, now);
            }
            let is_commit = matches!(origin, Origin::Coordinator { is_commit: true, .. });
            self.transactions.note(stored, base_offset, is_commit);
            if let (Origin::Coordinator { term, .. }, Some(sent)) = (origin, stored.sent()) {
                self.producers.note_coordinator(sent.producer_id, term);
            }
        }
        let append_time = append_time(config, now);
        Ok(Appended { base_offset, end: self.log.end(), append_time, is_duplicate: false })
    }

    /// Whether the producer has written to this partition in the transaction that it has open.
    pub(crate) fn has_open_transaction(&self, sent: Sent) -> bool {
        self.transactions.is_open(sent.producer_id)
            && self.producers.epoch(sent.producer_id) == Some(sent.producer_epoch)
    }

    /// A producer is about to write the first batch of a transaction here, if it is let.
    pub(crate) fn expect_first(&mut self, sent: Sent) {
        self.producers.expect_first(sent);
    }

    /// Whether `node` may answer for this partition to a client that knows the leader epoch `known`.
    pub(crate) fn check_leader(
        &self,
        node: NodeId,
        known: Option<LeaderEpoch>,
    ) -> Result<(), PartitionError> {
        self.check_reader(node, known, false).map(|_| ())
    }

    /// Where the copy ends that `node` may read from, for a client that knows the leader epoch `known`; only the
    /// leader's, unless it may be `by_replica`.
    pub(crate) fn check_reader(
        &self,
        node: NodeId,
        known: Option<LeaderEpoch>,
        by_replica: bool,
    ) -> Result<Offset, PartitionError> {
        match known {
            Some(known) if known < self.leader_epoch => {
                Err(PartitionError(ErrorCode::FENCED_LEADER_EPOCH))
            }
            Some(known) if known > self.leader_epoch => {
                Err(PartitionError(ErrorCode::UNKNOWN_LEADER_EPOCH))
            }
            _ if self.leader == Some(node) => Ok(self.log.end()),
            _ => {
                let end = self.end_at(node).filter(|_| by_replica);
                end.ok_or(PartitionError(ErrorCode::NOT_LEADER_OR_FOLLOWER))
            }
        }
    }

    /// Where the copy of this node ends, if it has one.
    pub(crate) fn end_at(&self, node: NodeId) -> Option<Offset> {
        let replica = self.replicas.iter().find(|replica| replica.node == node)?;
        Some(replica.end)
    }

    /// Deletes what is more than retention keeps.
    pub(crate) fn shrink(&mut self, config: &LogConfig) {
        if let Some(bytes_max) = config.retention_bytes.filter(|_| config.is_deleted) {
            let start = self.log.starts_within(bytes_max, self.high_watermark);
            self.delete_before(start);
        }
    }

    /// Deletes what is more, or older, than retention keeps.
    pub(crate) fn retain(&mut self, config: &LogConfig, now: Timestamp) {
        self.shrink(config);
        if let Some(ms) = config.retention_ms.filter(|_| config.is_deleted) {
            let oldest = Timestamp::from_millis(now.millis().saturating_sub(ms));
            let start = self.log.starts_after(oldest, config.segments, self.high_watermark);
            self.delete_before(start);
        }
    }

    /// Compacts what is decided, if the topic is compacted, and says what became of it.
    pub(crate) fn compact(&mut self, config: &LogConfig, now: Timestamp) -> Rewritten {
        let Some(compaction) = &config.compaction else { return Rewritten::new() };
        let until = self.last_stable_offset();
        let rewritten =
            self.log.compact(compaction, config.segments, until, now, &self.transactions);
        self.transactions.forget_compacted(&rewritten);
        rewritten
    }

    /// Makes everything below `start` unreadable; at most up to the high watermark.
    pub(crate) fn delete_before(&mut self, start: Offset) {
        self.log.delete_before(start.min(self.high_watermark));
        self.transactions.trim(self.log.start());
    }

    /// The offset below which every transaction is decided; not below the start, where records of an open one may have
    /// been deleted.
    pub(crate) fn last_stable_offset(&self) -> Offset {
        self.transactions.last_stable_offset(self.high_watermark).max(self.log.start())
    }

    /// Where the newest epoch not newer than `asked` ends.
    pub(crate) fn end_of_epoch(&self, asked: LeaderEpoch) -> Option<EpochEnd> {
        self.log.end_of_epoch(asked, self.leader_epoch)
    }

    pub(crate) fn log(&self) -> &Log {
        &self.log
    }

    pub(crate) fn transactions(&self) -> &Transactions {
        &self.transactions
    }

    pub(crate) fn producers(&self) -> &Producers {
        &self.producers
    }

    pub(crate) fn high_watermark(&self) -> Offset {
        self.high_watermark
    }

    pub(crate) fn leader(&self) -> Option<NodeId> {
        self.leader
    }

    pub(crate) fn leader_epoch(&self) -> LeaderEpoch {
        self.leader_epoch
    }

    /// The nodes that hold a copy, the preferred leader first.
    pub(crate) fn replicas(&self) -> impl Iterator<Item = NodeId> {
        self.replicas.iter().map(|replica| replica.node)
    }

    /// The nodes whose copy is complete.
    pub(crate) fn isr(&self) -> &[NodeId] {
        &self.isr
    }
}

fn append_time(config: &LogConfig, time: Timestamp) -> Option<Timestamp> {
    (config.timestamp_type == TimestampType::LogAppendTime).then_some(time)
}

/// What Kafka's `LogValidator` asks of a client's batch.
fn check_sent(batch: &Batch, config: &LogConfig, now: Timestamp) -> Result<(), Rejected> {
    let invalid = |why| Err(Rejected::new(ErrorCode::INVALID_RECORD, why));
    if batch.bytes() > config.max_message_bytes {
        let why = "the record batch is larger than max.message.bytes";
        return Err(Rejected::new(ErrorCode::MESSAGE_TOO_LARGE, why));
    }
    if batch.base_offset() != Offset::ZERO {
        return invalid("the base offset of a produced batch is 0");
    }
    if batch.records() < 1 || !batch.is_gapless() {
        return invalid("the batch's offsets do not match its count of records");
    }
    if batch.is_control() {
        return invalid("clients cannot write control batches");
    }
    if batch.sent().is_some_and(|sent| sent.base_sequence.is_none()) {
        return invalid("a producer id without a sequence");
    }
    if batch.sent().is_none() && batch.is_transactional() {
        return invalid("a transactional batch without a producer id");
    }
    if config.timestamp_type == TimestampType::CreateTime {
        let ahead = |time: Timestamp| time.millis().saturating_sub(now.millis());
        let is_ahead =
            batch.max_timestamp().is_some_and(|t| ahead(t) > config.timestamp_after_max_ms);
        let is_behind = batch
            .base_timestamp()
            .is_some_and(|t| ahead(t).saturating_neg() > config.timestamp_before_max_ms);
        if is_ahead || is_behind {
            let why = "the timestamp is out of the range that the topic accepts";
            return Err(Rejected::new(ErrorCode::INVALID_TIMESTAMP, why));
        }
    }
    if config.compaction.is_some() { check_keys(batch) } else { Ok(()) }
}

/// A record without a key would be compacted away at once.
fn check_keys(batch: &Batch) -> Result<(), Rejected> {
    let mut keyless = Vec::new();
    let mut index = 0;
    let is_read = batch.for_each_record(|record| {
        if record.key().is_none() {
            keyless.push(index);
        }
        index += 1;
    });
    let why = match (is_read, keyless.is_empty()) {
        (true, true) => return Ok(()),
        (true, false) => "Compacted topic cannot accept message without key",
        (false, _) => "the records cannot be read",
    };
    Err(Rejected { code: ErrorCode::INVALID_RECORD, why, keyless })
}
