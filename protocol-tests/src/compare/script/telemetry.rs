//! Subscriptions to clients' metrics, GetTelemetrySubscriptions and PushTelemetry, which a broker answers that does not
//! list them.

use bytes::Bytes;
use milena_types::{ApiKey, Uuid};
use milena_wire::Response;
use milena_wire::messages as m;
use milena_wire::messages::describe_configs_request::DescribeConfigsResource;
use milena_wire::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};

use crate::Result;
use crate::compare::recorder::Recorder;
use crate::raw::message;

const CLIENT_METRICS: i8 = 16;
const NAME: &str = "script-metrics";
const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;

/// A client of a name of its own each time: ids of subscriptions rest on it.
fn id(number: u8) -> Uuid {
    Uuid::from_bytes([number, 2, 3, 4, 0x85, 6, 7, 8, 9, 10, 11, 12, 13, 14, 0xef, 16])
}

pub(super) async fn run(on: &mut Recorder) -> Result {
    // It is about what 4.x answers.
    if on.newest(ApiKey::SHARE_GROUP_HEARTBEAT) < 1 {
        return Ok(());
    }
    configs(on).await?;
    asked(on).await?;
    pushed(on).await
}

fn altering(name: &str, configs: &[(&str, i8, Option<&str>)]) -> m::IncrementalAlterConfigsRequest {
    let config = |(name, operation, value): &(&str, i8, Option<&str>)| {
        message!(AlterableConfig {
            name: (*name).into(),
            config_operation: *operation,
            value: value.map(Into::into),
        })
    };
    let resource = message!(AlterConfigsResource {
        resource_type: CLIENT_METRICS,
        resource_name: name.into(),
        configs: configs.iter().map(config).collect(),
    });
    message!(m::IncrementalAlterConfigsRequest { resources: vec![resource] })
}

async fn configs(on: &mut Recorder) -> Result {
    let key = ApiKey::INCREMENTAL_ALTER_CONFIGS;
    described(on, "before").await?;
    let metrics = [("metrics", SET, Some("org.apache.kafka.producer. , b"))];
    on.ask_each("metrics of clients", key, 0..=99, |_| altering(NAME, &metrics)).await?;
    let newest = on.newest(key);
    for (what, configs) in [
        ("no value", &[("metrics", SET, None)][..]),
        ("more of a list", &[("metrics", APPEND, Some("a"))]),
        ("more of nothing", &[("metrics", APPEND, None)]),
        ("an unknown setting", &[("retention.ms", SET, Some("1"))]),
        ("an unknown setting, deleted", &[("retention.ms", DELETE, None)]),
        ("a metric twice", &[("metrics", SET, Some("a,b,a"))]),
        ("a metric without a name", &[("metrics", SET, Some("a,,b"))]),
        ("an interval too short", &[("interval.ms", SET, Some("99"))]),
        ("an interval too long", &[("interval.ms", SET, Some("3600001"))]),
        ("an interval that is none", &[("interval.ms", SET, Some("soon"))]),
        ("a pattern without a value", &[("match", SET, Some("client_id"))]),
        ("a pattern with an empty value", &[("match", SET, Some("client_id="))]),
        ("a pattern with two values", &[("match", SET, Some("client_id=a=b"))]),
        ("a pattern of nothing known", &[("match", SET, Some("nation=x"))]),
        ("no regular expression", &[("match", SET, Some("client_id=("))]),
        ("an unknown operation", &[("metrics", 9, Some("a"))]),
        ("more", &[("interval.ms", SET, Some(" 200 ")), ("match", SET, Some("client_id=.*"))]),
    ] {
        on.ask(&format!("metrics of clients, {what}"), newest, altering(NAME, configs)).await?;
    }
    on.ask("metrics of clients, nameless", newest, altering("", &metrics)).await?;
    let mut checked = altering(NAME, &[("match", DELETE, None)]);
    checked.validate_only = true;
    on.ask("metrics of clients, only checked", newest, checked).await?;
    described(on, "after").await
}

async fn described(on: &mut Recorder, when: &str) -> Result {
    on.await_metadata("script-placed").await?;
    for (name, with_synonyms) in [(NAME, false), (NAME, true), ("", false)] {
        let resource = message!(DescribeConfigsResource {
            resource_type: CLIENT_METRICS,
            resource_name: name.into(),
            configuration_keys: None,
        });
        on.ask_each(
            &format!("metrics of clients, {when}"),
            ApiKey::DESCRIBE_CONFIGS,
            1..=99,
            |_| {
                message!(m::DescribeConfigsRequest {
                    resources: vec![resource.clone()],
                    include_synonyms: with_synonyms,
                })
            },
        )
        .await?;
    }
    on.ask_each(
        &format!("metrics of clients, {when}"),
        ApiKey::LIST_CONFIG_RESOURCES,
        0..=99,
        |version| {
            let kinds = if version == 0 { Vec::new() } else { vec![CLIENT_METRICS] };
            message!(m::ListConfigResourcesRequest { resource_types: kinds })
        },
    )
    .await
}

fn asking(id: Uuid) -> m::GetTelemetrySubscriptionsRequest {
    message!(m::GetTelemetrySubscriptionsRequest { client_instance_id: id })
}

async fn asked(on: &mut Recorder) -> Result {
    on.ask("a client", 0, asking(id(1))).await?;
    on.ask("a client at once again", 0, asking(id(1))).await?;
    let Response::GetTelemetrySubscriptions(told) = on.quietly(0, asking(Uuid::ZERO)).await? else {
        return Err("another answer than GetTelemetrySubscriptions'".into());
    };
    on.ask("a client by the id that it was given", 0, asking(told.client_instance_id)).await?;
    let newest = on.newest(ApiKey::INCREMENTAL_ALTER_CONFIGS);
    for (what, number, set) in [
        ("two metrics", 2, &[("match", DELETE, None)][..]),
        ("all metrics", 3, &[("metrics", SET, Some("a,*"))]),
        ("no metrics", 4, &[("metrics", DELETE, None)]),
        ("others", 5, &[("match", SET, Some("client_software_name=unheard-of"))]),
        (
            "by name",
            6,
            &[
                ("match", SET, Some("client_software_name=unknown,client_source_address=127.*")),
                ("metrics", SET, Some("org.apache.kafka.consumer.,org.apache.kafka.producer.,x.")),
            ],
        ),
    ] {
        on.quietly(newest, altering(NAME, set)).await?;
        on.await_metadata("script-placed").await?;
        on.ask(what, 0, asking(id(number))).await?;
    }
    Ok(())
}

/// Asks what to push, and returns the number of it.
async fn told(on: &mut Recorder, id: Uuid) -> Result<i32> {
    let Response::GetTelemetrySubscriptions(told) = on.quietly(0, asking(id)).await? else {
        return Err("another answer than GetTelemetrySubscriptions'".into());
    };
    Ok(told.subscription_id)
}

/// Nobody receives it, so that what it is does not count.
async fn pushed(on: &mut Recorder) -> Result {
    let newest = on.newest(ApiKey::INCREMENTAL_ALTER_CONFIGS);
    let clear = [("match", DELETE, None), ("metrics", SET, Some("*"))];
    on.quietly(newest, altering(NAME, &clear)).await?;
    let long = [("interval.ms", SET, Some("3600000"))];
    on.quietly(newest, altering(NAME, &long)).await?;
    on.await_metadata("script-placed").await?;
    let one = Uuid::from_bytes([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    for (what, reserved) in [("nobody", Uuid::ZERO), ("who is reserved", one)] {
        let push = message!(m::PushTelemetryRequest { client_instance_id: reserved });
        on.ask(what, 0, push).await?;
    }
    let who = id(7);
    let subscription = told(on, who).await?;
    let push = message!(m::PushTelemetryRequest {
        client_instance_id: who,
        subscription_id: subscription,
        metrics: Bytes::from_static(b"metrics"),
    });
    on.ask("a first push", 0, push.clone()).await?;
    on.ask("a push too early", 0, push.clone()).await?;
    on.ask("a question too early", 0, asking(who)).await?;
    let mut last = push.clone();
    last.terminating = true;
    on.ask("a last push", 0, last).await?;
    on.ask("a push after the last", 0, push.clone()).await?;
    let changes: [(u8, &str, Change); 6] = [
        (8, "for nothing that was asked for", |push| push.subscription_id ^= 1),
        (9, "compressed in no known way", |push| push.compression_type = 9),
        (10, "compressed in a negative way", |push| push.compression_type = -1),
        (11, "too much", |push| push.metrics = vec![0; (1 << 20) + 1].into()),
        (12, "as much as may be", |push| push.metrics = vec![0; 1 << 20].into()),
        (13, "nothing", |push| push.metrics = Bytes::new()),
    ];
    for (number, what, change) in changes {
        let mut push = push.clone();
        push.client_instance_id = id(number);
        push.subscription_id = told(on, id(number)).await?;
        change(&mut push);
        on.ask(what, 0, push.clone()).await?;
        on.ask(&format!("a question after a push {what}"), 0, asking(id(number))).await?;
        on.ask(&format!("once more, {what}"), 0, push).await?;
    }
    on.quietly(newest, altering(NAME, &[("metrics", DELETE, None), ("interval.ms", DELETE, None)]))
        .await?;
    described(on, "at the end").await
}

type Change = fn(&mut m::PushTelemetryRequest);
