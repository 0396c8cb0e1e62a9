//! DeleteAcls (key 31), versions 1-3.
//!
//! Removes the rules that match any of the filters (KIP-140, KIP-290). One that several match is told for each.
//!
//! Notes: the filters of one request match 10,000 rules in all; one that matches more than is left of that is refused.

use std::collections::BTreeSet;

use milena_types::ErrorCode;
use milena_wire::Response;
use milena_wire::messages::delete_acls_request::{DeleteAclsFilter, DeleteAclsRequest};
use milena_wire::messages::delete_acls_response::{
    DeleteAclsFilterResult, DeleteAclsMatchingAcl, DeleteAclsResponse,
};

use super::{Call, Outcome, Versions};
use crate::acl::{Acl, AclFilter, RawFilter};
use crate::state::{ACLS_MAX, Refused, State};

pub(super) const VERSIONS: Versions = Versions::new(1, 3);

pub(super) fn handle(state: &mut State, _: &Call<'_>, request: &DeleteAclsRequest) -> Outcome {
    if state.settings.authorizer.is_none() {
        let why = "No Authorizer is configured.";
        return Outcome::Answer(refuse(request, &Refused::new(ErrorCode::SECURITY_DISABLED, why)));
    }
    // Kafka fails to read a request that leaves something open.
    if request.filters.iter().any(|filter| raw(filter).has_zero()) {
        return Outcome::Close;
    }
    let mut gone = BTreeSet::new();
    let mut room = ACLS_MAX;
    let mut filter_results = Vec::with_capacity(request.filters.len());
    for asked in &request.filters {
        let Some(filter) = AclFilter::new(raw(asked)) else {
            let refused = Refused::new(ErrorCode::INVALID_REQUEST, unknown_part(asked));
            filter_results.push(failure(&refused));
            continue;
        };
        let matching = state.acls.iter().filter(|acl| filter.matches(acl));
        let matching: Vec<&Acl> = matching.take(room.saturating_add(1)).collect();
        let Some(left) = room.checked_sub(matching.len()) else {
            let why =
                format!("Cannot remove more than {ACLS_MAX} acls in a single delete operation.");
            filter_results.push(failure(&Refused::new(ErrorCode::POLICY_VIOLATION, why)));
            continue;
        };
        room = left;
        gone.extend(matching.iter().map(|acl| (*acl).clone()));
        let matching_acls = matching.into_iter().map(told).collect();
        let error_message = None;
        filter_results.push(DeleteAclsFilterResult {
            error_message,
            matching_acls,
            ..Default::default()
        });
    }
    for acl in gone {
        state.remove_acl(&acl);
    }
    Outcome::Answer(DeleteAclsResponse { filter_results, ..Default::default() }.into())
}

pub(super) fn error(request: &DeleteAclsRequest, code: ErrorCode) -> Response {
    refuse(request, &Refused::without_reason(code))
}

fn refuse(request: &DeleteAclsRequest, refused: &Refused) -> Response {
    let filter_results = request.filters.iter().map(|_| failure(refused)).collect();
    DeleteAclsResponse { filter_results, ..Default::default() }.into()
}

fn failure(refused: &Refused) -> DeleteAclsFilterResult {
    let (error_code, error_message) = refused.clone().into_told();
    DeleteAclsFilterResult { error_code, error_message, ..Default::default() }
}

fn unknown_part(asked: &DeleteAclsFilter) -> &'static str {
    let entry = RawFilter { kind: ANY, pattern: ANY, ..raw(asked) };
    match AclFilter::new(entry) {
        Some(_) => "Unknown patternFilter.",
        None => "Unknown entryFilter.",
    }
}

fn raw(asked: &DeleteAclsFilter) -> RawFilter<'_> {
    RawFilter {
        kind: asked.resource_type_filter,
        pattern: asked.pattern_type_filter,
        name: asked.resource_name_filter.as_deref(),
        principal: asked.principal_filter.as_deref(),
        host: asked.host_filter.as_deref(),
        operation: asked.operation,
        permission: asked.permission_type,
    }
}

fn told(acl: &Acl) -> DeleteAclsMatchingAcl {
    DeleteAclsMatchingAcl {
        error_code: ErrorCode::NONE,
        error_message: None,
        resource_type: acl.resource.kind.code(),
        resource_name: acl.resource.name.as_str().into(),
        pattern_type: acl.resource.pattern.code(),
        principal: acl.principal.as_str().into(),
        host: acl.host.as_str().into(),
        operation: acl.operation.code(),
        permission_type: acl.permission.code(),
    }
}

/// Stands for whatever there is.
const ANY: i8 = 1;
