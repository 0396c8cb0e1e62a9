//! Groups of the consumer protocol.

use std::time::Duration;

use milena_broker::{ConsumerGroupState, TopicSettings};
use milena_types::{ErrorCode, MemberEpoch};
use milena_wire::messages::consumer_group_describe_request::ConsumerGroupDescribeRequest;
use milena_wire::messages::offset_commit_request::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use milena_wire::messages::offset_fetch_request::{OffsetFetchRequest, OffsetFetchRequestGroup};
use milena_wire::{Response, messages};

use crate::consumer_member::{ConsumerMember, GROUP};
use crate::world::World;

/// More than `group.consumer.assignment.interval.ms`, less than any session.
const A_WHILE: Duration = Duration::from_secs(2);

fn world(partitions: i32) -> World {
    World::with(|settings| settings.topics = vec![TopicSettings::new("t", partitions)])
}

fn state(world: &World) -> Option<ConsumerGroupState> {
    world.cluster.consumer_group(GROUP).map(|group| group.state)
}

fn epochs(world: &World) -> (i32, i32) {
    let group = world.cluster.consumer_group(GROUP).expect("a group");
    (group.epoch.get(), group.assignment_epoch.get())
}

/// Two members that have shared four partitions.
fn shared(world: &mut World) -> (ConsumerMember, ConsumerMember) {
    let mut first = ConsumerMember::joined(world, "a");
    first.comply(world);
    world.pass(A_WHILE);
    let mut second = ConsumerMember::joined(world, "b");
    first.beat(world);
    first.comply(world);
    second.beat(world);
    second.comply(world);
    assert_eq!(state(world), Some(ConsumerGroupState::Stable));
    (first, second)
}

#[test]
fn a_lone_member_gets_everything_with_its_first_heartbeat() {
    let mut world = world(3);
    let mut member = ConsumerMember::connect(&mut world, "a");
    let answer = member.join(&mut world);
    assert_eq!((answer.error_code, answer.member_epoch), (ErrorCode::NONE, 2));
    assert_eq!(answer.heartbeat_interval_ms, 5000);
    assert_eq!(member.told(), [0, 1, 2]);
    assert_eq!(member.beat(&mut world).assignment, None);
    assert_eq!(epochs(&world), (2, 2));
}

/// The heart of KIP-848: nobody stops but for what moves, and what moves is read by one at a time.
#[test]
fn partitions_move_once_their_holder_has_given_them_up() {
    let mut world = world(4);
    let mut first = ConsumerMember::joined(&mut world, "a");
    first.comply(&mut world);
    world.pass(A_WHILE);
    let mut second = ConsumerMember::joined(&mut world, "b");
    assert_eq!((second.epoch, second.told()), (3, vec![]), "nothing is free yet");

    first.beat(&mut world);
    assert_eq!((first.epoch, first.told()), (2, vec![0, 1]), "it is told what it keeps");
    second.beat(&mut world);
    assert_eq!(second.told(), [], "the first has not given up anything");
    assert_eq!(state(&world), Some(ConsumerGroupState::Reconciling));
    // A heartbeat that does not say what is owned proves nothing.
    assert_eq!(first.beat(&mut world).member_epoch, 2);

    first.comply(&mut world);
    assert_eq!((first.epoch, first.told()), (3, vec![0, 1]));
    second.beat(&mut world);
    assert_eq!((second.epoch, second.told()), (3, vec![2, 3]));
    assert_eq!(state(&world), Some(ConsumerGroupState::Stable));
}

#[test]
fn an_assignment_is_not_computed_again_before_its_time() {
    let mut world = world(4);
    let _first = ConsumerMember::joined(&mut world, "a");
    let mut second = ConsumerMember::joined(&mut world, "b");
    assert_eq!((second.epoch, epochs(&world)), (2, (3, 2)));
    assert_eq!(state(&world), Some(ConsumerGroupState::Assigning));
    world.pass(Duration::from_secs(1));
    second.beat(&mut world);
    assert_eq!((second.epoch, epochs(&world)), (3, (3, 3)));
}

#[test]
fn what_a_member_leaves_goes_to_those_that_stay() {
    let mut world = world(4);
    let (mut first, mut second) = shared(&mut world);
    world.pass(A_WHILE);
    assert_eq!(second.leave(&mut world, -1), ErrorCode::NONE);
    assert_eq!(second.beat(&mut world).error_code, ErrorCode::UNKNOWN_MEMBER_ID);
    first.beat(&mut world);
    assert_eq!(first.told(), [0, 1, 2, 3]);
    first.leave(&mut world, -1);
    assert_eq!(state(&world), Some(ConsumerGroupState::Empty));
}

#[test]
fn a_member_that_is_not_heard_of_is_given_up() {
    let mut world = world(4);
    let (mut first, second) = shared(&mut world);
    world.pass(Duration::from_secs(44));
    first.beat(&mut world);
    world.pass(Duration::from_secs(2));
    let group = world.cluster.consumer_group(GROUP).expect("a group");
    assert!(group.members.contains_key("a") && !group.members.contains_key("b"));
    first.beat(&mut world);
    assert_eq!(first.told(), [0, 1, 2, 3]);
    assert!(second.assigned(&world).is_empty());
}

/// Its heartbeats alone do not save a member that sits on its partitions.
#[test]
fn a_member_that_does_not_give_up_in_time_is_given_up() {
    let mut world = world(4);
    let mut first = ConsumerMember::connect(&mut world, "a");
    first.rebalance_timeout_ms = 10_000;
    first.join(&mut world);
    first.comply(&mut world);
    world.pass(A_WHILE);
    let mut second = ConsumerMember::joined(&mut world, "b");
    first.beat(&mut world);
    for _ in 0..5 {
        world.pass(A_WHILE);
        let is_in_time = first.beat(&mut world).error_code == ErrorCode::NONE;
        second.beat(&mut world);
        if !is_in_time {
            break;
        }
    }
    assert_eq!(first.beat(&mut world).error_code, ErrorCode::UNKNOWN_MEMBER_ID);
    second.beat(&mut world);
    assert_eq!(second.told(), [0, 1, 2, 3]);
}

#[test]
fn a_wrong_epoch_is_fenced_unless_an_answer_was_lost() {
    let mut world = world(4);
    let mut first = ConsumerMember::joined(&mut world, "a");
    first.epoch = 3;
    assert_eq!(first.beat(&mut world).error_code, ErrorCode::FENCED_MEMBER_EPOCH);
    first.epoch = 1;
    assert_eq!(first.beat(&mut world).error_code, ErrorCode::FENCED_MEMBER_EPOCH);
    first.join(&mut world);
    assert_eq!(
        (first.epoch, first.told()),
        (2, vec![0, 1, 2, 3]),
        "joining again is no new member"
    );
    first.comply(&mut world);

    world.pass(A_WHILE);
    let mut second = ConsumerMember::joined(&mut world, "b");
    first.beat(&mut world);
    let before = first.epoch;
    first.comply(&mut world);
    assert!(first.epoch > before);
    // The answer did not arrive, so the member repeats its heartbeat with the epoch before.
    first.epoch = before;
    assert_eq!(first.comply(&mut world).error_code, ErrorCode::NONE);
    second.beat(&mut world);
    second.epoch = 99;
    assert_eq!(second.beat(&mut world).error_code, ErrorCode::FENCED_MEMBER_EPOCH);
}

#[test]
fn a_static_member_gets_its_partitions_back() {
    let mut world = world(4);
    let mut before = ConsumerMember::connect(&mut world, "a");
    before.instance_id = Some("i".into());
    before.join(&mut world);
    before.comply(&mut world);
    let (group_epoch, told) = (epochs(&world), before.told());

    let mut after = ConsumerMember::connect(&mut world, "b");
    after.instance_id = Some("i".into());
    assert_eq!(after.join(&mut world).error_code, ErrorCode::UNRELEASED_INSTANCE_ID);
    assert_eq!(before.leave(&mut world, -2), ErrorCode::NONE);
    let away = world.cluster.consumer_group(GROUP).expect("a group").members["a"].clone();
    assert_eq!((away.epoch, away.assigned.len()), (None, 4));
    assert_eq!(after.join(&mut world).error_code, ErrorCode::NONE);
    assert_eq!((after.epoch, after.told()), (2, told));
    assert_eq!(epochs(&world), group_epoch, "the others hear nothing of it");
    assert_eq!(before.beat(&mut world).error_code, ErrorCode::FENCED_INSTANCE_ID);

    after.leave(&mut world, -2);
    world.pass(Duration::from_secs(46));
    assert_eq!(state(&world), Some(ConsumerGroupState::Empty), "it did not come back in time");
}

#[test]
fn a_regular_expression_finds_topics_as_they_come() {
    let mut world = World::with(|settings| {
        settings.topics = ["logs.a", "logs.b", "other"].map(|t| TopicSettings::new(t, 1)).to_vec();
    });
    let mut member = ConsumerMember::connect(&mut world, "a");
    member.regex = Some(r"logs\..".into());
    member.join(&mut world);
    assert_eq!((member.epoch, member.told.len()), (1, 0), "it is resolved beside the heartbeat");
    world.pass(A_WHILE);
    member.beat(&mut world);
    assert_eq!((member.epoch, member.told.len()), (2, 2));
    world.cluster.create_topic(world.now, &TopicSettings::new("logs.c", 1)).expect("a legal topic");
    world.pass(A_WHILE);
    member.comply(&mut world);
    assert_eq!(member.told.len(), 2, "not so soon");
    world.pass(Duration::from_secs(10));
    member.beat(&mut world);
    member.beat(&mut world);
    assert_eq!((member.epoch, member.told.len()), (3, 3));

    let mut wrong = ConsumerMember::connect(&mut world, "b");
    wrong.regex = Some("logs(".into());
    assert_eq!(wrong.join(&mut world).error_code, ErrorCode::INVALID_REGULAR_EXPRESSION);
    let group = world.cluster.consumer_group(GROUP).expect("a group");
    assert_eq!(group.members.len(), 1);
}

#[test]
fn partitions_that_are_added_are_assigned() {
    let mut world = world(1);
    let mut member = ConsumerMember::joined(&mut world, "a");
    member.comply(&mut world);
    world.cluster.add_partitions(world.now, "t", 3).expect("more of them");
    world.pass(A_WHILE);
    member.beat(&mut world);
    assert_eq!((member.epoch, member.told()), (3, vec![0, 1, 2]));
    world.cluster.delete_topic(world.now, "t");
    world.pass(A_WHILE);
    member.beat(&mut world);
    assert_eq!(member.told(), []);
}

fn commit(
    world: &mut World,
    member: &ConsumerMember,
    version: i16,
    epoch: i32,
    index: i32,
) -> ErrorCode {
    let partition = OffsetCommitRequestPartition {
        partition_index: index,
        committed_offset: 5,
        ..Default::default()
    };
    let topic_id = world.cluster.topic_id("t").expect("a topic");
    let (name, topic_id) =
        if version >= 10 { ("".into(), topic_id) } else { ("t".into(), Default::default()) };
    let request = OffsetCommitRequest {
        group_id: GROUP.into(),
        member_id: member.id.as_str().into(),
        generation_id_or_member_epoch: epoch,
        topics: vec![OffsetCommitRequestTopic { name, topic_id, partitions: vec![partition] }],
        ..Default::default()
    };
    let Response::OffsetCommit(answer) = world.ask(member.connection, version, request) else {
        panic!()
    };
    answer.topics[0].partitions[0].error_code
}

#[test]
fn a_commit_needs_the_epoch_or_partitions_held_since() {
    let mut world = world(4);
    let (first, second) = shared(&mut world);
    let epoch = first.epoch;
    for version in [9, 10] {
        assert_eq!(commit(&mut world, &first, version, epoch, 0), ErrorCode::NONE);
        assert_eq!(commit(&mut world, &first, version, epoch - 1, 0), ErrorCode::NONE);
        // The second one got the partition at the present epoch.
        let stale = ErrorCode::STALE_MEMBER_EPOCH;
        assert_eq!(commit(&mut world, &second, version, epoch - 1, 2), stale);
        assert_eq!(commit(&mut world, &first, version, epoch - 1, 2), stale);
        assert_eq!(commit(&mut world, &first, version, epoch + 1, 0), stale);
    }
    assert_eq!(commit(&mut world, &first, 8, epoch, 0), ErrorCode::UNSUPPORTED_VERSION);
    let mut nobody = ConsumerMember::connect(&mut world, "nobody");
    nobody.epoch = epoch;
    assert_eq!(commit(&mut world, &nobody, 9, epoch, 0), ErrorCode::UNKNOWN_MEMBER_ID);
}

#[test]
fn asking_for_commits_needs_the_epoch_of_a_member_that_names_itself() {
    let mut world = world(4);
    let (first, _second) = shared(&mut world);
    let mut fetch = |member_id: Option<&str>, member_epoch| {
        let group = OffsetFetchRequestGroup {
            group_id: GROUP.into(),
            member_id: member_id.map(Into::into),
            member_epoch,
            topics: None,
            ..Default::default()
        };
        let request = OffsetFetchRequest { groups: vec![group], ..Default::default() };
        let Response::OffsetFetch(answer) = world.ask(first.connection, 9, request) else {
            panic!()
        };
        answer.groups[0].error_code
    };
    assert_eq!(fetch(Some("a"), first.epoch), ErrorCode::NONE);
    assert_eq!(fetch(None, -1), ErrorCode::NONE);
    assert_eq!(fetch(Some("a"), first.epoch - 1), ErrorCode::STALE_MEMBER_EPOCH);
    assert_eq!(fetch(Some("nobody"), first.epoch), ErrorCode::UNKNOWN_MEMBER_ID);
}

#[test]
fn a_description_names_epochs_and_what_each_has_and_is_to_have() {
    let mut world = world(4);
    let mut first = ConsumerMember::joined(&mut world, "a");
    first.comply(&mut world);
    world.pass(A_WHILE);
    let _second = ConsumerMember::joined(&mut world, "b");
    first.beat(&mut world);
    let request =
        ConsumerGroupDescribeRequest { group_ids: vec![GROUP.into()], ..Default::default() };
    let Response::ConsumerGroupDescribe(told) = world.ask(first.connection, 1, request) else {
        panic!()
    };
    let group = &told.groups[0];
    assert_eq!(group.group_state, "Reconciling");
    assert_eq!((group.group_epoch, group.assignment_epoch), (3, 3));
    assert_eq!(group.assignor_name, "uniform");
    let indexes = |assignment: &messages::consumer_group_describe_response::Assignment| {
        assignment.topic_partitions.iter().flat_map(|t| t.partitions.clone()).collect::<Vec<_>>()
    };
    let [first, second] = &group.members[..] else { panic!() };
    assert_eq!(indexes(&first.assignment), [0, 1, 2, 3], "what it gives up is still its own");
    assert_eq!(indexes(&first.target_assignment), [0, 1]);
    assert_eq!(indexes(&second.assignment), []);
    assert_eq!(indexes(&second.target_assignment), [2, 3]);
    assert_eq!(second.member_type, 1);
}

/// Work, not time, is counted: every member is heard of a few times, and each partition moves at most once.
#[test]
fn a_hundred_members_share_a_thousand_partitions_in_a_few_heartbeats() {
    let mut world = world(1000);
    let mut members: Vec<_> =
        (0..100).map(|i| ConsumerMember::connect(&mut world, &format!("m{i:03}"))).collect();
    let mut beats = 0;
    for member in &mut members {
        assert_eq!(member.join(&mut world).error_code, ErrorCode::NONE);
        beats += 1;
    }
    while state(&world) != Some(ConsumerGroupState::Stable) {
        world.pass(A_WHILE);
        for member in &mut members {
            assert_eq!(member.comply(&mut world).error_code, ErrorCode::NONE);
            beats += 1;
        }
        assert!(beats <= 600, "the group does not settle");
    }
    assert!(members.iter().all(|member| member.assigned(&world).len() == 10));
    let group = world.cluster.consumer_group(GROUP).expect("a group");
    assert_eq!(Some(group.epoch), MemberEpoch::from_wire(101));
}

/// Of a group of this protocol they count from when each was made, whoever left when; what is read is kept.
#[test]
fn commits_of_what_no_member_reads_expire_and_the_empty_group_with_them() {
    let mut world = World::with(|settings| {
        settings.offsets_retention = Duration::from_secs(60);
        settings.offsets_retention_check_interval = Duration::from_secs(1);
        settings.consumer_groups.session_timeout = Duration::from_secs(1000);
    });
    let mut member = ConsumerMember::joined(&mut world, "a");
    let epoch = member.epoch;
    assert_eq!(commit(&mut world, &member, 9, epoch, 0), ErrorCode::NONE);
    world.pass(Duration::from_secs(100));
    assert_eq!(world.cluster.committed(GROUP).len(), 1);
    member.leave(&mut world, -1);
    world.pass(Duration::from_secs(2));
    assert_eq!(world.cluster.committed(GROUP).len(), 0);
    assert!(world.cluster.consumer_group(GROUP).is_none());
}
