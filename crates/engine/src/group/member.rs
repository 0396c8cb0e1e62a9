//! A member of a classic group, from subscribing to leaving.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use milena_types::{ApiKey, ErrorCode, NodeId, Topic, TopicPartition};
use milena_wire::ByteString;

use super::action::{Action, Identity, Surroundings};
use super::assignor::{self, range};
use super::heartbeat::Heartbeat;
use super::message::{MemberAssignment, MemberSubscription};
use super::request::Requests;
use super::settings::GroupSettings;
use super::state::MemberState;
use crate::backoff::Backoff;
use crate::disposition::Reaction;
use crate::error::{Error, Operation};
use crate::metadata::Cluster;
use crate::request::{Lane, RequestId};
use crate::subscription::{Change, Event};

/// The machine of one membership.
#[derive(Debug)]
pub(crate) struct Member {
    settings: GroupSettings,
    requests: Requests,
    state: MemberState,
    identity: Identity,
    topics: BTreeSet<Topic>,
    /// What was taken and not yet given up.
    owned: BTreeSet<TopicPartition>,
    heartbeat: Heartbeat,
    call: Option<Call>,
    leading: Option<Leading>,
    /// Partitions by topic that the last assignment of ours as leader was made from.
    shared_out: Option<BTreeMap<Topic, i32>>,
    /// Why to join again, for the coordinator's log (KIP-800).
    rejoin: Option<&'static str>,
    backoff: Backoff,
    retry_at: Option<Instant>,
    actions: VecDeque<Action>,
}

/// The one of JoinGroup, SyncGroup and LeaveGroup that is under way.
#[derive(Debug)]
struct Call {
    request: RequestId,
    api: ApiKey,
    sent: Instant,
    identity: Identity,
}

/// The leader's duty, until the assignment is sent.
#[derive(Debug)]
struct Leading {
    members: Vec<assignor::Member>,
    /// When to assign with what metadata there is.
    deadline: Instant,
}

impl Member {
    pub(crate) fn new(
        settings: GroupSettings,
        request_timeout: Duration,
        backoff: Backoff,
    ) -> Self {
        Self {
            heartbeat: Heartbeat::new(settings.heartbeat_interval, settings.session_timeout),
            requests: Requests::new(&settings, request_timeout),
            settings,
            state: MemberState::Unjoined,
            identity: Identity::default(),
            topics: BTreeSet::new(),
            owned: BTreeSet::new(),
            call: None,
            leading: None,
            shared_out: None,
            rejoin: None,
            backoff,
            retry_at: None,
            actions: VecDeque::new(),
        }
    }

    pub(crate) fn state(&self) -> MemberState {
        self.state
    }

    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Whether a coordinator is needed.
    pub(crate) fn is_active(&self) -> bool {
        self.state != MemberState::Unjoined
    }

    /// Topics of the other members: as leader we share them out, and watch their partitions.
    pub(crate) fn topics(&self) -> BTreeSet<Topic> {
        let mut topics = self.topics.clone();
        topics.extend(self.shared_out.iter().flat_map(|counts| counts.keys().cloned()));
        let members = self.leading.iter().flat_map(|leading| &leading.members);
        topics.extend(members.flat_map(|member| member.topics.iter().cloned()));
        topics
    }
}

/// What the consumer says.
impl Member {
    /// Wants these topics from now on.
    pub(crate) fn subscribe(&mut self, topics: BTreeSet<Topic>) {
        let changed = self.topics != topics;
        self.topics = topics;
        match self.state {
            MemberState::Unjoined | MemberState::Failed => {
                self.rejoin = None;
                self.retry_at = None;
                self.enter(MemberState::Joining);
            }
            // It joins with the new topics anyway, or once it has left.
            MemberState::Preparing | MemberState::Expelled | MemberState::Leaving => {}
            MemberState::Joining if self.call.is_none() => {}
            MemberState::Joining
            | MemberState::Syncing
            | MemberState::Settling
            | MemberState::Stable => {
                if changed {
                    self.rejoin = Some("the subscription has changed");
                }
            }
        }
    }

    /// The partitions are given up.
    pub(crate) fn prepared(&mut self) {
        self.owned.clear();
        match self.state {
            MemberState::Preparing | MemberState::Expelled => self.enter(MemberState::Joining),
            MemberState::Unjoined
            | MemberState::Joining
            | MemberState::Syncing
            | MemberState::Settling
            | MemberState::Stable
            | MemberState::Leaving
            | MemberState::Failed => {}
        }
    }

    /// The partitions are taken.
    pub(crate) fn settled(&mut self) {
        if self.state == MemberState::Settling {
            self.enter(MemberState::Stable);
        }
    }

    /// A reply to a commit of `sender` says that the group has moved on.
    pub(crate) fn handle_reaction(
        &mut self,
        reaction: Reaction,
        code: ErrorCode,
        sender: &Identity,
    ) {
        self.react(reaction, code, sender, Operation::Commit);
    }

    /// Leaves; ends in [`Action::Left`].
    pub(crate) fn leave(
        &mut self,
        now: Instant,
        reason: &'static str,
        around: &mut Surroundings<'_>,
    ) {
        let was = self.state;
        if was == MemberState::Leaving {
            return;
        }
        // Whatever was wanted of the consumer is void: it gives everything up by itself.
        self.actions.retain(|action| matches!(action, Action::Send(_) | Action::Tell(_)));
        self.topics.clear();
        self.owned.clear();
        self.enter(MemberState::Leaving);
        match around.coordinator {
            Some(coordinator) if self.may_leave() => {
                let id = around.ids.deal();
                let mut outbound = self.requests.leave(id, coordinator, &self.identity, reason);
                if self.call.as_ref().is_some_and(|call| call.api == ApiKey::JOIN_GROUP) {
                    // The broker reads nothing more from a connection on which a JoinGroup waits.
                    outbound.lane = Lane::Control;
                }
                self.put_call(now, id, ApiKey::LEAVE_GROUP);
                self.actions.push_back(Action::Send(outbound));
            }
            Some(_) | None => self.left(),
        }
    }

    /// Takes in a snapshot of the cluster: a leader shares out again when topics grew.
    pub(crate) fn handle_cluster(&mut self, cluster: &Cluster) {
        let Some(old) = &self.shared_out else { return };
        let grown = |(topic, count): (&Topic, &i32)| {
            // A topic that one answer left out is not gone; what was known of it stands.
            cluster.partition_count(topic.as_str()).is_some_and(|new| new > 0 && new != *count)
        };
        if old.iter().any(grown)
            && matches!(self.state, MemberState::Settling | MemberState::Stable)
        {
            self.rejoin = Some("partitions of subscribed topics have changed");
        }
    }
}

/// What is to be done.
impl Member {
    /// The next thing to do, where there is one.
    pub(crate) fn poll(&mut self, now: Instant, around: &mut Surroundings<'_>) -> Option<Action> {
        if self.actions.is_empty() {
            self.watch(now, around);
        }
        if self.actions.is_empty() {
            self.proceed(now, around);
        }
        debug_assert!(self.owned.iter().all(|tp| around.held.is_assigned(tp)));
        let action = self.actions.pop_front();
        if let Some(Action::Take(partitions)) = &action {
            self.owned.extend(partitions.iter().cloned());
        }
        action
    }

    /// When to poll again at the latest.
    pub(crate) fn timeout(&self, reachable: bool, idle_since: Option<Instant>) -> Option<Instant> {
        let beats = self.state.beats();
        let heartbeat = if beats { self.heartbeat.timeout(reachable) } else { None };
        let is_watched = beats && self.state != MemberState::Syncing;
        let user =
            idle_since.filter(|_| is_watched).map(|since| since + self.settings.max_poll_interval);
        let calls = matches!(self.state, MemberState::Joining | MemberState::Syncing);
        let retry = self.retry_at.filter(|_| reachable && calls && self.call.is_none());
        let leading = self.leading.as_ref().filter(|_| reachable).map(|leading| leading.deadline);
        [heartbeat, user, retry, leading].into_iter().flatten().min()
    }

    /// Looks at the clocks.
    fn watch(&mut self, now: Instant, around: &mut Surroundings<'_>) {
        if !self.state.beats() {
            return;
        }
        if self.heartbeat.is_expired(now) {
            tracing::warn!(group = %self.settings.group_id, "session expired without a heartbeat");
            self.actions.push_back(Action::LoseCoordinator);
            // The member id may live on at the coordinator, so it is kept; the assignment may not.
            self.identity.generation = None;
            self.lose();
            return;
        }
        let limit = self.settings.max_poll_interval;
        if around.idle_since.is_some_and(|since| since + limit <= now)
            && self.state != MemberState::Syncing
        {
            self.expel(limit, around);
            return;
        }
        if let Some(coordinator) = around.coordinator
            && self.heartbeat.is_due(now)
        {
            let id = around.ids.deal();
            let outbound = self.requests.heartbeat(id, coordinator, &self.identity);
            self.heartbeat.sent(now, id);
            self.actions.push_back(Action::Send(outbound));
        }
    }

    /// Goes on with joining.
    fn proceed(&mut self, now: Instant, around: &mut Surroundings<'_>) {
        if let Some(reason) = self.rejoin
            && matches!(self.state, MemberState::Settling | MemberState::Stable)
        {
            tracing::info!(group = %self.settings.group_id, reason, "joining again");
            self.enter(MemberState::Preparing);
            self.give_up(Change::Revoked);
            return;
        }
        let Some(coordinator) = around.coordinator else { return };
        if self.call.is_some() || self.retry_at.is_some_and(|at| now < at) {
            return;
        }
        match self.state {
            MemberState::Joining => {
                let id = around.ids.deal();
                let subscription = MemberSubscription { topics: self.topics.clone() };
                let reason = self.rejoin.take().unwrap_or("");
                let outbound =
                    self.requests.join(id, coordinator, &self.identity, &subscription, reason);
                self.put_call(now, id, ApiKey::JOIN_GROUP);
                self.actions.push_back(Action::Send(outbound));
            }
            MemberState::Syncing => self.sync(now, coordinator, around),
            MemberState::Unjoined
            | MemberState::Preparing
            | MemberState::Settling
            | MemberState::Stable
            | MemberState::Expelled
            | MemberState::Leaving
            | MemberState::Failed => {}
        }
    }

    fn sync(&mut self, now: Instant, coordinator: NodeId, around: &mut Surroundings<'_>) {
        let mut shares = BTreeMap::new();
        if let Some(leading) = &self.leading {
            let topics: BTreeSet<&Topic> =
                leading.members.iter().flat_map(|member| &member.topics).collect();
            let known = |topic: &&Topic| around.cluster.topic(topic.as_str()).is_some();
            if !topics.iter().all(known) && now < leading.deadline {
                return;
            }
            let counts: BTreeMap<Topic, i32> = topics
                .into_iter()
                .map(|topic| {
                    let count = around.cluster.partition_count(topic.as_str());
                    (topic.clone(), count.unwrap_or(0))
                })
                .collect();
            for (member, partitions) in range::assign(&leading.members, &counts) {
                let assignment = MemberAssignment { partitions: partitions.into_iter().collect() };
                shares.insert(member, assignment);
            }
            self.shared_out = Some(counts);
        }
        self.leading = None;
        let id = around.ids.deal();
        let outbound = self.requests.sync(id, coordinator, &self.identity, &shares);
        self.put_call(now, id, ApiKey::SYNC_GROUP);
        self.actions.push_back(Action::Send(outbound));
    }

    /// Leaves the group until the user polls again.
    fn expel(&mut self, limit: Duration, around: &mut Surroundings<'_>) {
        tracing::warn!(group = %self.settings.group_id, ?limit, "not polled for max.poll.interval.ms");
        if let Some(coordinator) = around.coordinator
            && self.may_leave()
        {
            let id = around.ids.deal();
            let reason = "consumer poll timeout has expired";
            // Nothing waits for the answer: the session would end by itself.
            let outbound = self.requests.leave(id, coordinator, &self.identity, reason);
            self.actions.push_back(Action::Send(outbound));
        }
        if self.settings.instance_id.is_none() {
            self.identity.member_id = ByteString::new();
        }
        self.identity.generation = None;
        self.call = None;
        self.heartbeat.stop();
        self.enter(MemberState::Expelled);
        self.actions.push_back(Action::Tell(Event::PollIntervalExceeded { limit }));
        self.give_up(Change::Lost);
    }

    /// Whether the coordinator has to hear that we go; a static member comes back under its name (KIP-345).
    fn may_leave(&self) -> bool {
        !self.identity.member_id.is_empty() && self.settings.instance_id.is_none()
    }

    fn left(&mut self) {
        self.call = None;
        self.leading = None;
        self.shared_out = None;
        self.rejoin = None;
        self.heartbeat.stop();
        self.identity = Identity::default();
        self.enter(MemberState::Unjoined);
        self.actions.push_back(Action::Left);
        if !self.topics.is_empty() {
            // Subscribed again while it left.
            self.enter(MemberState::Joining);
        }
    }

    fn put_call(&mut self, now: Instant, request: RequestId, api: ApiKey) {
        self.call = Some(Call { request, api, sent: now, identity: self.identity.clone() });
    }

    /// What is assigned is another's, or will be: gives it up as lost, and joins again.
    fn lose(&mut self) {
        self.heartbeat.stop();
        self.shared_out = None;
        match self.state {
            MemberState::Preparing | MemberState::Settling | MemberState::Stable => {
                self.enter(MemberState::Preparing);
                self.give_up(Change::Lost);
            }
            MemberState::Syncing | MemberState::Joining => {
                self.call = None;
                self.enter(MemberState::Joining);
            }
            MemberState::Unjoined
            | MemberState::Expelled
            | MemberState::Leaving
            | MemberState::Failed => {}
        }
    }

    /// Gives up all that is owned.
    fn give_up(&mut self, change: Change) {
        // What is lost is let go at once, what is revoked once the user is done with it.
        let partitions = match change {
            Change::Lost => std::mem::take(&mut self.owned),
            Change::Revoked | Change::Assigned => self.owned.clone(),
        };
        self.actions.push_back(Action::GiveUp { change, partitions });
    }

    fn fail(&mut self, error: Error) {
        self.heartbeat.stop();
        if matches!(
            self.state,
            MemberState::Unjoined | MemberState::Expelled | MemberState::Leaving
        ) {
            // A late answer to a member that is out, or on its way: it goes on as if nothing had been said.
            self.actions.push_back(Action::Tell(Event::Error(error.plain())));
            return;
        }
        self.leading = None;
        self.shared_out = None;
        let owned = self.state.may_commit();
        self.enter(MemberState::Failed);
        if owned {
            self.give_up(Change::Lost);
        }
        // Last, and fatal whatever it is: nothing comes after it, as the member does not join again.
        self.actions.push_back(Action::Tell(Event::Error(error.fatal())));
    }

    fn enter(&mut self, state: MemberState) {
        debug_assert!(
            self.state == state || self.state.successors().contains(&state),
            "{:?} to {state:?}",
            self.state
        );
        tracing::debug!(group = %self.settings.group_id, from = ?self.state, to = ?state, "member");
        if state != MemberState::Syncing {
            self.leading = None;
        }
        self.state = state;
    }
}

/// How long a leader waits for the metadata of topics that only others subscribe to: a few refreshes.
const METADATA_WAIT: Duration = Duration::from_secs(5);

mod answer;
#[cfg(test)]
mod tests;
