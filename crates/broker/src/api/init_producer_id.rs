//! InitProducerId (key 22), versions 0-5.
//!
//! A fresh producer id for an idempotent producer; the next epoch, which fences the older ones, for a transactional
//! id (KIP-360).
//!
//! Notes: a transactional id's open transaction is not aborted, as there is no transaction coordinator yet. Version 6
//! (two-phase commit, KIP-939) is unstable in Kafka and not answered.

use milena_types::{ErrorCode, ProducerEpoch, ProducerId};
use milena_wire::Response;
use milena_wire::messages::init_producer_id_request::InitProducerIdRequest;
use milena_wire::messages::init_producer_id_response::InitProducerIdResponse;

use super::{Call, Outcome, Versions};
use crate::state::{Identity, State, TRANSACTIONS_TOPIC};

pub(super) const VERSIONS: Versions = Versions::new(0, 5);

pub(super) fn handle(
    state: &mut State,
    call: &Call<'_>,
    request: &InitProducerIdRequest,
) -> Outcome {
    Outcome::Answer(match dealt(state, call, request) {
        Ok(Identity { id, epoch }) => InitProducerIdResponse {
            producer_id: id.get(),
            producer_epoch: epoch.get(),
            ..Default::default()
        }
        .into(),
        Err(code) => error(request, code),
    })
}

pub(super) fn error(_: &InitProducerIdRequest, code: ErrorCode) -> Response {
    InitProducerIdResponse {
        error_code: code,
        producer_id: -1,
        producer_epoch: -1,
        ..Default::default()
    }
    .into()
}

fn dealt(
    state: &mut State,
    call: &Call<'_>,
    request: &InitProducerIdRequest,
) -> Result<Identity, ErrorCode> {
    let Some(transactional_id) = &request.transactional_id else {
        return Ok(state.producer_ids.deal());
    };
    if transactional_id.is_empty() {
        return Err(ErrorCode::INVALID_REQUEST);
    }
    if !(1..=TRANSACTION_TIMEOUT_MAX_MS).contains(&request.transaction_timeout_ms) {
        return Err(ErrorCode::INVALID_TRANSACTION_TIMEOUT);
    }
    if state.find_coordinator(call.now, TRANSACTIONS_TOPIC, transactional_id)? != call.node {
        return Err(ErrorCode::NOT_COORDINATOR);
    }
    let current = match (
        ProducerId::from_wire(request.producer_id),
        ProducerEpoch::from_wire(request.producer_epoch),
    ) {
        (Some(id), Some(epoch)) => Some(Identity { id, epoch }),
        (None, None) => None,
        _ => return Err(ErrorCode::INVALID_REQUEST),
    };
    state.producer_ids.bump(transactional_id, current)
}

/// `transaction.max.timeout.ms`.
const TRANSACTION_TIMEOUT_MAX_MS: i32 = 15 * 60 * 1000;
