//! Groups of one to three members.

use std::time::Duration;

use bytes::Bytes;
use milena_broker::{ConnectionId, GroupState, TopicSettings};
use milena_types::{ErrorCode, NodeId};
use milena_wire::messages::find_coordinator_request::FindCoordinatorRequest;
use milena_wire::messages::heartbeat_request::HeartbeatRequest;
use milena_wire::messages::join_group_request::{JoinGroupRequest, JoinGroupRequestProtocol};
use milena_wire::messages::join_group_response::JoinGroupResponse;
use milena_wire::messages::leave_group_request::{LeaveGroupRequest, MemberIdentity};
use milena_wire::messages::offset_commit_request::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use milena_wire::messages::offset_delete_request::{
    OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use milena_wire::messages::offset_fetch_request::{OffsetFetchRequest, OffsetFetchRequestGroup};
use milena_wire::messages::sync_group_request::{SyncGroupRequest, SyncGroupRequestAssignment};
use milena_wire::messages::sync_group_response::SyncGroupResponse;
use milena_wire::{ByteString, Response};

use crate::world::{World, node, tp};

const SESSION: Duration = Duration::from_secs(10);

/// One member's connection and what it knows of itself.
struct Member {
    connection: ConnectionId,
    id: ByteString,
    instance_id: Option<ByteString>,
    rebalance_timeout_ms: i32,
    generation: i32,
}

fn coordinator(world: &mut World) -> NodeId {
    let connection = world.connect(node(1));
    let request =
        FindCoordinatorRequest { coordinator_keys: vec!["g".into()], ..Default::default() };
    let Response::FindCoordinator(found) = world.ask(connection, 4, request) else { panic!() };
    assert_eq!(found.coordinators[0].error_code, ErrorCode::NONE);
    NodeId::new(found.coordinators[0].node_id)
}

impl Member {
    fn connect(world: &mut World) -> Self {
        let coordinator = coordinator(world);
        let connection = world.connect(coordinator);
        Self {
            connection,
            id: ByteString::new(),
            instance_id: None,
            rebalance_timeout_ms: 60_000,
            generation: -1,
        }
    }

    /// Sends a JoinGroup; a newcomer first takes its id.
    fn join(&mut self, world: &mut World) {
        if self.id.is_empty() && self.instance_id.is_none() {
            world.send(self.connection, 9, self.join_request());
            let named = joined(world.answer(self.connection));
            assert_eq!(named.error_code, ErrorCode::MEMBER_ID_REQUIRED);
            self.id = named.member_id;
        }
        world.send(self.connection, 9, self.join_request());
    }

    fn join_request(&self) -> JoinGroupRequest {
        let protocol = JoinGroupRequestProtocol {
            name: "range".into(),
            metadata: Bytes::from_static(b"subscription"),
        };
        JoinGroupRequest {
            group_id: "g".into(),
            session_timeout_ms: SESSION.as_millis() as i32,
            rebalance_timeout_ms: self.rebalance_timeout_ms,
            member_id: self.id.clone(),
            group_instance_id: self.instance_id.clone(),
            protocol_type: "consumer".into(),
            protocols: vec![protocol],
            ..Default::default()
        }
    }

    /// Takes the answer to the JoinGroup.
    fn joined(&mut self, world: &mut World) -> JoinGroupResponse {
        let answer = joined(world.answer(self.connection));
        assert_eq!(answer.error_code, ErrorCode::NONE);
        self.id = answer.member_id.clone();
        self.generation = answer.generation_id;
        answer
    }

    fn sync(&self, world: &mut World, assigned: &[&Self]) {
        let assignment = |member: &&Self| SyncGroupRequestAssignment {
            member_id: member.id.clone(),
            assignment: Bytes::copy_from_slice(member.id.as_bytes()),
        };
        let request = SyncGroupRequest {
            group_id: "g".into(),
            generation_id: self.generation,
            member_id: self.id.clone(),
            group_instance_id: self.instance_id.clone(),
            protocol_type: Some("consumer".into()),
            protocol_name: Some("range".into()),
            assignments: assigned.iter().map(assignment).collect(),
        };
        world.send(self.connection, 5, request);
    }

    fn synced(&self, world: &mut World) -> SyncGroupResponse {
        let Some(Response::SyncGroup(answer)) = world.answer(self.connection) else { panic!() };
        answer
    }

    fn heartbeat(&self, world: &mut World) -> ErrorCode {
        let request = HeartbeatRequest {
            group_id: "g".into(),
            generation_id: self.generation,
            member_id: self.id.clone(),
            group_instance_id: self.instance_id.clone(),
        };
        let Response::Heartbeat(answer) = world.ask(self.connection, 4, request) else { panic!() };
        answer.error_code
    }

    fn commit(&self, world: &mut World, offset: i64) -> ErrorCode {
        let partition = OffsetCommitRequestPartition {
            partition_index: 0,
            committed_offset: offset,
            ..Default::default()
        };
        let topic = OffsetCommitRequestTopic {
            name: "t".into(),
            partitions: vec![partition],
            ..Default::default()
        };
        let request = OffsetCommitRequest {
            group_id: "g".into(),
            generation_id_or_member_epoch: self.generation,
            member_id: self.id.clone(),
            group_instance_id: self.instance_id.clone(),
            topics: vec![topic],
            ..Default::default()
        };
        let Response::OffsetCommit(answer) = world.ask(self.connection, 8, request) else {
            panic!()
        };
        answer.topics[0].partitions[0].error_code
    }

    fn leave(&self, world: &mut World) -> ErrorCode {
        let member = MemberIdentity { member_id: self.id.clone(), ..Default::default() };
        let request =
            LeaveGroupRequest { group_id: "g".into(), members: vec![member], ..Default::default() };
        let Response::LeaveGroup(answer) = world.ask(self.connection, 5, request) else { panic!() };
        answer.members[0].error_code
    }
}

fn joined(answer: Option<Response>) -> JoinGroupResponse {
    let Some(Response::JoinGroup(answer)) = answer else { panic!("{answer:?}") };
    answer
}

fn state(world: &World) -> Option<GroupState> {
    world.cluster.group("g").map(|group| group.state)
}

/// A stable group of `size` members, the leader first.
fn stable(world: &mut World, size: usize) -> Vec<Member> {
    let mut members: Vec<Member> = Vec::new();
    for _ in 0..size {
        let mut newcomer = Member::connect(world);
        newcomer.join(world);
        for member in &mut members {
            member.join(world);
        }
        members.push(newcomer);
        settle(world, &mut members);
    }
    members
}

/// Takes the answers to the joins of all, and syncs.
fn settle(world: &mut World, members: &mut [Member]) {
    for member in members.iter_mut() {
        member.joined(world);
    }
    let leader = world.cluster.group("g").and_then(|group| group.leader).expect("a leader");
    let all: Vec<_> = members.iter().collect();
    for member in all.iter().filter(|member| *member.id != *leader) {
        member.sync(world, &[]);
    }
    let leader = all.iter().find(|member| *member.id == *leader).expect("the leader is a member");
    leader.sync(world, &all);
    for member in &all {
        let answer = member.synced(world);
        assert_eq!(
            (answer.error_code, &answer.assignment[..]),
            (ErrorCode::NONE, &member.id.as_bytes()[..])
        );
    }
}

#[test]
fn three_members_get_what_the_leader_assigns() {
    let mut world = World::new();
    let members = stable(&mut world, 3);
    assert_eq!(state(&world), Some(GroupState::Stable));
    for member in &members {
        assert_eq!(member.heartbeat(&mut world), ErrorCode::NONE);
    }
}

#[test]
fn only_the_leader_hears_who_the_members_are() {
    let mut world = World::new();
    let mut first = Member::connect(&mut world);
    first.join(&mut world);
    assert_eq!(first.joined(&mut world).members.len(), 1);
    let mut second = Member::connect(&mut world);
    second.join(&mut world);
    assert_eq!(first.heartbeat(&mut world), ErrorCode::REBALANCE_IN_PROGRESS);
    first.join(&mut world);
    let answers = (first.joined(&mut world), second.joined(&mut world));
    assert_eq!((answers.0.members.len(), answers.1.members.len()), (2, 0));
    assert_eq!(answers.1.leader, first.id);
}

#[test]
fn a_member_that_falls_silent_is_given_up_and_the_others_rebalance() {
    let mut world = World::new();
    let mut members = stable(&mut world, 2);
    let silent = members.remove(1);
    world.pass(SESSION / 2);
    assert_eq!(members[0].heartbeat(&mut world), ErrorCode::NONE);
    world.pass(SESSION / 2);
    assert_eq!(members[0].heartbeat(&mut world), ErrorCode::REBALANCE_IN_PROGRESS);
    members[0].join(&mut world);
    settle(&mut world, &mut members);
    assert_eq!(silent.heartbeat(&mut world), ErrorCode::UNKNOWN_MEMBER_ID);
    assert_eq!(
        silent.commit(&mut world, 5),
        ErrorCode::UNKNOWN_MEMBER_ID,
        "a zombie commits nothing"
    );
    assert!(world.cluster.committed("g").is_empty());
}

#[test]
fn a_member_that_does_not_rejoin_in_time_is_left_behind() {
    let mut world = World::new();
    let members = stable(&mut world, 1);
    let mut newcomer = Member::connect(&mut world);
    newcomer.join(&mut world);
    for _ in 0..12 {
        assert_eq!(members[0].heartbeat(&mut world), ErrorCode::REBALANCE_IN_PROGRESS);
        world.pass(Duration::from_secs(5));
    }
    let answer = newcomer.joined(&mut world);
    assert_eq!((answer.leader, answer.members.len()), (newcomer.id.clone(), 1));
}

#[test]
fn a_member_that_leaves_is_gone_at_once() {
    let mut world = World::new();
    let members = stable(&mut world, 2);
    assert_eq!(members[1].leave(&mut world), ErrorCode::NONE);
    assert_eq!(members[0].heartbeat(&mut world), ErrorCode::REBALANCE_IN_PROGRESS);
    assert_eq!(members[0].leave(&mut world), ErrorCode::NONE);
    assert_eq!(state(&world), Some(GroupState::Empty));
    assert_eq!(members[0].leave(&mut world), ErrorCode::UNKNOWN_MEMBER_ID);
}

#[test]
fn commits_need_the_present_generation_and_are_fetched_again() {
    let mut world = World::new();
    let mut members = stable(&mut world, 1);
    assert_eq!(members[0].commit(&mut world, 7), ErrorCode::NONE);
    members[0].generation += 1;
    assert_eq!(members[0].commit(&mut world, 9), ErrorCode::ILLEGAL_GENERATION);
    let committed = world.cluster.committed("g");
    assert_eq!(committed.get(&tp()).map(|c| c.offset.get()), Some(7));
    assert_eq!(world.cluster.journal().commits().count(), 1);
    let group =
        OffsetFetchRequestGroup { group_id: "g".into(), topics: None, ..Default::default() };
    let request = OffsetFetchRequest { groups: vec![group], ..Default::default() };
    let connection = members[0].connection;
    let Response::OffsetFetch(response) = world.ask(connection, 8, request) else { panic!() };
    assert_eq!(response.groups[0].topics[0].partitions[0].committed_offset, 7);
}

#[test]
fn who_is_in_no_group_commits_while_the_group_has_no_members() {
    let mut world = World::new();
    let outsider = Member::connect(&mut world);
    assert_eq!(outsider.commit(&mut world, 3), ErrorCode::NONE);
    let members = stable(&mut world, 1);
    assert_eq!(outsider.commit(&mut world, 4), ErrorCode::UNKNOWN_MEMBER_ID);
    assert_eq!(members[0].leave(&mut world), ErrorCode::NONE);
    assert_eq!(outsider.commit(&mut world, 5), ErrorCode::NONE);
}

/// There is nothing left to say of it, and it must not come back from what was once said.
#[test]
fn a_group_whose_commits_were_all_deleted_is_gone_after_a_restart() {
    for restart in [World::restart, World::restart_compacted] {
        let mut world = World::new();
        let outsider = Member::connect(&mut world);
        assert_eq!(outsider.commit(&mut world, 3), ErrorCode::NONE);
        let partition = OffsetDeleteRequestPartition { partition_index: 0 };
        let topic = OffsetDeleteRequestTopic { name: "t".into(), partitions: vec![partition] };
        let request = OffsetDeleteRequest { group_id: "g".into(), topics: vec![topic] };
        world.ask(outsider.connection, 0, request);
        restart(&mut world);
        assert_eq!(state(&world), None);
    }
}

/// The one since 4.0 keeps it until commits expire.
#[test]
fn the_first_coordinator_forgets_who_has_neither_members_nor_commits_when_a_topic_goes() {
    let none_left = |world: &World| world.cluster.committed("g").is_empty();
    for (release, is_kept) in [("3.9", false), ("4.0", true)] {
        let release = release.parse().expect("a release");
        let mut world = World::with(|settings| {
            *settings = settings.clone().as_version(release);
            settings.topics = ["t", "u", "v"].map(|name| TopicSettings::new(name, 1)).into();
        });
        let mut member = Member::connect(&mut world);
        member.join(&mut world);
        settle(&mut world, std::slice::from_mut(&mut member));
        assert_eq!(member.commit(&mut world, 3), ErrorCode::NONE);
        assert!(world.cluster.delete_topic(world.now, "u"));
        assert!(!none_left(&world));
        assert!(world.cluster.delete_topic(world.now, "t"));
        assert!(none_left(&world));
        assert_eq!(state(&world), Some(GroupState::Stable), "it has a member");
        assert_eq!(member.leave(&mut world), ErrorCode::NONE);
        assert_eq!(state(&world), Some(GroupState::Empty));
        assert!(world.cluster.delete_topic(world.now, "v"));
        assert_eq!(state(&world), is_kept.then_some(GroupState::Empty));
    }
}

#[test]
fn a_static_member_comes_back_without_a_rebalance_and_fences_its_past() {
    let mut world = World::new();
    let mut member = Member::connect(&mut world);
    member.instance_id = Some("one".into());
    member.join(&mut world);
    settle(&mut world, std::slice::from_mut(&mut member));
    let mut back = Member::connect(&mut world);
    back.instance_id = Some("one".into());
    back.join(&mut world);
    let answer = back.joined(&mut world);
    assert_eq!((answer.generation_id, answer.skip_assignment), (member.generation, true));
    assert_eq!(state(&world), Some(GroupState::Stable));
    assert_eq!(member.heartbeat(&mut world), ErrorCode::FENCED_INSTANCE_ID);
    back.sync(&mut world, &[]);
    assert_eq!(&back.synced(&mut world).assignment[..], &member.id.as_bytes()[..]);
}

/// A static member is waited for, again and again; without any time between, the cluster would do nothing else.
#[test]
fn a_static_member_without_time_to_rejoin_does_not_stop_the_clock() {
    let mut world = World::new();
    let mut member = Member::connect(&mut world);
    member.instance_id = Some("one".into());
    member.rebalance_timeout_ms = 0;
    member.join(&mut world);
    settle(&mut world, std::slice::from_mut(&mut member));
    let mut other = Member::connect(&mut world);
    other.join(&mut world);
    member.join(&mut world);
    let mut members = [member, other];
    settle(&mut world, &mut members);
    assert_eq!(members[1].leave(&mut world), ErrorCode::NONE);
    world.pass(SESSION);
    assert_eq!(state(&world), Some(GroupState::Empty), "its session is over");
}

#[test]
fn a_member_with_another_kind_of_protocol_is_refused() {
    let mut world = World::new();
    stable(&mut world, 1);
    let other = Member::connect(&mut world);
    let request = JoinGroupRequest { protocol_type: "connect".into(), ..other.join_request() };
    world.send(other.connection, 9, request);
    let answer = joined(world.answer(other.connection));
    assert_eq!(answer.error_code, ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
}

#[test]
fn members_keep_their_place_when_the_coordinator_dies() {
    let mut world = World::new();
    let mut members = stable(&mut world, 1);
    let old = coordinator(&mut world);
    world.cluster.crash_node(world.now, old);
    world.drain();
    world.pass(Duration::from_secs(1));
    world.cluster.restart_node(world.now, old);
    let new = {
        let connection = world.connect(node(if old.get() == 1 { 2 } else { 1 }));
        let request =
            FindCoordinatorRequest { coordinator_keys: vec!["g".into()], ..Default::default() };
        let Response::FindCoordinator(found) = world.ask(connection, 4, request) else { panic!() };
        NodeId::new(found.coordinators[0].node_id)
    };
    assert_ne!(new, old);
    members[0].connection = world.connect(old);
    assert_eq!(members[0].heartbeat(&mut world), ErrorCode::NOT_COORDINATOR);
    members[0].connection = world.connect(new);
    assert_eq!(members[0].heartbeat(&mut world), ErrorCode::NONE);
}

/// Commits are kept for a minute, and looked through each second.
fn expiring() -> World {
    World::with(|settings| {
        settings.offsets_retention = Duration::from_secs(60);
        settings.offsets_retention_check_interval = Duration::from_secs(1);
    })
}

fn has_commits(world: &World) -> bool {
    !world.cluster.committed("g").is_empty()
}

#[test]
fn commits_of_a_group_that_nobody_joined_expire_after_they_were_made() {
    let mut world = expiring();
    let outsider = Member::connect(&mut world);
    assert_eq!(outsider.commit(&mut world, 7), ErrorCode::NONE);
    world.pass(Duration::from_secs(59));
    assert!(has_commits(&world));
    world.pass(Duration::from_secs(3));
    assert!(!has_commits(&world));
    assert_eq!(state(&world), None, "the group is gone with them");
    world.restart();
    assert!(!has_commits(&world));
}

#[test]
fn commits_of_a_group_expire_after_its_last_member_left() {
    let mut world = expiring();
    let members = stable(&mut world, 1);
    assert_eq!(members[0].commit(&mut world, 7), ErrorCode::NONE);
    for _ in 0..20 {
        world.pass(Duration::from_secs(5));
        assert_eq!(members[0].heartbeat(&mut world), ErrorCode::NONE);
    }
    assert!(has_commits(&world));
    assert_eq!(members[0].leave(&mut world), ErrorCode::NONE);
    world.pass(Duration::from_secs(59));
    assert!(has_commits(&world), "as old as they are");
    world.pass(Duration::from_secs(3));
    assert!(!has_commits(&world));
    world.restart();
    assert!(!has_commits(&world));
}

/// As Kafka's record of a group tells. By the commits' own age, all would be gone at the first look after the restart.
#[test]
fn a_group_s_last_member_left_when_it_did_though_the_broker_is_started_anew() {
    let restarts: [fn(&mut World); 2] = [World::restart, World::restart_compacted];
    for restart in restarts {
        let mut world = expiring();
        let members = stable(&mut world, 1);
        assert_eq!(members[0].commit(&mut world, 7), ErrorCode::NONE);
        for _ in 0..20 {
            world.pass(Duration::from_secs(5));
            assert_eq!(members[0].heartbeat(&mut world), ErrorCode::NONE);
        }
        assert_eq!(members[0].leave(&mut world), ErrorCode::NONE);
        world.pass(Duration::from_secs(30));
        restart(&mut world);
        world.pass(Duration::from_secs(29));
        assert!(has_commits(&world));
        restart(&mut world);
        world.pass(Duration::from_secs(3));
        assert!(!has_commits(&world));
    }
}

/// They join again in a moment; until then nobody has given the group up.
#[test]
fn a_group_that_had_members_is_empty_from_the_restart_on() {
    let mut world = expiring();
    let members = stable(&mut world, 1);
    assert_eq!(members[0].commit(&mut world, 7), ErrorCode::NONE);
    for _ in 0..20 {
        world.pass(Duration::from_secs(5));
        assert_eq!(members[0].heartbeat(&mut world), ErrorCode::NONE);
    }
    world.restart();
    world.pass(Duration::from_secs(59));
    assert!(has_commits(&world));
    world.pass(Duration::from_secs(3));
    assert!(!has_commits(&world));
}

/// Else a broker that runs for long would list every group that there ever was.
#[test]
fn a_group_without_members_and_commits_is_forgotten_when_commits_are_looked_through() {
    let mut world = expiring();
    let members = stable(&mut world, 1);
    world.pass(Duration::from_secs(5));
    assert_eq!(members[0].leave(&mut world), ErrorCode::NONE);
    assert_eq!(state(&world), Some(GroupState::Empty));
    world.pass(Duration::from_secs(2));
    assert_eq!(state(&world), None);
}
