//! JoinGroup (key 11), versions 0-9.
//!
//! Makes the caller a member of the group's next generation. The answer waits until all members have joined or the
//! rebalance timeout is over; the leader's names the members. Version 4 makes newcomers come twice, with the id they
//! are given (KIP-394), 5 knows static members (KIP-345), 9 tells a returning static leader not to assign (KIP-814).
//!
//! Notes: an id that is handed out and not used counts towards the group's size.

use std::time::Duration;

use bytes::Bytes;
use milena_types::{ErrorCode, Generation};
use milena_wire::messages::join_group_request::JoinGroupRequest;
use milena_wire::messages::join_group_response::{JoinGroupResponse, JoinGroupResponseMember};
use milena_wire::{ByteString, Response};

use super::{Call, GROUP_METADATA_BYTES_MAX, Outcome, Versions};
use crate::group::{JoinAnswer, JoinRequest};
use crate::release::Release;
use crate::state::{State, cut};

pub(super) const VERSIONS: Versions = Versions::new(0, 9);

pub(super) fn handle(state: &mut State, call: &Call<'_>, request: &JoinGroupRequest) -> Outcome {
    let checked = check(state, call, request);
    if let Err(code) = checked.and_then(|()| state.ensure_group(call.now, &request.group_id)) {
        let answer = JoinAnswer::error(code, &request.member_id);
        return Outcome::Answer(respond(state.settings.release(), call.version, answer));
    }
    let join = read(state, call, request);
    let now = call.now;
    let asker = Some(call.asker());
    state.with_group_for(asker, &request.group_id, |group, around| group.join(now, join, around));
    Outcome::Wait
}

pub(super) fn error(request: &JoinGroupRequest, code: ErrorCode) -> Response {
    // An empty name is legal in every version, null only in the newer ones.
    respond(Release::NEWEST, 0, JoinAnswer::error(code, &request.member_id))
}

/// The answer as it was asked for in `version` of a release.
pub(crate) fn respond(release: Release, version: i16, answer: JoinAnswer) -> Response {
    let member =
        |(id, instance_id, metadata): (String, Option<String>, Bytes)| JoinGroupResponseMember {
            member_id: id.into(),
            group_instance_id: instance_id.map(ByteString::from),
            metadata,
        };
    let has_none = answer.generation.is_some() || release.tells_no_generation();
    let protocol_name = answer.protocol.map(ByteString::from);
    JoinGroupResponse {
        error_code: answer.code,
        generation_id: if has_none { Generation::to_wire(answer.generation) } else { 0 },
        protocol_type: answer.protocol_type.map(ByteString::from),
        protocol_name: if version < 7 {
            Some(protocol_name.unwrap_or_default())
        } else {
            protocol_name
        },
        leader: answer.leader.into(),
        skip_assignment: answer.skip_assignment,
        member_id: answer.member_id.into(),
        members: answer.members.into_iter().map(member).collect(),
        ..Default::default()
    }
    .into()
}

fn check(state: &State, call: &Call<'_>, request: &JoinGroupRequest) -> Result<(), ErrorCode> {
    state.check_coordinator(call.node, &request.group_id)?;
    let protocols = request.protocols.iter();
    let bytes: usize = protocols.map(|p| p.name.len().saturating_add(p.metadata.len())).sum();
    if bytes > GROUP_METADATA_BYTES_MAX {
        return Err(ErrorCode::UNKNOWN_SERVER_ERROR);
    }
    let session_timeout = milliseconds(request.session_timeout_ms);
    let settings = &state.settings;
    if !(settings.session_timeout_min..=settings.session_timeout_max).contains(&session_timeout) {
        return Err(ErrorCode::INVALID_SESSION_TIMEOUT);
    }
    if state.share_groups.contains_key(&*request.group_id) {
        return Err(ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
    }
    if !request.member_id.is_empty() && !state.groups.contains_key(&*request.group_id) {
        return Err(ErrorCode::UNKNOWN_MEMBER_ID);
    }
    Ok(())
}

fn read(state: &mut State, call: &Call<'_>, request: &JoinGroupRequest) -> JoinRequest {
    let fresh = state.draw_uuid();
    let uuid = fresh.as_bytes().map(|byte| format!("{byte:02x}")).concat();
    let instance_id = request.group_instance_id.as_ref().map(ByteString::to_string);
    let prefix = cut(instance_id.as_deref().unwrap_or(call.client_id), ID_PREFIX_BYTES_MAX);
    // The metadata is copied, so that a small subscription does not keep a large frame alive.
    let protocols = request
        .protocols
        .iter()
        .map(|protocol| (protocol.name.to_string(), Bytes::copy_from_slice(&protocol.metadata)));
    let rebalance_timeout_ms =
        if call.version == 0 { request.session_timeout_ms } else { request.rebalance_timeout_ms };
    JoinRequest {
        ticket: call.ticket,
        member_id: request.member_id.to_string(),
        fresh_member_id: format!("{prefix}-{}", dashed(&uuid)),
        fresh_uuid: fresh.to_string(),
        instance_id,
        client_id: call.client_id.to_owned(),
        client_host: "/127.0.0.1".to_owned(),
        session_timeout: milliseconds(request.session_timeout_ms),
        rebalance_timeout: milliseconds(rebalance_timeout_ms),
        protocol_type: request.protocol_type.to_string(),
        protocols: protocols.collect(),
        requires_known_id: call.version >= 4,
        may_skip_assignment: call.version >= 9,
        group_size_max: state.settings.group_size_max,
        initial_rebalance_delay: state.settings.initial_rebalance_delay,
    }
}

/// How much of a client's name its member id repeats; all of it, Kafka's own limit for instance ids being the same,
/// but for those who would make an id that no answer can carry.
const ID_PREFIX_BYTES_MAX: usize = 249;

/// `8-4-4-4-12` digits, as Java prints ids.
fn dashed(hex: &str) -> String {
    let mut text = String::with_capacity(36);
    for (at, digit) in hex.chars().enumerate() {
        if matches!(at, 8 | 12 | 16 | 20) {
            text.push('-');
        }
        text.push(digit);
    }
    text
}

fn milliseconds(wire: i32) -> Duration {
    Duration::from_millis(u64::try_from(wire).unwrap_or(0))
}
