//! Retention and compaction by time, as Kafka's log cleaner and its retention task do.

use std::time::{Duration, Instant};

use milena_types::{Topic, TopicPartition};

use super::{State, Timer};
use crate::store::Entry;
use crate::topic::{Partition, TopicState};

impl State {
    /// A topic's logs or its configuration have changed: sees to it that it is looked at in time.
    pub(crate) fn arm_cleaning(&mut self, now: Instant, topic: &Topic) {
        if !self.timers.has(&Timer::Retain) {
            self.arm_retention(now);
        }
        if !self.timers.has(&Timer::Compact) && self.topics.get(topic).is_some_and(is_compacted) {
            self.arm_compaction(now);
        }
    }

    /// The same for every topic.
    pub(super) fn arm_all_cleaning(&mut self, now: Instant) {
        let topics: Vec<Topic> = self.topics.keys().cloned().collect();
        for topic in topics {
            self.arm_cleaning(now, &topic);
        }
    }

    /// Deletes what retention no longer keeps, in all logs.
    pub(super) fn retain_all(&mut self, now: Instant) {
        let wall = self.wall(now);
        let mut shortened = Vec::new();
        let mut has_records = false;
        for (name, topic) in &mut self.topics {
            for (index, partition) in (0..).zip(&mut topic.partitions) {
                let start = partition.log().start();
                partition.retain(topic.config.on(partition.leader()), wall);
                has_records |= !is_empty(partition);
                if partition.log().start() != start {
                    shortened.push(TopicPartition::new(name, index));
                }
            }
        }
        if has_records {
            self.arm_retention(now);
        }
        for partition in shortened {
            self.wake(now, &partition);
        }
    }

    /// Compacts the logs of which enough may be compacted.
    pub(super) fn compact_all(&mut self, now: Instant) {
        let wall = self.wall(now);
        let mut entries = Vec::new();
        let mut has_more = false;
        for topic in self.topics.values_mut() {
            for (index, partition) in (0..).zip(&mut topic.partitions) {
                let config = topic.config.on(partition.leader());
                let rewritten = partition.compact(config, wall);
                if !rewritten.is_empty() {
                    entries.push(Entry::Compacted((topic.id, index), rewritten));
                }
            }
            has_more |= is_compacted(topic);
        }
        for entry in entries {
            self.note(entry);
            // All of them together may be longer than a piece can be.
            self.end_piece();
        }
        if has_more {
            self.arm_compaction(now);
        }
    }

    fn arm_retention(&mut self, now: Instant) {
        let due = now.checked_add(self.settings.retention_check_interval.max(INTERVAL_MIN));
        self.timers.set(Timer::Retain, due);
    }

    fn arm_compaction(&mut self, now: Instant) {
        let due = now.checked_add(self.settings.cleaner_backoff.max(INTERVAL_MIN));
        self.timers.set(Timer::Compact, due);
    }
}

/// Whether there is, or may come to be, something to be compacted.
fn is_compacted(topic: &TopicState) -> bool {
    topic.config.is_compacted() && !topic.partitions.iter().all(is_empty)
}

fn is_empty(partition: &Partition) -> bool {
    partition.log().batches().next().is_none()
}

/// An interval of zero would be due again before anything else happens.
const INTERVAL_MIN: Duration = Duration::from_millis(1);
