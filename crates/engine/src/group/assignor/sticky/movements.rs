//! Which partitions have moved between whom while shares are evened out.

use std::collections::BTreeMap;

use super::problem::{Part, Problem};
use crate::group::assignor::java_map::{self, JavaSet};

/// From whom, to whom.
type Pair = (usize, usize);

/// The net moves. Before a partition of a topic moves from one member to another, one that moved the other way goes
/// back instead: as even, and one move less.
#[derive(Debug, Default)]
pub(super) struct Movements {
    by_part: BTreeMap<Part, Pair>,
    by_topic: BTreeMap<usize, BTreeMap<Pair, JavaSet>>,
}

impl Movements {
    pub(super) fn moved(&mut self, problem: &Problem<'_>, part: Part, from: usize, to: usize) {
        let pair = match self.take(problem, part) {
            // Back where it came from is no move at all.
            Some((origin, _)) if origin == to => return,
            Some((origin, _)) => (origin, to),
            None => (from, to),
        };
        self.by_part.insert(part, pair);
        let topic = self.by_topic.entry(problem.topic(part)).or_default();
        let hash = java_map::partition_hash(&problem.partition(part));
        topic.entry(pair).or_default().insert(hash, part);
    }

    /// What to move where `part` is meant to.
    pub(super) fn instead(
        &self,
        problem: &Problem<'_>,
        part: Part,
        from: usize,
        to: usize,
    ) -> Part {
        let Some(topic) = self.by_topic.get(&problem.topic(part)) else { return part };
        let from = self.by_part.get(&part).map_or(from, |(origin, _)| *origin);
        topic.get(&(to, from)).and_then(JavaSet::first).unwrap_or(part)
    }

    fn take(&mut self, problem: &Problem<'_>, part: Part) -> Option<Pair> {
        let pair = self.by_part.remove(&part)?;
        let number = problem.topic(part);
        if let Some(topic) = self.by_topic.get_mut(&number) {
            if let Some(set) = topic.get_mut(&pair) {
                set.remove(part);
                if set.is_empty() {
                    topic.remove(&pair);
                }
            }
            if topic.is_empty() {
                self.by_topic.remove(&number);
            }
        }
        Some(pair)
    }
}
