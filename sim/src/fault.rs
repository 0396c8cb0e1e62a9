//! What goes wrong in a world, and when.

mod late;
mod more;
mod rare;
mod shares;

use std::fmt;
use std::time::Duration;

use fastrand::Rng;
use serde::{Deserialize, Serialize};

pub use late::draw_late;
pub(crate) use more::OF_MEMBERS;
pub use more::{Members, draw_more};
pub use rare::{Rare, draw_rare};
pub use shares::draw_shares;

/// A fault and its time.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Timed {
    /// When it begins, from the world's start.
    pub at: Duration,
    /// What it is.
    pub fault: Fault,
}

/// One fault. Those with a `lasts` end by themselves; `F` numbers are the catalogue's in `docs/testing.md`.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields of a fault are told by its own line")]
pub enum Fault {
    /// F1: connections to the node are refused.
    Refuse { node: i32, lasts: Duration },
    /// F2: connection attempts get no answer.
    Hide { node: i32, lasts: Duration },
    /// F3, F4: every connection of the node is reset.
    Reset { node: i32 },
    /// F10, F11: every connection of the node is reset after so many more bytes from one side.
    Cut { node: i32, from_broker: bool, bytes: usize },
    /// F13: one bit flips after so many more bytes from one side.
    Flip { node: i32, from_broker: bool, bytes: usize },
    /// F13: one bit flips in the records of the next answers or requests of the node that hold any; nothing else is
    /// touched, so a checksum tells.
    Damage { node: i32, from_broker: bool, count: u32 },
    /// F7, F17, F18: what one side says to the other vanishes.
    Silence { client: usize, node: i32, from_broker: bool, lasts: Duration },
    /// F6, F19: what the client's connections to the node carry comes this much later; new ones are as fast as ever.
    Stall { client: usize, node: i32, lasts: Duration },
    /// F9, F19: bytes crawl, in segments of a few.
    Crawl { lasts: Duration },
    /// F5: the next requests of this kind are carried out and their answers lost.
    ApplyThenDrop { api: Api, count: u32 },
    /// F8: the next requests of this kind are never answered.
    Hang { api: Api, count: u32 },
    /// F6: the next requests of this kind are answered late.
    Delay { api: Api, count: u32, by: Duration },
    /// F6, F61: the next requests of this kind are never answered, and carried out late, when their connections are gone.
    Late { api: Api, count: u32, by: Duration },
    /// F10, F12, F14, F15: the next answers of this kind are broken.
    Garble { api: Api, count: u32, how: Garbling },
    /// F23, F24, F29, F31 to F34, F41, F45, F53, F54, F61, F64: the next requests of this kind are answered with this error.
    Error { api: Api, count: u32, code: i16, applied: bool },
    /// F14: the next answers of the node, of whatever kind, never come, and those behind them do.
    Swallow { node: i32, count: u32 },
    /// F35: the next answers of this kind carry a throttle time.
    Throttle { api: Api, count: u32, by: Duration },
    /// F23: a partition gets another leader.
    MoveLeader { partition: i32 },
    /// F25: the node tells what the metadata was when this began.
    Stale { node: i32, lasts: Duration },
    /// F26: the next answers that are asked for topics say that there are none.
    Absent { count: u32 },
    /// F26: the topic is deleted and made anew under its name, empty, with another id.
    Recreate,
    /// F45, F64: brokers deny a sequence, an epoch or a transaction that is right.
    Deny { api: Api, code: i16, count: u32 },
    /// F50, F60: the client's process ends without a word; another takes its place after a while.
    Die { client: usize, lasts: Duration },
    /// F65: all transactional ids get another coordinator.
    MoveCoordinator,
    /// F50, F68, F72: the client's process stands still, and goes on as if nothing had been.
    Freeze { client: usize, lasts: Duration },
    /// F53: all groups get another coordinator.
    MoveGroups,
    /// F26: the topic gets this many partitions more.
    AddPartitions { count: i32 },
    /// F20: the node closes its connections on which nothing is asked.
    Reap { node: i32 },
    /// F21: the client can write nothing to the node.
    Clog { client: usize, node: i32, lasts: Duration },
    /// F28: an unclean election: the newest records of a partition are gone, acknowledged or not. Only worlds written by
    /// hand have it, as it breaks promises that others are held to.
    LoseRecords { partition: i32, count: i64 },
    /// F30: records are deleted from a partition's start; this share of them, in percent.
    DeleteRecords { partition: i32, percent: i64 },
    /// F40: the node comes back as an older one, which knows the API up to this version.
    Withdraw { node: i32, api: Api, version: i16, lasts: Duration },
    /// F58: what the group has committed is gone, if nobody is in it.
    ForgetOffsets,
    /// F43: brokers deny a right, and give it back.
    Forbid { api: Api, code: i16, count: u32 },
    /// F72: the clients' wall clocks jump.
    Jump { seconds: i64 },
    /// The cluster is upgraded to another `transaction.version`, or back.
    TransactionVersion { level: i16 },
    /// F36, F37: the node's process dies and comes back.
    Crash { node: i32, lasts: Duration },
    /// F38: the node stops and goes on where it was.
    Pause { node: i32, lasts: Duration },
}

/// The APIs that faults are drawn for.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Api {
    /// Produce.
    Produce,
    /// Fetch.
    Fetch,
    /// Metadata.
    Metadata,
    /// InitProducerId.
    InitProducerId,
    /// ListOffsets.
    ListOffsets,
    /// ApiVersions.
    ApiVersions,
    /// FindCoordinator.
    FindCoordinator,
    /// AddPartitionsToTxn.
    AddPartitionsToTxn,
    /// AddOffsetsToTxn.
    AddOffsetsToTxn,
    /// TxnOffsetCommit.
    TxnOffsetCommit,
    /// EndTxn.
    EndTxn,
    /// JoinGroup.
    JoinGroup,
    /// SyncGroup.
    SyncGroup,
    /// Heartbeat.
    Heartbeat,
    /// LeaveGroup.
    LeaveGroup,
    /// OffsetCommit.
    OffsetCommit,
    /// OffsetFetch.
    OffsetFetch,
    /// ConsumerGroupHeartbeat.
    ConsumerGroupHeartbeat,
    /// OffsetForLeaderEpoch.
    OffsetForLeaderEpoch,
    /// ShareFetch.
    ShareFetch,
    /// ShareAcknowledge.
    ShareAcknowledge,
    /// ShareGroupHeartbeat.
    ShareGroupHeartbeat,
}

/// How an answer is broken.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Garbling {
    /// Another correlation id.
    CorrelationId,
    /// Half of it comes, then the connection closes.
    Half,
    /// This stands in the place of the frame's length.
    Length(i32),
    /// The body is that of an answer to another API.
    Other,
}

impl Fault {
    /// How long it lasts by itself.
    pub fn lasts(&self) -> Duration {
        match self {
            Self::Refuse { lasts, .. }
            | Self::Hide { lasts, .. }
            | Self::Silence { lasts, .. }
            | Self::Stall { lasts, .. }
            | Self::Crawl { lasts }
            | Self::Crash { lasts, .. }
            | Self::Stale { lasts, .. }
            | Self::Die { lasts, .. }
            | Self::Freeze { lasts, .. }
            | Self::Clog { lasts, .. }
            | Self::Withdraw { lasts, .. }
            | Self::Pause { lasts, .. } => *lasts,
            Self::Delay { by, .. } | Self::Late { by, .. } | Self::Throttle { by, .. } => *by,
            Self::Reset { .. }
            | Self::Cut { .. }
            | Self::Flip { .. }
            | Self::Damage { .. }
            | Self::Absent { .. }
            | Self::Recreate
            | Self::MoveGroups
            | Self::AddPartitions { .. }
            | Self::Reap { .. }
            | Self::DeleteRecords { .. }
            | Self::LoseRecords { .. }
            | Self::ForgetOffsets
            | Self::Forbid { .. }
            | Self::Jump { .. }
            | Self::TransactionVersion { .. }
            | Self::Deny { .. }
            | Self::MoveCoordinator
            | Self::ApplyThenDrop { .. }
            | Self::Hang { .. }
            | Self::Garble { .. }
            | Self::Swallow { .. }
            | Self::Error { .. }
            | Self::MoveLeader { .. } => Duration::ZERO,
        }
    }
}

/// A rule that has not struck after this long never will: faults must end for the world to come to rest.
pub const RULE_LASTS: Duration = Duration::from_secs(20);

impl fmt::Display for Timed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>9.3}s {:?}", self.at.as_secs_f64(), self.fault)
    }
}

/// What faults may be drawn against.
#[derive(Clone, Copy, Debug)]
pub struct Targets {
    /// Nodes are 1 to this.
    pub nodes: i32,
    /// Clients are 0 to one below this.
    pub clients: usize,
    /// Partitions are 0 to one below this.
    pub partitions: i32,
    /// Which clients have transactions.
    pub transactional: usize,
}

/// Draws faults, swarm style: first which kinds are on in this world and how often they strike, then each strike.
pub fn draw(rng: &mut Rng, targets: Targets, during: Duration) -> Vec<Timed> {
    // Some worlds are calm: there nothing may fail.
    let is_calm = rng.u32(0..16) == 0;
    // What excuses a world from a property is rarer.
    let odds = |kind| match kind {
        RECREATE | 20 => 12,
        _ => 4,
    };
    let kinds = if targets.transactional > 0 { KINDS } else { KINDS_PLAIN };
    let mut kinds: Vec<u32> =
        (0..kinds).filter(|kind| !is_calm && rng.u32(0..odds(*kind)) == 0).collect();
    if targets.transactional > 0 {
        // What a transaction meant to a topic that is gone is nobody's promise.
        kinds.retain(|kind| *kind != RECREATE);
    }
    if kinds.is_empty() {
        return Vec::new();
    }
    let strikes = rng.usize(1..=12);
    let mut faults: Vec<Timed> = (0..strikes)
        .filter_map(|_| {
            // Some wait for the first request there is.
            let is_there = rng.u32(0..8) == 0;
            let at = if is_there { 0 } else { rng.u64(0..millis(during)) };
            let at = Duration::from_millis(at);
            let kind = *kinds.get(rng.usize(0..kinds.len()))?;
            Some(Timed { at, fault: strike(rng, kind, targets) })
        })
        .collect();
    faults.sort_by_key(|timed| timed.at);
    faults
}

/// One strike of a script.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Strike {
    /// What strikes: one of the kinds that worlds draw from.
    pub kind: u8,
    /// When, in 256ths of the time in which faults begin.
    pub at: u8,
    /// What all else about it is drawn from.
    pub parts: u16,
}

/// What a script says, as far as it can be drawn in a world like this.
pub fn scripted(script: &[Strike], targets: Targets, during: Duration) -> Vec<Timed> {
    let kinds = if targets.transactional > 0 { KINDS } else { KINDS_PLAIN };
    let strikes = script.iter().map(|one| (u32::from(one.kind) % kinds, one));
    // As when they are drawn.
    let strikes = strikes.filter(|(kind, _)| targets.transactional == 0 || *kind != RECREATE);
    let mut faults: Vec<Timed> = strikes
        .map(|(kind, one)| Timed {
            at: during * u32::from(one.at) / 256,
            fault: strike(&mut Rng::with_seed(u64::from(one.parts)), kind, targets),
        })
        .collect();
    faults.sort_by_key(|timed| timed.at);
    faults
}

const KINDS: u32 = 24;

/// The topic is made anew.
const RECREATE: u32 = 19;

/// Kinds from here on need transactions.
const KINDS_PLAIN: u32 = 22;

fn strike(rng: &mut Rng, kind: u32, targets: Targets) -> Fault {
    let node = rng.i32(1..=targets.nodes);
    let lasts = Duration::from_millis(rng.u64(1..20_000));
    let is_transactional = targets.transactional > 0 && rng.bool();
    let api = if is_transactional { transaction_api(rng) } else { api(rng) };
    let count = rng.u32(1..=4);
    let from_broker = rng.bool();
    let bytes = if rng.bool() { rng.usize(0..64) } else { rng.usize(0..4096) };
    match kind {
        0 => Fault::Refuse { node, lasts },
        1 => Fault::Hide { node, lasts },
        2 => Fault::Reset { node },
        3 => Fault::Cut { node, from_broker, bytes },
        4 => Fault::Flip { node, from_broker: true, bytes },
        5 => Fault::Silence { client: rng.usize(0..targets.clients), node, from_broker, lasts },
        6 => Fault::Crawl { lasts },
        7 => Fault::ApplyThenDrop { api, count },
        8 => Fault::Hang { api, count },
        9 => Fault::Delay { api, count, by: Duration::from_millis(rng.u64(1..60_000)) },
        10 => {
            let how = match rng.u32(0..8) {
                0..=2 => Garbling::CorrelationId,
                3..=4 => Garbling::Half,
                5..=6 => Garbling::Length(*rng.choice(&LENGTHS).unwrap_or(&0)),
                _ => Garbling::Other,
            };
            Fault::Garble { api, count, how }
        }
        11 => {
            let (api, code, applied) =
                if is_transactional { transaction_error(rng) } else { error(rng) };
            Fault::Error { api, count, code, applied }
        }
        12 => Fault::Throttle { api, count, by: Duration::from_millis(rng.u64(1..5_000)) },
        13 => Fault::MoveLeader { partition: rng.i32(0..targets.partitions) },
        14 => Fault::Crash { node, lasts },
        15 => Fault::Pause { node, lasts },
        16 => Fault::Swallow { node, count },
        17 => Fault::Damage { node, from_broker, count },
        18 => Fault::Stale { node, lasts },
        RECREATE => Fault::Recreate,
        20 => {
            let (api, code) = if is_transactional {
                *rng.choice(&TRANSACTION_DENIALS).unwrap_or(&(Api::EndTxn, 90))
            } else {
                (Api::Produce, *rng.choice(&DENIALS).unwrap_or(&45))
            };
            Fault::Deny { api, code, count }
        }
        21 => Fault::Stall { client: rng.usize(0..targets.clients), node, lasts },
        22 => Fault::Die { client: rng.usize(0..targets.transactional.max(1)), lasts },
        _ => Fault::MoveCoordinator,
    }
}

fn api(rng: &mut Rng) -> Api {
    match rng.u32(0..10) {
        0..=4 => Api::Produce,
        5..=6 => Api::Fetch,
        7 => Api::Metadata,
        8 => Api::InitProducerId,
        _ => Api::ListOffsets,
    }
}

/// Errors that a healthy client must live through, and whether the request was applied before the error was told.
fn error(rng: &mut Rng) -> (Api, i16, bool) {
    const ERRORS: [(Api, i16, bool); 17] = [
        (Api::Produce, 6, false),         // NOT_LEADER_OR_FOLLOWER
        (Api::Produce, 5, false),         // LEADER_NOT_AVAILABLE
        (Api::Produce, 3, false),         // UNKNOWN_TOPIC_OR_PARTITION
        (Api::Produce, 7, true),          // REQUEST_TIMED_OUT after the append
        (Api::Produce, 19, false),        // NOT_ENOUGH_REPLICAS
        (Api::Produce, 20, true),         // NOT_ENOUGH_REPLICAS_AFTER_APPEND
        (Api::Produce, 56, false),        // KAFKA_STORAGE_ERROR
        (Api::Produce, 2, false),         // CORRUPT_MESSAGE
        (Api::Produce, 46, true),         // DUPLICATE_SEQUENCE_NUMBER
        (Api::Fetch, 6, false),           // NOT_LEADER_OR_FOLLOWER
        (Api::Fetch, 70, false),          // FETCH_SESSION_ID_NOT_FOUND
        (Api::Fetch, 71, false),          // INVALID_FETCH_SESSION_EPOCH
        (Api::Fetch, 75, false),          // UNKNOWN_LEADER_EPOCH
        (Api::Metadata, 5, false),        // LEADER_NOT_AVAILABLE
        (Api::Metadata, 3, false),        // UNKNOWN_TOPIC_OR_PARTITION
        (Api::InitProducerId, 14, false), // COORDINATOR_LOAD_IN_PROGRESS
        (Api::ListOffsets, 6, false),     // NOT_LEADER_OR_FOLLOWER
    ];
    ERRORS.get(rng.usize(0..ERRORS.len())).copied().unwrap_or((Api::Produce, 6, false))
}

fn transaction_api(rng: &mut Rng) -> Api {
    match rng.u32(0..10) {
        0..=3 => Api::EndTxn,
        4 => Api::AddPartitionsToTxn,
        5 => Api::AddOffsetsToTxn,
        6..=7 => Api::TxnOffsetCommit,
        8 => Api::InitProducerId,
        _ => Api::FindCoordinator,
    }
}

/// The same for coordinators (F61, F64).
fn transaction_error(rng: &mut Rng) -> (Api, i16, bool) {
    const ERRORS: [(Api, i16, bool); 16] = [
        (Api::EndTxn, -1, false),             // UNKNOWN_SERVER_ERROR
        (Api::EndTxn, -1, true),              // the same, and it is done
        (Api::EndTxn, 51, false),             // CONCURRENT_TRANSACTIONS
        (Api::EndTxn, 14, false),             // COORDINATOR_LOAD_IN_PROGRESS
        (Api::EndTxn, 15, false),             // COORDINATOR_NOT_AVAILABLE
        (Api::EndTxn, 16, true),              // NOT_COORDINATOR
        (Api::AddPartitionsToTxn, 51, false), // CONCURRENT_TRANSACTIONS
        (Api::AddPartitionsToTxn, 14, false), // COORDINATOR_LOAD_IN_PROGRESS
        (Api::AddPartitionsToTxn, 16, true),  // NOT_COORDINATOR
        (Api::AddOffsetsToTxn, 51, false),    // CONCURRENT_TRANSACTIONS
        (Api::TxnOffsetCommit, 14, false),    // COORDINATOR_LOAD_IN_PROGRESS
        (Api::TxnOffsetCommit, 16, true),     // NOT_COORDINATOR
        (Api::InitProducerId, 51, false),     // CONCURRENT_TRANSACTIONS
        (Api::InitProducerId, 16, false),     // NOT_COORDINATOR
        (Api::FindCoordinator, 15, false),    // COORDINATOR_NOT_AVAILABLE
        (Api::Produce, 51, false),            // CONCURRENT_TRANSACTIONS
    ];
    ERRORS.get(rng.usize(0..ERRORS.len())).copied().unwrap_or((Api::EndTxn, 51, false))
}

/// PRODUCER_FENCED, INVALID_TXN_STATE, INVALID_PRODUCER_EPOCH and TRANSACTION_ABORTABLE, of one who did nothing wrong.
const TRANSACTION_DENIALS: [(Api, i16); 8] = [
    (Api::EndTxn, 90),
    (Api::EndTxn, 48),
    (Api::EndTxn, 47),
    (Api::EndTxn, 120),
    (Api::AddPartitionsToTxn, 47),
    (Api::TxnOffsetCommit, 120),
    (Api::Produce, 48),
    (Api::Produce, 47),
];

/// OUT_OF_ORDER_SEQUENCE_NUMBER, UNKNOWN_PRODUCER_ID, INVALID_PRODUCER_EPOCH, UNKNOWN_SERVER_ERROR.
const DENIALS: [i16; 4] = [45, 59, 47, -1];

/// Lengths of frames that no frame has (F12).
const LENGTHS: [i32; 4] = [-1, 0, 3, i32::MAX];

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A kind that is never drawn would look like a kind that never fails.
    #[test]
    fn every_kind_of_fault_is_drawn() {
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..400 {
            let transactional = if seed % 2 == 0 { 1 } else { 0 };
            let targets = Targets { nodes: 3, clients: 2, partitions: 3, transactional };
            for timed in draw(&mut Rng::with_seed(seed), targets, Duration::from_secs(30)) {
                let name = format!("{:?}", timed.fault);
                seen.insert(name.split([' ', '{']).next().map(str::to_owned));
            }
        }
        assert_eq!(seen.len() as u32, KINDS);
    }

    /// A script that could not say something would not find what comes of it.
    #[test]
    fn a_script_says_every_kind_that_is_drawn_in_order_of_time() {
        for (transactional, kinds) in [(1, KINDS - 1), (0, KINDS_PLAIN)] {
            let targets = Targets { nodes: 3, clients: 2, partitions: 3, transactional };
            let script: Vec<Strike> =
                (0..24).map(|n| Strike { kind: n, at: 240 - 10 * n, parts: n.into() }).collect();
            let faults = scripted(&script, targets, Duration::from_secs(256));
            let name = |timed: &Timed| {
                let name = format!("{:?}", timed.fault);
                name.split([' ', '{']).next().map(str::to_owned)
            };
            let seen: std::collections::BTreeSet<_> = faults.iter().map(name).collect();
            assert_eq!(seen.len() as u32, kinds, "{seen:?}");
            assert!(faults.is_sorted_by_key(|timed| timed.at));
            assert_eq!(faults.last().map(|timed| timed.at.as_secs()), Some(240));
        }
    }

    #[test]
    fn a_seed_draws_the_same_faults_again() {
        let targets = Targets { nodes: 3, clients: 2, partitions: 3, transactional: 0 };
        let again = || draw(&mut Rng::with_seed(3), targets, Duration::from_secs(30));
        assert_eq!(again(), again());
    }
}
