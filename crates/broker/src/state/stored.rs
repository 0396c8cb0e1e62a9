//! What is to be written down of the cluster, and when: all that an answer rests on before the answer goes out.

use std::collections::{BTreeSet, VecDeque};

use bytes::{Bytes, BytesMut};
use milena_types::{NodeId, Topic, TopicPartition};

use super::State;
use crate::clock::Clock;
use crate::group::streams::StreamsGroup;
use crate::group::{Commit, Group};
use crate::share::ShareKey;
use crate::store::{Entry, Spelled};
use crate::topic::TopicState;

/// What changed since it was last taken, where anything is to be written down at all.
///
/// Most is found by comparing: whoever changes a partition, a transactional id or a share partition only says that it
/// changed. The rest is noted as it happens.
#[derive(Debug, Default)]
pub(crate) struct Store {
    is_on: bool,
    /// What is to be written down before `spelled`.
    pieces: VecDeque<Bytes>,
    spelled: BytesMut,
    partitions: BTreeSet<TopicPartition>,
    transactions: BTreeSet<String>,
    groups: BTreeSet<String>,
    shares: BTreeSet<ShareKey>,
    producer_ids: i64,
    /// How often the cluster was started.
    pub(super) starts: u32,
}

impl State {
    /// Whether the cluster goes on from what was written down of it.
    pub(crate) fn was_restored(&self) -> bool {
        self.store.is_on
    }

    /// From here on changes are kept for [`State::take_stored`].
    pub(crate) fn begin_store(&mut self) {
        self.store = Store {
            is_on: true,
            producer_ids: self.producer_ids.dealt(),
            starts: self.store.starts,
            ..Store::default()
        };
        let start = self.start_entry();
        self.note(start);
    }

    /// Something happened.
    pub(crate) fn note(&mut self, entry: Entry) {
        if self.store.is_on {
            // What happened before is told before.
            self.spell_changes();
            entry.put(&mut self.store.spelled);
        }
    }

    /// What was noted so far makes a piece, and what comes next another: one may be there without the other.
    pub(super) fn end_piece(&mut self) {
        if !self.store.spelled.is_empty() {
            self.store.pieces.push_back(self.store.spelled.split().freeze());
        }
    }

    /// A topic was made or changed.
    pub(crate) fn note_topic(&mut self, name: &Topic) {
        if let Some(topic) = self.topics.get(name).filter(|_| self.store.is_on) {
            let entry = topic_entry(name, topic);
            self.note(entry);
        }
    }

    /// A partition's log or leader may have changed.
    pub(crate) fn touch(&mut self, partition: &TopicPartition) {
        if self.store.is_on && !self.store.partitions.contains(partition) {
            self.store.partitions.insert(partition.clone());
        }
    }

    /// A transactional id may have changed.
    pub(super) fn touch_transaction(&mut self, id: &str) {
        if self.store.is_on {
            self.store.transactions.insert(id.to_owned());
        }
    }

    /// A group speaks another protocol, or is forgotten.
    pub(super) fn touch_group(&mut self, id: &str) {
        if self.store.is_on {
            self.store.groups.insert(id.to_owned());
        }
    }

    /// What is kept of a share partition has changed.
    pub(super) fn touch_share(&mut self, key: &ShareKey) {
        if self.store.is_on {
            self.store.shares.insert(key.clone());
        }
    }

    /// The next piece to be written down: all of it happened, or none.
    pub(crate) fn take_stored(&mut self) -> Option<Bytes> {
        if !self.store.is_on {
            return None;
        }
        self.spell_changes();
        self.end_piece();
        self.store.pieces.pop_front()
    }

    /// Everything, as if it had happened just now: `put` gets pieces for an empty store, in their order.
    pub(crate) fn spell_image<E>(
        &self,
        mut put: impl FnMut(Bytes) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut piece = BytesMut::new();
        let mut spell = |entry: Entry| {
            entry.put(&mut piece);
            if piece.len() < PIECE_BYTES { Ok(()) } else { put(piece.split().freeze()) }
        };
        spell(self.start_entry())?;
        spell(Entry::ProducerIds(self.producer_ids.dealt()))?;
        if let Some(features) = self.features.entry() {
            spell(features)?;
        }
        for (node, set) in self.broker_configs.iter() {
            spell(Entry::BrokerConfig(node, set.clone()))?;
        }
        for (name, topic) in &self.topics {
            spell(topic_entry(name, topic))?;
            for (index, partition) in topic.indexed() {
                let at = (topic.id, index);
                spell(Entry::Leader(at, partition.leader(), partition.leader_epoch()))?;
                for batch in partition.log().batches() {
                    spell(Entry::Batch(at, batch.clone()))?;
                }
                spell(Entry::Log(at, partition.image()))?;
            }
        }
        for (id, transaction) in &self.transactions {
            let stored = transaction.stored(|at| self.clock.wall(at));
            spell(Entry::Transaction(id.clone(), stored))?;
        }
        // Members join again: a group of which there is no more to say is made again by its first.
        let is_told = |group: &Group| group.classic().is_none() || !group.offsets.is_empty();
        for (id, group) in self.groups.iter().filter(|(_, group)| is_told(group)) {
            spell(group_entry(id.clone(), group))?;
            standing_entry(id.clone(), group, self.clock).map_or(Ok(()), &mut spell)?;
            for (partition, committed) in group.offsets.committed() {
                let (partition, committed) = (partition.clone(), committed.clone());
                let commit = Commit { partition, committed };
                spell(Entry::Commit(id.clone(), commit, None))?;
            }
            for (producer, member, commit) in group.offsets.pending() {
                let by = Some((producer, member.to_owned()));
                spell(Entry::Commit(id.clone(), commit, by))?;
            }
        }
        for (group, config) in &self.group_configs {
            spell(Entry::GroupConfig(group.clone(), config.clone()))?;
        }
        for (name, subscription) in self.subscriptions.iter() {
            spell(Entry::Subscription(name.clone(), subscription.set().clone()))?;
        }
        for (entity, values) in self.quotas.iter() {
            spell(Entry::Quotas(entity.clone(), values.clone()))?;
        }
        for acl in self.acls.iter() {
            spell(Entry::Acl(acl.clone()))?;
        }
        for (user, mechanism, credential) in self.credentials.iter() {
            spell(Entry::Credential(user.to_owned(), mechanism, credential.clone()))?;
        }
        for id in self.share_groups.keys() {
            spell(Entry::ShareGroup(id.clone()))?;
        }
        for (key, stored) in self.share_partitions.iter() {
            spell(Entry::Share(key.clone(), stored.clone()))?;
        }
        put(piece.freeze())
    }

    fn spell_changes(&mut self) {
        let Self { store, topics, transactions, groups, share_partitions, clock, .. } = self;
        let spelled = &mut store.spelled;
        for tp in std::mem::take(&mut store.partitions) {
            let Some(topic) = topics.get_mut(&tp.topic) else { continue };
            let id = topic.id;
            let Some(partition) = topic.partition_mut(tp.partition) else { continue };
            for entry in partition.changes((id, tp.partition)) {
                entry.put(spelled);
            }
        }
        let dealt = self.producer_ids.dealt();
        if store.producer_ids != dealt {
            store.producer_ids = dealt;
            Entry::ProducerIds(dealt).put(spelled);
        }
        for id in std::mem::take(&mut store.transactions) {
            let stored = transactions.get(&id).map(|one| one.stored(|at| clock.wall(at)));
            match stored {
                Some(stored) => Entry::Transaction(id, stored).put(spelled),
                None => Entry::TransactionGone(id).put(spelled),
            }
        }
        for id in std::mem::take(&mut store.groups) {
            match groups.get(&id) {
                Some(group) => {
                    group_entry(id.clone(), group).put(spelled);
                    standing_entry(id, group, *clock).into_iter().for_each(|one| one.put(spelled));
                }
                None => Entry::GroupGone(id).put(spelled),
            }
        }
        for key in std::mem::take(&mut store.shares) {
            match share_partitions.get(&key).cloned() {
                Some(stored) => Entry::Share(key, stored).put(spelled),
                None => Entry::ShareGone(key).put(spelled),
            }
        }
    }

    fn start_entry(&self) -> Entry {
        let nodes: Vec<NodeId> = self.nodes.iter().map(|node| node.id).collect();
        Entry::Start { starts: self.store.starts, nodes }
    }
}

fn group_entry(id: String, group: &Group) -> Entry {
    match group.streams().and_then(StreamsGroup::topology) {
        Some(topology) => Entry::StreamsGroup(id, topology.clone()),
        None => Entry::Group(id, group.consumer().is_some()),
    }
}

/// What is told of a classic group besides, once it has had members.
fn standing_entry(id: String, group: &Group, clock: Clock) -> Option<Entry> {
    let (protocol_type, empty_since) = group.classic()?.standing()?;
    let empty_since = empty_since.map(|at| clock.wall(at));
    Some(Entry::ClassicGroup(id, protocol_type.to_owned(), empty_since))
}

fn topic_entry(name: &Topic, topic: &TopicState) -> Entry {
    Entry::Topic {
        name: name.clone(),
        id: topic.id,
        is_internal: topic.is_internal,
        config: topic.config.overrides().clone(),
        replicas: topic.partitions.iter().map(|one| one.replicas().collect()).collect(),
    }
}

/// About how much of an image is held at once, besides the largest batch.
const PIECE_BYTES: usize = 1 << 20;
