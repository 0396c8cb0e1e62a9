//! Who wants what: the members and partitions, numbered.

use std::collections::BTreeSet;

use milena_types::{Topic, TopicPartition};

use crate::group::assignor::java_map;
use crate::group::assignor::member::java_order;
use crate::group::assignor::{Layout, Member};

/// A partition's number among all that are shared out: by topic, then by number within it.
pub(super) type Part = usize;

#[derive(Debug)]
pub(super) struct Problem<'a> {
    /// In the order in which Java's leader walks through them.
    pub(super) members: Vec<&'a Member>,
    /// The place of each member by id, and the member at each place.
    pub(super) rank: Vec<usize>,
    pub(super) by_rank: Vec<usize>,
    pub(super) topics: Vec<Run<'a>>,
    /// The topics that each member wants, of those that exist.
    pub(super) wants: Vec<BTreeSet<usize>>,
    /// The topic of each partition.
    topic_of: Vec<usize>,
}

/// A topic's partitions.
#[derive(Debug)]
pub(super) struct Run<'a> {
    pub(super) topic: &'a Topic,
    pub(super) first: Part,
    pub(super) count: usize,
}

impl<'a> Problem<'a> {
    pub(super) fn new(members: &'a [Member], layout: &'a Layout) -> Self {
        let order = java_map::order(members.iter().map(|member| member.id.as_str()));
        let members: Vec<&Member> =
            order.into_iter().filter_map(|place| members.get(place)).collect();
        let mut by_rank: Vec<usize> = (0..members.len()).collect();
        let id = |member: usize| members.get(member).map_or("", |member| member.id.as_str());
        by_rank.sort_by(|a, b| java_order(id(*a), id(*b)));
        let mut rank = vec![0; members.len()];
        for (place, member) in by_rank.iter().enumerate() {
            if let Some(rank) = rank.get_mut(*member) {
                *rank = place;
            }
        }
        let (mut topics, mut topic_of) = (Vec::new(), Vec::new());
        for (topic, racks) in &layout.topics {
            if members.iter().any(|member| member.topics.contains(topic)) {
                let (first, count) = (topic_of.len(), racks.len());
                topic_of.extend(std::iter::repeat_n(topics.len(), count));
                topics.push(Run { topic, first, count });
            }
        }
        let wants = |member: &&Member| {
            let runs = topics.iter().enumerate();
            runs.filter(|(_, run)| member.topics.contains(run.topic)).map(|(t, _)| t).collect()
        };
        let wants = members.iter().map(wants).collect();
        Self { members, rank, by_rank, topics, wants, topic_of }
    }

    /// How many partitions there are.
    pub(super) fn parts(&self) -> usize {
        self.topic_of.len()
    }

    /// Whether all members want the same.
    pub(super) fn is_uniform(&self) -> bool {
        self.members.windows(2).all(|pair| match pair {
            [one, other] => one.topics == other.topics,
            _ => true,
        })
    }

    pub(super) fn topic(&self, part: Part) -> usize {
        self.topic_of.get(part).copied().unwrap_or(usize::MAX)
    }

    /// The partition's number within its topic.
    pub(super) fn number(&self, part: Part) -> usize {
        self.topics.get(self.topic(part)).map_or(0, |run| part - run.first)
    }

    pub(super) fn partition(&self, part: Part) -> TopicPartition {
        let topic = self.topics.get(self.topic(part)).map_or("", |run| run.topic.as_str());
        TopicPartition::new(topic, i32::try_from(self.number(part)).unwrap_or(i32::MAX))
    }

    /// The number of a partition; `None` where it does not exist, or no more.
    pub(super) fn part(&self, tp: &TopicPartition) -> Option<Part> {
        let run = self.topics.binary_search_by(|run| run.topic.cmp(&tp.topic)).ok();
        let run = self.topics.get(run?)?;
        let number = usize::try_from(tp.partition).ok().filter(|number| *number < run.count)?;
        Some(run.first + number)
    }

    pub(super) fn wants(&self, member: usize, topic: usize) -> bool {
        self.wants.get(member).is_some_and(|topics| topics.contains(&topic))
    }
}
