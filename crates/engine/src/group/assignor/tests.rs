//! Every assignment of Java's own assignors to the random groups of `cargo xtask golden`, and rules that hold for all.

use std::collections::{BTreeMap, BTreeSet};

use milena_types::{Generation, Topic, TopicPartition};

use super::*;

#[derive(Debug)]
struct Case {
    line: usize,
    strategy: AssignmentStrategy,
    layout: Layout,
    members: Vec<Member>,
    shares: BTreeMap<String, BTreeSet<TopicPartition>>,
}

fn optional(text: &str) -> Option<&str> {
    (text != "-").then_some(text)
}

fn partitions(text: &str) -> Vec<TopicPartition> {
    let topics = optional(text).into_iter().flat_map(|text| text.split(';'));
    let numbers = topics.flat_map(|topic| {
        let (name, numbers) = topic.split_once(':').unwrap();
        numbers.split(',').map(move |number| TopicPartition::new(name, number.parse().unwrap()))
    });
    numbers.collect()
}

fn member(strategy: AssignmentStrategy, fields: &[&str]) -> Member {
    let [id, instance, rack, generation, told, topics, owned] = fields else {
        panic!("{fields:?}");
    };
    let owned = partitions(owned);
    let told = Generation::from_wire(told.parse().unwrap());
    let user_data = UserData::encode(strategy, &owned, told);
    Member {
        id: (*id).to_owned(),
        instance_id: optional(instance).map(str::to_owned),
        topics: topics.split(',').map(Topic::from).collect(),
        owned: if strategy.is_cooperative() { owned } else { Vec::new() },
        generation: Generation::from_wire(generation.parse().unwrap()),
        rack: optional(rack).map(str::to_owned),
        user_data,
    }
}

fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for (place, line) in include_str!("../../../tests/golden/assignors.txt").lines().enumerate() {
        let fields: Vec<&str> = line.split(' ').collect();
        if let ["case", name] = fields[..] {
            let strategy = AssignmentStrategy::named(name).unwrap();
            let (layout, members) = (Layout::default(), Vec::new());
            let shares = BTreeMap::new();
            cases.push(Case { line: place + 1, strategy, layout, members, shares });
            continue;
        }
        let case = cases.last_mut().unwrap();
        match fields[0] {
            "topic" => {
                let racks = fields[2].split('|').map(|racks| {
                    optional(racks).into_iter().flat_map(|racks| racks.split(',')).map(Into::into)
                });
                let racks = racks.map(Iterator::collect).collect();
                case.layout.topics.insert(Topic::from(fields[1]), racks);
            }
            "member" => case.members.push(member(case.strategy, &fields[1..])),
            "share" => {
                let share = partitions(fields[2]).into_iter().collect();
                case.shares.insert(fields[1].to_owned(), share);
            }
            other => panic!("{other}"),
        }
    }
    cases
}

/// A leader that shares out differently moves partitions whenever the lead passes between it and a Java member.
#[test]
fn every_assignment_is_the_one_that_java_makes() {
    let cases = cases();
    for strategy in AssignmentStrategy::ALL {
        let those = || cases.iter().filter(|case| case.strategy == strategy);
        assert!(those().count() > 150, "{strategy}: {}", those().count());
        let differs = |case: &&Case| strategy.assign(&case.members, &case.layout) != case.shares;
        let wrong: Vec<usize> = those().filter(differs).map(|case| case.line).collect();
        assert!(wrong.is_empty(), "{strategy}: {} differ, at lines {wrong:?}", wrong.len());
    }
}

/// P15: no partition is forgotten and none has two owners, whatever the members say.
#[test]
fn every_partition_has_one_owner_who_wants_it() {
    let mut rng = fastrand::Rng::with_seed(15);
    for case in cases() {
        for strategy in AssignmentStrategy::ALL {
            let mut members = case.members.clone();
            for member in &mut members {
                // Partitions that are not there, of topics it does not want, of others.
                for topic in ["t0", "t1", "t9"] {
                    if rng.u8(0..4) == 0 {
                        member.owned.push(TopicPartition::new(topic, rng.i32(-1..12)));
                    }
                }
                if rng.u8(0..4) == 0 {
                    member.topics.clear();
                }
                if rng.u8(0..4) == 0 {
                    let generation = Generation::from_wire(rng.i32(0..9));
                    let told =
                        UserData::encode(AssignmentStrategy::Sticky, &member.owned, generation);
                    member.user_data = told;
                }
            }
            let shares = strategy.assign(&members, &case.layout);
            assert_eq!(shares.len(), members.len());
            let mut left: BTreeSet<TopicPartition> = BTreeSet::new();
            for (topic, racks) in &case.layout.topics {
                if members.iter().any(|member| member.topics.contains(topic)) {
                    left.extend((0..).take(racks.len()).map(|n| TopicPartition::new(topic, n)));
                }
            }
            let claimed: BTreeSet<TopicPartition> =
                members.iter().flat_map(|member| member.owned.clone()).collect();
            for member in &members {
                for tp in &shares[&member.id] {
                    assert!(left.remove(tp), "{tp} has two owners, line {}", case.line);
                    assert!(member.topics.contains(&tp.topic), "{tp}, line {}", case.line);
                }
            }
            // The cooperative strategy keeps back what somebody has to give up first.
            let kept_back = strategy.is_cooperative() && left.is_subset(&claimed);
            assert!(left.is_empty() || kept_back, "{strategy}, line {}: {left:?}", case.line);
        }
    }
}

/// A second round, in which everybody has what the first gave, must change nothing: else a group never comes to rest.
#[test]
fn a_cooperative_group_comes_to_rest() {
    for case in cases() {
        if case.strategy != AssignmentStrategy::CooperativeSticky {
            continue;
        }
        let mut members = case.members.clone();
        let mut rounds = 0;
        loop {
            let shares = case.strategy.assign(&members, &case.layout);
            let mut rejoins = false;
            for member in &mut members {
                let share = &shares[&member.id];
                rejoins |= member.owned.iter().any(|tp| !share.contains(tp));
                member.owned = share.iter().cloned().collect();
                member.generation = Generation::from_wire(100 + rounds);
            }
            rounds += 1;
            if !rejoins {
                break;
            }
            assert!(rounds < 4, "line {}", case.line);
        }
        let all: usize = members.iter().map(|member| member.owned.len()).sum();
        let wanted = case
            .layout
            .topics
            .iter()
            .filter(|(topic, _)| members.iter().any(|member| member.topics.contains(*topic)));
        assert_eq!(all, wanted.map(|(_, racks)| racks.len()).sum::<usize>(), "line {}", case.line);
    }
}

/// R16, trap 37: bytes of another member must neither kill the leader nor cost the others their partitions.
#[test]
fn hostile_user_data_is_as_good_as_none() {
    let told = [TopicPartition::new("t", 0), TopicPartition::new("t", 1)];
    let good =
        UserData::encode(AssignmentStrategy::Sticky, &told, Generation::from_wire(3)).unwrap();
    let layout = Layout { topics: BTreeMap::from([(Topic::from("t"), vec![BTreeSet::new(); 4])]) };
    for cut in 0..good.len() {
        for value in [0, 0x7f, 0xff] {
            let mut bytes = good.to_vec();
            bytes[cut] = value;
            for bytes in [bytes, good[..cut].to_vec()] {
                for strategy in [AssignmentStrategy::Sticky, AssignmentStrategy::CooperativeSticky]
                {
                    let of = |id: &str, user_data| Member {
                        id: id.to_owned(),
                        topics: BTreeSet::from([Topic::from("t")]),
                        user_data,
                        ..Member::default()
                    };
                    let members =
                        [of("a", Some(bytes.clone().into())), of("b", Some(good.clone()))];
                    let shares = strategy.assign(&members, &layout);
                    assert_eq!(shares["a"].len() + shares["b"].len(), 4);
                }
            }
        }
    }
}

/// A hundred members and a thousand partitions are shared out within a rebalance that nobody notices.
#[test]
fn large_groups_are_shared_out_evenly() {
    let topics = (0..10).map(|n| (Topic::from(format!("t{n}")), vec![BTreeSet::new(); 100]));
    let layout = Layout { topics: topics.collect() };
    let members: Vec<Member> = (0..100)
        .map(|n| Member {
            id: format!("m-{n}"),
            topics: (0..10)
                .filter(|t| (n + t) % 3 != 0)
                .map(|t| Topic::from(format!("t{t}")))
                .collect(),
            ..Member::default()
        })
        .collect();
    for strategy in [AssignmentStrategy::Sticky, AssignmentStrategy::CooperativeSticky] {
        let shares = strategy.assign(&members, &layout);
        let sizes: Vec<usize> = shares.values().map(BTreeSet::len).collect();
        assert_eq!(sizes.iter().sum::<usize>(), 1_000);
        assert!(sizes.iter().all(|size| (9..=11).contains(size)), "{sizes:?}");
    }
}

/// KIP-881, as Java goes through topics that the same members want: each takes what is near for as long as there is room.
#[test]
fn partitions_of_topics_shared_alike_are_near_their_members() {
    let near = |rack: &str| BTreeSet::from([std::sync::Arc::from(rack)]);
    let racks = || vec![near("east"), near("east"), near("west"), near("west")];
    let topics = ["t", "u"].map(|name| (Topic::from(name), racks()));
    let layout = Layout { topics: topics.into() };
    let members = [("a", "west"), ("b", "east")].map(|(id, rack)| Member {
        id: id.to_owned(),
        topics: layout.topics.keys().cloned().collect(),
        rack: Some(rack.to_owned()),
        ..Member::default()
    });
    let shares = AssignmentStrategy::Range.assign(&members, &layout);
    for (id, share) in [("a", [2, 3]), ("b", [0, 1])] {
        let expected = ["t", "u"].map(|name| share.map(|index| TopicPartition::new(name, index)));
        assert_eq!(shares[id], expected.into_iter().flatten().collect(), "{id}");
    }
}
