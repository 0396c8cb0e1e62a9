//! One member of a group of the consumer protocol.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use bytes::Bytes;
use milena_types::{MemberEpoch, Topic, Uuid};

use super::assignor::Assignor;
use super::partitions::Assigned;

/// A member as its heartbeats described it, and how far it has come with its assignment.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Member {
    pub(crate) id: String,
    /// Names a static member through its restarts (`group.instance.id`).
    pub(crate) instance_id: Option<String>,
    pub(crate) rack_id: Option<String>,
    pub(crate) client_id: String,
    pub(crate) client_host: String,
    /// How long it may take to give up partitions.
    pub(crate) rebalance_timeout: Duration,
    pub(crate) topics: BTreeSet<Topic>,
    /// The regular expression it subscribes with; empty where it has none.
    pub(crate) pattern: String,
    /// The assignor it votes for.
    pub(crate) assignor: Option<Assignor>,
    /// `None` while a static member is away for a while.
    pub(crate) epoch: Option<MemberEpoch>,
    pub(super) previous_epoch: Option<MemberEpoch>,
    pub(super) state: MemberState,
    /// What it may read.
    pub(crate) assigned: Assigned,
    /// What it was told to give up and has not yet said that it did.
    pub(crate) revoking: Assigned,
    /// Of a member that speaks the classic protocol.
    pub(crate) classic: Option<ClassicSide>,
    /// When it is given up unless it is heard of.
    pub(super) session_deadline: Option<Instant>,
    /// When it is given up unless it has given its partitions up.
    pub(super) revocation_deadline: Option<Instant>,
    /// When a classic member is given up unless it joins, or syncs.
    pub(super) join_deadline: Option<Instant>,
    pub(super) sync_deadline: Option<Instant>,
}

/// Where a member is between what it has and what it is to have.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum MemberState {
    /// It has what it is to have at its epoch.
    Stable,
    /// It has partitions to give up first.
    Unrevoked,
    /// It waits for partitions that others have to give up.
    Unreleased,
}

/// What a member said in its JoinGroup (a classic member of a group that migrates).
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct ClassicSide {
    pub(crate) session_timeout: Duration,
    /// Assignors it speaks and its subscription for each, the favourite first.
    pub(crate) protocols: Vec<(String, Bytes)>,
}

impl Member {
    /// One of whom nothing is known yet.
    pub(crate) fn new(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            instance_id: None,
            rack_id: None,
            client_id: String::new(),
            client_host: String::new(),
            rebalance_timeout: Duration::ZERO,
            topics: BTreeSet::new(),
            pattern: String::new(),
            assignor: None,
            epoch: Some(MemberEpoch::ZERO),
            previous_epoch: None,
            state: MemberState::Stable,
            assigned: Assigned::new(),
            revoking: Assigned::new(),
            classic: None,
            session_deadline: None,
            revocation_deadline: None,
            join_deadline: None,
            sync_deadline: None,
        }
    }

    /// Whether it speaks the classic protocol.
    pub(crate) fn is_classic(&self) -> bool {
        self.classic.is_some()
    }

    /// Whether it has all that it is to have at this epoch.
    pub(super) fn is_reconciled_to(&self, epoch: MemberEpoch) -> bool {
        self.state == MemberState::Stable && self.epoch == Some(epoch)
    }

    /// The epoch at which it got the partition, if it has it or still gives it up.
    pub(super) fn epoch_of(&self, topic: Uuid, index: i32) -> Option<MemberEpoch> {
        let find = |assigned: &Assigned| assigned.get(&topic).and_then(|p| p.get(&index)).copied();
        find(&self.assigned).or_else(|| find(&self.revoking))
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let of_classic = [self.join_deadline, self.sync_deadline];
        let deadlines = [self.session_deadline, self.revocation_deadline];
        deadlines.into_iter().chain(of_classic).flatten().min()
    }

    /// What it is from here on, with the new epoch.
    pub(super) fn moved_to(&self, epoch: Option<MemberEpoch>, state: MemberState) -> Self {
        Self { epoch, previous_epoch: self.epoch, state, ..self.clone() }
    }
}
