//! Groups that go from the classic to the consumer protocol and back while they have members.

use std::time::Duration;

use bytes::Bytes;
use milena_broker::{ConnectionId, ConsumerGroupState, GroupState, MigrationPolicy, TopicSettings};
use milena_types::ErrorCode;
use milena_wire::messages::consumer_protocol_assignment::{
    ConsumerProtocolAssignment, TopicPartition as AssignedTopic,
};
use milena_wire::messages::consumer_protocol_subscription::{
    ConsumerProtocolSubscription, TopicPartition as OwnedTopic,
};
use milena_wire::messages::heartbeat_request::HeartbeatRequest;
use milena_wire::messages::join_group_request::{JoinGroupRequest, JoinGroupRequestProtocol};
use milena_wire::messages::join_group_response::JoinGroupResponse;
use milena_wire::messages::leave_group_request::{LeaveGroupRequest, MemberIdentity};
use milena_wire::messages::sync_group_request::{SyncGroupRequest, SyncGroupRequestAssignment};
use milena_wire::{ByteString, Reader, Response, Writer};

use crate::consumer_member::{ConsumerMember, GROUP, coordinator};
use crate::world::World;

const A_WHILE: Duration = Duration::from_secs(2);

fn world() -> World {
    World::with(|settings| settings.topics = vec![TopicSettings::new("t", 4)])
}

/// A member of the classic protocol that reads `t`, with the cooperative assignor.
struct ClassicMember {
    connection: ConnectionId,
    id: ByteString,
    generation: i32,
    owned: Vec<i32>,
}

impl ClassicMember {
    fn connect(world: &mut World) -> Self {
        let coordinator = coordinator(world);
        let connection = world.connect(coordinator);
        Self { connection, id: ByteString::new(), generation: -1, owned: Vec::new() }
    }

    /// A lone member that has joined and taken all four partitions.
    fn alone(world: &mut World) -> Self {
        let mut member = Self::connect(world);
        assert_eq!(member.join(world).error_code, ErrorCode::NONE);
        assert_eq!(member.sync(world, &[0, 1, 2, 3]), ErrorCode::NONE);
        member
    }

    /// Joins; a newcomer first takes its id.
    fn join(&mut self, world: &mut World) -> JoinGroupResponse {
        let answer = self.try_join(world);
        if answer.error_code != ErrorCode::MEMBER_ID_REQUIRED {
            return answer;
        }
        self.id = answer.member_id;
        self.try_join(world)
    }

    fn try_join(&mut self, world: &mut World) -> JoinGroupResponse {
        let owned = OwnedTopic { topic: "t".into(), partitions: self.owned.clone() };
        let message = ConsumerProtocolSubscription {
            topics: vec!["t".into()],
            owned_partitions: vec![owned],
            ..Default::default()
        };
        let mut writer = Writer::new();
        writer.i16(1);
        message.encode(&mut writer, 1).expect("it fits");
        let protocol =
            JoinGroupRequestProtocol { name: "range".into(), metadata: writer.into_bytes() };
        let request = JoinGroupRequest {
            group_id: GROUP.into(),
            session_timeout_ms: 30_000,
            rebalance_timeout_ms: 60_000,
            member_id: self.id.clone(),
            protocol_type: "consumer".into(),
            protocols: vec![protocol],
            ..Default::default()
        };
        let Response::JoinGroup(answer) = world.ask(self.connection, 9, request) else { panic!() };
        if answer.error_code == ErrorCode::NONE {
            self.id = answer.member_id.clone();
            self.generation = answer.generation_id;
        }
        answer
    }

    /// Syncs, as the leader of a group of its own with all the partitions named.
    fn sync(&mut self, world: &mut World, all: &[i32]) -> ErrorCode {
        let topic = AssignedTopic { topic: "t".into(), partitions: all.to_vec() };
        let message =
            ConsumerProtocolAssignment { assigned_partitions: vec![topic], user_data: None };
        let mut writer = Writer::new();
        writer.i16(1);
        message.encode(&mut writer, 1).expect("it fits");
        let assignment = SyncGroupRequestAssignment {
            member_id: self.id.clone(),
            assignment: writer.into_bytes(),
        };
        let request = SyncGroupRequest {
            group_id: GROUP.into(),
            generation_id: self.generation,
            member_id: self.id.clone(),
            protocol_type: Some("consumer".into()),
            protocol_name: Some("range".into()),
            assignments: vec![assignment],
            ..Default::default()
        };
        let Response::SyncGroup(answer) = world.ask(self.connection, 5, request) else { panic!() };
        if answer.error_code == ErrorCode::NONE {
            self.owned = assigned(answer.assignment);
        }
        answer.error_code
    }

    fn beat(&self, world: &mut World) -> ErrorCode {
        let request = HeartbeatRequest {
            group_id: GROUP.into(),
            generation_id: self.generation,
            member_id: self.id.clone(),
            ..Default::default()
        };
        let Response::Heartbeat(answer) = world.ask(self.connection, 4, request) else { panic!() };
        answer.error_code
    }

    fn leave(&self, world: &mut World) -> ErrorCode {
        let member = MemberIdentity { member_id: self.id.clone(), ..Default::default() };
        let request = LeaveGroupRequest {
            group_id: GROUP.into(),
            members: vec![member],
            ..Default::default()
        };
        let Response::LeaveGroup(answer) = world.ask(self.connection, 5, request) else { panic!() };
        answer.members[0].error_code
    }
}

fn assigned(bytes: Bytes) -> Vec<i32> {
    let mut reader = Reader::new(bytes);
    let version = reader.i16().expect("a version");
    let message = ConsumerProtocolAssignment::decode(&mut reader, version).expect("an assignment");
    message.assigned_partitions.into_iter().flat_map(|topic| topic.partitions).collect()
}

/// Members are replaced one by one, and each partition is read by one of them at any time.
#[test]
fn a_group_migrates_member_by_member_and_back() {
    let mut world = world();
    let mut old = ClassicMember::alone(&mut world);
    let generation = old.generation;

    let mut new = ConsumerMember::joined(&mut world, "new");
    assert_eq!(world.cluster.group(GROUP), None, "it is a group of the consumer protocol");
    assert_eq!((new.epoch, new.told()), (generation + 1, vec![]));
    assert_eq!(old.beat(&mut world), ErrorCode::REBALANCE_IN_PROGRESS);
    // It gives up half by its next JoinGroup, and gets the rest with the one after that.
    let answer = old.join(&mut world);
    assert_eq!((answer.error_code, answer.generation_id), (ErrorCode::NONE, generation));
    assert_eq!((answer.leader.as_ref(), answer.members.len()), ("", 0), "nobody leads");
    assert_eq!(old.sync(&mut world, &[]), ErrorCode::NONE);
    assert_eq!(old.owned.len(), 2);
    new.beat(&mut world);
    assert_eq!(new.told().len(), 0, "the old one has not said that it gave them up");
    assert_eq!(old.beat(&mut world), ErrorCode::REBALANCE_IN_PROGRESS);
    assert_eq!(old.join(&mut world).generation_id, generation + 1);
    assert_eq!(old.sync(&mut world, &[]), ErrorCode::NONE);
    new.beat(&mut world);
    assert_eq!(new.told().len(), 2);
    assert!(old.owned.iter().all(|index| !new.told().contains(index)));
    assert_eq!(old.beat(&mut world), ErrorCode::NONE);
    new.comply(&mut world);
    let group = world.cluster.consumer_group(GROUP).expect("of the consumer protocol");
    assert_eq!(group.state, ConsumerGroupState::Stable);
    assert!(group.members[&*old.id].is_classic && !group.members["new"].is_classic);

    // The new one goes, and with it the protocol.
    assert_eq!(new.leave(&mut world, -1), ErrorCode::NONE);
    let group = world.cluster.group(GROUP).expect("of the classic protocol");
    assert_eq!(group.state, GroupState::PreparingRebalance);
    assert_eq!(old.beat(&mut world), ErrorCode::REBALANCE_IN_PROGRESS);
    assert_eq!(old.join(&mut world).error_code, ErrorCode::NONE);
    assert_eq!(old.sync(&mut world, &[0, 1, 2, 3]), ErrorCode::NONE);
    assert_eq!(old.owned.len(), 4);
    assert_eq!(old.leave(&mut world), ErrorCode::NONE);
}

#[test]
fn the_last_classic_member_leaves_a_group_of_the_consumer_protocol() {
    let mut world = world();
    let old = ClassicMember::alone(&mut world);
    let mut new = ConsumerMember::joined(&mut world, "new");
    assert_eq!(old.leave(&mut world), ErrorCode::NONE);
    world.pass(A_WHILE);
    new.beat(&mut world);
    assert_eq!(new.told().len(), 4);
    let group = world.cluster.consumer_group(GROUP).expect("of the consumer protocol");
    assert_eq!((group.state, group.members.len()), (ConsumerGroupState::Stable, 1));
}

/// Nobody takes from a classic member what it has; it is given up if it does not join in time.
#[test]
fn a_classic_member_that_does_not_join_again_is_given_up() {
    let mut world = world();
    let old = ClassicMember::alone(&mut world);
    let mut new = ConsumerMember::joined(&mut world, "new");
    for _ in 0..4 {
        old.beat(&mut world);
        world.pass(Duration::from_secs(20));
        new.beat(&mut world);
    }
    assert_eq!(old.beat(&mut world), ErrorCode::UNKNOWN_MEMBER_ID);
    new.beat(&mut world);
    assert_eq!(new.told().len(), 4);
}

#[test]
fn a_migration_that_is_not_allowed_is_refused() {
    let mut world = World::with(|settings| {
        settings.topics = vec![TopicSettings::new("t", 4)];
        settings.consumer_groups.migration_policy = MigrationPolicy::Disabled;
    });
    let old = ClassicMember::alone(&mut world);
    let mut new = ConsumerMember::connect(&mut world, "new");
    let refused = new.join(&mut world);
    assert_eq!(refused.error_code, ErrorCode::GROUP_ID_NOT_FOUND);
    assert_eq!(old.beat(&mut world), ErrorCode::NONE, "nothing has changed");

    assert_eq!(old.leave(&mut world), ErrorCode::NONE);
    assert_eq!(new.join(&mut world).error_code, ErrorCode::NONE, "an empty group may change");
    let mut other = ClassicMember::connect(&mut world);
    assert_eq!(other.join(&mut world).error_code, ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
    new.leave(&mut world, -1);
    assert_eq!(other.join(&mut world).error_code, ErrorCode::NONE, "and back");
}
