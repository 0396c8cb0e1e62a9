//! CreateDelegationToken (key 38), versions 1-3.
//!
//! A token by which somebody may log in for its owner (KIP-48, KIP-373). Over a connection that proves nothing about the client
//! nobody gets one, as with Kafka.
//!
//! Notes: there are no other connections yet, and so no tokens.

use milena_types::ErrorCode;
use milena_wire::messages::create_delegation_token_request::CreateDelegationTokenRequest;
use milena_wire::messages::create_delegation_token_response::CreateDelegationTokenResponse;
use milena_wire::{ByteString, Response};

use super::{Call, Outcome, Versions};
use crate::state::State;

pub(super) const VERSIONS: Versions = Versions::new(1, 3);

pub(super) fn handle(
    _: &mut State,
    call: &Call<'_>,
    request: &CreateDelegationTokenRequest,
) -> Outcome {
    let asker = split(call.principal);
    let owner = match (&request.owner_principal_type, &request.owner_principal_name) {
        (_, None) => asker.clone(),
        (_, Some(name)) if name.is_empty() => asker.clone(),
        (Some(kind), Some(name)) => (kind.clone(), name.clone()),
        // Kafka fails to make a principal of it.
        (None, Some(_)) => {
            let code = ErrorCode::UNKNOWN_SERVER_ERROR;
            return Outcome::Answer(refuse(code, call.version, anonymous(), anonymous()));
        }
    };
    let code = ErrorCode::DELEGATION_TOKEN_REQUEST_NOT_ALLOWED;
    Outcome::Answer(refuse(code, call.version, owner, asker))
}

pub(super) fn error(_: &CreateDelegationTokenRequest, code: ErrorCode) -> Response {
    refuse(code, REQUESTERS_SINCE - 1, anonymous(), anonymous())
}

/// A principal, as `User` and `alice`.
type Principal = (ByteString, ByteString);

fn split(principal: &str) -> Principal {
    let (kind, name) = principal.split_once(':').unwrap_or(("User", principal));
    (kind.into(), name.into())
}

fn anonymous() -> Principal {
    ("User".into(), "ANONYMOUS".into())
}

fn refuse(error_code: ErrorCode, version: i16, owner: Principal, asker: Principal) -> Response {
    let (principal_type, principal_name) = owner;
    let asker = if version >= REQUESTERS_SINCE { asker } else { Principal::default() };
    CreateDelegationTokenResponse {
        error_code,
        principal_type,
        principal_name,
        token_requester_principal_type: asker.0,
        token_requester_principal_name: asker.1,
        issue_timestamp_ms: -1,
        expiry_timestamp_ms: -1,
        max_timestamp_ms: -1,
        ..Default::default()
    }
    .into()
}

/// Since when the answer tells who asked.
const REQUESTERS_SINCE: i16 = 3;
