//! Who votes about the cluster's metadata: controllers are not taken in, nor out, where the settings list them.

use milena_types::{ApiKey, Uuid};
use milena_wire::messages::add_raft_voter_request::Listener;
use milena_wire::messages::{
    AddRaftVoterRequest, RemoveRaftVoterRequest, UnregisterControllerRequest,
};

use crate::Result;
use crate::compare::recorder::Recorder;
use crate::raw::message;

pub(super) async fn run(on: &mut Recorder) -> Result {
    let directory = Uuid::from_bytes([7; 16]);
    let listener = |name: &str| Listener { name: name.into(), host: "there".into(), port: 9 };
    let add = |voter_id, voter_directory_id, names: &[&str]| {
        message!(AddRaftVoterRequest {
            cluster_id: None,
            timeout_ms: 1000,
            voter_id: voter_id,
            voter_directory_id: voter_directory_id,
            listeners: names.iter().map(|name| listener(name)).collect(),
        })
    };
    let asks = [
        ("a voter of a negative id", add(-1, directory, &["CONTROLLER"])),
        ("a voter without a directory", add(9, Uuid::ZERO, &["CONTROLLER"])),
        ("a voter without listeners", add(9, directory, &[])),
        ("a voter with another listener", add(9, directory, &["elsewhere"])),
        ("a voter", add(9, directory, &["CONTROLLER"])),
        ("a voter by small letters", add(9, directory, &["controller"])),
        ("one who votes", add(1, directory, &["CONTROLLER"])),
    ];
    for (what, ask) in asks {
        on.ask_each(what, ApiKey::ADD_RAFT_VOTER, 0..=99, |_| ask.clone()).await?;
    }
    let remove = |voter_id, voter_directory_id| {
        message!(RemoveRaftVoterRequest {
            cluster_id: None,
            voter_id: voter_id,
            voter_directory_id: voter_directory_id
        })
    };
    on.ask("nobody is to go", 0, remove(-1, directory)).await?;
    on.ask("who has no directory is to go", 0, remove(1, Uuid::ZERO)).await?;
    on.ask("a voter is to go", 0, remove(1, directory)).await?;
    on.ask("who is not there is to go", 0, remove(9, directory)).await?;
    for controller_id in [-1, 9, 1] {
        let ask = message!(UnregisterControllerRequest { controller_id: controller_id });
        on.ask("a controller is to be forgotten", 0, ask).await?;
    }
    Ok(())
}
