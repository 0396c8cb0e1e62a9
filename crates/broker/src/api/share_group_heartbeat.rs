//! ShareGroupHeartbeat (key 76), version 1.
//!
//! Membership of share groups (KIP-932): the member makes up its id and joins with epoch 0, leaves with -1, and is told
//! its epoch, its partitions and how often to beat. Partitions are assigned by the `simple` assignor, and only once the
//! group keeps an offset of them, which begins with the first heartbeat that subscribes to their topic: a new group is
//! first told that it has none.
//!
//! Notes: the offsets are there at the next heartbeat; a real coordinator writes them after it has answered.

use milena_types::ErrorCode;
use milena_wire::messages::share_group_heartbeat_request::ShareGroupHeartbeatRequest;
use milena_wire::messages::share_group_heartbeat_response::{
    Assignment, ShareGroupHeartbeatResponse, TopicPartitions,
};
use milena_wire::{ByteString, Response};

use super::{Call, GROUP_METADATA_BYTES_MAX, Outcome, Versions};
use crate::share::{self, Beat};
use crate::state::{Said, State};

pub(super) const VERSIONS: Versions = Versions::new(1, 1);

pub(super) fn handle(
    state: &mut State,
    call: &Call<'_>,
    request: &ShareGroupHeartbeatRequest,
) -> Outcome {
    Outcome::Answer(match beat(state, call, request) {
        Ok(response) => response.into(),
        Err((error_code, message)) => {
            let error_message = message.map(ByteString::from);
            ShareGroupHeartbeatResponse { error_code, error_message, ..Default::default() }.into()
        }
    })
}

pub(super) fn error(_: &ShareGroupHeartbeatRequest, code: ErrorCode) -> Response {
    ShareGroupHeartbeatResponse { error_code: code, ..Default::default() }.into()
}

fn beat(
    state: &mut State,
    call: &Call<'_>,
    request: &ShareGroupHeartbeatRequest,
) -> Result<ShareGroupHeartbeatResponse, Said> {
    check(state, request)?;
    let elsewhere = |code| (code, Some("This is not the correct coordinator.".to_owned()));
    state.check_committer(call.node, &request.group_id).map_err(elsewhere)?;
    let (group, member) = (&*request.group_id, &*request.member_id);
    if request.member_epoch == LEAVES {
        state.share_leave(group, member)?;
        return Ok(ShareGroupHeartbeatResponse {
            member_id: Some(request.member_id.clone()),
            member_epoch: LEAVES,
            ..Default::default()
        });
    }
    let text = |text: &ByteString| text.to_string();
    let topics = request.subscribed_topic_names.as_ref();
    let beat = Beat {
        member: member.to_owned(),
        epoch: request.member_epoch,
        rack_id: request.rack_id.as_ref().map(text),
        client_id: call.client_id.to_owned(),
        client_host: CLIENT_HOST.to_owned(),
        subscribed: topics.map(|topics| topics.iter().map(text).collect()),
    };
    let beaten = state.share_beat(call.now, group, beat)?;
    let interval = state.share_config(group).heartbeat_interval.as_millis();
    Ok(ShareGroupHeartbeatResponse {
        member_id: Some(request.member_id.clone()),
        member_epoch: beaten.epoch,
        heartbeat_interval_ms: i32::try_from(interval).unwrap_or(i32::MAX),
        assignment: beaten.assignment.map(told),
        ..Default::default()
    })
}

fn check(state: &State, request: &ShareGroupHeartbeatRequest) -> Result<(), Said> {
    let invalid = |why: &str| Err((ErrorCode::INVALID_REQUEST, Some(why.to_owned())));
    if !state.has_share_groups() {
        return Err((ErrorCode::UNSUPPORTED_VERSION, None));
    }
    if !is_legal_member(&request.member_id) {
        return Err((ErrorCode::INVALID_REQUEST, None));
    }
    if request.group_id.is_empty() {
        return invalid("GroupId can't be empty.");
    }
    if request.rack_id.as_ref().is_some_and(|rack| rack.is_empty()) {
        return invalid("RackId can't be empty.");
    }
    let has_topics =
        request.subscribed_topic_names.as_ref().is_some_and(|topics| !topics.is_empty());
    if request.member_epoch == 0 && !has_topics {
        return invalid("SubscribedTopicNames must be set in first request.");
    }
    let names = request.subscribed_topic_names.iter().flatten();
    if names.map(|name| name.len().saturating_add(2)).sum::<usize>() > GROUP_METADATA_BYTES_MAX {
        return Err((ErrorCode::UNKNOWN_SERVER_ERROR, None));
    }
    if request.member_epoch < LEAVES {
        return invalid("MemberEpoch is invalid.");
    }
    Ok(())
}

/// Kafka takes ids up to the length of a UUID in text.
pub(super) fn is_legal_member(member: &str) -> bool {
    !member.is_empty() && member.encode_utf16().count() <= 36
}

fn told(assignment: share::Assignment) -> Assignment {
    let topics = assignment.into_iter().filter(|(_, partitions)| !partitions.is_empty());
    let topic_partitions = topics.map(|(topic_id, partitions)| TopicPartitions {
        topic_id,
        partitions: partitions.into_iter().collect(),
    });
    Assignment { topic_partitions: topic_partitions.collect() }
}

/// The epoch of a member that leaves.
const LEAVES: i32 = -1;

/// Clients are taken to be on this machine.
pub(super) const CLIENT_HOST: &str = "/127.0.0.1";
