//! The topics that a consumer reads or asks about, and what keeps it from them.

use std::collections::BTreeSet;

use milena_types::{ApiKey, ErrorCode, Topic};

use super::machine::Consumer;
use crate::disposition::{self, Reaction};
use crate::error::{Error, Operation};
use crate::subscription::Event;

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
