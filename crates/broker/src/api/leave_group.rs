//! LeaveGroup (key 13), versions 0-5.
//!
//! Takes one member (up to version 2) or several (KIP-345) out of the group; the others rebalance.
//!
//! Notes: an administrator may name a static member by its instance id alone.

use milena_types::ErrorCode;
use milena_wire::messages::leave_group_request::LeaveGroupRequest;
use milena_wire::messages::leave_group_response::{LeaveGroupResponse, MemberResponse};
use milena_wire::{ByteString, Response};

use super::{Call, Outcome, Versions};
use crate::group::LeaveRequest;
use crate::state::State;

pub(super) const VERSIONS: Versions = Versions::new(0, 5);

pub(super) fn handle(state: &mut State, call: &Call<'_>, request: &LeaveGroupRequest) -> Outcome {
    if let Err(code) = state.check_coordinator(call.node, &request.group_id) {
        return Outcome::Answer(error(request, code));
    }
    let mut leave = |member_id: &ByteString, instance_id: Option<&ByteString>| {
        let leave = LeaveRequest {
            member_id: member_id.to_string(),
            instance_id: instance_id.map(ByteString::to_string),
        };
        let left = state.with_group(&request.group_id, |group, _| group.leave(call.now, &leave));
        left.unwrap_or(ErrorCode::UNKNOWN_MEMBER_ID)
    };
    if call.version < 3 {
        return Outcome::Answer(error(request, leave(&request.member_id, None)));
    }
    let members = request.members.iter().map(|member| MemberResponse {
        member_id: member.member_id.clone(),
        group_instance_id: member.group_instance_id.clone(),
        error_code: leave(&member.member_id, member.group_instance_id.as_ref()),
    });
    Outcome::Answer(LeaveGroupResponse { members: members.collect(), ..Default::default() }.into())
}

pub(super) fn error(_: &LeaveGroupRequest, code: ErrorCode) -> Response {
    LeaveGroupResponse { error_code: code, ..Default::default() }.into()
}
