//! OffsetDelete (key 47), version 0-0.
//!
//! Forgets what a group committed for partitions of topics that its members do not read (KIP-496).
//!
//! Notes: the subscriptions of members are not read, so a group with members is refused as a whole for each topic,
//! where Kafka refuses only the topics that are subscribed.

use std::collections::BTreeSet;

use milena_types::{ErrorCode, TopicPartition};
use milena_wire::messages::offset_delete_request::OffsetDeleteRequest;
use milena_wire::messages::offset_delete_response::{
    OffsetDeleteResponse, OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use milena_wire::{ByteString, Response};

use super::{Call, Outcome, Versions};
use crate::acl::{AclOperation, Resource};
use crate::state::State;
use crate::store::Entry;

pub(super) const VERSIONS: Versions = Versions::new(0, 0);

pub(super) fn handle(state: &mut State, call: &Call<'_>, request: &OffsetDeleteRequest) -> Outcome {
    if let Err(code) = state.check_coordinator(call.node, &request.group_id) {
        return Outcome::Answer(error(request, code));
    }
    let may_read = |topic: &ByteString| call.may(state, AclOperation::Read, Resource::Topic(topic));
    let readable: Vec<bool> = request.topics.iter().map(|topic| may_read(&topic.name)).collect();
    let Some(group) = state.groups.get_mut(&*request.group_id) else {
        return Outcome::Answer(error(request, ErrorCode::GROUP_ID_NOT_FOUND));
    };
    if let Err(code) = group.check_delete_offsets() {
        return Outcome::Answer(error(request, code));
    }
    let mut deleted = BTreeSet::new();
    let mut topics = Vec::with_capacity(request.topics.len());
    for (topic, may_read) in request.topics.iter().zip(readable) {
        let known = state.topics.get(&*topic.name);
        let is_subscribed = group.is_subscribed(&topic.name);
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for asked in &topic.partitions {
            let index = asked.partition_index;
            let is_there = known.is_some_and(|topic| topic.partition(index).is_some());
            let code = match (is_there, is_subscribed) {
                _ if !may_read => ErrorCode::TOPIC_AUTHORIZATION_FAILED,
                (false, _) => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
                (true, true) => ErrorCode::GROUP_SUBSCRIBED_TO_TOPIC,
                (true, false) => ErrorCode::NONE,
            };
            if !code.is_error() {
                deleted.insert(TopicPartition::new(&*topic.name, index));
            }
            partitions
                .push(OffsetDeleteResponsePartition { partition_index: index, error_code: code });
        }
        topics.push(OffsetDeleteResponseTopic { name: topic.name.clone(), partitions });
    }
    group.offsets.forget_commits(|partition| deleted.contains(partition));
    // The first coordinator looks after what it deleted from whether there is anything left.
    let is_gone = state.settings.release().has_first_coordinator()
        && !deleted.is_empty()
        && group.is_empty()
        && group.offsets.is_empty();
    let deleted = deleted.into_iter().collect();
    state.note(Entry::CommitsGone(request.group_id.to_string(), deleted));
    if is_gone {
        state.delete_group(&request.group_id);
    }
    Outcome::Answer(OffsetDeleteResponse { topics, ..Default::default() }.into())
}

pub(super) fn error(_: &OffsetDeleteRequest, code: ErrorCode) -> Response {
    OffsetDeleteResponse { error_code: code, ..Default::default() }.into()
}
