//! Which partitions have a replica near which members (KIP-881).

use std::collections::{BTreeMap, BTreeSet};

use super::problem::{Part, Problem};
use crate::group::assignor::Layout;
use crate::group::assignor::layout::{Racks, is_rack_aware};

#[derive(Debug)]
pub(super) struct RackInfo<'a> {
    /// Whether any of it matters; if not, nobody has a rack.
    is_aware: bool,
    members: Vec<Option<&'a str>>,
    partitions: Vec<&'a Racks>,
    /// How many members are near each partition; empty where no member has a rack.
    near: Vec<usize>,
}

impl<'a> RackInfo<'a> {
    pub(super) fn new(problem: &Problem<'a>, layout: &'a Layout) -> Self {
        let members: Vec<Option<&str>> =
            problem.members.iter().map(|member| member.rack.as_deref()).collect();
        let mut by_rack: BTreeMap<&str, usize> = BTreeMap::new();
        for rack in members.iter().flatten() {
            *by_rack.entry(rack).or_default() += 1;
        }
        let runs = problem.topics.iter().filter_map(|run| layout.topics.get(run.topic));
        let partitions: Vec<&Racks> = runs.flatten().collect();
        let racks: BTreeSet<&str> = by_rack.keys().copied().collect();
        let is_aware = is_rack_aware(&racks, partitions.iter().copied());
        let count = |racks: &&Racks| {
            racks.iter().map(|rack| by_rack.get(&**rack).copied().unwrap_or(0)).sum()
        };
        let near =
            if by_rack.is_empty() { Vec::new() } else { partitions.iter().map(count).collect() };
        Self { is_aware, members, partitions, near }
    }

    pub(super) fn is_aware(&self) -> bool {
        self.is_aware
    }

    /// Whether a member has a rack on which the partition has no replica.
    pub(super) fn mismatch(&self, member: usize, part: Part) -> bool {
        let rack = self.rack(member);
        rack.is_some_and(|rack| {
            !self.partitions.get(part).is_some_and(|racks| racks.contains(rack))
        })
    }

    /// Whether a member has a rack, and the partition a replica on it.
    pub(super) fn matches(&self, member: usize, part: Part) -> bool {
        let rack = self.rack(member);
        rack.is_some_and(|rack| self.partitions.get(part).is_some_and(|racks| racks.contains(rack)))
    }

    /// Those with the fewest members near them first.
    pub(super) fn sort(&self, parts: &mut [Part]) {
        if !self.near.is_empty() {
            parts.sort_by_key(|part| self.near.get(*part).copied().unwrap_or(0));
        }
    }

    fn rack(&self, member: usize) -> Option<&'a str> {
        self.members.get(member).copied().flatten().filter(|_| self.is_aware)
    }
}
