//! Sets of partitions, by topic.

use std::collections::{BTreeMap, BTreeSet};

use milena_types::{MemberEpoch, Uuid};

/// Partitions by their topics; no topic has an empty set.
pub(crate) type Partitions = BTreeMap<Uuid, BTreeSet<i32>>;

/// The same, each with the epoch at which its member got it.
pub(crate) type Assigned = BTreeMap<Uuid, BTreeMap<i32, MemberEpoch>>;

/// Each partition with its topic.
pub(super) fn each(assigned: &Assigned) -> impl Iterator<Item = (Uuid, i32)> {
    assigned.iter().flat_map(|(topic, partitions)| partitions.keys().map(|index| (*topic, *index)))
}

/// The partitions, all got at one epoch.
pub(super) fn at_epoch(partitions: &Partitions, epoch: MemberEpoch) -> Assigned {
    let dated = |indexes: &BTreeSet<i32>| indexes.iter().map(|index| (*index, epoch)).collect();
    partitions.iter().map(|(topic, indexes)| (*topic, dated(indexes))).collect()
}

/// Whether `owned` has nothing that is not in `assigned`.
pub(crate) fn is_within<K: Ord, E>(
    owned: &BTreeMap<K, BTreeSet<i32>>,
    assigned: &BTreeMap<K, BTreeMap<i32, E>>,
) -> bool {
    owned.iter().all(|(topic, indexes)| {
        let known = assigned.get(topic);
        known.is_some_and(|known| indexes.iter().all(|index| known.contains_key(index)))
    })
}

/// Whether `owned` has any of `assigned`.
pub(crate) fn has_any<K: Ord, E>(
    owned: &BTreeMap<K, BTreeSet<i32>>,
    assigned: &BTreeMap<K, BTreeMap<i32, E>>,
) -> bool {
    owned.iter().any(|(topic, indexes)| {
        let known = assigned.get(topic);
        known.is_some_and(|known| indexes.iter().any(|index| known.contains_key(index)))
    })
}
