//! Tasks: a subtopology and a partition of what it reads.

use std::collections::{BTreeMap, BTreeSet};

use milena_types::MemberEpoch;

use crate::group::consumer::{has_any, is_within};

/// Tasks by their subtopologies; no subtopology has an empty set.
pub(crate) type Tasks = BTreeMap<String, BTreeSet<i32>>;

/// The same, each with the epoch at which its member got it.
pub(crate) type Dated = BTreeMap<String, BTreeMap<i32, MemberEpoch>>;

/// What a member is to have.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Assignment {
    pub(crate) active: Tasks,
    pub(crate) standby: Tasks,
}

/// What a member has, or was told to give up.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Held {
    pub(crate) active: Dated,
    pub(crate) standby: Tasks,
}

/// What a member says that it has. No coordinator gives out tasks to warm up yet, but members may claim some.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Owned {
    pub(crate) active: Tasks,
    pub(crate) standby: Tasks,
    pub(crate) warmup: Tasks,
}

impl Held {
    pub(super) fn is_empty(&self) -> bool {
        self.active.is_empty() && self.standby.is_empty()
    }
}

impl Owned {
    /// Whether it has any of these.
    pub(super) fn has_any(&self, held: &Held) -> bool {
        has_any(&self.active, &held.active)
            || each(&self.standby)
                .any(|(subtopology, index)| has(&held.standby, subtopology, index))
    }

    /// Whether it has nothing else.
    pub(super) fn is_within(&self, held: &Held) -> bool {
        let is_standby = |(subtopology, index)| has(&held.standby, subtopology, index);
        is_within(&self.active, &held.active)
            && each(&self.standby).all(is_standby)
            && self.warmup.is_empty()
    }

    /// Every task, whatever its kind.
    pub(super) fn each(&self) -> impl Iterator<Item = (&str, i32)> {
        each(&self.active).chain(each(&self.standby)).chain(each(&self.warmup))
    }
}

/// Each task.
pub(super) fn each(tasks: &Tasks) -> impl Iterator<Item = (&str, i32)> {
    tasks.iter().flat_map(|(subtopology, indexes)| {
        indexes.iter().map(move |index| (subtopology.as_str(), *index))
    })
}

/// Whether the task is among them.
pub(super) fn has(tasks: &Tasks, subtopology: &str, index: i32) -> bool {
    tasks.get(subtopology).is_some_and(|indexes| indexes.contains(&index))
}

/// Takes a task in.
pub(super) fn add(tasks: &mut Tasks, subtopology: &str, index: i32) {
    match tasks.get_mut(subtopology) {
        Some(indexes) => _ = indexes.insert(index),
        None => _ = tasks.insert(subtopology.to_owned(), BTreeSet::from([index])),
    }
}

/// Takes a task out.
pub(super) fn remove(tasks: &mut Tasks, subtopology: &str, index: i32) {
    let Some(indexes) = tasks.get_mut(subtopology) else { return };
    indexes.remove(&index);
    if indexes.is_empty() {
        tasks.remove(subtopology);
    }
}

/// The tasks without their epochs.
pub(crate) fn undated(dated: &Dated) -> Tasks {
    let indexes = |of: &BTreeMap<i32, MemberEpoch>| of.keys().copied().collect();
    dated.iter().map(|(subtopology, of)| (subtopology.clone(), indexes(of))).collect()
}
