//! Members of a group: sharing, rebalancing, leaving, failing.

use std::collections::BTreeSet;
use std::time::Duration;

use milena_types::{ApiKey, Topic};
use milena_wire::Request;

use crate::consumer::tests::world::{Fault, LEAVE, SECOND, World, log_of, offset, tp};
use crate::consumer::{Change, CommitMode, Event, MemberState};
use crate::error::ErrorKind;

fn changes(world: &World, client: usize) -> Vec<(Change, usize)> {
    let events = world.clients[client].events.iter();
    events
        .filter_map(|event| match event {
            Event::Rebalance(one) => Some((one.change, one.partitions.len())),
            _ => None,
        })
        .collect()
}

/// Row 43 and 44: one, two and three members, and then the first goes.
#[test]
fn members_share_the_partitions_as_they_come_and_go() {
    let mut world = World::new(1, 3);
    for partition in 0..3 {
        world.produce(partition, 10);
    }
    let owned = |world: &World, client: usize| {
        let owned = world.clients[client].owned.iter();
        owned.map(|tp| tp.partition).collect::<Vec<_>>()
    };
    let first = world.member(World::settings());
    world.run_for(5 * SECOND);
    assert_eq!(owned(&world, first), [0, 1, 2]);
    let second = world.member(World::settings());
    world.run_for(5 * SECOND);
    assert_eq!((owned(&world, first), owned(&world, second)), (vec![0, 1], vec![2]));
    let third = world.member(World::settings());
    world.run_for(5 * SECOND);
    let shares = [first, second, third].map(|client| owned(&world, client));
    assert_eq!(shares, [vec![0], vec![1], vec![2]]);
    let now = world.now;
    world.clients[first].consumer.close(now, 5 * SECOND, LEAVE);
    world.run_for(5 * SECOND);
    assert!(world.clients[first].closed);
    assert_eq!((owned(&world, second), owned(&world, third)), (vec![0, 1], vec![2]));
    assert_eq!(changes(&world, second)[0], (Change::Assigned, 1));
}

/// R22: a rebalance between two polls leaves records in the buffer and in the reader; none may come out any more.
#[test]
fn records_of_revoked_partitions_are_never_handed_out() {
    let mut world = World::new(1, 2);
    for _ in 0..50 {
        world.produce(0, 10);
        world.produce(1, 10);
    }
    let first = world.member(World::settings());
    world.run_for(Duration::from_millis(400));
    let before = world.clients[first].got.len();
    assert!(before > 0 && before < 1000, "in the middle of it: {before}");
    // The user is slow to say that he has given the partitions up.
    world.clients[first].holds = Some(Vec::new());
    let second = world.member(World::settings());
    world.run_for(3 * SECOND);
    let revoked = changes(&world, first).iter().any(|(change, _)| *change == Change::Revoked);
    assert!(revoked);
    let at_revocation = world.clients[first].got.len();
    world.run_for(3 * SECOND);
    assert_eq!(world.clients[first].got.len(), at_revocation);
    assert!(world.clients[second].owned.is_empty(), "the first has not given up yet");
    let held = world.clients[first].holds.take().unwrap();
    let now = world.now;
    for id in held {
        world.clients[first].consumer.acknowledge(now, id);
    }
    world.run_for(5 * SECOND);
    assert_eq!(world.clients[second].owned.len(), 1);
}

/// R12: a peer kept the pause over a rebalance, with nobody left to resume.
#[test]
fn a_pause_ends_with_the_assignment() {
    let mut world = World::new(1, 2);
    let first = world.member(World::settings());
    world.run_for(5 * SECOND);
    let now = world.now;
    let both = BTreeSet::from([tp(0), tp(1)]);
    world.clients[first].consumer.pause(now, &both).unwrap();
    assert_eq!(world.clients[first].consumer.paused(), both);
    let second = world.member(World::settings());
    world.run_for(5 * SECOND);
    let now = world.now;
    world.clients[second].consumer.close(now, SECOND, LEAVE);
    world.run_for(5 * SECOND);
    world.produce(0, 5);
    world.produce(1, 5);
    world.run_for(2 * SECOND);
    assert!(world.clients[first].consumer.paused().is_empty());
    assert_eq!(world.clients[first].got.len(), 10);
}

/// Answers to fetches move the machine, too; of what is paused there are none, and only its own time-outs are left.
#[test]
fn heartbeats_do_not_depend_on_polling() {
    for pauses in [false, true] {
        let mut world = World::new(1, 1);
        let client = world.member(World::settings());
        world.run_for(5 * SECOND);
        if pauses {
            world.clients[client].consumer.pause(world.now, &[tp(0)].into()).unwrap();
        }
        world.clients[client].asleep = true;
        // Longer than the session, shorter than the poll interval.
        world.run_for(20 * SECOND);
        assert_eq!(world.stub.group.members.len(), 1);
        assert_eq!(world.clients[client].consumer.member_state(), Some(MemberState::Stable));
    }
}

/// F51, row of max.poll.interval.ms.
#[test]
fn a_user_who_does_not_poll_is_out_until_he_does() {
    let mut world = World::new(1, 1);
    let client = world.member(World::settings());
    world.run_for(5 * SECOND);
    world.clients[client].asleep = true;
    world.run_for(40 * SECOND);
    assert!(world.stub.group.members.is_empty(), "it left, so that others need not wait");
    assert_eq!(world.clients[client].consumer.member_state(), Some(MemberState::Expelled));
    assert!(world.clients[client].consumer.assignment().is_empty());
    world.produce(0, 5);
    world.clients[client].asleep = false;
    world.run_for(5 * SECOND);
    let told = |event: &Event| matches!(event, Event::PollIntervalExceeded { .. });
    assert_eq!(world.clients[client].events.iter().filter(|event| told(event)).count(), 1);
    let seen = changes(&world, client);
    assert_eq!(seen, [(Change::Assigned, 1), (Change::Lost, 1), (Change::Assigned, 1)]);
    assert_eq!(world.clients[client].got.len(), 5);
}

/// F50: the coordinator is out of reach for longer than the session.
#[test]
fn a_session_that_ends_loses_the_partitions() {
    let mut world = World::new(1, 1);
    let client = world.member(World::settings());
    world.run_for(5 * SECOND);
    world.fault = Some(Box::new(|_, _, request| {
        (!matches!(request, Request::Fetch(_))).then_some(Fault::LoseRequest)
    }));
    world.run_for(15 * SECOND);
    assert_eq!(changes(&world, client), [(Change::Assigned, 1), (Change::Lost, 1)]);
    assert!(world.clients[client].consumer.assignment().is_empty());
    world.fault = None;
    world.run_for(20 * SECOND);
    assert_eq!(changes(&world, client).last(), Some(&(Change::Assigned, 1)));
}

/// Two losses before the user polls again: the second one has nothing left to lose, but he heard of neither.
#[test]
fn a_user_hears_of_a_loss_that_another_one_followed() {
    let mut world = World::new(1, 1);
    let client = world.member(World::settings());
    world.run_for(5 * SECOND);
    world.clients[client].asleep = true;
    world.fault = Some(Box::new(|_, _, request| {
        (!matches!(request, Request::Fetch(_))).then_some(Fault::LoseRequest)
    }));
    world.run_for(40 * SECOND);
    world.fault = None;
    world.clients[client].asleep = false;
    world.run_for(20 * SECOND);
    let seen = changes(&world, client);
    assert_eq!(seen, [(Change::Assigned, 1), (Change::Lost, 1), (Change::Assigned, 1)]);
}

/// He is busy with a revocation when the session ends, and what he says at its end is all that he will say: with another
/// number to wait for, the member would never join again.
#[test]
fn a_loss_that_is_no_news_needs_no_further_word_of_the_user() {
    let mut world = World::new(1, 2);
    let client = world.member(World::settings());
    world.run_for(5 * SECOND);
    world.clients[client].holds = Some(Vec::new());
    let second = world.member(World::settings());
    world.run_for(2 * SECOND);
    world.fault = Some(Box::new(move |_, of, request| {
        (of == client && !matches!(request, Request::Fetch(_))).then_some(Fault::LoseRequest)
    }));
    world.run_for(15 * SECOND);
    world.fault = None;
    assert_eq!(world.clients[second].owned.len(), 2);
    let now = world.now;
    for id in world.clients[client].holds.take().unwrap() {
        world.clients[client].consumer.acknowledge(now, id);
    }
    world.run_for(20 * SECOND);
    let seen = changes(&world, client);
    assert_eq!(seen, [(Change::Assigned, 2), (Change::Revoked, 2), (Change::Assigned, 1)]);
    assert_eq!(world.clients[client].owned.len(), 1);
}

#[test]
fn a_member_that_the_coordinator_forgot_joins_anew() {
    let mut world = World::new(1, 1);
    let client = world.member(World::settings());
    world.run_for(5 * SECOND);
    world.stub.group.members.clear();
    world.stub.group.state = crate::consumer::tests::world::empty_group();
    world.produce(0, 5);
    world.run_for(5 * SECOND);
    let seen = changes(&world, client);
    assert_eq!(seen, [(Change::Assigned, 1), (Change::Lost, 1), (Change::Assigned, 1)]);
    assert_eq!(world.clients[client].owned.len(), 1);
}

#[test]
fn a_leader_shares_out_again_when_a_topic_grows() {
    let mut world = World::new(1, 1);
    let client = world.member(World::settings());
    world.run_for(5 * SECOND);
    world.stub.logs.insert(tp(1), log_of(1));
    let (now, cluster) = (world.now, world.stub.cluster());
    world.clients[client].consumer.handle_cluster(now, cluster);
    world.run_for(5 * SECOND);
    assert_eq!(world.clients[client].owned.len(), 2);
}

/// R20 for a topic that nobody has made yet.
#[test]
fn a_topic_that_appears_later_is_taken_up() {
    let mut world = World::new(1, 0);
    let client = world.member(World::settings());
    world.run_for(20 * SECOND);
    assert!(world.clients[client].owned.is_empty());
    world.stub.logs.insert(tp(0), log_of(1));
    world.produce(0, 3);
    let (now, cluster) = (world.now, world.stub.cluster());
    world.clients[client].consumer.handle_cluster(now, cluster);
    world.run_for(5 * SECOND);
    assert_eq!(world.clients[client].offsets(0), [0, 1, 2]);
}

#[test]
fn a_new_subscription_is_shared_out() {
    let mut world = World::new(1, 1);
    let other = milena_types::TopicPartition::new("u", 0);
    world.stub.logs.insert(other.clone(), log_of(1));
    let client = world.member(World::settings());
    world.run_for(5 * SECOND);
    let now = world.now;
    let topics = BTreeSet::from([Topic::from("t"), Topic::from("u")]);
    world.clients[client].consumer.subscribe(now, topics).unwrap();
    world.run_for(5 * SECOND);
    assert!(world.clients[client].owned.contains(&other));
    assert_eq!(world.clients[client].owned.len(), 2);
}

#[test]
fn unsubscribing_leaves_the_group_and_subscribing_comes_back() {
    let mut world = World::new(1, 1);
    let client = world.member(World::settings());
    world.run_for(5 * SECOND);
    let now = world.now;
    world.clients[client].consumer.unsubscribe(now).unwrap();
    world.clients[client].owned.clear();
    world.run_for(SECOND);
    assert!(world.stub.group.members.is_empty());
    assert!(world.clients[client].consumer.assignment().is_empty());
    let now = world.now;
    let topics = BTreeSet::from([Topic::from("t")]);
    world.clients[client].consumer.subscribe(now, topics).unwrap();
    world.run_for(5 * SECOND);
    assert_eq!(world.clients[client].owned.len(), 1);
}

#[test]
fn assigning_and_subscribing_do_not_mix() {
    let mut world = World::new(1, 1);
    let client = world.member(World::settings());
    let now = world.now;
    let refused = world.clients[client].consumer.assign(now, BTreeSet::from([tp(0)]));
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Misuse);
    let assigned = world.assigned(World::settings(), &[0]);
    let topics = BTreeSet::from([Topic::from("t")]);
    let refused = world.clients[assigned].consumer.subscribe(now, topics);
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Misuse);
}

/// Row 42: peers have the partitions in under a second, not after the session.
#[test]
fn closing_leaves_at_once() {
    let mut world = World::new(1, 2);
    let first = world.member(World::settings());
    let second = world.member(World::settings());
    world.run_for(10 * SECOND);
    assert_eq!(world.clients[first].owned.len(), 1);
    let now = world.now;
    world.clients[second].consumer.close(now, 5 * SECOND, LEAVE);
    world.run_for(Duration::from_millis(200));
    assert!(world.clients[second].closed);
    world.run_for(Duration::from_millis(1_500));
    assert_eq!(world.clients[first].owned.len(), 2);
}

/// Reported of others: close blocks for ever while the coordinator is down.
#[test]
fn closing_ends_by_its_deadline_whatever_happens() {
    for (seed, wait) in [0, 1, 5, 40, 700, 3_000].into_iter().enumerate() {
        let mut world = World::new(u64::try_from(seed).unwrap(), 2);
        world.produce(0, 10);
        let mut settings = World::settings();
        settings.auto_commit_interval = Some(SECOND);
        let client = world.member(settings);
        world.run_for(Duration::from_millis(wait));
        world.fault = Some(Box::new(|_, _, _| Some(Fault::LoseAnswer)));
        let now = world.now;
        world.clients[client].consumer.close(now, 3 * SECOND, LEAVE);
        world.run_for(Duration::from_millis(3_100));
        assert!(world.clients[client].closed, "after {wait} ms");
        assert!(world.clients[client].consumer.buffer().is_closed());
    }
}

/// The broker reads nothing behind a waiting JoinGroup on its connection.
#[test]
fn closing_does_not_wait_behind_a_join() {
    let mut world = World::new(1, 1);
    let first = world.member(World::settings());
    world.run_for(5 * SECOND);
    world.clients[first].holds = Some(Vec::new());
    let second = world.member(World::settings());
    world.run_for(2 * SECOND);
    assert_eq!(world.clients[second].consumer.member_state(), Some(MemberState::Joining));
    let now = world.now;
    world.clients[second].consumer.close(now, 5 * SECOND, LEAVE);
    world.run_for(Duration::from_millis(100));
    assert!(world.clients[second].closed);
    assert_eq!(world.stub.group.members.len(), 1);
    assert!(world.stub.requests.contains(&ApiKey::LEAVE_GROUP));
}

/// A coordinator before 2.2 counts in who joins without an id: gone without a word, it would keep partitions that nobody
/// reads until its session ends, or even lead the group.
#[test]
fn who_goes_before_it_knows_its_id_leaves_no_ghost_behind() {
    let mut world = World::new(1, 1);
    world.stub.group.is_old = true;
    let first = world.member(World::settings());
    world.run_for(5 * SECOND);
    world.clients[first].holds = Some(Vec::new());
    let second = world.member(World::settings());
    world.run_for(3 * SECOND);
    assert_eq!(world.clients[second].consumer.member_state(), Some(MemberState::Joining));
    let now = world.now;
    world.clients[second].consumer.close(now, 10 * SECOND, LEAVE);
    world.run_for(SECOND);
    assert!(!world.clients[second].closed, "its id is not known yet");
    let held = world.clients[first].holds.take().unwrap();
    let now = world.now;
    for id in held {
        world.clients[first].consumer.acknowledge(now, id);
    }
    world.run_for(SECOND);
    assert!(world.clients[second].closed);
    assert_eq!(world.stub.group.members.len(), 1);
    world.run_for(3 * SECOND);
    assert_eq!(world.clients[first].owned.len(), 1);
}

/// Who has less patience than the first who closed is not kept waiting.
#[test]
fn the_shorter_of_two_closes_counts() {
    let mut world = World::new(1, 1);
    let client = world.member(World::settings());
    world.run_for(5 * SECOND);
    world.fault = Some(Box::new(|_, _, _| Some(Fault::LoseAnswer)));
    let now = world.now;
    let consumer = &mut world.clients[client].consumer;
    consumer.commit(now, Some([(tp(0), offset(0).into())].into()), CommitMode::Retry);
    consumer.close(now, 30 * SECOND, LEAVE);
    consumer.close(now, 2 * SECOND, LEAVE);
    world.run_for(Duration::from_millis(1_900));
    assert!(!world.clients[client].closed);
    world.run_for(Duration::from_millis(200));
    assert!(world.clients[client].closed);
}

/// The leader shares out what others subscribe to: new partitions of theirs nobody else would see.
#[test]
fn a_leader_needs_the_topics_of_the_others() {
    let mut world = World::new(1, 2);
    world.stub.logs.insert(milena_types::TopicPartition::new("u", 0), log_of(1));
    let first = world.member(World::settings());
    let second = world.client(World::settings());
    let topics = BTreeSet::from([Topic::from("u")]);
    world.clients[second].consumer.subscribe(world.now, topics).unwrap();
    world.run_for(10 * SECOND);
    let told = [first, second].map(|client| &world.clients[client].consumer.told_topics);
    assert!(told.iter().any(|told| told.len() == 2), "{told:?}");
    assert!(told.iter().any(|told| told.len() == 1), "{told:?}: only the leader does");
}

/// Who has joined nothing and committed nothing needs nobody to look after him.
#[test]
fn a_group_that_is_not_used_is_not_looked_for() {
    let mut world = World::new(1, 1);
    world.client(World::settings());
    world.run_for(5 * SECOND);
    assert!(!world.stub.requests.contains(&ApiKey::FIND_COORDINATOR));
}
