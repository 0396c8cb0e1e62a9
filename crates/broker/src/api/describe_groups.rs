//! DescribeGroups (key 15), versions 0-6.
//!
//! State, assignor, members, subscriptions and assignments of classic groups.
//!
//! Notes: a group that is not there is `Dead`, and from version 6 on GROUP_ID_NOT_FOUND (KIP-1043).

use bytes::Bytes;
use milena_types::ErrorCode;
use milena_wire::messages::describe_groups_request::DescribeGroupsRequest;
use milena_wire::messages::describe_groups_response::{
    DescribeGroupsResponse, DescribedGroup, DescribedGroupMember,
};
use milena_wire::{ByteString, Response};

use super::{AUTHORIZED_GROUP, Call, Outcome, UNASKED, Versions};
use crate::acl::{AclOperation, Resource};
use crate::group::classic::Member;
use crate::group::{ClassicGroup, Group, GroupState};
use crate::state::{Refused, State};

pub(super) const VERSIONS: Versions = Versions::new(0, 6);

pub(super) fn handle(
    state: &mut State,
    call: &Call<'_>,
    request: &DescribeGroupsRequest,
) -> Outcome {
    let supported = match state.settings.release().has_group_configs() {
        true => AUTHORIZED_GROUP,
        false => AUTHORIZED_GROUP & !GROUP_CONFIGS,
    };
    let groups = request.groups.iter().map(|id| {
        let may = call.check(state, AclOperation::Describe, Resource::Group(id));
        if let Err(code) = may.and_then(|()| state.check_committer(call.node, id)) {
            return failure(id, code);
        }
        let group = state.groups.get(&**id);
        let is_other = group.is_some() || state.share_groups.contains_key(&**id);
        let why = if is_other { "is not a classic group" } else { "not found" };
        let group = match group.and_then(Group::classic) {
            Some(group) => describe(state, id, group),
            None if call.version >= 6 => {
                let refused =
                    Refused::new(ErrorCode::GROUP_ID_NOT_FOUND, format!("Group {id} {why}."));
                DescribedGroup {
                    group_state: "Dead".into(),
                    error_message: Some(refused.message.into()),
                    ..failure(id, refused.code)
                }
            }
            None => DescribedGroup { group_state: "Dead".into(), ..failure(id, ErrorCode::NONE) },
        };
        let is_told = request.include_authorized_operations && !group.error_code.is_error();
        DescribedGroup {
            authorized_operations: match is_told {
                true => call.operations(state, supported, Resource::Group(id)),
                false => UNASKED,
            },
            ..group
        }
    });
    Outcome::Answer(
        DescribeGroupsResponse { groups: groups.collect(), ..Default::default() }.into(),
    )
}

pub(super) fn error(request: &DescribeGroupsRequest, code: ErrorCode) -> Response {
    let groups = request.groups.iter().map(|id| failure(id, code)).collect();
    DescribeGroupsResponse { groups, ..Default::default() }.into()
}

/// To see and to change settings, as a bit field.
const GROUP_CONFIGS: i32 = 0b1100_0000_0000;

fn describe(state: &State, id: &ByteString, group: &ClassicGroup) -> DescribedGroup {
    let is_stable = group.state() == GroupState::Stable;
    // Kafka tells subscriptions once they are settled; the last assignment stays, but for the first coordinator.
    let is_assigned = is_stable || !state.settings.release().has_first_coordinator();
    let protocol = group.protocol().filter(|_| is_stable).unwrap_or_default();
    let member = |member: &Member| DescribedGroupMember {
        member_id: member.id.as_str().into(),
        group_instance_id: member.instance_id.clone().map(ByteString::from),
        client_id: member.client_id.as_str().into(),
        client_host: member.client_host.as_str().into(),
        member_metadata: if is_stable { member.metadata(protocol) } else { Bytes::new() },
        member_assignment: if is_assigned { member.assignment.clone() } else { Bytes::new() },
    };
    DescribedGroup {
        group_state: group.state().name().into(),
        protocol_type: group.protocol_type().unwrap_or_default().into(),
        protocol_data: protocol.into(),
        members: group.members().map(member).collect(),
        ..failure(id, ErrorCode::NONE)
    }
}

fn failure(id: &ByteString, error_code: ErrorCode) -> DescribedGroup {
    DescribedGroup { group_id: id.clone(), error_code, ..Default::default() }
}
