//! Which member works on which task, and who keeps a copy: Kafka's `sticky` assignor.

mod heap;
mod process;
mod sticky;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use super::tasks::{Assignment, Held};

pub(super) use sticky::assign;

/// The name that StreamsGroupDescribe tells.
pub(crate) const ASSIGNOR: &str = "sticky";

/// The tasks of one subtopology.
#[derive(Clone, Copy, Debug)]
pub(super) struct Work<'a> {
    pub(super) subtopology: &'a str,
    /// How many there are.
    pub(super) tasks: i32,
    /// Whether copies of its state may be kept.
    pub(super) is_stateful: bool,
}

/// One member as the assignor sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Worker<'a> {
    /// Members of one process keep no copies for each other.
    pub(super) process: &'a str,
    pub(super) held: &'a Held,
    /// How far the copies are that it has on its disks.
    pub(super) reached: &'a BTreeMap<(String, i32), i64>,
}
