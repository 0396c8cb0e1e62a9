//! The protocol by which a consumer is a member of its group.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fastrand::Rng;
use milena_types::{ErrorCode, Topic};

use super::action::{Action, Identity, Surroundings};
use super::consumer::{self, Wanted};
use super::member::Member;
use super::settings::{GroupMembershipOperation, GroupProtocol, GroupSettings};
use super::state::MemberState;
use crate::backoff::Backoff;
use crate::disposition::Reaction;
use crate::metadata::Cluster;
use crate::request::Answer;

/// A membership in one of the protocols; see [`Action`] for what it asks of the consumer.
#[derive(Debug)]
pub(crate) enum Protocol {
    /// JoinGroup and SyncGroup: a member shares the partitions out.
    Classic(Box<Member>),
    /// Heartbeats alone: the coordinator shares the partitions out (KIP-848). With the member that goes on where the
    /// coordinator does not speak this one.
    Consumer(Box<consumer::Member>, Option<Box<Member>>),
}

impl Protocol {
    pub(crate) fn new(
        settings: &GroupSettings,
        request_timeout: Duration,
        backoff: Backoff,
        rng: &mut Rng,
    ) -> Self {
        let classic = || Box::new(Member::new(settings.clone(), request_timeout, backoff.clone()));
        let fallback = match settings.protocol {
            GroupProtocol::Classic => return Self::Classic(classic()),
            GroupProtocol::Consumer => None,
            GroupProtocol::Auto => Some(classic()),
        };
        let member = consumer::Member::new(settings.clone(), request_timeout, backoff.clone(), rng);
        Self::Consumer(Box::new(member), fallback)
    }

    pub(crate) fn state(&self) -> MemberState {
        match self {
            Self::Classic(member) => member.state(),
            Self::Consumer(member, _) => member.state(),
        }
    }

    pub(crate) fn identity(&self) -> &Identity {
        match self {
            Self::Classic(member) => member.identity(),
            Self::Consumer(member, _) => member.identity(),
        }
    }

    /// Who reads committed offsets, where the coordinator holds that against the member's epoch.
    pub(crate) fn epoch(&self) -> Option<&Identity> {
        match self {
            Self::Classic(_) => None,
            Self::Consumer(member, _) => {
                Some(member.identity()).filter(|identity| identity.generation.is_some())
            }
        }
    }

    /// Whether a coordinator is needed.
    pub(crate) fn is_active(&self) -> bool {
        match self {
            Self::Classic(member) => member.is_active(),
            Self::Consumer(member, _) => member.is_active(),
        }
    }

    /// The topics whose metadata this member needs.
    pub(crate) fn topics(&self) -> BTreeSet<Topic> {
        match self {
            Self::Classic(member) => member.topics(),
            Self::Consumer(member, _) => member.topics(),
        }
    }

    /// Wants these topics from now on.
    pub(crate) fn subscribe(&mut self, topics: BTreeSet<Topic>) {
        match self {
            Self::Classic(member) => member.subscribe(topics),
            Self::Consumer(member, _) => member.subscribe(Wanted::Topics(topics)),
        }
    }

    /// Wants the topics that the coordinator finds to match `pattern`; false where the protocol has no such thing.
    pub(crate) fn subscribe_pattern(&mut self, pattern: Arc<str>) -> bool {
        match self {
            Self::Classic(_) => false,
            Self::Consumer(member, _) => {
                member.subscribe(Wanted::Pattern(pattern));
                true
            }
        }
    }

    /// Whether metadata of all topics is needed, as a topic can be asked for by id alone.
    pub(crate) fn needs_all_topics(&self) -> bool {
        match self {
            Self::Classic(_) => false,
            Self::Consumer(member, _) => member.needs_all_topics(),
        }
    }

    /// Has the group share its partitions out anew, for this reason (KIP-568, KIP-800).
    pub(crate) fn enforce_rebalance(&mut self, reason: &str) {
        match self {
            Self::Classic(member) => member.enforce_rebalance(reason),
            // The coordinator decides when to share out, as in Java.
            Self::Consumer(..) => {}
        }
    }

    /// What was to be given up is given up.
    pub(crate) fn prepared(&mut self) {
        match self {
            Self::Classic(member) => member.prepared(),
            Self::Consumer(member, _) => member.prepared(),
        }
    }

    /// What was to be taken is taken, and the user knows.
    pub(crate) fn settled(&mut self) {
        match self {
            Self::Classic(member) => member.settled(),
            Self::Consumer(member, _) => member.settled(),
        }
    }

    /// Leaves, or stays as `operation` says; ends in [`Action::Left`].
    pub(crate) fn leave(
        &mut self,
        now: Instant,
        operation: GroupMembershipOperation,
        reason: &'static str,
        around: &mut Surroundings<'_>,
    ) {
        match self {
            Self::Classic(member) => member.leave(now, operation, reason, around),
            Self::Consumer(member, _) => member.leave(now, operation, around),
        }
    }

    /// Takes in a snapshot of the cluster.
    pub(crate) fn handle_cluster(&mut self, cluster: &Cluster) {
        match self {
            Self::Classic(member) => member.handle_cluster(cluster),
            Self::Consumer(member, _) => member.handle_cluster(cluster),
        }
    }

    /// Takes in the answer to a request of this member; false if it is not one.
    pub(crate) fn handle_answer(
        &mut self,
        now: Instant,
        answer: &mut Answer,
        rng: &mut Rng,
    ) -> bool {
        match self {
            Self::Classic(member) => member.handle_answer(now, answer, rng),
            Self::Consumer(member, _) => member.handle_answer(now, answer),
        }
    }

    /// A reply to a commit of `sender` says that the group has moved on.
    pub(crate) fn handle_reaction(
        &mut self,
        reaction: Reaction,
        code: ErrorCode,
        sender: &Identity,
    ) {
        match self {
            Self::Classic(member) => member.handle_reaction(reaction, code, sender),
            Self::Consumer(member, _) => member.handle_reaction(reaction, code, sender),
        }
    }

    /// The next thing to do, where there is one.
    pub(crate) fn poll(&mut self, now: Instant, around: &mut Surroundings<'_>) -> Option<Action> {
        if let Self::Consumer(member, fallback) = self
            && let Some(Wanted::Topics(topics)) = member.take_declined()
            && let Some(mut classic) = fallback.take()
        {
            classic.subscribe(topics);
            *self = Self::Classic(classic);
        }
        match self {
            Self::Classic(member) => member.poll(now, around),
            Self::Consumer(member, _) => member.poll(now, around),
        }
    }

    /// When to poll again at the latest, where `reachable` says that the coordinator is known.
    pub(crate) fn timeout(&self, reachable: bool, idle_since: Option<Instant>) -> Option<Instant> {
        match self {
            Self::Classic(member) => member.timeout(reachable, idle_since),
            Self::Consumer(member, _) => member.timeout(reachable, idle_since),
        }
    }
}
