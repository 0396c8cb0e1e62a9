//! IncrementalAlterConfigs (key 44), versions 0-1.
//!
//! Sets, deletes, appends to or subtracts from single values of the configuration of a topic, a broker, a group or a
//! subscription to clients' metrics (KIP-339, KIP-226, KIP-714).
//!
//! Notes: what a broker is told that topics have by default has its effect on the logs that it leads, and what all are told on all.
//! All replicas share one log, so that a follower's own retention deletes nothing. The rest is kept and does nothing. Of groups
//! only `share.*` and `streams.*` are known.

use milena_types::ErrorCode;
use milena_wire::Response;
use milena_wire::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};
use milena_wire::messages::incremental_alter_configs_response::{
    AlterConfigsResourceResponse, IncrementalAlterConfigsResponse,
};

use super::{Call, Outcome, Versions};
use crate::state::{Alteration, Change, Refused, State};

pub(super) const VERSIONS: Versions = Versions::new(0, 1);

pub(super) fn handle(
    state: &mut State,
    call: &Call<'_>,
    request: &IncrementalAlterConfigsRequest,
) -> Outcome {
    let alterations: Vec<_> = request.resources.iter().map(alteration).collect();
    let told = state.alter(call, &alterations, request.validate_only);
    let responses =
        request.resources.iter().zip(told).map(|(one, refused)| answer(one, refused)).collect();
    Outcome::Answer(IncrementalAlterConfigsResponse { responses, ..Default::default() }.into())
}

pub(super) fn error(request: &IncrementalAlterConfigsRequest, code: ErrorCode) -> Response {
    let refused = || Some(Refused::without_reason(code));
    let responses = request.resources.iter().map(|resource| answer(resource, refused())).collect();
    IncrementalAlterConfigsResponse { responses, ..Default::default() }.into()
}

fn alteration(resource: &AlterConfigsResource) -> Alteration<'_> {
    Alteration {
        kind: resource.resource_type,
        name: &resource.resource_name,
        replaces: false,
        changes: resource.configs.iter().map(change).collect(),
    }
}

fn change(config: &AlterableConfig) -> Change<'_> {
    Change { name: &config.name, operation: config.config_operation, value: config.value.as_ref() }
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
