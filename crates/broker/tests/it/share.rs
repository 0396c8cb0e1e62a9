//! Share groups: who is given which records for how long. Kafka's own answers are compared in `protocol-tests`.

use std::time::Duration;

use milena_broker::{Acknowledgement, ConnectionId, RecordState, SharedRecords, on};
use milena_types::{ApiKey, ErrorCode, NodeId};
use milena_wire::messages as m;
use milena_wire::messages::share_fetch_response::{PartitionData, ShareFetchResponse};
use milena_wire::{ByteString, Response};

use crate::world::{World, node, offset, tp};

const LOCK: Duration = Duration::from_secs(30);

#[test]
fn a_lock_that_nobody_renews_ends_by_time_alone() {
    let (mut world, mut a) = group();
    let mut b = Member::join(&mut world, "b");
    world.produce(a.connection, &["one", "two"], None);
    assert_eq!(a.fetch(&mut world), [(0, 1, 1)]);
    world.pass(Duration::from_secs(20));
    assert_eq!(a.say(&mut world, 0, 0, RENEW), ErrorCode::NONE);
    b.send_fetch(&mut world, 20_000);
    world.pass(Duration::from_secs(10) - Duration::from_millis(1));
    assert!(b.fetched(&mut world).is_none());
    world.pass(Duration::from_millis(1));
    assert_eq!(b.fetched(&mut world), Some(vec![(1, 1, 2)]), "the waiting fetch is woken");
    assert_eq!(a.say(&mut world, 1, 1, ACCEPT), ErrorCode::INVALID_RECORD_STATE);
    assert_eq!(a.say(&mut world, 0, 0, ACCEPT), ErrorCode::NONE);
    assert_eq!(b.say(&mut world, 1, 1, ACCEPT), ErrorCode::NONE);
    assert_eq!(lag(&mut world), Some(0));
    let taken = world.cluster.journal().acknowledgements();
    let taken: Vec<_> =
        taken.map(|one| (one.member_id.as_str(), one.first.get(), one.said)).collect();
    use Acknowledgement::{Accept, Renew};
    assert_eq!(taken, [("a", 0, Renew), ("a", 0, Accept), ("b", 1, Accept)]);
}

#[test]
fn a_test_sees_who_holds_what() {
    let (mut world, mut a) = group();
    world.produce(a.connection, &["one", "two"], None);
    a.fetch(&mut world);
    a.say(&mut world, 1, 1, ACCEPT);
    let view = world.cluster.share_partition("s", &tp()).expect("it keeps an offset");
    assert_eq!(view.start, Some(offset(0)));
    let told = |records: &SharedRecords| {
        (records.first.get(), records.last.get(), records.state, records.member_id.clone())
    };
    let told: Vec<_> = view.records.iter().map(told).collect();
    let held = Some("a".to_owned());
    assert_eq!(
        told,
        [(0, 0, RecordState::Acquired, held), (1, 1, RecordState::Acknowledged, None)]
    );
    let group = world.cluster.share_group("s").expect("is there");
    assert_eq!(group.members["a"].assigned, [tp()].into());
    assert_eq!(group.members["a"].epoch, group.epoch);
}

#[test]
fn a_session_ends_with_its_connection_and_gives_back() {
    let (mut world, mut a) = group();
    let mut b = Member::join(&mut world, "b");
    world.produce(b.connection, &["one"], None);
    assert_eq!(a.fetch(&mut world), [(0, 0, 1)]);
    b.send_fetch(&mut world, 1_000);
    world.cluster.close(world.now, a.connection);
    world.drain();
    assert_eq!(b.fetched(&mut world), Some(vec![(0, 0, 2)]));
}

/// The request names nothing that the session has already: what it is about, the node remembers.
#[test]
fn a_fault_of_a_topic_strikes_a_fetch_that_goes_on_with_its_session() {
    let (mut world, mut a) = group();
    world.produce(a.connection, &["one"], None);
    assert_eq!(a.fetch(&mut world), [(0, 0, 1)]);
    let code = ErrorCode::COORDINATOR_NOT_AVAILABLE;
    world.cluster.add_fault(on(ApiKey::SHARE_FETCH).topic("other").error(ErrorCode::NONE));
    world.cluster.add_fault(on(ApiKey::SHARE_FETCH).topic("t").error(code));
    let names_nothing = m::ShareFetchRequest {
        group_id: Some("s".into()),
        member_id: Some("a".into()),
        share_session_epoch: 1,
        ..Default::default()
    };
    let Response::ShareFetch(told) = world.ask(a.connection, 1, names_nothing) else { panic!() };
    assert_eq!(told.error_code, code);
}

/// The window goes with the last session; what was acknowledged is stored, and deliveries are still counted.
#[test]
fn a_group_without_sessions_goes_on_where_it_was() {
    let (mut world, mut a) = group();
    let producer = world.connect_leader();
    world.produce(producer, &["one", "two", "three"], None);
    assert_eq!(a.fetch(&mut world), [(0, 2, 1)]);
    assert_eq!(a.say(&mut world, 0, 1, ACCEPT), ErrorCode::NONE);
    world.cluster.close(world.now, a.connection);
    let mut b = Member::join(&mut world, "b");
    assert_eq!(b.fetch(&mut world), [(2, 2, 2)]);
    assert_eq!(b.say(&mut world, 2, 2, REJECT), ErrorCode::NONE);
    assert_eq!(lag(&mut world), Some(0));
}

#[test]
fn a_new_leader_knows_what_was_acknowledged_and_counts_no_unanswered_delivery() {
    let (mut world, mut a) = group();
    world.produce(a.connection, &["one", "two"], None);
    assert_eq!(a.fetch(&mut world), [(0, 1, 1)]);
    assert_eq!(a.say(&mut world, 0, 0, ACCEPT), ErrorCode::NONE);
    let old = world.leader();
    let next = [1, 2, 3].map(node).into_iter().find(|other| *other != old).expect("three");
    assert!(world.cluster.move_leader(world.now, &tp(), next));
    let told = a.ask_fetch(&mut world, 0);
    let partition = &told.responses[0].partitions[0];
    assert_eq!(partition.error_code, ErrorCode::NOT_LEADER_OR_FOLLOWER);
    assert_eq!(partition.current_leader.leader_id, next.get());
    assert_eq!(told.node_endpoints[0].node_id, next.get());
    let mut b = Member::join(&mut world, "b");
    assert_eq!(b.fetch(&mut world), [(1, 1, 1)]);
}

#[test]
fn a_member_that_falls_silent_is_given_up_and_its_partitions_with_it() {
    let (mut world, mut a) = group();
    let beat = a.beat(&mut world, a.epoch, None);
    assert_eq!(beat.error_code, ErrorCode::NONE);
    world.pass(Duration::from_secs(44));
    let beat = a.beat(&mut world, a.epoch, None);
    assert_eq!(beat.error_code, ErrorCode::NONE);
    world.pass(Duration::from_secs(45));
    let beat = a.beat(&mut world, a.epoch, None);
    assert_eq!(beat.error_code, ErrorCode::UNKNOWN_MEMBER_ID);
    a.epoch = 0;
    assert_eq!(a.beat(&mut world, 0, Some(&["t"])).error_code, ErrorCode::NONE);
}

#[test]
fn a_node_takes_only_so_many_sessions_and_lets_the_next_wait() {
    let mut world = World::with(|settings| settings.share_groups.sessions_max = 1);
    let mut a = Member::start(&mut world);
    let mut b = Member::join(&mut world, "b");
    world.produce(a.connection, &["one"], None);
    assert_eq!(a.fetch(&mut world), [(0, 0, 1)]);
    b.send_fetch(&mut world, 500);
    assert!(world.answer(b.connection).is_none());
    world.pass(Duration::from_millis(500));
    let told = share_fetch(world.answer(b.connection).expect("waited long enough"));
    assert_eq!(told.error_code, ErrorCode::SHARE_SESSION_LIMIT_REACHED);
    world.cluster.close(world.now, a.connection);
    b.session = 0;
    assert_eq!(b.fetch(&mut world), [(0, 0, 2)]);
}

#[test]
fn a_topic_that_is_deleted_takes_its_offsets_along() {
    let (mut world, mut a) = group();
    world.produce(a.connection, &["one"], None);
    assert_eq!(a.fetch(&mut world), [(0, 0, 1)]);
    assert!(world.cluster.delete_topic(world.now, "t"));
    world.drain();
    let told = a.ask_fetch(&mut world, 0);
    let partition = &told.responses[0].partitions[0];
    assert_eq!(partition.error_code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    assert_eq!(lag(&mut world), None);
}

#[test]
fn records_that_retention_deletes_are_skipped() {
    let (mut world, mut a) = group();
    world.produce(a.connection, &["one"], None);
    assert_eq!(a.fetch(&mut world), [(0, 0, 1)]);
    for value in ["two", "three", "four"] {
        world.produce(a.connection, &[value], None);
    }
    assert_eq!(a.say(&mut world, 0, 0, ACCEPT), ErrorCode::NONE);
    world.cluster.delete_records(world.now, &tp(), offset(3));
    world.drain();
    assert_eq!(a.fetch(&mut world), [], "finds out that the log begins later");
    assert_eq!(a.fetch(&mut world), [(3, 3, 1)]);
}

const ACCEPT: i8 = 1;
const REJECT: i8 = 3;
const RENEW: i8 = 4;

/// A member of the share group `s`, which reads `t` from its start.
pub(crate) struct Member {
    id: &'static str,
    pub(crate) connection: ConnectionId,
    /// A connection to the group's coordinator.
    coordinator: ConnectionId,
    epoch: i32,
    session: i32,
}

pub(crate) fn group() -> (World, Member) {
    let mut world = World::new();
    let member = Member::start(&mut world);
    (world, member)
}

impl Member {
    /// The first member of a group that is configured for it.
    fn start(world: &mut World) -> Self {
        let config = m::incremental_alter_configs_request::AlterableConfig {
            name: "share.auto.offset.reset".into(),
            value: Some("earliest".into()),
            ..Default::default()
        };
        let resource = m::incremental_alter_configs_request::AlterConfigsResource {
            resource_type: 32,
            resource_name: "s".into(),
            configs: vec![config],
        };
        let connection = world.connect_leader();
        let ask =
            m::IncrementalAlterConfigsRequest { resources: vec![resource], ..Default::default() };
        world.ask(connection, 1, ask);
        Self::join(world, "a")
    }

    pub(crate) fn join(world: &mut World, id: &'static str) -> Self {
        let connection = world.connect_leader();
        let key = m::FindCoordinatorRequest { key: "s".into(), ..Default::default() };
        let answer = world.ask(connection, 2, key);
        let Response::FindCoordinator(found) = answer else { panic!("{answer:?}") };
        let coordinator = world.connect(NodeId::new(found.node_id));
        let mut member = Self { id, connection, coordinator, epoch: 0, session: 0 };
        let mut told = member.beat(world, 0, Some(&["t"]));
        member.epoch = told.member_epoch;
        while told.assignment.as_ref().is_none_or(|all| all.topic_partitions.is_empty()) {
            world.pass(Duration::from_secs(1));
            told = member.beat(world, member.epoch, None);
            assert_eq!(told.error_code, ErrorCode::NONE);
            member.epoch = told.member_epoch;
        }
        member
    }

    fn beat(
        &self,
        world: &mut World,
        epoch: i32,
        topics: Option<&[&str]>,
    ) -> m::ShareGroupHeartbeatResponse {
        let topics = topics.map(|topics| topics.iter().map(|topic| (*topic).into()).collect());
        let ask = m::ShareGroupHeartbeatRequest {
            group_id: "s".into(),
            member_id: self.id.into(),
            member_epoch: epoch,
            subscribed_topic_names: topics,
            ..Default::default()
        };
        let answer = world.ask(self.coordinator, 1, ask);
        let Response::ShareGroupHeartbeat(told) = answer else { panic!("{answer:?}") };
        told
    }

    /// What is acquired at once: first and last offset, and which delivery it is.
    pub(crate) fn fetch(&mut self, world: &mut World) -> Vec<(i64, i64, i16)> {
        let told = self.ask_fetch(world, 0);
        assert_eq!(told.error_code, ErrorCode::NONE, "{told:?}");
        acquired(&told)
    }

    pub(crate) fn ask_fetch(&mut self, world: &mut World, max_wait_ms: i32) -> ShareFetchResponse {
        self.send_fetch(world, max_wait_ms);
        share_fetch(world.answer(self.connection).expect("an answer at once"))
    }

    fn send_fetch(&mut self, world: &mut World, max_wait_ms: i32) {
        let topic_id = world.cluster.topic_id("t").unwrap_or_default();
        let topic =
            m::share_fetch_request::FetchTopic { topic_id, partitions: vec![Default::default()] };
        let ask = m::ShareFetchRequest {
            group_id: Some("s".into()),
            member_id: Some(self.id.into()),
            share_session_epoch: self.session,
            max_wait_ms,
            min_bytes: 1,
            max_bytes: 1 << 20,
            max_records: 500,
            batch_size: 500,
            topics: if self.session == 0 { vec![topic] } else { vec![] },
            ..Default::default()
        };
        self.session += 1;
        world.send(self.connection, 2, ask);
    }

    /// The answer to a fetch that waited.
    fn fetched(&self, world: &mut World) -> Option<Vec<(i64, i64, i16)>> {
        world.answer(self.connection).map(|answer| acquired(&share_fetch(answer)))
    }

    pub(crate) fn say(&mut self, world: &mut World, first: i64, last: i64, what: i8) -> ErrorCode {
        let batch = m::share_acknowledge_request::AcknowledgementBatch {
            first_offset: first,
            last_offset: last,
            acknowledge_types: vec![what],
        };
        let partition = m::share_acknowledge_request::AcknowledgePartition {
            acknowledgement_batches: vec![batch],
            ..Default::default()
        };
        let topic = m::share_acknowledge_request::AcknowledgeTopic {
            topic_id: world.cluster.topic_id("t").expect("there"),
            partitions: vec![partition],
        };
        let ask = m::ShareAcknowledgeRequest {
            group_id: Some("s".into()),
            member_id: Some(self.id.into()),
            share_session_epoch: self.session,
            is_renew_ack: what == RENEW,
            topics: vec![topic],
        };
        self.session += 1;
        let answer = world.ask(self.connection, 2, ask);
        let Response::ShareAcknowledge(told) = answer else { panic!("{answer:?}") };
        assert_eq!(told.error_code, ErrorCode::NONE, "{told:?}");
        assert_eq!(
            told.acquisition_lock_timeout_ms,
            i32::try_from(LOCK.as_millis()).expect("fits")
        );
        told.responses[0].partitions[0].error_code
    }
}

fn share_fetch(response: Response) -> ShareFetchResponse {
    let Response::ShareFetch(told) = response else { panic!("{response:?}") };
    told
}

fn acquired(told: &ShareFetchResponse) -> Vec<(i64, i64, i16)> {
    let partitions = told.responses.iter().flat_map(|topic| &topic.partitions);
    let of = |partition: &PartitionData| {
        assert_eq!(partition.error_code, ErrorCode::NONE, "{partition:?}");
        let all = partition.acquired_records.iter();
        all.map(|one| (one.first_offset, one.last_offset, one.delivery_count)).collect::<Vec<_>>()
    };
    partitions.flat_map(of).collect()
}

/// How many records of `t` the group has still to do; `None` if it keeps no offset.
fn lag(world: &mut World) -> Option<i64> {
    let group = m::describe_share_group_offsets_request::DescribeShareGroupOffsetsRequestGroup {
        group_id: ByteString::from_static("s"),
        topics: None,
    };
    let any = world.connect(node(1));
    let key = m::FindCoordinatorRequest { key: "s".into(), ..Default::default() };
    let answer = world.ask(any, 2, key);
    let Response::FindCoordinator(found) = answer else { panic!("{answer:?}") };
    let connection = world.connect(NodeId::new(found.node_id));
    let ask = m::DescribeShareGroupOffsetsRequest { groups: vec![group] };
    let answer = world.ask(connection, 1, ask);
    let Response::DescribeShareGroupOffsets(told) = answer else { panic!("{answer:?}") };
    let topic = told.groups[0].topics.first()?;
    topic.partitions.first().map(|partition| partition.lag)
}
