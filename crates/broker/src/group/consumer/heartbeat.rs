//! The heartbeat: joining, saying what one wants and has, and hearing what one is to have.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use milena_types::{ErrorCode, MemberEpoch, Topic};

use super::assignor::Assignor;
use super::group::ConsumerGroup;
use super::member::Member;
use super::partitions::{Assigned, Partitions, is_within};
use super::pattern::{self, PatternChange};
use super::reconciliation::Reconciliation;
use crate::group::Surroundings;
use crate::state::Refused;

/// A ConsumerGroupHeartbeat as the group sees it; `None` is what did not change since the last one.
#[derive(Clone, Debug)]
pub(crate) struct Heartbeat {
    pub(crate) step: Step,
    pub(crate) member_id: String,
    pub(crate) instance_id: Option<String>,
    pub(crate) client_id: String,
    pub(crate) client_host: String,
    pub(crate) rack_id: Option<String>,
    pub(crate) rebalance_timeout: Option<Duration>,
    pub(crate) topics: Option<BTreeSet<Topic>>,
    pub(crate) pattern: Option<String>,
    pub(crate) assignor: Option<Assignor>,
    /// What the member has.
    pub(crate) owned: Option<Partitions>,
}

/// What a heartbeat is for, by its member epoch.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Step {
    /// 0: to join, also anew after being fenced.
    Join,
    /// To go on as a member that has come to this epoch.
    Continue(MemberEpoch),
    /// -1: to leave.
    Leave,
    /// -2: a static member leaves to come back.
    LeaveForAWhile,
}

/// What a heartbeat is answered with.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Beat {
    pub(crate) member_id: String,
    /// `None` where the member leaves.
    pub(crate) epoch: Option<MemberEpoch>,
    /// What the member may read; `None` where that did not change.
    pub(crate) assigned: Option<Assigned>,
}

/// Whom a heartbeat is from.
pub(super) struct Standing {
    /// The member as it was before.
    pub(super) member: Member,
    /// The static member whose place it takes.
    pub(super) replaces: Option<String>,
}

impl Heartbeat {
    /// Whether it says all that there is to say, as a member does that has lost an answer.
    fn is_full(&self) -> bool {
        let is_subscribed = self.topics.is_some() || self.pattern.is_some();
        self.rebalance_timeout.is_some() && is_subscribed && self.owned.is_some()
    }

    /// The member as this heartbeat describes it.
    fn describe(&self, before: &Member) -> Member {
        let mut member = before.clone();
        let or =
            |said: &Option<String>, known: &Option<String>| said.clone().or_else(|| known.clone());
        member.instance_id = or(&self.instance_id, &before.instance_id);
        member.rack_id = or(&self.rack_id, &before.rack_id);
        member.client_id.clone_from(&self.client_id);
        member.client_host.clone_from(&self.client_host);
        member.rebalance_timeout = self.rebalance_timeout.unwrap_or(before.rebalance_timeout);
        if let Some(topics) = &self.topics {
            member.topics.clone_from(topics);
        }
        if let Some(pattern) = &self.pattern {
            member.pattern.clone_from(pattern);
        }
        member.assignor = self.assignor.or(before.assignor);
        member.classic = None;
        member.join_deadline = None;
        member.sync_deadline = None;
        member
    }
}

impl ConsumerGroup {
    /// Takes a heartbeat of a member that joins or goes on. Where it is refused, nothing has changed.
    pub(crate) fn heartbeat(
        &mut self,
        now: Instant,
        request: &Heartbeat,
        around: &Surroundings<'_>,
    ) -> Result<Beat, Refused> {
        let settings = around.settings;
        self.check_room(&request.member_id, request.instance_id.as_deref(), settings.size_max)?;
        let joins = request.step == Step::Join;
        let Standing { member: before, replaces } = self.standing(request)?;
        let described = request.describe(&before);
        self.check_pattern(&before, &described)?;

        let has_changed = self.accept(&before, described, replaces.as_deref(), around);
        self.update_target(now, around);
        let member = self.reconcile(now, &before.id, request.owned.as_ref(), has_changed, around);
        let is_due = joins || request.is_full() || member.assigned != before.assigned;
        let beat = Beat {
            member_id: member.id.clone(),
            epoch: member.epoch,
            assigned: is_due.then(|| member.assigned.clone()),
        };
        self.put(Member { session_deadline: Some(now + settings.session_timeout), ..member });
        self.refresh_patterns(now, around);
        Ok(beat)
    }

    /// Whether there is room for one more, if it is one more.
    pub(super) fn check_room(
        &self,
        member_id: &str,
        instance_id: Option<&str>,
        max: usize,
    ) -> Result<(), Refused> {
        let returns = instance_id.is_some_and(|id| self.statics.contains_key(id));
        if returns || self.members.contains_key(member_id) || self.members.len() < max {
            return Ok(());
        }
        let message =
            format!("The consumer group has reached its maximum capacity of {max} members.");
        Err(Refused::new(ErrorCode::GROUP_MAX_SIZE_REACHED, message))
    }

    /// Refuses a pattern that is none; one that another member subscribes with is known to be one.
    fn check_pattern(&self, before: &Member, described: &Member) -> Result<(), Refused> {
        let pattern = &described.pattern;
        let is_new = before.pattern != *pattern && self.tally.subscribers(pattern) == 0;
        if is_new && !pattern.is_empty() { pattern::check(pattern) } else { Ok(()) }
    }

    /// Takes a member as it describes itself; true where it subscribes otherwise than before.
    pub(super) fn accept(
        &mut self,
        before: &Member,
        described: Member,
        replaces: Option<&str>,
        around: &Surroundings<'_>,
    ) -> bool {
        let assignor = self.assignor();
        let names_change = described.topics != before.topics;
        let pattern_change = self.pattern_change(before, &described);
        if let Some(old) = replaces {
            // What it was to have stays its own.
            if let Some(target) = self.take(old) {
                self.targets.insert(described.id.clone(), target);
            }
        }
        self.put(described);
        self.drop_pattern(&before.pattern);
        let mut has_news = names_change
            || pattern_change == PatternChange::Resolved
            || self.assignor() != assignor;
        if has_news || self.has_stale_metadata(&around.image) {
            has_news |= self.refresh_metadata(&around.image);
        }
        if has_news {
            self.bump();
        }
        names_change || pattern_change != PatternChange::None
    }

    fn pattern_change(&self, before: &Member, described: &Member) -> PatternChange {
        if before.pattern == described.pattern {
            PatternChange::None
        } else if described.pattern.is_empty() || self.patterns.is_resolved(&described.pattern) {
            PatternChange::Resolved
        } else {
            PatternChange::Unresolved
        }
    }

    /// Brings the member nearer to what it is to have.
    pub(super) fn reconcile(
        &self,
        now: Instant,
        id: &str,
        owned: Option<&Partitions>,
        has_changed: bool,
        around: &Surroundings<'_>,
    ) -> Member {
        let Some(member) = self.members.get(id) else { return Member::new(id) };
        if !has_changed && member.is_reconciled_to(self.assignment_epoch) {
            return member.clone();
        }
        let none = Partitions::new();
        let reconciliation = Reconciliation {
            member,
            target_epoch: self.assignment_epoch,
            target: self.targets.get(id).unwrap_or(&none),
            subscribed: self.subscribed_ids(member, &around.image),
            owned,
            has_changed,
            is_free: &|topic, index| self.tally.is_free(topic, index),
        };
        let mut next = reconciliation.next();
        if next != *member && !member.is_classic() {
            let gives_up = next.state == super::member::MemberState::Unrevoked;
            next.revocation_deadline = gives_up.then(|| now + member.rebalance_timeout);
        }
        next
    }

    /// Resolves the patterns if it is time to; Kafka does so beside its event loop, so the heartbeat that began it does
    /// not hear of it.
    pub(super) fn refresh_patterns(&mut self, now: Instant, around: &Surroundings<'_>) {
        let wanted = self.tally.patterns().len();
        let interval = around.settings.regex_refresh_interval;
        if wanted > 0
            && self.patterns.may_resolve(now)
            && self.patterns.is_stale(now, around.image.version(), wanted, interval)
        {
            self.resolve_patterns(now, around);
        }
    }

    fn standing(&self, request: &Heartbeat) -> Result<Standing, Refused> {
        let (id, joins) = (request.member_id.as_str(), request.step == Step::Join);
        let Some(instance_id) = request.instance_id.as_deref() else {
            let member = match self.members.get(id) {
                Some(member) => member.clone(),
                None if joins => Member::new(id),
                None => return Err(self.unknown_member(id)),
            };
            check_epoch(&member, request)?;
            return Ok(Standing { member, replaces: None });
        };
        if !joins {
            let member = self.holder(instance_id, id)?;
            check_epoch(member, request)?;
            return Ok(Standing { member: member.clone(), replaces: None });
        }
        self.standing_of_joining_static(id, instance_id, false)
    }
}

/// Whether the member has come to the epoch that it says; it may also be one behind where an answer was lost.
fn check_epoch(member: &Member, request: &Heartbeat) -> Result<(), Refused> {
    let Step::Continue(said) = request.step else { return Ok(()) };
    let is_last = || {
        member.previous_epoch == Some(said)
            && request.owned.as_ref().is_some_and(|owned| is_within(owned, &member.assigned))
    };
    let than = match member.epoch {
        Some(epoch) if said == epoch => return Ok(()),
        Some(epoch) if said < epoch && is_last() => return Ok(()),
        Some(epoch) if said < epoch => "smaller",
        Some(_) | None => "greater",
    };
    let known = member.epoch.map_or(AWAY, MemberEpoch::get);
    let message = format!(
        "The consumer group member has a {than} member epoch ({said}) than the one known by the group coordinator \
         ({known}). The member must abandon all its partitions and rejoin."
    );
    Err(Refused::new(ErrorCode::FENCED_MEMBER_EPOCH, message))
}

/// How the epoch of a static member that is away is written.
pub(crate) const AWAY: i32 = -2;
