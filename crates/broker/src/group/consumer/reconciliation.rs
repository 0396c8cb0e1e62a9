//! How one member comes from what it has to what it is to have: first it gives up, then it gets.

use std::collections::BTreeSet;

use milena_types::{MemberEpoch, Uuid};

use super::member::{Member, MemberState};
use super::partitions::{Assigned, Partitions, has_any};

/// One step of one member (KIP-848, "Member's reconciliation").
pub(super) struct Reconciliation<'a> {
    pub(super) member: &'a Member,
    pub(super) target_epoch: MemberEpoch,
    pub(super) target: &'a Partitions,
    /// The topics that the member subscribes to.
    pub(super) subscribed: BTreeSet<Uuid>,
    /// What it says that it has; `None` where it does not say.
    pub(super) owned: Option<&'a Partitions>,
    /// Whether it subscribes otherwise than before.
    pub(super) has_changed: bool,
    /// Whether nobody has a partition.
    pub(super) is_free: &'a dyn Fn(Uuid, i32) -> bool,
}

impl Reconciliation<'_> {
    /// The member after this step.
    pub(super) fn next(&self) -> Member {
        match self.member.state {
            MemberState::Stable if self.member.epoch != Some(self.target_epoch) => self.advance(),
            MemberState::Unrevoked if !self.still_has(&self.member.revoking) => self.advance(),
            MemberState::Unreleased => self.advance(),
            MemberState::Stable | MemberState::Unrevoked if self.has_changed => {
                self.give_up_unsubscribed()
            }
            MemberState::Stable | MemberState::Unrevoked => self.member.clone(),
        }
    }

    /// Takes from the member what it no longer subscribes to, before a new target is known.
    fn give_up_unsubscribed(&self) -> Member {
        let mut assigned = Assigned::new();
        let mut revoking = self.member.revoking.clone();
        for (topic, partitions) in &self.member.assigned {
            if self.subscribed.contains(topic) {
                assigned.insert(*topic, partitions.clone());
            } else {
                let given_up = revoking.entry(*topic).or_default();
                given_up.extend(partitions.iter().map(|(index, epoch)| (*index, *epoch)));
            }
        }
        if assigned.len() == self.member.assigned.len() {
            return self.member.clone();
        }
        let (epoch, state) = (self.member.epoch, self.member.state);
        if self.still_has(&revoking) {
            let next = self.member.moved_to(epoch, MemberState::Unrevoked);
            return Member { assigned, revoking, ..next };
        }
        Member { assigned, ..self.member.moved_to(epoch, state) }
    }

    /// Takes what is not the member's any more; once it has given that up, gives it what is free.
    fn advance(&self) -> Member {
        let mut assigned = Assigned::new();
        let mut revoking = Assigned::new();
        let mut gets = Partitions::new();
        let mut waits_for_others = false;
        let topics: BTreeSet<_> = self.target.keys().chain(self.member.assigned.keys()).collect();
        let (no_target, nothing) = (BTreeSet::new(), Default::default());
        for topic in topics {
            let target = self.target.get(topic).filter(|_| self.subscribed.contains(topic));
            let target = target.unwrap_or(&no_target);
            let has = self.member.assigned.get(topic).unwrap_or(&nothing);
            for (index, epoch) in has {
                let side = if target.contains(index) { &mut assigned } else { &mut revoking };
                side.entry(*topic).or_insert_with(Default::default).insert(*index, *epoch);
            }
            for index in target.iter().filter(|index| !has.contains_key(index)) {
                if (self.is_free)(*topic, *index) || self.gives_up_itself(*topic, *index) {
                    gets.entry(*topic).or_default().insert(*index);
                } else {
                    waits_for_others = true;
                }
            }
        }
        if self.still_has(&revoking) {
            let next = self.member.moved_to(self.member.epoch, MemberState::Unrevoked);
            return Member { assigned, revoking, ..next };
        }
        for (topic, indexes) in gets {
            let dated = indexes.into_iter().map(|index| (index, self.target_epoch));
            assigned.entry(topic).or_default().extend(dated);
        }
        let state = if waits_for_others { MemberState::Unreleased } else { MemberState::Stable };
        let next = self.member.moved_to(Some(self.target_epoch), state);
        Member { assigned, revoking: Assigned::new(), ..next }
    }

    /// Whether the member has any of these, as far as it says.
    fn still_has(&self, revoking: &Assigned) -> bool {
        let has = |owned: &Partitions| has_any(owned, revoking);
        !revoking.is_empty() && self.owned.is_none_or(has)
    }

    fn gives_up_itself(&self, topic: Uuid, index: i32) -> bool {
        self.member.revoking.get(&topic).is_some_and(|given_up| given_up.contains_key(&index))
    }
}
