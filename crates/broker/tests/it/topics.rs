//! Topics come, are described and go.

use milena_broker::TopicSettings;
use milena_types::ErrorCode;
use milena_wire::Response;
use milena_wire::messages::api_versions_request::ApiVersionsRequest;
use milena_wire::messages::create_topics_request::{CreatableTopic, CreateTopicsRequest};
use milena_wire::messages::delete_topics_request::{DeleteTopicState, DeleteTopicsRequest};
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
