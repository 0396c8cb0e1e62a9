//! What a member does next, and when.

use std::time::{Duration, Instant};

use milena_types::ApiKey;

use super::{Action, GroupMembershipOperation, Member, MemberState, Surroundings};
use crate::subscription::{Change, Event};

impl Member {
    /// The next thing to do, where there is one.
    pub(crate) fn poll(&mut self, now: Instant, around: &mut Surroundings<'_>) -> Option<Action> {
        if self.actions.is_empty() {
            self.watch(now, around);
        }
        if self.actions.is_empty() {
            self.proceed(now, around);
        }
        debug_assert!(self.owned.iter().all(|tp| around.held.is_assigned(tp)));
        let action = self.actions.pop_front();
        if let Some(Action::Take(partitions)) = &action {
            self.owned.extend(partitions.iter().cloned());
        }
        action
    }

    /// When to poll again at the latest.
    pub(crate) fn timeout(&self, reachable: bool, idle_since: Option<Instant>) -> Option<Instant> {
        let beats = self.state.beats();
        let heartbeat = if beats { self.heartbeat.timeout(reachable) } else { None };
        let is_watched = beats && self.state != MemberState::Syncing;
        let user =
            idle_since.filter(|_| is_watched).map(|since| since + self.settings.max_poll_interval);
        let calls = matches!(self.state, MemberState::Joining | MemberState::Syncing);
        let retry = self.retry_at.filter(|_| reachable && calls && self.call.is_none());
        let leading = self.leading.as_ref().filter(|_| reachable).map(|leading| leading.deadline);
        let doubt = self.doubt_ends.filter(|_| self.is_in_doubt());
        [heartbeat, user, retry, leading, doubt].into_iter().flatten().min()
    }

    /// Looks at the clocks.
    fn watch(&mut self, now: Instant, around: &mut Surroundings<'_>) {
        if self.is_in_doubt() && self.doubt_ends.is_some_and(|at| at <= now) {
            tracing::warn!(group = %self.settings.group_id, "session over while joining");
            self.identity.generation = None;
            self.lose();
            return;
        }
        if !self.state.beats() {
            return;
        }
        if self.heartbeat.is_expired(now) {
            tracing::warn!(group = %self.settings.group_id, "session expired without a heartbeat");
            self.actions.push_back(Action::LoseCoordinator(None));
            // The member id may live on at the coordinator, so it is kept; the assignment may not.
            self.identity.generation = None;
            self.lose();
            return;
        }
        let limit = self.settings.max_poll_interval;
        if around.idle_since.is_some_and(|since| since + limit <= now)
            && self.state != MemberState::Syncing
        {
            self.expel(limit, around);
            return;
        }
        if let Some(coordinator) = around.coordinator
            && self.heartbeat.is_due(now)
        {
            let id = around.ids.deal();
            let outbound = self.requests.heartbeat(id, coordinator, &self.identity);
            self.heartbeat.sent(now, id);
            self.actions.push_back(Action::Send(outbound));
        }
    }

    /// Whether nobody may be keeping the place of this member.
    fn is_in_doubt(&self) -> bool {
        self.state == MemberState::Joining && self.call.is_none()
    }

    /// Goes on with joining.
    fn proceed(&mut self, now: Instant, around: &mut Surroundings<'_>) {
        if self.rejoin.is_some() {
            self.begin_rebalance();
        }
        if self.state == MemberState::Leaving
            && self.call.is_none()
            && let Some(reason) = self.farewell.take()
        {
            return self.say_farewell(now, reason, around);
        }
        let Some(coordinator) = around.coordinator else { return };
        if self.call.is_some() || self.retry_at.is_some_and(|at| now < at) {
            return;
        }
        match self.state {
            MemberState::Joining => {
                let id = around.ids.deal();
                let reason = self.rejoin.take().unwrap_or_default();
                let subscriptions = self.subscriptions();
                let outbound =
                    self.requests.join(id, coordinator, &self.identity, &subscriptions, &reason);
                self.put_call(now, id, coordinator, ApiKey::JOIN_GROUP);
                self.actions.push_back(Action::Send(outbound));
            }
            MemberState::Syncing => self.sync(now, coordinator, around),
            MemberState::Unjoined
            | MemberState::Preparing
            | MemberState::Revoking
            | MemberState::Settling
            | MemberState::Stable
            | MemberState::Expelled
            | MemberState::Leaving
            | MemberState::Failed => {}
        }
    }

    /// Leaves the group until the user polls again.
    fn expel(&mut self, limit: Duration, around: &mut Surroundings<'_>) {
        tracing::warn!(group = %self.settings.group_id, ?limit, "not polled for max.poll.interval.ms");
        if let Some(coordinator) = around.coordinator
            && self.leaves(GroupMembershipOperation::Default)
            && self.is_known()
        {
            let id = around.ids.deal();
            let reason = "consumer poll timeout has expired";
            // Nothing waits for the answer: the session would end by itself.
            let outbound = self.requests.leave(id, coordinator, &self.identity, reason);
            self.actions.push_back(Action::Send(outbound));
        }
        if self.settings.instance_id.is_none() {
            self.identity.member_id = Default::default();
        }
        self.identity.generation = None;
        self.call = None;
        self.heartbeat.stop();
        self.enter(MemberState::Expelled);
        self.actions.push_back(Action::Tell(Event::PollIntervalExceeded { limit }));
        self.give_up(Change::Lost);
    }
}
