use std::sync::Arc;

use fastrand::Rng;
use milena_types::{Generation, NodeId};
use milena_wire::messages::join_group_response::JoinGroupResponseMember;
use milena_wire::messages::{HeartbeatResponse, JoinGroupResponse, SyncGroupResponse};
use milena_wire::{Request, Response};

use super::*;
use crate::group::message::{MemberAssignment, MemberSubscription};
use crate::metadata::{PartitionMetadata, TopicMetadata};
use crate::request::{Answer, Failure, Outbound, RequestIds};
use crate::subscription::{Change, Event, Stage, Subscription};

struct Fixture {
    member: Member,
    cluster: Cluster,
    held: Subscription,
    ids: RequestIds,
    rng: Rng,
    now: Instant,
}

impl Fixture {
    #[expect(clippy::disallowed_methods, reason = "any instant will do as the start of time")]
    fn new() -> Self {
        let backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        let settings = GroupSettings::new(Arc::<str>::from("g"));
        let held = Subscription::new(backoff.clone());
        let mut member = Member::new(settings, Duration::from_secs(30), backoff);
        member.subscribe(BTreeSet::from([Topic::from("t")]));
        let partitions = (0..4).map(|index| PartitionMetadata::new(index, None, None)).collect();
        let cluster = Cluster::new([], [TopicMetadata::new("t", None, partitions)]);
        let (ids, rng) = (RequestIds::default(), Rng::with_seed(1));
        Self { member, cluster, held, ids, rng, now: Instant::now() }
    }

    fn poll(&mut self) -> Option<Action> {
        let coordinator = Some(NodeId::new(1));
        let (cluster, held, ids) = (&self.cluster, &self.held, &mut self.ids);
        let mut around = Surroundings { coordinator, cluster, held, idle_since: None, ids };
        let action = self.member.poll(self.now, &mut around);
        if let Some(Action::Take(partitions)) = &action {
            for tp in partitions {
                self.held.add(tp.clone(), Stage::Halted, true);
            }
        }
        action
    }

    fn sent(&mut self) -> Outbound {
        loop {
            match self.poll() {
                Some(Action::Send(outbound)) => return outbound,
                Some(_) => {}
                None => panic!("nothing is sent in {:?}", self.member.state()),
            }
        }
    }

    fn answer(&mut self, request: &Outbound, response: impl Into<Response>) {
        let result = Ok(Some(response.into()));
        let mut answer = Answer::new(request.id, None, 9, self.now, result);
        self.member.handle_answer(self.now, &mut answer, &mut self.rng);
    }

    fn joined(&mut self, members: Vec<JoinGroupResponseMember>) {
        let join = self.sent();
        let leads = !members.is_empty();
        let response = JoinGroupResponse {
            generation_id: 1,
            protocol_name: Some("range".into()),
            leader: if leads { "me" } else { "other" }.into(),
            member_id: "me".into(),
            members,
            ..Default::default()
        };
        self.answer(&join, response);
    }

    fn stable(&mut self) {
        self.joined(Vec::new());
        let sync = self.sent();
        let partitions = BTreeSet::from([TopicPartition::new("t", 0)]);
        let assignment = MemberAssignment { partitions }.encode();
        self.answer(&sync, SyncGroupResponse { assignment, ..Default::default() });
        assert!(matches!(self.poll(), Some(Action::Take(_))));
        self.member.settled();
        assert_eq!(self.member.state(), MemberState::Stable);
    }
}

fn subscription() -> MemberSubscription {
    let topics = BTreeSet::from([Topic::from("t")]);
    MemberSubscription { topics, ..Default::default() }
}

fn described(id: &str, metadata: bytes::Bytes) -> JoinGroupResponseMember {
    JoinGroupResponseMember { member_id: id.into(), group_instance_id: None, metadata }
}

/// R16, trap 37: one member's nonsense must neither kill the leader nor cost the others their partitions.
#[test]
fn a_leader_survives_hostile_metadata() {
    let mut fixture = Fixture::new();
    let good = subscription().encode();
    let hostile = [&[0xff; 40][..], &[], &[0, 3, 0x7f, 0xff, 0xff, 0xff], &good[..5]];
    let mut members = vec![described("me", good.clone())];
    for (index, bytes) in hostile.iter().enumerate() {
        members.push(described(&format!("bad-{index}"), bytes::Bytes::copy_from_slice(bytes)));
    }
    fixture.joined(members);
    let sync = fixture.sent();
    let Request::SyncGroup(request) = &sync.body else { panic!("{:?}", sync.body) };
    assert_eq!(request.assignments.len(), 5, "every member is in the answer");
    let mine = request.assignments.iter().find(|one| &*one.member_id == "me").unwrap();
    assert_eq!(MemberAssignment::decode(&mine.assignment).unwrap().partitions.len(), 4);
}

/// KIP-881; a rack without a name is none.
#[test]
fn a_member_says_where_it_is() {
    let mut fixture = Fixture::new();
    for (rack, told) in [(None, None), (Some(""), None), (Some("east"), Some("east"))] {
        fixture.member.settings.rack = rack.map(Arc::from);
        for (_, subscription) in fixture.member.subscriptions() {
            assert_eq!(subscription.rack.as_deref(), told, "{rack:?}");
        }
    }
}

/// The group would never hear of the new topics.
#[test]
fn topics_that_come_while_the_member_joins_are_told_with_another_join() {
    let mut fixture = Fixture::new();
    let topics = |names: &[&str]| names.iter().copied().map(Topic::from).collect();
    fixture.member.subscribe(topics(&["t", "u"]));
    assert!(fixture.member.rejoin.is_none(), "they are in the request that is due");
    fixture.sent();
    fixture.member.subscribe(topics(&["t", "u"]));
    assert!(fixture.member.rejoin.is_none(), "they were in it");
    fixture.member.subscribe(topics(&["t"]));
    assert!(fixture.member.rejoin.is_some());
}

/// R16: a cut-off assignment, taken as it is, leaves partitions that nobody reads.
#[test]
fn an_unreadable_assignment_is_told_and_joined_again_for() {
    let mut fixture = Fixture::new();
    fixture.joined(Vec::new());
    let sync = fixture.sent();
    let partitions = BTreeSet::from([TopicPartition::new("t", 0), TopicPartition::new("t", 1)]);
    let whole = MemberAssignment { partitions }.encode();
    let assignment = whole.slice(..whole.len() - 5);
    fixture.answer(&sync, SyncGroupResponse { assignment, ..Default::default() });
    assert!(matches!(fixture.poll(), Some(Action::Tell(Event::Error(_)))));
    assert_eq!(fixture.member.state(), MemberState::Joining);
    assert!(fixture.poll().is_none(), "not before the back-off");
    fixture.now += Duration::from_secs(2);
    assert!(matches!(fixture.sent().body, Request::JoinGroup(_)));
}

/// Trap 35.
#[test]
fn joining_may_take_as_long_as_a_rebalance() {
    let mut fixture = Fixture::new();
    let join = fixture.sent();
    assert_eq!(join.timeout, Duration::from_secs(305));
    assert_eq!(join.lane, Lane::Group);
}

/// KIP-394.
#[test]
fn a_required_member_id_is_adopted() {
    let mut fixture = Fixture::new();
    let join = fixture.sent();
    let response = JoinGroupResponse {
        error_code: ErrorCode::MEMBER_ID_REQUIRED,
        member_id: "given".into(),
        ..Default::default()
    };
    fixture.answer(&join, response);
    let again = fixture.sent();
    let Request::JoinGroup(request) = &again.body else { panic!("{:?}", again.body) };
    assert_eq!(&*request.member_id, "given");
}

/// Trap 34: a reply to who we were says nothing of who we are.
#[test]
fn a_stale_reply_does_not_end_the_membership() {
    let mut fixture = Fixture::new();
    fixture.stable();
    let old = Identity { member_id: "me".into(), generation: Generation::from_wire(0) };
    for reaction in [Reaction::ResetMember, Reaction::ResetGeneration, Reaction::Fatal] {
        fixture.member.handle_reaction(reaction, ErrorCode::UNKNOWN_MEMBER_ID, &old);
        assert!(fixture.poll().is_none());
        assert_eq!(fixture.member.state(), MemberState::Stable, "{reaction:?}");
    }
    let ours = fixture.member.identity().clone();
    let code = ErrorCode::UNKNOWN_MEMBER_ID;
    fixture.member.handle_reaction(Reaction::ResetMember, code, &ours);
    assert!(matches!(fixture.poll(), Some(Action::GiveUp { change: Change::Lost, .. })));
}

/// Each answer of the coordinator to a heartbeat, and what it does to the partitions.
#[test]
fn each_heartbeat_error_has_its_way_on() {
    let cases = [
        (ErrorCode::NONE, MemberState::Stable, None),
        (ErrorCode::REBALANCE_IN_PROGRESS, MemberState::Preparing, Some(Change::Revoked)),
        (ErrorCode::ILLEGAL_GENERATION, MemberState::Preparing, Some(Change::Lost)),
        (ErrorCode::UNKNOWN_MEMBER_ID, MemberState::Preparing, Some(Change::Lost)),
        (ErrorCode::FENCED_INSTANCE_ID, MemberState::Failed, Some(Change::Lost)),
        (ErrorCode::GROUP_AUTHORIZATION_FAILED, MemberState::Failed, Some(Change::Lost)),
        (ErrorCode::NOT_COORDINATOR, MemberState::Stable, None),
        (ErrorCode::COORDINATOR_LOAD_IN_PROGRESS, MemberState::Stable, None),
    ];
    for (code, state, expected) in cases {
        let mut fixture = Fixture::new();
        fixture.stable();
        fixture.now += Duration::from_secs(3);
        let beat = fixture.sent();
        fixture.answer(&beat, HeartbeatResponse { error_code: code, ..Default::default() });
        let mut given_up = None;
        while let Some(action) = fixture.poll() {
            if let Action::GiveUp { change, .. } = action {
                given_up = Some(change);
            }
        }
        assert_eq!((fixture.member.state(), given_up), (state, expected), "{code}");
    }
}

/// Each answer to JoinGroup: which are tried again, which end it.
#[test]
fn each_join_error_has_its_way_on() {
    let cases = [
        (ErrorCode::COORDINATOR_LOAD_IN_PROGRESS, MemberState::Joining),
        (ErrorCode::NOT_COORDINATOR, MemberState::Joining),
        (ErrorCode::COORDINATOR_NOT_AVAILABLE, MemberState::Joining),
        (ErrorCode::UNKNOWN_MEMBER_ID, MemberState::Joining),
        (ErrorCode::REBALANCE_IN_PROGRESS, MemberState::Joining),
        (ErrorCode::GROUP_MAX_SIZE_REACHED, MemberState::Failed),
        (ErrorCode::INCONSISTENT_GROUP_PROTOCOL, MemberState::Failed),
        (ErrorCode::GROUP_AUTHORIZATION_FAILED, MemberState::Failed),
        (ErrorCode::INVALID_SESSION_TIMEOUT, MemberState::Failed),
    ];
    for (code, state) in cases {
        let mut fixture = Fixture::new();
        let join = fixture.sent();
        fixture.answer(&join, JoinGroupResponse { error_code: code, ..Default::default() });
        assert_eq!(fixture.member.state(), state, "{code}");
    }
}

/// As where the group's metadata is too large to be stored: every join is a rebalance for all its members.
#[test]
fn a_sync_that_fails_for_good_is_asked_again_ever_more_rarely() {
    let mut fixture = Fixture::new();
    for _ in 0..6 {
        fixture.now += Duration::from_secs(1);
        fixture.joined(Vec::new());
        let sync = fixture.sent();
        let error_code = ErrorCode::UNKNOWN_SERVER_ERROR;
        fixture.answer(&sync, SyncGroupResponse { error_code, ..Default::default() });
    }
    assert!(matches!(fixture.poll(), Some(Action::Tell(Event::Error(_)))));
    fixture.now += Duration::from_millis(900);
    assert!(fixture.poll().is_none(), "not before the longest back-off");
    fixture.now += Duration::from_millis(100);
    fixture.stable();
    assert_eq!(fixture.member.backoff.failures(), 0, "a success starts over");
}

#[test]
fn a_lost_join_is_asked_again_after_a_wait() {
    let mut fixture = Fixture::new();
    let join = fixture.sent();
    let result = Err(Failure::ConnectionLost);
    let mut answer = Answer::new(join.id, None, 0, fixture.now, result);
    fixture.member.handle_answer(fixture.now, &mut answer, &mut fixture.rng);
    assert!(matches!(fixture.poll(), Some(Action::LoseCoordinator(_))));
    assert!(fixture.poll().is_none());
    fixture.now += Duration::from_secs(2);
    assert!(matches!(fixture.sent().body, Request::JoinGroup(_)));
}

/// Late news of one that was coordinator must not cost the one that was found since.
#[test]
fn a_coordinator_that_is_lost_is_named() {
    let mut fixture = Fixture::new();
    let join = fixture.sent();
    let result = Err(Failure::ConnectionLost);
    let mut answer = Answer::new(join.id, None, 0, fixture.now, result);
    fixture.member.handle_answer(fixture.now, &mut answer, &mut fixture.rng);
    let named = Some(NodeId::new(1));
    assert!(matches!(fixture.poll(), Some(Action::LoseCoordinator(lost)) if lost == named));
}

/// A member that keeps its partitions while it joins, and cannot find the coordinator.
fn cooperative_and_stable() -> Fixture {
    let strategy = AssignmentStrategy::CooperativeSticky;
    let mut fixture = with(|group| group.assignment_strategies = vec![strategy]);
    let join = fixture.sent();
    let response = JoinGroupResponse {
        generation_id: 1,
        protocol_name: Some(strategy.name().into()),
        leader: "other".into(),
        member_id: "me".into(),
        ..Default::default()
    };
    fixture.answer(&join, response);
    let sync = fixture.sent();
    let assignment = MemberAssignment { partitions: [TopicPartition::new("t", 0)].into() }.encode();
    fixture.answer(&sync, SyncGroupResponse { assignment, ..Default::default() });
    assert!(matches!(fixture.poll(), Some(Action::Take(_))));
    fixture.member.settled();
    fixture
}

/// No heartbeat goes out while joining: without a clock of its own it would hand out what is another's by then.
#[test]
fn what_is_kept_without_a_coordinator_is_lost_when_the_session_ends() {
    let mut fixture = cooperative_and_stable();
    fixture.member.enforce_rebalance("a test");
    let lost_at = fixture.now + fixture.member.settings.session_timeout;
    let (cluster, ids) = (&fixture.cluster, &mut fixture.ids);
    for now in [fixture.now, lost_at - Duration::from_millis(1), lost_at] {
        let held = &fixture.held;
        let mut around = Surroundings { coordinator: None, cluster, held, idle_since: None, ids };
        let action = fixture.member.poll(now, &mut around);
        match action {
            None => {
                assert_eq!(fixture.member.state(), MemberState::Joining);
                assert_eq!(fixture.member.timeout(false, None), Some(lost_at));
                assert!(now < lost_at);
            }
            Some(Action::GiveUp { change: Change::Lost, .. }) => assert_eq!(now, lost_at),
            other => panic!("{other:?}"),
        }
    }
}

/// The coordinator keeps who waits at it, however long the others take.
#[test]
fn a_join_that_waits_stops_the_clock_of_what_is_kept() {
    let mut fixture = cooperative_and_stable();
    fixture.member.enforce_rebalance("a test");
    let session = fixture.member.settings.session_timeout;
    let lose = |fixture: &mut Fixture, join: Outbound| {
        let result = Err(Failure::ConnectionLost);
        let mut answer = Answer::new(join.id, None, 0, fixture.now, result);
        fixture.member.handle_answer(fixture.now, &mut answer, &mut fixture.rng);
    };
    let join = fixture.sent();
    lose(&mut fixture, join);
    fixture.now += 2 * Duration::from_secs(1);
    let join = fixture.sent();
    fixture.now += 3 * session;
    assert_eq!(fixture.member.timeout(true, None), None);
    assert!(changes(&mut fixture).is_empty(), "it waits");
    lose(&mut fixture, join);
    fixture.now += session - Duration::from_millis(1);
    let join = fixture.sent();
    lose(&mut fixture, join);
    assert!(changes(&mut fixture).is_empty(), "it was kept until it was lost");
    fixture.now += Duration::from_millis(1);
    assert_eq!(changes(&mut fixture), [Change::Lost]);
}

/// A coordinator that is stopped in good order refuses the JoinGroups that wait at it; until then it kept their members.
#[test]
fn a_join_that_waits_and_is_refused_costs_nothing_that_is_kept() {
    let mut fixture = cooperative_and_stable();
    fixture.member.enforce_rebalance("a test");
    let session = fixture.member.settings.session_timeout;
    let error_code = ErrorCode::NOT_COORDINATOR;
    let refusal = || JoinGroupResponse { error_code, ..Default::default() };
    let join = fixture.sent();
    fixture.now += 3 * session;
    assert!(changes(&mut fixture).is_empty(), "it waits");
    fixture.answer(&join, refusal());
    assert!(changes(&mut fixture).is_empty(), "it was kept until it was refused");
    // One that is refused at once was kept by nobody: the clock goes on.
    fixture.now += session - Duration::from_millis(1);
    let join = fixture.sent();
    fixture.answer(&join, refusal());
    assert!(changes(&mut fixture).is_empty());
    fixture.now += Duration::from_millis(1);
    assert_eq!(changes(&mut fixture), [Change::Lost]);
}

fn with(settings: impl FnOnce(&mut GroupSettings)) -> Fixture {
    let mut fixture = Fixture::new();
    let mut group = GroupSettings::new(Arc::<str>::from("g"));
    settings(&mut group);
    let backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
    fixture.member = Member::new(group, Duration::from_secs(30), backoff);
    fixture.member.subscribe(BTreeSet::from([Topic::from("t")]));
    fixture
}

fn changes(fixture: &mut Fixture) -> Vec<Change> {
    let mut changes = Vec::new();
    while let Some(action) = fixture.poll() {
        if let Action::GiveUp { change, .. } = action {
            changes.push(change);
        }
    }
    changes
}

/// KIP-345, trap 34: fenced is for good, by whatever answer it comes, if it is about who we are today.
#[test]
fn a_fenced_instance_ends_the_membership_whoever_says_so() {
    let code = ErrorCode::FENCED_INSTANCE_ID;
    let named = || with(|group| group.instance_id = Some("one".into()));
    let mut fixture = named();
    let join = fixture.sent();
    let Request::JoinGroup(request) = &join.body else { panic!("{:?}", join.body) };
    assert_eq!(request.group_instance_id.as_deref(), Some("one"));
    fixture.answer(&join, JoinGroupResponse { error_code: code, ..Default::default() });
    assert_eq!(fixture.member.state(), MemberState::Failed);

    let mut fixture = named();
    fixture.joined(Vec::new());
    let sync = fixture.sent();
    fixture.answer(&sync, SyncGroupResponse { error_code: code, ..Default::default() });
    assert_eq!(fixture.member.state(), MemberState::Failed);

    let mut fixture = named();
    fixture.stable();
    let old = Identity { member_id: "me".into(), generation: Generation::from_wire(0) };
    fixture.member.handle_reaction(Reaction::Fatal, code, &old);
    assert_eq!(fixture.member.state(), MemberState::Stable);
    let ours = fixture.member.identity().clone();
    fixture.member.handle_reaction(Reaction::Fatal, code, &ours);
    assert_eq!(fixture.member.state(), MemberState::Failed);
    assert_eq!(changes(&mut fixture), [Change::Lost]);
}

/// KIP-345, KIP-1092: who leaves tells so, who stays does not.
#[test]
fn leaving_is_told_as_the_operation_says() {
    use GroupMembershipOperation::{Default, LeaveGroup, RemainInGroup};
    let cases = [
        (None, Default, true),
        (None, LeaveGroup, true),
        (None, RemainInGroup, false),
        (Some("one"), Default, false),
        (Some("one"), LeaveGroup, true),
        (Some("one"), RemainInGroup, false),
    ];
    for (name, operation, tells) in cases {
        let mut fixture = with(|group| group.instance_id = name.map(Arc::from));
        fixture.stable();
        let coordinator = Some(NodeId::new(1));
        let (cluster, held, ids) = (&fixture.cluster, &fixture.held, &mut fixture.ids);
        let mut around = Surroundings { coordinator, cluster, held, idle_since: None, ids };
        fixture.member.leave(fixture.now, operation, "a test", &mut around);
        let action = fixture.poll();
        match action {
            Some(Action::Send(outbound)) if tells => {
                let Request::LeaveGroup(request) = outbound.body else { panic!() };
                assert_eq!(request.members[0].group_instance_id.as_deref(), name);
                assert_eq!(&*request.members[0].member_id, "me");
            }
            Some(Action::Left) if !tells => {}
            other => panic!("{name:?}, {operation:?}: {other:?}"),
        }
    }
}

/// KIP-559: an assignment of another kind is not read as if it were ours.
#[test]
fn a_group_of_another_kind_is_refused() {
    let answers =
        [(Some("connect"), Some("range")), (Some("consumer"), Some("unheard-of")), (None, None)];
    for (protocol_type, name) in answers {
        let mut fixture = Fixture::new();
        let join = fixture.sent();
        let response = JoinGroupResponse {
            generation_id: 1,
            protocol_type: protocol_type.map(Into::into),
            protocol_name: name.map(Into::into),
            member_id: "me".into(),
            ..Default::default()
        };
        fixture.answer(&join, response);
        assert_eq!(fixture.member.state(), MemberState::Failed, "{protocol_type:?} {name:?}");
    }
    for (protocol_type, name) in [(Some("connect"), None), (None, Some("sticky"))] {
        let mut fixture = Fixture::new();
        fixture.joined(Vec::new());
        let sync = fixture.sent();
        let response = SyncGroupResponse {
            protocol_type: protocol_type.map(Into::into),
            protocol_name: name.map(Into::into),
            ..Default::default()
        };
        fixture.answer(&sync, response);
        assert_eq!(fixture.member.state(), MemberState::Failed, "{protocol_type:?} {name:?}");
    }
}

/// As in Java: one strategy that is not cooperative makes the member eager, whatever the group then chooses.
#[test]
fn the_least_of_the_strategies_decides_how_a_member_rebalances() {
    use AssignmentStrategy::{CooperativeSticky, Range};
    for (strategies, kept) in
        [(vec![CooperativeSticky], true), (vec![CooperativeSticky, Range], false)]
    {
        let mut fixture = with(|group| group.assignment_strategies = strategies);
        let join = fixture.sent();
        let response = JoinGroupResponse {
            generation_id: 1,
            protocol_name: Some("cooperative-sticky".into()),
            leader: "other".into(),
            member_id: "me".into(),
            ..Default::default()
        };
        fixture.answer(&join, response);
        let sync = fixture.sent();
        let partitions = BTreeSet::from([TopicPartition::new("t", 0)]);
        let assignment = MemberAssignment { partitions: partitions.clone() }.encode();
        fixture.answer(&sync, SyncGroupResponse { assignment, ..Default::default() });
        assert!(matches!(fixture.poll(), Some(Action::Take(_))));
        fixture.member.settled();
        fixture.member.enforce_rebalance("a test");
        if !kept {
            assert_eq!(changes(&mut fixture), [Change::Revoked]);
            fixture.member.prepared();
        }
        let join = fixture.sent();
        let Request::JoinGroup(request) = &join.body else { panic!("{:?}", join.body) };
        assert_eq!(request.reason.as_deref(), Some("a test"), "KIP-800");
        for protocol in &request.protocols {
            let said = MemberSubscription::decode(&protocol.metadata).unwrap();
            assert_eq!(said.owned, if kept { partitions.clone() } else { BTreeSet::new() });
            assert_eq!(said.generation, Generation::from_wire(1), "KIP-792");
        }
    }
}

/// What a cooperative member keeps while it joins is another's, too, once it is out for good.
#[test]
fn a_member_that_fails_while_it_joins_gives_up_what_it_keeps() {
    let error_code = ErrorCode::GROUP_AUTHORIZATION_FAILED;
    let refusal = || JoinGroupResponse { error_code, ..Default::default() };
    let mut fixture = cooperative_and_stable();
    fixture.member.enforce_rebalance("a test");
    let join = fixture.sent();
    fixture.answer(&join, refusal());
    assert_eq!(fixture.member.state(), MemberState::Failed);
    assert_eq!(changes(&mut fixture), [Change::Lost]);
    // Whoever holds nothing and joins for the first time has nothing to lose, and hears of the error alone.
    let mut fixture = Fixture::new();
    let join = fixture.sent();
    fixture.answer(&join, refusal());
    assert_eq!(changes(&mut fixture), []);
}

mod returning;
mod syncing;
