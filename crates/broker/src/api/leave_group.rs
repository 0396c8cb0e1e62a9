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
    let identity = |member_id: &ByteString, instance_id: Option<&ByteString>| LeaveRequest {
        member_id: member_id.to_string(),
        instance_id: instance_id.map(ByteString::to_string),
    };
    let is_single = call.version < 3;
    let leaving = match is_single {
        true => vec![identity(&request.member_id, None)],
        false => {
            let members = request.members.iter();
            members.map(|m| identity(&m.member_id, m.group_instance_id.as_ref())).collect()
        }
    };
    let left = state
        .with_group(&request.group_id, |group, around| group.leave(call.now, &leaving, around));
    let unknown = ErrorCode::UNKNOWN_MEMBER_ID;
    let mut codes = left.unwrap_or_else(|| vec![unknown; leaving.len()]).into_iter();
    let mut next = || codes.next().unwrap_or(unknown);
    if is_single {
        return Outcome::Answer(error(request, next()));
    }
    let members = request.members.iter().map(|member| MemberResponse {
        member_id: member.member_id.clone(),
        group_instance_id: member.group_instance_id.clone(),
        error_code: next(),
    });
    Outcome::Answer(LeaveGroupResponse { members: members.collect(), ..Default::default() }.into())
}

pub(super) fn error(_: &LeaveGroupRequest, code: ErrorCode) -> Response {
    LeaveGroupResponse { error_code: code, ..Default::default() }.into()
}
