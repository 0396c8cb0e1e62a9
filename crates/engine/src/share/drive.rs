//! What a share consumer does after anything has happened.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use milena_types::{ApiKey, ErrorCode, NodeId, Topic, TopicPartition, Uuid};

use super::close::Phase;
use super::machine::{ShareConsumer, lock_is_gone};
use super::output::Output;
use super::session::{CLOSE, Flight, Kind, Session};
use super::settings::AcquireMode;
use super::state::MemberState;
use crate::disposition::{self, Reaction};
use crate::error::{Error, Operation};

/// Which partitions are to be fetched from whom.
type Wanted = BTreeMap<NodeId, BTreeMap<TopicPartition, Uuid>>;

impl ShareConsumer {
    /// Does everything that can be done at `now`, and sets the next timeout.
    pub(super) fn drive(&mut self, now: Instant) {
        if matches!(self.phase, Phase::Closed) {
            return;
        }
        self.drive_member(now);
        self.drive_locks(now);
        self.drive_sessions(now);
        self.drive_commits(now);
        self.drive_close(now);
        if matches!(self.phase, Phase::Closed) {
            return;
        }
        self.drive_coordinator(now);
        self.tell_metadata(now);
        self.timeout = self.next_timeout(now);
    }

    pub(super) fn drive_member(&mut self, now: Instant) {
        // Who closes asks for nothing any more; that is no reason to leave a second time.
        let idle_since = self.buffer.idle_since().filter(|_| self.is_open());
        let coordinator = self.lookup.coordinator();
        if let Some(outbound) = self.member.poll(now, coordinator, idle_since, &mut self.ids) {
            self.outputs.push_back(Output::Request(outbound));
        }
    }

    fn drive_coordinator(&mut self, now: Instant) {
        if self.member.is_active()
            && let Some(outbound) = self.lookup.poll_request(now, &mut self.ids)
        {
            self.outputs.push_back(Output::Request(outbound));
        }
    }

    /// Lets go of locks that ran out.
    pub(super) fn drive_locks(&mut self, now: Instant) {
        let lost = self.buffer.expire(now);
        self.report_lost(lost, &lock_is_gone());
        for (partition, offset) in self.buffer.take_late() {
            let error = lock_is_gone().with_partition(&partition);
            self.commits.note_untold(&error);
            self.report(partition, vec![offset..=offset], Err(error));
        }
    }

    fn drive_commits(&mut self, now: Instant) {
        let limit = self.settings.default_api_timeout;
        let late =
            || Error::timeout(limit, "default.api.timeout.ms").during(Operation::Acknowledge);
        for (id, result) in self.commits.take_over(now, late) {
            self.outputs.push_back(Output::Committed { id, result });
        }
    }

    fn drive_sessions(&mut self, now: Instant) {
        let wanting = self.is_open() && self.buffer.is_wanting();
        let wanted = if self.is_open() { self.wanted(now) } else { Wanted::new() };
        if wanting {
            for broker in wanted.keys() {
                if !self.sessions.contains_key(broker) {
                    let number = self.next_session();
                    let session = Session::new(*broker, number, self.backoff.clone());
                    self.sessions.insert(*broker, session);
                }
            }
        }
        let hurries = std::mem::take(&mut self.hurries);
        let nothing = BTreeMap::new();
        for broker in self.turns() {
            if hurries && let Some(session) = self.sessions.get_mut(&broker) {
                session.acknowledge_at = Some(now);
            }
            let of_broker = wanted.get(&broker).unwrap_or(&nothing);
            self.drive_session(now, broker, of_broker, wanting, wanted.len());
        }
    }

    /// The brokers in the order in which they are looked at: with a record limit, each has its turn.
    fn turns(&self) -> Vec<NodeId> {
        let all = || self.sessions.keys().copied();
        match self.asked_last {
            Some(last) => {
                all().filter(|id| *id > last).chain(all().filter(|id| *id <= last)).collect()
            }
            None => all().collect(),
        }
    }

    fn drive_session(
        &mut self,
        now: Instant,
        broker: NodeId,
        wanted: &BTreeMap<TopicPartition, Uuid>,
        wanting: bool,
        brokers: usize,
    ) {
        let may_fetch = wanting && !wanted.is_empty() && self.may_fetch();
        let Some(session) = self.sessions.get_mut(&broker) else { return };
        if session.flight.is_some() {
            return;
        }
        let holder = session.holder();
        let (pending, special, holds) = self.buffer.with_ledger(|ledger| {
            let pending = ledger.pending(holder);
            // A fetch carries no renewals, and names no partitions that it does not fetch of.
            let special =
                pending.iter().any(|(id, tp, renews)| *renews || wanted.get(*tp) != Some(id));
            (!pending.is_empty(), special, ledger.holds(holder))
        });
        let is_awaited = self.commits.wait_for(broker, session.round);
        if is_awaited && !pending {
            // What the commit waited for is gone: its locks ran out, of which it was told.
            self.commits.session_over(broker);
        }
        if session.retry_at.is_some_and(|at| at > now)
            && !matches!(self.phase, Phase::Closing { .. })
        {
            return;
        }
        if matches!(self.phase, Phase::Closing { .. }) {
            return self.end_session(broker);
        }
        let is_due = session.acknowledge_at.is_some_and(|at| at <= now);
        if pending && (special || is_awaited || is_due) {
            self.send(broker, Kind::Acknowledge);
        } else if may_fetch {
            self.fetch(broker, wanted, brokers);
        } else if pending {
            session.acknowledge_at.get_or_insert(now + LINGER);
        } else {
            session.acknowledge_at = None;
            if wanting && wanted.is_empty() && !holds {
                // It leads nothing that is ours any more.
                self.end_session(broker);
            }
        }
    }

    /// With a record limit, one broker is asked at a time: two answers may hold twice the limit.
    fn may_fetch(&self) -> bool {
        let is_fetch = |flight: &Flight| flight.kind == Kind::Fetch;
        match self.settings.acquire_mode {
            AcquireMode::BatchOptimized => true,
            AcquireMode::RecordLimit => {
                !self.sessions.values().any(|session| session.flight.as_ref().is_some_and(is_fetch))
            }
        }
    }

    /// Ends the session with its last words, if it was ever opened.
    fn end_session(&mut self, broker: NodeId) {
        if self.sessions.get(&broker).is_some_and(Session::is_open) {
            self.send(broker, Kind::Close);
        } else {
            self.sessions.remove(&broker);
        }
    }

    fn fetch(&mut self, broker: NodeId, wanted: &BTreeMap<TopicPartition, Uuid>, brokers: usize) {
        let Some(session) = self.sessions.get_mut(&broker) else { return };
        let brokers = match self.settings.acquire_mode {
            AcquireMode::BatchOptimized => brokers,
            AcquireMode::RecordLimit => 1,
        };
        let (epoch, delta) = (session.epoch(), session.next(wanted));
        // What opens a session carries nothing: nothing was acquired in it yet (trap 47).
        let parcels = self.buffer.take_parcels(session.holder());
        let id = self.ids.deal();
        let outbound = self.requests.fetch(id, broker, epoch, &delta, &parcels, brokers);
        let topics: BTreeMap<Uuid, Topic> =
            session.known().iter().map(|(tp, id)| (*id, tp.topic.clone())).collect();
        let round = (!parcels.is_empty()).then_some(session.round);
        session.round += u64::from(round.is_some());
        session.acknowledge_at = None;
        session.flight = Some(Flight { id, kind: Kind::Fetch, parcels, round, topics });
        self.asked_last = Some(broker);
        self.outputs.push_back(Output::Request(outbound));
    }

    /// Sends acknowledgements by themselves.
    fn send(&mut self, broker: NodeId, kind: Kind) {
        let Some(session) = self.sessions.get_mut(&broker) else { return };
        let mut parcels = self.buffer.take_parcels(session.holder());
        let epoch = if kind == Kind::Close { CLOSE } else { session.epoch() };
        if kind == Kind::Close {
            // A lock that ends with the session is not renewed.
            parcels = parcels.into_iter().map(|parcel| parcel.part_renewals().1).collect();
            parcels.retain(|parcel| !parcel.batches.is_empty());
        }
        let id = self.ids.deal();
        let outbound = self.requests.acknowledge(id, broker, epoch, &parcels);
        let round = (!parcels.is_empty()).then_some(session.round);
        session.round += u64::from(round.is_some());
        session.acknowledge_at = None;
        session.flight = Some(Flight { id, kind, parcels, round, topics: BTreeMap::new() });
        self.outputs.push_back(Output::Request(outbound));
    }

    /// What is assigned, by leader.
    fn wanted(&mut self, now: Instant) -> Wanted {
        self.resting.retain(|tp, _| {
            let topic = self.cluster.topic(tp.topic.as_str());
            topic.is_some_and(|topic| {
                let assigned = topic.id.and_then(|id| self.member.assignment().get(&id));
                assigned.is_some_and(|partitions| partitions.contains(&tp.partition))
            })
        });
        let mut wanted = Wanted::new();
        for (topic_id, partitions) in self.member.assignment() {
            let Some(topic) = self.cluster.topic_by_id(*topic_id) else {
                self.refresh = true;
                continue;
            };
            for &index in partitions {
                let Some(leader) = topic.partition(index).and_then(|partition| partition.leader)
                else {
                    self.refresh = true;
                    continue;
                };
                let tp = TopicPartition::new(&topic.name, index);
                if self.resting.get(&tp).is_some_and(|rest| rest.until > now) {
                    continue;
                }
                wanted.entry(leader).or_default().insert(tp, *topic_id);
            }
        }
        wanted
    }

    /// Tells of topics that the metadata refuses, once for each topic and code; of one that does not exist it only warns:
    /// it may be created yet.
    pub(super) fn watch_topics(&mut self) {
        let mut troubles: BTreeMap<Topic, ErrorCode> = BTreeMap::new();
        for topic in self.member.topics() {
            let known = self.cluster.topic(topic.as_str());
            let Some(code) = known.and_then(|known| known.error) else { continue };
            if self.troubles.get(topic) != Some(&code) {
                #[expect(clippy::wildcard_enum_match_arm, reason = "what waiting does not heal")]
                match disposition::reaction(ApiKey::METADATA, code) {
                    Reaction::Accept
                    | Reaction::Retry
                    | Reaction::RefreshMetadata
                    | Reaction::FindCoordinator => {
                        tracing::warn!(%topic, %code, "no such topic, as far as the brokers know");
                    }
                    _ => {
                        let error = Error::from_code(ApiKey::METADATA, code);
                        self.buffer.tell(error.during(Operation::Metadata).with_topic(topic));
                    }
                }
            }
            troubles.insert(topic.clone(), code);
        }
        self.troubles = troubles;
    }

    fn tell_metadata(&mut self, now: Instant) {
        if *self.member.topics() != self.told_topics {
            self.told_topics = self.member.topics().clone();
            self.outputs.push_back(Output::Topics(self.told_topics.clone()));
        }
        // A driver that was told waits by itself between two tries; a snapshot that does not help is told of anew.
        let due = self.refresh_told.is_none_or(|told| told + REFRESH_AGAIN <= now);
        if std::mem::take(&mut self.refresh) && due {
            self.refresh_told = Some(now);
            self.outputs.push_back(Output::RefreshMetadata);
        }
    }

    fn next_timeout(&self, now: Instant) -> Option<Instant> {
        let is_reachable = self.lookup.coordinator().is_some();
        let idle_since = self.buffer.idle_since().filter(|_| self.is_open());
        let needs_coordinator = self.member.is_active();
        let resting = self.resting.values().map(|rest| rest.until);
        let sessions = self.sessions.values().filter(|session| session.flight.is_none());
        let sessions = sessions.flat_map(|session| [session.retry_at, session.acknowledge_at]);
        let stale =
            self.member.assignment().keys().any(|id| self.cluster.topic_by_id(*id).is_none());
        let refresh = self.refresh_told.filter(|_| stale).map(|told| told + REFRESH_AGAIN);
        let others = [
            self.member.timeout(is_reachable, idle_since),
            self.lookup.poll_timeout().filter(|_| needs_coordinator),
            self.buffer.with_ledger(|ledger| ledger.next_expiry()),
            self.commits.next_deadline(),
            self.close_timeout(),
        ];
        // What is due already and was not done waits for something else, of which it is heard.
        let later = resting.chain(sessions.flatten()).chain(refresh).filter(|at| *at > now);
        later.chain(others.into_iter().flatten()).min().map(|at| at.max(now + TIMEOUT_MIN))
    }

    /// Whether the group still wants to hear of this member.
    pub(super) fn is_failed(&self) -> bool {
        self.member.state() == MemberState::Failed
    }
}

/// How long acknowledgements wait for more to join them, while no fetch takes them along: as long as the broker may hold
/// up a fetch that does.
const LINGER: Duration = Duration::from_millis(500);

/// A driver that did nothing about stale metadata is told again after this.
const REFRESH_AGAIN: Duration = Duration::from_secs(1);

/// The shortest time to the next look at what could not be done.
const TIMEOUT_MIN: Duration = Duration::from_millis(1);
