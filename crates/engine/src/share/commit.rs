//! Waiting until everything said so far has come to its end.

use std::collections::BTreeMap;
use std::time::Instant;

use milena_types::NodeId;

use crate::error::Error;

/// Names a commit.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct CommitId(u64);

/// The commits that wait.
///
/// Acknowledgements of one session go in rounds: a request takes all that was said by then. So a commit waits for one
/// round of each session: the one under way, or the next where something waits for it.
#[derive(Debug, Default)]
pub(super) struct Commits {
    waiting: BTreeMap<CommitId, Commit>,
    /// The first failure of which no commit was told yet.
    untold: Option<Error>,
    dealt: u64,
}

#[derive(Debug)]
struct Commit {
    rounds: BTreeMap<NodeId, u64>,
    error: Option<Error>,
    deadline: Instant,
}

/// A commit that is over.
pub(super) type Over = (CommitId, Result<(), Error>);

impl Commits {
    /// Waits for these rounds. What has failed since the last commit fails this one.
    pub(super) fn open(&mut self, rounds: BTreeMap<NodeId, u64>, deadline: Instant) -> CommitId {
        self.dealt += 1;
        let id = CommitId(self.dealt);
        self.waiting.insert(id, Commit { rounds, error: self.untold.take(), deadline });
        id
    }

    /// Something that was said failed before any request took it along: the commits that waited for `round` of this
    /// broker fail, or else the next one.
    pub(super) fn note_lost(&mut self, broker: NodeId, round: u64, error: &Error) {
        let mut is_told = false;
        for commit in self.waiting.values_mut() {
            if commit.rounds.get(&broker).is_some_and(|last| *last >= round) {
                commit.error.get_or_insert_with(|| error.clone());
                is_told = true;
            }
        }
        if !is_told {
            self.note_untold(error);
        }
    }

    /// Something failed for which no commit waits.
    pub(super) fn note_untold(&mut self, error: &Error) {
        self.untold.get_or_insert_with(|| error.clone());
    }

    /// Whether a commit waits for the round `round` of this broker, or a later one.
    pub(super) fn wait_for(&self, broker: NodeId, round: u64) -> bool {
        self.waiting
            .values()
            .any(|commit| commit.rounds.get(&broker).is_some_and(|at| *at >= round))
    }

    /// A round is over; with `again`, some of it is said again in the next one.
    pub(super) fn round_over(
        &mut self,
        broker: NodeId,
        round: u64,
        error: Option<&Error>,
        again: bool,
    ) {
        let mut is_told = false;
        for commit in self.waiting.values_mut() {
            let Some(last) = commit.rounds.get_mut(&broker) else { continue };
            is_told = true;
            if commit.error.is_none() {
                commit.error = error.cloned();
            }
            if *last > round {
                continue;
            }
            if again {
                *last = round + 1;
            } else {
                commit.rounds.remove(&broker);
            }
        }
        if !is_told && let Some(error) = error {
            self.note_untold(error);
        }
    }

    /// The session is over: nothing of it is waited for any more.
    pub(super) fn session_over(&mut self, broker: NodeId) {
        self.round_over(broker, u64::MAX, None, false);
    }

    /// The commits that are over, or whose time is.
    pub(super) fn take_over(&mut self, now: Instant, late: impl Fn() -> Error) -> Vec<Over> {
        let mut over = Vec::new();
        self.waiting.retain(|id, commit| {
            if !commit.rounds.is_empty() && commit.deadline > now {
                return true;
            }
            let unanswered = (!commit.rounds.is_empty()).then(&late);
            over.push((*id, commit.error.take().or(unanswered).map_or(Ok(()), Err)));
            false
        });
        over
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.waiting.values().map(|commit| commit.deadline).min()
    }
}
