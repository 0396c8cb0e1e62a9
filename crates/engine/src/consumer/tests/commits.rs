//! Commits: what is stored, in which order, and what is said of it.

use std::collections::BTreeMap;
use std::time::Duration;

use milena_types::ErrorCode;
use milena_wire::Request;

use crate::consumer::tests::world::{Fault, LEAVE, SECOND, World, offset, tp};
use crate::consumer::{CommitMode, CommittedOffset, Settings};
use crate::error::{ErrorKind, Fate};

fn automatic() -> Settings {
    let mut settings = World::settings();
    settings.auto_commit_interval = Some(SECOND);
    settings
}

fn at(raw: i64) -> Option<BTreeMap<milena_types::TopicPartition, CommittedOffset>> {
    Some(BTreeMap::from([(tp(0), CommittedOffset::new(offset(raw)))]))
}

/// Row 35: what is in the user's hand is not committed; what he came back for is.
#[test]
fn only_what_was_handed_out_and_returned_from_is_committed_by_itself() {
    let mut world = World::new(1, 1);
    world.produce(0, 20);
    let client = world.member(automatic());
    world.run_for(Duration::from_millis(50));
    world.clients[client].asleep = true;
    while world.clients[client].got.len() < 7 {
        world.run_for(Duration::from_millis(10));
        let now = world.now;
        world.clients[client].poll(now);
    }
    assert_eq!(world.clients[client].got.len(), 7);
    world.run_for(5 * SECOND);
    assert_eq!(world.stub.committed.get(&tp(0)).map(|at| at.0), Some(0), "7 records are in hand");
    let now = world.now;
    world.clients[client].poll(now);
    world.run_for(5 * SECOND);
    assert_eq!(world.stub.committed[&tp(0)].0, 7);
    let now = world.now;
    world.clients[client].consumer.buffer().enter_poll(now);
    world.clients[client].consumer.close(now, SECOND, LEAVE);
    world.run_for(SECOND);
    assert_eq!(world.stub.committed[&tp(0)].0, 14, "the user said that he is done with it");
    assert!(world.clients[client].closed);
}

/// The caller of `close` may be another than who works on the records, or nobody at all.
#[test]
fn closing_does_not_commit_what_is_in_hand() {
    let mut world = World::new(1, 1);
    world.produce(0, 20);
    let client = world.member(automatic());
    world.run_for(Duration::from_millis(50));
    world.clients[client].asleep = true;
    while world.clients[client].got.len() < 7 {
        world.run_for(Duration::from_millis(10));
        let now = world.now;
        world.clients[client].poll(now);
    }
    let now = world.now;
    world.clients[client].consumer.close(now, SECOND, LEAVE);
    world.run_for(SECOND);
    assert!(world.clients[client].closed);
    assert_eq!(world.stub.committed.get(&tp(0)).map_or(0, |at| at.0), 0);
}

/// Row 36, the tutorial's 2, 5, 2: the first commit fails and must not come back after the second.
#[test]
fn an_older_commit_never_overwrites_a_newer_one() {
    for (first, fault) in [
        (CommitMode::Once, Fault::LoseRequest),
        (CommitMode::Once, Fault::LoseAnswer),
        (CommitMode::Retry, Fault::LoseRequest),
        (CommitMode::Retry, Fault::LoseAnswer),
    ] {
        let mut world = World::new(1, 1);
        world.produce(0, 10);
        let client = world.member(World::settings());
        world.run_for(5 * SECOND);
        let mut hits = 0;
        world.fault = Some(Box::new(move |_, _, request| {
            let hit = matches!(request, Request::OffsetCommit(_)) && hits < 2;
            hits += u32::from(hit);
            let hit = hit && (hits == 1 || first == CommitMode::Retry);
            hit.then_some(fault)
        }));
        let now = world.now;
        let consumer = &mut world.clients[client].consumer;
        let two = consumer.commit(now, at(2), first);
        let five = consumer.commit(now, at(5), CommitMode::Once);
        world.run_for(10 * SECOND);
        assert_eq!(world.stub.committed[&tp(0)].0, 5, "{first:?} {fault:?}");
        let order: Vec<_> = world.stub.commits.iter().map(|(_, offset)| *offset).collect();
        assert!(order.is_sorted(), "{order:?}");
        assert!(world.clients[client].committed[&five].is_ok());
        let result = &world.clients[client].committed[&two];
        match first {
            CommitMode::Retry => assert!(result.is_ok(), "{result:?}"),
            CommitMode::Once => {
                assert_eq!(result.as_ref().unwrap_err().fate(), Fate::Unknown);
            }
        }
    }
}

#[test]
fn commits_without_retry_that_wait_are_sent_as_one() {
    let mut world = World::new(1, 1);
    world.produce(0, 10);
    let client = world.member(World::settings());
    world.run_for(5 * SECOND);
    let now = world.now;
    let ids: Vec<_> = (1..=9)
        .map(|raw| world.clients[client].consumer.commit(now, at(raw), CommitMode::Once))
        .collect();
    world.run_for(SECOND);
    assert_eq!(world.stub.committed[&tp(0)].0, 9);
    assert_eq!(world.stub.commits.len(), 2, "the first, and the others together");
    assert!(ids.iter().all(|id| world.clients[client].committed[id].is_ok()));
}

#[test]
fn a_commit_says_what_became_of_it_by_its_deadline() {
    let mut world = World::new(1, 1);
    let client = world.member(World::settings());
    world.run_for(5 * SECOND);
    world.fault = Some(Box::new(|_, _, request| {
        matches!(request, Request::OffsetCommit(_)).then_some(Fault::LoseAnswer)
    }));
    let now = world.now;
    let id = world.clients[client].consumer.commit(now, at(0), CommitMode::Retry);
    world.run_for(70 * SECOND);
    let error = world.clients[client].committed[&id].as_ref().unwrap_err();
    assert_eq!(error.fate(), Fate::Unknown, "{error}");
}

/// Trap 34: a commit that meets a rebalance waits for it, and is sent if its partitions are still ours.
#[test]
fn a_commit_during_a_rebalance_waits_for_its_end() {
    let mut world = World::new(1, 1);
    world.produce(0, 10);
    let client = world.member(World::settings());
    world.run_for(5 * SECOND);
    let second = world.member(World::settings());
    // Until the first has given up and joins.
    while world.stub.committed.is_empty() && world.clients[client].owned.len() == 1 {
        world.run_for(Duration::from_millis(5));
    }
    let now = world.now;
    let id = world.clients[client].consumer.commit(now, at(4), CommitMode::Retry);
    world.run_for(10 * SECOND);
    let kept = world.clients[client].owned.contains(&tp(0));
    let result = &world.clients[client].committed[&id];
    if kept {
        assert!(result.is_ok(), "{result:?}");
        assert_eq!(world.stub.committed[&tp(0)].0, 4);
    } else {
        assert_eq!(result.as_ref().unwrap_err().kind(), ErrorKind::Rebalanced);
        assert!(world.clients[second].owned.contains(&tp(0)));
    }
}

/// A zombie: the group has moved on while it slept.
#[test]
fn a_commit_of_a_lost_membership_is_refused() {
    let mut world = World::new(1, 1);
    world.produce(0, 10);
    let client = world.member(World::settings());
    world.run_for(5 * SECOND);
    world.stub.group.generation += 5;
    let now = world.now;
    let id = world.clients[client].consumer.commit(now, at(4), CommitMode::Retry);
    world.run_for(5 * SECOND);
    let error = world.clients[client].committed[&id].as_ref().unwrap_err();
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::Rebalanced, Some(ErrorCode::ILLEGAL_GENERATION))
    );
    assert!(world.stub.commits.is_empty());
    assert_eq!(world.clients[client].owned.len(), 1, "and joins again");
}

/// Trap 36: what was handed out is committed before the partitions go.
#[test]
fn revoked_partitions_are_committed_before_they_go() {
    let mut world = World::new(1, 2);
    world.produce(0, 7);
    world.produce(1, 7);
    let mut settings = automatic();
    settings.auto_commit_interval = Some(Duration::from_secs(3600));
    let client = world.member(settings.clone());
    world.run_for(5 * SECOND);
    assert_eq!(world.clients[client].got.len(), 14);
    assert!(world.stub.commits.is_empty());
    let second = world.member(settings);
    world.run_for(5 * SECOND);
    assert_eq!(world.stub.committed[&tp(0)].0, 7);
    assert_eq!(world.stub.committed[&tp(1)].0, 7);
    assert!(world.clients[second].got.is_empty(), "nothing is read twice");
}

/// Trap 36: a commit that fails must not stop the member from joining again.
#[test]
fn a_commit_that_fails_does_not_stop_a_rebalance() {
    let mut world = World::new(1, 2);
    world.produce(0, 7);
    let client = world.member(automatic());
    world.run_for(5 * SECOND);
    world.fault = Some(Box::new(|_, _, request| {
        matches!(request, Request::OffsetCommit(_)).then_some(Fault::LoseRequest)
    }));
    let second = world.member(World::settings());
    world.run_for(40 * SECOND);
    let owned = world.clients[client].owned.len() + world.clients[second].owned.len();
    assert_eq!(owned, 2);
    assert_eq!(world.clients[second].owned.len(), 1);
}

#[test]
fn a_commit_without_a_group_is_misuse() {
    let mut world = World::new(1, 1);
    let mut settings = World::settings();
    settings.group = None;
    let client = world.assigned(settings, &[0]);
    let now = world.now;
    let id = world.clients[client].consumer.commit(now, None, CommitMode::Retry);
    world.run_for(SECOND);
    let error = world.clients[client].committed[&id].as_ref().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misuse);
}

#[test]
fn a_standalone_consumer_commits_and_starts_there() {
    let mut world = World::new(1, 1);
    world.produce(0, 10);
    let client = world.assigned(automatic(), &[0]);
    world.run_for(5 * SECOND);
    assert_eq!(world.stub.committed[&tp(0)].0, 10);
    let now = world.now;
    world.clients[client].consumer.close(now, SECOND, LEAVE);
    world.run_for(SECOND);
    world.produce(0, 2);
    let next = world.assigned(automatic(), &[0]);
    world.run_for(SECOND);
    assert_eq!(world.clients[next].offsets(0), [10, 11]);
}

/// A worker that is slow to finish, of which the coordinator knows nothing: the generation is right, and the group would
/// go back to where the worker stands.
#[test]
fn a_partition_that_went_to_another_member_is_not_committed_any_more() {
    let mut world = World::new(1, 2);
    world.produce(0, 10);
    world.produce(1, 10);
    let first = world.member(World::settings());
    world.run_for(5 * SECOND);
    let stay = world.clients[first].consumer.buffer().stay(&tp(1)).unwrap();
    let second = world.member(World::settings());
    world.run_for(5 * SECOND);
    assert!(world.clients[second].owned.contains(&tp(1)));
    let now = world.now;
    world.clients[second].consumer.commit(now, None, CommitMode::Retry);
    world.run_for(SECOND);
    assert_eq!(world.stub.committed[&tp(1)].0, 10);

    let now = world.now;
    let consumer = &mut world.clients[first].consumer;
    let offsets = BTreeMap::from([(tp(1), CommittedOffset::new(offset(5)))]);
    let id = consumer.commit(now, Some(offsets), CommitMode::Retry);
    let held = consumer.ensure_held(&BTreeMap::from([(tp(1), stay)]));
    assert_eq!(held.unwrap_err().kind(), ErrorKind::Rebalanced);
    world.run_for(5 * SECOND);
    let error = world.clients[first].committed[&id].as_ref().unwrap_err();
    assert_eq!((error.kind(), error.fate()), (ErrorKind::Rebalanced, Fate::NotStored));
    assert_eq!(world.stub.committed[&tp(1)].0, 10, "the second member's");
}

/// The same partition again, at its committed offset: another member may have had it in between, and moved that.
#[test]
fn what_was_read_in_one_stay_is_not_held_in_the_next() {
    let mut world = World::new(1, 2);
    let first = world.member(World::settings());
    world.run_for(5 * SECOND);
    let before = world.clients[first].consumer.buffer().stay(&tp(0)).unwrap();
    world.member(World::settings());
    world.run_for(5 * SECOND);
    let consumer = &world.clients[first].consumer;
    let now = consumer.buffer().stay(&tp(0)).unwrap();
    assert!(consumer.ensure_held(&BTreeMap::from([(tp(0), before)])).is_err());
    assert!(consumer.ensure_held(&BTreeMap::from([(tp(0), now)])).is_ok());
}
