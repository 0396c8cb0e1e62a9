//! As few moves as equal shares allow: first who had a task, then who knows its state, then whoever has the least.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::heap::Heap;
use super::process::{Process, Task};
use super::{Assignment, Work, Worker};
use crate::group::streams::tasks::add;

/// What each worker is to have, in their order.
pub(in crate::group::streams) fn assign(
    work: &[Work<'_>],
    workers: &[Worker<'_>],
    standby_replicas: usize,
) -> Vec<Assignment> {
    let mut state = Assigning::new(work, workers, standby_replicas);
    state.assign_active(tasks(work, |_| true).collect());
    if standby_replicas > 0 {
        state.assign_standby(tasks(work, |one| one.is_stateful).collect(), standby_replicas);
    }
    let mut targets: Vec<Assignment> = workers.iter().map(|_| Assignment::default()).collect();
    for (given, is_active) in [(&state.active, true), (&state.standby, false)] {
        for (member, (subtopology, index)) in given {
            let (Some(target), Some(one)) = (targets.get_mut(*member), work.get(*subtopology))
            else {
                continue;
            };
            let side = if is_active { &mut target.active } else { &mut target.standby };
            add(side, one.subtopology, *index);
        }
    }
    targets
}

fn tasks(work: &[Work<'_>], is_meant: impl Fn(&Work<'_>) -> bool) -> impl Iterator<Item = Task> {
    let meant = work.iter().enumerate().filter(move |(_, one)| is_meant(one));
    meant.flat_map(|(at, one)| (0..one.tasks).map(move |index| (at, index)))
}

/// How much every member is to have, as far as it is not given out yet.
#[derive(Debug)]
struct Quota {
    tasks: usize,
    members: usize,
}

impl Quota {
    fn each(&self) -> usize {
        if self.members == 0 { 0 } else { self.tasks.div_ceil(self.members) }
    }

    /// A member has so many now: one that has its share is out of account with it.
    fn note(&mut self, count: usize) {
        if count == self.each() {
            self.members = self.members.saturating_sub(1);
            self.tasks = self.tasks.saturating_sub(count);
        }
    }
}

/// A member that may know a task's state, the better first: who keeps a copy now, then who is furthest.
type Candidate = (bool, Reverse<i64>, usize);

#[derive(Debug)]
struct Assigning {
    processes: Vec<Process>,
    /// The process of each member.
    process_of: Vec<usize>,
    had_active: BTreeMap<Task, usize>,
    knows_state: BTreeMap<Task, Vec<usize>>,
    active_quota: Quota,
    quota: Quota,
    active: Vec<(usize, Task)>,
    standby: Vec<(usize, Task)>,
}

impl Assigning {
    fn new(work: &[Work<'_>], workers: &[Worker<'_>], standby_replicas: usize) -> Self {
        let count = |one: &Work<'_>| usize::try_from(one.tasks).unwrap_or_default();
        let active: usize = work.iter().map(count).sum();
        let copied: usize = work.iter().filter(|one| one.is_stateful).map(count).sum();
        let index: BTreeMap<_, _> =
            work.iter().enumerate().map(|(at, one)| (one.subtopology, at)).collect();
        let names: BTreeMap<&str, usize> = {
            let mut names: Vec<_> = workers.iter().map(|worker| worker.process).collect();
            names.sort_unstable();
            names.dedup();
            names.into_iter().zip(0..).collect()
        };
        let mut processes: Vec<Process> = names.iter().map(|_| Process::default()).collect();
        let mut process_of = Vec::new();
        let mut had_active = BTreeMap::new();
        let mut candidates = BTreeMap::<Task, Vec<Candidate>>::new();
        for (member, worker) in workers.iter().enumerate() {
            let process = names.get(worker.process).copied().unwrap_or_default();
            process_of.push(process);
            if let Some(process) = processes.get_mut(process) {
                process.add_member(member);
            }
            for (subtopology, indexes) in &worker.held.active {
                let Some(at) = index.get(subtopology.as_str()) else { continue };
                had_active.extend(indexes.keys().map(|index| ((*at, *index), member)));
            }
            for (subtopology, indexes) in &worker.held.standby {
                let Some(at) = index.get(subtopology.as_str()) else { continue };
                for partition in indexes {
                    let reached = worker.reached.get(&(subtopology.clone(), *partition));
                    let candidate = (false, Reverse(reached.copied().unwrap_or(0)), member);
                    candidates.entry((*at, *partition)).or_default().push(candidate);
                }
            }
            for ((subtopology, partition), offset) in worker.reached {
                let Some(at) = index.get(subtopology.as_str()) else { continue };
                let has_copy = worker.held.standby.get(subtopology);
                if has_copy.is_some_and(|indexes| indexes.contains(partition)) {
                    continue;
                }
                let candidate = (true, Reverse(*offset), member);
                candidates.entry((*at, *partition)).or_default().push(candidate);
            }
        }
        let ranked = |(task, mut candidates): (Task, Vec<Candidate>)| {
            candidates.sort_by_key(|(is_former, offset, _)| (*is_former, *offset));
            (task, candidates.into_iter().map(|(_, _, member)| member).collect())
        };
        Self {
            processes,
            process_of,
            had_active,
            knows_state: candidates.into_iter().map(ranked).collect(),
            active_quota: Quota { tasks: active, members: workers.len() },
            quota: Quota {
                tasks: active.saturating_add(copied.saturating_mul(standby_replicas)),
                members: workers.len(),
            },
            active: Vec::new(),
            standby: Vec::new(),
        }
    }

    fn assign_active(&mut self, mut tasks: Vec<Task>) {
        tasks.sort_by_key(|(subtopology, index)| (*index, *subtopology));
        tasks.retain(|task| {
            let before = self.had_active.get(task).copied();
            !before.is_some_and(|member| self.give_active(member, *task))
        });
        tasks.retain(|task| {
            let before = self.least_loaded_that_knows(*task, false);
            !before.is_some_and(|member| self.give_active(member, *task))
        });
        tasks.sort_unstable();
        let mut by_load = self.by_load();
        for task in tasks {
            let Some(at) = by_load.pop(|a, b| self.is_less_loaded(a, b)) else { return };
            let given = self.processes.get_mut(at).and_then(|process| process.give_to_least(task));
            if let Some((member, count)) = given {
                self.active_quota.note(count);
                self.quota.note(count);
                self.active.push((member, task));
            }
            by_load.push(at, |a, b| self.is_less_loaded(a, b));
        }
    }

    fn assign_standby(&mut self, mut tasks: Vec<Task>, replicas: usize) {
        tasks.sort_by_key(|(subtopology, index)| Reverse((*index, *subtopology)));
        let mut left = Vec::new();
        for task in tasks {
            let given = (0..replicas).take_while(|_| self.give_standby_again(task)).count();
            if given < replicas {
                left.push((task, replicas - given));
            }
        }
        left.sort_by_key(|(task, _)| Reverse(*task));
        let mut by_load = self.by_load();
        for (task, count) in left {
            for _ in 0..count {
                if !self.give_standby_to_least(&mut by_load, task) {
                    break;
                }
            }
        }
    }

    /// Leaves a copy of the state where it is, if whoever has it has room.
    fn give_standby_again(&mut self, task: Task) -> bool {
        let was_active = self.had_active.get(&task).copied();
        let was_active = was_active.filter(|member| {
            let process = self.process(*member);
            process.is_some_and(|process| !process.has(task) && self.has_room(*member))
        });
        let knows = || self.least_loaded_that_knows(task, true);
        let member = was_active.or_else(|| knows().filter(|member| self.has_room(*member)));
        let Some(member) = member else { return false };
        let count = self.give(member, task);
        self.quota.note(count);
        self.standby.push((member, task));
        true
    }

    /// Gives the least loaded process a copy that has none of this task.
    fn give_standby_to_least(&mut self, by_load: &mut Heap, task: Task) -> bool {
        let mut passed = Vec::new();
        let mut is_found = false;
        while let Some(at) = by_load.pop(|a, b| self.is_less_loaded(a, b)) {
            passed.push(at);
            let process = self.processes.get_mut(at).filter(|process| !process.has(task));
            let Some(process) = process else { continue };
            if let Some((member, count)) = process.give_to_least(task) {
                self.quota.note(count);
                self.standby.push((member, task));
                is_found = true;
            }
            break;
        }
        for at in passed.into_iter().rev() {
            by_load.push(at, |a, b| self.is_less_loaded(a, b));
        }
        is_found
    }

    /// Of those that know the task's state, one with little to do; for a copy, of a process that has nothing of it.
    fn least_loaded_that_knows(&self, task: Task, for_copy: bool) -> Option<usize> {
        let mut best: Option<(usize, &Process)> = None;
        for member in self.knows_state.get(&task).into_iter().flatten() {
            let Some(process) = self.process(*member) else { continue };
            if for_copy && process.has(task) {
                continue;
            }
            let is_better = best.is_none_or(|(other, than)| {
                process.is_less_loaded(than) && process.count_of(*member) < than.count_of(other)
            });
            if is_better {
                best = Some((*member, process));
            }
        }
        best.map(|(member, _)| member)
    }

    fn give_active(&mut self, member: usize, task: Task) -> bool {
        let has = self.process(member).map(|process| process.count_of(member));
        if has.is_none_or(|has| has >= self.active_quota.each()) {
            return false;
        }
        let count = self.give(member, task);
        self.active_quota.note(count);
        self.quota.note(count);
        self.active.push((member, task));
        true
    }

    fn give(&mut self, member: usize, task: Task) -> usize {
        let at = self.process_of.get(member).copied();
        let process = at.and_then(|at| self.processes.get_mut(at));
        process.map_or(0, |process| process.give(member, task))
    }

    fn has_room(&self, member: usize) -> bool {
        let has = self.process(member).map(|process| process.count_of(member));
        has.is_some_and(|has| has < self.quota.each())
    }

    fn process(&self, member: usize) -> Option<&Process> {
        self.process_of.get(member).and_then(|at| self.processes.get(*at))
    }

    fn by_load(&self) -> Heap {
        Heap::of(0..self.processes.len(), |a, b| self.is_less_loaded(a, b))
    }

    fn is_less_loaded(&self, a: usize, b: usize) -> bool {
        let both = self.processes.get(a).zip(self.processes.get(b));
        both.is_some_and(|(a, b)| a.is_less_loaded(b))
    }
}
