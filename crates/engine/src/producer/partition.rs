//! One partition, as the driver sees it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use milena_records::BatchParts;
use milena_types::{LeaderEpoch, NodeId, Sequence};

use super::batch::{Batch, Travel};
use super::flush::Unsettled;
use super::queue::PartitionQueue;
use super::topic::TopicHandle;
use crate::idempotence::{Idempotence, Identity, Repair, Sequences};
use crate::request::RequestId;
use crate::{Backoff, Error, ErrorKind, Fate, Operation};

/// One partition: its leader, its batches in order, and its sequences.
#[derive(Debug)]
pub(super) struct Partition {
    pub(super) queue: Arc<PartitionQueue>,
    pub(super) topic: TopicHandle,
    /// The last one known: metadata that leaves the partition out does not take it away (R17).
    pub(super) leader: Option<NodeId>,
    pub(super) leader_epoch: Option<LeaderEpoch>,
    /// When the batch was opened that callers still append to.
    pub(super) open_since: Option<Instant>,
    /// Batches never sent, oldest first.
    pub(super) waiting: VecDeque<Batch>,
    /// Batches sent and not acknowledged, in order of sequence.
    pub(super) sent: VecDeque<Batch>,
    pub(super) sequences: Sequences,
    pub(super) backoff: Backoff,
    /// When the machine looks at it again at the latest.
    pub(super) timer: Option<Instant>,
    pub(super) is_dirty: bool,
    /// In whose line it stands. It may be in another's too, where that one led it before: a place that is passed over.
    pub(super) listed_with: Option<NodeId>,
    /// The transaction that it is part of, or was last; 0 before the first.
    pub(super) enrolled_in: u64,
    /// The topic was made anew, and the batches that were on their way then have not been asked for since.
    is_anew: bool,
}

/// What a partition would send next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Next {
    /// Nothing for now.
    Nothing,
    /// The oldest batch that was sent before.
    Retry,
    /// The oldest batch that was not.
    New,
    /// The open batch, once it is closed and sealed.
    Open,
}

/// What decides whether a partition may send.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) now: Instant,
    pub(super) linger: Duration,
    pub(super) delivery_timeout: Duration,
    pub(super) is_idempotent: bool,
    /// Under which new batches count.
    pub(super) identity: Option<Identity>,
    /// Someone waits for room: open batches leave at once.
    pub(super) is_exhausted: bool,
    /// The transaction that a partition must be part of.
    pub(super) transaction: Option<u64>,
}

impl Partition {
    pub(super) fn new(
        queue: Arc<PartitionQueue>,
        topic: TopicHandle,
        backoff: Backoff,
        first: Sequence,
    ) -> Self {
        Self {
            queue,
            topic,
            leader: None,
            leader_epoch: None,
            open_since: None,
            waiting: VecDeque::new(),
            sent: VecDeque::new(),
            sequences: Sequences::starting_at(first),
            backoff,
            timer: None,
            is_dirty: false,
            listed_with: None,
            enrolled_in: 0,
            is_anew: false,
        }
    }

    /// Whether there is anything to send.
    pub(super) fn has_work(&self) -> bool {
        self.open_since.is_some() || !self.waiting.is_empty() || !self.sent.is_empty()
    }

    /// What may go to the leader.
    ///
    /// While an older batch is to be sent again, it alone travels: a later one would overtake it. All batches in flight
    /// are with one broker, or the new leader could take a later one first.
    pub(super) fn next(&self, rules: Rules) -> Next {
        let Some(leader) = self.leader else { return Next::Nothing };
        let is_elsewhere =
            |batch: &Batch| matches!(batch.travel, Travel::InFlight(_, node) if node != leader);
        if self.sent.iter().any(is_elsewhere) {
            return Next::Nothing;
        }
        if let Some(front) = self.sent.front()
            && let Travel::Retry(from) = front.travel
        {
            let is_ready = from <= rules.now && !front.is_void && front.bytes().is_some();
            return if is_ready { Next::Retry } else { Next::Nothing };
        }
        if self.sent.iter().any(|batch| !batch.is_in_flight()) || !self.may_send_new(rules) {
            return Next::Nothing;
        }
        match self.waiting.front() {
            Some(batch) if batch.bytes().is_some() => Next::New,
            Some(_) => Next::Nothing,
            None if self.is_open_due(rules) => Next::Open,
            None => Next::Nothing,
        }
    }

    /// The size of what may go to the leader; `None` where there is nothing.
    pub(super) fn next_bytes(&self, rules: Rules) -> Option<usize> {
        match self.next(rules) {
            Next::Retry => self.sent.front()?.bytes(),
            Next::New => self.waiting.front()?.bytes(),
            Next::Nothing | Next::Open => None,
        }
    }

    fn may_send_new(&self, rules: Rules) -> bool {
        if !rules.is_idempotent {
            return true;
        }
        let Some(identity) = rules.identity else { return false };
        if rules.transaction.is_some_and(|transaction| transaction != self.enrolled_in) {
            return false;
        }
        let is_remembered = |front: &Batch| self.sequences.is_remembered_after_next(front.ordinal);
        if !self.sent.front().is_none_or(is_remembered) {
            return false;
        }
        let is_settled_in =
            self.sequences.identity() == Some(identity) && self.sequences.is_known_to_broker();
        self.sequences.repair() == Repair::None && (self.sent.is_empty() || is_settled_in)
    }

    fn is_open_due(&self, rules: Rules) -> bool {
        self.open_since
            .is_some_and(|opened| rules.is_exhausted || opened + rules.linger <= rules.now)
    }

    /// Puts the next batch on its way in `request` and returns what to send of it.
    pub(super) fn depart(
        &mut self,
        rules: Rules,
        request: RequestId,
    ) -> Option<(&Batch, BatchParts)> {
        let next = self.next(rules);
        let leader = self.leader?;
        let batch = match next {
            Next::Nothing | Next::Open => return None,
            Next::Retry => self.sent.front_mut()?,
            Next::New => {
                let mut batch = self.waiting.pop_front()?;
                self.topic.0.shorten(&self.queue);
                if let Some(identity) = rules.identity {
                    if self.sequences.identity() != Some(identity) {
                        self.sequences.begin(identity);
                    }
                    batch.stamp = Some((identity, self.sequences.assign(batch.records)));
                    batch.ordinal = self.sequences.batches();
                }
                self.sent.push_back(batch);
                self.sent.back_mut()?
            }
        };
        batch.attempts += 1;
        batch.travel = Travel::InFlight(request, leader);
        let parts = batch.parts()?;
        Some((batch, parts))
    }

    /// Gives up what is too old: its records fail, and its sequences are repaired as far as they need it.
    pub(super) fn expire(&mut self, rules: Rules, unsettled: &mut Unsettled) {
        let is_expired = |batch: &Batch| batch.opened + rules.delivery_timeout <= rules.now;
        // In the order of their records, as callers hear of them.
        let (mut given_up, mut is_unresolved) = (Vec::new(), false);
        for index in 0..self.sent.len() {
            let Some(batch) = self.sent.get(index) else { continue };
            if batch.is_settled || !is_expired(batch) {
                continue;
            }
            let error = self.expiry(batch, rules.delivery_timeout);
            let Some(batch) = self.sent.get_mut(index) else { continue };
            unsettled.failed(batch.id, &error);
            batch.fail(error);
            if batch.is_in_flight() {
                is_unresolved = true;
            } else {
                given_up.push(index);
            }
        }
        // From the last one, whose sequences can be taken back where nothing came behind them.
        for index in given_up.into_iter().rev() {
            self.give_up(index);
        }
        if is_unresolved {
            // Their bytes stay until the requests are done, and the answers still count.
            self.sequences.leave_unresolved();
        }
        while self.waiting.front().is_some_and(is_expired) {
            let Some(mut batch) = self.waiting.pop_front() else { break };
            self.topic.0.shorten(&self.queue);
            let error = self.expiry(&batch, rules.delivery_timeout);
            unsettled.failed(batch.id, &error);
            batch.fail(error);
        }
    }

    fn expiry(&self, batch: &Batch, delivery_timeout: Duration) -> Error {
        let detail = match self.leader {
            Some(_) => "delivery.timeout.ms is over",
            None => "delivery.timeout.ms is over, and the partition has no known leader",
        };
        let error = Error::new(ErrorKind::Timeout)
            .with_detail(format!("{detail} ({delivery_timeout:?})"))
            .during(Operation::Produce)
            .with_partition(&self.queue.partition)
            .with_broker(self.leader)
            .with_attempt(batch.attempts)
            .with_fate(batch.fate());
        match &batch.last_error {
            Some(cause) => error.because(cause.clone()),
            None => error,
        }
    }

    /// Takes out a batch that is not in flight and will not be sent again.
    pub(super) fn give_up(&mut self, index: usize) -> Option<Batch> {
        let batch = self.sent.remove(index)?;
        if let Some((identity, base)) = batch.stamp
            && self.sequences.identity() == Some(identity)
        {
            if batch.maybe_written {
                self.sequences.leave_unresolved();
            } else if !self.sequences.take_back(base, batch.records) {
                self.void_from(index);
            }
        }
        Some(batch)
    }

    /// The batches from `index` on are out of order for good: what is before them is settled under the old identity
    /// first, since it may be stored.
    pub(super) fn void_from(&mut self, index: usize) {
        self.sequences.leave_gap();
        for batch in self.sent.iter_mut().skip(index) {
            batch.is_void = true;
        }
    }

    /// The topic was made anew: what the old one counted means nothing to the new one (trap 16).
    pub(super) fn begin_anew(&mut self) {
        self.is_anew = true;
        self.void_from(0);
    }

    /// What a request by name may have stored is in whichever topic has the name, and may be in the new one: up to the last
    /// such batch all are asked for under their old stamps, which a topic that does not know them takes too. Says whether
    /// there is one.
    fn asks_again_by_name(&mut self) -> bool {
        let last = self.sent.iter().rposition(|batch| batch.maybe_written && batch.was_named);
        let doubtful = last.map_or(0, |last| last + 1);
        for batch in self.sent.iter_mut().take(doubtful) {
            batch.is_void = false;
            batch.is_in_either |= batch.maybe_written && batch.was_named;
        }
        doubtful > 0
    }

    /// Begins anew under a new identity where sequences broke and nothing counts on the old one any more. What may be stored in
    /// the old topic or in the new one is given up: under a new identity it could be there twice.
    pub(super) fn repair(&mut self, idempotence: &mut Idempotence, unsettled: &mut Unsettled) {
        if self.sent.is_empty() {
            self.sequences.drained();
        }
        let is_old_settled = self.sent.iter().all(|batch| batch.is_void && !batch.is_in_flight());
        if self.sequences.repair() != Repair::Gap || !is_old_settled {
            return;
        }
        if std::mem::take(&mut self.is_anew) && self.asks_again_by_name() {
            return;
        }
        if let Some(old) = self.sequences.identity() {
            idempotence.leave(old);
        }
        let partition = &self.queue.partition;
        self.sent.retain_mut(|batch| {
            if batch.is_in_either && !batch.is_settled {
                let detail = "the topic was deleted and made anew while it was on its way";
                let error = Error::new(ErrorKind::UnknownTopic)
                    .with_detail(detail)
                    .during(Operation::Produce)
                    .with_partition(partition)
                    .with_attempt(batch.attempts)
                    .with_fate(Fate::Unknown);
                unsettled.failed(batch.id, &error);
                batch.fail(error);
            }
            !batch.is_in_either
        });
        // Where the epochs are used up, the new id is on its way.
        let Some(identity) = idempotence.identity() else { return };
        self.sequences.begin(identity);
        for batch in &mut self.sent {
            batch.is_void = false;
            batch.maybe_written = false;
            batch.was_named = false;
            batch.stamp = Some((identity, self.sequences.assign(batch.records)));
            batch.ordinal = self.sequences.batches();
        }
    }

    /// When something falls due here: linger, retry or the end of a batch's time.
    pub(super) fn timeout(&self, rules: Rules) -> Option<Instant> {
        let is_later = |at: &Instant| *at > rules.now;
        let linger = self.open_since.map(|opened| opened + rules.linger).filter(is_later);
        let retry = match self.sent.front().map(|batch| batch.travel) {
            Some(Travel::Retry(from)) => Some(from).filter(is_later),
            Some(Travel::Waiting | Travel::InFlight(..)) | None => None,
        };
        let sent = self.sent.iter().filter(|batch| !batch.is_settled).map(|batch| batch.opened);
        let waiting = self.waiting.front().map(|batch| batch.opened);
        let oldest = sent.chain(waiting).chain(self.open_since).min();
        let expiry = oldest.map(|opened| opened + rules.delivery_timeout);
        [linger, retry, expiry].into_iter().flatten().min()
    }
}
