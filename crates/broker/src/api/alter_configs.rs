//! AlterConfigs (key 33), versions 0-2.
//!
//! Sets all that is configured of a topic, a broker, a group or a subscription to clients' metrics: what is not named goes back
//! to its default. Kafka has had IncrementalAlterConfigs in its place since 2.3 (KIP-339).
//!
//! Notes: of brokers' configuration as IncrementalAlterConfigs says. Nothing is known of loggers, as in Kafka.

use std::collections::BTreeMap;

use milena_types::{ErrorCode, Topic};
use milena_wire::Response;
use milena_wire::messages::alter_configs_request::{
    AlterConfigsRequest, AlterConfigsResource, AlterableConfig,
};
use milena_wire::messages::alter_configs_response::{
    AlterConfigsResourceResponse, AlterConfigsResponse,
};

use super::describe_configs::{BROKER, CLIENT_METRICS, GROUP, TOPIC, configured};
use super::incremental_alter_configs::{broker_of, twice};
use super::{Call, Outcome, Versions};
use crate::acl::AclOperation;
use crate::rights::refused;
use crate::state::{Refused, State};

pub(super) const VERSIONS: Versions = Versions::new(0, 2);

pub(super) fn handle(state: &mut State, call: &Call<'_>, request: &AlterConfigsRequest) -> Outcome {
    let name =
        |resource: &AlterConfigsResource| (resource.resource_type, resource.resource_name.clone());
    let twice = twice(request.resources.iter().map(name));
    let mut responses = Vec::with_capacity(request.resources.len());
    let is_worded = state.settings.release().words_configs();
    for resource in &request.resources {
        let altered = if twice.contains(&name(resource)) {
            let why = "Each resource must appear at most once.";
            Err(Refused::new(ErrorCode::INVALID_REQUEST, why))
        } else {
            alter(state, call, resource, request.validate_only)
        };
        let mut told = answer(resource, altered.err());
        if !is_worded && !is_known(told.resource_type) {
            // What was asked for is forgotten.
            told.resource_type = 0;
        }
        responses.push(told);
    }
    Outcome::Answer(AlterConfigsResponse { responses, ..Default::default() }.into())
}

pub(super) fn error(request: &AlterConfigsRequest, code: ErrorCode) -> Response {
    let refused = || Some(Refused::without_reason(code));
    let responses = request.resources.iter().map(|resource| answer(resource, refused())).collect();
    AlterConfigsResponse { responses, ..Default::default() }.into()
}

fn alter(
    state: &mut State,
    call: &Call<'_>,
    resource: &AlterConfigsResource,
    validate_only: bool,
) -> Result<(), Refused> {
    let set = read(resource)?;
    let name = &*resource.resource_name;
    let kind = resource.resource_type;
    if !is_known(kind) {
        let why = match state.settings.release().words_configs() {
            true => format!("Unknown resource type {kind}"),
            false => "Unexpected resource type UNKNOWN".to_owned(),
        };
        return Err(Refused::new(ErrorCode::INVALID_REQUEST, why));
    }
    call.check(state, AclOperation::AlterConfigs, configured(kind, name)).map_err(refused)?;
    match kind {
        GROUP => state.set_group_config(name, set, validate_only),
        CLIENT_METRICS if name.is_empty() => {
            let why = "Subscription name can't be empty";
            Err(Refused::new(ErrorCode::INVALID_REQUEST, why))
        }
        CLIENT_METRICS => state.set_subscription(name, set, validate_only),
        BROKER => {
            let node = broker_of(call, name)?;
            state.set_broker_config(call.now, node, set, validate_only)
        }
        _ => {
            state.check_topic_names(set.keys().map(String::as_str))?;
            state.set_topic_config(call.now, &Topic::from(name), set, validate_only)
        }
    }
}

fn is_known(kind: i8) -> bool {
    matches!(kind, TOPIC | BROKER | CLIENT_METRICS | GROUP)
}

/// What is to be set, by name.
fn read(resource: &AlterConfigsResource) -> Result<BTreeMap<String, String>, Refused> {
    let invalid = |why: String| Refused::new(ErrorCode::INVALID_REQUEST, why);
    let configs = &resource.configs;
    if !twice(configs.iter().map(|config| &config.name)).is_empty() {
        return Err(invalid("Error due to duplicate config keys".to_owned()));
    }
    let nulls = configs.iter().filter(|config| config.value.is_none());
    let nulls: Vec<&str> = nulls.map(|config| &*config.name).collect();
    if !nulls.is_empty() {
        return Err(invalid(format!("Null value not supported for : {}", nulls.join(", "))));
    }
    let value = |config: &AlterableConfig| {
        Some((config.name.to_string(), config.value.as_ref()?.to_string()))
    };
    Ok(configs.iter().filter_map(value).collect())
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
