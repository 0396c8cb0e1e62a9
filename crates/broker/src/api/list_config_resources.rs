//! ListConfigResources (key 74), versions 0-1.
//!
//! The names of what can have a configuration, by kind (KIP-1142). Version 0 lists subscriptions to clients' metrics alone.
//!
//! Notes: kinds and names are in the order of this file and of the alphabet.

use milena_types::{ErrorCode, Topic};
use milena_wire::Response;
use milena_wire::messages::list_config_resources_request::ListConfigResourcesRequest;
use milena_wire::messages::list_config_resources_response::{
    ConfigResource, ListConfigResourcesResponse,
};

use super::{Call, Outcome, Versions};
use crate::state::{BROKER, CLIENT_METRICS, GROUP, State, TOPIC};

pub(super) const VERSIONS: Versions = Versions::new(0, 1);

const BROKER_LOGGER: i8 = 8;

pub(super) fn handle(
    state: &mut State,
    call: &Call<'_>,
    request: &ListConfigResourcesRequest,
) -> Outcome {
    let known: &[i8] = match call.version {
        0 => &[CLIENT_METRICS],
        _ => &[GROUP, CLIENT_METRICS, BROKER_LOGGER, BROKER, TOPIC],
    };
    let asked = &request.resource_types;
    if asked.iter().any(|kind| !known.contains(kind)) {
        return Outcome::Answer(error(request, ErrorCode::UNSUPPORTED_VERSION));
    }
    let mut config_resources = Vec::new();
    for kind in known.iter().copied().filter(|kind| asked.is_empty() || asked.contains(kind)) {
        let names: Vec<String> = match kind {
            TOPIC => state.topics.keys().map(Topic::to_string).collect(),
            BROKER | BROKER_LOGGER => {
                state.nodes.registered().map(|node| node.id.to_string()).collect()
            }
            GROUP => state.group_configs.keys().cloned().collect(),
            _ => state.subscriptions.iter().map(|(name, _)| name.clone()).collect(),
        };
        let resource =
            |name: String| ConfigResource { resource_name: name.into(), resource_type: kind };
        config_resources.extend(names.into_iter().map(resource));
    }
    let response = ListConfigResourcesResponse { config_resources, ..Default::default() };
    Outcome::Answer(response.into())
}

pub(super) fn error(_: &ListConfigResourcesRequest, code: ErrorCode) -> Response {
    ListConfigResourcesResponse { error_code: code, ..Default::default() }.into()
}
