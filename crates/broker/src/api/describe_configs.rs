//! DescribeConfigs (key 32), versions 1-4.
//!
//! The configuration of topics, groups, brokers and subscriptions to clients' metrics, with where each value comes from.
//!
//! Notes: a broker's list is short: what this cluster has a counterpart for, what may be set while it runs, and what was; a
//! group's holds `share.*`.
//! What a topic was set in another release and this one does not know is not told, as by 4.3 and 4.4 (3.9: without a value).
//! Loggers are answered by INVALID_REQUEST. There is no documentation in the answer.

use std::collections::BTreeMap;

use milena_types::{ErrorCode, NodeId};
use milena_wire::messages::describe_configs_request::{
    DescribeConfigsRequest, DescribeConfigsResource,
};
use milena_wire::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResponse, DescribeConfigsResult,
    DescribeConfigsSynonym,
};
use milena_wire::{ByteString, Response};

use super::find_coordinator::MALFORMED;
use super::{Call, Outcome, Versions};
use crate::acl::AclOperation;
use crate::broker_config::{DEFAULT_CONFIG, STATIC_BROKER_CONFIG};
use crate::broker_definition::{BrokerDefinition, base, fixed_kind};
use crate::group::streams::StreamsConfig;
use crate::group::{Assignor, GroupDefinition};
use crate::release::Release;
use crate::rights::refused;
use crate::share::ShareConfig;
use crate::state::{Alteration, BROKER, CLIENT_METRICS, GROUP, Refused, State, TOPIC};
use crate::telemetry::{Subscription, SubscriptionDefinition};
use crate::topic::{ConfigKind, Definition, is_legal_topic_name, why_illegal};

pub(super) const VERSIONS: Versions = Versions::new(1, 4);

/// Where a value comes from: set for the topic.
pub(super) const DYNAMIC_TOPIC_CONFIG: i8 = 1;
/// Set for the subscription to clients' metrics.
const CLIENT_METRICS_CONFIG: i8 = 7;
/// Set for the group.
const DYNAMIC_GROUP_CONFIG: i8 = 8;

pub(super) fn handle(
    state: &mut State,
    call: &Call<'_>,
    request: &DescribeConfigsRequest,
) -> Outcome {
    let is_worded = state.settings.release().words_configs();
    let results = request.resources.iter().map(|resource| {
        let described = describe(state, call, resource);
        let told = answer(resource, described, request.include_synonyms);
        if is_worded { told } else { wordless(told) }
    });
    Outcome::Answer(
        DescribeConfigsResponse { results: results.collect(), ..Default::default() }.into(),
    )
}

/// The same as before 2.7: nothing said is null, and what kind of resource was asked for is forgotten where it is none.
fn wordless(told: DescribeConfigsResult) -> DescribeConfigsResult {
    let is_known = matches!(told.resource_type, TOPIC | BROKER);
    DescribeConfigsResult {
        error_message: told.error_message.filter(|message| !message.is_empty()),
        resource_type: if is_known { told.resource_type } else { 0 },
        ..told
    }
}

pub(super) fn error(request: &DescribeConfigsRequest, code: ErrorCode) -> Response {
    let refused = || Err(Refused::new(code, ""));
    let results =
        request.resources.iter().map(|resource| answer(resource, refused(), false)).collect();
    DescribeConfigsResponse { results, ..Default::default() }.into()
}

/// One value and where it comes from.
struct Entry {
    name: ByteString,
    kind: ConfigKind,
    value: Option<String>,
    source: i8,
    read_only: bool,
    /// From the strongest to the weakest.
    synonyms: Vec<Synonym>,
}

type Synonym = (ByteString, String, i8);

fn describe(
    state: &State,
    call: &Call<'_>,
    resource: &DescribeConfigsResource,
) -> Result<Vec<Entry>, Refused> {
    let is_asked = |entry: &Entry| match &resource.configuration_keys {
        None => true,
        // Kafka's own tools send an empty list where they mean all.
        Some(keys) => keys.is_empty() || keys.contains(&entry.name),
    };
    let about = Alteration::about(resource.resource_type, &resource.resource_name);
    call.check(state, AclOperation::DescribeConfigs, about).map_err(refused)?;
    let entries = match resource.resource_type {
        TOPIC => topic_entries(state, call, &resource.resource_name)?,
        GROUP => group_entries(state, &resource.resource_name)?,
        BROKER => broker_entries(state, call, &resource.resource_name)?,
        CLIENT_METRICS => subscription_entries(state, &resource.resource_name)?,
        _ => return Err(Refused::new(ErrorCode::INVALID_REQUEST, MALFORMED)),
    };
    Ok(entries.into_iter().filter(is_asked).collect())
}

fn topic_entries(state: &State, call: &Call<'_>, name: &str) -> Result<Vec<Entry>, Refused> {
    if !is_legal_topic_name(name) {
        return Err(Refused::new(ErrorCode::INVALID_TOPIC_EXCEPTION, why_illegal(name)));
    }
    let unknown = || Refused::new(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, "");
    let config = &state.topics.get(name).ok_or_else(unknown)?.config;
    let release = state.settings.release();
    let defaults = state.topic_defaults();
    let defaults = defaults.own.get(&call.node).unwrap_or(&defaults.all);
    let entry = |definition: &'static Definition| {
        let set = config.overrides().get(definition.name);
        let set = set.map(|value| definition.told(value, release));
        let own = set.clone().map(|value| (definition.name.into(), value, DYNAMIC_TOPIC_CONFIG));
        let of_broker = definition.broker_name().into_iter();
        let of_broker = of_broker.flat_map(|name| told(state, call.node, name, release));
        let synonyms: Vec<Synonym> = own.into_iter().chain(of_broker).collect();
        // A time that brokers have in hours has its effect, and is told as a default, as by Kafka.
        let default = || defaults.get(definition.name).map_or(definition.default, String::as_str);
        Entry {
            name: definition.name.into(),
            kind: definition.kind,
            value: Some(set.unwrap_or_else(|| default().to_owned())),
            source: synonyms.first().map_or(DEFAULT_CONFIG, |(_, _, source)| *source),
            read_only: false,
            synonyms,
        }
    };
    Ok(config.definitions().map(entry).collect())
}

fn group_entries(state: &State, name: &str) -> Result<Vec<Entry>, Refused> {
    if name.is_empty() {
        let why = "Group name must not be empty";
        return Err(Refused::new(ErrorCode::INVALID_REQUEST, why));
    }
    let set = state.group_configs.get(name);
    let settings = &state.settings;
    let value_of = |set, name: &str| {
        let streams = StreamsConfig::new(&settings.streams_groups, set).value(name);
        streams.unwrap_or_else(|| ShareConfig::new(&settings.share_groups, set).value(name))
    };
    let entry = |definition: &GroupDefinition| {
        let is_set = set.is_some_and(|set| set.contains_key(definition.name));
        let value = value_of(set, definition.name);
        let own = is_set.then(|| (definition.name.into(), value.clone(), DYNAMIC_GROUP_CONFIG));
        let default = value_of(None, definition.name);
        let default = (definition.synonym.into(), default, DEFAULT_CONFIG);
        Entry {
            name: definition.name.into(),
            kind: definition.kind,
            value: Some(value),
            source: if is_set { DYNAMIC_GROUP_CONFIG } else { DEFAULT_CONFIG },
            read_only: false,
            synonyms: own.into_iter().chain([default]).collect(),
        }
    };
    Ok(GroupDefinition::all().map(entry).collect())
}

/// One that does not exist has all by default.
fn subscription_entries(state: &State, name: &str) -> Result<Vec<Entry>, Refused> {
    if name.is_empty() {
        let why = "Client metrics subscription name must not be empty";
        return Err(Refused::new(ErrorCode::INVALID_REQUEST, why));
    }
    let subscription = state.subscriptions.get(name);
    let entry = |definition: &SubscriptionDefinition| {
        let (value, is_set) = definition.value(subscription);
        let own = is_set.then(|| (definition.name.into(), value.clone(), CLIENT_METRICS_CONFIG));
        Entry {
            name: definition.name.into(),
            kind: definition.kind,
            value: Some(value),
            source: if is_set { CLIENT_METRICS_CONFIG } else { DEFAULT_CONFIG },
            read_only: false,
            synonyms: own.into_iter().collect(),
        }
    };
    Ok(Subscription::DEFINITIONS.iter().map(entry).collect())
}

/// What stands for a broker's setting of this name.
fn told(state: &State, node: NodeId, name: &str, release: Release) -> Vec<Synonym> {
    let values = state.broker_configs.synonyms(node, name, release).into_iter();
    values.map(|one| (one.name.into(), one.value, one.source)).collect()
}

fn broker_entries(state: &State, call: &Call<'_>, name: &str) -> Result<Vec<Entry>, Refused> {
    // The empty name is the default of all brokers.
    if name.is_empty() {
        return Ok(dynamic_entries(state, None));
    }
    let invalid = |why: String| Refused::new(ErrorCode::INVALID_REQUEST, why);
    let id = name.parse::<i32>();
    let id = id.map_err(|_| invalid(format!("Broker id must be an integer, but it is: {name}")))?;
    // A broker tells of itself alone.
    let node = state.nodes.get(call.node).filter(|node| node.id.get() == id);
    let unexpected = || {
        format!("Unexpected broker id, expected {} or empty string, but received {name}", call.node)
    };
    let node = node.ok_or_else(|| invalid(unexpected()))?;
    let settings = &state.settings;
    let listener = format!("PLAINTEXT://{}:{}", node.host, node.port);
    let consumer = &settings.consumer_groups;
    let assignors = Assignor::ALL.map(Assignor::name).join(",");
    let milliseconds = |duration: std::time::Duration| duration.as_millis().to_string();
    let values = [
        ("advertised.listeners", ConfigKind::List, listener),
        ("auto.create.topics.enable", ConfigKind::Boolean, settings.auto_create_topics.to_string()),
        ("broker.id", ConfigKind::Int, node.id.to_string()),
        ("broker.rack", ConfigKind::String, node.rack.clone().unwrap_or_default()),
        (
            "default.replication.factor",
            ConfigKind::Int,
            settings.replication_factor_default.to_string(),
        ),
        ("fetch.max.bytes", ConfigKind::Int, settings.fetch_bytes_max.to_string()),
        (
            "group.consumer.assignment.interval.ms",
            ConfigKind::Int,
            milliseconds(consumer.assignment_interval),
        ),
        ("group.consumer.assignors", ConfigKind::List, assignors),
        (
            "group.consumer.heartbeat.interval.ms",
            ConfigKind::Int,
            milliseconds(consumer.heartbeat_interval),
        ),
        ("group.consumer.max.size", ConfigKind::Int, consumer.size_max.to_string()),
        (
            "group.consumer.migration.policy",
            ConfigKind::String,
            consumer.migration_policy.name().to_owned(),
        ),
        (
            "group.consumer.regex.refresh.interval.ms",
            ConfigKind::Int,
            milliseconds(consumer.regex_refresh_interval),
        ),
        (
            "group.consumer.session.timeout.ms",
            ConfigKind::Int,
            milliseconds(consumer.session_timeout),
        ),
        (
            "group.initial.rebalance.delay.ms",
            ConfigKind::Int,
            milliseconds(settings.initial_rebalance_delay),
        ),
        (
            "group.max.session.timeout.ms",
            ConfigKind::Int,
            milliseconds(settings.session_timeout_max),
        ),
        ("group.max.size", ConfigKind::Int, settings.group_size_max.to_string()),
        (
            "group.min.session.timeout.ms",
            ConfigKind::Int,
            milliseconds(settings.session_timeout_min),
        ),
        ("node.id", ConfigKind::Int, node.id.to_string()),
        ("num.partitions", ConfigKind::Int, settings.partitions_default.to_string()),
        (
            "offset.metadata.max.bytes",
            ConfigKind::Int,
            settings.offset_metadata_bytes_max.to_string(),
        ),
        ("socket.request.max.bytes", ConfigKind::Int, settings.frame_bytes_max.to_string()),
    ];
    let selector = settings
        .rack_aware_reads
        .then(|| ("replica.selector.class", ConfigKind::String, RACK_AWARE_SELECTOR.to_owned()));
    let entry = |(name, kind, value): (&'static str, ConfigKind, String)| Entry {
        name: name.into(),
        kind,
        synonyms: vec![(name.into(), value.clone(), STATIC_BROKER_CONFIG)],
        value: Some(value),
        source: STATIC_BROKER_CONFIG,
        read_only: BrokerDefinition::of(name, settings.release()).is_none(),
    };
    // What was told since counts before what is read from the settings, and that before a default.
    let dynamic = dynamic_entries(state, Some(node.id)).into_iter();
    let (defaults, told): (Vec<Entry>, Vec<Entry>) =
        dynamic.partition(|entry| entry.source == DEFAULT_CONFIG);
    let fixed = values.into_iter().chain(selector).map(entry);
    let all = defaults.into_iter().chain(fixed).chain(told);
    let all: BTreeMap<ByteString, Entry> = all.map(|entry| (entry.name.clone(), entry)).collect();
    Ok(all.into_values().collect())
}

/// What may be set while brokers run: of a node, all that is set and the defaults of topics; of all nodes, what is set of them.
fn dynamic_entries(state: &State, node: Option<NodeId>) -> Vec<Entry> {
    let release = state.settings.release();
    let configs = &state.broker_configs;
    let mut names = configs.names(node);
    for name in BrokerDefinition::names(release).filter(|_| node.is_some()) {
        names.insert(name);
    }
    let entry = |name: &str| {
        let definition = BrokerDefinition::of(name, release);
        let synonyms: Vec<Synonym> = match node {
            Some(node) => told(state, node, name, release),
            None => {
                let all = configs.of_all(name).into_iter();
                all.map(|one| (one.name.into(), one.value, one.source)).collect()
            }
        };
        let first = synonyms.first();
        Entry {
            name: name.into(),
            kind: definition.map_or_else(|| fixed_kind(name), |known| known.kind),
            value: first.map(|(_, value, _)| value.clone()),
            source: first.map_or(DEFAULT_CONFIG, |(_, _, source)| *source),
            read_only: definition.is_none() || base(name).is_some(),
            synonyms,
        }
    };
    names.into_iter().map(entry).collect()
}

/// What Kafka calls the choice of a replica in the reader's rack.
const RACK_AWARE_SELECTOR: &str = "org.apache.kafka.common.replica.RackAwareReplicaSelector";

fn answer(
    resource: &DescribeConfigsResource,
    described: Result<Vec<Entry>, Refused>,
    with_synonyms: bool,
) -> DescribeConfigsResult {
    let (error_code, message, entries) = match described {
        Ok(entries) => (ErrorCode::NONE, String::new(), entries),
        Err(Refused { code, message }) => (code, message, Vec::new()),
    };
    // What nobody knows might be a secret.
    let is_secret = |kind| matches!(kind, ConfigKind::Unknown | ConfigKind::Password);
    let told = |kind: ConfigKind, value: String| Some(value.into()).filter(|_| !is_secret(kind));
    let synonym = |kind: ConfigKind, (name, value, source): Synonym| DescribeConfigsSynonym {
        name,
        value: told(kind, value),
        source,
    };
    let config = |Entry { name, kind, value, source, read_only, synonyms }: Entry| {
        let synonyms = synonyms.into_iter().filter(|_| with_synonyms);
        DescribeConfigsResourceResult {
            name,
            value: value.and_then(|value| told(kind, value)),
            read_only,
            config_source: source,
            is_sensitive: is_secret(kind),
            synonyms: synonyms.map(|one| synonym(kind, one)).collect(),
            config_type: kind as i8,
            documentation: None,
        }
    };
    DescribeConfigsResult {
        error_code,
        // Empty where there is nothing to say, never null.
        error_message: Some(message.into()),
        resource_type: resource.resource_type,
        resource_name: resource.resource_name.clone(),
        configs: entries.into_iter().map(config).collect(),
    }
}
