//! IncrementalAlterConfigs (key 44), versions 0-1.
//!
//! Sets, deletes, appends to or subtracts from single values of the configuration of a topic, a broker, a group or a
//! subscription to clients' metrics (KIP-339, KIP-226, KIP-714).
//!
//! Notes: what a broker is told for all topics has its effect, on all nodes alike: what all nodes are told, and what the only
//! one is. The rest is kept and does nothing. Of groups only `share.*` is known.

use std::collections::{BTreeMap, BTreeSet};

use milena_types::{ErrorCode, NodeId, Topic};
use milena_wire::Response;
use milena_wire::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};
use milena_wire::messages::incremental_alter_configs_response::{
    AlterConfigsResourceResponse, IncrementalAlterConfigsResponse,
};

use super::describe_configs::{BROKER, CLIENT_METRICS, GROUP, TOPIC, configured};
use super::{Call, Outcome, Versions};
use crate::acl::AclOperation;
use crate::broker_config::BrokerDefinition;
use crate::release::Release;
use crate::rights::refused;
use crate::state::{Refused, State};
use crate::telemetry::Subscription;
use crate::topic::{ConfigKind, Definition};

pub(super) const VERSIONS: Versions = Versions::new(0, 1);

pub(super) fn handle(
    state: &mut State,
    call: &Call<'_>,
    request: &IncrementalAlterConfigsRequest,
) -> Outcome {
    let mut responses = Vec::with_capacity(request.resources.len());
    let name =
        |resource: &AlterConfigsResource| (resource.resource_type, resource.resource_name.clone());
    let twice = twice(request.resources.iter().map(name));
    for resource in &request.resources {
        let altered = if twice.contains(&name(resource)) {
            let why = "Each resource must appear at most once.";
            Err(Refused::new(ErrorCode::INVALID_REQUEST, why))
        } else {
            alter(state, call, resource, request.validate_only)
        };
        responses.push(answer(resource, altered.err()));
    }
    Outcome::Answer(IncrementalAlterConfigsResponse { responses, ..Default::default() }.into())
}

pub(super) fn error(request: &IncrementalAlterConfigsRequest, code: ErrorCode) -> Response {
    let refused = || Some(Refused::without_reason(code));
    let responses = request.resources.iter().map(|resource| answer(resource, refused())).collect();
    IncrementalAlterConfigsResponse { responses, ..Default::default() }.into()
}

/// What is named more than once.
pub(super) fn twice<T: Ord>(names: impl Iterator<Item = T>) -> BTreeSet<T> {
    let (mut seen, mut twice) = (BTreeSet::new(), BTreeSet::new());
    for name in names {
        if let Some(name) = seen.replace(name) {
            twice.insert(name);
        }
    }
    twice
}

fn alter(
    state: &mut State,
    call: &Call<'_>,
    resource: &AlterConfigsResource,
    validate_only: bool,
) -> Result<(), Refused> {
    if !twice(resource.configs.iter().map(|config| &config.name)).is_empty() {
        let why = "Error due to duplicate config keys";
        return Err(Refused::new(ErrorCode::INVALID_REQUEST, why));
    }
    let about = configured(resource.resource_type, &resource.resource_name);
    call.check(state, AclOperation::AlterConfigs, about).map_err(refused)?;
    if resource.resource_type == GROUP {
        return alter_group(state, resource, validate_only);
    }
    if resource.resource_type == CLIENT_METRICS {
        return alter_subscription(state, resource, validate_only);
    }
    if resource.resource_type == BROKER {
        return alter_broker(state, call, resource, validate_only);
    }
    if resource.resource_type != TOPIC {
        let why = format!("Unknown resource type {}", resource.resource_type);
        return Err(Refused::new(ErrorCode::INVALID_REQUEST, why));
    }
    let name = Topic::from(&*resource.resource_name);
    let release = state.settings.release();
    let mut set = state.topic_overrides(&name);
    for config in &resource.configs {
        apply(&mut set, config, release)?;
    }
    let set_here = resource.configs.iter().filter(|config| config.config_operation == SET);
    state.check_topic_names(set_here.map(|config| &*config.name))?;
    state.set_topic_config(call.now, &name, set, validate_only)
}

/// The node that the name of a resource stands for: the one that is asked, or all.
pub(super) fn broker_of(call: &Call<'_>, name: &str) -> Result<Option<NodeId>, Refused> {
    if name.is_empty() {
        return Ok(None);
    }
    let invalid = |why: String| Refused::new(ErrorCode::INVALID_REQUEST, why);
    let id = name.parse::<i32>();
    let id = id.map_err(|_| invalid(format!("Node id must be an integer, but it is: {name}")))?;
    if id != call.node.get() {
        let why = format!("Unexpected broker id, expected {}, but received {name}", call.node);
        return Err(invalid(why));
    }
    Ok(Some(call.node))
}

fn alter_broker(
    state: &mut State,
    call: &Call<'_>,
    resource: &AlterConfigsResource,
    validate_only: bool,
) -> Result<(), Refused> {
    let node = broker_of(call, &resource.resource_name)?;
    let release = state.settings.release();
    let told = state.broker_configs.of(node);
    let mut set: BTreeMap<String, String> =
        told.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    for config in &resource.configs {
        let name = &*config.name;
        match (config.config_operation, config.value.as_deref()) {
            (SET, Some(value)) => {
                set.insert(name.to_owned(), value.to_owned());
            }
            (DELETE, _) => {
                set.remove(name);
            }
            (SET | APPEND | SUBTRACT, None) => return Err(null_value(name)),
            (operation @ (APPEND | SUBTRACT), Some(value)) => {
                let definition = BrokerDefinition::of(name, release);
                let is_list = definition.is_some_and(|known| known.kind == ConfigKind::List);
                if !is_list {
                    let verb = if operation == APPEND { "append" } else { "subtract" };
                    let why = format!("Config value {verb} is not allowed for config key: {name}");
                    return Err(Refused::new(ErrorCode::INVALID_CONFIG, why));
                }
                let default = definition.map_or("", |known| known.default());
                let listed = set.get(name).map_or(default, String::as_str);
                let list = listed_with(listed, operation, value);
                set.insert(name.to_owned(), list);
            }
            (unknown, _) => {
                let why = format!("Unknown operations type {unknown}");
                return Err(Refused::new(ErrorCode::INVALID_REQUEST, why));
            }
        }
    }
    state.set_broker_config(call.now, node, set, validate_only)
}

fn alter_group(
    state: &mut State,
    resource: &AlterConfigsResource,
    validate_only: bool,
) -> Result<(), Refused> {
    let group = &*resource.resource_name;
    let mut set = state.group_configs.get(group).cloned().unwrap_or_default();
    for config in &resource.configs {
        let name = &*config.name;
        match (config.config_operation, config.value.as_deref()) {
            (SET, Some(value)) => {
                set.insert(name.to_owned(), value.to_owned());
            }
            (DELETE, _) => {
                set.remove(name);
            }
            (SET | APPEND | SUBTRACT, None) => return Err(null_value(name)),
            (operation, _) => return Err(not_a_list(operation, name)),
        }
    }
    state.set_group_config(group, set, validate_only)
}

fn alter_subscription(
    state: &mut State,
    resource: &AlterConfigsResource,
    validate_only: bool,
) -> Result<(), Refused> {
    let null = resource
        .configs
        .iter()
        .find(|config| config.config_operation != DELETE && config.value.is_none());
    if let Some(config) = null {
        return Err(null_value(&config.name));
    }
    let name = &*resource.resource_name;
    let known = state.subscriptions.get(name).map(Subscription::set);
    let mut set = known.cloned().unwrap_or_default();
    for config in &resource.configs {
        match (config.config_operation, config.value.as_deref()) {
            (SET, Some(value)) if value.len() > VALUE_BYTES_MAX => {
                let why = format!(
                    "The configuration value cannot be added because it exceeds the maximum value size of \
                     {VALUE_BYTES_MAX} bytes."
                );
                return Err(Refused::new(ErrorCode::INVALID_CONFIG, why));
            }
            (SET, Some(value)) => {
                set.insert(config.name.to_string(), value.to_owned());
            }
            (DELETE, _) => {
                set.remove(&*config.name);
            }
            // Kafka's controllers do not know which of these values are lists.
            (operation, _) => return Err(not_a_list(operation, &config.name)),
        }
    }
    if name.is_empty() {
        let why = "Subscription name can't be empty";
        return Err(Refused::new(ErrorCode::INVALID_REQUEST, why));
    }
    state.set_subscription(name, set, validate_only)
}

fn apply(
    set: &mut BTreeMap<String, String>,
    config: &AlterableConfig,
    release: Release,
) -> Result<(), Refused> {
    let name = &*config.name;
    let value = config.value.as_deref();
    let list = Definition::of(name, release).filter(|known| known.kind == ConfigKind::List);
    match (config.config_operation, value) {
        (SET, Some(value)) => {
            set.insert(name.to_owned(), value.to_owned());
        }
        (DELETE, _) => {
            set.remove(name);
        }
        (operation @ (APPEND | SUBTRACT), Some(value)) => {
            let definition = list.ok_or_else(|| not_a_list(operation, name))?;
            let listed = set.get(name).map_or(definition.default, String::as_str);
            set.insert(name.to_owned(), listed_with(listed, operation, value));
        }
        (SET | APPEND | SUBTRACT, None) => return Err(null_value(name)),
        (operation, _) => return Err(not_a_list(operation, name)),
    }
    Ok(())
}

/// A list with these values besides, or without them.
fn listed_with(listed: &str, operation: i8, values: &str) -> String {
    let listed = listed.split(',').map(str::trim).filter(|one| !one.is_empty());
    let mut list: Vec<_> = listed.map(str::to_owned).collect();
    for one in values.split(',').map(str::trim) {
        list.retain(|listed| listed != one);
        if operation == APPEND {
            list.push(one.to_owned());
        }
    }
    list.join(",")
}

fn null_value(name: &str) -> Refused {
    Refused::new(ErrorCode::INVALID_REQUEST, format!("Null value not supported for : {name}"))
}

/// Of operations that there are, those on lists are left over.
fn not_a_list(operation: i8, name: &str) -> Refused {
    let verb = match operation {
        APPEND => "APPEND",
        SUBTRACT => "SUBTRACT",
        _ => return Refused::without_reason(ErrorCode::UNKNOWN_SERVER_ERROR),
    };
    let why = format!("Can't {verb} to key {name} because its type is not LIST.");
    Refused::new(ErrorCode::INVALID_CONFIG, why)
}

fn answer(
    resource: &AlterConfigsResource,
    refused: Option<Refused>,
) -> AlterConfigsResourceResponse {
    let (error_code, error_message) = refused.map_or((ErrorCode::NONE, None), Refused::into_told);
    AlterConfigsResourceResponse {
        error_code,
        error_message,
        resource_type: resource.resource_type,
        resource_name: resource.resource_name.clone(),
    }
}

/// What Kafka's controllers can write down.
const VALUE_BYTES_MAX: usize = 32_767;

const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;
