//! Faults of share groups (F59), drawn apart from the others.

use std::time::Duration;

use fastrand::Rng;

use super::{Api, Fault, Garbling, LENGTHS, Members, Targets, Timed, millis};

/// Draws strikes at the members of a share group, and at those who serve them.
pub fn draw_shares(
    rng: &mut Rng,
    targets: Targets,
    members: &Members,
    during: Duration,
) -> Vec<Timed> {
    let kinds: Vec<u32> = (0..KINDS).filter(|_| rng.u32(0..4) == 0).collect();
    if kinds.is_empty() {
        return Vec::new();
    }
    let strikes = rng.usize(1..=8);
    let mut one = || {
        let at = Duration::from_millis(rng.u64(0..millis(during)));
        let kind = *rng.choice(&kinds)?;
        Some(Timed { at, fault: strike(rng, kind, targets, members) })
    };
    (0..strikes).filter_map(|_| one()).collect()
}

fn strike(rng: &mut Rng, kind: u32, targets: Targets, members: &Members) -> Fault {
    let lasts = Duration::from_millis(rng.u64(1..20_000));
    let client = rng.usize(members.clone());
    let node = rng.i32(1..=targets.nodes);
    let count = rng.u32(1..=3);
    let api = *rng.choice(&APIS).unwrap_or(&Api::ShareFetch);
    match kind {
        0 => Fault::ApplyThenDrop { api, count },
        1 => Fault::Hang { api, count },
        2 => Fault::Delay { api, count, by: lasts },
        3 => Fault::Die { client, lasts },
        4 => {
            let (api, code, applied) = *rng.choice(&ERRORS).unwrap_or(&ERRORS[0]);
            Fault::Error { api, count, code, applied }
        }
        5 => Fault::Freeze { client, lasts },
        6 => {
            let how = match rng.u32(0..3) {
                0 => Garbling::CorrelationId,
                1 => Garbling::Half,
                _ => Garbling::Length(*rng.choice(&LENGTHS).unwrap_or(&0)),
            };
            Fault::Garble { api, count, how }
        }
        7 => Fault::MoveGroups,
        8 => Fault::MoveLeader { partition: rng.i32(0..targets.partitions) },
        9 => Fault::Silence { client, node, from_broker: rng.bool(), lasts },
        10 => Fault::Stall { client, node, lasts },
        11 if targets.transactional == 0 => {
            let partition = rng.i32(0..targets.partitions);
            Fault::DeleteRecords { partition, percent: rng.i64(1..=100) }
        }
        _ => Fault::Reap { node },
    }
}

const KINDS: u32 = 13;

const APIS: [Api; 3] = [Api::ShareFetch, Api::ShareAcknowledge, Api::ShareGroupHeartbeat];

/// What brokers say to members of share groups, and whether it was done all the same.
const ERRORS: [(Api, i16, bool); 16] = [
    (Api::ShareGroupHeartbeat, 14, false), // COORDINATOR_LOAD_IN_PROGRESS
    (Api::ShareGroupHeartbeat, 16, true),  // NOT_COORDINATOR
    (Api::ShareGroupHeartbeat, 25, false), // UNKNOWN_MEMBER_ID
    (Api::ShareGroupHeartbeat, 110, true), // FENCED_MEMBER_EPOCH
    (Api::ShareGroupHeartbeat, 30, false), // GROUP_AUTHORIZATION_FAILED
    (Api::ShareFetch, 122, false),         // SHARE_SESSION_NOT_FOUND
    (Api::ShareFetch, 123, false),         // INVALID_SHARE_SESSION_EPOCH
    (Api::ShareFetch, 133, false),         // SHARE_SESSION_LIMIT_REACHED
    (Api::ShareFetch, -1, true),           // UNKNOWN_SERVER_ERROR
    (Api::ShareFetch, 6, false),           // NOT_LEADER_OR_FOLLOWER
    (Api::ShareFetch, 30, false),          // GROUP_AUTHORIZATION_FAILED
    (Api::ShareAcknowledge, 121, false),   // INVALID_RECORD_STATE
    (Api::ShareAcknowledge, 122, true),    // SHARE_SESSION_NOT_FOUND
    (Api::ShareAcknowledge, 123, false),   // INVALID_SHARE_SESSION_EPOCH
    (Api::ShareAcknowledge, 6, false),     // NOT_LEADER_OR_FOLLOWER
    (Api::ShareAcknowledge, 56, false),    // KAFKA_STORAGE_ERROR
];
