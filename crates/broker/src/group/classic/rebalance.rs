//! How a group goes from one generation to the next.

use std::time::{Duration, Instant};

use milena_types::{ErrorCode, Generation};

use super::group::{ClassicGroup, GroupState};
use super::sync::SyncAnswer;

impl ClassicGroup {
    /// Begins a rebalance, or goes on with the one that is under way.
    pub(super) fn rebalance(&mut self, now: Instant, initial_delay: Duration) {
        if self.state == GroupState::PreparingRebalance {
            if self.is_initial {
                // Each newcomer to an empty group prolongs the wait for more, as Kafka's InitialDelayedJoin does.
                self.phase_deadline = Some(now + initial_delay);
            }
            self.try_complete_join(now);
            return;
        }
        if self.state == GroupState::CompletingRebalance {
            self.refuse_syncs(ErrorCode::REBALANCE_IN_PROGRESS);
        }
        self.is_initial = self.state == GroupState::Empty && !initial_delay.is_zero();
        let patience = if self.is_initial { initial_delay } else { self.rebalance_timeout() };
        self.become_state(GroupState::PreparingRebalance);
        self.phase_deadline = Some(now + patience);
        self.try_complete_join(now);
    }

    /// Starts the next generation once all members have rejoined.
    pub(super) fn try_complete_join(&mut self, now: Instant) {
        let all_joined = self.members.values().all(|member| member.join.is_some());
        let waits_for_more = self.is_initial && self.phase_deadline.is_some();
        let is_ready = all_joined && self.pending.is_empty() && !waits_for_more;
        if self.state == GroupState::PreparingRebalance && is_ready {
            self.complete_join(now);
        }
    }

    /// The time of the present phase is over.
    pub(super) fn end_phase(&mut self, now: Instant) {
        match self.state {
            GroupState::PreparingRebalance => self.complete_join(now),
            GroupState::CompletingRebalance | GroupState::Stable => self.expire_syncs(now),
            GroupState::Empty => {}
        }
    }

    /// Takes a member out; those that stay rebalance.
    pub(super) fn remove(&mut self, now: Instant, id: &str, code: ErrorCode) {
        self.refuse_waiting(id, code);
        let Some(member) = self.members.remove(id) else { return };
        if let Some(instance_id) = &member.instance_id {
            self.statics.remove(instance_id);
        }
        if self.leader.as_deref() == Some(id) {
            self.leader = self.senior(|_| true);
        }
        match self.state {
            GroupState::Stable | GroupState::CompletingRebalance => {
                self.rebalance(now, Duration::ZERO)
            }
            GroupState::PreparingRebalance => self.try_complete_join(now),
            GroupState::Empty => {}
        }
    }

    fn complete_join(&mut self, now: Instant) {
        self.is_initial = false;
        self.phase_deadline = None;
        let is_late =
            |member: &&super::member::Member| member.join.is_none() && member.instance_id.is_none();
        let late: Vec<_> = self.members.values().filter(is_late).map(|m| m.id.clone()).collect();
        for id in late {
            self.members.remove(&id);
        }
        if !self.elect_leader() && !self.members.is_empty() {
            // Only static members are left, and none rejoined: they get the time again.
            self.phase_deadline = Some(now + self.rebalance_timeout().max(PATIENCE_MIN));
            return;
        }
        self.next_generation();
        if self.members.is_empty() {
            self.protocol = None;
            self.leader = None;
            self.become_state(GroupState::Empty);
            self.empty_since = Some(now);
            return;
        }
        self.protocol = self.elect_protocol();
        self.become_state(GroupState::CompletingRebalance);
        self.phase_deadline = Some(now + self.rebalance_timeout());
        let ids: Vec<_> = self.members.keys().cloned().collect();
        for id in ids {
            let answer = self.join_answer(&id);
            let Some(member) = self.members.get_mut(&id) else { continue };
            member.owes_sync = true;
            member.is_new = false;
            member.touch(now);
            if let Some(ticket) = member.join.take() {
                self.reply_join(ticket, answer);
            }
        }
    }

    /// Those that joined but never asked for their assignment are given up.
    fn expire_syncs(&mut self, now: Instant) {
        let owing = self.members.values().filter(|member| member.owes_sync);
        let ids: Vec<_> = owing.map(|member| member.id.clone()).collect();
        for id in ids {
            self.remove(now, &id, ErrorCode::UNKNOWN_MEMBER_ID);
        }
    }

    pub(super) fn refuse_syncs(&mut self, code: ErrorCode) {
        for member in self.members.values_mut() {
            member.owes_sync = false;
            if let Some(ticket) = member.sync.take() {
                let answer = super::group::Answer::Sync(SyncAnswer::error(code));
                self.replies.push(super::group::Reply { ticket, answer });
            }
        }
    }

    /// Sees to it that a member leads that has rejoined; false if none has.
    fn elect_leader(&mut self) -> bool {
        let leads = self.leader.as_ref().and_then(|leader| self.members.get(leader));
        if leads.is_some_and(|leader| leader.join.is_some()) {
            return true;
        }
        match self.senior(|member| member.join.is_some()) {
            Some(leader) => {
                self.leader = Some(leader);
                true
            }
            None => false,
        }
    }

    fn senior(&self, is_eligible: impl Fn(&super::member::Member) -> bool) -> Option<String> {
        let eligible = self.members.values().filter(|member| is_eligible(member));
        eligible.min_by_key(|member| member.seniority).map(|member| member.id.clone())
    }

    fn next_generation(&mut self) {
        let next =
            self.generation.map_or(1, |generation| generation.get().wrapping_add(1) & i32::MAX);
        self.generation = Generation::from_wire(next);
    }
}

/// A member may say that it needs no time at all to rejoin; waiting that long would never let time pass.
const PATIENCE_MIN: Duration = Duration::from_millis(1);
