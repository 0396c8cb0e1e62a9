//! DescribeProducers (key 61), version 0-0.
//!
//! The idempotent producers that a partition's leader remembers, and where their open transactions begin (KIP-664).

use milena_types::{ErrorCode, Sequence, Topic};
use milena_wire::messages::describe_producers_request::{DescribeProducersRequest, TopicRequest};
use milena_wire::messages::describe_producers_response::{
    DescribeProducersResponse, PartitionResponse, ProducerState, TopicResponse,
};
use milena_wire::{ByteString, Response};

use super::{Call, Outcome, Versions};
use crate::acl::{AclOperation, Resource};
use crate::rights::refused;
use crate::state::State;
use crate::topic::{is_legal_topic_name, why_illegal};

pub(super) const VERSIONS: Versions = Versions::new(0, 0);

pub(super) fn handle(
    state: &mut State,
    call: &Call<'_>,
    request: &DescribeProducersRequest,
) -> Outcome {
    let topics = request.topics.iter().map(|topic| {
        if !is_legal_topic_name(&topic.name) {
            let message: ByteString = why_illegal(&topic.name).into();
            return answer(topic, |index| PartitionResponse {
                error_message: Some(message.clone()),
                ..failure(index, ErrorCode::INVALID_TOPIC_EXCEPTION)
            });
        }
        if let Err(code) = call.check(state, AclOperation::Read, Resource::Topic(&topic.name)) {
            let (_, why) = refused(code).into_told();
            let refuse =
                |index| PartitionResponse { error_message: why.clone(), ..failure(index, code) };
            return answer(topic, refuse);
        }
        answer(topic, |index| match describe(state, call, topic, index) {
            Ok(active_producers) => {
                PartitionResponse { partition_index: index, active_producers, ..Default::default() }
            }
            Err(error_code) => {
                let has_topic = state.topics.contains_key(&*topic.name);
                let error_message = (!has_topic).then_some(NO_TOPIC);
                PartitionResponse { error_message, ..failure(index, error_code) }
            }
        })
    });
    let topics = topics.collect();
    Outcome::Answer(DescribeProducersResponse { topics, ..Default::default() }.into())
}

pub(super) fn error(request: &DescribeProducersRequest, code: ErrorCode) -> Response {
    let topics = request.topics.iter().map(|topic| answer(topic, |index| failure(index, code)));
    DescribeProducersResponse { topics: topics.collect(), ..Default::default() }.into()
}

fn answer(topic: &TopicRequest, partition: impl Fn(i32) -> PartitionResponse) -> TopicResponse {
    let partitions = topic.partition_indexes.iter().map(|index| partition(*index)).collect();
    TopicResponse { name: topic.name.clone(), partitions }
}

fn failure(partition_index: i32, error_code: ErrorCode) -> PartitionResponse {
    PartitionResponse { partition_index, error_code, ..Default::default() }
}

/// What Kafka says of a topic that is not there, and of nothing else.
const NO_TOPIC: ByteString =
    ByteString::from_static("This server does not host this topic-partition.");

fn describe(
    state: &State,
    call: &Call<'_>,
    topic: &TopicRequest,
    index: i32,
) -> Result<Vec<ProducerState>, ErrorCode> {
    let topic = Topic::from(&*topic.name);
    let partition = state.partition(topic.as_str(), index);
    let partition = partition.ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
    partition.check_leader(call.node, None).map_err(|failed| failed.0)?;
    let known = partition.producers().iter().map(|(id, producer)| ProducerState {
        producer_id: id.get(),
        producer_epoch: producer.epoch().get().into(),
        last_sequence: producer.last_sequence().map_or(-1, Sequence::get),
        last_timestamp: producer.last_timestamp().map_or(-1, |time| time.millis()),
        coordinator_epoch: producer.coordinator_epoch().unwrap_or(-1),
        current_txn_start_offset: partition
            .transactions()
            .open_since(id)
            .map_or(-1, |first| first.get()),
    });
    Ok(known.collect())
}
