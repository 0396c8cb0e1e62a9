//! The range assignor: partitions of each topic in order, shared out in runs.

use std::collections::{BTreeMap, BTreeSet};

use milena_types::{Topic, TopicPartition};

use super::Member;

/// The name under which members agree on it.
pub(crate) const NAME: &str = "range";

/// Gives each member, topic by topic, a run of neighbouring partitions, as Java's `RangeAssignor` without racks does.
///
/// With n partitions and m members that subscribe to the topic, the first n mod m members take one more. Members are
/// ordered by [`Member::rank`]. Every member is in the answer, be it with nothing. `partitions` holds the number of
/// partitions of each known topic; a topic that is not in it is left out.
pub(crate) fn assign(
    members: &[Member],
    partitions: &BTreeMap<Topic, i32>,
) -> BTreeMap<String, Vec<TopicPartition>> {
    let mut ordered: Vec<&Member> = members.iter().collect();
    ordered.sort_by(|a, b| a.rank(b));
    let mut shares: BTreeMap<String, Vec<TopicPartition>> =
        members.iter().map(|member| (member.id.clone(), Vec::new())).collect();
    let topics: BTreeSet<&Topic> = members.iter().flat_map(|member| &member.topics).collect();
    for topic in topics {
        let Some(&count) = partitions.get(topic) else { continue };
        let takers: Vec<&&Member> =
            ordered.iter().filter(|member| member.topics.contains(topic)).collect();
        let (mut first, mut left) = (0, count.max(0));
        for (index, taker) in takers.iter().enumerate() {
            let behind = i32::try_from(takers.len() - index).unwrap_or(i32::MAX);
            // The larger shares come first: what is left, divided by who is left, rounded up.
            let share = left / behind + i32::from(left % behind != 0);
            if let Some(given) = shares.get_mut(&taker.id) {
                given.extend((first..first + share).map(|index| TopicPartition::new(topic, index)));
            }
            first += share;
            left -= share;
        }
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(id: &str, topics: &[&str]) -> Member {
        Member {
            id: id.to_owned(),
            instance_id: None,
            topics: topics.iter().map(|topic| Topic::from(*topic)).collect(),
        }
    }

    fn counts(topics: &[(&str, i32)]) -> BTreeMap<Topic, i32> {
        topics.iter().map(|(topic, count)| (Topic::from(*topic), *count)).collect()
    }

    fn shown(shares: &BTreeMap<String, Vec<TopicPartition>>) -> Vec<(String, Vec<String>)> {
        shares
            .iter()
            .map(|(id, tps)| (id.clone(), tps.iter().map(ToString::to_string).collect()))
            .collect()
    }

    fn row(id: &str, tps: &[&str]) -> (String, Vec<String>) {
        (id.to_owned(), tps.iter().map(|tp| (*tp).to_owned()).collect())
    }

    /// The cases of Java's `RangeAssignorTest`.
    #[test]
    fn shares_are_those_of_java() {
        let three = counts(&[("topic", 3)]);
        let one = assign(&[member("c", &["topic"])], &three);
        assert_eq!(shown(&one), [row("c", &["topic-0", "topic-1", "topic-2"])]);

        let members = [member("consumer1", &["topic"]), member("consumer2", &["topic"])];
        let two = assign(&members, &counts(&[("topic", 1)]));
        assert_eq!(shown(&two), [row("consumer1", &["topic-0"]), row("consumer2", &[])]);

        let mixed = [
            member("consumer1", &["topic1"]),
            member("consumer2", &["topic1", "topic2"]),
            member("consumer3", &["topic1"]),
        ];
        let shares = assign(&mixed, &counts(&[("topic1", 3), ("topic2", 2)]));
        assert_eq!(
            shown(&shares),
            [
                row("consumer1", &["topic1-0"]),
                row("consumer2", &["topic1-1", "topic2-0", "topic2-1"]),
                row("consumer3", &["topic1-2"]),
            ]
        );

        let both = [
            member("consumer1", &["topic1", "topic2"]),
            member("consumer2", &["topic1", "topic2"]),
        ];
        let shares = assign(&both, &counts(&[("topic1", 3), ("topic2", 3)]));
        assert_eq!(
            shown(&shares),
            [
                row("consumer1", &["topic1-0", "topic1-1", "topic2-0", "topic2-1"]),
                row("consumer2", &["topic1-2", "topic2-2"]),
            ]
        );
    }

    #[test]
    fn a_topic_without_partitions_leaves_everybody_empty() {
        let shares = assign(&[member("c", &["nowhere"])], &counts(&[]));
        assert_eq!(shown(&shares), [row("c", &[])]);
    }

    #[test]
    fn static_members_come_first_and_keep_their_order_when_ids_change() {
        let named = |id: &str, instance: &str| Member {
            instance_id: Some(instance.to_owned()),
            ..member(id, &["topic"])
        };
        let partitions = counts(&[("topic", 3)]);
        for ids in [["a", "b"], ["b", "a"]] {
            let members =
                [named(ids[0], "first"), named(ids[1], "second"), member("0", &["topic"])];
            let shares = assign(&members, &partitions);
            assert_eq!(shares[ids[0]], [TopicPartition::new("topic", 0)]);
            assert_eq!(shares[ids[1]], [TopicPartition::new("topic", 1)]);
            assert_eq!(shares["0"], [TopicPartition::new("topic", 2)]);
        }
    }

    /// P15: no partition is forgotten and none has two owners, whatever the members.
    #[test]
    fn every_partition_has_one_owner() {
        let mut rng = fastrand::Rng::with_seed(15);
        for _ in 0..300 {
            let topics = ["a", "b", "c"];
            let members: Vec<Member> = (0..rng.usize(1..9))
                .map(|index| {
                    let wanted: Vec<&str> = topics.iter().copied().filter(|_| rng.bool()).collect();
                    member(&format!("m{index}"), &wanted)
                })
                .collect();
            let partitions: BTreeMap<Topic, i32> =
                topics.iter().map(|topic| (Topic::from(*topic), rng.i32(0..9))).collect();
            let shares = assign(&members, &partitions);
            for (topic, &count) in &partitions {
                let wanted = members.iter().any(|member| member.topics.contains(topic));
                for index in 0..count {
                    let tp = TopicPartition::new(topic, index);
                    let owners = shares.values().flatten().filter(|given| **given == tp).count();
                    assert_eq!(owners, usize::from(wanted), "{tp}");
                }
            }
            for member in &members {
                assert!(shares[&member.id].iter().all(|tp| member.topics.contains(&tp.topic)));
            }
        }
    }
}
