//! The protocol by which a consumer is a member of its group.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use fastrand::Rng;
use milena_types::{ErrorCode, Topic};

use super::action::{Action, Identity, Surroundings};
use super::member::Member;
use super::settings::GroupSettings;
use super::state::MemberState;
use crate::backoff::Backoff;
use crate::disposition::Reaction;
use crate::metadata::Cluster;
use crate::request::Answer;

/// A membership in one of the protocols; see [`Action`] for what it asks of the consumer.
#[derive(Debug)]
pub(crate) enum Protocol {
    /// JoinGroup and SyncGroup: a member shares the partitions out.
    Classic(Member),
}

impl Protocol {
    pub(crate) fn new(
        settings: &GroupSettings,
        request_timeout: Duration,
        backoff: Backoff,
    ) -> Self {
        Self::Classic(Member::new(settings.clone(), request_timeout, backoff))
    }

    pub(crate) fn state(&self) -> MemberState {
        match self {
            Self::Classic(member) => member.state(),
        }
    }

    pub(crate) fn identity(&self) -> &Identity {
        match self {
            Self::Classic(member) => member.identity(),
        }
    }

    /// Whether a coordinator is needed.
    pub(crate) fn is_active(&self) -> bool {
        match self {
            Self::Classic(member) => member.is_active(),
        }
    }

    /// The topics whose metadata this member needs.
    pub(crate) fn topics(&self) -> BTreeSet<Topic> {
        match self {
            Self::Classic(member) => member.topics(),
        }
    }

    /// Wants these topics from now on.
    pub(crate) fn subscribe(&mut self, topics: BTreeSet<Topic>) {
        match self {
            Self::Classic(member) => member.subscribe(topics),
        }
    }

    /// What was to be given up is given up.
    pub(crate) fn prepared(&mut self) {
        match self {
            Self::Classic(member) => member.prepared(),
        }
    }

    /// What was to be taken is taken, and the user knows.
    pub(crate) fn settled(&mut self) {
        match self {
            Self::Classic(member) => member.settled(),
        }
    }

    /// Leaves; ends in [`Action::Left`].
    pub(crate) fn leave(
        &mut self,
        now: Instant,
        reason: &'static str,
        around: &mut Surroundings<'_>,
    ) {
        match self {
            Self::Classic(member) => member.leave(now, reason, around),
        }
    }

    /// Takes in a snapshot of the cluster.
    pub(crate) fn handle_cluster(&mut self, cluster: &Cluster) {
        match self {
            Self::Classic(member) => member.handle_cluster(cluster),
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
        }
    }

    /// The next thing to do, where there is one.
    pub(crate) fn poll(&mut self, now: Instant, around: &mut Surroundings<'_>) -> Option<Action> {
        match self {
            Self::Classic(member) => member.poll(now, around),
        }
    }

    /// When to poll again at the latest, where `reachable` says that the coordinator is known.
    pub(crate) fn timeout(&self, reachable: bool, idle_since: Option<Instant>) -> Option<Instant> {
        match self {
            Self::Classic(member) => member.timeout(reachable, idle_since),
        }
    }
}
