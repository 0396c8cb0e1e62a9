//! What a test asks about share groups.

use std::collections::{BTreeMap, BTreeSet};

use milena_types::{Offset, TopicPartition};

use super::Cluster;
use crate::share::{InFlight, RecordState, ShareKey};

/// A share group as it is now.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct ShareGroupView {
    /// Counts changes of members, subscriptions and topics.
    pub epoch: i32,
    /// The group's epoch for which partitions were assigned last.
    pub assignment_epoch: i32,
    /// The members by id.
    pub members: BTreeMap<String, ShareMemberView>,
}

/// A member of a share group as it is now.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct ShareMemberView {
    /// The epoch that it was told last.
    pub epoch: i32,
    /// What its client calls itself.
    pub client_id: String,
    /// The topics that it subscribes to.
    pub subscribed: BTreeSet<String>,
    /// The partitions that it was told to read.
    pub assigned: BTreeSet<TopicPartition>,
}

/// What a share group has got of a partition.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct SharePartitionView {
    /// Everything below is done with. `None` until the group has read.
    pub start: Option<Offset>,
    /// The records in flight, in the order of their offsets; none while no member has a session.
    pub records: Vec<SharedRecords>,
}

/// Neighbouring records of a share partition that are alike.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct SharedRecords {
    /// The first of them.
    pub first: Offset,
    /// The last of them.
    pub last: Offset,
    /// What has become of them.
    pub state: RecordState,
    /// How often they were given out.
    pub delivery_count: i16,
    /// The member that holds them.
    pub member_id: Option<String>,
}

impl Cluster {
    /// A share group as it is now; `None` where the group is not there, or is of another kind.
    pub fn share_group(&self, group: &str) -> Option<ShareGroupView> {
        let group = self.state.share_groups.get(group)?;
        let members = group.members().iter().map(|(id, member)| {
            let assigned = member.assigned.iter().flat_map(|(topic_id, partitions)| {
                let topic = self.state.topic_ids.get(topic_id);
                topic.into_iter().flat_map(|topic| {
                    partitions.iter().map(|index| TopicPartition::new(topic.clone(), *index))
                })
            });
            let view = ShareMemberView {
                epoch: member.epoch,
                client_id: member.client_id.clone(),
                subscribed: member.subscribed.clone(),
                assigned: assigned.collect(),
            };
            (id.clone(), view)
        });
        Some(ShareGroupView {
            epoch: group.epoch(),
            assignment_epoch: group.assignment_epoch(),
            members: members.collect(),
        })
    }

    /// What a share group has got of a partition; `None` where it keeps no offset of it.
    pub fn share_partition(
        &self,
        group: &str,
        partition: &TopicPartition,
    ) -> Option<SharePartitionView> {
        let topic_id = self.topic_id(partition.topic.as_str())?;
        let key = ShareKey { group: group.to_owned(), topic_id, partition: partition.partition };
        let stored = self.state.share_partitions.get(&key)?;
        let window = stored.window();
        let record = |(first, last, record): (Offset, Offset, &InFlight)| SharedRecords {
            first,
            last,
            state: record.state(),
            delivery_count: record.delivery_count(),
            member_id: record.holder().map(str::to_owned),
        };
        Some(SharePartitionView {
            start: window.map(|window| window.start()).or(stored.start),
            records: window.into_iter().flat_map(|window| window.records()).map(record).collect(),
        })
    }
}
