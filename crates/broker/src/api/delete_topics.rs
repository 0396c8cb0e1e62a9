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
    for (name, topic_id) in named(request) {
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
            Err(code) => answer(name, topic_id, code),
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

fn answer(name: Option<ByteString>, topic_id: Uuid, error_code: ErrorCode) -> DeletableTopicResult {
    DeletableTopicResult { name, topic_id, error_code, ..Default::default() }
}
