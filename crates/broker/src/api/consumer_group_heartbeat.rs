//! ConsumerGroupHeartbeat (key 68), versions 0-1.
//!
//! A member of a group of the consumer protocol joins (epoch 0), goes on, or leaves (-1, or -2 for a static member that
//! comes back), and hears its epoch and what it may read (KIP-848). Version 1 has regular expressions and wants every
//! member to bring its own id.
//!
//! Notes: a regular expression is resolved right after the heartbeat that brought it is answered, to topics that the
//! client of that heartbeat may see. Its syntax is that of
//! Rust's `regex`, which is RE2's but for rare classes; what is wrong with one is told in other words.

use std::collections::BTreeSet;
use std::time::Duration;

use milena_types::{ErrorCode, MemberEpoch, Topic};
use milena_wire::messages::consumer_group_heartbeat_request::ConsumerGroupHeartbeatRequest;
use milena_wire::messages::consumer_group_heartbeat_response::{
    Assignment, ConsumerGroupHeartbeatResponse, TopicPartitions,
};
use milena_wire::{ByteString, Response};

use super::{Call, GROUP_METADATA_BYTES_MAX, Outcome, Versions};
use crate::group::consumer::{AWAY, Assigned};
use crate::group::{Assignor, Beat, Heartbeat, Step};
use crate::state::{Refused, State};

pub(super) const VERSIONS: Versions = Versions::new(0, 1);

pub(super) fn handle(
    state: &mut State,
    call: &Call<'_>,
    request: &ConsumerGroupHeartbeatRequest,
) -> Outcome {
    Outcome::Answer(match take(state, call, request) {
        Ok(response) => response.into(),
        Err(refused) => failure(refused),
    })
}

pub(super) fn error(_: &ConsumerGroupHeartbeatRequest, code: ErrorCode) -> Response {
    failure(Refused::without_reason(code))
}

fn take(
    state: &mut State,
    call: &Call<'_>,
    request: &ConsumerGroupHeartbeatRequest,
) -> Result<ConsumerGroupHeartbeatResponse, Refused> {
    if state.settings.group_version < 1 {
        return Err(Refused::without_reason(ErrorCode::UNSUPPORTED_VERSION));
    }
    check(call.version, request)?;
    let names = request.subscribed_topic_names.iter().flatten();
    if names.map(|name| name.len().saturating_add(2)).sum::<usize>() > GROUP_METADATA_BYTES_MAX {
        return Err(Refused::without_reason(ErrorCode::UNKNOWN_SERVER_ERROR));
    }
    let coordinated = state.check_coordinator(call.node, &request.group_id);
    coordinated.map_err(|code| match code {
        ErrorCode::NOT_COORDINATOR => Refused::new(code, "This is not the correct coordinator."),
        code => Refused::without_reason(code),
    })?;
    let heartbeat = read(state, call, request)?;
    let id = &request.group_id;
    if state.share_groups.contains_key(&**id) {
        let message = format!("Group {id} is not a consumer group.");
        return Err(Refused::new(ErrorCode::GROUP_ID_NOT_FOUND, message));
    }
    if !state.groups.contains_key(&**id) {
        let message = match heartbeat.step {
            _ if state.share_groups.contains_key(&**id) => {
                Some(format!("Group {id} is not a consumer group."))
            }
            Step::Join => None,
            Step::Continue(_) => Some(format!("Consumer group {id} not found.")),
            Step::Leave | Step::LeaveForAWhile => Some(format!("Group {id} not found.")),
        };
        if let Some(message) = message {
            return Err(Refused::new(ErrorCode::GROUP_ID_NOT_FOUND, message));
        }
    }
    state.ensure_group(call.now, id).map_err(Refused::without_reason)?;
    let now = call.now;
    let beat = state
        .with_group_for(Some(call.asker()), id, |group, around| {
            group.consumer_heartbeat(now, &heartbeat, around)
        })
        .unwrap_or_else(|| Err(Refused::without_reason(ErrorCode::GROUP_ID_NOT_FOUND)))?;
    let interval = state.settings.consumer_groups.heartbeat_interval.as_millis();
    Ok(respond(&heartbeat, beat, i32::try_from(interval).unwrap_or(i32::MAX)))
}

/// What Kafka checks before it looks at the group.
fn check(version: i16, request: &ConsumerGroupHeartbeatRequest) -> Result<(), Refused> {
    let refuse = |message: &str| Err(Refused::new(ErrorCode::INVALID_REQUEST, message));
    let is_empty = |text: &Option<ByteString>| text.as_ref().is_some_and(|text| is_blank(text));
    let epoch = request.member_epoch;
    if (version >= 1 || epoch > 0 || epoch == LEAVE) && is_blank(&request.member_id) {
        return refuse("MemberId can't be empty.");
    }
    if is_blank(&request.group_id) {
        return refuse("GroupId can't be empty.");
    }
    if is_empty(&request.instance_id) {
        return refuse("InstanceId can't be empty.");
    }
    if is_empty(&request.rack_id) {
        return refuse("RackId can't be empty.");
    }
    if epoch == JOIN {
        if request.rebalance_timeout_ms == UNCHANGED {
            return refuse("RebalanceTimeoutMs must be provided in first request.");
        }
        if request.topic_partitions.as_ref().is_none_or(|owned| !owned.is_empty()) {
            return refuse("TopicPartitions must be empty when (re-)joining.");
        }
        if request.subscribed_topic_names.is_none() && request.subscribed_topic_regex.is_none() {
            return refuse(
                "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.",
            );
        }
    } else if epoch == AWAY && request.instance_id.is_none() {
        return refuse("InstanceId can't be null.");
    } else if epoch < AWAY {
        return refuse("MemberEpoch is invalid.");
    }
    Ok(())
}

fn is_blank(text: &str) -> bool {
    text.trim().is_empty()
}

fn read(
    state: &mut State,
    call: &Call<'_>,
    request: &ConsumerGroupHeartbeatRequest,
) -> Result<Heartbeat, Refused> {
    let text = |text: &Option<ByteString>| text.as_ref().map(ByteString::to_string);
    let step = match request.member_epoch {
        JOIN => Step::Join,
        LEAVE => Step::Leave,
        AWAY => Step::LeaveForAWhile,
        epoch => MemberEpoch::from_wire(epoch).map_or(Step::Leave, Step::Continue),
    };
    let named = |topics: &Vec<ByteString>| topics.iter().map(|name| Topic::from(&**name)).collect();
    let member_id = match request.member_id.is_empty() {
        true => state.draw_uuid().to_string(),
        false => request.member_id.to_string(),
    };
    Ok(Heartbeat {
        step,
        member_id,
        instance_id: text(&request.instance_id),
        client_id: call.client_id.to_owned(),
        client_host: "/127.0.0.1".to_owned(),
        rack_id: text(&request.rack_id),
        rebalance_timeout: u64::try_from(request.rebalance_timeout_ms)
            .ok()
            .map(Duration::from_millis),
        topics: request.subscribed_topic_names.as_ref().map(named),
        pattern: text(&request.subscribed_topic_regex),
        assignor: request.server_assignor.as_ref().map(|name| assignor(name)).transpose()?,
        owned: request.topic_partitions.as_ref().map(|owned| {
            let topics = owned.iter().filter(|topic| !topic.partitions.is_empty());
            topics
                .map(|t| (t.topic_id, t.partitions.iter().copied().collect::<BTreeSet<_>>()))
                .collect()
        }),
    })
}

fn assignor(name: &str) -> Result<Assignor, Refused> {
    Assignor::by_name(name).ok_or_else(|| {
        let all = Assignor::ALL.map(Assignor::name).join(", ");
        let message =
            format!("ServerAssignor {name} is not supported. Supported assignors: {all}.");
        Refused::new(ErrorCode::UNSUPPORTED_ASSIGNOR, message)
    })
}

fn respond(heartbeat: &Heartbeat, beat: Beat, interval_ms: i32) -> ConsumerGroupHeartbeatResponse {
    let topic = |(topic_id, partitions): (_, std::collections::BTreeMap<i32, _>)| TopicPartitions {
        topic_id,
        partitions: partitions.into_keys().collect(),
    };
    let assignment = |assigned: Assigned| Assignment {
        topic_partitions: assigned.into_iter().map(topic).collect(),
    };
    let leaving = match heartbeat.step {
        Step::Leave => Some(LEAVE),
        Step::LeaveForAWhile => Some(AWAY),
        Step::Join | Step::Continue(_) => None,
    };
    ConsumerGroupHeartbeatResponse {
        member_id: Some(beat.member_id.into()),
        member_epoch: leaving.unwrap_or_else(|| MemberEpoch::to_wire(beat.epoch)),
        heartbeat_interval_ms: if leaving.is_some() { 0 } else { interval_ms },
        assignment: beat.assigned.map(assignment),
        ..Default::default()
    }
}

fn failure(refused: Refused) -> Response {
    let (error_code, error_message) = refused.into_told();
    ConsumerGroupHeartbeatResponse { error_code, error_message, ..Default::default() }.into()
}

const JOIN: i32 = 0;
const LEAVE: i32 = -1;
const UNCHANGED: i32 = -1;
