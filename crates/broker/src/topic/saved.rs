//! What of a partition is written down already, and what became of it since.

use milena_types::{LeaderEpoch, NodeId, Offset, Timestamp};

use super::partition::Partition;
use super::replication::Replica;
use crate::storage::{Batch, LogImage, MarkerTerm, Rewritten, Stored};
use crate::store::{Entry, Place};
use crate::transaction::{End, TransactionVersion};

/// How far a partition is written down.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Saved {
    leader: Option<NodeId>,
    leader_epoch: LeaderEpoch,
    start: Offset,
    end: Offset,
    /// Where the log was cut off since, of what was written down.
    cut: Option<Offset>,
}

impl Saved {
    /// A partition that was just made.
    pub(super) fn new(leader: Option<NodeId>) -> Self {
        let (leader_epoch, zero) = (LeaderEpoch::ZERO, Offset::ZERO);
        Self { leader, leader_epoch, start: zero, end: zero, cut: None }
    }

    /// The log ends earlier.
    pub(super) fn note_cut(&mut self, end: Offset) {
        if end < self.end {
            self.end = end;
            self.cut = Some(end);
        }
    }
}

impl Partition {
    /// What happened since the last call.
    pub(crate) fn changes(&mut self, at: Place) -> Vec<Entry> {
        let before = self.saved;
        self.saved = self.as_saved();
        let cut = before.cut.map(|end| Entry::Cut(at, end));
        let is_led_anew = (before.leader, before.leader_epoch) != (self.leader, self.leader_epoch);
        let led = is_led_anew.then(|| Entry::Leader(at, self.leader, self.leader_epoch));
        let started =
            (before.start != self.log.start()).then(|| Entry::LogStart(at, self.log.start()));
        let appended =
            self.log.batches().rev().take_while(|batch| batch.base_offset() >= before.end);
        let appended: Vec<_> = appended.collect();
        // A batch may be deleted before it was ever written down: then the log has moved on past what is told of it.
        let is_skipped = appended.is_empty() && before.end < self.log.end();
        let moved = is_skipped.then(|| Entry::Log(at, self.image()));
        let appended: Vec<_> = appended.into_iter().rev().collect();
        let begins_at =
            appended.partition_point(|batch| batch.leader_epoch() < Some(self.leader_epoch));
        let (older, newer) = appended.split_at(begins_at);
        let told = |batch: &Batch| Entry::Batch(at, batch.clone());
        let (older, newer) = (older.iter().copied().map(told), newer.iter().copied().map(told));
        // An epoch begins where the log ends: behind what older leaders wrote.
        let written = older.chain(led).chain(newer);
        cut.into_iter().chain(written).chain(started).chain(moved).collect()
    }

    /// What there is to know of the log besides its batches.
    pub(crate) fn image(&self) -> LogImage {
        LogImage {
            start: self.log.start(),
            end: self.log.end(),
            epochs: self.log.epochs().clone(),
            producers: self.producers.clone(),
            transactions: self.transactions.clone(),
        }
    }

    /// Puts back what was told by [`Entry::Leader`].
    pub(crate) fn restore_leader(&mut self, leader: Option<NodeId>, epoch: LeaderEpoch) {
        self.leader = leader;
        self.leader_epoch = epoch;
        if leader.is_some() {
            self.log.begin_epoch(epoch);
        }
    }

    /// Puts back which nodes hold the partition.
    pub(crate) fn restore_replicas(&mut self, nodes: Vec<NodeId>) {
        let end = self.log.end();
        self.replicas = nodes.into_iter().map(|node| Replica { node, end }).collect();
    }

    /// Puts a batch back at its place; says how a transaction ended, if it is a marker.
    pub(crate) fn restore_batch(&mut self, batch: Batch) -> Option<End> {
        let (base_offset, sent, marked) = (batch.base_offset(), batch.sent(), batch.end());
        if base_offset < self.log.end() {
            // Told twice.
            return None;
        }
        if let Some(noted) = Stored::of(&batch) {
            let used = batch.max_timestamp().unwrap_or(Timestamp::from_millis(0));
            self.producers.note(noted, used);
        }
        let end = marked.map(|(end, _)| end);
        self.transactions.note(&batch, base_offset, end == Some(End::Commit));
        if let (Some((_, coordinator_epoch)), Some(sent)) = (marked, sent) {
            let term = MarkerTerm { coordinator_epoch, version: TransactionVersion::V1 };
            self.producers.note_coordinator(sent.producer_id, term);
        }
        self.log.restore(batch);
        end
    }

    /// Puts back what was told by [`Entry::Compacted`].
    pub(crate) fn restore_compacted(&mut self, rewritten: Rewritten) {
        self.transactions.forget_compacted(&rewritten);
        self.log.replace(rewritten);
    }

    /// Puts back what was told by [`Entry::LogStart`].
    pub(crate) fn restore_start(&mut self, start: Offset) {
        self.high_watermark = self.log.end();
        self.delete_before(start);
    }

    /// Puts back what batches do not tell.
    pub(crate) fn restore_image(&mut self, image: LogImage) {
        let LogImage { start, end, epochs, producers, transactions } = image;
        self.log.restore_bounds(start, end, epochs);
        self.producers = producers;
        self.transactions = transactions;
    }

    /// All is told. Every replica has the whole log: there is one store for all nodes, which stop and start together.
    pub(crate) fn restored(&mut self) {
        let end = self.log.end();
        for replica in &mut self.replicas {
            replica.end = end;
        }
        self.isr = self.replicas.iter().map(|replica| replica.node).collect();
        self.high_watermark = end;
        self.saved = self.as_saved();
    }

    fn as_saved(&self) -> Saved {
        Saved {
            leader: self.leader,
            leader_epoch: self.leader_epoch,
            start: self.log.start(),
            end: self.log.end(),
            cut: None,
        }
    }
}
