//! ListGroups (key 16), versions 0-5.
//!
//! The groups that this node coordinates, filtered by state (KIP-518) and type (KIP-848) if asked for.
//!
//! Notes: share groups come after the others.

use milena_types::ErrorCode;
use milena_wire::messages::list_groups_request::ListGroupsRequest;
use milena_wire::messages::list_groups_response::{ListGroupsResponse, ListedGroup};
use milena_wire::{ByteString, Response};

use super::{Call, Outcome, Versions};
use crate::acl::{AclOperation, Resource};
use crate::state::State;

pub(super) const VERSIONS: Versions = Versions::new(0, 5);

pub(super) fn handle(state: &mut State, call: &Call<'_>, request: &ListGroupsRequest) -> Outcome {
    let is_wanted = |filter: &[ByteString], name: &str| {
        filter.is_empty() || filter.iter().any(|wanted| wanted.eq_ignore_ascii_case(name))
    };
    // Who may see the cluster sees all groups, others those that they may see one by one.
    let sees_all = call.may(state, AclOperation::Describe, Resource::Cluster);
    let is_seen =
        |id: &str| sees_all || call.may(state, AclOperation::Describe, Resource::Group(id));
    let is_listed = |id: &str| state.check_committer(call.node, id).is_ok() && is_seen(id);
    let coordinated = state.groups.iter().filter(|(id, _)| is_listed(id));
    let wanted = coordinated.filter(|(_, group)| {
        is_wanted(&request.states_filter, asked_state(group.state_name()))
            && is_wanted(&request.types_filter, group.type_name())
    });
    let groups = wanted.map(|(id, group)| ListedGroup {
        group_id: id.as_str().into(),
        protocol_type: group.protocol_type().into(),
        group_state: group.state_name().into(),
        group_type: group.type_name().into(),
    });
    let shared = state.share_groups.iter().filter(|(id, _)| is_listed(id));
    let shared = shared.filter(|(_, group)| {
        is_wanted(&request.states_filter, group.state()) && is_wanted(&request.types_filter, SHARE)
    });
    let shared = shared.map(|(id, group)| ListedGroup {
        group_id: id.as_str().into(),
        protocol_type: SHARE.into(),
        group_state: group.state().into(),
        group_type: SHARE.into(),
    });
    let groups = groups.chain(shared).collect();
    Outcome::Answer(ListGroupsResponse { groups, ..Default::default() }.into())
}

pub(super) fn error(_: &ListGroupsRequest, code: ErrorCode) -> Response {
    ListGroupsResponse { error_code: code, ..Default::default() }.into()
}

/// By which word a state is asked for: Kafka splits only this one.
fn asked_state(name: &str) -> &str {
    if name == "NotReady" { "not_ready" } else { name }
}

const SHARE: &str = "share";
