//! A member of a group of the consumer protocol, from subscribing to leaving.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fastrand::Rng;
use milena_types::{ApiKey, ErrorCode, NodeId, Topic, TopicPartition, Uuid};
use milena_wire::ByteString;

use super::assignment::Assignment;
use super::request::{Goodbye, Requests};
use super::state::State;
use crate::backoff::Backoff;
use crate::disposition::Reaction;
use crate::error::{Error, Operation};
use crate::group::action::{Action, Identity, Surroundings};
use crate::group::{GroupMembershipOperation, GroupSettings, MemberState};
use crate::metadata::Cluster;
use crate::request::RequestId;
use crate::subscription::{Change, Event};

/// What a member is subscribed to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Wanted {
    Topics(BTreeSet<Topic>),
    /// Topics whose whole name the coordinator finds to match this pattern of RE2J.
    Pattern(Arc<str>),
}

/// The machine of one membership.
///
/// It shows itself to the coordinator in every state that [`State::is_in_group`] names, whatever the user does; what he
/// is busy with is a [`Step`].
#[derive(Debug)]
pub(crate) struct Member {
    settings: GroupSettings,
    requests: Requests,
    rng: Rng,
    state: State,
    /// The member id is this member's own and stays (KIP-1082); the epoch is there while the coordinator counts it in.
    identity: Identity,
    /// `None` unless subscribed.
    wanted: Option<Wanted>,
    /// What the coordinator said last that is to be held; `None` before it has said anything.
    target: Option<Assignment>,
    /// What is held; `None` before the first assignment was taken.
    current: Option<Assignment>,
    step: Option<Step>,
    /// Target, names or holdings have changed since they were compared last.
    is_changed: bool,
    /// Partitions were given up of which the coordinator does not know yet.
    gave_up: bool,
    /// The names of topics in the target and in what is held: what the metadata forgets keeps its name here.
    names: BTreeMap<Uuid, Topic>,
    /// When to ask again for metadata that names what the target has.
    names_due: Option<Instant>,
    names_backoff: Backoff,
    beat: Beat,
    /// Whether this static member's name is in its own way.
    name: Name,
    /// The user was told that a topic is forbidden; once is enough.
    told_forbidden: bool,
    actions: VecDeque<Action>,
    /// Another protocol may be what the coordinator wants.
    is_declined: bool,
}

/// What the consumer and its user are busy with.
#[derive(Debug)]
enum Step {
    GivingUp(Assignment),
    Taking(Assignment),
}

impl Step {
    fn is_giving_up(&self) -> bool {
        matches!(self, Self::GivingUp(_))
    }

    fn assignment(&self) -> &Assignment {
        match self {
            Self::GivingUp(assignment) | Self::Taking(assignment) => assignment,
        }
    }
}

/// A coordinator refuses a join whose name is taken, though it was taken by the same member: by a join whose answer was lost,
/// or before it was fenced. To who goes under the member id that holds the name it gives the name back.
#[derive(Debug)]
enum Name {
    /// As far as is known.
    Free,
    /// Taken, which is an error unless it was by this member: it goes, to have the name back.
    Returning(Error),
    /// It was given back. A join may be lost again, or an older copy of one be read late.
    Returned,
}

/// When the coordinator hears of this member.
#[derive(Debug)]
struct Beat {
    /// As the coordinator wishes.
    interval: Duration,
    /// By the interval; `None` is at once.
    next_at: Option<Instant>,
    /// There is news that does not wait for the interval.
    is_urgent: bool,
    /// Not before this, after an error.
    not_before: Option<Instant>,
    /// One is under way at a time; since when.
    in_flight: Option<(RequestId, Instant)>,
    backoff: Backoff,
}

impl Member {
    pub(crate) fn new(
        settings: GroupSettings,
        request_timeout: Duration,
        backoff: Backoff,
        rng: &mut Rng,
    ) -> Self {
        Self {
            requests: Requests::new(&settings, request_timeout),
            settings,
            state: State::Unsubscribed,
            identity: Identity { member_id: member_id(rng), generation: None },
            rng: rng.fork(),
            wanted: None,
            target: None,
            current: None,
            step: None,
            is_changed: false,
            gave_up: false,
            names: BTreeMap::new(),
            names_due: None,
            names_backoff: backoff.clone(),
            beat: Beat {
                interval: Duration::ZERO,
                next_at: None,
                is_urgent: false,
                not_before: None,
                in_flight: None,
                backoff,
            },
            name: Name::Free,
            told_forbidden: false,
            actions: VecDeque::new(),
            is_declined: false,
        }
    }

    pub(crate) fn state(&self) -> MemberState {
        match (self.state, &self.step) {
            (State::Reconciling, Some(Step::GivingUp(_))) => MemberState::Preparing,
            (state, _) => state.shared(),
        }
    }

    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Whether a coordinator is needed.
    pub(crate) fn is_active(&self) -> bool {
        self.state != State::Unsubscribed
    }

    /// The topics whose metadata this member needs.
    pub(crate) fn topics(&self) -> BTreeSet<Topic> {
        self.names.values().cloned().collect()
    }

    /// Whether there is a topic in the target that nobody here can ask for by name, as the coordinator matched it.
    pub(crate) fn needs_all_topics(&self) -> bool {
        matches!(self.wanted, Some(Wanted::Pattern(_))) && !self.is_named()
    }

    /// Whether the coordinator takes no member of this protocol; what is wanted goes on by another one.
    pub(crate) fn take_declined(&mut self) -> Option<Wanted> {
        if std::mem::take(&mut self.is_declined) { self.wanted.take() } else { None }
    }

    fn is_named(&self) -> bool {
        let is_named = |id: &Uuid| self.names.contains_key(id);
        self.target.as_ref().is_none_or(|target| target.topic_ids().iter().all(is_named))
    }
}

/// What the consumer says.
impl Member {
    /// Wants this from now on.
    pub(crate) fn subscribe(&mut self, wanted: Wanted) {
        let is_news = self.wanted.as_ref() != Some(&wanted);
        self.wanted = Some(wanted);
        match self.state {
            State::Unsubscribed | State::Fatal => self.join(),
            State::Reconciling | State::Stable => self.beat.is_urgent |= is_news,
            // It is in the heartbeat that comes next, or in the one that joins.
            State::Joining
            | State::Acknowledging
            | State::Fenced
            | State::Stale
            | State::Leaving => {}
        }
    }

    /// What was to be given up is given up.
    pub(crate) fn prepared(&mut self) {
        if let Some(step) = self.step.take_if(|step| step.is_giving_up()) {
            let current = self.current.get_or_insert_default();
            *current = current.without(step.assignment());
            (self.is_changed, self.gave_up) = (true, true);
        }
        // Of a stale member it says that the user has polled.
        if matches!(self.state, State::Fenced | State::Stale) {
            self.join();
        }
    }

    /// What was to be taken is taken, and the user knows.
    pub(crate) fn settled(&mut self) {
        if let Some(step) = self.step.take_if(|step| !step.is_giving_up()) {
            self.current.get_or_insert_default().extend(step.assignment());
            if self.state == State::Reconciling {
                self.enter(State::Acknowledging);
            }
        }
    }

    /// The answer to a commit of `sender` says that the coordinator sees this member otherwise.
    pub(crate) fn handle_reaction(
        &mut self,
        reaction: Reaction,
        code: ErrorCode,
        sender: &Identity,
    ) {
        if *sender != self.identity || !self.state.is_in_group() {
            return;
        }
        if reaction == Reaction::Fatal {
            let error = Error::from_code(ApiKey::OFFSET_COMMIT, code).during(Operation::Commit);
            self.fail(error.with_group(Arc::clone(&self.settings.group_id)));
        } else {
            // The next heartbeat tells whether it is so.
            self.beat.is_urgent = true;
        }
    }

    /// Leaves; ends in [`Action::Left`].
    pub(crate) fn leave(
        &mut self,
        now: Instant,
        operation: GroupMembershipOperation,
        around: &mut Surroundings<'_>,
    ) {
        if self.state == State::Leaving {
            // Subscribed again meanwhile, it would join once it has left.
            self.wanted = None;
            return;
        }
        // Whatever was wanted of the consumer is void: it gives everything up by itself.
        self.actions.retain(|action| matches!(action, Action::Send(_) | Action::Tell(_)));
        let goodbye = self.requests.goodbye(operation).filter(|_| self.state.is_in_group());
        self.wanted = None;
        self.forget();
        self.enter(State::Leaving);
        match around.coordinator.zip(goodbye) {
            Some((coordinator, goodbye)) => {
                let id = self.send_leave(coordinator, goodbye, around);
                self.beat.in_flight = Some((id, now));
            }
            None => self.left(),
        }
    }

    /// Takes in a snapshot of the cluster.
    pub(crate) fn handle_cluster(&mut self, cluster: &Cluster) {
        if !self.is_named() {
            self.learn_names(cluster);
        }
    }
}

/// What is to be done.
impl Member {
    /// The next thing to do, where there is one.
    pub(crate) fn poll(&mut self, now: Instant, around: &mut Surroundings<'_>) -> Option<Action> {
        if self.actions.is_empty() && self.state.is_in_group() {
            self.watch(now, around);
        }
        self.actions.pop_front()
    }

    /// When to poll again at the latest.
    pub(crate) fn timeout(&self, reachable: bool, idle_since: Option<Instant>) -> Option<Instant> {
        if !self.state.is_in_group() {
            return None;
        }
        let user = idle_since.map(|since| since + self.settings.max_poll_interval);
        let beat = self.next_beat().filter(|_| reachable && self.beat.in_flight.is_none());
        let names = self.names_due.filter(|_| !self.is_named());
        [user, beat, names].into_iter().flatten().min()
    }

    /// Looks at the clocks and at what has changed.
    fn watch(&mut self, now: Instant, around: &mut Surroundings<'_>) {
        let limit = self.settings.max_poll_interval;
        if around.idle_since.is_some_and(|since| since + limit <= now) {
            return self.expel(limit, around);
        }
        if !self.is_named() && self.names_due.is_none_or(|due| due <= now) {
            self.learn_names(around.cluster);
            if !self.is_named() {
                self.names_due = Some(now + self.names_backoff.next_wait(&mut self.rng));
                self.actions.push_back(Action::RefreshMetadata);
            }
        }
        if self.state == State::Reconciling
            && self.step.is_none()
            && std::mem::take(&mut self.is_changed)
        {
            self.reconcile();
        }
        if let Some(coordinator) = around.coordinator
            && self.beat.in_flight.is_none()
            && self.next_beat().is_none_or(|at| at <= now)
        {
            self.send_heartbeat(now, coordinator, around);
        }
    }

    /// Moves what is held towards the target: first gives up, then takes.
    fn reconcile(&mut self) {
        let Some(target) = &self.target else { return };
        let is_first = self.current.is_none();
        let current = self.current.clone().unwrap_or_default();
        let gone = current.without(target);
        if !gone.is_empty() {
            let (change, partitions) = (Change::Revoked, gone.partitions(&self.names));
            self.step = Some(Step::GivingUp(gone));
            self.actions.push_back(Action::GiveUp { change, partitions });
            return;
        }
        let new = target.named(&self.names).without(&current);
        // A member that gets nothing hears so once.
        if !new.is_empty() || (is_first && target.is_empty()) {
            // To the coordinator who does not hold a partition has given it up. By a heartbeat that is not answered yet, or was
            // lost with its answer, what the target has may be another's by now.
            if self.beat.in_flight.is_some() || !self.requests.is_answered() {
                self.is_changed = true;
                return;
            }
            let partitions = new.partitions(&self.names);
            self.gave_up = false;
            self.step = Some(Step::Taking(new));
            self.actions.push_back(Action::Take(partitions));
        } else if std::mem::take(&mut self.gave_up) {
            self.enter(State::Acknowledging);
        } else if current == *target {
            self.enter(State::Stable);
        }
    }

    fn send_heartbeat(&mut self, now: Instant, coordinator: NodeId, around: &mut Surroundings<'_>) {
        if matches!(self.name, Name::Returning(_)) {
            let id = self.send_leave(coordinator, Goodbye::ForNow, around);
            self.beat.in_flight = Some((id, now));
            return;
        }
        let Some(wanted) = &self.wanted else { return };
        let id = around.ids.deal();
        let owned = Self::held(self.current.as_ref(), self.step.as_ref());
        let outbound =
            self.requests.heartbeat(now, id, coordinator, &self.identity, wanted, &owned);
        self.actions.push_back(Action::Send(outbound));
        self.beat.in_flight = Some((id, now));
        self.beat.is_urgent = false;
        self.beat.next_at = Some(now + self.beat.interval);
        if self.state == State::Acknowledging {
            // With this one the coordinator knows; the target may have moved on meanwhile.
            self.enter(State::Reconciling);
            self.is_changed = true;
        }
    }

    /// Leaves the group until the user polls again.
    fn expel(&mut self, limit: Duration, around: &mut Surroundings<'_>) {
        tracing::warn!(group = %self.settings.group_id, ?limit, "not polled for max.poll.interval.ms");
        let goodbye = self.requests.goodbye(GroupMembershipOperation::Default);
        if let Some((coordinator, goodbye)) = around.coordinator.zip(goodbye) {
            // Nothing waits for the answer: the session would end by itself.
            self.send_leave(coordinator, goodbye, around);
        }
        let partitions = self.forget();
        self.enter(State::Stale);
        self.actions.push_back(Action::Tell(Event::PollIntervalExceeded { limit }));
        self.actions.push_back(Action::GiveUp { change: Change::Lost, partitions });
    }

    /// Names the topics of the target as far as the metadata can.
    fn learn_names(&mut self, cluster: &Cluster) {
        let known =
            [self.target.as_ref(), self.current.as_ref(), self.step.as_ref().map(Step::assignment)];
        let ids: BTreeSet<Uuid> =
            known.into_iter().flatten().flat_map(Assignment::topic_ids).collect();
        self.names.retain(|id, _| ids.contains(id));
        let before = self.names.len();
        for id in ids {
            if let Some(topic) = cluster.topic_by_id(id) {
                self.names.entry(id).or_insert_with(|| topic.name.clone());
            }
        }
        self.is_changed |= self.names.len() > before;
        if self.is_named() {
            self.names_due = None;
            self.names_backoff.reset();
        }
    }

    /// What the coordinator is to leave to this member: what the consumer is taking counts before the user knows of it.
    fn held<'a>(current: Option<&'a Assignment>, step: Option<&Step>) -> Cow<'a, Assignment> {
        let mut held = current.map_or_else(Cow::default, Cow::Borrowed);
        if let Some(Step::Taking(new)) = step {
            held.to_mut().extend(new);
        }
        held
    }

    /// When the next heartbeat goes out at the earliest; `None` is at once.
    fn next_beat(&self) -> Option<Instant> {
        let is_urgent = self.beat.is_urgent || self.state.is_urgent();
        self.beat.next_at.filter(|_| !is_urgent).max(self.beat.not_before)
    }

    fn send_leave(
        &mut self,
        coordinator: NodeId,
        goodbye: Goodbye,
        around: &mut Surroundings<'_>,
    ) -> RequestId {
        let id = around.ids.deal();
        let outbound = self.requests.leave(id, coordinator, &self.identity.member_id, goodbye);
        self.actions.push_back(Action::Send(outbound));
        id
    }

    fn left(&mut self) {
        self.beat.in_flight = None;
        self.enter(State::Unsubscribed);
        self.actions.push_back(Action::Left);
        if self.wanted.is_some() {
            // Subscribed again while it left.
            self.join();
        }
    }

    fn join(&mut self) {
        self.forget();
        self.enter(State::Joining);
    }

    /// The coordinator has put this member out: gives all up as lost, and joins again.
    fn fence(&mut self) {
        let partitions = self.forget();
        self.enter(State::Fenced);
        self.actions.push_back(Action::GiveUp { change: Change::Lost, partitions });
    }

    fn fail(&mut self, error: Error) {
        let owned = self.current.is_some() || self.step.is_some();
        let partitions = self.forget();
        self.enter(State::Fatal);
        if owned {
            self.actions.push_back(Action::GiveUp { change: Change::Lost, partitions });
        }
        // Last, and fatal whatever it is: nothing comes after it, as the member does not join again.
        self.actions.push_back(Action::Tell(Event::Error(error.fatal())));
    }

    /// Is nobody to the coordinator any more; gives what the consumer has in hand, or is about to take.
    fn forget(&mut self) -> BTreeSet<TopicPartition> {
        let mut held = self.current.take().unwrap_or_default();
        if let Some(step) = self.step.take() {
            held.extend(step.assignment());
        }
        let partitions = held.partitions(&self.names);
        self.identity.generation = None;
        self.target = None;
        (self.is_changed, self.gave_up) = (false, false);
        self.names.clear();
        self.names_due = None;
        self.names_backoff.reset();
        self.beat.in_flight = None;
        self.beat.next_at = None;
        self.beat.is_urgent = false;
        self.name = Name::Free;
        self.told_forbidden = false;
        self.is_declined = false;
        self.requests.forget();
        partitions
    }

    fn enter(&mut self, state: State) {
        debug_assert!(
            self.state == state || self.state.successors().contains(&state),
            "{:?} to {state:?}",
            self.state
        );
        tracing::debug!(group = %self.settings.group_id, from = ?self.state, to = ?state, "member");
        self.state = state;
    }
}

/// A member's name for itself, for as long as it lives (KIP-1082).
fn member_id(rng: &mut Rng) -> ByteString {
    let mut bytes = [0; 16];
    rng.fill(&mut bytes);
    // Its text never starts with a dash, which command lines would take for an option.
    bytes[0] &= 0x7f;
    ByteString::from(Uuid::from_bytes(bytes).to_string())
}

mod answer;
#[cfg(test)]
mod tests;
