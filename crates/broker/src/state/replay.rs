//! How a cluster becomes what was written down of it.

use std::collections::BTreeSet;
use std::time::Instant;

use bytes::Bytes;
use milena_types::NodeId;

use super::State;
use super::census::Census;
use super::groups::OFFSETS_TOPIC;
use crate::group::streams::StreamsGroup;
use crate::group::{ConsumerGroup, Group, Kind};
use crate::journal::Journal;
use crate::state::Identity;
use crate::store::{Entry, Place, Source, Spelled};
use crate::topic::{Partition, TopicConfig, TopicState};

impl State {
    /// Takes one piece of what was written down, in the order in which it was.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn replay(&mut self, now: Instant, piece: Bytes) -> Result<(), String> {
        let mut source = Source::new(piece);
        while !source.is_empty() {
            let malformed = |_| "it is not of this version of the program".to_owned();
            let entry = Entry::take(&mut source).map_err(malformed)?;
            self.replay_entry(now, entry)?;
        }
        Ok(())
    }

    /// All is told: what waited for its time or a leader goes on.
    pub(crate) fn finish_replay(&mut self, now: Instant) {
        for topic in self.topics.values_mut() {
            topic.partitions.iter_mut().for_each(Partition::restored);
        }
        for group in self.groups.values_mut() {
            if let Kind::Classic(group) = &mut group.kind {
                group.restored(now);
            }
        }
        // Their commits went, and they themselves without a word.
        self.groups.retain(|_, group| !group.is_forgettable());
        self.store.starts = self.store.starts.saturating_add(1);
        // Ids are not drawn again that an earlier run drew.
        self.rng = fastrand::Rng::with_seed(
            self.settings.seed ^ u64::from(self.store.starts - 1).wrapping_mul(SPREAD),
        );
        // It holds what this process accepts, which is nothing yet.
        self.journal = Journal::new(self.settings.journal_max);
        self.count_internal_partitions();
        self.begin_store();
        self.census = Census::of(&self.topics);
        self.settle(now);
        self.arm_all_cleaning(now);
        self.arm_expiry(now);
        self.resume_transactions(now);
    }

    fn replay_entry(&mut self, now: Instant, entry: Entry) -> Result<(), String> {
        let release = self.settings.release();
        match entry {
            Entry::Start { starts, nodes } => {
                self.store.starts = starts;
                return self.check_nodes(&nodes);
            }
            Entry::Topic { name, id, is_internal, config, replicas } => {
                let config = TopicConfig::taken(config, &self.topic_defaults(), release)?;
                self.topic_ids.insert(id, name.clone());
                let is_new = !self.topics.contains_key(&name);
                let topic = self.topics.entry(name).or_insert_with(|| TopicState {
                    id,
                    config: config.clone(),
                    partitions: Vec::new(),
                    is_internal,
                });
                topic.config = config;
                let mut replicas = replicas.into_iter();
                for (partition, nodes) in topic.partitions.iter_mut().zip(&mut replicas) {
                    partition.restore_replicas(nodes);
                }
                topic.partitions.extend(replicas.map(Partition::new));
                self.topics_version.note_creation();
                // Those that are added later count from the next start on.
                if is_internal && is_new {
                    self.count_internal_partitions();
                }
            }
            Entry::TopicGone(name) => {
                self.remove_topic(now, &name);
            }
            Entry::Features(epoch, levels) => return self.restore_features(epoch, levels),
            Entry::ProducerIds(dealt) => self.producer_ids.restore(dealt),
            Entry::Leader(at, leader, epoch) => self.at(at)?.restore_leader(leader, epoch),
            Entry::Cut(at, end) => self.at(at)?.cut(end),
            Entry::LogStart(at, start) => self.at(at)?.restore_start(start),
            Entry::Compacted(at, rewritten) => self.at(at)?.restore_compacted(rewritten),
            Entry::Log(at, image) => self.at(at)?.restore_image(image),
            Entry::Batch(at, batch) => {
                let sent = batch.sent();
                let ended = self.at(at)?.restore_batch(batch);
                let is_offsets =
                    self.topic_ids.get(&at.0).is_some_and(|name| *name == OFFSETS_TOPIC);
                if let (Some(end), Some(sent), true) = (ended, sent, is_offsets) {
                    let producer = Identity { id: sent.producer_id, epoch: sent.producer_epoch };
                    self.end_pending_commits(at.1, producer, end);
                }
            }
            Entry::Transaction(id, stored) => {
                let clock = self.clock;
                let transaction = stored.into_transaction(|wall| clock.instant(wall));
                self.transactions.insert(id, transaction);
            }
            Entry::TransactionGone(id) => {
                self.transactions.remove(&id);
            }
            Entry::Group(id, is_consumer) => {
                let group =
                    self.groups.entry(id.clone()).or_insert_with(|| Group::new(&id, release));
                if is_consumer {
                    group.kind = Kind::Consumer(ConsumerGroup::new(&id));
                } else {
                    group.kind = Group::new(&id, release).kind;
                }
            }
            Entry::ClassicGroup(id, protocol_type, empty_since) => {
                let empty_since = empty_since.map(|wall| self.clock.instant(wall));
                if let Some(Kind::Classic(group)) =
                    self.groups.get_mut(&id).map(|one| &mut one.kind)
                {
                    group.restore_standing(protocol_type, empty_since);
                }
            }
            Entry::StreamsGroup(id, topology) => {
                let group =
                    self.groups.entry(id.clone()).or_insert_with(|| Group::new(&id, release));
                group.kind = Kind::Streams(StreamsGroup::with_topology(&id, topology));
            }
            Entry::GroupGone(id) => {
                self.groups.remove(&id);
            }
            Entry::Commit(id, commit, transaction) => {
                let group =
                    self.groups.entry(id.clone()).or_insert_with(|| Group::new(&id, release));
                match transaction {
                    None => group.offsets.commit(commit),
                    Some((producer, member)) => {
                        group.offsets.commit_in_transaction(producer, member, commit);
                    }
                }
            }
            Entry::CommitsGone(id, partitions) => {
                if let Some(group) = self.groups.get_mut(&id) {
                    let gone: BTreeSet<_> = partitions.iter().collect();
                    group.offsets.forget_commits(|partition| gone.contains(partition));
                }
            }
            Entry::GroupConfig(id, config) => self.apply_group_config(id, config),
            Entry::BrokerConfig(node, set) => self.apply_broker_config(now, node, set),
            Entry::Subscription(name, set) => {
                let refused = self.set_subscription(&name, set, false).err();
                return refused.map_or(Ok(()), |refused| Err(refused.message));
            }
            Entry::Quotas(entity, values) => self.quotas.set(entity, values),
            Entry::Acl(acl) => {
                self.acls.add(acl);
            }
            Entry::AclGone(acl) => {
                self.acls.remove(&acl);
            }
            Entry::Credential(user, mechanism, credential) => {
                self.credentials.set(user, mechanism, credential);
            }
            Entry::CredentialGone(user, mechanism) => self.credentials.remove(&user, mechanism),
            Entry::ShareGroup(id) => {
                self.share_groups.entry(id).or_default();
            }
            Entry::ShareGroupGone(id) => {
                self.share_groups.remove(&id);
            }
            Entry::Share(key, stored) => {
                let group = self.share_groups.entry(key.group.clone()).or_default();
                group.note_offset(key.topic_id, key.partition);
                self.share_partitions.insert(key, stored);
            }
            Entry::ShareGone(key) => {
                if let Some(group) = self.share_groups.get_mut(&key.group) {
                    group.forget_topic(key.topic_id);
                }
                self.share_partitions.remove(&key);
            }
        }
        Ok(())
    }

    /// Every node that held data must be there again.
    fn check_nodes(&self, nodes: &[NodeId]) -> Result<(), String> {
        let have = self.nodes.iter().count();
        let is_missing = nodes.iter().any(|node| self.nodes.get(*node).is_none());
        if is_missing {
            let had = nodes.len();
            return Err(format!("it is of a cluster of {had} nodes, and this one has {have}"));
        }
        Ok(())
    }

    fn at(&mut self, (id, index): Place) -> Result<&mut Partition, String> {
        let topic = self.topic_ids.get(&id).and_then(|name| self.topics.get_mut(name));
        let partition = topic.and_then(|topic| topic.partition_mut(index));
        partition.ok_or_else(|| "it tells of a partition before its topic".to_owned())
    }
}

/// Odd, so that no two starts have the same seed.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
