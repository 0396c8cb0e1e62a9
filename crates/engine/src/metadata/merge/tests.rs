use milena_types::{LeaderEpoch, TopicPartition, Uuid};

use super::*;

const ID: Uuid = Uuid::from_bytes([1; 16]);
const OTHER_ID: Uuid = Uuid::from_bytes([2; 16]);

/// F25: a broker that is behind must not bring an old leader back.
#[test]
fn an_older_leader_epoch_is_ignored() {
    let known = cluster(Some(ID), &[(Some(1), Some(5))]);
    let next = refresh(&known, Some(ID), &[(Some(2), Some(4))]);
    assert_eq!(leaders(&next), [(Some(1), Some(5))]);
}

#[test]
fn an_older_epoch_of_a_topic_created_anew_counts() {
    let known = cluster(Some(ID), &[(Some(1), Some(5)), (Some(1), Some(5))]);
    let next = refresh(&known, Some(OTHER_ID), &[(Some(2), Some(0))]);
    assert_eq!(leaders(&next), [(Some(2), Some(0))]);
    assert_eq!(next.topic("orders").and_then(|topic| topic.id), Some(OTHER_ID));
    assert!(next.topic_by_id(ID).is_none());
}

/// A broker that is behind tells of the topic that was there before, in turn with those that know.
#[test]
fn a_former_id_does_not_come_back_by_a_broker_that_is_behind() {
    let mut doubts = Doubts::default();
    let answer = |id| fetched([topic(Some(id), &[(Some(1), Some(5))])]);
    let id = |cluster: &Cluster| cluster.topic("orders").and_then(|topic| topic.id);
    let mut known = cluster(Some(ID), &[(Some(1), Some(5))]);
    known = merge(&known, answer(OTHER_ID), &mut doubts);
    for _ in 0..RETURNS_MAX {
        known = merge(&known, answer(ID), &mut doubts);
        assert_eq!(id(&known), Some(OTHER_ID));
        known = merge(&known, answer(OTHER_ID), &mut doubts);
    }
    assert!(doubts.absences.is_empty() && doubts.returns.is_empty());
    // None knows the other: it was misread.
    for _ in 1..RETURNS_MAX {
        known = merge(&known, answer(ID), &mut doubts);
        assert_eq!(id(&known), Some(OTHER_ID));
    }
    known = merge(&known, answer(ID), &mut doubts);
    assert_eq!(id(&known), Some(ID));
}

/// A broker that catches up: first it tells the old topic, then none, then the new one.
#[test]
fn a_former_id_is_no_absence() {
    let mut doubts = Doubts::default();
    let mut known = cluster(Some(ID), &[(Some(1), Some(5))]);
    for id in [OTHER_ID, ID, ID] {
        known = merge(&known, fetched([topic(Some(id), &[(Some(1), Some(5))])]), &mut doubts);
    }
    for _ in 1..ABSENCES_MAX {
        known = merge(&known, fetched([]), &mut doubts);
        assert_eq!(leaders(&known), [(Some(1), Some(5))]);
    }
}

#[test]
fn a_former_id_is_remembered_while_there_is_no_topic() {
    let mut doubts = Doubts::default();
    let answer = |id| fetched([topic(Some(id), &[(Some(1), Some(5))])]);
    let mut known = cluster(Some(ID), &[(Some(1), Some(5))]);
    let missing = || {
        let error = Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
        fetched([TopicMetadata { error, ..TopicMetadata::new("orders", None, vec![]) }])
    };
    for _ in 0..ABSENCES_MAX {
        known = merge(&known, missing(), &mut doubts);
    }
    // Another one came and went.
    known = merge(&known, answer(OTHER_ID), &mut doubts);
    for _ in 0..ABSENCES_MAX {
        known = merge(&known, missing(), &mut doubts);
    }
    known = merge(&known, answer(ID), &mut doubts);
    assert_ne!(known.topic("orders").and_then(|topic| topic.id), Some(ID));
    let third = Uuid::from_bytes([3; 16]);
    for id in [third, ID] {
        known = merge(&known, answer(id), &mut doubts);
        assert_eq!(known.topic("orders").and_then(|topic| topic.id), Some(third));
    }
}

/// Who tells of the one that took its place may know no ids.
#[test]
fn a_former_id_does_not_come_back_to_a_topic_without_one() {
    let mut doubts = Doubts::default();
    let answer = |id, epoch| fetched([topic(id, &[(Some(1), Some(epoch))])]);
    let mut known = cluster(Some(ID), &[(Some(1), Some(5))]);
    for _ in 0..ABSENCES_MAX {
        let error = Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
        let gone = TopicMetadata { error, ..TopicMetadata::new("orders", None, vec![]) };
        known = merge(&known, fetched([gone]), &mut doubts);
    }
    known = merge(&known, answer(None, 0), &mut doubts);
    known = merge(&known, answer(Some(ID), 5), &mut doubts);
    assert_eq!(leaders(&known), [(Some(1), Some(0))], "of a broker that is behind");
    known = merge(&known, answer(Some(OTHER_ID), 0), &mut doubts);
    assert_eq!(known.topic("orders").and_then(|topic| topic.id), Some(OTHER_ID));
    // It was never gone.
    known = merge(&known, answer(None, 0), &mut doubts);
    for _ in 0..RETURNS_MAX {
        known = merge(&known, answer(Some(ID), 5), &mut doubts);
    }
    assert_eq!(known.topic("orders").and_then(|topic| topic.id), Some(ID));
    assert_eq!(leaders(&known), [(Some(1), Some(5))]);
}

/// Trap 42.
#[test]
fn another_leader_with_the_same_or_no_epoch_moves_the_partition() {
    for epoch in [Some(5), None] {
        let known = cluster(Some(ID), &[(Some(1), epoch)]);
        let next = refresh(&known, Some(ID), &[(Some(2), epoch)]);
        assert_eq!(leaders(&next), [(Some(2), epoch)]);
    }
}

/// Trap 41.
#[test]
fn a_partition_under_election_keeps_its_leader_unless_the_epoch_says_it_is_over() {
    let known = cluster(Some(ID), &[(Some(1), Some(5))]);
    let same = refresh(&known, Some(ID), &[(None, Some(5))]);
    assert_eq!(leaders(&same), [(Some(1), Some(5))]);
    let newer = refresh(&known, Some(ID), &[(None, Some(6))]);
    assert_eq!(leaders(&newer), [(None, Some(6))]);
}

/// R17, F26: what waits for a topic must not be failed because one broker has not heard of it.
#[test]
fn a_topic_is_forgotten_only_after_several_absences_in_a_row() {
    let unknown = || {
        let error = Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
        fetched([TopicMetadata { error, ..TopicMetadata::new("orders", None, vec![]) }])
    };
    for says_so in [true, false] {
        let mut doubts = Doubts::default();
        let mut cluster = cluster(Some(ID), &[(Some(1), Some(5))]);
        for absence in 1..=ABSENCES_MAX {
            let answer = if says_so { unknown() } else { fetched([]) };
            cluster = merge(&cluster, answer, &mut doubts);
            let is_known = cluster.topic("orders").is_some_and(|topic| topic.is_usable());
            assert_eq!(is_known, absence < ABSENCES_MAX, "absence {absence}");
            assert_eq!(cluster.topic("orders").is_some(), is_known || says_so);
            assert!(is_known || absence > 2, "one broker that is behind may be asked twice");
        }
    }
}

#[test]
fn a_topic_that_comes_back_starts_the_count_again() {
    let mut doubts = Doubts::default();
    let mut known = cluster(Some(ID), &[(Some(1), Some(5))]);
    for _ in 0..10 {
        known = merge(&known, fetched([]), &mut doubts);
        assert_eq!(leaders(&known), [(Some(1), Some(5))]);
        known = merge(&known, fetched([topic(Some(ID), &[(Some(1), Some(5))])]), &mut doubts);
    }
    assert!(doubts.absences.is_empty() && doubts.returns.is_empty());
}

#[test]
fn a_partition_that_one_answer_leaves_out_stays() {
    let known = cluster(Some(ID), &[(Some(1), Some(5)), (Some(2), Some(5))]);
    let next = refresh(&known, Some(ID), &[(Some(3), Some(6))]);
    assert_eq!(leaders(&next), [(Some(3), Some(6)), (Some(2), Some(5))]);
    let more =
        refresh(&next, Some(ID), &[(Some(3), Some(6)), (Some(2), Some(5)), (Some(1), Some(0))]);
    assert_eq!(leaders(&more).len(), 3);
}

#[test]
fn an_error_of_the_whole_topic_leaves_its_partitions_and_is_kept() {
    let known = cluster(Some(ID), &[(Some(1), Some(5))]);
    let error = Some(ErrorCode::TOPIC_AUTHORIZATION_FAILED);
    let refused = TopicMetadata { error, ..TopicMetadata::new("orders", None, vec![]) };
    let next = merge(&known, fetched([refused]), &mut Doubts::default());
    assert_eq!(leaders(&next), [(Some(1), Some(5))]);
    assert_eq!(next.topic("orders").and_then(|topic| topic.error), error);
}

#[test]
fn topics_that_were_not_asked_for_stay_and_unused_ones_go() {
    let known = cluster(Some(ID), &[(Some(1), Some(5))]);
    let kept = answer(&known, fetched([]), &mut Doubts::default(), |_| false, |_| true);
    assert!(kept.topic("orders").is_some());
    let gone = answer(&known, fetched([]), &mut Doubts::default(), |_| false, |_| false);
    assert!(gone.topic("orders").is_none());
    assert_eq!(gone.version(), known.version() + 1);
}

/// KIP-951, trap 42.
#[test]
fn a_hint_counts_only_with_a_newer_epoch_and_a_known_broker() {
    let known = cluster(Some(ID), &[(Some(1), Some(5))]);
    let tp = TopicPartition::new("orders", 0);
    let to = |node: i32, epoch: i32, endpoint: Option<Broker>| {
        let epoch = LeaderEpoch::from_wire(epoch).expect("not negative");
        hint(&known, &LeaderHint::new(tp.clone(), NodeId::new(node), epoch, endpoint))
    };
    assert!(to(2, 5, None).is_none(), "not newer");
    assert!(to(9, 6, None).is_none(), "nobody knows where");
    let moved = to(2, 6, None).expect("newer and known");
    assert_eq!(leaders(&moved), [(Some(2), Some(6))]);
    assert_eq!(moved.version(), known.version() + 1);
    let endpoint = Broker::new(NodeId::new(9), "nine", 9092);
    let moved = to(9, 6, Some(endpoint)).expect("named by the answer");
    assert_eq!(moved.leader("orders", 0).map(|broker| &*broker.host), Some("nine"));
    let wrong = Broker::new(NodeId::new(8), "eight", 9092);
    assert!(to(9, 6, Some(wrong)).is_none(), "the endpoint of another broker");
    let without_epoch = cluster(Some(ID), &[(Some(1), None)]);
    let newer = LeaderHint::new(tp, NodeId::new(2), LeaderEpoch::ZERO, None);
    assert!(hint(&without_epoch, &newer).is_none());
}

type Leader = (Option<i32>, Option<i32>);

fn topic(id: Option<Uuid>, leaders: &[Leader]) -> TopicMetadata {
    let partition = |(index, (leader, epoch)): (i32, &Leader)| {
        let epoch = epoch.and_then(LeaderEpoch::from_wire);
        PartitionMetadata::new(index, leader.map(NodeId::new), epoch)
    };
    TopicMetadata::new("orders", id, (0..).zip(leaders).map(partition).collect())
}

fn brokers() -> impl Iterator<Item = Broker> {
    (1..4).map(|id| Broker::new(NodeId::new(id), "broker", 9092))
}

fn cluster(id: Option<Uuid>, leaders: &[Leader]) -> Cluster {
    Cluster::new(brokers(), [topic(id, leaders)])
}

fn fetched(topics: impl IntoIterator<Item = TopicMetadata>) -> Fetched {
    Fetched {
        brokers: brokers().map(|broker| (broker.id, broker)).collect(),
        topics: topics.into_iter().map(|topic| (topic.name.clone(), topic)).collect(),
        ..Fetched::default()
    }
}

fn merge(known: &Cluster, fetched: Fetched, doubts: &mut Doubts) -> Cluster {
    answer(known, fetched, doubts, |_| true, |_| true)
}

fn refresh(known: &Cluster, id: Option<Uuid>, leaders: &[Leader]) -> Cluster {
    merge(known, fetched([topic(id, leaders)]), &mut Doubts::default())
}

fn leaders(cluster: &Cluster) -> Vec<Leader> {
    let topic = cluster.topic("orders").expect("it is known");
    let leader =
        |p: &PartitionMetadata| (p.leader.map(NodeId::get), p.leader_epoch.map(LeaderEpoch::get));
    topic.partitions.iter().map(leader).collect()
}
