//! DescribeAcls (key 29), versions 1-3.
//!
//! The rules that match a filter, by what they are about (KIP-140, KIP-290).

use milena_types::ErrorCode;
use milena_wire::Response;
use milena_wire::messages::describe_acls_request::DescribeAclsRequest;
use milena_wire::messages::describe_acls_response::{
    AclDescription, DescribeAclsResource, DescribeAclsResponse,
};

use super::{Call, Outcome, Versions};
use crate::acl::{AclFilter, AclResource, RawFilter};
use crate::state::{Refused, State};

pub(super) const VERSIONS: Versions = Versions::new(1, 3);

pub(super) fn handle(state: &mut State, _: &Call<'_>, request: &DescribeAclsRequest) -> Outcome {
    if state.settings.authorizer.is_none() {
        let why = "No Authorizer is configured on the broker";
        return Outcome::Answer(refuse(Refused::new(ErrorCode::SECURITY_DISABLED, why)));
    }
    // Kafka fails to read a request that leaves something open.
    let raw = raw(request);
    if raw.has_zero() {
        return Outcome::Close;
    }
    let filter = AclFilter::new(raw);
    let mut resources: Vec<DescribeAclsResource> = Vec::new();
    let mut last: Option<&AclResource> = None;
    for acl in
        state.acls.iter().filter(|acl| filter.as_ref().is_some_and(|filter| filter.matches(acl)))
    {
        let described = AclDescription {
            principal: acl.principal.as_str().into(),
            host: acl.host.as_str().into(),
            operation: acl.operation.code(),
            permission_type: acl.permission.code(),
        };
        match resources.last_mut().filter(|_| last == Some(&acl.resource)) {
            Some(resource) => resource.acls.push(described),
            None => resources.push(DescribeAclsResource {
                resource_type: acl.resource.kind.code(),
                resource_name: acl.resource.name.as_str().into(),
                pattern_type: acl.resource.pattern.code(),
                acls: vec![described],
            }),
        }
        last = Some(&acl.resource);
    }
    Outcome::Answer(DescribeAclsResponse { resources, ..Default::default() }.into())
}

pub(super) fn error(_: &DescribeAclsRequest, code: ErrorCode) -> Response {
    refuse(Refused::without_reason(code))
}

fn refuse(refused: Refused) -> Response {
    let (error_code, error_message) = refused.into_told();
    DescribeAclsResponse { error_code, error_message, ..Default::default() }.into()
}

fn raw(request: &DescribeAclsRequest) -> RawFilter<'_> {
    RawFilter {
        kind: request.resource_type_filter,
        pattern: request.pattern_type_filter,
        name: request.resource_name_filter.as_deref(),
        principal: request.principal_filter.as_deref(),
        host: request.host_filter.as_deref(),
        operation: request.operation,
        permission: request.permission_type,
    }
}
