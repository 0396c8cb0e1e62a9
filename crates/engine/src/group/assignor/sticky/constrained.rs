//! Sticky shares where all members want the same topics.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::claims::Claims;
use super::problem::{Part, Problem};
use super::racks::RackInfo;

/// Fills every member up to the same number of partitions, give or take one: first with what it had, then near
/// partitions in turn, then the others in turn. Gives the shares, and what changes hands.
pub(super) fn assign(
    problem: &Problem<'_>,
    racks: &RackInfo<'_>,
    claims: &Claims,
) -> (Vec<Vec<Part>>, BTreeSet<Part>) {
    let members = problem.members.len();
    let quota = problem.parts().checked_div(members).unwrap_or(0);
    let mut filling = Filling {
        racks,
        claims,
        quota,
        most: problem.parts().div_ceil(members.max(1)),
        larger: 0,
        larger_max: problem.parts().checked_rem(members).unwrap_or(0),
        shares: vec![Vec::new(); members],
        below: Vec::new(),
        at: VecDeque::new(),
        next: 0,
        released: BTreeMap::new(),
        moving: BTreeSet::new(),
    };
    filling.keep(problem);
    let kept: BTreeSet<Part> = filling.shares.iter().flatten().copied().collect();
    let mut unassigned: Vec<Part> =
        (0..problem.parts()).filter(|part| !kept.contains(part)).collect();
    let rank = |member: &usize| problem.rank.get(*member).copied();
    filling.below.sort_by_key(rank);
    filling.at.make_contiguous().sort_by_key(rank);
    racks.sort(&mut unassigned);
    if racks.is_aware() {
        unassigned.retain(|part| !filling.give_near(*part));
    }
    filling.give_in_turn(&unassigned);
    (filling.shares, filling.moving)
}

#[derive(Debug)]
struct Filling<'a> {
    racks: &'a RackInfo<'a>,
    claims: &'a Claims,
    /// What everybody gets at least, and at most.
    quota: usize,
    most: usize,
    /// How many have one more than the quota, and how many may.
    larger: usize,
    larger_max: usize,
    shares: Vec<Vec<Part>>,
    /// Members below their quota, and members at it that may have one more.
    below: Vec<usize>,
    at: VecDeque<usize>,
    /// Whose turn it is below the quota.
    next: usize,
    /// Whose partitions they were that were not kept.
    released: BTreeMap<Part, usize>,
    moving: BTreeSet<Part>,
}

impl Filling<'_> {
    /// Leaves everybody what it had, as far as that is not more than its share.
    fn keep(&mut self, problem: &Problem<'_>) {
        for (member, owned) in self.claims.owned.iter().enumerate() {
            let (gone, mut mine): (Vec<Part>, Vec<Part>) =
                owned.iter().copied().partition(|part| self.racks.mismatch(member, *part));
            self.released.extend(gone.into_iter().map(|part| (part, member)));
            mine.sort_by_key(|part| (problem.number(*part), problem.topic(*part)));
            mine.retain(|part| !self.claims.doubtful.contains(part));
            let kept = if mine.len() < self.quota {
                self.below.push(member);
                mine.len()
            } else if mine.len() >= self.most && self.larger < self.larger_max {
                self.larger += 1;
                if self.larger == self.larger_max {
                    self.at.clear();
                }
                self.most
            } else {
                if self.larger < self.larger_max {
                    self.at.push_back(member);
                }
                self.quota
            };
            let over = mine.split_off(kept.min(mine.len()));
            self.released.extend(over.into_iter().map(|part| (part, member)));
            if let Some(share) = self.shares.get_mut(member) {
                *share = mine;
            }
        }
    }

    /// Gives a partition to the next member on a rack with one of its replicas; false if there is none.
    fn give_near(&mut self, part: Part) -> bool {
        let count = self.below.len();
        let next = self.next;
        let turn = |turn: usize| (next + turn) % count.max(1);
        let near = (0..count).map(turn).find(|place| self.is_near(self.below.get(*place), part));
        if let Some(mut place) = near {
            let Some(member) = self.below.get(place).copied() else { return false };
            let count = self.count(member) + 1;
            if count >= self.quota {
                self.below.remove(place);
                if count < self.most && self.larger < self.larger_max {
                    self.at.push_back(member);
                }
            } else {
                place += 1;
            }
            self.next = if self.below.is_empty() { 0 } else { place % self.below.len() };
            self.give(part, member);
            return true;
        }
        let near = (0..self.at.len()).find(|place| self.is_near(self.at.get(*place), part));
        let Some(place) = near else { return false };
        let Some(member) = self.at.get(place).copied() else { return false };
        if self.count(member) + 1 == self.most {
            self.at.remove(place);
            self.larger += 1;
            if self.larger == self.larger_max {
                self.at.clear();
            }
        }
        self.give(part, member);
        true
    }

    /// Gives partitions to members below their quota in turn, then one each to those that may have one more.
    fn give_in_turn(&mut self, unassigned: &[Part]) {
        let mut next = 0;
        for part in unassigned {
            if next >= self.below.len() {
                next = 0;
            }
            let member = match self.below.get(next).copied() {
                Some(member) => member,
                None => match self.at.pop_front() {
                    Some(member) => member,
                    None => {
                        debug_assert!(false, "more partitions than the members' quotas");
                        return;
                    }
                },
            };
            let was_below = !self.below.is_empty();
            self.give(*part, member);
            if self.count(member) == self.quota && was_below {
                self.below.remove(next);
                self.at.push_back(member);
            } else {
                next += usize::from(was_below);
            }
        }
    }

    fn give(&mut self, part: Part, member: usize) {
        if let Some(share) = self.shares.get_mut(member) {
            share.push(part);
        }
        let another = self.released.get(&part).is_some_and(|owner| *owner != member);
        if another || self.claims.doubtful.contains(&part) {
            self.moving.insert(part);
        }
    }

    fn count(&self, member: usize) -> usize {
        self.shares.get(member).map_or(0, Vec::len)
    }

    fn is_near(&self, member: Option<&usize>, part: Part) -> bool {
        member.is_some_and(|member| self.racks.matches(*member, part))
    }
}
