//! What answers mean to a share consumer.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use milena_types::{ApiKey, ErrorCode, LeaderEpoch, NodeId, TopicPartition, Uuid};
use milena_wire::messages::{ShareAcknowledgeResponse, ShareFetchResponse};
use milena_wire::{Records, Response};

use super::buffer::AcquiredRange;
use super::ledger::{Holder, Parcel, Remainder, Verdict};
use super::machine::{Rest, ShareConsumer};
use super::member::News;
use super::output::Output;
use super::session::{Flight, Kind};
use crate::coordinator::Found;
use crate::disposition::{self, Reaction};
use crate::error::{Error, ErrorKind, Operation};
use crate::metadata::{Broker, LeaderHint};
use crate::request::{Answer, Failure};

/// What an answer says of the acknowledgements of one partition.
type Said = BTreeMap<(Uuid, i32), ErrorCode>;

/// Where brokers listen that an answer names.
type Endpoints = BTreeMap<i32, Broker>;

impl ShareConsumer {
    pub(super) fn dispatch(&mut self, now: Instant, answer: Answer) {
        let mut answer = match self.lookup.handle_answer(now, answer, &mut self.rng) {
            Ok(found) => return self.handle_coordinator(found),
            Err(answer) => *answer,
        };
        if let Some(news) = self.member.handle_answer(now, &mut answer, &mut self.rng) {
            return self.handle_news(now, news);
        }
        let id = answer.id;
        let landed = self.sessions.iter_mut().find_map(|(broker, session)| {
            Some((*broker, session.flight.take_if(|flight| flight.id == id)?))
        });
        let Some((broker, flight)) = landed else { return };
        match answer.result {
            Ok(Some(Response::ShareFetch(response))) if flight.kind == Kind::Fetch => {
                self.handle_fetch(now, answer.received, broker, flight, response);
            }
            Ok(Some(Response::ShareAcknowledge(response))) if flight.kind != Kind::Fetch => {
                self.handle_acknowledge(now, answer.received, broker, flight, response);
            }
            Ok(_) => {
                let error =
                    Error::new(ErrorKind::Protocol).with_detail("answer to another request");
                self.break_off(now, broker, flight, &error);
            }
            Err(failure) => self.handle_failure(now, broker, flight, &failure),
        }
    }

    fn handle_coordinator(&mut self, found: Found) {
        match found {
            // Reached once the metadata knows where it is; if it leads nothing that is read, nothing else asks for that.
            Found::Coordinator(found) => {
                let known = self.cluster.broker(found.id);
                let is_there = known
                    .is_some_and(|known| (&known.host, known.port) == (&found.host, found.port));
                self.refresh |= !is_there;
            }
            Found::NotYet(error) => tracing::debug!(%error, "no coordinator yet"),
            Found::Failed(error) => self.fail(error.fatal()),
        }
    }

    fn handle_news(&mut self, now: Instant, news: News) {
        match news {
            News::Heard => {}
            News::Proven => self.lookup.prove(),
            News::Lost(broker) => {
                self.lookup.forget(now, broker, &mut self.rng);
                self.refresh = true;
            }
            News::Trouble(error) => self.buffer.tell(error),
            News::Failed(error) => self.fail(error),
        }
    }

    fn handle_failure(&mut self, now: Instant, broker: NodeId, flight: Flight, failure: &Failure) {
        tracing::debug!(%broker, ?failure, "share request failed");
        let mut error = Error::from_failure(failure);
        // Such a request was never written: the session does not know of it.
        if *failure == Failure::UnsupportedVersion
            && flight.kind == Kind::Acknowledge
            && flight.parcels.iter().any(Parcel::renews)
        {
            error = error.with_detail("renewing a lock needs Kafka 4.2 or newer");
            return self.refuse_renewals(now, broker, flight, &error);
        }
        self.refresh = true;
        self.break_off(now, broker, flight, &error);
        if failure.is_passing() {
            if let Failure::MalformedResponse(_) = failure {
                self.buffer.tell(error.during(Operation::Fetch).with_broker(broker));
            }
        } else if !self.is_closing() {
            if *failure == Failure::UnsupportedVersion {
                error =
                    error.with_detail("share groups need Kafka 4.1 or newer, a record limit 4.2");
            }
            self.fail(error.during(Operation::Fetch).with_broker(broker).fatal());
        }
    }

    /// The broker knows no renewals: what went with them is said again without.
    fn refuse_renewals(&mut self, now: Instant, broker: NodeId, flight: Flight, error: &Error) {
        let parts = flight.parcels.into_iter().map(Parcel::part_renewals);
        let (renewals, others): (Vec<_>, Vec<_>) = parts.unzip();
        let mut remainder = Remainder::Nothing;
        for parcel in &others {
            remainder = remainder.max(self.buffer.resolve(parcel, Verdict::Again));
        }
        for parcel in renewals.into_iter().filter(|parcel| !parcel.batches.is_empty()) {
            remainder = remainder.max(self.buffer.resolve(&parcel, Verdict::Refused));
            let error = error.clone().with_partition(&parcel.partition);
            self.report(parcel.partition.clone(), parcel.offsets(), Err(error));
        }
        let again = remainder != Remainder::Nothing;
        if let Some(round) = flight.round {
            self.commits.round_over(broker, round, Some(error), again);
        }
        if again && let Some(session) = self.sessions.get_mut(&broker) {
            session.acknowledge_at = Some(now);
        }
    }

    /// The session broke with a request under way.
    fn break_off(&mut self, now: Instant, broker: NodeId, flight: Flight, error: &Error) {
        let error = error.clone().during(Operation::Acknowledge).with_broker(broker);
        let wait =
            self.sessions.get_mut(&broker).map(|session| session.backoff.next_wait(&mut self.rng));
        self.settle(now, broker, flight, |_| Err(error.clone()));
        self.reset_session(broker, &error);
        if let Some(session) = self.sessions.get_mut(&broker) {
            session.retry_at = wait.map(|wait| now + wait);
        }
    }

    /// Whether the head of an answer lets the session go on; starts it over where not.
    fn heed(
        &mut self,
        now: Instant,
        broker: NodeId,
        api: ApiKey,
        code: ErrorCode,
        flight: Flight,
    ) -> Option<Flight> {
        let session = self.sessions.get_mut(&broker)?;
        if code == ErrorCode::NONE {
            session.advance();
            return Some(flight);
        }
        let reaction = disposition::reaction(api, code);
        let is_first = session.backoff.failures() == 0;
        let error = Error::from_code(api, code).during(Operation::Fetch).with_broker(broker);
        tracing::debug!(%broker, %code, ?reaction, "share session starts over");
        self.break_off(now, broker, flight, &error);
        #[expect(clippy::wildcard_enum_match_arm, reason = "what opening it again does not heal")]
        match reaction {
            // Sessions end with their connection, and a busy broker evicts them: the first time it is opened at once.
            Reaction::ResetSession if is_first => {
                if let Some(session) = self.sessions.get_mut(&broker) {
                    session.retry_at = None;
                }
            }
            Reaction::ResetSession | Reaction::Retry | Reaction::Accept => {}
            Reaction::RefreshMetadata | Reaction::FindCoordinator | Reaction::Rebootstrap => {
                self.refresh = true;
            }
            _ if self.is_closing() || self.is_failed() => {}
            Reaction::Fail => self.buffer.tell(error),
            _ => self.fail(error.fatal()),
        }
        None
    }

    fn handle_fetch(
        &mut self,
        now: Instant,
        received: Instant,
        broker: NodeId,
        flight: Flight,
        response: ShareFetchResponse,
    ) {
        let code = response.error_code;
        let Some(flight) = self.heed(now, broker, ApiKey::SHARE_FETCH, code, flight) else {
            return;
        };
        let Some(holder) = self.sessions.get(&broker).map(|session| session.holder()) else {
            return;
        };
        self.learn_lock_timeout(response.acquisition_lock_timeout_ms);
        let until = received + self.lock_timeout.unwrap_or(LOCK_UNTOLD);
        let endpoints = endpoints(
            response.node_endpoints.iter().map(|node| (node.node_id, &*node.host, node.port)),
        );
        let mut said = Said::new();
        let mut brought = Vec::new();
        for topic in response.responses {
            let name = flight.topics.get(&topic.topic_id).cloned();
            for data in topic.partitions {
                said.insert((topic.topic_id, data.partition_index), data.acknowledge_error_code);
                let Some(name) = &name else { continue };
                let tp = TopicPartition::new(name, data.partition_index);
                let leader = (data.current_leader.leader_id, data.current_leader.leader_epoch);
                if data.error_code == ErrorCode::NONE {
                    self.resting.remove(&tp);
                } else {
                    self.refuse(now, broker, &tp, data.error_code, leader, &endpoints);
                }
                let ranges = ranges(data.acquired_records.iter().map(|acquired| {
                    (acquired.first_offset, acquired.last_offset, acquired.delivery_count)
                }));
                if !ranges.is_empty() {
                    brought.push((topic.topic_id, tp, data.records, ranges));
                }
            }
        }
        self.settle(now, broker, flight, |parcel| judge(&said, ApiKey::SHARE_FETCH, parcel));
        // The session's last request gives back what comes too late to be handed out.
        if self.is_open() {
            for (topic_id, tp, records, ranges) in brought {
                self.take_in(holder, topic_id, tp, records, ranges, until);
            }
        }
    }

    fn take_in(
        &mut self,
        holder: Holder,
        topic_id: Uuid,
        tp: TopicPartition,
        records: Records,
        ranges: VecDeque<AcquiredRange>,
        until: Instant,
    ) {
        tracing::trace!(partition = %tp, ?ranges, "acquired");
        let bytes = records.into_bytes();
        self.buffer.push(holder, topic_id, tp, (bytes, ranges), until);
    }

    fn handle_acknowledge(
        &mut self,
        now: Instant,
        received: Instant,
        broker: NodeId,
        flight: Flight,
        response: ShareAcknowledgeResponse,
    ) {
        let (code, kind) = (response.error_code, flight.kind);
        let api = ApiKey::SHARE_ACKNOWLEDGE;
        if let Some(flight) = self.heed(now, broker, api, code, flight) {
            self.learn_lock_timeout(response.acquisition_lock_timeout_ms);
            let endpoints = endpoints(
                response.node_endpoints.iter().map(|node| (node.node_id, &*node.host, node.port)),
            );
            let mut said = Said::new();
            for topic in response.responses {
                for data in topic.partitions {
                    let place = (topic.topic_id, data.partition_index);
                    said.insert(place, data.error_code);
                    let of_place =
                        |parcel: &&Parcel| place == (parcel.topic_id, parcel.partition.partition);
                    if data.error_code != ErrorCode::NONE
                        && let Some(parcel) = flight.parcels.iter().find(of_place)
                    {
                        let leader =
                            (data.current_leader.leader_id, data.current_leader.leader_epoch);
                        self.follow(&parcel.partition, data.error_code, leader, &endpoints);
                    }
                }
            }
            let at = received.max(now);
            self.settle(at, broker, flight, |parcel| judge(&said, api, parcel));
        }
        if kind == Kind::Close {
            // The broker has let go of everything.
            let gone = Error::from_code(api, ErrorCode::SHARE_SESSION_NOT_FOUND);
            self.reset_session(broker, &gone.during(Operation::Acknowledge));
            self.sessions.remove(&broker);
        }
    }

    /// Takes in what became of the acknowledgements of one request.
    fn settle(
        &mut self,
        now: Instant,
        broker: NodeId,
        flight: Flight,
        judge: impl Fn(&Parcel) -> Result<(), Error>,
    ) {
        let until = now + self.lock_timeout.unwrap_or(LOCK_UNTOLD);
        let (mut first, mut remainder) = (None, Remainder::Nothing);
        for parcel in &flight.parcels {
            let result = judge(parcel);
            let verdict = match &result {
                Ok(()) => Verdict::Taken(until),
                // Until the lock runs out it can be said again; the session's last words cannot.
                Err(error) if is_passing(error) && flight.kind != Kind::Close => Verdict::Again,
                Err(_) => Verdict::Refused,
            };
            remainder = remainder.max(self.buffer.resolve(parcel, verdict));
            if verdict == Verdict::Again {
                continue;
            }
            let result = result.map_err(|error| error.with_partition(&parcel.partition));
            if let Err(error) = &result {
                first.get_or_insert_with(|| error.clone());
            }
            self.report(parcel.partition.clone(), parcel.offsets(), result);
        }
        if let Some(round) = flight.round {
            let again = remainder != Remainder::Nothing;
            self.commits.round_over(broker, round, first.as_ref(), again);
        }
        let Some(session) = self.sessions.get_mut(&broker) else { return };
        match remainder {
            Remainder::Nothing => {}
            Remainder::News => session.acknowledge_at = Some(now),
            Remainder::Again => {
                session.retry_at = Some(now + session.backoff.next_wait(&mut self.rng));
            }
        }
    }

    /// Decides what the error of one partition means to fetching it.
    fn refuse(
        &mut self,
        now: Instant,
        broker: NodeId,
        tp: &TopicPartition,
        code: ErrorCode,
        leader: (i32, i32),
        endpoints: &Endpoints,
    ) {
        tracing::debug!(partition = %tp, %broker, %code, "share fetch refused");
        let fresh = || Rest { until: now, backoff: self.backoff.clone() };
        let rest = self.resting.entry(tp.clone()).or_insert_with(fresh);
        rest.until = now + rest.backoff.next_wait(&mut self.rng);
        #[expect(clippy::wildcard_enum_match_arm, reason = "what is not named is told to the user")]
        match disposition::reaction(ApiKey::SHARE_FETCH, code) {
            Reaction::Accept | Reaction::Retry | Reaction::ResetSession => {}
            Reaction::RefreshMetadata | Reaction::FindCoordinator | Reaction::Rebootstrap => {
                self.follow(tp, code, leader, endpoints);
            }
            _ => {
                let error = Error::from_code(ApiKey::SHARE_FETCH, code);
                self.buffer
                    .tell(error.during(Operation::Fetch).with_partition(tp).with_broker(broker));
            }
        }
    }

    /// Goes where the broker says that the partition went, or asks (KIP-951).
    fn follow(
        &mut self,
        tp: &TopicPartition,
        code: ErrorCode,
        (leader, epoch): (i32, i32),
        endpoints: &Endpoints,
    ) {
        if disposition::reaction(ApiKey::SHARE_FETCH, code) != Reaction::RefreshMetadata {
            return;
        }
        let hint =
            NodeId::from_wire(leader).zip(LeaderEpoch::from_wire(epoch)).map(|(id, epoch)| {
                let endpoint = endpoints.get(&leader).cloned();
                LeaderHint::new(tp.clone(), id, epoch, endpoint)
            });
        match hint.filter(|hint| self.cluster.is_news(hint)) {
            Some(hint) => {
                self.resting.remove(tp);
                self.outputs.push_back(Output::LeaderHint(hint));
            }
            None => self.refresh = true,
        }
    }

    fn learn_lock_timeout(&mut self, told_ms: i32) {
        if let Some(told_ms) = u64::try_from(told_ms).ok().filter(|told_ms| *told_ms > 0) {
            self.lock_timeout = Some(Duration::from_millis(told_ms));
        }
    }
}

/// What the broker said of a parcel's partition.
fn judge(said: &Said, api: ApiKey, parcel: &Parcel) -> Result<(), Error> {
    match said.get(&(parcel.topic_id, parcel.partition.partition)) {
        Some(&ErrorCode::NONE) => Ok(()),
        Some(&code) => Err(Error::from_code(api, code).during(Operation::Acknowledge)),
        None => {
            let error = Error::new(ErrorKind::Protocol).during(Operation::Acknowledge);
            Err(error.with_detail("the answer says nothing of this partition"))
        }
    }
}

/// Whether saying it again may help: not where the locks went with their leader, or with their session.
fn is_passing(error: &Error) -> bool {
    let retries = |code| disposition::reaction(ApiKey::SHARE_ACKNOWLEDGE, code) == Reaction::Retry;
    error.code().is_some_and(retries)
}

fn endpoints<'a>(nodes: impl Iterator<Item = (i32, &'a str, i32)>) -> Endpoints {
    nodes
        .filter_map(|(id, host, port)| {
            let port = u16::try_from(port).ok()?;
            Some((id, Broker::new(NodeId::from_wire(id)?, host, port)))
        })
        .collect()
}

/// What is acquired, in order; what makes no sense is left out.
fn ranges(acquired: impl Iterator<Item = (i64, i64, i16)>) -> VecDeque<AcquiredRange> {
    let mut ranges: Vec<AcquiredRange> = acquired
        .filter(|(first, last, _)| 0 <= *first && first <= last && *last < i64::MAX)
        .map(|(first, last, count)| AcquiredRange {
            offsets: first..=last,
            delivery_count: u16::try_from(count).unwrap_or(0),
        })
        .collect();
    ranges.sort_unstable_by_key(|range| *range.offsets.start());
    let mut end = -1;
    ranges.retain(|range| {
        let is_behind = *range.offsets.start() > end;
        end = end.max(*range.offsets.end());
        is_behind
    });
    ranges.into()
}

/// Kafka's default of `group.share.record.lock.duration.ms`, for an answer that does not say.
const LOCK_UNTOLD: Duration = Duration::from_secs(30);
