//! OffsetFetch (key 9), versions 1-10.
//!
//! What groups committed: for named partitions, or for all (null topics, from version 2 on). One group up to version
//! 7, several from version 8 on (KIP-709), topic ids from version 10 on. A partition without a commit has offset -1.
//!
//! With RequireStable, from version 7 on, UNSTABLE_OFFSET_COMMIT for what an open transaction has committed (KIP-447).

use std::collections::BTreeMap;

use milena_types::{ErrorCode, LeaderEpoch, MemberEpoch, Topic, TopicPartition, Uuid};
use milena_wire::messages::offset_fetch_request::OffsetFetchRequest;
use milena_wire::messages::offset_fetch_response::{
    OffsetFetchResponse, OffsetFetchResponseGroup, OffsetFetchResponsePartition,
    OffsetFetchResponsePartitions, OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use milena_wire::{ByteString, Response};

use super::{Call, Outcome, Versions};
use crate::acl::{AclOperation, Resource};
use crate::fetch::TopicKey;
use crate::group::Committed;
use crate::state::State;

pub(super) const VERSIONS: Versions = Versions::new(1, 10);

pub(super) fn handle(state: &mut State, call: &Call<'_>, request: &OffsetFetchRequest) -> Outcome {
    Outcome::Answer(if call.version < 8 {
        one_group(state, call, request)
    } else {
        many_groups(state, call, request)
    })
}

pub(super) fn error(request: &OffsetFetchRequest, code: ErrorCode) -> Response {
    if request.groups.is_empty() {
        return OffsetFetchResponse { error_code: code, ..Default::default() }.into();
    }
    let groups = request.groups.iter().map(|group| failed_group(&group.group_id, code)).collect();
    OffsetFetchResponse { groups, ..Default::default() }.into()
}

fn one_group(state: &State, call: &Call<'_>, request: &OffsetFetchRequest) -> Response {
    let may = call.check(state, AclOperation::Describe, Resource::Group(&request.group_id));
    if let Err(code) = may.and_then(|()| state.check_coordinator(call.node, &request.group_id)) {
        return one_group_error(call.version, request, code);
    }
    let named = |(name, indexes): (&ByteString, &Vec<i32>)| OffsetFetchResponseTopic {
        name: name.clone(),
        partitions: indexes
            .iter()
            .map(|index| {
                old(stable(state, call, request, &request.group_id, Topic::from(&**name), *index))
            })
            .collect(),
    };
    let topics = match &request.topics {
        Some(topics) => topics.iter().map(|t| named((&t.name, &t.partition_indexes))).collect(),
        None => all(state, call, &request.group_id)
            .into_iter()
            .map(|(name, partitions)| OffsetFetchResponseTopic {
                name: name.as_str().into(),
                partitions: partitions
                    .into_iter()
                    .map(|index| {
                        old(stable(state, call, request, &request.group_id, name.clone(), index))
                    })
                    .collect(),
            })
            .collect(),
    };
    OffsetFetchResponse { topics, ..Default::default() }.into()
}

/// Version 1 has no place for an error but in each partition.
fn one_group_error(version: i16, request: &OffsetFetchRequest, code: ErrorCode) -> Response {
    if version >= 2 {
        return error(request, code);
    }
    let topics = request.topics.iter().flatten().map(|topic| OffsetFetchResponseTopic {
        name: topic.name.clone(),
        partitions: topic
            .partition_indexes
            .iter()
            .map(|index| OffsetFetchResponsePartition {
                error_code: code,
                ..old(new(*index, None))
            })
            .collect(),
    });
    OffsetFetchResponse { topics: topics.collect(), ..Default::default() }.into()
}

fn many_groups(state: &State, call: &Call<'_>, request: &OffsetFetchRequest) -> Response {
    let by_id = call.version >= 10;
    let groups = request.groups.iter().map(|group| {
        let may = call.check(state, AclOperation::Describe, Resource::Group(&group.group_id));
        if let Err(code) = may.and_then(|()| state.check_coordinator(call.node, &group.group_id)) {
            return failed_group(&group.group_id, code);
        }
        if let Err(code) =
            check_member(state, &group.group_id, group.member_id.as_ref(), group.member_epoch)
        {
            return failed_group(&group.group_id, code);
        }
        let topics = match &group.topics {
            None => all(state, call, &group.group_id)
                .into_iter()
                .map(|(name, partitions)| OffsetFetchResponseTopics {
                    name: name.as_str().into(),
                    topic_id: state.topics.get(name).map_or(Uuid::ZERO, |topic| topic.id),
                    partitions: partitions
                        .into_iter()
                        .map(|index| {
                            stable(state, call, request, &group.group_id, name.clone(), index)
                        })
                        .collect(),
                })
                .collect(),
            Some(topics) => topics
                .iter()
                .map(|topic| {
                    let key = match by_id {
                        true => TopicKey::Id(topic.topic_id),
                        false => TopicKey::Name((&*topic.name).into()),
                    };
                    // Commits outlive nothing, but a name need not exist to be asked for.
                    let name = match call.topic(state, AclOperation::Describe, &key) {
                        Err(code) if by_id => Err(code),
                        Err(_) => Ok(Topic::from(&*topic.name)),
                        Ok(name) => Ok(name),
                    };
                    let partition = |index: &i32| match &name {
                        Ok(name) => {
                            stable(state, call, request, &group.group_id, name.clone(), *index)
                        }
                        Err(code) => {
                            OffsetFetchResponsePartitions { error_code: *code, ..new(*index, None) }
                        }
                    };
                    OffsetFetchResponseTopics {
                        name: topic.name.clone(),
                        topic_id: topic.topic_id,
                        partitions: topic.partition_indexes.iter().map(partition).collect(),
                    }
                })
                .collect(),
        };
        OffsetFetchResponseGroup { group_id: group.group_id.clone(), topics, ..Default::default() }
    });
    OffsetFetchResponse { groups: groups.collect(), ..Default::default() }.into()
}

/// A member of the consumer protocol that names itself must be one, of the epoch that it says.
fn check_member(
    state: &State,
    group: &str,
    member_id: Option<&ByteString>,
    member_epoch: i32,
) -> Result<(), ErrorCode> {
    let Some(group) = state.groups.get(group) else { return Ok(()) };
    group.check_fetch(member_id.map(|id| &**id), MemberEpoch::from_wire(member_epoch))
}

/// What the group committed, unless that may change at any moment and the consumer wants to know.
fn stable(
    state: &State,
    call: &Call<'_>,
    request: &OffsetFetchRequest,
    group: &str,
    topic: Topic,
    index: i32,
) -> OffsetFetchResponsePartitions {
    if let Err(error_code) =
        call.check(state, AclOperation::Describe, Resource::Topic(topic.as_str()))
    {
        return OffsetFetchResponsePartitions { error_code, ..new(index, None) };
    }
    let partition = TopicPartition::new(topic, index);
    let Some(group) = state.groups.get(group) else { return new(index, None) };
    if request.require_stable && group.offsets.is_unstable(&partition) {
        let error_code = ErrorCode::UNSTABLE_OFFSET_COMMIT;
        return OffsetFetchResponsePartitions { error_code, ..new(index, None) };
    }
    new(index, group.offsets.committed().get(&partition))
}

fn all<'a>(state: &'a State, call: &Call<'_>, group: &str) -> BTreeMap<&'a Topic, Vec<i32>> {
    let mut topics = BTreeMap::<_, Vec<_>>::new();
    let committed = state.groups.get(group).into_iter().flat_map(|group| group.offsets.committed());
    for (partition, _) in committed {
        // Those that the client may not see are left out.
        if !call.may(state, AclOperation::Describe, Resource::Topic(partition.topic.as_str())) {
            continue;
        }
        topics.entry(&partition.topic).or_default().push(partition.partition);
    }
    topics
}

fn new(partition_index: i32, committed: Option<&Committed>) -> OffsetFetchResponsePartitions {
    OffsetFetchResponsePartitions {
        partition_index,
        committed_offset: committed.map_or(-1, |committed| committed.offset.get()),
        committed_leader_epoch: LeaderEpoch::to_wire(committed.and_then(|c| c.leader_epoch)),
        metadata: Some(committed.map(|c| c.metadata.clone()).unwrap_or_default().into()),
        error_code: ErrorCode::NONE,
    }
}

fn old(new: OffsetFetchResponsePartitions) -> OffsetFetchResponsePartition {
    OffsetFetchResponsePartition {
        partition_index: new.partition_index,
        committed_offset: new.committed_offset,
        committed_leader_epoch: new.committed_leader_epoch,
        metadata: new.metadata,
        error_code: new.error_code,
    }
}

fn failed_group(group_id: &ByteString, error_code: ErrorCode) -> OffsetFetchResponseGroup {
    OffsetFetchResponseGroup { group_id: group_id.clone(), error_code, ..Default::default() }
}
