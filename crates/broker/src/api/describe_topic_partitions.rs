//! DescribeTopicPartitions (key 75), version 0.
//!
//! Topics by name, as many partitions at a time as are asked for, and where to go on (KIP-966).
//!
//! Notes: no replica is ever eligible to lead besides those in sync.

use std::collections::BTreeSet;

use milena_types::{ErrorCode, Topic};
use milena_wire::messages::describe_topic_partitions_request::DescribeTopicPartitionsRequest;
use milena_wire::messages::describe_topic_partitions_response::{
    Cursor, DescribeTopicPartitionsResponse, DescribeTopicPartitionsResponsePartition,
    DescribeTopicPartitionsResponseTopic,
};
use milena_wire::{ByteString, Response};

use super::metadata::describe_partition;
use super::{AUTHORIZED_TOPIC, Call, Outcome, Versions};
use crate::acl::{AclOperation, Resource};
use crate::state::{State, is_internal};
use crate::topic::{Partition, is_legal_topic_name};

pub(super) const VERSIONS: Versions = Versions::new(0, 0);

pub(super) fn handle(
    state: &mut State,
    call: &Call<'_>,
    request: &DescribeTopicPartitionsRequest,
) -> Outcome {
    let cursor = request.cursor.as_ref();
    let from = cursor.map_or("", |cursor| &*cursor.topic_name);
    let is_of_all = request.topics.is_empty();
    let names: BTreeSet<&str> = match is_of_all {
        true => state.topics.keys().map(Topic::as_str).collect(),
        false => request.topics.iter().map(|topic| &*topic.name).collect(),
    };
    let is_stray = cursor
        .is_some_and(|cursor| (!is_of_all && !names.contains(from)) || cursor.partition_index < 0);
    if is_stray {
        return Outcome::Answer(error(request, ErrorCode::INVALID_REQUEST));
    }
    let is_seen = |name: &&str| call.may(state, AclOperation::Describe, Resource::Topic(name));
    let (names, hidden): (BTreeSet<&str>, BTreeSet<&str>) =
        names.into_iter().filter(|name| *name >= from).partition(is_seen);
    let limit = request.response_partition_limit.clamp(1, PARTITIONS_MAX);
    let mut left = usize::try_from(limit).unwrap_or(1);
    let mut response = DescribeTopicPartitionsResponse::default();
    for name in names {
        let operations = call.operations(state, AUTHORIZED_TOPIC, Resource::Topic(name));
        let next = |partition_index| Some(Cursor { topic_name: name.into(), partition_index });
        if left == 0 {
            response.next_cursor = next(0);
            break;
        }
        let Some(topic) = state.topics.get(name) else {
            response.topics.push(unknown(name, operations));
            continue;
        };
        let begin = cursor.filter(|cursor| *cursor.topic_name == *name);
        let begin = begin.map_or(0, |cursor| cursor.partition_index);
        let mut rest = topic.indexed().skip_while(|(index, _)| *index < begin);
        let described = rest.by_ref().take(left).map(|(index, one)| describe(state, index, one));
        let partitions: Vec<_> = described.collect();
        left -= partitions.len();
        response.topics.push(DescribeTopicPartitionsResponseTopic {
            name: Some(name.into()),
            topic_id: topic.id,
            is_internal: topic.is_internal,
            partitions,
            topic_authorized_operations: operations,
            ..Default::default()
        });
        if let Some((index, _)) = rest.next() {
            response.next_cursor = next(index);
            break;
        }
    }
    if !is_of_all {
        response.topics.extend(hidden.into_iter().map(|name| {
            let error_code = ErrorCode::TOPIC_AUTHORIZATION_FAILED;
            let name = Some(name.into());
            DescribeTopicPartitionsResponseTopic { error_code, name, ..Default::default() }
        }));
    }
    Outcome::Answer(response.into())
}

pub(super) fn error(request: &DescribeTopicPartitionsRequest, code: ErrorCode) -> Response {
    let failed = |name: &ByteString| DescribeTopicPartitionsResponseTopic {
        error_code: code,
        name: Some(name.clone()),
        ..Default::default()
    };
    let topics = request.topics.iter().map(|topic| failed(&topic.name)).collect();
    DescribeTopicPartitionsResponse { topics, ..Default::default() }.into()
}

fn unknown(name: &str, operations: i32) -> DescribeTopicPartitionsResponseTopic {
    let is_legal = is_legal_topic_name(name);
    let unknown = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
    DescribeTopicPartitionsResponseTopic {
        error_code: if is_legal { unknown } else { ErrorCode::INVALID_TOPIC_EXCEPTION },
        name: Some(name.into()),
        is_internal: is_internal(&Topic::from(name)),
        topic_authorized_operations: operations,
        ..Default::default()
    }
}

fn describe(
    state: &State,
    index: i32,
    partition: &Partition,
) -> DescribeTopicPartitionsResponsePartition {
    let told = describe_partition(state, index, partition);
    DescribeTopicPartitionsResponsePartition {
        error_code: told.error_code,
        partition_index: told.partition_index,
        leader_id: told.leader_id,
        leader_epoch: told.leader_epoch,
        replica_nodes: told.replica_nodes,
        isr_nodes: told.isr_nodes,
        eligible_leader_replicas: Some(Vec::new()),
        last_known_elr: Some(Vec::new()),
        offline_replicas: told.offline_replicas,
    }
}

/// `max.request.partition.size.limit`.
const PARTITIONS_MAX: i32 = 2000;
