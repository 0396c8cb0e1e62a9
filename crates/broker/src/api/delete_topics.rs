//! DeleteTopics (key 20), versions 1-6.
//!
//! Deletes topics by name or, in version 6, by id, with their records and what groups committed for them.
//!
//! Whoever has changed more than its quota lets it is refused from version 5 on, and asked for silence below (KIP-599).
//!
//! Notes: any node answers. The topic is gone before the answer, whose topics are in the order of the request (Kafka: in any).

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
    if state.settings.release().answers_doubles() {
        return with_zookeeper(state, call, request);
    }
    let mut mutations = Mutations::new(call.now, call.client_id, call.version >= STRICT_SINCE);
    let mut responses = Vec::new();
    let mut times = BTreeMap::<_, usize>::new();
    for key in named(request).filter_map(|(name, id)| key(name.as_ref(), id).ok()) {
        *times.entry(key).or_default() += 1;
    }
    let has_zookeeper = state.settings.release().has_zookeeper();
    let mut seen_twice = BTreeSet::new();
    for (name, topic_id) in named(request) {
        let refuse = |name: Option<ByteString>, topic_id: Uuid, why: &'static str| {
            let error_message = Some(ByteString::from_static(why));
            let refused = answer(name, topic_id, ErrorCode::INVALID_REQUEST);
            DeletableTopicResult { error_message, ..refused }
        };
        let key = match key(name.as_ref(), topic_id) {
            Ok(key) => key,
            Err(why) => {
                responses.push(refuse(name, topic_id, why));
                continue;
            }
        };
        // What stands twice is answered once, and not deleted but by a controller with ZooKeeper.
        let is_repeated = times.get(&key).is_some_and(|times| *times > 1);
        if is_repeated && has_zookeeper {
            if !seen_twice.insert(key.clone()) {
                continue;
            }
        } else if is_repeated {
            let why = match key {
                TopicKey::Name(_) => "Duplicate topic name.",
                TopicKey::Id(_) => "Duplicate topic id.",
            };
            if seen_twice.insert(key) {
                responses.push(refuse(name, topic_id, why));
            }
            continue;
        }
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
                // By name and by id it is answered once, for its name.
                if name.is_some() && times.contains_key(&TopicKey::Id(id)) {
                    let why = "The provided topic name maps to an ID that was already supplied.";
                    responses.push(refuse(name, id, why));
                    continue;
                }
                if name.is_none() && times.get(&TopicKey::Name(topic.clone())) == Some(&1) {
                    continue;
                }
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

/// Controllers with ZooKeeper judge all before they delete, answer each as often as it was asked for, and say no more than codes.
fn with_zookeeper(state: &mut State, call: &Call<'_>, request: &DeleteTopicsRequest) -> Outcome {
    if named(request).any(|(name, id)| name.is_some() && !id.is_zero()) {
        return Outcome::Answer(error(request, ErrorCode::INVALID_REQUEST));
    }
    let judged = named(request).map(|(name, id)| {
        let key = key(name.as_ref(), id).ok();
        let found = key.as_ref().and_then(|key| state.resolve(key).ok());
        let told = found.as_ref().map(|topic| topic.as_str().into()).or(name);
        let may = |operation| {
            let topic =
                told.as_ref().is_some_and(|name| call.may(state, operation, Resource::Topic(name)));
            topic || told.is_some() && call.may(state, operation, Resource::Cluster)
        };
        match found {
            None if !id.is_zero() => (answer(None, id, ErrorCode::UNKNOWN_TOPIC_ID), None),
            Some(_) if !id.is_zero() && !may(AclOperation::Describe) => {
                (answer(None, id, ErrorCode::TOPIC_AUTHORIZATION_FAILED), None)
            }
            _ if !may(AclOperation::Delete) => {
                (answer(told, id, ErrorCode::TOPIC_AUTHORIZATION_FAILED), None)
            }
            None => (answer(told, id, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION), None),
            Some(topic) => (answer(told, id, ErrorCode::NONE), Some(topic)),
        }
    });
    let judged: Vec<_> = judged.collect();
    let mut mutations = Mutations::new(call.now, call.client_id, call.version >= STRICT_SINCE);
    let mut responses = Vec::with_capacity(judged.len());
    for (mut told, topic) in judged {
        // Gone already, if it was asked for before.
        if let Some(found) = topic.as_ref().and_then(|topic| state.topics.get(topic)) {
            let partitions = found.partitions.len();
            match mutations.charge(&mut state.quotas, partitions) {
                Err(refused) => told.error_code = refused.code,
                Ok(()) => {
                    topic.map(|topic| state.delete_topic(call.now, &topic));
                }
            }
        }
        responses.push(told);
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

/// By what a topic is asked for, or why that will not do.
fn key(name: Option<&ByteString>, id: Uuid) -> Result<TopicKey, &'static str> {
    match name {
        Some(_) if !id.is_zero() => Err("You may not specify both topic name and topic id."),
        Some(name) => Ok(TopicKey::Name((&**name).into())),
        None if id.is_zero() => Err("Neither topic name nor id were specified."),
        None => Ok(TopicKey::Id(id)),
    }
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
