//! DeleteShareGroupOffsets (key 92), version 0.
//!
//! Forgets what an empty share group has got of topics.

use milena_types::ErrorCode;
use milena_wire::Response;
use milena_wire::messages::delete_share_group_offsets_request::{
    DeleteShareGroupOffsetsRequest, DeleteShareGroupOffsetsRequestTopic,
};
use milena_wire::messages::delete_share_group_offsets_response::{
    DeleteShareGroupOffsetsResponse, DeleteShareGroupOffsetsResponseTopic,
};

use super::alter_share_group_offsets::{UNKNOWN_PARTITION, check_idle};
use super::{Call, Outcome, Versions};
use crate::acl::{AclOperation, Resource};
use crate::rights;
use crate::state::State;

pub(super) const VERSIONS: Versions = Versions::new(0, 0);

pub(super) fn handle(
    state: &mut State,
    call: &Call<'_>,
    request: &DeleteShareGroupOffsetsRequest,
) -> Outcome {
    if let Err((code, message)) = check(state, call, request) {
        return Outcome::Answer(failure(code, Some(message)));
    }
    let group = &*request.group_id;
    let told = request.topics.iter().map(|topic| delete(state, call, group, topic));
    // What went well comes first.
    let (done, refused): (Vec<_>, Vec<_>) = told.partition(|topic| !topic.error_code.is_error());
    let responses = done.into_iter().chain(refused).collect();
    Outcome::Answer(DeleteShareGroupOffsetsResponse { responses, ..Default::default() }.into())
}

pub(super) fn error(_: &DeleteShareGroupOffsetsRequest, code: ErrorCode) -> Response {
    failure(code, None)
}

fn check(
    state: &State,
    call: &Call<'_>,
    request: &DeleteShareGroupOffsetsRequest,
) -> Result<(), (ErrorCode, String)> {
    let group = &*request.group_id;
    check_idle(state, call, group)?;
    if state.share_groups.contains_key(group) {
        return Ok(());
    }
    Err((ErrorCode::GROUP_ID_NOT_FOUND, format!("Group {group} not found.")))
}

fn delete(
    state: &mut State,
    call: &Call<'_>,
    group: &str,
    topic: &DeleteShareGroupOffsetsRequestTopic,
) -> DeleteShareGroupOffsetsResponseTopic {
    let topic_id = state.topics.get(&*topic.topic_name).map(|topic| topic.id);
    let refused = |why: &'static str| DeleteShareGroupOffsetsResponseTopic {
        topic_name: topic.topic_name.clone(),
        error_code: ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
        error_message: Some(why.into()),
        ..Default::default()
    };
    let may = call.check(state, AclOperation::Read, Resource::Topic(&topic.topic_name));
    match topic_id {
        _ if may.is_err() => {
            let (error_code, error_message) =
                rights::refused(ErrorCode::TOPIC_AUTHORIZATION_FAILED).into_told();
            DeleteShareGroupOffsetsResponseTopic { error_code, error_message, ..refused("") }
        }
        None => refused(UNKNOWN_PARTITION),
        Some(topic_id) if state.forget_share_offsets(group, topic_id) => {
            DeleteShareGroupOffsetsResponseTopic {
                topic_name: topic.topic_name.clone(),
                topic_id,
                ..Default::default()
            }
        }
        Some(_) => refused("There is no offset information to delete."),
    }
}

fn failure(error_code: ErrorCode, message: Option<String>) -> Response {
    let error_message = message.map(milena_wire::ByteString::from);
    DeleteShareGroupOffsetsResponse { error_code, error_message, ..Default::default() }.into()
}
