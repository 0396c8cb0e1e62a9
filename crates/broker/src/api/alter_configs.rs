//! AlterConfigs (key 33), versions 0-2.
//!
//! Sets all that is configured of a topic, a broker, a group or a subscription to clients' metrics: what is not named goes back
//! to its default. Kafka has had IncrementalAlterConfigs in its place since 2.3 (KIP-339).
//!
//! Notes: of brokers' configuration as IncrementalAlterConfigs says. Nothing is known of loggers, as in Kafka.

use milena_types::ErrorCode;
use milena_wire::Response;
use milena_wire::messages::alter_configs_request::{
    AlterConfigsRequest, AlterConfigsResource, AlterableConfig,
};
use milena_wire::messages::alter_configs_response::{
    AlterConfigsResourceResponse, AlterConfigsResponse,
};

use super::{Call, Outcome, Versions};
use crate::state::{Alteration, Change, Refused, State};

pub(super) const VERSIONS: Versions = Versions::new(0, 2);

pub(super) fn handle(state: &mut State, call: &Call<'_>, request: &AlterConfigsRequest) -> Outcome {
    let alterations: Vec<_> = request.resources.iter().map(alteration).collect();
    let told = state.alter(call, &alterations, request.validate_only);
    let mut responses: Vec<_> =
        request.resources.iter().zip(told).map(|(one, refused)| answer(one, refused)).collect();
    if !state.settings.release().words_configs() {
        // What was asked for is forgotten.
        let unknown = responses.iter_mut().filter(|one| !Alteration::is_known(one.resource_type));
        unknown.for_each(|one| one.resource_type = 0);
    }
    Outcome::Answer(AlterConfigsResponse { responses, ..Default::default() }.into())
}

pub(super) fn error(request: &AlterConfigsRequest, code: ErrorCode) -> Response {
    let refused = || Some(Refused::without_reason(code));
    let responses = request.resources.iter().map(|resource| answer(resource, refused())).collect();
    AlterConfigsResponse { responses, ..Default::default() }.into()
}

fn alteration(resource: &AlterConfigsResource) -> Alteration<'_> {
    Alteration {
        kind: resource.resource_type,
        name: &resource.resource_name,
        replaces: true,
        changes: resource.configs.iter().map(change).collect(),
    }
}

fn change(config: &AlterableConfig) -> Change<'_> {
    Change { name: &config.name, operation: Change::SET, value: config.value.as_ref() }
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
