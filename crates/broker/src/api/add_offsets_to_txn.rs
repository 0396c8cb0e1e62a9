//! AddOffsetsToTxn (key 25), versions 0-4.
//!
//! Lets a group's partition of `__consumer_offsets` take part in a transaction, before TxnOffsetCommit. Producers that
//! follow KIP-890 do without.
//!
//! Notes: up to version 1 a fenced producer is told INVALID_PRODUCER_EPOCH.

use std::collections::BTreeSet;

use milena_types::ErrorCode;
use milena_wire::Response;
use milena_wire::messages::add_offsets_to_txn_request::AddOffsetsToTxnRequest;
use milena_wire::messages::add_offsets_to_txn_response::AddOffsetsToTxnResponse;

use super::{Call, Outcome, Versions, as_known};
use crate::state::{Identity, State};

pub(super) const VERSIONS: Versions = Versions::new(0, 4);

pub(super) fn handle(
    state: &mut State,
    call: &Call<'_>,
    request: &AddOffsetsToTxnRequest,
) -> Outcome {
    let code = add(state, call, request).err().unwrap_or(ErrorCode::NONE);
    Outcome::Answer(error(request, as_known(code, call.version >= 2)))
}

pub(super) fn error(_: &AddOffsetsToTxnRequest, error_code: ErrorCode) -> Response {
    AddOffsetsToTxnResponse { error_code, ..Default::default() }.into()
}

fn add(
    state: &mut State,
    call: &Call<'_>,
    request: &AddOffsetsToTxnRequest,
) -> Result<(), ErrorCode> {
    let id = &request.transactional_id;
    state.check_transaction_coordinator(call.node, id)?;
    let producer = Identity::from_wire(request.producer_id, request.producer_epoch)?;
    let partitions = BTreeSet::from([state.offsets_partition(&request.group_id)]);
    state.add_to_transaction(call.now, id, producer, &partitions)
}
