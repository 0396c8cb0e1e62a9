//! The target: what each member is to have, computed anew where the group's epoch went ahead of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use milena_types::Uuid;

use super::assignor::{Subscriber, Subscriptions};
use super::group::ConsumerGroup;
use super::member::Member;
use super::partitions::Partitions;
use crate::group::Surroundings;
use crate::topic::TopicImage;

impl ConsumerGroup {
    /// Computes the target for the group's epoch, unless the last is too young.
    pub(super) fn update_target(&mut self, now: Instant, around: &Surroundings<'_>) {
        let interval = around.settings.assignment_interval;
        let is_due = self.assigned_at.is_none_or(|at| now >= at + interval);
        if self.assignment_epoch >= self.epoch || !is_due {
            return;
        }
        self.targets = self.assign(&around.image);
        self.assignment_epoch = self.epoch;
        self.assigned_at = Some(now);
    }

    /// The ids of the topics that a member subscribes to, as far as they exist.
    pub(super) fn subscribed_ids(&self, member: &Member, image: &TopicImage<'_>) -> BTreeSet<Uuid> {
        let matched = self.patterns.topics(&member.pattern).into_iter().flatten();
        member.topics.iter().chain(matched).filter_map(|name| image.id(name.as_str())).collect()
    }

    fn assign(&self, image: &TopicImage<'_>) -> BTreeMap<String, Partitions> {
        let (none, nowhere) = (Partitions::new(), BTreeSet::new());
        let is_homogeneous = self.tally.is_homogeneous(self.members.len());
        let mut topics = Vec::new();
        for member in self.members.values() {
            // The same for all, so one look is enough.
            if !is_homogeneous || topics.is_empty() {
                topics.push(self.subscribed_ids(member, image));
            }
        }
        let subscribers = self.members.values().enumerate().map(|(at, member)| Subscriber {
            id: &member.id,
            instance_id: member.instance_id.as_deref(),
            topics: topics.get(if is_homogeneous { 0 } else { at }).unwrap_or(&nowhere),
            held: self.targets.get(&member.id).unwrap_or(&none),
        });
        let subscribers = subscribers.collect();
        let all = topics.iter().flatten().map(|id| (*id, image.partitions(*id))).collect();
        let subscriptions = Subscriptions { subscribers, topics: all, is_homogeneous };
        let assigned = self.assignor().assign(&subscriptions);
        self.members.keys().cloned().zip(assigned).collect()
    }
}
