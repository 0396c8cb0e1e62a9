use std::collections::BTreeSet;

use milena_types::MemberEpoch;

use super::*;
use crate::group::streams::tasks::{Tasks, each};

/// Members with their processes and what each has.
struct Group {
    members: Vec<(&'static str, Held)>,
    reached: BTreeMap<(String, i32), i64>,
}

impl Group {
    fn new(processes: &[&'static str]) -> Self {
        let members = processes.iter().map(|process| (*process, Held::default())).collect();
        Self { members, reached: BTreeMap::new() }
    }

    /// Assigns, gives everyone what it is to have, and sees to it that each task is worked on once and that no process keeps
    /// a copy of what it works on.
    fn assign(&mut self, work: &[(&str, i32, bool)], replicas: usize) -> Vec<(usize, usize)> {
        let work: Vec<_> = work
            .iter()
            .map(|(subtopology, tasks, is_stateful)| Work {
                subtopology,
                tasks: *tasks,
                is_stateful: *is_stateful,
            })
            .collect();
        let workers: Vec<_> = self
            .members
            .iter()
            .map(|(process, held)| Worker { process, held, reached: &self.reached })
            .collect();
        let targets = assign(&work, &workers, replicas);
        let count: i32 = work.iter().map(|one| one.tasks).sum();
        let active: Vec<_> = targets.iter().flat_map(|target| each(&target.active)).collect();
        let distinct: BTreeSet<_> = active.iter().collect();
        assert_eq!((active.len(), distinct.len()), (count as usize, count as usize));
        for process in self.members.iter().map(|(process, _)| *process) {
            let members = self.members.iter().zip(&targets);
            let of_process =
                members.filter(|((of, _), _)| *of == process).map(|(_, target)| target);
            let has = of_process.flat_map(|one| each(&one.active).chain(each(&one.standby)));
            let has: Vec<_> = has.collect();
            assert_eq!(has.len(), has.iter().collect::<BTreeSet<_>>().len(), "{process}: {has:?}");
        }
        let size = |tasks: &Tasks| each(tasks).count();
        let sizes = targets.iter().map(|one| (size(&one.active), size(&one.standby))).collect();
        for ((_, held), target) in self.members.iter_mut().zip(targets) {
            let dated = |indexes: BTreeSet<i32>| {
                indexes.into_iter().map(|index| (index, MemberEpoch::ZERO)).collect()
            };
            let active = target.active.into_iter().map(|(id, indexes)| (id, dated(indexes)));
            *held = Held { active: active.collect(), standby: target.standby };
        }
        sizes
    }
}

#[test]
fn tasks_are_spread_evenly_over_members_of_every_process() {
    let mut group = Group::new(&["p", "p", "q"]);
    assert_eq!(group.assign(&[("0", 4, false), ("1", 5, true)], 0), [(3, 0), (3, 0), (3, 0)]);
    let mut group = Group::new(&["p", "p", "q"]);
    assert_eq!(group.assign(&[("0", 2, false)], 0), [(1, 0), (0, 0), (1, 0)]);
}

/// Whoever joins takes a share, and nobody else's tasks move.
#[test]
fn no_more_moves_than_a_new_member_takes() {
    let mut group = Group::new(&["p", "q"]);
    group.assign(&[("0", 6, false)], 0);
    let before = group.members.clone();
    group.members.push(("r", Held::default()));
    assert_eq!(group.assign(&[("0", 6, false)], 0), [(2, 0), (2, 0), (2, 0)]);
    for ((_, before), (_, after)) in before.iter().zip(&group.members) {
        let kept = |(id, of): (&String, &BTreeMap<i32, MemberEpoch>)| {
            of.keys().all(|index| before.active.get(id).is_some_and(|of| of.contains_key(index)))
        };
        assert!(after.active.iter().all(kept), "{before:?} {after:?}");
    }
}

#[test]
fn copies_are_of_stateful_tasks_and_on_other_processes() {
    let mut group = Group::new(&["p", "q"]);
    let sizes = group.assign(&[("0", 2, false), ("1", 2, true)], 1);
    assert_eq!(sizes, [(2, 1), (2, 1)]);
    // More than there are other processes cannot be had.
    assert_eq!(group.assign(&[("0", 2, false), ("1", 2, true)], 2), sizes);
    assert_eq!(Group::new(&["p", "p"]).assign(&[("1", 2, true)], 1), [(1, 0), (1, 0)]);
}

/// A copy that is lost with its process's task costs a restore of the whole state.
#[test]
fn who_has_a_copy_takes_over_when_the_owner_is_gone() {
    let mut group = Group::new(&["p", "q", "r"]);
    group.assign(&[("1", 3, true)], 1);
    let (_, gone) = group.members.remove(0);
    let (subtopology, indexes) = gone.active.first_key_value().expect("a task");
    let index = *indexes.keys().next().expect("a task");
    let keeper = group.members.iter().position(|(_, held)| {
        held.standby.get(subtopology).is_some_and(|indexes| indexes.contains(&index))
    });
    group.assign(&[("1", 3, true)], 1);
    let (_, held) = &group.members[keeper.expect("a copy")];
    assert!(held.active[subtopology].contains_key(&index), "{held:?}");
}

/// A member that once had the state has most of it on its disk.
#[test]
fn who_reached_furthest_keeps_the_copy() {
    let mut group = Group::new(&["p", "q", "r"]);
    group.assign(&[("1", 1, true)], 0);
    let owner = group.members.iter().position(|(_, held)| !held.active.is_empty());
    let work = [Work { subtopology: "1", tasks: 1, is_stateful: true }];
    for furthest in (0..3).filter(|at| Some(*at) != owner) {
        let reached = |offset| BTreeMap::from([(("1".to_owned(), 0), offset)]);
        let (furthest_of_all, less_far) = (reached(7), reached(3));
        let workers: Vec<_> = (0..)
            .zip(&group.members)
            .map(|(at, (process, held))| Worker {
                process,
                held,
                reached: if at == furthest { &furthest_of_all } else { &less_far },
            })
            .collect();
        let targets = assign(&work, &workers, 1);
        assert!(!targets[furthest].standby.is_empty(), "{targets:?}");
    }
}
