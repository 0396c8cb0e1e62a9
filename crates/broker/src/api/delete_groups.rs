//! DeleteGroups (key 42), versions 0-3.
//!
//! Forgets groups without members, with all that they committed.
//!
//! Notes: a group without a name is one too, of consumers that only commit.

use milena_types::ErrorCode;
use milena_wire::Response;
use milena_wire::messages::delete_groups_request::DeleteGroupsRequest;
use milena_wire::messages::delete_groups_response::{DeletableGroupResult, DeleteGroupsResponse};

use super::{Call, Outcome, Versions};
use crate::acl::{AclOperation, Resource};
use crate::state::State;

pub(super) const VERSIONS: Versions = Versions::new(0, 3);

pub(super) fn handle(state: &mut State, call: &Call<'_>, request: &DeleteGroupsRequest) -> Outcome {
    let results = request.groups_names.iter().map(|id| {
        let may = call.check(state, AclOperation::Delete, Resource::Group(id));
        let checked = may.and_then(|()| state.check_committer(call.node, id));
        let error_code = checked.err().unwrap_or_else(|| state.delete_group(id));
        DeletableGroupResult { group_id: id.clone(), error_code, ..Default::default() }
    });
    Outcome::Answer(
        DeleteGroupsResponse { results: results.collect(), ..Default::default() }.into(),
    )
}

pub(super) fn error(request: &DeleteGroupsRequest, error_code: ErrorCode) -> Response {
    let result = |id: &milena_wire::ByteString| DeletableGroupResult {
        group_id: id.clone(),
        error_code,
        ..Default::default()
    };
    let results = request.groups_names.iter().map(result).collect();
    DeleteGroupsResponse { results, ..Default::default() }.into()
}
