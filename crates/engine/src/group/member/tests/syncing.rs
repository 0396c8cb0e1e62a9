//! A SyncGroup whose answer is lost is asked again: the coordinator has the assignment still.

use super::*;

impl Fixture {
    fn lose(&mut self, request: &Outbound, failure: Failure) {
        let mut answer = Answer::new(request.id, None, 0, self.now, Err(failure));
        self.member.handle_answer(self.now, &mut answer, &mut self.rng);
    }

    /// Loses the answer to `request`, and gives what is sent after the wait.
    fn lost(&mut self, request: &Outbound) -> Outbound {
        self.lose(request, Failure::ConnectionLost);
        let named = Some(NodeId::new(1));
        assert!(matches!(self.poll(), Some(Action::LoseCoordinator(lost)) if lost == named));
        assert!(self.poll().is_none(), "not before the back-off");
        let at = self.member.timeout(true, None);
        self.now = at.expect("it waits for nothing");
        self.sent()
    }

    fn leads(&mut self) -> Outbound {
        let metadata = subscription().encode();
        self.joined(vec![described("me", metadata.clone()), described("other", metadata)]);
        self.sent()
    }
}

/// A leader that joined again would have all members rebalance, for one connection that was cut. What it says is what it
/// said first, as that may be stored: another assignment would make the coordinator's log differ from what members have.
#[test]
fn a_leader_whose_sync_was_lost_says_the_same_again() {
    let mut fixture = Fixture::new();
    let first = fixture.leads();
    let partitions = (0..9).map(|index| PartitionMetadata::new(index, None, None)).collect();
    fixture.cluster = Cluster::new([], [TopicMetadata::new("t", None, partitions)]);
    let second = fixture.lost(&first);
    let Request::SyncGroup(request) = &first.body else { panic!("{:?}", first.body) };
    assert_eq!(request.assignments.len(), 2);
    assert_eq!(second.body, first.body);
    assert_ne!(second.id, first.id);
    let assignment = MemberAssignment { partitions: [TopicPartition::new("t", 0)].into() }.encode();
    fixture.answer(&second, SyncGroupResponse { assignment, ..Default::default() });
    assert!(matches!(fixture.poll(), Some(Action::Take(_))));
    assert_eq!(fixture.member.backoff.failures(), 0);
}

/// By then it is not the connection alone; and each generation has its tries.
#[test]
fn a_sync_that_is_lost_again_and_again_ends_in_joining() {
    let mut fixture = Fixture::new();
    for _ in 0..2 {
        fixture.joined(Vec::new());
        let mut request = fixture.sent();
        let mut sent = 0;
        while matches!(request.body, Request::SyncGroup(_)) {
            sent += 1;
            request = fixture.lost(&request);
        }
        assert_eq!(sent, SYNCS_LOST_MAX);
        assert_eq!(fixture.member.state(), MemberState::Joining);
        fixture.answer(
            &request,
            JoinGroupResponse {
                error_code: ErrorCode::COORDINATOR_LOAD_IN_PROGRESS,
                ..Default::default()
            },
        );
        fixture.now += Duration::from_secs(2);
    }
}

/// Asking the same again gives what is of no use.
#[test]
fn a_member_with_something_new_to_say_joins_where_its_sync_was_lost() {
    let mut fixture = Fixture::new();
    let sync = fixture.leads();
    fixture.member.subscribe(BTreeSet::from([Topic::from("u")]));
    fixture.lose(&sync, Failure::ConnectionLost);
    assert_eq!(fixture.member.state(), MemberState::Joining);

    let mut fixture = Fixture::new();
    let sync = fixture.leads();
    fixture.lose(&sync, Failure::UnsupportedVersion);
    assert_eq!(fixture.member.state(), MemberState::Joining, "it would not pass");
}

/// The group may be another by then; the coordinator says so.
#[test]
fn a_sync_that_is_asked_again_of_a_group_that_moved_on_ends_in_joining() {
    for code in [ErrorCode::REBALANCE_IN_PROGRESS, ErrorCode::ILLEGAL_GENERATION] {
        let mut fixture = Fixture::new();
        let sync = fixture.leads();
        let again = fixture.lost(&sync);
        fixture.answer(&again, SyncGroupResponse { error_code: code, ..Default::default() });
        assert_eq!(fixture.member.state(), MemberState::Joining, "{code}");
        fixture.now += Duration::from_secs(2);
        assert!(matches!(fixture.sent().body, Request::JoinGroup(_)), "{code}");
    }
}

/// Kafka stores a generation with the leader's SyncGroup: a coordinator that takes over before has the one before it. It
/// knows the member there, who may join; his generation it does not, and to hear that would cost him what he owns.
#[test]
fn who_owns_partitions_joins_where_its_sync_was_lost() {
    let mut fixture = cooperative_and_stable();
    fixture.member.enforce_rebalance("a test");
    let join = fixture.sent();
    let name = AssignmentStrategy::CooperativeSticky.name();
    let response = JoinGroupResponse {
        generation_id: 2,
        protocol_name: Some(name.into()),
        leader: "other".into(),
        member_id: "me".into(),
        ..Default::default()
    };
    fixture.answer(&join, response);
    let sync = fixture.sent();
    assert!(matches!(sync.body, Request::SyncGroup(_)));
    fixture.lose(&sync, Failure::ConnectionLost);
    assert_eq!(fixture.member.state(), MemberState::Joining);
    assert_eq!(changes(&mut fixture), [], "nothing is lost");
    fixture.now += Duration::from_secs(2);
    let Request::JoinGroup(join) = fixture.sent().body else { panic!("no JoinGroup") };
    assert_eq!(join.member_id, "me");
}
