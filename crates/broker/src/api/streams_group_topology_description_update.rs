//! StreamsGroupTopologyDescriptionUpdate (key 93), version 0.
//!
//! A member of a group of Kafka Streams describes its topology for whoever wants to draw it (KIP-1331).
//!
//! Notes: UNSUPPORTED_VERSION, as brokers answer that have no plugin which would keep the description. Members are never
//! asked for one.

use milena_types::ErrorCode;
use milena_wire::Response;
use milena_wire::messages::streams_group_topology_description_update_request::StreamsGroupTopologyDescriptionUpdateRequest;
use milena_wire::messages::streams_group_topology_description_update_response::StreamsGroupTopologyDescriptionUpdateResponse;

use super::{Call, Outcome, Versions};
use crate::state::{Refused, State};

pub(super) const VERSIONS: Versions = Versions::new(0, 0);

pub(super) fn handle(
    state: &mut State,
    _: &Call<'_>,
    _: &StreamsGroupTopologyDescriptionUpdateRequest,
) -> Outcome {
    let why = match state.has_streams_groups() {
        true => "The broker has no streams group topology description plugin configured.",
        false => "",
    };
    Outcome::Answer(failure(Refused::new(ErrorCode::UNSUPPORTED_VERSION, why)))
}

pub(super) fn error(_: &StreamsGroupTopologyDescriptionUpdateRequest, code: ErrorCode) -> Response {
    failure(Refused::without_reason(code))
}

fn failure(refused: Refused) -> Response {
    let (error_code, error_message) = refused.into_told();
    StreamsGroupTopologyDescriptionUpdateResponse {
        error_code,
        error_message,
        ..Default::default()
    }
    .into()
}
