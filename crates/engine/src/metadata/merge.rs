//! What an answer makes of what was known.
//!
//! One answer may come from a broker that is behind: what it leaves out or gets wrong does not undo what is known.

use std::collections::BTreeMap;
use std::sync::Arc;

use milena_types::{ErrorCode, NodeId, Topic};

use super::hint::LeaderHint;
use super::snapshot::{Broker, Cluster, PartitionMetadata, TopicMetadata};

/// What a broker answered.
#[derive(Clone, Debug, Default)]
pub(super) struct Fetched {
    pub(super) cluster_id: Option<Arc<str>>,
    pub(super) controller: Option<NodeId>,
    pub(super) brokers: BTreeMap<NodeId, Broker>,
    pub(super) topics: BTreeMap<Topic, TopicMetadata>,
}

/// Answers in a row that did not know a topic or partition that was known (R17, R1), and that told a former id of it.
#[derive(Debug, Default)]
pub(super) struct Doubts {
    absences: BTreeMap<Topic, u32>,
    returns: BTreeMap<Topic, u32>,
}

impl Doubts {
    /// One more answer without `name`: whether it may still be an error.
    fn is_absence(&mut self, name: &Topic) -> bool {
        count(&mut self.absences, name) < ABSENCES_MAX
    }

    /// One more answer by which `name` is the topic that it was before: whether it may still be an error.
    fn is_return(&mut self, known: &TopicMetadata, new: &TopicMetadata) -> bool {
        let is_former = new.id.is_some_and(|id| known.former.contains(&id));
        is_former && count(&mut self.returns, &known.name) < RETURNS_MAX
    }

    fn settle(&mut self, name: &Topic) {
        self.absences.remove(name);
        self.returns.remove(name);
    }
}

fn count(answers: &mut BTreeMap<Topic, u32>, name: &Topic) -> u32 {
    let count = answers.entry(name.clone()).or_default();
    *count += 1;
    *count
}

/// How many answers in a row must miss a topic before it counts as deleted: brokers learn of topics one after
/// another, and with quick retries three answers take less than a second.
pub(super) const ABSENCES_MAX: u32 = 3;

/// How many answers in a row must tell a topic's former id before it counts. Brokers that are behind tell it, and a
/// topic never has it back; but the id that took its place may have been misread on the way.
pub(super) const RETURNS_MAX: u32 = 10;

/// How many former ids of a topic are remembered: a broker is behind by a snapshot, not by many.
const FORMER_MAX: usize = 4;

/// The next snapshot: `fetched` over `old`, for the topics that the request was about (`asked`), without those
/// that nobody needs any more (`is_used`).
pub(super) fn answer(
    old: &Cluster,
    fetched: Fetched,
    doubts: &mut Doubts,
    asked: impl Fn(&Topic) -> bool,
    is_used: impl Fn(&Topic) -> bool,
) -> Cluster {
    let mut topics = BTreeMap::new();
    for known in old.topics().filter(|topic| is_used(&topic.name)) {
        if !asked(&known.name) {
            topics.insert(known.name.clone(), Arc::clone(known));
        } else if !fetched.topics.contains_key(&known.name) && doubts.is_absence(&known.name) {
            let error = Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
            topics.insert(
                known.name.clone(),
                Arc::new(TopicMetadata { error, ..TopicMetadata::clone(known) }),
            );
        }
    }
    for (name, new) in fetched.topics {
        let merged = match old.topic(name.as_str()) {
            Some(known) if known.is_usable() => topic(known, new, doubts),
            Some(known) if doubts.is_return(known, &new) => TopicMetadata::clone(known),
            Some(known) => follow(known, new),
            None => new,
        };
        topics.insert(name, Arc::new(merged));
    }
    doubts.absences.retain(|name, _| topics.contains_key(name));
    doubts.returns.retain(|name, _| topics.contains_key(name));
    Cluster {
        cluster_id: fetched.cluster_id.or_else(|| old.cluster_id.clone()),
        controller: fetched.controller,
        brokers: fetched.brokers,
        version: old.version + 1,
        has_all_topics: old.has_all_topics,
        ..Cluster::default()
    }
    .with_topics(topics)
}

/// The next snapshot with a partition moved, or `None` where the hint is no news.
pub(super) fn hint(old: &Cluster, hint: &LeaderHint) -> Option<Cluster> {
    if !old.is_news(hint) {
        return None;
    }
    let known = old.topic(hint.partition.topic.as_str())?;
    let mut next = old.clone();
    match &hint.endpoint {
        Some(endpoint) if endpoint.id == hint.leader => {
            let rack = old.broker(hint.leader).and_then(|broker| broker.rack.clone());
            let endpoint = Broker { rack: endpoint.rack.clone().or(rack), ..endpoint.clone() };
            next.brokers.insert(hint.leader, endpoint);
        }
        _ => {}
    }
    let mut moved = TopicMetadata::clone(known);
    let partition = moved.partitions.iter_mut().find(|p| p.index == hint.partition.partition)?;
    partition.leader = Some(hint.leader);
    partition.leader_epoch = Some(hint.leader_epoch);
    partition.error = None;
    let place = *old.by_name.get(hint.partition.topic.as_str())?;
    *next.topics.get_mut(place)? = Arc::new(moved);
    next.version += 1;
    Some(next)
}

/// `new` in the place of `known`, whose id may be another.
fn follow(known: &TopicMetadata, mut new: TopicMetadata) -> TopicMetadata {
    new.former = known.id.into_iter().chain(known.former.iter().copied()).collect();
    new.former.retain(|former| Some(*former) != new.id);
    new.former.truncate(FORMER_MAX);
    new
}

fn topic(known: &TopicMetadata, new: TopicMetadata, doubts: &mut Doubts) -> TopicMetadata {
    match new.error {
        Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION | ErrorCode::UNKNOWN_TOPIC_ID) => {
            if doubts.is_absence(&known.name) {
                TopicMetadata { error: new.error, ..known.clone() }
            } else {
                follow(known, new)
            }
        }
        // What else is wrong with a topic says nothing about where its partitions are.
        Some(_) if new.partitions.is_empty() => TopicMetadata { error: new.error, ..known.clone() },
        _ => {
            let is_other = new.id.is_some() && known.id != new.id;
            if is_other && doubts.is_return(known, &new) {
                return known.clone();
            }
            // Another id: deleted and created again, so old epochs and indexes mean nothing. So too if it had none, and now
            // has a former one after all.
            let has_former = new.id.is_some_and(|id| known.former.contains(&id));
            if is_other && (known.id.is_some() || has_former) {
                doubts.settle(&known.name);
                return follow(known, new);
            }
            let shrank = new.partitions.len() < known.partitions.len();
            // Partitions are never taken away from a topic; only without ids may it be another topic.
            let keeps = shrank && (new.id.is_some() || doubts.is_absence(&known.name));
            if shrank {
                doubts.returns.remove(&known.name);
            } else {
                doubts.settle(&known.name);
            }
            let mut partitions: Vec<_> = new
                .partitions
                .into_iter()
                .map(|p| match known.partition(p.index) {
                    Some(old) => partition(old, p),
                    None => p,
                })
                .collect();
            if keeps {
                partitions.extend(known.partitions.iter().cloned());
            }
            // The sort is stable: of two with one index the new one comes first and stays.
            partitions.sort_by_key(|p| p.index);
            partitions.dedup_by_key(|p| p.index);
            let former = known.former.clone();
            TopicMetadata { id: new.id.or(known.id), partitions, former, ..new }
        }
    }
}

fn partition(known: &PartitionMetadata, new: PartitionMetadata) -> PartitionMetadata {
    if new.leader_epoch.is_some() && new.leader_epoch < known.leader_epoch {
        return known.clone();
    }
    // Under election. Unless the epoch says that the old leader's term is over, it may well be the next one.
    if new.leader.is_none() && new.leader_epoch <= known.leader_epoch {
        return PartitionMetadata { leader: known.leader, leader_epoch: known.leader_epoch, ..new };
    }
    new
}

#[cfg(test)]
mod tests;
