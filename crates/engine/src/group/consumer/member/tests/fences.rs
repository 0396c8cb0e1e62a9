//! Out of the group: by the coordinator's word, by the user's silence, for good.

use super::*;

#[test]
fn who_is_fenced_loses_all_and_joins_again_under_his_id() {
    for code in [
        ErrorCode::UNKNOWN_MEMBER_ID,
        ErrorCode::FENCED_MEMBER_EPOCH,
        ErrorCode::GROUP_ID_NOT_FOUND,
    ] {
        let mut fixture = Fixture::stable(&[0, 1]);
        let before = fixture.member.identity().member_id.clone();
        fixture.next_sent();
        fixture.refuse(code);
        assert_eq!(fixture.member.identity().generation, None, "commits end here");
        assert_eq!(fixture.poll_given_up(), (Change::Lost, BTreeSet::from([0, 1])));
        assert!(fixture.poll().is_none(), "no heartbeat before the user has given up");
        assert_eq!(fixture.member.timeout(true, None), None);
        fixture.member.prepared();
        let (join, _) = fixture.sent();
        assert_eq!((join.member_epoch, &join.member_id), (0, &before));
        assert_eq!(join.topic_partitions.as_deref(), Some(&[][..]));
    }
}

#[test]
fn who_is_fenced_in_the_midst_of_taking_and_giving_up_loses_both() {
    let mut fixture = Fixture::stable(&[0, 1]);
    fixture.next_sent();
    fixture.answer_to(&join_answer(2, &[1]));
    fixture.poll_given_up();
    fixture.next_sent();
    fixture.refuse(ErrorCode::FENCED_MEMBER_EPOCH);
    assert_eq!(fixture.poll_given_up(), (Change::Lost, BTreeSet::from([0, 1])));

    let mut fixture = Fixture::stable(&[0]);
    fixture.next_sent();
    fixture.answer_to(&join_answer(2, &[0, 1]));
    fixture.poll_taken();
    fixture.next_sent();
    fixture.refuse(ErrorCode::FENCED_MEMBER_EPOCH);
    assert_eq!(fixture.poll_given_up(), (Change::Lost, BTreeSet::from([0, 1])));
    // A callback that returns late changes nothing.
    fixture.member.settled();
    assert!(fixture.poll().is_none());
    fixture.member.prepared();
    assert_eq!(fixture.sent().0.member_epoch, 0);
}

/// F51.
#[test]
fn who_does_not_poll_is_out_until_he_does() {
    let mut fixture = Fixture::stable(&[0]);
    fixture.idle_since = Some(fixture.now);
    let due = fixture.now + 300 * SECOND;
    assert_eq!(fixture.member.timeout(false, fixture.idle_since), Some(due));
    fixture.now = due;
    assert_eq!(fixture.sent().0.member_epoch, -1);
    let told = fixture.poll();
    assert!(matches!(told, Some(Action::Tell(Event::PollIntervalExceeded { .. }))), "{told:?}");
    assert_eq!(fixture.poll_given_up(), (Change::Lost, BTreeSet::from([0])));
    assert_eq!(fixture.member.state(), MemberState::Expelled);
    fixture.now += 600 * SECOND;
    assert!(fixture.poll().is_none());
    assert_eq!(fixture.member.timeout(true, fixture.idle_since), None);
    fixture.idle_since = None;
    fixture.member.prepared();
    assert_eq!(fixture.sent().0.member_epoch, 0);
}

#[test]
fn what_joining_again_does_not_heal_is_told_with_the_coordinators_words() {
    for code in [
        ErrorCode::FENCED_INSTANCE_ID,
        ErrorCode::UNSUPPORTED_ASSIGNOR,
        ErrorCode::GROUP_MAX_SIZE_REACHED,
        ErrorCode::INVALID_REGULAR_EXPRESSION,
        ErrorCode::INVALID_REQUEST,
        ErrorCode::GROUP_AUTHORIZATION_FAILED,
        ErrorCode::UNSUPPORTED_VERSION,
        ErrorCode::from_wire(999),
    ] {
        let mut fixture = Fixture::new();
        fixture.sent();
        fixture.refuse(code);
        let Some(Action::Tell(Event::Error(error))) = fixture.poll() else {
            panic!("{code} is not told");
        };
        assert!(error.is_fatal(), "{code}");
        assert_eq!(error.code(), Some(code));
        assert!(error.to_string().contains("because"), "{error}");
        assert_eq!(fixture.member.state(), MemberState::Failed);
        fixture.now += 600 * SECOND;
        assert!(fixture.poll().is_none(), "{code}: nothing comes after it");
    }
}

fn named() -> Fixture {
    let mut settings = GroupSettings::new(Arc::<str>::from("g"));
    settings.instance_id = Some("one".into());
    Fixture::with(settings)
}

/// Its first join was carried out and the answer lost, so that the coordinator takes it for a second one of its name.
#[test]
fn a_static_member_whose_own_join_has_its_name_gives_it_back_and_joins_again() {
    for answer in [ErrorCode::NONE, ErrorCode::UNKNOWN_MEMBER_ID] {
        let mut fixture = named();
        let member_id = fixture.sent().0.member_id;
        fixture.land(Err(Failure::ConnectionLost));
        assert!(matches!(fixture.poll(), Some(Action::LoseCoordinator(_))));
        assert_eq!(fixture.next_sent().member_epoch, 0);
        fixture.refuse(ErrorCode::UNRELEASED_INSTANCE_ID);
        let (farewell, _) = fixture.sent();
        assert_eq!((farewell.member_epoch, &farewell.member_id), (-2, &member_id));
        // That is lost, too, and said again.
        fixture.land(Err(Failure::ConnectionLost));
        assert!(matches!(fixture.poll(), Some(Action::LoseCoordinator(_))));
        assert_eq!(fixture.next_sent().member_epoch, -2);
        fixture.refuse(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS);
        assert_eq!(fixture.next_sent().member_epoch, -2);
        fixture.refuse(answer);
        let (join, _) = fixture.sent();
        assert_eq!((join.member_epoch, &join.member_id), (0, &member_id));
        assert!(join.topic_partitions.is_some() && join.subscribed_topic_names.is_some());
        fixture.answer_to(&join_answer(3, &[0]));
        assert_eq!(fixture.poll_taken(), BTreeSet::from([0]));
    }
}

#[test]
fn a_name_that_another_has_is_told_once_the_coordinator_says_whose_it_is() {
    for refusal in [ErrorCode::FENCED_INSTANCE_ID, ErrorCode::UNRELEASED_INSTANCE_ID] {
        let mut fixture = named();
        fixture.sent();
        fixture.refuse(ErrorCode::UNRELEASED_INSTANCE_ID);
        assert_eq!(fixture.sent().0.member_epoch, -2);
        fixture.refuse(refusal);
        assert_eq!(taken(&mut fixture), Some(ErrorCode::UNRELEASED_INSTANCE_ID));
    }
}

/// On a way that cuts one connection after the other, the join that comes then is lost as well as the first.
#[test]
fn a_name_is_given_back_as_often_as_a_join_is_lost() {
    let mut fixture = named();
    fixture.sent();
    for lost in 0..3 {
        fixture.refuse(ErrorCode::UNRELEASED_INSTANCE_ID);
        let farewell = if lost == 0 { fixture.sent().0 } else { fixture.next_sent() };
        assert_eq!(farewell.member_epoch, -2);
        fixture.refuse(ErrorCode::NONE);
        assert_eq!(fixture.sent().0.member_epoch, 0);
        fixture.land(Err(Failure::ConnectionLost));
        assert!(matches!(fixture.poll(), Some(Action::LoseCoordinator(_))));
        assert_eq!(fixture.next_sent().member_epoch, 0);
    }
    fixture.answer_to(&join_answer(3, &[0]));
    assert_eq!(fixture.poll_taken(), BTreeSet::from([0]));
}

/// The coordinator may have taken the join in before it said so, and older copies of joins may be read late.
#[test]
fn a_name_that_is_taken_again_is_asked_for_again_but_not_at_once() {
    let mut fixture = named();
    fixture.sent();
    fixture.refuse(ErrorCode::UNRELEASED_INSTANCE_ID);
    fixture.sent();
    fixture.refuse(ErrorCode::NONE);
    assert_eq!(fixture.sent().0.member_epoch, 0);
    fixture.refuse(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS);
    assert_eq!(fixture.next_sent().member_epoch, 0);
    fixture.refuse(ErrorCode::UNRELEASED_INSTANCE_ID);
    let before = fixture.now;
    assert_eq!(fixture.next_sent().member_epoch, -2);
    assert!(fixture.now > before);
    // By now it is somebody else's.
    fixture.refuse(ErrorCode::FENCED_INSTANCE_ID);
    assert_eq!(taken(&mut fixture), Some(ErrorCode::UNRELEASED_INSTANCE_ID));
}

/// The code of the error that ends the member.
fn taken(fixture: &mut Fixture) -> Option<ErrorCode> {
    let Some(Action::Tell(Event::Error(error))) = fixture.poll() else { panic!("nothing is told") };
    assert!(error.is_fatal() && error.to_string().contains("because"), "{error}");
    assert_eq!(fixture.member.state(), MemberState::Failed);
    error.code()
}

#[test]
fn who_fails_as_a_member_loses_what_he_has() {
    let mut fixture = Fixture::stable(&[0]);
    fixture.next_sent();
    fixture.refuse(ErrorCode::FENCED_INSTANCE_ID);
    assert_eq!(fixture.poll_given_up(), (Change::Lost, BTreeSet::from([0])));
    assert!(matches!(fixture.poll(), Some(Action::Tell(Event::Error(_)))));
    fixture.member.subscribe(topics(&["t"]));
    assert_eq!(fixture.sent().0.member_epoch, 0, "the user's word starts over");
}

#[test]
fn a_coordinator_that_moves_or_loads_is_asked_again() {
    for (code, is_lost) in [
        (ErrorCode::NOT_COORDINATOR, true),
        (ErrorCode::COORDINATOR_NOT_AVAILABLE, true),
        (ErrorCode::COORDINATOR_LOAD_IN_PROGRESS, false),
    ] {
        let mut fixture = Fixture::stable(&[0]);
        fixture.next_sent();
        fixture.refuse(code);
        if is_lost {
            assert!(matches!(fixture.poll(), Some(Action::LoseCoordinator(_))), "{code}");
        }
        let before = fixture.now;
        let again = fixture.next_sent();
        assert!(fixture.now > before, "{code}: not at once");
        assert_eq!(again.member_epoch, 1);
        assert!(again.topic_partitions.is_some(), "{code}: it may be another one");
    }
}

/// Rights may be given; a member that left would have to be started again.
#[test]
fn a_forbidden_topic_is_told_once_and_asked_for_again() {
    let mut fixture = Fixture::stable(&[0]);
    fixture.next_sent();
    fixture.refuse(ErrorCode::TOPIC_AUTHORIZATION_FAILED);
    let Some(Action::Tell(Event::Error(error))) = fixture.poll() else { panic!("it is told") };
    assert!(!error.is_fatal());
    fixture.next_sent();
    fixture.refuse(ErrorCode::TOPIC_AUTHORIZATION_FAILED);
    assert_eq!(fixture.next_sent().member_epoch, 1);
    fixture.answer_to(&nothing_new(1));
    assert!(fixture.poll().is_none());
    assert_eq!(fixture.member.state, State::Stable);
}

/// What a commit hears may be old; the heartbeat knows.
#[test]
fn a_commit_that_is_refused_asks_for_a_heartbeat() {
    let mut fixture = Fixture::stable(&[0]);
    let sender = fixture.member.identity().clone();
    let code = ErrorCode::UNKNOWN_MEMBER_ID;
    fixture.member.handle_reaction(Reaction::ResetMember, code, &Identity::default());
    assert!(fixture.poll().is_none(), "what was sent as somebody else says nothing");
    fixture.member.handle_reaction(Reaction::ResetMember, code, &sender);
    assert_eq!(fixture.sent().0.member_epoch, 1);
}

fn auto() -> Fixture {
    let mut settings = GroupSettings::new(Arc::<str>::from("g"));
    settings.protocol = GroupProtocol::Auto;
    Fixture::with(settings)
}

#[test]
fn a_coordinator_without_this_protocol_is_left_to_the_other_one() {
    let mut fixture = auto();
    fixture.sent();
    fixture.refuse(ErrorCode::UNSUPPORTED_VERSION);
    assert_eq!(fixture.member.take_declined(), Some(topics(&["t"])));
    assert_eq!(fixture.member.take_declined(), None);

    let mut fixture = auto();
    fixture.sent();
    fixture.land(Err(Failure::UnsupportedVersion));
    assert_eq!(fixture.member.take_declined(), Some(topics(&["t"])));

    // A classic group that may not be converted.
    let mut fixture = auto();
    fixture.sent();
    fixture.refuse(ErrorCode::GROUP_ID_NOT_FOUND);
    assert_eq!(fixture.member.take_declined(), Some(topics(&["t"])));
}

#[test]
fn a_member_is_fenced_before_it_changes_the_protocol() {
    let mut fixture = auto();
    fixture.join(&[0]);
    fixture.next_sent();
    fixture.refuse(ErrorCode::UNSUPPORTED_VERSION);
    assert_eq!(fixture.member.take_declined(), None);
    assert_eq!(fixture.poll_given_up(), (Change::Lost, BTreeSet::from([0])));
    fixture.member.prepared();
    fixture.sent();
    fixture.refuse(ErrorCode::UNSUPPORTED_VERSION);
    assert!(fixture.member.take_declined().is_some());
}

/// The other protocol has no patterns.
#[test]
fn a_pattern_is_not_left_to_the_other_protocol() {
    let mut fixture = auto();
    fixture.member.subscribe(Wanted::Pattern("t".into()));
    fixture.sent();
    fixture.refuse(ErrorCode::UNSUPPORTED_VERSION);
    assert_eq!(fixture.member.take_declined(), None);
    assert_eq!(fixture.member.state(), MemberState::Failed);
}
