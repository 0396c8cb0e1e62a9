//! DeleteTopics (key 20), versions 1-6.
//!
//! Deletes topics by name or, in version 6, by id, with their records and what groups committed for them.
//!
//! Whoever has changed more than its quota lets it is refused from version 5 on, and asked for silence below (KIP-599).
//!
//! Notes: any node answers. The topic is gone before the answer.

use std::collections::{BTreeMap, BTreeSet};

use milena_types::{ErrorCode, Topic, Uuid};
use milena_wire::messages::delete_topics_request::DeleteTopicsRequest;
use milena_wire::messages::delete_topics_response::{DeletableTopicResult, DeleteTopicsResponse};
use milena_wire::{ByteString, Response};

use super::{Call, Outcome, Versions, milliseconds};
use crate::acl::{AclOperation, Resource};
use crate::fetch::TopicKey;
use crate::quota::Mutations;
use crate::state::State;

pub(super) const VERSIONS: Versions = Versions::new(1, 6);

pub(super) fn handle(state: &mut State, call: &Call<'_>, request: &DeleteTopicsRequest) -> Outcome {
    let mut mutations = Mutations::new(call.now, call.client_id, call.version >= STRICT_SINCE);
    let mut responses = Vec::new();
    let mut times = BTreeMap::<_, usize>::new();
    for key in named(request).flat_map(|(name, id)| keys(name, id)) {
        *times.entry(key).or_default() += 1;
    }
    let mut answered = BTreeSet::new();
    for (name, topic_id) in named(request) {
        let keys: Vec<_> = keys(name.clone(), topic_id).collect();
        let is_answered = keys.iter().any(|key| answered.contains(key));
        let is_repeated = keys.iter().any(|key| times.get(key).is_some_and(|times| *times > 1));
        answered.extend(keys);
        // What stands twice is answered once, and not deleted.
        if is_answered {
            continue;
        }
        let message = match &name {
            Some(_) if !topic_id.is_zero() => "You may not specify both topic name and topic id.",
            None if topic_id.is_zero() => "Neither topic name nor id were specified.",
            _ if is_repeated => "Duplicate topic name.",
            _ => "",
        };
        if !message.is_empty() {
            let error_message = Some(message.into());
            let refused = answer(name, topic_id, ErrorCode::INVALID_REQUEST);
            responses.push(DeletableTopicResult { error_message, ..refused });
            continue;
        }
        let key = match &name {
            Some(name) => TopicKey::Name((&**name).into()),
            None => TopicKey::Id(topic_id),
        };
        let may_all = call.may(state, AclOperation::Delete, Resource::Cluster);
        let resolved = match may_all {
            true => state.resolve(&key),
            false => call.topic(state, AclOperation::Describe, &key),
        };
        let may_delete = |topic: &Topic| {
            may_all || call.may(state, AclOperation::Delete, Resource::Topic(topic.as_str()))
        };
        let (seen, resolved) = match resolved {
            Ok(topic) if !may_delete(&topic) => {
                (Some(topic), Err(ErrorCode::TOPIC_AUTHORIZATION_FAILED))
            }
            resolved => (None, resolved),
        };
        responses.push(match resolved {
            Ok(topic) => {
                let found = state.topics.get(&topic);
                let (id, partitions) =
                    found.map_or((topic_id, 0), |found| (found.id, found.partitions.len()));
                let refused = mutations.charge(&mut state.quotas, partitions).err();
                if refused.is_none() {
                    state.delete_topic(call.now, &topic);
                }
                let code = refused.map_or(ErrorCode::NONE, |refused| refused.code);
                answer(Some(topic.as_str().into()), id, code)
            }
            Err(code) => DeletableTopicResult {
                error_message: why(code).filter(|_| call.version >= 5).map(ByteString::from_static),
                ..answer(name.or(seen.map(|topic| topic.as_str().into())), topic_id, code)
            },
        });
    }
    let throttle_time_ms = milliseconds(mutations.silence());
    Outcome::Answer(DeleteTopicsResponse { throttle_time_ms, responses }.into())
}

pub(super) fn error(request: &DeleteTopicsRequest, code: ErrorCode) -> Response {
    let responses = named(request).map(|(name, id)| answer(name, id, code)).collect();
    DeleteTopicsResponse { responses, ..Default::default() }.into()
}

fn named(request: &DeleteTopicsRequest) -> impl Iterator<Item = (Option<ByteString>, Uuid)> {
    let by_name = request.topic_names.iter().map(|name| (Some(name.clone()), Uuid::ZERO));
    by_name.chain(request.topics.iter().map(|topic| (topic.name.clone(), topic.topic_id)))
}

/// By what a topic is asked for; both, where the request says both.
fn keys(name: Option<ByteString>, id: Uuid) -> impl Iterator<Item = TopicKey> {
    let by_name = name.map(|name| TopicKey::Name((&*name).into()));
    let by_id = (!id.is_zero()).then_some(TopicKey::Id(id));
    by_name.into_iter().chain(by_id)
}

fn why(code: ErrorCode) -> Option<&'static str> {
    match code {
        ErrorCode::UNKNOWN_TOPIC_OR_PARTITION => {
            Some("This server does not host this topic-partition.")
        }
        ErrorCode::TOPIC_AUTHORIZATION_FAILED => Some("Topic authorization failed."),
        ErrorCode::UNKNOWN_TOPIC_ID => Some("This server does not host this topic ID."),
        _ => None,
    }
}

fn answer(name: Option<ByteString>, topic_id: Uuid, error_code: ErrorCode) -> DeletableTopicResult {
    DeletableTopicResult { name, topic_id, error_code, ..Default::default() }
}

/// Since when clients know THROTTLING_QUOTA_EXCEEDED.
const STRICT_SINCE: i16 = 5;
