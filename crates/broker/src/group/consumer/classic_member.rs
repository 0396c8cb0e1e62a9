//! Members that speak the classic protocol in a group of the consumer protocol: a group that migrates.
//!
//! Such a member joins, syncs and beats as ever. Its JoinGroup is what a heartbeat is to the others: it tells what it
//! owns, and the generation that it is answered with is its epoch. It neither leads nor assigns.

use std::collections::BTreeSet;
use std::time::Instant;

use milena_types::{ErrorCode, Generation, MemberEpoch, TopicPartition};

use super::group::ConsumerGroup;
use super::heartbeat::Standing;
use super::member::{ClassicSide, Member, MemberState};
use super::partitions::Partitions;
use crate::group::classic::{Identity, JoinAnswer, JoinRequest, LeaveRequest};
use crate::group::classic::{SyncAnswer, SyncRequest};
use crate::group::protocol::{Assignment, Subscription};
use crate::group::settings::MigrationPolicy;
use crate::group::{CONSUMER, Surroundings};
use crate::topic::TopicImage;

/// What a JoinGroup has led to.
pub(crate) struct Joined {
    pub(crate) answer: JoinAnswer,
    /// Whether the last member of the consumer protocol has come back with the classic one, and the group with it; a
    /// rebalance is due where its assignment is not the newest.
    pub(crate) downgrade: Option<Downgrade>,
}

/// That the group goes on with the classic protocol.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Downgrade {
    pub(crate) needs_rebalance: bool,
}

impl ConsumerGroup {
    /// Takes a JoinGroup. Where it is refused, nothing has changed.
    pub(crate) fn join_classic(
        &mut self,
        now: Instant,
        request: &JoinRequest,
        around: &Surroundings<'_>,
    ) -> Result<Joined, ErrorCode> {
        let settings = around.settings;
        if settings.migration_policy == MigrationPolicy::Disabled {
            return Err(ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
        }
        let is_new = request.member_id.is_empty();
        let id = if is_new { &request.fresh_uuid } else { &request.member_id };
        let instance_id = request.instance_id.as_deref();
        self.check_room(id, instance_id, settings.size_max).map_err(|refused| refused.code)?;
        let is_common = |(name, _): &(String, _)| self.tally.is_common_protocol(name);
        if request.protocol_type != CONSUMER || !request.protocols.iter().any(is_common) {
            return Err(ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
        }
        if is_new && instance_id.is_none() && request.requires_known_id {
            let answer = JoinAnswer::error(ErrorCode::MEMBER_ID_REQUIRED, id);
            return Ok(Joined { answer, downgrade: None });
        }
        let standing = match instance_id {
            None => self.members.get(id).cloned().unwrap_or_else(|| Member::new(id)).into(),
            Some(instance_id) if is_new => self
                .standing_of_joining_static(id, instance_id, true)
                .map_err(|refused| refused.code)?,
            Some(instance_id) => {
                self.holder(instance_id, id).map_err(|refused| refused.code)?.clone().into()
            }
        };
        let Standing { member: before, replaces } = standing;
        let downgrades = instance_id.is_some_and(|id| self.is_last_consumer(id, around));
        let (name, subscription) = request
            .protocols
            .first()
            .and_then(|(name, metadata)| Some((name, Subscription::decode(metadata)?)))
            .ok_or(ErrorCode::INCONSISTENT_GROUP_PROTOCOL)?;

        let described = describe(&before, request, &subscription);
        let has_changed = self.accept(&before, described, replaces.as_deref(), around);
        let needs_rebalance = downgrades && self.assignment_epoch < self.epoch;
        if !downgrades {
            self.update_target(now, around);
        }
        let mut member = self.members.get(&before.id).cloned().unwrap_or(before);
        if !needs_rebalance {
            let owned = owned(&subscription, &around.image);
            member = self.reconcile(now, &member.id, Some(&owned), has_changed, around);
        }
        let answer = JoinAnswer {
            generation: member.epoch.map(MemberEpoch::get).and_then(Generation::from_wire),
            protocol_type: Some(CONSUMER.to_owned()),
            protocol: Some(name.clone()),
            member_id: member.id.clone(),
            ..JoinAnswer::default()
        };
        self.put(Member {
            session_deadline: Some(now + request.session_timeout),
            revocation_deadline: None,
            join_deadline: None,
            sync_deadline: Some(now + request.rebalance_timeout),
            ..member
        });
        self.refresh_patterns(now, around);
        let downgrade = downgrades.then_some(Downgrade { needs_rebalance });
        Ok(Joined { answer, downgrade })
    }

    /// Takes a SyncGroup: the member's assignment is there already.
    pub(crate) fn sync_classic(
        &mut self,
        now: Instant,
        request: &SyncRequest,
        image: &TopicImage<'_>,
    ) -> Result<SyncAnswer, ErrorCode> {
        let (member, classic) = self.classic_member(&request.identity)?;
        let protocol = classic.protocols.first();
        let differs =
            |said: &Option<String>, is: &str| said.as_ref().is_some_and(|said| said != is);
        if differs(&request.protocol_type, CONSUMER)
            || differs(&request.protocol, protocol.map_or("", |(name, _)| name))
        {
            return Err(ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
        }
        let is_behind = Some(self.assignment_epoch) > member.epoch;
        let (id, session_timeout) = (member.id.clone(), classic.session_timeout);
        if is_behind && member.state != MemberState::Unrevoked {
            self.expect_join(now, &id);
            return Err(ErrorCode::REBALANCE_IN_PROGRESS);
        }
        let subscription = protocol.and_then(|(_, metadata)| Subscription::decode(metadata));
        let assignment = Assignment { partitions: named(member, image), has_user_data: false };
        let answer = SyncAnswer {
            code: ErrorCode::NONE,
            protocol_type: request.protocol_type.clone(),
            protocol: request.protocol.clone(),
            assignment: assignment.encode(subscription.map_or(0, |said| said.version)),
        };
        if let Some(member) = self.members.get_mut(&id) {
            member.sync_deadline = None;
            member.session_deadline = Some(now + session_timeout);
        }
        Ok(answer)
    }

    /// Takes a Heartbeat, which tells the member to join again where there is something for it to give up or to get.
    pub(crate) fn heartbeat_classic(&mut self, now: Instant, identity: &Identity) -> ErrorCode {
        let (member, classic) = match self.classic_member(identity) {
            Ok(found) => found,
            Err(code) => return code,
        };
        let has_news = member.epoch < Some(self.assignment_epoch)
            || member.state == MemberState::Unrevoked
            || (member.state == MemberState::Unreleased && !self.waits_for_others(member));
        let (id, deadline) = (member.id.clone(), now + classic.session_timeout);
        if let Some(member) = self.members.get_mut(&id) {
            member.session_deadline = Some(deadline);
        }
        if !has_news {
            return ErrorCode::NONE;
        }
        self.expect_join(now, &id);
        ErrorCode::REBALANCE_IN_PROGRESS
    }

    /// The member that a LeaveGroup names, whichever protocol it speaks; an administrator may name one by its instance.
    pub(crate) fn leaving_classic(&self, request: &LeaveRequest) -> Result<String, ErrorCode> {
        let id = request.member_id.as_str();
        let found = match request.instance_id.as_deref() {
            None => self.member(id),
            Some(instance_id) if id.is_empty() => {
                return self.statics.get(instance_id).cloned().ok_or(ErrorCode::UNKNOWN_MEMBER_ID);
            }
            Some(instance_id) => self.holder(instance_id, id),
        };
        found.map(|member| member.id.clone()).map_err(|refused| refused.code)
    }

    /// Whether all that stay speak the classic protocol once these are gone, so that the group can go back to it.
    pub(crate) fn may_downgrade_without(&self, ids: &[String], around: &Surroundings<'_>) -> bool {
        let is_classic = |id: &&String| self.members.get(*id).is_some_and(Member::is_classic);
        let leaving = ids.iter().filter(|id| self.members.contains_key(*id)).count();
        let stay = self.members.len() - leaving;
        let classic = self.tally.classic_members() - ids.iter().filter(is_classic).count();
        stay > 0
            && classic == stay
            && stay <= around.classic_size_max
            && around.settings.migration_policy.may_downgrade()
    }

    /// Whether this static member is the only one that speaks the consumer protocol.
    fn is_last_consumer(&self, instance_id: &str, around: &Surroundings<'_>) -> bool {
        let is_consumer = |member: &Member| !member.is_classic();
        self.static_member(instance_id).is_some_and(is_consumer)
            && self.tally.classic_members() + 1 == self.members.len()
            && self.members.len() <= around.classic_size_max
            && around.settings.migration_policy.may_downgrade()
    }

    fn classic_member(&self, identity: &Identity) -> Result<(&Member, &ClassicSide), ErrorCode> {
        let member = match identity.instance_id.as_deref() {
            None => self.member(&identity.member_id),
            Some(instance_id) => self.holder(instance_id, &identity.member_id),
        };
        let member = member.map_err(|refused| refused.code)?;
        let classic = member.classic.as_ref().ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?;
        let generation = identity.generation.map(Generation::get).and_then(MemberEpoch::from_wire);
        if generation == member.epoch {
            Ok((member, classic))
        } else {
            Err(ErrorCode::ILLEGAL_GENERATION)
        }
    }

    /// The member has been told to join again and has its rebalance time-out to do so.
    fn expect_join(&mut self, now: Instant, id: &str) {
        if let Some(member) = self.members.get_mut(id) {
            member.join_deadline.get_or_insert(now + member.rebalance_timeout);
        }
    }

    /// Whether something that the member is to have is not given up yet.
    fn waits_for_others(&self, member: &Member) -> bool {
        let mut target = self.targets.get(&member.id).into_iter().flatten();
        target.any(|(topic, indexes)| {
            let has = member.assigned.get(topic);
            let lacks = |index: &&i32| has.is_none_or(|has| !has.contains_key(index));
            indexes.iter().filter(lacks).any(|index| !self.tally.is_free(*topic, *index))
        })
    }
}

impl From<Member> for Standing {
    fn from(member: Member) -> Self {
        Self { member, replaces: None }
    }
}

/// The member as its JoinGroup describes it.
fn describe(before: &Member, request: &JoinRequest, subscription: &Subscription) -> Member {
    let mut member = before.clone();
    if request.instance_id.is_some() {
        member.instance_id.clone_from(&request.instance_id);
    }
    if subscription.rack_id.is_some() {
        member.rack_id.clone_from(&subscription.rack_id);
    }
    member.rebalance_timeout = request.rebalance_timeout;
    member.topics = subscription.topics.iter().cloned().collect();
    member.pattern = String::new();
    member.client_id.clone_from(&request.client_id);
    member.client_host.clone_from(&request.client_host);
    member.classic = Some(ClassicSide {
        session_timeout: request.session_timeout,
        protocols: request.protocols.clone(),
    });
    member
}

/// What the member says that it has.
fn owned(subscription: &Subscription, image: &TopicImage<'_>) -> Partitions {
    let mut owned = Partitions::new();
    for tp in &subscription.owned {
        if let Some(topic) = image.id(tp.topic.as_str()) {
            owned.entry(topic).or_default().insert(tp.partition);
        }
    }
    owned
}

/// What the member may read, by the names of the topics.
fn named(member: &Member, image: &TopicImage<'_>) -> Vec<TopicPartition> {
    let mut named = BTreeSet::new();
    for (topic, indexes) in &member.assigned {
        if let Some(name) = image.name(*topic) {
            named.extend(indexes.keys().map(|index| TopicPartition::new(name, *index)));
        }
    }
    named.into_iter().collect()
}
