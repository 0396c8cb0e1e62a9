//! Subscriptions by regular expression.

use std::fmt;
use std::sync::Arc;

use milena_engine::consumer::TopicFilter;
use milena_engine::{Error, Operation};
use regex::bytes::RegexBuilder;

/// A regular expression of [RE2J](https://github.com/google/re2j) that the group's coordinator matches against the whole
/// names of topics (KIP-848); takes `group.protocol=consumer` and brokers from 4.0.
///
/// Nothing is checked before the coordinator sees it: one that it cannot read fails the consumer with
/// `INVALID_REGULAR_EXPRESSION`.
///
/// # Examples
/// ```
/// let pattern = milena::SubscriptionPattern::new("orders-(eu|us)");
/// assert_eq!(pattern.to_string(), "orders-(eu|us)");
/// ```
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SubscriptionPattern(Arc<str>);

impl SubscriptionPattern {
    /// The pattern as the coordinator is to read it.
    pub fn new(pattern: impl Into<Arc<str>>) -> Self {
        Self(pattern.into())
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SubscriptionPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Who matches the names of topics.
#[derive(Clone, Debug)]
pub(super) enum Pattern {
    Client(TopicFilter),
    Coordinator(SubscriptionPattern),
}

/// Takes topics whose whole name matches `pattern`, as Java's `subscribe(Pattern)` does.
///
/// # Errors
/// `Misuse` if it is no regular expression.
pub(super) fn filter(pattern: &str) -> Result<TopicFilter, Error> {
    // Kafka's names are of ASCII letters, digits and three signs: there is nothing for Unicode's tables to do.
    let regex = RegexBuilder::new(&format!(r"\A(?:{pattern})\z")).unicode(false).build();
    let regex = regex.map_err(|cause| {
        let rule = "a subscription's pattern is to be a regular expression of the `regex` crate";
        Error::misuse(rule).during(Operation::Subscribe).because(cause)
    })?;
    Ok(TopicFilter::new(move |name| regex.is_match(name.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_takes_whole_names() {
        let taken = |pattern: &str| {
            let filter = filter(pattern).unwrap();
            let names = ["orders", "orders-eu", "my-orders", "ORDERS", "orders.2"];
            names.into_iter().filter(|name| filter.takes(name)).collect::<Vec<_>>()
        };
        assert_eq!(taken("orders"), ["orders"]);
        assert_eq!(taken("orders|my-.*"), ["orders", "my-orders"]);
        assert_eq!(taken(r"orders[-.]\w+"), ["orders-eu", "orders.2"]);
        assert_eq!(taken("(?i)orders"), ["orders", "ORDERS"]);
        assert_eq!(taken(r"[^.]*\d?"), ["orders", "orders-eu", "my-orders", "ORDERS"]);
        assert!(taken("").is_empty());
    }

    #[test]
    fn what_is_no_expression_is_refused_with_its_cause() {
        let error = filter("orders(").unwrap_err();
        assert_eq!(error.kind(), milena_engine::ErrorKind::Misuse);
        assert!(std::error::Error::source(&error).is_some());
    }
}
