//! Faults that are drawn apart from the others: those of groups, and those that some worlds have besides.

use std::ops::Range;
use std::time::Duration;

use fastrand::Rng;

use super::{Api, Fault, Garbling, LENGTHS, Targets, Timed, millis};

/// Which clients of a world are members of its group.
pub type Members = Range<usize>;

/// Draws strikes of the kinds that the world lets happen; `members` is empty in a world without a group.
pub fn draw_more(
    rng: &mut Rng,
    targets: Targets,
    members: &Members,
    during: Duration,
) -> Vec<Timed> {
    let is_possible = |kind: &Kind| match kind {
        Kind::Group(_) => !members.is_empty(),
        // What was in a transaction and is deleted is neither committed nor aborted.
        Kind::DeleteRecords => targets.transactional == 0,
        Kind::TransactionVersion => targets.transactional > 0,
        // What excuses a world from a property is rarer.
        Kind::Forbid => rng.u32(0..3) == 0,
        Kind::Clog | Kind::Errors | Kind::Jump | Kind::Reap | Kind::Withdraw => true,
    };
    let mut kinds: Vec<Kind> = KINDS.iter().copied().filter(is_possible).collect();
    kinds.retain(|_| rng.u32(0..4) == 0);
    if kinds.is_empty() {
        return Vec::new();
    }
    let strikes = rng.usize(1..=8);
    let mut one = || {
        let at = Duration::from_millis(rng.u64(0..millis(during)));
        let kind = *kinds.get(rng.usize(0..kinds.len()))?;
        Some(Timed { at, fault: strike(rng, kind, targets, members) })
    };
    (0..strikes).filter_map(|_| one()).collect()
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Clog,
    DeleteRecords,
    Errors,
    Forbid,
    Group(OfGroup),
    Jump,
    Reap,
    TransactionVersion,
    Withdraw,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum OfGroup {
    AddPartitions,
    Answers,
    Die,
    Errors,
    Freeze,
    Garble,
    Move,
    Silence,
    Stall,
}

const KINDS: [Kind; 17] = [
    Kind::Clog,
    Kind::DeleteRecords,
    Kind::Errors,
    Kind::Forbid,
    Kind::Group(OfGroup::AddPartitions),
    Kind::Group(OfGroup::Answers),
    Kind::Group(OfGroup::Die),
    Kind::Group(OfGroup::Errors),
    Kind::Group(OfGroup::Freeze),
    Kind::Group(OfGroup::Garble),
    Kind::Group(OfGroup::Move),
    Kind::Group(OfGroup::Silence),
    Kind::Group(OfGroup::Stall),
    Kind::Jump,
    Kind::Reap,
    Kind::TransactionVersion,
    Kind::Withdraw,
];

fn strike(rng: &mut Rng, kind: Kind, targets: Targets, members: &Members) -> Fault {
    let node = rng.i32(1..=targets.nodes);
    let lasts = Duration::from_millis(rng.u64(1..20_000));
    let client = rng.usize(0..targets.clients + members.len());
    let count = rng.u32(1..=3);
    match kind {
        Kind::Clog => Fault::Clog { client, node, lasts },
        Kind::DeleteRecords => {
            let partition = rng.i32(0..targets.partitions);
            Fault::DeleteRecords { partition, percent: rng.i64(1..=100) }
        }
        Kind::Errors => {
            let (api, code) = *rng.choice(&ERRORS).unwrap_or(&ERRORS[0]);
            Fault::Error { api, count, code, applied: false }
        }
        Kind::Forbid => {
            let all = if members.is_empty() { &FORBIDDEN[..3] } else { &FORBIDDEN[..] };
            let (api, code) = *rng.choice(all).unwrap_or(&FORBIDDEN[0]);
            Fault::Forbid { api, code, count }
        }
        Kind::Group(kind) => strike_group(rng, kind, node, count, members),
        Kind::Jump => Fault::Jump { seconds: rng.i64(-3_000..3_000) },
        Kind::Reap => Fault::Reap { node },
        Kind::TransactionVersion => Fault::TransactionVersion { level: rng.i16(1..=2) },
        Kind::Withdraw => {
            let (api, version) = *rng.choice(&OLDEST).unwrap_or(&OLDEST[0]);
            Fault::Withdraw { node, api, version: version + rng.i16(0..3), lasts }
        }
    }
}

fn strike_group(rng: &mut Rng, kind: OfGroup, node: i32, count: u32, members: &Members) -> Fault {
    let lasts = Duration::from_millis(rng.u64(1..20_000));
    let client = rng.usize(members.clone());
    // Or who that is.
    let api = rng.usize(0..=OF_MEMBERS.len());
    let api = OF_MEMBERS.get(api).copied().unwrap_or(Api::FindCoordinator);
    match kind {
        OfGroup::AddPartitions => Fault::AddPartitions { count: rng.i32(1..=2) },
        OfGroup::Answers => match rng.u32(0..4) {
            0 | 1 => Fault::ApplyThenDrop { api, count },
            2 => Fault::Hang { api, count },
            _ => Fault::Delay { api, count, by: lasts },
        },
        OfGroup::Die => Fault::Die { client, lasts },
        OfGroup::Errors => {
            let (api, code, applied) = *rng.choice(&GROUP_ERRORS).unwrap_or(&GROUP_ERRORS[0]);
            Fault::Error { api, count, code, applied }
        }
        OfGroup::Freeze => Fault::Freeze { client, lasts },
        OfGroup::Garble => {
            let how = match rng.u32(0..3) {
                0 => Garbling::CorrelationId,
                1 => Garbling::Half,
                _ => Garbling::Length(*rng.choice(&LENGTHS).unwrap_or(&0)),
            };
            Fault::Garble { api, count, how }
        }
        OfGroup::Move => Fault::MoveGroups,
        OfGroup::Silence => Fault::Silence { client, node, from_broker: rng.bool(), lasts },
        OfGroup::Stall => Fault::Stall { client, node, lasts },
    }
}

/// What members ask of their coordinator.
pub(crate) const OF_MEMBERS: [Api; 7] = [
    Api::ConsumerGroupHeartbeat,
    Api::JoinGroup,
    Api::SyncGroup,
    Api::Heartbeat,
    Api::LeaveGroup,
    Api::OffsetCommit,
    Api::OffsetFetch,
];

/// FENCED_LEADER_EPOCH, OFFSET_NOT_AVAILABLE, UNKNOWN_LEADER_EPOCH (F29), REPLICA_NOT_AVAILABLE, KAFKA_STORAGE_ERROR,
/// UNKNOWN_TOPIC_ID, INCONSISTENT_TOPIC_ID, FETCH_SESSION_TOPIC_ID_ERROR (F41), UNKNOWN_SERVER_ERROR.
const ERRORS: [(Api, i16); 14] = [
    (Api::Fetch, 74),
    (Api::Fetch, 78),
    (Api::Fetch, 9),
    (Api::Fetch, 56),
    (Api::Fetch, 100),
    (Api::Fetch, 103),
    (Api::Fetch, 106),
    (Api::Fetch, -1),
    (Api::ListOffsets, 74),
    (Api::ListOffsets, 75),
    (Api::ListOffsets, 78),
    (Api::OffsetForLeaderEpoch, 74),
    (Api::OffsetForLeaderEpoch, 75),
    (Api::OffsetForLeaderEpoch, 6),
];

/// What coordinators say to members (F53, F54), and whether it was done all the same.
const GROUP_ERRORS: [(Api, i16, bool); 32] = [
    (Api::ConsumerGroupHeartbeat, 14, false), // COORDINATOR_LOAD_IN_PROGRESS
    (Api::ConsumerGroupHeartbeat, 16, true),  // NOT_COORDINATOR
    (Api::ConsumerGroupHeartbeat, 25, false), // UNKNOWN_MEMBER_ID
    (Api::ConsumerGroupHeartbeat, 110, false), // FENCED_MEMBER_EPOCH
    (Api::OffsetCommit, 113, false),          // STALE_MEMBER_EPOCH
    (Api::JoinGroup, 14, false),              // COORDINATOR_LOAD_IN_PROGRESS
    (Api::JoinGroup, 15, false),              // COORDINATOR_NOT_AVAILABLE
    (Api::JoinGroup, 16, true),               // NOT_COORDINATOR
    (Api::JoinGroup, 25, false),              // UNKNOWN_MEMBER_ID
    (Api::JoinGroup, 27, false),              // REBALANCE_IN_PROGRESS
    (Api::JoinGroup, 81, false),              // GROUP_MAX_SIZE_REACHED
    (Api::JoinGroup, 82, false),              // FENCED_INSTANCE_ID
    (Api::SyncGroup, 14, false),              // COORDINATOR_LOAD_IN_PROGRESS
    (Api::SyncGroup, 16, true),               // NOT_COORDINATOR
    (Api::SyncGroup, 22, false),              // ILLEGAL_GENERATION
    (Api::SyncGroup, 25, false),              // UNKNOWN_MEMBER_ID
    (Api::SyncGroup, 27, false),              // REBALANCE_IN_PROGRESS
    (Api::Heartbeat, 15, false),              // COORDINATOR_NOT_AVAILABLE
    (Api::Heartbeat, 16, false),              // NOT_COORDINATOR
    (Api::Heartbeat, 22, false),              // ILLEGAL_GENERATION
    (Api::Heartbeat, 25, false),              // UNKNOWN_MEMBER_ID
    (Api::Heartbeat, 27, false),              // REBALANCE_IN_PROGRESS
    (Api::OffsetCommit, 14, false),           // COORDINATOR_LOAD_IN_PROGRESS
    (Api::OffsetCommit, 16, true),            // NOT_COORDINATOR
    (Api::OffsetCommit, 22, false),           // ILLEGAL_GENERATION
    (Api::OffsetCommit, 25, false),           // UNKNOWN_MEMBER_ID
    (Api::OffsetCommit, 27, false),           // REBALANCE_IN_PROGRESS
    (Api::OffsetCommit, 7, true),             // REQUEST_TIMED_OUT
    (Api::OffsetFetch, 14, false),            // COORDINATOR_LOAD_IN_PROGRESS
    (Api::OffsetFetch, 16, false),            // NOT_COORDINATOR
    (Api::OffsetFetch, 88, false),            // UNSTABLE_OFFSET_COMMIT
    (Api::LeaveGroup, 25, true),              // UNKNOWN_MEMBER_ID
];

/// TOPIC_, GROUP_AUTHORIZATION_FAILED; the first three concern those who are in no group.
const FORBIDDEN: [(Api, i16); 9] = [
    (Api::Produce, 29),
    (Api::Fetch, 29),
    (Api::Metadata, 29),
    (Api::FindCoordinator, 30),
    (Api::JoinGroup, 30),
    (Api::Heartbeat, 30),
    (Api::OffsetCommit, 30),
    (Api::OffsetCommit, 29),
    (Api::OffsetFetch, 30),
];

/// What the oldest broker that this client speaks to, Kafka 2.1, knows of each API.
const OLDEST: [(Api, i16); 10] = [
    (Api::Fetch, 10),
    (Api::ListOffsets, 4),
    (Api::Metadata, 7),
    (Api::OffsetCommit, 6),
    (Api::OffsetFetch, 5),
    (Api::FindCoordinator, 2),
    (Api::JoinGroup, 3),
    (Api::SyncGroup, 2),
    (Api::Heartbeat, 2),
    (Api::LeaveGroup, 2),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// A kind that is never drawn would look like a kind that never fails.
    #[test]
    fn every_kind_is_drawn() {
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..400 {
            let transactional = usize::from(seed % 2 == 0);
            let targets = Targets { nodes: 3, clients: 2, partitions: 3, transactional };
            let mut rng = Rng::with_seed(seed);
            for timed in draw_more(&mut rng, targets, &(2..4), Duration::from_secs(30)) {
                let name = format!("{:?}", timed.fault);
                seen.insert(name.split([' ', '{']).next().map(str::to_owned));
            }
        }
        // Those of answers are three, and errors come in two kinds.
        assert_eq!(seen.len(), KINDS.len() - 1 + 2, "{seen:?}");
    }
}
