//! The end of a consumer: commit, leave, stop, within a deadline.

use std::time::{Duration, Instant};

use super::machine::Consumer;
use super::output::Output;
use crate::commit::{CommitId, CommitMode, Waiter};
use crate::error::{Error, ErrorKind, Operation};
use crate::fetch::Which;
use crate::group::GroupMembershipOperation;

/// How far a consumer has gone to its end.
#[derive(Debug)]
pub(super) enum Phase {
    Open,
    Closing(Closing),
    Closed,
}

#[derive(Debug)]
pub(super) struct Closing {
    deadline: Instant,
    /// The commit of closing, and what became of it.
    commit: Option<CommitId>,
    result: Result<(), Error>,
    /// What becomes of the membership.
    operation: GroupMembershipOperation,
    /// LeaveGroup was asked for.
    leaving: bool,
}

impl Consumer {
    pub(super) fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open)
    }

    pub(super) fn begin_close(
        &mut self,
        now: Instant,
        timeout: Duration,
        operation: GroupMembershipOperation,
    ) {
        let deadline = now + timeout.min(TIMEOUT_MAX);
        match &mut self.phase {
            Phase::Open => {}
            // Whoever has less patience is heard; the commit that is under way keeps its time.
            Phase::Closing(closing) => {
                closing.deadline = closing.deadline.min(deadline);
                return;
            }
            Phase::Closed => return,
        }
        self.buffer.hold(&self.subscription.partitions());
        let auto = self.membership.as_ref().is_some_and(|membership| membership.auto.is_some());
        let commit = auto.then(|| {
            let id = self.next_commit();
            let offsets = self.positions(Which::Returned);
            // Without any time it is sent still, before LeaveGroup, where no other is under way; the deadline of closing ends the
            // wait for it.
            let waiter = Waiter { id, deadline: deadline.max(now + COMMIT_MIN), is_own: true };
            self.push_commit(waiter, offsets, CommitMode::Retry);
            id
        });
        let (result, leaving) = (Ok(()), false);
        self.phase = Phase::Closing(Closing { deadline, commit, result, operation, leaving });
        self.expire_queries(now, Some(&Error::closed()));
    }

    pub(super) fn note_close_commit(&mut self, id: CommitId, result: &Result<(), Error>) {
        if let Phase::Closing(closing) = &mut self.phase
            && closing.commit == Some(id)
        {
            closing.result = result.clone().map_err(|error| {
                if error.kind() != ErrorKind::Closed {
                    return error;
                }
                // Given up when time was over, or without connections: "closed" is no news to who closes.
                let late = Error::new(ErrorKind::Timeout).with_fate(error.fate()).because(error);
                late.during(Operation::Commit).with_detail("the last commit was not answered")
            });
        }
    }

    /// Goes on with closing.
    pub(super) fn drive_close(&mut self, now: Instant) {
        let Phase::Closing(closing) = &mut self.phase else { return };
        let late = closing.deadline <= now;
        let committed =
            self.membership.as_ref().is_none_or(|membership| membership.commits.is_idle());
        if !committed && !late {
            return;
        }
        let operation = closing.operation;
        if !std::mem::replace(&mut closing.leaving, true) {
            if self.subscription.source.is_shared() {
                self.leave_group(now, operation, "the consumer is being closed");
            } else if let Some(membership) = &mut self.membership {
                membership.left = true;
            }
        }
        let left = self.membership.as_ref().is_none_or(|membership| membership.left);
        if left || late {
            self.finish_close(now);
        }
    }

    fn finish_close(&mut self, now: Instant) {
        let abandoned = match &mut self.membership {
            Some(membership) => membership.commits.abandon(),
            None => Vec::new(),
        };
        self.commits_over(now, abandoned);
        self.expire_queries(now, Some(&Error::closed()));
        for outbound in self.fetcher.close(&mut self.ids) {
            self.outputs.push_back(Output::Request(outbound));
        }
        let partitions = self.subscription.partitions();
        self.let_go(&partitions);
        self.buffer.close();
        let phase = std::mem::replace(&mut self.phase, Phase::Closed);
        let result = match phase {
            Phase::Closing(closing) => closing.result,
            Phase::Open | Phase::Closed => Ok(()),
        };
        self.timeout = None;
        self.outputs.push_back(Output::Closed { result });
    }

    pub(super) fn close_timeout(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Closing(closing) => Some(closing.deadline),
            Phase::Open | Phase::Closed => None,
        }
    }
}

/// The last commit may be on its way for this long, at least: a request that is given up takes its connection along, and with it the
/// LeaveGroup behind it.
const COMMIT_MIN: Duration = Duration::from_secs(1);

/// As good as never; what is longer may not fit into an `Instant`.
const TIMEOUT_MAX: Duration = Duration::from_secs(365 * 24 * 3600);
