//! ApiVersions, DescribeCluster, DescribeConfigs, FindCoordinator.

use milena_types::{ApiKey, ErrorCode};
use milena_wire::Response;
use milena_wire::messages::describe_configs_request::DescribeConfigsResource;
use milena_wire::messages::metadata_request::MetadataRequestTopic;
use milena_wire::messages::{
    ApiVersionsRequest, DescribeClusterRequest, DescribeConfigsRequest, FindCoordinatorRequest,
    MetadataRequest, UnregisterBrokerRequest,
};

use crate::Result;
use crate::compare::fields::{Field, fields};
use crate::compare::recorder::Recorder;
use crate::raw::message;

pub(super) async fn run(on: &mut Recorder) -> Result {
    api_versions(on).await?;
    describe_cluster(on).await?;
    unregister_brokers(on).await?;
    find_coordinator(on).await
}

/// The list is compared by API, whatever its order.
async fn api_versions(on: &mut Recorder) -> Result {
    for version in on.versions(ApiKey::API_VERSIONS) {
        let ask = message!(ApiVersionsRequest {
            client_software_name: "protocol-tests".into(),
            client_software_version: "1".into(),
        });
        let Response::ApiVersions(mut told) = on.quietly(version, ask).await? else {
            return Err("another answer than ApiVersions'".into());
        };
        let mut list = Vec::new();
        for api in std::mem::take(&mut told.api_keys) {
            let key = ApiKey::from_wire(api.api_key);
            let name = key.name().map_or_else(|| key.get().to_string(), str::to_owned);
            for (end, version) in [("min", api.min_version), ("max", api.max_version)] {
                let path = format!("{name}.{end}");
                list.push(Field { path, value: version.to_string() });
            }
        }
        list.sort_by(|a, b| a.path.cmp(&b.path));
        on.note(&format!("ApiVersions v{version}: the list"), list);
        on.note(&format!("ApiVersions v{version}: the rest"), fields(&told));
    }

    let nameless = message!(ApiVersionsRequest {
        client_software_name: "no name!".into(),
        client_software_version: "1".into(),
    });
    if on.newest(ApiKey::API_VERSIONS) >= 3 {
        let Response::ApiVersions(mut told) = on.quietly(3, nameless).await? else {
            return Err("another answer than ApiVersions'".into());
        };
        told.api_keys.clear();
        on.note("ApiVersions v3: a software name that is none", fields(&told));
    }

    // Version 99 of the request, header version 2: the answer has version 0 and error 35.
    let request = [0, 18, 0, 99, 0, 0, 0, 7, 0, 1, b'x', 0, 2, b'x', 2, b'1', 0];
    on.connection().send_bytes(&request).await?;
    let answer = on.connection().receive_bytes().await?;
    let (_, told) = milena_wire::decode_response(ApiKey::API_VERSIONS, 0, answer)?;
    let Response::ApiVersions(mut told) = told else {
        return Err("another answer than ApiVersions'".into());
    };
    let own = told.api_keys.iter().find(|api| api.api_key == ApiKey::API_VERSIONS.get()).cloned();
    told.api_keys = own.into_iter().collect();
    on.note("ApiVersions v99: an unknown version", fields(&told));
    Ok(())
}

async fn describe_cluster(on: &mut Recorder) -> Result {
    on.ask_each("brokers", ApiKey::DESCRIBE_CLUSTER, 0..=99, |_| {
        message!(DescribeClusterRequest {})
    })
    .await?;
    on.ask_each("with operations", ApiKey::DESCRIBE_CLUSTER, 0..=99, |_| {
        message!(DescribeClusterRequest { include_cluster_authorized_operations: true })
    })
    .await?;
    on.ask_each("controllers, asked of a broker", ApiKey::DESCRIBE_CLUSTER, 1..=99, |_| {
        message!(DescribeClusterRequest { endpoint_type: 2 })
    })
    .await
}

/// Those that are unknown; what becomes of others is a scenario with more than one broker.
async fn unregister_brokers(on: &mut Recorder) -> Result {
    for (what, broker_id) in [("an unknown broker", 9), ("minus one", -1), ("minus two", -2)] {
        on.ask_each(what, ApiKey::UNREGISTER_BROKER, 0..=99, |_| {
            message!(UnregisterBrokerRequest { broker_id: broker_id })
        })
        .await?;
    }
    Ok(())
}

async fn find_coordinator(on: &mut Recorder) -> Result {
    ask_for_their_topic(on).await?;
    on.await_coordinators().await?;
    for (what, key_type) in [("of a group", 0), ("of a nonsense", 9)] {
        on.ask_each(what, ApiKey::FIND_COORDINATOR, 0..=99, |version| {
            let mut ask = message!(FindCoordinatorRequest {});
            ask.key_type = if version == 0 { 0 } else { key_type };
            if version < 4 {
                ask.key = "a-group".into();
            } else {
                ask.coordinator_keys = vec!["a-group".into(), "another".into(), "".into()];
            }
            ask
        })
        .await?;
    }
    Ok(())
}

/// Of a cluster where nobody asked for a coordinator yet. How many partitions their topics have is a setting, which is another
/// here than there.
async fn ask_for_their_topic(on: &mut Recorder) -> Result {
    let topic = "__consumer_offsets";
    let newest = on.newest(ApiKey::METADATA);
    for (what, create) in [("not to be made", false), ("to be made", true)] {
        let named = message!(MetadataRequestTopic { name: Some(topic.into()) });
        let ask = message!(MetadataRequest {
            topics: Some(vec![named]),
            allow_auto_topic_creation: create,
        });
        let told = on.ask(&format!("the topic of offsets, {what}"), newest, ask).await?;
        let Some(Response::Metadata(told)) = told else {
            return Err("another answer than Metadata's".into());
        };
        // The oldest ones make it whatever the client wants, and may or may not be done by now.
        let unknown = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
        if told.topics.iter().any(|topic| topic.error_code != unknown) {
            break;
        }
    }
    on.await_topic(topic).await?;
    let resource = message!(DescribeConfigsResource {
        resource_type: 2,
        resource_name: topic.into(),
        configuration_keys: Some(vec!["cleanup.policy".into()]),
    });
    let ask = message!(DescribeConfigsRequest { resources: vec![resource] });
    let newest = on.newest(ApiKey::DESCRIBE_CONFIGS);
    on.ask("of the topic of offsets", newest, ask).await?;
    Ok(())
}

/// Settings of a topic by name; a broker's own settings differ by nature.
pub(super) async fn describe_configs(on: &mut Recorder, topic: &str) -> Result {
    let keys = ["cleanup.policy", "retention.ms", "min.insync.replicas", "compression.type"];
    let resource = |kind: i8, name: &str| {
        message!(DescribeConfigsResource {
            resource_type: kind,
            resource_name: name.into(),
            configuration_keys: Some(keys.into_iter().map(Into::into).collect()),
        })
    };
    for (what, kind, name) in [
        ("of a topic", 2, topic),
        ("of an unknown topic", 2, "not-there"),
        ("of an impossible topic", 2, "not a topic!"),
        ("of an unknown broker", 4, "77"),
        ("of a broker that is no number", 4, "one"),
        ("of nothing known", 99, "x"),
    ] {
        on.ask_each(what, ApiKey::DESCRIBE_CONFIGS, 0..=99, |_| {
            message!(DescribeConfigsRequest { resources: vec![resource(kind, name)] })
        })
        .await?;
    }
    on.ask_each("with synonyms", ApiKey::DESCRIBE_CONFIGS, 1..=99, |_| {
        message!(DescribeConfigsRequest {
            resources: vec![resource(2, topic)],
            include_synonyms: true
        })
    })
    .await
}
