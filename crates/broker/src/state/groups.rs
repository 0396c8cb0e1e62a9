//! Which node coordinates which group, and the clockwork of groups.

use std::time::Instant;

use milena_types::{ErrorCode, NodeId, Topic, TopicPartition};

use super::spread::INTERNAL_PARTITIONS;
use super::{NewTopic, State, Timer};
use crate::acl::{Asker, Sight};
use crate::api;
use crate::group::{Answer, Group, Surroundings};
use crate::store::Entry;
use crate::topic::{Liveness, Partition, TopicImage};

/// Kafka's topic of commits; which node leads its partitions decides who coordinates a group.
pub(crate) const OFFSETS_TOPIC: &str = "__consumer_offsets";

/// Kafka's topic of transactions; likewise for transactional ids.
pub(crate) const TRANSACTIONS_TOPIC: &str = "__transaction_state";

impl State {
    /// The node that coordinates `key` by the internal topic, which is created at the first question as Kafka does.
    pub(crate) fn find_coordinator(
        &mut self,
        now: Instant,
        topic: &str,
        key: &str,
    ) -> Result<NodeId, ErrorCode> {
        if !self.topics.contains_key(topic) {
            let new = NewTopic::unasked(topic);
            self.create_topic(now, &new).map_err(|_| ErrorCode::COORDINATOR_NOT_AVAILABLE)?;
        }
        let index = match topic {
            OFFSETS_TOPIC => self.spread.of_group(key),
            _ => self.spread.of_transactional_id(key),
        };
        let leader = self.partition(topic, index).and_then(Partition::leader);
        leader
            .filter(|node| self.nodes.is_registered(*node))
            .ok_or(ErrorCode::COORDINATOR_NOT_AVAILABLE)
    }

    /// Whether `node` coordinates the group.
    pub(crate) fn check_coordinator(&self, node: NodeId, group: &str) -> Result<(), ErrorCode> {
        if group.is_empty() {
            return Err(ErrorCode::INVALID_GROUP_ID);
        }
        self.check_committer(node, group)
    }

    /// The same for a request that only commits, in which the group's id may be empty.
    pub(crate) fn check_committer(&self, node: NodeId, group: &str) -> Result<(), ErrorCode> {
        let partition = self.partition(OFFSETS_TOPIC, self.spread.of_group(group));
        let leads = partition.is_some_and(|partition| partition.leader() == Some(node));
        if leads { Ok(()) } else { Err(ErrorCode::NOT_COORDINATOR) }
    }

    /// Whether the cluster has groups of Kafka Streams at all.
    pub(crate) fn has_streams_groups(&self) -> bool {
        self.settings.streams_version > 0
    }

    /// Works on a group, then sends the answers that became due and sets its timer.
    pub(crate) fn with_group<T>(
        &mut self,
        id: &str,
        work: impl FnOnce(&mut Group, &Surroundings<'_>) -> T,
    ) -> Option<T> {
        self.with_group_for(None, id, work)
    }

    /// The same for a client that hears only of topics that it may see.
    pub(crate) fn with_group_for<T>(
        &mut self,
        asker: Option<Asker<'_>>,
        id: &str,
        work: impl FnOnce(&mut Group, &Surroundings<'_>) -> T,
    ) -> Option<T> {
        let judged = self.settings.authorizer.as_ref().zip(asker);
        let around = Surroundings {
            image: TopicImage::new(&self.topics, &self.topic_ids, self.topics_version),
            sight: judged.map(|(settings, asker)| Sight { acls: &self.acls, settings, asker }),
            settings: &self.settings.consumer_groups,
            classic_size_max: self.settings.group_size_max,
            streams: &self.settings.streams_groups,
            group_config: self.group_configs.get(id),
        };
        let group = self.groups.get_mut(id)?;
        let kind = group.type_name();
        let was_told = group.classic().is_none();
        let standing = |group: &Group| {
            let (protocol_type, empty_since) = group.classic()?.standing()?;
            Some((protocol_type.to_owned(), empty_since))
        };
        let stood = standing(group);
        let result = work(group, &around);
        let replies = group.take_replies();
        let is_kind_changed = group.type_name() != kind;
        let has_moved = standing(group) != stood;
        let is_forgettable = group.is_forgettable();
        if is_forgettable {
            self.groups.remove(id);
        }
        if is_kind_changed || has_moved || ((was_told || stood.is_some()) && is_forgettable) {
            self.touch_group(id);
        }
        for reply in replies {
            let response = match reply.answer {
                Answer::Join(answer) => {
                    let release = self.settings.release();
                    api::join_group::respond(release, reply.ticket.version, answer)
                }
                Answer::Sync(answer) => api::sync_group::respond(answer),
            };
            self.answered.push((reply.ticket, response));
        }
        self.arm_group(id);
        Some(result)
    }

    /// The group, made if there is none; a share group has the name for itself.
    pub(crate) fn ensure_group(&mut self, now: Instant, id: &str) -> Result<(), ErrorCode> {
        if self.groups.contains_key(id) || self.share_groups.contains_key(id) {
            return Ok(());
        }
        if self.groups.len() >= self.settings.groups_max {
            return Err(ErrorCode::POLICY_VIOLATION);
        }
        self.groups.insert(id.to_owned(), Group::new(id, self.settings.release()));
        self.arm_expiry(now);
        Ok(())
    }

    pub(super) fn expire_group(&mut self, now: Instant, id: &str) {
        if self.coordinator_runs(id) {
            self.with_group(id, |group, around| group.handle_timeout(now, around));
        }
    }

    /// Sets the group's timer; while its coordinator stands still, so do its deadlines.
    pub(crate) fn arm_group(&mut self, id: &str) {
        let deadline = self.groups.get(id).filter(|_| self.coordinator_runs(id));
        let deadline = deadline.and_then(Group::poll_timeout);
        self.timers.set(Timer::Group(id.to_owned()), deadline);
    }

    /// The groups that this node coordinates.
    pub(super) fn groups_of(&self, node: NodeId) -> Vec<String> {
        let is_its = |id: &&String| self.check_coordinator(node, id).is_ok();
        self.groups.keys().filter(is_its).cloned().collect()
    }

    /// Groups whose coordinator changed begin anew there: members keep their place, waiting requests are refused.
    /// Transactions that waited for a leader go on.
    pub(crate) fn handle_new_leaders(&mut self, now: Instant, partitions: &[TopicPartition]) {
        for partition in partitions {
            self.touch(partition);
        }
        let moved = |id: &&String| {
            let index = self.spread.of_group(id);
            let is_its = |tp: &&TopicPartition| tp.topic == OFFSETS_TOPIC && tp.partition == index;
            partitions.iter().any(|tp| is_its(&tp))
        };
        let ids: Vec<_> = self.groups.keys().filter(moved).cloned().collect();
        for id in ids {
            self.with_group(&id, |group, around| {
                group.handle_coordinator_move(now, around);
            });
        }
        self.handle_new_share_leaders(now, partitions);
        self.resume_transactions(now);
    }

    /// Forgets a group that has no members, as DeleteGroups does.
    pub(crate) fn delete_group(&mut self, id: &str) -> ErrorCode {
        if self.share_groups.contains_key(id) {
            return self.delete_share_group(id);
        }
        let Some(group) = self.groups.get(id) else { return ErrorCode::GROUP_ID_NOT_FOUND };
        if !group.is_empty() {
            return ErrorCode::NON_EMPTY_GROUP;
        }
        self.groups.remove(id);
        self.note(Entry::GroupGone(id.to_owned()));
        self.timers.set(Timer::Group(id.to_owned()), None);
        ErrorCode::NONE
    }

    /// Whenever a topic goes, the first coordinator forgets the groups that have neither members nor commits, whatever they
    /// read (`GroupMetadataManager.cleanupGroupMetadata`); the one since 4.0 does so when commits expire.
    pub(super) fn forget_idle_groups(&mut self) {
        let is_idle = |group: &Group| group.is_empty() && group.offsets.is_empty();
        let idle = self.groups.iter().filter(|(_, group)| is_idle(group));
        let idle: Vec<_> = idle.map(|(id, _)| id.clone()).collect();
        for id in idle {
            self.delete_group(&id);
        }
    }

    pub(super) fn coordinator_runs(&self, id: &str) -> bool {
        let partition = self.partition(OFFSETS_TOPIC, self.spread.of_group(id));
        partition.and_then(Partition::leader).is_some_and(|node| self.nodes.is_running(node))
    }
}

impl NewTopic {
    /// A topic that nobody made, and somebody asks for: one of the coordinators' own is as they have it.
    pub(crate) fn unasked(name: &str) -> Self {
        let mut new = Self { name: name.to_owned(), ..Self::default() };
        if is_internal(&Topic::from(name)) {
            new.partitions = Some(INTERNAL_PARTITIONS);
            new.config.insert("cleanup.policy".to_owned(), "compact".to_owned());
        }
        new
    }
}

/// Whether clients are to be told that the topic belongs to the cluster itself.
pub(crate) fn is_internal(topic: &Topic) -> bool {
    *topic == OFFSETS_TOPIC || *topic == TRANSACTIONS_TOPIC
}
