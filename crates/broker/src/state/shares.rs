//! Share groups and share partitions: who may ask for them where, and what time and nodes do to them.

use std::sync::Arc;
use std::time::Instant;

use milena_types::{ErrorCode, NodeId, Offset, Topic, TopicPartition, Uuid};

use super::{OFFSETS_TOPIC, State, Timer};
use crate::journal::AcceptedAcknowledgement;
use crate::share::{
    AcknowledgeError, AcknowledgementBatch, Acquired, Beat, Beaten, Demand, ReadBatches, SeenTopic,
    ShareConfig, ShareGroup, ShareKey, SharedPartition, StoredPartition,
};
use crate::store::Entry;
use crate::topic::{Liveness, Partition};

/// An error and what is said about it, if anything.
pub(crate) type Said = (ErrorCode, Option<String>);

impl State {
    /// What a share group is configured with.
    pub(crate) fn share_config(&self, group: &str) -> ShareConfig {
        ShareConfig::new(&self.settings.share_groups, self.group_configs.get(group))
    }

    /// Whether the cluster has share groups at all.
    pub(crate) fn has_share_groups(&self) -> bool {
        self.settings.share_version > 0
    }

    /// Takes a heartbeat of a share group's member.
    pub(crate) fn share_beat(
        &mut self,
        now: Instant,
        id: &str,
        beat: Beat,
    ) -> Result<Beaten, Said> {
        if self.groups.contains_key(id) {
            let message = format!("Group {id} is not a share group.");
            return Err((ErrorCode::GROUP_ID_NOT_FOUND, Some(message)));
        }
        let config = self.share_config(id);
        let known = self.share_groups.get(id);
        if known.is_none() && beat.epoch != 0 {
            let message = format!("Share group {id} not found.");
            return Err((ErrorCode::GROUP_ID_NOT_FOUND, Some(message)));
        }
        if known.is_none() && self.share_groups.len() >= self.settings.groups_max {
            return Err((ErrorCode::POLICY_VIOLATION, None));
        }
        let members = known.map(ShareGroup::members);
        let size_max = self.settings.share_groups.size_max;
        let is_member = members.is_some_and(|members| members.contains_key(&beat.member));
        if !is_member && members.is_some_and(|members| members.len() >= size_max) {
            let message =
                format!("The share group has reached its maximum capacity of {size_max} members.");
            return Err((ErrorCode::GROUP_MAX_SIZE_REACHED, Some(message)));
        }
        let Self { share_groups, topics, .. } = self;
        let seen = |name: &str| {
            let topic = topics.get(name)?;
            let partitions = i32::try_from(topic.partitions.len()).ok()?;
            Some(SeenTopic { id: topic.id, partitions })
        };
        let is_new = !share_groups.contains_key(id);
        let group = share_groups.entry(id.to_owned()).or_default();
        let beaten = group.beat(now, &config, id, beat, seen);
        let beaten = beaten.map_err(|(code, message)| (code, Some(message)))?;
        let uninitialized = group.initialize();
        if is_new {
            self.note(Entry::ShareGroup(id.to_owned()));
        }
        // A real coordinator has this done after it has answered.
        for (topic_id, partition, is_known_topic) in uninitialized {
            let key = ShareKey { group: id.to_owned(), topic_id, partition };
            let start = is_known_topic.then_some(Offset::ZERO);
            self.share_partitions.insert(key.clone(), StoredPartition::new(start));
            self.touch_share(&key);
        }
        self.arm_share_group(id);
        Ok(beaten)
    }

    /// A member leaves its share group.
    pub(crate) fn share_leave(&mut self, id: &str, member: &str) -> Result<(), Said> {
        let Some(group) = self.share_groups.get_mut(id) else {
            let is_other = self.groups.contains_key(id);
            let why = if is_other { "is not a share group." } else { "not found." };
            return Err((ErrorCode::GROUP_ID_NOT_FOUND, Some(format!("Group {id} {why}"))));
        };
        let left = group.remove(id, member);
        self.arm_share_group(id);
        left.map_err(|(code, message)| (code, Some(message)))
    }

    /// The group, made if there is none.
    pub(crate) fn ensure_share_group(&mut self, id: &str) -> Result<(), ErrorCode> {
        if !self.share_groups.contains_key(id)
            && self.share_groups.len() >= self.settings.groups_max
        {
            return Err(ErrorCode::POLICY_VIOLATION);
        }
        if !self.share_groups.contains_key(id) {
            self.share_groups.insert(id.to_owned(), ShareGroup::default());
            self.note(Entry::ShareGroup(id.to_owned()));
        }
        Ok(())
    }

    /// Opens the window of a share partition that `node` leads.
    pub(crate) fn open_share(&mut self, node: NodeId, key: &ShareKey) -> Result<(), ErrorCode> {
        let begins_at_earliest = self.share_config(&key.group).begins_at_earliest;
        let led = self.led_partition(node, key)?;
        let log_start = led.log().start();
        let initial = if begins_at_earliest { log_start } else { led.high_watermark() };
        let epoch = led.leader_epoch();
        // Not initialized: no member has subscribed to the topic yet.
        let stored = self.share_partitions.get_mut(key).ok_or(ErrorCode::UNKNOWN_SERVER_ERROR)?;
        let is_opened = stored.window().is_none();
        stored.open(epoch, initial);
        if is_opened {
            self.touch_share(key);
        }
        Ok(())
    }

    /// The partition behind a share partition, if `node` leads it.
    pub(crate) fn led_partition(
        &self,
        node: NodeId,
        key: &ShareKey,
    ) -> Result<&Partition, ErrorCode> {
        let unknown = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
        let topic = self.topic_ids.get(&key.topic_id).ok_or(unknown)?;
        let partition = self.partition(topic.as_str(), key.partition).ok_or(unknown)?;
        partition.check_leader(node, None).map_err(|failed| failed.0)?;
        Ok(partition)
    }

    /// Hands records that were read to a member.
    pub(crate) fn acquire_shared(
        &mut self,
        now: Instant,
        key: &ShareKey,
        demand: &Demand,
        read: &ReadBatches,
    ) -> Vec<Acquired> {
        let limits = self.share_config(&key.group).limits;
        let window = self.share_partitions.get_mut(key).and_then(StoredPartition::window_mut);
        let acquired = window.map(|window| window.acquire(now, demand, &limits, read));
        self.arm_share_partition(key);
        acquired.unwrap_or_default()
    }

    /// What is read begins later than what is wanted: the log was cut off at the beginning.
    pub(crate) fn skip_shared(&mut self, key: &ShareKey, log_start: Offset) {
        let window = self.share_partitions.get_mut(key).and_then(StoredPartition::window_mut);
        if let Some(window) = window {
            window.handle_log_start(log_start);
            self.touch_share(key);
        }
    }

    /// Takes a member's acknowledgements.
    pub(crate) fn acknowledge_shared(
        &mut self,
        now: Instant,
        node: NodeId,
        key: &ShareKey,
        member: &str,
        batches: &[AcknowledgementBatch],
    ) -> Result<(), AcknowledgeError> {
        let limits = self.share_config(&key.group).limits;
        let is_led = self.led_partition(node, key).is_ok();
        let stored = self.share_partitions.get_mut(key).filter(|_| is_led);
        let Some(stored) = stored else { return Err(NOT_OPEN) };
        let window = stored.window_mut().ok_or(NOT_OPEN)?;
        window.acknowledge(now, member, &limits, batches)?;
        stored.write();
        let runs = batches.iter().flat_map(AcknowledgementBatch::runs);
        if let Some(partition) = self.shared_topic_partition(key) {
            for (first, last, said) in runs {
                self.journal.note_acknowledgement(AcceptedAcknowledgement {
                    at: self.clock.wall(now),
                    group: key.group.clone(),
                    member_id: member.to_owned(),
                    partition: partition.clone(),
                    first,
                    last,
                    said,
                });
            }
        }
        self.handle_share_change(now, key);
        Ok(())
    }

    /// A member gives back all that it holds of these partitions.
    pub(crate) fn release_shared(
        &mut self,
        now: Instant,
        group: &str,
        member: &str,
        partitions: &[SharedPartition],
    ) {
        let limits = self.share_config(group).limits;
        let member: Arc<str> = member.into();
        for one in partitions {
            let (topic_id, partition) = (one.topic_id, one.partition);
            let key = ShareKey { group: group.to_owned(), topic_id, partition };
            let Some(stored) = self.share_partitions.get_mut(&key) else { continue };
            let released = stored.window_mut().is_some_and(|w| w.release(&member, &limits));
            if released {
                stored.write();
                self.handle_share_change(now, &key);
            }
        }
    }

    /// Ends the sessions of connections that are gone.
    pub(crate) fn end_disconnected(&mut self, now: Instant) {
        for (node, connection) in std::mem::take(&mut self.disconnected) {
            let Some(found) = self.nodes.get_mut(node) else { continue };
            found.telemetry.handle_disconnect(connection);
            let gone = found.share_sessions.handle_disconnect(connection);
            for ((group, member), partitions) in gone.ended {
                self.release_shared(now, &group, &member, &partitions);
            }
            for group in gone.empty_groups {
                // What the node has of the group in memory goes with the last session.
                let of_group = self.share_partitions.keys_where(|key| key.group == group);
                for key in of_group {
                    if self.led_partition(node, &key).is_ok() {
                        self.close_share(&key);
                    }
                }
            }
        }
    }

    /// Forgets an empty share group with all its offsets.
    pub(super) fn delete_share_group(&mut self, id: &str) -> ErrorCode {
        if self.share_groups.get(id).is_some_and(|group| !group.members().is_empty()) {
            return ErrorCode::NON_EMPTY_GROUP;
        }
        self.share_groups.remove(id);
        self.note(Entry::ShareGroupGone(id.to_owned()));
        self.arm_share_group(id);
        self.forget_shares(|key| key.group == id);
        ErrorCode::NONE
    }

    /// Forgets what share groups have got of a topic.
    pub(super) fn forget_shares_of(&mut self, topic_id: Uuid) {
        for group in self.share_groups.values_mut() {
            group.forget_topic(topic_id);
        }
        self.forget_shares(|key| key.topic_id == topic_id);
    }

    /// Sets the offset of a share partition anew, as an administrator does.
    pub(crate) fn set_share_offset(&mut self, key: ShareKey, start: Option<Offset>) {
        if let Some(group) = self.share_groups.get_mut(&key.group) {
            group.note_offset(key.topic_id, key.partition);
        }
        self.close_share(&key);
        self.share_partitions.insert(key.clone(), StoredPartition::new(start));
        self.touch_share(&key);
    }

    /// Forgets the offsets of a topic in a group; false if there were none.
    pub(crate) fn forget_share_offsets(&mut self, group: &str, topic_id: Uuid) -> bool {
        let found = self.share_groups.get_mut(group);
        let forgotten = found.and_then(|group| group.forget_topic(topic_id));
        self.forget_shares(|key| key.group == group && key.topic_id == topic_id);
        forgotten.is_some()
    }

    pub(super) fn expire_share_group(&mut self, now: Instant, id: &str) {
        if self.coordinator_runs(id)
            && let Some(group) = self.share_groups.get_mut(id)
        {
            group.handle_timeout(now);
            self.arm_share_group(id);
        }
    }

    pub(super) fn expire_share_partition(&mut self, now: Instant, key: &ShareKey) {
        if !self.share_leader_runs(key) {
            return;
        }
        let limits = self.share_config(&key.group).limits;
        let Some(stored) = self.share_partitions.get_mut(key) else { return };
        let is_changed = stored.window_mut().is_some_and(|w| w.handle_timeout(now, &limits));
        if is_changed {
            stored.write();
            self.handle_share_change(now, key);
        } else {
            self.arm_share_partition(key);
        }
    }

    /// Other nodes lead: they open windows of their own, and groups whose coordinator it is give members more time.
    pub(super) fn handle_new_share_leaders(&mut self, now: Instant, partitions: &[TopicPartition]) {
        for tp in partitions {
            if let Some(topic_id) = self.topics.get(&tp.topic).map(|topic| topic.id) {
                let is_it =
                    |key: &ShareKey| key.topic_id == topic_id && key.partition == tp.partition;
                for key in self.share_partitions.keys_where(is_it) {
                    self.close_share(&key);
                }
            }
            if tp.topic != OFFSETS_TOPIC {
                continue;
            }
            let is_its = |id: &&String| self.spread.of_group(id) == tp.partition;
            let moved: Vec<_> = self.share_groups.keys().filter(is_its).cloned().collect();
            for id in moved {
                let session = self.share_config(&id).session_timeout;
                if let Some(group) = self.share_groups.get_mut(&id) {
                    group.handle_coordinator_move(now, session);
                }
                self.arm_share_group(&id);
            }
        }
    }

    /// Sets all timers of shares, as after a node ran again.
    pub(super) fn arm_shares(&mut self) {
        let groups: Vec<_> = self.share_groups.keys().cloned().collect();
        for id in groups {
            self.arm_share_group(&id);
        }
        for key in self.share_partitions.keys_where(|_| true) {
            self.arm_share_partition(&key);
        }
    }

    /// The topic and partition that a key names.
    pub(crate) fn shared_topic_partition(&self, key: &ShareKey) -> Option<TopicPartition> {
        let topic: &Topic = self.topic_ids.get(&key.topic_id)?;
        Some(TopicPartition::new(topic.clone(), key.partition))
    }

    fn handle_share_change(&mut self, now: Instant, key: &ShareKey) {
        self.touch_share(key);
        self.arm_share_partition(key);
        if let Some(tp) = self.shared_topic_partition(key) {
            self.wake(now, &tp);
        }
    }

    /// Forgets who holds what, and what was not written down of it.
    pub(super) fn close_all_shares(&mut self) {
        for key in self.share_partitions.keys_where(|_| true) {
            self.close_share(&key);
        }
    }

    fn close_share(&mut self, key: &ShareKey) {
        if let Some(stored) = self.share_partitions.get_mut(key) {
            stored.close();
        }
        self.arm_share_partition(key);
    }

    fn forget_shares(&mut self, is_meant: impl Fn(&ShareKey) -> bool) {
        for key in self.share_partitions.keys_where(is_meant) {
            self.share_partitions.remove(&key);
            self.touch_share(&key);
            self.arm_share_partition(&key);
        }
    }

    fn arm_share_group(&mut self, id: &str) {
        let group = self.share_groups.get(id).filter(|_| self.coordinator_runs(id));
        let deadline = group.and_then(ShareGroup::poll_timeout);
        self.timers.set(Timer::ShareGroup(id.to_owned()), deadline);
    }

    fn arm_share_partition(&mut self, key: &ShareKey) {
        let stored = self.share_partitions.get(key).filter(|_| self.share_leader_runs(key));
        let window = stored.and_then(StoredPartition::window);
        let deadline = window.and_then(|window| window.poll_timeout());
        self.timers.set(Timer::SharePartition(key.clone()), deadline);
    }

    fn share_leader_runs(&self, key: &ShareKey) -> bool {
        let topic = self.topic_ids.get(&key.topic_id);
        let partition = topic.and_then(|topic| self.partition(topic.as_str(), key.partition));
        partition.and_then(Partition::leader).is_some_and(|node| self.nodes.is_running(node))
    }
}

/// What is acknowledged to a node that holds nothing of the partition.
const NOT_OPEN: AcknowledgeError = AcknowledgeError {
    code: ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
    message: "This server does not host this topic-partition.",
};
