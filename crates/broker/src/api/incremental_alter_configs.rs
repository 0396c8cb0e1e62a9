//! IncrementalAlterConfigs (key 44), versions 0-1.
//!
//! Sets, deletes, appends to or subtracts from single values of a topic's configuration (KIP-339).
//!
//! Notes: brokers' configuration cannot be changed and is answered by INVALID_REQUEST.

use std::collections::BTreeMap;

use milena_types::{ErrorCode, Topic};
use milena_wire::Response;
use milena_wire::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};
use milena_wire::messages::incremental_alter_configs_response::{
    AlterConfigsResourceResponse, IncrementalAlterConfigsResponse,
};

use super::describe_configs::{BROKER, TOPIC};
use super::{Call, Outcome, Versions};
use crate::state::{Refused, State};
use crate::topic::{ConfigKind, Definition, TopicConfig};

pub(super) const VERSIONS: Versions = Versions::new(0, 1);

pub(super) fn handle(
    state: &mut State,
    call: &Call<'_>,
    request: &IncrementalAlterConfigsRequest,
) -> Outcome {
    let mut responses = Vec::with_capacity(request.resources.len());
    for resource in &request.resources {
        let altered = alter(state, call, resource, request.validate_only);
        responses.push(answer(resource, altered.err()));
    }
    Outcome::Answer(IncrementalAlterConfigsResponse { responses, ..Default::default() }.into())
}

pub(super) fn error(request: &IncrementalAlterConfigsRequest, code: ErrorCode) -> Response {
    let refused = || Some(Refused::without_reason(code));
    let responses = request.resources.iter().map(|resource| answer(resource, refused())).collect();
    IncrementalAlterConfigsResponse { responses, ..Default::default() }.into()
}

fn alter(
    state: &mut State,
    call: &Call<'_>,
    resource: &AlterConfigsResource,
    validate_only: bool,
) -> Result<(), Refused> {
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
    let mut set = topic.config.overrides().clone();
    for config in &resource.configs {
        apply(&mut set, config)?;
    }
    let altered = TopicConfig::new(set)
        .map_err(|message| Refused::new(ErrorCode::INVALID_CONFIG, message))?;
    if !validate_only {
        topic.config = altered;
        state.settle(call.now);
    }
    Ok(())
}

fn apply(set: &mut BTreeMap<String, String>, config: &AlterableConfig) -> Result<(), Refused> {
    let name = &*config.name;
    let value = config.value.as_deref();
    let invalid = |message: String| Refused::new(ErrorCode::INVALID_CONFIG, message);
    let definition = Definition::of(name);
    let definition =
        definition.ok_or_else(|| invalid(format!("Unknown topic config name: {name}")))?;
    let listed = || {
        let list = set.get(name).map_or(definition.default, String::as_str);
        list.split(',')
            .map(str::trim)
            .filter(|one| !one.is_empty())
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    match (config.config_operation, value) {
        (SET, Some(value)) => {
            set.insert(name.to_owned(), value.to_owned());
        }
        (DELETE, _) => {
            set.remove(name);
        }
        (APPEND | SUBTRACT, Some(value)) if definition.kind == ConfigKind::List => {
            let mut list = listed();
            for one in value.split(',').map(str::trim) {
                list.retain(|listed| listed != one);
                if config.config_operation == APPEND {
                    list.push(one.to_owned());
                }
            }
            set.insert(name.to_owned(), list.join(","));
        }
        (APPEND | SUBTRACT, Some(_)) => {
            let verb = if config.config_operation == APPEND { "APPEND" } else { "SUBTRACT" };
            let why = format!("Can't {verb} to key {name} because its type is not LIST.");
            return Err(invalid(why));
        }
        (SET | APPEND | SUBTRACT, None) => {
            let why = format!("Null value not supported for : {name}");
            return Err(Refused::new(ErrorCode::INVALID_REQUEST, why));
        }
        _ => return Err(Refused::without_reason(ErrorCode::UNKNOWN_SERVER_ERROR)),
    }
    Ok(())
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

const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;
