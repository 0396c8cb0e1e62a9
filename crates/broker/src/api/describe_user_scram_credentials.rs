//! DescribeUserScramCredentials (key 50), version 0.
//!
//! Which users can prove by SCRAM who they are (KIP-554): none, for nobody is asked to.

use std::collections::BTreeMap;

use milena_types::ErrorCode;
use milena_wire::messages::describe_user_scram_credentials_request::DescribeUserScramCredentialsRequest;
use milena_wire::messages::describe_user_scram_credentials_response::{
    DescribeUserScramCredentialsResponse, DescribeUserScramCredentialsResult,
};
use milena_wire::{ByteString, Response};

use super::{Call, Outcome, Versions};
use crate::state::{Refused, State};

pub(super) const VERSIONS: Versions = Versions::new(0, 0);

pub(super) fn handle(
    _: &mut State,
    _: &Call<'_>,
    request: &DescribeUserScramCredentialsRequest,
) -> Outcome {
    let mut times = BTreeMap::<&ByteString, usize>::new();
    for user in request.users.iter().flatten() {
        *times.entry(&user.name).or_default() += 1;
    }
    let results = times.into_iter().map(|(user, times)| {
        let refused = if times > 1 {
            let why =
                "Cannot describe SCRAM credentials for the same user twice in a single request: ";
            Refused::new(ErrorCode::DUPLICATE_RESOURCE, format!("{why}{user}"))
        } else {
            let why = "Attempt to describe a user credential that does not exist: ";
            Refused::new(ErrorCode::RESOURCE_NOT_FOUND, format!("{why}{user}"))
        };
        let (error_code, error_message) = refused.into_told();
        DescribeUserScramCredentialsResult {
            user: user.clone(),
            error_code,
            error_message,
            ..Default::default()
        }
    });
    let results = results.collect();
    Outcome::Answer(DescribeUserScramCredentialsResponse { results, ..Default::default() }.into())
}

pub(super) fn error(_: &DescribeUserScramCredentialsRequest, code: ErrorCode) -> Response {
    DescribeUserScramCredentialsResponse { error_code: code, ..Default::default() }.into()
}
