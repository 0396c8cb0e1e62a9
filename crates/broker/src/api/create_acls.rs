//! CreateAcls (key 30), versions 1-3.
//!
//! Adds rules about who may do what (KIP-140, KIP-290); one that is there already is no error.
//!
//! Notes: there are 10,000 rules at most, of texts of at most 32,767 bytes; Kafka has no limit.

use milena_types::ErrorCode;
use milena_wire::messages::create_acls_request::{AclCreation, CreateAclsRequest};
use milena_wire::messages::create_acls_response::{AclCreationResult, CreateAclsResponse};
use milena_wire::{ByteString, Response};

use super::{Call, Outcome, Versions};
use crate::acl::{Acl, AclOperation, AclPermission, AclResource, PatternType, ResourceType};
use crate::state::{Refused, State, check_name};

pub(super) const VERSIONS: Versions = Versions::new(1, 3);

pub(super) fn handle(state: &mut State, _: &Call<'_>, request: &CreateAclsRequest) -> Outcome {
    if state.settings.authorizer.is_none() {
        let why = "No Authorizer is configured.";
        return Outcome::Answer(answer(request, |_| {
            Err(Refused::new(ErrorCode::SECURITY_DISABLED, why))
        }));
    }
    if request.creations.iter().any(|wish| codes(wish).contains(&UNKNOWN)) {
        // Kafka fails to read it.
        return Outcome::Close;
    }
    let stands_for_many =
        |wish: &AclCreation| codes(wish).contains(&ANY) || wish.resource_pattern_type == MATCH;
    if request.creations.iter().any(stands_for_many) {
        return Outcome::Answer(error(request, ErrorCode::UNKNOWN_SERVER_ERROR));
    }
    Outcome::Answer(answer(request, |wish| state.add_acl(read(wish)?)))
}

pub(super) fn error(request: &CreateAclsRequest, code: ErrorCode) -> Response {
    answer(request, |_| Err(Refused::without_reason(code)))
}

fn answer(
    request: &CreateAclsRequest,
    mut create: impl FnMut(&AclCreation) -> Result<(), Refused>,
) -> Response {
    let results = request.creations.iter().map(|wish| {
        let refused = create(wish).map_err(Refused::into_told);
        let (error_code, error_message) = refused.err().unwrap_or_else(|| {
            // Kafka's schema has no null where all went well.
            (ErrorCode::NONE, Some(ByteString::new()))
        });
        AclCreationResult { error_code, error_message }
    });
    CreateAclsResponse { results: results.collect(), ..Default::default() }.into()
}

/// All that is said by a number.
fn codes(wish: &AclCreation) -> [i8; 4] {
    [wish.resource_type, wish.resource_pattern_type, wish.operation, wish.permission_type]
}

fn read(wish: &AclCreation) -> Result<Acl, Refused> {
    let kind = ResourceType::from_code(wish.resource_type);
    check_name(kind, &wish.resource_name)?;
    let unknown =
        |what: &str| Refused::new(ErrorCode::INVALID_REQUEST, format!("Invalid {what} UNKNOWN"));
    let kind = kind.ok_or_else(|| unknown("resourceType"))?;
    let pattern = PatternType::from_code(wish.resource_pattern_type);
    let pattern = pattern.ok_or_else(|| unknown("patternType"))?;
    let operation = AclOperation::from_code(wish.operation).ok_or_else(|| unknown("operation"))?;
    let permission = AclPermission::from_code(wish.permission_type);
    let permission = permission.ok_or_else(|| unknown("permissionType"))?;
    Ok(Acl {
        resource: AclResource { kind, pattern, name: wish.resource_name.to_string() },
        principal: wish.principal.to_string(),
        host: wish.host.to_string(),
        operation,
        permission,
    })
}

const UNKNOWN: i8 = 0;
const ANY: i8 = 1;
const MATCH: i8 = 2;
