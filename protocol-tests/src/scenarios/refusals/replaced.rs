//! AlterConfigs, the older way to change settings: all at once.

use milena_types::ErrorCode as E;
use milena_wire::messages::alter_configs_request::{AlterConfigsResource, AlterableConfig};
use milena_wire::messages::describe_configs_request::DescribeConfigsResource;
use milena_wire::messages::{AlterConfigsRequest, DescribeConfigsRequest};
use milena_wire::{ByteString, Response};

use super::refusals;
use crate::Result;
use crate::raw::{Connection, message};
use crate::scenarios::stage::Stage;
use crate::target::Version;

const ALTER: i16 = 1;

refusals! { "replaced", |_| true;
    settings_that_are_not_named_are_forgotten: |stage| {
        stage.topic_with(&[("retention.ms", "5000000"), ("max.message.bytes", "2000")]).await?;
        let ask = replace(TOPIC, &stage.name, &[("retention.ms", "6000000")]);
        stage.any(ALTER, ask, E::NONE).await?;
        await_settings(stage, &[("max.message.bytes", None), ("retention.ms", Some("6000000"))]).await
    }
    all_settings_are_forgotten: |stage| {
        stage.topic_with(&[("retention.ms", "5000000")]).await?;
        stage.any(ALTER, replace(TOPIC, &stage.name, &[]), E::NONE).await?;
        await_settings(stage, &[("max.message.bytes", None), ("retention.ms", None)]).await
    }
    what_is_only_checked_stays: |stage| {
        stage.topic_with(&[("retention.ms", "5000000")]).await?;
        let mut ask = replace(TOPIC, &stage.name, &[("retention.ms", "6000000")]);
        ask.validate_only = true;
        stage.any(ALTER, ask, E::NONE).await?;
        // What comes after it is seen, so that it would be too.
        let ask = replace(TOPIC, &stage.name, &[("retention.ms", "5000000"), ("max.message.bytes", "2000")]);
        stage.any(ALTER, ask, E::NONE).await?;
        await_settings(stage, &[("max.message.bytes", Some("2000")), ("retention.ms", Some("5000000"))]).await
    }
    settings_of_an_unknown_topic: |stage| {
        let ask = replace(TOPIC, &stage.name, &[("retention.ms", "1")]);
        let code = match since(stage, Version::of(2, 6, 0)) {
            true => E::UNKNOWN_TOPIC_OR_PARTITION,
            false => E::UNKNOWN_SERVER_ERROR,
        };
        stage.any(ALTER, ask, code).await
    }
    settings_of_an_impossible_topic: |stage| {
        let ask = replace(TOPIC, &"no topic!".into(), &[("retention.ms", "1")]);
        let code = match since(stage, Version::of(2, 6, 0)) && !since(stage, CONTROLLERS) {
            true => E::UNKNOWN_TOPIC_OR_PARTITION,
            false => E::INVALID_TOPIC_EXCEPTION,
        };
        stage.any(ALTER, ask, code).await
    }
    an_unknown_setting: |stage| {
        stage.topic().await?;
        let ask = replace(TOPIC, &stage.name, &[("no.such.setting", "1")]);
        stage.any(ALTER, ask, E::INVALID_CONFIG).await
    }
    a_number_by_a_word: |stage| {
        stage.topic().await?;
        let ask = replace(TOPIC, &stage.name, &[("retention.ms", "long")]);
        stage.any(ALTER, ask, wrong(stage)).await
    }
    a_policy_by_an_unknown_one: |stage| {
        stage.topic().await?;
        let ask = replace(TOPIC, &stage.name, &[("cleanup.policy", "burn")]);
        stage.any(ALTER, ask, wrong(stage)).await
    }
    a_wrong_one_leaves_the_others_as_they_are: |stage| {
        stage.topic_with(&[("max.message.bytes", "2000")]).await?;
        let ask = replace(TOPIC, &stage.name, &[("max.message.bytes", "3000"), ("retention.ms", "long")]);
        stage.any(ALTER, ask, wrong(stage)).await?;
        await_settings(stage, &[("max.message.bytes", Some("2000")), ("retention.ms", None)]).await
    }
    settings_of_nothing: |stage| {
        let ask = replace(99, &stage.name, &[("retention.ms", "1")]);
        stage.any(ALTER, ask, E::INVALID_REQUEST).await
    }
    settings_of_another_broker: |stage| {
        let ask = replace(BROKER, &"99".into(), &[("log.retention.ms", "1")]);
        stage.any(ALTER, ask, E::INVALID_REQUEST).await
    }
    settings_of_a_broker_that_is_no_number: |stage| {
        let ask = replace(BROKER, &"one".into(), &[("log.retention.ms", "1")]);
        stage.any(ALTER, ask, E::INVALID_REQUEST).await
    }
    what_brokers_read_at_their_start: |stage| {
        let ask = replace(BROKER, &"".into(), &[("num.partitions", "3")]);
        stage.any(ALTER, ask, E::INVALID_REQUEST).await
    }
}

/// Since when controllers look at settings, and not brokers with ZooKeeper.
const CONTROLLERS: Version = Version::of(3, 3, 0);

fn since(stage: &Stage, version: Version) -> bool {
    *stage.on.version() >= version
}

/// What a value is refused with that is none.
fn wrong(stage: &Stage) -> E {
    if since(stage, CONTROLLERS) { E::INVALID_CONFIG } else { E::INVALID_REQUEST }
}

const TOPIC: i8 = 2;
const BROKER: i8 = 4;

fn replace(kind: i8, resource: &ByteString, set: &[(&str, &str)]) -> AlterConfigsRequest {
    let config = |(name, value): &(&str, &str)| {
        message!(AlterableConfig { name: (*name).into(), value: Some((*value).into()) })
    };
    let resource = message!(AlterConfigsResource {
        resource_type: kind,
        resource_name: resource.clone(),
        configs: set.iter().map(config).collect(),
    });
    message!(AlterConfigsRequest { resources: vec![resource] })
}

/// Waits until these of the topic's settings are set so, or not at all: brokers learn of it a little later.
async fn await_settings(stage: &Stage, expected: &[(&str, Option<&str>)]) -> Result {
    let mut any = Connection::open(stage.on.address()).await?;
    loop {
        let resource = message!(DescribeConfigsResource {
            resource_type: TOPIC,
            resource_name: stage.name.clone(),
            configuration_keys: Some(expected.iter().map(|(name, _)| (*name).into()).collect()),
        });
        let ask = message!(DescribeConfigsRequest { resources: vec![resource] });
        let Response::DescribeConfigs(told) = any.call(ask, 1).await? else {
            return Err("another answer than DescribeConfigs'".into());
        };
        let is_so = |(name, value): &(&str, Option<&str>)| {
            let mut configs = told.results.iter().flat_map(|result| &result.configs);
            let own = configs.find(|config| *config.name == **name && config.config_source == OWN);
            own.and_then(|config| config.value.as_deref()) == *value
        };
        if expected.iter().all(is_so) {
            return Ok(());
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// The source of what is set of the topic itself.
const OWN: i8 = 1;

const PAUSE: std::time::Duration = std::time::Duration::from_millis(20);
