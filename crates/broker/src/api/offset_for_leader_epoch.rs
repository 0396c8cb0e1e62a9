//! OffsetForLeaderEpoch (key 23), versions 2-4.
//!
//! Where the newest leader epoch not newer than the one asked for ends, so that a reader finds where its past and the
//! log part (KIP-320).
//!
//! Notes: an epoch that is newer than any known here is answered by -1, as Kafka does.

use milena_types::{ErrorCode, LeaderEpoch};
use milena_wire::Response;
use milena_wire::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderEpochRequest, OffsetForLeaderPartition,
};
use milena_wire::messages::offset_for_leader_epoch_response::{
    EpochEndOffset, OffsetForLeaderEpochResponse, OffsetForLeaderTopicResult,
};

use super::{Call, Outcome, Versions};
use crate::acl::{AclOperation, Resource};
use crate::state::State;
use crate::storage::EpochEnd;

pub(super) const VERSIONS: Versions = Versions::new(2, 4);

pub(super) fn handle(
    state: &mut State,
    call: &Call<'_>,
    request: &OffsetForLeaderEpochRequest,
) -> Outcome {
    let topics = request.topics.iter().map(|topic| OffsetForLeaderTopicResult {
        topic: topic.topic.clone(),
        partitions: topic
            .partitions
            .iter()
            .map(|asked| answer(asked, find(state, call, &topic.topic, asked)))
            .collect(),
    });
    let topics = topics.collect();
    Outcome::Answer(OffsetForLeaderEpochResponse { topics, ..Default::default() }.into())
}

pub(super) fn error(request: &OffsetForLeaderEpochRequest, code: ErrorCode) -> Response {
    let topics = request.topics.iter().map(|topic| OffsetForLeaderTopicResult {
        topic: topic.topic.clone(),
        partitions: topic.partitions.iter().map(|asked| answer(asked, Err(code))).collect(),
    });
    OffsetForLeaderEpochResponse { topics: topics.collect(), ..Default::default() }.into()
}

fn find(
    state: &State,
    call: &Call<'_>,
    topic: &str,
    asked: &OffsetForLeaderPartition,
) -> Result<Option<EpochEnd>, ErrorCode> {
    call.check(state, AclOperation::ClusterAction, Resource::Cluster)
        .or_else(|_| call.check(state, AclOperation::Describe, Resource::Topic(topic)))?;
    let unknown = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
    let partition = state.partition(topic, asked.partition).ok_or(unknown)?;
    let known = LeaderEpoch::from_wire(asked.current_leader_epoch);
    partition.check_leader(call.node, known).map_err(|failed| failed.0)?;
    Ok(LeaderEpoch::from_wire(asked.leader_epoch).and_then(|epoch| partition.end_of_epoch(epoch)))
}

fn answer(
    asked: &OffsetForLeaderPartition,
    found: Result<Option<EpochEnd>, ErrorCode>,
) -> EpochEndOffset {
    let end = found.ok().flatten();
    EpochEndOffset {
        error_code: found.err().unwrap_or(ErrorCode::NONE),
        partition: asked.partition,
        leader_epoch: LeaderEpoch::to_wire(end.map(|end| end.epoch)),
        end_offset: end.map_or(-1, |end| end.end.get()),
    }
}
