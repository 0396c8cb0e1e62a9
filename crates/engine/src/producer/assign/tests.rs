//! Exact placement, by values that Java and librdkafka told.

use std::sync::Arc;
use std::sync::atomic::AtomicI32 as Count;

use milena_types::{Timestamp, Topic};

use super::*;
use crate::ErrorKind;
use crate::producer::Partitioner;
use crate::producer::backlog::Backlog;
use crate::producer::standing::Standing;

struct Depths(Vec<Option<u32>>);

impl Load for Depths {
    fn partitions(&self) -> i32 {
        self.0.len() as i32
    }

    fn depth(&self, partition: i32) -> Option<u32> {
        self.0[partition as usize]
    }

    fn is_available(&self, partition: i32) -> bool {
        self.depth(partition).is_some()
    }

    fn depth_max(&self) -> u32 {
        self.0.iter().flatten().copied().max().unwrap_or(0)
    }

    fn deepened(&self, _: u32) {}
}

fn draws(depths: &[Option<u32>], is_adaptive: bool) -> Vec<f64> {
    let (sticky, load) = (Sticky::new(42), Depths(depths.to_vec()));
    let mut counts = vec![0.0; depths.len()];
    for _ in 0..30_000 {
        counts[sticky.draw(&load, is_adaptive) as usize] += 1.0 / 30_000.0;
    }
    counts
}

fn assert_shares(drawn: &[f64], expected: &[f64]) {
    for (drawn, expected) in drawn.iter().zip(expected) {
        assert!((drawn - expected).abs() < 0.015, "{drawn} instead of {expected}");
    }
}

#[test]
fn draws_are_even_where_queues_are() {
    assert_shares(&draws(&[Some(0); 4], true), &[0.25; 4]);
    assert_shares(&draws(&[Some(3); 4], true), &[0.25; 4]);
    assert_shares(&draws(&[Some(9), Some(0)], false), &[0.5, 0.5]);
}

/// KIP-794's example: queues of 0, 3 and 1 batches are drawn 4 : 1 : 3.
#[test]
fn long_queues_are_drawn_less_often() {
    let drawn = draws(&[Some(0), Some(3), Some(1)], true);
    assert_shares(&drawn, &[4.0 / 8.0, 1.0 / 8.0, 3.0 / 8.0]);
}

/// Nearly every draw is turned down then, and a pass over 10,000 partitions would cost more than the batch.
#[test]
fn where_all_queues_are_long_the_shortest_of_a_few_is_taken() {
    let (long, longer) = (Some(999_999), Some(1_000_000));
    assert_shares(&draws(&[longer, long], true), &[0.0, 1.0]);
    assert_shares(&draws(&[long, longer, longer], true), &[1.0, 0.0, 0.0]);
}

#[test]
fn a_partition_without_leader_is_a_last_resort() {
    assert_shares(&draws(&[None, Some(1), None], true), &[0.0, 1.0, 0.0]);
    assert_shares(&draws(&[None, None], true), &[1.0, 0.0]);
}

#[test]
fn a_partition_sticks_until_it_is_switched() {
    let (sticky, load) = (Sticky::new(1), Depths(vec![Some(0); 100]));
    let first = sticky.current(&load, true);
    assert_eq!(sticky.current(&load, true), first);
    let second = sticky.switch(first, &load, true);
    assert_ne!(first, second);
    assert_eq!(sticky.switch(first, &load, true), second, "another thread was faster");
    assert!(sticky.is_current(second));
}

/// A topic whose partitions have leaders where `leaders` says so.
fn topic(leaders: &[bool]) -> TopicQueues {
    let topic = TopicQueues::new(Topic::from("t"), 7, Arc::new(Backlog::new(1, 0)));
    for (queue, &has_leader) in topic.grow(leaders.len() as i32, 0).iter().zip(leaders) {
        queue.set_standing(if has_leader { Standing::Near } else { Standing::Leaderless });
    }
    topic.rank();
    topic
}

fn assigner(partitioning: impl Into<Partitioning>) -> Assigner {
    Assigner::new(&Settings { partitioning: partitioning.into(), ..Settings::default() })
}

fn record<'a>(partition: Option<i32>, key: Option<&'a str>) -> NewRecord<'a> {
    let (key, headers) = (key.map(str::as_bytes), std::iter::empty());
    NewRecord { partition, timestamp: Timestamp::from_millis(1), key, value: Some(b"v"), headers }
}

fn assign(assigner: &Assigner, topic: &TopicQueues, key: Option<&str>) -> Result<Assigned, Error> {
    let record = record(None, key);
    assigner.assign(topic, &record).map_err(|refused| match refused {
        Refused::Failed(error) => error,
        Refused::NoRoom { .. } | Refused::UnknownPartition => panic!("{refused:?}"),
    })
}

/// Where `key` goes without the topic's load having a say.
fn place(assigner: &Assigner, partitions: usize, key: Option<&str>) -> Option<i32> {
    let assigned = assign(assigner, &topic(&vec![true; partitions]), key).unwrap();
    (!assigned.is_sticky).then_some(assigned.partition)
}

/// Told by `BuiltInPartitioner.partitionForKey` of kafka-clients 4.4.0. A key that moves to another partition loses its
/// order, and nothing says so.
#[test]
fn keys_go_where_java_puts_them() {
    let keys = [
        "",
        "a",
        "user_001",
        "order-42",
        "unaligned",
        "this is another string with more length to it perhaps",
        "hejsan",
        "Grüße",
        "日本",
    ];
    let java = [
        (1, [0, 0, 0, 0, 0, 0, 0, 0, 0]),
        (3, [0, 1, 2, 0, 1, 2, 1, 0, 0]),
        (6, [3, 4, 2, 0, 1, 2, 1, 3, 3]),
        (12, [9, 4, 2, 0, 7, 2, 1, 3, 3]),
        (17, [11, 0, 15, 11, 6, 11, 5, 12, 14]),
        (50, [31, 24, 12, 24, 21, 34, 33, 9, 27]),
        (1000, [681, 524, 162, 24, 571, 834, 533, 359, 627]),
    ];
    let default = assigner(Partitioning::Default);
    for (partitions, expected) in java {
        let placed = keys.map(|key| place(&default, partitions, Some(key)).unwrap());
        assert_eq!(placed, expected, "{partitions} partitions");
    }
    assert_eq!(place(&default, 3, None), None, "no key is not the empty key");
}

/// CRC-32 as in librdkafka's own test 0048, with its 17 partitions.
#[test]
fn keys_go_where_librdkafka_puts_them() {
    let known = [
        ("this is another string with more length to it perhaps", 0xb015_0df7_u32),
        ("hejsan", 0xd077_037e),
        ("unaligned", 0xe964_aec2),
    ];
    let (consistent, random) =
        (assigner(Partitioning::Consistent), assigner(Partitioning::ConsistentRandom));
    for (key, hash) in known {
        let expected = Some((hash % 17) as i32);
        assert_eq!(place(&consistent, 17, Some(key)), expected, "{key}");
        assert_eq!(place(&random, 17, Some(key)), expected, "{key}");
    }
    for empty in [None, Some("")] {
        assert_eq!(place(&consistent, 17, empty), Some(0), "{empty:?}");
        assert_eq!(place(&random, 17, empty), None, "{empty:?}");
    }
}

/// Told by `RoundRobinPartitioner` of kafka-clients 4.4.0, which skips partitions without a leader.
#[test]
fn rounds_go_as_java_s() {
    let rounds = |leaders: [bool; 4]| {
        let (assigner, topic) = (assigner(Partitioning::RoundRobin), topic(&leaders));
        [(); 10].map(|()| assign(&assigner, &topic, Some("k")).unwrap().partition)
    };
    assert_eq!(rounds([true; 4]), [0, 1, 2, 3, 0, 1, 2, 3, 0, 1]);
    assert_eq!(rounds([true, true, false, true]), [0, 1, 3, 0, 1, 3, 0, 1, 3, 0]);
    assert_eq!(rounds([false; 4]), [0, 1, 2, 3, 0, 1, 2, 3, 0, 1]);
}

#[test]
fn a_record_that_waits_for_room_keeps_its_turn() {
    let (assigner, topic) = (assigner(Partitioning::RoundRobin), topic(&[true; 3]));
    let turn = || assign(&assigner, &topic, None).unwrap().partition;
    assert_eq!((turn(), turn()), (0, 1));
    assigner.give_back(&topic);
    assert_eq!((turn(), turn()), (1, 2));
}

#[test]
fn a_partitioner_of_ones_own_decides_or_leaves_it_to_the_default() {
    let own = |record: &PartitionContext<'_>| match record.key()? {
        b"last" => Some(record.partition_count() - 1),
        b"first with leader" => (0..record.partition_count()).find(|&p| record.is_available(p)),
        b"wrong" => Some(record.partition_count()),
        b"negative" => Some(-1),
        _ => None,
    };
    let (own, topic) = (assigner(own), topic(&[false, true, true]));
    let fixed = |key| assign(&own, &topic, Some(key)).map(|assigned| assigned.partition);
    assert_eq!(fixed("last").unwrap(), 2);
    assert_eq!(fixed("first with leader").unwrap(), 1);
    assert_eq!(fixed("user_001").unwrap(), 2, "murmur2");
    assert!(assign(&own, &topic, None).unwrap().is_sticky);
    for (key, chosen) in [("wrong", "3"), ("negative", "-1")] {
        let error = fixed(key).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Misuse);
        let said = error.to_string();
        assert!(said.contains(&format!("partition {chosen} of t, which has 3")), "{said}");
    }
}

/// Splitmix64 from seed 0, as its authors give it: the draws are even because these numbers are.
#[test]
fn numbers_are_drawn_as_splitmix64_makes_them() {
    let sticky = Sticky::new(0);
    let high_halves = [(); 3].map(|()| sticky.below(1 << 16));
    assert_eq!(high_halves, [0xe220, 0x6e78, 0x06c4]);
    assert!((0..100).all(|_| sticky.below(1) == 0 && sticky.below(3) < 3));
}

#[test]
fn a_partitioner_sees_the_whole_record() {
    let seen = |record: &PartitionContext<'_>| {
        assert_eq!((record.topic().as_str(), record.partition_count()), ("t", 3));
        assert_eq!((record.key(), record.value()), (Some(&b"k"[..]), Some(&b"v"[..])));
        let there: Vec<_> = (-1..4).map(|partition| record.is_available(partition)).collect();
        assert_eq!(there, [false, false, true, true, false]);
        Some(0)
    };
    assign(&assigner(seen), &topic(&[false, true, true]), Some("k")).unwrap();
}

/// Configurations are compared, as where one is changed after it was built.
#[test]
fn partitionings_are_equal_where_they_are_the_same() {
    let own = |of: i32| Partitioning::from(move |_: &PartitionContext<'_>| Some(of));
    let (a, b) = (own(0), own(0));
    assert!(a == a.clone() && a != b && a != Partitioning::Default);
    assert!(Partitioning::RoundRobin == Partitioning::RoundRobin);
    assert!(Partitioning::RoundRobin != Partitioning::Consistent);
}

/// A partitioner with a state sees a record once.
#[test]
fn a_record_that_names_its_partition_passes_by_the_partitioner() {
    struct Counting(Count);
    impl Partitioner for Counting {
        fn partition(&self, _: &PartitionContext<'_>) -> Option<i32> {
            Some(self.0.fetch_add(1, Relaxed))
        }
    }
    let (own, topic) = (assigner(Counting(Count::new(0))), topic(&[true; 3]));
    assert_eq!(own.assign(&topic, &record(Some(2), None)).unwrap(), Assigned::fixed(2));
    assert_eq!(assign(&own, &topic, None).unwrap(), Assigned::fixed(0));
}

#[test]
fn an_ignored_key_has_no_say_in_the_default_placement() {
    let settings = Settings { ignores_keys: true, ..Settings::default() };
    assert!(assign(&Assigner::new(&settings), &topic(&[true; 3]), Some("a")).unwrap().is_sticky);
}

/// Two of 200 are in the rack, and all random draws miss them more often than not.
#[test]
fn a_few_preferred_partitions_share_by_their_queues_too() {
    let mut depths = vec![None; 200];
    (depths[3], depths[150]) = (Some(1), Some(0));
    let drawn = draws(&depths, true);
    assert_shares(&drawn[3..4], &[1.0 / 3.0]);
    assert_shares(&drawn[150..151], &[2.0 / 3.0]);
}

#[test]
fn the_best_standing_is_drawn_alone() {
    use Standing::{Far, LateFar, LateNear, Leaderless, Near};
    let drawn = |standings: &[Standing]| {
        let topic = topic(&vec![true; standings.len()]);
        for (queue, &standing) in topic.queues().zip(standings) {
            queue.set_standing(standing);
        }
        topic.rank();
        let drawn = (0..200).map(|_| topic.sticky.draw(&topic, true));
        drawn.collect::<std::collections::BTreeSet<_>>().into_iter().collect::<Vec<_>>()
    };
    assert_eq!(drawn(&[Near, Far, LateNear, Near, Leaderless]), [0, 3]);
    assert_eq!(drawn(&[LateNear, Far, LateFar, Leaderless, Far]), [1, 4], "late ones come after");
    assert_eq!(drawn(&[LateNear, Leaderless, LateFar]), [0]);
    assert_eq!(drawn(&[Leaderless, LateFar, Leaderless]), [1]);
    assert_eq!(drawn(&[Leaderless, Leaderless]), [0, 1]);
}

/// Weights count from the longest queue among those that are drawn: a long one in another rack would level them.
#[test]
fn queues_of_others_do_not_count() {
    let topic = topic(&[true; 4]);
    for (queue, (standing, depth)) in topic.queues().zip([
        (Standing::Near, 0),
        (Standing::Near, 3),
        (Standing::Near, 1),
        (Standing::Far, 50),
    ]) {
        queue.set_standing(standing);
        topic.rank();
        (0..depth).for_each(|_| topic.deepen(queue));
    }
    assert_eq!(topic.depth_max(), 3);
    let far = topic.queue(3).unwrap();
    topic.shorten(far);
    assert_eq!(topic.depth_max(), 3);
    topic.shorten(topic.queue(1).unwrap());
    assert_eq!(topic.depth_max(), 2);
}

/// A topic that was made anew with fewer partitions: records for one that is gone would wait for ever.
#[test]
fn a_sticky_partition_that_is_gone_is_left() {
    let (assigner, topic) = (assigner(Partitioning::Default), topic(&[false, false, true]));
    assert_eq!(assign(&assigner, &topic, None).unwrap().partition, 2);
    topic.grow(2, 0);
    topic.rank();
    assert!(assign(&assigner, &topic, None).unwrap().partition < 2);
}
