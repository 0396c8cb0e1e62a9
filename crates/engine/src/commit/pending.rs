//! Commits on their way to the coordinator, one at a time and in the order of the calls.
//!
//! The order is what keeps an older commit from overwriting a newer one: a commit that is tried again stays first
//! in line, and one that is not tried again is over before the next is sent.

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

/// What a commit's answer means to the others.
#[derive(Debug, Default)]
pub(crate) struct Settled {
    /// Commits that are over, with whether the offsets are stored.
    pub(crate) over: Vec<(CommitId, Result<(), Error>)>,
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
}

#[derive(Debug)]
struct Pending {
    /// More than one where calls without retry were joined while they waited.
    ids: Vec<CommitId>,
    offsets: BTreeMap<TopicPartition, CommittedOffset>,
    mode: CommitMode,
    deadline: Instant,
    /// The generation in which it was asked for; `None` outside of one.
    generation: Option<Generation>,
    /// The stays of the partitions when it was asked for.
    stays: BTreeMap<TopicPartition, Stay>,
    last_error: Option<Error>,
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
        }
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.in_flight.is_none()
    }

    /// Whether every commit up to this one is over.
    pub(crate) fn is_done_to(&self, last: CommitId) -> bool {
        let sent = self.in_flight.iter().map(|flight| &flight.pending);
        let mut ids = self.queue.iter().chain(sent).flat_map(|pending| &pending.ids);
        ids.all(|id| *id > last)
    }

    /// Takes in a commit; it is over within the time to `deadline`.
    pub(crate) fn push(
        &mut self,
        id: CommitId,
        offsets: BTreeMap<TopicPartition, CommittedOffset>,
        mode: CommitMode,
        generation: Option<Generation>,
        stays: BTreeMap<TopicPartition, Stay>,
        deadline: Instant,
    ) {
        // Commits without retry that wait behind another become one: the newer offsets win, and a user who commits
        // faster than the coordinator answers does not grow the queue without bound.
        if let Some(last) = self.queue.back_mut()
            && (last.mode, mode) == (CommitMode::Once, CommitMode::Once)
            && last.generation == generation
            && last.ids.len() < JOINED_MAX
        {
            last.ids.push(id);
            last.offsets.extend(offsets);
            last.stays.extend(stays);
            last.deadline = last.deadline.max(deadline);
        } else {
            let ids = vec![id];
            let last_error = None;
            let pending = Pending { ids, offsets, mode, deadline, generation, stays, last_error };
            self.queue.push_back(pending);
        }
    }

    /// Ends what is late or belongs to nobody.
    pub(crate) fn expire(
        &mut self,
        now: Instant,
        sender: &Sender,
        stay: impl Fn(&TopicPartition) -> Option<Stay>,
    ) -> Vec<(CommitId, Result<(), Error>)> {
        let mut over = Vec::new();
        let mut kept = VecDeque::with_capacity(self.queue.len());
        for pending in std::mem::take(&mut self.queue) {
            let verdict = if pending.offsets.is_empty() {
                Some(Ok(()))
            } else if !self.is_current(&pending, sender, &stay) {
                let rebalanced = self.error(ErrorKind::Rebalanced).with_detail(
                    "the group has rebalanced and the partitions may be another member's",
                );
                Some(Err(rebalanced))
            } else if pending.deadline <= now {
                Some(Err(self.timeout_error(&pending)))
            } else {
                None
            };
            match verdict {
                Some(result) => over.extend(pending.ids.iter().map(|id| (*id, result.clone()))),
                None => kept.push_back(pending),
            }
        }
        self.queue = kept;
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
        let left = pending.deadline.saturating_duration_since(now);
        let timeout = self.request_timeout.min(left.max(TIMEOUT_MIN));
        let mut outbound =
            Outbound::new(id, Target::Broker(coordinator), Lane::Group, timeout, body.into());
        // Version 10 names topics by id alone, which says nothing that the name does not.
        outbound.version_max = 9;
        self.in_flight = Some(InFlight { request: id, sender, pending });
        Some(outbound)
    }

    /// Takes in an answer; `None` if it is not to a commit.
    pub(crate) fn handle_answer(
        &mut self,
        now: Instant,
        answer: &mut Answer,
        rng: &mut Rng,
    ) -> Option<Settled> {
        let flight = self.in_flight.take_if(|flight| flight.request == answer.id)?;
        let InFlight { sender, pending, .. } = flight;
        let mut settled = Settled::default();
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
                    settled.over.extend(pending.ids.iter().map(|id| (*id, Ok(()))));
                    settled.stored = pending.offsets;
                    return Some(settled);
                }
                Err((code, partition)) => {
                    let reaction = disposition::reaction(ApiKey::OFFSET_COMMIT, code);
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
        let again = passes && pending.mode == CommitMode::Retry && now < pending.deadline;
        if again {
            self.retry_at = Some(now + self.backoff.next_wait(rng));
            self.queue.push_front(Pending { last_error: Some(error), ..pending });
        } else {
            self.retry_at = None;
            let ids = pending.ids.into_iter();
            settled.over.extend(ids.map(|id| (id, Err(error.clone()))));
        }
        Some(settled)
    }

    /// When something is due, where `sendable` says that the coordinator is known and would take a commit.
    pub(crate) fn timeout(&self, sendable: bool) -> Option<Instant> {
        let deadlines = self.queue.iter().map(|pending| pending.deadline);
        let waits = sendable && self.in_flight.is_none() && !self.queue.is_empty();
        deadlines.chain(self.retry_at.filter(|_| waits)).min()
    }

    /// Ends what waits: the coordinator will not be found.
    pub(crate) fn fail(&mut self, error: &Error) -> Vec<(CommitId, Result<(), Error>)> {
        let waiting = self.queue.drain(..).flat_map(|pending| pending.ids);
        waiting.map(|id| (id, Err(error.clone()))).collect()
    }

    /// Ends everything, as nobody waits for it any more.
    pub(crate) fn abandon(&mut self) -> Vec<(CommitId, Result<(), Error>)> {
        let mut over = Vec::new();
        let sent = self.in_flight.take().map(|flight| flight.pending);
        for (pending, fate) in sent
            .into_iter()
            .map(|pending| (pending, Fate::Unknown))
            .chain(self.queue.drain(..).map(|pending| (pending, Fate::NotStored)))
        {
            let error = Error::closed().during(Operation::Commit).with_fate(fate);
            over.extend(pending.ids.iter().map(|id| (*id, Err(error.clone()))));
        }
        over
    }

    /// Whether `pending` may be sent by `sender`, now or later.
    fn is_current(
        &self,
        pending: &Pending,
        sender: &Sender,
        stay: &impl Fn(&TopicPartition) -> Option<Stay>,
    ) -> bool {
        match sender {
            Sender::Standalone | Sender::Joining => true,
            Sender::Gone => false,
            Sender::Member(identity) => {
                let (Some(asked), Some(now)) = (pending.generation, identity.generation) else {
                    return false;
                };
                // One generation on, nobody else can have owned in between what we own again; two on, somebody can,
                // unless it never left: epochs of the consumer protocol move on while others come and go.
                let follows = now == asked || now.get() == asked.get().wrapping_add(1);
                // The coordinator looks at the generation alone: it would take from us what is another member's.
                let stayed = |tp: &TopicPartition, now: Stay| pending.stays.get(tp) == Some(&now);
                let is_ours = |tp| stay(tp).is_some_and(|now| follows || stayed(tp, now));
                pending.offsets.keys().all(is_ours)
            }
        }
    }

    fn request(&self, pending: &Pending, sender: &Identity) -> OffsetCommitRequest {
        let mut topics: Vec<OffsetCommitRequestTopic> = Vec::new();
        for (tp, committed) in &pending.offsets {
            let partition = OffsetCommitRequestPartition {
                partition_index: tp.partition,
                committed_offset: committed.offset.get(),
                committed_leader_epoch: LeaderEpoch::to_wire(committed.leader_epoch),
                committed_metadata: Some(ByteString::from(&*committed.metadata)),
            };
            match topics.last_mut() {
                Some(topic) if *topic.name == *tp.topic.as_str() => {
                    topic.partitions.push(partition);
                }
                Some(_) | None => topics.push(OffsetCommitRequestTopic {
                    name: ByteString::from(tp.topic.as_str()),
                    partitions: vec![partition],
                    ..Default::default()
                }),
            }
        }
        OffsetCommitRequest {
            group_id: self.group_id.clone(),
            generation_id_or_member_epoch: sender.generation.map_or(-1, Generation::get),
            member_id: sender.member_id.clone(),
            group_instance_id: self.instance_id.clone(),
            topics,
            ..Default::default()
        }
    }

    fn timeout_error(&self, pending: &Pending) -> Error {
        let error = self.error(ErrorKind::Timeout);
        match &pending.last_error {
            // What was tried may have been stored; what was never sent was not.
            Some(cause) => error.with_fate(cause.fate()).because(cause.clone()),
            None => error.with_fate(Fate::NotStored).with_detail("the coordinator was not reached"),
        }
    }

    fn error(&self, kind: ErrorKind) -> Error {
        Error::new(kind).during(Operation::Commit).with_group(&*self.group_id)
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

#[cfg(test)]
mod tests;
