//! What an answer means to the batches of its request.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use milena_types::{
    ApiKey, ErrorCode, LeaderEpoch, NodeId, Offset, ProducerEpoch, ProducerId, Timestamp, Uuid,
};
use milena_wire::messages::produce_response::{PartitionProduceResponse, ProduceResponse};
use milena_wire::{ByteString, Response};

use super::batch::Travel;
use super::broker::{Produce, Sent};
use super::request::VERSION_NAMES_MAX;
use super::sender::{Output, Producer};
use super::settings::Acks;
use crate::connection::pipeline::THROTTLE_MAX;
use crate::disposition::{self, Reaction};
use crate::idempotence::Identity;
use crate::metadata::{Broker, LeaderHint};
use crate::request::{Answer, Failure};
use crate::{Error, ErrorKind, Fate, Operation};

/// Answers of one request, by topic and partition.
type Answers<'a> = BTreeMap<(TopicKey<'a>, i32), &'a PartitionProduceResponse>;

/// How a version names a topic.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum TopicKey<'a> {
    Name(&'a str),
    Id(Uuid),
}

impl Producer {
    /// The answer to a Produce request came, or it is sure that none will.
    pub(super) fn answered(&mut self, now: Instant, request: Produce, answer: Answer) {
        let Produce { node, batches, at } = request;
        if let Some(broker) = self.brokers.get_mut(&node) {
            broker.in_flight -= 1;
            // A refusal costs the broker nothing, and says nothing of how long it takes.
            if matches!(&answer.result, Ok(Some(Response::Produce(response))) if !is_refusal(response))
            {
                let took = answer.received.saturating_duration_since(at);
                if broker.window.answered(self.settings.in_flight_max, now, took) {
                    self.accumulator.backlog.progressed();
                }
            }
        }
        self.busy.insert(node);
        if (1..=VERSION_NAMES_MAX).contains(&answer.version) {
            for &sent in &batches {
                let Some((slot, index)) = self.find(sent) else { continue };
                let batch = self.partitions.get_mut(slot).and_then(|p| p.sent.get_mut(index));
                batch.into_iter().for_each(|batch| batch.was_named = true);
            }
        }
        match answer.result {
            Ok(Some(Response::Produce(response))) => {
                self.mute(node, answer.received, response.throttle_time_ms);
                self.respond(now, node, &batches, &response);
            }
            Ok(None) if self.settings.acks == Acks::None => {
                if self.brokers.get_mut(&node).is_some_and(|broker| broker.window.passed()) {
                    self.accumulator.backlog.progressed();
                }
                for sent in batches {
                    self.stored(sent, None, None);
                }
            }
            Ok(_) => {
                let failure = Failure::MalformedResponse("answer of another API".into());
                self.lost(now, node, &batches, &failure);
            }
            Err(failure) => self.lost(now, node, &batches, &failure),
        }
    }

    /// The answer to InitProducerId came, or it is sure that none will.
    pub(super) fn identified(&mut self, now: Instant, answer: Answer) {
        match answer.result {
            Ok(Some(Response::InitProducerId(response))) if !response.error_code.is_error() => {
                let producer_id = ProducerId::from_wire(response.producer_id);
                let epoch = ProducerEpoch::from_wire(response.producer_epoch);
                if let (Some(producer_id), Some(epoch)) = (producer_id, epoch) {
                    self.idempotence.given(Identity { producer_id, epoch });
                } else {
                    let failure = Failure::MalformedResponse("negative producer id".into());
                    self.idempotence.failed(now, &failure, &mut self.rng);
                }
            }
            Ok(Some(Response::InitProducerId(response))) => {
                let code = response.error_code;
                if let Some(error) = self.idempotence.answered(now, code, &mut self.rng) {
                    for slot in 0..self.partitions.len() {
                        self.drop_unsent(slot, &error);
                    }
                }
            }
            Ok(_) => {
                let failure = Failure::MalformedResponse("answer of another API".into());
                self.idempotence.failed(now, &failure, &mut self.rng);
            }
            Err(failure) => self.idempotence.failed(now, &failure, &mut self.rng),
        }
        self.mark_all();
    }

    /// The broker did the work and asks for silence after it; it counts from when the answer came (KIP-219).
    fn mute(&mut self, node: NodeId, received: Instant, throttle_ms: i32) {
        if let (Some(broker), Ok(ms @ 1..)) =
            (self.brokers.get_mut(&node), u64::try_from(throttle_ms))
        {
            let ms = ms.min(THROTTLE_MAX.as_millis() as u64);
            self.accumulator.counters().throttled(ms);
            let until = received + Duration::from_millis(ms);
            broker.muted_until = broker.muted_until.max(Some(until));
        }
    }

    fn respond(
        &mut self,
        now: Instant,
        node: NodeId,
        batches: &[Sent],
        response: &ProduceResponse,
    ) {
        let mut answers = Answers::new();
        for topic in &response.responses {
            let key = match (&*topic.name, topic.topic_id) {
                ("", id) => TopicKey::Id(id),
                (name, _) => TopicKey::Name(name),
            };
            for partition in &topic.partition_responses {
                answers.insert((key, partition.index), partition);
            }
        }
        for &sent in batches {
            let Some(partition) = self.partitions.get(sent.slot) else { continue };
            let name = partition.queue.partition.topic.clone();
            let index = partition.queue.partition.partition;
            let by_name = answers.get(&(TopicKey::Name(name.as_str()), index));
            let by_id = || answers.get(&(TopicKey::Id(sent.topic_id?), index));
            let Some(&answer) = by_name.or_else(by_id) else {
                let failure = Failure::MalformedResponse("a partition was left out".into());
                self.lost(now, node, &[sent], &failure);
                continue;
            };
            if disposition::reaction(ApiKey::PRODUCE, answer.error_code) == Reaction::Accept {
                let time = Timestamp::from_wire(answer.log_append_time_ms);
                self.stored(sent, Offset::new(answer.base_offset), time);
            } else {
                self.refused(now, node, sent, answer, response);
            }
        }
    }

    /// The batch is in the log.
    fn stored(
        &mut self,
        sent: Sent,
        base_offset: Option<Offset>,
        log_append_time: Option<Timestamp>,
    ) {
        let Some((slot, index)) = self.find(sent) else { return };
        let Some(partition) = self.partitions.get_mut(slot) else { return };
        let Some(mut batch) = partition.sent.remove(index) else { return };
        partition.backoff.reset();
        if let Some((identity, base)) = batch.stamp {
            partition.sequences.acknowledge(identity, base, batch.records);
        }
        if !batch.is_settled {
            batch.succeed(base_offset, log_append_time);
            self.unsettled.settled(batch.id);
        }
        if let Some(transactions) = &mut self.transactions {
            transactions.acknowledged();
        }
        self.mark(slot);
    }

    /// No answer will come for these batches.
    fn lost(&mut self, now: Instant, node: NodeId, batches: &[Sent], failure: &Failure) {
        self.wants_refresh = true;
        for &sent in batches {
            let Some((slot, index)) = self.find(sent) else { continue };
            let Some(batch) = self.partitions.get_mut(slot).and_then(|p| p.sent.get_mut(index))
            else {
                continue;
            };
            batch.maybe_written |= failure.may_be_applied();
            batch.out_of_order = 0;
            let error = Error::from_failure(failure);
            match failure {
                Failure::NotSent
                | Failure::Unreachable(_)
                | Failure::ConnectionLost
                | Failure::TimedOut
                | Failure::MalformedResponse(_) => {
                    self.retry(now, node, slot, index, error, Pace::Later);
                }
                Failure::UnsupportedVersion
                | Failure::AuthenticationFailed(_)
                | Failure::Closed
                | Failure::Unencodable(_) => self.refuse(now, node, slot, index, error),
            }
        }
    }

    /// The broker answered with an error for this batch.
    fn refused(
        &mut self,
        now: Instant,
        node: NodeId,
        sent: Sent,
        answer: &PartitionProduceResponse,
        response: &ProduceResponse,
    ) {
        let Some((slot, index)) = self.find(sent) else { return };
        let code = answer.error_code;
        let error = Error::from_code(ApiKey::PRODUCE, code)
            .with_broker_message(answer.error_message.as_deref());
        let Some(batch) = self.partitions.get_mut(slot).and_then(|p| p.sent.get_mut(index)) else {
            return;
        };
        batch.maybe_written |= disposition::fate(code) == Fate::Unknown;
        match disposition::reaction(ApiKey::PRODUCE, code) {
            Reaction::SplitBatch if batch.records > 1 && !batch.is_settled => {
                // The same records in smaller batches are no further attempt (trap 10).
                batch.attempts -= 1;
                batch.travel = Travel::Retry(now);
                self.split(slot, index);
            }
            Reaction::RepairSequence if batch.stamp.is_some() => {
                self.repair_sequence(now, node, slot, index, error, answer);
            }
            Reaction::RefreshMetadata => {
                self.wants_refresh = true;
                let is_moved = self.follow(slot, answer, response);
                let pace = if is_moved { Pace::AtOnce } else { Pace::Later };
                self.retry(now, node, slot, index, error, pace);
            }
            Reaction::Retry | Reaction::FindCoordinator | Reaction::Rebootstrap => {
                self.retry(now, node, slot, index, error, Pace::Later);
            }
            Reaction::Fatal if code.name().is_some() => {
                self.refuse(now, node, slot, index, error.clone());
                self.fail(&error);
            }
            Reaction::Accept
            | Reaction::SplitBatch
            | Reaction::RepairSequence
            | Reaction::ResetOffset
            | Reaction::ValidateOffset
            | Reaction::ResetSession
            | Reaction::AdoptMemberId
            | Reaction::Rejoin
            | Reaction::ResetGeneration
            | Reaction::ResetMember
            | Reaction::Fail
            | Reaction::Abort
            | Reaction::Fatal => self.refuse_records(now, node, slot, index, &error, answer),
        }
    }

    /// The broker misses a sequence before this batch, or does not know us (traps 5 and 6).
    fn repair_sequence(
        &mut self,
        now: Instant,
        node: NodeId,
        slot: usize,
        index: usize,
        error: Error,
        answer: &PartitionProduceResponse,
    ) {
        let is_unknown = answer.error_code == ErrorCode::UNKNOWN_PRODUCER_ID;
        let Some(partition) = self.partitions.get_mut(slot) else { return };
        let Some(batch) = partition.sent.get_mut(index) else { return };
        if batch.is_doubtful_part && index == 0 {
            self.refuse(now, node, slot, index, error);
            return;
        }
        batch.out_of_order += 1;
        // An older batch is to be stored first; and an answer without log start says that the leader is about to move.
        let is_next_in_line = index == 0 && !(is_unknown && answer.log_start_offset < 0);
        // A deposed leader that does not know yet may lack what its successor has. A batch that may be stored there
        // must not be sent under another name before fresh metadata gave the same answer again.
        let is_proven = !batch.maybe_written || batch.out_of_order >= OUT_OF_ORDER_PROOFS;
        if is_next_in_line && is_proven && self.transactions.is_some() {
            // A transaction has one epoch: there is no beginning anew within it (trap 5).
            self.refuse(now, node, slot, index, error);
        } else if is_next_in_line && is_proven && !batch.is_settled {
            partition.void_from(0);
            self.retry(now, node, slot, index, error, Pace::AtOnce);
        } else {
            self.wants_refresh = true;
            let pace = if index == 0 { Pace::Later } else { Pace::AtOnce };
            self.retry(now, node, slot, index, error, pace);
        }
    }

    /// Takes the leader that the answer names, if it is news (KIP-951).
    fn follow(
        &mut self,
        slot: usize,
        answer: &PartitionProduceResponse,
        response: &ProduceResponse,
    ) -> bool {
        let hint = &answer.current_leader;
        let (Some(leader), Some(epoch), Some(partition)) = (
            NodeId::from_wire(hint.leader_id),
            LeaderEpoch::from_wire(hint.leader_epoch),
            self.partitions.get_mut(slot),
        ) else {
            return false;
        };
        if partition.leader_epoch.is_some_and(|known| epoch <= known) {
            // Metadata may have been faster than the answer.
            return partition.leader == Some(leader) && partition.leader_epoch == Some(epoch);
        }
        let endpoint =
            response.node_endpoints.iter().find(|node| node.node_id == hint.leader_id).and_then(
                |node| {
                    let port = u16::try_from(node.port).ok()?;
                    let rack = node.rack.as_deref().map(Into::into);
                    Some(Broker { rack, ..Broker::new(leader, &*node.host, port) })
                },
            );
        if endpoint.is_none() && self.cluster.broker(leader).is_none() {
            return false;
        }
        partition.leader = Some(leader);
        partition.leader_epoch = Some(epoch);
        let moved = partition.queue.partition.clone();
        self.outputs.push_back(Output::LeaderHint(LeaderHint::new(moved, leader, epoch, endpoint)));
        true
    }

    /// Sends the batch again with the same content under the same name, if it has time and tries left.
    fn retry(
        &mut self,
        now: Instant,
        node: NodeId,
        slot: usize,
        index: usize,
        error: Error,
        pace: Pace,
    ) {
        let is_taking = self.is_taking();
        let Some(partition) = self.partitions.get_mut(slot) else { return };
        let Some(batch) = partition.sent.get_mut(index) else { return };
        let is_over = !is_taking
            || batch.opened + self.settings.delivery_timeout <= now
            || batch.attempts > self.settings.retries;
        if batch.is_settled || is_over {
            self.refuse(now, node, slot, index, error);
            return;
        }
        // Those behind the first wait for it anyway.
        let wait = match pace {
            Pace::Later if index == 0 => partition.backoff.next_wait(&mut self.rng),
            Pace::Later | Pace::AtOnce => Duration::ZERO,
        };
        batch.travel = Travel::Retry(now + wait);
        batch.last_error = Some(error);
        self.mark(slot);
    }

    /// Fails the batch as a whole.
    fn refuse(&mut self, now: Instant, node: NodeId, slot: usize, index: usize, error: Error) {
        let error = self.describe(node, slot, index, error);
        self.finish(now, slot, index, error, |batch, error| batch.fail(error));
    }

    /// Fails the batch; each record with its own reason where the broker gives them (KIP-467).
    fn refuse_records(
        &mut self,
        now: Instant,
        node: NodeId,
        slot: usize,
        index: usize,
        error: &Error,
        answer: &PartitionProduceResponse,
    ) {
        if answer.record_errors.is_empty() {
            self.refuse(now, node, slot, index, error.clone());
            return;
        }
        let error = self.describe(node, slot, index, error.clone());
        let culprits: BTreeMap<u32, Option<&ByteString>> = answer
            .record_errors
            .iter()
            .filter_map(|record| {
                let index = u32::try_from(record.batch_index).ok()?;
                Some((index, record.batch_index_error_message.as_ref()))
            })
            .collect();
        self.finish(now, slot, index, error, |batch, error| {
            let innocent = Error::new(ErrorKind::InvalidRecord)
                .with_detail("another record of the same batch was refused")
                .because(error.clone())
                .with_fate(error.fate());
            batch.fail_each(|record| match culprits.get(&record) {
                Some(message) => error.clone().with_broker_message(message.map(|text| &**text)),
                None => innocent.clone(),
            });
        });
    }

    /// Settles batch `index` by `settle` for `error`, unless it is, and takes it out.
    fn finish(
        &mut self,
        now: Instant,
        slot: usize,
        index: usize,
        error: Error,
        settle: impl FnOnce(&mut super::batch::Batch, Error),
    ) {
        let Some(partition) = self.partitions.get_mut(slot) else { return };
        if let Some(batch) = partition.sent.get_mut(index) {
            // It is not in flight any more: what it says of its fate counts from here.
            batch.travel = Travel::Retry(now);
            if !batch.is_settled {
                let error = error.with_fate(batch.fate());
                self.unsettled.failed(batch.id, &error);
                settle(batch, error);
            }
            partition.give_up(index);
        }
        self.mark(slot);
    }

    fn describe(&self, node: NodeId, slot: usize, index: usize, error: Error) -> Error {
        let error = error.during(Operation::Produce).with_broker(node);
        let Some(partition) = self.partitions.get(slot) else { return error };
        let attempt = partition.sent.get(index).map_or(0, |batch| batch.attempts);
        error.with_partition(&partition.queue.partition).with_attempt(attempt)
    }

    /// Where the batch of a request is, if it is still known.
    fn find(&self, sent: Sent) -> Option<(usize, usize)> {
        let partition = self.partitions.get(sent.slot)?;
        let index = partition
            .sent
            .iter()
            .position(|batch| batch.id == sent.batch && batch.first == sent.first)?;
        Some((sent.slot, index))
    }
}

/// When to try again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Pace {
    /// As soon as there is room: something has changed.
    AtOnce,
    /// After a back-off.
    Later,
}

/// Whether it refuses a batch.
fn is_refusal(response: &ProduceResponse) -> bool {
    let mut partitions = response.responses.iter().flat_map(|topic| &topic.partition_responses);
    partitions.any(|partition| partition.error_code.is_error())
}

/// How often the leader must say that a batch is out of order which may be stored, before it is believed.
const OUT_OF_ORDER_PROOFS: u32 = 2;
