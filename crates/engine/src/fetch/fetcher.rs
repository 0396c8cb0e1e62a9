//! Which broker is asked for what, and what its answers mean.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fastrand::Rng;
use milena_types::{
    ApiKey, ErrorCode, LeaderEpoch, NodeId, Offset, ProducerId, Topic, TopicPartition, Uuid,
};
use milena_wire::messages::FetchResponse;
use milena_wire::messages::fetch_response::PartitionData;
use milena_wire::{Records, Response};

use super::budget::Lease;
use super::buffer::{AbortedTransaction, CompletedFetch, Ends, FetchBuffer};
use super::extent::Extent;
use super::limits::{IsolationLevel, Limits};
use super::request;
use super::session::{Ask, Mismatch, Session};
use crate::backoff::Backoff;
use crate::disposition::{self, Reaction};
use crate::error::{Error, ErrorKind, Operation};
use crate::metadata::{Broker, Cluster, LeaderHint};
use crate::request::{Answer, Failure, Lane, Outbound, RequestId, RequestIds, Target};
use crate::subscription::{Assigned, Event, OffsetReset, Position, Revision, Stage, Subscription};

/// The fetch requests of one consumer: at most one to each broker, sent as soon as the last is answered and there is
/// room for its bytes.
#[derive(Debug)]
pub(crate) struct Fetcher {
    limits: Limits,
    request_timeout: Duration,
    /// How long a preferred replica is good (KIP-392).
    replica_lease: Duration,
    reset: OffsetReset,
    backoff: Backoff,
    sources: BTreeMap<NodeId, Source>,
}

/// What is known of one broker.
#[derive(Debug)]
struct Source {
    session: Session,
    flight: Option<Flight>,
    backoff: Backoff,
    retry_at: Option<Instant>,
}

/// The request under way.
#[derive(Debug)]
struct Flight {
    request: RequestId,
    /// Where each partition of the session stood when it was sent.
    asked: BTreeMap<TopicPartition, (Revision, Offset)>,
    /// What the ids in the answer mean.
    topics: BTreeMap<Uuid, Topic>,
}

/// What an answer or a plan means to the others.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    pub(crate) refresh_metadata: bool,
    pub(crate) hints: Vec<LeaderHint>,
}

impl Fetcher {
    pub(crate) fn new(
        limits: Limits,
        request_timeout: Duration,
        replica_lease: Duration,
        reset: OffsetReset,
        backoff: Backoff,
    ) -> Self {
        let sources = BTreeMap::new();
        Self { limits, request_timeout, replica_lease, reset, backoff, sources }
    }

    /// The fetches that may be sent now.
    pub(crate) fn plan(
        &mut self,
        now: Instant,
        subscription: &mut Subscription,
        cluster: &Cluster,
        buffer: &FetchBuffer,
        ids: &mut RequestIds,
        notes: &mut Notes,
    ) -> Vec<Outbound> {
        let wanted = self.wanted(now, subscription, cluster, notes);
        let brokers = wanted.len();
        let mut outbound = Vec::new();
        for (node, mut asks) in wanted {
            let source = self.sources.entry(node).or_insert_with(|| Source {
                session: Session::new(node),
                flight: None,
                backoff: self.backoff.clone(),
                retry_at: None,
            });
            if source.flight.is_some() || source.retry_at.is_some_and(|at| now < at) {
                continue;
            }
            let bytes_max = self.limits.answer_bytes(brokers);
            let mut claimed = buffer.claimed_bytes(node);
            let part = part_of_claimed(self.limits.share(brokers), &claimed);
            let room = self.limits.room(brokers);
            if !buffer.has_room(node, room) {
                // One that is being validated would go on behind what was dropped.
                let may_go_back = |tp: &TopicPartition| {
                    let stage = subscription.get(tp).map(Assigned::stage);
                    matches!(stage, Some(Stage::Fetching(_)))
                };
                for tp in buffer.evict(node, part, may_go_back) {
                    let position = buffer.position(&tp);
                    if let (Some(assigned), Some(position)) = (subscription.get_mut(&tp), position)
                    {
                        assigned.advance(position);
                        if let Some(ask) = asks.get_mut(&tp) {
                            ask.offset = position.offset;
                        }
                    }
                }
                claimed = buffer.claimed_bytes(node);
                if !buffer.has_room(node, room) {
                    continue;
                }
            }
            let wanted = asks.len();
            cut_claimed(part, &claimed, &mut asks);
            let is_cut = asks.len() < wanted;
            if is_cut && asks.is_empty() {
                buffer.hunger(node);
                continue;
            }
            let asked = asks.iter().filter_map(|(tp, ask)| {
                Some((tp.clone(), (subscription.get(tp)?.revision(), ask.offset)))
            });
            let asked = asked.collect();
            let topics =
                asks.iter().filter_map(|(tp, ask)| Some((ask.topic_id?, tp.topic.clone())));
            let mut topics: BTreeMap<Uuid, Topic> = topics.collect();
            let old = source.session.known().iter();
            topics.extend(old.filter_map(|(tp, ask)| Some((ask.topic_id?, tp.topic.clone()))));
            let delta = source.session.next(asks);
            let mut limits = self.limits.clone();
            if is_cut {
                limits.max_wait = limits.max_wait.min(CUT_WAIT_MAX);
            }
            let (body, version_max) = request::fetch(&delta, &limits, bytes_max);
            let request = ids.deal();
            // The broker holds the request for up to the wait; only then it is late.
            let timeout = self.request_timeout + self.limits.max_wait;
            let target = Target::Broker(node);
            let mut fetch = Outbound::new(request, target, Lane::Fetch, timeout, body.into());
            fetch.version_max = version_max;
            // Version 4 brought isolation levels; brokers of the oldest supported release speak 10.
            fetch.version_min = 4;
            source.flight = Some(Flight { request, asked, topics });
            outbound.push(fetch);
        }
        outbound
    }

    /// When a source or a partition may be asked again.
    pub(crate) fn timeout(&self, now: Instant, subscription: &Subscription) -> Option<Instant> {
        let sources = self.sources.values().filter(|source| source.flight.is_none());
        let sources = sources.filter_map(|source| source.retry_at);
        let partitions = subscription.iter().filter_map(|(_, assigned)| {
            let replica = assigned.preferred.map(|(_, until)| until);
            [assigned.retry_at, replica].into_iter().flatten().filter(|at| *at > now).min()
        });
        sources.filter(|at| *at > now).chain(partitions).min()
    }

    /// The requests that close the sessions, so that brokers need not remember them.
    pub(crate) fn close(&mut self, ids: &mut RequestIds) -> Vec<Outbound> {
        let limits = Limits { max_wait: Duration::ZERO, min_bytes: 0, ..self.limits.clone() };
        let closings = self.sources.iter_mut().filter_map(|(node, source)| {
            let delta = source.session.close()?;
            let (body, version_max) = request::fetch(&delta, &limits, 0);
            let target = Target::Broker(*node);
            let timeout = self.request_timeout;
            let mut close = Outbound::new(ids.deal(), target, Lane::Fetch, timeout, body.into());
            close.version_max = version_max;
            Some(close)
        });
        let closings = closings.collect();
        self.sources.clear();
        closings
    }

    /// What is to be fetched from each broker.
    fn wanted(
        &self,
        now: Instant,
        subscription: &mut Subscription,
        cluster: &Cluster,
        notes: &mut Notes,
    ) -> BTreeMap<NodeId, BTreeMap<TopicPartition, Ask>> {
        let mut wanted: BTreeMap<NodeId, BTreeMap<TopicPartition, Ask>> = BTreeMap::new();
        for (tp, assigned) in subscription.iter_mut() {
            let Some(position) = assigned.fetchable() else { continue };
            if assigned.waits(now) {
                continue;
            }
            let topic = cluster.topic(tp.topic.as_str());
            let Some((topic, partition)) =
                topic.and_then(|topic| Some((topic, topic.partition(tp.partition)?)))
            else {
                notes.refresh_metadata = true;
                continue;
            };
            assigned
                .preferred
                .take_if(|(node, until)| *until <= now || cluster.broker(*node).is_none());
            let preferred = assigned.preferred.map(|(node, _)| node);
            let Some(node) = preferred.or(partition.leader) else {
                notes.refresh_metadata = true;
                continue;
            };
            // What is read from here on is of this leader's log, or of one it agrees with.
            assigned.confirmed = assigned.confirmed.or(partition.leader_epoch);
            let ask = Ask {
                topic_id: topic.id,
                offset: position.offset,
                leader_epoch: partition.leader_epoch,
                bytes_max: self.limits.partition_max_bytes,
            };
            wanted.entry(node).or_default().insert(tp.clone(), ask);
        }
        wanted
    }
}

/// Answers.
impl Fetcher {
    /// Takes in an answer; `None` if it is not to a fetch.
    pub(crate) fn handle_answer(
        &mut self,
        now: Instant,
        answer: &mut Answer,
        subscription: &mut Subscription,
        cluster: &Cluster,
        buffer: &FetchBuffer,
        rng: &mut Rng,
    ) -> Option<Notes> {
        let id = answer.id;
        let is_this = |flight: &mut Flight| flight.request == id;
        let (node, flight) = self
            .sources
            .iter_mut()
            .find_map(|(node, source)| Some((*node, source.flight.take_if(is_this)?)))?;
        let mut notes = Notes::default();
        let result = std::mem::replace(&mut answer.result, Ok(None));
        let source = self.sources.get_mut(&node)?;
        let response = match result {
            Ok(Some(Response::Fetch(response))) => response,
            Ok(_) => {
                source.session.handle_failure();
                source.retry_at = Some(now + source.backoff.next_wait(rng));
                return Some(notes);
            }
            Err(failure) => {
                tracing::debug!(broker = %node, ?failure, "fetch failed");
                source.session.handle_failure();
                source.retry_at = Some(now + source.backoff.next_wait(rng));
                notes.refresh_metadata = true;
                for tp in flight.asked.keys() {
                    if let Some(assigned) = subscription.get_mut(tp) {
                        assigned.preferred.take_if(|(preferred, _)| *preferred == node);
                    }
                }
                // Bytes that cannot be read, or are more than may be, come again with the next try: the user has to hear.
                if !failure.is_passing() || matches!(failure, Failure::MalformedResponse(_)) {
                    let error = Error::from_failure(&failure);
                    buffer.tell(Event::Error(error.during(Operation::Fetch).with_broker(node)));
                }
                return Some(notes);
            }
        };
        if let Err(mismatch) =
            source.session.handle_response(response.error_code, response.session_id)
        {
            let code = response.error_code;
            let reset = matches!(
                disposition::reaction(ApiKey::FETCH, code),
                Reaction::ResetSession | Reaction::Accept
            );
            // The first time all is asked for again at once: sessions are evicted on a busy broker.
            let waited = source.backoff.failures() > 0 || !reset;
            let wait = source.backoff.next_wait(rng);
            source.retry_at = waited.then(|| now + wait);
            tracing::debug!(broker = %node, %code, ?mismatch, "fetch session starts over");
            if mismatch == Mismatch::Foreign || !reset {
                notes.refresh_metadata = true;
            }
            return Some(notes);
        }
        source.backoff.reset();
        source.retry_at = None;
        let fetches =
            self.read(now, node, flight, response, subscription, cluster, buffer, rng, &mut notes);
        if let Some(last) = fetches.last() {
            if let Some(source) = self.sources.get_mut(&node) {
                source.session.handle_bytes(&last.partition);
            }
            buffer.push(fetches);
        }
        Some(notes)
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "one step of `handle_answer`, over the same things"
    )]
    fn read(
        &self,
        now: Instant,
        node: NodeId,
        mut flight: Flight,
        response: FetchResponse,
        subscription: &mut Subscription,
        cluster: &Cluster,
        buffer: &FetchBuffer,
        rng: &mut Rng,
        notes: &mut Notes,
    ) -> Vec<CompletedFetch> {
        let endpoints: BTreeMap<i32, Broker> = response
            .node_endpoints
            .iter()
            .filter_map(|endpoint| {
                let port = u16::try_from(endpoint.port).ok()?;
                let node = NodeId::from_wire(endpoint.node_id)?;
                Some((endpoint.node_id, Broker::new(node, &*endpoint.host, port)))
            })
            .collect();
        let mut fetches = Vec::new();
        let partitions = response.responses.iter().flat_map(|topic| &topic.partitions);
        let bytes = partitions.filter_map(|data| Some(data.records.as_ref()?.len())).sum();
        let lease = buffer.held(node).lease(bytes);
        for topic in response.responses {
            let (name, id) = match flight.topics.get(&topic.topic_id) {
                Some(name) => (name.clone(), Some(topic.topic_id)),
                None if !topic.topic.is_empty() => (Topic::from(&*topic.topic), None),
                None => continue,
            };
            for data in topic.partitions {
                let tp = TopicPartition::new(&name, data.partition_index);
                // A partition that is named twice, or that was not asked for, has no place left.
                let Some((revision, offset)) = flight.asked.remove(&tp) else { continue };
                if data.error_code == ErrorCode::NONE {
                    // True wherever the position has gone meanwhile; and the session does not say it again until it changes.
                    buffer.learn(&tp, ends(&data));
                }
                let Some(assigned) = subscription.current(&tp, revision) else { continue };
                // Bytes that arrive while the position is being validated, or for where it was before, would be
                // handed out twice (R21).
                let Stage::Fetching(position) = *assigned.stage() else { continue };
                if position.offset != offset {
                    continue;
                }
                if data.error_code == ErrorCode::NONE {
                    assigned.prove_topic_id(id);
                    let fetch =
                        self.take_in(now, node, &lease, &tp, assigned, position, data, buffer, rng);
                    fetches.extend(fetch);
                } else {
                    let hint = hint(&tp, &data, &endpoints);
                    let code = data.error_code;
                    let wait = assigned.backoff.next_wait(rng);
                    assigned.retry_at = Some(now + wait);
                    // A broker that is behind names the leader that we know is gone: that is no news.
                    let hint = hint.filter(|hint| cluster.is_news(hint));
                    let moved = hint.is_some();
                    notes.hints.extend(hint);
                    let revision =
                        self.refuse(node, code, moved, &tp, assigned, position, buffer, notes);
                    if let Some(stage) = revision {
                        let next = subscription.revise();
                        if let Some(assigned) = subscription.get_mut(&tp) {
                            assigned.go(stage, next);
                        }
                        buffer.place(&tp, next, None);
                    }
                }
            }
        }
        fetches
    }

    /// Takes in the records of one partition.
    #[expect(clippy::too_many_arguments, reason = "one step of `read`, over the same things")]
    fn take_in(
        &self,
        now: Instant,
        node: NodeId,
        lease: &Arc<Lease>,
        tp: &TopicPartition,
        assigned: &mut Assigned,
        position: Position,
        data: PartitionData,
        buffer: &FetchBuffer,
        rng: &mut Rng,
    ) -> Option<CompletedFetch> {
        if let Some(replica) = NodeId::from_wire(data.preferred_read_replica) {
            assigned.preferred = Some((replica, now + self.replica_lease));
            if assigned.refused_by == Some(replica) {
                // The leader does not know that the replica has nothing for us yet. Sent to and fro at once, this would
                // spin between the two.
                assigned.retry_at = Some(now + assigned.backoff.next_wait(rng));
                return None;
            }
        }
        let records = data.records.map(Records::into_bytes).unwrap_or_default();
        if records.is_empty() {
            assigned.retry_at = None;
            return None;
        }
        let extent = Extent::of(&records);
        let Some(next) = extent.next.filter(|next| *next > position.offset) else {
            // Asked again at once, this would spin for ever with healthy heartbeats.
            let error = Error::new(ErrorKind::Protocol)
                .during(Operation::Fetch)
                .with_partition(tp)
                .with_broker(node)
                .with_detail(format!(
                    "{} bytes at offset {} hold no whole batch that goes further",
                    records.len(),
                    position.offset
                ));
            buffer.tell(Event::Error(error));
            assigned.retry_at = Some(now + assigned.backoff.next_wait(rng));
            return None;
        };
        assigned.advance(Position::new(next, extent.leader_epoch.or(position.leader_epoch)));
        let aborted = match self.limits.isolation {
            IsolationLevel::ReadUncommitted => None,
            IsolationLevel::ReadCommitted => Some(
                data.aborted_transactions
                    .unwrap_or_default()
                    .iter()
                    .filter_map(|aborted| {
                        Some(AbortedTransaction {
                            producer_id: ProducerId::from_wire(aborted.producer_id)?,
                            first_offset: Offset::new(aborted.first_offset)?,
                        })
                    })
                    .collect(),
            ),
        };
        Some(CompletedFetch {
            partition: tp.clone(),
            revision: assigned.revision(),
            broker: node,
            records: lease.part(records.slice(..extent.bytes)),
            aborted,
            progress: None,
        })
    }

    /// Decides what the error of one partition means; gives the stage that it goes to, if it changes.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "what is not named here is told to the user"
    )]
    #[expect(clippy::too_many_arguments, reason = "one step of `read`, over the same things")]
    fn refuse(
        &self,
        node: NodeId,
        code: ErrorCode,
        moved: bool,
        tp: &TopicPartition,
        assigned: &mut Assigned,
        position: Position,
        buffer: &FetchBuffer,
        notes: &mut Notes,
    ) -> Option<Stage> {
        tracing::debug!(partition = %tp, broker = %node, %code, "fetch refused");
        let error = || {
            Error::from_code(ApiKey::FETCH, code)
                .during(Operation::Fetch)
                .with_partition(tp)
                .with_broker(node)
        };
        let from_follower = assigned.preferred.take_if(|(replica, _)| *replica == node).is_some();
        if from_follower {
            // Whatever a follower says, the leader knows better.
            assigned.refused_by = Some(node);
            assigned.retry_at = None;
            return None;
        }
        match disposition::reaction(ApiKey::FETCH, code) {
            Reaction::ResetOffset => {
                // What was fetched before and waits is good: it is read first, then the position is asked again.
                if buffer.position(tp).is_some_and(|taken| taken.offset < position.offset) {
                    return None;
                }
                if self.reset == OffsetReset::None {
                    buffer.tell(Event::Error(error().with_detail(format!(
                        "offset {} is out of range and there is no reset policy",
                        position.offset
                    ))));
                    return Some(Stage::Halted);
                }
                tracing::info!(partition = %tp, offset = %position.offset, "out of range, resetting");
                Some(Stage::Reset(self.reset))
            }
            Reaction::Retry | Reaction::ResetSession | Reaction::Accept => None,
            Reaction::ValidateOffset | Reaction::RefreshMetadata | Reaction::Rebootstrap => {
                // The snapshot with the new leader ends the wait; until then the same broker would say the same.
                notes.refresh_metadata |= !moved;
                if code == ErrorCode::UNKNOWN_TOPIC_ID {
                    assigned.unknown_topic_ids += 1;
                    if assigned.unknown_topic_ids == UNKNOWN_TOPIC_IDS_MAX {
                        buffer.tell(Event::Error(error()));
                    }
                }
                None
            }
            _ => {
                buffer.tell(Event::Error(error()));
                None
            }
        }
    }
}

/// The bytes of a claimed partition that may be on their way: all of them together hold half of
/// `share` at most, so that who reads slowly never holds up who does not.
fn part_of_claimed(share: usize, claimed: &BTreeMap<TopicPartition, usize>) -> usize {
    share / (PARTS_PER_CLAIM * claimed.len().max(1))
}

/// Leaves partitions out whose own readers have not taken what is there, and asks for `part` of each of the others that
/// have one.
fn cut_claimed(
    part: usize,
    claimed: &BTreeMap<TopicPartition, usize>,
    asks: &mut BTreeMap<TopicPartition, Ask>,
) {
    asks.retain(|tp, ask| {
        let Some(held) = claimed.get(tp) else { return true };
        let most = i32::try_from(part.max(1)).unwrap_or(i32::MAX);
        ask.bytes_max = ask.bytes_max.min(most);
        *held < (part / 2).max(1)
    });
}

/// How far the log reaches.
fn ends(data: &PartitionData) -> Ends {
    Ends {
        log_start_offset: Offset::new(data.log_start_offset),
        high_watermark: Offset::new(data.high_watermark),
        last_stable_offset: Offset::new(data.last_stable_offset),
    }
}

/// Where the partition went, if the answer says so (KIP-951).
fn hint(
    tp: &TopicPartition,
    data: &PartitionData,
    endpoints: &BTreeMap<i32, Broker>,
) -> Option<LeaderHint> {
    let leader = NodeId::from_wire(data.current_leader.leader_id)?;
    let epoch = LeaderEpoch::from_wire(data.current_leader.leader_epoch)?;
    let endpoint = endpoints.get(&leader.get()).cloned();
    Some(LeaderHint::new(tp.clone(), leader, epoch, endpoint))
}

/// A topic that was just made is unknown to some brokers for this many answers (trap 32).
const UNKNOWN_TOPIC_IDS_MAX: u32 = 6;

/// A claimed partition has up to half a part waiting, a part on its way and a part in its reader's hand: with five of
/// them to each, all of them stay below half of what there is.
const PARTS_PER_CLAIM: usize = 5;

/// How long an answer may take while a partition is left out of the request: its reader waits for the next one.
const CUT_WAIT_MAX: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests;
