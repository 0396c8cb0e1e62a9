//! IncrementalAlterConfigs (key 44), versions 0-1.
//!
//! Sets, deletes, appends to or subtracts from single values of the configuration of a topic, a group or a subscription to
//! clients' metrics (KIP-339, KIP-714).
//!
//! Notes: brokers' configuration cannot be changed and is answered by INVALID_REQUEST, but for the throttles of
//! reassignments: these are accepted and forgotten, as a moved partition is moved at once. Of groups only `share.*` is
//! known.

use std::collections::{BTreeMap, BTreeSet};

use milena_types::{ErrorCode, Topic};
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
use crate::release::Release;
use crate::rights::refused;
use crate::share::ShareDefinition;
use crate::state::{Refused, State};
use crate::store::Entry;
use crate::telemetry::Subscription;
use crate::topic::{ConfigKind, Definition, TopicConfig};

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
fn twice<T: Ord>(names: impl Iterator<Item = T>) -> BTreeSet<T> {
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
    if resource.resource_type == BROKER && resource.configs.iter().all(throttles_moves) {
        return Ok(());
    }
    if resource.resource_type != TOPIC {
        let message = match resource.resource_type {
            BROKER => "only topics' configuration can be altered here".to_owned(),
            unknown => format!("Unknown resource type {unknown}"),
        };
        return Err(Refused::new(ErrorCode::INVALID_REQUEST, message));
    }
    let name = Topic::from(&*resource.resource_name);
    let Some(topic) = state.topics.get_mut(&name) else {
        let message = format!("The topic '{name}' does not exist.");
        return Err(Refused::new(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, message));
    };
    let release = state.settings.release();
    let mut set = topic.config.overrides().clone();
    for config in &resource.configs {
        apply(&mut set, config, release)?;
    }
    // Whatever another release knew may stay, and go, but not come.
    let unknown = |config: &&AlterableConfig| {
        config.config_operation == SET && Definition::of(&config.name, release).is_none()
    };
    if let Some(config) = resource.configs.iter().find(unknown) {
        let why = format!("Unknown topic config name: {}", config.name);
        return Err(Refused::new(ErrorCode::INVALID_CONFIG, why));
    }
    let altered = TopicConfig::keeping(set, release)
        .map_err(|message| Refused::new(ErrorCode::INVALID_CONFIG, message))?;
    if !validate_only {
        topic.config = altered;
        state.note_topic(&name);
        state.arm_cleaning(call.now, &name);
        state.settle(call.now);
    }
    Ok(())
}

/// Java's `kafka-reassign-partitions` sets them, and deletes them unasked once nothing moves any more.
fn throttles_moves(config: &AlterableConfig) -> bool {
    let is_known = matches!(
        &*config.name,
        "leader.replication.throttled.rate"
            | "follower.replication.throttled.rate"
            | "replica.alter.log.dirs.io.max.bytes.per.second"
    );
    is_known && matches!((config.config_operation, &config.value), (DELETE, _) | (SET, Some(_)))
}

fn alter_group(
    state: &mut State,
    resource: &AlterConfigsResource,
    validate_only: bool,
) -> Result<(), Refused> {
    let group = &*resource.resource_name;
    if group.is_empty() {
        let why = "Default group resources are not allowed.";
        return Err(Refused::new(ErrorCode::INVALID_REQUEST, why));
    }
    let invalid = |message: String| Refused::new(ErrorCode::INVALID_CONFIG, message);
    let known = state.group_configs.get(group);
    if known.is_none() && state.group_configs.len() >= state.settings.groups_max {
        return Err(Refused::without_reason(ErrorCode::POLICY_VIOLATION));
    }
    let mut set = known.cloned().unwrap_or_default();
    for config in &resource.configs {
        let name = &*config.name;
        let definition = ShareDefinition::of(name)
            .ok_or_else(|| invalid(format!("Unknown group config name: {name}")))?;
        match (config.config_operation, config.value.as_deref()) {
            (SET, Some(value)) => {
                definition.check(value).map_err(invalid)?;
                set.insert(name.to_owned(), value.to_owned());
            }
            (DELETE, _) => {
                set.remove(name);
            }
            (SET | APPEND | SUBTRACT, None) => return Err(null_value(name)),
            (operation, _) => return Err(not_a_list(operation, name)),
        }
    }
    if !validate_only {
        state.group_configs.insert(group.to_owned(), set.clone());
        state.note(Entry::GroupConfig(group.to_owned(), set));
    }
    Ok(())
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
            let listed = listed.split(',').map(str::trim).filter(|one| !one.is_empty());
            let mut list: Vec<_> = listed.map(str::to_owned).collect();
            for one in value.split(',').map(str::trim) {
                list.retain(|listed| listed != one);
                if config.config_operation == APPEND {
                    list.push(one.to_owned());
                }
            }
            set.insert(name.to_owned(), list.join(","));
        }
        (SET | APPEND | SUBTRACT, None) => return Err(null_value(name)),
        (operation, _) => return Err(not_a_list(operation, name)),
    }
    Ok(())
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
