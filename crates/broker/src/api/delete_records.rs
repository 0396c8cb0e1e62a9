//! DeleteRecords (key 21), versions 0-2.
//!
//! Moves the start of a partition up to an offset, or (-1) to the high watermark.
//!
//! Notes: no replica is waited for, as all share one log.

use milena_types::{ErrorCode, Offset, TopicPartition};
use milena_wire::Response;
use milena_wire::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsRequest};
use milena_wire::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsResponse, DeleteRecordsTopicResult,
};

use super::{Call, Outcome, Versions};
use crate::acl::{AclOperation, Resource};
use crate::state::State;

pub(super) const VERSIONS: Versions = Versions::new(0, 2);

pub(super) fn handle(
    state: &mut State,
    call: &Call<'_>,
    request: &DeleteRecordsRequest,
) -> Outcome {
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in &request.topics {
        let partitions = topic.partitions.iter().map(|asked| {
            let deleted = delete(state, call, &topic.name, asked);
            answer(asked, deleted)
        });
        let partitions = partitions.collect();
        topics.push(DeleteRecordsTopicResult { name: topic.name.clone(), partitions });
    }
    Outcome::Answer(DeleteRecordsResponse { topics, ..Default::default() }.into())
}

pub(super) fn error(request: &DeleteRecordsRequest, code: ErrorCode) -> Response {
    let topics = request.topics.iter().map(|topic| DeleteRecordsTopicResult {
        name: topic.name.clone(),
        partitions: topic.partitions.iter().map(|asked| answer(asked, Err(code))).collect(),
    });
    DeleteRecordsResponse { topics: topics.collect(), ..Default::default() }.into()
}

fn delete(
    state: &mut State,
    call: &Call<'_>,
    topic: &str,
    asked: &DeleteRecordsPartition,
) -> Result<Offset, ErrorCode> {
    call.check(state, AclOperation::Delete, Resource::Topic(topic))?;
    let unknown = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
    let is_deleted =
        state.topics.get(topic).is_some_and(|topic| topic.config.on(Some(call.node)).is_deleted);
    let partition = state.partition_mut(topic, asked.partition_index).ok_or(unknown)?;
    partition.check_leader(call.node, None).map_err(|failed| failed.0)?;
    if !is_deleted {
        // What is only compacted keeps the last record of each key.
        return Err(ErrorCode::POLICY_VIOLATION);
    }
    let end = partition.high_watermark();
    let start = match asked.offset {
        -1 => end,
        offset => Offset::new(offset).ok_or(ErrorCode::OFFSET_OUT_OF_RANGE)?,
    };
    if start > end {
        return Err(ErrorCode::OFFSET_OUT_OF_RANGE);
    }
    partition.delete_before(start);
    let start = partition.log().start();
    state.touch(&TopicPartition::new(topic, asked.partition_index));
    Ok(start)
}

fn answer(
    asked: &DeleteRecordsPartition,
    deleted: Result<Offset, ErrorCode>,
) -> DeleteRecordsPartitionResult {
    DeleteRecordsPartitionResult {
        partition_index: asked.partition_index,
        low_watermark: deleted.map_or(-1, Offset::get),
        error_code: deleted.err().unwrap_or(ErrorCode::NONE),
    }
}
