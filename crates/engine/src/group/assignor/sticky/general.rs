//! Sticky shares where members want different topics.

use std::collections::BTreeSet;

use super::claims::Claims;
use super::movements::Movements;
use super::problem::{Part, Problem};
use super::racks::RackInfo;

/// Leaves everybody what it had and still wants, gives the rest to those with the least, then moves partitions from
/// larger to smaller shares for as long as there are any to move.
pub(super) fn assign(
    problem: &Problem<'_>,
    racks: &RackInfo<'_>,
    claims: &Claims,
) -> Vec<Vec<Part>> {
    let mut takers = vec![Vec::new(); problem.topics.len()];
    for (member, wants) in problem.wants.iter().enumerate() {
        for topic in wants {
            if let Some(takers) = takers.get_mut(*topic) {
                takers.push(member);
            }
        }
    }
    let mut order: Vec<usize> = (0..problem.topics.len()).collect();
    order.sort_by_key(|topic| takers.get(*topic).map_or(0, Vec::len));
    let runs = order.iter().filter_map(|topic| problem.topics.get(*topic));
    let parts = runs.flat_map(|run| run.first..run.first + run.count).collect();
    let members = problem.members.len();
    let balancing = Balancing {
        problem,
        racks,
        claims,
        takers,
        shares: vec![Vec::new(); members],
        owner: vec![None; problem.parts()],
        fixed: vec![false; members],
        by_size: BTreeSet::new(),
        movements: Movements::default(),
    };
    balancing.run(parts)
}

#[derive(Debug)]
struct Balancing<'a> {
    problem: &'a Problem<'a>,
    racks: &'a RackInfo<'a>,
    claims: &'a Claims,
    /// Who wants each topic.
    takers: Vec<Vec<usize>>,
    shares: Vec<Vec<Part>>,
    owner: Vec<Option<usize>>,
    /// Members whose share cannot change.
    fixed: Vec<bool>,
    /// The others by the size of their share, then by id.
    by_size: BTreeSet<(usize, usize)>,
    movements: Movements,
}

impl Balancing<'_> {
    /// `parts` are all partitions; those that few want come first.
    fn run(mut self, mut parts: Vec<Part>) -> Vec<Vec<Part>> {
        let must_revoke = self.keep();
        let mut unassigned: Vec<Part> =
            parts.iter().copied().filter(|part| self.owner(*part).is_none()).collect();
        for member in 0..self.shares.len() {
            self.by_size.insert(self.key(member));
        }
        let is_new = self.by_size.last().is_none_or(|(size, _)| *size == 0);
        if self.racks.is_aware() {
            for part in &unassigned {
                self.give(*part, true);
            }
        }
        for part in &unassigned {
            if self.owner(*part).is_none() {
                self.give(*part, false);
            }
        }
        let is_shared = |part: &Part| self.is_shared(self.problem.topic(*part));
        parts.retain(is_shared);
        unassigned.retain(is_shared);
        for member in 0..self.shares.len() {
            if !self.may_change(member) {
                self.by_size.remove(&self.key(member));
                if let Some(fixed) = self.fixed.get_mut(member) {
                    *fixed = true;
                }
            }
        }
        let before = self.shares.clone();
        if !must_revoke {
            self.even_out(&unassigned);
        }
        let moved = self.even_out(&parts);
        if !is_new && moved && self.unevenness(&self.shares) >= self.unevenness(&before) {
            return before;
        }
        self.shares
    }

    /// Leaves everybody what it had; true if something had to go.
    fn keep(&mut self) -> bool {
        let mut must_revoke = false;
        for (member, owned) in self.claims.owned.iter().enumerate() {
            for part in owned {
                let wanted = self.problem.wants(member, self.problem.topic(*part));
                if !wanted || self.racks.mismatch(member, *part) {
                    must_revoke = true;
                } else {
                    self.put(*part, member);
                }
            }
        }
        must_revoke
    }

    /// Gives a partition to the member with the least that wants it.
    fn give(&mut self, part: Part, near: bool) {
        let topic = self.problem.topic(part);
        let taker = self.members_by_size().find(|member| {
            self.problem.wants(*member, topic) && !(near && self.racks.mismatch(*member, part))
        });
        if let Some(member) = taker {
            self.by_size.remove(&self.key(member));
            self.put(part, member);
            self.by_size.insert(self.key(member));
        }
    }

    /// Moves partitions until shares are even; true if any moved.
    fn even_out(&mut self, parts: &[Part]) -> bool {
        let mut moved = false;
        // Each pass that moves something makes the shares more even, so there are few; Java has no limit here.
        for _ in 0..PASSES_MAX {
            let mut again = false;
            for part in parts {
                if self.is_even() {
                    break;
                }
                let Some(owner) = self.owner(*part) else { continue };
                let to = match self.claims.before.get(part) {
                    Some(before)
                        if self.is_larger(owner, *before) && self.may_take(*before, *part) =>
                    {
                        Some(*before)
                    }
                    Some(_) | None => self.smallest_taker(owner, *part),
                };
                if let Some(to) = to {
                    self.relay(*part, owner, to);
                    (moved, again) = (true, true);
                }
            }
            if !again {
                break;
            }
        }
        moved
    }

    /// Whom to give a partition of `owner` to, if anybody has so much less.
    fn smallest_taker(&self, owner: usize, part: Part) -> Option<usize> {
        let topic = self.problem.topic(part);
        let smaller = |member: &usize| self.is_larger(owner, *member);
        self.takers.get(topic)?.iter().find(|member| smaller(member))?;
        self.members_by_size().find(|member| self.problem.wants(*member, topic))
    }

    /// Moves `part`, or one that came the other way, to `to`.
    fn relay(&mut self, part: Part, owner: usize, to: usize) {
        let part = self.movements.instead(self.problem, part, owner, to);
        let Some(from) = self.owner(part) else { return };
        self.by_size.remove(&self.key(from));
        self.by_size.remove(&self.key(to));
        self.movements.moved(self.problem, part, from, to);
        if let Some(share) = self.shares.get_mut(from)
            && let Some(place) = share.iter().position(|known| *known == part)
        {
            share.remove(place);
        }
        self.put(part, to);
        self.by_size.insert(self.key(to));
        self.by_size.insert(self.key(from));
    }

    /// Whether no member could take a partition of one who has at least two more.
    fn is_even(&self) -> bool {
        let (Some((least, _)), Some((most, _))) = (self.by_size.first(), self.by_size.last())
        else {
            return true;
        };
        if least + 1 >= *most {
            return true;
        }
        let mut largest = vec![0; self.problem.topics.len()];
        for (part, owner) in self.owner.iter().enumerate() {
            if let Some(owner) = owner.filter(|owner| !self.is_fixed(*owner))
                && let Some(largest) = largest.get_mut(self.problem.topic(part))
            {
                *largest = self.size(owner).max(*largest);
            }
        }
        let could_take = |member: usize| {
            let wants = self.problem.wants.get(member).into_iter().flatten();
            let sizes = wants.filter_map(|topic| largest.get(*topic));
            sizes.into_iter().any(|size| self.size(member) + 1 < *size)
        };
        !self.members_by_size().any(could_take)
    }

    /// The sum of the differences between all pairs of shares that can change.
    fn unevenness(&self, shares: &[Vec<Part>]) -> u64 {
        let shares = shares.iter().enumerate().filter(|(member, _)| !self.is_fixed(*member));
        let mut sizes: Vec<u64> = shares.map(|(_, share)| share.len() as u64).collect();
        sizes.sort_unstable();
        let (mut sum, mut score) = (0, 0);
        for (size, below) in sizes.into_iter().zip(0_u64..) {
            score += size * below - sum;
            sum += size;
        }
        score
    }

    /// Whether a topic's partitions have anywhere else to go.
    fn is_shared(&self, topic: usize) -> bool {
        self.takers.get(topic).is_some_and(|takers| takers.len() >= 2)
    }

    fn may_change(&self, member: usize) -> bool {
        let wants = self.problem.wants.get(member).into_iter().flatten();
        let most: usize =
            wants.filter_map(|topic| self.problem.topics.get(*topic)).map(|run| run.count).sum();
        let share = self.shares.get(member).into_iter().flatten();
        self.size(member) < most
            || share.into_iter().any(|part| self.is_shared(self.problem.topic(*part)))
    }

    /// Java would give a partition back to one who wants its topic no more; nobody would read it then.
    fn may_take(&self, member: usize, part: Part) -> bool {
        !self.is_fixed(member) && self.problem.wants(member, self.problem.topic(part))
    }

    fn put(&mut self, part: Part, member: usize) {
        if let Some(share) = self.shares.get_mut(member) {
            share.push(part);
        }
        if let Some(owner) = self.owner.get_mut(part) {
            *owner = Some(member);
        }
    }

    fn owner(&self, part: Part) -> Option<usize> {
        self.owner.get(part).copied().flatten()
    }

    fn size(&self, member: usize) -> usize {
        self.shares.get(member).map_or(0, Vec::len)
    }

    fn is_larger(&self, one: usize, other: usize) -> bool {
        self.size(one) > self.size(other) + 1
    }

    fn is_fixed(&self, member: usize) -> bool {
        self.fixed.get(member).copied().unwrap_or(true)
    }

    fn key(&self, member: usize) -> (usize, usize) {
        (self.size(member), self.problem.rank.get(member).copied().unwrap_or(usize::MAX))
    }

    fn members_by_size(&self) -> impl Iterator<Item = usize> {
        self.by_size.iter().filter_map(|(_, rank)| self.problem.by_rank.get(*rank).copied())
    }
}

/// More passes than any group needs; the shares are sound after each.
const PASSES_MAX: usize = 1_000;
