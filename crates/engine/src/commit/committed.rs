//! Reading the offsets that a group has committed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fastrand::Rng;
use milena_types::{ApiKey, ErrorCode, Generation, LeaderEpoch, NodeId, Offset, TopicPartition};
use milena_wire::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use milena_wire::messages::{OffsetFetchRequest, OffsetFetchResponse};
use milena_wire::{ByteString, Response};

use super::offset::CommittedOffset;
use crate::backoff::Backoff;
use crate::by_topic::by_topic;
use crate::disposition::{self, Reaction};
use crate::error::{Error, Operation};
use crate::group::Identity;
use crate::request::{Answer, Lane, Outbound, RequestId, RequestIds, Target};
use crate::subscription::{Revision, Stage, Subscription};

/// Who wants to know.
#[derive(Debug)]
pub(crate) enum CommittedAsker {
    /// Partitions without a position, of these revisions.
    Positions(BTreeMap<TopicPartition, Revision>),
    /// The query of this number.
    Query(u64),
}

/// Questions to the coordinator, each asked until it is answered or withdrawn.
#[derive(Debug)]
pub(crate) struct CommittedLookup {
    group_id: Arc<str>,
    request_timeout: Duration,
    requests: BTreeMap<RequestId, (CommittedAsker, BTreeSet<TopicPartition>)>,
    queries: BTreeMap<u64, Query>,
    backoff: Backoff,
}

#[derive(Debug)]
struct Query {
    partitions: BTreeSet<TopicPartition>,
    asked: bool,
    retry_at: Option<Instant>,
}

impl CommittedLookup {
    pub(crate) fn new(group_id: Arc<str>, request_timeout: Duration, backoff: Backoff) -> Self {
        let (requests, queries) = (BTreeMap::new(), BTreeMap::new());
        Self { group_id, request_timeout, requests, queries, backoff }
    }

    pub(crate) fn ask(&mut self, query: u64, partitions: BTreeSet<TopicPartition>) {
        self.queries.insert(query, Query { partitions, asked: false, retry_at: None });
    }

    pub(crate) fn withdraw(&mut self, query: u64) {
        self.queries.remove(&query);
    }

    /// Whether the coordinator is needed.
    pub(crate) fn is_waiting(&self, subscription: &Subscription) -> bool {
        !self.queries.is_empty()
            || subscription.iter().any(|(_, assigned)| *assigned.stage() == Stage::Committed)
    }

    /// The requests that may be sent now. Of a `member` of the consumer protocol the coordinator wants to know that it
    /// is up to date: it may be about to hear that a partition has gone elsewhere.
    pub(crate) fn poll(
        &mut self,
        now: Instant,
        coordinator: NodeId,
        member: Option<&Identity>,
        subscription: &mut Subscription,
        ids: &mut RequestIds,
    ) -> Vec<Outbound> {
        let mut asks = Vec::new();
        let mut positions = BTreeMap::new();
        for (tp, assigned) in subscription.iter_mut() {
            if *assigned.stage() == Stage::Committed && !assigned.asked && !assigned.waits(now) {
                assigned.asked = true;
                positions.insert(tp.clone(), assigned.revision());
            }
        }
        if !positions.is_empty() {
            let partitions = positions.keys().cloned().collect();
            asks.push((CommittedAsker::Positions(positions), partitions));
        }
        for (&id, query) in &mut self.queries {
            if !query.asked && query.retry_at.is_none_or(|at| at <= now) {
                query.asked = true;
                asks.push((CommittedAsker::Query(id), query.partitions.clone()));
            }
        }
        let requests = asks.into_iter().map(|(asker, partitions)| {
            let id = ids.deal();
            let body = request(&self.group_id, member, &partitions);
            self.requests.insert(id, (asker, partitions));
            let (target, timeout) = (Target::Broker(coordinator), self.request_timeout);
            // Not behind a JoinGroup, which blocks its connection.
            let mut outbound = Outbound::new(id, target, Lane::Control, timeout, body.into());
            outbound.version_max = VERSION_MAX;
            outbound
        });
        requests.collect()
    }

    /// Takes in an answer; `None` if it is not to one of these. `Err` is to be asked again, which happens by itself.
    pub(crate) fn handle_answer(
        &mut self,
        now: Instant,
        answer: &mut Answer,
        subscription: &mut Subscription,
        rng: &mut Rng,
    ) -> Option<(CommittedAsker, Result<Fetched, Again>)> {
        let (asker, partitions) = self.requests.remove(&answer.id)?;
        let result = match std::mem::replace(&mut answer.result, Ok(None)) {
            Ok(Some(Response::OffsetFetch(response))) => {
                let mut fetched = read(&self.group_id, &partitions, &response);
                let complete = fetched.offsets.len() == partitions.len();
                match fetched.again.take() {
                    Some(reaction) => Err(Again::Code(reaction)),
                    None if !complete && fetched.errors.is_empty() => Err(Again::Unanswered),
                    None => Ok(fetched),
                }
            }
            Ok(_) | Err(_) => Err(Again::Unanswered),
        };
        let wait = match &result {
            Ok(_) => {
                self.backoff.reset();
                None
            }
            Err(_) => Some(now + self.backoff.next_wait(rng)),
        };
        match &asker {
            CommittedAsker::Positions(positions) => {
                for (tp, revision) in positions {
                    if let Some(assigned) = subscription.current(tp, *revision) {
                        assigned.asked = false;
                        assigned.retry_at = wait;
                    }
                }
            }
            CommittedAsker::Query(id) => match self.queries.get_mut(id) {
                Some(query) if wait.is_some() => (query.asked, query.retry_at) = (false, wait),
                Some(_) | None => {
                    self.queries.remove(id);
                }
            },
        }
        Some((asker, result))
    }

    pub(crate) fn timeout(&self, now: Instant) -> Option<Instant> {
        let waits = self.queries.values().filter(|query| !query.asked);
        waits.filter_map(|query| query.retry_at).filter(|at| *at > now).min()
    }
}

/// Why a question is asked again.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Again {
    Code(Reaction),
    /// No answer, or one that leaves partitions out.
    Unanswered,
}

/// The newest version that names topics; the next one has ids alone, which say nothing that the name does not.
const VERSION_MAX: i16 = 9;

/// Asks for the committed offsets of `partitions`.
fn request(
    group_id: &str,
    member: Option<&Identity>,
    partitions: &BTreeSet<TopicPartition>,
) -> OffsetFetchRequest {
    let topics = by_topic(partitions.iter().map(|tp| (tp, tp.partition))).into_iter().map(
        |(name, partition_indexes)| OffsetFetchRequestTopics {
            name,
            partition_indexes,
            ..Default::default()
        },
    );
    let group = OffsetFetchRequestGroup {
        group_id: ByteString::from(group_id),
        topics: Some(topics.collect()),
        member_id: member.map(|member| member.member_id.clone()),
        member_epoch: Generation::to_wire(member.and_then(|member| member.generation)),
    };
    OffsetFetchRequest {
        groups: vec![group],
        // Offsets of a transaction that is about to end would be read too old (KIP-447, trap 21).
        require_stable: true,
        ..Default::default()
    }
}

/// What a broker said of a group's offsets.
#[derive(Debug, Default)]
pub(crate) struct Fetched {
    /// `None` where nothing is committed.
    pub(crate) offsets: BTreeMap<TopicPartition, Option<CommittedOffset>>,
    /// To be asked for again, after this.
    again: Option<Reaction>,
    /// What no retry heals.
    pub(crate) errors: Vec<Error>,
}

/// Reads the answer to [`request`]; a partition that is in none of the three was left out by the broker.
fn read(
    group_id: &Arc<str>,
    asked: &BTreeSet<TopicPartition>,
    response: &OffsetFetchResponse,
) -> Fetched {
    let mut fetched = Fetched::default();
    let note = |fetched: &mut Fetched, code: ErrorCode, tp: Option<&TopicPartition>| {
        let reaction = disposition::reaction(ApiKey::OFFSET_FETCH, code);
        let passes = matches!(
            reaction,
            Reaction::Retry
                | Reaction::RefreshMetadata
                | Reaction::FindCoordinator
                | Reaction::Rejoin
                | Reaction::ResetGeneration
                | Reaction::ResetMember
        );
        if passes {
            fetched.again = Some(reaction);
            return;
        }
        let error = Error::from_code(ApiKey::OFFSET_FETCH, code)
            .during(Operation::FetchOffsets)
            .with_group(Arc::clone(group_id));
        fetched.errors.push(match tp {
            Some(tp) => error.with_partition(tp),
            None => error,
        });
    };
    let Some(group) = response.groups.iter().find(|group| *group.group_id == **group_id) else {
        return fetched;
    };
    if group.error_code != ErrorCode::NONE {
        note(&mut fetched, group.error_code, None);
        return fetched;
    }
    for topic in &group.topics {
        for partition in &topic.partitions {
            let tp = TopicPartition::new(&*topic.name, partition.partition_index);
            if !asked.contains(&tp) {
                continue;
            }
            if partition.error_code != ErrorCode::NONE {
                note(&mut fetched, partition.error_code, Some(&tp));
                continue;
            }
            let committed = Offset::new(partition.committed_offset).map(|offset| CommittedOffset {
                offset,
                // Some services never give one, which is legal (trap 32).
                leader_epoch: LeaderEpoch::from_wire(partition.committed_leader_epoch),
                metadata: Arc::from(partition.metadata.as_deref().unwrap_or_default()),
            });
            fetched.offsets.insert(tp, committed);
        }
    }
    fetched
}
