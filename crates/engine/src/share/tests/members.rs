//! Joining, beating, being fenced, leaving.

use std::collections::BTreeSet;
use std::time::Duration;

use fastrand::Rng;
use milena_types::{ErrorCode, Topic};

use super::script::Script;
use crate::request::Failure;
use crate::share::{MemberState, Settings, ShareConsumer};

#[test]
fn a_member_joins_by_a_name_of_its_own_and_beats_without_repeating_itself() {
    let mut script = Script::new(|_| {});
    let join = script.heartbeat();
    assert_eq!((join.member_epoch, &*join.member_id), (0, script.machine.member_id()));
    assert_eq!(join.subscribed_topic_names.as_ref().map(Vec::len), Some(1));
    script.assign(&[0, 1]);
    assert_eq!(script.machine.member_state(), MemberState::Stable);
    assert_eq!(script.machine.assignment().len(), 2);
    script.pass(Duration::from_secs(5));
    let beat = script.heartbeat();
    assert_eq!((beat.member_epoch, beat.subscribed_topic_names), (1, None));
}

/// A copy of a join that was given up may be carried out late, and what is assigned then is told to nobody.
#[test]
fn an_assignment_told_to_nobody_is_told_again_as_the_topics_are_said_from_time_to_time() {
    let mut script = Script::joined(&[0]);
    let said: Vec<_> = (0..12)
        .map(|_| {
            script.pass(Duration::from_secs(5));
            let says_all = script.heartbeat().subscribed_topic_names.is_some();
            script.answer_heartbeat(ErrorCode::NONE, says_all.then_some(&[0, 1]));
            says_all
        })
        .collect();
    assert_eq!(said.iter().filter(|says_all| **says_all).count(), 2, "{said:?}");
    assert!(said[5] && said[11], "every 30 s: {said:?}");
    assert_eq!(script.machine.assignment().len(), 2);
}

/// A coordinator assigns a moment after it took a member in; with its own interval, that would be heard 5 s later.
#[test]
fn a_member_without_an_assignment_asks_again_soon_but_not_for_ever() {
    let mut script = Script::new(|_| {});
    let (mut soon, mut in_all) = (0, 0);
    for tenth in 0..1000 {
        if script.beats() {
            let _ = script.heartbeat();
            script.answer_heartbeat(ErrorCode::NONE, None);
            soon += u32::from(tenth < 10);
            in_all += 1;
        }
        script.pass(Duration::from_millis(100));
    }
    assert!(soon >= 3, "{soon} in the first second");
    assert!((20..30).contains(&in_all), "{in_all} in 100 s");
}

#[test]
fn a_fenced_member_joins_again_under_the_same_name_with_everything() {
    let mut script = Script::joined(&[0]);
    let name = script.machine.member_id().to_owned();
    script.pass(Duration::from_secs(5));
    let _ = script.heartbeat();
    script.answer_heartbeat(ErrorCode::FENCED_MEMBER_EPOCH, None);
    assert_eq!(script.machine.member_state(), MemberState::Joining);
    assert_eq!(script.machine.assignment(), BTreeSet::new());
    script.pass(Duration::from_secs(2));
    let join = script.heartbeat();
    assert_eq!((join.member_epoch, &*join.member_id), (0, &*name));
    assert!(join.subscribed_topic_names.is_some());
}

#[test]
fn who_does_not_poll_leaves_and_comes_back_with_the_next_poll() {
    let mut script = Script::joined(&[0]);
    script.buffer.enter_poll(script.now);
    script.buffer.leave_poll(script.now);
    for _ in 0..59 {
        script.pass(Duration::from_secs(5));
        assert_eq!(script.heartbeat().member_epoch, 1);
        script.answer_heartbeat(ErrorCode::NONE, None);
    }
    script.pass(Duration::from_secs(5));
    assert_eq!(script.heartbeat().member_epoch, -1);
    script.answer_heartbeat(ErrorCode::NONE, None);
    assert_eq!(script.machine.member_state(), MemberState::Expelled);
    script.buffer.enter_poll(script.now);
    script.stir();
    assert_eq!(script.heartbeat().member_epoch, 0);
}

/// It died between the answer that named it and the metadata that should say where it is; the group has moved.
#[test]
fn a_coordinator_that_the_metadata_does_not_know_is_asked_for_again() {
    let mut script = Script::new(|_| {});
    let _ = script.heartbeat();
    script.fail_heartbeat(Failure::NotSent);
    script.pass(Duration::from_secs(5));
    assert!(script.looks_for_the_coordinator());
    assert!(!script.beats());
}

#[test]
fn a_group_that_may_not_be_read_fails_the_consumer() {
    let mut script = Script::new(|_| {});
    let _ = script.heartbeat();
    script.answer_heartbeat(ErrorCode::GROUP_AUTHORIZATION_FAILED, None);
    for _ in 0..2 {
        let error = script.buffer.take_error().unwrap();
        assert!(error.is_fatal(), "{error}");
    }
    assert_eq!(script.machine.member_state(), MemberState::Failed);
}

/// Who took a leading dash for an option could not name the member; tools and logs show Java's form.
#[test]
fn members_name_themselves_at_random_in_javas_form() {
    const DIGITS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut names = BTreeSet::new();
    for seed in 0..500 {
        let machine = ShareConsumer::new(Settings::new("g"), Rng::with_seed(seed));
        let name = machine.member_id();
        let digit = |place: usize| DIGITS.find(&name[place..=place]).unwrap();
        assert_eq!(name.len(), 22);
        assert!(!name.starts_with('-'), "{name}");
        // Bits 48 to 51 are the version, 64 and 65 the variant; a digit has six.
        assert_eq!((digit(8) >> 2, digit(10) & 3), (4, 2), "{name}");
        names.insert(name.to_owned());
    }
    assert_eq!(names.len(), 500);
}

#[test]
fn who_is_subscribed_to_nothing_looks_for_no_coordinator() {
    let mut script = Script::idle(|_| {});
    assert!(!script.looks_for_the_coordinator());
    assert_eq!((script.topics.len(), script.machine.poll_timeout()), (0, None));
    script.machine.subscribe(script.now, [Topic::from("jobs")].into()).unwrap();
    script.stir();
    assert!(script.looks_for_the_coordinator());
    assert_eq!(script.topics, BTreeSet::from([Topic::from("jobs")]));
}

#[test]
fn where_a_member_is_is_told_when_it_joins_and_not_again() {
    let mut script = Script::new(|settings| settings.client_rack = Some("a".into()));
    assert_eq!(script.heartbeat().rack_id.as_deref(), Some("a"));
    script.assign(&[0]);
    script.pass(Duration::from_secs(5));
    assert_eq!(script.heartbeat().rack_id, None);
    script.answer_heartbeat(ErrorCode::NONE, None);
    script.machine.close(script.now, Duration::from_secs(10));
    let goodbye = script.heartbeat();
    assert_eq!((goodbye.member_epoch, goodbye.rack_id), (-1, None));
}

/// It keeps what it has: no other member gets that before its session ends.
#[test]
fn a_coordinator_that_says_it_is_none_is_looked_for_again() {
    let mut script = Script::joined(&[0]);
    script.pass(Duration::from_secs(5));
    let _ = script.heartbeat();
    script.answer_heartbeat(ErrorCode::NOT_COORDINATOR, None);
    script.pass(Duration::from_secs(1));
    assert!(script.looks_for_the_coordinator() && !script.beats());
    assert_eq!(script.machine.assignment().len(), 1);
    assert!(script.buffer.take_error().is_none());
}

/// Without a wait, a coordinator that is loading would be asked as fast as it answers.
#[test]
fn a_heartbeat_that_is_refused_for_a_while_is_sent_again_after_a_wait() {
    let mut script = Script::joined(&[0]);
    script.pass(Duration::from_secs(5));
    for _ in 0..3 {
        let _ = script.heartbeat();
        script.answer_heartbeat(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS, None);
        script.pass(Duration::from_millis(50));
        assert!(!script.beats());
        script.pass(Duration::from_secs(1));
    }
    assert!(script.beats());
}

#[test]
fn a_cluster_that_knows_no_share_groups_is_said_to_be_too_old() {
    for (failure, is_old) in
        [(Failure::UnsupportedVersion, true), (Failure::AuthenticationFailed("no".into()), false)]
    {
        let mut script = Script::new(|_| {});
        let _ = script.heartbeat();
        script.fail_heartbeat(failure);
        let error = script.buffer.take_error().unwrap();
        assert!(error.is_fatal());
        assert_eq!(error.to_string().contains("Kafka 4.1"), is_old, "{error}");
    }
}
