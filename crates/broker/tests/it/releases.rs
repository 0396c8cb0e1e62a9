//! The releases of Kafka that a cluster plays.

use bytes::Bytes;
use milena_broker::{Cluster, Output, Release, Settings};
use milena_types::{ApiKey, ErrorCode};
use milena_wire::messages::add_offsets_to_txn_request::AddOffsetsToTxnRequest;
use milena_wire::messages::api_versions_request::ApiVersionsRequest;
use milena_wire::messages::api_versions_response::ApiVersionsResponse;
use milena_wire::messages::consumer_group_heartbeat_request::ConsumerGroupHeartbeatRequest;
use milena_wire::messages::describe_configs_request::{
    DescribeConfigsRequest, DescribeConfigsResource,
};
use milena_wire::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};
use milena_wire::messages::init_producer_id_request::InitProducerIdRequest;
use milena_wire::{Response, decode_response};

use crate::producer::{ID, coordinator};
use crate::transactional_offsets::Offsets;
use crate::world::{World, batch, batch_with, fetch, node, ok, produce, produced};

fn release(text: &str) -> Release {
    text.parse().expect("a release")
}

fn playing(text: &str) -> World {
    World::with(|settings| *settings = settings.clone().as_version(release(text)))
}

fn told(world: &mut World, version: i16) -> ApiVersionsResponse {
    let connection = world.connect(node(1));
    let request = ApiVersionsRequest {
        client_software_name: "test".into(),
        client_software_version: "1".into(),
        ..Default::default()
    };
    let Response::ApiVersions(told) = world.ask(connection, version, request) else { panic!() };
    assert_eq!(told.error_code, ErrorCode::NONE);
    told
}

fn range(told: &ApiVersionsResponse, api: ApiKey) -> Option<(i16, i16)> {
    let api = told.api_keys.iter().find(|listed| listed.api_key == api.get());
    api.map(|listed| (listed.min_version, listed.max_version))
}

fn levels(text: &str) -> Vec<(String, i16)> {
    let told = told(&mut playing(text), 3);
    let levels = told.finalized_features.iter();
    levels.map(|feature| (feature.name.to_string(), feature.max_version_level)).collect()
}

#[test]
fn a_release_lists_its_own_versions_and_no_other_api() {
    let old = told(&mut playing("2.1"), 2);
    assert_eq!(range(&old, ApiKey::PRODUCE), Some((0, 7)));
    assert_eq!(range(&old, ApiKey::FETCH), Some((4, 10)));
    assert_eq!(range(&old, ApiKey::INCREMENTAL_ALTER_CONFIGS), None);
    let older = told(&mut playing("3.9"), 3);
    assert_eq!(range(&older, ApiKey::PRODUCE), Some((0, 11)));
    assert_eq!(range(&older, ApiKey::SHARE_FETCH), None);
    assert_eq!(
        range(&told(&mut playing("4.0"), 3), ApiKey::CONSUMER_GROUP_HEARTBEAT),
        Some((0, 1))
    );
}

/// The client asks with its newest version first, whatever the broker is.
#[test]
fn an_old_release_answers_a_new_api_versions_in_version_0() {
    for (text, own_range) in [("2.1", None), ("2.4", Some((0, 3))), ("3.9", Some((0, 4)))] {
        let mut world = playing(text);
        let connection = world.connect(node(1));
        let request = [0, 18, 0, 5, 0, 0, 0, 5, 0xff, 0xff, 0];
        world.cluster.handle(world.now, connection, Bytes::copy_from_slice(&request));
        let Some(Output::Reply { frame, .. }) = world.cluster.poll_output(world.now) else {
            panic!()
        };
        let answer = decode_response(ApiKey::API_VERSIONS, 0, frame.into_bytes().slice(4..));
        let answer = answer.expect("version 0");
        let Response::ApiVersions(answer) = answer.1 else { panic!() };
        assert_eq!(answer.error_code, ErrorCode::UNSUPPORTED_VERSION);
        assert_eq!(range(&answer, ApiKey::API_VERSIONS), own_range);
        assert!(!world.is_closed(connection));
    }
}

#[test]
fn a_version_that_the_release_lacks_closes_the_connection() {
    let mut world = playing("2.1");
    let connection = world.connect_leader();
    ok(&produced(world.ask(connection, 7, produce(-1, batch(&["a"], None)))));
    world.send(connection, 11, fetch(0, 0, 0));
    assert!(world.is_closed(connection));
}

#[test]
fn features_have_the_levels_of_a_new_cluster_of_the_release() {
    let level = |name: &str, level| (name.to_owned(), level);
    assert_eq!(levels("3.2"), []);
    assert_eq!(levels("3.9"), [level("metadata.version", 21)]);
    let of_4_0 = [("metadata.version", 25), ("transaction.version", 2), ("group.version", 1)];
    assert_eq!(levels("4.0"), of_4_0.map(|(name, at)| level(name, at)));
    assert_eq!(levels("4.1").len(), 3, "share groups are a preview there");
    assert!(levels("4.2").contains(&level("share.version", 1)));
    assert!(levels("4.2").contains(&level("streams.version", 1)));
    assert!(levels("4.4").contains(&level("share.version", 2)));
    assert_eq!(told(&mut playing("2.6"), 3).finalized_features_epoch, -1, "before KIP-584");
    assert_eq!(told(&mut playing("2.8"), 3).finalized_features_epoch, 0);
}

/// 3.9 lists the API, and refuses it where the protocol is not switched on.
#[test]
fn the_consumer_protocol_is_listed_before_it_is_spoken() {
    let mut world = playing("3.9");
    let connection = world.connect(node(1));
    let request = ConsumerGroupHeartbeatRequest { group_id: "g".into(), ..Default::default() };
    let answer = world.ask(connection, 0, request);
    let Response::ConsumerGroupHeartbeat(answer) = answer else { panic!() };
    assert_eq!(answer.error_code, ErrorCode::UNSUPPORTED_VERSION);
}

/// A client that never met the code would give up where it only has to begin anew.
#[test]
fn a_producer_that_is_not_known_begins_at_0_before_2_5() {
    let code = |text: &str, sequence| {
        let mut world = playing(text);
        let connection = world.connect_leader();
        let records = batch(&["a"], Some((7, 0, sequence)));
        produced(world.ask(connection, 7, produce(-1, records))).error_code
    };
    assert_eq!(code("2.4", 5), ErrorCode::UNKNOWN_PRODUCER_ID);
    assert_eq!(code("2.4", 0), ErrorCode::NONE);
    assert_eq!(code("2.5", 5), ErrorCode::NONE);
}

#[test]
fn a_batch_of_no_transaction_is_refused_from_3_6_on() {
    for (text, code) in [("3.5", ErrorCode::NONE), ("3.6", ErrorCode::INVALID_TXN_STATE)] {
        let mut world = playing(text);
        let at = coordinator(&mut world);
        let (coordinator, leader) = (world.connect(at), world.connect_leader());
        let request = InitProducerIdRequest {
            transactional_id: Some(ID.into()),
            transaction_timeout_ms: 60_000,
            ..Default::default()
        };
        let Response::InitProducerId(told) = world.ask(coordinator, 2, request) else { panic!() };
        let stamp = Some((told.producer_id, told.producer_epoch, 0));
        let mut request = produce(-1, batch_with(&["of no transaction"], stamp, true));
        request.transactional_id = Some(ID.into());
        assert_eq!(produced(world.ask(leader, 9, request)).error_code, code, "{text}");
    }
}

#[test]
fn offsets_of_a_producer_that_was_overtaken_are_refused_from_2_5_on() {
    for (text, takes_part, expected) in [
        ("2.4", true, ErrorCode::NONE),
        ("2.5", true, ErrorCode::INVALID_PRODUCER_EPOCH),
        ("3.6", true, ErrorCode::INVALID_PRODUCER_EPOCH),
        // Of an epoch that never came there the log knows nothing.
        ("3.6", false, ErrorCode::NONE),
    ] {
        let mut world = playing(text);
        let at = coordinator(&mut world);
        let coordinator = world.connect(at);
        let begin = |world: &mut World| {
            let request = InitProducerIdRequest {
                transactional_id: Some(ID.into()),
                transaction_timeout_ms: 60_000,
                ..Default::default()
            };
            let Response::InitProducerId(told) = world.ask(coordinator, 1, request) else {
                panic!()
            };
            (told.producer_id, told.producer_epoch)
        };
        let first = begin(&mut world);
        let offsets = Offsets::connect(&mut world);
        let request = AddOffsetsToTxnRequest {
            transactional_id: ID.into(),
            producer_id: first.0,
            producer_epoch: first.1,
            group_id: "g".into(),
        };
        if takes_part {
            let answer = world.ask(coordinator, 0, request);
            assert!(matches!(answer, Response::AddOffsetsToTxn(a) if !a.error_code.is_error()));
            // It aborts that transaction.
            begin(&mut world);
        }
        let second = begin(&mut world);
        assert_eq!(offsets.commit_by(&mut world, 0, first, 1), expected, "{text}");
        assert_eq!(offsets.commit_by(&mut world, 0, second, 2), ErrorCode::NONE, "{text}");
    }
}

#[test]
fn records_in_which_there_is_no_batch_end_the_connection_before_2_8() {
    let whole = batch(&["a"], None);
    let (mut unknown, mut harmed) = (whole.to_vec(), whole.to_vec());
    unknown[16] = 9;
    harmed[20] ^= 1;
    for (records, is_batch) in [
        (Bytes::new(), false),
        (whole.slice(..11), false),
        (whole.slice(..whole.len() - 1), false),
        (unknown.into(), false),
        (harmed.into(), true),
        (whole, true),
    ] {
        for (text, closes) in [("2.7", !is_batch), ("2.8", false)] {
            let mut world = playing(text);
            let connection = world.connect_leader();
            world.send(connection, 7, produce(-1, records.clone()));
            assert_eq!(world.is_closed(connection), closes, "{text}: {records:?}");
        }
    }
}

#[test]
fn a_level_that_the_release_does_not_know_is_refused() {
    let mut settings = Settings::default().as_version(release("3.9"));
    settings.transaction_version = 2;
    #[expect(clippy::disallowed_methods, reason = "any instant does")]
    let refused = Cluster::new(settings, std::time::Instant::now()).map(drop);
    assert_eq!(
        refused,
        Err("transaction.version is 2, which Kafka 3.9 does not know: it is 0 at most".to_owned())
    );
}

/// Sets one setting of the topic `t`, or deletes it.
fn alter(world: &mut World, name: &str, value: Option<&str>) -> ErrorCode {
    let config = AlterableConfig {
        name: name.into(),
        config_operation: if value.is_some() { 0 } else { 1 },
        value: value.map(Into::into),
    };
    let (resource_type, resource_name) = (2, "t".into());
    let resource = AlterConfigsResource { resource_type, resource_name, configs: vec![config] };
    let request =
        IncrementalAlterConfigsRequest { resources: vec![resource], ..Default::default() };
    let connection = world.connect(node(1));
    let answer = world.ask(connection, 1, request);
    let Response::IncrementalAlterConfigs(answer) = answer else { panic!() };
    answer.responses[0].error_code
}

fn setting(world: &mut World, name: &str) -> Option<String> {
    let resource = DescribeConfigsResource {
        resource_type: 2,
        resource_name: "t".into(),
        configuration_keys: Some(vec![name.into()]),
    };
    let request = DescribeConfigsRequest { resources: vec![resource], ..Default::default() };
    let connection = world.connect(node(1));
    let Response::DescribeConfigs(answer) = world.ask(connection, 4, request) else { panic!() };
    assert_eq!(answer.results[0].error_code, ErrorCode::NONE);
    let config = answer.results[0].configs.first();
    config.and_then(|config| config.value.as_ref()).map(ToString::to_string)
}

/// A data directory that does not open is lost to whoever has no other release.
#[test]
fn what_another_release_knew_of_a_topic_is_kept_and_does_not_count() {
    const NEW: &str = "remote.copy.lag.ms";
    const OLD: &str = "message.timestamp.difference.max.ms";
    let now_playing = |world: &mut World, text: &str| {
        world.restart_with(|settings| *settings = settings.clone().as_version(release(text)));
    };
    let mut world = playing("4.4");
    assert_eq!(alter(&mut world, NEW, Some("7")), ErrorCode::NONE);
    now_playing(&mut world, "3.9");
    assert_eq!(setting(&mut world, NEW), None);
    assert_eq!(alter(&mut world, NEW, Some("8")), ErrorCode::INVALID_CONFIG);
    assert_eq!(alter(&mut world, OLD, Some("1000")), ErrorCode::NONE);
    world.restart_compacted();
    now_playing(&mut world, "4.4");
    assert_eq!(setting(&mut world, NEW).as_deref(), Some("7"));
    assert_eq!(setting(&mut world, OLD), None);
    let connection = world.connect_leader();
    world.pass(std::time::Duration::from_secs(60));
    ok(&produced(world.ask(connection, 7, produce(-1, batch(&["a"], None)))));
    assert_eq!(alter(&mut world, OLD, None), ErrorCode::NONE);
    now_playing(&mut world, "3.9");
    assert_eq!(setting(&mut world, OLD).as_deref(), Some("9223372036854775807"));
    assert!(world.cluster.recreate_topic(world.now, "t"));
    now_playing(&mut world, "4.4");
    assert_eq!(setting(&mut world, NEW).as_deref(), Some("0"));
}
