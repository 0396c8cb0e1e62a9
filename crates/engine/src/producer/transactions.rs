//! What a producer's transactions and its sender have to do with each other.

use std::collections::BTreeMap;
use std::time::Instant;

use milena_types::{ProducerEpoch, ProducerId, TopicPartition};

use super::batch::Batch;
use super::sender::{Output, Producer};
use crate::commit::CommittedOffset;
use crate::idempotence::{Repair, Sequences};
use crate::transaction::{
    Event, GroupMetadata, Progress, TransactionCall, TransactionOutcome, TransactionVersion,
    Transactions,
};
use crate::{Error, ErrorKind, Operation};

/// Commands of a producer with a transactional id. Each call comes back with its result as
/// [`Output::TransactionDone`], by its deadline at the latest; what it asked for goes on all the same.
///
/// # Errors
/// `Misuse` of a producer without a transactional id.
impl Producer {
    /// Says which protocol of transactions the cluster has agreed on; counts from the next transaction on.
    pub fn handle_transaction_version(&mut self, version: TransactionVersion) {
        if let Some(transactions) = &mut self.transactions {
            transactions.set_cluster_version(version);
        }
    }

    /// Waits until no transaction is under way and the next could begin; the first time, until the producer has its
    /// identity, and its predecessors are fenced.
    pub fn settle_transaction(&mut self, deadline: Instant) -> Result<TransactionCall, Error> {
        Ok(self.transactions()?.settle(deadline))
    }

    /// Begins a transaction as soon as the last one has ended.
    pub fn begin_transaction(&mut self, deadline: Instant) -> Result<TransactionCall, Error> {
        Ok(self.transactions()?.begin(deadline))
    }

    /// Puts consumed offsets into the open transaction, in the name of a group's member.
    pub fn send_offsets_to_transaction(
        &mut self,
        offsets: BTreeMap<TopicPartition, CommittedOffset>,
        group: GroupMetadata,
        deadline: Instant,
    ) -> Result<TransactionCall, Error> {
        Ok(self.transactions()?.send_offsets(offsets, group, deadline))
    }

    /// Commits the open transaction, once every record of it is stored. If one is not, nothing is committed, and the
    /// transaction can only be aborted.
    pub fn commit_transaction(
        &mut self,
        now: Instant,
        deadline: Instant,
    ) -> Result<TransactionCall, Error> {
        self.transactions()?;
        self.take_news(now);
        self.take_everything(now);
        Ok(self.transactions()?.commit(deadline))
    }

    /// Says under which producer id and epoch the open transaction can be committed from now on, once everything of it is
    /// flushed (KIP-939).
    ///
    /// # Errors
    /// Why it can only be aborted; `Misuse` where two-phase commit is off, or no transaction is open.
    pub fn prepare_transaction(&mut self) -> Result<(ProducerId, ProducerEpoch), Error> {
        let failure = self.unsettled.take_failure();
        let transactions = self.transactions()?;
        if let Some(failure) = failure {
            transactions.fail(&failure);
        }
        transactions.prepare().map(|identity| (identity.producer_id, identity.epoch))
    }

    /// Aborts the open transaction: what is not on its way to a broker is dropped.
    pub fn abort_transaction(&mut self, deadline: Instant) -> Result<TransactionCall, Error> {
        Ok(self.transactions()?.abort(deadline))
    }

    /// Says that something of the open transaction is lost: it can only be aborted.
    pub fn fail_transaction(&mut self, error: &Error) {
        if let Some(transactions) = &mut self.transactions {
            transactions.fail(error);
        }
    }

    /// Aborts the transaction, if one is open, with nobody to wait for it.
    pub fn abandon_transaction(&mut self) {
        if let Some(transactions) = &mut self.transactions {
            transactions.abandon();
        }
    }

    /// How the last transaction ended that did.
    pub fn transaction_outcome(&self) -> Option<TransactionOutcome> {
        self.transactions.as_ref()?.outcome()
    }

    fn transactions(&mut self) -> Result<&mut Transactions, Error> {
        let rule = "transactions take a transactional.id";
        let misuse = || Error::misuse(rule).during(Operation::Transaction);
        self.transactions.as_mut().ok_or_else(misuse)
    }
}

impl Producer {
    /// Lets the transactions go on as far as they can.
    pub(super) fn drive_transactions(&mut self, now: Instant) {
        let failure = self.unsettled.take_failure();
        let Some(transactions) = &mut self.transactions else { return };
        if let Some(failure) = failure {
            transactions.fail(&failure);
        }
        loop {
            while let Some(event) = self.transactions.as_mut().and_then(Transactions::poll_event) {
                self.heed(event);
            }
            let progress = self.progress();
            let Some(transactions) = &mut self.transactions else { return };
            let request = transactions.poll_request(now, &mut self.ids, progress);
            match (request, transactions.poll_event()) {
                (None, None) => return,
                (request, event) => {
                    self.outputs.extend(request.map(Output::Request));
                    if let Some(event) = event {
                        self.heed(event);
                    }
                }
            }
        }
    }

    fn heed(&mut self, event: Event) {
        match event {
            Event::Identity(identity) => {
                self.idempotence.assign(identity);
                for partition in &mut self.partitions {
                    debug_assert!(partition.sent.is_empty(), "batches of the old identity");
                    partition.sequences = Sequences::default();
                }
            }
            Event::Enrolled => self.mark_all(),
            Event::DropUnsent => {
                let refusal = self.transactions.as_ref().and_then(Transactions::refusal);
                let Some(error) = refusal else { return };
                for slot in 0..self.partitions.len() {
                    self.drop_unsent(slot, &error);
                }
            }
            Event::Coordinator(found) => {
                let known = self.cluster.broker(found.id);
                let is_there = known
                    .is_some_and(|known| (&known.host, known.port) == (&found.host, found.port));
                self.wants_refresh |= !is_there;
            }
            Event::Broken(error) => self.fail(&error),
        }
    }

    /// Looked at only where it decides something: it takes a walk over all partitions.
    fn progress(&mut self) -> Progress {
        let needed = self.transactions.as_ref().is_some_and(Transactions::needs_progress);
        let is_drained = needed && self.unsettled.is_empty() && self.in_flight.is_empty();
        let mut has_gaps = false;
        if is_drained {
            for partition in &mut self.partitions {
                partition.sequences.drained();
                has_gaps |= partition.sequences.repair() == Repair::Gap;
            }
        }
        Progress { is_drained, has_gaps }
    }

    /// Sees to it that a partition with records is part of the transaction.
    pub(super) fn enroll(&mut self, slot: usize) {
        let Some(transactions) = &mut self.transactions else { return };
        let Some(partition) = self.partitions.get_mut(slot) else { return };
        if !partition.has_work() {
            return;
        }
        let name = &partition.queue.partition;
        if transactions.may_send(slot, name) {
            partition.enrolled_in = transactions.number();
        }
        if let Some(failure) = self.unsettled.take_failure() {
            // It may be what left the gap, and says more.
            transactions.fail(&failure);
        }
        if partition.sequences.repair() == Repair::Gap {
            // Only a new epoch mends that, and a transaction has one epoch.
            let detail = "the topic was deleted and made anew";
            let error = Error::new(ErrorKind::TransactionAborted).with_detail(detail);
            transactions.fail(&error.during(Operation::Produce).with_partition(name));
        }
    }

    /// Whether records are sent at all: they are not once their transaction can only be aborted.
    pub(super) fn is_taking(&self) -> bool {
        self.transactions.as_ref().is_none_or(|transactions| transactions.refusal().is_none())
    }

    /// Fails what no broker has, nor will have; what is in flight is waited for.
    pub(super) fn drop_unsent(&mut self, slot: usize, error: &Error) {
        let is_transactional = self.transactions.is_some();
        let Some(partition) = self.partitions.get_mut(slot) else { return };
        let error = error.clone().with_partition(&partition.queue.partition);
        // In the order of their records, as callers hear of them.
        for batch in partition.sent.iter_mut().filter(|batch| !batch.is_in_flight()) {
            if !batch.is_settled {
                let error = error.clone().with_attempt(batch.attempts).with_fate(batch.fate());
                batch.fail(error);
                self.unsettled.settled(batch.id);
            }
        }
        for index in (0..partition.sent.len()).rev() {
            if partition.sent.get(index).is_some_and(|batch| !batch.is_in_flight()) {
                partition.give_up(index);
            }
        }
        let mut taken = Vec::new();
        partition.open_since = partition.queue.take(true, &mut taken);
        for open in taken {
            let (batch, _) = Batch::new(self.unsettled.add(), 0, open, is_transactional);
            partition.waiting.push_back(batch);
        }
        for mut batch in partition.waiting.drain(..) {
            partition.topic.0.shorten(&partition.queue);
            batch.fail(error.clone());
            self.unsettled.settled(batch.id);
        }
    }
}
