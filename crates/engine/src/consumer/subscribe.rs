//! Subscribing: by names, by a filter over the names that the metadata has, by a pattern that the coordinator matches.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use milena_types::Topic;

use super::machine::Consumer;
use super::membership::Membership;
use crate::error::{Error, Operation};
use crate::subscription::{Source, TopicFilter};

impl Consumer {
    /// Lets the group share out the partitions of `topics`, from now on these and no others.
    ///
    /// # Errors
    /// `Misuse` without a group, or with partitions assigned by hand; `Closed`.
    pub fn subscribe(&mut self, now: Instant, topics: BTreeSet<Topic>) -> Result<(), Error> {
        self.ensure_open(Operation::Subscribe)?;
        if topics.is_empty() {
            return self.unsubscribe(now);
        }
        self.subscribable()?.member.subscribe(topics.clone());
        self.subscribed(now, Source::Topics(topics));
        Ok(())
    }

    /// Lets the group share out the partitions of all topics that `filter` takes, of those that are there and those
    /// that will be; new ones are found as often as the metadata is refreshed.
    ///
    /// # Errors
    /// As [`subscribe`](Self::subscribe).
    pub fn subscribe_matching(&mut self, now: Instant, filter: TopicFilter) -> Result<(), Error> {
        self.ensure_open(Operation::Subscribe)?;
        self.subscribable()?;
        self.subscribed(now, Source::Filter(filter, None));
        Ok(())
    }

    /// Lets the group share out the partitions of all topics whose whole name the coordinator finds to match `pattern`,
    /// a regular expression of RE2J (KIP-848).
    ///
    /// # Errors
    /// As [`subscribe`](Self::subscribe); `Misuse` in the classic protocol.
    pub fn subscribe_pattern(&mut self, now: Instant, pattern: Arc<str>) -> Result<(), Error> {
        self.ensure_open(Operation::Subscribe)?;
        if !self.subscribable()?.member.subscribe_pattern(pattern) {
            let rule = "the coordinator matches patterns in the consumer protocol only: set group.protocol";
            return Err(Error::misuse(rule).during(Operation::Subscribe));
        }
        self.subscribed(now, Source::Coordinator);
        Ok(())
    }

    /// Subscribes anew where other topics match.
    pub(super) fn filter_topics(&mut self) {
        let Source::Filter(filter, topics) = &mut self.subscription.source else { return };
        if !self.cluster.has_all_topics() {
            return;
        }
        let excludes = self.settings.exclude_internal_topics;
        let known = self.cluster.topics().filter(|topic| !(excludes && topic.is_internal));
        // One without partitions is not there, or not ours to read.
        let usable = known.filter(|topic| topic.is_usable());
        let matching: BTreeSet<Topic> = usable
            .filter(|topic| filter.takes(topic.name.as_str()))
            .map(|topic| topic.name.clone())
            .collect();
        if topics.as_ref() == Some(&matching) {
            return;
        }
        tracing::debug!(topics = ?matching, "topics that match");
        *topics = Some(matching.clone());
        if let Some(membership) = &mut self.membership {
            membership.member.subscribe(matching);
        }
    }

    fn subscribable(&mut self) -> Result<&mut Membership, Error> {
        let misuse = |rule: &str| Error::misuse(rule).during(Operation::Subscribe);
        let Some(membership) = &mut self.membership else {
            return Err(misuse("to subscribe to topics takes a group (group.id)"));
        };
        match self.subscription.source {
            Source::Manual => Err(misuse("partitions are assigned by hand: unsubscribe first")),
            Source::None | Source::Topics(_) | Source::Filter(..) | Source::Coordinator => {
                Ok(membership)
            }
        }
    }

    fn subscribed(&mut self, now: Instant, source: Source) {
        self.subscription.source = source;
        self.buffer.start_clock(now);
        self.filter_topics();
        self.drive(now);
    }
}
