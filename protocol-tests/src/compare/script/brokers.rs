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
    describe(on, "nothing").await
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
    let newest = on.newest(ApiKey::DESCRIBE_CONFIGS);
    for (of, kind, name, keys) in [
        ("all brokers", 4, "", &["log.retention.ms", "max.connections"][..]),
        ("one", 4, "1", &["log.retention.ms", "log.segment.bytes", "no.such.setting"]),
        ("times of one", 4, "1", &["log.flush.interval.ms", "log.roll.ms", "log.roll.jitter.ms"]),
        ("a topic", 2, TOPIC, &["cleanup.policy", "retention.ms", "segment.bytes"]),
        ("times of a topic", 2, TOPIC, &["flush.ms", "segment.ms", "segment.jitter.ms"]),
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
