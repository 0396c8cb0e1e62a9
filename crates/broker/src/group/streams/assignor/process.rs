//! One process: how loaded it is, and which of its members has the least.

use std::collections::BTreeSet;

use super::heap::Heap;

/// A task by the index of its subtopology, and its partition.
pub(super) type Task = (usize, i32);

/// The members of one process, and what they were given.
#[derive(Debug, Default)]
pub(super) struct Process {
    /// Members in rising order, with how many tasks each has.
    members: Vec<(usize, usize)>,
    tasks: BTreeSet<Task>,
    /// Tasks of all members; one that is active and a copy counts twice.
    count: usize,
    /// Places in `members`, the least loaded first; `None` where it must be made anew.
    by_load: Option<Heap>,
}

impl Process {
    /// Adds a member, which comes behind all that are there.
    pub(super) fn add_member(&mut self, member: usize) {
        self.members.push((member, 0));
    }

    pub(super) fn has(&self, task: Task) -> bool {
        self.tasks.contains(&task)
    }

    /// Whether it has less to do for each of its members.
    pub(super) fn is_less_loaded(&self, than: &Self) -> bool {
        let (ours, theirs) = (self.members.len(), than.members.len());
        self.count.saturating_mul(theirs) < than.count.saturating_mul(ours)
    }

    /// How many tasks a member has.
    pub(super) fn count_of(&self, member: usize) -> usize {
        let found = self.place_of(member).and_then(|place| self.members.get(place));
        found.map_or(0, |(_, count)| *count)
    }

    /// Gives a member a task; how many it has then.
    pub(super) fn give(&mut self, member: usize, task: Task) -> usize {
        self.by_load = None;
        self.place_of(member).map_or(0, |place| self.give_at(place, task))
    }

    fn place_of(&self, member: usize) -> Option<usize> {
        self.members.binary_search_by_key(&member, |(one, _)| *one).ok()
    }

    /// Gives the member with the least a task; which, and how many it has then.
    pub(super) fn give_to_least(&mut self, task: Task) -> Option<(usize, usize)> {
        if let [(member, _)] = *self.members.as_slice() {
            return Some((member, self.give_at(0, task)));
        }
        let mut heap = self
            .by_load
            .take()
            .unwrap_or_else(|| Heap::of(0..self.members.len(), |a, b| self.is_less(a, b)));
        let place = heap.pop(|a, b| self.is_less(a, b))?;
        let count = self.give_at(place, task);
        heap.push(place, |a, b| self.is_less(a, b));
        self.by_load = Some(heap);
        self.members.get(place).map(|(member, _)| (*member, count))
    }

    fn is_less(&self, a: usize, b: usize) -> bool {
        let count = |place: usize| self.members.get(place).map(|(_, count)| *count);
        count(a) < count(b)
    }

    fn give_at(&mut self, place: usize, task: Task) -> usize {
        self.count += 1;
        self.tasks.insert(task);
        let Some((_, count)) = self.members.get_mut(place) else { return 0 };
        *count += 1;
        *count
    }
}
