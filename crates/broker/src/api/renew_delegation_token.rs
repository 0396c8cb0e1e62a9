//! RenewDelegationToken (key 39), versions 1-2.
//!
//! Makes a token last longer (KIP-48). Over a connection that proves nothing about the client nobody may, as with Kafka.
//!
//! Notes: there are no other connections yet, and so no tokens.

use milena_types::ErrorCode;
use milena_wire::Response;
use milena_wire::messages::renew_delegation_token_request::RenewDelegationTokenRequest;
use milena_wire::messages::renew_delegation_token_response::RenewDelegationTokenResponse;

use super::{Call, Outcome, Versions};
use crate::state::State;

pub(super) const VERSIONS: Versions = Versions::new(1, 2);

pub(super) fn handle(_: &mut State, _: &Call<'_>, _: &RenewDelegationTokenRequest) -> Outcome {
    let expiry_timestamp_ms = -1;
    let error_code = ErrorCode::DELEGATION_TOKEN_REQUEST_NOT_ALLOWED;
    let refused =
        RenewDelegationTokenResponse { error_code, expiry_timestamp_ms, ..Default::default() };
    Outcome::Answer(refused.into())
}

pub(super) fn error(_: &RenewDelegationTokenRequest, code: ErrorCode) -> Response {
    RenewDelegationTokenResponse { error_code: code, ..Default::default() }.into()
}
