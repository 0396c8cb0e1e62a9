//! From queues into requests.

use std::time::Instant;

use milena_types::NodeId;

use super::batch::{Batch, Content};
use super::broker::{Broker, Produce, Sent};
use super::partition::Next;
use super::queue::OpenBatch;
use super::request::ProduceBuilder;
use super::seal::{SealJob, Work};
use super::sender::{Output, Producer};
use super::state::State;
use crate::transaction::Transactions;
use crate::{Error, Operation};

impl Producer {
    /// Takes what is full of a partition, gives up what is too old, repairs its sequences, and puts it into its
    /// leader's line if there is something to send.
    pub(super) fn update(&mut self, now: Instant, slot: usize) {
        let mut taken = Vec::new();
        if let Some(refusal) = self.transactions.as_ref().and_then(Transactions::refusal) {
            self.drop_unsent(slot, &refusal);
        }
        let Some(partition) = self.partitions.get_mut(slot) else { return };
        partition.is_dirty = false;
        partition.open_since = partition.queue.take(false, &mut taken);
        self.is_filling |= !taken.is_empty();
        let is_too_old =
            partition.open_since.is_some_and(|at| at + self.settings.delivery_timeout <= now);
        if is_too_old {
            partition.open_since = partition.queue.take(true, &mut taken);
        }
        self.accept(now, slot, taken);

        let rules = self.rules(now);
        let Some(partition) = self.partitions.get_mut(slot) else { return };
        partition.expire(rules, &mut self.unsettled);
        if self.transactions.is_none() {
            partition.repair(&mut self.idempotence, &mut self.unsettled);
        }
        self.enroll(slot);
        let rules = self.rules(now);
        let Some(partition) = self.partitions.get_mut(slot) else { return };
        match partition.leader {
            Some(_) if partition.next(rules) == Next::Nothing => {}
            Some(leader) if partition.listed_with == Some(leader) => {
                if let Some(broker) = self.brokers.get_mut(&leader)
                    && broker.is_full(self.settings.in_flight_max)
                {
                    broker.window.ran_out(now);
                }
            }
            Some(leader) => {
                // Twice in one line, as after a leader has moved away and back while a broker is muted, a partition
                // would have two batches in one request.
                if let Some(old) = partition.listed_with.replace(leader)
                    && let Some(broker) = self.brokers.get_mut(&old)
                {
                    broker.line.retain(|&listed| listed != slot);
                }
                self.brokers.entry(leader).or_default().line.push_back(slot);
                self.busy.insert(leader);
            }
            None if partition.has_work() => self.wants_refresh = true,
            None => {}
        }
        let timer = partition.timeout(rules);
        if timer != partition.timer {
            if let Some(old) = partition.timer {
                self.timers.remove(&(old, slot));
            }
            if let Some(new) = timer {
                self.timers.insert((new, slot));
            }
            partition.timer = timer;
        }
    }

    /// Takes all there is in every queue.
    pub(super) fn take_everything(&mut self, now: Instant) {
        for slot in 0..self.partitions.len() {
            let mut taken = Vec::new();
            if let Some(partition) = self.partitions.get_mut(slot) {
                partition.open_since = partition.queue.take(true, &mut taken);
            }
            if !taken.is_empty() {
                self.accept(now, slot, taken);
                self.mark(slot);
            }
        }
    }

    /// Makes batches of what was taken and has them sealed.
    fn accept(&mut self, now: Instant, slot: usize, taken: Vec<OpenBatch>) {
        if taken.is_empty() {
            return;
        }
        let Some(partition) = self.partitions.get_mut(slot) else { return };
        for open in taken {
            let number = self.next_job;
            self.next_job += 1;
            let is_transactional = self.transactions.is_some();
            let (batch, builder) = Batch::new(self.unsettled.add(), number, open, is_transactional);
            partition.waiting.push_back(batch);
            let compression = self.settings.compression;
            let job = SealJob { slot, number, compression, work: Work::Seal(builder) };
            self.sealing += 1;
            self.outputs.push_back(Output::Seal(job));
        }
        let topic = partition.queue.partition.topic.clone();
        self.touch(now, &topic);
    }

    /// Has batch `index` of those sent cut into smaller ones; they take its place when they come back.
    pub(super) fn split(&mut self, slot: usize, index: usize) {
        let Some(partition) = self.partitions.get_mut(slot) else { return };
        let Some(batch) = partition.sent.get_mut(index) else { return };
        let number = self.next_job;
        self.next_job += 1;
        let Content::Sealed(sealed) = std::mem::replace(&mut batch.content, Content::Away(number))
        else {
            return;
        };
        // Half of the records at most, whatever their number and size: it ends at one record.
        let bytes = self.settings.batch_bytes.min(sealed.uncompressed_size() / 2);
        let compression = self.settings.compression;
        let work = Work::Split(sealed, bytes);
        self.sealing += 1;
        self.outputs.push_back(Output::Seal(SealJob { slot, number, compression, work }));
    }

    /// Fills requests for `node` from its line, as long as its window is open.
    pub(super) fn drain(&mut self, now: Instant, node: NodeId) {
        let rules = self.rules(now);
        while let Some(broker) = self.brokers.get_mut(&node)
            && broker.is_open(now, self.settings.in_flight_max)
        {
            if self.close_lingered(now, node) {
                // Their requests are made when they are sealed.
                self.busy.insert(node);
                return;
            }
            let Some(broker) = self.brokers.get_mut(&node) else { return };
            let mut line = std::mem::take(&mut broker.line);
            let id = self.ids.deal();
            let mut builder = ProduceBuilder::new();
            let mut batches = Vec::new();
            for _ in 0..line.len() {
                let Some(slot) = line.pop_front() else { break };
                let Some(partition) = self.partitions.get_mut(slot) else { continue };
                if partition.listed_with != Some(node) {
                    continue;
                }
                let is_ours = partition.leader == Some(node);
                let size = if is_ours { partition.next_bytes(rules) } else { None };
                let Some(bytes) = size else {
                    partition.listed_with = None;
                    // It may have something for another broker.
                    self.mark(slot);
                    continue;
                };
                if !builder.fits(bytes, self.settings.request_bytes_max) {
                    line.push_front(slot);
                    break;
                }
                let topic = self.topics.get(&partition.queue.partition.topic);
                let index = partition.queue.partition.partition;
                if let (Some(topic), Some((batch, parts))) = (topic, partition.depart(rules, id)) {
                    builder.push(&topic.wire_name, topic.id, index, parts);
                    let (batch, first) = (batch.id, batch.first);
                    batches.push(Sent { slot, batch, first, topic_id: topic.id });
                }
                line.push_back(slot);
            }
            let Some(broker) = self.brokers.get_mut(&node) else { return };
            broker.line = line;
            if builder.is_empty() {
                return;
            }
            broker.in_flight += 1;
            self.in_flight.insert(id, Produce { node, batches, at: now });
            let mut request = builder.finish(id, node, &self.settings);
            if let Some(transactions) = &mut self.transactions {
                transactions.version().bound(&mut request);
                transactions.departed();
            }
            self.outputs.push_back(Output::Request(request));
        }
        // Once an answer is enough: the line may be long, and what is in it have left.
        let max = self.settings.in_flight_max;
        let is_new = |broker: &Broker| broker.is_full(max) && !broker.window.is_used_up();
        if self.brokers.get(&node).is_some_and(is_new)
            && self.is_waited_for(now, node)
            && let Some(broker) = self.brokers.get_mut(&node)
        {
            broker.window.ran_out(now);
        }
    }

    /// Closes the open batches whose time has come, in the line of `node`; returns whether there were any.
    fn close_lingered(&mut self, now: Instant, node: NodeId) -> bool {
        let rules = self.rules(now);
        let Some(broker) = self.brokers.get(&node) else { return false };
        let is_due = |&slot: &usize| {
            let partition = self.partitions.get(slot);
            partition.is_some_and(|p| p.leader == Some(node) && p.next(rules) == Next::Open)
        };
        let due: Vec<_> = broker.line.iter().copied().filter(is_due).collect();
        for &slot in &due {
            let mut taken = Vec::new();
            if let Some(partition) = self.partitions.get_mut(slot) {
                partition.open_since = partition.queue.take(true, &mut taken);
            }
            self.accept(now, slot, taken);
            self.mark(slot);
        }
        !due.is_empty()
    }

    /// The cluster refuses this producer: everything fails, now and from here on.
    pub(super) fn fail(&mut self, error: &Error) {
        self.accumulator.close(error.clone());
        self.fail_all(error);
        // One that is being closed has nothing left to wait for, and is closed next.
        if !matches!(self.state, State::Closing(_)) {
            self.state.become_if_allowed(State::Failed);
        }
    }

    /// Fails everything that has no result yet. What is in flight is forgotten: its bytes live as long as the
    /// connection needs them, and its answers come to nobody.
    pub(super) fn fail_all(&mut self, error: &Error) {
        if let Some(transactions) = &mut self.transactions {
            transactions.break_off(error);
        }
        let is_transactional = self.transactions.is_some();
        let error = error.clone().during(Operation::Produce);
        for partition in &mut self.partitions {
            let mut taken = Vec::new();
            partition.queue.close(&mut taken);
            partition.open_since = None;
            for mut batch in partition.sent.drain(..).chain(partition.waiting.drain(..)) {
                if !batch.is_settled {
                    let error = error.clone().with_partition(&partition.queue.partition);
                    let fate = batch.fate();
                    batch.fail(error.with_attempt(batch.attempts).with_fate(fate));
                    self.unsettled.settled(batch.id);
                }
            }
            for open in taken {
                let (mut batch, _) = Batch::new(self.unsettled.add(), 0, open, is_transactional);
                batch.fail(error.clone().with_partition(&partition.queue.partition));
                self.unsettled.settled(batch.id);
            }
        }
        self.in_flight.clear();
        self.accumulator.backlog.clear();
        self.timers.clear();
        for broker in self.brokers.values_mut() {
            broker.line.clear();
        }
    }
}
