//! One member of a group of Kafka Streams: a thread of an instance of the application.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use milena_types::MemberEpoch;

use super::offsets::TaskOffsets;
use super::tasks::Held;
use crate::group::consumer::MemberState;

/// A member as its heartbeats described it, and how far it has come with its tasks.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Member {
    pub(crate) id: String,
    /// What it says of itself.
    pub(crate) about: About,
    /// `None` while a static member is away for a while.
    pub(crate) epoch: Option<MemberEpoch>,
    pub(super) previous_epoch: Option<MemberEpoch>,
    pub(super) state: MemberState,
    /// What it works on.
    pub(crate) assigned: Held,
    /// What it was told to give up and has not yet said that it did.
    pub(crate) revoking: Held,
    pub(crate) offsets: TaskOffsets,
    /// When it is given up unless it is heard of.
    pub(super) session_deadline: Option<Instant>,
    /// When it is given up unless it has given its tasks up.
    pub(super) revocation_deadline: Option<Instant>,
}

/// What a member says of itself; where it changes the group's epoch does too.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct About {
    /// Names a static member through its restarts (`group.instance.id`).
    pub(crate) instance_id: Option<String>,
    pub(crate) rack_id: Option<String>,
    pub(crate) client_id: String,
    pub(crate) client_host: String,
    /// How long it may take to give up tasks.
    pub(crate) rebalance_timeout: Duration,
    /// The epoch of the topology that it runs; `None` before it said so.
    pub(crate) topology_epoch: Option<i32>,
    /// The instance whose thread it is.
    pub(crate) process_id: String,
    /// Where the instance answers questions about its state.
    pub(crate) endpoint: Option<Endpoint>,
    pub(crate) client_tags: BTreeMap<String, String>,
}

/// Where an instance is reached by others of its kind.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Endpoint {
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Member {
    /// One of whom nothing is known yet.
    pub(super) fn new(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            about: About::default(),
            epoch: Some(MemberEpoch::ZERO),
            previous_epoch: Some(MemberEpoch::ZERO),
            state: MemberState::Stable,
            assigned: Held::default(),
            revoking: Held::default(),
            offsets: TaskOffsets::default(),
            session_deadline: None,
            revocation_deadline: None,
        }
    }

    /// Whether it has all that it is to have at this epoch.
    pub(super) fn is_reconciled_to(&self, epoch: MemberEpoch) -> bool {
        self.state == MemberState::Stable && self.epoch == Some(epoch)
    }

    /// The epoch at which it got an active task, if it has it or still gives it up.
    pub(super) fn epoch_of(&self, subtopology: &str, index: i32) -> Option<MemberEpoch> {
        let find =
            |held: &Held| held.active.get(subtopology).and_then(|of| of.get(&index)).copied();
        find(&self.assigned).or_else(|| find(&self.revoking))
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        [self.session_deadline, self.revocation_deadline].into_iter().flatten().min()
    }
}

impl About {
    /// Whether a static member that is now like this needs other tasks than one that was like that.
    pub(super) fn is_assigned_otherwise(&self, before: &Self) -> bool {
        self.topology_epoch != before.topology_epoch
            || self.rack_id != before.rack_id
            || self.client_tags != before.client_tags
            || self.process_id != before.process_id
    }
}
