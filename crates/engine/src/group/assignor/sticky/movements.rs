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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use milena_types::Topic;

    use super::*;
    use crate::group::assignor::{Layout, Member};

    /// A partition that would follow another back is spared the way: that one goes back instead.
    #[test]
    fn one_that_moved_the_other_way_goes_back_instead() {
        let topics = ["t", "u"].map(|name| (Topic::from(name), vec![BTreeSet::new(); 3]));
        let layout = Layout { topics: topics.into() };
        let topics = layout.topics.keys().cloned().collect();
        let members = [Member { id: "a".into(), topics, ..Member::default() }];
        let problem = Problem::new(&members, &layout);
        let mut movements = Movements::default();
        assert_eq!(movements.instead(&problem, 1, 8, 7), 1, "nothing has moved");
        movements.moved(&problem, 0, 7, 8);
        assert_eq!(movements.instead(&problem, 1, 8, 7), 0);
        assert_eq!(movements.instead(&problem, 1, 7, 8), 1, "the same way");
        assert_eq!(movements.instead(&problem, 1, 8, 9), 1, "to another");
        assert_eq!(movements.instead(&problem, 4, 8, 7), 4, "of another topic");
        // What moves on has moved from where it began.
        movements.moved(&problem, 0, 8, 9);
        assert_eq!(movements.instead(&problem, 1, 8, 7), 1);
        assert_eq!(movements.instead(&problem, 1, 9, 7), 0);
        // And back where it began it has not moved.
        movements.moved(&problem, 0, 9, 7);
        assert_eq!(movements.instead(&problem, 1, 9, 7), 1);
        assert!(movements.by_part.is_empty() && movements.by_topic.is_empty());
    }
}
