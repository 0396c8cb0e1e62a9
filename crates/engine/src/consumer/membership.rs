//! What a consumer has because it has a group: a coordinator, a member, commits; and how a rebalance goes.
//!
//! A rebalance in steps: the member wants partitions given up; their records are no longer handed out; the user hears
//! of it with his next poll, may commit, and acknowledges; what was handed out is committed if that is wanted; the
//! partitions are let go; the member joins. Then the other way round with the new ones.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use fastrand::Rng;
use milena_types::{NodeId, TopicPartition};

use super::machine::Consumer;
use super::output::Output;
use crate::backoff::Backoff;
use crate::commit::{AutoCommit, CommitId, CommitMode, CommittedLookup, CommittedOffset};
use crate::commit::{Commits, Sender, Waiter};
use crate::coordinator::{CoordinatorKind, Lookup, Settings as LookupSettings};
use crate::error::{Error, ErrorKind, Fate, Operation};
use crate::fetch::{Stay, Which};
use crate::group::{
    Action, GroupMembershipOperation, GroupSettings, MemberState, Protocol, Surroundings,
};
use crate::subscription::{Change, Event, Rebalance, RebalanceId};
use crate::transaction::GroupMetadata;

/// What needs a group.
#[derive(Debug)]
pub(super) struct Membership {
    pub(super) lookup: Lookup,
    pub(super) member: Protocol,
    pub(super) commits: Commits,
    pub(super) committed: CommittedLookup,
    pub(super) auto: Option<AutoCommit>,
    pub(super) rebalance: Option<Pending>,
    /// LeaveGroup was answered, or needed none.
    pub(super) left: bool,
    /// Why the member does not join again.
    failure: Option<Error>,
    last_rebalance: u64,
    retry_wait: Duration,
}

/// A rebalance on its way through the user's hands.
#[derive(Debug)]
pub(super) struct Pending {
    id: RebalanceId,
    change: Change,
    partitions: Vec<TopicPartition>,
    /// Those of them that the user hears of.
    told: Vec<TopicPartition>,
    /// The user acknowledged; commits may take until then, up to this one: who commits on and on holds nothing up.
    commits_until: Option<(Instant, CommitId)>,
}

impl Membership {
    pub(super) fn new(
        now: Instant,
        group: &GroupSettings,
        auto_commit: Option<Duration>,
        request_timeout: Duration,
        backoff: &Backoff,
        rng: &mut Rng,
    ) -> Self {
        let (group_id, instance_id) = (&group.group_id, group.instance_id.as_ref());
        let lookup = LookupSettings { request_timeout, ..LookupSettings::default() };
        Self {
            lookup: Lookup::new(CoordinatorKind::Group, &**group_id, lookup),
            member: Protocol::new(group, request_timeout, backoff.clone(), rng),
            commits: Commits::new(group_id, instance_id, request_timeout, backoff.clone()),
            committed: CommittedLookup::new(group_id.clone(), request_timeout, backoff.clone()),
            auto: auto_commit.map(|interval| AutoCommit::new(now, interval)),
            rebalance: None,
            left: false,
            failure: None,
            last_rebalance: 0,
            retry_wait: backoff.clone().next_wait(&mut Rng::with_seed(0)),
        }
    }

    /// In whose name a commit of a subscribed consumer would be sent now.
    pub(super) fn sender(&self) -> Sender {
        let identity = self.member.identity();
        let state = self.member.state();
        if matches!(state, MemberState::Joining | MemberState::Syncing) {
            Sender::Joining
        } else if state.may_commit() && identity.generation.is_some() {
            Sender::Member(identity.clone())
        } else {
            Sender::Gone
        }
    }

    fn next_rebalance(&mut self) -> RebalanceId {
        self.last_rebalance += 1;
        RebalanceId(self.last_rebalance)
    }
}

impl Consumer {
    /// In whose name offsets of `partitions` go into a producer's transaction (KIP-447).
    ///
    /// # Errors
    /// `Rebalanced` if one of them is not this consumer's any more; `Misuse` without a group.
    pub fn group_metadata(
        &self,
        partitions: &BTreeSet<TopicPartition>,
    ) -> Result<GroupMetadata, Error> {
        let misuse = || Error::misuse("a transaction takes offsets of a group (group.id)");
        let group = self.settings.group.as_ref();
        let group = group.ok_or_else(|| misuse().during(Operation::Commit))?;
        let mut metadata = GroupMetadata::without_member(&*group.group_id);
        let sender = self.sender();
        match &sender {
            Sender::Standalone => {}
            Sender::Member(identity)
                if partitions.iter().all(|tp| self.subscription.is_assigned(tp)) =>
            {
                metadata.generation = identity.generation;
                metadata.member_id = (&*identity.member_id).into();
                metadata.instance_id = group.instance_id.as_ref().map(|id| (&**id).into());
            }
            Sender::Member(_) | Sender::Joining | Sender::Gone => {
                let error = Error::new(ErrorKind::Rebalanced)
                    .with_detail("the partitions may be another member's by now");
                return Err(error.during(Operation::Commit).with_group(&*group.group_id));
            }
        }
        Ok(metadata)
    }

    /// Whether what was read of these partitions in these stays may be committed still.
    ///
    /// # Errors
    /// `Rebalanced` if one was taken away since, even if it has come back: what came in between has moved its offset.
    pub fn ensure_held(&self, stays: &BTreeMap<TopicPartition, Stay>) -> Result<(), Error> {
        match stays.iter().find(|(tp, stay)| self.buffer.stay(tp) != Some(**stay)) {
            Some((tp, _)) => {
                let error = Error::new(ErrorKind::Rebalanced).during(Operation::Commit);
                let error = error.with_detail("the partition was taken away since it was read");
                Err(error.with_partition(tp))
            }
            None => Ok(()),
        }
    }

    /// Lets the member act until it has nothing more to do.
    pub(super) fn drive_member(&mut self, now: Instant) {
        // Every action brings the member closer to waiting; more than this is a defect, not work.
        for _ in 0..ACTIONS_MAX {
            let Some(membership) = &mut self.membership else { return };
            if !membership.member.is_active() && membership.left {
                return;
            }
            let mut around = Surroundings {
                coordinator: membership.lookup.coordinator(),
                cluster: &self.cluster,
                held: &self.subscription,
                idle_since: self.buffer.idle_since(),
                ids: &mut self.ids,
            };
            match membership.member.poll(now, &mut around) {
                None => return,
                Some(Action::Send(outbound)) => {
                    self.outputs.push_back(Output::Request(outbound));
                }
                Some(Action::LoseCoordinator(broker)) => self.lose_coordinator(now, broker),
                Some(Action::RefreshMetadata) => self.refresh = true,
                Some(Action::Tell(event)) => {
                    if let Event::Error(error) = &event
                        && error.is_fatal()
                    {
                        membership.failure = Some(error.clone());
                    }
                    self.buffer.tell(event);
                }
                Some(Action::GiveUp { change, partitions }) => {
                    self.give_up(now, change, partitions);
                }
                Some(Action::Take(partitions)) => self.take_all(partitions),
                Some(Action::Left) => membership.left = true,
            }
        }
        debug_assert!(false, "the member does not come to rest");
    }

    /// `broker` coordinates no more, or does not answer; `None` is whoever does by now. A late word of one that was
    /// coordinator before says nothing of the one that was found since.
    pub(super) fn lose_coordinator(&mut self, now: Instant, broker: Option<NodeId>) {
        if let Some(membership) = &mut self.membership
            && let Some(broker) = broker.or(membership.lookup.coordinator())
        {
            membership.lookup.forget(now, broker, &mut self.rng);
        }
    }

    /// Leaves the group; what was pending in a rebalance is void.
    pub(super) fn leave_group(
        &mut self,
        now: Instant,
        operation: GroupMembershipOperation,
        reason: &'static str,
    ) {
        let Some(membership) = &mut self.membership else { return };
        if let Some(pending) = membership.rebalance.take() {
            self.buffer.retract(pending.id);
        }
        membership.left = false;
        let mut around = Surroundings {
            coordinator: membership.lookup.coordinator(),
            cluster: &self.cluster,
            held: &self.subscription,
            idle_since: None,
            ids: &mut self.ids,
        };
        membership.member.leave(now, operation, reason, &mut around);
        self.drive_member(now);
    }

    /// Gives up these partitions, by way of the user; all others are handed out and committed as before.
    fn give_up(&mut self, now: Instant, change: Change, partitions: BTreeSet<TopicPartition>) {
        let Some(membership) = &mut self.membership else { return };
        let before = membership.rebalance.take();
        let unseen = before.as_ref().is_some_and(|pending| self.buffer.retract(pending.id));
        let (mut going, mut told) = (partitions.clone(), partitions);
        if let Some(before) = &before {
            let heard = before.told.iter().cloned();
            match (before.change, unseen) {
                // What the user never heard of is not taken from him.
                (Change::Assigned, true) => told.retain(|tp| !before.told.contains(tp)),
                (Change::Lost, true) => told.extend(heard),
                (Change::Assigned | Change::Lost, false) => {}
                // Nobody waits for it any more, so its partitions go with these.
                (Change::Revoked, true) => {
                    going.extend(before.partitions.iter().cloned());
                    told.extend(heard);
                }
                (Change::Revoked, false) => {
                    going.extend(before.partitions.iter().cloned());
                    told.retain(|tp| !before.told.contains(tp));
                }
            }
        }
        let going: Vec<_> = going.into_iter().collect();
        let told: Vec<_> = told.into_iter().collect();
        if change == Change::Revoked {
            self.buffer.hold(&going);
        } else {
            // Another member may own them by now: not one more record, not one more commit.
            self.let_go(&going);
        }
        // The user is in the middle of what he heard before, and this tells him nothing new.
        let busy = before.filter(|pending| !unseen && pending.commits_until.is_none());
        let Some(membership) = &mut self.membership else { return };
        // Whoever was expelled joins again when the user polls: an event, be it about nothing, waits for that poll.
        let expelled = membership.member.state() == MemberState::Expelled;
        if told.is_empty() && !expelled && busy.is_none() {
            self.let_go(&going);
            if let Some(membership) = &mut self.membership {
                membership.member.prepared();
            }
            return;
        }
        let tells = !told.is_empty() || expelled;
        let id = match busy {
            Some(busy) if !tells => busy.id,
            Some(_) | None => membership.next_rebalance(),
        };
        tracing::info!(?change, partitions = ?told, "rebalance");
        if tells {
            let partitions = told.clone();
            self.buffer.tell(Event::Rebalance(Rebalance { id, change, partitions }));
        }
        membership.rebalance =
            Some(Pending { id, change, partitions: going, told, commits_until: None });
        self.proceed_rebalance(now);
    }

    /// Takes these partitions, in addition to those that are held.
    fn take_all(&mut self, partitions: BTreeSet<TopicPartition>) {
        let new = |tp: &TopicPartition| !self.subscription.is_assigned(tp);
        let partitions: Vec<_> = partitions.into_iter().filter(new).collect();
        for tp in &partitions {
            self.take(tp.clone(), false);
        }
        let Some(membership) = &mut self.membership else { return };
        let id = membership.next_rebalance();
        let change = Change::Assigned;
        let told = partitions.clone();
        membership.rebalance =
            Some(Pending { id, change, partitions: told.clone(), told, commits_until: None });
        tracing::info!(?partitions, "assigned");
        self.buffer.tell(Event::Rebalance(Rebalance { id, change, partitions }));
    }

    pub(super) fn handle_acknowledgement(&mut self, now: Instant, rebalance: RebalanceId) {
        let Some(membership) = &mut self.membership else { return };
        let Some(pending) = &mut membership.rebalance else { return };
        if pending.id != rebalance || pending.commits_until.is_some() {
            return;
        }
        match pending.change {
            Change::Assigned => {
                for tp in std::mem::take(&mut pending.partitions) {
                    if let Some(assigned) = self.subscription.get_mut(&tp) {
                        assigned.settled = true;
                    }
                }
                membership.rebalance = None;
                membership.member.settled();
            }
            Change::Lost => {
                membership.rebalance = None;
                membership.member.prepared();
            }
            Change::Revoked => {
                // Others wait for us to join: half of their patience, and not longer than any call.
                let limit = self.settings.group.as_ref().map(|group| group.max_poll_interval / 2);
                let limit = limit.unwrap_or_default().min(self.settings.default_api_timeout);
                let (auto, last) = (membership.auto.is_some(), self.next_commit());
                if auto {
                    let offsets = self.positions(Which::Returned);
                    let waiter = Waiter { id: last, deadline: now + limit, is_own: true };
                    self.push_commit(waiter, offsets, CommitMode::Retry);
                }
                if let Some(pending) = self.membership.as_mut().and_then(|m| m.rebalance.as_mut()) {
                    pending.commits_until = Some((now + limit, last));
                }
                self.drive_commits(now);
                self.proceed_rebalance(now);
            }
        }
    }

    /// Lets revoked partitions go once their offsets are committed, or could not be in time.
    pub(super) fn proceed_rebalance(&mut self, now: Instant) {
        if !self.is_open() {
            // Who closes does not join again: what it commits last is of the partitions and the generation that it has.
            return;
        }
        let Some(membership) = &mut self.membership else { return };
        let done = membership.rebalance.take_if(|pending| {
            let awaited = pending.commits_until;
            awaited.is_some_and(|(until, last)| membership.commits.is_done_to(last) || until <= now)
        });
        if let Some(pending) = done {
            self.let_go(&pending.partitions);
            if let Some(membership) = &mut self.membership {
                membership.member.prepared();
            }
        }
    }

    /// Whether somebody waits for the last commits before partitions go, or all of it does.
    pub(super) fn is_leaving(&self) -> bool {
        let rebalance = self.membership.as_ref().and_then(|one| one.rebalance.as_ref());
        !self.is_open() || rebalance.is_some_and(|pending| pending.commits_until.is_some())
    }

    /// When a rebalance stops waiting for commits.
    pub(super) fn rebalance_timeout(&self) -> Option<Instant> {
        let (until, _) = self.membership.as_ref()?.rebalance.as_ref()?.commits_until?;
        Some(until).filter(|_| self.is_open())
    }
}

/// Commits.
impl Consumer {
    /// Commits what was handed out and come back for, if the consumer commits by itself.
    pub(super) fn commit_returned(&mut self, now: Instant, mode: CommitMode) {
        let auto = self.membership.as_ref().is_some_and(|membership| membership.auto.is_some());
        if auto && self.may_commit() {
            let id = self.next_commit();
            let deadline = now + self.settings.default_api_timeout;
            let offsets = self.positions(Which::Returned);
            // As often as the user changes what he reads.
            self.push_commit(Waiter { id, deadline, is_own: false }, offsets, mode);
        }
    }

    /// Why the user can commit nothing: the member is out of its group, and what was handed out may be another's. He is
    /// told so even if he has nothing left to commit, or he would take it for stored. Who has not joined yet, or left by
    /// himself, has lost nothing.
    pub(super) fn commit_refusal(&self) -> Option<Error> {
        let membership = self.membership.as_ref()?;
        let state = membership.member.state();
        let is_out = !matches!(state, MemberState::Unjoined | MemberState::Leaving);
        if !(is_out && matches!(self.sender(), Sender::Gone)) {
            return None;
        }
        let has_failed = state == MemberState::Failed;
        let failure = membership.failure.clone().filter(|_| has_failed);
        let refusal = failure.unwrap_or_else(|| {
            Error::new(ErrorKind::Rebalanced)
                .with_detail("the member is out of its group, and its partitions may be another's")
        });
        // The failure may leave open what became of its own request; no commit was sent.
        let refusal = refusal.with_fate(Fate::NotStored);
        let group = self.settings.group.as_ref()?;
        Some(refusal.during(Operation::Commit).with_group(&*group.group_id))
    }

    pub(super) fn push_commit(
        &mut self,
        waiter: Waiter,
        offsets: BTreeMap<TopicPartition, CommittedOffset>,
        mode: CommitMode,
    ) {
        let Some(membership) = &mut self.membership else {
            let rule = "to commit takes a group (group.id)";
            let error = Error::misuse(rule).during(Operation::Commit);
            self.outputs.push_back(Output::Committed { id: waiter.id, result: Err(error) });
            return;
        };
        let is_shared = self.subscription.source.is_shared();
        let sender = if is_shared { membership.sender() } else { Sender::Standalone };
        let stay = |tp: &TopicPartition| Some((tp.clone(), self.buffer.stay(tp)?));
        let stays = offsets.keys().filter_map(stay).collect();
        membership.commits.push(waiter, offsets, mode, &sender, stays);
    }

    /// Sends what may be sent, and ends what is late.
    pub(super) fn drive_commits(&mut self, now: Instant) {
        self.auto_commit(now);
        let sender = self.sender();
        let Some(membership) = &mut self.membership else { return };
        let over = membership.commits.expire(now, &sender, |tp| self.buffer.stay(tp));
        if let Some(coordinator) = membership.lookup.coordinator()
            && let Some(outbound) =
                membership.commits.poll(now, coordinator, &sender, &mut self.ids)
        {
            self.outputs.push_back(Output::Request(outbound));
        }
        self.commits_over(now, over);
    }

    pub(super) fn commits_over(&mut self, now: Instant, over: Vec<(CommitId, Result<(), Error>)>) {
        for (id, result) in over {
            if let (Some(membership), Err(error)) = (&self.membership, &result)
                && membership.auto.is_some()
            {
                tracing::debug!(%error, "commit failed");
            }
            let wait = self.membership.as_ref().map_or(Duration::ZERO, |m| m.retry_wait);
            let auto = self.membership.as_mut().and_then(|membership| membership.auto.as_mut());
            if let Some(auto) = auto {
                auto.ended(now, id, result.is_ok(), wait);
            }
            self.note_close_commit(id, &result);
            self.outputs.push_back(Output::Committed { id, result });
        }
        self.proceed_rebalance(now);
    }

    fn auto_commit(&mut self, now: Instant) {
        let due =
            |membership: &Membership| membership.auto.as_ref().is_some_and(|auto| auto.is_due(now));
        // Closing has a commit of its own, and waits for all of them.
        if !self.membership.as_ref().is_some_and(due) || !self.may_commit() || !self.is_open() {
            return;
        }
        let offsets = self.positions(Which::Returned);
        let id = (!offsets.is_empty()).then(|| self.next_commit());
        if let Some(id) = id {
            let deadline = now + self.settings.default_api_timeout;
            self.push_commit(Waiter { id, deadline, is_own: true }, offsets, CommitMode::Once);
        }
        let auto = self.membership.as_mut().and_then(|membership| membership.auto.as_mut());
        if let Some(auto) = auto {
            auto.started(now, id);
        }
    }

    /// Whether a commit could be sent now, were there a coordinator.
    pub(super) fn may_commit(&self) -> bool {
        match self.sender() {
            Sender::Standalone | Sender::Member(_) => true,
            Sender::Joining | Sender::Gone => false,
        }
    }
}

/// A member takes a handful of steps before it waits for something.
const ACTIONS_MAX: usize = 64;
