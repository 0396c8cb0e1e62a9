//! UnregisterController (key 94), version 0.
//!
//! Has the active controller forget another one that is down, until it runs again: one that runs registers anew at once.
//!
//! Notes: every node is a controller. One that is forgotten votes still, as in Kafka; nothing else is told of registrations.

use milena_types::{ErrorCode, NodeId};
use milena_wire::Response;
use milena_wire::messages::unregister_controller_request::UnregisterControllerRequest;
use milena_wire::messages::unregister_controller_response::UnregisterControllerResponse;

use super::{Call, Outcome, Versions};
use crate::state::{Refused, State};

pub(super) const VERSIONS: Versions = Versions::new(0, 0);

pub(super) fn handle(
    state: &mut State,
    _: &Call<'_>,
    request: &UnregisterControllerRequest,
) -> Outcome {
    let id = request.controller_id;
    let node = NodeId::from_wire(id);
    if node.is_some() && node == state.nodes.controller() {
        let why = "Controller cannot unregister itself while it is active.";
        return Outcome::Answer(answer(Refused::new(ErrorCode::INVALID_REQUEST, why)));
    }
    let is_forgotten = node.is_some_and(|node| state.nodes.forget_controller(node));
    Outcome::Answer(answer(match is_forgotten {
        true => Refused::without_reason(ErrorCode::NONE),
        false => Refused::new(
            ErrorCode::CONTROLLER_ID_NOT_REGISTERED,
            format!("Controller ID {id} is not currently registered."),
        ),
    }))
}

pub(super) fn error(_: &UnregisterControllerRequest, code: ErrorCode) -> Response {
    answer(Refused::without_reason(code))
}

fn answer(refused: Refused) -> Response {
    // Empty where there is nothing to say, never null.
    let error_message = Some(refused.message.into());
    UnregisterControllerResponse { error_code: refused.code, error_message, ..Default::default() }
        .into()
}
