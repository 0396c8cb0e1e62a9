//! Which topics are worth knowing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use milena_types::Topic;

/// What a consumer wants to know of, until it says otherwise.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Interest {
    /// Nothing any more.
    #[default]
    Nothing,
    /// These topics.
    Topics {
        /// Their names.
        topics: BTreeSet<Topic>,
        /// Whether asking may make the brokers create them (`allow.auto.create.topics`).
        may_create: bool,
    },
    /// Every topic, as a pattern subscription needs.
    AllTopics,
}

/// Names a holder of an [`Interest`].
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct InterestId(u64);

/// Everyone's interests.
#[derive(Debug)]
pub(super) struct Interests {
    max_idle: Duration,
    /// Topics that producers use, and when they last did.
    touched: BTreeMap<Topic, Instant>,
    held: BTreeMap<InterestId, Interest>,
    dealt: u64,
}

impl Interests {
    pub(super) fn new(max_idle: Duration) -> Self {
        Self { max_idle, touched: BTreeMap::new(), held: BTreeMap::new(), dealt: 0 }
    }

    pub(super) fn touch(&mut self, now: Instant, topic: &Topic) {
        match self.touched.get_mut(topic) {
            Some(last) => *last = now,
            None => {
                self.touched.insert(topic.clone(), now);
            }
        }
    }

    pub(super) fn register(&mut self) -> InterestId {
        self.dealt += 1;
        InterestId(self.dealt)
    }

    pub(super) fn set(&mut self, id: InterestId, interest: Interest) {
        if interest == Interest::Nothing {
            self.held.remove(&id);
        } else {
            self.held.insert(id, interest);
        }
    }

    /// Drops topics that no producer has touched for too long; what a consumer holds stays (R14).
    pub(super) fn forget_idle(&mut self, now: Instant) {
        let max_idle = self.max_idle;
        self.touched.retain(|_, last| now < *last + max_idle);
    }

    /// Topics that anyone uses by name.
    pub(super) fn used(&self) -> impl Iterator<Item = &Topic> {
        let held = self.held.values().filter_map(|interest| match interest {
            Interest::Topics { topics, .. } => Some(topics),
            Interest::Nothing | Interest::AllTopics => None,
        });
        self.touched.keys().chain(held.flatten())
    }

    pub(super) fn is_used(&self, topic: &Topic) -> bool {
        self.touched.contains_key(topic)
            || self.held.values().any(|interest| match interest {
                Interest::Nothing => false,
                Interest::Topics { topics, .. } => topics.contains(topic),
                Interest::AllTopics => true,
            })
    }

    pub(super) fn wants_all(&self) -> bool {
        self.held.values().any(|interest| *interest == Interest::AllTopics)
    }

    /// Whether asking for `topic` may create it.
    pub(super) fn may_create(&self, topic: &Topic) -> bool {
        self.touched.contains_key(topic)
            || self.held.values().any(|interest| match interest {
                Interest::Topics { topics, may_create } => *may_create && topics.contains(topic),
                Interest::Nothing | Interest::AllTopics => false,
            })
    }
}
