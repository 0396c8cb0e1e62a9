//! What the members of a group add up to, kept so that a heartbeat need not look at all of them.

use std::collections::{BTreeMap, BTreeSet};

use milena_types::{Topic, Uuid};

use super::assignor::Assignor;
use super::member::Member;
use super::partitions::each;

/// Counts over all members.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    /// Of each topic: how many members name it, and how many patterns match it.
    topics: BTreeMap<Topic, Subscribers>,
    patterns: BTreeMap<String, usize>,
    assignors: BTreeMap<Assignor, usize>,
    classic_members: usize,
    classic_protocols: BTreeMap<String, usize>,
    /// Who holds a partition, or still gives it up.
    owners: BTreeMap<Uuid, BTreeMap<i32, String>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Subscribers {
    by_name: usize,
    by_pattern: usize,
}

impl Tally {
    /// Counts a member in.
    pub(super) fn add(&mut self, member: &Member) {
        for topic in &member.topics {
            self.topics.entry(topic.clone()).or_default().by_name += 1;
        }
        if !member.pattern.is_empty() {
            *self.patterns.entry(member.pattern.clone()).or_default() += 1;
        }
        if let Some(assignor) = member.assignor {
            *self.assignors.entry(assignor).or_default() += 1;
        }
        if let Some(classic) = &member.classic {
            self.classic_members += 1;
            for (name, _) in &classic.protocols {
                *self.classic_protocols.entry(name.clone()).or_default() += 1;
            }
        }
        for (topic, index) in each(&member.assigned).chain(each(&member.revoking)) {
            self.owners.entry(topic).or_default().insert(index, member.id.clone());
        }
    }

    /// Counts a member out.
    pub(super) fn remove(&mut self, member: &Member) {
        for topic in &member.topics {
            if let Some(count) = self.topics.get_mut(topic) {
                count.by_name = count.by_name.saturating_sub(1);
            }
            self.drop_unsubscribed(topic);
        }
        take_one(&mut self.patterns, member.pattern.as_str());
        if let Some(assignor) = member.assignor {
            take_one(&mut self.assignors, &assignor);
        }
        if let Some(classic) = &member.classic {
            self.classic_members = self.classic_members.saturating_sub(1);
            for (name, _) in &classic.protocols {
                take_one(&mut self.classic_protocols, name.as_str());
            }
        }
        for (topic, index) in each(&member.assigned).chain(each(&member.revoking)) {
            let Some(owners) = self.owners.get_mut(&topic) else { continue };
            if owners.get(&index) == Some(&member.id) {
                owners.remove(&index);
            }
            if owners.is_empty() {
                self.owners.remove(&topic);
            }
        }
    }

    /// A pattern has come to match other topics.
    pub(super) fn move_pattern(&mut self, before: &BTreeSet<Topic>, after: &BTreeSet<Topic>) {
        for topic in after {
            self.topics.entry(topic.clone()).or_default().by_pattern += 1;
        }
        for topic in before {
            if let Some(count) = self.topics.get_mut(topic) {
                count.by_pattern = count.by_pattern.saturating_sub(1);
            }
            self.drop_unsubscribed(topic);
        }
    }

    /// The topics that any member subscribes to.
    pub(super) fn topics(&self) -> impl Iterator<Item = &Topic> {
        self.topics.keys()
    }

    pub(super) fn is_subscribed(&self, topic: &str) -> bool {
        self.topics.contains_key(topic)
    }

    /// How many members subscribe with this pattern.
    pub(super) fn subscribers(&self, pattern: &str) -> usize {
        self.patterns.get(pattern).copied().unwrap_or(0)
    }

    pub(super) fn patterns(&self) -> impl ExactSizeIterator<Item = &String> {
        self.patterns.keys()
    }

    /// The assignor that most members vote for, the default one where votes are equal or none is cast.
    pub(super) fn assignor(&self) -> Assignor {
        // The first of the greatest wins, where max_by_key would take the last.
        let voted = self.assignors.iter().rev().max_by_key(|(_, count)| **count);
        voted.map_or(Assignor::default(), |(assignor, _)| *assignor)
    }

    pub(super) fn classic_members(&self) -> usize {
        self.classic_members
    }

    /// Whether every classic member speaks this assignor.
    pub(super) fn is_common_protocol(&self, name: &str) -> bool {
        self.classic_protocols.get(name).copied().unwrap_or(0) == self.classic_members
    }

    /// Whether nobody holds the partition.
    pub(super) fn is_free(&self, topic: Uuid, index: i32) -> bool {
        self.owners.get(&topic).is_none_or(|owners| !owners.contains_key(&index))
    }

    /// Whether all `members` subscribe to the same topics, as far as Kafka looks: by one pattern, or all by names.
    pub(super) fn is_homogeneous(&self, members: usize) -> bool {
        match self.patterns.values().next() {
            None => self.topics.values().all(|count| count.by_name == members),
            Some(subscribers) => {
                let by_one = |count: &Subscribers| count.by_pattern == 1 && count.by_name == 0;
                *subscribers == members && self.topics.values().all(by_one)
            }
        }
    }

    fn drop_unsubscribed(&mut self, topic: &Topic) {
        let count = self.topics.get(topic).copied().unwrap_or_default();
        if count.by_name == 0 && count.by_pattern == 0 {
            self.topics.remove(topic);
        }
    }
}

fn take_one<K, Q>(counts: &mut BTreeMap<K, usize>, key: &Q)
where
    K: Ord + std::borrow::Borrow<Q>,
    Q: Ord + ?Sized,
{
    let Some(count) = counts.get_mut(key) else { return };
    *count -= 1;
    if *count == 0 {
        counts.remove(key);
    }
}
