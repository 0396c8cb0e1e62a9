//! AlterReplicaLogDirs (key 34), versions 1-2.
//!
//! Moves copies to another directory of the asked node (KIP-113), of which there is none.

use milena_types::ErrorCode;
use milena_wire::Response;
use milena_wire::messages::alter_replica_log_dirs_request::AlterReplicaLogDirsRequest;
use milena_wire::messages::alter_replica_log_dirs_response::{
    AlterReplicaLogDirPartitionResult, AlterReplicaLogDirTopicResult, AlterReplicaLogDirsResponse,
};

use super::describe_log_dirs::LOG_DIR;
use super::{Call, Outcome, Versions};
use crate::state::State;

pub(super) const VERSIONS: Versions = Versions::new(1, 2);

pub(super) fn handle(
    state: &mut State,
    call: &Call<'_>,
    request: &AlterReplicaLogDirsRequest,
) -> Outcome {
    Outcome::Answer(answer(request, |path, topic, index| {
        if path != LOG_DIR {
            return ErrorCode::LOG_DIR_NOT_FOUND;
        }
        match state.partition(topic, index).map(|partition| partition.end_at(call.node)) {
            None => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            Some(None) => ErrorCode::REPLICA_NOT_AVAILABLE,
            // It is there already.
            Some(Some(_)) => ErrorCode::NONE,
        }
    }))
}

pub(super) fn error(request: &AlterReplicaLogDirsRequest, code: ErrorCode) -> Response {
    answer(request, |_, _, _| code)
}

fn answer(
    request: &AlterReplicaLogDirsRequest,
    judge: impl Fn(&str, &str, i32) -> ErrorCode,
) -> Response {
    let mut results: Vec<AlterReplicaLogDirTopicResult> = Vec::new();
    for dir in &request.dirs {
        for topic in &dir.topics {
            let partitions =
                topic.partitions.iter().map(|index| AlterReplicaLogDirPartitionResult {
                    partition_index: *index,
                    error_code: judge(&dir.path, &topic.name, *index),
                });
            match results.iter_mut().find(|result| result.topic_name == topic.name) {
                Some(result) => result.partitions.extend(partitions),
                None => results.push(AlterReplicaLogDirTopicResult {
                    topic_name: topic.name.clone(),
                    partitions: partitions.collect(),
                }),
            }
        }
    }
    AlterReplicaLogDirsResponse { results, ..Default::default() }.into()
}
