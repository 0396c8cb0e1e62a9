//! A member of a classic group, from subscribing to leaving.
//!
//! An eager member gives everything up before it joins again. A cooperative one (KIP-429) keeps what it has, reads on,
//! gives up what the new assignment takes away, and joins again so that others get it.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use milena_types::{ApiKey, ErrorCode, Generation, NodeId, Topic, TopicPartition};

use super::action::{Action, Identity, Surroundings};
use super::assignor::{self, AssignmentStrategy};
use super::heartbeat::Heartbeat;
use super::message::MemberAssignment;
use super::request::Requests;
use super::settings::{GroupMembershipOperation, GroupSettings};
use super::state::MemberState;
use crate::backoff::Backoff;
use crate::disposition::Reaction;
use crate::error::Operation;
use crate::metadata::Cluster;
use crate::request::{Lane, RequestId};

/// The machine of one membership.
#[derive(Debug)]
pub(crate) struct Member {
    settings: GroupSettings,
    requests: Requests,
    state: MemberState,
    identity: Identity,
    topics: BTreeSet<Topic>,
    /// Whether what stays ours is kept while the group rebalances: if every strategy can do that.
    is_cooperative: bool,
    /// The strategy that the group has chosen.
    strategy: AssignmentStrategy,
    /// What was taken and not yet given up.
    owned: BTreeSet<TopicPartition>,
    /// What the user is giving up.
    leaving: BTreeSet<TopicPartition>,
    /// What is taken once the user has given up the rest.
    incoming: BTreeSet<TopicPartition>,
    /// The last assignment with its generation; a sticky strategy tells of it even after all was lost.
    told: Option<(Generation, BTreeSet<TopicPartition>)>,
    heartbeat: Heartbeat,
    call: Option<Call>,
    leading: Option<Leading>,
    /// What was said in the SyncGroup of this generation, once it was sent.
    syncing: Option<Syncing>,
    /// Partitions by topic that the last assignment of ours as leader was made from.
    shared_out: Option<BTreeMap<Topic, i32>>,
    /// Why to join again, for the coordinator's log (KIP-800).
    rejoin: Option<Cow<'static, str>>,
    backoff: Backoff,
    retry_at: Option<Instant>,
    /// When partitions that are kept while joining are another's, as the coordinator has not been heard of for a session.
    /// A JoinGroup that waits at the coordinator stops the clock: it keeps the member itself.
    doubt_ends: Option<Instant>,
    /// Why the member leaves, until it knows the id under which it joins.
    farewell: Option<&'static str>,
    actions: VecDeque<Action>,
}

/// The one of JoinGroup, SyncGroup and LeaveGroup that is under way.
#[derive(Debug)]
struct Call {
    request: RequestId,
    api: ApiKey,
    coordinator: NodeId,
    sent: Instant,
    identity: Identity,
}

impl Call {
    fn is_join(&self) -> bool {
        self.api == ApiKey::JOIN_GROUP
    }
}

/// The leader's duty, until the assignment is sent.
#[derive(Debug)]
struct Leading {
    members: Vec<assignor::Member>,
    /// The coordinator has the assignment still: the leader came back under its name (KIP-814).
    is_skipped: bool,
    /// When to assign with what metadata there is.
    deadline: Instant,
}

/// A SyncGroup that may have to be sent again.
#[derive(Debug)]
struct Syncing {
    /// The leader's assignment. Said twice it has to be the same: the first one may have been stored.
    shares: BTreeMap<String, MemberAssignment>,
    /// A leader is to make none, where there is something to share out. If it has nothing of that itself, it cannot see whether
    /// the others do: the assignment may be from before there was the topic.
    is_due: bool,
    /// How often no answer came.
    lost: u32,
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
            is_cooperative: settings.assignment_strategies.iter().all(|one| one.is_cooperative()),
            strategy: AssignmentStrategy::Range,
            settings,
            state: MemberState::Unjoined,
            identity: Identity::default(),
            topics: BTreeSet::new(),
            owned: BTreeSet::new(),
            leaving: BTreeSet::new(),
            incoming: BTreeSet::new(),
            told: None,
            call: None,
            leading: None,
            syncing: None,
            shared_out: None,
            rejoin: None,
            backoff,
            retry_at: None,
            doubt_ends: None,
            farewell: None,
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
            | MemberState::Revoking
            | MemberState::Settling
            | MemberState::Stable => {
                if changed {
                    self.rejoin = Some("the subscription has changed".into());
                }
            }
        }
    }

    /// Has the group share its partitions out anew (KIP-568), for this reason; a member that joins anyway does just
    /// that.
    pub(crate) fn enforce_rebalance(&mut self, reason: &str) {
        if matches!(
            self.state,
            MemberState::Syncing
                | MemberState::Revoking
                | MemberState::Settling
                | MemberState::Stable
        ) {
            // As Java: what is longer would be cut off by some broker's log at the latest.
            self.rejoin = Some(reason.chars().take(REASON_MAX).collect::<String>().into());
        }
    }

    /// The partitions are given up.
    pub(crate) fn prepared(&mut self) {
        let gone = std::mem::take(&mut self.leaving);
        self.owned.retain(|tp| !gone.contains(tp));
        match self.state {
            MemberState::Preparing | MemberState::Expelled => self.enter(MemberState::Joining),
            MemberState::Revoking => self.settle(),
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
        operation: GroupMembershipOperation,
        reason: &'static str,
        around: &mut Surroundings<'_>,
    ) {
        if self.state == MemberState::Leaving {
            // Subscribed again meanwhile, it would join once it has left.
            self.topics.clear();
            return;
        }
        // Whatever was wanted of the consumer is void: it gives everything up by itself.
        self.actions.retain(|action| matches!(action, Action::Send(_) | Action::Tell(_)));
        self.topics.clear();
        self.owned.clear();
        self.leaving.clear();
        self.enter(MemberState::Leaving);
        if !self.leaves(operation) {
            return self.left();
        }
        let is_joining = self.call.as_ref().is_some_and(Call::is_join);
        if self.identity.member_id.is_empty() && is_joining {
            // The answer says who we are. Coordinators before 2.2 count us in already, and would wait for us for a session.
            self.farewell = Some(reason);
            return;
        }
        self.say_farewell(now, reason, around);
    }

    fn say_farewell(&mut self, now: Instant, reason: &'static str, around: &mut Surroundings<'_>) {
        let Some(coordinator) = around.coordinator.filter(|_| self.is_known()) else {
            return self.left();
        };
        let id = around.ids.deal();
        let mut outbound = self.requests.leave(id, coordinator, &self.identity, reason);
        if self.call.as_ref().is_some_and(Call::is_join) {
            // The broker reads nothing more from a connection on which a JoinGroup waits.
            outbound.lane = Lane::Control;
        }
        self.put_call(now, id, coordinator, ApiKey::LEAVE_GROUP);
        self.actions.push_back(Action::Send(outbound));
    }

    /// Takes in a snapshot of the cluster: a leader shares out again when topics grew.
    pub(crate) fn handle_cluster(&mut self, cluster: &Cluster) {
        let Some(old) = &self.shared_out else { return };
        let grown = |(topic, count): (&Topic, &i32)| {
            // A topic that one answer left out is not gone; what was known of it stands.
            cluster.partition_count(topic.as_str()).is_some_and(|new| new > 0 && new != *count)
        };
        if old.iter().any(grown) {
            self.rejoin = Some("partitions of subscribed topics have changed".into());
        }
    }
}

/// How long a leader waits for the metadata of topics that only others subscribe to: a few refreshes.
const METADATA_WAIT: Duration = Duration::from_secs(5);

/// How many answers to SyncGroup may be lost before the member joins again; by then it is not the connection alone.
const SYNCS_LOST_MAX: u32 = 3;

/// The longest reason to join again, in characters.
const REASON_MAX: usize = 255;

mod answer;
mod change;
mod drive;
mod join;
#[cfg(test)]
mod tests;
