//! The topics that a consumer reads or asks about, and what keeps it from them.

use std::collections::BTreeSet;

use milena_types::{ApiKey, ErrorCode, Offset, Topic};

use super::machine::Consumer;
use crate::disposition::{self, Reaction};
use crate::error::{Error, Operation};
use crate::subscription::{Event, OffsetReset, Stage};

impl Consumer {
    /// Tells of topics that the metadata refuses, once for each topic and code; as Java does, it only warns of one that
    /// does not exist: it may be created yet, and is read then.
    pub(super) fn watch_topics(&mut self) {
        let mut topics = self.subscription.topics();
        topics.extend(self.queries.partitions().map(|tp| tp.topic.clone()));
        let troubled = |topic: Topic| Some((trouble(self, &topic)?, topic));
        let troubles: Vec<_> = topics.into_iter().filter_map(troubled).collect();
        for (code, topic) in &troubles {
            if is_passing(*code) {
                if self.troubles.get(topic) != Some(code) {
                    tracing::warn!(%topic, %code, "no such topic, as far as the brokers know");
                }
                continue;
            }
            let error = refused(*code, topic);
            self.fail_queries(topic, &error);
            if self.troubles.get(topic) != Some(code) && self.subscription.topics().contains(topic)
            {
                self.buffer.tell(Event::Error(error));
            }
        }
        // What has healed is news when it comes again.
        self.troubles = troubles.into_iter().map(|(code, topic)| (topic, code)).collect();
    }

    /// Starts over in topics that were deleted and made anew: their positions are of another log, and taken for
    /// positions in this one they would skip its first records.
    pub(super) fn watch_topic_ids(&mut self) {
        let successors = self.nameless_successors();
        let mut remade = Vec::new();
        for (tp, assigned) in self.subscription.iter_mut() {
            let Some(topic) = self.cluster.topic(tp.topic.as_str()) else { continue };
            let is_another = match topic.id {
                Some(id) => assigned.handle_topic_id(id),
                None => successors.contains(&tp.topic) && assigned.forget_topic_id(),
            };
            if is_another && assigned.stage().position().is_some() {
                remade.push(tp.clone());
            }
        }
        for partition in remade {
            let next = self.subscription.revise();
            let Some(assigned) = self.subscription.get_mut(&partition) else { continue };
            let read = self.buffer.position(&partition).or(assigned.stage().position());
            let is_reset = self.settings.auto_offset_reset != OffsetReset::None;
            let stage = if is_reset { Stage::Reset(OffsetReset::Earliest) } else { Stage::Halted };
            assigned.go(stage, next);
            assigned.confirmed = None;
            self.buffer.place(&partition, next, None);
            tracing::warn!(%partition, ?read, "the topic was made anew");
            // Nothing of the old log was read, and nothing of it is missed.
            if let Some(position) = read.filter(|read| read.offset > Offset::ZERO) {
                self.buffer.tell(Event::Recreated { partition, position });
            }
        }
    }

    /// Topics whose id is not told and that took the place of those that are read: these were gone, and in some partition
    /// epochs begin anew. If their ids were waited for, what is read until then would be read twice.
    fn nameless_successors(&self) -> BTreeSet<Topic> {
        let partitions = self.subscription.iter();
        let anew = partitions.filter(|(tp, assigned)| {
            let Some(topic) = self.cluster.topic(tp.topic.as_str()) else { return false };
            let is_former = assigned.topic_id.is_some_and(|id| topic.former.contains(&id));
            let epoch = topic.partition(tp.partition).and_then(|partition| partition.leader_epoch);
            topic.id.is_none() && is_former && epoch.is_some() && epoch < assigned.confirmed
        });
        anew.map(|(tp, _)| tp.topic.clone()).collect()
    }

    /// What keeps one of `topics` from being read.
    pub(super) fn trouble_of(&self, topics: &BTreeSet<Topic>) -> Option<Error> {
        topics.iter().find_map(|topic| Some(refused(trouble(self, topic)?, topic)))
    }
}

fn trouble(consumer: &Consumer, topic: &Topic) -> Option<ErrorCode> {
    consumer.cluster.topic(topic.as_str())?.error
}

fn refused(code: ErrorCode, topic: &Topic) -> Error {
    Error::from_code(ApiKey::METADATA, code).during(Operation::Metadata).with_topic(topic)
}

fn is_passing(code: ErrorCode) -> bool {
    matches!(
        disposition::reaction(ApiKey::METADATA, code),
        Reaction::Accept | Reaction::Retry | Reaction::RefreshMetadata | Reaction::FindCoordinator
    )
}
