//! What a member says when it joins, and how a leader shares out.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use milena_types::{ApiKey, NodeId, Topic};

use super::{Action, Member, Surroundings, Syncing};
use crate::group::assignor::{AssignmentStrategy, Layout, UserData};
use crate::group::message::{MemberAssignment, MemberSubscription};

impl Member {
    /// What it wants and has, once for each strategy.
    pub(super) fn subscriptions(&self) -> Vec<(AssignmentStrategy, MemberSubscription)> {
        let generation = self.told.as_ref().map(|(generation, _)| *generation);
        let told: Vec<_> = self.told.iter().flat_map(|(_, told)| told).cloned().collect();
        let rack = self.settings.rack.as_deref().filter(|rack| !rack.is_empty());
        let subscription = |strategy: &AssignmentStrategy| {
            let subscription = MemberSubscription {
                topics: self.topics.clone(),
                owned: self.owned.clone(),
                // That of the last assignment, not of a JoinGroup whose SyncGroup never came through: others may have
                // got what we claim in that one (KIP-792).
                generation: generation.filter(|_| self.identity.generation.is_some()),
                rack: rack.map(str::to_owned),
                user_data: UserData::encode(*strategy, &told, generation),
            };
            (*strategy, subscription)
        };
        self.settings.assignment_strategies.iter().map(subscription).collect()
    }

    /// Asks for the assignment; a leader makes it first, once the metadata knows all topics.
    pub(super) fn sync(
        &mut self,
        now: Instant,
        coordinator: NodeId,
        around: &mut Surroundings<'_>,
    ) {
        let (mut shares, mut is_due) = (BTreeMap::new(), false);
        if let Some(leading) = &self.leading {
            let topics: BTreeSet<&Topic> =
                leading.members.iter().flat_map(|member| &member.topics).collect();
            let known = |topic: &&Topic| around.cluster.topic(topic.as_str()).is_some();
            if !topics.iter().all(known) && now < leading.deadline {
                return;
            }
            let counts = topics.into_iter().map(|topic| {
                let count = around.cluster.partition_count(topic.as_str());
                (topic.clone(), count.unwrap_or(0))
            });
            let counts: BTreeMap<_, _> = counts.collect();
            is_due = leading.is_skipped && counts.values().any(|count| *count > 0);
            self.shared_out = Some(counts);
            if !leading.is_skipped {
                let layout = Layout::of(&leading.members, around.cluster);
                let assigned = self.strategy.assign(&leading.members, &layout).into_iter();
                let share = |(member, partitions)| (member, MemberAssignment { partitions });
                shares.extend(assigned.map(share));
            }
        }
        self.leading = None;
        let shares = &self.syncing.get_or_insert(Syncing { shares, is_due, lost: 0 }).shares;
        let id = around.ids.deal();
        let outbound = self.requests.sync(id, coordinator, &self.identity, self.strategy, shares);
        self.put_call(now, id, coordinator, ApiKey::SYNC_GROUP);
        self.actions.push_back(Action::Send(outbound));
    }
}
