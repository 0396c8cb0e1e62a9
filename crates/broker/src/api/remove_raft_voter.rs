//! RemoveRaftVoter (key 81), version 0.
//!
//! Has a controller vote no longer (KIP-853).
//!
//! Notes: as for AddRaftVoter, the controllers are those of the settings.

use milena_types::ErrorCode;
use milena_wire::Response;
use milena_wire::messages::remove_raft_voter_request::RemoveRaftVoterRequest;
use milena_wire::messages::remove_raft_voter_response::RemoveRaftVoterResponse;

use super::add_raft_voter::{check_cluster, is_voter, not_reconfigured};
use super::{Call, Outcome, Versions};
use crate::state::{Refused, State};

pub(super) const VERSIONS: Versions = Versions::new(0, 0);

pub(super) fn handle(state: &mut State, _: &Call<'_>, request: &RemoveRaftVoterRequest) -> Outcome {
    let refused = match check_cluster(state, request.cluster_id.as_deref()) {
        Err(refused) => refused,
        Ok(()) if !is_voter(request.voter_id, request.voter_directory_id) => {
            let why = "Remove voter request didn't include a valid voter";
            Refused::new(ErrorCode::INVALID_REQUEST, why)
        }
        Ok(()) => not_reconfigured("removing"),
    };
    Outcome::Answer(answer(refused))
}

pub(super) fn error(_: &RemoveRaftVoterRequest, code: ErrorCode) -> Response {
    answer(Refused::without_reason(code))
}

fn answer(refused: Refused) -> Response {
    let (error_code, error_message) = refused.into_told();
    RemoveRaftVoterResponse { error_code, error_message, ..Default::default() }.into()
}
