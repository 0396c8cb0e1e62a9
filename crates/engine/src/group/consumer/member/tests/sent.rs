//! What heartbeats say, and when they go out.

use super::*;
use crate::group::consumer::request::SAYS_ALL_EVERY;

fn owned(request: &ConsumerGroupHeartbeatRequest) -> Option<Vec<i32>> {
    let topics = request.topic_partitions.as_ref()?;
    Some(topics.iter().flat_map(|topic| topic.partitions.clone()).collect())
}

fn names(request: &ConsumerGroupHeartbeatRequest) -> Option<Vec<&str>> {
    Some(request.subscribed_topic_names.as_ref()?.iter().map(|name| &**name).collect())
}

/// Trap 38.
#[test]
fn who_joins_says_all() {
    let mut settings = GroupSettings::new(Arc::<str>::from("g"));
    settings.instance_id = Some("one".into());
    settings.rack = Some("east".into());
    settings.remote_assignor = Some("range".into());
    let mut fixture = Fixture::with(settings);
    let (join, outbound) = fixture.sent();
    assert_eq!((&*join.group_id, join.member_epoch), ("g", 0));
    assert_eq!(join.member_id.len(), 22, "a UUID of its own making");
    assert_eq!(join.instance_id.as_deref(), Some("one"));
    assert_eq!(join.rack_id.as_deref(), Some("east"));
    assert_eq!(join.rebalance_timeout_ms, 300_000);
    assert_eq!(join.server_assignor.as_deref(), Some("range"));
    assert_eq!((names(&join), owned(&join)), (Some(vec!["t"]), Some(vec![])));
    assert_eq!(join.subscribed_topic_regex, None);
    assert_eq!(outbound.version_min, 0);
    assert!(fixture.poll().is_none(), "one is under way at a time");
}

#[test]
fn what_has_not_changed_is_not_said_again() {
    let mut fixture = Fixture::new();
    fixture.sent();
    fixture.answer_to(&join_answer(1, &[0, 1]));
    fixture.poll_taken();
    fixture.member.settled();
    let (acknowledgement, _) = fixture.sent();
    assert_eq!(owned(&acknowledgement), Some(vec![0, 1]));
    assert_eq!(names(&acknowledgement), None);
    assert_eq!(acknowledgement.rebalance_timeout_ms, -1);
    fixture.answer_to(&nothing_new(1));
    let next = fixture.next_sent();
    assert_eq!((names(&next), owned(&next), next.member_epoch), (None, None, 1));
}

/// Coordinators of the first version of the API choose the id, and say it once.
#[test]
fn an_id_that_the_coordinator_gives_is_taken_over() {
    let mut fixture = Fixture::new();
    fixture.sent();
    fixture.answer_to(&ConsumerGroupHeartbeatResponse {
        member_id: Some("theirs".into()),
        ..join_answer(1, &[0])
    });
    assert_eq!(&*fixture.member.identity().member_id, "theirs");
    fixture.poll_taken();
    fixture.member.settled();
    assert_eq!(&*fixture.sent().0.member_id, "theirs");
    fixture.answer_to(&ConsumerGroupHeartbeatResponse {
        member_id: Some("".into()),
        ..nothing_new(1)
    });
    assert_eq!(&*fixture.next_sent().member_id, "theirs");
}

#[test]
fn the_interval_is_the_coordinators() {
    let mut fixture = Fixture::stable(&[0]);
    let start = fixture.now;
    fixture.next_sent();
    assert_eq!(fixture.now - start, 5 * SECOND);
    fixture.answer_to(&ConsumerGroupHeartbeatResponse {
        heartbeat_interval_ms: 700,
        ..nothing_new(1)
    });
    let start = fixture.now;
    fixture.next_sent();
    assert_eq!(fixture.now - start, Duration::from_millis(700));
}

#[test]
fn a_new_subscription_does_not_wait_for_the_interval() {
    let mut fixture = Fixture::stable(&[0]);
    fixture.member.subscribe(topics(&["t", "u"]));
    let (heartbeat, _) = fixture.sent();
    assert_eq!((names(&heartbeat), owned(&heartbeat)), (Some(vec!["t", "u"]), None));
}

/// It may have been heard or not: a coordinator that gave the answer to nobody must see what is held.
#[test]
fn after_a_lost_answer_all_is_said_in_the_same_epoch() {
    let mut fixture = Fixture::stable(&[0, 1]);
    fixture.next_sent();
    fixture.land(Err(Failure::ConnectionLost));
    assert!(matches!(fixture.poll(), Some(Action::LoseCoordinator(_))));
    let again = fixture.next_sent();
    assert_eq!(again.member_epoch, 1);
    assert_eq!((names(&again), owned(&again)), (Some(vec!["t"]), Some(vec![0, 1])));
    assert_eq!(again.rebalance_timeout_ms, 300_000);
}

/// A copy of the join that was given up may be carried out at any time after the one that was answered, and then this
/// member's assignment is told to nobody.
#[test]
fn all_is_said_from_time_to_time_so_that_an_assignment_told_to_nobody_is_told_again() {
    let mut fixture = Fixture::stable(&[0]);
    let start = fixture.now;
    // As Kafka's interval is 5 s.
    for _ in 1..6 {
        let heartbeat = fixture.next_sent();
        assert_eq!((names(&heartbeat), owned(&heartbeat)), (None, None));
        fixture.answer_to(&nothing_new(1));
    }
    let again = fixture.next_sent();
    assert_eq!(names(&again), Some(vec!["t"]));
    assert_eq!(fixture.now - start, SAYS_ALL_EVERY);
    assert_eq!((again.member_epoch, owned(&again)), (1, Some(vec![0])));
    assert_eq!(again.rebalance_timeout_ms, 300_000, "or Kafka does not take it for all");
    fixture.answer_to(&join_answer(1, &[0, 1]));
    assert_eq!(fixture.poll_taken(), BTreeSet::from([1]));
    fixture.member.settled();
    assert_eq!((names(&fixture.sent().0), fixture.now - start), (None, SAYS_ALL_EVERY));
}

/// Told what it has, a member has nothing to do.
#[test]
fn an_assignment_that_is_told_again_changes_nothing() {
    let mut fixture = Fixture::stable(&[0, 1]);
    for _ in 0..2 * SAYS_ALL_EVERY.as_secs() / 5 {
        let says_all = names(&fixture.next_sent()).is_some();
        fixture.answer_to(&if says_all { join_answer(1, &[0, 1]) } else { nothing_new(1) });
        assert!(fixture.poll().is_none());
        assert_eq!(fixture.member.state, State::Stable);
    }
}

/// Trap 39: nobody else can have the partitions before this member is fenced, and it will hear of that.
#[test]
fn a_coordinator_out_of_reach_takes_nothing_away() {
    let mut fixture = Fixture::stable(&[0]);
    fixture.reachable = false;
    fixture.now += 600 * SECOND;
    assert!(fixture.poll().is_none());
    assert_eq!(fixture.member.state, State::Stable);
    fixture.reachable = true;
    assert_eq!(fixture.sent().0.member_epoch, 1);
}

#[test]
fn a_pattern_goes_to_the_coordinator_and_is_taken_back() {
    let mut fixture = Fixture::new();
    fixture.member.subscribe(Wanted::Pattern("t.*".into()));
    let (join, outbound) = fixture.sent();
    assert_eq!(join.subscribed_topic_regex.as_deref(), Some("t.*"));
    assert_eq!((names(&join), outbound.version_min), (Some(vec![]), 1));
    fixture.answer_to(&join_answer(1, &[]));
    fixture.poll_taken();
    fixture.member.settled();
    assert_eq!(fixture.sent().0.subscribed_topic_regex, None, "it stands");
    fixture.answer_to(&nothing_new(1));
    fixture.member.subscribe(topics(&["t"]));
    let (heartbeat, _) = fixture.sent();
    assert_eq!(heartbeat.subscribed_topic_regex.as_deref(), Some(""));
    // Nobody knows whether that was heard.
    fixture.land(Err(Failure::TimedOut));
    fixture.poll();
    let again = fixture.next_sent();
    assert_eq!(
        (again.subscribed_topic_regex.as_deref(), names(&again)),
        (Some(""), Some(vec!["t"]))
    );
}

/// KIP-345, KIP-1092.
#[test]
fn who_leaves_says_for_how_long() {
    use GroupMembershipOperation as Operation;
    for (instance, operation, epoch) in [
        (None, Operation::Default, Some(-1)),
        (Some("one"), Operation::Default, Some(-2)),
        (None, Operation::LeaveGroup, Some(-1)),
        (Some("one"), Operation::LeaveGroup, Some(-1)),
        (None, Operation::RemainInGroup, None),
        (Some("one"), Operation::RemainInGroup, Some(-2)),
    ] {
        let mut settings = GroupSettings::new(Arc::<str>::from("g"));
        settings.instance_id = instance.map(Arc::from);
        let mut fixture = Fixture::with(settings);
        fixture.join(&[0]);
        fixture.leave(operation);
        if let Some(epoch) = epoch {
            let (goodbye, _) = fixture.sent();
            assert_eq!(goodbye.member_epoch, epoch);
            assert_eq!((names(&goodbye), owned(&goodbye)), (None, None));
            assert!(fixture.poll().is_none());
            // Whatever it says.
            fixture.refuse(ErrorCode::GROUP_ID_NOT_FOUND);
        }
        assert!(matches!(fixture.poll(), Some(Action::Left)));
        assert_eq!(fixture.member.state, State::Unsubscribed);
    }
}

#[test]
fn without_a_coordinator_leaving_waits_for_nothing() {
    let mut fixture = Fixture::stable(&[0]);
    fixture.reachable = false;
    fixture.leave(GroupMembershipOperation::Default);
    assert!(matches!(fixture.poll(), Some(Action::Left)));
    assert!(!fixture.member.is_active(), "nobody is to be looked for");
}

#[test]
fn who_subscribes_while_leaving_joins_again_with_his_old_id() {
    let mut fixture = Fixture::stable(&[0]);
    let before = fixture.member.identity().member_id.clone();
    fixture.leave(GroupMembershipOperation::Default);
    fixture.sent();
    assert!(fixture.member.is_active(), "a coordinator is needed for the farewell");
    fixture.member.subscribe(topics(&["u"]));
    assert!(fixture.poll().is_none());
    fixture.answer_to(&ConsumerGroupHeartbeatResponse { member_epoch: -1, ..nothing_new(-1) });
    assert!(matches!(fixture.poll(), Some(Action::Left)));
    let (join, _) = fixture.sent();
    assert_eq!((join.member_epoch, names(&join)), (0, Some(vec!["u"])));
    assert_eq!(join.member_id, before);
}
