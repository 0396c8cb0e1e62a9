//! Topics come, are described and go.

use milena_broker::{Release, TopicSettings};
use milena_types::ErrorCode;
use milena_wire::Response;
use milena_wire::messages::api_versions_request::ApiVersionsRequest;
use milena_wire::messages::create_topics_request::{CreatableTopic, CreateTopicsRequest};
use milena_wire::messages::delete_topics_request::{DeleteTopicState, DeleteTopicsRequest};
use milena_wire::messages::delete_topics_response::DeletableTopicResult;
use milena_wire::messages::describe_configs_request::{
    DescribeConfigsRequest, DescribeConfigsResource,
};
use milena_wire::messages::find_coordinator_request::FindCoordinatorRequest;
use milena_wire::messages::metadata_request::{MetadataRequest, MetadataRequestTopic};
use milena_wire::messages::metadata_response::MetadataResponse;

use crate::world::{World, node};

fn metadata(world: &mut World, topics: Option<&[&str]>, may_create: bool) -> MetadataResponse {
    let connection = world.connect(node(1));
    let name =
        |name: &&str| MetadataRequestTopic { name: Some((*name).into()), ..Default::default() };
    let request = MetadataRequest {
        topics: topics.map(|topics| topics.iter().map(name).collect()),
        allow_auto_topic_creation: may_create,
        ..Default::default()
    };
    let Response::Metadata(response) = world.ask(connection, 12, request) else { panic!() };
    response
}

fn create(world: &mut World, name: &str, partitions: i32, factor: i16) -> ErrorCode {
    let connection = world.connect(node(2));
    let topic = CreatableTopic {
        name: name.into(),
        num_partitions: partitions,
        replication_factor: factor,
        ..Default::default()
    };
    let request = CreateTopicsRequest { topics: vec![topic], ..Default::default() };
    let Response::CreateTopics(response) = world.ask(connection, 7, request) else { panic!() };
    response.topics[0].error_code
}

#[test]
fn metadata_names_all_none_or_the_asked_topics() {
    let mut world = World::new();
    let all = metadata(&mut world, None, false);
    assert_eq!((all.topics.len(), all.brokers.len()), (1, 3));
    assert_eq!(all.topics[0].partitions[0].isr_nodes.len(), 3);
    assert_eq!(metadata(&mut world, Some(&[]), false).topics.len(), 0);
    let unknown = metadata(&mut world, Some(&["nope"]), false);
    assert_eq!(unknown.topics[0].error_code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    assert_eq!(world.cluster.topics().len(), 1, "nothing is created unasked");
}

#[test]
fn an_unknown_topic_is_created_where_the_client_allows_it() {
    let mut world = World::new();
    metadata(&mut world, Some(&["new"]), true);
    let known = metadata(&mut world, Some(&["new"]), false);
    assert_eq!(known.topics[0].error_code, ErrorCode::NONE);
    let illegal = metadata(&mut world, Some(&["a b"]), true);
    assert_eq!(illegal.topics[0].error_code, ErrorCode::INVALID_TOPIC_EXCEPTION);
}

#[test]
fn topics_are_created_once_within_the_clusters_means() {
    let mut world = World::with(|settings| settings.partitions_max = 100);
    assert_eq!(create(&mut world, "a", 4, 2), ErrorCode::NONE);
    assert_eq!(create(&mut world, "a", 4, 2), ErrorCode::TOPIC_ALREADY_EXISTS);
    assert_eq!(create(&mut world, "b", 4, 4), ErrorCode::INVALID_REPLICATION_FACTOR);
    assert_eq!(create(&mut world, "b", 0, 1), ErrorCode::INVALID_PARTITIONS);
    assert_eq!(create(&mut world, "a b", 1, 1), ErrorCode::INVALID_TOPIC_EXCEPTION);
    assert!(create(&mut world, "b", i32::MAX, 1).is_error(), "and nothing is allocated for it");
}

/// What there is may have come, grown and gone, in this process or in one before.
#[test]
fn names_and_limits_are_those_of_the_topics_that_there_are() {
    let stay: fn(&mut World) = |_| ();
    for restart in [stay, World::restart, World::restart_compacted] {
        let mut world = World::with(|settings| settings.partitions_max = 100);
        assert_eq!(create(&mut world, "a.b_c", 40, 1), ErrorCode::NONE);
        assert_eq!(create(&mut world, "gone_b", 40, 1), ErrorCode::NONE);
        world.cluster.delete_topic(world.now, "gone_b");
        world.cluster.add_partitions(world.now, "a.b_c", 50).expect("more");
        restart(&mut world);
        assert_eq!(create(&mut world, "a_b.c", 1, 1), ErrorCode::INVALID_TOPIC_EXCEPTION);
        assert_eq!(create(&mut world, "a-b_c", 1, 1), ErrorCode::NONE);
        assert_eq!(create(&mut world, "gone.b", 48, 1), ErrorCode::NONE);
        assert_eq!(create(&mut world, "b", 1, 1), ErrorCode::POLICY_VIOLATION);
    }
}

#[test]
fn a_recreated_topic_has_another_id_and_no_records() {
    let mut world = World::new();
    let connection = world.connect_leader();
    world.produce(connection, &["a"], None);
    let before = world.cluster.topic_id("t");
    assert!(world.cluster.recreate_topic(world.now, "t"));
    assert_ne!(world.cluster.topic_id("t"), before);
    assert_eq!(world.values(), [""; 0]);
}

#[test]
fn a_topic_is_deleted_by_its_id() {
    let mut world = World::new();
    let connection = world.connect(node(3));
    let topic_id = world.cluster.topic_id("t").expect("there");
    let topic = DeleteTopicState { name: None, topic_id };
    let request = DeleteTopicsRequest { topics: vec![topic], ..Default::default() };
    let Response::DeleteTopics(response) = world.ask(connection, 6, request) else { panic!() };
    assert_eq!(response.responses[0].error_code, ErrorCode::NONE);
    assert!(world.cluster.topics().is_empty());
}

/// As `ControllerApis.deleteTopics` has it: nothing of what is not clear is deleted.
#[test]
fn a_topic_that_is_named_more_than_once_is_not_deleted() {
    let mut world = World::with(|settings| {
        settings.topics = ["t", "u", "v"].map(|name| TopicSettings::new(name, 1)).into();
    });
    let [t, u, v] = ["t", "u", "v"].map(|name| world.cluster.topic_id(name).expect("there"));
    let by =
        |name: Option<&str>, topic_id| DeleteTopicState { name: name.map(Into::into), topic_id };
    let mut delete = |topics: Vec<DeleteTopicState>| {
        let connection = world.connect(node(3));
        let request = DeleteTopicsRequest { topics, ..Default::default() };
        let Response::DeleteTopics(told) = world.ask(connection, 6, request) else { panic!() };
        let why = |one: &DeletableTopicResult| one.error_message.as_ref().map(ToString::to_string);
        let told = told.responses.iter();
        let told =
            told.map(|one| (one.name.as_ref().map(ToString::to_string), one.topic_id, why(one)));
        (told.collect::<Vec<_>>(), world.cluster.topics().len())
    };
    let name = |name: &str| Some(name.to_owned());
    let zero = milena_types::Uuid::ZERO;
    let (told, left) =
        delete(vec![by(Some("t"), zero), by(Some("t"), zero), by(None, u), by(None, u)]);
    let twice =
        [(name("t"), zero, name("Duplicate topic name.")), (None, u, name("Duplicate topic id."))];
    assert_eq!((told.as_slice(), left), (&twice[..], 3));
    let (told, left) = delete(vec![by(None, t), by(Some("t"), zero)]);
    let why = "The provided topic name maps to an ID that was already supplied.";
    assert_eq!((told.as_slice(), left), (&[(name("t"), t, name(why))][..], 3));
    let (told, left) = delete(vec![by(Some("v"), v), by(Some("v"), v), by(Some("v"), zero)]);
    let why = (name("v"), v, name("You may not specify both topic name and topic id."));
    assert_eq!((told.as_slice(), left), (&[why.clone(), why, (name("v"), v, None)][..], 2));
}

#[test]
fn a_topic_with_a_wrong_configuration_is_not_started_with() {
    let mut topic = TopicSettings::new("t", 1);
    topic.config.insert("retention.ms".into(), "soon".into());
    let mut settings = milena_broker::Settings::default();
    settings.topics = vec![topic];
    #[expect(clippy::disallowed_methods, reason = "any instant does")]
    let now = std::time::Instant::now();
    assert!(milena_broker::Cluster::new(settings, now).is_err());
}

#[test]
fn the_listed_versions_are_those_that_are_answered() {
    let mut world = World::new();
    let connection = world.connect(node(1));
    let request = ApiVersionsRequest {
        client_software_name: "test".into(),
        client_software_version: "1".into(),
        ..Default::default()
    };
    let Response::ApiVersions(response) = world.ask(connection, 4, request) else { panic!() };
    assert_eq!(response.error_code, ErrorCode::NONE);
    let produce = response.api_keys.iter().find(|api| api.api_key == 0).expect("listed");
    assert_eq!((produce.min_version, produce.max_version), (0, 13));
    assert!(response.api_keys.is_sorted_by_key(|api| api.api_key));
}

fn find_coordinator(world: &mut World, key_type: i8) -> ErrorCode {
    let connection = world.connect(node(1));
    let request = FindCoordinatorRequest { key: "billing".into(), key_type, ..Default::default() };
    let Response::FindCoordinator(told) = world.ask(connection, 3, request) else { panic!() };
    told.error_code
}

/// Made as any topic, it would have one partition, and nobody would ever coordinate most groups.
#[test]
fn a_coordinators_topic_that_a_client_asks_for_is_made_as_the_coordinator_has_it() {
    let mut world = World::new();
    for (key_type, topic) in [(0, "__consumer_offsets"), (1, "__transaction_state")] {
        let told = metadata(&mut world, Some(&[topic]), true);
        assert!(told.topics[0].is_internal, "{topic}");
        let told = metadata(&mut world, Some(&[topic]), false);
        assert_eq!((told.topics[0].partitions.len(), told.topics[0].is_internal), (50, true));
        assert_eq!(find_coordinator(&mut world, key_type), ErrorCode::NONE, "{topic}");
        let connection = world.connect(node(1));
        let resource = DescribeConfigsResource {
            resource_type: 2,
            resource_name: topic.into(),
            configuration_keys: Some(vec!["cleanup.policy".into()]),
            ..Default::default()
        };
        let request = DescribeConfigsRequest { resources: vec![resource], ..Default::default() };
        let Response::DescribeConfigs(told) = world.ask(connection, 4, request) else { panic!() };
        assert_eq!(told.results[0].configs[0].value.as_deref(), Some("compact"));
    }
}

/// Coordinators count the partitions when they start (`GroupCoordinatorService.startup`).
#[test]
fn coordinators_go_by_the_partitions_that_they_find_when_they_start() {
    let internal = ["__consumer_offsets", "__transaction_state"];
    let mut world = World::with(|settings| {
        settings.topics = internal.map(|name| TopicSettings::new(name, 1)).into();
    });
    for _ in 0..2 {
        assert!(metadata(&mut world, Some(&internal), false).topics.iter().all(|t| t.is_internal));
        assert_eq!(
            [0, 1].map(|key_type| find_coordinator(&mut world, key_type)),
            [ErrorCode::NONE; 2]
        );
        world.restart();
    }
}

/// Played as 2.1: before KAFKA-9751 nobody has to want it.
#[test]
fn old_brokers_make_a_coordinators_topic_whatever_the_client_wants() {
    for (release, made) in [("2.7", 1), ("2.8", 0)] {
        let release: Release = release.parse().expect("a release");
        let mut world = World::with(|settings| {
            *settings = settings.clone().as_version(release);
            settings.topics.clear();
        });
        let connection = world.connect(node(1));
        let names = ["__consumer_offsets", "other"];
        let name =
            |name: &str| MetadataRequestTopic { name: Some(name.into()), ..Default::default() };
        let request = MetadataRequest {
            topics: Some(names.map(name).into()),
            allow_auto_topic_creation: false,
            ..Default::default()
        };
        world.ask(connection, 7, request);
        assert_eq!(world.cluster.topics().len(), made, "{release}");
    }
}
