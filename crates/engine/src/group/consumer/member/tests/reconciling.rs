//! From what is held to what the coordinator wants.

use super::*;

fn owned(request: &ConsumerGroupHeartbeatRequest) -> BTreeSet<i32> {
    let topics = request.topic_partitions.iter().flatten();
    topics.flat_map(|topic| topic.partitions.clone()).collect()
}

#[test]
fn first_is_given_up_then_taken_and_then_said() {
    let mut fixture = Fixture::stable(&[0, 1]);
    fixture.next_sent();
    fixture.answer_to(&join_answer(2, &[1, 2]));
    assert_eq!(fixture.poll_given_up(), (Change::Revoked, BTreeSet::from([0])));
    assert!(fixture.poll().is_none(), "nothing is taken before");
    assert_eq!(fixture.member.state(), MemberState::Preparing);
    fixture.member.prepared();
    assert_eq!(fixture.poll_taken(), BTreeSet::from([2]));
    fixture.member.settled();
    let (acknowledgement, _) = fixture.sent();
    assert_eq!(owned(&acknowledgement), BTreeSet::from([1, 2]));
    assert!(fixture.poll().is_none());
    assert_eq!(fixture.member.state, State::Stable);
}

/// Others wait for it.
#[test]
fn what_was_given_up_is_said_at_once() {
    let mut fixture = Fixture::stable(&[0, 1]);
    fixture.next_sent();
    fixture.answer_to(&join_answer(1, &[0]));
    fixture.poll_given_up();
    fixture.member.prepared();
    let (acknowledgement, _) = fixture.sent();
    assert_eq!(owned(&acknowledgement), BTreeSet::from([0]));
    fixture.answer_to(&nothing_new(2));
    assert_eq!(fixture.member.identity().generation.map(|epoch| epoch.get()), Some(2));
}

/// The user may take his time: up to max.poll.interval.ms the member is there.
#[test]
fn heartbeats_go_on_while_the_user_is_busy() {
    let mut fixture = Fixture::stable(&[0, 1]);
    fixture.next_sent();
    fixture.answer_to(&join_answer(1, &[0]));
    fixture.poll_given_up();
    for _ in 0..3 {
        let heartbeat = fixture.next_sent();
        assert_eq!(heartbeat.topic_partitions, None, "nothing is given up yet");
        fixture.answer_to(&nothing_new(1));
    }
}

/// A coordinator that hears all and not of a partition takes it for given up.
#[test]
fn what_is_being_taken_is_told_as_held() {
    let mut fixture = Fixture::new();
    fixture.sent();
    fixture.answer_to(&join_answer(1, &[0, 1]));
    fixture.poll_taken();
    let heartbeat = fixture.next_sent();
    assert_eq!(owned(&heartbeat), BTreeSet::from([0, 1]));
    fixture.land(Err(Failure::ConnectionLost));
    assert!(matches!(fixture.poll(), Some(Action::LoseCoordinator(_))));
    assert_eq!(owned(&fixture.next_sent()), BTreeSet::from([0, 1]));
    fixture.answer_to(&join_answer(2, &[0]));
    fixture.member.settled();
    fixture.sent();
    fixture.answer_to(&nothing_new(2));
    assert_eq!(fixture.poll_given_up(), (Change::Revoked, BTreeSet::from([1])));
}

/// The lost answer may have had another target, and what the heartbeat did not tell of may be another's.
#[test]
fn after_a_lost_answer_nothing_is_taken_until_it_is_told_again() {
    let mut fixture = Fixture::stable(&[0]);
    fixture.next_sent();
    fixture.answer_to(&join_answer(1, &[1]));
    assert_eq!(fixture.poll_given_up(), (Change::Revoked, BTreeSet::from([0])));
    fixture.next_sent();
    fixture.member.prepared();
    assert!(fixture.poll().is_none(), "its answer is under way");
    fixture.land(Err(Failure::ConnectionLost));
    assert!(matches!(fixture.poll(), Some(Action::LoseCoordinator(_))));
    assert_eq!(owned(&fixture.next_sent()), BTreeSet::new());
    assert!(fixture.poll().is_none());
    fixture.answer_to(&join_answer(2, &[2]));
    assert_eq!(fixture.poll_taken(), BTreeSet::from([2]));
}

#[test]
fn a_target_that_moves_meanwhile_is_reached_in_the_end() {
    let mut fixture = Fixture::stable(&[0, 1]);
    fixture.next_sent();
    fixture.answer_to(&join_answer(2, &[0]));
    assert_eq!(fixture.poll_given_up(), (Change::Revoked, BTreeSet::from([1])));
    fixture.next_sent();
    fixture.answer_to(&join_answer(3, &[1]));
    fixture.member.prepared();
    assert_eq!(fixture.poll_given_up(), (Change::Revoked, BTreeSet::from([0])));
    fixture.member.prepared();
    assert_eq!(fixture.poll_taken(), BTreeSet::from([1]));
    fixture.member.settled();
    assert_eq!(owned(&fixture.sent().0), BTreeSet::from([1]));
}

#[test]
fn who_gets_nothing_hears_so_once() {
    let mut fixture = Fixture::stable(&[]);
    fixture.next_sent();
    fixture.answer_to(&join_answer(2, &[]));
    assert!(fixture.poll().is_none());
    assert_eq!(fixture.member.state, State::Stable);
}

/// R20: a topic that the metadata does not know yet is waited for, not dropped.
#[test]
fn what_has_no_name_yet_is_taken_when_it_has() {
    let mut fixture = Fixture::new();
    fixture.sent();
    let response =
        ConsumerGroupHeartbeatResponse { assignment: given(&[(1, 0), (2, 5)]), ..nothing_new(1) };
    fixture.answer_to(&response);
    assert!(matches!(fixture.poll(), Some(Action::RefreshMetadata)));
    assert_eq!(fixture.poll_taken(), BTreeSet::from([0]));
    fixture.member.settled();
    assert_eq!(owned(&fixture.sent().0), BTreeSet::from([0]));
    fixture.answer_to(&nothing_new(1));
    assert!(fixture.poll().is_none());
    assert_eq!(fixture.member.state, State::Reconciling);
    // It asks again, and less and less often.
    fixture.now = fixture.member.timeout(true, None).unwrap();
    assert!(matches!(fixture.poll(), Some(Action::RefreshMetadata)));
    fixture.cluster = cluster(&[("t", 1), ("u", 2)]);
    fixture.member.handle_cluster(&fixture.cluster);
    assert_eq!(fixture.poll_taken(), BTreeSet::from([5]));
    fixture.member.settled();
    assert_eq!(owned(&fixture.sent().0), BTreeSet::from([0, 5]));
    fixture.answer_to(&nothing_new(1));
    assert!(fixture.poll().is_none());
    assert_eq!(fixture.member.state, State::Stable);
}

/// Metadata of everything is asked for only while a matched topic has no name.
#[test]
fn only_topics_that_the_coordinator_matched_need_all_metadata() {
    let mut fixture = Fixture::new();
    fixture.member.subscribe(Wanted::Pattern("u".into()));
    fixture.sent();
    assert!(!fixture.member.needs_all_topics());
    let response =
        ConsumerGroupHeartbeatResponse { assignment: given(&[(2, 5)]), ..nothing_new(1) };
    fixture.answer_to(&response);
    assert!(fixture.member.needs_all_topics());
    fixture.member.handle_cluster(&cluster(&[("t", 1), ("u", 2)]));
    assert!(!fixture.member.needs_all_topics());
    assert_eq!(fixture.member.topics(), BTreeSet::from([Topic::from("u")]));
}

/// Its old offsets mean nothing in the new one.
#[test]
fn a_topic_that_was_made_anew_is_given_up_and_taken_again() {
    let mut fixture = Fixture::stable(&[0]);
    fixture.cluster = cluster(&[("t", 9)]);
    fixture.member.handle_cluster(&fixture.cluster);
    fixture.next_sent();
    let response =
        ConsumerGroupHeartbeatResponse { assignment: given(&[(9, 0)]), ..nothing_new(2) };
    fixture.answer_to(&response);
    assert_eq!(fixture.poll_given_up(), (Change::Revoked, BTreeSet::from([0])));
    fixture.member.prepared();
    assert_eq!(fixture.poll_taken(), BTreeSet::from([0]));
}

/// Topics that are deleted leave the metadata before the coordinator takes them away.
#[test]
fn a_name_that_the_metadata_forgot_is_known_still() {
    let mut fixture = Fixture::stable(&[0, 1]);
    fixture.cluster = cluster(&[]);
    fixture.member.handle_cluster(&fixture.cluster);
    fixture.next_sent();
    fixture.answer_to(&join_answer(2, &[1]));
    assert_eq!(fixture.poll_given_up(), (Change::Revoked, BTreeSet::from([0])));
}
