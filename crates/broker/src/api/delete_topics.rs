//! DeleteTopics (key 20), versions 1-6.
//!
//! Deletes topics by name or, in version 6, by id, with their records and what groups committed for them.
//!
//! Notes: any node answers. The topic is gone before the answer.

use milena_types::{ErrorCode, Uuid};
use milena_wire::messages::delete_topics_request::DeleteTopicsRequest;
use milena_wire::messages::delete_topics_response::{DeletableTopicResult, DeleteTopicsResponse};
use milena_wire::{ByteString, Response};

use super::{Call, Outcome, Versions};
use crate::fetch::TopicKey;
use crate::state::State;

pub(super) const VERSIONS: Versions = Versions::new(1, 6);

pub(super) fn handle(state: &mut State, call: &Call<'_>, request: &DeleteTopicsRequest) -> Outcome {
    let mut responses = Vec::new();
    let asked: Vec<_> = named(request).collect();
    for (at, (name, topic_id)) in asked.iter().cloned().enumerate() {
        let is_same = |(other, id): &(Option<ByteString>, Uuid)| {
            (name.is_some() && *other == name) || (!topic_id.is_zero() && *id == topic_id)
        };
        // What stands twice is answered once, and not deleted.
        if asked.iter().take(at).any(is_same) {
            continue;
        }
        let message = match &name {
            Some(_) if !topic_id.is_zero() => "You may not specify both topic name and topic id.",
            None if topic_id.is_zero() => "Neither topic name nor id were specified.",
            _ if asked.iter().skip(at + 1).any(is_same) => "Duplicate topic name.",
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
        let resolved = state.resolve(&key);
        responses.push(match resolved {
            Ok(topic) => {
                let id = state.topics.get(&topic).map_or(topic_id, |topic| topic.id);
                state.delete_topic(call.now, &topic);
                answer(Some(topic.as_str().into()), id, ErrorCode::NONE)
            }
            Err(code) => DeletableTopicResult {
                error_message: why(code).filter(|_| call.version >= 5).map(ByteString::from_static),
                ..answer(name, topic_id, code)
            },
        });
    }
    Outcome::Answer(DeleteTopicsResponse { responses, ..Default::default() }.into())
}

pub(super) fn error(request: &DeleteTopicsRequest, code: ErrorCode) -> Response {
    let responses = named(request).map(|(name, id)| answer(name, id, code)).collect();
    DeleteTopicsResponse { responses, ..Default::default() }.into()
}

fn named(request: &DeleteTopicsRequest) -> impl Iterator<Item = (Option<ByteString>, Uuid)> {
    let by_name = request.topic_names.iter().map(|name| (Some(name.clone()), Uuid::ZERO));
    by_name.chain(request.topics.iter().map(|topic| (topic.name.clone(), topic.topic_id)))
}

fn why(code: ErrorCode) -> Option<&'static str> {
    match code {
        ErrorCode::UNKNOWN_TOPIC_OR_PARTITION => {
            Some("This server does not host this topic-partition.")
        }
        ErrorCode::UNKNOWN_TOPIC_ID => Some("This server does not host this topic ID."),
        _ => None,
    }
}

fn answer(name: Option<ByteString>, topic_id: Uuid, error_code: ErrorCode) -> DeletableTopicResult {
    DeletableTopicResult { name, topic_id, error_code, ..Default::default() }
}
