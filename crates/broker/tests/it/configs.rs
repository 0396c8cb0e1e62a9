//! Settings that are replaced as a whole, as AlterConfigs does, and what brokers are told while they run.

use milena_broker::TopicSettings;
use milena_types::ErrorCode;
use milena_wire::Response;
use milena_wire::messages::alter_configs_request::{
    AlterConfigsRequest, AlterConfigsResource, AlterableConfig,
};
use milena_wire::messages::alter_configs_response::AlterConfigsResponse;
use milena_wire::messages::describe_configs_request::{
    DescribeConfigsRequest, DescribeConfigsResource,
};

use crate::world::{World, batch, node, produce, produced};

const TOPIC: i8 = 2;
const GROUP: i8 = 32;

fn resource(kind: i8, name: &str, set: &[(&str, Option<&str>)]) -> AlterConfigsResource {
    let config = |(name, value): &(&str, Option<&str>)| AlterableConfig {
        name: (*name).into(),
        value: value.map(Into::into),
    };
    AlterConfigsResource {
        resource_type: kind,
        resource_name: name.into(),
        configs: set.iter().map(config).collect(),
    }
}

fn replace(world: &mut World, resources: Vec<AlterConfigsResource>) -> AlterConfigsResponse {
    let connection = world.connect(node(1));
    let request = AlterConfigsRequest { resources, ..Default::default() };
    let Response::AlterConfigs(told) = world.ask(connection, 2, request) else { panic!() };
    told
}

fn codes(told: &AlterConfigsResponse) -> Vec<ErrorCode> {
    told.responses.iter().map(|response| response.error_code).collect()
}

/// What is set of the resource itself, and not by default.
fn set(world: &mut World, kind: i8, name: &str) -> Vec<(String, String)> {
    let connection = world.connect(node(1));
    let resource = DescribeConfigsResource {
        resource_type: kind,
        resource_name: name.into(),
        configuration_keys: None,
    };
    let request = DescribeConfigsRequest { resources: vec![resource], ..Default::default() };
    let Response::DescribeConfigs(told) = world.ask(connection, 4, request) else { panic!() };
    let own =
        told.results[0].configs.iter().filter(|config| [1, 8].contains(&config.config_source));
    let text = |config: &Option<milena_wire::ByteString>| config.clone().unwrap_or_default();
    own.map(|config| (config.name.to_string(), text(&config.value).to_string())).collect()
}

fn pair(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

#[test]
fn what_is_not_named_goes_back_to_its_default_and_stays_so_after_a_restart() {
    let mut world = World::new();
    let both = [("retention.ms", Some("1000")), ("max.message.bytes", Some("2000"))];
    let told = replace(&mut world, vec![resource(TOPIC, "t", &both)]);
    assert_eq!(codes(&told), [ErrorCode::NONE]);
    let one = [("retention.ms", Some("3000"))];
    replace(&mut world, vec![resource(TOPIC, "t", &one)]);
    world.restart();
    assert_eq!(set(&mut world, TOPIC, "t"), [pair("retention.ms", "3000")]);
    replace(&mut world, vec![resource(TOPIC, "t", &[])]);
    assert_eq!(set(&mut world, TOPIC, "t"), []);
}

#[test]
fn a_group_s_settings_are_replaced_too() {
    let mut world = World::new();
    let two = [
        ("share.record.lock.duration.ms", Some("20000")),
        ("share.isolation.level", Some("read_committed")),
    ];
    assert_eq!(codes(&replace(&mut world, vec![resource(GROUP, "s", &two)])), [ErrorCode::NONE]);
    replace(&mut world, vec![resource(GROUP, "s", &two[1..])]);
    assert_eq!(set(&mut world, GROUP, "s"), [pair("share.isolation.level", "read_committed")]);
}

/// Whoever asks for a setting and takes it back, again and again for other groups, would use the limit up.
#[test]
fn a_group_without_a_setting_does_not_count_towards_the_limit() {
    let mut world = World::with(|settings| settings.groups_max = 1);
    let one = [("share.isolation.level", Some("read_committed"))];
    for name in ["a", "b"] {
        assert_eq!(
            codes(&replace(&mut world, vec![resource(GROUP, name, &one)])),
            [ErrorCode::NONE]
        );
        let other = replace(&mut world, vec![resource(GROUP, "c", &one)]);
        assert_eq!(codes(&other), [ErrorCode::POLICY_VIOLATION]);
        // Nothing set of another is nothing more.
        for name in ["c", name] {
            let none = replace(&mut world, vec![resource(GROUP, name, &[])]);
            assert_eq!(codes(&none), [ErrorCode::NONE]);
        }
        world.restart();
    }
}

/// Each stands for itself: one that is refused keeps what it had, and the next is changed.
#[test]
fn what_is_refused_changes_nothing_and_the_rest_is_done() {
    let mut world = World::new();
    let five = |name: &str| resource(TOPIC, name, &[("retention.ms", Some("5"))]);
    replace(&mut world, vec![five("t")]);
    let told = replace(
        &mut world,
        vec![
            resource(TOPIC, "t", &[("retention.ms", Some("7")), ("no.such", Some("1"))]),
            resource(GROUP, "s", &[("share.isolation.level", Some("read_committed"))]),
            five("not-there"),
            five("no topic!"),
            resource(99, "x", &[]),
        ],
    );
    let expected = [
        ErrorCode::INVALID_CONFIG,
        ErrorCode::NONE,
        ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
        ErrorCode::INVALID_TOPIC_EXCEPTION,
        ErrorCode::INVALID_REQUEST,
    ];
    assert_eq!(codes(&told), expected);
    assert_eq!(set(&mut world, TOPIC, "t"), [pair("retention.ms", "5")]);
    assert_eq!(set(&mut world, GROUP, "s").len(), 1);
}

#[test]
fn nulls_and_what_is_named_twice_are_refused() {
    let mut world = World::new();
    let one = ("retention.ms", Some("5"));
    for resources in [
        vec![resource(TOPIC, "t", &[("retention.ms", None)])],
        vec![resource(TOPIC, "t", &[one, one])],
        vec![resource(TOPIC, "t", &[one]), resource(TOPIC, "t", &[one])],
    ] {
        let told = replace(&mut world, resources);
        assert!(codes(&told).iter().all(|code| *code == ErrorCode::INVALID_REQUEST), "{told:?}");
    }
    assert_eq!(set(&mut world, TOPIC, "t"), []);
}

const BROKER: i8 = 4;

/// The value and where it is from, as a node describes it.
fn described(world: &mut World, of: i32, kind: i8, name: &str, key: &str) -> Option<(String, i8)> {
    let connection = world.connect(node(of));
    let resource = DescribeConfigsResource {
        resource_type: kind,
        resource_name: name.into(),
        configuration_keys: Some(vec![key.into()]),
    };
    let request = DescribeConfigsRequest { resources: vec![resource], ..Default::default() };
    let Response::DescribeConfigs(told) = world.ask(connection, 4, request) else { panic!() };
    assert_eq!(told.results[0].error_code, ErrorCode::NONE);
    let config = told.results[0].configs.first()?;
    Some((config.value.clone().unwrap_or_default().to_string(), config.config_source))
}

fn some(value: &str, source: i8) -> Option<(String, i8)> {
    Some((value.to_owned(), source))
}

/// Sets this alone for all brokers.
pub(crate) fn set_for_all(world: &mut World, name: &str, value: &str) {
    let told = replace(world, vec![resource(BROKER, "", &[(name, Some(value))])]);
    assert_eq!(codes(&told), [ErrorCode::NONE]);
}

/// A broker's own settings count before those of all, and a topic's before both (KIP-226).
#[test]
fn a_broker_s_value_is_told_with_where_it_is_from() {
    let mut world = World::new();
    let key = "log.retention.bytes";
    assert_eq!(described(&mut world, 1, BROKER, "1", key), some("-1", 5));
    for (name, value) in [("", "500"), ("1", "600")] {
        let told = replace(&mut world, vec![resource(BROKER, name, &[(key, Some(value))])]);
        assert_eq!(codes(&told), [ErrorCode::NONE]);
    }
    world.restart();
    assert_eq!(described(&mut world, 1, BROKER, "1", key), some("600", 2));
    assert_eq!(described(&mut world, 2, BROKER, "2", key), some("500", 3));
    assert_eq!(described(&mut world, 2, BROKER, "", key), some("500", 3));
    assert_eq!(described(&mut world, 2, TOPIC, "t", "retention.bytes"), some("500", 3));
    replace(&mut world, vec![resource(TOPIC, "t", &[("retention.bytes", Some("700"))])]);
    assert_eq!(described(&mut world, 2, TOPIC, "t", "retention.bytes"), some("700", 1));
    replace(&mut world, vec![resource(BROKER, "", &[]), resource(BROKER, "1", &[])]);
    world.restart_compacted();
    assert_eq!(described(&mut world, 1, BROKER, "", key), None);
    assert_eq!(described(&mut world, 1, BROKER, "1", key), some("-1", 5));
}

/// Whoever asks another is told by Kafka whom it has asked.
#[test]
fn a_broker_describes_itself_alone() {
    let mut world = World::new();
    let connection = world.connect(node(1));
    for (name, why) in [
        ("2", "Unexpected broker id, expected 1 or empty string, but received 2"),
        ("one", "Broker id must be an integer, but it is: one"),
    ] {
        let resource = DescribeConfigsResource {
            resource_type: BROKER,
            resource_name: name.into(),
            configuration_keys: None,
        };
        let request = DescribeConfigsRequest { resources: vec![resource], ..Default::default() };
        let Response::DescribeConfigs(told) = world.ask(connection, 4, request) else { panic!() };
        assert_eq!(told.results[0].error_code, ErrorCode::INVALID_REQUEST);
        assert_eq!(told.results[0].error_message.as_deref(), Some(why));
    }
}

#[test]
fn what_all_brokers_are_told_counts_for_topics_that_are_there_and_that_come() {
    let mut world = World::new();
    let connection = world.connect_leader();
    let produced_code = |world: &mut World| {
        let batch = batch(&[&"x".repeat(300)], None);
        produced(world.ask(connection, 9, produce(-1, batch))).error_code
    };
    assert_eq!(produced_code(&mut world), ErrorCode::NONE);
    let limit = [("message.max.bytes", Some("200"))];
    replace(&mut world, vec![resource(BROKER, "", &limit)]);
    assert_eq!(produced_code(&mut world), ErrorCode::MESSAGE_TOO_LARGE);
    world.cluster.create_topic(world.now, &TopicSettings::new("new", 1)).expect("a new one");
    let new = described(&mut world, 1, TOPIC, "new", "max.message.bytes");
    assert_eq!(new, some("200", 3));
    // A topic's own counts before it.
    replace(&mut world, vec![resource(TOPIC, "t", &[("max.message.bytes", Some("2000"))])]);
    assert_eq!(produced_code(&mut world), ErrorCode::NONE);
    replace(&mut world, vec![resource(TOPIC, "t", &[])]);
    assert_eq!(produced_code(&mut world), ErrorCode::MESSAGE_TOO_LARGE);
    replace(&mut world, vec![resource(BROKER, "", &[])]);
    assert_eq!(produced_code(&mut world), ErrorCode::NONE);
}

#[test]
fn what_a_broker_cannot_be_told_while_it_runs_is_refused() {
    let mut world = World::new();
    for (name, key, value) in [
        ("", "num.partitions", "3"),
        ("1", "log.dirs", "/elsewhere"),
        ("1", "log.retention.ms", "long"),
        ("", "log.cleanup.policy", "burn"),
        ("2", "log.retention.ms", "1"),
        ("one", "log.retention.ms", "1"),
    ] {
        let told = replace(&mut world, vec![resource(BROKER, name, &[(key, Some(value))])]);
        assert_eq!(codes(&told), [ErrorCode::INVALID_REQUEST], "{key} of {name:?}");
    }
    // A plugin might know it.
    let told = replace(&mut world, vec![resource(BROKER, "1", &[("my.plugin", Some("1"))])]);
    assert_eq!(codes(&told), [ErrorCode::NONE]);
    assert_eq!(described(&mut world, 1, BROKER, "1", "my.plugin"), some("", 2), "perhaps a secret");
}

/// What stands for a value, the strongest first: name, value and source.
fn synonyms(world: &mut World, kind: i8, name: &str, key: &str) -> Vec<(String, String, i8)> {
    let connection = world.connect(node(1));
    let resource = DescribeConfigsResource {
        resource_type: kind,
        resource_name: name.into(),
        configuration_keys: Some(vec![key.into()]),
    };
    let request = DescribeConfigsRequest {
        resources: vec![resource],
        include_synonyms: true,
        ..Default::default()
    };
    let Response::DescribeConfigs(told) = world.ask(connection, 4, request) else { panic!() };
    let synonyms = told.results[0].configs.iter().flat_map(|config| &config.synonyms);
    let text = |value: &Option<milena_wire::ByteString>| value.clone().unwrap_or_default();
    synonyms.map(|one| (one.name.to_string(), text(&one.value).to_string(), one.source)).collect()
}

fn started_with(set: &[(&str, &str)]) -> World {
    World::with(|settings| {
        for (name, value) in set {
            settings.set(name, value).expect(name);
        }
    })
}

/// As of a broker of Kafka with such a `server.properties`: nothing of it is the topic's own.
#[test]
fn what_brokers_were_started_with_is_theirs_and_not_the_topic_s() {
    let mut world = started_with(&[("log.retention.bytes", "500")]);
    let triple = |name: &str, value: &str, source| (name.to_owned(), value.to_owned(), source);
    let fixed = triple("log.retention.bytes", "500", 4);
    let default = triple("log.retention.bytes", "-1", 5);
    let key = "retention.bytes";
    assert_eq!(described(&mut world, 1, TOPIC, "t", key), some("500", 4));
    assert_eq!(set(&mut world, TOPIC, "t"), []);
    let told = synonyms(&mut world, TOPIC, "t", key);
    assert_eq!(told, [fixed.clone(), default.clone()]);
    assert_eq!(described(&mut world, 1, BROKER, "1", "log.retention.bytes"), some("500", 4));
    assert_eq!(described(&mut world, 1, BROKER, "", "log.retention.bytes"), None);
    // What is told while it runs counts before it, and the topic's own before that.
    set_for_all(&mut world, "log.retention.bytes", "600");
    assert_eq!(described(&mut world, 1, TOPIC, "t", key), some("600", 3));
    replace(&mut world, vec![resource(TOPIC, "t", &[(key, Some("700"))])]);
    let all = triple("log.retention.bytes", "600", 3);
    let told = synonyms(&mut world, TOPIC, "t", key);
    assert_eq!(told, [triple(key, "700", 1), all, fixed, default]);
    replace(&mut world, vec![resource(TOPIC, "t", &[]), resource(BROKER, "", &[])]);
    assert_eq!(described(&mut world, 1, TOPIC, "t", key), some("500", 4));
    world.restart_with(|settings| settings.set("log.retention.bytes", "800").expect("known"));
    assert_eq!(described(&mut world, 1, TOPIC, "t", key), some("800", 4));
}

/// Kafka looks for the name in milliseconds alone, and what stands behind it.
#[test]
fn a_time_in_hours_has_its_effect_and_is_told_as_a_default() {
    let mut world = started_with(&[("log.retention.hours", "1")]);
    assert_eq!(described(&mut world, 1, TOPIC, "t", "retention.ms"), some("3600000", 5));
    assert_eq!(synonyms(&mut world, TOPIC, "t", "retention.ms"), []);
    assert_eq!(described(&mut world, 1, BROKER, "1", "log.retention.hours"), some("1", 4));
    assert_eq!(described(&mut world, 1, BROKER, "1", "log.retention.ms"), some("", 5));
    set_for_all(&mut world, "log.retention.ms", "9");
    assert_eq!(described(&mut world, 1, TOPIC, "t", "retention.ms"), some("9", 3));
    let told = synonyms(&mut world, TOPIC, "t", "retention.ms");
    let sources: Vec<_> =
        told.iter().map(|(name, value, source)| (&**name, &**value, *source)).collect();
    let hours = "log.retention.hours";
    assert_eq!(sources, [("log.retention.ms", "9", 3), (hours, "1", 4), (hours, "168", 5)]);
}

/// Each node has logs of its own in Kafka, and goes by its own settings with those that it leads.
#[test]
fn what_one_of_several_nodes_is_told_counts_where_it_leads() {
    let mut world = World::new();
    let leader = world.leader();
    let other = (1..=3).map(node).find(|node| *node != leader).expect("three nodes");
    let limit = resource(BROKER, &leader.to_string(), &[("message.max.bytes", Some("200"))]);
    let connection = world.connect(leader);
    let request = AlterConfigsRequest { resources: vec![limit], ..Default::default() };
    let Response::AlterConfigs(told) = world.ask(connection, 2, request) else { panic!() };
    assert_eq!(codes(&told), [ErrorCode::NONE]);
    world.restart();
    let produced_code = |world: &mut World| {
        let connection = world.connect_leader();
        let batch = batch(&[&"x".repeat(300)], None);
        produced(world.ask(connection, 9, produce(-1, batch))).error_code
    };
    let key = "max.message.bytes";
    assert_eq!(described(&mut world, leader.get(), TOPIC, "t", key), some("200", 2));
    assert_eq!(described(&mut world, other.get(), TOPIC, "t", key), some("1048588", 5));
    assert_eq!(produced_code(&mut world), ErrorCode::MESSAGE_TOO_LARGE);
    assert!(world.cluster.move_leader(world.now, &crate::world::tp(), other));
    assert_eq!(produced_code(&mut world), ErrorCode::NONE);
    // What the topic was told itself counts before it.
    assert!(world.cluster.move_leader(world.now, &crate::world::tp(), leader));
    assert_eq!(produced_code(&mut world), ErrorCode::MESSAGE_TOO_LARGE);
    replace(&mut world, vec![resource(TOPIC, "t", &[(key, Some("2000"))])]);
    assert_eq!(produced_code(&mut world), ErrorCode::NONE);
}

/// The words are those of 4.4.0; what of several settings is whose is `DynamicBrokerConfig`'s.
#[test]
fn what_brokers_are_told_is_refused_as_kafka_words_it() {
    let mut world = World::new();
    for (of, key, value, why) in [
        (
            "1",
            "log.retention.hours",
            "9",
            "Cannot update these configs dynamically: [log.retention.hours]",
        ),
        (
            "",
            "ssl.client.auth",
            "none",
            "Cannot update these configs at default cluster level, broker id must be specified: [ssl.client.auth]",
        ),
        (
            "1",
            "ssl.keystore.location",
            "/k",
            "These security configs can be dynamically updated only per-listener using the listener prefix: \
             [ssl.keystore.location]",
        ),
        (
            "",
            "listener.name.other.ssl.keystore.location",
            "/k",
            "Cannot update these configs at default cluster level, broker id must be specified: \
             [listener.name.other.ssl.keystore.location]",
        ),
        (
            "",
            "listener.name.other.max.connections",
            "many",
            "Invalid value many for configuration max.connections: Not a number of type INT",
        ),
        (
            "",
            "remote.log.manager.copy.max.bytes.per.second",
            "0",
            "Invalid value 0 for configuration remote.log.manager.copy.max.bytes.per.second: Value must be at least 1",
        ),
        (
            "",
            "num.io.threads",
            "17",
            "Invalid value org.apache.kafka.common.config.ConfigException: Dynamic thread count update validation failed for \
             num.io.threads=17, value should not be greater than double the current value 8 for configuration Invalid \
             dynamic configuration",
        ),
        (
            "",
            "log.local.retention.ms",
            "604800001",
            "Invalid value org.apache.kafka.common.config.ConfigException: Invalid value 604800001 for configuration \
             log.local.retention.ms: Value must not be more than log.retention.ms property value: 604800000 for \
             configuration Invalid dynamic configuration",
        ),
        (
            "",
            "log.retention.ms",
            "0",
            "requirement failed: log.retention.ms must be unlimited (-1) or, greater than or equal to 1",
        ),
    ] {
        let told = replace(&mut world, vec![resource(BROKER, of, &[(key, Some(value))])]);
        assert_eq!(codes(&told), [ErrorCode::INVALID_REQUEST], "{key}");
        let message = told.responses[0].error_message.clone().unwrap_or_default();
        assert_eq!(&*message, why);
    }
    for (of, key, value) in [
        ("1", "ssl.client.auth", "none"),
        ("1", "listener.name.other.ssl.keystore.location", "/k"),
        ("", "listener.name.other.max.connections", "9"),
        ("", "num.io.threads", "16"),
        ("", "log.retention.ms", "-5"),
        ("", "remote.log.reader.threads", "20"),
    ] {
        let told = replace(&mut world, vec![resource(BROKER, of, &[(key, Some(value))])]);
        assert_eq!(codes(&told), [ErrorCode::NONE], "{key}");
    }
}

/// A password of a listener is told to nobody, as what nobody knows.
#[test]
fn a_password_is_kept_and_not_told() {
    let mut world = World::new();
    let key = "listener.name.tls.ssl.keystore.password";
    replace(&mut world, vec![resource(BROKER, "1", &[(key, Some("secret"))])]);
    world.restart();
    assert_eq!(described(&mut world, 1, BROKER, "1", key), some("", 2));
    assert_eq!(synonyms(&mut world, BROKER, "1", key), [(key.to_owned(), String::new(), 2)]);
}

/// What an application is tested with here must be what a real cluster takes (`LogConfig`).
#[test]
fn a_topic_takes_the_values_that_kafka_takes_and_no_others() {
    let mut world = World::new();
    let refused = [
        ("compression.type", "foo"),
        ("segment.bytes", "1"),
        ("segment.ms", "0"),
        ("min.cleanable.dirty.ratio", "7"),
        ("delete.retention.ms", "-1"),
        ("max.compaction.lag.ms", "0"),
        ("message.timestamp.before.max.ms", "-1"),
        ("remote.storage.enable", "true"),
        ("cleanup.policy", "compact,,delete"),
        ("leader.replication.throttled.replicas", "0-1"),
    ];
    let taken = [
        ("unclean.leader.election.enable", "TRUE"),
        ("cleanup.policy", ""),
        ("cleanup.policy", "compact,compact"),
        ("retention.bytes", "-5"),
        ("segment.bytes", "1048576"),
        ("internal.segment.bytes", "1"),
        ("compression.gzip.level", "-1"),
    ];
    for (codes_of, code) in [(&refused[..], ErrorCode::INVALID_CONFIG), (&taken, ErrorCode::NONE)] {
        for (name, value) in codes_of {
            let told = replace(&mut world, vec![resource(TOPIC, "t", &[(name, Some(value))])]);
            assert_eq!(codes(&told), [code], "{name}={value}");
        }
    }
    let lags = [("min.compaction.lag.ms", Some("2")), ("max.compaction.lag.ms", Some("1"))];
    let told = replace(&mut world, vec![resource(TOPIC, "t", &lags)]);
    let why = "conflict topic config setting min.compaction.lag.ms (2) > max.compaction.lag.ms (1)";
    assert_eq!(told.responses[0].error_message.as_deref(), Some(why));
}

fn alter(world: &mut World, name: &str, operation: i8, value: &str) -> ErrorCode {
    use milena_wire::messages::incremental_alter_configs_request as m;
    let connection = world.connect(node(1));
    let config = m::AlterableConfig {
        name: name.into(),
        config_operation: operation,
        value: Some(value.into()),
    };
    let resource = m::AlterConfigsResource {
        resource_type: TOPIC,
        resource_name: "t".into(),
        configs: vec![config],
    };
    let request =
        m::IncrementalAlterConfigsRequest { resources: vec![resource], validate_only: false };
    let Response::IncrementalAlterConfigs(told) = world.ask(connection, 1, request) else {
        panic!()
    };
    told.responses[0].error_code
}

/// A list that is added to keeps its order, and what is described is what was read (`ConfigDef.convertToString`).
#[test]
fn a_topic_s_settings_are_described_as_they_were_read() {
    const SET: i8 = 0;
    const APPEND: i8 = 2;
    const SUBTRACT: i8 = 3;
    let mut world = World::new();
    for (name, operation, value, told) in [
        ("cleanup.policy", SET, "compact,delete", "compact,delete"),
        ("cleanup.policy", APPEND, "compact", "compact,delete"),
        ("cleanup.policy", SUBTRACT, "compact", "delete"),
        ("cleanup.policy", SET, " compact , delete", "compact,delete"),
        ("cleanup.policy", SET, "compact,compact", "compact"),
        ("retention.ms", SET, " 060000", "60000"),
        ("min.cleanable.dirty.ratio", SET, "1", "1.0"),
        ("unclean.leader.election.enable", SET, "TRUE", "true"),
    ] {
        assert_eq!(alter(&mut world, name, operation, value), ErrorCode::NONE, "{name}={value}");
        assert_eq!(described(&mut world, 1, TOPIC, "t", name), some(told, 1));
        assert_eq!(synonyms(&mut world, TOPIC, "t", name)[0].1, told);
    }
}
