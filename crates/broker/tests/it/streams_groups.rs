//! Groups of Kafka Streams.

use std::time::Duration;

use milena_broker::{ConnectionId, TopicSettings};
use milena_types::{ErrorCode, TopicPartition};
use milena_wire::Response;
use milena_wire::messages as m;
use milena_wire::messages::streams_group_describe_response::DescribedGroup;
use milena_wire::messages::streams_group_heartbeat_request::{
    KeyValue, Subtopology, TaskIds, TopicInfo, Topology,
};
use milena_wire::messages::{StreamsGroupHeartbeatRequest, StreamsGroupHeartbeatResponse};

use crate::consumer_member::{GROUP, coordinator};
use crate::world::World;

/// More than `group.streams.assignment.interval.ms`, less than any session.
const A_WHILE: Duration = Duration::from_secs(2);

/// The epoch by which a static member says that it comes back.
const AWAY: i32 = -2;

/// As `StreamsGroupHeartbeatResponse.Status` counts them.
const MISSING_SOURCES: i8 = 1;
const MISSING_INTERNALS: i8 = 3;
const DELAYED: i8 = 5;

/// One thread of an application, and what it knows of itself.
struct Thread {
    connection: ConnectionId,
    id: &'static str,
    instance: Option<&'static str>,
    epoch: i32,
    /// What it works on, by subtopology.
    tasks: Vec<(String, Vec<i32>)>,
}

impl Thread {
    fn new(world: &mut World, id: &'static str) -> Self {
        let coordinator = coordinator(world);
        let connection = world.connect(coordinator);
        Self { connection, id, instance: None, epoch: 0, tasks: Vec::new() }
    }

    fn of_instance(self, instance: &'static str) -> Self {
        Self { instance: Some(instance), ..self }
    }

    fn asking(&self, epoch: i32) -> StreamsGroupHeartbeatRequest {
        StreamsGroupHeartbeatRequest {
            group_id: GROUP.into(),
            member_id: self.id.into(),
            member_epoch: epoch,
            instance_id: self.instance.map(Into::into),
            ..Default::default()
        }
    }

    fn join(&mut self, world: &mut World, topology: Topology) -> StreamsGroupHeartbeatResponse {
        let request = StreamsGroupHeartbeatRequest {
            rebalance_timeout_ms: 10_000,
            process_id: Some(self.id.into()),
            topology: Some(topology),
            active_tasks: Some(vec![]),
            standby_tasks: Some(vec![]),
            warmup_tasks: Some(vec![]),
            ..self.asking(0)
        };
        self.tell(world, request)
    }

    /// Says what it works on, having given up what it was told to.
    fn beat(&mut self, world: &mut World) -> StreamsGroupHeartbeatResponse {
        let tasks = self.tasks.iter().map(|(id, partitions)| TaskIds {
            subtopology_id: id.as_str().into(),
            partitions: partitions.clone(),
        });
        let request = StreamsGroupHeartbeatRequest {
            active_tasks: Some(tasks.collect()),
            standby_tasks: Some(vec![]),
            warmup_tasks: Some(vec![]),
            ..self.asking(self.epoch)
        };
        self.tell(world, request)
    }

    fn leave(&mut self, world: &mut World) -> ErrorCode {
        let request = self.asking(-1);
        self.tell(world, request).error_code
    }

    fn tell(
        &mut self,
        world: &mut World,
        request: StreamsGroupHeartbeatRequest,
    ) -> StreamsGroupHeartbeatResponse {
        let Response::StreamsGroupHeartbeat(told) = world.ask(self.connection, 1, request) else {
            panic!()
        };
        if told.error_code == ErrorCode::NONE {
            self.epoch = told.member_epoch;
        }
        if let Some(tasks) = &told.active_tasks {
            let one = |one: &m::streams_group_heartbeat_response::TaskIds| {
                (one.subtopology_id.to_string(), one.partitions.clone())
            };
            self.tasks = tasks.iter().map(one).collect();
        }
        told
    }

    fn describe(&self, world: &mut World) -> DescribedGroup {
        let request =
            m::StreamsGroupDescribeRequest { group_ids: vec![GROUP.into()], ..Default::default() };
        let Response::StreamsGroupDescribe(told) = world.ask(self.connection, 1, request) else {
            panic!()
        };
        told.groups.into_iter().next().expect("one")
    }
}

fn world(partitions: i32) -> World {
    World::with(|settings| settings.topics = vec![TopicSettings::new("t", partitions)])
}

fn codes(told: &StreamsGroupHeartbeatResponse) -> Vec<i8> {
    told.status.iter().flatten().map(|status| status.status_code).collect()
}

/// Reads `source` and keeps nothing.
fn reading(source: &str) -> Topology {
    let one = Subtopology {
        subtopology_id: "0".into(),
        source_topics: vec![source.into()],
        ..Default::default()
    };
    Topology { epoch: 0, subtopologies: vec![one] }
}

/// Reads `t`, writes it anew by another key, and counts that.
fn counting() -> Topology {
    // Kafka Streams leaves the replicas to the brokers unless it is told how many.
    let info =
        |name: &str| TopicInfo { name: name.into(), replication_factor: -1, ..Default::default() };
    let splitting = Subtopology {
        subtopology_id: "0".into(),
        source_topics: vec!["t".into()],
        repartition_sink_topics: vec!["g-repartition".into()],
        ..Default::default()
    };
    let counting = Subtopology {
        subtopology_id: "1".into(),
        repartition_source_topics: vec![info("g-repartition")],
        state_changelog_topics: vec![info("g-changelog")],
        ..Default::default()
    };
    Topology { epoch: 0, subtopologies: vec![splitting, counting] }
}

fn partitions(world: &World, topic: &str) -> usize {
    let is_there = |index: &i32| world.cluster.partition(&TopicPartition::new(topic, *index));
    (0..100).take_while(|index| is_there(index).is_some()).count()
}

#[test]
fn internal_topics_are_made_as_the_topology_needs_them() {
    let mut world = world(3);
    let mut thread = Thread::new(&mut world, "a");
    let told = thread.join(&mut world, counting());
    assert_eq!((told.error_code, codes(&told)), (ErrorCode::NONE, vec![MISSING_INTERNALS]));
    assert_eq!(thread.tasks, [], "nobody works before all topics are there");
    assert_eq!(thread.describe(&mut world).group_state, "NotReady");
    assert_eq!((partitions(&world, "g-repartition"), partitions(&world, "g-changelog")), (3, 3));
    world.pass(A_WHILE);
    assert_eq!(codes(&thread.beat(&mut world)), []);
    let all = || vec![0, 1, 2];
    assert_eq!(thread.tasks, [("0".to_owned(), all()), ("1".to_owned(), all())]);
    assert_eq!(thread.describe(&mut world).group_state, "Stable");
}

#[test]
fn a_group_waits_for_topics_that_it_is_to_read() {
    let mut world = world(1);
    let mut thread = Thread::new(&mut world, "a");
    let told = thread.join(&mut world, reading("late"));
    assert_eq!(codes(&told), [MISSING_SOURCES]);
    let topic = m::create_topics_request::CreatableTopic {
        name: "late".into(),
        num_partitions: 2,
        replication_factor: 1,
        ..Default::default()
    };
    let request = m::CreateTopicsRequest { topics: vec![topic], ..Default::default() };
    world.ask(thread.connection, 7, request);
    world.pass(A_WHILE);
    assert_eq!(codes(&thread.beat(&mut world)), []);
    assert_eq!(thread.tasks, [("0".to_owned(), vec![0, 1])]);
}

/// Two that work on one task at once would write the same results twice.
#[test]
fn a_task_moves_once_its_holder_has_given_it_up() {
    let mut world = world(2);
    let mut first = Thread::new(&mut world, "a");
    first.join(&mut world, reading("t"));
    assert_eq!(first.tasks, [("0".to_owned(), vec![0, 1])]);
    world.pass(A_WHILE);
    let mut second = Thread::new(&mut world, "b");
    second.join(&mut world, reading("t"));
    assert_eq!(second.tasks, [], "nothing is free yet");
    let has_all = first.tasks.clone();
    first.beat(&mut world);
    assert_eq!(first.tasks, [("0".to_owned(), vec![0])]);
    let keeps = std::mem::replace(&mut first.tasks, has_all);
    first.beat(&mut world);
    second.beat(&mut world);
    assert_eq!(second.tasks, [], "the first says that it has it still");
    first.tasks = keeps;
    first.beat(&mut world);
    second.beat(&mut world);
    assert_eq!(second.tasks, [("0".to_owned(), vec![1])]);
    assert_eq!(first.describe(&mut world).group_state, "Stable");
}

#[test]
fn what_a_member_leaves_goes_to_those_that_stay() {
    let mut world = world(2);
    let mut first = Thread::new(&mut world, "a");
    first.join(&mut world, reading("t"));
    let mut second = Thread::new(&mut world, "b");
    second.join(&mut world, reading("t"));
    world.pass(A_WHILE);
    assert_eq!(first.leave(&mut world), ErrorCode::NONE);
    assert_eq!(first.beat(&mut world).error_code, ErrorCode::UNKNOWN_MEMBER_ID);
    second.beat(&mut world);
    assert_eq!(second.tasks, [("0".to_owned(), vec![0, 1])]);
    assert_eq!(second.leave(&mut world), ErrorCode::NONE);
    assert_eq!(second.describe(&mut world).group_state, "Empty");
}

#[test]
fn a_static_member_finds_its_tasks_as_it_left_them() {
    let mut world = world(2);
    let mut first = Thread::new(&mut world, "a").of_instance("i");
    first.join(&mut world, reading("t"));
    let mut other = Thread::new(&mut world, "b");
    other.join(&mut world, reading("t"));
    world.pass(A_WHILE);
    for _ in 0..2 {
        first.beat(&mut world);
        other.beat(&mut world);
    }
    let had = first.tasks.clone();
    assert_eq!((had.len(), other.tasks.len()), (1, 1), "each has one of the two");
    let mut next = Thread::new(&mut world, "c").of_instance("i");
    let refused = next.join(&mut world, reading("t")).error_code;
    assert_eq!(refused, ErrorCode::UNRELEASED_INSTANCE_ID);
    let away = first.asking(AWAY);
    assert_eq!(first.tell(&mut world, away).error_code, ErrorCode::NONE);
    let has = other.tasks.clone();
    other.beat(&mut world);
    assert_eq!(other.tasks, has, "what it left is kept for it");
    next.join(&mut world, reading("t"));
    assert_eq!(next.tasks, had);
    assert_eq!(first.beat(&mut world).error_code, ErrorCode::FENCED_INSTANCE_ID);
}

#[test]
fn a_member_under_another_name_lets_go_of_its_former_one() {
    let mut world = world(2);
    let mut first = Thread::new(&mut world, "a").of_instance("i");
    first.join(&mut world, reading("t"));
    first.instance = Some("j");
    assert_eq!(first.join(&mut world, reading("t")).error_code, ErrorCode::NONE);
    let mut second = Thread::new(&mut world, "b").of_instance("i");
    assert_eq!(second.join(&mut world, reading("t")).error_code, ErrorCode::NONE);
}

#[test]
fn a_member_that_is_not_heard_of_is_given_up() {
    let mut world = world(2);
    let mut thread = Thread::new(&mut world, "a");
    thread.join(&mut world, reading("t"));
    world.pass(Duration::from_secs(44));
    assert_eq!(thread.beat(&mut world).error_code, ErrorCode::NONE);
    world.pass(Duration::from_secs(46));
    assert_eq!(thread.beat(&mut world).error_code, ErrorCode::UNKNOWN_MEMBER_ID);
}

/// A member that holds on to a task would keep it from the others for ever.
#[test]
fn a_member_that_does_not_give_up_in_time_is_given_up() {
    let mut world = world(2);
    let mut first = Thread::new(&mut world, "a");
    first.join(&mut world, reading("t"));
    world.pass(A_WHILE);
    let mut second = Thread::new(&mut world, "b");
    second.join(&mut world, reading("t"));
    let has_all = first.tasks.clone();
    first.beat(&mut world);
    first.tasks = has_all;
    world.pass(Duration::from_secs(9));
    assert_eq!(first.beat(&mut world).error_code, ErrorCode::NONE);
    world.pass(A_WHILE);
    assert_eq!(first.beat(&mut world).error_code, ErrorCode::UNKNOWN_MEMBER_ID);
}

#[test]
fn the_first_assignment_waits_for_more_members_where_it_is_to() {
    let mut world = World::with(|settings| {
        settings.topics = vec![TopicSettings::new("t", 2)];
        settings.streams_groups.initial_rebalance_delay = Duration::from_secs(3);
    });
    let mut first = Thread::new(&mut world, "a");
    assert_eq!(codes(&first.join(&mut world, reading("t"))), [DELAYED]);
    let mut second = Thread::new(&mut world, "b");
    assert_eq!(codes(&second.join(&mut world, reading("t"))), [DELAYED]);
    world.pass(Duration::from_secs(3));
    assert_eq!(codes(&first.beat(&mut world)), []);
    second.beat(&mut world);
    assert_eq!(first.tasks, [("0".to_owned(), vec![0])]);
    assert_eq!(second.tasks, [("0".to_owned(), vec![1])]);
}

/// Its members join again, and must bring the topology that they had.
#[test]
fn a_restarted_cluster_knows_the_topology() {
    for restart in [World::restart, World::restart_compacted] {
        let mut world = world(2);
        let mut thread = Thread::new(&mut world, "a");
        thread.join(&mut world, counting());
        restart(&mut world);
        let mut thread = Thread::new(&mut world, "a");
        let described = thread.describe(&mut world);
        assert_eq!(described.group_state, "Empty");
        assert_eq!(described.topology.expect("one").subtopologies.map(|all| all.len()), Some(2));
        let told = thread.join(&mut world, reading("t"));
        assert_eq!(told.error_code, ErrorCode::INVALID_REQUEST);
        assert_eq!(thread.join(&mut world, counting()).error_code, ErrorCode::NONE);
        assert_eq!(thread.tasks.len(), 2, "all topics are there");
    }
}

/// Where it is off, groups of other kinds are as they were.
#[test]
fn without_the_feature_nobody_joins() {
    let mut world = World::with(|settings| settings.streams_version = 0);
    let mut thread = Thread::new(&mut world, "a");
    let told = thread.join(&mut world, reading("t"));
    assert_eq!(told.error_code, ErrorCode::UNSUPPORTED_VERSION);
    assert_eq!(thread.describe(&mut world).error_code, ErrorCode::UNSUPPORTED_VERSION);
}

/// A topology is written down, so a member may not bring more than a coordinator would take.
#[test]
fn a_topology_without_measure_is_refused() {
    let mut world = world(1);
    let mut thread = Thread::new(&mut world, "a");
    let one = |id: String| Subtopology {
        subtopology_id: id.into(),
        source_topics: vec!["t".into()],
        ..Default::default()
    };
    let many =
        Topology { epoch: 0, subtopologies: (0..1001).map(|n| one(n.to_string())).collect() };
    let mut long = one("0".to_owned());
    let config = |n: i32| KeyValue { key: n.to_string().into(), value: "x".repeat(30_000).into() };
    let changelog = TopicInfo {
        name: "long".into(),
        topic_configs: (0..40).map(config).collect(),
        ..Default::default()
    };
    long.state_changelog_topics = vec![changelog];
    let long = Topology { epoch: 0, subtopologies: vec![long] };
    for topology in [many, long] {
        let told = thread.join(&mut world, topology);
        assert_eq!(told.error_code, ErrorCode::UNKNOWN_SERVER_ERROR);
    }
    assert_eq!(thread.describe(&mut world).error_code, ErrorCode::GROUP_ID_NOT_FOUND);
}
