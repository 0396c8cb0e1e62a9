//! SyncGroup (key 14), versions 0-5.
//!
//! The leader hands in what each member is assigned; every member gets its own. The answer waits for the leader's.
//!
//! Notes: a member that does not ask within the rebalance timeout is given up (KIP-62).

use bytes::Bytes;
use milena_types::{ErrorCode, Generation};
use milena_wire::messages::sync_group_request::SyncGroupRequest;
use milena_wire::messages::sync_group_response::SyncGroupResponse;
use milena_wire::{ByteString, Response};

use super::{Call, GROUP_METADATA_BYTES_MAX, Outcome, Versions};
use crate::group::{Identity, SyncAnswer, SyncRequest};
use crate::state::State;

pub(super) const VERSIONS: Versions = Versions::new(0, 5);

/// The first version in which a member must say which protocol it syncs (KIP-559).
const NAMES_PROTOCOL_SINCE: i16 = 5;

pub(super) fn handle(state: &mut State, call: &Call<'_>, request: &SyncGroupRequest) -> Outcome {
    if let Err(code) = state.check_coordinator(call.node, &request.group_id) {
        return Outcome::Answer(error(request, code));
    }
    let names_protocol = request.protocol_type.is_some() && request.protocol_name.is_some();
    if call.version >= NAMES_PROTOCOL_SINCE && !names_protocol {
        return Outcome::Answer(error(request, ErrorCode::INCONSISTENT_GROUP_PROTOCOL));
    }
    let bytes: usize = request.assignments.iter().map(|one| one.assignment.len()).sum();
    if bytes > GROUP_METADATA_BYTES_MAX {
        return Outcome::Answer(error(request, ErrorCode::UNKNOWN_SERVER_ERROR));
    }
    let text = |text: &Option<ByteString>| text.as_ref().map(ByteString::to_string);
    let assignments = request
        .assignments
        .iter()
        .map(|one| (one.member_id.to_string(), Bytes::copy_from_slice(&one.assignment)));
    let sync = SyncRequest {
        ticket: call.ticket,
        identity: Identity {
            member_id: request.member_id.to_string(),
            instance_id: text(&request.group_instance_id),
            generation: Generation::from_wire(request.generation_id),
        },
        protocol_type: text(&request.protocol_type),
        protocol: text(&request.protocol_name),
        assignments: assignments.collect(),
    };
    let now = call.now;
    match state.with_group(&request.group_id, |group, around| group.sync(now, sync, around)) {
        Some(()) => Outcome::Wait,
        None => Outcome::Answer(error(request, ErrorCode::UNKNOWN_MEMBER_ID)),
    }
}

pub(super) fn error(_: &SyncGroupRequest, code: ErrorCode) -> Response {
    respond(SyncAnswer::error(code))
}

pub(crate) fn respond(answer: SyncAnswer) -> Response {
    SyncGroupResponse {
        error_code: answer.code,
        protocol_type: answer.protocol_type.map(ByteString::from),
        protocol_name: answer.protocol.map(ByteString::from),
        assignment: answer.assignment,
        ..Default::default()
    }
    .into()
}
