//! FindCoordinator (key 10), versions 0-6.
//!
//! The node that coordinates a group or a transactional id: the leader of the partition of the internal topic that
//! the key falls to. One key up to version 3, several from version 4 on (KIP-699).
//!
//! Notes: the internal topic is made at the first question and answered from at once, where Kafka first answers
//! COORDINATOR_NOT_AVAILABLE. Share coordinators (key type 2) are not there.

use milena_types::{ErrorCode, NodeId};
use milena_wire::messages::find_coordinator_request::FindCoordinatorRequest;
use milena_wire::messages::find_coordinator_response::{Coordinator, FindCoordinatorResponse};
use milena_wire::{ByteString, Response};

use super::{Call, Outcome, Versions};
use crate::state::{OFFSETS_TOPIC, State, TRANSACTIONS_TOPIC};

pub(super) const VERSIONS: Versions = Versions::new(0, 6);

pub(super) fn handle(
    state: &mut State,
    call: &Call<'_>,
    request: &FindCoordinatorRequest,
) -> Outcome {
    let key_type = if call.version == 0 { GROUP } else { request.key_type };
    let keys =
        if call.version < 4 { vec![request.key.clone()] } else { request.coordinator_keys.clone() };
    let mut coordinators = Vec::with_capacity(keys.len());
    for key in keys {
        coordinators.push(match find(state, call, key_type, &key) {
            Ok(node) => located(state, key, node),
            Err(code) => failure(key, code),
        });
    }
    Outcome::Answer(response(coordinators, call.version >= 4))
}

pub(super) fn error(request: &FindCoordinatorRequest, code: ErrorCode) -> Response {
    let batched = request.coordinator_keys.iter().map(|key| failure(key.clone(), code));
    let single = request.coordinator_keys.is_empty().then(|| failure(request.key.clone(), code));
    let is_batched = single.is_none();
    response(single.into_iter().chain(batched).collect(), is_batched)
}

fn find(state: &mut State, call: &Call<'_>, key_type: i8, key: &str) -> Result<NodeId, ErrorCode> {
    match key_type {
        GROUP => state.find_coordinator(call.now, OFFSETS_TOPIC, key),
        TRANSACTION if key.is_empty() => Err(ErrorCode::INVALID_REQUEST),
        TRANSACTION => state.find_coordinator(call.now, TRANSACTIONS_TOPIC, key),
        _ => Err(ErrorCode::INVALID_REQUEST),
    }
}

fn located(state: &State, key: ByteString, node: NodeId) -> Coordinator {
    match state.nodes.get(node) {
        Some(node) => Coordinator {
            key,
            node_id: node.id.get(),
            host: node.host.clone().into(),
            port: node.port.into(),
            ..Default::default()
        },
        None => failure(key, ErrorCode::COORDINATOR_NOT_AVAILABLE),
    }
}

fn failure(key: ByteString, error_code: ErrorCode) -> Coordinator {
    Coordinator {
        key,
        node_id: -1,
        host: ByteString::new(),
        port: -1,
        error_code,
        error_message: None,
    }
}

fn response(mut coordinators: Vec<Coordinator>, is_batched: bool) -> Response {
    if is_batched {
        return FindCoordinatorResponse { coordinators, ..Default::default() }.into();
    }
    let Coordinator { node_id, host, port, error_code, .. } =
        coordinators.pop().unwrap_or_default();
    FindCoordinatorResponse { error_code, node_id, host, port, ..Default::default() }.into()
}

const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;
