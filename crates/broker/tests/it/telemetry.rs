//! Clients that push metrics of themselves (KIP-714).

use std::time::Duration;

use bytes::Bytes;
use milena_broker::{ConnectionId, ErrorCode, Settings};
use milena_records::{Compression, CompressionType, Compressor};
use milena_types::{ApiKey, Uuid};
use milena_wire::Response;
use milena_wire::messages as m;
use milena_wire::messages::get_telemetry_subscriptions_response::GetTelemetrySubscriptionsResponse;

use crate::world::{World, node};

fn world() -> World {
    World::with(|settings| settings.client_telemetry = true)
}

/// Sets values of a subscription, and deletes those without.
fn configure(world: &mut World, name: &str, set: &[(&str, Option<&str>)]) -> ErrorCode {
    let config = |(name, value): &(&str, Option<&str>)| {
        m::incremental_alter_configs_request::AlterableConfig {
            name: (*name).into(),
            config_operation: i8::from(value.is_none()),
            value: value.map(Into::into),
        }
    };
    let resource = m::incremental_alter_configs_request::AlterConfigsResource {
        resource_type: 16,
        resource_name: name.into(),
        configs: set.iter().map(config).collect(),
    };
    let request =
        m::IncrementalAlterConfigsRequest { resources: vec![resource], ..Default::default() };
    let connection = world.connect(node(1));
    let Response::IncrementalAlterConfigs(told) = world.ask(connection, 1, request) else {
        panic!()
    };
    told.responses[0].error_code
}

fn listed(world: &mut World) -> Vec<String> {
    let connection = world.connect(node(1));
    let request = m::ListConfigResourcesRequest::default();
    let Response::ListConfigResources(told) = world.ask(connection, 0, request) else { panic!() };
    told.config_resources.iter().map(|resource| resource.resource_name.to_string()).collect()
}

fn ask(
    world: &mut World,
    connection: ConnectionId,
    id: Uuid,
) -> Result<GetTelemetrySubscriptionsResponse, ErrorCode> {
    let request = m::GetTelemetrySubscriptionsRequest { client_instance_id: id };
    let Response::GetTelemetrySubscriptions(told) = world.ask(connection, 0, request) else {
        panic!()
    };
    if told.error_code == ErrorCode::NONE { Ok(told) } else { Err(told.error_code) }
}

/// A client that was told what to push.
struct Client {
    connection: ConnectionId,
    id: Uuid,
    subscription_id: i32,
}

impl Client {
    fn new(world: &mut World) -> Self {
        let connection = world.connect(node(1));
        let told = ask(world, connection, Uuid::ZERO).expect("the first question");
        Self { connection, id: told.client_instance_id, subscription_id: told.subscription_id }
    }

    fn ask(&mut self, world: &mut World) -> Result<(), ErrorCode> {
        let told = ask(world, self.connection, self.id)?;
        assert_eq!(told.client_instance_id, self.id);
        self.subscription_id = told.subscription_id;
        Ok(())
    }

    fn request(&self, metrics: &'static [u8]) -> m::PushTelemetryRequest {
        m::PushTelemetryRequest {
            client_instance_id: self.id,
            subscription_id: self.subscription_id,
            metrics: Bytes::from_static(metrics),
            ..Default::default()
        }
    }

    fn push(&self, world: &mut World, request: m::PushTelemetryRequest) -> ErrorCode {
        let Response::PushTelemetry(told) = world.ask(self.connection, 0, request) else {
            panic!()
        };
        told.error_code
    }

    fn say(&self, world: &mut World, metrics: &'static [u8]) -> ErrorCode {
        let request = self.request(metrics);
        self.push(world, request)
    }
}

fn pushed(world: &World) -> Vec<Vec<u8>> {
    world.cluster.journal().telemetry().map(|pushed| pushed.metrics.to_vec()).collect()
}

const INTERVAL: Duration = Duration::from_millis(1000);

/// All metrics of everybody, each second.
fn subscribe(world: &mut World) {
    let set = [("metrics", Some("*")), ("interval.ms", Some("1000"))];
    assert_eq!(configure(world, "all", &set), ErrorCode::NONE);
}

/// Kafka's default: who asks nevertheless is answered, and what is pushed goes nowhere.
#[test]
fn it_is_listed_only_where_somebody_receives_it() {
    let is_listed = |world: &mut World| {
        let connection = world.connect(node(1));
        let answer = world.ask(connection, 0, m::ApiVersionsRequest::default());
        let Response::ApiVersions(told) = answer else { panic!() };
        let keys = [ApiKey::GET_TELEMETRY_SUBSCRIPTIONS, ApiKey::PUSH_TELEMETRY].map(ApiKey::get);
        told.api_keys.iter().filter(|api| keys.contains(&api.api_key)).count()
    };
    assert_eq!(is_listed(&mut world()), 2);
    let mut without = World::new();
    assert_eq!(is_listed(&mut without), 0);
    let client = Client::new(&mut without);
    assert_eq!(client.say(&mut without, b"lost"), ErrorCode::NONE);
    assert!(pushed(&without).is_empty());
    let mut old = World::with(|settings: &mut Settings| {
        *settings = settings.clone().as_version("3.6".parse().expect("a release"));
        settings.client_telemetry = true;
    });
    assert_eq!(is_listed(&mut old), 0, "KIP-714 came with 3.7");
}

#[test]
fn a_client_is_told_what_the_subscriptions_that_mean_it_ask_for() {
    let mut world = world();
    let mut meant = |set: &[(&str, Option<&str>)]| {
        assert_eq!(configure(&mut world, "one", set), ErrorCode::NONE);
        let connection = world.connect(node(2));
        let mine = m::ApiVersionsRequest {
            client_software_name: "milena".into(),
            client_software_version: "0.1".into(),
            ..Default::default()
        };
        world.ask(connection, 3, mine);
        let told = ask(&mut world, connection, Uuid::ZERO).expect("the first question");
        (told.requested_metrics.len(), told.push_interval_ms)
    };
    assert_eq!(meant(&[("metrics", Some("a.,b."))]), (2, 300_000));
    assert_eq!(meant(&[("interval.ms", Some("100"))]), (2, 100));
    let software = Some("client_software_name=mil.*, client_software_version=0\\.1");
    assert_eq!(meant(&[("match", software)]), (2, 100));
    assert_eq!(meant(&[("match", Some("client_id=test,client_source_address=127.0.0.1"))]).0, 2);
    assert_eq!(meant(&[("match", Some("client_software_name=other"))]), (0, 300_000));
    assert_eq!(meant(&[("match", None), ("metrics", Some("a.,*"))]).0, 1, "all is all");
}

#[test]
fn what_is_pushed_is_kept_as_it_was_before_compression() {
    let mut world = world();
    subscribe(&mut world);
    let mut client = Client::new(&mut world);
    let mut expected = Vec::new();
    for kind in CompressionType::ALL {
        let mut packed = Vec::new();
        let compression = Compression::new(kind);
        Compressor::new().compress(compression, b"metrics", &mut packed).expect("a codec");
        let mut request = client.request(b"");
        request.compression_type = i8::try_from(kind.id()).expect("small");
        request.metrics = packed.into();
        assert_eq!(client.push(&mut world, request), ErrorCode::NONE, "{kind}");
        expected.push(b"metrics".to_vec());
        world.pass(INTERVAL);
    }
    assert_eq!(pushed(&world), expected);
    let mut broken = client.request(b"no frame of zstd");
    broken.compression_type = 4;
    assert_eq!(client.push(&mut world, broken), ErrorCode::INVALID_RECORD);
    world.pass(INTERVAL);
    client.ask(&mut world).expect("it is time");
    assert_eq!(pushed(&world).len(), 5);
}

#[test]
fn who_speaks_before_its_time_is_refused_and_keeps_its_place() {
    let mut world = world();
    subscribe(&mut world);
    let mut client = Client::new(&mut world);
    assert_eq!(client.ask(&mut world), Err(ErrorCode::THROTTLING_QUOTA_EXCEEDED));
    assert_eq!(client.say(&mut world, b"first"), ErrorCode::NONE, "at once after the question");
    assert_eq!(client.say(&mut world, b"early"), ErrorCode::THROTTLING_QUOTA_EXCEEDED);
    world.pass(INTERVAL);
    assert_eq!(client.say(&mut world, b"second"), ErrorCode::NONE);
    let mut last = client.request(b"last");
    last.terminating = true;
    assert_eq!(client.push(&mut world, last), ErrorCode::NONE, "who ends need not wait");
    assert_eq!(client.say(&mut world, b"more"), ErrorCode::INVALID_REQUEST);
    assert_eq!(pushed(&world), [&b"first"[..], b"second", b"last"]);
}

#[test]
fn what_was_asked_for_before_a_change_is_taken_no_more() {
    let mut world = world();
    subscribe(&mut world);
    let mut client = Client::new(&mut world);
    let set = [("metrics", Some("org.apache.kafka.producer."))];
    assert_eq!(configure(&mut world, "all", &set), ErrorCode::NONE);
    assert_eq!(client.say(&mut world, b"old"), ErrorCode::UNKNOWN_SUBSCRIPTION_ID);
    client.ask(&mut world).expect("at once, since it does not know better");
    assert_eq!(client.say(&mut world, b"early"), ErrorCode::THROTTLING_QUOTA_EXCEEDED);
    world.pass(INTERVAL);
    assert_eq!(client.say(&mut world, b"new"), ErrorCode::NONE);
    assert_eq!(pushed(&world), [b"new"]);
}

#[test]
fn what_is_too_large_or_compressed_in_no_known_way_is_refused() {
    let mut world = World::with(|settings| {
        settings.client_telemetry = true;
        settings.telemetry_bytes_max = 4;
    });
    subscribe(&mut world);
    let mut client = Client::new(&mut world);
    assert_eq!(client.say(&mut world, b"large"), ErrorCode::TELEMETRY_TOO_LARGE);
    world.pass(INTERVAL);
    let mut unknown = client.request(b"x");
    unknown.compression_type = 7;
    assert_eq!(client.push(&mut world, unknown), ErrorCode::UNSUPPORTED_COMPRESSION_TYPE);
    client.ask(&mut world).expect("at once, to learn what is known");
    let mut nobody = client.request(b"x");
    nobody.client_instance_id = Uuid::ZERO;
    assert_eq!(client.push(&mut world, nobody), ErrorCode::INVALID_REQUEST);
    assert!(pushed(&world).is_empty());
}

/// It then asks as one that is new, and is not told to wait.
#[test]
fn a_client_is_forgotten_with_its_connection_and_after_silence() {
    let mut world = world();
    subscribe(&mut world);
    let mut client = Client::new(&mut world);
    assert_eq!(client.ask(&mut world), Err(ErrorCode::THROTTLING_QUOTA_EXCEEDED));
    world.cluster.close(world.now, client.connection);
    client.connection = world.connect(node(1));
    client.ask(&mut world).expect("as if it were new");
    let other = world.connect(node(2));
    assert!(ask(&mut world, other, client.id).is_ok(), "each node for itself");
    assert_eq!(configure(&mut world, "all", &[("interval.ms", Some("3600000"))]), ErrorCode::NONE);
    client.ask(&mut world).expect("there is news");
    world.pass(Duration::from_secs(5 * 60 - 1));
    assert_eq!(client.ask(&mut world), Err(ErrorCode::THROTTLING_QUOTA_EXCEEDED));
    world.pass(Duration::from_secs(15 * 60));
    client.ask(&mut world).expect("it was silent for three intervals");
}

#[test]
fn a_subscription_outlives_the_process_and_is_gone_with_its_last_setting() {
    for restart in [World::restart, World::restart_compacted] {
        let mut world = world();
        subscribe(&mut world);
        assert_eq!(configure(&mut world, "gone", &[("metrics", Some("a"))]), ErrorCode::NONE);
        assert_eq!(configure(&mut world, "gone", &[("metrics", None)]), ErrorCode::NONE);
        restart(&mut world);
        assert_eq!(listed(&mut world), ["all"]);
        let connection = world.connect(node(1));
        let told = ask(&mut world, connection, Uuid::ZERO).expect("the first question");
        assert_eq!(told.push_interval_ms, 1000);
        assert_eq!(told.requested_metrics, ["*"]);
    }
}

#[test]
fn there_are_a_hundred_subscriptions_at_most() {
    let mut world = world();
    for number in 0..100 {
        let code = configure(&mut world, &number.to_string(), &[("metrics", Some("a"))]);
        assert_eq!(code, ErrorCode::NONE);
    }
    let more = |world: &mut World, name| configure(world, name, &[("metrics", Some("b"))]);
    assert_eq!(more(&mut world, "more"), ErrorCode::POLICY_VIOLATION);
    assert_eq!(more(&mut world, "7"), ErrorCode::NONE, "it is there");
    assert_eq!(listed(&mut world).len(), 100);
}
