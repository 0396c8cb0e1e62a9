//! OffsetCommit (key 8), versions 2-10.
//!
//! Stores offsets for a member of the present generation or epoch, or for anyone while the group has no members. A member
//! of the consumer protocol whose epoch is older may still commit what it has had since (KIP-1251).
//!
//! Notes: topic ids from version 10 on. Commits do not expire (Kafka: `offsets.retention.minutes`, 7 days).

use milena_types::{ErrorCode, Generation, LeaderEpoch, Offset, Topic, TopicPartition};
use milena_wire::messages::offset_commit_request::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use milena_wire::messages::offset_commit_response::{
    OffsetCommitResponse, OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use milena_wire::{ByteString, Response};

use super::{Call, Outcome, Versions};
use crate::acl::AclOperation;
use crate::fetch::TopicKey;
use crate::group::consumer::MayCommit;
use crate::group::{Commit, Committed, Identity};
use crate::journal::AcceptedCommit;
use crate::state::State;
use crate::store::Entry;

pub(super) const VERSIONS: Versions = Versions::new(2, 10);

/// The first version that has member epochs (KIP-848).
const EPOCHS_SINCE: i16 = 9;

/// The first version that names topics by their ids.
const IDS_SINCE: i16 = 10;

pub(super) fn handle(state: &mut State, call: &Call<'_>, request: &OffsetCommitRequest) -> Outcome {
    let checked =
        check(state, call, request).and_then(|may| check_partitions(state, call, request, &may));
    if let Err(code) = checked {
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
) -> Result<MayCommit, ErrorCode> {
    state.check_committer(call.node, &request.group_id)?;
    let identity = Identity {
        member_id: request.member_id.to_string(),
        instance_id: request.group_instance_id.as_ref().map(ByteString::to_string),
        generation: Generation::from_wire(request.generation_id_or_member_epoch),
    };
    if !state.groups.contains_key(&*request.group_id) {
        if identity.generation.is_some() {
            // KIP-848 gave the group its own code.
            let is_new = call.version >= EPOCHS_SINCE;
            return Err(if is_new {
                ErrorCode::GROUP_ID_NOT_FOUND
            } else {
                ErrorCode::ILLEGAL_GENERATION
            });
        }
        state.ensure_group(&request.group_id)?;
    }
    // Straight to the group: with_group would forget one that is still empty.
    let group = state.groups.get_mut(&*request.group_id).ok_or(ErrorCode::GROUP_ID_NOT_FOUND)?;
    let checked = group.check_commit(call.now, &identity, call.version >= EPOCHS_SINCE);
    state.arm_group(&request.group_id);
    checked
}

/// A member whose epoch is not the newest may commit what it has had since, and one partition that it has not refuses
/// the whole commit.
fn check_partitions(
    state: &State,
    call: &Call<'_>,
    request: &OffsetCommitRequest,
    may: &MayCommit,
) -> Result<(), ErrorCode> {
    let Some(group) = state.groups.get(&*request.group_id) else { return Ok(()) };
    for topic in &request.topics {
        let Some(known) = find(state, call, topic).and_then(|name| state.topics.get(&name)) else {
            continue;
        };
        for asked in &topic.partitions {
            let index = asked.partition_index;
            let is_stored = known.partition(index).is_some() && !is_too_large(state, asked);
            if is_stored {
                group.check_partition(may, known.id, index)?;
            }
        }
    }
    Ok(())
}

fn find(state: &State, call: &Call<'_>, topic: &OffsetCommitRequestTopic) -> Option<Topic> {
    call.topic(state, AclOperation::Read, &key(call, topic)).ok()
}

fn key(call: &Call<'_>, topic: &OffsetCommitRequestTopic) -> TopicKey {
    match call.version >= IDS_SINCE {
        true => TopicKey::Id(topic.topic_id),
        false => TopicKey::Name((&*topic.name).into()),
    }
}

fn is_too_large(state: &State, asked: &OffsetCommitRequestPartition) -> bool {
    let metadata = asked.committed_metadata.as_ref();
    metadata.is_some_and(|metadata| metadata.len() > state.settings.offset_metadata_bytes_max)
}

fn commit(
    state: &mut State,
    call: &Call<'_>,
    request: &OffsetCommitRequest,
    topic: &OffsetCommitRequestTopic,
    asked: &OffsetCommitRequestPartition,
) -> Result<(), ErrorCode> {
    let name = call.topic(state, AclOperation::Read, &key(call, topic))?;
    let partition = TopicPartition::new(name, asked.partition_index);
    let unknown = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
    state.partition(partition.topic.as_str(), partition.partition).ok_or(unknown)?;
    if is_too_large(state, asked) {
        return Err(ErrorCode::OFFSET_METADATA_TOO_LARGE);
    }
    let metadata = asked.committed_metadata.as_ref().map(ByteString::to_string).unwrap_or_default();
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
        let commit = Commit { partition, committed };
        group.offsets.commit(commit.clone());
        state.note(Entry::Commit(request.group_id.to_string(), commit, None));
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
