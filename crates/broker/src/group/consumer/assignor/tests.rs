use super::*;

fn topic(number: u8) -> Uuid {
    Uuid::from_bytes([number; 16])
}

/// Members with the topics that each subscribes to, and topics with their partitions.
struct Group {
    members: Vec<(&'static str, BTreeSet<Uuid>)>,
    topics: BTreeMap<Uuid, i32>,
    held: Vec<Partitions>,
}

impl Group {
    fn new(members: &[(&'static str, &[u8])], topics: &[(u8, i32)]) -> Self {
        let ids = |numbers: &[u8]| numbers.iter().map(|number| topic(*number)).collect();
        Self {
            members: members.iter().map(|(id, topics)| (*id, ids(topics))).collect(),
            topics: topics.iter().map(|(number, count)| (topic(*number), *count)).collect(),
            held: Vec::new(),
        }
    }

    /// Assigns, and sees to it that each partition has one owner who subscribes to it.
    fn assign(&mut self, assignor: Assignor) -> Vec<usize> {
        let none = Partitions::new();
        let subscribers = self.members.iter().enumerate().map(|(at, (id, topics))| Subscriber {
            id,
            instance_id: None,
            topics,
            held: self.held.get(at).unwrap_or(&none),
        });
        let first = self.members.first().map(|(_, topics)| topics);
        let is_homogeneous = self.members.iter().all(|(_, topics)| Some(topics) == first);
        let subscriptions = Subscriptions {
            subscribers: subscribers.collect(),
            topics: self.topics.clone(),
            is_homogeneous,
        };
        let assigned = assignor.assign(&subscriptions);
        for (topic, count) in &self.topics {
            for index in 0..*count {
                let has = |(at, _): &(usize, &Partitions)| {
                    let owned = assigned[*at].get(topic);
                    owned.is_some_and(|indexes| indexes.contains(&index))
                };
                let owners: Vec<_> = assigned.iter().enumerate().filter(has).collect();
                assert_eq!(owners.len(), 1, "{topic}-{index}");
                assert!(self.members[owners[0].0].1.contains(topic), "{topic}-{index}");
            }
        }
        let sizes = assigned.iter().map(|topics| topics.values().map(BTreeSet::len).sum());
        let sizes = sizes.collect();
        self.held = assigned;
        sizes
    }

    fn indexes(&self, member: usize, number: u8) -> Vec<i32> {
        self.held[member].get(&topic(number)).into_iter().flatten().copied().collect()
    }
}

#[test]
fn range_gives_neighbours_and_the_same_of_each_topic() {
    let mut group =
        Group::new(&[("a", &[1, 2]), ("b", &[1, 2]), ("c", &[1, 2])], &[(1, 7), (2, 7)]);
    assert_eq!(group.assign(Assignor::Range), [6, 4, 4]);
    for number in [1, 2] {
        assert_eq!(group.indexes(0, number), [0, 1, 2]);
        assert_eq!(group.indexes(1, number), [3, 4]);
        assert_eq!(group.indexes(2, number), [5, 6]);
    }
}

#[test]
fn range_shares_a_topic_among_its_subscribers_only() {
    let mut group = Group::new(&[("a", &[1]), ("b", &[1, 2]), ("c", &[2])], &[(1, 3), (2, 3)]);
    assert_eq!(group.assign(Assignor::Range), [2, 3, 1]);
}

#[test]
fn uniform_gives_as_many_to_each_and_moves_no_more_than_it_must() {
    let mut group = Group::new(&[("a", &[1])], &[(1, 10)]);
    assert_eq!(group.assign(Assignor::Uniform), [10]);
    group.members.push(("b", BTreeSet::from([topic(1)])));
    assert_eq!(group.assign(Assignor::Uniform), [5, 5]);
    let before = group.held.clone();
    group.members.push(("c", BTreeSet::from([topic(1)])));
    assert_eq!(group.assign(Assignor::Uniform), [4, 3, 3]);
    for (member, before) in before.iter().enumerate() {
        let kept = before.get(&topic(1)).expect("it had some");
        assert!(group.indexes(member, 1).iter().all(|index| kept.contains(index)));
    }
}

#[test]
fn uniform_gives_what_a_member_left_to_those_below_their_share() {
    let mut group = Group::new(&[("a", &[1]), ("b", &[1]), ("c", &[1])], &[(1, 6)]);
    assert_eq!(group.assign(Assignor::Uniform), [2, 2, 2]);
    let kept = [group.indexes(0, 1), group.indexes(2, 1)];
    group.members.remove(1);
    group.held.remove(1);
    assert_eq!(group.assign(Assignor::Uniform), [3, 3]);
    for (member, kept) in kept.iter().enumerate() {
        assert!(kept.iter().all(|index| group.indexes(member, 1).contains(index)));
    }
}

#[test]
fn uniform_evens_out_where_members_subscribe_to_different_topics() {
    let mut group = Group::new(&[("a", &[1]), ("b", &[1, 2]), ("c", &[1, 2])], &[(1, 6), (2, 3)]);
    assert_eq!(group.assign(Assignor::Uniform), [3, 3, 3]);
    // What nobody else may read stays with the one who may.
    let mut group = Group::new(&[("a", &[1]), ("b", &[1, 2])], &[(1, 2), (2, 9)]);
    assert_eq!(group.assign(Assignor::Uniform), [2, 9]);
    // A newcomer takes from those that have most.
    group.members.push(("c", BTreeSet::from([topic(2)])));
    assert_eq!(group.assign(Assignor::Uniform), [2, 5, 4]);
}

#[test]
fn nobody_subscribed_to_anything_gets_nothing() {
    let mut group = Group::new(&[("a", &[]), ("b", &[])], &[]);
    for assignor in Assignor::ALL {
        assert_eq!(group.assign(assignor), [0, 0]);
    }
}
