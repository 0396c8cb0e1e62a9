//! AddRaftVoter (key 80), versions 0-1.
//!
//! Lets one more controller vote (KIP-853).
//!
//! Notes: as in a cluster of Kafka whose controllers are listed in its settings (`kraft.version` 0), nobody is taken in; what is
//! wrong with the request itself is said first.

use milena_types::{ErrorCode, Uuid};
use milena_wire::Response;
use milena_wire::messages::add_raft_voter_request::AddRaftVoterRequest;
use milena_wire::messages::add_raft_voter_response::AddRaftVoterResponse;

use super::{Call, Outcome, Versions};
use crate::state::{Refused, State};

pub(super) const VERSIONS: Versions = Versions::new(0, 1);

pub(super) fn handle(state: &mut State, _: &Call<'_>, request: &AddRaftVoterRequest) -> Outcome {
    let asked = request.cluster_id.as_deref();
    let refused = check_cluster(state, asked).and_then(|()| check(request)).err();
    Outcome::Answer(answer(refused.unwrap_or_else(|| not_reconfigured("adding"))))
}

pub(super) fn error(_: &AddRaftVoterRequest, code: ErrorCode) -> Response {
    answer(Refused::without_reason(code))
}

fn check(request: &AddRaftVoterRequest) -> Result<(), Refused> {
    let invalid = |why| Err(Refused::new(ErrorCode::INVALID_REQUEST, why));
    if !is_voter(request.voter_id, request.voter_directory_id) {
        return invalid("Add voter request didn't include a valid voter".to_owned());
    }
    if request.listeners.iter().any(|listener| listener.name.eq_ignore_ascii_case(LISTENER)) {
        return Ok(());
    }
    let told = request.listeners.iter().map(|one| {
        let name = one.name.to_uppercase();
        format!("ListenerName({name})={}/<unresolved>:{}", one.host, one.port)
    });
    let told = told.collect::<Vec<_>>().join(", ");
    invalid(format!(
        "Add voter request didn't include the endpoint (Endpoints(endpoints={{{told}}})) for the default listener \
         ListenerName({LISTENER})"
    ))
}

/// Refuses what is meant for another cluster.
pub(super) fn check_cluster(state: &State, asked: Option<&str>) -> Result<(), Refused> {
    let ours = &state.settings.cluster_id;
    match asked {
        Some(id) if id != ours => {
            let why = format!("The given id \"{id}\" doesn't match the cluster id \"{ours}\"");
            Err(Refused::new(ErrorCode::INCONSISTENT_CLUSTER_ID, why))
        }
        Some(_) | None => Ok(()),
    }
}

/// Whether a controller can be named so.
pub(super) fn is_voter(id: i32, directory: Uuid) -> bool {
    id >= 0 && directory != Uuid::ZERO
}

/// What is said where the controllers are those of the settings.
pub(super) fn not_reconfigured(doing: &str) -> Refused {
    let why =
        format!("Cluster doesn't support {doing} voter because the kraft.version feature is 0");
    Refused::new(ErrorCode::UNSUPPORTED_VERSION, why)
}

fn answer(refused: Refused) -> Response {
    let (error_code, error_message) = refused.into_told();
    AddRaftVoterResponse { error_code, error_message, ..Default::default() }.into()
}

/// The name by which controllers are reached.
const LISTENER: &str = "CONTROLLER";
