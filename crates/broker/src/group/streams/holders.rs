//! Who has each task at the moment, or still gives it up.

use std::collections::{BTreeMap, BTreeSet};

use super::member::Member;
use super::tasks::each;

/// The processes that have each task.
#[derive(Debug, Default)]
pub(super) struct Holders<'a> {
    active: BTreeMap<(&'a str, i32), &'a str>,
    standby: BTreeMap<(&'a str, i32), BTreeSet<&'a str>>,
}

impl<'a> Holders<'a> {
    pub(super) fn new(members: impl Iterator<Item = &'a Member>) -> Self {
        let mut holders = Self::default();
        for member in members {
            let process = member.about.process_id.as_str();
            for held in [&member.assigned, &member.revoking] {
                for (subtopology, indexes) in &held.active {
                    let tasks =
                        indexes.keys().map(|index| ((subtopology.as_str(), *index), process));
                    holders.active.extend(tasks);
                }
                for task in each(&held.standby) {
                    holders.standby.entry(task).or_default().insert(process);
                }
            }
        }
        holders
    }

    /// The process that works on the task.
    pub(super) fn active(&self, subtopology: &str, index: i32) -> Option<&str> {
        self.active.get(&(subtopology, index)).copied()
    }

    /// Whether a process keeps a copy of the task's state.
    pub(super) fn has_standby(&self, process: &str, subtopology: &str, index: i32) -> bool {
        let processes = self.standby.get(&(subtopology, index));
        processes.is_some_and(|processes| processes.contains(process))
    }
}
