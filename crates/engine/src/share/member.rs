//! Membership in a share group: heartbeats, and the assignment that they bring.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use fastrand::Rng;
use milena_types::{ApiKey, ErrorCode, NodeId, Topic, Uuid};
use milena_wire::messages::{ShareGroupHeartbeatRequest, ShareGroupHeartbeatResponse};
use milena_wire::{ByteString, Response};

use super::settings::Settings;
use super::state::MemberState;
use crate::backoff::Backoff;
use crate::disposition::{self, Reaction};
use crate::error::{Error, ErrorKind, Operation};
use crate::request::{Answer, Failure, Lane, Outbound, RequestId, RequestIds, Target};

/// A member, which names itself and keeps its name for as long as it lives (KIP-1082).
#[derive(Debug)]
pub(super) struct Member {
    group_id: ByteString,
    member_id: ByteString,
    rack: Option<ByteString>,
    request_timeout: Duration,
    max_poll_interval: Duration,
    state: MemberState,
    epoch: i32,
    interval: Duration,
    topics: BTreeSet<Topic>,
    /// When the coordinator was told the topics last, as far as we know.
    told: Option<Instant>,
    flight: Option<Flight>,
    next_at: Option<Instant>,
    backoff: Backoff,
    /// How long the next heartbeat waits while nothing is assigned: the coordinator assigns a moment after it took a
    /// member in.
    early: Duration,
    /// Partitions by topic.
    assignment: BTreeMap<Uuid, BTreeSet<i32>>,
}

#[derive(Debug)]
struct Flight {
    id: RequestId,
    /// Whom it goes to. An answer does not say it where nobody was reached: where the metadata does not know the broker.
    to: NodeId,
    sent: Instant,
    /// A goodbye, whose answer changes nothing.
    leaves: bool,
}

/// What an answer is news of.
#[derive(Debug)]
pub(super) enum News {
    /// Nothing else needs to be done.
    Heard,
    /// The coordinator did its work.
    Proven,
    /// It is not the coordinator, or cannot be reached.
    Lost(NodeId),
    /// The user has to hear; membership goes on.
    Trouble(Error),
    /// The consumer cannot go on.
    Failed(Error),
}

impl Member {
    pub(super) fn new(settings: &Settings, backoff: Backoff, rng: &mut Rng) -> Self {
        Self {
            group_id: ByteString::from(&*settings.group_id),
            member_id: member_id(rng),
            rack: settings.client_rack.as_deref().map(ByteString::from),
            request_timeout: settings.request_timeout,
            max_poll_interval: settings.max_poll_interval,
            state: MemberState::New,
            epoch: JOIN,
            interval: INTERVAL_UNTOLD,
            topics: BTreeSet::new(),
            told: None,
            flight: None,
            next_at: None,
            backoff,
            early: EARLY,
            assignment: BTreeMap::new(),
        }
    }

    pub(super) fn id(&self) -> &ByteString {
        &self.member_id
    }

    pub(super) fn state(&self) -> MemberState {
        self.state
    }

    pub(super) fn topics(&self) -> &BTreeSet<Topic> {
        &self.topics
    }

    pub(super) fn assignment(&self) -> &BTreeMap<Uuid, BTreeSet<i32>> {
        &self.assignment
    }

    /// Whether it needs the coordinator.
    pub(super) fn is_active(&self) -> bool {
        self.state.takes_part() || self.state == MemberState::Leaving || self.flight.is_some()
    }

    pub(super) fn subscribe(&mut self, now: Instant, topics: BTreeSet<Topic>) {
        if self.topics == topics {
            return;
        }
        self.topics = topics;
        self.told = None;
        if self.state == MemberState::New {
            self.go(MemberState::Joining);
        }
        // At once, unless an error makes it wait.
        if self.state == MemberState::Stable {
            self.next_at = Some(now);
        }
    }

    /// Leaves the group, if it is in one.
    pub(super) fn leave(&mut self) {
        self.assignment.clear();
        match self.state {
            MemberState::Joining | MemberState::Stable => {
                self.next_at = None;
                self.go(MemberState::Leaving);
            }
            MemberState::New | MemberState::Expelled | MemberState::Failed => {
                self.go(MemberState::Left);
            }
            MemberState::Leaving | MemberState::Left => {}
        }
    }

    /// Another member, or none, has its place: an error that joining again does not heal.
    pub(super) fn fail(&mut self) {
        self.assignment.clear();
        // No heartbeat is due any more.
        self.next_at = None;
        if self.state.successors().contains(&MemberState::Failed) {
            self.go(MemberState::Failed);
        }
    }

    /// The heartbeat to send, if one is due. `idle_since` says since when the user has not polled.
    pub(super) fn poll(
        &mut self,
        now: Instant,
        coordinator: Option<NodeId>,
        idle_since: Option<Instant>,
        ids: &mut RequestIds,
    ) -> Option<Outbound> {
        let overdue = idle_since.is_some_and(|since| since + self.max_poll_interval <= now);
        if self.state.takes_part() && overdue {
            tracing::warn!(limit = ?self.max_poll_interval, "leaves the share group: no poll for max.poll.interval.ms");
            self.assignment.clear();
            let leaves = self.state == MemberState::Stable || self.flight.is_some();
            self.go(MemberState::Expelled);
            self.epoch = JOIN;
            self.early = EARLY;
            self.told = None;
            self.next_at = leaves.then_some(now);
        }
        if self.state == MemberState::Expelled && !overdue && self.flight.is_none() {
            self.next_at = None;
            self.go(MemberState::Joining);
        }
        if self.flight.is_some() || self.next_at.is_some_and(|at| at > now) {
            return None;
        }
        let leaves = match self.state {
            MemberState::Joining | MemberState::Stable => false,
            MemberState::Leaving => true,
            // Once.
            MemberState::Expelled if self.next_at.is_some() => true,
            MemberState::New | MemberState::Expelled | MemberState::Left | MemberState::Failed => {
                return None;
            }
        };
        let coordinator = coordinator?;
        let is_told = self.told.is_some_and(|at| now < at + SAYS_ALL_EVERY);
        let tells = !leaves && !is_told;
        let names = |topics: &BTreeSet<Topic>| {
            topics.iter().map(|topic| ByteString::from(topic.as_str())).collect()
        };
        let request = ShareGroupHeartbeatRequest {
            group_id: self.group_id.clone(),
            member_id: self.member_id.clone(),
            member_epoch: if leaves { LEAVE } else { self.epoch },
            rack_id: self.rack.clone().filter(|_| tells),
            subscribed_topic_names: tells.then(|| names(&self.topics)),
        };
        let id = ids.deal();
        self.flight = Some(Flight { id, to: coordinator, sent: now, leaves });
        if leaves || tells {
            self.told = tells.then_some(now);
        }
        self.next_at = None;
        let target = Target::Broker(coordinator);
        Some(Outbound::new(id, target, Lane::Group, self.request_timeout, request.into()))
    }

    /// Takes in the answer to a heartbeat; `None` if it is not to one.
    pub(super) fn handle_answer(
        &mut self,
        now: Instant,
        answer: &mut Answer,
        rng: &mut Rng,
    ) -> Option<News> {
        let flight = self.flight.take_if(|flight| flight.id == answer.id)?;
        let result = std::mem::replace(&mut answer.result, Ok(None));
        if flight.leaves {
            // Who is not heard goes when its session ends: there is nothing to repeat.
            if self.state == MemberState::Leaving {
                self.go(MemberState::Left);
            }
            return Some(News::Heard);
        }
        let broker = flight.to;
        Some(match result {
            Ok(Some(Response::ShareGroupHeartbeat(response))) => {
                self.heard(now, flight.sent, broker, response, rng)
            }
            Ok(_) => {
                let error =
                    Error::new(ErrorKind::Protocol).with_detail("answer to another request");
                News::Failed(self.context(error, broker))
            }
            Err(failure) => self.unheard(now, broker, &failure, rng),
        })
    }

    /// When to call [`poll`](Self::poll) next, by time alone.
    pub(super) fn timeout(
        &self,
        is_reachable: bool,
        idle_since: Option<Instant>,
    ) -> Option<Instant> {
        let beats = is_reachable && self.flight.is_none() && self.state != MemberState::Left;
        let beat = self.next_at.filter(|_| beats);
        let overdue = idle_since.filter(|_| self.state.takes_part());
        [beat, overdue.map(|since| since + self.max_poll_interval)].into_iter().flatten().min()
    }

    fn heard(
        &mut self,
        now: Instant,
        sent: Instant,
        broker: NodeId,
        response: ShareGroupHeartbeatResponse,
        rng: &mut Rng,
    ) -> News {
        let code = response.error_code;
        if code == ErrorCode::NONE {
            // What was asked for before is of no use to who leaves or has left.
            if !self.state.takes_part() {
                return News::Proven;
            }
            self.backoff.reset();
            self.epoch = response.member_epoch;
            let told_ms = u64::try_from(response.heartbeat_interval_ms).unwrap_or(0);
            self.interval = Duration::from_millis(told_ms).max(INTERVAL_MIN);
            if let Some(assignment) = response.assignment {
                let topics = assignment.topic_partitions.into_iter();
                let assignment = topics
                    .map(|topic| (topic.topic_id, topic.partitions.into_iter().collect()))
                    .collect();
                if self.assignment != assignment {
                    tracing::info!(group = &*self.group_id, ?assignment, "assigned");
                    self.assignment = assignment;
                }
            }
            let wait = if self.assignment.is_empty() {
                self.early = (self.early * 2).min(self.interval);
                self.early
            } else {
                self.interval
            };
            self.next_at = Some(if self.told.is_some() { sent + wait } else { now });
            if self.state == MemberState::Joining {
                self.go(MemberState::Stable);
            }
            return News::Proven;
        }
        // Whether the coordinator took in the topics is not known.
        self.told = None;
        self.next_at = Some(now + self.backoff.next_wait(rng));
        let error = Error::from_code(ApiKey::SHARE_GROUP_HEARTBEAT, code)
            .with_broker_message(response.error_message.as_deref());
        let error = self.context(error, broker);
        tracing::debug!(group = &*self.group_id, %code, "heartbeat refused");
        #[expect(clippy::wildcard_enum_match_arm, reason = "what joining again does not heal")]
        match disposition::reaction(ApiKey::SHARE_GROUP_HEARTBEAT, code) {
            Reaction::Retry => News::Heard,
            Reaction::FindCoordinator => News::Lost(broker),
            // Also of one that had just been told to leave: it goes then.
            Reaction::ResetMember => {
                self.epoch = JOIN;
                self.early = EARLY;
                self.assignment.clear();
                if self.state == MemberState::Stable {
                    self.go(MemberState::Joining);
                }
                News::Heard
            }
            Reaction::Fail => News::Trouble(error),
            _ => News::Failed(error.fatal()),
        }
    }

    fn unheard(&mut self, now: Instant, broker: NodeId, failure: &Failure, rng: &mut Rng) -> News {
        self.told = None;
        self.next_at = Some(now + self.backoff.next_wait(rng));
        if failure.is_passing() {
            return News::Lost(broker);
        }
        let mut error = Error::from_failure(failure);
        if *failure == Failure::UnsupportedVersion {
            error = error.with_detail(
                "share groups need Kafka 4.1 or newer, with the feature share.version",
            );
        }
        News::Failed(self.context(error, broker).fatal())
    }

    fn context(&self, error: Error, broker: NodeId) -> Error {
        let operation =
            if self.epoch == JOIN { Operation::JoinGroup } else { Operation::Heartbeat };
        error.during(operation).with_group(&*self.group_id).with_broker(broker)
    }

    fn go(&mut self, next: MemberState) {
        debug_assert!(self.state.successors().contains(&next), "{:?} to {next:?}", self.state);
        tracing::debug!(group = &*self.group_id, from = ?self.state, to = ?next, "member");
        self.state = next;
    }
}

/// A random id in Java's form, which never begins with a dash: a program would take it for an option.
fn member_id(rng: &mut Rng) -> ByteString {
    loop {
        // Version 4, variant 2.
        let bits = rng.u128(..) & !(0xf << 76) & !(0x3 << 62) | 0x4 << 76 | 0x2 << 62;
        let id = Uuid::from_bytes(bits.to_be_bytes()).to_string();
        if !id.starts_with('-') {
            return ByteString::from(id.as_str());
        }
    }
}

const JOIN: i32 = 0;
const LEAVE: i32 = -1;

/// Until the coordinator says how often it wants to hear of its members.
const INTERVAL_UNTOLD: Duration = Duration::from_secs(5);

/// Half of the first wait for an assignment; it doubles up to the coordinator's interval.
const EARLY: Duration = Duration::from_millis(100);

/// As in the consumer protocol: what is told when a lost heartbeat is carried out late is told to nobody, and again only to
/// who says all.
const SAYS_ALL_EVERY: Duration = Duration::from_secs(30);

/// A coordinator that wants to hear more often is not worth its answers.
const INTERVAL_MIN: Duration = Duration::from_millis(100);
