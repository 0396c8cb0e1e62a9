//! DescribeShareGroupOffsets (key 90), versions 0-1.
//!
//! Where a share group's partitions begin: everything below is done with. From version 1 on also how many records are
//! left to do (KIP-1226).
//!
//! Notes: the offset moves one acknowledgement later than the records are done with, as in Kafka; the lag does not lag.

use milena_types::{ErrorCode, Offset, Uuid};
use milena_wire::messages::describe_share_group_offsets_request::{
    DescribeShareGroupOffsetsRequest, DescribeShareGroupOffsetsRequestGroup,
};
use milena_wire::messages::describe_share_group_offsets_response::{
    DescribeShareGroupOffsetsResponse, DescribeShareGroupOffsetsResponseGroup,
    DescribeShareGroupOffsetsResponsePartition, DescribeShareGroupOffsetsResponseTopic,
};
use milena_wire::{ByteString, Response};

use super::{Call, Outcome, Versions};
use crate::acl::{AclOperation, Resource};
use crate::rights::refused;
use crate::share::ShareKey;
use crate::state::State;

pub(super) const VERSIONS: Versions = Versions::new(0, 1);

pub(super) fn handle(
    state: &mut State,
    call: &Call<'_>,
    request: &DescribeShareGroupOffsetsRequest,
) -> Outcome {
    let groups = request.groups.iter().map(|group| describe(state, call, group)).collect();
    Outcome::Answer(DescribeShareGroupOffsetsResponse { groups, ..Default::default() }.into())
}

pub(super) fn error(request: &DescribeShareGroupOffsetsRequest, code: ErrorCode) -> Response {
    let groups = request.groups.iter().map(|group| failure(&group.group_id, code)).collect();
    DescribeShareGroupOffsetsResponse { groups, ..Default::default() }.into()
}

fn describe(
    state: &State,
    call: &Call<'_>,
    asked: &DescribeShareGroupOffsetsRequestGroup,
) -> DescribeShareGroupOffsetsResponseGroup {
    let group_id = &asked.group_id;
    if !state.has_share_groups() {
        return failure(group_id, ErrorCode::UNSUPPORTED_VERSION);
    }
    let may = call.check(state, AclOperation::Describe, Resource::Group(group_id));
    if let Err(code) = may.and_then(|()| state.check_committer(call.node, group_id)) {
        return failure(group_id, code);
    }
    let is_seen = |topic: &str| call.may(state, AclOperation::Describe, Resource::Topic(topic));
    let partition = |topic_id: Uuid, index: i32| partition(state, group_id, topic_id, index);
    let topics: Vec<_> = match &asked.topics {
        None => {
            let group = state.share_groups.get(&**group_id);
            let kept = group.into_iter().flat_map(|group| group.initialized());
            let topic = |(topic_id, indexes): (&Uuid, &std::collections::BTreeSet<i32>)| {
                let name = state.topic_ids.get(topic_id).filter(|name| is_seen(name.as_str()))?;
                Some(DescribeShareGroupOffsetsResponseTopic {
                    topic_name: name.as_str().into(),
                    topic_id: *topic_id,
                    partitions: indexes.iter().map(|index| partition(*topic_id, *index)).collect(),
                })
            };
            kept.filter_map(topic).collect()
        }
        Some(topics) => {
            // Topics that are not there come last.
            let (known, unknown): (Vec<_>, Vec<_>) =
                topics.iter().partition(|topic| state.topics.contains_key(&*topic.topic_name));
            let all = known.into_iter().chain(unknown);
            let topic = all.map(|topic| {
                let is_seen = is_seen(&topic.topic_name);
                let id = state.topics.get(&*topic.topic_name).map(|topic| topic.id);
                let id = id.filter(|_| is_seen);
                let describe = |index: &i32| match id {
                    None if !is_seen => {
                        let (error_code, error_message) =
                            refused(ErrorCode::TOPIC_AUTHORIZATION_FAILED).into_told();
                        DescribeShareGroupOffsetsResponsePartition {
                            error_code,
                            error_message,
                            ..blank(*index)
                        }
                    }
                    Some(id) => partition(id, *index),
                    // Said with a lag of 0 only here.
                    None => {
                        DescribeShareGroupOffsetsResponsePartition { lag: NO_LAG, ..blank(*index) }
                    }
                };
                DescribeShareGroupOffsetsResponseTopic {
                    topic_name: topic.topic_name.clone(),
                    topic_id: id.unwrap_or(Uuid::ZERO),
                    partitions: topic.partitions.iter().map(describe).collect(),
                }
            });
            topic.collect()
        }
    };
    DescribeShareGroupOffsetsResponseGroup { topics, ..failure(group_id, ErrorCode::NONE) }
}

fn partition(
    state: &State,
    group_id: &ByteString,
    topic_id: Uuid,
    index: i32,
) -> DescribeShareGroupOffsetsResponsePartition {
    let key = ShareKey { group: group_id.to_string(), topic_id, partition: index };
    let Some(stored) = state.share_partitions.get(&key) else { return blank(index) };
    let topic = state.topic_ids.get(&topic_id);
    let log = topic.and_then(|topic| state.partition(topic.as_str(), index));
    let lag = stored.start.zip(stored.done).zip(log);
    let lag = lag.map(|((start, done), log)| log.high_watermark().get() - start.get() - done);
    DescribeShareGroupOffsetsResponsePartition {
        start_offset: stored.start.map_or(NO_OFFSET, Offset::get),
        leader_epoch: stored.leader_epoch.get(),
        lag: lag.unwrap_or(NO_LAG),
        ..blank(index)
    }
}

fn blank(partition_index: i32) -> DescribeShareGroupOffsetsResponsePartition {
    DescribeShareGroupOffsetsResponsePartition {
        partition_index,
        start_offset: NO_OFFSET,
        lag: NO_LAG,
        ..Default::default()
    }
}

fn failure(group_id: &ByteString, error_code: ErrorCode) -> DescribeShareGroupOffsetsResponseGroup {
    DescribeShareGroupOffsetsResponseGroup {
        group_id: group_id.clone(),
        error_code,
        ..Default::default()
    }
}

const NO_OFFSET: i64 = -1;
const NO_LAG: i64 = -1;
