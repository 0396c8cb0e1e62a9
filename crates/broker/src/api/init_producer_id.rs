//! InitProducerId (key 22), versions 0-5.
//!
//! A fresh producer id for an idempotent producer; the next epoch, which fences the older ones, for a transactional
//! id (KIP-360). What an older producer left open is aborted first, and CONCURRENT_TRANSACTIONS answered until then.
//!
//! Notes: up to version 3 a fenced producer is told INVALID_PRODUCER_EPOCH. Version 6 (two-phase commit, KIP-939) is
//! unstable in Kafka and not answered.

use std::time::Duration;

use milena_types::ErrorCode;
use milena_wire::Response;
use milena_wire::messages::init_producer_id_request::InitProducerIdRequest;
use milena_wire::messages::init_producer_id_response::InitProducerIdResponse;

use super::{Call, Outcome, Versions, as_known};
use crate::state::{Identity, State};

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
        Err(code) => error(request, as_known(code, call.version >= 4)),
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
    let expected = Identity::claimed(request.producer_id, request.producer_epoch)?;
    let Some(transactional_id) = &request.transactional_id else {
        return Ok(state.producer_ids.deal());
    };
    if transactional_id.is_empty() {
        return Err(ErrorCode::INVALID_REQUEST);
    }
    let timeout = u64::try_from(request.transaction_timeout_ms).map(Duration::from_millis);
    let timeout = timeout.ok().filter(|timeout| !timeout.is_zero());
    let timeout = timeout.filter(|timeout| *timeout <= state.settings.transaction_timeout_max);
    let timeout = timeout.ok_or(ErrorCode::INVALID_TRANSACTION_TIMEOUT)?;
    state.check_transaction_coordinator(call.node, transactional_id)?;
    state.init_transactions(call.now, transactional_id, expected, timeout)
}
