//! Which node coordinates which transactional id, and the clockwork of transactions.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use milena_types::{ErrorCode, NodeId, Offset, Topic, TopicPartition};

use super::groups::{OFFSETS_TOPIC, TRANSACTIONS_TOPIC};
use super::{Identity, Refused, State, Timer};
use crate::group::{Commit, MadeGood};
use crate::journal::{AcceptedBatch, AcceptedCommit, EndedTransaction};
use crate::storage::{Batch, MarkerTerm, Sent};
use crate::topic::{Liveness, Origin, Partition};
use crate::transaction::{End, Ending, Init, Transaction, TransactionVersion};

impl State {
    /// Whether `node` coordinates the transactional id.
    pub(crate) fn check_transaction_coordinator(
        &self,
        node: NodeId,
        id: &str,
    ) -> Result<(), ErrorCode> {
        if id.is_empty() {
            return Err(ErrorCode::INVALID_REQUEST);
        }
        let leads = self.transaction_coordinator(id) == Some(node);
        if leads { Ok(()) } else { Err(ErrorCode::NOT_COORDINATOR) }
    }

    /// A producer begins with a transactional id: it gets the next epoch, and what an older one left open is aborted.
    pub(crate) fn init_transactions(
        &mut self,
        now: Instant,
        id: &str,
        expected: Option<Identity>,
        timeout: Duration,
    ) -> Result<Identity, ErrorCode> {
        let Some(transaction) = self.transactions.get_mut(id) else {
            let producer = self.producer_ids.deal();
            let transaction = Transaction::new(now, producer, timeout);
            self.transactions.insert(id.to_owned(), transaction);
            self.arm_transaction(id);
            return Ok(producer);
        };
        let init = transaction.init(now, expected, timeout, &mut self.producer_ids)?;
        self.arm_transaction(id);
        match init {
            Init::Done(producer) => Ok(producer),
            Init::MustFence => {
                self.fence_transaction(now, id);
                Err(ErrorCode::CONCURRENT_TRANSACTIONS)
            }
        }
    }

    /// Lets partitions take part in the producer's transaction.
    pub(crate) fn add_to_transaction(
        &mut self,
        now: Instant,
        id: &str,
        producer: Identity,
        partitions: &BTreeSet<TopicPartition>,
    ) -> Result<(), ErrorCode> {
        let transaction = self.transactions.get_mut(id);
        let transaction = transaction.ok_or(ErrorCode::INVALID_PRODUCER_ID_MAPPING)?;
        transaction.add(now, producer, partitions)?;
        self.arm_transaction(id);
        Ok(())
    }

    /// Sees to it that partitions take part which the producer writes to: they are added, or else must be there.
    pub(crate) fn enrol(
        &mut self,
        now: Instant,
        id: &str,
        producer: Identity,
        partitions: &BTreeSet<TopicPartition>,
        adds: bool,
    ) -> Result<(), ErrorCode> {
        if id.is_empty() {
            return Err(ErrorCode::INVALID_REQUEST);
        }
        if !self.coordinator_of_transaction_runs(id) {
            return Err(ErrorCode::COORDINATOR_NOT_AVAILABLE);
        }
        if adds {
            return self.add_to_transaction(now, id, producer, partitions);
        }
        let transaction = self.transactions.get(id);
        let transaction = transaction.ok_or(ErrorCode::INVALID_PRODUCER_ID_MAPPING)?;
        transaction.check(producer)?;
        let takes_part = partitions.is_subset(transaction.partitions());
        if takes_part { Ok(()) } else { Err(ErrorCode::TRANSACTION_ABORTABLE) }
    }

    /// PRODUCER_FENCED if the log of a group's offsets has seen a later epoch of this producer: only that compares them.
    pub(crate) fn check_overtaken(&self, group: &str, producer: Identity) -> Result<(), ErrorCode> {
        let log = self.offsets_partition(group);
        let log = self.partition(log.topic.as_str(), log.partition);
        let last = log.and_then(|log| log.producers().epoch(producer.id));
        let is_overtaken = last.is_some_and(|last| last > producer.epoch);
        if is_overtaken { Err(ErrorCode::PRODUCER_FENCED) } else { Ok(()) }
    }

    /// Commits or aborts the producer's transaction. Says who the producer is from here on.
    pub(crate) fn end_transaction(
        &mut self,
        now: Instant,
        id: &str,
        producer: Identity,
        end: End,
        version: TransactionVersion,
    ) -> Result<Identity, ErrorCode> {
        let transaction = self.transactions.get_mut(id);
        let transaction = transaction.ok_or(ErrorCode::INVALID_PRODUCER_ID_MAPPING)?;
        match transaction.end(now, producer, end, version, &mut self.producer_ids)? {
            Ending::Repeated(producer) => Ok(producer),
            Ending::Prepared => {
                let next = transaction.next_producer();
                self.note_end(now, id, end);
                self.begin_markers(now, id);
                Ok(next)
            }
        }
    }

    /// Appends a marker to one partition.
    pub(crate) fn append_marker(
        &mut self,
        now: Instant,
        tp: &TopicPartition,
        producer: Identity,
        end: End,
        term: MarkerTerm,
    ) -> Result<Offset, Refused> {
        let wall = self.wall(now);
        let unknown = || Refused::new(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, "no such partition");
        let sent =
            Sent { producer_id: producer.id, producer_epoch: producer.epoch, base_sequence: None };
        let is_commit = end == End::Commit;
        let marker = Batch::marker(sent, is_commit, term.coordinator_epoch, wall)
            .map_err(|error| Refused::new(ErrorCode::UNKNOWN_SERVER_ERROR, error.to_string()))?;
        let topic = self.topics.get_mut(&tp.topic).ok_or_else(unknown)?;
        let leader = topic.partition(tp.partition).and_then(Partition::leader);
        let config = *topic.config.on(leader);
        let partition = topic.partition_mut(tp.partition).ok_or_else(unknown)?;
        let bytes = marker.bytes();
        let origin = Origin::Coordinator { is_commit, term };
        let appended = partition
            .append(marker, origin, &config, wall)
            .map_err(|rejected| Refused::new(rejected.code, rejected.why))?;
        let (leader, leader_epoch) = (partition.leader(), partition.leader_epoch());
        if let Some(node) = leader {
            self.journal.note_batch(AcceptedBatch {
                at: wall,
                node,
                leader_epoch,
                partition: tp.clone(),
                base_offset: appended.base_offset,
                records: 1,
                bytes,
                producer: Some((producer.id, producer.epoch)),
                base_sequence: None,
                is_transactional: true,
                is_control: true,
            });
        }
        if tp.topic == OFFSETS_TOPIC {
            self.end_pending_commits(tp.partition, producer, end);
        }
        self.replicate(now, tp);
        Ok(appended.base_offset)
    }

    pub(super) fn expire_transaction(&mut self, now: Instant, id: &str) {
        if !self.coordinator_of_transaction_runs(id) {
            return;
        }
        let Some(transaction) = self.transactions.get_mut(id) else { return };
        if transaction.is_prepared() {
            self.write_markers(now, id);
        } else if transaction.is_ongoing() {
            self.fence_transaction(now, id);
        } else {
            transaction.die(now);
            self.transactions.remove(id);
            self.touch_transaction(id);
        }
    }

    /// Goes on with what waited for a node: markers that could not be written, deadlines that stood still.
    pub(super) fn resume_transactions(&mut self, now: Instant) {
        let ids: Vec<_> = self.transactions.keys().cloned().collect();
        for id in ids {
            let waits = self.transactions.get(&id).is_some_and(|transaction| {
                transaction.is_prepared() && transaction.markers_due().is_none()
            });
            if waits {
                self.write_markers(now, &id);
            } else {
                self.arm_transaction(&id);
            }
        }
    }

    /// Goes on with what waited for a leader of a topic that is gone.
    pub(super) fn resume_transactions_of(&mut self, now: Instant, topic: &Topic) {
        let waiting = self.transactions.iter().filter(|(_, transaction)| {
            transaction.is_prepared()
                && transaction.markers_due().is_none()
                && transaction.partitions().iter().any(|tp| tp.topic == *topic)
        });
        let ids: Vec<_> = waiting.map(|(id, _)| id.clone()).collect();
        for id in ids {
            self.write_markers(now, &id);
        }
    }

    /// Who coordinates the transactional id.
    fn transaction_coordinator(&self, id: &str) -> Option<NodeId> {
        self.partition(TRANSACTIONS_TOPIC, self.spread.of_transactional_id(id))
            .and_then(Partition::leader)
    }

    fn coordinator_of_transaction_runs(&self, id: &str) -> bool {
        self.transaction_coordinator(id).is_some_and(|node| self.nodes.is_running(node))
    }

    /// Shuts out the producer of an open transaction and aborts what it wrote.
    fn fence_transaction(&mut self, now: Instant, id: &str) {
        let version = self.settings.transaction_version();
        if let Some(transaction) = self.transactions.get_mut(id) {
            transaction.fence(now, version);
        }
        self.note_end(now, id, End::Abort);
        self.begin_markers(now, id);
    }

    fn begin_markers(&mut self, now: Instant, id: &str) {
        let delay = self.settings.transaction_marker_delay;
        if delay.is_zero() {
            self.write_markers(now, id);
        } else if let Some(transaction) = self.transactions.get_mut(id) {
            transaction.delay_markers(now.checked_add(delay));
            self.arm_transaction(id);
        }
    }

    /// Writes the markers that can be written: a partition whose leader does not run gets its own once one does.
    fn write_markers(&mut self, now: Instant, id: &str) {
        let Some(transaction) = self.transactions.get(id).filter(|one| one.is_prepared()) else {
            return;
        };
        let (producer, end) = (transaction.producer(), transaction.ending());
        let mut done = Vec::new();
        if self.coordinator_of_transaction_runs(id) {
            let partitions = transaction.partitions().clone();
            let term = self.partition(TRANSACTIONS_TOPIC, self.spread.of_transactional_id(id));
            // A marker that is written again, as after a coordinator died in between, is none that comes late.
            let version = TransactionVersion::V1;
            let coordinator_epoch = term.map(Partition::leader_epoch);
            let term = MarkerTerm { coordinator_epoch, version };
            for tp in partitions {
                let is_led = match self.partition(tp.topic.as_str(), tp.partition) {
                    // The topic is deleted: nothing is left to be marked.
                    None => true,
                    Some(found) => {
                        let leads = found.leader().is_some_and(|node| self.nodes.is_running(node));
                        leads && self.append_marker(now, &tp, producer, end, term).is_ok()
                    }
                };
                done.extend(is_led.then_some(tp));
            }
        }
        let may_complete = self.coordinator_of_transaction_runs(id);
        let Some(transaction) = self.transactions.get_mut(id) else { return };
        for tp in done {
            transaction.remove(&tp);
        }
        if may_complete && transaction.partitions().is_empty() {
            transaction.complete(now);
        } else {
            transaction.delay_markers(None);
        }
        self.arm_transaction(id);
    }

    /// Sets the transaction's timer; while its coordinator stands still, so do its deadlines.
    fn arm_transaction(&mut self, id: &str) {
        let expiration = self.settings.transactional_id_expiration;
        let transaction =
            self.transactions.get(id).filter(|_| self.coordinator_of_transaction_runs(id));
        let deadline = transaction.and_then(|transaction| transaction.deadline(expiration));
        self.timers.set(Timer::Transaction(id.to_owned()), deadline);
        self.touch_transaction(id);
    }

    fn note_end(&mut self, now: Instant, id: &str, end: End) {
        let at = self.wall(now);
        let Some(transaction) = self.transactions.get(id) else { return };
        let Identity { id: producer_id, epoch } = transaction.producer();
        self.journal.note_transaction(EndedTransaction {
            at,
            transactional_id: id.to_owned(),
            producer: (producer_id, epoch),
            is_commit: end == End::Commit,
            partitions: transaction.partitions().iter().cloned().collect(),
        });
    }

    /// What transactions committed for groups counts from here on, or never.
    pub(super) fn end_pending_commits(&mut self, index: i32, producer: Identity, end: End) {
        let spread = self.spread;
        for (name, group) in &mut self.groups {
            if spread.of_group(name) != index {
                continue;
            }
            for MadeGood { member_id, commit } in group.offsets.end_transaction(producer.id, end) {
                let Commit { partition, committed } = commit;
                let group = name.clone();
                self.journal.note_commit(AcceptedCommit { group, member_id, partition, committed });
            }
        }
    }

    /// The partition of `__consumer_offsets` that takes part where a transaction commits for a group.
    pub(crate) fn offsets_partition(&self, group: &str) -> TopicPartition {
        TopicPartition::new(Topic::from(OFFSETS_TOPIC), self.spread.of_group(group))
    }
}
