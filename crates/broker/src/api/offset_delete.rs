//! OffsetDelete (key 47), version 0-0.
//!
//! Forgets what a group committed for partitions of topics that its members do not read (KIP-496).
//!
//! Notes: the subscriptions of members are not read, so a group with members is refused as a whole for each topic,
//! where Kafka refuses only the topics that are subscribed.

use std::collections::BTreeSet;

use milena_types::{ErrorCode, TopicPartition};
use milena_wire::Response;
use milena_wire::messages::offset_delete_request::{
    OffsetDeleteRequest, OffsetDeleteRequestPartition,
};
use milena_wire::messages::offset_delete_response::{
    OffsetDeleteResponse, OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};

use super::{Call, Outcome, Versions};
use crate::state::State;

pub(super) const VERSIONS: Versions = Versions::new(0, 0);

pub(super) fn handle(state: &mut State, call: &Call<'_>, request: &OffsetDeleteRequest) -> Outcome {
    if let Err(code) = state.check_coordinator(call.node, &request.group_id) {
        return Outcome::Answer(error(request, code));
    }
    let Some(group) = state.groups.get_mut(&*request.group_id) else {
        return Outcome::Answer(error(request, ErrorCode::GROUP_ID_NOT_FOUND));
    };
    let is_used = group.members().next().is_some();
    let code = if is_used { ErrorCode::GROUP_SUBSCRIBED_TO_TOPIC } else { ErrorCode::NONE };
    if !is_used {
        let named: BTreeSet<_> = request
            .topics
            .iter()
            .flat_map(|topic| {
                let name = &*topic.name;
                topic.partitions.iter().map(move |p| TopicPartition::new(name, p.partition_index))
            })
            .collect();
        group.forget_commits(|partition| named.contains(partition));
    }
    let topics = request.topics.iter().map(|topic| {
        let answer = |asked: &OffsetDeleteRequestPartition| {
            let exists = state.partition(&topic.name, asked.partition_index).is_some();
            OffsetDeleteResponsePartition {
                partition_index: asked.partition_index,
                error_code: if exists { code } else { ErrorCode::UNKNOWN_TOPIC_OR_PARTITION },
            }
        };
        let partitions = topic.partitions.iter().map(answer).collect();
        OffsetDeleteResponseTopic { name: topic.name.clone(), partitions }
    });
    Outcome::Answer(OffsetDeleteResponse { topics: topics.collect(), ..Default::default() }.into())
}

pub(super) fn error(_: &OffsetDeleteRequest, code: ErrorCode) -> Response {
    OffsetDeleteResponse { error_code: code, ..Default::default() }.into()
}
