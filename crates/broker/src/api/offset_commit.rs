//! OffsetCommit (key 8), versions 2-10.
//!
//! Stores offsets for a member of the present generation, or for anyone while the group has no members.
//!
//! Notes: topic ids from version 10 on. Commits do not expire (Kafka: `offsets.retention.minutes`, 7 days).

use milena_types::{ErrorCode, Generation, LeaderEpoch, Offset, TopicPartition};
use milena_wire::messages::offset_commit_request::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use milena_wire::messages::offset_commit_response::{
    OffsetCommitResponse, OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use milena_wire::{ByteString, Response};

use super::{Call, Outcome, Versions};
use crate::fetch::TopicKey;
use crate::group::{Commit, Committed, Identity};
use crate::journal::AcceptedCommit;
use crate::state::State;

pub(super) const VERSIONS: Versions = Versions::new(2, 10);

pub(super) fn handle(state: &mut State, call: &Call<'_>, request: &OffsetCommitRequest) -> Outcome {
    if let Err(code) = check(state, call, request) {
        return Outcome::Answer(error(request, code));
    }
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in &request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for asked in &topic.partitions {
            let committed = commit(state, call, request, topic, asked);
            partitions.push(answer(asked, committed.err().unwrap_or(ErrorCode::NONE)));
        }
        topics.push(answer_topic(topic, partitions));
    }
    Outcome::Answer(OffsetCommitResponse { topics, ..Default::default() }.into())
}

pub(super) fn error(request: &OffsetCommitRequest, code: ErrorCode) -> Response {
    let topic = |topic: &OffsetCommitRequestTopic| {
        answer_topic(topic, topic.partitions.iter().map(|asked| answer(asked, code)).collect())
    };
    let topics = request.topics.iter().map(topic).collect();
    OffsetCommitResponse { topics, ..Default::default() }.into()
}

fn check(
    state: &mut State,
    call: &Call<'_>,
    request: &OffsetCommitRequest,
) -> Result<(), ErrorCode> {
    state.check_committer(call.node, &request.group_id)?;
    let identity = Identity {
        member_id: request.member_id.to_string(),
        instance_id: request.group_instance_id.as_ref().map(ByteString::to_string),
        generation: Generation::from_wire(request.generation_id_or_member_epoch),
    };
    if !state.groups.contains_key(&*request.group_id) {
        if identity.generation.is_some() {
            // KIP-848 gave the group its own code.
            let is_new = call.version >= 9;
            return Err(if is_new {
                ErrorCode::GROUP_ID_NOT_FOUND
            } else {
                ErrorCode::ILLEGAL_GENERATION
            });
        }
        state.ensure_group(&request.group_id);
    }
    // Straight to the group: with_group would forget one that is still empty.
    let group = state.groups.get_mut(&*request.group_id).ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?;
    let checked = group.check_commit(call.now, &identity);
    state.arm_group(&request.group_id);
    checked
}

fn commit(
    state: &mut State,
    call: &Call<'_>,
    request: &OffsetCommitRequest,
    topic: &OffsetCommitRequestTopic,
    asked: &OffsetCommitRequestPartition,
) -> Result<(), ErrorCode> {
    let key = match call.version >= 10 {
        true => TopicKey::Id(topic.topic_id),
        false => TopicKey::Name((&*topic.name).into()),
    };
    let partition = TopicPartition::new(state.resolve(&key)?, asked.partition_index);
    let unknown = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
    state.partition(partition.topic.as_str(), partition.partition).ok_or(unknown)?;
    let metadata = asked.committed_metadata.as_ref().map(ByteString::to_string).unwrap_or_default();
    if metadata.len() > state.settings.offset_metadata_bytes_max {
        return Err(ErrorCode::OFFSET_METADATA_TOO_LARGE);
    }
    let committed = Committed {
        offset: Offset::new(asked.committed_offset).ok_or(ErrorCode::INVALID_COMMIT_OFFSET_SIZE)?,
        leader_epoch: LeaderEpoch::from_wire(asked.committed_leader_epoch),
        metadata,
        committed_at: state.wall(call.now),
    };
    state.journal.note_commit(AcceptedCommit {
        group: request.group_id.to_string(),
        member_id: request.member_id.to_string(),
        partition: partition.clone(),
        committed: committed.clone(),
    });
    if let Some(group) = state.groups.get_mut(&*request.group_id) {
        group.commit(Commit { partition, committed });
    }
    Ok(())
}

fn answer_topic(
    topic: &OffsetCommitRequestTopic,
    partitions: Vec<OffsetCommitResponsePartition>,
) -> OffsetCommitResponseTopic {
    OffsetCommitResponseTopic { name: topic.name.clone(), topic_id: topic.topic_id, partitions }
}

fn answer(
    asked: &OffsetCommitRequestPartition,
    error_code: ErrorCode,
) -> OffsetCommitResponsePartition {
    OffsetCommitResponsePartition { partition_index: asked.partition_index, error_code }
}
