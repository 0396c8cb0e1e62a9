//! Faults that show something only where they come together, which they hardly ever do by chance.

use std::time::Duration;

use fastrand::Rng;

use super::{Api, Fault, Members, Targets, Timed, millis};

/// What some worlds have besides all else.
#[derive(Clone, Debug, Default)]
pub struct Rare {
    /// What strikes.
    pub faults: Vec<Timed>,
    /// `metadata.max.age.ms` of all clients, where it is short.
    pub metadata_max_age: Option<Duration>,
    /// Whether lists of aborted transactions come in another order than the log's.
    pub shuffles_aborted: bool,
}

/// Draws them; `members` is empty in a world without a group, and partitions are added only where `may_grow`.
pub fn draw_rare(
    rng: &mut Rng,
    targets: Targets,
    members: &Members,
    may_grow: bool,
    during: Duration,
) -> Rare {
    let mut rare = Rare::default();
    if targets.transactional > 0 && rng.bool() {
        rare.faults.extend(ends(rng, during));
    }
    if !members.is_empty() && rng.u32(0..3) == 0 {
        // R20: members are given partitions of a topic that their own metadata does not know yet.
        let count = rng.u32(5..=50);
        rare.faults.push(Timed { at: Duration::ZERO, fault: Fault::Absent { count } });
    }
    rare.shuffles_aborted = targets.transactional > 0 && rng.bool();
    if rng.u32(0..4) == 0 {
        rare.metadata_max_age = Some(Duration::from_millis(rng.u64(200..2_000)));
        rare.faults.extend(metadata(rng, targets, members, may_grow, during));
    }
    rare
}

/// R7, R9: an end that comes late, or whose answer says nothing.
fn ends(rng: &mut Rng, during: Duration) -> Vec<Timed> {
    let is_late = rng.u32(0..3) > 0;
    let mut one = || {
        let at = Duration::from_millis(rng.u64(0..millis(during)));
        let fault = if is_late {
            let by = Duration::from_millis(rng.u64(500..10_000));
            Fault::Late { api: Api::EndTxn, count: rng.u32(1..=2), by }
        } else {
            Fault::Error { api: Api::EndTxn, count: 1, code: -1, applied: rng.bool() }
        };
        Timed { at, fault }
    };
    let strikes = if is_late { 4 } else { 8 };
    (0..strikes).map(|_| one()).collect()
}

/// R1, R17, R21: a topic that is not there for a while; a broker that is behind while partitions are added; bytes
/// that are on their way while a position is held against a new leader.
fn metadata(
    rng: &mut Rng,
    targets: Targets,
    members: &Members,
    may_grow: bool,
    during: Duration,
) -> Vec<Timed> {
    let mut faults = Vec::new();
    for _ in 0..rng.usize(2..=5) {
        let at = Duration::from_millis(rng.u64(0..millis(during)));
        let later = at + Duration::from_millis(rng.u64(0..500));
        let node = rng.i32(1..=targets.nodes);
        let lasts = Duration::from_millis(rng.u64(500..4_000));
        let count = rng.u32(1..=3);
        let partition = rng.i32(0..targets.partitions);
        match rng.u32(0..3) {
            0 => faults.push(Timed { at, fault: Fault::Absent { count } }),
            1 if may_grow && !members.is_empty() => {
                let lasts = lasts * 5;
                faults.push(Timed { at, fault: Fault::Stale { node, lasts } });
                let fault = Fault::AddPartitions { count: rng.i32(1..=2) };
                faults.push(Timed { at: later, fault });
            }
            _ => {
                let slow = [Api::Fetch, Api::OffsetForLeaderEpoch];
                faults.extend(slow.map(|api| {
                    let by = Duration::from_millis(rng.u64(500..4_000));
                    Timed { at, fault: Fault::Delay { api, count, by } }
                }));
                faults.push(Timed { at: later, fault: Fault::MoveLeader { partition } });
            }
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A kind that is never drawn would look like a kind that never fails.
    #[test]
    fn every_rarity_is_drawn() {
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..200 {
            let targets = Targets { nodes: 3, clients: 2, partitions: 3, transactional: 1 };
            let mut rng = Rng::with_seed(seed);
            let rare = draw_rare(&mut rng, targets, &(2..4), true, Duration::from_secs(30));
            for timed in rare.faults {
                let name = format!("{:?}", timed.fault);
                seen.insert(name.split([' ', '{']).next().map(str::to_owned));
            }
            seen.extend(rare.shuffles_aborted.then(|| Some("shuffled".to_owned())));
        }
        // Late, Error; Absent, Stale, AddPartitions, Delay, MoveLeader; and the lists.
        assert_eq!(seen.len(), 8, "{seen:?}");
    }
}
