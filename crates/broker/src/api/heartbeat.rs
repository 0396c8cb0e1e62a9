//! Heartbeat (key 12), versions 0-4.
//!
//! Keeps a member alive and tells it of a rebalance by REBALANCE_IN_PROGRESS.
//!
//! Notes: a commit, a join and a sync count as heartbeats too.

use milena_types::{ErrorCode, Generation};
use milena_wire::messages::heartbeat_request::HeartbeatRequest;
use milena_wire::messages::heartbeat_response::HeartbeatResponse;
use milena_wire::{ByteString, Response};

use super::{Call, Outcome, Versions};
use crate::group::Identity;
use crate::state::State;

pub(super) const VERSIONS: Versions = Versions::new(0, 4);

pub(super) fn handle(state: &mut State, call: &Call<'_>, request: &HeartbeatRequest) -> Outcome {
    if let Err(code) = state.check_coordinator(call.node, &request.group_id) {
        return Outcome::Answer(error(request, code));
    }
    let identity = Identity {
        member_id: request.member_id.to_string(),
        instance_id: request.group_instance_id.as_ref().map(ByteString::to_string),
        generation: Generation::from_wire(request.generation_id),
    };
    let now = call.now;
    let code = state.with_group(&request.group_id, |group, _| group.heartbeat(now, &identity));
    Outcome::Answer(error(request, code.unwrap_or(ErrorCode::UNKNOWN_MEMBER_ID)))
}

pub(super) fn error(_: &HeartbeatRequest, code: ErrorCode) -> Response {
    HeartbeatResponse { error_code: code, ..Default::default() }.into()
}
