//! AddPartitionsToTxn (key 24), versions 0-5.
//!
//! Lets partitions take part in a producer's transaction: all of them or none. Up to version 3 from producers; from
//! version 4 on for several transactions at once, and also only to ask whether they do (KIP-890), as brokers among
//! themselves do.
//!
//! Notes: up to version 1 a fenced producer is told INVALID_PRODUCER_EPOCH. A real broker takes version 4 and later
//! from other brokers only where it has an authorizer, which there is none of here.

use std::collections::BTreeSet;

use milena_types::{ErrorCode, Topic, TopicPartition};
use milena_wire::Response;
use milena_wire::messages::add_partitions_to_txn_request::{
    AddPartitionsToTxnRequest, AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction,
};
use milena_wire::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnResponse, AddPartitionsToTxnResult,
    AddPartitionsToTxnTopicResult,
};

use super::{Call, Outcome, Versions, as_known};
use crate::acl::{AclOperation, Resource};
use crate::state::{Identity, State, is_internal};

pub(super) const VERSIONS: Versions = Versions::new(0, 5);

pub(super) fn handle(
    state: &mut State,
    call: &Call<'_>,
    request: &AddPartitionsToTxnRequest,
) -> Outcome {
    if call.version >= 4 {
        let results = request.transactions.iter().map(|transaction| AddPartitionsToTxnResult {
            transactional_id: transaction.transactional_id.clone(),
            topic_results: one(state, call, transaction),
        });
        let results_by_transaction = results.collect();
        return Outcome::Answer(
            AddPartitionsToTxnResponse { results_by_transaction, ..Default::default() }.into(),
        );
    }
    let transaction = AddPartitionsToTxnTransaction {
        transactional_id: request.v3_and_below_transactional_id.clone(),
        producer_id: request.v3_and_below_producer_id,
        producer_epoch: request.v3_and_below_producer_epoch,
        verify_only: false,
        topics: request.v3_and_below_topics.clone(),
    };
    let mut results_by_topic_v3_and_below = one(state, call, &transaction);
    if !state.settings.release().verifies_transactions() {
        // They are told by partition there.
        results_by_topic_v3_and_below.retain(|topic| !topic.results_by_partition.is_empty());
    }
    Outcome::Answer(
        AddPartitionsToTxnResponse { results_by_topic_v3_and_below, ..Default::default() }.into(),
    )
}

pub(super) fn error(request: &AddPartitionsToTxnRequest, code: ErrorCode) -> Response {
    // Which of the two is written depends on the version; the other is empty as in the request.
    let results_by_transaction = request.transactions.iter().map(|one| AddPartitionsToTxnResult {
        transactional_id: one.transactional_id.clone(),
        topic_results: results(&one.topics, |_| code),
    });
    let is_batched = !request.transactions.is_empty();
    AddPartitionsToTxnResponse {
        error_code: if is_batched { code } else { ErrorCode::NONE },
        results_by_transaction: results_by_transaction.collect(),
        results_by_topic_v3_and_below: results(&request.v3_and_below_topics, |_| code),
        ..Default::default()
    }
    .into()
}

fn one(
    state: &mut State,
    call: &Call<'_>,
    asked: &AddPartitionsToTxnTransaction,
) -> Vec<AddPartitionsToTxnTopicResult> {
    let is_client = call.version < 4;
    let may_write = |topic: &Topic| {
        !is_internal(topic) && call.may(state, AclOperation::Write, Resource::Topic(topic.as_str()))
    };
    let fault = |tp: &TopicPartition| match state.partition(tp.topic.as_str(), tp.partition) {
        _ if is_client && !may_write(&tp.topic) => Some(ErrorCode::TOPIC_AUTHORIZATION_FAILED),
        None => Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
        Some(_) => None,
    };
    let partitions: BTreeSet<_> = asked
        .topics
        .iter()
        .flat_map(|topic| topic.partitions.iter().map(|index| partition(topic, *index)))
        .collect();
    if partitions.iter().any(|tp| fault(tp).is_some()) {
        let code = |tp: &TopicPartition| fault(tp).unwrap_or(ErrorCode::OPERATION_NOT_ATTEMPTED);
        return results(&asked.topics, code);
    }
    if asked.verify_only {
        let verified = verify(state, call, asked);
        return results(&asked.topics, |tp| match &verified {
            Err(code) => *code,
            Ok(have) if have.contains(tp) => ErrorCode::NONE,
            Ok(_) => ErrorCode::TRANSACTION_ABORTABLE,
        });
    }
    let added = add(state, call, asked, &partitions).err().unwrap_or(ErrorCode::NONE);
    results(&asked.topics, |_| as_known(added, call.version >= 2))
}

fn add(
    state: &mut State,
    call: &Call<'_>,
    asked: &AddPartitionsToTxnTransaction,
    partitions: &BTreeSet<TopicPartition>,
) -> Result<(), ErrorCode> {
    let id = &asked.transactional_id;
    state.check_transaction_coordinator(call.node, id)?;
    let producer = Identity::from_wire(asked.producer_id, asked.producer_epoch)?;
    state.add_to_transaction(call.now, id, producer, partitions)
}

/// The partitions that take part.
fn verify<'a>(
    state: &'a State,
    call: &Call<'_>,
    asked: &AddPartitionsToTxnTransaction,
) -> Result<&'a BTreeSet<TopicPartition>, ErrorCode> {
    let id = &asked.transactional_id;
    state.check_transaction_coordinator(call.node, id)?;
    let producer = Identity::from_wire(asked.producer_id, asked.producer_epoch)?;
    let transaction = state.transactions.get(&**id);
    let transaction = transaction.ok_or(ErrorCode::INVALID_PRODUCER_ID_MAPPING)?;
    transaction.check(producer)?;
    Ok(transaction.partitions())
}

fn results(
    topics: &[AddPartitionsToTxnTopic],
    code: impl Fn(&TopicPartition) -> ErrorCode,
) -> Vec<AddPartitionsToTxnTopicResult> {
    let result = |topic: &AddPartitionsToTxnTopic| AddPartitionsToTxnTopicResult {
        name: topic.name.clone(),
        results_by_partition: topic
            .partitions
            .iter()
            .map(|index| AddPartitionsToTxnPartitionResult {
                partition_index: *index,
                partition_error_code: code(&partition(topic, *index)),
            })
            .collect(),
    };
    topics.iter().map(result).collect()
}

fn partition(topic: &AddPartitionsToTxnTopic, index: i32) -> TopicPartition {
    TopicPartition::new(Topic::from(&*topic.name), index)
}
