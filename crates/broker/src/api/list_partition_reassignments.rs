//! ListPartitionReassignments (key 46), version 0.
//!
//! The reassignments under way, of which there is none: each is over when it is answered.

use milena_types::ErrorCode;
use milena_wire::Response;
use milena_wire::messages::list_partition_reassignments_request::ListPartitionReassignmentsRequest;
use milena_wire::messages::list_partition_reassignments_response::ListPartitionReassignmentsResponse;

use super::{Call, Outcome, Versions};
use crate::state::State;

pub(super) const VERSIONS: Versions = Versions::new(0, 0);

pub(super) fn handle(
    _: &mut State,
    _: &Call<'_>,
    request: &ListPartitionReassignmentsRequest,
) -> Outcome {
    Outcome::Answer(error(request, ErrorCode::NONE))
}

pub(super) fn error(_: &ListPartitionReassignmentsRequest, code: ErrorCode) -> Response {
    let error_message = None;
    ListPartitionReassignmentsResponse { error_code: code, error_message, ..Default::default() }
        .into()
}
