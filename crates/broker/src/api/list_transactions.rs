//! ListTransactions (key 66), versions 0-2.
//!
//! The transactional ids that this node coordinates, filtered by state, producer id, how long they are open and a regular
//! expression that matches all of the id (KIP-664, KIP-994, KIP-1152).
//!
//! Notes: regular expressions are those of `regex`, which are RE2's but for a few rare classes.

use milena_types::ErrorCode;
use milena_wire::messages::list_transactions_request::ListTransactionsRequest;
use milena_wire::messages::list_transactions_response::{
    ListTransactionsResponse, TransactionState as Listed,
};
use milena_wire::{ByteString, Response};

use super::{Call, Outcome, Versions};
use crate::acl::{AclOperation, Resource};
use crate::group::whole_pattern;
use crate::state::State;
use crate::transaction::{Transaction, TransactionState};

pub(super) const VERSIONS: Versions = Versions::new(0, 2);

pub(super) fn handle(
    state: &mut State,
    call: &Call<'_>,
    request: &ListTransactionsRequest,
) -> Outcome {
    let asked = request.transactional_id_pattern.as_deref().filter(|pattern| !pattern.is_empty());
    let Ok(pattern) = asked.map(whole_pattern).transpose() else {
        return Outcome::Answer(error(request, ErrorCode::INVALID_REGULAR_EXPRESSION));
    };
    let is_state = |name: &&ByteString| TransactionState::ALL.iter().any(|s| s.name() == &***name);
    let unknown = request.state_filters.iter().filter(|name| !is_state(name));
    let coordinated = state
        .transactions
        .iter()
        .filter(|(id, _)| state.check_transaction_coordinator(call.node, id).is_ok())
        .filter(|(id, _)| call.may(state, AclOperation::Describe, Resource::TransactionalId(id)));
    let is_named = |id: &str| pattern.as_ref().is_none_or(|pattern| pattern.is_match(id));
    let wanted = coordinated
        .filter(|(id, transaction)| is_named(id) && is_wanted(call, request, transaction));
    let listed = wanted.map(|(id, transaction)| Listed {
        transactional_id: id.as_str().into(),
        producer_id: transaction.producer().id.get(),
        transaction_state: ByteString::from_static(transaction.state().name()),
    });
    let response = ListTransactionsResponse {
        unknown_state_filters: unknown.cloned().collect(),
        transaction_states: listed.collect(),
        ..Default::default()
    };
    Outcome::Answer(response.into())
}

pub(super) fn error(_: &ListTransactionsRequest, error_code: ErrorCode) -> Response {
    ListTransactionsResponse { error_code, ..Default::default() }.into()
}

fn is_wanted(
    call: &Call<'_>,
    request: &ListTransactionsRequest,
    transaction: &Transaction,
) -> bool {
    let (states, ids) = (&request.state_filters, &request.producer_id_filters);
    let is_of_state =
        states.is_empty() || states.iter().any(|name| **name == *transaction.state().name());
    let is_of_producer = ids.is_empty() || ids.contains(&transaction.producer().id.get());
    // What never began counts as begun for ever.
    let is_long_open = u128::try_from(request.duration_filter).ok().is_none_or(|least| {
        let open = transaction.started().map(|at| call.now.saturating_duration_since(at));
        open.is_none_or(|open| open.as_millis() > least)
    });
    is_of_state && is_of_producer && is_long_open
}
