//! Clients that are broken or evil.

use bytes::Bytes;
use milena_types::{ApiKey, CorrelationId, ErrorCode};
use milena_wire::messages::metadata_request::MetadataRequest;
use milena_wire::{ByteString, Request, Response, encode_request, messages as m};

use crate::world::{World, batch, fetch, node, produce};

#[test]
fn frames_that_are_no_requests_close_the_connection() {
    let mut world = World::new();
    let frames: [&[u8]; 5] = [
        b"",
        b"\0",
        b"GET / HTTP/1.1\r\n\r\n",
        &[0xff; 64],
        &[0, 3, 0, 99, 0, 0, 0, 1, 0xff, 0xff],
    ];
    for frame in frames {
        let connection = world.connect(node(1));
        world.send_bytes(connection, Bytes::from_static(frame));
        assert!(world.is_closed(connection), "{frame:?}");
    }
}

/// A client that makes up groups, or describes itself at length, fills no more memory than it may.
#[test]
fn groups_and_what_members_say_of_themselves_are_bounded() {
    let mut world = World::with(|settings| settings.groups_max = 2);
    let found = m::FindCoordinatorRequest {
        coordinator_keys: ["a", "b", "c"].map(ByteString::from_static).to_vec(),
        ..Default::default()
    };
    let connection = world.connect(node(1));
    let Response::FindCoordinator(found) = world.ask(connection, 4, found) else { panic!() };
    let coordinators: Vec<_> = found.coordinators.iter().map(|one| node(one.node_id)).collect();
    let beat = |group: &'static str, topics: Vec<ByteString>| m::ConsumerGroupHeartbeatRequest {
        group_id: group.into(),
        member_id: "m".into(),
        rebalance_timeout_ms: 1000,
        subscribed_topic_names: Some(topics),
        topic_partitions: Some(Vec::new()),
        ..Default::default()
    };
    let mut codes = Vec::new();
    for (group, coordinator) in ["a", "b", "c"].into_iter().zip(&coordinators) {
        let connection = world.connect(*coordinator);
        let answer = world.ask(connection, 1, beat(group, vec!["t".into()]));
        let Response::ConsumerGroupHeartbeat(answer) = answer else { panic!() };
        codes.push(answer.error_code);
    }
    assert_eq!(codes, [ErrorCode::NONE, ErrorCode::NONE, ErrorCode::POLICY_VIOLATION]);

    let connection = world.connect(coordinators[0]);
    let names = (0..10_000).map(|i| format!("{i:0200}").into()).collect();
    let answer = world.ask(connection, 1, beat("a", names));
    let Response::ConsumerGroupHeartbeat(answer) = answer else { panic!() };
    assert_eq!(answer.error_code, ErrorCode::UNKNOWN_SERVER_ERROR);
}

/// Kafka lists Produce 0-2 for old clients and takes none of them.
#[test]
fn a_version_that_is_listed_for_show_closes_the_connection() {
    let mut world = World::new();
    let connection = world.connect(node(1));
    world.send_bytes(connection, Bytes::from_static(&[0, 0, 0, 2, 0, 0, 0, 1, 0xff, 0xff, 0, 1]));
    assert!(world.is_closed(connection));
}

/// Trap 40: the only question whose answer must be readable whatever the asked version was.
#[test]
fn an_unknown_version_of_api_versions_is_answered_in_version_0() {
    let mut world = World::new();
    let connection = world.connect(node(1));
    let frame = [0, 18, 0, 99, 0, 0, 0, 7, 0xff, 0xff];
    world.cluster.handle(world.now, connection, Bytes::copy_from_slice(&frame));
    let Some(milena_broker::Output::Reply { frame, .. }) = world.cluster.poll_output(world.now)
    else {
        panic!("an answer")
    };
    let (id, response) =
        milena_wire::decode_response(ApiKey::API_VERSIONS, 0, frame.into_bytes().slice(4..))
            .expect("readable");
    assert_eq!(id, CorrelationId::from_wire(7));
    let Response::ApiVersions(response) = response else { panic!() };
    assert_eq!(response.error_code, ErrorCode::UNSUPPORTED_VERSION);
    assert_eq!(response.api_keys[0].api_key, 18);
}

#[test]
fn a_frame_above_the_limit_closes_the_connection() {
    let mut world = World::with(|settings| settings.frame_bytes_max = 100);
    let connection = world.connect(node(1));
    world.send_bytes(connection, Bytes::from(vec![0; 101]));
    assert!(world.is_closed(connection));
}

/// Few but large frames fill the memory as well.
#[test]
fn what_a_paused_node_keeps_unread_is_bounded_in_bytes() {
    let mut world = World::with(|settings| settings.frame_bytes_max = 1000);
    let connection = world.connect(node(1));
    world.cluster.pause_node(world.now, node(1));
    world.send_bytes(connection, Bytes::from(vec![0; 999]));
    assert!(!world.cluster.is_behind(connection));
    world.send_bytes(connection, Bytes::from(vec![0; 1]));
    assert!(world.cluster.is_behind(connection));
    for _ in 0..3 {
        world.send_bytes(connection, Bytes::from(vec![0; 1000]));
    }
    assert!(!world.is_closed(connection));
    world.send_bytes(connection, Bytes::from(vec![0; 1]));
    assert!(world.is_closed(connection));
}

#[test]
fn no_truncation_and_no_flipped_bit_of_a_request_brings_the_cluster_down() {
    let requests: [(i16, Request); 3] = [
        (9, produce(-1, batch(&["a"], Some((1, 0, 0)))).into()),
        (12, fetch(0, 1, 100).into()),
        (12, MetadataRequest::default().into()),
    ];
    for (version, request) in requests {
        let id = CorrelationId::from_wire(1);
        let frame = encode_request(&request, version, id, Some("c")).expect("encodes").into_bytes();
        let frame = frame.slice(4..);
        let flips = (0..frame.len() * 8).map(|bit| {
            let mut bytes = frame.to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            Bytes::from(bytes)
        });
        let cuts = (0..frame.len()).map(|at| frame.slice(..at));
        for frame in flips.chain(cuts) {
            let mut world = World::new();
            let connection = world.connect_leader();
            world.cluster.handle(world.now, connection, frame);
            world.drain_unasked();
        }
    }
}

#[test]
fn connections_above_the_limit_are_refused() {
    let mut world = World::with(|settings| settings.connections_max = 1);
    world.connect(node(1));
    let refused = world.cluster.open(world.now, node(1));
    assert_eq!(refused, Err(milena_broker::OpenError::TooManyConnections));
}

/// An answer repeats names, and adds words to some: it must still fit the 32,767 bytes that a text may have.
#[test]
fn the_longest_names_are_answered() {
    let long = ByteString::from("é".repeat(16_383));
    let topic = m::create_topics_request::CreatableTopic {
        name: long.clone(),
        num_partitions: 1,
        replication_factor: 1,
        ..Default::default()
    };
    let config = m::create_topics_request::CreatableTopicConfig { name: long.clone(), value: None };
    let configured = m::create_topics_request::CreatableTopic {
        name: "new".into(),
        configs: vec![config],
        ..topic.clone()
    };
    let create = m::CreateTopicsRequest { topics: vec![topic, configured], ..Default::default() };
    let protocol = m::join_group_request::JoinGroupRequestProtocol {
        name: "range".into(),
        ..Default::default()
    };
    let join = m::JoinGroupRequest {
        group_id: "g".into(),
        session_timeout_ms: 10_000,
        group_instance_id: Some(long.clone()),
        protocol_type: "consumer".into(),
        protocols: vec![protocol],
        ..Default::default()
    };
    let resource = m::incremental_alter_configs_request::AlterConfigsResource {
        resource_type: 2,
        resource_name: long.clone(),
        ..Default::default()
    };
    let alter =
        m::IncrementalAlterConfigsRequest { resources: vec![resource], ..Default::default() };
    let describe = m::DescribeGroupsRequest { groups: vec![long.clone()], ..Default::default() };
    let find = |key: &ByteString| m::FindCoordinatorRequest {
        coordinator_keys: vec![key.clone()],
        ..Default::default()
    };
    let mut world = World::with(|settings| *settings = milena_broker::Settings::with_nodes(1));
    let connection = world.connect(node(1));
    world.ask(connection, 4, find(&"g".into()));
    let requests: [(i16, Request); 5] = [
        (7, create.into()),
        (9, join.into()),
        (1, alter.into()),
        (6, describe.into()),
        (4, find(&long).into()),
    ];
    for (version, request) in requests {
        world.ask(connection, version, request);
    }
}

/// A request of some kilobytes may name more partitions than can be made while nobody else is answered.
#[test]
fn one_request_makes_no_more_than_ten_thousand_partitions() {
    for (release, is_bounded) in [("3.8", false), ("3.9", true), ("4.4", true)] {
        let mut world = World::with(|settings| {
            *settings = settings.clone().as_version(release.parse().expect("known"));
        });
        let connection = world.connect(node(1));
        let newest = if release == "3.8" { 5 } else { 7 };
        let asked = [(1, 10_001), (101, 100), (5001, 1)];
        for (topics, partitions) in asked.into_iter().take(if is_bounded { 3 } else { 1 }) {
            let topics = (0..topics).map(|i| m::create_topics_request::CreatableTopic {
                name: format!("many-{partitions}-{i}").into(),
                num_partitions: partitions,
                replication_factor: 1,
                ..Default::default()
            });
            let request = m::CreateTopicsRequest { topics: topics.collect(), ..Default::default() };
            let Response::CreateTopics(told) = world.ask(connection, newest, request) else {
                panic!()
            };
            for topic in &told.topics {
                let refused = ErrorCode::POLICY_VIOLATION;
                let code = if is_bounded { refused } else { ErrorCode::NONE };
                assert_eq!(topic.error_code, code, "{release}");
            }
        }
        assert_eq!(world.cluster.topics().len(), if is_bounded { 1 } else { 2 });
        let raised = m::create_partitions_request::CreatePartitionsTopic {
            name: "t".into(),
            count: 10_002,
            assignments: None,
        };
        let request = m::CreatePartitionsRequest { topics: vec![raised], ..Default::default() };
        let Response::CreatePartitions(told) = world.ask(connection, 0, request) else { panic!() };
        // Kafka 3.9 bounds the making of topics alone.
        assert_eq!(told.results[0].error_code.is_error(), release == "4.4", "{release}");
    }
}
