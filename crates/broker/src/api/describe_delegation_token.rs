//! DescribeDelegationToken (key 41), versions 1-3.
//!
//! Which tokens there are (KIP-48). Over a connection that proves nothing about the client nobody learns that, as with Kafka.
//!
//! Notes: there are no other connections yet, and so no tokens.

use milena_types::ErrorCode;
use milena_wire::Response;
use milena_wire::messages::describe_delegation_token_request::DescribeDelegationTokenRequest;
use milena_wire::messages::describe_delegation_token_response::DescribeDelegationTokenResponse;

use super::{Call, Outcome, Versions};
use crate::state::State;

pub(super) const VERSIONS: Versions = Versions::new(1, 3);

pub(super) fn handle(
    _: &mut State,
    _: &Call<'_>,
    request: &DescribeDelegationTokenRequest,
) -> Outcome {
    Outcome::Answer(error(request, ErrorCode::DELEGATION_TOKEN_REQUEST_NOT_ALLOWED))
}

pub(super) fn error(_: &DescribeDelegationTokenRequest, code: ErrorCode) -> Response {
    DescribeDelegationTokenResponse { error_code: code, ..Default::default() }.into()
}
