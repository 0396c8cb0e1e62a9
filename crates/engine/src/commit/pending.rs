//! Commits on their way to the coordinator, one at a time and in the order of the calls.
//!
//! The order is what keeps an older commit from overwriting a newer one: a commit that is tried again stays first
//! in line, and one that is not tried again is over before the next is sent. One that waits takes in a later one of the
//! same partitions, so that whoever commits faster than the coordinator answers does not grow the line.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fastrand::Rng;
use milena_types::{ApiKey, ErrorCode, Generation, LeaderEpoch, NodeId, TopicPartition};
use milena_wire::ByteString;
use milena_wire::Response;
use milena_wire::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use milena_wire::messages::{OffsetCommitRequest, OffsetCommitResponse};

use super::offset::{CommitId, CommitMode, CommittedOffset};
use crate::backoff::Backoff;
use crate::by_topic::by_topic;
use crate::disposition::{self, Reaction};
use crate::error::{Error, ErrorKind, Fate, Operation};
use crate::fetch::Stay;
use crate::group::Identity;
use crate::request::{Answer, Lane, Outbound, RequestId, RequestIds, Target};

/// In whose name a commit is sent.
#[derive(Clone, Debug)]
pub(crate) enum Sender {
    /// Nobody's: partitions were assigned by hand.
    Standalone,
    /// A member's.
    Member(Identity),
    /// A member's who is just joining: wait.
    Joining,
    /// Nobody's any more.
    Gone,
}

/// Whose a commit was when it was asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Origin {
    /// Nobody's.
    Standalone,
    /// That of a member, by the stays of its partitions.
    Member,
}

impl Origin {
    fn of(sender: &Sender) -> Self {
        match sender {
            Sender::Standalone => Self::Standalone,
            Sender::Member(_) | Sender::Joining | Sender::Gone => Self::Member,
        }
    }
}

/// What a commit's answer means to the others.
#[derive(Debug, Default)]
pub(crate) struct Settled {
    /// Commits that are over, with whether the offsets are stored.
    pub(crate) over: Vec<Over>,
    /// The offsets that are stored by now.
    pub(crate) stored: BTreeMap<TopicPartition, CommittedOffset>,
    /// What the group machine has to hear.
    pub(crate) reaction: Option<(Reaction, ErrorCode, Identity)>,
    pub(crate) lose_coordinator: bool,
}

/// The commits of one consumer.
#[derive(Debug)]
pub(crate) struct Commits {
    group_id: ByteString,
    instance_id: Option<ByteString>,
    request_timeout: Duration,
    queue: VecDeque<Pending>,
    in_flight: Option<InFlight>,
    backoff: Backoff,
    retry_at: Option<Instant>,
    /// Those for whom there was no room.
    crowded_out: Vec<Over>,
}

/// A commit that is over, and whether its offsets are stored.
pub(crate) type Over = (CommitId, Result<(), Error>);

/// Who waits for a commit until when, whatever it is joined to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiter {
    pub(crate) id: CommitId,
    pub(crate) deadline: Instant,
    /// The consumer's own, as in an interval, at a revocation, in closing: one at a time, so that there is room for it.
    pub(crate) is_own: bool,
}

#[derive(Debug)]
struct Pending {
    /// More than one where commits were joined while they waited.
    waiters: Vec<Waiter>,
    offsets: BTreeMap<TopicPartition, CommittedOffset>,
    mode: CommitMode,
    origin: Origin,
    /// The stays of the partitions when it was asked for.
    stays: BTreeMap<TopicPartition, Stay>,
    last_error: Option<Error>,
}

impl Pending {
    fn over(&self, result: &Result<(), Error>) -> impl Iterator<Item = Over> {
        self.waiters.iter().map(|waiter| (waiter.id, result.clone()))
    }

    fn first_deadline(&self) -> Option<Instant> {
        self.waiters.iter().map(|waiter| waiter.deadline).min()
    }

    fn last_deadline(&self) -> Option<Instant> {
        self.waiters.iter().map(|waiter| waiter.deadline).max()
    }

    fn take_late(&mut self, now: Instant) -> impl Iterator<Item = CommitId> {
        let late = self.waiters.extract_if(.., move |waiter| waiter.deadline <= now);
        late.map(|waiter| waiter.id)
    }

    fn is_waited_for(&self, now: Instant) -> bool {
        self.waiters.iter().any(|waiter| now < waiter.deadline)
    }
}

#[derive(Debug)]
struct InFlight {
    request: RequestId,
    sender: Identity,
    pending: Pending,
}

impl Commits {
    pub(crate) fn new(
        group_id: &Arc<str>,
        instance_id: Option<&Arc<str>>,
        request_timeout: Duration,
        backoff: Backoff,
    ) -> Self {
        Self {
            group_id: ByteString::from(&**group_id),
            instance_id: instance_id.map(|id| ByteString::from(&**id)),
            request_timeout,
            queue: VecDeque::new(),
            in_flight: None,
            backoff,
            retry_at: None,
            crowded_out: Vec::new(),
        }
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.in_flight.is_none()
    }

    /// Whether every commit up to this one is over.
    pub(crate) fn is_done_to(&self, last: CommitId) -> bool {
        let sent = self.in_flight.iter().map(|flight| &flight.pending);
        let mut waiters = self.queue.iter().chain(sent).flat_map(|pending| &pending.waiters);
        waiters.all(|waiter| waiter.id > last)
    }

    /// Takes in a commit that `sender` would send now; it is over by the deadline of `waiter`.
    pub(crate) fn push(
        &mut self,
        waiter: Waiter,
        offsets: BTreeMap<TopicPartition, CommittedOffset>,
        mode: CommitMode,
        sender: &Sender,
        stays: BTreeMap<TopicPartition, Stay>,
    ) {
        let origin = Origin::of(sender);
        let error = |commits: &Self, fate| {
            let error = commits.error(ErrorKind::Timeout).with_fate(fate);
            error.with_detail("too many commits wait for the coordinator")
        };
        if let Some(index) = self.joinable(&offsets, mode, origin)
            && let Some(waiting) = self.queue.get_mut(index)
        {
            let is_full = waiting.waiters.len() >= JOINED_MAX;
            // Its offsets are behind these, which go out in their place.
            let first = waiting.waiters.iter().position(|waiter| is_full && !waiter.is_own);
            let first = first.map(|first| waiting.waiters.remove(first));
            waiting.waiters.push(waiter);
            waiting.offsets.extend(offsets);
            waiting.stays.extend(stays);
            if let Some(first) = first {
                self.crowded_out.push((first.id, Err(error(self, Fate::Unknown))));
            }
        } else if waiter.is_own || self.queue.len() < QUEUE_MAX {
            let (waiters, last_error) = (vec![waiter], None);
            self.queue.push_back(Pending { waiters, offsets, mode, origin, stays, last_error });
        } else {
            self.crowded_out.push((waiter.id, Err(error(self, Fate::NotStored))));
        }
    }

    /// The place in line of a commit that may take this one in.
    fn joinable(
        &self,
        offsets: &BTreeMap<TopicPartition, CommittedOffset>,
        mode: CommitMode,
        origin: Origin,
    ) -> Option<usize> {
        for (index, waiting) in self.queue.iter().enumerate().rev() {
            let alike = (waiting.mode, waiting.origin) == (mode, origin);
            // Nobody waits for one without retry, so that it matters to none what else is refused.
            let is_last = mode == CommitMode::Once && index + 1 == self.queue.len();
            if alike && (is_last || waiting.offsets.keys().eq(offsets.keys())) {
                return Some(index);
            }
            // Whatever is of the same partitions must not be overtaken.
            if offsets.keys().any(|tp| waiting.offsets.contains_key(tp)) {
                return None;
            }
        }
        None
    }

    /// Ends what is late or belongs to nobody.
    pub(crate) fn expire(
        &mut self,
        now: Instant,
        sender: &Sender,
        stay: impl Fn(&TopicPartition) -> Option<Stay>,
    ) -> Vec<Over> {
        let mut over = std::mem::take(&mut self.crowded_out);
        let mut kept = VecDeque::with_capacity(self.queue.len());
        for mut pending in std::mem::take(&mut self.queue) {
            if pending.offsets.is_empty() {
                over.extend(pending.over(&Ok(())));
            } else if !is_current(&pending, sender, &stay) {
                let rebalanced = self.error(ErrorKind::Rebalanced).with_detail(
                    "the group has rebalanced and the partitions may be another member's",
                );
                let rebalanced = match &pending.last_error {
                    // It may have been stored before.
                    Some(cause) => rebalanced.with_fate(cause.fate()).because(cause.clone()),
                    None => rebalanced,
                };
                over.extend(pending.over(&Err(rebalanced)));
            } else {
                let last = pending.last_error.clone();
                let late = pending.take_late(now);
                over.extend(late.map(|id| (id, Err(self.timeout_error(last.as_ref())))));
                if !pending.waiters.is_empty() {
                    kept.push_back(pending);
                }
            }
        }
        self.queue = kept;
        let sent = self.in_flight.iter_mut().map(|flight| &mut flight.pending);
        let unanswered: Vec<_> = sent.flat_map(|pending| pending.take_late(now)).collect();
        over.extend(unanswered.into_iter().map(|id| {
            let error = self.error(ErrorKind::Timeout).with_fate(Fate::Unknown);
            (id, Err(error.with_detail("the coordinator has not answered")))
        }));
        over
    }

    /// The next request, where one may be sent.
    pub(crate) fn poll(
        &mut self,
        now: Instant,
        coordinator: NodeId,
        sender: &Sender,
        ids: &mut RequestIds,
    ) -> Option<Outbound> {
        let sender = match sender {
            Sender::Standalone => Identity::default(),
            Sender::Member(identity) => identity.clone(),
            Sender::Joining | Sender::Gone => return None,
        };
        if self.in_flight.is_some() || self.retry_at.is_some_and(|at| now < at) {
            return None;
        }
        let pending = self.queue.pop_front()?;
        let id = ids.deal();
        let body = self.request(&pending, &sender);
        // Who has less patience than others goes before the answer; it is not cut off for them.
        let deadline = pending.last_deadline().unwrap_or(now);
        let left = deadline.saturating_duration_since(now);
        let timeout = self.request_timeout.min(left.max(TIMEOUT_MIN));
        let mut outbound =
            Outbound::new(id, Target::Broker(coordinator), Lane::Group, timeout, body.into());
        // Version 10 names topics by id alone, which says nothing that the name does not.
        outbound.version_max = 9;
        self.in_flight = Some(InFlight { request: id, sender, pending });
        Some(outbound)
    }

    /// Takes in an answer; `None` if it is not to a commit. Where others wait for the consumer to go, as `is_leaving`
    /// says, a topic that is gone is not waited for.
    pub(crate) fn handle_answer(
        &mut self,
        now: Instant,
        answer: &mut Answer,
        is_leaving: bool,
        rng: &mut Rng,
    ) -> Option<Settled> {
        let flight = self.in_flight.take_if(|flight| flight.request == answer.id)?;
        let InFlight { sender, pending, .. } = flight;
        let mut settled = Settled::default();
        let mut is_gone = false;
        let (error, reaction) = match std::mem::replace(&mut answer.result, Ok(None)) {
            Err(failure) => {
                settled.lose_coordinator = true;
                let passes = failure.is_passing();
                let reaction = if passes { Reaction::FindCoordinator } else { Reaction::Fail };
                (Error::from_failure(&failure), reaction)
            }
            Ok(Some(Response::OffsetCommit(response))) => match verdict(&pending, &response) {
                Ok(()) => {
                    self.backoff.reset();
                    self.retry_at = None;
                    settled.over.extend(pending.over(&Ok(())));
                    settled.stored = pending.offsets;
                    return Some(settled);
                }
                Err((code, partition)) => {
                    let reaction = disposition::reaction(ApiKey::OFFSET_COMMIT, code);
                    // As in Java before a revocation: all but a deleted topic's is stored.
                    is_gone = code == ErrorCode::UNKNOWN_TOPIC_OR_PARTITION && is_leaving;
                    settled.lose_coordinator = reaction == Reaction::FindCoordinator;
                    let is_members =
                        is_members_business(reaction, code) && sender.generation.is_some();
                    settled.reaction = is_members.then_some((reaction, code, sender));
                    let error = Error::from_code(ApiKey::OFFSET_COMMIT, code);
                    (error.with_partition(&partition), reaction)
                }
            },
            Ok(_) => {
                let error = Error::new(ErrorKind::Protocol)
                    .with_detail("the answer leaves partitions out, or is another's");
                (error, Reaction::Fail)
            }
        };
        let error =
            error.during(Operation::Commit).with_group(&*self.group_id).with_broker(answer.broker);
        // A rebalance in progress ends; then the same member commits the same offsets, if it owns them still.
        let passes = matches!(
            reaction,
            Reaction::Retry
                | Reaction::RefreshMetadata
                | Reaction::FindCoordinator
                | Reaction::Rejoin
        );
        let is_wanted = pending.mode == CommitMode::Retry && pending.is_waited_for(now);
        let again = passes && is_wanted && !is_gone;
        if again {
            self.retry_at = Some(now + self.backoff.next_wait(rng));
            self.queue.push_front(Pending { last_error: Some(error), ..pending });
        } else {
            self.retry_at = None;
            settled.over.extend(pending.over(&Err(error)));
        }
        Some(settled)
    }

    /// When something is due, where `sendable` says that the coordinator is known and would take a commit.
    pub(crate) fn timeout(&self, sendable: bool) -> Option<Instant> {
        let sent = self.in_flight.iter().map(|flight| &flight.pending);
        let deadlines = self.queue.iter().chain(sent).filter_map(Pending::first_deadline);
        let waits = sendable && self.in_flight.is_none() && !self.queue.is_empty();
        deadlines.chain(self.retry_at.filter(|_| waits)).min()
    }

    /// Ends what waits: the coordinator will not be found.
    pub(crate) fn fail(&mut self, error: &Error) -> Vec<Over> {
        let result = Err(error.clone());
        let waiting = std::mem::take(&mut self.queue);
        waiting.iter().flat_map(|pending| pending.over(&result)).collect()
    }

    /// Ends everything, as nobody waits for it any more.
    pub(crate) fn abandon(&mut self) -> Vec<Over> {
        let mut over = std::mem::take(&mut self.crowded_out);
        let sent = self.in_flight.take().map(|flight| flight.pending);
        for (pending, fate) in sent
            .into_iter()
            .map(|pending| (pending, Fate::Unknown))
            .chain(self.queue.drain(..).map(|pending| (pending, Fate::NotStored)))
        {
            let error = Error::closed().during(Operation::Commit).with_fate(fate);
            over.extend(pending.over(&Err(error)));
        }
        over
    }

    fn request(&self, pending: &Pending, sender: &Identity) -> OffsetCommitRequest {
        let partitions = pending.offsets.iter().map(|(tp, committed)| {
            let partition = OffsetCommitRequestPartition {
                partition_index: tp.partition,
                committed_offset: committed.offset.get(),
                committed_leader_epoch: LeaderEpoch::to_wire(committed.leader_epoch),
                committed_metadata: Some(ByteString::from(&*committed.metadata)),
            };
            (tp, partition)
        });
        let topics = by_topic(partitions).into_iter().map(|(name, partitions)| {
            OffsetCommitRequestTopic { name, partitions, ..Default::default() }
        });
        OffsetCommitRequest {
            group_id: self.group_id.clone(),
            generation_id_or_member_epoch: sender.generation.map_or(-1, Generation::get),
            member_id: sender.member_id.clone(),
            group_instance_id: self.instance_id.clone(),
            topics: topics.collect(),
            ..Default::default()
        }
    }

    fn timeout_error(&self, last: Option<&Error>) -> Error {
        let error = self.error(ErrorKind::Timeout);
        match last {
            // What was tried may have been stored; what was never sent was not.
            Some(cause) => error.with_fate(cause.fate()).because(cause.clone()),
            None => error.with_fate(Fate::NotStored).with_detail("the coordinator was not reached"),
        }
    }

    fn error(&self, kind: ErrorKind) -> Error {
        Error::new(kind).during(Operation::Commit).with_group(&*self.group_id)
    }
}

/// Whether `pending` may be sent by `sender`, now or later.
fn is_current(
    pending: &Pending,
    sender: &Sender,
    stay: impl Fn(&TopicPartition) -> Option<Stay>,
) -> bool {
    // The coordinator looks at the generation alone: it would take from us what is another member's. And what went and
    // came back, if only from one generation to the next, is read again from where the group stood: its commits begin
    // there, and an older one between them would have the group jump ahead and fall back. Epochs of the consumer
    // protocol move on while others come and go, and a cooperative member joins again with what it keeps.
    let has_stayed =
        |tp: &TopicPartition| stay(tp).is_some_and(|now| pending.stays.get(tp) == Some(&now));
    match (sender, pending.origin) {
        (Sender::Standalone, Origin::Standalone) => true,
        (Sender::Joining | Sender::Member(_), Origin::Member) => {
            pending.offsets.keys().all(has_stayed)
        }
        // Who has left a group, or joins one, does not go on with what it did before.
        (Sender::Gone, _)
        | (Sender::Standalone, Origin::Member)
        | (Sender::Joining | Sender::Member(_), Origin::Standalone) => false,
    }
}

/// Whether the answer to a commit says that the member is no longer who it was. All else, as metadata that is too long
/// or a right that is missing, is the commit's own trouble.
fn is_members_business(reaction: Reaction, code: ErrorCode) -> bool {
    match reaction {
        Reaction::Rejoin | Reaction::ResetGeneration | Reaction::ResetMember => true,
        // A code that nobody knows fails its commit and nothing else.
        Reaction::Fatal => code.name().is_some(),
        Reaction::Accept
        | Reaction::Retry
        | Reaction::RefreshMetadata
        | Reaction::FindCoordinator
        | Reaction::SplitBatch
        | Reaction::RepairSequence
        | Reaction::ResetOffset
        | Reaction::ValidateOffset
        | Reaction::ResetSession
        | Reaction::AdoptMemberId
        | Reaction::Rebootstrap
        | Reaction::Fail
        | Reaction::Abort => false,
    }
}

/// The first error of the answer; a partition that it leaves out was not stored as far as anybody knows.
fn verdict(
    pending: &Pending,
    response: &OffsetCommitResponse,
) -> Result<(), (ErrorCode, TopicPartition)> {
    let mut missing: Vec<&TopicPartition> = pending.offsets.keys().collect();
    for topic in &response.topics {
        for partition in &topic.partitions {
            let is_this = |tp: &TopicPartition| {
                tp.partition == partition.partition_index && *tp.topic.as_str() == *topic.name
            };
            let Some(place) = missing.iter().position(|tp| is_this(tp)) else { continue };
            let tp = missing.swap_remove(place);
            if partition.error_code != ErrorCode::NONE {
                return Err((partition.error_code, tp.clone()));
            }
        }
    }
    match missing.first() {
        Some(&tp) => Err((ErrorCode::UNKNOWN_SERVER_ERROR, tp.clone())),
        None => Ok(()),
    }
}

/// A commit whose deadline is now still gets the time of a round trip.
const TIMEOUT_MIN: Duration = Duration::from_millis(100);

/// Calls that may share one request; each has a waiter of its own.
const JOINED_MAX: usize = 1024;

/// Commits that wait in line: of so many sets of partitions, each of which a task of its own may commit. A consumer of ten
/// thousand partitions that commits each by itself is served; whoever adds a set looks through the line, so that many
/// more would take seconds to line up.
const QUEUE_MAX: usize = 16 * 1024;

#[cfg(test)]
mod tests;
