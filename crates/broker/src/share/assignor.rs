//! Which members of a share group read which partitions: Kafka's `simple` assignor.

use std::collections::{BTreeMap, BTreeSet};

use milena_types::Uuid;

/// A member's partitions by topic.
pub(crate) type Assignment = BTreeMap<Uuid, BTreeSet<i32>>;

/// The name that ShareGroupDescribe tells.
pub(crate) const ASSIGNOR: &str = "simple";

/// Spreads the partitions of each topic over those who subscribe to it, with as few changes as that allows.
///
/// Every partition gets equally many members, and every member equally many partitions, as far as the numbers go. With
/// more members than partitions several share one. Where all subscribe to the same topics, those count as one.
pub(crate) fn assign(
    members: &BTreeMap<String, BTreeSet<Uuid>>,
    assignable: &BTreeMap<Uuid, BTreeSet<i32>>,
    old: &BTreeMap<String, Assignment>,
) -> BTreeMap<String, Assignment> {
    let partitions_of = |topics: &BTreeSet<Uuid>| -> Vec<(Uuid, i32)> {
        let of = |topic: &Uuid| {
            let partitions = assignable.get(topic).into_iter().flatten();
            partitions.map(|partition| (*topic, *partition)).collect::<Vec<_>>()
        };
        topics.iter().flat_map(of).collect()
    };
    let mut target: BTreeMap<String, Assignment> =
        members.keys().map(|member| (member.clone(), Assignment::new())).collect();
    let Some(first) = members.values().next() else { return target };
    let rounds: Vec<Round<'_>> = if members.values().all(|topics| topics == first) {
        vec![(partitions_of(first), members.keys().collect())]
    } else {
        let topics: BTreeSet<Uuid> = members.values().flatten().copied().collect();
        let round = |topic: Uuid| {
            let subscribers = members.iter().filter(|(_, topics)| topics.contains(&topic));
            (
                partitions_of(&BTreeSet::from([topic])),
                subscribers.map(|(member, _)| member).collect(),
            )
        };
        topics.into_iter().map(round).collect()
    };
    for (partitions, subscribers) in rounds {
        let kept = |member: &String, (topic, partition): &(Uuid, i32)| {
            let old = old.get(member).and_then(|old| old.get(topic));
            old.is_some_and(|old| old.contains(partition))
        };
        for (member, (topic, partition)) in spread(&partitions, &subscribers, kept) {
            let assignment = target.entry(member.clone()).or_default();
            assignment.entry(topic).or_default().insert(partition);
        }
    }
    target
}

/// Partitions, and the members that they are spread over.
type Round<'a> = (Vec<(Uuid, i32)>, Vec<&'a String>);

/// One round: who of these gets which of those.
fn spread<'a>(
    partitions: &[(Uuid, i32)],
    members: &[&'a String],
    has: impl Fn(&String, &(Uuid, i32)) -> bool,
) -> Vec<(&'a String, (Uuid, i32))> {
    let (partition_count, member_count) = (partitions.len(), members.len());
    if partition_count == 0 || member_count == 0 {
        return Vec::new();
    }
    let sharing = member_count.div_ceil(partition_count);
    let total = sharing * partition_count;
    // What the first so many members get together, rounded up.
    let until = |members: usize| (total * members).div_ceil(member_count);
    let quota: Vec<usize> = (0..member_count).map(|at| until(at + 1) - until(at)).collect();
    let mut holders: Vec<usize> = vec![0; partition_count];
    let mut taken: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); member_count];
    for ((member, taken), quota) in members.iter().zip(&mut taken).zip(&quota) {
        for ((at, partition), holders) in partitions.iter().enumerate().zip(&mut holders) {
            if taken.len() < *quota && *holders < sharing && has(member, partition) {
                taken.insert(at);
                *holders += 1;
            }
        }
    }
    for (at, holders) in holders.iter_mut().enumerate() {
        // Who has least gets it, so that nobody is left with a choice of what is his already.
        while *holders < sharing {
            let wanting = taken.iter_mut().zip(&quota);
            let wanting =
                wanting.filter(|(taken, quota)| taken.len() < **quota && !taken.contains(&at));
            let Some((taken, _)) = wanting.min_by_key(|(taken, _)| taken.len()) else { break };
            taken.insert(at);
            *holders += 1;
        }
    }
    let of = |(member, taken): (&&'a String, BTreeSet<usize>)| {
        let member: &'a String = member;
        let found = taken.into_iter().filter_map(|at| partitions.get(at).copied());
        found.map(|partition| (member, partition)).collect::<Vec<_>>()
    };
    members.iter().zip(taken).flat_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOPIC: Uuid = Uuid::from_bytes([1; 16]);
    const OTHER: Uuid = Uuid::from_bytes([2; 16]);

    fn members(of: &[(&str, &[Uuid])]) -> BTreeMap<String, BTreeSet<Uuid>> {
        of.iter()
            .map(|(name, topics)| ((*name).to_owned(), topics.iter().copied().collect()))
            .collect()
    }

    fn sizes(target: &BTreeMap<String, Assignment>) -> Vec<usize> {
        target.values().map(|topics| topics.values().map(BTreeSet::len).sum()).collect()
    }

    fn holders(target: &BTreeMap<String, Assignment>, topic: Uuid, partition: i32) -> usize {
        let has = |topics: &&Assignment| topics.get(&topic).is_some_and(|p| p.contains(&partition));
        target.values().filter(has).count()
    }

    #[test]
    fn few_members_share_out_and_many_members_share() {
        let assignable = BTreeMap::from([(TOPIC, (0..3).collect())]);
        let all: Vec<String> = (0..7).map(|n| format!("m{n}")).collect();
        let mut old = BTreeMap::new();
        for count in [1, 2, 3, 7, 2] {
            let subscribed = all.iter().take(count).map(|m| (m.clone(), BTreeSet::from([TOPIC])));
            let target = assign(&subscribed.collect(), &assignable, &old);
            let sizes = sizes(&target);
            let (least, most) = (sizes.iter().min(), sizes.iter().max());
            assert!(most.zip(least).is_some_and(|(most, least)| most - least <= 1), "{sizes:?}");
            for partition in 0..3 {
                assert_eq!(holders(&target, TOPIC, partition), count.div_ceil(3));
            }
            old = target;
        }
    }

    #[test]
    fn what_a_member_has_it_keeps_and_what_it_does_not_want_it_loses() {
        let assignable = BTreeMap::from([(TOPIC, (0..4).collect()), (OTHER, BTreeSet::from([0]))]);
        let both: &[Uuid] = &[TOPIC, OTHER];
        let old = assign(&members(&[("a", both)]), &assignable, &BTreeMap::new());
        assert_eq!(sizes(&old), [5]);
        let target = assign(&members(&[("a", &[TOPIC]), ("b", both)]), &assignable, &old);
        assert_eq!(holders(&target, OTHER, 0), 1);
        assert!(!target["a"].contains_key(&OTHER));
        assert_eq!(target["a"][&TOPIC], BTreeSet::from([0, 1]));
        assert_eq!(target["b"][&TOPIC], BTreeSet::from([2, 3]));
    }

    #[test]
    fn a_topic_without_partitions_is_assigned_to_nobody() {
        let target = assign(&members(&[("a", &[TOPIC])]), &BTreeMap::new(), &BTreeMap::new());
        assert_eq!(sizes(&target), [0]);
    }
}
