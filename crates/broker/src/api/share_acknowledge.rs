//! ShareAcknowledge (key 79), versions 1-2.
//!
//! Says what became of records that a member was given: accepted, released, rejected, none at that offset (a gap), or,
//! from version 2 on, still being worked on (KIP-1222). The request is one of the member's share session; the last one
//! of a session gives back all that the member still holds. Of one partition all is taken or nothing.
//!
//! Notes: what is accepted is stored at once and does not fail.

use std::collections::{BTreeMap, BTreeSet};

use milena_types::{ErrorCode, Offset, Uuid};
use milena_wire::messages::share_acknowledge_request::ShareAcknowledgeRequest;
use milena_wire::messages::share_acknowledge_response::{
    LeaderIdAndEpoch, NodeEndpoint, PartitionData, ShareAcknowledgeResponse,
    ShareAcknowledgeTopicResponse,
};
use milena_wire::{ByteString, Response};

use super::share_group_heartbeat::is_legal_member;
use super::{Call, Outcome, Versions};
use crate::acl::{AclOperation, Resource};
use crate::share::{Acknowledgement, AcknowledgementBatch, FINAL_EPOCH, SessionKey, ShareKey};
use crate::state::{Said, State};

pub(super) const VERSIONS: Versions = Versions::new(1, 2);

/// What a request says of neighbouring records, as it came in.
#[derive(Clone, Debug)]
pub(super) struct RawBatch<'a> {
    pub(super) first: i64,
    pub(super) last: i64,
    pub(super) types: &'a [i8],
}

/// The acknowledgements of a request, by partition.
pub(super) type RawBatches<'a> = BTreeMap<(Uuid, i32), Vec<RawBatch<'a>>>;

/// How each partition's acknowledgements were taken.
pub(super) type Taken = BTreeMap<(Uuid, i32), Result<(), Said>>;

pub(super) fn handle(
    state: &mut State,
    call: &Call<'_>,
    request: &ShareAcknowledgeRequest,
) -> Outcome {
    let epoch = request.share_session_epoch;
    let key = match session_key(state, request.group_id.as_ref(), request.member_id.as_ref()) {
        Ok(key) => key,
        Err(code) => return Outcome::Answer(error(request, code)),
    };
    let Some(node) = state.nodes.get_mut(call.node) else { return Outcome::Close };
    if let Err(code) = node.share_sessions.acknowledge(&key, epoch) {
        return Outcome::Answer(error(request, code));
    }
    let mut batches = RawBatches::new();
    for topic in &request.topics {
        for partition in &topic.partitions {
            let raw = partition.acknowledgement_batches.iter().map(|batch| RawBatch {
                first: batch.first_offset,
                last: batch.last_offset,
                types: &batch.acknowledge_types,
            });
            batches.insert((topic.topic_id, partition.partition_index), raw.collect());
        }
    }
    let taken = acknowledge(state, call, &key, batches, request.is_renew_ack);
    let response = respond(state, &key, taken);
    if epoch == FINAL_EPOCH {
        end_session(state, call, &key);
    }
    Outcome::Answer(response)
}

pub(super) fn error(_: &ShareAcknowledgeRequest, code: ErrorCode) -> Response {
    ShareAcknowledgeResponse { error_code: code, ..Default::default() }.into()
}

/// Whose session a request is about, if it may be.
pub(super) fn session_key(
    state: &State,
    group: Option<&ByteString>,
    member: Option<&ByteString>,
) -> Result<SessionKey, ErrorCode> {
    if !state.has_share_groups() {
        return Err(ErrorCode::UNSUPPORTED_VERSION);
    }
    match (group, member) {
        (Some(group), Some(member)) if is_legal_member(member) => {
            Ok((group.to_string(), member.to_string()))
        }
        _ => Err(ErrorCode::INVALID_REQUEST),
    }
}

/// Takes the acknowledgements of a request, each partition's apart.
pub(super) fn acknowledge(
    state: &mut State,
    call: &Call<'_>,
    (group, member): &SessionKey,
    batches: RawBatches<'_>,
    may_renew: bool,
) -> Taken {
    let mut taken = Taken::new();
    let mut silent = Vec::new();
    let mut is_any_carried_out = false;
    for ((topic_id, partition), raw) in batches {
        let one = match read(&raw, call.version, may_renew) {
            _ if !state.topic_ids.contains_key(&topic_id) => plain(ErrorCode::UNKNOWN_TOPIC_ID),
            _ if !may_read(state, call, topic_id) => plain(ErrorCode::TOPIC_AUTHORIZATION_FAILED),
            None => plain(ErrorCode::INVALID_REQUEST),
            Some(_) if !has_partition(state, topic_id, partition) => {
                plain(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)
            }
            Some(_) if raw.is_empty() => {
                silent.push((topic_id, partition));
                continue;
            }
            Some(batches) => {
                let key = ShareKey { group: group.clone(), topic_id, partition };
                let done = state.acknowledge_shared(call.now, call.node, &key, member, &batches);
                done.map_err(|refused| (refused.code, Some(refused.message.to_owned())))
            }
        };
        is_any_carried_out |= one.is_ok() || matches!(&one, Err((_, Some(_))));
        taken.insert((topic_id, partition), one);
    }
    // Partitions of which nothing is said are answered only beside others.
    taken.extend(silent.into_iter().filter(|_| is_any_carried_out).map(|one| (one, Ok(()))));
    taken
}

/// Ends a session: the member gives back what it holds.
pub(super) fn end_session(state: &mut State, call: &Call<'_>, key: &SessionKey) {
    let node = state.nodes.get_mut(call.node);
    if let Some(partitions) = node.and_then(|node| node.share_sessions.end(key)) {
        let (group, member) = key;
        state.release_shared(call.now, group, member, &partitions);
    }
}

/// Whether the client may read a topic that is there.
pub(super) fn may_read(state: &State, call: &Call<'_>, topic_id: Uuid) -> bool {
    let topic = state.topic_ids.get(&topic_id);
    topic.is_none_or(|topic| call.may(state, AclOperation::Read, Resource::Topic(topic.as_str())))
}

/// Whether there is such a partition.
pub(super) fn has_partition(state: &State, topic_id: Uuid, partition: i32) -> bool {
    let topic = state.topic_ids.get(&topic_id);
    topic.is_some_and(|topic| state.partition(topic.as_str(), partition).is_some())
}

fn plain(code: ErrorCode) -> Result<(), Said> {
    Err((code, None))
}

/// Reads a partition's acknowledgements; `None` if they make no sense.
fn read(raw: &[RawBatch<'_>], version: i16, may_renew: bool) -> Option<Vec<AcknowledgementBatch>> {
    let mut batches = Vec::with_capacity(raw.len());
    let mut end = -1;
    for batch in raw {
        let length = batch.last.checked_sub(batch.first)?;
        let is_in_order = length >= 0 && batch.first >= end;
        let types = i64::try_from(batch.types.len()).ok()?;
        let is_counted = types == 1 || (types > 1 && types - 1 == length);
        if !is_in_order || !is_counted {
            return None;
        }
        end = batch.last;
        let said: Option<Vec<_>> =
            batch.types.iter().map(|raw| Acknowledgement::from_wire(*raw)).collect();
        let mut said = said?;
        if said.contains(&Acknowledgement::Renew) && (version < RENEWS_SINCE || !may_renew) {
            return None;
        }
        // Below 0 there is nothing to acknowledge.
        let Some(last) = Offset::new(batch.last) else { continue };
        let first = Offset::new(batch.first).unwrap_or(Offset::ZERO);
        if batch.first < 0 && said.len() > 1 {
            said.drain(..usize::try_from(batch.first.unsigned_abs()).ok()?.min(said.len() - 1));
        }
        batches.push(AcknowledgementBatch { first, last, said });
    }
    Some(batches)
}

fn respond(state: &State, (group, _): &SessionKey, taken: Taken) -> Response {
    let mut responses: Vec<ShareAcknowledgeTopicResponse> = Vec::new();
    let mut leaders = BTreeSet::new();
    for ((topic_id, partition_index), done) in taken {
        let (error_code, message) = done.err().unwrap_or((ErrorCode::NONE, None));
        let mut current_leader = LeaderIdAndEpoch::default();
        let topic = state.topic_ids.get(&topic_id);
        let led = topic.and_then(|topic| state.partition(topic.as_str(), partition_index));
        if let Some((partition, leader)) = led.and_then(|led| Some((led, led.leader()?)))
            && error_code == ErrorCode::NOT_LEADER_OR_FOLLOWER
        {
            let leader_epoch = partition.leader_epoch().get();
            current_leader = LeaderIdAndEpoch { leader_id: leader.get(), leader_epoch };
            leaders.insert(leader);
        }
        let error_message = message.map(ByteString::from);
        let data = PartitionData { partition_index, error_code, error_message, current_leader };
        match responses.last_mut().filter(|last| last.topic_id == topic_id) {
            Some(last) => last.partitions.push(data),
            None => {
                let partitions = vec![data];
                responses.push(ShareAcknowledgeTopicResponse { topic_id, partitions });
            }
        }
    }
    let nodes = leaders.into_iter().filter_map(|leader| state.nodes.get(leader));
    let endpoint = |node: &crate::node::Node| NodeEndpoint {
        node_id: node.id.get(),
        host: node.host.clone().into(),
        port: node.port.into(),
        rack: node.rack.clone().map(ByteString::from),
    };
    ShareAcknowledgeResponse {
        acquisition_lock_timeout_ms: lock_ms(state, group),
        node_endpoints: nodes.map(endpoint).collect(),
        responses,
        ..Default::default()
    }
    .into()
}

/// How long the group's members hold what they are given, as answers tell it.
pub(super) fn lock_ms(state: &State, group: &str) -> i32 {
    i32::try_from(state.share_config(group).limits.lock.as_millis()).unwrap_or(i32::MAX)
}

/// Older versions know no renewal.
const RENEWS_SINCE: i16 = 2;
