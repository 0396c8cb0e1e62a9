//! Which topics a subscription by pattern takes.

use std::fmt;
use std::sync::Arc;

/// Says of a topic's name whether a subscription takes the topic.
#[derive(Clone)]
pub struct TopicFilter(Arc<dyn Fn(&str) -> bool + Send + Sync>);

impl TopicFilter {
    /// Takes the topics for whose names `matches` says true. It is asked about each topic of every fresh metadata, in
    /// the task that reads answers: it is to be quick, and always of the same mind.
    pub fn new(matches: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(matches))
    }

    /// Whether the topic called `name` is taken.
    pub fn takes(&self, name: &str) -> bool {
        (self.0)(name)
    }
}

impl fmt::Debug for TopicFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TopicFilter")
    }
}
