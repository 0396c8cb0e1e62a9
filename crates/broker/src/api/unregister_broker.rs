//! UnregisterBroker (key 64), version 0.
//!
//! Takes a node out of the cluster, whether it runs or not: it is told of no more, not even as fenced, leads nothing and is
//! in no in-sync set (KIP-500). Where it is a replica it stays one. It is back once its process starts anew.
//!
//! Notes: a node that still runs goes on with answering whoever is connected to it, as a broker of Kafka does; with the
//! data directory every node starts anew, and none is missing then.

use milena_types::{ErrorCode, NodeId};
use milena_wire::Response;
use milena_wire::messages::unregister_broker_request::UnregisterBrokerRequest;
use milena_wire::messages::unregister_broker_response::UnregisterBrokerResponse;

use super::{Call, Outcome, Versions};
use crate::state::{Refused, State};

pub(super) const VERSIONS: Versions = Versions::new(0, 0);

pub(super) fn handle(
    state: &mut State,
    call: &Call<'_>,
    request: &UnregisterBrokerRequest,
) -> Outcome {
    let id = request.broker_id;
    let known = NodeId::from_wire(id).filter(|id| state.nodes.is_known(*id));
    let Some(node) = known else {
        let why = format!("Broker ID {id} is not currently registered");
        return Outcome::Answer(answer(Refused::new(ErrorCode::BROKER_ID_NOT_REGISTERED, why)));
    };
    state.unregister(call.now, node);
    Outcome::Answer(answer(Refused::without_reason(ErrorCode::NONE)))
}

pub(super) fn error(_: &UnregisterBrokerRequest, code: ErrorCode) -> Response {
    answer(Refused::without_reason(code))
}

fn answer(refused: Refused) -> Response {
    // Empty where there is nothing to say, never null.
    let error_message = Some(refused.message.into());
    UnregisterBrokerResponse { error_code: refused.code, error_message, ..Default::default() }
        .into()
}
