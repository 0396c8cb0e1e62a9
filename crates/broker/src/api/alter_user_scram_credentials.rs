//! AlterUserScramCredentials (key 51), version 0.
//!
//! Sets and removes the salted passwords of users (KIP-554).
//!
//! Notes: nobody is asked for a password: everyone is anonymous. The salted password itself is kept, of which Kafka keeps the
//! keys that are derived from it. There are 10,000 credentials at most, with names, salts and passwords of at most 32,767 bytes;
//! Kafka has no limit.

use std::collections::BTreeMap;

use bytes::Bytes;
use milena_types::ErrorCode;
use milena_wire::messages::alter_user_scram_credentials_request::{
    AlterUserScramCredentialsRequest, ScramCredentialDeletion, ScramCredentialUpsertion,
};
use milena_wire::messages::alter_user_scram_credentials_response::{
    AlterUserScramCredentialsResponse, AlterUserScramCredentialsResult,
};
use milena_wire::{ByteString, Response};

use super::{Call, Outcome, Versions};
use crate::scram::{Credential, ScramMechanism};
use crate::state::{Refused, State};
use crate::store::Entry;

pub(super) const VERSIONS: Versions = Versions::new(0, 0);

/// What is to become of a credential: none is one that is removed.
type Change = (ScramMechanism, Option<Credential>);

pub(super) fn handle(
    state: &mut State,
    _: &Call<'_>,
    request: &AlterUserScramCredentialsRequest,
) -> Outcome {
    let mut planned: BTreeMap<&ByteString, Result<Change, Refused>> = BTreeMap::new();
    let deletions = request.deletions.iter().map(|wish| (&wish.name, plan_deletion(state, wish)));
    let upsertions = request.upsertions.iter().map(|wish| (&wish.name, plan_upsertion(wish)));
    for (user, plan) in deletions.chain(upsertions) {
        // Who was refused stays refused for that, however often he comes up.
        match planned.get(user) {
            None => drop(planned.insert(user, plan)),
            Some(Ok(_)) => {
                let why = "A user credential cannot be altered twice in the same request";
                let refused = Refused::new(ErrorCode::DUPLICATE_RESOURCE, why);
                planned.insert(user, Err(refused));
            }
            Some(Err(_)) => {}
        }
    }
    let results = planned.into_iter().map(|(user, plan)| {
        let done =
            plan.and_then(|(mechanism, credential)| alter(state, user, mechanism, credential));
        result(user, done.err())
    });
    let results = results.collect();
    Outcome::Answer(AlterUserScramCredentialsResponse { results, ..Default::default() }.into())
}

pub(super) fn error(request: &AlterUserScramCredentialsRequest, code: ErrorCode) -> Response {
    let deleted = request.deletions.iter().map(|wish| &wish.name);
    let users = deleted.chain(request.upsertions.iter().map(|wish| &wish.name));
    let users = users.map(|user| (user, ())).collect::<BTreeMap<_, _>>();
    let refused = || Some(Refused::without_reason(code));
    let results = users.into_keys().map(|user| result(user, refused())).collect();
    AlterUserScramCredentialsResponse { results, ..Default::default() }.into()
}

fn result(user: &ByteString, refused: Option<Refused>) -> AlterUserScramCredentialsResult {
    let (error_code, error_message) = refused.map_or((ErrorCode::NONE, None), Refused::into_told);
    AlterUserScramCredentialsResult { user: user.clone(), error_code, error_message }
}

fn plan_deletion(state: &State, wish: &ScramCredentialDeletion) -> Result<Change, Refused> {
    let mechanism = check(&wish.name, wish.mechanism)?;
    match state.credentials.get(&wish.name, mechanism) {
        Some(_) => Ok((mechanism, None)),
        None => {
            let why = "Attempt to delete a user credential that does not exist";
            Err(Refused::new(ErrorCode::RESOURCE_NOT_FOUND, why))
        }
    }
}

fn plan_upsertion(wish: &ScramCredentialUpsertion) -> Result<Change, Refused> {
    let mechanism = check(&wish.name, wish.mechanism)?;
    if wish.iterations < ITERATIONS_MIN {
        return Err(unacceptable("Too few iterations"));
    }
    if wish.iterations > ITERATIONS_MAX {
        return Err(unacceptable("Too many iterations"));
    }
    if wish.salt.len().max(wish.salted_password.len()) > TEXT_BYTES_MAX {
        return Err(unacceptable("Too long a salt or password"));
    }
    let credential = Credential {
        // The frame that brought them is not kept for them.
        salt: Bytes::copy_from_slice(&wish.salt),
        salted_password: Bytes::copy_from_slice(&wish.salted_password),
        iterations: wish.iterations,
    };
    Ok((mechanism, Some(credential)))
}

fn check(user: &str, mechanism: i8) -> Result<ScramMechanism, Refused> {
    if user.is_empty() {
        return Err(unacceptable("Username must not be empty"));
    }
    if user.len() > TEXT_BYTES_MAX {
        return Err(unacceptable("Too long a username"));
    }
    ScramMechanism::from_code(mechanism).ok_or_else(|| {
        Refused::new(ErrorCode::UNSUPPORTED_SASL_MECHANISM, "Unknown SCRAM mechanism")
    })
}

fn alter(
    state: &mut State,
    user: &str,
    mechanism: ScramMechanism,
    credential: Option<Credential>,
) -> Result<(), Refused> {
    let user = user.to_owned();
    match credential {
        Some(credential) => {
            if credential.salted_password.is_empty() {
                // Kafka fails to derive keys from it.
                return Err(Refused::without_reason(ErrorCode::UNKNOWN_SERVER_ERROR));
            }
            let is_new = state.credentials.get(&user, mechanism).is_none();
            if is_new && state.credentials.len() >= CREDENTIALS_MAX {
                return Err(Refused::without_reason(ErrorCode::POLICY_VIOLATION));
            }
            state.credentials.set(user.clone(), mechanism, credential.clone());
            state.note(Entry::Credential(user, mechanism, credential));
        }
        None => {
            state.credentials.remove(&user, mechanism);
            state.note(Entry::CredentialGone(user, mechanism));
        }
    }
    Ok(())
}

fn unacceptable(why: &str) -> Refused {
    Refused::new(ErrorCode::UNACCEPTABLE_CREDENTIAL, why)
}

/// Kafka's, of both mechanisms.
const ITERATIONS_MIN: i32 = 4096;
const ITERATIONS_MAX: i32 = 16_384;

/// How many credentials there may be (Kafka: no limit).
const CREDENTIALS_MAX: usize = 10_000;

/// What a name, a salt or a password may take (Kafka: no limit).
const TEXT_BYTES_MAX: usize = 32_767;
