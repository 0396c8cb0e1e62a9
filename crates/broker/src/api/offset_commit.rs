//! OffsetCommit (key 8), versions 2-10.
//!
//! Stores offsets for a member of the present generation or epoch, or for anyone while the group has no members. A member
//! of the consumer protocol whose epoch is older may still commit what it has had since (KIP-1251). Partitions that are
//! unknown or that the client may not read are taken out first.
//!
//! Notes: topic ids from version 10 on. Commits expire by `offsets.retention.minutes` alone (Kafka takes a request's own, in
//! versions 2-4).

use milena_types::{ErrorCode, Generation, LeaderEpoch, Offset, TopicPartition};
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
    let is_there = |topic: &OffsetCommitRequestTopic| {
        topic.partitions.iter().any(|p| find(state, call, topic, p.partition_index).is_ok())
    };
    // Where nothing is left to be stored, the group is not asked, nor made.
    let checked = match request.topics.iter().any(is_there) {
        true => {
            check(state, call, request).and_then(|may| check_partitions(state, call, request, &may))
        }
        false => Ok(()),
    };
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in &request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for asked in &topic.partitions {
            let partition = find(state, call, topic, asked.partition_index);
            let partition = partition.and_then(|partition| checked.map(|()| partition));
            let committed =
                partition.and_then(|partition| commit(state, call, request, partition, asked));
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
            let is_new =
                call.version >= EPOCHS_SINCE && !state.settings.release().has_first_coordinator();
            return Err(if is_new {
                ErrorCode::GROUP_ID_NOT_FOUND
            } else {
                ErrorCode::ILLEGAL_GENERATION
            });
        }
        state.ensure_group(call.now, &request.group_id)?;
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
        for asked in topic.partitions.iter().filter(|asked| !is_too_large(state, asked)) {
            let Ok(partition) = find(state, call, topic, asked.partition_index) else { continue };
            let id = state.topics.get(&partition.topic).map(|topic| topic.id).unwrap_or_default();
            group.check_partition(may, id, &partition)?;
        }
    }
    Ok(())
}

fn find(
    state: &State,
    call: &Call<'_>,
    topic: &OffsetCommitRequestTopic,
    index: i32,
) -> Result<TopicPartition, ErrorCode> {
    let key = match call.version >= IDS_SINCE {
        true => TopicKey::Id(topic.topic_id),
        false => TopicKey::Name((&*topic.name).into()),
    };
    let name = call.topic(state, AclOperation::Read, &key)?;
    let found = state.partition(name.as_str(), index).is_some();
    let partition = found.then(|| TopicPartition::new(name, index));
    partition.ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)
}

fn is_too_large(state: &State, asked: &OffsetCommitRequestPartition) -> bool {
    let metadata = asked.committed_metadata.as_ref();
    metadata.is_some_and(|metadata| metadata.len() > state.settings.offset_metadata_bytes_max)
}

fn commit(
    state: &mut State,
    call: &Call<'_>,
    request: &OffsetCommitRequest,
    partition: TopicPartition,
    asked: &OffsetCommitRequestPartition,
) -> Result<(), ErrorCode> {
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
