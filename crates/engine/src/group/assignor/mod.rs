//! Rules by which the group's leader shares out partitions: the same as Java's, partition by partition, so that the
//! group's shares do not move when the lead does.

mod java_map;
mod layout;
mod member;
mod range;
mod round_robin;
mod sticky;
mod strategy;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use milena_types::TopicPartition;

use crate::group::message::MemberSubscription;
use crate::metadata::Cluster;

pub(crate) use layout::Layout;
pub(crate) use member::Member;
pub(crate) use sticky::UserData;
pub use strategy::AssignmentStrategy;

/// What a leader makes of what members say of themselves, by id, with the names that some have: the whole way of bytes that
/// other clients wrote, for fuzzing. No interface for users.
#[doc(hidden)]
pub fn share_out(
    strategy: AssignmentStrategy,
    said: &BTreeMap<String, (Option<String>, Bytes)>,
    cluster: &Cluster,
) -> BTreeMap<String, BTreeSet<TopicPartition>> {
    let members = said.iter().map(|(id, (instance_id, bytes))| {
        let said = MemberSubscription::decode(bytes).unwrap_or_default();
        Member::of(id.clone(), instance_id.clone(), said)
    });
    let members: Vec<Member> = members.collect();
    strategy.assign(&members, &Layout::of(&members, cluster))
}

#[cfg(test)]
mod tests;
