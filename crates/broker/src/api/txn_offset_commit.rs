//! TxnOffsetCommit (key 28), versions 0-6.
//!
//! Stores offsets for a group that count once the producer's transaction is committed. From version 3 on it says which
//! member of which generation commits, and an overtaken one is refused (KIP-447); from version 5 on the group's
//! partition of `__consumer_offsets` is added to the transaction by it, before that by AddOffsetsToTxn (KIP-890).
//!
//! Notes: topic ids from version 6 on (KIP-1319). A rebalance under way refuses nothing, as in Kafka.

use std::collections::BTreeSet;

use milena_types::{ErrorCode, Generation, LeaderEpoch, Offset, TopicPartition};
use milena_wire::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequest, TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use milena_wire::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponse, TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use milena_wire::{ByteString, Response};

use super::{Call, Outcome, Versions};
use crate::acl::AclOperation;
use crate::fetch::TopicKey;
use crate::group::{Commit, Committed, Identity as Member};
use crate::state::{Identity, State};
use crate::store::Entry;

pub(super) const VERSIONS: Versions = Versions::new(0, 6);

/// The first version that adds the partition to the transaction.
const ENROLS_SINCE: i16 = 5;

/// The first version that names topics by their ids.
const IDS_SINCE: i16 = 6;

/// The first version that knows the codes of KIP-848.
const EPOCHS_SINCE: i16 = 6;

/// The first version that knows TRANSACTION_ABORTABLE.
const ABORTABLE_SINCE: i16 = 4;

pub(super) fn handle(
    state: &mut State,
    call: &Call<'_>,
    request: &TxnOffsetCommitRequest,
) -> Outcome {
    let is_there = |topic: &TxnOffsetCommitRequestTopic| {
        topic.partitions.iter().any(|p| find(state, call, topic, p.partition_index).is_ok())
    };
    let any = request.topics.iter().any(is_there);
    // Where nothing is left to be stored, nothing is asked of group and transaction either.
    let checked = if any { check(state, call, request) } else { Ok(()) };
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in &request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for asked in &topic.partitions {
            let partition = find(state, call, topic, asked.partition_index);
            let partition = partition.and_then(|partition| checked.map(|()| partition));
            let committed =
                partition.and_then(|partition| commit(state, call, request, partition, asked));
            let code = committed.err().unwrap_or(ErrorCode::NONE);
            partitions.push(answer(asked, code));
        }
        topics.push(answer_topic(topic, partitions));
    }
    Outcome::Answer(TxnOffsetCommitResponse { topics, ..Default::default() }.into())
}

pub(super) fn error(request: &TxnOffsetCommitRequest, code: ErrorCode) -> Response {
    let topic = |topic: &TxnOffsetCommitRequestTopic| {
        answer_topic(topic, topic.partitions.iter().map(|asked| answer(asked, code)).collect())
    };
    let topics = request.topics.iter().map(topic).collect();
    TxnOffsetCommitResponse { topics, ..Default::default() }.into()
}

fn find(
    state: &State,
    call: &Call<'_>,
    topic: &TxnOffsetCommitRequestTopic,
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

/// STALE_MEMBER_EPOCH for those that know the code; what it was before for older versions.
fn as_known_stale(call: &Call<'_>, code: ErrorCode) -> ErrorCode {
    match code {
        ErrorCode::STALE_MEMBER_EPOCH if call.version < EPOCHS_SINCE => {
            ErrorCode::ILLEGAL_GENERATION
        }
        code => code,
    }
}

/// Whether transaction and group let this producer and member commit.
fn check(
    state: &mut State,
    call: &Call<'_>,
    request: &TxnOffsetCommitRequest,
) -> Result<(), ErrorCode> {
    state.check_coordinator(call.node, &request.group_id)?;
    let producer = Identity::from_wire(request.producer_id, request.producer_epoch);
    let partitions = BTreeSet::from([state.offsets_partition(&request.group_id)]);
    let id = &request.transactional_id;
    let adds = call.version >= ENROLS_SINCE;
    let release = state.settings.release();
    let enrolled = match producer {
        Ok(of) if release.verifies_offsets() => state.enrol(call.now, id, of, &partitions, adds),
        Ok(of) if release.refuses_offsets_of_the_overtaken() => {
            state.check_overtaken(&request.group_id, of)
        }
        Err(code) if release.verifies_offsets() => Err(code),
        Ok(_) | Err(_) => Ok(()),
    };
    enrolled.map_err(|code| match code {
        ErrorCode::PRODUCER_FENCED => ErrorCode::INVALID_PRODUCER_EPOCH,
        ErrorCode::TRANSACTION_ABORTABLE if call.version < ABORTABLE_SINCE => {
            ErrorCode::INVALID_TXN_STATE
        }
        code => code,
    })?;
    let member = Member {
        member_id: request.member_id.to_string(),
        instance_id: request.group_instance_id.as_ref().map(ByteString::to_string),
        generation: Generation::from_wire(request.generation_id_or_member_epoch),
    };
    if !state.groups.contains_key(&*request.group_id) {
        if member.generation.is_some() {
            return Err(match call.version >= EPOCHS_SINCE {
                _ if state.settings.release().has_first_coordinator() => {
                    ErrorCode::UNKNOWN_MEMBER_ID
                }
                true => ErrorCode::GROUP_ID_NOT_FOUND,
                false => ErrorCode::ILLEGAL_GENERATION,
            });
        }
        state.ensure_group(call.now, &request.group_id)?;
    }
    let group = state.groups.get(&*request.group_id).ok_or(ErrorCode::GROUP_ID_NOT_FOUND)?;
    let stale = |code| as_known_stale(call, code);
    let may = group.check_transactional_commit(&member).map_err(stale)?;
    for topic in &request.topics {
        for asked in &topic.partitions {
            let Ok(partition) = find(state, call, topic, asked.partition_index) else { continue };
            let id = state.topics.get(&partition.topic).map(|topic| topic.id).unwrap_or_default();
            group.check_partition(&may, id, &partition).map_err(stale)?;
        }
    }
    Ok(())
}

fn commit(
    state: &mut State,
    call: &Call<'_>,
    request: &TxnOffsetCommitRequest,
    partition: TopicPartition,
    asked: &TxnOffsetCommitRequestPartition,
) -> Result<(), ErrorCode> {
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
    let producer = Identity::from_wire(request.producer_id, request.producer_epoch)?;
    if let Some(group) = state.groups.get_mut(&*request.group_id) {
        let commit = Commit { partition, committed };
        let by = (producer.id, request.member_id.to_string());
        group.offsets.commit_in_transaction(by.0, by.1.clone(), commit.clone());
        state.note(Entry::Commit(request.group_id.to_string(), commit, Some(by)));
    }
    Ok(())
}

fn answer_topic(
    topic: &TxnOffsetCommitRequestTopic,
    partitions: Vec<TxnOffsetCommitResponsePartition>,
) -> TxnOffsetCommitResponseTopic {
    TxnOffsetCommitResponseTopic { name: topic.name.clone(), topic_id: topic.topic_id, partitions }
}

fn answer(
    asked: &TxnOffsetCommitRequestPartition,
    error_code: ErrorCode,
) -> TxnOffsetCommitResponsePartition {
    TxnOffsetCommitResponsePartition { partition_index: asked.partition_index, error_code }
}
