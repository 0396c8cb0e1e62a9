//! Commits: what is stored, in which order, and what is said of it.

use std::collections::BTreeMap;
use std::time::Duration;

use milena_types::{ApiKey, ErrorCode};
use milena_wire::Request;

use crate::consumer::tests::world::{Fault, LEAVE, Rule, SECOND, World, offset, tp};
use crate::consumer::{
    AssignmentStrategy, CommitId, CommitMode, CommittedOffset, GroupProtocol, MemberState,
    Settings, TopicFilter,
};
use crate::error::{Error, ErrorKind, Fate};

fn automatic() -> Settings {
    let mut settings = World::settings();
    settings.auto_commit_interval = Some(SECOND);
    settings
}

/// Commits by itself where it must, and not in between.
fn at_the_end() -> Settings {
    Settings { auto_commit_interval: Some(Duration::from_secs(3600)), ..automatic() }
}

/// A member that has read all there is: so many records in each partition.
fn joined(settings: Settings, records: &[i64]) -> (World, usize) {
    let mut world = World::new(1, i32::try_from(records.len()).unwrap());
    for (partition, count) in (0..).zip(records).filter(|(_, count)| **count > 0) {
        world.produce(partition, *count);
    }
    let client = world.member(settings);
    world.run_for(5 * SECOND);
    (world, client)
}

/// A member whose user works on the first seven of twenty records, and polls no more by himself.
fn seven_in_hand() -> (World, usize) {
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
    (world, client)
}

fn commits_meet(fault: Fault) -> Option<Rule> {
    Some(Box::new(move |_, _, request| {
        matches!(request, Request::OffsetCommit(_)).then_some(fault)
    }))
}

/// Commits `raw` for partition 0.
fn commit(world: &mut World, client: usize, raw: i64, mode: CommitMode) -> CommitId {
    let offsets = BTreeMap::from([(tp(0), CommittedOffset::new(offset(raw)))]);
    world.clients[client].consumer.commit(world.now, Some(offsets), mode)
}

fn failure(world: &World, client: usize, id: CommitId) -> &Error {
    world.clients[client].committed[&id].as_ref().unwrap_err()
}

/// Closes, which is over before `patience` is.
fn close_within(world: &mut World, client: usize, span: Duration, patience: Duration) {
    world.clients[client].consumer.close(world.now, patience, LEAVE);
    world.run_for(span);
    assert!(world.clients[client].closed);
}

/// Row 35: what is in the user's hand is not committed; what he came back for is.
#[test]
fn only_what_was_handed_out_and_returned_from_is_committed_by_itself() {
    let (mut world, client) = seven_in_hand();
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
    let (mut world, client) = seven_in_hand();
    close_within(&mut world, client, SECOND, SECOND);
    assert_eq!(world.stub.committed.get(&tp(0)).map_or(0, |at| at.0), 0);
}

/// Row 42: the others wait for both.
#[test]
fn closing_commits_what_is_done_with_and_leaves_in_a_moment() {
    let (mut world, client) = joined(at_the_end(), &[10]);
    let now = world.now;
    world.clients[client].consumer.buffer().enter_poll(now);
    close_within(&mut world, client, Duration::from_millis(200), 5 * SECOND);
    assert_eq!(world.stub.committed[&tp(0)].0, 10);
    let goodbye = world.stub.requests.iter().rev().find(|api| **api != ApiKey::FETCH);
    assert_eq!(goodbye, Some(&ApiKey::LEAVE_GROUP));
    assert!(world.stub.group.members.is_empty());
}

/// A listener that took all the time of `close` would cost what the user is done with.
#[test]
fn a_close_without_time_sends_its_commit_still() {
    let (mut world, client) = joined(at_the_end(), &[10]);
    let now = world.now;
    world.clients[client].consumer.buffer().enter_poll(now);
    close_within(&mut world, client, Duration::ZERO, Duration::ZERO);
    world.run_for(SECOND);
    assert_eq!(world.stub.committed.get(&tp(0)).map(|at| at.0), Some(10));
    let mut goodbye = world.stub.requests.iter().rev().filter(|api| **api != ApiKey::FETCH);
    assert_eq!(goodbye.next(), Some(&ApiKey::LEAVE_GROUP));
    assert_eq!(goodbye.next(), Some(&ApiKey::OFFSET_COMMIT));
    // Nobody waited for what became of it.
    let error = world.clients[client].committed.values().next().unwrap().as_ref().unwrap_err();
    assert_eq!((error.kind(), error.fate()), (ErrorKind::Closed, Fate::Unknown));
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
        let (mut world, client) = joined(World::settings(), &[10]);
        let mut hits = 0;
        world.fault = Some(Box::new(move |_, _, request| {
            let hit = matches!(request, Request::OffsetCommit(_)) && hits < 2;
            hits += u32::from(hit);
            let hit = hit && (hits == 1 || first == CommitMode::Retry);
            hit.then_some(fault)
        }));
        let two = commit(&mut world, client, 2, first);
        let five = commit(&mut world, client, 5, CommitMode::Once);
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
    let (mut world, client) = joined(World::settings(), &[10]);
    let ids: Vec<_> =
        (1..=9).map(|raw| commit(&mut world, client, raw, CommitMode::Once)).collect();
    world.run_for(SECOND);
    assert_eq!(world.stub.committed[&tp(0)].0, 9);
    assert_eq!(world.stub.commits.len(), 2, "the first, and the others together");
    assert!(ids.iter().all(|id| world.clients[client].committed[id].is_ok()));
}

#[test]
fn a_commit_says_what_became_of_it_by_its_deadline() {
    let (mut world, client) = joined(World::settings(), &[0]);
    world.fault = commits_meet(Fault::LoseAnswer);
    let id = commit(&mut world, client, 0, CommitMode::Retry);
    world.run_for(70 * SECOND);
    let error = failure(&world, client, id);
    assert_eq!(error.fate(), Fate::Unknown, "{error}");
}

/// Trap 34: a commit that meets a rebalance waits for it, and is sent if its partitions were ours all the while. One that
/// came back is read again from where the group stood, and committed from there.
#[test]
fn a_commit_before_a_rebalance_waits_for_its_end() {
    for (strategy, is_kept) in
        [(AssignmentStrategy::CooperativeSticky, true), (AssignmentStrategy::Range, false)]
    {
        let mut settings = World::settings();
        settings.group.as_mut().unwrap().assignment_strategies = vec![strategy];
        let (mut world, client) = joined(settings, &[10]);
        world.fault = commits_meet(Fault::LoseRequest);
        let id = commit(&mut world, client, 4, CommitMode::Retry);
        let before = world.stub.group.generation;
        world.clients[client].consumer.enforce_rebalance(world.now, "a test");
        world.run_for(40 * SECOND);
        assert_eq!(world.stub.group.generation, before + 1);
        assert!(world.clients[client].owned.contains(&tp(0)));
        world.fault = None;
        world.run_for(5 * SECOND);
        assert_eq!(world.stub.committed.get(&tp(0)).map_or(0, |at| at.0), 4 * i64::from(is_kept));
        if is_kept {
            let result = &world.clients[client].committed[&id];
            assert!(result.is_ok(), "{result:?}");
        } else {
            let error = failure(&world, client, id);
            assert_eq!((error.kind(), error.fate()), (ErrorKind::Rebalanced, Fate::Unknown));
        }
    }
}

/// What is given up is not ours to commit, and what comes back may have been another's: a generation that this member
/// joined and never heard the assignment of is one in which others read.
#[test]
fn a_commit_while_joining_is_refused_where_the_partition_was_given_up() {
    let (mut world, client) = joined(World::settings(), &[10]);
    world.fault = Some(Box::new(|_, _, request| {
        matches!(request, Request::SyncGroup(_)).then_some(Fault::LoseRequest)
    }));
    let now = world.now;
    world.clients[client].consumer.enforce_rebalance(now, "a test");
    while world.clients[client].consumer.member_state() != Some(MemberState::Syncing) {
        world.run_for(Duration::from_millis(1));
    }
    let id = commit(&mut world, client, 4, CommitMode::Retry);
    world.run_for(3 * SECOND);
    world.fault = None;
    world.run_for(10 * SECOND);
    assert_eq!(world.clients[client].owned.len(), 1);
    let error = failure(&world, client, id);
    assert_eq!((error.kind(), error.fate()), (ErrorKind::Rebalanced, Fate::NotStored));
    assert!(world.stub.commits.is_empty());
}

/// Who commits in a loop while the coordinator is out of reach: each call ends by its own deadline, and the last offset
/// goes out, once.
#[test]
fn commits_that_wait_for_a_retry_are_sent_as_one() {
    let (mut world, client) = joined(World::settings(), &[100]);
    world.fault = commits_meet(Fault::LoseRequest);
    let mut ids = Vec::new();
    for raw in 1..=90 {
        ids.push(commit(&mut world, client, raw, CommitMode::Retry));
        world.run_for(SECOND);
    }
    let committed = &world.clients[client].committed;
    let late: Vec<_> = ids.iter().filter_map(|id| committed.get(id)).collect();
    assert!((29..=31).contains(&late.len()), "60 s each: {}", late.len());
    assert!(late.iter().all(|late| late.as_ref().is_err_and(|e| e.kind() == ErrorKind::Timeout)));
    world.fault = None;
    world.run_for(5 * SECOND);
    let stored: Vec<_> = world.stub.commits.iter().map(|(_, offset)| *offset).collect();
    assert_eq!(stored, [90]);
    let committed = &world.clients[client].committed;
    assert!(ids[40..].iter().all(|id| committed[id].is_ok()));
}

/// The commit of closing is asked for while that of the revocation is under way: let go then, the partitions would be
/// nobody's to commit, and `close` would tell of a failure though all is stored.
#[test]
fn a_close_in_a_rebalance_commits_what_is_being_given_up() {
    let (mut world, client) = joined(at_the_end(), &[7, 7]);
    world.clients[client].holds = Some(Vec::new());
    let second = world.member(at_the_end());
    world.run_for(3 * SECOND);
    let revoked = world.clients[client].holds.take().unwrap();
    let now = world.now;
    for id in revoked {
        world.clients[client].consumer.acknowledge(now, id);
    }
    world.clients[client].consumer.close(now, 10 * SECOND, LEAVE);
    world.run_for(5 * SECOND);
    assert!(world.clients[client].closed);
    let committed: Vec<_> = world.clients[client].committed.values().collect();
    assert!(committed.len() == 2 && committed.iter().all(|one| one.is_ok()), "{committed:?}");
    assert_eq!(world.clients[second].owned.len(), 2);
    assert!(world.clients[second].got.is_empty(), "nothing is read twice");
}

/// A topic that was deleted cannot be committed any more, and must not keep others waiting for partitions.
#[test]
fn a_deleted_topic_holds_up_neither_a_rebalance_nor_a_close() {
    let (mut world, client) = joined(automatic(), &[7, 0]);
    world.stub.commit_error = Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    let by_hand = commit(&mut world, client, 3, CommitMode::Retry);
    world.run_for(3 * SECOND);
    assert!(!world.clients[client].committed.contains_key(&by_hand), "it may come to be known");
    let second = world.member(automatic());
    world.run_for(6 * SECOND);
    assert_eq!(world.clients[second].owned.len(), 1);
    let error = failure(&world, client, by_hand);
    assert_eq!(error.kind(), ErrorKind::UnknownTopic);
    close_within(&mut world, client, 2 * SECOND, 30 * SECOND);
}

/// A zombie: the group has moved on while it slept.
#[test]
fn a_commit_of_a_lost_membership_is_refused() {
    let (mut world, client) = joined(World::settings(), &[10]);
    world.stub.group.generation += 5;
    let id = commit(&mut world, client, 4, CommitMode::Retry);
    world.run_for(5 * SECOND);
    let error = failure(&world, client, id);
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::Rebalanced, Some(ErrorCode::ILLEGAL_GENERATION))
    );
    assert!(world.stub.commits.is_empty());
    assert_eq!(world.clients[client].owned.len(), 1, "and joins again");
}

/// He would take what he has in hand for stored.
#[test]
fn who_is_out_of_his_group_hears_so_even_with_nothing_left_to_commit() {
    let (mut world, client) = joined(World::settings(), &[10]);
    world.clients[client].asleep = true;
    world.run_for(40 * SECOND);
    assert_eq!(world.clients[client].consumer.member_state(), Some(MemberState::Expelled));
    let now = world.now;
    let late = world.clients[client].consumer.commit(now, None, CommitMode::Retry);
    world.run_for(SECOND);
    let error = failure(&world, client, late);
    assert_eq!((error.kind(), error.fate()), (ErrorKind::Rebalanced, Fate::NotStored));
    world.clients[client].asleep = false;
    world.run_for(5 * SECOND);
    let now = world.now;
    let back = world.clients[client].consumer.commit(now, None, CommitMode::Retry);
    world.run_for(SECOND);
    assert!(world.clients[client].committed[&back].is_ok());
    assert_eq!(world.stub.committed[&tp(0)].0, 10);
}

/// Fenced by another instance, for good.
#[test]
fn every_commit_of_who_was_fenced_fails_so() {
    let (mut world, client) = joined(World::settings(), &[10]);
    world.stub.commit_error = Some(ErrorCode::FENCED_INSTANCE_ID);
    for _ in 0..2 {
        let now = world.now;
        let id = world.clients[client].consumer.commit(now, None, CommitMode::Retry);
        world.run_for(SECOND);
        let error = failure(&world, client, id);
        assert_eq!((error.kind(), error.is_fatal()), (ErrorKind::Fenced, true), "{error}");
        world.stub.commit_error = None;
    }
}

/// By unsubscribing, or because the topics that match are not known yet: nothing of his is another's.
#[test]
fn who_has_not_joined_yet_or_left_by_himself_has_nothing_to_commit_in_peace() {
    let mut world = World::new(1, 1);
    world.produce(0, 10);
    let client = world.client(World::settings());
    let all = || TopicFilter::new(|_| true);
    for state in [MemberState::Unjoined, MemberState::Leaving] {
        let now = world.now;
        // Whoever unsubscribes hears of no loss.
        world.clients[client].owned.clear();
        let consumer = &mut world.clients[client].consumer;
        if state == MemberState::Leaving {
            consumer.unsubscribe(now).unwrap();
        }
        consumer.subscribe_matching(now, all()).unwrap();
        assert_eq!(consumer.member_state(), Some(state));
        let nothing = consumer.commit(now, None, CommitMode::Retry);
        let something = commit(&mut world, client, 0, CommitMode::Retry);
        world.run_for(5 * SECOND);
        assert!(world.clients[client].committed[&nothing].is_ok(), "{state:?}");
        assert_eq!(failure(&world, client, something).kind(), ErrorKind::Rebalanced, "{state:?}");
        assert_eq!(world.clients[client].owned.len(), 1, "{state:?}");
    }
}

/// Whatever became of the request that failed: no commit was sent.
#[test]
fn a_commit_of_a_member_that_failed_is_not_stored() {
    let mut settings = World::settings();
    settings.group.as_mut().unwrap().protocol = GroupProtocol::Consumer;
    let (mut world, client) = joined(settings, &[10]);
    assert_eq!(world.clients[client].consumer.member_state(), Some(MemberState::Failed));
    let now = world.now;
    let id = world.clients[client].consumer.commit(now, None, CommitMode::Retry);
    world.run_for(SECOND);
    let error = failure(&world, client, id);
    let expected = (Some(ErrorCode::UNKNOWN_SERVER_ERROR), Fate::NotStored);
    assert_eq!((error.code(), error.fate()), expected, "{error}");
}

/// Trap 36: what was handed out is committed before the partitions go.
#[test]
fn revoked_partitions_are_committed_before_they_go() {
    let (mut world, client) = joined(at_the_end(), &[7, 7]);
    assert_eq!(world.clients[client].got.len(), 14);
    assert!(world.stub.commits.is_empty());
    let second = world.member(at_the_end());
    world.run_for(5 * SECOND);
    assert_eq!(world.stub.committed[&tp(0)].0, 7);
    assert_eq!(world.stub.committed[&tp(1)].0, 7);
    assert!(world.clients[second].got.is_empty(), "nothing is read twice");
}

/// Trap 36: a commit that fails must not stop the member from joining again.
#[test]
fn a_commit_that_fails_does_not_stop_a_rebalance() {
    let (mut world, client) = joined(automatic(), &[7, 0]);
    world.fault = commits_meet(Fault::LoseRequest);
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
    let error = failure(&world, client, id);
    assert_eq!(error.kind(), ErrorKind::Misuse);
}

#[test]
fn a_standalone_consumer_commits_and_starts_there() {
    let mut world = World::new(1, 1);
    world.produce(0, 10);
    let client = world.assigned(automatic(), &[0]);
    world.run_for(5 * SECOND);
    assert_eq!(world.stub.committed[&tp(0)].0, 10);
    close_within(&mut world, client, SECOND, SECOND);
    world.produce(0, 2);
    let next = world.assigned(automatic(), &[0]);
    world.run_for(SECOND);
    assert_eq!(world.clients[next].offsets(0), [10, 11]);
}

/// A worker that is slow to finish, of which the coordinator knows nothing: the generation is right, and the group would
/// go back to where the worker stands.
#[test]
fn a_partition_that_went_to_another_member_is_not_committed_any_more() {
    let (mut world, first) = joined(World::settings(), &[10, 10]);
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
    let error = failure(&world, first, id);
    assert_eq!((error.kind(), error.fate()), (ErrorKind::Rebalanced, Fate::NotStored));
    assert_eq!(world.stub.committed[&tp(1)].0, 10, "the second member's");
}

/// The same partition again, at its committed offset: another member may have had it in between, and moved that.
#[test]
fn what_was_read_in_one_stay_is_not_held_in_the_next() {
    let (mut world, first) = joined(World::settings(), &[0, 0]);
    let before = world.clients[first].consumer.buffer().stay(&tp(0)).unwrap();
    world.member(World::settings());
    world.run_for(5 * SECOND);
    let consumer = &world.clients[first].consumer;
    let now = consumer.buffer().stay(&tp(0)).unwrap();
    assert!(consumer.ensure_held(&BTreeMap::from([(tp(0), before)])).is_err());
    assert!(consumer.ensure_held(&BTreeMap::from([(tp(0), now)])).is_ok());
}
