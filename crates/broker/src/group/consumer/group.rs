//! One group of the consumer protocol: its epochs and its members.

use std::collections::BTreeMap;
use std::time::Instant;

use milena_types::{ErrorCode, MemberEpoch, Topic, Uuid};

use super::assignor::Assignor;
use super::member::Member;
use super::partitions::{Partitions, at_epoch};
use super::pattern::Patterns;
use super::tally::Tally;
use crate::group::Surroundings;
use crate::state::Refused;
use crate::topic::{ImageVersion, TopicImage};

/// A group of the consumer protocol.
///
/// The group's epoch counts changes of members, subscriptions and topics; the assignment's epoch is the group's for which
/// a target was computed last; each member's epoch is the assignment's that it has come to.
#[derive(Clone, Debug)]
pub(crate) struct ConsumerGroup {
    pub(super) id: String,
    pub(super) epoch: MemberEpoch,
    pub(super) assignment_epoch: MemberEpoch,
    /// When the target was computed; `None` lets the next be computed at once.
    pub(super) assigned_at: Option<Instant>,
    pub(super) members: BTreeMap<String, Member>,
    /// Static members: instance id to member id.
    pub(super) statics: BTreeMap<String, String>,
    /// What each member is to have.
    pub(super) targets: BTreeMap<String, Partitions>,
    pub(super) patterns: Patterns,
    pub(super) tally: Tally,
    /// The topics that are subscribed as they were when the group looked last, and when that was.
    metadata: BTreeMap<Topic, (Uuid, i32)>,
    metadata_version: Option<ImageVersion>,
}

/// Kafka's states of a group of the consumer protocol.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "KIP-848 has these and Dead, which is no state here")]
pub enum ConsumerGroupState {
    /// No members, perhaps committed offsets.
    Empty,
    /// The target for the group's epoch is not computed yet.
    Assigning,
    /// Not every member has what it is to have.
    Reconciling,
    /// Every member has what it is to have.
    Stable,
}

impl ConsumerGroupState {
    /// The name that ConsumerGroupDescribe and ListGroups use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Assigning => "Assigning",
            Self::Reconciling => "Reconciling",
            Self::Stable => "Stable",
        }
    }
}

impl ConsumerGroup {
    /// A group without members.
    pub(crate) fn new(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            epoch: next(MemberEpoch::ZERO),
            assignment_epoch: MemberEpoch::ZERO,
            assigned_at: None,
            members: BTreeMap::new(),
            statics: BTreeMap::new(),
            targets: BTreeMap::new(),
            patterns: Patterns::default(),
            tally: Tally::default(),
            metadata: BTreeMap::new(),
            metadata_version: None,
        }
    }

    /// A group that was one of the classic protocol, still without members.
    pub(crate) fn at_epoch(id: &str, epoch: MemberEpoch) -> Self {
        Self { epoch, assignment_epoch: epoch, ..Self::new(id) }
    }

    /// Takes a classic member in with what it has; false if another has any of that.
    pub(crate) fn adopt(&mut self, now: Instant, member: Member, target: Partitions) -> bool {
        let mut partitions = target.iter().flat_map(|(t, all)| all.iter().map(|i| (*t, *i)));
        if !partitions.all(|(topic, index)| self.tally.is_free(topic, index)) {
            return false;
        }
        let session = member.classic.as_ref().map(|classic| classic.session_timeout);
        self.targets.insert(member.id.clone(), target.clone());
        self.put(Member {
            epoch: Some(self.epoch),
            previous_epoch: Some(self.epoch),
            assigned: at_epoch(&target, self.epoch),
            session_deadline: session.map(|session| now + session),
            ..member
        });
        true
    }

    pub(crate) fn state(&self) -> ConsumerGroupState {
        let mut members = self.members.values();
        if self.members.is_empty() {
            ConsumerGroupState::Empty
        } else if self.epoch > self.assignment_epoch {
            ConsumerGroupState::Assigning
        } else if members.all(|member| member.is_reconciled_to(self.assignment_epoch)) {
            ConsumerGroupState::Stable
        } else {
            ConsumerGroupState::Reconciling
        }
    }

    pub(crate) fn epoch(&self) -> MemberEpoch {
        self.epoch
    }

    pub(crate) fn assignment_epoch(&self) -> MemberEpoch {
        self.assignment_epoch
    }

    /// The assignor that most members vote for.
    pub(crate) fn assignor(&self) -> Assignor {
        self.tally.assignor()
    }

    /// The members, ordered by id.
    pub(crate) fn members(&self) -> impl ExactSizeIterator<Item = &Member> {
        self.members.values()
    }

    /// What a member is to have.
    pub(crate) fn target(&self, member_id: &str) -> Option<&Partitions> {
        self.targets.get(member_id)
    }

    pub(crate) fn is_subscribed(&self, topic: &str) -> bool {
        self.tally.is_subscribed(topic)
    }

    pub(super) fn member(&self, id: &str) -> Result<&Member, Refused> {
        self.members.get(id).ok_or_else(|| self.unknown_member(id))
    }

    pub(super) fn unknown_member(&self, id: &str) -> Refused {
        let message = format!("Member {id} is not a member of group {}.", self.id);
        Refused::new(ErrorCode::UNKNOWN_MEMBER_ID, message)
    }

    pub(super) fn static_member(&self, instance_id: &str) -> Option<&Member> {
        self.statics.get(instance_id).and_then(|id| self.members.get(id))
    }

    /// Sets a member, new or as it has become.
    pub(super) fn put(&mut self, member: Member) {
        if let Some(before) = self.members.remove(&member.id) {
            self.uncount(&before);
        }
        self.tally.add(&member);
        if let Some(instance_id) = &member.instance_id {
            self.statics.insert(instance_id.clone(), member.id.clone());
        }
        self.members.insert(member.id.clone(), member);
    }

    /// Takes a member out, with what it was to have.
    pub(super) fn take(&mut self, id: &str) -> Option<Partitions> {
        if let Some(before) = self.members.remove(id) {
            self.uncount(&before);
        }
        self.targets.remove(id)
    }

    fn uncount(&mut self, member: &Member) {
        self.tally.remove(member);
        if let Some(instance_id) = &member.instance_id {
            self.statics.remove(instance_id);
        }
    }

    pub(super) fn bump(&mut self) {
        self.epoch = next(self.epoch);
    }

    /// Forgets the patterns that nobody subscribes with any more.
    pub(super) fn drop_pattern(&mut self, pattern: &str) {
        if !pattern.is_empty() && self.tally.subscribers(pattern) == 0 {
            let matched = self.patterns.remove(pattern);
            self.tally.move_pattern(&matched, &Default::default());
        }
    }

    /// Whether topics may have changed since the group looked last.
    pub(super) fn has_stale_metadata(&self, image: &TopicImage<'_>) -> bool {
        self.metadata_version != Some(image.version())
    }

    /// Looks at the topics that are subscribed; true where they are not as they were.
    pub(crate) fn refresh_metadata(&mut self, image: &TopicImage<'_>) -> bool {
        let known = |name: &Topic| {
            image.id(name.as_str()).map(|id| (name.clone(), (id, image.partitions(id))))
        };
        let metadata: BTreeMap<_, _> = self.tally.topics().filter_map(known).collect();
        self.metadata_version = Some(image.version());
        let has_changed = metadata != self.metadata;
        self.metadata = metadata;
        has_changed
    }

    /// Resolves every pattern, to topics that the client may see for whom it is done.
    pub(super) fn resolve_patterns(&mut self, now: Instant, around: &Surroundings<'_>) {
        let image = &around.image;
        let is_seen = |topic: &Topic| {
            around.sight.as_ref().is_none_or(|sight| sight.has_topic(topic.as_str()))
        };
        let mut has_changed = false;
        let wanted: Vec<_> = self.tally.patterns().cloned().collect();
        for pattern in wanted {
            let mut topics = super::pattern::matches(&pattern, image);
            topics.retain(is_seen);
            let before = self.patterns.set(&pattern, topics.clone());
            has_changed |= before != topics;
            self.tally.move_pattern(&before, &topics);
        }
        self.patterns.note_resolved(now, image.version());
        has_changed |= self.refresh_metadata(image);
        if has_changed {
            self.bump();
        }
    }

    /// When the next member is given up unless it is heard of.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.members.values().filter_map(Member::deadline).min()
    }

    /// The members whose time is over.
    pub(crate) fn expired(&self, now: Instant) -> Vec<String> {
        let is_expired = |member: &&Member| member.deadline().is_some_and(|at| at <= now);
        self.members.values().filter(is_expired).map(|member| member.id.clone()).collect()
    }
}

/// The epoch after this one.
pub(crate) fn next(epoch: MemberEpoch) -> MemberEpoch {
    MemberEpoch::from_wire(epoch.get().wrapping_add(1)).unwrap_or(MemberEpoch::ZERO)
}
