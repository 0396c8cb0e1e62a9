//! What brokers refuse or do not answer, and what that must not cost.

use std::collections::BTreeMap;
use std::error::Error as _;

use milena_types::{ApiKey, ErrorCode, Topic};
use milena_wire::Request;

use crate::consumer::tests::world::{Fault, SECOND, World, log_of, offset, tp};
use crate::consumer::{
    Change, CommitMode, CommittedOffset, Event, MemberState, OffsetSpec, Query, Reply, Settings,
};
use crate::error::ErrorKind;

fn automatic() -> Settings {
    let mut settings = World::settings();
    settings.auto_commit_interval = Some(SECOND);
    settings
}

fn at(raw: i64) -> Option<BTreeMap<milena_types::TopicPartition, CommittedOffset>> {
    Some(BTreeMap::from([(tp(0), CommittedOffset::new(offset(raw)))]))
}

/// One commit with too much metadata must not cost the member its partitions, nor the reader its records.
#[test]
fn a_commit_that_is_refused_for_itself_costs_nothing_else() {
    for code in [12, 29, 999].map(ErrorCode::from_wire) {
        for is_member in [true, false] {
            let mut world = World::new(1, 1);
            let settings = World::settings();
            let client =
                if is_member { world.member(settings) } else { world.assigned(settings, &[0]) };
            world.run_for(5 * SECOND);
            world.stub.commit_error = Some(code);
            let now = world.now;
            let id = world.clients[client].consumer.commit(now, at(0), CommitMode::Retry);
            world.produce(0, 5);
            world.run_for(5 * SECOND);
            let error = world.clients[client].committed[&id].as_ref().unwrap_err();
            assert_eq!(error.code(), Some(code));
            assert_eq!(world.clients[client].offsets(0), [0, 1, 2, 3, 4], "{code} {is_member}");
            let state = if is_member { MemberState::Stable } else { MemberState::Unjoined };
            assert_eq!(world.clients[client].consumer.member_state(), Some(state), "{code}");
            assert!(world.clients[client].errors.is_empty(), "the commit alone says so");
        }
    }
}

/// Whoever reads by hand is no member, so an answer about members has nothing to end.
#[test]
fn a_fenced_commit_of_a_standalone_consumer_fails_alone() {
    let mut world = World::new(1, 1);
    let client = world.assigned(World::settings(), &[0]);
    world.run_for(SECOND);
    world.stub.commit_error = Some(ErrorCode::FENCED_INSTANCE_ID);
    let now = world.now;
    let id = world.clients[client].consumer.commit(now, at(0), CommitMode::Retry);
    world.produce(0, 5);
    world.run_for(5 * SECOND);
    assert!(world.clients[client].committed[&id].is_err());
    assert_eq!(world.clients[client].got.len(), 5);
}

/// The answer to a commit comes before the one to LeaveGroup: leaving goes on all the same.
#[test]
fn a_late_fatal_answer_does_not_stop_a_member_from_leaving() {
    let mut world = World::new(1, 1);
    let client = world.member(World::settings());
    world.run_for(5 * SECOND);
    world.stub.commit_error = Some(ErrorCode::FENCED_INSTANCE_ID);
    let now = world.now;
    let consumer = &mut world.clients[client].consumer;
    consumer.commit(now, at(0), CommitMode::Retry);
    consumer.unsubscribe(now).unwrap();
    world.run_for(SECOND);
    assert_eq!(world.clients[client].consumer.member_state(), Some(MemberState::Unjoined));
    assert!(world.stub.group.members.is_empty());
}

/// A broker that restarts refuses connections for a while. A user who stops at an error would stop at each restart.
#[test]
fn an_unreachable_broker_is_waited_for_in_silence() {
    let mut world = World::new(1, 2);
    world.produce(0, 5);
    world.produce(1, 5);
    let client = world.assigned(World::settings(), &[0, 1]);
    world.run_for(SECOND);
    let early = world.assigned(World::settings(), &[0]);
    world.fault = Some(Box::new(|_, _, _| Some(Fault::Refuse)));
    let ends = Query::Offsets(BTreeMap::from([(tp(0), OffsetSpec::Latest)]));
    let now = world.now;
    let query = world.clients[client].consumer.query(now, ends);
    world.run_for(20 * SECOND);
    world.fault = None;
    world.run_for(5 * SECOND);
    for client in [client, early] {
        assert!(world.clients[client].errors.is_empty(), "{:?}", world.clients[client].errors);
    }
    assert_eq!(world.clients[client].got.len(), 10);
    assert_eq!(world.clients[early].got.len(), 5);
    assert!(matches!(world.clients[client].answered[&query], Ok(Reply::Offsets(_))));
}

/// Metadata came from a broker that knows the new leader already; the new leader does not, and names the old one.
#[test]
fn a_leader_that_does_not_know_yet_is_not_asked_without_pause() {
    let mut world = World::new(1, 1);
    world.produce(0, 5);
    let client = world.assigned(World::settings(), &[0]);
    world.run_for(SECOND);
    world.stub.logs.get_mut(&tp(0)).unwrap().elect(2, 5);
    world.stub.behind = Some((2, (1, 0)));
    world.run_for(SECOND);
    world.stub.requests.clear();
    world.run_for(10 * SECOND);
    let count = |api| world.stub.requests.iter().filter(|asked| **asked == api).count();
    assert!(count(ApiKey::FETCH) < 40, "{} fetches in 10 s", count(ApiKey::FETCH));
    world.stub.behind = None;
    world.produce(0, 5);
    world.run_for(3 * SECOND);
    assert_eq!(world.clients[client].got.len(), 10);
}

/// P20: a look-up that fell due wakes its owner only if somebody waits for the coordinator.
#[test]
fn nobody_is_woken_for_a_coordinator_that_nobody_needs() {
    let mut world = World::new(1, 1);
    let client = world.assigned(World::settings(), &[0]);
    world.run_for(SECOND);
    world.stub.commit_error = Some(ErrorCode::NOT_COORDINATOR);
    for _ in 0..2 {
        let now = world.now;
        world.clients[client].consumer.commit(now, at(0), CommitMode::Once);
        world.run_for(SECOND);
    }
    world.clients[client].timeouts = 0;
    world.run_for(10 * SECOND);
    let woken = world.clients[client].timeouts;
    assert!(woken < 50, "woken {woken} times");
}

/// P20: while a JoinGroup waits for the slowest member nothing can be committed, and there is nothing to wake for.
#[test]
fn a_long_join_is_waited_for_asleep() {
    let mut world = World::new(1, 2);
    world.produce(0, 5);
    let first = world.member(automatic());
    let slow = world.member(World::settings());
    world.run_for(10 * SECOND);
    world.clients[slow].asleep = true;
    world.member(World::settings());
    world.run_for(5 * SECOND);
    assert_eq!(world.clients[first].consumer.member_state(), Some(MemberState::Joining));
    world.clients[first].timeouts = 0;
    world.run_for(10 * SECOND);
    let state = world.clients[first].consumer.member_state();
    assert_eq!(state, Some(MemberState::Joining));
    let woken = world.clients[first].timeouts;
    assert!(woken < 50, "woken {woken} times");
}

/// F39: the coordinator came back at another place and leads nothing that is read, so no fetch ever fails for it.
#[test]
fn a_coordinator_that_moved_has_fresh_metadata_asked_for() {
    let mut world = World::new(1, 0);
    let client = world.member(World::settings());
    world.run_for(SECOND);
    world.clients[client].refreshes = 0;
    world.stub.coordinator_port = Some(19_092);
    let outage = |_: &mut _, _, request: &Request| {
        let is_groups = matches!(
            request,
            Request::JoinGroup(_) | Request::SyncGroup(_) | Request::Heartbeat(_)
        );
        is_groups.then_some(Fault::Refuse)
    };
    world.fault = Some(Box::new(outage));
    world.run_for(5 * SECOND);
    let asked = world.clients[client].refreshes;
    assert!((1..=20).contains(&asked), "asked {asked} times");
}

/// Without a word the consumer would poll in vain for ever.
#[test]
fn a_topic_that_may_not_be_read_is_told_once_and_again_when_it_happens_again() {
    let mut world = World::new(1, 0);
    let secret = Topic::from("t");
    world.stub.topic_errors.insert(secret.clone(), ErrorCode::TOPIC_AUTHORIZATION_FAILED);
    let member = world.member(World::settings());
    let reader = world.assigned(World::settings(), &[0]);
    world.run_for(20 * SECOND);
    for client in [member, reader] {
        let errors = &world.clients[client].errors;
        let [error] = &errors[..] else { panic!("{errors:?}") };
        assert_eq!(error.kind(), ErrorKind::Authorization);
        assert_eq!(error.topic(), Some(&secret));
        assert!(!error.is_fatal());
    }
    world.stub.topic_errors.clear();
    world.stub.logs.insert(tp(0), log_of(1));
    world.produce(0, 5);
    world.run_for(20 * SECOND);
    assert_eq!(world.clients[reader].got.len(), 5, "the right was given");
}

#[test]
fn a_question_about_a_topic_that_cannot_be_read_is_answered_with_the_reason() {
    for (code, kind) in [
        (ErrorCode::TOPIC_AUTHORIZATION_FAILED, ErrorKind::Authorization),
        (ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, ErrorKind::Timeout),
    ] {
        let mut world = World::new(1, 0);
        world.stub.topic_errors.insert(Topic::from("t"), code);
        let client = world.client(World::settings());
        let ends = Query::Offsets(BTreeMap::from([(tp(0), OffsetSpec::Latest)]));
        let now = world.now;
        let query = world.clients[client].consumer.query(now, ends);
        world.run_for(70 * SECOND);
        let answer = &world.clients[client].answered[&query];
        let error = answer.as_ref().unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(kind == ErrorKind::Authorization || error.source().is_some());
        assert!(world.clients[client].errors.is_empty(), "who asks is told, and nobody else");
    }
}

/// A member that failed does not come back; one word of it among the records is easily overheard.
#[test]
fn a_member_that_fails_says_so_as_its_last_word() {
    let mut world = World::new(1, 1);
    let client = world.member(World::settings());
    world.run_for(5 * SECOND);
    world.stub.commit_error = Some(ErrorCode::FENCED_INSTANCE_ID);
    let now = world.now;
    world.clients[client].consumer.commit(now, at(0), CommitMode::Retry);
    world.run_for(5 * SECOND);
    let events = &world.clients[client].events;
    let [.., Event::Rebalance(lost), Event::Error(error)] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!(lost.change, Change::Lost);
    assert!(error.is_fatal(), "{error:?}");
}
