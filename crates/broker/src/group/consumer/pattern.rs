//! Subscriptions by regular expression, which the coordinator resolves (KIP-848, version 1 of the heartbeat).

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use milena_types::{ErrorCode, Topic};
use regex::{Regex, RegexBuilder};

use crate::state::Refused;
use crate::topic::{ImageVersion, TopicImage};

/// The patterns of one group and the topics that they were found to match.
///
/// All are matched at once, after the heartbeat that made it necessary is answered, and not again for ten seconds.
#[derive(Clone, Debug, Default)]
pub(super) struct Patterns {
    resolved: BTreeMap<String, BTreeSet<Topic>>,
    resolved_at: Option<(Instant, ImageVersion)>,
}

/// What a heartbeat changed about its member's pattern.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum PatternChange {
    None,
    /// It has another one, that is still to be resolved.
    Unresolved,
    /// It has another one, of which the topics are known, or none any more.
    Resolved,
}

impl Patterns {
    /// The topics that a pattern matched when it was resolved last.
    pub(super) fn topics(&self, pattern: &str) -> Option<&BTreeSet<Topic>> {
        self.resolved.get(pattern)
    }

    pub(super) fn is_resolved(&self, pattern: &str) -> bool {
        self.resolved.contains_key(pattern)
    }

    /// Forgets a pattern that nobody subscribes with any more; returns the topics that it matched.
    pub(super) fn remove(&mut self, pattern: &str) -> BTreeSet<Topic> {
        let topics = self.resolved.remove(pattern).unwrap_or_default();
        if self.resolved.is_empty() {
            self.resolved_at = None;
        }
        topics
    }

    /// Sets what a pattern matches; returns what it matched before.
    pub(super) fn set(&mut self, pattern: &str, topics: BTreeSet<Topic>) -> BTreeSet<Topic> {
        self.resolved.insert(pattern.to_owned(), topics).unwrap_or_default()
    }

    pub(super) fn note_resolved(&mut self, now: Instant, version: ImageVersion) {
        self.resolved_at = Some((now, version));
    }

    /// Whether it is time to match `wanted` many patterns against the topics.
    pub(super) fn is_stale(
        &self,
        now: Instant,
        version: ImageVersion,
        wanted: usize,
        refresh_interval: Duration,
    ) -> bool {
        let Some((at, seen)) = self.resolved_at else { return true };
        wanted != self.resolved.len()
            || version.has_new_topics_since(seen)
            || now > at + refresh_interval
    }

    /// Whether the last time is long enough ago to match again.
    pub(super) fn may_resolve(&self, now: Instant) -> bool {
        self.resolved_at.is_none_or(|(at, _)| now > at + REFRESH_INTERVAL_MIN)
    }
}

/// Refuses what is no regular expression.
pub(super) fn check(pattern: &str) -> Result<(), Refused> {
    compile(pattern).map(drop).map_err(|why| {
        let message =
            format!("SubscribedTopicRegex `{pattern}` is not a valid regular expression: {why}.");
        Refused::new(ErrorCode::INVALID_REGULAR_EXPRESSION, message)
    })
}

/// The topics whose whole name matches; none where the pattern is too large.
pub(super) fn matches(pattern: &str, image: &TopicImage<'_>) -> BTreeSet<Topic> {
    let Ok(whole) = whole(pattern) else { return BTreeSet::new() };
    image.names().filter(|name| whole.is_match(name.as_str())).cloned().collect()
}

/// A pattern that has to match all of a name, whether of a topic or of something else.
pub(crate) fn whole(pattern: &str) -> Result<Regex, &'static str> {
    compile(pattern)?;
    compile(&format!(r"\A(?:{pattern})\z"))
}

/// Kafka takes the syntax of RE2, and so does this, but for a few rare classes.
fn compile(pattern: &str) -> Result<Regex, &'static str> {
    if pattern.len() > PATTERN_BYTES_MAX {
        return Err("it is too long");
    }
    let built = RegexBuilder::new(pattern).size_limit(COMPILED_BYTES_MAX).build();
    let is_too_large = |error| matches!(error, regex::Error::CompiledTooBig(_));
    built.map_err(
        |error| if is_too_large(error) { "it is too large" } else { "its syntax is wrong" },
    )
}

/// Kafka's number.
const REFRESH_INTERVAL_MIN: Duration = Duration::from_secs(10);

/// A name of a topic has at most 249 bytes; this is a list of some forty such names.
const PATTERN_BYTES_MAX: usize = 10_000;

/// Enough for every pattern of that length that does not repeat itself out of hand.
const COMPILED_BYTES_MAX: usize = 1 << 20;
