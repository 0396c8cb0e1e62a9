//! Who had what before, where two may say so of the same partition.

use std::collections::{BTreeMap, BTreeSet};

use milena_types::Generation;

use super::problem::{Part, Problem};
use super::user_data::UserData;
use crate::group::assignor::AssignmentStrategy;

/// What each member had that still exists.
///
/// Of two who claim a partition, the one of the later generation had it last; of the same generation, nobody did
/// (trap 37).
#[derive(Debug)]
pub(super) struct Claims {
    pub(super) owned: Vec<Vec<Part>>,
    /// Claimed twice in one generation.
    pub(super) doubtful: BTreeSet<Part>,
    /// Who had what in an earlier generation than the last.
    pub(super) before: BTreeMap<Part, usize>,
}

impl Claims {
    pub(super) fn new(problem: &Problem<'_>, strategy: AssignmentStrategy) -> Self {
        let said: Vec<UserData> =
            problem.members.iter().map(|member| UserData::of(strategy, member)).collect();
        let last = said.iter().filter_map(|one| one.generation).max().unwrap_or(NONE).max(NONE);
        let mut owned: Vec<Vec<Part>> = vec![Vec::new(); said.len()];
        let mut doubtful = BTreeSet::new();
        let mut owner: BTreeMap<Part, usize> = BTreeMap::new();
        for (member, one) in said.iter().enumerate() {
            let generation = one.generation.unwrap_or(NONE);
            for part in one.partitions.iter().filter_map(|tp| problem.part(tp)) {
                let Some(&other) = owner.get(&part) else {
                    owner.insert(part, member);
                    add(&mut owned, member, part);
                    continue;
                };
                // As Java: the other's word is its subscription's, even where the strategy has its own.
                let theirs = problem.members.get(other).and_then(|member| member.generation);
                let theirs = theirs.map_or(NONE, Generation::get);
                if generation < theirs {
                    continue;
                }
                if let Some(owned) = owned.get_mut(other)
                    && let Some(place) = owned.iter().position(|known| *known == part)
                {
                    owned.remove(place);
                }
                owner.insert(part, member);
                if generation == theirs {
                    doubtful.insert(part);
                } else {
                    add(&mut owned, member, part);
                }
            }
        }
        Self { owned, doubtful, before: before(problem, &said, last) }
    }
}

fn add(owned: &mut [Vec<Part>], member: usize, part: Part) {
    if let Some(owned) = owned.get_mut(member) {
        owned.push(part);
    }
}

fn before(problem: &Problem<'_>, said: &[UserData], last: i32) -> BTreeMap<Part, usize> {
    let mut before: BTreeMap<Part, (usize, i32)> = BTreeMap::new();
    for (member, one) in said.iter().enumerate() {
        let generation = one.generation.unwrap_or(NONE);
        if generation >= last {
            continue;
        }
        for part in one.partitions.iter().filter_map(|tp| problem.part(tp)) {
            let known = before.entry(part).or_insert((member, generation));
            if generation > known.1 {
                *known = (member, generation);
            }
        }
    }
    before.into_iter().map(|(part, (member, _))| (part, member)).collect()
}

/// As Java counts a member that tells no generation.
const NONE: i32 = -1;
