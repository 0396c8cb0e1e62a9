//! DescribeUserScramCredentials (key 50), version 0.
//!
//! Which users have salted passwords, by which mechanisms and with how many iterations (KIP-554).

use std::collections::BTreeMap;

use milena_types::ErrorCode;
use milena_wire::messages::describe_user_scram_credentials_request::DescribeUserScramCredentialsRequest;
use milena_wire::messages::describe_user_scram_credentials_response::{
    CredentialInfo, DescribeUserScramCredentialsResponse, DescribeUserScramCredentialsResult,
};
use milena_wire::{ByteString, Response};

use super::{Call, Outcome, Versions};
use crate::scram::{Credentials, ScramMechanism};
use crate::state::{Refused, State};

pub(super) const VERSIONS: Versions = Versions::new(0, 0);

pub(super) fn handle(
    state: &mut State,
    _: &Call<'_>,
    request: &DescribeUserScramCredentialsRequest,
) -> Outcome {
    let mut times = BTreeMap::<ByteString, usize>::new();
    for user in request.users.iter().flatten() {
        *times.entry(user.name.clone()).or_default() += 1;
    }
    if times.is_empty() {
        // Who names nobody asks for all.
        times = state.credentials.iter().map(|(user, ..)| (user.into(), 1)).collect();
    }
    let results = times.into_iter().map(|(user, times)| {
        let told = describe(&state.credentials, &user, times);
        let (credential_infos, refused) = match told {
            Ok(infos) => (infos, None),
            Err(refused) => (Vec::new(), Some(refused)),
        };
        let told = refused.map(Refused::into_told);
        // A success has an empty text.
        let none = (ErrorCode::NONE, Some(ByteString::new()));
        let (error_code, error_message) = told.unwrap_or(none);
        DescribeUserScramCredentialsResult { user, error_code, error_message, credential_infos }
    });
    let results = results.collect();
    Outcome::Answer(DescribeUserScramCredentialsResponse { results, ..Default::default() }.into())
}

pub(super) fn error(_: &DescribeUserScramCredentialsRequest, code: ErrorCode) -> Response {
    DescribeUserScramCredentialsResponse { error_code: code, ..Default::default() }.into()
}

/// A user who is asked for so many times.
fn describe(
    credentials: &Credentials,
    user: &str,
    times: usize,
) -> Result<Vec<CredentialInfo>, Refused> {
    if times > 1 {
        let why = "Cannot describe SCRAM credentials for the same user twice in a single request: ";
        return Err(Refused::new(ErrorCode::DUPLICATE_RESOURCE, format!("{why}{user}")));
    }
    let infos =
        [ScramMechanism::Sha256, ScramMechanism::Sha512].into_iter().filter_map(|mechanism| {
            let iterations = credentials.get(user, mechanism)?.iterations;
            Some(CredentialInfo { mechanism: mechanism.code(), iterations })
        });
    let infos: Vec<_> = infos.collect();
    if infos.is_empty() {
        let why = "Attempt to describe a user credential that does not exist: ";
        return Err(Refused::new(ErrorCode::RESOURCE_NOT_FOUND, format!("{why}{user}")));
    }
    Ok(infos)
}
