//! One group of Kafka Streams: its epochs, its topology and its members.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use milena_types::{ErrorCode, MemberEpoch, Uuid};

use super::config::AssignmentConfig;
use super::configured::Configured;
use super::member::Member;
use super::tasks::Assignment;
use super::topology::Topology;
use crate::group::consumer::next;
use crate::state::Refused;
use crate::topic::ImageVersion;

/// A group of the streams protocol; epochs as in [`ConsumerGroup`](crate::group::ConsumerGroup).
#[derive(Clone, Debug)]
pub(crate) struct StreamsGroup {
    pub(super) id: String,
    pub(super) epoch: MemberEpoch,
    pub(super) assignment_epoch: MemberEpoch,
    /// When the target was computed; `None` lets the next be computed at once.
    pub(super) assigned_at: Option<Instant>,
    /// Until when the first target waits for more members.
    pub(super) delayed_until: Option<Instant>,
    pub(super) members: BTreeMap<String, Member>,
    /// Static members: instance id to member id.
    pub(super) statics: BTreeMap<String, String>,
    /// What each member is to have.
    pub(super) targets: BTreeMap<String, Assignment>,
    /// What the group was assigned by at its epoch.
    pub(super) assigned_by: Option<AssignmentConfig>,
    pub(super) topology: Option<Arc<Topology>>,
    /// Which subtopology reads each topic.
    pub(super) readers: BTreeMap<String, String>,
    /// The topology beside the topics as they were when the group looked last, and when that was.
    pub(super) configured: Option<Arc<Configured>>,
    pub(super) metadata: BTreeMap<String, (Uuid, i32)>,
    pub(super) metadata_version: Option<ImageVersion>,
    /// The topology that could run at the group's epoch; a new group is taken to run its first.
    pub(super) validated_epoch: Option<i32>,
    /// Counts what members are told of each other's endpoints.
    pub(super) endpoint_epoch: i32,
    /// Who wanted the whole application to end.
    pub(super) shutdown_by: Option<String>,
    /// Why internal topics could not be made, and until when that is told.
    pub(super) creation_errors: BTreeMap<String, (String, Instant)>,
}

impl StreamsGroup {
    /// A group without members.
    pub(crate) fn new(id: &str) -> Self {
        let epoch = next(MemberEpoch::ZERO);
        Self {
            id: id.to_owned(),
            epoch,
            assignment_epoch: epoch,
            assigned_at: None,
            delayed_until: None,
            members: BTreeMap::new(),
            statics: BTreeMap::new(),
            targets: BTreeMap::new(),
            assigned_by: None,
            topology: None,
            readers: BTreeMap::new(),
            configured: None,
            metadata: BTreeMap::new(),
            metadata_version: None,
            validated_epoch: Some(0),
            endpoint_epoch: 0,
            shutdown_by: None,
            creation_errors: BTreeMap::new(),
        }
    }

    /// A group of which only the topology is known.
    pub(crate) fn with_topology(id: &str, topology: Topology) -> Self {
        let mut group = Self::new(id);
        group.set_topology(Arc::new(topology));
        group
    }

    /// The name of its state.
    pub(crate) fn state_name(&self) -> &'static str {
        let is_validated = self.validated_epoch.is_some()
            && self.topology.as_ref().map(|topology| topology.epoch) == self.validated_epoch;
        let mut members = self.members.values();
        if self.members.is_empty() {
            "Empty"
        } else if !is_validated {
            "NotReady"
        } else if self.epoch > self.assignment_epoch {
            "Assigning"
        } else if members.all(|member| member.is_reconciled_to(self.assignment_epoch)) {
            "Stable"
        } else {
            "Reconciling"
        }
    }

    pub(crate) fn epoch(&self) -> MemberEpoch {
        self.epoch
    }

    pub(crate) fn assignment_epoch(&self) -> MemberEpoch {
        self.assignment_epoch
    }

    /// The topology that its first member brought.
    pub(crate) fn topology(&self) -> Option<&Topology> {
        self.topology.as_deref()
    }

    /// The topology beside the topics that there are.
    pub(crate) fn configured(&self) -> Option<&Configured> {
        self.configured.as_deref()
    }

    /// The members, ordered by id.
    pub(crate) fn members(&self) -> impl ExactSizeIterator<Item = &Member> {
        self.members.values()
    }

    /// What a member is to have.
    pub(crate) fn target(&self, member_id: &str) -> Option<&Assignment> {
        self.targets.get(member_id)
    }

    /// Notes why internal topics could not be made.
    pub(crate) fn note_creation_errors(
        &mut self,
        errors: BTreeMap<String, String>,
        until: Instant,
    ) {
        let errors = errors.into_iter().map(|(topic, why)| (topic, (why, until)));
        self.creation_errors.extend(errors);
    }

    /// Why an internal topic could not be made, as far as that is still told.
    pub(crate) fn creation_error(&self, now: Instant, topic: &str) -> Option<&str> {
        let error = self.creation_errors.get(topic).filter(|(_, until)| *until > now);
        error.map(|(why, _)| why.as_str())
    }

    pub(super) fn set_topology(&mut self, topology: Arc<Topology>) {
        self.readers = topology.readers();
        self.topology = Some(topology);
    }

    pub(super) fn member(&self, id: &str) -> Result<&Member, Refused> {
        let message = || format!("Member {id} is not a member of group {}.", self.id);
        let unknown = || Refused::new(ErrorCode::UNKNOWN_MEMBER_ID, message());
        self.members.get(id).ok_or_else(unknown)
    }

    pub(super) fn static_member(&self, instance_id: &str) -> Option<&Member> {
        self.statics.get(instance_id).and_then(|id| self.members.get(id))
    }

    /// Sets a member, new or as it has become.
    pub(super) fn put(&mut self, member: Member) {
        let (id, instance_id) = (member.id.clone(), member.about.instance_id.clone());
        let before = self.members.insert(id.clone(), member);
        let former = before.and_then(|before| before.about.instance_id);
        if let Some(former) = former.filter(|former| instance_id.as_ref() != Some(former)) {
            self.statics.remove(&former);
        }
        if let Some(instance_id) = instance_id {
            self.statics.insert(instance_id, id);
        }
    }

    /// Takes a member out, with what it was to have.
    pub(super) fn take(&mut self, id: &str) -> Option<Assignment> {
        let member = self.members.remove(id);
        if let Some(instance_id) = member.and_then(|member| member.about.instance_id) {
            self.statics.remove(&instance_id);
        }
        if self.members.is_empty() {
            self.shutdown_by = None;
        }
        self.targets.remove(id)
    }

    /// When the next member is given up unless it is heard of, or the first target is due.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let members = self.members.values().filter_map(Member::deadline).min();
        members.into_iter().chain(self.delayed_until).min()
    }

    /// Gives up the members whose time is over.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if self.delayed_until.is_some_and(|until| until <= now) {
            self.delayed_until = None;
            self.assign_delayed(now);
        }
        let is_late = |member: &&Member| member.deadline().is_some_and(|at| at <= now);
        let late: Vec<_> = self.members.values().filter(is_late).map(|m| m.id.clone()).collect();
        for id in late {
            self.fence(&id);
        }
    }

    /// Gives all members their full time again, as a coordinator does that has just moved.
    pub(crate) fn handle_coordinator_move(&mut self, now: Instant, session: Duration) {
        for member in self.members.values_mut() {
            member.session_deadline = Some(now + session);
            let timeout = member.about.rebalance_timeout;
            member.revocation_deadline = member.revocation_deadline.map(|_| now + timeout);
        }
        self.delayed_until = None;
        self.configured = None;
        self.metadata_version = None;
        self.endpoint_epoch = 0;
        self.shutdown_by = None;
    }
}
