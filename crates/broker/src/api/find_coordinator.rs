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
use crate::acl::{AclOperation, Resource};
use crate::rights;
use crate::state::{OFFSETS_TOPIC, State, TRANSACTIONS_TOPIC};

pub(super) const VERSIONS: Versions = Versions::new(0, 6);

pub(super) fn handle(
    state: &mut State,
    call: &Call<'_>,
    request: &FindCoordinatorRequest,
) -> Outcome {
    let key_type = if call.version == 0 { GROUP } else { request.key_type };
    let is_old = !state.settings.release().words_coordinators();
    if is_old && !matches!(key_type, GROUP | TRANSACTION) {
        return Outcome::Close;
    }
    let keys =
        if call.version < 4 { vec![request.key.clone()] } else { request.coordinator_keys.clone() };
    let mut coordinators = Vec::with_capacity(keys.len());
    for key in keys {
        coordinators.push(match find(state, call, key_type, &key) {
            Ok(node) => located(state, key, node),
            Err(code) => {
                let told = failure(key, code);
                match rights::refused(code).into_told().1 {
                    Some(why) if call.version < 4 => {
                        Coordinator { error_message: Some(why), ..told }
                    }
                    Some(_) => Coordinator { error_message: Some(ByteString::new()), ..told },
                    None => told,
                }
            }
        });
    }
    let mut response = response(coordinators, call.version);
    if is_old && call.version > 0 {
        response.error_message = response.error_message.filter(|_| response.error_code.is_error());
    }
    Outcome::Answer(response.into())
}

pub(super) fn error(request: &FindCoordinatorRequest, code: ErrorCode) -> Response {
    let batched = request.coordinator_keys.iter().map(|key| failure(key.clone(), code));
    let single = request.coordinator_keys.is_empty().then(|| failure(request.key.clone(), code));
    let version = if single.is_none() { 4 } else { 0 };
    response(single.into_iter().chain(batched).collect(), version).into()
}

fn find(state: &mut State, call: &Call<'_>, key_type: i8, key: &str) -> Result<NodeId, ErrorCode> {
    let resource = match key_type {
        GROUP => Some(Resource::Group(key)),
        TRANSACTION => Some(Resource::TransactionalId(key)),
        _ => None,
    };
    resource.map_or(Ok(()), |resource| call.check(state, AclOperation::Describe, resource))?;
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
        error_message: (error_code == ErrorCode::INVALID_REQUEST)
            .then(|| ByteString::from_static(MALFORMED)),
    }
}

fn response(mut coordinators: Vec<Coordinator>, version: i16) -> FindCoordinatorResponse {
    if version >= 4 {
        return FindCoordinatorResponse { coordinators, ..Default::default() };
    }
    let Coordinator { node_id, host, port, error_code, error_message, .. } =
        coordinators.pop().unwrap_or_default();
    let message = if error_code.is_error() { error_message } else { Some("NONE".into()) };
    let message = message.unwrap_or_default();
    // Version 0 has no place for a message; 1 to 3 say NONE of a success.
    let error_message = Some(if version == 0 { ByteString::new() } else { message });
    FindCoordinatorResponse { error_code, error_message, node_id, host, port, ..Default::default() }
}

/// What Kafka says of any INVALID_REQUEST for which it has no words of its own.
pub(super) const MALFORMED: &str = "This most likely occurs because of a request being malformed by the client library \
     or the message was sent to an incompatible broker. See the broker logs for more details.";

const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;
