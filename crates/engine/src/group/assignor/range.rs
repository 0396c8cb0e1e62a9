//! The range assignor: partitions of each topic in order, shared out in runs.

use std::collections::{BTreeMap, BTreeSet};

use milena_types::{Topic, TopicPartition};

use super::layout::{Racks, is_rack_aware};
use super::{Layout, Member};

/// Gives each member, topic by topic, a run of neighbouring partitions, as Java's `RangeAssignor` does.
///
/// With n partitions and m members that subscribe to the topic, n mod m members take one more: the first ones by
/// [`Member::rank`], unless racks decide otherwise. Where members have racks, partitions go first to members on a rack
/// with a replica (KIP-881); topics with the same members and number of partitions are then shared out alike, so that
/// partitions of one number stay with one member.
pub(super) fn assign(
    members: &[Member],
    layout: &Layout,
) -> BTreeMap<String, BTreeSet<TopicPartition>> {
    let mut ordered: Vec<&Member> = members.iter().collect();
    ordered.sort_by(|a, b| a.rank(b));
    let mut topics: Vec<TopicShares<'_>> = layout
        .topics
        .iter()
        .map(|(topic, racks)| TopicShares::new(topic, racks, &ordered))
        .collect();
    if topics.iter().any(|topic| topic.is_rack_aware) {
        assign_near(&mut topics);
    }
    for topic in &mut topics {
        topic.assign_runs(|_, _| true);
    }
    let mut shares: BTreeMap<String, BTreeSet<TopicPartition>> =
        members.iter().map(|member| (member.id.clone(), BTreeSet::new())).collect();
    for topic in topics {
        for taker in topic.takers {
            if let Some(given) = shares.get_mut(&taker.member.id) {
                let partitions = taker.given.into_iter();
                given.extend(partitions.map(|index| TopicPartition::new(topic.topic, index)));
            }
        }
    }
    shares
}

/// Partitions that have a replica near a member go to such a member.
fn assign_near(topics: &mut [TopicShares<'_>]) {
    let mut alike: BTreeMap<(Vec<String>, usize), Vec<usize>> = BTreeMap::new();
    for (place, topic) in topics.iter().enumerate() {
        let takers = topic.takers.iter().map(|taker| taker.member.id.clone()).collect();
        // Java counts partitions whose racks it looked up: none where no member of the topic has a rack.
        let count = if topic.has_member_racks { topic.racks.len() } else { 0 };
        alike.entry((takers, count)).or_default().push(place);
    }
    for ((takers, count), places) in alike {
        if let [place] = places[..] {
            if let Some(topic) = topics.get_mut(place).filter(|topic| topic.is_rack_aware) {
                let racks = topic.racks;
                topic.assign_runs(|member, index| is_near(member, racks, index));
            }
            continue;
        }
        let mut open: BTreeSet<usize> = (0..takers.len()).collect();
        for index in (0..).take(count) {
            let suits = |taker: usize| {
                let mut those = places.iter().filter_map(|place| topics.get(*place));
                those.all(|topic| {
                    let near = topic.takers.get(taker);
                    near.is_some_and(|taker| is_near(taker.member, topic.racks, index))
                        && topic.room(taker) > 0
                })
            };
            let Some(taker) = open.iter().copied().find(|taker| suits(*taker)) else { continue };
            let mut has_room = false;
            for place in &places {
                if let Some(topic) = topics.get_mut(*place) {
                    topic.give(taker, &[index]);
                    has_room |= topic.room(taker) > 0;
                }
            }
            if !has_room {
                open.remove(&taker);
            }
        }
    }
}

/// A member without a rack is near to everything.
fn is_near(member: &Member, racks: &[Racks], index: i32) -> bool {
    let Some(rack) = &member.rack else { return true };
    let racks = usize::try_from(index).ok().and_then(|index| racks.get(index));
    racks.is_some_and(|racks| racks.contains(rack.as_str()))
}

/// One topic on its way to its members.
#[derive(Debug)]
struct TopicShares<'a> {
    topic: &'a Topic,
    racks: &'a [Racks],
    /// In the members' order.
    takers: Vec<Taker<'a>>,
    unassigned: BTreeSet<i32>,
    /// What each member takes at least, and how many may still take one more.
    share: usize,
    larger_left: usize,
    has_member_racks: bool,
    is_rack_aware: bool,
}

#[derive(Debug)]
struct Taker<'a> {
    member: &'a Member,
    given: Vec<i32>,
}

impl<'a> TopicShares<'a> {
    fn new(topic: &'a Topic, racks: &'a [Racks], ordered: &[&'a Member]) -> Self {
        let wants = |member: &&&'a Member| member.topics.contains(topic);
        let takers: Vec<_> = ordered
            .iter()
            .filter(wants)
            .map(|&member| Taker { member, given: Vec::new() })
            .collect();
        let near: BTreeSet<&str> =
            takers.iter().filter_map(|taker| taker.member.rack.as_deref()).collect();
        Self {
            topic,
            racks,
            unassigned: (0..).take(racks.len()).collect(),
            share: racks.len().checked_div(takers.len()).unwrap_or(0),
            larger_left: racks.len().checked_rem(takers.len()).unwrap_or(0),
            has_member_racks: !near.is_empty(),
            is_rack_aware: is_rack_aware(&near, racks.iter()),
            takers,
        }
    }

    /// How many more partitions a taker may have.
    fn room(&self, taker: usize) -> usize {
        let given = self.takers.get(taker).map_or(usize::MAX, |taker| taker.given.len());
        (self.share + usize::from(self.larger_left > 0)).saturating_sub(given)
    }

    fn give(&mut self, taker: usize, partitions: &[i32]) {
        let share = self.share;
        if let Some(taker) = self.takers.get_mut(taker) {
            taker.given.extend(partitions);
            if taker.given.len() > share {
                self.larger_left = self.larger_left.saturating_sub(1);
            }
        }
        for index in partitions {
            self.unassigned.remove(index);
        }
    }

    /// Gives each taker as much as it may have of what is left and `may` be its.
    fn assign_runs(&mut self, may: impl Fn(&Member, i32) -> bool) {
        for taker in 0..self.takers.len() {
            let room = self.room(taker);
            let Some(member) = self.takers.get(taker).map(|taker| taker.member) else { continue };
            let run: Vec<i32> = self
                .unassigned
                .iter()
                .copied()
                .filter(|index| may(member, *index))
                .take(room)
                .collect();
            // A run of none must not count as a larger share.
            if !run.is_empty() {
                self.give(taker, &run);
            }
        }
    }
}
