//! AlterShareGroupOffsets (key 91), version 0.
//!
//! Sets where an empty share group goes on reading; what was delivered of it counts no more. Makes the group.
//!
//! Notes: takes effect at once. A real leader whose window is open notices at its next write.

use milena_types::{ErrorCode, Offset, Topic, Uuid};
use milena_wire::Response;
use milena_wire::messages::alter_share_group_offsets_request::{
    AlterShareGroupOffsetsRequest, AlterShareGroupOffsetsRequestTopic,
};
use milena_wire::messages::alter_share_group_offsets_response::{
    AlterShareGroupOffsetsResponse, AlterShareGroupOffsetsResponsePartition,
    AlterShareGroupOffsetsResponseTopic,
};

use super::{Call, Outcome, Versions};
use crate::acl::{AclOperation, Resource};
use crate::rights::refused;
use crate::share::ShareKey;
use crate::state::State;

pub(super) const VERSIONS: Versions = Versions::new(0, 0);

pub(super) fn handle(
    state: &mut State,
    call: &Call<'_>,
    request: &AlterShareGroupOffsetsRequest,
) -> Outcome {
    if let Err((code, message)) = check_idle(state, call, &request.group_id) {
        return Outcome::Answer(failure(code, message));
    }
    if let Err(code) = state.ensure_share_group(&request.group_id) {
        return Outcome::Answer(failure(code, String::new()));
    }
    // Topics that are not there come first.
    let (known, unknown): (Vec<_>, Vec<_>) =
        request.topics.iter().partition(|topic| state.topics.contains_key(&*topic.topic_name));
    let all = unknown.into_iter().chain(known);
    let responses = all.map(|topic| alter(state, call, &request.group_id, topic)).collect();
    Outcome::Answer(AlterShareGroupOffsetsResponse { responses, ..Default::default() }.into())
}

pub(super) fn error(_: &AlterShareGroupOffsetsRequest, code: ErrorCode) -> Response {
    failure(code, String::new())
}

/// Whether the offsets of a share group may be changed: no, if it has members or is a group of another kind.
pub(super) fn check_idle(
    state: &State,
    call: &Call<'_>,
    group: &str,
) -> Result<(), (ErrorCode, String)> {
    if !state.has_share_groups() {
        return Err((ErrorCode::UNSUPPORTED_VERSION, String::new()));
    }
    if group.is_empty() {
        return Err((ErrorCode::INVALID_GROUP_ID, INVALID_GROUP.to_owned()));
    }
    state.check_committer(call.node, group).map_err(|code| (code, String::new()))?;
    if state.groups.contains_key(group) {
        let message = format!("Group {group} is not a share group.");
        return Err((ErrorCode::GROUP_ID_NOT_FOUND, message));
    }
    if state.share_groups.get(group).is_some_and(|group| !group.members().is_empty()) {
        return Err((ErrorCode::NON_EMPTY_GROUP, NOT_EMPTY.to_owned()));
    }
    Ok(())
}

fn alter(
    state: &mut State,
    call: &Call<'_>,
    group: &str,
    topic: &AlterShareGroupOffsetsRequestTopic,
) -> AlterShareGroupOffsetsResponseTopic {
    let name = Topic::from(&*topic.topic_name);
    let may = call.check(state, AclOperation::Read, Resource::Topic(name.as_str()));
    let topic_id = state.topics.get(&name).map(|topic| topic.id).filter(|_| may.is_ok());
    let mut partitions = Vec::with_capacity(topic.partitions.len());
    for asked in &topic.partitions {
        let index = asked.partition_index;
        let found = topic_id.filter(|_| state.partition(name.as_str(), index).is_some());
        let mut told = AlterShareGroupOffsetsResponsePartition {
            partition_index: index,
            ..Default::default()
        };
        if let Err(code) = may {
            (told.error_code, told.error_message) = refused(code).into_told();
        } else if let Some(topic_id) = found {
            let key = ShareKey { group: group.to_owned(), topic_id, partition: index };
            state.set_share_offset(key, Offset::new(asked.start_offset));
        } else {
            told.error_code = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
            told.error_message = Some(UNKNOWN_PARTITION.into());
        }
        partitions.push(told);
    }
    AlterShareGroupOffsetsResponseTopic {
        topic_name: topic.topic_name.clone(),
        topic_id: topic_id.unwrap_or(Uuid::ZERO),
        partitions,
    }
}

fn failure(error_code: ErrorCode, message: String) -> Response {
    let error_message = Some(message.into());
    AlterShareGroupOffsetsResponse { error_code, error_message, ..Default::default() }.into()
}

pub(super) const UNKNOWN_PARTITION: &str = "This server does not host this topic-partition.";
const INVALID_GROUP: &str = "The group id is invalid.";
const NOT_EMPTY: &str = "The group is not empty.";
