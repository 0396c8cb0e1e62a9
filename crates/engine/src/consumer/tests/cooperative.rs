//! Cooperative rebalances (KIP-429): what stays is read on, what goes is given up by name.

use std::collections::BTreeSet;
use std::time::Duration;

use milena_types::{ApiKey, Topic};
use milena_wire::Request;

use crate::consumer::tests::world::{Fault, LEAVE, SECOND, World, log_of, tp};
use crate::consumer::{AssignmentStrategy, Change, CommitMode, Event, MemberState, Settings};

fn cooperative() -> Settings {
    with(&[AssignmentStrategy::CooperativeSticky])
}

fn with(strategies: &[AssignmentStrategy]) -> Settings {
    let mut settings = World::settings();
    settings.group.as_mut().unwrap().assignment_strategies = strategies.to_vec();
    settings
}

/// The rebalances that a client's user heard of: the change, and the partitions' numbers.
fn heard(world: &World, client: usize) -> Vec<(Change, Vec<i32>)> {
    let events = world.clients[client].events.iter();
    let rebalances = events.filter_map(|event| match event {
        Event::Rebalance(one) => {
            Some((one.change, one.partitions.iter().map(|tp| tp.partition).collect()))
        }
        _ => None,
    });
    rebalances.collect()
}

fn owned(world: &World, client: usize) -> Vec<i32> {
    world.clients[client].owned.iter().map(|tp| tp.partition).collect()
}

/// Nothing was committed, so a partition that was let go and taken again would begin anew: the world asserts that the
/// offsets of one stay follow each other, and this that there was one stay.
#[test]
fn kept_partitions_are_read_on_while_the_group_rebalances() {
    let mut world = World::new(1, 4);
    for partition in 0..4 {
        world.produce(partition, 50);
    }
    let first = world.member(cooperative());
    world.run_for(5 * SECOND);
    assert_eq!(heard(&world, first), [(Change::Assigned, vec![0, 1, 2, 3])]);
    // The user is slow to give up what goes; the others do not wait for him.
    world.clients[first].holds = Some(Vec::new());
    let second = world.member(cooperative());
    world.run_for(3 * SECOND);
    let (change, gone) = heard(&world, first).pop().unwrap();
    assert_eq!((change, gone.len()), (Change::Revoked, 2));
    let kept: Vec<i32> = (0..4).filter(|partition| !gone.contains(partition)).collect();
    for partition in 0..4 {
        world.produce(partition, 10);
    }
    world.run_for(SECOND);
    for partition in &kept {
        assert_eq!(world.clients[first].offsets(*partition), (0..60).collect::<Vec<_>>());
    }
    for partition in &gone {
        assert_eq!(world.clients[first].offsets(*partition).len(), 50, "held, not handed out");
    }
    assert!(owned(&world, second).is_empty(), "what goes is still the first one's");
    let held = world.clients[first].holds.take().unwrap();
    let now = world.now;
    for id in held {
        world.clients[first].consumer.acknowledge(now, id);
    }
    world.run_for(5 * SECOND);
    assert_eq!(owned(&world, first), kept);
    assert_eq!(owned(&world, second), gone);
    assert_eq!(heard(&world, second).last(), Some(&(Change::Assigned, gone.clone())));
    for partition in &kept {
        world.produce(*partition, 5);
    }
    world.run_for(SECOND);
    for partition in &kept {
        assert_eq!(world.clients[first].offsets(*partition), (0..65).collect::<Vec<_>>());
    }
    let lost = heard(&world, first).iter().any(|(change, _)| *change == Change::Lost);
    assert!(!lost);
}

/// Rows 43 and 44, cooperatively: one, two, three members, and the first leaves; then more members than partitions.
#[test]
fn members_share_the_partitions_as_they_come_and_go() {
    let mut world = World::new(2, 3);
    let mut members = Vec::new();
    for count in 1..=5 {
        members.push(world.member(cooperative()));
        world.run_for(8 * SECOND);
        let mut sizes: Vec<usize> =
            members.iter().map(|client| owned(&world, *client).len()).collect();
        sizes.sort_unstable();
        let expected: &[usize] = match count {
            1 => &[3],
            2 => &[1, 2],
            3 => &[1, 1, 1],
            4 => &[0, 1, 1, 1],
            _ => &[0, 0, 1, 1, 1],
        };
        assert_eq!(sizes, expected);
    }
    let heir_of = owned(&world, members[0]);
    let before: Vec<Vec<i32>> = members[1..].iter().map(|one| owned(&world, *one)).collect();
    let now = world.now;
    world.clients[members[0]].consumer.close(now, SECOND, LEAVE);
    world.run_for(8 * SECOND);
    for (member, before) in members[1..].iter().zip(&before) {
        let after = owned(&world, *member);
        assert!(before.is_empty() || after == *before, "who has one keeps it");
    }
    let heirs = members[1..].iter().zip(&before).filter(|(_, before)| before.is_empty());
    let inherited: Vec<i32> = heirs.flat_map(|(member, _)| owned(&world, *member)).collect();
    assert_eq!(inherited, heir_of);
}

/// The upgrade path: eager members first get the cooperative strategy beside the old one, then without it. Nobody is
/// without partitions for longer than an eager rebalance takes, and nothing has two owners.
#[test]
fn a_group_goes_from_eager_to_cooperative_member_by_member() {
    use AssignmentStrategy::{CooperativeSticky, Range};
    let mut world = World::new(3, 6);
    let mut members: Vec<usize> = (0..3).map(|_| world.member(with(&[Range]))).collect();
    world.run_for(10 * SECOND);
    for strategies in [&[Range, CooperativeSticky][..], &[CooperativeSticky]] {
        for member in &mut members {
            let now = world.now;
            world.clients[*member].consumer.close(now, SECOND, LEAVE);
            world.clients[*member].owned.clear();
            *member = world.member(with(strategies));
            world.run_for(10 * SECOND);
            let mut all: Vec<i32> = Vec::new();
            for client in 0..world.clients.len() {
                all.extend(owned(&world, client));
            }
            all.sort_unstable();
            assert_eq!(all, [0, 1, 2, 3, 4, 5]);
        }
    }
    // The group is cooperative now: a newcomer costs each only what goes to it.
    let before: Vec<usize> = members.iter().map(|one| heard(&world, *one).len()).collect();
    world.member(cooperative());
    world.run_for(10 * SECOND);
    for (member, before) in members.iter().zip(before) {
        for (change, partitions) in &heard(&world, *member)[before..] {
            assert_ne!(*change, Change::Lost);
            assert!(*change != Change::Revoked || partitions.len() == 1, "{partitions:?}");
        }
    }
}

/// Trap 36: a generation that is gone takes everything with it, and no commit is tried for that.
#[test]
fn a_member_that_was_forgotten_loses_all_it_had() {
    let mut world = World::new(4, 2);
    let client = world.member(cooperative());
    world.run_for(5 * SECOND);
    world.stub.group.members.clear();
    world.stub.group.state = crate::consumer::tests::world::empty_group();
    world.run_for(5 * SECOND);
    let all = vec![0, 1];
    let expected =
        [(Change::Assigned, all.clone()), (Change::Lost, all.clone()), (Change::Assigned, all)];
    assert_eq!(heard(&world, client), expected);
}

/// While it joins, a member sends no heartbeats and reads on; if the coordinator stays silent for a session, what it
/// has is another's by then.
#[test]
fn a_session_that_ends_while_joining_loses_what_was_kept() {
    let mut world = World::new(5, 2);
    let client = world.member(cooperative());
    world.run_for(5 * SECOND);
    world.fault = Some(Box::new(|_, _, request| {
        matches!(request, Request::JoinGroup(_)).then_some(Fault::LoseRequest)
    }));
    let now = world.now;
    world.clients[client].consumer.enforce_rebalance(now, "a test");
    world.run_for(5 * SECOND);
    assert_eq!(world.clients[client].consumer.member_state(), Some(MemberState::Joining));
    world.produce(0, 3);
    world.run_for(SECOND);
    assert_eq!(world.clients[client].offsets(0), [0, 1, 2], "read on meanwhile");
    world.run_for(10 * SECOND);
    assert_eq!(heard(&world, client).last(), Some(&(Change::Lost, vec![0, 1])));
    assert!(world.clients[client].consumer.assignment().is_empty());
    world.fault = None;
    world.run_for(10 * SECOND);
    assert_eq!(heard(&world, client).last(), Some(&(Change::Assigned, vec![0, 1])));
}

/// KIP-568.
#[test]
fn a_rebalance_can_be_asked_for() {
    let mut world = World::new(6, 2);
    let client = world.member(cooperative());
    world.run_for(5 * SECOND);
    let before = world.stub.group.rebalances;
    let now = world.now;
    world.clients[client].consumer.enforce_rebalance(now, "partitions have moved");
    world.run_for(2 * SECOND);
    assert_eq!(world.stub.group.rebalances, before + 1);
    assert_eq!(owned(&world, client), [0, 1]);
    let revoked = heard(&world, client).iter().any(|(change, _)| *change != Change::Assigned);
    assert!(!revoked, "nothing of a lone member changes hands");
}

/// Topics that are wanted no more are given up before the member joins without them; the others stay.
#[test]
fn a_smaller_subscription_gives_up_only_what_it_drops() {
    let mut world = World::new(7, 2);
    let other = milena_types::TopicPartition::new("u", 0);
    world.stub.logs.insert(other.clone(), log_of(1));
    let client = world.client(cooperative());
    let both = BTreeSet::from([Topic::from("t"), Topic::from("u")]);
    let now = world.now;
    world.clients[client].consumer.subscribe(now, both).unwrap();
    world.produce(0, 5);
    world.run_for(5 * SECOND);
    assert_eq!(world.clients[client].owned.len(), 3);
    let now = world.now;
    let one = BTreeSet::from([Topic::from("t")]);
    world.clients[client].consumer.subscribe(now, one).unwrap();
    world.produce(0, 5);
    world.run_for(5 * SECOND);
    let revoked: Vec<_> = world.clients[client]
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Rebalance(one) if one.change == Change::Revoked => Some(one.partitions.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(revoked, [vec![other]]);
    assert_eq!(world.clients[client].offsets(0), (0..10).collect::<Vec<_>>());
}

/// A pause belongs to the stay: of a partition that is kept it outlives the rebalance, of one that goes and comes back
/// it does not (R12).
#[test]
fn a_pause_lasts_as_long_as_the_partition_stays() {
    let mut world = World::new(8, 2);
    let first = world.member(cooperative());
    world.run_for(5 * SECOND);
    let now = world.now;
    let both = BTreeSet::from([tp(0), tp(1)]);
    world.clients[first].consumer.pause(now, &both).unwrap();
    let second = world.member(cooperative());
    world.run_for(8 * SECOND);
    let kept = owned(&world, first)[0];
    assert_eq!(world.clients[first].consumer.paused(), BTreeSet::from([tp(kept)]));
    let now = world.now;
    world.clients[second].consumer.close(now, SECOND, LEAVE);
    world.run_for(8 * SECOND);
    assert_eq!(owned(&world, first), [0, 1]);
    assert_eq!(world.clients[first].consumer.paused(), BTreeSet::from([tp(kept)]));
}

/// Row 42.
#[test]
fn closing_leaves_at_once_and_staying_does_not() {
    use crate::consumer::GroupMembershipOperation::{LeaveGroup, RemainInGroup};
    for (operation, left) in [(LeaveGroup, true), (RemainInGroup, false)] {
        let mut world = World::new(9, 2);
        let client = world.member(cooperative());
        world.run_for(5 * SECOND);
        let now = world.now;
        world.clients[client].consumer.close(now, 5 * SECOND, operation);
        world.run_for(Duration::from_millis(300));
        assert!(world.clients[client].closed);
        assert_eq!(world.stub.group.members.is_empty(), left);
        assert_eq!(world.stub.requests.contains(&ApiKey::LEAVE_GROUP), left);
    }
}

/// A commit that waits while the group rebalances twice is of a partition that was never given up: it is sent, and
/// nobody is told that the partition may be another's.
#[test]
fn a_commit_of_a_kept_partition_outlasts_rebalances() {
    let mut world = World::new(10, 2);
    world.produce(0, 5);
    let client = world.member(cooperative());
    world.run_for(5 * SECOND);
    world.fault = Some(Box::new(|_, _, request| {
        matches!(request, Request::OffsetCommit(_)).then_some(Fault::LoseRequest)
    }));
    let now = world.now;
    let id = world.clients[client].consumer.commit(now, None, CommitMode::Retry);
    for _ in 0..3 {
        let (now, before) = (world.now, world.stub.group.rebalances);
        world.clients[client].consumer.enforce_rebalance(now, "a test");
        world.run_for(3 * SECOND);
        assert_eq!(world.stub.group.rebalances, before + 1);
    }
    assert!(!world.clients[client].committed.contains_key(&id));
    world.fault = None;
    world.run_for(5 * SECOND);
    assert!(world.clients[client].committed[&id].is_ok(), "{:?}", world.clients[client].committed);
    assert_eq!(world.stub.committed[&tp(0)].0, 5);
}
