//! What is due when.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

/// One deadline per key, the earliest first.
#[derive(Debug)]
pub(crate) struct Timers<K> {
    by_key: BTreeMap<K, Instant>,
    by_time: BTreeSet<(Instant, K)>,
}

impl<K: Ord + Clone> Timers<K> {
    /// Sets, moves or (`None`) clears the deadline of `key`.
    pub(crate) fn set(&mut self, key: K, deadline: Option<Instant>) {
        let old = match deadline {
            Some(deadline) => self.by_key.insert(key.clone(), deadline),
            None => self.by_key.remove(&key),
        };
        if old == deadline {
            return;
        }
        if let Some(old) = old {
            self.by_time.remove(&(old, key.clone()));
        }
        if let Some(deadline) = deadline {
            self.by_time.insert((deadline, key));
        }
    }

    /// Whether the key has a deadline.
    pub(crate) fn has(&self, key: &K) -> bool {
        self.by_key.contains_key(key)
    }

    /// When the next one is due.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.by_time.first().map(|(deadline, _)| *deadline)
    }

    /// Takes the next key that is due.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<K> {
        let (_, key) = self.by_time.first().filter(|(deadline, _)| *deadline <= now)?.clone();
        self.set(key.clone(), None);
        Some(key)
    }
}

impl<K> Default for Timers<K> {
    fn default() -> Self {
        Self { by_key: BTreeMap::new(), by_time: BTreeSet::new() }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "any instant does")]
    fn a_deadline_that_was_moved_or_cleared_does_not_fire() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut timers = Timers::default();
        timers.set("moved", Some(at(1)));
        timers.set("moved", Some(at(3)));
        timers.set("cleared", Some(at(1)));
        timers.set("cleared", None);
        timers.set("plain", Some(at(2)));
        assert_eq!(timers.next(), Some(at(2)));
        assert_eq!(timers.pop(at(2)), Some("plain"));
        assert_eq!(timers.pop(at(2)), None);
        assert_eq!(timers.pop(at(3)), Some("moved"));
        assert_eq!(timers.next(), None);
    }
}
