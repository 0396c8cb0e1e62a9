//! What brokers are told while they run, and how it is described.

use milena_types::ApiKey;
use milena_wire::messages::create_topics_request::CreatableTopic;
use milena_wire::messages::describe_configs_request::DescribeConfigsResource;
use milena_wire::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use milena_wire::messages::{
    CreateTopicsRequest, DescribeConfigsRequest, IncrementalAlterConfigsRequest,
};

use crate::Result;
use crate::compare::recorder::Recorder;
use crate::raw::message;

/// A topic that the scripts before made.
const TOPIC: &str = "script-administered";

const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;
const NO_OPERATION: i8 = 9;

pub(super) async fn run(on: &mut Recorder) -> Result {
    let newest = on.newest(ApiKey::INCREMENTAL_ALTER_CONFIGS);
    for (what, broker, name, operation, value) in [
        ("for all brokers", "", "log.retention.ms", SET, Some("7200000")),
        ("for one", "1", "log.retention.ms", SET, Some("3600000")),
        ("a limit for one", "1", "log.segment.bytes", SET, Some("107374182")),
        ("a time with another behind it", "1", "log.flush.interval.ms", SET, Some("70000")),
        ("what nobody knows", "1", "no.such.setting", SET, Some("1")),
        ("what does nothing here", "", "max.connections", SET, Some("1000")),
        ("what is read at the start", "", "num.partitions", SET, Some("3")),
        ("what is read at the start, for one", "1", "auto.create.topics.enable", SET, Some("true")),
        ("what is read at the start away", "1", "num.partitions", DELETE, None),
        ("a wrong value", "1", "log.retention.ms", SET, Some("long")),
        ("a wrong policy", "", "log.cleanup.policy", SET, Some("burn")),
        ("no value", "1", "log.retention.ms", SET, None),
        ("more of what is no list", "1", "log.retention.ms", APPEND, Some("1")),
        ("less of what is no list", "1", "log.retention.ms", SUBTRACT, Some("1")),
        ("an unknown operation", "1", "log.retention.ms", NO_OPERATION, Some("1")),
        ("another broker", "77", "log.retention.ms", SET, Some("1")),
        ("a broker that is no number", "one", "log.retention.ms", SET, Some("1")),
    ] {
        on.ask(what, newest, altering(broker, name, operation, value)).await?;
    }
    describe(on, "what was set").await?;
    make(on, "a topic that has of all").await?;
    for (what, broker, name) in [
        ("for one away", "1", "log.retention.ms"),
        ("a limit for one away", "1", "log.segment.bytes"),
        ("a time with another behind it away", "1", "log.flush.interval.ms"),
        ("what nobody knows away", "1", "no.such.setting"),
    ] {
        on.ask(what, newest, altering(broker, name, DELETE, None)).await?;
    }
    describe(on, "what is left").await?;
    for name in ["log.retention.ms", "max.connections"] {
        on.ask("for all away", newest, altering("", name, DELETE, None)).await?;
    }
    describe(on, "nothing").await?;
    // Where this was tried: 2.8 knows fewer names, and waits for ZooKeeper with each.
    if on.has(ApiKey::DESCRIBE_TOPIC_PARTITIONS) { limits(on).await } else { Ok(()) }
}

/// What Kafka knows of a setting besides its kind: from where to where it goes, for whom it may be set, and how far at once.
async fn limits(on: &mut Recorder) -> Result {
    let newest = on.newest(ApiKey::INCREMENTAL_ALTER_CONFIGS);
    for (broker, name, value) in [
        ("", "num.io.threads", "0"),
        ("1", "num.replica.fetchers", "3"),
        ("", "num.recovery.threads.per.data.dir", "4"),
        ("", "log.cleaner.threads", "3"),
        ("", "log.cleaner.threads", "2"),
        ("", "log.cleaner.dedupe.buffer.size", "1"),
        ("", "log.cleaner.backoff.ms", "-1"),
        ("", "remote.log.reader.threads", "30"),
        ("", "remote.log.manager.copier.thread.pool.size", "4"),
        ("1", "remote.log.manager.follower.thread.pool.size", "5"),
        ("", "remote.log.manager.copy.max.bytes.per.second", "0"),
        ("1", "remote.log.manager.fetch.max.bytes.per.second", "1000000"),
        ("", "remote.log.index.file.cache.total.size.bytes", "much"),
        ("", "remote.fetch.max.wait.ms", "700"),
        ("", "remote.list.offsets.request.timeout.ms", "0"),
        ("", "remote.log.manager.thread.pool.size", "4"),
        ("", "log.retention.ms", "-5"),
        ("", "log.retention.ms", "0"),
        ("", "log.retention.bytes", "-5"),
        ("", "log.roll.ms", "0"),
        ("", "log.segment.bytes", "1000"),
        ("", "log.index.size.max.bytes", "3"),
        ("", "log.cleaner.min.cleanable.ratio", "1.5"),
        ("", "log.local.retention.ms", "-1"),
        ("", "log.local.retention.ms", "704800000"),
        ("", "compression.type", "rot13"),
        ("", "message.max.bytes", "-1"),
        ("", "min.insync.replicas", "0"),
        ("", "listeners", "PLAINTEXT://:9"),
        ("", "principal.builder.class", "no.such.Class"),
        ("", "cordoned.log.dirs", "/none"),
        ("1", "cordoned.log.dirs", "/none"),
        ("1", "ssl.keystore.location", "/none"),
        ("", "ssl.keystore.location", "/none"),
        ("1", "ssl.client.auth", "perhaps"),
        ("", "ssl.client.auth", "none"),
        ("", "sasl.enabled.mechanisms", "PLAIN"),
        ("1", "sasl.login.refresh.buffer.seconds", "70000"),
        ("", "listener.name.plaintext.max.connections", "100"),
        ("", "listener.name.plaintext.max.connections", "many"),
        ("1", "listener.name.other.ssl.keystore.location", "/none"),
        ("", "listener.name.other.ssl.keystore.location", "/none"),
        ("", "max.connection.creation.rate", "-1"),
        ("", "max.connections.per.ip", "-1"),
        ("1", "max.connections.per.ip.overrides", "127.0.0.1:100"),
        ("", "producer.id.expiration.ms", "0"),
        ("", "transaction.partition.verification.enable", "perhaps"),
        ("", "leader.replication.throttled.rate", "-1"),
        ("1", "leader.replication.throttled.rate", "1000000"),
        ("", "group.consumer.assignment.interval.ms", "2000"),
        ("", "group.coordinator.cached.buffer.max.bytes", "1"),
        ("", "share.coordinator.cached.buffer.max.bytes", "1"),
        ("", "follower.fetch.last.tiered.offset.enable", "true"),
        ("", "unclean.leader.election.enable", "yes"),
        ("", "advertised.listeners", "PLAINTEXT://:9"),
        ("", "log.retention.hours", "9"),
        ("", "unclean.leader.election.interval.ms", "9"),
        ("", "security.providers", "none"),
        ("", "share.coordinator.threads", "2"),
        ("", "controlled.shutdown.enable", "false"),
    ] {
        let what = format!("{name} of {}", if broker.is_empty() { "all" } else { "one" });
        on.ask(&what, newest, altering(broker, name, SET, Some(value))).await?;
        on.quietly(newest, altering(broker, name, DELETE, None)).await?;
    }
    let names = [
        "max.connections",
        "remote.fetch.max.wait.ms",
        "ssl.keystore.password",
        "ssl.truststore.type",
        "num.replica.fetchers",
        "listener.name.other.ssl.keystore.password",
        "listener.name.plaintext.max.connections",
    ];
    let secret = "listener.name.other.ssl.keystore.password";
    on.quietly(newest, altering("1", secret, SET, Some("secret"))).await?;
    let limit = "listener.name.plaintext.max.connections";
    on.quietly(newest, altering("1", limit, SET, Some("9000"))).await?;
    on.await_metadata(TOPIC).await?;
    on.await_metadata(TOPIC).await?;
    for broker in ["1", ""] {
        let resource = message!(DescribeConfigsResource {
            resource_type: 4,
            resource_name: broker.into(),
            configuration_keys: Some(names.map(Into::into).into()),
        });
        let ask =
            message!(DescribeConfigsRequest { resources: vec![resource], include_synonyms: true });
        on.ask("what does nothing here", on.newest(ApiKey::DESCRIBE_CONFIGS), ask).await?;
    }
    for name in [secret, limit] {
        on.quietly(newest, altering("1", name, DELETE, None)).await?;
    }
    Ok(())
}

/// What it would be made with, and where that is from.
async fn make(on: &mut Recorder, what: &str) -> Result {
    let topic = message!(CreatableTopic {
        name: "script-made-of-all".into(),
        num_partitions: 1,
        replication_factor: 1
    });
    let newest = on.newest(ApiKey::CREATE_TOPICS);
    let ask = message!(CreateTopicsRequest {
        topics: vec![topic],
        timeout_ms: 10_000,
        validate_only: true
    });
    on.ask(what, newest, ask).await?;
    Ok(())
}

fn altering(
    broker: &str,
    name: &str,
    operation: i8,
    value: Option<&str>,
) -> IncrementalAlterConfigsRequest {
    let config = message!(AlterableConfig {
        name: name.into(),
        config_operation: operation,
        value: value.map(Into::into),
    });
    let resource = message!(AlterConfigsResource {
        resource_type: 4,
        resource_name: broker.into(),
        configs: vec![config],
    });
    message!(IncrementalAlterConfigsRequest { resources: vec![resource] })
}

/// Of all brokers, of one, and of a topic that has nothing of its own, with where each is from.
async fn describe(on: &mut Recorder, what: &str) -> Result {
    // The first tells that the broker has learned of it, the second that it is done with what it learned.
    on.await_metadata(TOPIC).await?;
    on.await_metadata(TOPIC).await?;
    if on.has(ApiKey::INCREMENTAL_ALTER_CONFIGS) && !on.has(ApiKey::DESCRIBE_QUORUM) {
        on.await_broker_settings().await?;
    }
    let newest = on.newest(ApiKey::DESCRIBE_CONFIGS);
    for (of, kind, name, keys) in [
        ("all brokers", 4, "", &["log.retention.ms", "max.connections"][..]),
        ("one", 4, "1", &["log.retention.ms", "log.segment.bytes", "no.such.setting"]),
        ("times of one", 4, "1", &["log.flush.interval.ms", "log.roll.ms", "log.roll.jitter.ms"]),
        ("a topic", 2, TOPIC, &["cleanup.policy", "retention.ms", "segment.bytes"]),
        ("times of a topic", 2, TOPIC, &["flush.ms", "segment.ms", "segment.jitter.ms"]),
        ("more of a topic", 2, TOPIC, &["max.decompressed.message.bytes", "remote.copy.lag.ms"]),
    ] {
        for synonyms in [false, true] {
            let resource = message!(DescribeConfigsResource {
                resource_type: kind,
                resource_name: name.into(),
                configuration_keys: Some(keys.iter().map(|key| (*key).into()).collect()),
            });
            let ask = message!(DescribeConfigsRequest {
                resources: vec![resource],
                include_synonyms: synonyms,
            });
            on.ask(&format!("{what} of {of}"), newest, ask).await?;
        }
    }
    Ok(())
}
