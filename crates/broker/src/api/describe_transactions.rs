//! DescribeTransactions (key 65), version 0-0.
//!
//! What transactional ids are at, and which partitions take part (KIP-664).

use std::collections::BTreeMap;

use milena_types::{ErrorCode, TopicPartition};
use milena_wire::messages::describe_transactions_request::DescribeTransactionsRequest;
use milena_wire::messages::describe_transactions_response::{
    DescribeTransactionsResponse, TopicData, TransactionState,
};
use milena_wire::{ByteString, Response};

use super::{Call, Outcome, Versions};
use crate::acl::{AclOperation, Resource};
use crate::state::State;

pub(super) const VERSIONS: Versions = Versions::new(0, 0);

pub(super) fn handle(
    state: &mut State,
    call: &Call<'_>,
    request: &DescribeTransactionsRequest,
) -> Outcome {
    let described = request
        .transactional_ids
        .iter()
        .map(|id| describe(state, call, id).unwrap_or_else(|error_code| failure(id, error_code)));
    let transaction_states = described.collect();
    Outcome::Answer(
        DescribeTransactionsResponse { transaction_states, ..Default::default() }.into(),
    )
}

pub(super) fn error(request: &DescribeTransactionsRequest, code: ErrorCode) -> Response {
    let transaction_states = request.transactional_ids.iter().map(|id| failure(id, code)).collect();
    DescribeTransactionsResponse { transaction_states, ..Default::default() }.into()
}

fn failure(id: &ByteString, error_code: ErrorCode) -> TransactionState {
    TransactionState { transactional_id: id.clone(), error_code, ..Default::default() }
}

fn describe(
    state: &State,
    call: &Call<'_>,
    id: &ByteString,
) -> Result<TransactionState, ErrorCode> {
    call.check(state, AclOperation::Describe, Resource::TransactionalId(id))?;
    state.check_transaction_coordinator(call.node, id)?;
    let transaction = state.transactions.get(&**id);
    let transaction = transaction.ok_or(ErrorCode::TRANSACTIONAL_ID_NOT_FOUND)?;
    let mut topics = BTreeMap::<_, Vec<i32>>::new();
    let is_seen = |tp: &&TopicPartition| {
        call.may(state, AclOperation::Describe, Resource::Topic(tp.topic.as_str()))
    };
    for tp in transaction.partitions().iter().filter(is_seen) {
        topics.entry(tp.topic.as_str()).or_default().push(tp.partition);
    }
    let topics = topics.into_iter().map(|(topic, partitions)| TopicData {
        topic: ByteString::from(topic.to_owned()),
        partitions,
    });
    Ok(TransactionState {
        transactional_id: id.clone(),
        transaction_state: ByteString::from_static(transaction.state().name()),
        transaction_timeout_ms: i32::try_from(transaction.timeout().as_millis())
            .unwrap_or(i32::MAX),
        transaction_start_time_ms: transaction.started().map_or(-1, |at| state.wall(at).millis()),
        producer_id: transaction.producer().id.get(),
        producer_epoch: transaction.producer().epoch.get(),
        topics: topics.collect(),
        ..Default::default()
    })
}
