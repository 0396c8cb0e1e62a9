//! All subscriptions, and what they come to for one client.

use std::collections::{BTreeMap, BTreeSet};

use milena_types::Uuid;

use super::subscription::INTERVAL_MS_DEFAULT;
use super::{Attributes, Subscription};
use crate::state::java_hash;

/// The subscriptions by name, and how often they were changed.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions {
    by_name: BTreeMap<String, Subscription>,
    changes: u64,
}

/// What all subscriptions that mean a client ask of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Demand {
    /// In the order of Java's sets, on which the id rests.
    pub(crate) metrics: Vec<String>,
    pub(crate) interval_ms: i32,
    pub(crate) subscription_id: i32,
}

impl Subscriptions {
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&String, &Subscription)> {
        self.by_name.iter()
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Subscription> {
        self.by_name.get(name)
    }

    pub(crate) fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Puts a subscription in place of the one of its name; one for which nothing is set is none.
    pub(crate) fn set(&mut self, name: &str, subscription: Subscription) {
        if subscription.set().is_empty() {
            self.by_name.remove(name);
        } else {
            self.by_name.insert(name.to_owned(), subscription);
        }
        self.changes = self.changes.saturating_add(1);
    }

    pub(super) fn changes(&self) -> u64 {
        self.changes
    }

    /// What is asked of a client.
    pub(super) fn demand(&self, id: Uuid, client: &Attributes) -> Demand {
        let theirs = self.by_name.values().filter(|subscription| subscription.takes(client));
        let theirs: Vec<_> = theirs.collect();
        let metrics = theirs.iter().flat_map(|subscription| subscription.metrics()).cloned();
        let mut metrics = java_set(metrics);
        if metrics.iter().any(|metric| metric == ALL) {
            metrics = vec![ALL.to_owned()];
        }
        let intervals = theirs.iter().map(|subscription| subscription.interval_ms());
        let interval_ms = intervals.fold(INTERVAL_MS_DEFAULT, i32::min);
        let text = format!("[{}]{interval_ms}", metrics.join(", "));
        let checksum = crc_fast::crc32_iscsi(text.as_bytes()).cast_signed();
        Demand { metrics, interval_ms, subscription_id: checksum ^ java_hash_of_uuid(id) }
    }
}

/// What stands for every metric.
const ALL: &str = "*";

/// The order in which Java's `HashSet` has texts that are added one after the other.
fn java_set(texts: impl Iterator<Item = String>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let mut set: Vec<_> = texts.filter(|text| seen.insert(text.clone())).collect();
    let mut buckets = 16_usize;
    while set.len() > buckets / 4 * 3 {
        buckets *= 2;
    }
    set.sort_by_key(|text| {
        let hash = java_hash(text).cast_unsigned();
        (hash ^ (hash >> 16)) as usize & (buckets - 1)
    });
    set
}

/// Java's hash of an id.
fn java_hash_of_uuid(id: Uuid) -> i32 {
    let words = id.as_bytes().chunks_exact(4);
    words.fold(0, |hash, word| {
        hash ^ word.iter().fold(0, |word: i32, byte| (word << 8) | i32::from(*byte))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Java 17 prints of them; the second outgrew its first sixteen buckets.
    #[test]
    fn sets_have_the_order_of_javas() {
        let set = |texts: &[&str]| java_set(texts.iter().map(|text| (*text).to_owned())).join(" ");
        assert_eq!(set(&["b", "a", "b", "c"]), "a b c");
        let many: Vec<_> = (0..14).map(|n| format!("metric.{}", n * 37)).collect();
        let many = java_set(many.into_iter()).join(" ").replace("metric.", "");
        assert_eq!(many, "481 370 37 0 74 259 407 296 185 111 333 222 148 444");
    }
}
