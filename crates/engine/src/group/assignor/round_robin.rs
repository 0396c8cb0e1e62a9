//! The round robin assignor: all partitions of all topics in turn.

use std::collections::{BTreeMap, BTreeSet};

use milena_types::TopicPartition;

use super::{Layout, Member};

/// Deals the partitions, by topic and number, to the members in their order, passing over those who do not want the
/// topic; as Java's `RoundRobinAssignor`.
pub(super) fn assign(
    members: &[Member],
    layout: &Layout,
) -> BTreeMap<String, BTreeSet<TopicPartition>> {
    let mut ordered: Vec<(&Member, BTreeSet<TopicPartition>)> =
        members.iter().map(|member| (member, BTreeSet::new())).collect();
    ordered.sort_by(|(a, _), (b, _)| a.rank(b));
    let count = ordered.len();
    let mut next = 0;
    for (topic, racks) in &layout.topics {
        for number in (0..).take(racks.len()) {
            let turns = (0..count).map(|turn| (next + turn) % count);
            let wants = |place: &usize| {
                ordered.get(*place).is_some_and(|(member, _)| member.topics.contains(topic))
            };
            let Some(place) = turns.into_iter().find(wants) else { break };
            if let Some((_, given)) = ordered.get_mut(place) {
                given.insert(TopicPartition::new(topic, number));
            }
            next = (place + 1) % count;
        }
    }
    ordered.into_iter().map(|(member, given)| (member.id.clone(), given)).collect()
}
