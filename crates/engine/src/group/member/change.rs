//! How a member gives up and takes partitions, and goes from state to state.

use std::collections::BTreeSet;
use std::time::Instant;

use milena_types::{ApiKey, NodeId, TopicPartition};

use super::{Action, Call, GroupMembershipOperation, Identity, Member, MemberState};
use crate::error::Error;
use crate::request::RequestId;
use crate::subscription::{Change, Event};

impl Member {
    /// Begins to join again, if it is the time for that.
    pub(super) fn begin_rebalance(&mut self) {
        // A cooperative member lets the user hear of what he got before anything else changes.
        let may = match self.state {
            MemberState::Stable => true,
            MemberState::Settling => !self.is_cooperative,
            MemberState::Unjoined
            | MemberState::Preparing
            | MemberState::Joining
            | MemberState::Syncing
            | MemberState::Revoking
            | MemberState::Expelled
            | MemberState::Leaving
            | MemberState::Failed => false,
        };
        if !may {
            return;
        }
        let reason = self.rejoin.as_deref().unwrap_or_default();
        tracing::info!(group = %self.settings.group_id, reason, "joining again");
        let unwanted = |tp: &&TopicPartition| !self.topics.contains(&tp.topic);
        let leaving: BTreeSet<TopicPartition> = if self.is_cooperative {
            self.owned.iter().filter(unwanted).cloned().collect()
        } else {
            self.owned.clone()
        };
        if self.is_cooperative && leaving.is_empty() {
            self.enter(MemberState::Joining);
        } else {
            self.enter(MemberState::Preparing);
            self.revoke(leaving);
        }
    }

    /// The group gave us `assigned`: gives up what is not in it, then takes what is new.
    pub(super) fn assigned(&mut self, assigned: BTreeSet<TopicPartition>) {
        let leaving: BTreeSet<_> = self.owned.difference(&assigned).cloned().collect();
        self.incoming = assigned.difference(&self.owned).cloned().collect();
        if let Some(generation) = self.identity.generation {
            self.told = Some((generation, assigned));
        }
        if leaving.is_empty() {
            self.settle();
        } else {
            // What we hold goes to another as soon as we join without it.
            self.rejoin = Some("need to revoke partitions and re-join".into());
            self.enter(MemberState::Revoking);
            self.revoke(leaving);
        }
    }

    pub(super) fn settle(&mut self) {
        self.enter(MemberState::Settling);
        let incoming = std::mem::take(&mut self.incoming);
        self.actions.push_back(Action::Take(incoming));
    }

    fn revoke(&mut self, partitions: BTreeSet<TopicPartition>) {
        self.leaving.extend(partitions.iter().cloned());
        self.actions.push_back(Action::GiveUp { change: Change::Revoked, partitions });
    }

    /// Gives up all that is owned, at once and without the user's consent.
    pub(super) fn give_up(&mut self, change: Change) {
        self.leaving.clear();
        self.incoming.clear();
        // With nothing left there is nothing to doubt; a later JoinGroup must not be given up for it.
        self.doubt_ends = None;
        let partitions = std::mem::take(&mut self.owned);
        self.actions.push_back(Action::GiveUp { change, partitions });
    }

    /// What is assigned is another's, or will be: gives it up as lost, and joins again.
    pub(super) fn lose(&mut self) {
        self.heartbeat.stop();
        self.shared_out = None;
        self.doubt_ends = None;
        match self.state {
            MemberState::Preparing
            | MemberState::Revoking
            | MemberState::Settling
            | MemberState::Stable => {
                self.enter(MemberState::Preparing);
                self.give_up(Change::Lost);
            }
            MemberState::Syncing | MemberState::Joining => {
                self.call = None;
                if self.owned.is_empty() {
                    self.enter(MemberState::Joining);
                } else {
                    self.enter(MemberState::Preparing);
                    self.give_up(Change::Lost);
                }
            }
            MemberState::Unjoined
            | MemberState::Expelled
            | MemberState::Leaving
            | MemberState::Failed => {}
        }
    }

    pub(super) fn fail(&mut self, error: Error) {
        self.heartbeat.stop();
        if matches!(
            self.state,
            MemberState::Unjoined | MemberState::Expelled | MemberState::Leaving
        ) {
            // A late answer to a member that is out, or on its way: it goes on as if nothing had been said.
            self.actions.push_back(Action::Tell(Event::Error(error.plain())));
            return;
        }
        self.leading = None;
        self.shared_out = None;
        let owned = self.state.may_commit() || !self.owned.is_empty();
        self.enter(MemberState::Failed);
        if owned {
            self.give_up(Change::Lost);
        }
        // Last, and fatal whatever it is: nothing comes after it, as the member does not join again.
        self.actions.push_back(Action::Tell(Event::Error(error.fatal())));
    }

    /// Whether the coordinator has to hear that we go; a static member comes back under its name (KIP-345).
    pub(super) fn leaves(&self, operation: GroupMembershipOperation) -> bool {
        match operation {
            GroupMembershipOperation::Default => self.settings.instance_id.is_none(),
            GroupMembershipOperation::LeaveGroup => true,
            GroupMembershipOperation::RemainInGroup => false,
        }
    }

    /// Whether the coordinator could tell who leaves.
    pub(super) fn is_known(&self) -> bool {
        !self.identity.member_id.is_empty()
    }

    pub(super) fn left(&mut self) {
        self.call = None;
        self.farewell = None;
        self.leading = None;
        self.shared_out = None;
        self.rejoin = None;
        self.doubt_ends = None;
        self.incoming.clear();
        self.told = None;
        self.heartbeat.stop();
        self.identity = Identity::default();
        self.enter(MemberState::Unjoined);
        self.actions.push_back(Action::Left);
        if !self.topics.is_empty() {
            // Subscribed again while it left.
            self.enter(MemberState::Joining);
        }
    }

    pub(super) fn put_call(
        &mut self,
        now: Instant,
        request: RequestId,
        coordinator: NodeId,
        api: ApiKey,
    ) {
        let identity = self.identity.clone();
        self.call = Some(Call { request, api, coordinator, sent: now, identity });
    }

    pub(super) fn enter(&mut self, state: MemberState) {
        debug_assert!(
            self.state == state || self.state.successors().contains(&state),
            "{:?} to {state:?}",
            self.state
        );
        tracing::debug!(group = %self.settings.group_id, from = ?self.state, to = ?state, "member");
        if state != MemberState::Syncing {
            self.leading = None;
            self.syncing = None;
        }
        if state == MemberState::Joining && !self.owned.is_empty() && self.doubt_ends.is_none() {
            // No heartbeat goes out any more, and a coordinator for JoinGroup may not be found.
            self.doubt_ends = self.heartbeat.session_ends();
        }
        self.state = state;
    }
}
