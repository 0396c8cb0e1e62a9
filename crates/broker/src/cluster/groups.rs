//! What a test asks about groups.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use milena_types::{Generation, MemberEpoch, TopicPartition};

use super::Cluster;
use crate::group::classic::Member;
use crate::group::consumer::{self, Assigned};
use crate::group::{Committed, ConsumerGroupState, Group, GroupState};

/// A group of the classic protocol as it is now.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct GroupView {
    /// What it is at.
    pub state: GroupState,
    /// The generation, from the first rebalance on.
    pub generation: Option<Generation>,
    /// The assignor of this generation.
    pub protocol: Option<String>,
    /// The member that assigns.
    pub leader: Option<String>,
    /// The members by id.
    pub members: BTreeMap<String, MemberView>,
}

/// A member as it is now.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct MemberView {
    /// Its `group.instance.id`.
    pub instance_id: Option<String>,
    /// What its client calls itself.
    pub client_id: String,
    /// What the leader assigned to it, as the leader wrote it.
    pub assignment: Bytes,
}

/// A group of the consumer protocol as it is now.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct ConsumerGroupView {
    /// What it is at.
    pub state: ConsumerGroupState,
    /// Counts changes of members, subscriptions and topics.
    pub epoch: MemberEpoch,
    /// The group's epoch for which a target was computed last.
    pub assignment_epoch: MemberEpoch,
    /// The name of the assignor.
    pub assignor: String,
    /// The members by id.
    pub members: BTreeMap<String, ConsumerMemberView>,
}

/// A member of a group of the consumer protocol as it is now.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct ConsumerMemberView {
    /// Its `group.instance.id`.
    pub instance_id: Option<String>,
    /// What its client calls itself.
    pub client_id: String,
    /// The epoch that it has come to; `None` while a static member is away for a while.
    pub epoch: Option<MemberEpoch>,
    /// Whether it speaks the classic protocol.
    pub is_classic: bool,
    /// What it may read.
    pub assigned: BTreeSet<TopicPartition>,
    /// What it was told to give up and has not said that it did.
    pub revoking: BTreeSet<TopicPartition>,
    /// What it is to have.
    pub target: BTreeSet<TopicPartition>,
}

impl Cluster {
    /// What a group committed; empty for a group that is not there.
    pub fn committed(&self, group: &str) -> BTreeMap<TopicPartition, Committed> {
        let group = self.state.groups.get(group);
        group.map(|group| group.offsets.committed().clone()).unwrap_or_default()
    }

    /// The ids of all groups.
    pub fn groups(&self) -> Vec<String> {
        self.state.groups.keys().cloned().collect()
    }

    /// A group of the classic protocol as it is now.
    pub fn group(&self, group: &str) -> Option<GroupView> {
        let group = self.state.groups.get(group).and_then(Group::classic)?;
        let member = |member: &Member| {
            let view = MemberView {
                instance_id: member.instance_id.clone(),
                client_id: member.client_id.clone(),
                assignment: member.assignment.clone(),
            };
            (member.id.clone(), view)
        };
        Some(GroupView {
            state: group.state(),
            generation: group.generation(),
            protocol: group.protocol().map(str::to_owned),
            leader: group.leader().map(str::to_owned),
            members: group.members().map(member).collect(),
        })
    }

    /// A group of the consumer protocol as it is now.
    pub fn consumer_group(&self, group: &str) -> Option<ConsumerGroupView> {
        let group = self.state.groups.get(group).and_then(Group::consumer)?;
        let member = |member: &consumer::Member| {
            let target = group.target(&member.id).into_iter().flatten();
            let view = ConsumerMemberView {
                instance_id: member.instance_id.clone(),
                client_id: member.client_id.clone(),
                epoch: member.epoch,
                is_classic: member.is_classic(),
                assigned: self.named_assigned(&member.assigned),
                revoking: self.named_assigned(&member.revoking),
                target: self.named(target.map(|(topic, indexes)| (topic, indexes.iter()))),
            };
            (member.id.clone(), view)
        };
        Some(ConsumerGroupView {
            state: group.state(),
            epoch: group.epoch(),
            assignment_epoch: group.assignment_epoch(),
            assignor: group.assignor().name().to_owned(),
            members: group.members().map(member).collect(),
        })
    }

    fn named_assigned(&self, assigned: &Assigned) -> BTreeSet<TopicPartition> {
        self.named(assigned.iter().map(|(topic, indexes)| (topic, indexes.keys())))
    }

    /// Partitions by the names of their topics; those of topics that are gone are left out.
    fn named<'a, I: Iterator<Item = &'a i32>>(
        &self,
        partitions: impl Iterator<Item = (&'a milena_types::Uuid, I)>,
    ) -> BTreeSet<TopicPartition> {
        let named = partitions.filter_map(|(topic, indexes)| {
            let name = self.state.topic_ids.get(topic)?;
            Some(indexes.map(move |index| TopicPartition::new(name, *index)))
        });
        named.flatten().collect()
    }
}
