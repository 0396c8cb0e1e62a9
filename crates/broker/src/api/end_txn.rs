//! EndTxn (key 26), versions 0-5.
//!
//! Commits or aborts a producer's transaction. From version 5 on the epoch is raised by it and answered (KIP-890);
//! where the epochs are used up, another producer id is.
//!
//! Notes: up to version 1 a fenced producer is told INVALID_PRODUCER_EPOCH. The markers are written before the answer,
//! unless the settings delay them or a partition has no leader that runs.

use milena_types::ErrorCode;
use milena_wire::Response;
use milena_wire::messages::end_txn_request::EndTxnRequest;
use milena_wire::messages::end_txn_response::EndTxnResponse;

use super::{Call, Outcome, Versions, as_known};
use crate::state::{Identity, State};
use crate::transaction::{End, TransactionVersion};

pub(super) const VERSIONS: Versions = Versions::new(0, 5);

/// The first version whose clients follow KIP-890.
const V2_SINCE: i16 = 5;

pub(super) fn handle(state: &mut State, call: &Call<'_>, request: &EndTxnRequest) -> Outcome {
    let is_v2 = call.version >= V2_SINCE;
    Outcome::Answer(match end(state, call, request) {
        Ok(next) if is_v2 => EndTxnResponse {
            producer_id: next.id.get(),
            producer_epoch: next.epoch.get(),
            ..Default::default()
        }
        .into(),
        Ok(_) => error(request, ErrorCode::NONE),
        Err(code) => error(request, as_known(code, call.version >= 2)),
    })
}

pub(super) fn error(_: &EndTxnRequest, error_code: ErrorCode) -> Response {
    EndTxnResponse { error_code, producer_id: -1, producer_epoch: -1, ..Default::default() }.into()
}

fn end(state: &mut State, call: &Call<'_>, request: &EndTxnRequest) -> Result<Identity, ErrorCode> {
    let id = &request.transactional_id;
    state.check_transaction_coordinator(call.node, id)?;
    let producer = Identity::from_wire(request.producer_id, request.producer_epoch)?;
    let end = if request.committed { End::Commit } else { End::Abort };
    let is_v2 = call.version >= V2_SINCE;
    let version = if is_v2 { TransactionVersion::V2 } else { TransactionVersion::V1 };
    state.end_transaction(call.now, id, producer, end, version)
}
