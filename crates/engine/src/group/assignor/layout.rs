//! The partitions that are there to be shared out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use milena_types::Topic;

use super::Member;
use crate::metadata::Cluster;

/// The racks on which a partition has a replica.
pub(crate) type Racks = BTreeSet<Arc<str>>;

/// The topics that exist with their partitions, each with the racks of its replicas where members have racks at all.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Layout {
    pub(crate) topics: BTreeMap<Topic, Vec<Racks>>,
}

impl Layout {
    /// What `cluster` knows of the topics that `members` want.
    pub(crate) fn of(members: &[Member], cluster: &Cluster) -> Self {
        let near = members.iter().any(|member| member.rack.is_some());
        let wanted: BTreeSet<&Topic> = members.iter().flat_map(|member| &member.topics).collect();
        let mut topics = BTreeMap::new();
        for topic in wanted {
            let Some(known) = cluster.topic(topic.as_str()) else { continue };
            let racks = |index: i32| -> Racks {
                let replicas = known.partition(index).map(|partition| &partition.replicas);
                let brokers = replicas.into_iter().flatten().filter_map(|id| cluster.broker(*id));
                brokers.filter_map(|broker| broker.rack.clone()).collect()
            };
            let count = known.partition_count();
            let partitions: Vec<Racks> =
                (0..count).map(|index| if near { racks(index) } else { Racks::new() }).collect();
            if !partitions.is_empty() {
                topics.insert(topic.clone(), partitions);
            }
        }
        Self { topics }
    }
}

/// Whether it can matter who reads what: members and replicas share a rack, and some partitions are not on all racks.
pub(super) fn is_rack_aware<'a>(
    members: &BTreeSet<&str>,
    partitions: impl Iterator<Item = &'a Racks> + Clone,
) -> bool {
    let all: Racks = partitions.clone().flatten().cloned().collect();
    let shared = members.iter().any(|rack| all.contains(*rack));
    shared && !partitions.into_iter().all(|racks| *racks == all)
}
