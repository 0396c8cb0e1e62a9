//! How one member comes from what it has to what it is to have: first it gives up, then it gets.

use std::collections::{BTreeMap, BTreeSet};

use milena_types::MemberEpoch;

use super::holders::Holders;
use super::member::Member;
use super::tasks::{Assignment, Dated, Held, Owned, Tasks, add, each, has, remove, undated};
use crate::group::consumer::{MemberState, next};

/// One step of one member (KIP-1071; `CurrentAssignmentBuilder`).
pub(super) struct Reconciliation<'a> {
    pub(super) member: &'a Member,
    pub(super) target_epoch: MemberEpoch,
    pub(super) target: &'a Assignment,
    /// What it says that it has; `None` where it does not say.
    pub(super) owned: Option<&'a Owned>,
    pub(super) holders: &'a Holders<'a>,
}

/// Tasks of one kind: what stays, what goes, what comes, and whether some cannot come yet.
#[derive(Default)]
struct Difference {
    kept: Tasks,
    revoked: Tasks,
    coming: Tasks,
    is_waiting: bool,
}

impl Reconciliation<'_> {
    /// The member after this step.
    pub(super) fn next(&self) -> Member {
        match self.member.state {
            MemberState::Stable if self.member.epoch != Some(self.target_epoch) => {
                self.advance(self.member.epoch)
            }
            MemberState::Unrevoked if !self.still_has(&self.member.revoking) => {
                self.advance(self.member.epoch.map(next))
            }
            MemberState::Unreleased => self.advance(self.member.epoch),
            MemberState::Stable | MemberState::Unrevoked => self.member.clone(),
        }
    }

    /// Takes what is not the member's any more; once it has given that up, gives it what is free.
    fn advance(&self, epoch: Option<MemberEpoch>) -> Member {
        let held = &self.member.assigned;
        let has_active = undated(&held.active);
        let active = difference(&has_active, &self.target.active, |subtopology, index| {
            self.holders.active(subtopology, index).is_some()
                || self.is_standby_of_another(subtopology, index)
        });
        let mut standby = difference(&held.standby, &self.target.standby, |subtopology, index| {
            self.is_active_of_another(&has_active, subtopology, index)
                || self.is_standby_here(subtopology, index)
        });
        // What it works on becomes its copy in one step.
        for (subtopology, index) in each(&has_active) {
            if has(&standby.coming, subtopology, index) {
                remove(&mut standby.coming, subtopology, index);
                add(&mut standby.kept, subtopology, index);
            }
        }
        // A copy that is to become active stays until it may.
        let promoted = each(&held.standby);
        let promoted = promoted.filter(|(s, index)| has(&self.target.active, s, *index));
        let promoted: Vec<_> = promoted.collect();
        for (subtopology, index) in &promoted {
            remove(&mut standby.revoked, subtopology, *index);
        }
        let revoking = Held { active: self.dated(&active.revoked), standby: standby.revoked };
        let gives_up = self.still_has(&revoking);
        for (subtopology, index) in promoted {
            if gives_up || !has(&active.coming, subtopology, index) {
                add(&mut standby.kept, subtopology, index);
            }
        }
        let mut assigned = Held { active: self.dated(&active.kept), standby: standby.kept };
        if gives_up {
            return self.moved_to(epoch, MemberState::Unrevoked, assigned, revoking);
        }
        for (subtopology, indexes) in active.coming {
            let dated = indexes.into_iter().map(|index| (index, self.target_epoch));
            assigned.active.entry(subtopology).or_default().extend(dated);
        }
        for (subtopology, index) in each(&standby.coming) {
            add(&mut assigned.standby, subtopology, index);
        }
        let is_waiting = active.is_waiting || standby.is_waiting;
        let state = if is_waiting { MemberState::Unreleased } else { MemberState::Stable };
        self.moved_to(Some(self.target_epoch), state, assigned, Held::default())
    }

    fn moved_to(
        &self,
        epoch: Option<MemberEpoch>,
        state: MemberState,
        assigned: Held,
        revoking: Held,
    ) -> Member {
        let previous_epoch = self.member.epoch;
        Member { epoch, previous_epoch, state, assigned, revoking, ..self.member.clone() }
    }

    /// Some of the member's active tasks with their epochs.
    fn dated(&self, tasks: &Tasks) -> Dated {
        let epochs = |(subtopology, indexes): (&String, &BTreeSet<i32>)| {
            let dated = self.member.assigned.active.get(subtopology)?;
            let of = dated.iter().filter(|(index, _)| indexes.contains(index));
            let of: BTreeMap<i32, MemberEpoch> =
                of.map(|(index, epoch)| (*index, *epoch)).collect();
            Some((subtopology.clone(), of))
        };
        tasks.iter().filter_map(epochs).collect()
    }

    /// Whether the member has any of these, as far as it says.
    fn still_has(&self, revoking: &Held) -> bool {
        !revoking.is_empty() && self.owned.is_none_or(|owned| owned.has_any(revoking))
    }

    fn is_standby_here(&self, subtopology: &str, index: i32) -> bool {
        self.holders.has_standby(&self.member.about.process_id, subtopology, index)
    }

    fn is_standby_of_another(&self, subtopology: &str, index: i32) -> bool {
        self.is_standby_here(subtopology, index)
            && !has(&self.member.assigned.standby, subtopology, index)
    }

    fn is_active_of_another(&self, has_active: &Tasks, subtopology: &str, index: i32) -> bool {
        self.holders.active(subtopology, index) == Some(self.member.about.process_id.as_str())
            && !has(has_active, subtopology, index)
    }
}

fn difference(held: &Tasks, target: &Tasks, is_taken: impl Fn(&str, i32) -> bool) -> Difference {
    let mut difference = Difference::default();
    for (subtopology, index) in each(held) {
        let is_kept = has(target, subtopology, index);
        let side = if is_kept { &mut difference.kept } else { &mut difference.revoked };
        add(side, subtopology, index);
    }
    for (subtopology, index) in each(target) {
        if has(held, subtopology, index) {
            continue;
        }
        if is_taken(subtopology, index) {
            difference.is_waiting = true;
        } else {
            add(&mut difference.coming, subtopology, index);
        }
    }
    difference
}
