//! What the coordinator keeps under a group's id, whichever protocol its members speak.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use milena_types::{ErrorCode, Generation, MemberEpoch, Timestamp, TopicPartition, Uuid};

use super::classic::{
    Answer, ClassicGroup, GroupState, Identity, JoinAnswer, JoinRequest, LeaveRequest, Reply,
    SyncAnswer, SyncRequest,
};
use super::consumer::{Beat, Committer, ConsumerGroup, Downgrade, Heartbeat, MayCommit, Step};
use super::offsets::{Expiry, Offsets};
use super::settings::ConsumerGroupSettings;
use super::streams::{self, StreamsGroup, StreamsGroupSettings};
use super::{CONSUMER, STREAMS, migration};
use crate::acl::Sight;
use crate::release::Release;
use crate::state::Refused;
use crate::topic::TopicImage;

/// A group: its members, and what it committed.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) id: String,
    pub(crate) kind: Kind,
    pub(crate) offsets: Offsets,
    /// Answers that became due; the owner takes them after each call.
    replies: Vec<Reply>,
}

/// By which protocol the group's members are kept.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Classic(ClassicGroup),
    Consumer(ConsumerGroup),
    Streams(StreamsGroup),
}

/// What a group sees of the cluster around it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Surroundings<'a> {
    pub(crate) image: TopicImage<'a>,
    /// What the client may see whose request is worked on; `None` is everything.
    pub(crate) sight: Option<Sight<'a>>,
    pub(crate) settings: &'a ConsumerGroupSettings,
    /// How many members a group of the classic protocol may have.
    pub(crate) classic_size_max: usize,
    /// How groups of Kafka Streams behave, and what is set for this group.
    pub(crate) streams: &'a StreamsGroupSettings,
    pub(crate) group_config: Option<&'a BTreeMap<String, String>>,
}

impl Group {
    /// A group without members; as long as none has come it is of the classic protocol.
    pub(crate) fn new(id: &str, release: Release) -> Self {
        Self {
            id: id.to_owned(),
            kind: Kind::Classic(ClassicGroup::new(release)),
            offsets: Offsets::default(),
            replies: Vec::new(),
        }
    }

    /// The group if it is of the classic protocol.
    pub(crate) fn classic(&self) -> Option<&ClassicGroup> {
        match &self.kind {
            Kind::Classic(group) => Some(group),
            Kind::Consumer(_) | Kind::Streams(_) => None,
        }
    }

    /// The group if it is of the consumer protocol.
    pub(crate) fn consumer(&self) -> Option<&ConsumerGroup> {
        match &self.kind {
            Kind::Consumer(group) => Some(group),
            Kind::Classic(_) | Kind::Streams(_) => None,
        }
    }

    /// The group if it is of Kafka Streams.
    pub(crate) fn streams(&self) -> Option<&StreamsGroup> {
        match &self.kind {
            Kind::Streams(group) => Some(group),
            Kind::Classic(_) | Kind::Consumer(_) => None,
        }
    }

    /// The same, to be changed.
    pub(crate) fn streams_mut(&mut self) -> Option<&mut StreamsGroup> {
        match &mut self.kind {
            Kind::Streams(group) => Some(group),
            Kind::Classic(_) | Kind::Consumer(_) => None,
        }
    }

    /// The name of its state.
    pub(crate) fn state_name(&self) -> &'static str {
        match &self.kind {
            Kind::Classic(group) => group.state().name(),
            Kind::Consumer(group) => group.state().name(),
            Kind::Streams(group) => group.state_name(),
        }
    }

    /// The name of its type.
    pub(crate) const fn type_name(&self) -> &'static str {
        match &self.kind {
            Kind::Classic(_) => "classic",
            Kind::Consumer(_) => CONSUMER,
            Kind::Streams(_) => STREAMS,
        }
    }

    /// What its members are, as `consumer` or `connect`.
    pub(crate) fn protocol_type(&self) -> &str {
        match &self.kind {
            Kind::Classic(group) => group.protocol_type().unwrap_or_default(),
            Kind::Consumer(_) => CONSUMER,
            Kind::Streams(_) => STREAMS,
        }
    }

    /// Whether it has no members.
    pub(crate) fn is_empty(&self) -> bool {
        match &self.kind {
            Kind::Classic(group) => group.state() == GroupState::Empty,
            Kind::Consumer(group) => group.members().len() == 0,
            Kind::Streams(group) => group.members().len() == 0,
        }
    }

    /// Whether there is nothing left to remember.
    pub(crate) fn is_forgettable(&self) -> bool {
        let has_no_members = match &self.kind {
            Kind::Classic(group) => group.is_forgettable(),
            // An empty one stays until it is deleted, as in Kafka.
            Kind::Consumer(_) | Kind::Streams(_) => false,
        };
        has_no_members && self.offsets.is_empty()
    }

    /// The partitions whose commits are too old: of topics that no member reads.
    pub(crate) fn expired_commits(
        &self,
        now: Instant,
        wall: Timestamp,
        retention: Duration,
    ) -> Vec<TopicPartition> {
        let expiry = match &self.kind {
            Kind::Classic(group) => group.expiry(),
            Kind::Consumer(_) | Kind::Streams(_) => Expiry::SinceCommit,
        };
        let age_ms = i64::try_from(retention.as_millis()).unwrap_or(i64::MAX);
        let oldest = match expiry {
            Expiry::Never => return Vec::new(),
            Expiry::Since(at) if now.saturating_duration_since(at) < retention => {
                return Vec::new();
            }
            Expiry::Since(_) => wall,
            Expiry::SinceCommit => Timestamp::from_millis(wall.millis().saturating_sub(age_ms)),
        };
        let mut expired = self.offsets.committed_by(oldest);
        expired.retain(|partition| !self.is_subscribed(partition.topic.as_str()));
        expired
    }

    /// Whether nobody is, or is to come, and nothing is kept: such a group goes when commits are looked through.
    pub(crate) fn is_idle(&self) -> bool {
        let is_expected = self.classic().is_some_and(ClassicGroup::is_expected);
        self.is_empty() && !is_expected && self.offsets.is_empty()
    }

    /// The answers that became due since the last call.
    pub(crate) fn take_replies(&mut self) -> Vec<Reply> {
        let mut replies = std::mem::take(&mut self.replies);
        if let Kind::Classic(group) = &mut self.kind {
            replies.extend(group.take_replies());
        }
        replies
    }

    /// When [`Group::handle_timeout`] is due.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        match &self.kind {
            Kind::Classic(group) => group.poll_timeout(),
            Kind::Consumer(group) => group.poll_timeout(),
            Kind::Streams(group) => group.poll_timeout(),
        }
    }

    /// Gives up the members whose time is over.
    pub(crate) fn handle_timeout(&mut self, now: Instant, around: &Surroundings<'_>) {
        match &mut self.kind {
            Kind::Classic(group) => group.handle_timeout(now),
            Kind::Consumer(group) => {
                for id in group.expired(now) {
                    self.fence(now, &[id], around);
                }
            }
            Kind::Streams(group) => group.handle_timeout(now),
        }
    }

    /// The group has another coordinator: members keep their place, waiting requests are refused.
    pub(crate) fn handle_coordinator_move(&mut self, now: Instant, around: &Surroundings<'_>) {
        match &mut self.kind {
            Kind::Classic(group) => group.handle_coordinator_move(now),
            Kind::Consumer(group) => {
                group.handle_coordinator_move(now, around.settings.session_timeout);
            }
            Kind::Streams(group) => {
                let config = streams::StreamsConfig::new(around.streams, around.group_config);
                group.handle_coordinator_move(now, config.session_timeout);
            }
        }
    }

    /// Takes a JoinGroup; the answer comes through [`Group::take_replies`].
    pub(crate) fn join(&mut self, now: Instant, request: JoinRequest, around: &Surroundings<'_>) {
        if self.classic().is_none() && self.is_empty() {
            self.kind = Kind::Classic(ClassicGroup::new(Release::NEWEST));
        }
        let group = match &mut self.kind {
            Kind::Classic(group) => return group.join(now, request),
            Kind::Consumer(group) => group,
            Kind::Streams(_) => {
                let answer = JoinAnswer::error(ErrorCode::INCONSISTENT_GROUP_PROTOCOL, "");
                let answer = Answer::Join(answer);
                return self.replies.push(Reply { ticket: request.ticket, answer });
            }
        };
        let joined = group.join_classic(now, &request, around);
        let answer = match joined {
            Ok(joined) => {
                if let Some(how) = joined.downgrade {
                    self.downgrade(now, &[], how, around);
                }
                joined.answer
            }
            Err(code) => JoinAnswer::error(code, ""),
        };
        self.replies.push(Reply { ticket: request.ticket, answer: Answer::Join(answer) });
    }

    /// Takes a SyncGroup; the answer comes through [`Group::take_replies`].
    pub(crate) fn sync(&mut self, now: Instant, request: SyncRequest, around: &Surroundings<'_>) {
        match &mut self.kind {
            Kind::Classic(group) => group.sync(now, request),
            Kind::Consumer(group) => {
                let synced = group.sync_classic(now, &request, &around.image);
                let answer = Answer::Sync(synced.unwrap_or_else(SyncAnswer::error));
                self.replies.push(Reply { ticket: request.ticket, answer });
            }
            Kind::Streams(_) => {
                let answer = Answer::Sync(SyncAnswer::error(ErrorCode::UNKNOWN_MEMBER_ID));
                self.replies.push(Reply { ticket: request.ticket, answer });
            }
        }
    }

    /// Takes a classic Heartbeat.
    pub(crate) fn heartbeat(&mut self, now: Instant, identity: &Identity) -> ErrorCode {
        match &mut self.kind {
            Kind::Classic(group) => group.heartbeat(now, identity),
            Kind::Consumer(group) => group.heartbeat_classic(now, identity),
            Kind::Streams(_) => ErrorCode::UNKNOWN_MEMBER_ID,
        }
    }

    /// Takes members out that say LeaveGroup, or an administrator for them; a code for each.
    pub(crate) fn leave(
        &mut self,
        now: Instant,
        requests: &[LeaveRequest],
        around: &Surroundings<'_>,
    ) -> Vec<ErrorCode> {
        let group = match &mut self.kind {
            Kind::Classic(group) => {
                return requests.iter().map(|request| group.leave(now, request)).collect();
            }
            Kind::Consumer(group) => group,
            Kind::Streams(_) => return vec![ErrorCode::UNKNOWN_MEMBER_ID; requests.len()],
        };
        let found: Vec<_> = requests.iter().map(|one| group.leaving_classic(one)).collect();
        let ids: BTreeSet<_> = found.iter().filter_map(|found| found.clone().ok()).collect();
        self.fence(now, &Vec::from_iter(ids), around);
        found.into_iter().map(|found| found.err().unwrap_or(ErrorCode::NONE)).collect()
    }

    /// Takes a ConsumerGroupHeartbeat. Where it is refused, nothing has changed.
    pub(crate) fn consumer_heartbeat(
        &mut self,
        now: Instant,
        request: &Heartbeat,
        around: &Surroundings<'_>,
    ) -> Result<Beat, Refused> {
        match request.step {
            Step::Leave | Step::LeaveForAWhile => return self.consumer_leave(now, request, around),
            Step::Join | Step::Continue(_) => {}
        }
        let is_empty = self.is_empty();
        let classic = match &mut self.kind {
            Kind::Consumer(group) => return group.heartbeat(now, request, around),
            Kind::Streams(_) => return Err(self.is_no(CONSUMER)),
            Kind::Classic(_) if request.step != Step::Join => return Err(self.is_no(CONSUMER)),
            Kind::Classic(group) => group,
        };
        let mut group = match is_empty {
            true => ConsumerGroup::new(&self.id),
            false => migration::upgrade(&self.id, classic, now, around)?,
        };
        let beat = group.heartbeat(now, request, around)?;
        classic.refuse_all_waiting();
        self.replies.extend(classic.take_replies());
        self.kind = Kind::Consumer(group);
        Ok(beat)
    }

    /// Takes a StreamsGroupHeartbeat. Where it is refused, nothing has changed, but that a leave may have shut the application
    /// down for all, whoever sent it, as in Kafka.
    pub(crate) fn streams_heartbeat(
        &mut self,
        now: Instant,
        request: &streams::Heartbeat,
        around: &Surroundings<'_>,
    ) -> Result<streams::Beat, Refused> {
        let is_empty = self.is_empty();
        match &mut self.kind {
            Kind::Streams(group) if matches!(request.step, Step::Leave | Step::LeaveForAWhile) => {
                group.leave(request)
            }
            Kind::Streams(group) => group.heartbeat(now, request, false, around),
            Kind::Classic(_) if request.step == Step::Join && is_empty => {
                let mut group = StreamsGroup::new(&self.id);
                let beat = group.heartbeat(now, request, true, around)?;
                self.kind = Kind::Streams(group);
                Ok(beat)
            }
            Kind::Classic(_) | Kind::Consumer(_) => Err(self.is_no(STREAMS)),
        }
    }

    /// Whether this identity may commit now; a sign of life of a classic member if so.
    pub(crate) fn check_commit(
        &mut self,
        now: Instant,
        identity: &Identity,
        knows_epochs: bool,
    ) -> Result<MayCommit, ErrorCode> {
        match &mut self.kind {
            Kind::Classic(group) => group.check_commit(now, identity).map(|()| MayCommit::Any),
            Kind::Consumer(group) => {
                group.check_commit(&Self::committer(identity, false, knows_epochs))
            }
            Kind::Streams(group) => {
                group.check_commit(&Self::committer(identity, false, knows_epochs))
            }
        }
    }

    /// The same for a commit within a transaction.
    pub(crate) fn check_transactional_commit(
        &self,
        identity: &Identity,
    ) -> Result<MayCommit, ErrorCode> {
        match &self.kind {
            Kind::Classic(group) => {
                group.check_transactional_commit(identity).map(|()| MayCommit::Any)
            }
            Kind::Consumer(group) => group.check_commit(&Self::committer(identity, true, true)),
            Kind::Streams(group) => group.check_commit(&Self::committer(identity, true, true)),
        }
    }

    /// Whether a commit that may name some partitions may name this one.
    pub(crate) fn check_partition(
        &self,
        may: &MayCommit,
        topic_id: Uuid,
        partition: &TopicPartition,
    ) -> Result<(), ErrorCode> {
        match &self.kind {
            Kind::Classic(_) => Ok(()),
            Kind::Consumer(group) => group.check_partition(may, topic_id, partition.partition),
            Kind::Streams(group) => {
                group.check_partition(may, partition.topic.as_str(), partition.partition)
            }
        }
    }

    /// Whether someone who says to be this member may ask for commits; classic groups do not look.
    pub(crate) fn check_fetch(
        &self,
        member_id: Option<&str>,
        epoch: Option<MemberEpoch>,
    ) -> Result<(), ErrorCode> {
        match &self.kind {
            Kind::Classic(_) => Ok(()),
            Kind::Consumer(group) => group.check_fetch(member_id, epoch),
            Kind::Streams(group) => group.check_fetch(member_id, epoch),
        }
    }

    /// Whether commits may be deleted at all: those of members that read no topics may not.
    pub(crate) fn check_delete_offsets(&self) -> Result<(), ErrorCode> {
        let is_other = self.classic().is_some() && self.protocol_type() != CONSUMER;
        if !self.is_empty() && is_other { Err(ErrorCode::NON_EMPTY_GROUP) } else { Ok(()) }
    }

    /// Whether any member reads the topic, as far as the group knows.
    pub(crate) fn is_subscribed(&self, topic: &str) -> bool {
        match &self.kind {
            Kind::Classic(group) => group.is_subscribed(topic),
            Kind::Consumer(group) => group.is_subscribed(topic),
            Kind::Streams(group) => group.is_subscribed(topic),
        }
    }

    fn committer(identity: &Identity, is_transactional: bool, knows_epochs: bool) -> Committer<'_> {
        Committer {
            member_id: &identity.member_id,
            is_outsider: identity.is_outsider(),
            epoch: identity.generation.map(Generation::get).and_then(MemberEpoch::from_wire),
            is_transactional,
            knows_epochs,
        }
    }

    fn consumer_leave(
        &mut self,
        now: Instant,
        request: &Heartbeat,
        around: &Surroundings<'_>,
    ) -> Result<Beat, Refused> {
        let Kind::Consumer(group) = &mut self.kind else { return Err(self.is_no(CONSUMER)) };
        let id = group.leaving(request)?;
        if request.instance_id.is_some() && request.step == Step::LeaveForAWhile {
            group.set_away(&id);
        } else {
            self.fence(now, std::slice::from_ref(&id), around);
        }
        Ok(Beat { member_id: id, ..Beat::default() })
    }

    /// Takes members out; if all others speak the classic protocol, the group goes back to it.
    fn fence(&mut self, now: Instant, ids: &[String], around: &Surroundings<'_>) {
        let Kind::Consumer(group) = &mut self.kind else { return };
        if ids.is_empty() {
            return;
        }
        let how = Downgrade { needs_rebalance: true };
        let may_downgrade = group.may_downgrade_without(ids, around);
        if may_downgrade && self.downgrade(now, ids, how, around) {
            return;
        }
        if let Kind::Consumer(group) = &mut self.kind {
            group.fence(ids, &around.image);
        }
    }

    fn downgrade(
        &mut self,
        now: Instant,
        leaving: &[String],
        how: Downgrade,
        around: &Surroundings<'_>,
    ) -> bool {
        let Kind::Consumer(group) = &self.kind else { return false };
        let downgraded = migration::downgrade(group, leaving, how, now, &around.image);
        let Some(downgraded) = downgraded else { return false };
        self.kind = Kind::Classic(downgraded);
        true
    }

    fn is_no(&self, kind: &str) -> Refused {
        let message = format!("Group {} is not a {kind} group.", self.id);
        Refused::new(ErrorCode::GROUP_ID_NOT_FOUND, message)
    }
}
