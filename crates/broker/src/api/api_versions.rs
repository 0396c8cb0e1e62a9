//! ApiVersions (key 18), versions 0-5.
//!
//! Lists what is answered. A version above the newest is answered in version 0 with UNSUPPORTED_VERSION and the
//! range of this API, so that the client can ask again; before Kafka 2.4 without the range. Version 5 checks cluster
//! and node id (KIP-1242).
//!
//! Notes: Produce is listed from version 0 on although 0-2 are refused (KAFKA-18659), also where a release is played that
//! serves them; of other APIs versions that Kafka dropped with 4.0 are not listed, whatever release is played. Features are
//! those that change what is answered: `metadata.version`, and `group.version`, `share.version` and
//! `transaction.version`, at the levels of the settings until UpdateFeatures sets others.

use milena_types::{ApiKey, ErrorCode};
use milena_wire::Response;
use milena_wire::messages::api_versions_request::ApiVersionsRequest;
use milena_wire::messages::api_versions_response::{
    ApiVersion, ApiVersionsResponse, FinalizedFeatureKey, SupportedFeatureKey,
};

use super::{Call, Outcome, Versions};
use crate::state::State;

pub(super) const VERSIONS: Versions = Versions::new(0, 5);

pub(super) fn handle(state: &mut State, call: &Call<'_>, request: &ApiVersionsRequest) -> Outcome {
    if call.version >= 3 && !is_legal_software(request) {
        return Outcome::Answer(error(request, ErrorCode::INVALID_REQUEST));
    }
    let cluster_differs =
        request.cluster_id.as_ref().is_some_and(|id| *id != *state.settings.cluster_id);
    let node_differs = request.node_id >= 0 && request.node_id != call.node.get();
    if call.version >= 5 && (cluster_differs || node_differs) {
        return Outcome::Answer(error(request, ErrorCode::REBOOTSTRAP_REQUIRED));
    }
    // Up to version 3 a level of 0 cannot be told, and the feature is left out.
    let release = state.settings.release();
    let supported = release.features().filter(|feature| feature.min > 0 || call.version >= 4);
    let supported = supported.map(|feature| SupportedFeatureKey {
        name: feature.name.into(),
        min_version: feature.min,
        max_version: feature.max,
    });
    // A feature at level 0 is not there.
    let finalized = release.features().map(|known| (known.name, state.settings.level(&known)));
    let finalized = finalized.filter(|(_, level)| *level > 0);
    let finalized = finalized.map(|(name, level)| FinalizedFeatureKey {
        name: name.into(),
        max_version_level: level,
        min_version_level: level,
    });
    let response = ApiVersionsResponse {
        api_keys: api_keys(state),
        supported_features: supported.collect(),
        finalized_features_epoch: if release.tells_features() {
            state.features.epoch()
        } else {
            -1
        },
        finalized_features: finalized.collect(),
        ..Default::default()
    };
    Outcome::Answer(response.into())
}

pub(super) fn error(_: &ApiVersionsRequest, code: ErrorCode) -> Response {
    ApiVersionsResponse { error_code: code, ..Default::default() }.into()
}

/// The answer to a version that is not known here, to be written in version 0.
pub(crate) fn unsupported(state: &State) -> Response {
    let is_told = |api: &ApiVersion| {
        state.settings.release().tells_own_range() && api.api_key == ApiKey::API_VERSIONS.get()
    };
    let range = api_keys(state).into_iter().filter(is_told);
    let error_code = ErrorCode::UNSUPPORTED_VERSION;
    ApiVersionsResponse { error_code, api_keys: range.collect(), ..Default::default() }.into()
}

fn api_keys(state: &State) -> Vec<ApiVersion> {
    let entry = |(key, versions): (&ApiKey, &Versions)| ApiVersion {
        api_key: key.get(),
        min_version: if *key == ApiKey::PRODUCE { 0 } else { versions.min },
        max_version: versions.max,
    };
    // Those of telemetry are answered in any case.
    let is_told = |(key, _): &(&ApiKey, &Versions)| {
        let is_telemetry =
            matches!(**key, ApiKey::GET_TELEMETRY_SUBSCRIPTIONS | ApiKey::PUSH_TELEMETRY);
        state.settings.client_telemetry || !is_telemetry
    };
    state.apis.iter().filter(is_told).map(entry).collect()
}

/// The name and version of the client's library, if they are legal.
pub(crate) fn software(version: i16, request: &ApiVersionsRequest) -> Option<(&str, &str)> {
    (version < 3 || is_legal_software(request))
        .then_some((&*request.client_software_name, &*request.client_software_version))
}

/// Letters, digits, `.` and `-`, beginning and ending with a letter or digit, as Kafka's pattern says (KIP-511).
fn is_legal_software(request: &ApiVersionsRequest) -> bool {
    let is_legal = |text: &str| {
        let is_edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
        let bytes = text.as_bytes();
        is_edge(bytes.first())
            && is_edge(bytes.last())
            && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'))
    };
    is_legal(&request.client_software_name) && is_legal(&request.client_software_version)
}
