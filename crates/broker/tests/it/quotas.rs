//! Clients that use more than they may (KIP-546, KIP-219).

use std::time::Duration;

use milena_broker::{ConnectionId, RecordState};
use milena_types::ErrorCode;
use milena_wire::Response;
use milena_wire::messages::alter_client_quotas_request::{EntityData, EntryData, OpData};
use milena_wire::messages::create_partitions_request::{
    CreatePartitionsAssignment, CreatePartitionsTopic,
};
use milena_wire::messages::create_topics_request::CreatableTopic;
use milena_wire::messages::delete_topics_request::DeleteTopicState;
use milena_wire::messages::describe_client_quotas_request::ComponentData;
use milena_wire::messages::metadata_request::MetadataRequestTopic;
use milena_wire::messages::{
    AlterClientQuotasRequest, CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest,
    DescribeClientQuotasRequest, MetadataRequest,
};

use crate::share::group;
use crate::world::{World, batch, fetch, fetch_response, fetched, node, offsets, produce, tp};

type Parts<'a> = &'a [(&'a str, Option<&'a str>)];

/// Sets a quota of an entity, or removes it; says what came of it.
fn alter(world: &mut World, parts: Parts<'_>, key: &str, value: Option<f64>) -> ErrorCode {
    let entity = parts.iter().map(|(kind, name)| EntityData {
        entity_type: (*kind).into(),
        entity_name: name.map(Into::into),
    });
    let op = OpData { key: key.into(), value: value.unwrap_or_default(), remove: value.is_none() };
    let entry = EntryData { entity: entity.collect(), ops: vec![op] };
    let request = AlterClientQuotasRequest { entries: vec![entry], validate_only: false };
    let connection = world.connect_leader();
    let Response::AlterClientQuotas(told) = world.ask(connection, 1, request) else {
        panic!("another answer")
    };
    told.entries[0].error_code
}

/// The entities that match, as `user=u client-id=<default>`.
fn described(world: &mut World, filter: &[(&str, i8, Option<&str>)], strict: bool) -> Vec<String> {
    let component = |(kind, how, name): &(&str, i8, Option<&str>)| ComponentData {
        entity_type: (*kind).into(),
        match_type: *how,
        r#match: name.map(Into::into),
    };
    let components = filter.iter().map(component).collect();
    let connection = world.connect_leader();
    let request = DescribeClientQuotasRequest { components, strict };
    let Response::DescribeClientQuotas(told) = world.ask(connection, 1, request) else {
        panic!("another answer")
    };
    assert_eq!(told.error_code, ErrorCode::NONE, "{told:?}");
    let entries = told.entries.unwrap_or_default().into_iter().map(|entry| {
        let parts = entry.entity.iter().map(|part| {
            let name = part.entity_name.as_deref().unwrap_or("<default>");
            format!("{}={name}", &*part.entity_type)
        });
        parts.collect::<Vec<_>>().join(" ")
    });
    entries.collect()
}

/// The bytes of one record so large that a window of a thousand bytes a second is over after two.
fn write(world: &mut World, connection: ConnectionId, acks: i16) -> i32 {
    let records = batch(&["x".repeat(9_000).as_str()], None);
    if acks == 0 {
        world.send(connection, 9, produce(0, records));
        return 0;
    }
    let Response::Produce(told) = world.ask(connection, 9, produce(acks, records)) else {
        panic!("another answer")
    };
    told.throttle_time_ms
}

/// The world's clients call themselves so.
const CLIENT: Parts<'_> = &[("client-id", Some("test"))];

#[test]
fn who_writes_too_much_is_not_heard_for_as_long_as_the_answer_says() {
    let mut world = World::new();
    assert_eq!(alter(&mut world, CLIENT, "producer_byte_rate", Some(1000.0)), ErrorCode::NONE);
    let connection = world.connect_leader();
    assert_eq!(write(&mut world, connection, -1), 0, "ten seconds' worth are free");
    let silence = write(&mut world, connection, -1);
    assert!((7_000..10_000).contains(&silence), "{silence}");
    world.send(connection, 9, MetadataRequest::default());
    let silence = Duration::from_millis(u64::try_from(silence).expect("positive"));
    world.pass(silence - Duration::from_millis(1));
    assert_eq!(world.answer(connection), None);
    world.pass(Duration::from_millis(1));
    assert!(world.answer(connection).is_some());
}

/// There is no answer to say so: the client notices by what comes after.
#[test]
fn who_writes_too_much_without_asking_for_an_answer_is_not_heard_either() {
    let mut world = World::new();
    assert_eq!(alter(&mut world, CLIENT, "producer_byte_rate", Some(1000.0)), ErrorCode::NONE);
    let connection = world.connect_leader();
    write(&mut world, connection, 0);
    write(&mut world, connection, 0);
    world.send(connection, 9, MetadataRequest::default());
    world.pass(Duration::from_secs(7));
    assert_eq!(world.answer(connection), None);
    world.pass(Duration::from_secs(3));
    assert!(world.answer(connection).is_some());
}

#[test]
fn other_connections_of_the_client_are_heard_and_limited_with_it() {
    let mut world = World::new();
    assert_eq!(alter(&mut world, CLIENT, "producer_byte_rate", Some(1000.0)), ErrorCode::NONE);
    let (one, other) = (world.connect_leader(), world.connect_leader());
    write(&mut world, one, -1);
    assert!(write(&mut world, one, -1) > 0);
    assert!(write(&mut world, other, -1) > 15_000);
    assert_eq!(alter(&mut world, CLIENT, "producer_byte_rate", None), ErrorCode::NONE);
    let after = world.connect_leader();
    assert_eq!(write(&mut world, after, -1), 0);
}

/// Given to it, the records would count; so it gets none, and gets them after its silence.
#[test]
fn who_reads_too_much_gets_nothing_until_later() {
    let mut world = World::new();
    let writer = world.connect_leader();
    write(&mut world, writer, -1);
    assert_eq!(alter(&mut world, CLIENT, "consumer_byte_rate", Some(1000.0)), ErrorCode::NONE);
    let reader = world.connect_leader();
    let whole = || {
        let mut request = fetch(0, 1, 500);
        request.session_epoch = 0;
        request
    };
    assert_eq!(offsets(&fetched(world.ask(reader, 11, whole()))), [0]);
    let told = fetch_response(world.ask(reader, 11, whole()));
    let silence = told.throttle_time_ms;
    assert!(silence > 7_000, "{silence}");
    assert_eq!((told.session_id, told.responses.len()), (0, 0));
    world.pass(Duration::from_secs(11));
    assert_eq!(offsets(&fetched(world.ask(reader, 11, whole()))), [0]);
}

/// As Kafka does: the records count as delivered though nobody was told of them, and come again once the lock has run out.
#[test]
fn a_share_member_that_reads_too_much_is_told_nothing_and_waits_out_the_lock() {
    let (mut world, mut member) = group();
    for _ in 0..2 {
        write(&mut world, member.connection, -1);
        assert_eq!(member.fetch(&mut world).len(), 1);
    }
    assert_eq!(alter(&mut world, CLIENT, "consumer_byte_rate", Some(1000.0)), ErrorCode::NONE);
    write(&mut world, member.connection, -1);
    assert_eq!(member.fetch(&mut world), [(2, 2, 1)], "ten seconds' worth are free");
    write(&mut world, member.connection, -1);
    let told = member.ask_fetch(&mut world, 0);
    assert_eq!((told.error_code, told.responses.len()), (ErrorCode::NONE, 0));
    assert!((7_000..10_000).contains(&told.throttle_time_ms), "{}", told.throttle_time_ms);
    assert!(told.acquisition_lock_timeout_ms > 0);
    let held = world.cluster.share_partition("s", &tp()).expect("it keeps an offset").records;
    assert_eq!(held.last().map(|records| records.state), Some(RecordState::Acquired));
    world.pass(Duration::from_millis(u64::try_from(told.throttle_time_ms).expect("positive")));
    assert!(member.fetch(&mut world).is_empty(), "they are its own until the lock ends");
    assert_eq!(alter(&mut world, CLIENT, "consumer_byte_rate", None), ErrorCode::NONE);
    world.pass(Duration::from_secs(30));
    assert_eq!(member.fetch(&mut world).last(), Some(&(3, 3, 2)));
}

/// Read at once it would be beyond the quota each time, until it had been delivered too often to nobody.
#[test]
fn a_share_member_gets_all_of_a_backlog_beyond_its_quota() {
    let (mut world, mut member) = group();
    let value = "x".repeat(1_000);
    for _ in 0..100 {
        world.produce(member.connection, &[value.as_str()], None);
    }
    assert_eq!(alter(&mut world, CLIENT, "consumer_byte_rate", Some(1000.0)), ErrorCode::NONE);
    let mut next = 0;
    // Ten windows' worth, and as much again for those in between that are told to wait.
    for _ in 0..30 {
        for (first, last, deliveries) in member.fetch(&mut world) {
            assert_eq!((first, deliveries), (next, 1));
            assert_eq!(member.say(&mut world, first, last, 1), ErrorCode::NONE);
            next = last + 1;
        }
        world.pass(Duration::from_secs(11));
    }
    assert_eq!(next, 100);
}

/// Makes a topic of so many partitions; what came of it, and the silence that is asked for.
fn make(world: &mut World, version: i16, name: &str, partitions: i32) -> (ErrorCode, i32) {
    let topic = CreatableTopic {
        name: name.into(),
        num_partitions: partitions,
        replication_factor: 1,
        ..Default::default()
    };
    let request = CreateTopicsRequest { topics: vec![topic], ..Default::default() };
    let connection = world.connect_leader();
    let Response::CreateTopics(told) = world.ask(connection, version, request) else {
        panic!("another answer")
    };
    (told.topics[0].error_code, told.throttle_time_ms)
}

const EXCEEDED: ErrorCode = ErrorCode::THROTTLING_QUOTA_EXCEEDED;

#[test]
fn who_changes_too_many_partitions_is_refused_until_enough_time_has_passed() {
    let mut world = World::new();
    assert_eq!(alter(&mut world, CLIENT, "controller_mutation_rate", Some(1.0)), ErrorCode::NONE);
    assert_eq!(
        make(&mut world, 7, "a", 13),
        (ErrorCode::NONE, 0),
        "more than the eleven there are"
    );
    assert_eq!(make(&mut world, 7, "b", 1), (EXCEEDED, 2000));
    let connection = world.connect_leader();
    let more = CreatePartitionsTopic { name: "a".into(), count: 14, assignments: None };
    let more = CreatePartitionsRequest { topics: vec![more], ..Default::default() };
    let Response::CreatePartitions(told) = world.ask(connection, 3, more) else {
        panic!("another answer")
    };
    assert_eq!((told.results[0].error_code, told.throttle_time_ms), (EXCEEDED, 2000));
    let gone = DeleteTopicState { name: Some("a".into()), ..Default::default() };
    let gone = DeleteTopicsRequest { topics: vec![gone], ..Default::default() };
    let connection = world.connect_leader();
    let Response::DeleteTopics(told) = world.ask(connection, 6, gone) else {
        panic!("another answer")
    };
    assert_eq!((told.responses[0].error_code, told.throttle_time_ms), (EXCEEDED, 2000));
    assert_eq!(world.cluster.topics().get("a"), Some(&13), "nothing of it was done");
    world.send(connection, 9, MetadataRequest::default());
    world.pass(Duration::from_millis(1999));
    assert_eq!(world.answer(connection), None, "who was refused is not heard for as long");
    world.pass(Duration::from_millis(1));
    assert!(world.answer(connection).is_some());
    assert_eq!(make(&mut world, 7, "b", 1), (ErrorCode::NONE, 0));
    assert_eq!(make(&mut world, 7, "c", 1), (EXCEEDED, 1000));
}

/// Raises the topic `a` to so many partitions, all on nodes of these ids.
fn raise(world: &mut World, count: i32, broker_ids: &[i32]) -> (ErrorCode, i32) {
    let broker_ids = broker_ids.to_vec();
    let assignments = Some(vec![CreatePartitionsAssignment { broker_ids }]);
    let more = CreatePartitionsTopic { name: "a".into(), count, assignments };
    let more = CreatePartitionsRequest { topics: vec![more], ..Default::default() };
    let connection = world.connect_leader();
    let Response::CreatePartitions(told) = world.ask(connection, 3, more) else {
        panic!("another answer")
    };
    (told.results[0].error_code, told.throttle_time_ms)
}

#[test]
fn partitions_count_before_it_is_looked_at_where_they_are_to_be() {
    let mut world = World::new();
    make(&mut world, 7, "a", 1);
    assert_eq!(alter(&mut world, CLIENT, "controller_mutation_rate", Some(1.0)), ErrorCode::NONE);
    let nowhere = ErrorCode::INVALID_REPLICA_ASSIGNMENT;
    for _ in 0..12 {
        assert_eq!(
            raise(&mut world, 3, &[1]),
            (nowhere, 0),
            "too few assignments count for nothing"
        );
    }
    for _ in 0..12 {
        assert_eq!(raise(&mut world, 2, &[9]), (nowhere, 0));
    }
    assert_eq!(raise(&mut world, 2, &[9]), (EXCEEDED, 1000));
    assert_eq!(raise(&mut world, 2, &[1]), (EXCEEDED, 1000));
    assert_eq!(raise(&mut world, 1, &[1]), (ErrorCode::INVALID_PARTITIONS, 0));
}

#[test]
fn who_does_not_know_of_mutation_quotas_is_obeyed_and_asked_for_silence() {
    let mut world = World::new();
    assert_eq!(alter(&mut world, CLIENT, "controller_mutation_rate", Some(1.0)), ErrorCode::NONE);
    assert_eq!(make(&mut world, 5, "a", 11), (ErrorCode::NONE, 0));
    assert_eq!(make(&mut world, 5, "b", 1), (ErrorCode::NONE, 1000));
    assert_eq!(make(&mut world, 5, "c", 1), (ErrorCode::NONE, 2000));
    let connection = world.connect_leader();
    let gone = DeleteTopicsRequest { topic_names: vec!["c".into()], ..Default::default() };
    let Response::DeleteTopics(told) = world.ask(connection, 4, gone) else {
        panic!("another answer")
    };
    assert_eq!((told.responses[0].error_code, told.throttle_time_ms), (ErrorCode::NONE, 3000));
    let more = CreatePartitionsTopic { name: "b".into(), count: 2, assignments: None };
    let more = CreatePartitionsRequest { topics: vec![more], ..Default::default() };
    let connection = world.connect_leader();
    let Response::CreatePartitions(told) = world.ask(connection, 2, more) else {
        panic!("another answer")
    };
    assert_eq!((told.results[0].error_code, told.throttle_time_ms), (ErrorCode::NONE, 4000));
}

/// The broker has it made in the client's name, and tells nobody that it was refused.
#[test]
fn a_topic_that_nobody_made_is_not_made_beyond_the_quota() {
    let mut world = World::new();
    assert_eq!(alter(&mut world, CLIENT, "controller_mutation_rate", Some(1.0)), ErrorCode::NONE);
    make(&mut world, 7, "a", 12);
    let asked = MetadataRequestTopic { name: Some("b".into()), ..Default::default() };
    let asked = MetadataRequest {
        topics: Some(vec![asked]),
        allow_auto_topic_creation: true,
        ..Default::default()
    };
    for made in [false, true] {
        let connection = world.connect_leader();
        let Response::Metadata(told) = world.ask(connection, 9, asked.clone()) else {
            panic!("another answer")
        };
        let unknown = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
        assert_eq!((told.topics[0].error_code, told.throttle_time_ms), (unknown, 0));
        assert_eq!(world.cluster.topics().contains_key("b"), made);
        world.pass(Duration::from_secs(1));
    }
}

/// Kafka takes the connection and says nothing, so that the client does not come again at once.
#[test]
fn connections_beyond_the_rate_of_an_address_get_nothing_and_are_closed_within_a_second() {
    let mut world = World::new();
    let local: Parts<'_> = &[("ip", Some("127.0.0.1"))];
    for (parts, rate) in [(local, 1.0), (&[("ip", None)], 9.0)] {
        let told = alter(&mut world, parts, "connection_creation_rate", Some(rate));
        assert_eq!(told, ErrorCode::NONE);
    }
    let asks = |world: &mut World, connection| {
        world.send(connection, 9, MetadataRequest::default());
        world.answer(connection).is_some()
    };
    let leader = world.leader();
    for _ in 1..10 {
        let connection = world.connect(leader);
        assert!(asks(&mut world, connection), "ten seconds' worth are free");
    }
    let other = world.connect(node(leader.get() % 3 + 1));
    assert!(asks(&mut world, other), "each node counts for itself");
    let late = world.connect(leader);
    assert!(!asks(&mut world, late));
    world.pass(Duration::from_millis(999));
    assert!(!world.is_closed(late));
    world.pass(Duration::from_millis(1));
    assert!(world.is_closed(late));
    world.pass(Duration::from_secs(10));
    let again = world.connect(leader);
    assert!(asks(&mut world, again), "those that were refused do not count");
}

#[test]
fn quotas_are_found_by_name_by_default_and_by_kind() {
    let mut world = World::new();
    let entities: [Parts<'_>; 5] = [
        &[("user", Some("u"))],
        &[("user", None)],
        &[("client-id", Some("c"))],
        &[("user", Some("u")), ("client-id", None)],
        &[("ip", Some("127.0.0.1"))],
    ];
    for parts in entities {
        let is_ip = parts[0].0 == "ip";
        let key = if is_ip { "connection_creation_rate" } else { "request_percentage" };
        assert_eq!(alter(&mut world, parts, key, Some(5.0)), ErrorCode::NONE);
    }
    for (filter, strict, expected) in [
        (&[][..], false, 5),
        (&[("user", 0, Some("u"))], false, 2),
        (&[("user", 0, Some("u"))], true, 1),
        (&[("user", 1, None)], false, 1),
        (&[("user", 2, None)], false, 3),
        (&[("user", 2, None), ("client-id", 1, None)], false, 1),
        (&[("ip", 2, None)], false, 1),
        (&[], true, 0),
    ] {
        assert_eq!(described(&mut world, filter, strict).len(), expected, "{filter:?} {strict}");
    }
    world.restart();
    let mut found = described(&mut world, &[("user", 0, Some("u"))], false);
    found.sort();
    assert_eq!(found, ["client-id=<default> user=u", "user=u"]);
}

#[test]
fn what_is_no_quota_is_refused() {
    let mut world = World::new();
    let user: Parts<'_> = &[("user", Some("u"))];
    let mixed: Parts<'_> = &[("user", Some("u")), ("ip", Some("127.0.0.1"))];
    for (parts, key, value) in [
        (&[][..], "producer_byte_rate", 1.0),
        (&[("nation", Some("x"))], "producer_byte_rate", 1.0),
        (&[("user", Some(""))], "producer_byte_rate", 1.0),
        (mixed, "producer_byte_rate", 1.0),
        (&[("ip", Some("no address"))], "connection_creation_rate", 1.0),
        (&[("ip", Some("127.0.0.1"))], "producer_byte_rate", 1.0),
        (user, "connection_creation_rate", 1.0),
        (user, "no_such_quota", 1.0),
        (user, "producer_byte_rate", 0.0),
        (user, "producer_byte_rate", -1.0),
        (user, "producer_byte_rate", 1.5),
        (user, "producer_byte_rate", 1e30),
        (user, "producer_byte_rate", f64::NAN),
    ] {
        let told = alter(&mut world, parts, key, Some(value));
        assert_eq!(told, ErrorCode::INVALID_REQUEST, "{parts:?} {key} {value}");
    }
    assert_eq!(alter(&mut world, user, "request_percentage", Some(1.5)), ErrorCode::NONE);
    assert_eq!(described(&mut world, &[], false), ["user=u"]);
}
